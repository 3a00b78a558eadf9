//! Patterns of event types: `*` matches any run of characters, everything else itself.

use std::fmt;

/// A pattern of event types, such as `charge.*`.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Characters that a pattern may have, in bytes: matching takes pattern times text at worst.
    pub const MAX_LENGTH: usize = 256;

    /// Reads a pattern. The error continues a sentence that begins with the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("must not hold an empty pattern; `*` matches every type".into());
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(format!(
                "must not hold a pattern longer than {} bytes",
                Self::MAX_LENGTH
            ));
        }
        Ok(Self(text.into()))
    }

    /// Tells whether the whole of `text` matches. Case counts.
    pub fn matches(&self, text: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.as_bytes(), text.as_bytes());
        // Only the last star needs retrying: an earlier one has taken as little as it could.
        let mut retry: Option<(&[u8], &[u8])> = None;
        loop {
            match (pattern.split_first(), rest.split_first()) {
                (Some((b'*', after)), _) => {
                    retry = Some((after, rest));
                    pattern = after;
                }
                (Some((expected, after)), Some((found, tail))) if expected == found => {
                    (pattern, rest) = (after, tail);
                }
                (None, None) => return true,
                _ => match retry {
                    Some((after, [_, longer @ ..])) => {
                        retry = Some((after, longer));
                        (pattern, rest) = (after, longer);
                    }
                    _ => return false,
                },
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(text)
    }

    #[test]
    fn a_star_matches_any_run_and_nothing_else_is_special() {
        assert!(matches("charge.*", "charge.succeeded"));
        assert!(matches("charge.*", "charge."));
        assert!(!matches("charge.*", "charge"));
        assert!(!matches("charge.*", "xcharge.a"));
        assert!(matches("*.paid", "invoice.line.paid"));
        assert!(!matches("*.paid", "invoice.paid.x"));
        assert!(matches("a*b*c", "a-b-b-c"));
        assert!(!matches("a*b*c", "a-c-b"));
        assert!(matches("*", ""));
        assert!(!matches("a.b", "aXb"));
        assert!(!matches("Charge", "charge"));
    }

    #[test]
    fn a_hostile_pattern_ends_in_time_bounded_by_its_length() {
        let pattern = "*a".repeat(100) + "b";
        assert!(!matches(&pattern, &"a".repeat(10_000)));
    }

    #[test]
    fn an_empty_or_endless_pattern_is_refused() {
        assert!(Pattern::parse(" ").is_err());
        assert!(Pattern::parse(&"x".repeat(Pattern::MAX_LENGTH + 1)).is_err());
    }

    /// The definition, in exponential time.
    fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', after @ ..] => {
                (0..=text.len()).any(|taken| by_definition(after, &text[taken..]))
            }
            [byte, after @ ..] => text.first() == Some(byte) && by_definition(after, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_follows_its_definition(pattern in "[ab*]{1,8}", text in "[ab]{0,10}") {
            let expected = by_definition(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(&pattern, &text), expected);
        }
    }
}
