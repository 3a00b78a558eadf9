//! `[endpoint.redact]`: what is read, what is refused, and what is announced.

use super::*;
use crate::redact::{Action, Profile, Rule, Target};

/// A configuration with one endpoint that redacts so; the key of pseudonyms is there or not.
fn with(redact: &str, pseudonym_key: bool) -> String {
    let key = match pseudonym_key {
        true => "pseudonym_key = \"0123456789abcdef\"\n",
        false => "",
    };
    format!(
        "allow_inline_secrets = true\n[[tenant]]\nid = \"t\"\n{key}[[endpoint]]\nid = \"a\"\n\
         tenant = \"t\"\nprovider = \"github\"\nsecrets = [\"s3cr3t\"]\n{redact}\n"
    )
}

fn problem(redact: &str) -> String {
    let found = parse(&with(redact, false)).unwrap_err().to_string();
    let (place, message) = found.split_once(": ").unwrap();
    assert!(place.starts_with("hookgate.toml:9:"), "{found}");
    message.to_owned()
}

#[test]
fn rules_are_read_in_their_order() {
    let redact = r#"redact = { profile = "secrets+payment", rules = [
        { key = "email", action = "hash" }, { path = "/a/**/iban", action = "last4" },
        { value = "cus_[A-Z]+" }, { key = "x", action = "remove" } ] }"#;
    let config = parse(&with(redact, true)).unwrap();
    let read = &config.endpoints[0].redact;
    let rule = |what, action| Rule { what, action };
    assert_eq!(read.profile, Profile::PAYMENT);
    assert_eq!(
        read.rules,
        [
            rule(Target::Key("email".into()), Action::Hash),
            rule(Target::Path("/a/**/iban".into()), Action::Last4),
            rule(Target::Value("cus_[A-Z]+".into()), Action::Mask),
            rule(Target::Key("x".into()), Action::Remove),
        ]
    );
    assert_eq!(config.notices, [""; 0]);
    assert!(!format!("{config:?}").contains("0123456789abcdef"));
}

#[test]
fn a_rule_that_says_too_little_or_too_much_is_reported_where_it_stands() {
    let one = "a redaction rule names one of `key`, `path` and `value`, such as \
               { key = \"email\", action = \"hash\" }";
    assert_eq!(problem("redact = { rules = [{ action = \"mask\" }] }"), one);
    assert_eq!(
        problem("redact = { rules = [{ key = \"a\", path = \"/a\" }] }"),
        one
    );
    for (rule, expected) in [
        (
            "{ key = \"a\", action = \"drop\" }",
            "`action` must be one of \"mask\", \"remove\", \"last4\", \"hash\", \"keep\"",
        ),
        (
            "{ path = \"a\" }",
            "`path` must hold paths that start with `/`, such as \"/customer/*/email\"",
        ),
        (
            "{ key = \"a\", acton = \"mask\" }",
            "unknown key `acton` in [[endpoint.redact.rules]]; did you mean `action`?",
        ),
        (
            "{ value = \"a(\" }",
            "`redact`: redaction rule `a(` is no pattern: unclosed group",
        ),
        (
            "{ key = \"a\", action = \"hash\" }",
            "`redact`: redaction rule `a` makes pseudonyms, and its tenant has no key for them: set \
             `pseudonym_key` in the [[tenant]] section of the tenant",
        ),
    ] {
        let told = problem(&format!("redact = {{ rules = [{rule}] }}"));
        assert!(told.starts_with(expected), "{told}");
    }
    assert_eq!(
        problem("redact = { profile = \"secret\" }"),
        "`profile` must be one of \"secrets\", \"secrets+payment\", \"secrets+personal\", \
         \"secrets+payment+personal\", \"none\"; did you mean \"secrets\"?"
            .replace("\"secrets\"?", "`secrets`?")
    );
}

#[test]
fn what_is_left_in_is_announced_with_endpoint_and_rule() {
    let redact = r#"redact = { profile = "none", keep = ["/token", "jwt"], rules = [{ key = "otp", action = "keep" }] }"#;
    let config = parse(&with(redact, false)).unwrap();
    assert_eq!(config.warnings, [""; 0]);
    assert_eq!(
        config.notices,
        [
            "hookgate.toml:9:10: endpoint a: profile \"none\" takes out nothing but what its rules \
             name and its own secrets",
            "hookgate.toml:9:10: endpoint a: `otp` is exempt from every later rule",
            "hookgate.toml:9:10: endpoint a: `/token` is exempt from what is taken out by default",
            "hookgate.toml:9:10: endpoint a: `jwt` is exempt from what is taken out by default",
        ]
    );
}
