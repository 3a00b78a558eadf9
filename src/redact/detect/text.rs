//! Sets of bytes, and runs of them in a text: what every detector is made of.

use std::ops::Range;

/// A set of bytes. All of them are ASCII, so that a run begins and ends between characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    /// Hexadecimal digits of either case.
    Hex,
    /// Upper-case letters and digits.
    Upper,
    /// Letters and digits.
    Alnum,
    /// Letters, digits, `_` and `-`: base64url.
    Word,
    /// [`Set::Word`] and the dot.
    Dotted,
    /// Standard base64 with its padding.
    Base64,
    /// [`Set::Word`] and the dollar sign.
    Dollar,
    /// `token68` of RFC 9110, section 11.2.
    Credential,
    /// A value within a URL's query, or behind an equals sign in a text.
    Value,
    /// Path and more of a URL.
    Path,
    /// Letters of a domain, digits, `-` and `.`.
    Domain,
    /// Digits and what stands between groups of them in a card number.
    Card,
    /// What an IBAN on paper is made of.
    Iban,
    /// What addresses of both versions of IP are made of.
    Ip,
    /// What a client secret of Microsoft Entra is made of.
    Tilde,
    /// What closes the first line of a private key.
    Pad,
    /// Digits and what stands between them in a telephone number.
    Phone,
}

impl Set {
    const COUNT: usize = Self::Phone as usize + 1;

    const fn has(self, byte: u8) -> bool {
        let alnum = byte.is_ascii_alphanumeric();
        let word = alnum || matches!(byte, b'_' | b'-');
        match self {
            Self::Hex => byte.is_ascii_hexdigit(),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Alnum => alnum,
            Self::Word => word,
            Self::Dotted => word || byte == b'.',
            Self::Base64 => alnum || matches!(byte, b'+' | b'/' | b'='),
            Self::Dollar => word || byte == b'$',
            Self::Credential => word || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'='),
            Self::Value => {
                byte.is_ascii_graphic()
                    && !matches!(
                        byte,
                        b'&' | b'#' | b';' | b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\' | b'|'
                    )
            }
            Self::Path => word || matches!(byte, b'.' | b'~' | b'/' | b'@' | b'%'),
            Self::Domain => alnum || matches!(byte, b'-' | b'.'),
            Self::Card => byte.is_ascii_digit() || matches!(byte, b' ' | b'-'),
            Self::Iban => byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ',
            Self::Ip => byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'),
            Self::Tilde => word || matches!(byte, b'.' | b'~'),
            Self::Pad => matches!(byte, b'-' | b' '),
            Self::Phone => {
                byte.is_ascii_digit()
                    || matches!(byte, b' ' | b'-' | b'.' | b'(' | b')' | b'/' | b'+')
            }
        }
    }

    const ALL: [Self; Self::COUNT] = [
        Self::Hex,
        Self::Upper,
        Self::Alnum,
        Self::Word,
        Self::Dotted,
        Self::Base64,
        Self::Dollar,
        Self::Credential,
        Self::Value,
        Self::Path,
        Self::Domain,
        Self::Card,
        Self::Iban,
        Self::Ip,
        Self::Tilde,
        Self::Pad,
        Self::Phone,
    ];

    /// Tells whether a byte is one of the set.
    pub(super) fn contains(self, byte: u8) -> bool {
        MEMBERS[self as usize][usize::from(byte)]
    }
}

/// The sets as tables.
static MEMBERS: [[bool; 256]; Set::COUNT] = {
    let mut tables = [[false; 256]; Set::COUNT];
    let mut set = 0;
    while set < Set::COUNT {
        let mut byte = 0;
        while byte < 256 {
            tables[Set::ALL[set] as usize][byte] = Set::ALL[set].has(byte as u8);
            byte += 1;
        }
        set += 1;
    }
    tables
};

/// The runs that were read last, two of each set: one, and one behind it that was looked ahead at.
///
/// Places are asked for in rising order, and a place within a run that is known needs no second
/// reading: however many places there are, each byte is read a few times for each set.
#[derive(Default)]
pub(super) struct Runs {
    last: [[Range<usize>; 2]; Set::COUNT],
    /// Where the next escape that ends a value was, from a place on.
    escape: Range<usize>,
}

