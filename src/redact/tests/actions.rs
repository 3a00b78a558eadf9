//! Rules with actions, their order, profiles, detectors, and the manifest.

use serde_json::json;

use super::*;
use crate::redact::document::MAX_NESTED;

const KEY: &str = "0123456789abcdef";
/// A token with a header that says `{"alg":"HS256"}`.
pub(super) const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLW9mLXRva2Vu";
const CARD: &str = "4242 4242 4242 4242";

pub(super) fn rule(kind: &str, text: &str, action: Action) -> Rule {
    let text = text.to_owned();
    let what = match kind {
        "key" => Target::Key(text),
        "path" => Target::Path(text),
        _ => Target::Value(text),
    };
    Rule { what, action }
}

pub(super) fn acting(list: &[(&str, &str, Action)]) -> Rules {
    let rules = list
        .iter()
        .map(|(kind, text, action)| rule(kind, text, *action));
    Rules {
        rules: rules.collect(),
        pseudonym_key: Some(KEY.into()),
        ..Rules::default()
    }
}

/// Redacts a body twice, and returns what is left of it and the manifest.
#[track_caller]
pub(super) fn made(rules: &Rules, media_type: &str, body: &str) -> (String, String) {
    let redactor = redactor(rules);
    let mut out = Vec::new();
    let (data, removals) = redactor
        .explain(media_type, body.as_bytes(), &mut out)
        .unwrap();
    let out = String::from_utf8(out).unwrap();
    assert_eq!(removals.len(), data.redacted as usize);
    let counts = data.manifest.split(',').filter(|entry| !entry.is_empty());
    let counts = counts.map(|entry| entry.rsplit_once('=').unwrap().1.parse::<u32>().unwrap());
    assert_eq!(counts.sum::<u32>(), data.redacted, "{}", data.manifest);
    if data.kind == DataKind::Json {
        assert_eq!(run(&redactor, JSON, &out), (out.clone(), 0), "twice");
    }
    let mut again = Vec::new();
    let unexplained = redactor.redact(media_type, body.as_bytes(), &mut again);
    assert_eq!(
        (unexplained.unwrap(), again),
        (data.clone(), out.clone().into_bytes())
    );
    (out, data.manifest)
}

#[track_caller]
fn leaves(rules: &Rules, body: &str, expected: &str, manifest: &str) {
    let (out, told) = made(rules, JSON, body);
    assert_eq!((out.as_str(), told.as_str()), (expected, manifest));
}

