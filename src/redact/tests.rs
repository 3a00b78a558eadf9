//! Tests of the redactor by example; the parts hold those of one kind of body or rule.

mod actions;
mod bodies;
mod planted;
mod properties;
mod secrets;

use secrecy::SecretString;
use serde_json::Value;

use super::*;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

fn rules(keys: &[&str], paths: &[&str], keep: &[&str], secrets: &[&str]) -> Rules {
    let owned = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
    Rules {
        keys: owned(keys),
        paths: owned(paths),
        keep: owned(keep),
        secrets: secrets.iter().map(|one| SecretString::from(*one)).collect(),
        ..Rules::default()
    }
}

fn redactor(rules: &Rules) -> Redactor {
    Redactor::new(rules).unwrap()
}

fn defaults() -> Redactor {
    redactor(&Rules::default())
}

fn paths(paths: &[&str]) -> Redactor {
    redactor(&rules(&[], paths, &[], &[]))
}

fn hiding(secrets: &[&str]) -> Redactor {
    redactor(&rules(&[], &[], &[], secrets))
}

/// Redacts a body and returns what is left of it, and how much was taken out.
fn run(redactor: &Redactor, media_type: &str, body: &str) -> (String, u32) {
    let mut out = Vec::new();
    let data = redactor
        .redact(media_type, body.as_bytes(), &mut out)
        .unwrap();
    assert_eq!(data.kind, DataKind::Json);
    (String::from_utf8(out).unwrap(), data.redacted)
}

#[track_caller]
fn becomes(redactor: &Redactor, body: &str, expected: &str, redacted: u32) {
    let (out, count) = run(redactor, JSON, body);
    assert_eq!(out, expected);
    assert_eq!(count, redacted);
    assert_eq!(run(redactor, JSON, &out), (out.clone(), 0), "twice");
}

#[track_caller]
fn stays(redactor: &Redactor, body: &str) {
    becomes(redactor, body, body, 0);
}

