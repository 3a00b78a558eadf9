//! Forms, text, other bodies, and documents inside strings.

use serde_json::json;

use super::*;

#[test]
fn json_inside_a_string_is_redacted_and_otherwise_left_to_the_letter() {
    let redactor = redactor(&rules(
        &[],
        &["/m/x", "/y"],
        &["/m/jwt", "/jwt"],
        &["s3cr3t-of-endpoint"],
    ));
    becomes(
        &redactor,
        r#"{"m":" {\"a\": 1.0, \"token\":\"t\"}"}"#,
        r#"{"m":"{\"a\":1.0,\"token\":\"[redacted]\"}"}"#,
        1,
    );
    becomes(
        &redactor,
        r#"{"m":"[{\"token\":1},{\"token\":2}]"}"#,
        r#"{"m":"[{\"token\":\"[redacted]\"},{\"token\":\"[redacted]\"}]"}"#,
        2,
    );
    becomes(
        &redactor,
        r#"{"m":"{\"k\":\"s3cr3t-of-endpoint\",\"l\":1}"}"#,
        r#"{"m":"{\"k\":\"[redacted]\",\"l\":1}"}"#,
        1,
    );
    // Paths match where the document stands, and as if it stood alone; `keep` only the former.
    becomes(
        &redactor,
        r#"{"m":"{\"x\":1,\"y\":2,\"jwt\":3}"}"#,
        r#"{"m":"{\"x\":\"[redacted]\",\"y\":\"[redacted]\",\"jwt\":3}"}"#,
        2,
    );
    becomes(
        &redactor,
        r#"{"n":"{\"x\":1,\"jwt\":3}"}"#,
        r#"{"n":"{\"x\":1,\"jwt\":\"[redacted]\"}"}"#,
        1,
    );
    stays(
        &redactor,
        r#"{"m":" { \"a\" : 1 } ","n":"[WIP] fix {token}","o":"{\"token\":","p":"{}"}"#,
    );
}

#[test]
fn json_inside_a_string_that_only_others_can_read_goes() {
    let deep = format!("{}1{}", "[".repeat(129), "]".repeat(129));
    let body = json!({ "a": deep, "b": r#"{"token":"t","x":"\ud800"}"# }).to_string();
    becomes(
        &defaults(),
        &body,
        r#"{"a":"[redacted]","b":"[redacted]"}"#,
        2,
    );
}

#[test]
fn a_form_becomes_an_object() {
    let becomes = |body: &str, expected: &str, redacted: u32| {
        let redactor = redactor(&rules(
            &[],
            &["From", "/to/1", "/m/*"],
            &[],
            &["s3cr3t-of-endpoint"],
        ));
        assert_eq!(
            run(&redactor, FORM, body),
            (expected.to_owned(), redacted),
            "{body}"
        );
        assert_eq!(
            run(&redactor, JSON, expected),
            (expected.to_owned(), 0),
            "twice"
        );
    };
    becomes("", "{}", 0);
    becomes(
        "b=1&a=x+y%2B%c3%a9&b=2&&c&=e&b=",
        r#"{"b":["1","2",""],"a":"x y+é","c":"","":"e"}"#,
        0,
    );
    becomes(
        "From=%2B1&to=a&to=b&m=1&m=2&n=%zz%4",
        r#"{"From":"[redacted]","to":["a","[redacted]"],"m":["[redacted]","[redacted]"],"n":"%zz%4"}"#,
        4,
    );
    becomes(
        "tok%65n=a&token=b&x=s3cr3t-of-endpoint",
        r#"{"token":"[redacted]","x":"[redacted]"}"#,
        2,
    );
    becomes(
        "token=%5Bredacted%5D&a=1",
        r#"{"token":"[redacted]","a":"1"}"#,
        0,
    );
    becomes(
        "payload=%7B%22token%22%3A+1%2C%22a%22%3A%22%7B%5C%22jwt%5C%22%3A2%7D%22%7D&q=%22",
        r#"{"payload":"{\"token\":\"[redacted]\",\"a\":\"{\\\"jwt\\\":\\\"[redacted]\\\"}\"}","q":"\""}"#,
        2,
    );
    becomes(
        "payload=%7B%22a%22%3A+1%7D&p=%7B",
        r#"{"payload":"{\"a\": 1}","p":"{"}"#,
        0,
    );
}

#[test]
fn a_form_that_goes_as_a_whole_leaves_the_mark() {
    assert_eq!(
        run(&paths(&["/**"]), FORM, "a=1"),
        ("\"[redacted]\"".to_owned(), 1)
    );
}

#[test]
fn a_form_has_so_many_fields_and_no_more() {
    let form = |fields: usize| vec!["a=1"; fields].join("&");
    let mut out = Vec::new();
    assert!(
        defaults()
            .redact(FORM, form(MAX_FIELDS).as_bytes(), &mut out)
            .is_ok()
    );
    let error = defaults()
        .redact(FORM, form(MAX_FIELDS + 1).as_bytes(), &mut out)
        .unwrap_err();
    assert_eq!(error, RedactError::TooManyFields);
}

#[test]
fn text_is_json_if_it_reads_like_it_and_else_goes_in_base64() {
    let redactor = hiding(&["s3cr3t-of-endpoint"]);
    let run = |media_type: &str, body: &[u8]| {
        let mut out = Vec::new();
        let data = redactor.redact(media_type, body, &mut out).unwrap();
        (data.kind, String::from_utf8(out).unwrap(), data.redacted)
    };
    for media_type in ["", "text/plain", "text/plain; charset=UTF-8"] {
        assert_eq!(
            run(media_type, b"\n{\"token\": 1}"),
            (DataKind::Json, r#"{"token":"[redacted]"}"#.to_owned(), 1)
        );
        assert_eq!(
            run(media_type, b"{\"token\": 1"),
            (DataKind::Base64, STANDARD.encode("{\"token\": 1"), 0)
        );
        assert_eq!(
            run(media_type, b"12"),
            (DataKind::Base64, "MTI=".to_owned(), 0)
        );
        assert_eq!(run(media_type, b""), (DataKind::Base64, String::new(), 0));
    }
    assert_eq!(
        run("application/octet-stream", b"{\"a\":\xff"),
        (DataKind::Base64, STANDARD.encode(b"{\"a\":\xff"), 0)
    );
    for body in [
        &b"\xff s3cr3t-of-endpoint"[..],
        b"<k>czNjcjN0LW9mLWVuZHBvaW50</k>",
        b"s3cr3t%2Dof-endpoint",
    ] {
        assert_eq!(
            run("application/xml", body),
            (DataKind::Json, "\"[redacted]\"".to_owned(), 1)
        );
        assert_eq!(
            run("text/plain", body),
            (DataKind::Json, "\"[redacted]\"".to_owned(), 1)
        );
    }
}
