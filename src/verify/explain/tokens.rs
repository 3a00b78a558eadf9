//! Tokens and passwords: how the one that was sent differs from those configured. Neither is shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;

use super::ground::{Ground, Guess};
use super::headers::{expected, tokens};
use crate::delivery::Single;
use crate::verify::scheme::{Proof, Scheme, Token};
use crate::verify::template::Scope;

/// Fewest characters of a secret that is looked for where it does not belong.
const MIN_SECRET: usize = 4;
/// The words of HTTP authentication schemes that tokens are sent behind.
const WORDS: [&str; 4] = ["Bearer ", "Basic ", "Token ", "ApiKey "];

/// Compares what was sent with what is configured.
pub(super) fn guess(ground: &Ground<'_>) -> Vec<String> {
    let scheme = ground.scheme();
    let mut found = match &scheme.proof {
        Proof::Basic => basic(ground),
        _ => Vec::new(),
    };
    for token in tokens(scheme) {
        if found.is_empty() {
            found = ground.first(behind_other_words(scheme, token));
        }
        if found.is_empty() && !matches!(scheme.proof, Proof::Jwt(_)) {
            found = compared(ground, token);
        }
    }
    if found.is_empty() && ground.bound.scheme.carrier().is_none() {
        found = elsewhere(ground);
    }
    found
}

/// The token with another word before it, or none.
fn behind_other_words(scheme: &Scheme, token: &Token) -> Vec<Guess> {
    let prefixes = WORDS.iter().copied().chain([""]);
    let others = prefixes.filter(|prefix| !prefix.eq_ignore_ascii_case(&token.prefix));
    let guess = |prefix: &str| {
        let mut changed = scheme.clone();
        let other = |token: &Token| Token {
            prefix: prefix.to_owned(),
            any_case: true,
            ..token.clone()
        };
        match &mut changed.proof {
            Proof::Token(token) => *token = other(token),
            Proof::Jwt(rule) => rule.token = other(&rule.token),
            _ => changed.token = changed.token.as_ref().map(other),
        }
        let told = match (prefix.trim(), token.prefix.trim()) {
            ("", wanted) => format!("the token is right but sent without the word `{wanted}`"),
            (word, "") => format!("the token is right but sent behind the word `{word}`"),
            (word, wanted) => {
                format!("the token is right but sent behind `{word}` instead of `{wanted}`")
            }
        };
        Guess::scheme(changed, told)
    };
    others.map(guess).collect()
}

fn compared(ground: &Ground<'_>, token: &Token) -> Vec<String> {
    let fields = ground.proof_fields();
    let sent = fields.and_then(|fields| token.value.bytes(&Scope::of(&fields)).ok());
    let sent = sent.unwrap_or_default();
    let sent = String::from_utf8_lossy(token.behind_prefix(&sent).unwrap_or(&sent)).into_owned();
    let secrets = ground.case.secrets.iter().map(|one| one.expose_secret());
    let told = secrets.filter_map(|secret| difference(&sent, secret, "token"));
    told.take(1).collect()
}

/// Says how a text that was sent differs from the secret, where they have much in common.
fn difference(sent: &str, secret: &str, what: &str) -> Option<String> {
    if sent.len() < MIN_SECRET || secret.len() < MIN_SECRET || sent == secret {
        return None;
    }
    if sent.eq_ignore_ascii_case(secret) {
        return Some(format!(
            "the {what} differs from the secret in upper and lower case alone"
        ));
    }
    if sent.trim() == secret.trim() {
        return Some(format!(
            "the {what} differs from the secret in white space around it alone"
        ));
    }
    let (more, less) = (sent.chars().count(), secret.chars().count());
    if secret.starts_with(sent) {
        let missing = less - more;
        return Some(format!(
            "the {what} is the beginning of the secret: it is cut, {missing} character(s) are missing"
        ));
    }
    if secret.ends_with(sent) {
        let missing = less - more;
        return Some(format!(
            "the {what} is the end of the secret: the first {missing} character(s), such as a \
             prefix, are missing"
        ));
    }
    if sent.starts_with(secret) {
        let over = more - less;
        return Some(format!(
            "the {what} begins with the secret and goes on: {over} character(s) are too many, or \
             the secret is cut"
        ));
    }
    if sent.ends_with(secret) {
        return Some(format!(
            "the {what} ends with the secret: something stands before it"
        ));
    }
    None
}

