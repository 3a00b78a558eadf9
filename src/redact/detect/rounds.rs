//! Makes the finds of several looks at a text one list.
//!
//! What is taken out of a text changes what stands beside it: a number that was part of a longer word
//! may be an address by itself once the rest of the word is gone. So a text in which something was
//! found is looked at again as it will be, until nothing new is found.

use super::super::REDACTED;
use super::Found;

/// Looks at a text that is looked at again. Two are nearly always enough.
const MAX_ROUNDS: usize = 8;

/// Puts finds in order, and makes one of those that overlap.
pub(super) fn merge(found: &mut Vec<Found>) {
    found.sort_by_key(|found| (found.start, std::cmp::Reverse(found.end)));
    found.dedup_by(|next, last| {
        let overlap = next.start < last.end;
        if overlap {
            last.end = last.end.max(next.end);
        }
        overlap
    });
}

/// Adds to finds what another look finds once they are taken out.
pub(super) fn settle(text: &str, found: &mut Vec<Found>, look: impl Fn(&str) -> Vec<Found>) {
    for _ in 0..MAX_ROUNDS {
        let more = look(&without(text, found));
        if more.is_empty() {
            return;
        }
        let markers = markers(found);
        let more = more.into_iter().map(|more| Found {
            start: original(found, &markers, more.start, |taken| taken.start),
            end: original(found, &markers, more.end, |taken| taken.end),
            ..more
        });
        let more: Vec<Found> = more.collect();
        found.extend(more);
        merge(found);
    }
}

/// Returns a text without what was found.
fn without(text: &str, found: &[Found]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for found in found {
        out.push_str(&text[from..found.start]);
        out.push_str(REDACTED);
        from = found.end;
    }
    out.push_str(&text[from..]);
    out
}

/// Returns where in what is left each marker of something taken out is.
fn markers(taken: &[Found]) -> Vec<usize> {
    let (mut text, mut left) = (0, 0);
    let marker = |taken: &Found| {
        let marker = left + (taken.start - text);
        (text, left) = (taken.end, marker + REDACTED.len());
        marker
    };
    taken.iter().map(marker).collect()
}

/// Returns where in the text a place in what is left is. What reaches into something taken out takes
/// all of it, to the edge that is asked for.
fn original(
    taken: &[Found],
    markers: &[usize],
    at: usize,
    edge: impl Fn(&Found) -> usize,
) -> usize {
    let Some(last) = markers
        .partition_point(|marker| *marker <= at)
        .checked_sub(1)
    else {
        return at;
    };
    let (marker, taken) = (markers[last], &taken[last]);
    if at == marker {
        taken.start
    } else if at < marker + REDACTED.len() {
        edge(taken)
    } else {
        taken.end + (at - marker - REDACTED.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(start: usize, end: usize) -> Found {
        let detector = "test";
        Found {
            start,
            end,
            detector,
        }
    }

    #[test]
    fn what_overlaps_is_made_one_and_what_touches_is_not() {
        let mut all = vec![
            found(5, 7),
            found(0, 3),
            found(2, 4),
            found(4, 5),
            found(5, 6),
        ];
        merge(&mut all);
        assert_eq!(all, [found(0, 4), found(4, 5), found(5, 7)]);
    }

    #[test]
    fn places_in_what_is_left_lead_back_to_the_text() {
        // Left of it is `ab[redacted]fg[redacted]k`.
        let text = "abcdefghijk";
        let taken = [found(2, 5), found(7, 10)];
        assert_eq!(without(text, &taken), "ab[redacted]fg[redacted]k");
        for (left, expected) in [
            ((0, 2), (0, 2)),
            ((12, 14), (5, 7)),
            ((13, 14), (6, 7)),
            ((24, 25), (10, 11)),
            ((1, 13), (1, 6)),
            ((4, 13), (2, 6)),
            ((12, 16), (5, 10)),
            ((0, 25), (0, 11)),
        ] {
            let markers = markers(&taken);
            let start = original(&taken, &markers, left.0, |taken| taken.start);
            let end = original(&taken, &markers, left.1, |taken| taken.end);
            assert_eq!((start, end), expected, "{left:?}");
        }
    }

    #[test]
    fn a_look_that_always_finds_something_ends() {
        let mut all = vec![found(0, 1)];
        settle("ab", &mut all, |_| vec![found(0, 10)]);
        assert_eq!(all, [found(0, 1)]);
    }
}
