//! `hookgate verify`: the verdict, the reason, and what is most likely wrong.

use std::path::Path;

use serde_json::{Value, json};

use super::{Ran, acorn, run_with, vector};

const GITHUB_SECRET: &str = "It's a Secret to Everybody";
const STRIPE_SECRET: &str = "whsec_test_secret";

/// Verifies what stands on standard input.
fn verify(provider: &str, secret: &str, more: &[&str], recorded: &Value) -> Ran {
    let mut arguments = vec!["verify", "--provider", provider, "--secret", secret];
    arguments.extend_from_slice(more);
    arguments.push("-");
    run_with(&arguments, Path::new("."), &[], &recorded.to_string())
}

/// Fails unless the delivery is invalid for this reason, and returns the explanation.
fn refused(ran: Ran, reason: &str) -> Vec<String> {
    assert_eq!((ran.code, &*ran.stderr), (Some(1), ""), "{ran:?}");
    let verdict: Value = serde_json::from_str(&ran.stdout).unwrap();
    let members: Vec<&String> = verdict.as_object().unwrap().keys().collect();
    assert_eq!(members, ["verdict", "reason", "explain"], "{verdict}");
    assert_eq!(verdict["verdict"], "invalid", "{verdict}");
    assert_eq!(verdict["reason"], reason, "{verdict}");
    let lines = verdict["explain"].as_array().unwrap().iter();
    lines
        .map(|line| line.as_str().unwrap().to_owned())
        .collect()
}

/// Signs a body as GitHub would, and records it.
fn github(signed: &str) -> Value {
    use hookgate::delivery::Delivery;
    use hookgate::provider::Catalogue;
    let catalogue = Catalogue::builtin().unwrap();
    let mut delivery = Delivery {
        method: http::Method::POST,
        url: String::new(),
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::from(signed.to_owned()),
        caller: [127, 0, 0, 1].into(),
        via_trusted_proxy: false,
    };
    let secret = GITHUB_SECRET.to_owned().into();
    let github = catalogue.get("github").unwrap();
    let now = hookgate::clock::now();
    github.sign(None, &secret, &mut delivery, now).unwrap();
    let tag = delivery.headers["x-hub-signature-256"].to_str().unwrap();
    json!({ "headers": { "X-Hub-Signature-256": tag, "X-GitHub-Event": "push" }, "body": signed })
}

#[test]
fn a_valid_delivery_is_told_with_its_event() {
    let signed = vector("stripe", "sdk-test-payload");
    let ran = verify("stripe", STRIPE_SECRET, &["--at", "1735689603"], &signed);
    assert_eq!(
        ran.done(),
        "{\"verdict\":\"valid\",\"event_id\":\"evt_test_webhook\",\"event_type\":\"event\",\
         \"event_id_signed\":true,\"assurance\":\"body\"}\n"
    );
    let unsigned = vector("github", "official-sdk");
    assert_eq!(
        verify("github", "mysecret", &[], &unsigned).done(),
        "{\"verdict\":\"valid\",\"event_id\":\"72d3162e-cc78-11e3-81ab-4c9367dc0958\",\
         \"event_type\":\"issues\",\"event_id_signed\":false,\"assurance\":\"body\"}\n"
    );
    let nameless = vector("twilio", "official-json-body");
    assert_eq!(
        verify("twilio", "12345", &[], &nameless).done(),
        "{\"verdict\":\"valid\",\"event_id\":null,\"event_type\":\"event\",\"event_id_signed\":false,\"assurance\":\"body\"}\n"
    );
}

#[test]
fn an_invalid_delivery_is_told_in_one_line_of_json() {
    let ran = verify("github", "mysecret", &[], &vector("github", "wrong-secret"));
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.stdout,
        "{\"verdict\":\"invalid\",\"reason\":\"signature_mismatch\",\"explain\":[\
         \"no tag matches any of 1 secret(s)\",\
         \"no near miss fits: most likely the secret belongs to another endpoint or account, or \
         the body was changed on its way (anything but the exact bytes received fails)\"]}\n"
    );
}

