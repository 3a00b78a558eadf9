//! Credentials in URLs, and in the `name=value` of texts.

use std::ops::Range;

use super::super::REDACTED;
use super::text::{Runs, Set, looks_drawn, work};

/// Longest name of a parameter that is read.
const MAX_NAME: usize = 40;

/// Shortest value of a parameter that is taken for a secret.
const MIN_VALUE: usize = 3;

/// Names of parameters, in small letters without separators.
const NAMES: &[&str] = &[
    "auth",
    "authkey",
    "authorization",
    "accountkey",
    "apikey",
    "bearer",
    "clientassertion",
    "credential",
    "credentials",
    "hmac",
    "jwt",
    "keypairid",
    "licensekey",
    "masterkey",
    "otp",
    "passphrase",
    "password",
    "passwd",
    "privatekey",
    "pwd",
    "sharedaccesskey",
    "sharedaccesssignature",
    "sig",
    "subscriptionkey",
    "ossaccesskeyid",
    "awsaccesskeyid",
];

/// What other names end with.
const ENDINGS: &[&str] = &[
    "accesskey",
    "apikey",
    "password",
    "secret",
    "secretkey",
    "signature",
    "token",
];

/// Names that end so and tell a place in a list.
const HARMLESS: &[&str] = &[
    "continuationtoken",
    "cursortoken",
    "nexttoken",
    "nextpagetoken",
    "pagetoken",
    "pagingtoken",
    "synctoken",
    "nextsynctoken",
    "skiptoken",
];

/// Names that secrets go by, and much else: their value must look drawn.
const DOUBTFUL: &[&str] = &["code", "key", "pass", "ticket"];

/// Bytes from which a value under a doubtful name is looked at.
const MIN_DRAWN: usize = 16;

/// Longest userinfo of a URL that is looked into.
const MAX_USERINFO: usize = 1024;

/// Words that are no secret whatever their name.
const PLAIN: &[&[u8]] = &[b"true", b"false", b"null", b"none", b"undefined"];

/// How a name stands in its text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// As a parameter of a URL or form, or as the beginning of a text.
    Parameter,
    /// Within a sentence or code.
    Prose,
}

/// The value of a parameter whose name tells a credential. `at` is the equals sign, `value` the place
/// behind it (the sign may be escaped).
pub(super) fn parameter(
    runs: &mut Runs,
    text: &[u8],
    at: usize,
    value: usize,
) -> Option<Range<usize>> {
    let mut letters = [0; MAX_NAME];
    let (name, place) = name(text, at, &mut letters)?;
    let doubtful = DOUBTFUL.contains(&name);
    if !doubtful && !is_credential(name) {
        return None;
    }
    let escaped = value > at + 1;
    let end = value_end(runs, text, value, escaped);
    let found = &text[value..end];
    if is_placeholder(found) {
        return None;
    }
    let is_secret = match (doubtful, place) {
        (false, Place::Parameter) => found.len() >= MIN_VALUE,
        (true, Place::Prose) => false,
        // One word, and no code.
        (_, place) => {
            let least = if place == Place::Prose { 8 } else { MIN_DRAWN };
            looks_drawn(found, least) && runs.end(Set::Credential, text, value) >= end
        }
    };
    is_secret.then_some(value..end)
}

fn is_credential(name: &str) -> bool {
    let ends = ENDINGS.iter().any(|ending| name.ends_with(ending));
    NAMES.contains(&name) || ends && !HARMLESS.contains(&name)
}

/// Returns the name before an equals sign, in small letters without separators.
fn name<'n>(text: &[u8], at: usize, letters: &'n mut [u8; MAX_NAME]) -> Option<(&'n str, Place)> {
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'_' | b'-' | b'.');
    let before = text[..at].iter().rev().take(MAX_NAME + 1);
    let len = before.take_while(is_part).count();
    work::count(len);
    if len == 0 || len > MAX_NAME {
        return None;
    }
    let (before, name) = text[..at].split_at(at - len);
    let (name, place) = match (before.last(), name) {
        (None | Some(b'?' | b'&' | b'#' | b';' | b'"'), name) => (name, Place::Parameter),
        (Some(b'%'), [b'3', b'F' | b'f', name @ ..] | [b'2', b'6' | b'3', name @ ..]) => {
            (name, Place::Parameter)
        }
        (_, name) => (name, Place::Prose),
    };
    let mut len = 0;
    for byte in name.iter().filter(|byte| byte.is_ascii_alphanumeric()) {
        letters[len] = byte.to_ascii_lowercase();
        len += 1;
    }
    Some((std::str::from_utf8(&letters[..len]).ok()?, place))
}

