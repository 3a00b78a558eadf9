//! What holds for every document and every way to its events.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// A JSON text with white space, escapes and numbers as they come, and names that repeat by chance.
fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?(e[0-9])?",
        "\"([a-z\\]\\[{},: é]|\\\\\"|\\\\u00e9|\\\\n){0,6}\"",
    ];
    scalar.prop_recursive(3, 24, 4, |inner| {
        let member = ("\"[abe]\"", blank(), inner.clone())
            .prop_map(|(name, blank, value)| format!("{name}:{blank}{value}"));
        prop_oneof![
            (vec(inner, 0..4), blank()).prop_map(|(all, blank)| wrap("[", &all, &blank, "]")),
            (vec(member, 0..4), blank()).prop_map(|(all, blank)| wrap("{", &all, &blank, "}")),
        ]
    })
}

fn blank() -> impl Strategy<Value = String> {
    "[ \t\r\n]{0,2}"
}

fn wrap(open: &str, all: &[String], blank: &str, close: &str) -> String {
    let separator = format!("{blank},{blank}");
    format!("{open}{blank}{}{blank}{close}", all.join(&separator))
}

fn rules(at: &[&str], within: &[&str]) -> BatchRules {
    let paths = |texts: &[&str]| {
        let each = texts.iter().map(|text| BatchPath::parse(text).unwrap());
        each.collect()
    };
    BatchRules {
        at: paths(at),
        within: paths(within),
    }
}

fn values<'t>(texts: impl IntoIterator<Item = &'t [u8]>) -> Vec<Value> {
    let each = texts
        .into_iter()
        .map(|text| serde_json::from_slice(text).unwrap());
    each.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_element_is_kept_to_the_letter_and_alone(
        elements in vec(json(), 1..6),
        before in json(),
        behind in json(),
        blank in blank(),
    ) {
        let array = wrap("[", &elements, &blank, "]");
        let with = |array: &str| format!("{{\"x\":{before},{blank}\"events\":{blank}{array},\"z\":{behind}}}");
        let parts = rules(&["/events/*"], &[]).split(with(&array).as_bytes()).unwrap();
        let found: Vec<&[u8]> = parts.iter().map(|part| &part.element[..]).collect();
        let all: Vec<&[u8]> = elements.iter().map(String::as_bytes).collect();
        prop_assert_eq!(found, all);
        for (part, element) in parts.iter().zip(&elements) {
            let document: Value = serde_json::from_slice(&part.document).unwrap();
            let alone: Value = serde_json::from_str(&with(&format!("[{element}]"))).unwrap();
            prop_assert_eq!(document, alone);
        }
        // At the top it is the same.
        let parts = rules(&["/*", "lines"], &[]).split(array.as_bytes()).unwrap();
        let found: Vec<&[u8]> = parts.iter().map(|part| &part.element[..]).collect();
        prop_assert_eq!(found, elements.iter().map(String::as_bytes).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_is_lost_or_made_up_of_arrays_in_arrays(
        entries in vec((json(), vec(json(), 0..4), vec(json(), 0..3)), 1..5),
    ) {
        let write = |(own, a, b): &(String, Vec<String>, Vec<String>)| {
            let own = format!("\"own\":{own}");
            let array = |name: &str, all: &[String]| format!("\"{name}\":{}", wrap("[", all, " ", "]"));
            wrap("{", &[array("p", a), own, array("q", b)], "", "}")
        };
        let written: Vec<String> = entries.iter().map(write).collect();
        let document = format!("{{\"e\":{}}}", wrap("[", &written, " ", "]"));
        let parts = rules(&["/e/*"], &["/p/*", "/q/*"]).split(document.as_bytes()).unwrap();
        // An entry with events of one kind is split; one with both, or none, is an event itself.
        let expected: Vec<&str> = entries
            .iter()
            .zip(&written)
            .flat_map(|((_, a, b), whole)| match (a.is_empty(), b.is_empty()) {
                (false, true) => a.iter().map(String::as_str).collect(),
                (true, false) => b.iter().map(String::as_str).collect(),
                _ => vec![whole.as_str()],
            })
            .collect();
        let found: Vec<&str> = parts.iter().map(|part| std::str::from_utf8(&part.element).unwrap()).collect();
        prop_assert_eq!(found, expected);
        for part in &parts {
            let document: Value = serde_json::from_slice(&part.document).unwrap();
            prop_assert_eq!(document["e"].as_array().unwrap().len(), 1);
        }
    }

    #[test]
    fn any_document_is_split_into_its_array_or_not_at_all(
        document in json(),
        path in prop_oneof![Just("/*"), Just("/a/*"), Just("/b/*"), Just("/a/b/*"), Just("/a/*/b/*")],
    ) {
        let parts = rules(&[path], &[]).split(document.as_bytes()).unwrap();
        if parts.is_empty() || path == "/a/*/b/*" {
            return Ok(());
        }
        let whole: Value = serde_json::from_str(&document).unwrap();
        let array = whole.pointer(path.trim_end_matches("/*")).unwrap();
        let elements = values(parts.iter().map(|part| &part.element[..]));
        prop_assert_eq!(&Value::from(elements.clone()), array);
        for (document, element) in values(parts.iter().map(|part| &part.document[..])).iter().zip(elements) {
            let left = document.pointer(path.trim_end_matches("/*")).unwrap();
            prop_assert_eq!(left, &Value::from(vec![element]));
        }
    }

    #[test]
    fn every_line_is_an_event(
        lines in vec(json(), 1..6),
        ends in vec(prop_oneof![Just("\n"), Just("\r\n"), Just("\n\n"), Just(" \n\t\n")], 6),
    ) {
        // A line is a line: no document of several.
        let lines: Vec<String> = lines.iter().map(|line| line.replace(['\r', '\n'], " ")).collect();
        let document: String = lines.iter().zip(&ends).map(|(line, end)| format!("{line}{end}")).collect();
        let parts = rules(&["lines"], &[]).split(document.as_bytes()).unwrap();
        let found = values(parts.iter().map(|part| &part.element[..]));
        match lines.len() {
            1 => prop_assert!(parts.is_empty()),
            _ => prop_assert_eq!(found, values(lines.iter().map(String::as_bytes))),
        }
    }

    #[test]
    fn no_bytes_are_beyond_it(
        bytes in prop_oneof![
            vec(any::<u8>(), 0..60),
            "[\\[\\]{}\",:ae\\\\0-9 \n]{0,60}".prop_map(String::into_bytes),
            (json(), any::<usize>(), any::<u8>()).prop_map(|(text, at, byte)| {
                let mut bytes = text.into_bytes();
                let at = at % bytes.len();
                bytes[at] = byte;
                bytes
            }),
        ],
    ) {
        for (at, within) in [
            (&["/*", "lines"][..], &[][..]),
            (&["/a/*", "/e/*"], &["/a/*", "/b/*"]),
            (&["/a/*/b/*"], &[]),
        ] {
            let parts = rules(at, within).split(&bytes).unwrap();
            // What is split is JSON, before and after.
            for part in &parts {
                values([&part.document[..], &part.element[..]]);
            }
        }
    }
}