#[test]
fn one_of_several_secrets_is_enough() {
    let signed = vector("github", "official-sdk");
    let more = ["--secret", "mysecret"];
    assert_eq!(verify("github", "another", &more, &signed).code, Some(0));
}

#[test]
fn a_stale_delivery_is_told_its_age() {
    let signed = vector("stripe", "sdk-test-payload");
    let at = |at: &str| verify("stripe", STRIPE_SECRET, &["--at", at], &signed);
    let told = refused(at("1735689901"), "timestamp_stale");
    assert_eq!(told[0], "signed 301 s ago, tolerance is 300 s");
    assert!(
        told[1].contains("the signature is right, but 301 s old"),
        "{told:?}"
    );
    let told = refused(at("1735689299"), "timestamp_future");
    assert!(
        told[1].contains("from 301 s in the future: this clock is behind"),
        "{told:?}"
    );
    // Without a time to assume, it is this machine's: the vector is old.
    let told = refused(
        verify("stripe", STRIPE_SECRET, &[], &signed),
        "timestamp_stale",
    );
    assert!(told[1].contains("the signature is right"), "{told:?}");
}

#[test]
fn a_secret_with_something_around_it_is_recognised() {
    let signed = vector("github", "official-sdk");
    for (secret, told) in [
        ("mysecret ", "the secret has white space around it"),
        ("\tmysecret\n", "the secret has white space around it"),
        ("\"mysecret\"", "the secret has quotation marks around it"),
    ] {
        let lines = refused(verify("github", secret, &[], &signed), "signature_mismatch");
        assert!(lines[1].contains(told), "{secret:?}: {lines:?}");
        assert_eq!(lines.len(), 2, "nothing else fits: {lines:?}");
    }
}

#[test]
fn a_body_that_was_written_anew_is_recognised() {
    const COMPACT: &str = r#"{"a":[1,2],"b":{"c":"d"}}"#;
    const SPACED: &str = r#"{"a": [1, 2], "b": {"c": "d"}}"#;
    let value: Value = serde_json::from_str(COMPACT).unwrap();
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    for (signed, received, told) in [
        (COMPACT, SPACED, "it was signed in compact form"),
        (
            SPACED,
            COMPACT,
            "it was signed with a space behind `:` and `,`",
        ),
        (&pretty, COMPACT, "it was signed pretty-printed"),
        (
            COMPACT,
            &format!("{COMPACT}\n"),
            "white space was added around the body",
        ),
        (
            &format!("{COMPACT}\n"),
            COMPACT,
            "the line break at the end of the body was lost",
        ),
        ("a=1\nb=2", "a=1\r\nb=2", "changed from LF to CRLF"),
        ("a=1\r\nb=2", "a=1\nb=2", "changed from CRLF to LF"),
    ] {
        let mut recorded = github(signed);
        recorded["body"] = received.into();
        let lines = refused(
            verify("github", GITHUB_SECRET, &[], &recorded),
            "signature_mismatch",
        );
        assert!(lines[1].contains(told), "{told}: {lines:?}");
    }
}

#[test]
fn a_tag_in_the_wrong_form_is_recognised() {
    for (name, reason, told) in [
        (
            "base64-instead-of-hex",
            "signature_malformed",
            "written in base64 instead of lower-case hex",
        ),
        (
            "uppercase-hex",
            "signature_malformed",
            "written in upper case",
        ),
        (
            "prefix-missing",
            "signature_malformed",
            "not in the place or behind the prefix",
        ),
        (
            "sha1-in-256-header",
            "signature_malformed",
            "made with SHA-1 instead of SHA-256",
        ),
    ] {
        let ran = verify("github", GITHUB_SECRET, &[], &vector("github", name));
        let lines = refused(ran, reason);
        assert!(
            lines[1..].iter().any(|line| line.contains(told)),
            "{name}: {lines:?}"
        );
    }
    let hex = vector("shopify", "hex-instead-of-base64");
    let lines = refused(verify("shopify", "hush", &[], &hex), "signature_malformed");
    assert!(
        lines[1].contains("written in hex instead of base64"),
        "{lines:?}"
    );
}