/// Returns where a value ends; an escaped one at an escaped ampersand or hash too.
fn value_end(runs: &mut Runs, text: &[u8], value: usize, escaped: bool) -> usize {
    let mut end = runs.end(Set::Value, text, value);
    if escaped {
        end = runs.escape(text, value, end);
    }
    // What closes a sentence or a bracket around a URL is no part of it.
    let tail = text[value..end].iter().rev().take(8);
    end - tail.take_while(|byte| b".,:!?)".contains(byte)).count()
}

/// Tells whether a value stands for one: a template, what was redacted, or a plain word.
fn is_placeholder(value: &[u8]) -> bool {
    let is_template = matches!(value.first(), Some(b'{' | b'[' | b'*')) || value.starts_with(b"${");
    let escaped = value.starts_with(b"%7B") || value.starts_with(b"%5B");
    let plain = |word: &&[u8]| word.eq_ignore_ascii_case(value);
    is_template || escaped || PLAIN.iter().any(plain)
}

/// The userinfo of URLs, which at signs end.
#[derive(Default)]
pub(super) struct Userinfo {
    /// Behind the last at sign.
    floor: usize,
    /// Where the userinfo that ended there begins.
    start: Option<usize>,
}

impl Userinfo {
    /// What is secret of the userinfo that an at sign ends: the password, or all if the user looks drawn.
    pub(super) fn at_sign(&mut self, text: &[u8], at: usize) -> Option<Range<usize>> {
        let before = text[self.floor..at].iter().rev();
        let len = before.take_while(|byte| is_userinfo(**byte)).count();
        work::count(len + 1);
        let start = match self.start {
            // An at sign within a password: the last one counts.
            Some(start) if at - len == self.floor => Some(start),
            _ => is_authority(text, at - len).then_some(at - len),
        };
        self.floor = at + 1;
        self.start = start.filter(|start| at - start <= MAX_USERINFO);
        secret_part(text, self.start?..at)
    }

    /// Tells whether the last at sign stood in a URL.
    pub(super) fn in_url(&self) -> bool {
        self.start.is_some()
    }
}

fn is_userinfo(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'/' | b'?' | b'#' | b'"' | b'<' | b'>' | b'\\')
        || byte >= 0x80
}

/// Tells whether a scheme and `://` are right before a place.
fn is_authority(text: &[u8], at: usize) -> bool {
    let scheme = text[..at].strip_suffix(b"://");
    scheme.is_some_and(|scheme| scheme.last().is_some_and(u8::is_ascii_alphanumeric))
}

fn secret_part(text: &[u8], userinfo: Range<usize>) -> Option<Range<usize>> {
    let all = &text[userinfo.clone()];
    let colon = memchr::memchr(b':', all);
    let user = &all[..colon.unwrap_or(all.len())];
    // Names of hosts and people have dots.
    let is_word = user.iter().all(|byte| Set::Word.contains(*byte));
    let user_is_secret = is_word && looks_drawn(user, 16);
    let password = colon.map(|len| userinfo.start + len + 1..userinfo.end);
    let password =
        password.filter(|it| !it.is_empty() && !text[it.start..].starts_with(REDACTED.as_bytes()));
    match password {
        Some(password) if user_is_secret => Some(userinfo.start..password.end),
        None if user_is_secret => Some(userinfo.start..userinfo.start + user.len()),
        password => password,
    }
}

/// URLs that whoever has them can use: what is in front of the secret path, and how long that is at
/// least.
pub(super) const CAPABILITIES: &[(&str, usize)] = &[
    ("hooks.slack.com/", 12),
    ("webhook.office.com/webhookb2/", 36),
    ("hooks.zapier.com/hooks/catch/", 8),
    ("/api/webhooks/", 40),
];

/// The secret path of a URL whose telling part begins at a place.
pub(super) fn capability(runs: &mut Runs, text: &[u8], at: usize) -> Option<Range<usize>> {
    let is = |(host, _): &&(&str, usize)| text[at..].starts_with(host.as_bytes());
    let (host, least) = CAPABILITIES.iter().find(is)?;
    let start = at + host.len();
    let end = runs.end(Set::Path, text, start);
    // The first part of the path says what kind of URL it is, or who it is of.
    let kind = memchr::memchr(b'/', &text[start..end])?;
    (end - start >= *least && end > start + kind + 1).then_some(start + kind + 1..end)
}
