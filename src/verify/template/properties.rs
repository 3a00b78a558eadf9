//! What holds for every template and whatever fills it in.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;
use crate::delivery::Delivery;

/// A step of a template that is made up: literal text, or a piece of free text.
#[derive(Clone, Debug)]
enum Part {
    Literal(String),
    Header(usize),
    Field(usize),
    Query(usize),
}

/// How many pieces of each kind there are.
const NAMES: usize = 3;

impl Part {
    fn written(&self) -> String {
        match self {
            Self::Literal(text) => text.clone(),
            Self::Header(at) => format!("{{header:x-{at}}}"),
            Self::Field(at) => format!("{{body:/f{at}}}"),
            Self::Query(at) => format!("{{query:q{at}}}"),
        }
    }

    fn value<'v>(&'v self, values: &'v [String]) -> &'v str {
        match self {
            Self::Literal(text) => text,
            Self::Header(at) => &values[*at],
            Self::Field(at) => &values[NAMES + at],
            Self::Query(at) => &values[2 * NAMES + at],
        }
    }

    fn is_piece(&self) -> bool {
        !matches!(self, Self::Literal(_))
    }
}

/// Few characters, so that separators stand in values and values run into each other.
fn text() -> impl Strategy<Value = String> {
    "[ab.:]{0,4}"
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        "[ab.:]{1,2}".prop_map(Part::Literal),
        (0..NAMES).prop_map(Part::Header),
        (0..NAMES).prop_map(Part::Field),
        (0..NAMES).prop_map(Part::Query),
    ]
}

/// Templates as definitions are to be written: between two pieces of free text there is a literal.
fn parts() -> impl Strategy<Value = Vec<Part>> {
    vec(part(), 1..6).prop_map(|parts| {
        let mut separated: Vec<Part> = Vec::new();
        for part in parts {
            if part.is_piece() && separated.last().is_some_and(Part::is_piece) {
                separated.push(Part::Literal(".".to_owned()));
            }
            separated.push(part);
        }
        separated
    })
}

fn delivery(values: &[String]) -> Delivery {
    let mut headers = HeaderMap::new();
    let mut body = Map::new();
    let mut query = form_urlencoded::Serializer::new(String::new());
    for at in 0..NAMES {
        let name: HeaderName = format!("x-{at}").parse().unwrap();
        headers.insert(name, values[at].parse().unwrap());
        body.insert(format!("f{at}"), values[NAMES + at].clone().into());
        query.append_pair(&format!("q{at}"), &values[2 * NAMES + at]);
    }
    Delivery {
        method: Method::POST,
        url: format!("https://gw.example/in?{}", query.finish()),
        headers,
        body: Bytes::from(Value::from(body).to_string()),
        caller: [127, 0, 0, 1].into(),
        via_trusted_proxy: false,
    }
}

fn fill(written: &[String], values: &[String]) -> Result<Vec<u8>, Unfit> {
    let mut pointers = Pointers::default();
    let template = Template::compile_parts(written, &mut pointers).unwrap();
    let delivery = delivery(values);
    let fields = Fields::new(&delivery, &pointers);
    template.bytes(&Scope::of(&fields))
}

/// The values of the pieces that a template names, each once for every time that it is named.
fn named(parts: &[Part], values: &[String]) -> Vec<String> {
    let pieces = parts.iter().filter(|part| part.is_piece());
    pieces.map(|part| part.value(values).to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_template_is_its_literals_and_pieces_and_nothing_else(
        parts in parts(),
        values in vec(text(), 3 * NAMES),
    ) {
        let written: String = parts.iter().map(Part::written).collect();
        let built: String = parts.iter().map(|part| part.value(&values)).collect();
        match fill(&[written], &values) {
            Ok(filled) => prop_assert_eq!(filled, built.into_bytes()),
            // Only a value that holds the literal after it is refused.
            Err(unfit) => {
                prop_assert!(matches!(unfit, Unfit::Blurred(_)), "{:?}", unfit);
                let blurs = parts.windows(2).any(|pair| match pair {
                    [piece, Part::Literal(next)] if piece.is_piece() => {
                        piece.value(&values).contains(next.as_str())
                    }
                    _ => false,
                });
                // Literals that stand side by side are one.
                let adjacent = parts.windows(2).any(|pair| !pair[0].is_piece() && !pair[1].is_piece());
                prop_assert!(blurs || adjacent, "{:?}", parts);
            }
        }
    }

    #[test]
    fn no_two_deliveries_are_signed_alike(
        parts in parts(),
        one in vec(text(), 3 * NAMES),
        other in vec(text(), 3 * NAMES),
        free in proptest::option::of(any::<usize>()),
    ) {
        let mut written: Vec<String> = parts.iter().map(Part::written).collect();
        if let Some(at) = free {
            let pieces: Vec<usize> = (0..parts.len()).filter(|at| parts[*at].is_piece()).collect();
            if !pieces.is_empty() {
                let piece = &mut written[pieces[at % pieces.len()]];
                *piece = piece.replace('}', "|free}");
            }
        }
        let written = [written.concat()];
        if let (Ok(first), Ok(second)) = (fill(&written, &one), fill(&written, &other))
            && named(&parts, &one) != named(&parts, &other)
        {
            prop_assert_ne!(first, second, "{:?}", written);
        }
    }

    #[test]
    fn a_part_that_is_left_out_is_never_taken_for_another(
        names in vec((0..NAMES, text()), 1..4),
        one in vec(text(), 3 * NAMES),
        other in vec(text(), 3 * NAMES),
        gone in vec(any::<bool>(), 2 * 4),
    ) {
        // `name=value\n` lines, each of which may be absent: as several vendors sign them.
        let line = |at: usize, held: usize| format!("?l{at}\n{{header:x-{held}}}\n");
        let written: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(at, (held, _))| line(at, *held))
            .collect();
        let fill = |values: &[String], gone: &[bool]| {
            let mut pointers = Pointers::default();
            let template = Template::compile_parts(&written, &mut pointers).unwrap();
            let mut delivery = delivery(values);
            for (at, gone) in gone.iter().enumerate().take(NAMES) {
                if *gone {
                    delivery.headers.remove(format!("x-{at}"));
                }
            }
            let fields = Fields::new(&delivery, &pointers);
            let filled = template.bytes(&Scope::of(&fields));
            let seen: Vec<Option<Vec<u8>>> = names
                .iter()
                .map(|(held, _)| delivery.headers.get(format!("x-{held}")).map(|one| one.as_bytes().to_vec()))
                .collect();
            (filled, seen)
        };
        let (first, second) = (fill(&one, &gone[..4]), fill(&other, &gone[4..]));
        if let (Ok(a), Ok(b)) = (&first.0, &second.0)
            && first.1 != second.1
        {
            prop_assert_ne!(a, b, "{:?}", written);
        }
    }
}
