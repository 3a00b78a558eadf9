//! Which of an endpoint's secrets prove a delivery.
//!
//! Bookkeeping beside the decision, for the operator who wants to know whether an old secret is still
//! needed. It is filled in as every secret is tried, in the same time whether one matches or not, and
//! is read only once all of them were.

use subtle::{Choice, ConditionallySelectable};

/// The places of secrets in their endpoint's list. More than one where a provider signs with an old
/// and a new secret at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matched(u64);

impl Matched {
    /// Adds the secret at `place`, counted from 0, if it is the one. Takes the same time if it is not.
    pub(crate) fn note(&mut self, place: usize, matches: Choice) {
        let bit = u32::try_from(place).ok();
        let bit = bit.and_then(|place| 1_u64.checked_shl(place));
        self.0 |= u64::conditional_select(&0, &bit.unwrap_or_default(), matches);
    }

    /// Adds those of another proof of the same delivery.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the places in ascending order, counted from 0.
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |place| self.0 >> place & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MAX_SECRETS;

    #[test]
    fn what_matched_is_told_and_nothing_else() {
        let mut matched = Matched::default();
        for place in 0..MAX_SECRETS {
            matched.note(place, Choice::from(u8::from(place % 5 == 3)));
            // A second try that fails takes nothing back.
            matched.note(place, Choice::from(0));
        }
        assert_eq!(matched.places().collect::<Vec<_>>(), [3, 8, 13]);
        let mut other = Matched::default();
        other.note(0, Choice::from(1));
        let both: Vec<usize> = matched.and(other).places().collect();
        assert_eq!(both, [0, 3, 8, 13]);
    }

    #[test]
    fn every_place_that_a_list_can_have_fits_and_one_beyond_is_let_go() {
        let mut matched = Matched::default();
        for place in [MAX_SECRETS - 1, 64, usize::MAX] {
            matched.note(place, Choice::from(1));
        }
        assert_eq!(matched.places().collect::<Vec<_>>(), [MAX_SECRETS - 1]);
    }
}
