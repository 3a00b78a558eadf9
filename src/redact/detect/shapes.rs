//! Secrets whose shape tells them: tokens in parts (JWT and others), and private keys.

use std::ops::Range;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;

use super::text::{Runs, Set, after_escape, begins, ends, escape, work};

/// Reads base64url whether or not its last bits are zero.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Bytes that the first line of a private key has before the words.
const MAX_LABEL: usize = 48;

/// A JSON web token of three parts (RFC 7515) or five (RFC 7516), from its `eyJ` on.
pub(super) fn jwt(runs: &mut Runs, text: &[u8], at: usize) -> Option<Range<usize>> {
    // Within a word another token has begun, or none does.
    let within = at > 0 && Set::Word.contains(text[at - 1]);
    if within && !after_escape(&text[..at]) {
        return None;
    }
    let mut parts = [(at, at); 5];
    let mut next = Some(at);
    for part in &mut parts {
        let Some(start) = next else { break };
        let end = runs.end(Set::Word, text, start);
        *part = (start, end);
        next = (text.get(end) == Some(&b'.')).then_some(end + 1);
    }
    let header = LENIENT.decode(&text[parts[0].0..parts[0].1]).ok()?;
    if !header.starts_with(b"{\"") || header.last() != Some(&b'}') {
        return None;
    }
    let len = |part: (usize, usize)| part.1 - part.0;
    let [_, _, third, fourth, fifth] = parts;
    let is_encrypted = memmem::find(&header, b"\"enc\"").is_some();
    if is_encrypted && len(third) > 0 && len(fourth) > 0 && len(fifth) > 0 {
        return Some(at..fifth.1);
    }
    let claims = &text[parts[1].0..parts[1].1];
    // An unsecured one ends with a dot and no signature.
    let is_whole = len(third) > 0 && !claims.is_empty() || claims.starts_with(b"eyJ");
    (is_whole && third.0 > at).then_some(at..third.1)
}

/// A private key in PEM or in what is like it, around its words `PRIVATE KEY`. One that is cut is
/// taken as far as the text, or the next such line, goes.
pub(super) fn private_key(runs: &mut Runs, text: &[u8], at: usize) -> Option<Range<usize>> {
    let before = &text[at.saturating_sub(MAX_LABEL)..at];
    let begin = at - before.len() + memmem::rfind(before, b"BEGIN ")?;
    if !text[begin..at].iter().all(|byte| is_label(*byte)) {
        return None;
    }
    let is_dash = |byte: &&u8| **byte == b'-';
    let lead = text[..begin].strip_suffix(b" ").unwrap_or(&text[..begin]);
    let dashes = lead.iter().rev().take(5).take_while(is_dash).count();
    if dashes < 4 {
        return None;
    }
    let words = at + b"PRIVATE KEY".len();
    let words = words + usize::from(text[words..].starts_with(b" BLOCK")) * b" BLOCK".len();
    let close = runs.end(Set::Pad, text, words);
    if close == words {
        return None;
    }
    let rest = &text[close..];
    let body = memmem::find(rest, b"----").unwrap_or(rest.len());
    work::count(body);
    // The end of a string of JSON is the end of what is in it.
    let body = memchr::memchr(b'"', &rest[..body]).unwrap_or(body);
    let end = close + body + end_line(&rest[body..]).unwrap_or_default();
    Some(lead.len() - dashes..end)
}

/// Returns how long the last line of a private key is that a text begins with.
fn end_line(text: &[u8]) -> Option<usize> {
    let count = |from: usize, set: &[u8]| {
        let rest = text[from..].iter().take(MAX_LABEL);
        rest.take_while(|byte| set.contains(byte) || set.is_empty() && is_label(**byte))
            .count()
    };
    let label = count(0, b"- ");
    if !text[label..].starts_with(b"END ") {
        return None;
    }
    let close = label + count(label, b"");
    Some(close + count(close, b"-"))
}

fn is_label(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' '
}

/// The token of a Telegram bot: a number, a colon and a word that begins with `AA`. `at` is the colon.
pub(super) fn telegram(runs: &mut Runs, text: &[u8], at: usize) -> Option<Range<usize>> {
    let digits = text[..at].iter().rev().take(17);
    let digits = digits.take_while(|byte| byte.is_ascii_digit()).count();
    let end = runs.end(Set::Word, text, at + 1);
    let start = at - digits;
    // In the URL of the API the word `bot` is right before it.
    let is_free = begins(text, start) || text[..start].ends_with(b"bot");
    ((6..=16).contains(&digits) && end - at > 33 && is_free).then_some(start..end)
}

/// The token of a Discord bot: its number in base64, a time and a tag. `at` is the first dot.
pub(super) fn discord(runs: &mut Runs, text: &[u8], at: usize) -> Option<Range<usize>> {
    const TIME: Range<usize> = 6..8;
    let time = runs.end(Set::Word, text, at + 1);
    if !TIME.contains(&(time - at - 1)) || text.get(time) != Some(&b'.') {
        return None;
    }
    let before = text[..at].iter().rev().take(38);
    let len = before.take_while(|byte| Set::Word.contains(**byte)).count();
    let start = at - len + escape(text, at - len);
    let end = runs.end(Set::Word, text, time + 1);
    if !(20..=32).contains(&at.saturating_sub(start)) || end - time <= 27 {
        return None;
    }
    let id = LENIENT.decode(&text[start..at]).ok()?;
    id.iter().all(u8::is_ascii_digit).then_some(start..end)
}

/// A personal access token of Airtable, `pat…` and 64 hexadecimal digits. `at` is the dot.
pub(super) fn airtable(runs: &mut Runs, text: &[u8], at: usize) -> Option<Range<usize>> {
    const NAME: usize = 17;
    let start = at.checked_sub(NAME)?;
    let name = &text[start..at];
    let is_name = name.starts_with(b"pat") && name.iter().all(u8::is_ascii_alphanumeric);
    if !is_name || !begins(text, start) {
        return None;
    }
    let end = runs.end(Set::Hex, text, at + 1);
    (end - at == 65 && ends(text, end)).then_some(start..end)
}

/// A token of Terraform Cloud: 14 letters and digits, `.atlasv1.` and more. `at` is the first dot.
pub(super) fn terraform(runs: &mut Runs, text: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at.checked_sub(14)?;
    let is_name = text[start..at].iter().all(u8::is_ascii_alphanumeric);
    let body = at + b".atlasv1.".len();
    let end = runs.end(Set::Word, text, body);
    (is_name && begins(text, start) && end - body >= 40).then_some(start..end)
}

/// A client secret of Microsoft Entra: `Q~` behind four characters, and 31 or more. `at` is the tilde.
pub(super) fn entra(runs: &mut Runs, text: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at.checked_sub(5)?;
    let head = &text[start..at];
    let is_head = head[3].is_ascii_digit()
        && head[4] == b'Q'
        && head[..3].iter().all(|byte| Set::Tilde.contains(*byte));
    let free = start == 0 || !Set::Tilde.contains(text[start - 1]) || begins(text, start);
    let run = &text[..runs.end(Set::Tilde, text, at + 1)];
    let end = if run.ends_with(b".") {
        run.len() - 1
    } else {
        run.len()
    };
    (is_head && free && (31..=40).contains(&(end - at - 1))).then_some(start..end)
}
