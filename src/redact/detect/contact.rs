//! How people and their machines are reached: e-mail addresses, telephone numbers, IP addresses.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::text::{Runs, Set, begins, ends, long_runs, work};

/// Endings of file names, which are no domains (`logo@2x.png`).
const FILES: &[&[u8]] = &[
    b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"ico", b"css", b"js", b"json", b"html",
];

/// Shortest text of an address of either version: `1.1.1.1` and `fd00::`.
const MIN_IP: usize = 6;

/// Longest one.
const MAX_IP: usize = 45;

/// The local parts of addresses, which at signs end.
#[derive(Default)]
pub(super) struct Email {
    /// Behind the last at sign.
    floor: usize,
}

impl Email {
    /// The address around an at sign. Names in letters of ASCII only.
    pub(super) fn at_sign(
        &mut self,
        runs: &mut Runs,
        text: &[u8],
        at: usize,
    ) -> Option<Range<usize>> {
        let before = text[self.floor..at].iter().rev();
        let len = before.take_while(|byte| is_local(**byte)).count();
        work::count(len + 1);
        self.floor = at + 1;
        let local = &text[at - len..at];
        let begin = local
            .iter()
            .position(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')?;
        let end = domain(runs, text, at + 1)?;
        let path = text.get(end) == Some(&b':')
            && text.get(end + 1).is_some_and(|b| b.is_ascii_alphabetic());
        // `git@github.com:owner/name` is where a repository is.
        let is_address = local.last() != Some(&b'.') && !path;
        is_address.then_some(at - len + begin..end)
    }
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
}

/// Returns where the domain at a place ends: labels, the last of which is of two letters or more.
fn domain(runs: &mut Runs, text: &[u8], at: usize) -> Option<usize> {
    let mut end = runs.end(Set::Domain, text, at);
    while end > at && matches!(text[end - 1], b'.' | b'-') {
        end -= 1;
    }
    let domain = &text[at..end];
    let dot = memchr::memrchr(b'.', domain)?;
    let top = &domain[dot + 1..];
    let puny = top.starts_with(b"xn--");
    let is_top = top.len() >= 2 && (puny || top.iter().all(u8::is_ascii_alphabetic));
    let is_file = FILES.iter().any(|file| file.eq_ignore_ascii_case(top));
    let labels = domain.first().is_some_and(u8::is_ascii_alphanumeric);
    (is_top && !is_file && labels).then_some(end)
}

/// The telephone number (ITU-T E.164) that begins with a plus sign.
pub(super) fn phone(runs: &mut Runs, text: &[u8], at: usize) -> Option<Range<usize>> {
    let first = text
        .get(at + 1)
        .copied()
        .filter(|byte| matches!(byte, b'1'..=b'9'))?;
    let free = at == 0 || !text[at - 1].is_ascii_alphanumeric() && !b"+/_-".contains(&text[at - 1]);
    let stop = runs.end(Set::Phone, text, at).min(at + 32);
    let (mut digits, mut gap, mut end) = (0, 0, None);
    for (place, byte) in text[..stop].iter().enumerate().skip(at + 1) {
        match byte {
            b'0'..=b'9' => {
                (digits, gap) = (digits + 1, 0);
                let last = !text.get(place + 1).is_some_and(u8::is_ascii_digit);
                // Numbers that follow it may look like more of it.
                if last && (8..=15).contains(&digits) {
                    end = Some(place + 1);
                }
            }
            b'+' => break,
            // A bracket and a space, no more.
            _ if gap == 2 => break,
            _ => gap += 1,
        }
    }
    let end = end.filter(|end| ends(text, *end) && text.get(*end) != Some(&b'_'))?;
    (free && first != b'0').then_some(at..end)
}

/// Finds addresses of IP that may be someone's: not those of the machine itself.
pub(super) fn addresses(text: &[u8], mut found: impl FnMut(Range<usize>)) {
    long_runs(Set::Ip, MIN_IP, text, |run| {
        let colons = text[run.clone()]
            .iter()
            .filter(|byte| **byte == b':')
            .count();
        let may_be_v6 = colons >= 2 && run.len() <= MAX_IP + 2;
        if let Some(address) = may_be_v6.then(|| v6(text, run.clone())).flatten() {
            return found(address);
        }
        let mut start = run.start;
        for part in text[run].split(|byte| *byte == b':') {
            if let Some(address) = v4(text, start..start + part.len()) {
                found(address);
            }
            start += part.len() + 1;
        }
    });
}

fn v4(text: &[u8], part: Range<usize>) -> Option<Range<usize>> {
    let (start, mut end) = (part.start, part.end);
    while end > start && text[end - 1] == b'.' {
        end -= 1;
    }
    let address: Ipv4Addr = std::str::from_utf8(&text[start..end]).ok()?.parse().ok()?;
    let is_host = !address.is_loopback() && address.octets()[0] != 0 && !address.is_broadcast();
    let free = begins(text, start) && !is_version(&text[..start]);
    let stays = ends(text, end) && !matches!(text.get(end), Some(b'_' | b'-'));
    (is_host && free && stays).then_some(start..end)
}

/// Tells whether what stands before four numbers says that they are a version: `Chrome/120.0.0.0`.
fn is_version(before: &[u8]) -> bool {
    match before {
        [.., b'_' | b'-'] => true,
        [.., name, b'/'] => name.is_ascii_alphabetic(),
        _ => {
            let before = before.trim_ascii_end();
            let before = &before[before.len().saturating_sub(7)..];
            before.eq_ignore_ascii_case(b"version")
        }
    }
}

fn v6(text: &[u8], run: Range<usize>) -> Option<Range<usize>> {
    let (start, mut end) = (run.start, run.end);
    // Of a sentence, or of the port behind it.
    while end > start && text[end - 1] == b'.' {
        end -= 1;
    }
    if text[start..end].ends_with(b":") && !text[start..end].ends_with(b"::") {
        end -= 1;
    }
    let address: Ipv6Addr = std::str::from_utf8(&text[start..end]).ok()?.parse().ok()?;
    let [first, ..] = address.segments();
    let is_host = matches!(first, 0x2000..=0x3fff | 0xfc00..=0xfdff | 0xfe80..=0xfebf);
    let mapped = address.to_ipv4_mapped().is_some_and(|v4| !v4.is_loopback());
    ((is_host || mapped) && begins(text, start) && ends(text, end)).then_some(start..end)
}
