//! The search for all telling literals at once.
//!
//! With SIMD (Teddy, of the crate `aho-corasick`), which is fast with up to 32 literals; by an automaton
//! on machines that have none.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, Input, MatchKind, Span, packed};

use super::authorization::{HEADERS, SCHEMES};
use super::tokens::{LOOSE, Token};
use super::urls::CAPABILITIES;

/// What to look at where a literal was found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Clue {
    Token(&'static Token),
    PrivateKey,
    Capability,
    Scheme,
    Header,
}

/// The search and what each literal tells.
struct Literals {
    search: Search,
    clues: Vec<Clue>,
}

enum Search {
    Packed(packed::Searcher),
    Automaton(AhoCorasick),
}

static LITERALS: LazyLock<Literals> = LazyLock::new(|| {
    let all = all();
    let words = all.iter().map(|(literal, _)| literal);
    let packed = packed::Config::new()
        .builder()
        .extend(words.clone())
        .build();
    let search = match packed {
        Some(packed) => Search::Packed(packed),
        None => Search::Automaton(automaton(words)),
    };
    let clues = all.iter().map(|(_, clue)| *clue).collect();
    Literals { search, clues }
});

/// Calls `each` with every clue and where it is, in order.
pub(super) fn find(text: &[u8], mut each: impl FnMut(usize, Clue)) {
    let mut from = 0;
    while let Some((at, clue)) = LITERALS.next(text, from) {
        each(at, clue);
        from = at + 1;
    }
}

impl Literals {
    /// Returns the first literal from a place on, and what it tells.
    fn next(&self, text: &[u8], from: usize) -> Option<(usize, Clue)> {
        let span = Span::from(from..text.len());
        let found = match &self.search {
            Search::Packed(packed) => packed.find_in(text, span),
            Search::Automaton(automaton) => automaton.find(Input::new(text).span(span)),
        }?;
        Some((found.start(), self.clues[found.pattern().as_usize()]))
    }
}

fn automaton<'l>(words: impl Iterator<Item = &'l &'static str>) -> AhoCorasick {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostFirst)
        .build(words)
        .expect("a few hundred bytes make a small automaton")
}

/// Returns the literals, none of which begins with another, and what each tells.
fn all() -> Vec<(&'static str, Clue)> {
    let mut all = vec![("PRIVATE KEY", Clue::PrivateKey)];
    for token in LOOSE {
        all.extend(
            token
                .prefixes
                .iter()
                .map(|prefix| (*prefix, Clue::Token(token))),
        );
    }
    all.extend(
        CAPABILITIES
            .iter()
            .map(|(host, _)| (*host, Clue::Capability)),
    );
    all.extend(SCHEMES.iter().map(|scheme| (*scheme, Clue::Scheme)));
    all.extend(HEADERS.iter().map(|header| (*header, Clue::Header)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_few_none_begins_with_another_or_reaches_over_a_string() {
        let all = all();
        assert!(
            all.len() <= 32,
            "{} are more than one fast pass takes",
            all.len()
        );
        for (place, (literal, _)) in all.iter().enumerate() {
            assert!(
                literal.len() >= 4 && !literal.contains(['"', '\\']),
                "{literal}"
            );
            for (other, _) in all[..place].iter().chain(&all[place + 1..]) {
                assert!(!other.starts_with(literal), "{other} {literal}");
            }
        }
    }

    #[test]
    fn the_automaton_finds_what_the_packed_search_finds() {
        let all = all();
        let words: Vec<_> = all.iter().map(|(literal, _)| *literal).collect();
        let text = words.join(" and ").repeat(3);
        let automaton = automaton(words.iter());
        let expected: Vec<_> = automaton.find_iter(&text).map(|m| m.start()).collect();
        let mut found = Vec::new();
        find(text.as_bytes(), |at, _| found.push(at));
        assert_eq!(found, expected);
    }
}