#[test]
fn a_key_that_the_sender_derives_otherwise_is_recognised() {
    let recorded = vector("standard-webhooks", "key-not-decoded");
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let ran = verify(
        "standard-webhooks",
        secret,
        &["--at", "1674087231"],
        &recorded,
    );
    let lines = refused(ran, "signature_mismatch");
    assert!(
        lines[1].contains("the whole secret is taken as plain text"),
        "{lines:?}"
    );

    let recorded = vector("stripe", "prefix-stripped-secret");
    let ran = verify("stripe", STRIPE_SECRET, &["--at", "1735689600"], &recorded);
    let lines = refused(ran, "signature_mismatch");
    assert!(
        lines[1].contains("the secret behind its prefix is taken as plain text"),
        "{lines:?}"
    );
}

#[test]
fn a_scheme_is_pinned_and_a_url_given() {
    let mut recorded = vector("twilio", "official-form");
    recorded["url"] = "http://10.0.0.7:8080/myapp.php".into();
    refused(
        verify("twilio", "12345", &[], &recorded),
        "signature_mismatch",
    );
    let url = ["--url", "https://mycompany.com/myapp.php?foo=1&bar=2"];
    let verdict = verify("twilio", "12345", &url, &recorded).done();
    assert!(
        verdict.contains("\"event_id\":\"CA1234567890ABCDE\""),
        "{verdict}"
    );
    let pinned = [&url[..], &["--scheme", "json"]].concat();
    let ran = verify("twilio", "12345", &pinned, &recorded);
    refused(ran, "signature_mismatch");
}

#[test]
fn the_delivery_is_read_from_a_file_and_the_secret_from_where_it_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let recorded = vector("github", "official-sdk").to_string();
    std::fs::write(dir.path().join("recorded.json"), recorded).unwrap();
    std::fs::write(dir.path().join("secret"), "mysecret\n").unwrap();
    let variables = [("HOOKGATE_TEST_SECRET", "mysecret")];
    for (secret, code) in [
        ("env:HOOKGATE_TEST_SECRET", 0),
        ("file:secret", 0),
        ("mysecret", 0),
        // A reference is never taken as the secret itself.
        ("env:HOOKGATE_TEST_NOT_SET", 2),
        ("file:none", 2),
        ("ENV:HOOKGATE_TEST_SECRET", 2),
        (" ", 2),
    ] {
        let arguments = [
            "verify",
            "--provider",
            "github",
            "--secret",
            secret,
            "recorded.json",
        ];
        let ran = run_with(&arguments, dir.path(), &variables, "");
        assert_eq!(ran.code, Some(code), "{secret}: {ran:?}");
        assert!(!ran.stderr.contains("mysecret"), "{ran:?}");
    }
}

#[test]
fn a_body_in_base64_and_a_repeated_header_are_read_as_they_are() {
    let mut recorded = github("{\"a\":1}");
    let body = recorded.as_object_mut().unwrap().remove("body");
    assert_eq!(body, Some("{\"a\":1}".into()));
    recorded["body_base64"] = "eyJhIjoxfQ==".into();
    assert_eq!(
        verify("github", GITHUB_SECRET, &[], &recorded).code,
        Some(0)
    );
    let tag = recorded["headers"]["X-Hub-Signature-256"].take();
    recorded["headers"]["X-Hub-Signature-256"] = json!([tag, tag]);
    let ran = verify("github", GITHUB_SECRET, &[], &recorded);
    let lines = refused(ran, "signature_ambiguous");
    assert_eq!(
        lines[0],
        "header x-hub-signature-256 appears more than once"
    );
}

