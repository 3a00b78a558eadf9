//! What holds for every body that is redacted, whatever its form.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookgate::json::{Scanner, Token};
use hookgate::redact::{Action, DataKind, Profile, Redactor, Rule, Rules, Target};

/// Stands where the endpoint's secret is planted.
const MARKER: &[u8] = b"$SECRET";
/// The secret. Its first letter is part of no escape, which would otherwise seem to be before it.
const SECRET: &str = "The secret that is planted everywhere";
/// What a rule takes out of every text.
const NAMED: &str = "PLANTED";
const JSON: &str = "application/json";

static REDACTORS: LazyLock<[Redactor; 3]> = LazyLock::new(|| {
    [Profile::SECRETS, Profile::ALL, Profile::NONE].map(|profile| {
        let rule = |what, action| Rule { what, action };
        let rules = Rules {
            profile,
            rules: vec![
                rule(Target::Key("a".into()), Action::Remove),
                rule(Target::Key("b".into()), Action::Hash),
                rule(Target::Path("/**/c/*".into()), Action::Last4),
                rule(Target::Path("/e/0".into()), Action::Remove),
                rule(Target::Value("x[0-9]{1,16}".into()), Action::Hash),
                rule(Target::Value("y[0-9]{1,16}".into()), Action::Last4),
                rule(Target::Value(NAMED.into()), Action::Mask),
            ],
            sensitive: vec!["/f/*".into()],
            keep: vec!["/token".into()],
            secrets: vec![SECRET.into()],
            pseudonym_key: Some("a key of the fuzz target".into()),
            ..Rules::default()
        };
        Redactor::new(&rules).unwrap()
    })
});

/// Redacts an input, whose first byte chooses the rules, and fails unless what is left is sound.
pub(crate) fn check(media_type: &str, input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else {
        return;
    };
    let body = plant(rest);
    for redactor in REDACTORS.iter().skip(usize::from(choice % 3)) {
        let mut out = b"before".to_vec();
        match redactor.redact(media_type, &body, &mut out) {
            Err(_) => assert_eq!(out, b"before"),
            Ok(data) => {
                let out = std::str::from_utf8(&out[b"before".len()..]).unwrap();
                assert_eq!(data.redacted == 0, data.manifest.is_empty());
                assert!(!data.manifest.contains(SECRET), "{}", data.manifest);
                match data.kind {
                    DataKind::Json => is_sound(redactor, out),
                    DataKind::Base64 => {
                        let left = STANDARD.decode(out).unwrap();
                        assert!(!holds(&left, SECRET), "{out}");
                    }
                }
            }
        }
    }
}

/// Fails unless what is left is JSON, tells nothing that was planted, and is left alone.
fn is_sound(redactor: &Redactor, out: &str) {
    serde_json::from_str::<serde::de::IgnoredAny>(out).unwrap();
    assert!(!out.contains(SECRET), "{out}");
    let mut scanner = Scanner::over(out);
    while let Some(token) = scanner.next_token().unwrap() {
        // A document in a string has keys, which rules for values leave alone.
        if let Token::String(text) = token
            && !text.text().trim_start().starts_with(['{', '['])
        {
            assert!(!text.text().contains(NAMED), "{out}");
        }
    }
    let mut again = Vec::new();
    let data = redactor.redact(JSON, out.as_bytes(), &mut again).unwrap();
    assert_eq!(String::from_utf8(again).unwrap(), out);
    assert_eq!(data.redacted, 0, "{out}");
}

/// Writes the secret wherever the marker stands.
fn plant(input: &[u8]) -> Vec<u8> {
    let mut planted = Vec::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.windows(MARKER.len()).position(|window| window == MARKER) {
        planted.extend_from_slice(&rest[..at]);
        planted.extend_from_slice(SECRET.as_bytes());
        rest = &rest[at + MARKER.len()..];
    }
    planted.extend_from_slice(rest);
    planted
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
