//! What is done with a value that a rule names, and how its result is told from a value.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::REDACTED;

/// What stands before the digits of a pseudonym.
pub const PSEUDONYM: &str = "hmac:";

/// What stands before the last characters of a value.
pub const LAST4: &str = "****";

/// Hexadecimal digits of a pseudonym: 128 bits of the tag.
const PSEUDONYM_DIGITS: usize = 32;

/// Characters that [`Action::Last4`] shows.
const SHOWN: usize = 4;

/// Characters that [`Action::Last4`] hides at least, or else shows none.
const HIDDEN: usize = 8;

/// What is done with a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// [`REDACTED`] stands in its place.
    #[default]
    Mask,
    /// The member is left out altogether. An element leaves `null`, so that the others keep their
    /// places.
    Remove,
    /// `****` and its last four characters stand in its place, where eight remain hidden at least;
    /// else [`REDACTED`].
    Last4,
    /// `hmac:` and a pseudonym of 32 hexadecimal digits stand in its place: the same for the same
    /// text everywhere in a tenant. An object, array or word leaves [`REDACTED`].
    Hash,
    /// It stays, whatever later rules say.
    Keep,
}

impl Action {
    /// Every action, by the word that configurations have for it.
    pub const WORDS: [(&str, Self); 5] = [
        ("mask", Self::Mask),
        ("remove", Self::Remove),
        ("last4", Self::Last4),
        ("hash", Self::Hash),
        ("keep", Self::Keep),
    ];

    /// Returns its word.
    pub fn as_str(self) -> &'static str {
        let word = Self::WORDS.iter().find(|(_, action)| *action == self);
        word.map_or("", |(word, _)| word)
    }

    /// Tells whether a text is what this action leaves, and so is left alone.
    pub(super) fn has_made(self, text: &str) -> bool {
        text == REDACTED
            || match self {
                Self::Last4 => is_last4(text),
                Self::Hash => is_pseudonym(text),
                Self::Mask | Self::Remove | Self::Keep => false,
            }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Makes pseudonyms under the key of one tenant.
pub(super) struct Pseudonyms {
    keyed: Hmac<Sha256>,
}

impl Pseudonyms {
    pub(super) fn new(key: &SecretString) -> Option<Self> {
        let keyed = Hmac::new_from_slice(key.expose_secret().as_bytes()).ok()?;
        Some(Self { keyed })
    }

    /// Returns the pseudonym of a text.
    pub(super) fn of(&self, text: &str) -> String {
        let tag = self.keyed.clone().chain_update(text).finalize();
        let mut digits = hex::encode(tag.into_bytes());
        digits.truncate(PSEUDONYM_DIGITS);
        format!("{PSEUDONYM}{digits}")
    }
}

/// Returns `****` and the last characters of a text; nothing where too few would remain hidden, or
/// what would be shown is more than ASCII letters and digits. Spaces and hyphens do not count.
pub(super) fn last4(text: &str) -> Option<String> {
    let counted = |char: &char| !matches!(char, ' ' | '-');
    let mut from_behind = text.chars().rev().filter(counted);
    let mut shown = [' '; SHOWN];
    for place in shown.iter_mut().rev() {
        *place = from_behind.next().filter(char::is_ascii_alphanumeric)?;
    }
    let shown: String = shown.iter().collect();
    (from_behind.take(HIDDEN).count() == HIDDEN).then(|| format!("{LAST4}{shown}"))
}

fn is_last4(text: &str) -> bool {
    let shown = text.strip_prefix(LAST4).unwrap_or_default();
    shown.len() == SHOWN && shown.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_pseudonym(text: &str) -> bool {
    let digits = text.strip_prefix(PSEUDONYM).unwrap_or_default();
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    digits.len() == PSEUDONYM_DIGITS && digits.bytes().all(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_four_are_shown_where_eight_remain_hidden() {
        for (text, shown) in [
            ("4242 4242-42421234", "****1234"),
            ("12345678abcd", "****abcd"),
            ("GB33 BUKB 2020 1555 5555 55", "****5555"),
            ("éééééééé1234", "****1234"),
        ] {
            let made = last4(text);
            assert_eq!(made.as_deref(), Some(shown), "{text}");
            assert!(Action::Last4.has_made(shown));
        }
        for text in [
            "",
            "1234",
            "1234567abcd",
            "1-2 3 4 5 6 7 1234",
            "jane@example.com",
            "12345678éabc",
            "****1234",
        ] {
            assert_eq!(last4(text), None, "{text}");
        }
    }

    #[test]
    fn only_the_exact_form_of_a_result_is_taken_for_one() {
        let key = SecretString::from("0123456789abcdef");
        let made = Pseudonyms::new(&key).unwrap().of("jane@example.com");
        // HMAC-SHA256 by another implementation.
        assert_eq!(made, "hmac:a7a54661c75bce906717ca553fdff1b9");
        assert!(Action::Hash.has_made(&made));
        assert!(!Action::Last4.has_made(&made) && !Action::Mask.has_made(&made));
        for text in [
            "hmac:",
            &made[1..],
            &made[..36],
            &made.to_uppercase(),
            &format!("{made}0"),
            &format!(" {made}"),
        ] {
            assert!(!Action::Hash.has_made(text), "{text}");
        }
        for text in ["****", "****123", "****12345", "***1234", "****12-4"] {
            assert!(!Action::Last4.has_made(text), "{text}");
        }
        for (word, action) in Action::WORDS {
            assert_eq!(action.to_string(), word);
            assert!(action.has_made(REDACTED));
        }
    }
}
