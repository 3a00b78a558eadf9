//! The endpoint's own secrets.

use serde_json::json;

use super::*;

#[test]
fn the_endpoints_secret_is_found_however_it_is_written() {
    let secret = "s3cr3t/of+the=end point\"é";
    let redactor = hiding(&["other-secret", secret]);
    let encode = |text: String| STANDARD.encode(text);
    let url = base64::engine::general_purpose::URL_SAFE.encode(format!("??>{secret}"));
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for text in [
        secret.to_owned(),
        format!("before {secret} behind"),
        "an other-secret".to_owned(),
        hex::encode(secret),
        hex::encode_upper(secret),
        encode(secret.to_owned()),
        encode(format!("u:{secret}")),
        encode(format!("us:{secret}~")),
        encode(format!("use:{secret}~?")),
        url,
        format!("https://x.example/?a={percent}&b=1"),
        // As various libraries write it in JSON within JSON, and in a URL within that.
        r#"k=\\u00733cr3t\/of\\u002Bthe=end point\\\"\u00e9"#.to_owned(),
        r#"{\"u\":\"x?k=s3cr3t%2Fof%252Bthe%3Dend%20point%22%C3%A9\"}"#.to_owned(),
        "s3cr3t%2Fof%2Bthe%3Dend+point%22%C3%A9".to_owned(),
        serde_json::to_string(&json!({ "deep": json!({ "k": secret }).to_string() })).unwrap(),
    ] {
        let (out, redacted) = run(&redactor, JSON, &json!({ "a": [text], "b": 1 }).to_string());
        assert_eq!(redacted, 1, "{text}");
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["b"], 1);
        assert!(out.contains(REDACTED) && !out.contains(&text), "{out}");
        assert_eq!(redactor.scrub(&text), REDACTED);
    }
    becomes(
        &redactor,
        r#"{"a":"other-s\u0065cret"}"#,
        r#"{"a":"[redacted]"}"#,
        1,
    );
    stays(
        &redactor,
        r#"{"a":"other-secre","b":"ther-secret","c":"%6fther-secre"}"#,
    );
    assert_eq!(redactor.scrub("evt_1"), "evt_1");
}

#[test]
fn the_endpoints_secret_is_found_in_keys_and_numbers() {
    let redactor = hiding(&["12345678"]);
    becomes(
        &redactor,
        r#"{"x12345678":[9123456789, 12345679, 1.2345678],"token-12345678":{"b":1}}"#,
        r#"{"[redacted]":["[redacted]",12345679,1.2345678],"[redacted]":{"b":1}}"#,
        3,
    );
}

#[test]
fn a_short_secret_is_found_only_as_a_whole_value() {
    let redactor = hiding(&["s3cr3t\n", "7"]);
    becomes(
        &redactor,
        r#"["s3cr3t","s3cr3ts","as3cr3t",7,77,"7","%73%33cr3t",{"s3cr3t":7.0}]"#,
        r#"["[redacted]","s3cr3ts","as3cr3t","[redacted]",77,"[redacted]","[redacted]",{"[redacted]":7.0}]"#,
        5,
    );
}

#[test]
fn a_secret_that_is_the_mark_itself_changes_nothing_twice() {
    becomes(
        &hiding(&["redacted"]),
        r#"{"redacted!":"is redacted","token":1}"#,
        r#"{"[redacted]":"[redacted]","token":"[redacted]"}"#,
        3,
    );
}

#[test]
fn debug_shows_no_secret() {
    let rules = rules(&[], &[], &[], &["s3cr3t-of-endpoint"]);
    let shown = format!("{rules:?} {:?}", redactor(&rules));
    assert!(!shown.contains("s3cr3t"), "{shown}");
}
