//! Tests of the scanner, against `serde_json` where both should agree.

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::*;

/// Reads a document to its end.
fn scan(json: &[u8]) -> Result<usize, JsonError> {
    let mut scanner = Scanner::new(json)?;
    let mut tokens = 0;
    while scanner.next_token()?.is_some() {
        tokens += 1;
    }
    Ok(tokens)
}

fn refused(json: &str) -> (Fault, usize) {
    let error = scan(json.as_bytes()).unwrap_err();
    (error.fault, error.offset)
}

/// What is refused although JSON's grammar allows it.
fn is_ours(error: JsonError) -> bool {
    error.fault.is_ours()
}

#[test]
fn tokens_come_in_the_order_of_the_text() {
    let mut scanner = Scanner::over(r#" {"a" : [1, "x\n", true], "b":null} "#);
    let mut seen = Vec::new();
    while let Some(token) = scanner.next_token().unwrap() {
        seen.push(match token {
            Token::Key(key) => format!("{}:", key.raw()),
            Token::String(text) => format!("{:?}", text.text()),
            Token::Number(number) => number.to_owned(),
            other => format!("{other:?}"),
        });
    }
    let expected = "Open(Object) a: Open(Array) 1 \"x\\n\" True Close(Array) b: Null Close(Object)";
    assert_eq!(seen.join(" "), expected);
}

#[test]
fn an_error_says_what_and_where() {
    assert_eq!(refused(""), (Fault::End, 0));
    assert_eq!(refused("[1,"), (Fault::End, 3));
    assert_eq!(refused(r#"{"a":"b"#), (Fault::End, 7));
    assert_eq!(refused("[1,]"), (Fault::Unexpected, 3));
    assert_eq!(refused(r#"{"a":1,}"#), (Fault::Unexpected, 7));
    assert_eq!(refused(r#"{"a" 1}"#), (Fault::Unexpected, 5));
    assert_eq!(refused("[1}"), (Fault::Unexpected, 2));
    assert_eq!(refused("Hello, World!"), (Fault::Unexpected, 0));
    assert_eq!(refused("trub"), (Fault::Unexpected, 3));
    assert_eq!(refused("tru"), (Fault::End, 3));
    assert_eq!(refused("1 2"), (Fault::Trailing, 2));
    assert_eq!(refused("01"), (Fault::Trailing, 1));
    assert_eq!(refused("[-x]"), (Fault::Number, 2));
    assert_eq!(refused("[1.]"), (Fault::Number, 3));
    assert_eq!(refused("[1e+]"), (Fault::Number, 4));
    assert_eq!(refused("[\"a\nb\"]"), (Fault::Control, 3));
    assert_eq!(refused(r#""\x""#), (Fault::Escape, 2));
    assert_eq!(refused(r#""\u12g4""#), (Fault::Escape, 5));
    assert_eq!(refused("\u{feff}{}"), (Fault::Unexpected, 0));
    assert_eq!(scan(b"\"\xff\"").unwrap_err().fault, Fault::NotUtf8);
    let error = scan(b"[1,]").unwrap_err();
    assert_eq!(error.to_string(), "unexpected character at byte 3");
}

#[test]
fn a_lone_surrogate_is_refused_and_a_pair_is_one_character() {
    for lone in [
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800A""#,
        r#""\ud800\n""#,
        r#""\ud800x""#,
    ] {
        assert_eq!(refused(lone), (Fault::Surrogate, 1), "{lone}");
    }
    let found = lookup(br#""\ud83d\uDE00\u00e9""#, &[Pointer::parse("").unwrap()]).unwrap();
    assert_eq!(found, [Some(Found::String("😀é".into()))]);
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(scan(nested(128).as_bytes()), Ok(256));
    assert_eq!(refused(&nested(129)), (Fault::TooDeep, 128));
    let objects = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert_eq!(scan(objects(128).as_bytes()), Ok(3 * 128 + 1));
    assert_eq!(refused(&objects(129)), (Fault::TooDeep, 128 * 5));
}

#[test]
fn a_mixed_nest_closes_as_it_was_opened() {
    assert_eq!(scan(br#"[{"a":[{"b":[]}]},{}]"#), Ok(14));
    assert_eq!(refused(r#"[{"a":[}]"#), (Fault::Unexpected, 7));
    assert_eq!(refused(r#"{]"#), (Fault::Unexpected, 1));
}

#[test]
fn every_special_byte_is_seen_at_every_place_of_a_word() {
    for special in (0..=255u8).filter(|byte| *byte < 32 || matches!(byte, b'"' | b'\\')) {
        for before in 0..20 {
            let mut bytes = vec![0x7f; 24];
            bytes[before] = special;
            // What follows a special byte must not hide it.
            bytes[before + 1] = b'!';
            assert_eq!(text::plain_run(&bytes), before, "{special}");
        }
    }
    let plain = "é ~\u{80}ÿ!#[]^_`abcdefgh";
    assert_eq!(text::plain_run(plain.as_bytes()), plain.len());
}

#[test]
fn the_last_of_repeated_keys_counts() {
    let find = |json: &str, pointer: &str| {
        let found = lookup(json.as_bytes(), &[Pointer::parse(pointer).unwrap()]).unwrap();
        found[0]
            .as_ref()
            .and_then(|found| found.text().map(|text| text.into_owned()))
    };
    assert_eq!(find(r#"{"id":1,"id":2}"#, "/id").as_deref(), Some("2"));
    assert_eq!(find(r#"{"id":1,"\u0069d":2}"#, "/id").as_deref(), Some("2"));
    assert_eq!(
        find(r#"{"a":{"id":1},"a":{"id":2}}"#, "/a/id").as_deref(),
        Some("2")
    );
    assert_eq!(find(r#"{"a":{"id":1},"a":{}}"#, "/a/id"), None);
    assert_eq!(find(r#"{"a":{"id":1},"a":7}"#, "/a/id"), None);
    assert_eq!(
        find(r#"{"a":{"id":1},"b":{"id":2}}"#, "/a/id").as_deref(),
        Some("1")
    );
}

#[test]
fn every_kind_of_value_is_found_as_it_was_written() {
    let json = r#"{"s":"a\/b","n":1.50e+400,"t":true,"z":null,"o":{"k": [1, 2]},"a/b~":[[0],"x"]}"#;
    let names = [
        "/s",
        "/n",
        "/t",
        "/z",
        "/o",
        "/a~1b~0/0/0",
        "/a~1b~0/1",
        "/a~1b~0/01",
        "/no",
        "/s/0",
    ];
    let pointers = names.map(|name| Pointer::parse(name).unwrap());
    let expected = [
        Some(Found::String("a/b".into())),
        Some(Found::Number("1.50e+400".into())),
        Some(Found::Bool(true)),
        Some(Found::Null),
        Some(Found::Composite(r#"{"k": [1, 2]}"#.into())),
        Some(Found::Number("0".into())),
        Some(Found::String("x".into())),
        None,
        None,
        None,
    ];
    assert_eq!(lookup(json.as_bytes(), &pointers).unwrap(), expected);
    assert_eq!(
        expected.map(|found| found.is_some_and(|found| found.text().is_some())),
        [
            true, true, true, false, false, true, true, false, false, false
        ]
    );
}

#[test]
fn a_lookup_reads_the_whole_document() {
    let pointers = [Pointer::parse("/id").unwrap()];
    assert_eq!(
        lookup(br#"{"id":1} x"#, &pointers).unwrap_err().fault,
        Fault::Trailing
    );
}

#[test]
fn a_pointer_must_be_written_as_the_rfc_says() {
    for wrong in ["id", "id/", "/a~", "/a~2", "/a~/b"] {
        let error = Pointer::parse(wrong).unwrap_err();
        assert!(error.contains(wrong), "{error}");
    }
    assert!(Pointer::parse(&"/a".repeat(128)).is_ok());
    assert!(Pointer::parse(&"/a".repeat(129)).is_err());
}

/// The text of a JSON value: any keys (repeated ones too), any escapes, any space.
pub(crate) fn json_text() -> impl Strategy<Value = String> {
    let space = || prop::sample::select(vec!["", "", "", " ", "\n\t", "\r "]);
    let string = move || {
        let piece = prop_oneof![
            4 => "[ -!#-\\[\\]-~é😀]{0,12}",
            1 => prop::sample::select(vec![r"\n", r"\\", r"\/", r#"\""#, r"\u0041", r"\ud83d\ude00", r"\u00e9"]).prop_map(str::to_owned),
        ];
        prop::collection::vec(piece, 0..3).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
    };
    let key = move || {
        prop_oneof![
            string(),
            prop::sample::select(vec![r#""a""#, r#""b""#, r#""0""#, r#""a~\/""#])
                .prop_map(str::to_owned)
        ]
    };
    let leaf = prop_oneof![
        prop::sample::select(vec!["null", "true", "false", "0", "-0", "1e3", "-12.50E-2"])
            .prop_map(str::to_owned),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,2})?",
        string(),
    ];
    let tree = leaf.prop_recursive(5, 64, 6, move |inner| {
        let array = prop::collection::vec((space(), inner.clone()), 0..6).prop_map(|items| {
            let items: Vec<String> = items
                .into_iter()
                .map(|(s, item)| format!("{s}{item}{s}"))
                .collect();
            format!("[{}]", items.join(","))
        });
        let object = prop::collection::vec((space(), key(), inner), 0..6).prop_map(|members| {
            let members: Vec<String> = members
                .into_iter()
                .map(|(s, key, value)| format!("{s}{key}{s}:{s}{value}"))
                .collect();
            format!("{{{}}}", members.join(","))
        });
        prop_oneof![array, object]
    });
    (space(), tree, space()).prop_map(|(a, json, b)| format!("{a}{json}{b}"))
}

/// Every pointer into a value.
fn pointers_into(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            pointers_into(value, &format!("{at}/{key}"), all);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, value)| {
            pointers_into(value, &format!("{at}/{index}"), all);
        }),
        _ => {}
    }
}

proptest! {
    #[test]
    fn what_serde_json_writes_or_reads_is_accepted(json in json_text()) {
        prop_assert!(serde_json::from_str::<Value>(&json).is_ok());
        prop_assert!(scan(json.as_bytes()).is_ok(), "{json}");
    }

    #[test]
    fn a_damaged_document_is_accepted_exactly_if_serde_json_accepts_it(
        json in json_text(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, prop::sample::select(b"\"\\{}[]:,0-.eE tu\n\x00\x7f\xc3\xa9d8".to_vec())), 1..4),
    ) {
        let mut bytes = json.into_bytes();
        for (place, how, byte) in damage {
            let at = place.index(bytes.len().max(1));
            match how {
                0 => bytes.insert(at.min(bytes.len()), byte),
                1 if at < bytes.len() => { bytes.remove(at); }
                _ if at < bytes.len() => bytes[at] = byte,
                _ => {}
            }
        }
        let theirs = serde_json::from_slice::<IgnoredAny>(&bytes).is_ok() && std::str::from_utf8(&bytes).is_ok();
        match scan(&bytes) {
            Ok(_) => prop_assert!(theirs, "{}", String::from_utf8_lossy(&bytes)),
            // A reader that skips values does not look at surrogates; one that builds them does.
            Err(error) if is_ours(error) => prop_assert!(serde_json::from_slice::<Value>(&bytes).is_err()),
            Err(error) => prop_assert!(!theirs, "{error}: {}", String::from_utf8_lossy(&bytes)),
        }
    }

    #[test]
    fn any_bytes_are_judged_as_serde_json_judges_them(bytes in prop::collection::vec(prop::sample::select(b"\"\\{}[]:,0-1.eE atruefalsn\n\x01\xc3\xa9".to_vec()), 0..12)) {
        let theirs = serde_json::from_slice::<IgnoredAny>(&bytes).is_ok() && std::str::from_utf8(&bytes).is_ok();
        prop_assert_eq!(scan(&bytes).map_err(is_ours).is_ok(), theirs);
    }

    #[test]
    fn a_lookup_agrees_with_serde_json(json in json_text(), others in prop::collection::vec("(/[ab01~é]{0,2}){0,3}", 4)) {
        // Values are written anew, so that no key is repeated.
        let value: Value = serde_json::from_str(&json).unwrap();
        let json = value.to_string();
        let mut names = others;
        names.retain(|name| Pointer::parse(name).is_ok());
        pointers_into(&value, "", &mut names);
        let pointers: Vec<Pointer> = names.iter().map(|name| Pointer::parse(name).unwrap()).collect();
        let found = lookup(json.as_bytes(), &pointers).unwrap();
        for (name, found) in names.iter().zip(found) {
            match (value.pointer(name), found) {
                (None, None) | (Some(Value::Null), Some(Found::Null)) => {}
                (Some(Value::String(theirs)), Some(Found::String(ours))) => prop_assert_eq!(&ours, theirs),
                (Some(Value::Bool(theirs)), Some(Found::Bool(ours))) => prop_assert_eq!(ours, *theirs),
                (Some(Value::Number(theirs)), Some(Found::Number(ours))) => prop_assert_eq!(ours, theirs.to_string()),
                (Some(theirs @ (Value::Object(_) | Value::Array(_))), Some(Found::Composite(ours))) => prop_assert_eq!(ours, theirs.to_string()),
                (theirs, ours) => prop_assert!(false, "{name}: {theirs:?} is not {ours:?}"),
            }
        }
    }

    #[test]
    fn a_quoted_string_reads_back(text in any::<String>()) {
        let mut json = Vec::new();
        quote(&text, &mut json);
        prop_assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text.clone());
        let found = lookup(&json, &[Pointer::parse("").unwrap()]).unwrap();
        prop_assert_eq!(found, [Some(Found::String(text.into()))]);
    }

    #[test]
    fn an_escaped_string_means_what_serde_json_says(text in "(\\\\u00[0-7][0-9a-fA-F]|\\\\[\"/bfnrt]|\\\\ud83d\\\\ude0[0-9]|[ a-zé])*") {
        let json = format!("\"{text}\"");
        let theirs: String = serde_json::from_str(&json).unwrap();
        let found = lookup(json.as_bytes(), &[Pointer::parse("").unwrap()]).unwrap();
        prop_assert_eq!(found, [Some(Found::String(theirs.into()))]);
    }
}
