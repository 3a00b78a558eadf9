//! Numbers that money is moved with: of cards (ISO/IEC 7812) and of accounts (ISO 13616).

use std::ops::Range;

use super::text::{Set, begins, ends, long_runs};

/// Shortest number of a card.
const MIN_CARD: usize = 12;

/// Shortest IBAN, Norway's.
const MIN_IBAN: usize = 15;

/// How the digits of a card are grouped, where they are.
const GROUPS: &[&[usize]] = &[
    &[4, 4, 4, 4],
    &[4, 6, 5],
    &[4, 6, 4],
    &[4, 4, 4, 4, 3],
    &[4, 4, 5],
    &[6, 13],
    &[8, 8],
];

/// First digits that issuers have (as a range of numbers with so many digits), and the lengths of
/// their cards, as they are commonly known; the issuers' registers are not public. Visa's 13 digits are
/// no longer issued, and are left out.
const ISSUERS: &[(usize, Range<u32>, &[usize])] = &[
    // Visa.
    (1, 4..5, &[16, 19]),
    // Mastercard.
    (2, 51..56, &[16]),
    (4, 2221..2721, &[16]),
    // American Express.
    (2, 34..35, &[15]),
    (2, 37..38, &[15]),
    // Discover.
    (4, 6011..6012, &[16, 17, 18, 19]),
    (3, 644..650, &[16, 17, 18, 19]),
    (2, 65..66, &[16, 17, 18, 19]),
    // Diners Club.
    (3, 300..306, &[14, 16]),
    (4, 3095..3096, &[14, 16]),
    (2, 36..37, &[14, 16]),
    (2, 38..40, &[14, 16]),
    // JCB.
    (4, 3528..3590, &[16, 17, 18, 19]),
    // UnionPay.
    (2, 62..63, &[16, 17, 18, 19]),
    // Maestro.
    (4, 5018..5019, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (4, 5020..5021, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (4, 5038..5039, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (4, 5893..5894, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (4, 6304..6305, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (4, 6759..6760, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (4, 6761..6764, &[12, 13, 14, 15, 16, 17, 18, 19]),
    // Mir.
    (4, 2200..2205, &[16, 17, 18, 19]),
    // RuPay.
    (3, 508..509, &[16]),
    (3, 817..823, &[16]),
];

/// Lengths of IBANs by country. From SWIFT's IBAN registry, as public code quotes it.
#[rustfmt::skip]
const IBANS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24), (b"AE", 23), (b"AL", 28), (b"AT", 20), (b"AZ", 28), (b"BA", 20), (b"BE", 16),
    (b"BG", 22), (b"BH", 22), (b"BI", 27), (b"BR", 29), (b"BY", 28), (b"CH", 21), (b"CR", 22),
    (b"CY", 28), (b"CZ", 24), (b"DE", 22), (b"DJ", 27), (b"DK", 18), (b"DO", 28), (b"EE", 20),
    (b"EG", 29), (b"ES", 24), (b"FI", 18), (b"FK", 18), (b"FO", 18), (b"FR", 27), (b"GB", 22),
    (b"GE", 22), (b"GI", 23), (b"GL", 18), (b"GR", 27), (b"GT", 28), (b"HN", 28), (b"HR", 21),
    (b"HU", 28), (b"IE", 22), (b"IL", 23), (b"IQ", 23), (b"IS", 26), (b"IT", 27), (b"JO", 30),
    (b"KW", 30), (b"KZ", 20), (b"LB", 28), (b"LC", 32), (b"LI", 21), (b"LT", 20), (b"LU", 20),
    (b"LV", 21), (b"LY", 25), (b"MC", 27), (b"MD", 24), (b"ME", 22), (b"MK", 19), (b"MN", 20),
    (b"MR", 27), (b"MT", 31), (b"MU", 30), (b"NI", 28), (b"NL", 18), (b"NO", 15), (b"OM", 23),
    (b"PK", 24), (b"PL", 28), (b"PS", 29), (b"PT", 25), (b"QA", 29), (b"RO", 24), (b"RS", 22),
    (b"RU", 33), (b"SA", 24), (b"SC", 31), (b"SD", 18), (b"SE", 24), (b"SI", 19), (b"SK", 24),
    (b"SM", 27), (b"SO", 23), (b"ST", 25), (b"SV", 28), (b"TL", 23), (b"TN", 24), (b"TR", 26),
    (b"UA", 29), (b"VA", 22), (b"VG", 24), (b"XK", 20), (b"YE", 30),
];

/// Finds card numbers and IBANs.
pub(super) fn find(text: &[u8], mut found: impl FnMut(&'static str, Range<usize>)) {
    long_runs(Set::Card, MIN_CARD, text, |run| {
        cards(text, run, |card| found("card", card));
    });
    long_runs(Set::Iban, MIN_IBAN, text, |run| {
        ibans(text, run, |iban| found("iban", iban));
    });
}

fn cards(text: &[u8], run: Range<usize>, mut found: impl FnMut(Range<usize>)) {
    let mut at = run.start;
    while at < run.end {
        let group = digits(text, at);
        at = match card(text, at, group) {
            Some(end) => {
                found(at..end);
                end
            }
            None => at + group.max(1),
        };
    }
}

/// Returns where the card number that begins with a group of digits ends.
fn card(text: &[u8], at: usize, group: usize) -> Option<usize> {
    if group == 0 || !is_free(text, at) {
        return None;
    }
    let end = at + group;
    // Ids of 17 digits and more are common, and such cards are not, but for UnionPay's.
    let most = if text[at..].starts_with(b"62") {
        19
    } else {
        16
    };
    if (MIN_CARD..=most).contains(&group) {
        return (is_card(&text[at..end]) && stays_free(text, end)).then_some(end);
    }
    let separator = *text.get(end).filter(|byte| matches!(byte, b' ' | b'-'))?;
    let fits = |sizes: &&&[usize]| {
        let len = sizes.iter().sum::<usize>() + sizes.len() - 1;
        let mut place = at;
        let mut first = true;
        let grouped = sizes.iter().all(|size| {
            let start = match std::mem::take(&mut first) {
                true => place,
                false if text.get(place) == Some(&separator) => place + 1,
                false => return false,
            };
            place = start + size;
            digits(text, start) == *size
        });
        grouped && is_card(&text[at..at + len]) && stays_free(text, at + len)
    };
    let sizes = GROUPS.iter().find(fits)?;
    Some(at + sizes.iter().sum::<usize>() + sizes.len() - 1)
}

/// Counts digits from a place on: no more than tell that there are too many.
fn digits(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default().iter();
    rest.take_while(|byte| byte.is_ascii_digit()).count()
}

/// Tells whether a number can begin here: not within an identifier, a path, a fraction or a phone
/// number.
fn is_free(text: &[u8], at: usize) -> bool {
    match text[..at] {
        [] => true,
        [.., before, b'-'] => !before.is_ascii_alphanumeric() || before.is_ascii_digit(),
        [.., b'_' | b'/' | b'.' | b'+' | b'-'] => false,
        _ => begins(text, at),
    }
}

/// Tells whether a number can end here.
fn stays_free(text: &[u8], end: usize) -> bool {
    let fraction =
        text.get(end) == Some(&b'.') && text.get(end + 1).is_some_and(u8::is_ascii_digit);
    let is_part = matches!(text.get(end), Some(b'_' | b'@'));
    ends(text, end) && !fraction && !is_part
}

/// Tells whether digits, separators between them or not, are the number of a card.
fn is_card(text: &[u8]) -> bool {
    let digits = text.iter().filter(|byte| byte.is_ascii_digit());
    let digits: Vec<u32> = digits.map(|byte| u32::from(byte - b'0')).collect();
    let begins = |len: usize| {
        digits[..len]
            .iter()
            .fold(0, |number, digit| number * 10 + digit)
    };
    let issued = ISSUERS
        .iter()
        .any(|(len, range, lens)| lens.contains(&digits.len()) && range.contains(&begins(*len)));
    issued && luhn(&digits)
}

/// ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u32]) -> bool {
    let sum = |(place, digit): (usize, &u32)| match place % 2 {
        0 => *digit,
        _ => digit * 2 / 10 + digit * 2 % 10,
    };
    let sum: u32 = digits.iter().rev().enumerate().map(sum).sum();
    sum.is_multiple_of(10)
}

fn ibans(text: &[u8], run: Range<usize>, mut found: impl FnMut(Range<usize>)) {
    let mut at = run.start;
    while at + MIN_IBAN <= run.end {
        let starts = text[at].is_ascii_uppercase() && begins(text, at);
        match starts.then(|| iban(&text[at..run.end])).flatten() {
            Some(len) if ends(text, at + len) => {
                found(at..at + len);
                at += len;
            }
            _ => at += 1,
        }
    }
}

/// Returns the length of the IBAN that a text begins with, single spaces included.
fn iban(text: &[u8]) -> Option<usize> {
    let (_, expected) = IBANS
        .iter()
        .find(|(country, _)| text.starts_with(*country))?;
    let mut chars = Vec::with_capacity(*expected);
    let mut len = 0;
    while chars.len() < *expected {
        match *text.get(len)? {
            // In print there is a space behind every fourth character.
            b' ' if chars.len().is_multiple_of(4) && text[len - 1] != b' ' => {}
            b' ' => return None,
            byte => chars.push(byte),
        }
        len += 1;
    }
    let checked = chars[2].is_ascii_digit() && chars[3].is_ascii_digit();
    (checked && mod_97(&chars) == 1).then_some(len)
}

/// ISO/IEC 7064, MOD 97-10, over an IBAN whose first four characters come last.
fn mod_97(chars: &[u8]) -> u32 {
    let (head, rest) = chars.split_at(4);
    rest.iter().chain(head).fold(0, |remainder, byte| {
        let value = char::from(*byte).to_digit(36).unwrap_or_default();
        let shift = if value > 9 { 100 } else { 10 };
        (remainder * shift + value) % 97
    })
}
