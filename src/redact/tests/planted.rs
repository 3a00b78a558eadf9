//! Documents of any shape with something planted under every kind of rule: nothing of it comes out,
//! and nothing else changes.

use proptest::prelude::*;

use super::actions::{JWT, acting};
use super::*;
use crate::json::{lookup, quote};

/// In everything that is planted and could be told in the output.
const MARK: &str = "PLANTED";
const SECRET: &str = "PLANTED-secret-of-endpoint";
const CARD: &str = "4242 4242 4242 4242";
const ACTIONS: [Action; 4] = [Action::Mask, Action::Remove, Action::Last4, Action::Hash];

/// A document, and with it what must come of it.
#[derive(Clone, Debug)]
enum Node {
    /// A scalar that stays, as JSON.
    Plain(String),
    /// A text that stays but for what is planted in it; with an escape for its first letter or not.
    Text(Planted, bool),
    /// A number that a detector knows.
    Number,
    Array(Vec<Node>),
    Object(Vec<(Member, Node)>),
    /// A document in a string.
    Inside(Box<Node>),
}

#[derive(Clone, Copy, Debug)]
enum Planted {
    Jwt,
    Card,
    Own,
    OwnInBase64,
    ByValue(Action),
}

#[derive(Clone, Debug)]
enum Member {
    /// A key that no rule names.
    Plain(String),
    /// A key that a rule names; whether its value is a text, or else what the node is.
    ByKey(Action, bool),
    /// An object in which a path names one member, likewise.
    ByPath(Action, bool),
    /// A name of the profile.
    ByDefault,
}

fn rules() -> Rules {
    let mut list = Vec::new();
    let names: Vec<_> = ACTIONS
        .map(|action| {
            let path = format!("/**/path_{action}/x");
            let value = format!("value_{action}_[A-Za-z0-9]+");
            (format!("key_{action}"), path, value, action)
        })
        .into();
    for (key, path, value, action) in &names {
        list.push(("key", key.as_str(), *action));
        list.push(("path", path.as_str(), *action));
        list.push(("value", value.as_str(), *action));
    }
    Rules {
        profile: Profile::PAYMENT,
        secrets: vec![SECRET.into()],
        ..acting(&list)
    }
}

/// What is planted as a whole value.
fn whole() -> String {
    format!("{MARK}abcdef7890")
}

fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    quote(text, &mut out);
    String::from_utf8(out).unwrap()
}

/// What an action leaves of a text, as JSON without quotes; nothing where it is left out.
fn left_of(text: &str, action: Action) -> Option<String> {
    let pseudonyms = action::Pseudonyms::new(&"0123456789abcdef".into()).unwrap();
    match action {
        Action::Remove => None,
        Action::Last4 => Some(action::last4(text).unwrap_or(REDACTED.to_owned())),
        Action::Hash => Some(pseudonyms.of(text)),
        Action::Mask | Action::Keep => Some(REDACTED.to_owned()),
    }
}

impl Planted {
    fn text(self) -> String {
        match self {
            Self::Jwt => format!("x {JWT}{MARK} y"),
            Self::Card => format!("x {CARD}, y"),
            Self::Own => format!("x {SECRET} y"),
            Self::OwnInBase64 => STANDARD.encode(format!("u:{SECRET}")),
            Self::ByValue(action) => format!("x value_{action}_{MARK}1234, y"),
        }
    }

    fn left(self) -> Option<String> {
        match self {
            Self::Jwt => Some(format!("x {REDACTED} y")),
            Self::Card => Some(format!("x {REDACTED}, y")),
            Self::Own | Self::OwnInBase64 => Some(REDACTED.to_owned()),
            Self::ByValue(action) => {
                let left = left_of(&format!("value_{action}_{MARK}1234"), action)?;
                Some(format!("x {left}, y"))
            }
        }
    }
}

impl Member {
    /// Writes the member as it is sent.
    fn body(&self, node: &Node) -> String {
        let value = |is_text: bool| match is_text {
            true => quoted(&whole()),
            false => format!("[{}, \"{MARK}\"]", node.body()),
        };
        match self {
            Self::Plain(key) => format!("{}: {}", quoted(key), node.body()),
            Self::ByKey(action, is_text) => format!("\"key_{action}\": {}", value(*is_text)),
            Self::ByPath(action, is_text) => {
                format!("\"path_{action}\": {{\"x\": {} }}", value(*is_text))
            }
            Self::ByDefault => format!("\"dbPassword\": {}", value(false)),
        }
    }

    /// Writes what is left of it, and counts what was taken out.
    fn left(&self, node: &Node, count: &mut u32) -> Option<String> {
        let value = |action, is_text| match is_text {
            true => left_of(&whole(), action),
            false if action == Action::Remove => None,
            false => Some(REDACTED.to_owned()),
        };
        if !matches!(self, Self::Plain(_)) {
            *count += 1;
        }
        match self {
            Self::Plain(key) => Some(format!("{}:{}", quoted(key), node.left(count)?)),
            Self::ByKey(action, is_text) => Some(format!(
                "\"key_{action}\":\"{}\"",
                value(*action, *is_text)?
            )),
            Self::ByPath(action, is_text) => Some(match value(*action, *is_text) {
                Some(left) => format!("\"path_{action}\":{{\"x\":\"{left}\"}}"),
                None => format!("\"path_{action}\":{{}}"),
            }),
            Self::ByDefault => Some(format!("\"dbPassword\":\"{REDACTED}\"")),
        }
    }
}

