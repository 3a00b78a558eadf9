//! Strings as JSON writes them: read with [`Text`], written with [`quote`].

use std::borrow::Cow;

/// A string of a document, between its quotes, as it was written. Only a scanner builds one, so its
/// escapes are known to be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    raw: &'a str,
    /// Bytes before the first escape: all, if there is none. A word of its own, which is moved about
    /// faster than a truth value and the gap behind it.
    plain: usize,
}

impl<'a> Text<'a> {
    pub(super) fn scanned(raw: &'a str, plain: usize) -> Self {
        Self { raw, plain }
    }

    /// Returns the string as it was written, without its quotes.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// Tells whether an escape is in it.
    pub fn is_escaped(&self) -> bool {
        self.plain < self.raw.len()
    }

    /// Returns the string that was meant, escapes resolved.
    pub fn text(&self) -> Cow<'a, str> {
        match self.is_escaped() {
            false => Cow::Borrowed(self.raw),
            true => Cow::Owned(unescape(self.raw)),
        }
    }

    /// Tells whether this is the string that was meant.
    pub fn is(&self, text: &str) -> bool {
        match self.is_escaped() {
            false => self.raw == text,
            true => unescape(self.raw) == text,
        }
    }
}

/// Appends a string as JSON, with its quotes.
pub fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_run(rest));
        out.extend_from_slice(plain);
        let Some((&byte, after)) = special.split_first() else {
            break;
        };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
        rest = after;
    }
    out.push(b'"');
}

/// Counts the bytes before the first quote, backslash or control character, eight at a time.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES << 7;
    // The lowest bit set marks the first byte below `limit`; higher ones may be borrows.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;

    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let special = below(word, b' ') | quote | backslash;
        if special != 0 {
            return at * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..b' ');
    words.len() * 8 + rest.iter().position(special).unwrap_or(rest.len())
}

fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut chars = escape.chars();
        text.push(match chars.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => code_point(&mut chars),
            other => other.unwrap_or(char::REPLACEMENT_CHARACTER),
        });
        rest = chars.as_str();
    }
    text.push_str(rest);
    text
}

/// Reads what follows `\u`: four digits, and for a high surrogate the low one's escape as well.
fn code_point(chars: &mut std::str::Chars<'_>) -> char {
    let code = match code_unit(chars) {
        high @ 0xD800..=0xDBFF => {
            chars.by_ref().take(2).for_each(drop);
            let low = code_unit(chars);
            0x1_0000 + ((high - 0xD800) << 10 | low & 0x3FF)
        }
        code => code,
    };
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn code_unit(chars: &mut std::str::Chars<'_>) -> u32 {
    let digits = chars.take(4).filter_map(|char| char.to_digit(16));
    digits.fold(0, |value, digit| value << 4 | digit)
}