fn basic(ground: &Ground<'_>) -> Vec<String> {
    let Single::One(value) = ground.case.delivery.header("authorization") else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(value).into_owned();
    let (word, rest) = text.split_once(' ').unwrap_or(("", &text));
    let decoded = STANDARD.decode(rest.trim()).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let secrets = || ground.case.secrets.iter().map(|one| one.expose_secret());
    let told = match decoded {
        _ if secrets().any(|secret| secret == rest) => Some(
            "the credentials are right but not in base64: HTTP Basic wants the base64 of \
             USER:PASSWORD"
                .to_owned(),
        ),
        _ if text.trim().is_empty() || rest.trim().is_empty() => Some(
            "header authorization is there but empty: most likely the provider has no secret \
             configured for this webhook"
                .to_owned(),
        ),
        None if rest.contains(':') => Some(
            "the credentials are not in base64: HTTP Basic wants the base64 of USER:PASSWORD"
                .to_owned(),
        ),
        Some(sent) if secrets().any(|secret| secret == sent) => Some(format!(
            "the credentials are right but sent behind the word `{word}` instead of `Basic`"
        )),
        Some(sent) if word.eq_ignore_ascii_case("basic") => {
            secrets().find_map(|secret| parts(&sent, secret))
        }
        _ if word.eq_ignore_ascii_case("bearer") => Some(
            "the caller sends a token behind the word `Bearer`, and user and password behind \
             `Basic` are expected"
                .to_owned(),
        ),
        _ => None,
    };
    told.into_iter().collect()
}

/// Compares user and password one by one.
fn parts(sent: &str, secret: &str) -> Option<String> {
    let (user, password) = secret.split_once(':')?;
    let Some((sent_user, sent_password)) = sent.split_once(':') else {
        let which = match sent {
            _ if sent == user => "the user alone was sent, without a colon and a password",
            _ if sent == password => "the password alone was sent, without a user and a colon",
            _ => "what was sent has no colon between user and password",
        };
        return Some(which.to_owned());
    };
    if sent_password.is_empty() && !password.is_empty() {
        return Some("the password that was sent is empty".to_owned());
    }
    match (sent_user == user, sent_password == password) {
        (true, false) => Some(
            difference(sent_password, password, "password")
                .unwrap_or_else(|| "the user is right, the password is another".to_owned()),
        ),
        (false, true) if sent_user.is_empty() => {
            Some("the password is right, but it was sent without a user".to_owned())
        }
        (false, true) if user.is_empty() => {
            Some("the password is right, but the secret is configured without its user".to_owned())
        }
        (false, true) => Some("the password is right, the user is another".to_owned()),
        _ if sent_user == password && sent_password == user => {
            Some("user and password are in the wrong order".to_owned())
        }
        _ if sent_user == password => Some("the password was sent as the user".to_owned()),
        _ => None,
    }
}

/// Finds the secret where it does not belong.
fn elsewhere(ground: &Ground<'_>) -> Vec<String> {
    let delivery = ground.case.delivery;
    let places = expected(ground.scheme());
    let secrets = ground.case.secrets.iter().map(|one| one.expose_secret());
    let told = secrets
        .filter(|secret| secret.len() >= MIN_SECRET)
        .find_map(|secret| {
            for (name, value) in &delivery.headers {
                let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
                let (_, rest) = text.split_once(' ').unwrap_or(("", &text));
                let decoded = STANDARD.decode(rest).ok();
                let decoded = decoded.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                if decoded.is_some_and(|pair| pair.split(':').any(|part| part == secret)) {
                    let told = "the secret is sent as user or password of HTTP Basic (header";
                    return Some(format!(
                        "{told} {name}), where this scheme does not look for it"
                    ));
                }
                if !places.contains(name) && (text == secret || rest == secret) {
                    let told = "the secret stands in header";
                    return Some(format!(
                        "{told} {name}, where this scheme does not look for it"
                    ));
                }
            }
            let mut pairs = form_urlencoded::parse(delivery.query().as_bytes());
            if let Some((name, _)) = pairs.find(|(_, value)| value == secret) {
                let told = "the secret stands in query parameter";
                return Some(format!(
                    "{told} `{name}`, where this scheme does not look for it"
                ));
            }
            let mut quoted = Vec::new();
            crate::json::quote(secret, &mut quoted);
            memchr::memmem::find(&delivery.body, &quoted).map(|_| {
                "the secret stands in the body, but not where this scheme looks for it".to_owned()
            })
        });
    told.into_iter().collect()
}