#[test]
fn each_action_does_what_it_says_by_key_and_by_path() {
    let rules = acting(&[
        ("key", "gone", Action::Remove),
        ("path", "/a/*/mail", Action::Hash),
        ("key", "iban", Action::Last4),
        ("key", "masked", Action::Mask),
        ("path", "/a/0/token", Action::Keep),
    ]);
    leaves(
        &rules,
        r#"{"gone":1,"a":[{"gone":{"x":[1]},"mail":"jane@example.com","token":"t"},{"token":"t"}],"iban":"DE89370400440532013000","masked":[1],"gone":2,"z":0}"#,
        r#"{"a":[{"mail":"hmac:a7a54661c75bce906717ca553fdff1b9","token":"t"},{"token":"[redacted]"}],"iban":"****3000","masked":"[redacted]","z":0}"#,
        "key:gone=3,path:/a/*/mail=1,key:iban=1,key:masked=1,key:token=1",
    );
    // Whether first, between or alone, what is left out leaves no comma.
    for (body, expected) in [
        (r#"{"gone":1}"#, "{}"),
        (r#"{"gone":1,"a":2,"gone":3}"#, r#"{"a":2}"#),
        (r#"{"a":2,"gone":1,"b":3}"#, r#"{"a":2,"b":3}"#),
        (r#"[{"gone":[]},{"b":{"gone":{}}}]"#, r#"[{},{"b":{}}]"#),
    ] {
        assert_eq!(made(&rules, JSON, body).0, expected);
    }
}

#[test]
fn an_element_that_is_removed_leaves_null_and_the_others_their_places() {
    let rules = acting(&[
        ("path", "/a/0", Action::Remove),
        ("path", "/a/1", Action::Mask),
        ("path", "/b/*", Action::Remove),
    ]);
    leaves(
        &rules,
        r#"{"a":[{"x":1},2,3],"b":[1,null,{}]}"#,
        r#"{"a":[null,"[redacted]",3],"b":[null,null,null]}"#,
        "path:/a/0=1,path:/a/1=1,path:/b/*=2",
    );
    let all = acting(&[("path", "/**", Action::Remove)]);
    leaves(&all, r#"{"a":1}"#, "null", "path:/**=1");
    assert_eq!(made(&all, FORM, "a=1").0, "null");
}

#[test]
fn what_cannot_be_shown_in_part_or_told_apart_is_masked() {
    let rules = acting(&[("key", "n", Action::Last4), ("key", "h", Action::Hash)]);
    leaves(
        &rules,
        r#"[{"n":"12345678abc"},{"n":123456789012},{"n":[1]},{"n":null},{"n":"****1234"}]"#,
        r#"[{"n":"[redacted]"},{"n":"****9012"},{"n":"[redacted]"},{"n":"[redacted]"},{"n":"****1234"}]"#,
        "key:n=4",
    );
    // The same text has the same pseudonym, whether string or number, and a pseudonym has none.
    let twelve = action::Pseudonyms::new(&KEY.into()).unwrap().of("12");
    leaves(
        &rules,
        &format!(
            r#"[{{"h":"12"}},{{"h":12}},{{"h":"\u0031\u0032"}},{{"h":{{"a":1}}}},{{"h":true}},{{"h":"{twelve}"}},{{"h":"[redacted]"}}]"#
        ),
        &format!(
            r#"[{{"h":"{twelve}"}},{{"h":"{twelve}"}},{{"h":"{twelve}"}},{{"h":"[redacted]"}},{{"h":"[redacted]"}},{{"h":"{twelve}"}},{{"h":"[redacted]"}}]"#
        ),
        "key:h=5",
    );
}

#[test]
fn pseudonyms_differ_between_keys() {
    let mut rules = acting(&[("key", "h", Action::Hash)]);
    let (one, _) = made(&rules, JSON, r#"{"h":"x"}"#);
    rules.pseudonym_key = Some("another key of 16 bytes".into());
    let (other, _) = made(&rules, JSON, r#"{"h":"x"}"#);
    assert_ne!(one, other);
}

#[test]
fn parts_of_texts_that_patterns_match_are_acted_on() {
    let rules = acting(&[
        ("key", "note", Action::Mask),
        ("value", r"cus_[A-Za-z0-9]+", Action::Hash),
        ("value", r"\b\d{12,19}\b", Action::Last4),
        ("value", r"(?i)drop me", Action::Remove),
        ("value", r"ticket \w+", Action::Mask),
    ]);
    let customer = action::Pseudonyms::new(&KEY.into()).unwrap().of("cus_1");
    leaves(
        &rules,
        r#"{"a":"see cus_1, cus_1 and 1234567890123456.","n":1234567890123,"note":"cus_1","b":["Drop me","ticket a, ticket b"],"c":"DROP ME"}"#,
        &format!(
            r#"{{"a":"see {customer}, {customer} and ****3456.","n":1234567890123,"note":"[redacted]","b":[null,"[redacted], [redacted]"]}}"#
        ),
        "key:note=1,value:cus_[A-Za-z0-9]+=2,value:\\b\\d{12%2C19}\\b=1,value:(?i)drop me=2,value:ticket \\w+=2",
    );
}

#[test]
fn parts_that_overlap_are_masked_together_and_until_nothing_matches() {
    let mask = |patterns: &[&str]| {
        let list: Vec<_> = patterns
            .iter()
            .map(|one| ("value", *one, Action::Mask))
            .collect();
        acting(&list)
    };
    let swept = |patterns: &[&str], text: &str| {
        let (out, _) = made(&mask(patterns), JSON, &json!([text]).to_string());
        serde_json::from_str::<[String; 1]>(&out).unwrap()[0].clone()
    };
    assert_eq!(swept(&["abc", "bcd"], "xabcdx"), "x[redacted]x");
    assert_eq!(swept(&["bc", "abcd"], "xabcdx"), "x[redacted]x");
    assert_eq!(swept(&["abcd", "bc"], "xabcdx"), "x[redacted]x");
    assert_eq!(swept(&[r"\S{12}"], "123456789012ab c"), "[redacted] c");
    assert_eq!(swept(&["[a-z]+"], "[redacted]"), "[redacted]");
    assert_eq!(
        swept(&["secret=.*"], "secret=[redacted]hunter2"),
        "[redacted]"
    );
    assert_eq!(
        swept(&[r"[a-z\]]+"], "12 [redacted]ab 3"),
        "12 [redacted] 3"
    );
    let many = "ab ".repeat(101);
    assert_eq!(swept(&["ab"], &many), "[redacted]");
    let some = "ab ".repeat(100);
    assert_eq!(swept(&["ab"], &some), "[redacted] ".repeat(100));
}

#[test]
fn a_pseudonym_or_last_four_in_a_text_is_left_alone_where_a_pattern_makes_them() {
    let hash = acting(&[("value", r"\S+", Action::Hash)]);
    let (once, _) = made(&hash, JSON, r#"["a b"]"#);
    assert_eq!(once.matches("hmac:").count(), 2, "{once}");
    let last4 = acting(&[("value", r"\w{4,}", Action::Last4)]);
    assert_eq!(
        made(&last4, JSON, r#"["abcdefgh1234 ijkl"]"#).0,
        r#"["****1234 [redacted]"]"#
    );
    // Where none makes them, such a text is only a text.
    let mask = acting(&[("value", r"\d{4}", Action::Mask)]);
    assert_eq!(
        made(&mask, JSON, r#"["****1234"]"#).0,
        r#"["****[redacted]"]"#
    );
}

#[test]
fn what_a_pattern_leaves_is_looked_at_by_detectors() {
    let hash = Rules {
        profile: Profile::ALL,
        ..acting(&[("value", "~[0-9]+", Action::Hash)])
    };
    // Too short for a credential until a pseudonym stands there.
    let (out, manifest) = made(&hash, JSON, r#"["Authorization: a~1"]"#);
    assert_eq!(out, r#"["Authorization: [redacted]"]"#);
    assert_eq!(manifest, "value:~[0-9]+=1,detector:authorization=1");
}

#[test]
fn secrets_come_first_then_rules_in_order_then_what_is_kept() {
    let mut rules = acting(&[
        ("path", "/a/token", Action::Keep),
        ("key", "token", Action::Last4),
        ("path", "/b/email", Action::Keep),
        ("key", "email", Action::Mask),
    ]);
    rules.keys = vec!["own".to_owned(), "both".to_owned()];
    rules.paths = vec!["/both".to_owned()];
    rules.keep = ["own", "jwt", "text", "list"].map(str::to_owned).to_vec();
    rules.secrets = vec!["s3cr3t-of-endpoint".into()];
    leaves(
        &rules,
        &format!(
            r#"{{"a":{{"token":"123456789012"}},"token":"123456789012","b":{{"email":"e"}},"email":"e","own":1,"both":1,"jwt":"x","text":"{JWT}","list":["{JWT}"],"other":"{JWT}","iban":"s3cr3t-of-endpoint-1234"}}"#
        ),
        &format!(
            r#"{{"a":{{"token":"123456789012"}},"token":"****9012","b":{{"email":"e"}},"email":"[redacted]","own":"[redacted]","both":"[redacted]","jwt":"x","text":"{JWT}","list":["{JWT}"],"other":"[redacted]","iban":"[redacted]"}}"#
        ),
        "key:token=1,key:email=1,path:/both=1,key:own=1,detector:jwt=1,secret=1",
    );
    let kept = r#"{"a":{"token":"s3cr3t-of-endpoint"},"token":"s3cr3t-of-endpoint"}"#;
    let gone = r#"{"a":{"token":"[redacted]"},"token":"[redacted]"}"#;
    leaves(&rules, kept, gone, "secret=2");
}

#[test]
fn detectors_find_what_no_name_tells_in_texts_numbers_and_keys() {
    let rules = Rules {
        profile: Profile::PAYMENT,
        ..Rules::default()
    };
    let escaped = JWT.replace('e', r"\u0065");
    leaves(
        &rules,
        &format!(
            r#"{{"a":"holds {JWT}!","b":"{escaped}","c":[4242424242424242,42],"d":"paid with {CARD}.","x {JWT}":1,"e":"{{\"f\":\"{CARD}\",\"g\":4242424242424242}}"}}"#
        ),
        r#"{"a":"holds [redacted]!","b":"[redacted]","c":["[redacted]",42],"d":"paid with [redacted].","x [redacted]":1,"e":"{\"f\":\"[redacted]\",\"g\":\"[redacted]\"}"}"#,
        "detector:card=4,detector:jwt=3",
    );
    let form = format!("payload=%7B%22a%22%3A%22{JWT}%22%7D&b=x+{JWT}");
    assert_eq!(
        made(&rules, FORM, &form),
        (
            r#"{"payload":"{\"a\":\"[redacted]\"}","b":"x [redacted]"}"#.to_owned(),
            "detector:jwt=2".to_owned()
        )
    );
    let (xml, manifest) = made(&rules, "text/xml", &format!("<a>{CARD}</a>"));
    assert_eq!(STANDARD.decode(xml).unwrap(), b"<a>[redacted]</a>");
    assert_eq!(manifest, "detector:card=1");
}

#[test]
fn a_profile_says_what_goes_by_default() {
    let body = format!(
        r#"{{"password":"p","iban":"i","first_name":"f","sensitive":1,"jwt_":"{JWT}","card":"{CARD}","mail":"to a@b.com","own":"s3cr3t-of-endpoint"}}"#
    );
    let gone = |profile| {
        let rules = Rules {
            profile,
            sensitive: vec!["/sensitive".to_owned()],
            secrets: vec!["s3cr3t-of-endpoint".into()],
            ..Rules::default()
        };
        let (out, _) = made(&rules, JSON, &body);
        let out: Value = serde_json::from_str(&out).unwrap();
        let changed = out.as_object().unwrap().iter();
        let changed = changed.filter(|(_, value)| value.to_string().contains(REDACTED));
        changed
            .map(|(key, _)| key.clone())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(gone(Profile::default()), "password sensitive jwt_ own");
    assert_eq!(
        gone(Profile::PAYMENT),
        "password iban sensitive jwt_ card own"
    );
    assert_eq!(
        gone(Profile::PERSONAL),
        "password first_name sensitive jwt_ mail own"
    );
    assert_eq!(
        gone(Profile::ALL),
        "password iban first_name sensitive jwt_ card mail own"
    );
    assert_eq!(gone(Profile::NONE), "own");
}

#[test]
fn documents_are_entered_so_deep_and_what_lies_deeper_goes() {
    let nested = |levels: usize| {
        let inner = json!({ "password": "p" }).to_string();
        (0..levels).fold(inner, |text, _| json!({ "m": text }).to_string())
    };
    for levels in 0..=usize::from(MAX_NESTED) {
        let (out, manifest) = made(&Rules::default(), JSON, &nested(levels));
        assert!(out.contains(REDACTED) && out.contains("password"), "{out}");
        assert_eq!(manifest, "key:password=1");
    }
    let deeper = nested(usize::from(MAX_NESTED) + 1);
    let (out, manifest) = made(&Rules::default(), JSON, &deeper);
    assert!(!out.contains("password"), "{out}");
    assert_eq!(manifest, "unread=1");
    let form = format!(
        "payload={}",
        nested(usize::from(MAX_NESTED) - 1).replace('"', "%22")
    );
    assert_eq!(made(&Rules::default(), FORM, &form).1, "key:password=1");
}

#[test]
fn an_explanation_says_where_what_and_why() {
    let mut rules = acting(&[
        ("path", "/a/**/x", Action::Remove),
        ("key", "h", Action::Hash),
    ]);
    rules.secrets = vec!["s3cr3t-of-endpoint".into()];
    let body = format!(
        r#"{{"a":[{{"b~/":{{"x":1}}}}],"m":"{{\"n\":[{{\"password\":1}}],\"o\":{{}}}}","k s3cr3t-of-endpoint":{{"h":1}},"t":"a {JWT}"}}"#
    );
    let mut out = Vec::new();
    let explained = redactor(&rules).explain(JSON, body.as_bytes(), &mut out);
    let (_, removals) = explained.unwrap();
    let shown: Vec<String> = removals
        .iter()
        .map(|Removal { path, rule, action }| format!("{action} {path} {rule}"))
        .collect();
    assert_eq!(
        shown,
        [
            "remove /a/0/b~0~1/x path:/a/**/x",
            "mask /m/n/0/password key:password",
            "mask /[redacted] secret",
            "hash /[redacted]/h key:h",
            "mask /t detector:jwt",
        ]
    );
}

#[test]
fn a_rule_with_an_action_that_cannot_be_used_is_named() {
    let error = |rules: &Rules| Redactor::new(rules).unwrap_err().to_string();
    let mut keyless = acting(&[("key", "email", Action::Hash)]);
    keyless.pseudonym_key = None;
    assert_eq!(
        error(&keyless),
        "redaction rule `email` makes pseudonyms, and its tenant has no key for them: set \
         `pseudonym_key` in the [[tenant]] section of the tenant"
    );
    let refused = |kind, text, action| error(&acting(&[(kind, text, action)]));
    assert_eq!(
        refused("value", "a", Action::Keep),
        "redaction rule `a` is a pattern, which nothing can be kept by: name a key or a path"
    );
    assert_eq!(
        refused("value", "a*", Action::Mask),
        "redaction rule `a*` matches the empty text, and so would match everywhere"
    );
    assert!(refused("value", "a(", Action::Mask).contains("`a(` is no pattern: "));
    assert!(refused("value", r"\w{1000}{1000}", Action::Mask).contains("is no pattern: "));
    assert!(refused("path", "a", Action::Mask).contains("is no path"));
}
