//! Finds an endpoint's own secrets in texts, however they are written.
//!
//! Not in constant time, unlike verification: only authentic deliveries come here, and what is
//! found never shows outside.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::form::{Plus, decoded};
use super::rules::RuleError;

/// Bytes below which a secret is only looked for as a whole value.
const MIN_LEN: usize = 8;

/// Layers of escapes, such as JSON within JSON or a URL within it, that secrets are looked for in.
const MAX_PEELS: usize = 4;

/// Entries of the table of skips: a power of two.
const SKIPS: usize = 4096;

type Secret = Zeroizing<Vec<u8>>;

/// The secrets of an endpoint, prepared for a search of all at once (after Wu and Manber): the last
/// two bytes of a window as long as the shortest needle say how far the window can be moved.
pub(super) struct Needles {
    /// Long ones, in every form that they are looked for in.
    contained: Vec<Secret>,
    /// Short ones.
    whole: Vec<Secret>,
    /// Length of the shortest of `contained`.
    window: usize,
    skips: Box<[u8; SKIPS]>,
}

impl Needles {
    pub(super) fn new(secrets: &[SecretString]) -> Result<Self, RuleError> {
        let mut contained = Vec::new();
        let mut whole = Vec::new();
        for (index, secret) in secrets.iter().enumerate() {
            // A file's last newline must not keep the secret from being found.
            match secret.expose_secret().trim() {
                "" => return Err(RuleError::EmptySecret { index }),
                short if short.len() < MIN_LEN => whole.push(short.as_bytes().to_vec().into()),
                secret => add_forms(secret, &mut contained),
            }
        }
        let window = contained.iter().map(|needle: &Secret| needle.len()).min();
        let window = window.unwrap_or_default();
        let skips = skips(&contained, window);
        Ok(Self {
            contained,
            whole,
            window,
            skips,
        })
    }

    /// Tells whether a text contains a secret, or is a short one.
    pub(super) fn found_in(&self, text: &[u8]) -> bool {
        // Peeling only makes a text shorter.
        let has_room = self.window != 0 && text.len() >= self.window;
        if !has_room && self.whole.is_empty() {
            return false;
        }
        if self.find(text) {
            return true;
        }
        let mut peeled = peel(text);
        for _ in 0..MAX_PEELS {
            match peeled {
                Some(text) if self.find(&text) => return true,
                Some(text) => peeled = peel(&text),
                None => return false,
            }
        }
        false
    }

    fn find(&self, text: &[u8]) -> bool {
        self.is_whole(text) || self.is_contained(text)
    }

    fn is_whole(&self, text: &[u8]) -> bool {
        let text = text.trim_ascii();
        text.len() < MIN_LEN && self.whole.iter().any(|secret| **secret == *text)
    }

    fn is_contained(&self, text: &[u8]) -> bool {
        if self.window == 0 {
            return false;
        }
        let mut end = self.window;
        while end <= text.len() {
            let skip = self.skips[slot(text[end - 2], text[end - 1])];
            if skip == 0 {
                let here = &text[end - self.window..];
                if self.contained.iter().any(|needle| here.starts_with(needle)) {
                    return true;
                }
            }
            end += usize::from(skip.max(1));
        }
        false
    }
}

/// How far a window that ends in two bytes can be moved before a needle can end there; for other
/// bytes with the same slot it is less than it could be.
fn skips(needles: &[Secret], window: usize) -> Box<[u8; SKIPS]> {
    let capped = |skip: usize| u8::try_from(skip).unwrap_or(u8::MAX);
    let mut skips = Box::new([capped(window.saturating_sub(1)); SKIPS]);
    for needle in needles {
        for (begin, pair) in needle[..window].windows(2).enumerate() {
            let skip = &mut skips[slot(pair[0], pair[1])];
            *skip = (*skip).min(capped(window - 2 - begin));
        }
    }
    skips
}

fn slot(a: u8, b: u8) -> usize {
    (usize::from(a) << 5 ^ usize::from(b)) % SKIPS
}

/// Adds a secret as it may be written, but for what escapes make of it: they have too many forms, so
/// texts are peeled instead.
fn add_forms(secret: &str, forms: &mut Vec<Secret>) {
    let mut add = |form: Vec<u8>| {
        let form = Zeroizing::new(form);
        if form.len() >= MIN_LEN && !forms.contains(&form) {
            forms.push(form);
        }
    };
    add(secret.as_bytes().to_vec());
    add(secret.replace(' ', "+").into_bytes());
    add(hex::encode(secret).into_bytes());
    add(hex::encode_upper(secret).into_bytes());
    for before in 0..3 {
        add(base64_inside(secret, before, &STANDARD_NO_PAD));
        add(base64_inside(secret, before, &URL_SAFE_NO_PAD));
    }
}

/// The characters that a secret is sure to have in base64 with so many bytes before it, and anything
/// behind it (`user:secret` in basic authentication).
fn base64_inside(secret: &str, before: usize, engine: &impl Engine) -> Vec<u8> {
    let mut bytes = Zeroizing::new(vec![0; before]);
    bytes.extend_from_slice(secret.as_bytes());
    let mut text = engine.encode(&*bytes).into_bytes();
    if !bytes.len().is_multiple_of(3) {
        text.pop();
    }
    // Each byte before it reaches into one character more.
    text.drain(..if before == 0 { 0 } else { before + 1 });
    text
}

/// Resolves one layer of escapes, backslashes before percent signs; nothing if there is none.
fn peel(text: &[u8]) -> Option<Vec<u8>> {
    if text.contains(&b'\\') {
        return Some(without_backslashes(text));
    }
    let peeled = text.contains(&b'%').then(|| decoded(text, Plus::IsPlus));
    peeled.filter(|peeled| peeled != text)
}

/// Resolves `\uXXXX`, and takes any other escaped character for itself.
fn without_backslashes(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
        } else if let Some((char, after)) = code_point(after) {
            bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            rest = after;
        } else if let Some((&escaped, after)) = after.split_first() {
            bytes.push(escaped);
            rest = after;
        }
    }
    bytes
}

fn code_point(text: &[u8]) -> Option<(char, &[u8])> {
    let (digits, after) = text.strip_prefix(b"u")?.split_first_chunk::<4>()?;
    let digits = digits.iter().map(|digit| char::from(*digit).to_digit(16));
    let code = digits.reduce(|code, digit| Some(code? << 4 | digit?))??;
    Some((char::from_u32(code)?, after))
}
