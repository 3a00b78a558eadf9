//! What holds for any body, and a plain reading of the rules over a tree to compare with.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::json::tests::json_text;
use crate::json::{Token, lookup};

/// What [`ruled`] says, read plainly: whether the value at a path goes.
fn goes(path: &[String]) -> bool {
    let name = |at: usize| {
        path.get(at)
            .map(|key| key.to_lowercase().replace(['-', '_'], ""))
    };
    let last = name(path.len().wrapping_sub(1)).unwrap_or_default();
    let is = |at: usize, key: &str| name(at).as_deref() == Some(key);
    let named = last == "accesstoken" && !(path.len() == 2 && is(0, "keep"));
    let by_path = match path.len() {
        2 => is(0, "a") && is(1, "b"),
        3 => is(0, "list") && is(2, "x"),
        _ => false,
    };
    named
        || last == "own"
        || by_path
        || last == "end" && path[..path.len() - 1].iter().any(|key| key == "deep")
}

fn ruled() -> Redactor {
    redactor(&rules(
        &["Own"],
        &["/a/b", "/list/*/x", "/**/deep/**/end"],
        &["/keep/access_token", "/payload/keep/access_token"],
        &["planted-secret"],
    ))
}

/// Redacts a tree as [`ruled`] redacts text.
fn reference(value: &Value, path: &mut Vec<String>, count: &mut u32) -> Value {
    let holds = |text: &str| text.contains("planted-secret");
    if goes(path) {
        *count += u32::from(value != REDACTED);
        return REDACTED.into();
    }
    let mut below = |key: String, value: &Value| {
        path.push(key);
        let value = reference(value, path, count);
        path.pop();
        value
    };
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), below(key.clone(), value)))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, value)| below(at.to_string(), value))
            .collect(),
        Value::String(text) if holds(text) => {
            *count += 1;
            REDACTED.into()
        }
        other => other.clone(),
    }
}

fn ruled_tree() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "a",
        "b",
        "list",
        "x",
        "deep",
        "end",
        "Access-Token",
        "access_token",
        "own",
        "keep",
        "0",
        "é\"",
        "other",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~é]{0,10}".prop_map(Value::from),
        "[a-z]{0,9}(planted-secret)?[a-z]{0,9}".prop_map(Value::from),
        Just(REDACTED.into()),
    ];
    leaf.prop_recursive(5, 80, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|members| {
                Value::Object(
                    members
                        .into_iter()
                        .map(|(key, value)| (key.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

/// The tokens of a document as they are written.
fn tokens(json: &str) -> Vec<String> {
    let mut scanner = Scanner::over(json);
    let mut tokens = Vec::new();
    while let Some(token) = scanner.next_token().unwrap() {
        tokens.push(match token {
            Token::Key(text) | Token::String(text) => text.raw().to_owned(),
            Token::Number(text) => text.to_owned(),
            other => format!("{other:?}"),
        });
    }
    tokens
}

proptest! {
    #[test]
    fn the_pass_does_what_its_rules_say_and_nothing_else(tree in ruled_tree(), pretty in any::<bool>()) {
        let body = if pretty { serde_json::to_string_pretty(&tree) } else { serde_json::to_string(&tree) }.unwrap();
        let mut count = 0;
        let expected = reference(&tree, &mut Vec::new(), &mut count);
        let (out, redacted) = run(&ruled(), JSON, &body);
        // As text, because keys must keep their order.
        prop_assert_eq!(&out, &expected.to_string());
        prop_assert_eq!(redacted, count);
        prop_assert!(!out.contains("planted-secret"));
        prop_assert_eq!(run(&ruled(), JSON, &out), (out.clone(), 0));
    }

    #[test]
    fn a_tree_inside_a_string_is_redacted_as_one_outside(tree in ruled_tree(), form in any::<bool>()) {
        prop_assume!(tree.is_object() || tree.is_array());
        let mut count = 0;
        let expected = reference(&tree, &mut Vec::new(), &mut count);
        let expected = json!({ "payload": expected.to_string() }).to_string();
        let (out, redacted) = match form {
            true => {
                let body: String = form_urlencoded::Serializer::new(String::new()).append_pair("payload", &tree.to_string()).finish();
                run(&ruled(), FORM, &body)
            }
            false => run(&ruled(), JSON, &json!({ "payload": tree.to_string() }).to_string()),
        };
        prop_assert_eq!(redacted, count);
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn a_document_without_anything_to_take_out_keeps_every_token(body in json_text()) {
        let redactor = hiding(&["a secret that is not there"]);
        let (out, redacted) = run(&redactor, JSON, &body);
        prop_assert_eq!(redacted, 0);
        prop_assert_eq!(tokens(&out), tokens(&body));
        prop_assert!(!out.contains(['\n', '\r', '\t']));
    }

    #[test]
    fn any_document_is_redacted_the_same_twice(body in json_text(), planted in "[a-z]{8}") {
        let redactor = redactor(&rules(&["a"], &["/b/*", "/**/0/**/a~0~1"], &[], &[&planted, "e", "0"]));
        let (out, _) = run(&redactor, JSON, &body);
        prop_assert!(lookup(out.as_bytes(), &[]).is_ok());
        prop_assert_eq!(run(&redactor, JSON, &out), (out.clone(), 0));
    }

    #[test]
    fn a_form_agrees_with_the_parser_of_browsers(body in "([a-c%é+]|=|&|%4[1-3]|%c3%a9|%zz){0,40}") {
        let mut fields: Vec<(String, Vec<String>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(body.as_bytes()) {
            prop_assume!(!value.contains('\u{fffd}') && !name.contains('\u{fffd}'));
            match fields.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value.into_owned()),
                None => fields.push((name.into_owned(), vec![value.into_owned()])),
            }
        }
        let object: serde_json::Map<String, Value> = fields.into_iter().map(|(name, mut values)| match values.len() {
            1 => (name, values.remove(0).into()),
            _ => (name, values.into()),
        }).collect();
        prop_assert_eq!(run(&defaults(), FORM, &body).0, Value::Object(object).to_string());
    }

    #[test]
    fn secrets_are_found_wherever_a_plain_search_finds_them(
        needles in prop::collection::vec("[ab]{8,12}|[ab]{300}", 1..4),
        text in "[abc]{0,40}", planted in any::<Option<(prop::sample::Index, prop::sample::Index)>>(),
    ) {
        let mut text = text;
        if let Some((which, place)) = planted {
            text.insert_str(place.index(text.len() + 1), which.get::<String>(&needles));
        }
        let list: Vec<&str> = needles.iter().map(String::as_str).collect();
        let plain = list.iter().any(|needle| text.contains(needle));
        prop_assert_eq!(hiding(&list).scrub(&text) == REDACTED, plain);
    }

    #[test]
    fn any_bytes_are_redacted_or_refused(media_type in prop::sample::select(vec![JSON, FORM, "", "text/xml"]), body in any::<Vec<u8>>()) {
        let mut out = Vec::new();
        match ruled().redact(media_type, &body, &mut out) {
            Ok(Data { kind: DataKind::Json, .. }) => prop_assert!(lookup(&out, &[]).is_ok()),
            Ok(Data { kind: DataKind::Base64, .. }) => prop_assert_eq!(STANDARD.decode(&out).unwrap(), body),
            Err(_) => prop_assert!(out.is_empty()),
        }
    }
}