#[test]
fn input_that_cannot_be_used_is_neither_valid_nor_invalid() {
    let sound = vector("github", "official-sdk");
    for (provider, more, told) in [
        (
            "githb",
            &[][..],
            "there is no provider `githb`; did you mean github",
        ),
        (
            "github",
            &["--scheme", "none"],
            "no such scheme; there are sha256",
        ),
        ("github", &["--param", "a=b"], "takes no parameter `a`"),
        ("github", &["--param", "a"], "not of the form KEY=VALUE"),
        ("github", &["--at", "noon"], "invalid value 'noon'"),
        ("github", &["--at", "99999999999999999"], "beyond the times"),
    ] {
        let complaint = verify(provider, "mysecret", more, &sound).unusable();
        assert!(complaint.contains(told), "{complaint}");
        assert!(!complaint.contains("mysecret"), "{complaint}");
    }
    for recorded in [
        json!("text"),
        json!({ "headers": { "not a name": "x" }, "body": "" }),
        json!({ "headers": {}, "body_base64": "%" }),
        json!({ "method": "NO METHOD", "body": "" }),
    ] {
        let complaint = verify("github", "mysecret", &[], &recorded).unusable();
        assert!(complaint.starts_with("hookgate: -: "), "{complaint}");
    }
    let arguments = [
        "verify",
        "--provider",
        "github",
        "--secret",
        "x",
        "none.json",
    ];
    let complaint = run_with(&arguments, Path::new("."), &[], "").unusable();
    assert_eq!(
        complaint,
        "hookgate: none.json: No such file or directory (os error 2)\n"
    );
    let arguments = ["verify", "--provider", "github", "-"];
    let complaint = run_with(&arguments, Path::new("."), &[], &sound.to_string()).unusable();
    assert!(complaint.contains("no secret is configured"), "{complaint}");
}

#[test]
fn the_true_sender_of_a_delivery_is_named() {
    let recorded = vector("github", "official-sdk");
    let lines = refused(
        verify("shopify", "mysecret", &[], &recorded),
        "signature_missing",
    );
    let told = "this delivery is signed as ";
    assert!(
        lines
            .iter()
            .any(|line| line.contains(told) && line.contains("`github`")),
        "{lines:?}"
    );
}

#[test]
fn a_secret_that_cannot_be_used_is_told_what_it_looks_like() {
    let recorded = vector("ably", "wrong-secret");
    for (provider, secret, told) in [
        ("ably", "the-key-alone", "write it as ID:KEY"),
        (
            "discord",
            "bm90IGhleA==",
            "it looks like base64, and hex is wanted",
        ),
    ] {
        let complaint = verify(provider, secret, &[], &recorded).unusable();
        assert!(complaint.contains(told), "{complaint}");
        assert!(!complaint.contains(secret), "{complaint}");
    }
}

#[test]
fn a_delivery_is_verified_by_a_definition_of_one_s_own() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("acorn.toml"), acorn()).unwrap();
    let recorded = json!({
        "method": "POST",
        "headers": {
            "Content-Type": "application/json",
            "Acorn-Timestamp": "1767607200",
            "Acorn-Signature":
                "v1=8238565ce4757b955a91b17407271be910bc83a5965e3fffa9bc84b293e735c5",
        },
        "body": "{\"id\":\"ac_1\",\"type\":\"nut.buried\"}",
    });
    let secret = ["--secret", "acorn-secret", "--at", "1767607203", "-"];
    for named in [
        &["--definition", "acorn.toml"][..],
        &["--directory", ".", "--provider", "acorn"],
    ] {
        let arguments = [&["verify"], named, &secret[..]].concat();
        let ran = run_with(&arguments, directory.path(), &[], &recorded.to_string());
        let verdict: Value = serde_json::from_str(&ran.done()).unwrap();
        assert_eq!(verdict["verdict"], "valid", "{named:?}");
        assert_eq!(verdict["event_id"], "ac_1");
    }
    let arguments = [&["verify"], &secret[..]].concat();
    let told = run_with(&arguments, directory.path(), &[], "{}").unusable();
    assert!(told.contains("--provider"), "{told}");
}
