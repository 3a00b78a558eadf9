//! `hookgate redact`: what is kept, and what goes where and by which rule.

use std::path::Path;

use serde_json::{Value, json};

use super::{Ran, run_with};

fn redact(arguments: &[&str], body: &str) -> Ran {
    let all: Vec<&str> = [&["redact"], arguments, &["-"]].concat();
    run_with(&all, Path::new("."), &[], body)
}

/// Fails unless the command did it, and returns what it printed.
fn done(ran: Ran) -> (String, String) {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    (ran.stdout, ran.stderr)
}

#[test]
fn what_is_kept_is_printed_and_what_goes_is_told() {
    let body = r#"{"id": "evt_1", "data": {"object": {"amount": 1.50, "receipt_email": "a@b.com", "client_secret": "x"}}}"#;
    let (kept, told) = done(redact(&["--provider", "stripe"], body));
    assert_eq!(
        kept,
        "{\"id\":\"evt_1\",\"data\":{\"object\":{\"amount\":1.50,\"receipt_email\":\"[redacted]\",\"client_secret\":\"[redacted]\"}}}\n"
    );
    assert_eq!(
        told,
        "mask\t/data/object/receipt_email\tpath:/data/object/receipt_email\n\
         mask\t/data/object/client_secret\tpath:/data/object/client_secret\n"
    );
    let (kept, told) = done(redact(&["--profile", "none", "--provider", "stripe"], body));
    assert_eq!(
        (kept, told),
        (
            format!("{}\n", body.replace(": ", ":").replace(", ", ",")),
            String::new()
        )
    );
    let (kept, told) = done(redact(
        &["--profile", "secrets+personal"],
        r#"{"email":"a@b.com"}"#,
    ));
    assert_eq!(
        (kept.as_str(), told.as_str()),
        ("{\"email\":\"[redacted]\"}\n", "mask\t/email\tkey:email\n")
    );
}

#[test]
fn a_report_is_one_object_with_the_data_to_the_letter() {
    let body = r#"{"password":1,"n":1.000}"#;
    let (report, told) = done(redact(&["--report"], body));
    assert_eq!(told, "");
    assert!(
        report.contains(r#""data":{"password":"[redacted]","n":1.000}"#),
        "{report}"
    );
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["redacted"], 1);
    assert_eq!(report["redactedby"], "key:password=1");
    let removals = json!([{ "path": "/password", "rule": "key:password", "action": "mask" }]);
    assert_eq!(report["removals"], removals);
    let (report, _) = done(redact(&["--report", "--content-type", "text/xml"], "<a/>"));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["data_base64"], "PGEvPg==");
}

#[test]
fn a_recorded_delivery_is_read_as_one_unless_a_media_type_is_given() {
    let recorded = json!({
        "headers": { "Content-Type": "application/x-www-form-urlencoded" },
        "body": "password=x&a=1",
    });
    let recorded = recorded.to_string();
    assert_eq!(
        done(redact(&[], &recorded)).0,
        "{\"password\":\"[redacted]\",\"a\":\"1\"}\n"
    );
    let (kept, _) = done(redact(&["--content-type", "application/json"], &recorded));
    assert!(kept.starts_with("{\"headers\":"), "{kept}");
}

#[test]
fn the_rules_of_an_endpoint_apply() {
    let dir = tempfile::tempdir().unwrap();
    let config = r#"
[[tenant]]
id = "acme"
pseudonym_key = "env:HOOKGATE_TEST_PSEUDONYMS"
[[endpoint]]
id = "one"
tenant = "acme"
provider = "github"
secrets = ["env:HOOKGATE_TEST_SECRET"]
[endpoint.redact]
rules = [
    { key = "email", action = "hash" },
    { path = "/customer/**/iban", action = "last4" },
    { value = "cus_[A-Za-z0-9]+" },
    { key = "note", action = "remove" },
]
"#;
    std::fs::write(dir.path().join("hookgate.toml"), config).unwrap();
    let variables = [
        ("HOOKGATE_TEST_SECRET", "s3cr3t-of-the-test"),
        ("HOOKGATE_TEST_PSEUDONYMS", "0123456789abcdef"),
    ];
    let run = |id: &str, body: &str| {
        let arguments = ["redact", "--config", "hookgate.toml", "--endpoint", id, "-"];
        run_with(&arguments, dir.path(), &variables, body)
    };
    let (kept, told) = done(run(
        "one",
        r#"{"email":"jane@example.com","customer":{"a":{"iban":"DE89370400440532013000"}},"text":"of cus_1","note":1,"own":"s3cr3t-of-the-test"}"#,
    ));
    assert_eq!(
        kept,
        "{\"email\":\"hmac:a7a54661c75bce906717ca553fdff1b9\",\"customer\":{\"a\":{\"iban\":\"****3000\"}},\"text\":\"of [redacted]\",\"own\":\"[redacted]\"}\n"
    );
    assert_eq!(
        told,
        "hash\t/email\tkey:email\n\
         last4\t/customer/a/iban\tpath:/customer/**/iban\n\
         mask\t/text\tvalue:cus_[A-Za-z0-9]+\n\
         remove\t/note\tkey:note\n\
         mask\t/own\tsecret\n"
    );
    let told = run("two", "{}").unusable();
    assert_eq!(
        told,
        "hookgate: hookgate.toml: there is no endpoint `two`\n"
    );
}

#[test]
fn what_cannot_be_redacted_fails_and_what_cannot_be_read_is_unusable() {
    let ran = redact(&[], "{\"a\":");
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (
            Some(1),
            "",
            "hookgate: -: body is malformed at byte 5: unexpected end; no signal would be made\n"
        )
    );
    let told = run_with(&["redact", "none.json"], Path::new("."), &[], "").unusable();
    assert!(
        told.starts_with("hookgate: none.json: No such file"),
        "{told}"
    );
    let told = redact(&["--profile", "all"], "{}").unusable();
    assert!(told.contains("must be one of secrets, "), "{told}");
    let told = redact(&["--provider", "strip"], "{}").unusable();
    assert!(told.contains("did you mean"), "{told}");
}

#[test]
fn a_file_that_is_too_large_is_refused_and_not_cut() {
    let dir = tempfile::tempdir().unwrap();
    let large = std::fs::File::create(dir.path().join("large.json")).unwrap();
    large.set_len((64 << 20) + 1).unwrap();
    for command in [
        &["redact", "large.json"][..],
        &["verify", "--provider", "github", "large.json"],
    ] {
        let ran = run_with(command, dir.path(), &[], "");
        assert_eq!(ran.code, Some(2), "{ran:?}");
        let why = "hookgate: large.json: is larger than 64 MiB\n";
        assert_eq!(ran.stderr, why);
    }
}
