//! Keeps the log readable while deliveries are rejected for want of something of our own.
//!
//! A ledger that is away or a limit that is reached rejects every delivery alike, and a line for each
//! would be a storm that says one thing. The first few are logged as always; the rest are counted and
//! told in one line each [`WINDOW`]. What a caller did wrong is always explained.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::error;

use crate::outcome::Rejected;

/// Rejections for one reason that are logged in full before they are counted.
const MAX_ALIKE: u32 = 5;

/// How long they are counted before the count is told.
const WINDOW: Duration = Duration::from_secs(10);

/// What was logged of late, by reason.
#[derive(Debug, Default)]
pub struct Alike(Mutex<HashMap<&'static str, Recent>>);

#[derive(Debug)]
struct Recent {
    since: Instant,
    logged: u32,
    left_out: u64,
}

impl Alike {
    /// Tells whether a rejection is to be logged in full, and counts it where it is not.
    pub fn admits(&self, rejected: &Rejected, now: Instant) -> bool {
        if !matches!(
            rejected,
            Rejected::LedgerUnavailable(_) | Rejected::Overloaded(_)
        ) {
            return true;
        }
        let mut recent = self.recent();
        let recent = recent.entry(rejected.reason()).or_insert(Recent {
            since: now,
            logged: 0,
            left_out: 0,
        });
        if recent.logged < MAX_ALIKE {
            recent.logged += 1;
            return true;
        }
        recent.left_out += 1;
        false
    }

    /// Logs how many were left out, for each reason whose time is up; to be called now and then.
    pub fn tell(&self, now: Instant) {
        for (reason, count) in self.left_out(now, WINDOW) {
            error!(reason, count, "more deliveries rejected alike");
        }
    }

    /// Logs how many were left out since then, at the end.
    pub fn tell_all(&self, now: Instant) {
        for (reason, count) in self.left_out(now, Duration::ZERO) {
            error!(reason, count, "more deliveries rejected alike");
        }
    }

    /// Takes the counts that are at least `age` old. A reason that was quiet for so long is logged in
    /// full again.
    fn left_out(&self, now: Instant, age: Duration) -> Vec<(&'static str, u64)> {
        let mut told = Vec::new();
        self.recent().retain(|reason, recent| {
            if now.saturating_duration_since(recent.since) < age {
                return true;
            }
            let count = std::mem::take(&mut recent.left_out);
            if count > 0 {
                told.push((*reason, count));
            }
            recent.since = now;
            count > 0
        });
        told
    }

    fn recent(&self) -> MutexGuard<'_, HashMap<&'static str, Recent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const FULL: Rejected = Rejected::Overloaded("x");

    #[test]
    fn the_first_few_are_logged_and_the_rest_are_counted_once() {
        let (alike, now) = (Alike::default(), clock::instant());
        let logged = (0..100).filter(|_| alike.admits(&FULL, now)).count();
        assert_eq!(logged, MAX_ALIKE as usize);
        assert_eq!(alike.left_out(now, WINDOW), []);
        let later = now + WINDOW;
        assert_eq!(alike.left_out(later, WINDOW), [("overloaded", 95)]);
        // It goes on: no line in full, and the next count begins at nothing.
        assert!(!alike.admits(&FULL, later));
        assert_eq!(alike.left_out(later + WINDOW, WINDOW), [("overloaded", 1)]);
    }

    #[test]
    fn after_a_quiet_time_the_next_one_is_logged_in_full() {
        let (alike, now) = (Alike::default(), clock::instant());
        assert!((0..100).any(|_| !alike.admits(&FULL, now)));
        alike.left_out(now + WINDOW, WINDOW);
        alike.left_out(now + 2 * WINDOW, WINDOW);
        assert!(alike.admits(&FULL, now + 2 * WINDOW));
    }

    #[test]
    fn what_a_caller_did_wrong_is_always_explained() {
        let (alike, now) = (Alike::default(), clock::instant());
        let wrong = Rejected::SignatureMismatch { secrets: 1 };
        assert!((0..100).all(|_| alike.admits(&wrong, now)));
    }
}