impl Node {
    /// Writes the document as it is sent.
    fn body(&self) -> String {
        match self {
            Self::Plain(json) => json.clone(),
            Self::Text(planted, is_escaped) => {
                let text = quoted(&planted.text());
                match is_escaped {
                    true => format!("\"\\u{:04x}{}", u32::from(text.as_bytes()[1]), &text[2..]),
                    false => text,
                }
            }
            Self::Number => CARD.replace(' ', ""),
            Self::Array(items) => {
                let items: Vec<_> = items.iter().map(Self::body).collect();
                format!("[ {}\n]", items.join(" ,\t"))
            }
            Self::Object(members) => {
                let members: Vec<_> = members.iter().map(|(key, node)| key.body(node)).collect();
                format!("{{ {} }}", members.join(" , "))
            }
            Self::Inside(node) => quoted(&node.body()),
        }
    }

    /// Writes what is left of it; nothing where it is left out.
    fn left(&self, count: &mut u32) -> Option<String> {
        Some(match self {
            Self::Plain(json) => json.clone(),
            Self::Text(planted, _) => {
                *count += 1;
                quoted(&planted.left()?)
            }
            Self::Number => {
                *count += 1;
                quoted(REDACTED)
            }
            Self::Array(items) => {
                let items = items.iter();
                let items = items.map(|node| node.left(count).unwrap_or("null".to_owned()));
                format!("[{}]", items.collect::<Vec<_>>().join(","))
            }
            Self::Object(members) => {
                let left = members
                    .iter()
                    .filter_map(|(key, node)| key.left(node, count));
                format!("{{{}}}", left.collect::<Vec<_>>().join(","))
            }
            Self::Inside(node) => {
                let before = *count;
                let left = node.left(count)?;
                match *count == before {
                    true => quoted(&node.body()),
                    false => quoted(&left),
                }
            }
        })
    }
}

fn action() -> impl Strategy<Value = Action> {
    prop::sample::select(ACTIONS.to_vec())
}

fn node() -> impl Strategy<Value = Node> {
    let plain = prop_oneof![
        Just("null".to_owned()),
        Just("false".to_owned()),
        "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,3})?(e-?[0-9])?",
        "\"[a-z .é]{0,8}(\\\\u00e9|\\\\\"|\\\\/)?\"",
        Just(quoted(REDACTED)),
    ];
    let planted = prop_oneof![
        Just(Planted::Jwt),
        Just(Planted::Card),
        Just(Planted::Own),
        Just(Planted::OwnInBase64),
        action().prop_map(Planted::ByValue),
    ];
    let leaf = prop_oneof![
        3 => plain.prop_map(Node::Plain),
        2 => (planted, any::<bool>()).prop_map(|(planted, escaped)| Node::Text(planted, escaped)),
        1 => Just(Node::Number),
    ];
    leaf.prop_recursive(4, 48, 5, |inner| {
        let member = prop_oneof![
            4 => "[a-e]{1,2}".prop_map(Member::Plain),
            2 => (action(), any::<bool>()).prop_map(|(action, text)| Member::ByKey(action, text)),
            2 => (action(), any::<bool>()).prop_map(|(action, text)| Member::ByPath(action, text)),
            1 => Just(Member::ByDefault),
        ];
        let array = prop::collection::vec(inner.clone(), 0..4).prop_map(Node::Array);
        let object = prop::collection::vec((member, inner), 0..5).prop_map(Node::Object);
        let open = prop_oneof![array, object].boxed();
        prop_oneof![
            3 => open.clone(),
            1 => open.prop_map(|node| Node::Inside(Box::new(node))),
        ]
    })
}

fn told(out: &str) -> bool {
    out.contains(MARK) || out.contains(CARD) || out.contains(&CARD.replace(' ', ""))
}

proptest! {
    #[test]
    fn what_is_planted_goes_and_nothing_else(node in node()) {
        let redactor = redactor(&rules());
        let mut count = 0;
        let expected = node.left(&mut count).unwrap_or("null".to_owned());
        let (out, redacted) = run(&redactor, JSON, &node.body());
        prop_assert_eq!(&out, &expected);
        prop_assert_eq!(redacted, count);
        prop_assert!(!told(&out), "{}", out);
        prop_assert!(lookup(out.as_bytes(), &[]).is_ok());
        prop_assert_eq!(run(&redactor, JSON, &out), (out.clone(), 0));
    }

    #[test]
    fn what_is_planted_in_a_form_goes_likewise(node in node(), in_parts in any::<bool>()) {
        prop_assume!(matches!(node, Node::Array(_) | Node::Object(_)));
        let (mut count, inside) = (0, Node::Inside(Box::new(node.clone())));
        let expected = format!("{{\"payload\":{}}}", inside.left(&mut count).unwrap());
        let (media_type, body) = match in_parts {
            false => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                (FORM, form.append_pair("payload", &node.body()).finish())
            }
            true => ("multipart/form-data; boundary=b", format!(
                "--b\r\nContent-Disposition: form-data; name=\"payload\"\r\n\r\n{}\r\n--b--\r\n", node.body()
            )),
        };
        let redactor = redactor(&rules());
        let (out, redacted) = run(&redactor, media_type, &body);
        prop_assert_eq!(&out, &expected);
        prop_assert_eq!(redacted, count);
        prop_assert!(!told(&out), "{}", out);
        prop_assert_eq!(run(&redactor, JSON, &out), (out.clone(), 0));
    }
}
