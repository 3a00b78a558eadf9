//! The search for tokens that are long words.
//!
//! Nearly all are, and little else is: of a typical body one byte in twenty is looked at, and what
//! is around those within words. This way the number of formats costs next to nothing.

use std::ops::Range;
use std::sync::LazyLock;

use super::shapes;
use super::text::{Runs, Set, escape, long_runs};
use super::tokens::{TOKENS, Token};

/// Bytes from which a word is long.
pub(super) const LEAST: usize = 20;

/// Entries of the table of beginnings: a power of two.
const SLOTS: usize = 512;

/// The formats by the first two bytes of what they begin with.
static HEADS: LazyLock<Vec<Vec<&'static Token>>> = LazyLock::new(|| {
    let mut heads = vec![Vec::new(); SLOTS];
    for token in TOKENS {
        for prefix in token.prefixes {
            let head: &mut Vec<&Token> = &mut heads[slot(prefix.as_bytes())];
            if !head.iter().any(|other| std::ptr::eq(*other, token)) {
                head.push(token);
            }
        }
    }
    heads
});

fn slot(head: &[u8]) -> usize {
    (usize::from(head[0]) << 4 ^ usize::from(head[1])) % SLOTS
}

/// Finds the tokens that are long words.
pub(super) fn find(
    runs: &mut Runs,
    text: &[u8],
    found: &mut impl FnMut(&'static str, Range<usize>),
) {
    long_runs(Set::Dotted, LEAST, text, |word| {
        behind_sign(runs, text, word.start, found);
        let mut begins = |at: usize| {
            // What is left must be long too.
            if at + LEAST <= word.end {
                head(runs, text, at, found);
            }
        };
        begins(word.start);
        match escape(text, word.start) {
            0 => {}
            len => begins(word.start + len),
        }
        for sign in memchr::memchr3_iter(b'.', b'_', b'-', &text[word.clone()]) {
            begins(word.start + sign + 1);
        }
        for sign in memchr::memchr_iter(b'.', &text[word.clone()]) {
            dot(runs, text, word.start + sign, found);
        }
    });
}

/// Finds what has a sign of another kind before its long word.
fn behind_sign(
    runs: &mut Runs,
    text: &[u8],
    word: usize,
    found: &mut impl FnMut(&'static str, Range<usize>),
) {
    let Some(sign) = word.checked_sub(1) else {
        return;
    };
    let (name, range) = match text[sign] {
        b':' if text[word..].starts_with(b"AA") => {
            ("telegram_token", shapes::telegram(runs, text, sign))
        }
        b'~' => ("entra_secret", shapes::entra(runs, text, sign)),
        _ => return,
    };
    if let Some(range) = range {
        found(name, range);
    }
}

/// Finds what begins at a place.
fn head(
    runs: &mut Runs,
    text: &[u8],
    at: usize,
    found: &mut impl FnMut(&'static str, Range<usize>),
) {
    let is_object = text[at..].starts_with(b"eyJ");
    if let Some(range) = is_object.then(|| shapes::jwt(runs, text, at)).flatten() {
        found("jwt", range);
    }
    for token in &HEADS[slot(&text[at..])] {
        if let Some(end) = token.end(runs, text, at) {
            found(token.name, at..end);
        }
    }
}

/// Finds what has its first dot at a place.
fn dot(
    runs: &mut Runs,
    text: &[u8],
    at: usize,
    found: &mut impl FnMut(&'static str, Range<usize>),
) {
    let byte = |place: usize| text.get(place).copied();
    let (name, range) = if byte(at + 7) == Some(b'.') || byte(at + 8) == Some(b'.') {
        match text[at..].starts_with(b".atlasv1.") {
            true => ("terraform_token", shapes::terraform(runs, text, at)),
            false => ("discord_token", shapes::discord(runs, text, at)),
        }
    } else {
        ("airtable_token", shapes::airtable(runs, text, at))
    };
    if let Some(range) = range {
        found(name, range);
    }
}
