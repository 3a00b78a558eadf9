//! Credentials behind the name of an authentication scheme (RFC 9110, section 11).

use std::ops::Range;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::text::{Runs, Set, begins, looks_drawn};

/// Shortest credential behind a scheme in a text that does not say `Authorization`.
const MIN_FREE: usize = 16;

/// Shortest one where it does.
const MIN_NAMED: usize = 6;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What the literals of schemes are.
pub(super) const SCHEMES: &[&str] = &[
    "Bearer ", "bearer ", "BEARER ", "Basic ", "basic ", "BASIC ", "Token ", "token ",
];

/// What the literals of the header's name are.
pub(super) const HEADERS: &[&str] = &["uthorization:", "uthorization=", "UTHORIZATION:"];

/// The credential behind `Bearer`, `Basic` or `Token`.
pub(super) fn scheme(runs: &mut Runs, text: &[u8], at: usize) -> Option<Range<usize>> {
    let is = |scheme: &&&str| text[at..].starts_with(scheme.as_bytes());
    let scheme = SCHEMES.iter().find(is)?;
    if !begins(text, at) {
        return None;
    }
    let credential = credential(runs, text, at + scheme.len());
    let value = &text[credential.clone()];
    let is_basic = scheme.eq_ignore_ascii_case("basic ");
    let is_secret = match is_basic {
        true => is_user_and_password(value),
        false => looks_drawn(value, MIN_FREE),
    };
    is_secret.then_some(credential)
}

/// The credential of an `Authorization` header, whatever its scheme.
pub(super) fn header(runs: &mut Runs, text: &[u8], at: usize) -> Option<Range<usize>> {
    let is = |header: &&&str| text[at..].starts_with(header.as_bytes());
    let start = at + HEADERS.iter().find(is)?.len();
    let start = start + spaces(text, start);
    let first = credential(runs, text, start);
    // The scheme itself is none, even if it has digits (`AWS4-HMAC-SHA256`).
    let second = first.end + spaces(text, first.end);
    let is_value = |byte: &u8| Set::Credential.contains(*byte) || *byte == b'[';
    let has_second = second > first.end && text.get(second).is_some_and(is_value);
    let credential = match has_second {
        true => credential(runs, text, second),
        false => first,
    };
    let credential = with_signature(runs, text, credential);
    looks_drawn(&text[credential.clone()], MIN_NAMED).then_some(credential)
}

/// Returns the `token68` at a place, without the dot that ends a sentence.
fn credential(runs: &mut Runs, text: &[u8], at: usize) -> Range<usize> {
    let mut end = runs.end(Set::Credential, text, at);
    while end > at && text[end - 1] == b'.' {
        end -= 1;
    }
    at..end
}

/// Adds what stands behind a colon: of an id and its signature, both are the credential. One only, since
/// text without end could follow.
fn with_signature(runs: &mut Runs, text: &[u8], id: Range<usize>) -> Range<usize> {
    let is_value = |byte: &u8| Set::Credential.contains(*byte);
    match (text.get(id.end), text.get(id.end + 1)) {
        (Some(b':'), Some(byte)) if is_value(byte) => {
            id.start..credential(runs, text, id.end + 1).end
        }
        _ => id,
    }
}

/// Counts spaces; more than a few are no header.
fn spaces(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default().iter().take(8);
    rest.take_while(|byte| **byte == b' ').count()
}

/// Tells whether base64 holds a user and a password (RFC 7617).
fn is_user_and_password(value: &[u8]) -> bool {
    let decoded = LENIENT.decode(value).unwrap_or_default();
    decoded.len() >= 3
        && decoded.contains(&b':')
        && decoded.iter().all(|byte| !byte.is_ascii_control())
}