impl Runs {
    /// Returns where the run of a set that `at` is in ends, or `at` if the byte is none of the set.
    pub(super) fn end(&mut self, set: Set, text: &[u8], at: usize) -> usize {
        let known = &mut self.last[set as usize];
        if let Some(known) = known.iter().find(|known| known.contains(&at)) {
            return known.end;
        }
        let end = run(set, text, at);
        // The one that is farther behind is not asked for again.
        let oldest = usize::from(known[1].end < known[0].end);
        known[oldest] = at..end;
        end
    }

    /// Returns where the first escaped `&`, `#`, quote or space from `at` on is, or `end`.
    pub(super) fn escape(&mut self, text: &[u8], at: usize, end: usize) -> usize {
        if !self.escape.contains(&at) {
            let is_end = |escape: &[u8]| matches!(escape, b"%26" | b"%23" | b"%22" | b"%20");
            let len = text[at..end].windows(3).position(is_end);
            let found = len.map_or(end, |len| at + len);
            work::count(found - at + 1);
            self.escape = at..found;
        }
        self.escape.end.min(end)
    }
}

/// Reads the run of a set that begins at a place.
fn run(set: Set, text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let len = rest.iter().position(|byte| !set.contains(*byte));
    let end = at + len.unwrap_or(rest.len());
    work::count(end - at + 1);
    end
}

/// Calls `each` with every longest run of a set that has `least` bytes or more (at least 1).
///
/// Only every `least`th byte is looked at, and what is around those of the set.
pub(super) fn long_runs(set: Set, least: usize, text: &[u8], mut each: impl FnMut(Range<usize>)) {
    let (mut floor, mut probe) = (0, least - 1);
    while let Some(&byte) = text.get(probe) {
        if !set.contains(byte) {
            floor = probe + 1;
            probe += least;
            continue;
        }
        let before = text[floor..probe].iter().rev();
        let start = probe - before.take_while(|byte| set.contains(**byte)).count();
        let end = run(set, text, probe);
        work::count(probe - start + 1);
        if end - start >= least {
            each(start..end);
        }
        floor = end;
        probe = end + least;
    }
}

/// Tells whether a word may begin at a place: no letter or digit is before it, unless it is the end
/// of an escape (`%3D`, `\n`, `\u003d`).
pub(super) fn begins(text: &[u8], at: usize) -> bool {
    let Some(&before) = at.checked_sub(1).and_then(|at| text.get(at)) else {
        return true;
    };
    !before.is_ascii_alphanumeric() || after_escape(&text[..at])
}

/// Returns how many bytes of a word belong to an escape before it, such as the `3D` of `%3D`.
pub(super) fn escape(text: &[u8], word: usize) -> usize {
    let len = match (text[..word].last(), text.get(word)) {
        (Some(b'%'), _) => 2,
        (Some(b'\\'), Some(b'u')) => 5,
        (Some(b'\\'), _) => 1,
        _ => return 0,
    };
    let is_escape = text.get(..word + len).is_some_and(after_escape);
    if is_escape { len } else { 0 }
}

/// Tells whether a text ends with an escape.
pub(super) fn after_escape(text: &[u8]) -> bool {
    match text {
        [.., b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => true,
        [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f'] => true,
        [.., b'\\', b'u', a, b, c, d] => [a, b, c, d].iter().all(|x| x.is_ascii_hexdigit()),
        _ => false,
    }
}

/// Tells whether a word may end at a place: no letter or digit is behind it.
pub(super) fn ends(text: &[u8], at: usize) -> bool {
    !text.get(at).is_some_and(u8::is_ascii_alphanumeric)
}

/// Tells whether a text of at least so many bytes looks drawn rather than written: it holds a digit,
/// or an upper-case letter behind a lower-case one, or is longer than anyone writes.
pub(super) fn looks_drawn(text: &[u8], least: usize) -> bool {
    const WRITTEN: usize = 128;
    if text.len() > WRITTEN {
        return true;
    }
    let has_digit = text.iter().any(u8::is_ascii_digit);
    let mixes = |pair: &[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
    text.len() >= least && (has_digit || text.windows(2).any(mixes))
}

/// Counts bytes that were read, so that a test can tell a search in linear time.
pub(super) mod work {
    #[cfg(test)]
    thread_local! {
        static READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    /// Notes that so many bytes were read.
    #[cfg_attr(not(test), expect(unused_variables, reason = "only tests count"))]
    #[inline]
    pub(in super::super) fn count(bytes: usize) {
        #[cfg(test)]
        READ.with(|read| read.set(read.get() + bytes));
    }

    /// Returns the bytes read since the last call.
    #[cfg(test)]
    pub(in super::super) fn take() -> usize {
        READ.with(std::cell::Cell::take)
    }
}