#[test]
fn default_names_are_taken_out_however_they_are_written() {
    for key in [
        "access_token",
        "AccessToken",
        "access-token",
        "ACCESS.TOKEN",
        "Access Token",
        r"acc\u0065ss_token",
        "Authorization",
        "Proxy-Authorization",
        "X-Api-Key",
        "apiKey",
        "Set-Cookie",
        "password",
        "dbPassword",
        "user_passwd",
        "client_secret",
        "stripe.webhook.secret",
        "private_keys",
        "smtpPass",
        "imap_password",
        "aws_secret_access_key",
        "shortLivedToken",
        "hub.verify_token",
        "refresh_tokens",
        "cvv",
        "otp",
        "Credentials",
        "gcp_credentials",
        "id_token",
        "X-Hub-Signature-256",
    ] {
        let body = format!(r#"{{"a":[{{"{key}":"s3cr3t","b":1}}]}}"#);
        let expected = format!(r#"{{"a":[{{"{key}":"[redacted]","b":1}}]}}"#);
        becomes(&defaults(), &body, &expected, 1);
    }
}

#[test]
fn ordinary_words_are_not_default_names() {
    for key in [
        "pin",
        "pincode",
        "session",
        "session_count",
        "key",
        "keys",
        "keyboard",
        "monkey",
        "code",
        "auth",
        "author",
        "authorizations",
        "tokens",
        "total_tokens",
        "next_page_token",
        "cart_token",
        "token_type",
        "secretary",
        "secret_type",
        "password_changed_at",
        "client_id",
        "access_key_id",
        "public_key",
        "groupKey",
        "signed_by",
        "signatures",
        "passed",
        "pass",
        "otpauthor",
        "",
        "-",
    ] {
        stays(&defaults(), &format!(r#"{{"{key}":"x"}}"#));
    }
}

#[test]
fn every_name_of_a_profile_is_one_name_and_none_is_listed_twice() {
    let lists = [DEFAULT_KEYS, PAYMENT_KEYS, PERSONAL_KEYS];
    let names: std::collections::HashSet<Vec<u8>> = lists
        .into_iter()
        .flatten()
        .map(|key| {
            let mut name = Vec::new();
            names::normalise(key, &mut name);
            name
        })
        .collect();
    let listed: usize = lists.iter().map(|list| list.len()).sum();
    assert_eq!(names.len(), listed);
    assert!(lists.iter().all(|list| list.is_sorted()));
}

#[test]
fn a_value_goes_as_a_whole_and_counts_once() {
    let body = r#"{"token":{"token":[1,{"password":"x"}]},"secret":[],"cookie":null,"jwt":true,"otp":12.50,"z":0}"#;
    let expected = r#"{"token":"[redacted]","secret":"[redacted]","cookie":"[redacted]","jwt":"[redacted]","otp":"[redacted]","z":0}"#;
    becomes(&defaults(), body, expected, 5);
}

#[test]
fn what_is_not_matched_stays_to_the_letter() {
    stays(
        &defaults(),
        r#"{"z":1e400,"a":-0,"a":123456789012345678901234567890.000,"é":"\u00e9\/\ud83d\ude00é","":[],"o":{},"t":[true,false,null]}"#,
    );
    stays(&defaults(), r#""text""#);
    stays(&defaults(), "-0.0E+1");
}

#[test]
fn space_between_tokens_is_dropped_and_space_within_strings_is_not() {
    becomes(
        &defaults(),
        " {\r\n\t\"a b\" : [ 1 , \" x \" ] ,\"token\" : { } }\n",
        r#"{"a b":[1," x "],"token":"[redacted]"}"#,
        1,
    );
}

#[test]
fn repeated_keys_are_both_taken_out() {
    becomes(
        &defaults(),
        r#"{"token":1,"a":2,"token":3,"a":4}"#,
        r#"{"token":"[redacted]","a":2,"token":"[redacted]","a":4}"#,
        2,
    );
}

#[test]
fn names_of_the_endpoint_are_taken_out_at_any_depth() {
    let redactor = redactor(&rules(&["E-Mail"], &["From", "hub.challenge"], &[], &[]));
    becomes(
        &redactor,
        r#"{"email":1,"a":[{"e_mail":2,"email_count":3}],"from":4,"From":5,"hub_challenge":6,"to":7}"#,
        r#"{"email":"[redacted]","a":[{"e_mail":"[redacted]","email_count":3}],"from":"[redacted]","From":"[redacted]","hub_challenge":"[redacted]","to":7}"#,
        5,
    );
}

#[test]
fn a_path_goes_from_the_top() {
    let body = r#"{"a":{"b":1,"c":[{"b":2},{"b":3}]},"b":4}"#;
    becomes(
        &paths(&["/a/b"]),
        body,
        r#"{"a":{"b":"[redacted]","c":[{"b":2},{"b":3}]},"b":4}"#,
        1,
    );
    becomes(
        &paths(&["/a/*/*/b"]),
        body,
        r#"{"a":{"b":1,"c":[{"b":"[redacted]"},{"b":"[redacted]"}]},"b":4}"#,
        2,
    );
    becomes(
        &paths(&["/a/c/1"]),
        body,
        r#"{"a":{"b":1,"c":[{"b":2},"[redacted]"]},"b":4}"#,
        1,
    );
    becomes(
        &paths(&["/a/c/01", "/a/c/2", "/c", "/a/b/c", "/*/*/b"]),
        body,
        body,
        0,
    );
    becomes(
        &paths(&["/*"]),
        body,
        r#"{"a":"[redacted]","b":"[redacted]"}"#,
        2,
    );
    becomes(
        &paths(&["/**/b"]),
        body,
        r#"{"a":{"b":"[redacted]","c":[{"b":"[redacted]"},{"b":"[redacted]"}]},"b":"[redacted]"}"#,
        4,
    );
    becomes(
        &paths(&["/a/**/c/**/b"]),
        body,
        r#"{"a":{"b":1,"c":[{"b":"[redacted]"},{"b":"[redacted]"}]},"b":4}"#,
        2,
    );
    becomes(&paths(&["/a/**"]), body, r#"{"a":"[redacted]","b":4}"#, 1);
    becomes(&paths(&["/**"]), body, r#""[redacted]""#, 1);
    becomes(
        &paths(&["/a~1b/~0"]),
        r#"{"a/b":{"~":1,"x":2}}"#,
        r#"{"a/b":{"~":"[redacted]","x":2}}"#,
        1,
    );
    becomes(
        &paths(&["/A_b"]),
        r#"{"aB":1,"a":2}"#,
        r#"{"aB":"[redacted]","a":2}"#,
        1,
    );
    becomes(
        &paths(&["/*/1"]),
        "[[1,2],[3],{\"1\":4}]",
        r#"[[1,"[redacted]"],[3],{"1":"[redacted]"}]"#,
        2,
    );
}

#[test]
fn keep_exempts_from_the_default_names_only() {
    let rules = rules(
        &["otp"],
        &["/gone/token"],
        &["/token", "jwt", "/gone/token", "otp", "/deep/**/secret"],
        &["s3cr3t-of-endpoint"],
    );
    becomes(
        &redactor(&rules),
        r#"{"token":{"id":1,"token":2},"a":{"token":3,"jwt":4},"gone":{"token":5},"otp":6,"deep":{"x":[{"secret":7}]},"jwt":"s3cr3t-of-endpoint"}"#,
        r#"{"token":{"id":1,"token":"[redacted]"},"a":{"token":"[redacted]","jwt":4},"gone":{"token":"[redacted]"},"otp":"[redacted]","deep":{"x":[{"secret":7}]},"jwt":"[redacted]"}"#,
        5,
    );
}

#[test]
fn a_document_as_deep_as_is_read_is_redacted_at_its_bottom() {
    let deep = |depth: usize, value: &str| {
        format!("{}{value}{}", r#"{"a":"#.repeat(depth), "}".repeat(depth))
    };
    let redactor = paths(&["/**/x", "/a/**/b/*"]);
    becomes(
        &redactor,
        &deep(127, r#"{"token":1}"#),
        &deep(127, r#"{"token":"[redacted]"}"#),
        1,
    );
    becomes(
        &redactor,
        &deep(127, r#"{"x":1}"#),
        &deep(127, r#"{"x":"[redacted]"}"#),
        1,
    );
    let mut out = Vec::new();
    let error = redactor
        .redact(JSON, deep(129, "1").as_bytes(), &mut out)
        .unwrap_err();
    assert_eq!((error, out.len()), (RedactError::TooDeep, 0));
}

#[test]
fn a_body_that_is_not_what_it_claims_is_refused_and_leaves_nothing() {
    let refused = |media_type: &str, body: &[u8]| {
        let mut out = b"before".to_vec();
        let error = defaults().redact(media_type, body, &mut out).unwrap_err();
        assert_eq!(out, b"before");
        error
    };
    let malformed = |offset, what| RedactError::Malformed { offset, what };
    assert_eq!(
        refused(JSON, b"Hello, World!"),
        malformed(0, Fault::Unexpected)
    );
    assert_eq!(
        refused("application/json; charset=utf-8", b""),
        malformed(0, Fault::End)
    );
    assert_eq!(
        refused("application/cloudevents+json", b"[{\"a\":1},"),
        malformed(9, Fault::End)
    );
    assert_eq!(
        refused("Text/JSON", b"{\"token\":1,\"a\":}"),
        malformed(15, Fault::Unexpected)
    );
    assert_eq!(
        refused("text/plain", br#"{"token":"x","a":"\udead"}"#),
        malformed(18, Fault::Surrogate)
    );
    assert_eq!(
        refused(JSON, b"{\"a\":\"\xff\"}"),
        malformed(6, Fault::NotUtf8)
    );
    assert_eq!(
        refused(JSON, br#"{"\ud800":1}"#),
        malformed(2, Fault::Surrogate)
    );
    assert_eq!(
        refused(JSON, b"\xef\xbb\xbf{}"),
        malformed(0, Fault::Unexpected)
    );
    assert_eq!(refused(FORM, b"a=1&b=%ff"), malformed(6, Fault::NotUtf8));
    assert_eq!(refused(FORM, b"a=1&\xff=2"), malformed(4, Fault::NotUtf8));
    let text = refused(JSON, b"[1 2]").to_string();
    assert_eq!(text, "body is malformed at byte 3: unexpected character");
}

#[test]
fn a_rule_that_cannot_be_used_is_named() {
    let error = |rules: Rules| Redactor::new(&rules).unwrap_err().to_string();
    assert_eq!(
        error(rules(&["a/b"], &[], &[], &[])),
        "redaction rule `a/b` is a path, which begins with `/`"
    );
    assert_eq!(
        error(rules(&[], &["msg/email"], &[], &[])),
        "redaction rule `msg/email` is a path, which begins with `/`"
    );
    assert_eq!(
        error(rules(&["_-"], &[], &[], &[])),
        "redaction rule `_-` names nothing"
    );
    assert_eq!(
        error(rules(&[], &[""], &[], &[])),
        "redaction rule `` names nothing"
    );
    assert_eq!(
        error(rules(&[], &[], &["/a~b"], &[])),
        "redaction rule `/a~b` has a `~` without 0 or 1"
    );
    let long = "/a".repeat(64);
    assert_eq!(
        error(rules(&[], &[&long], &[], &[])),
        format!("redaction rule `{long}` is longer than 63 levels")
    );
    assert!(Redactor::new(&rules(&[], &[&long[2..]], &[], &[])).is_ok());
    assert_eq!(
        error(rules(&[], &[], &[], &["ok", " \n"])),
        "secret 1 is empty"
    );
    assert_eq!(
        error(rules(&vec!["a"; MAX_RULES + 1], &[], &[], &[])),
        "more than 1000 redaction rules of a kind"
    );
}

#[test]
fn what_a_definition_calls_sensitive_goes_unless_the_endpoint_keeps_it() {
    let mut rules = rules(&[], &[], &["/customer", "From"], &[]);
    rules.sensitive = ["/customer", "/billing/*/email", "From", "To"]
        .map(str::to_owned)
        .to_vec();
    let mut out = Vec::new();
    let body = br#"{"customer":{"id":1},"billing":[{"email":"a@b"}],"From":"1","To":"2"}"#;
    let data = redactor(&rules).redact(JSON, body, &mut out).unwrap();
    let expected =
        r#"{"customer":{"id":1},"billing":[{"email":"[redacted]"}],"From":"1","To":"[redacted]"}"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    assert_eq!(data.redacted, 2);
}
