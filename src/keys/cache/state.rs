//! What is known of one address, and what follows from it. Pure: `now` in, a step out.

use std::sync::Arc;
use std::time::Duration;

use super::{DISORDER, MAX_BACKOFF, MAX_STALE, MIN_BACKOFF, MISS_INTERVAL};
use crate::clock::Timestamp;
use crate::keys::Wanted;
use crate::keys::client::FetchError;

/// Keys as they were fetched.
pub(super) struct Held<V> {
    pub(super) value: Arc<V>,
    pub(super) since: Timestamp,
    pub(super) lifetime: Duration,
}

/// Failures since the last success.
struct Failed {
    at: Timestamp,
    times: u32,
    last: FetchError,
}

impl Failed {
    /// How long the address is left alone.
    fn backoff(&self) -> Duration {
        let doubled = MIN_BACKOFF.saturating_mul(1 << self.times.saturating_sub(1).min(16));
        doubled.min(MAX_BACKOFF)
    }
}

/// What is known of one address.
pub(super) struct State<V> {
    held: Option<Held<V>>,
    failed: Option<Failed>,
    /// When keys were last fetched again because one was not among them.
    missed: Option<Timestamp>,
}

impl<V> Default for State<V> {
    fn default() -> Self {
        Self {
            held: None,
            failed: None,
            missed: None,
        }
    }
}

/// What to do for a request.
pub(super) enum Step<V> {
    /// Use these keys.
    Use(Arc<V>),
    /// Fetch; these were held before.
    Fetch { instead_of: Option<Arc<V>> },
    /// Leave the address alone for a while, because of its last failure.
    BackOff(Duration, FetchError),
}

impl<V> State<V> {
    /// Decides what to do for a request.
    pub(super) fn decide(&self, wanted: Option<Wanted<'_, V>>, now: Timestamp) -> Step<V> {
        let fresh = self.fresh(now);
        if let Some(held) = fresh
            && (wanted.is_none_or(|wanted| wanted(&held.value)) || self.missed_lately(now))
        {
            return Step::Use(held.value.clone());
        }
        match (self.backing_off(now), self.usable(now)) {
            (Some(_), Some(value)) => Step::Use(value),
            (Some((wait, last)), None) => Step::BackOff(wait, last),
            (None, _) => Step::Fetch {
                instead_of: self.held.as_ref().map(|held| held.value.clone()),
            },
        }
    }

    /// Notes how a fetch ended, and returns the keys to use. `missing`: it was for a key that is not
    /// among fresh ones.
    pub(super) fn ended(
        &mut self,
        fetched: Result<Held<V>, FetchError>,
        missing: bool,
        now: Timestamp,
    ) -> Result<Arc<V>, FetchError> {
        // Not noted when it begins: others who miss a key then wait for the same fetch.
        if missing {
            self.missed = Some(now);
        }
        match fetched {
            Ok(held) => {
                let value = held.value.clone();
                self.held = Some(held);
                self.failed = None;
                Ok(value)
            }
            Err(last) => {
                let times = self.failed.as_ref().map_or(0, |failed| failed.times);
                self.failed = Some(Failed {
                    at: now,
                    times: times.saturating_add(1),
                    last: last.clone(),
                });
                self.usable(now).ok_or(last)
            }
        }
    }

    /// Returns keys that are past their lifetime, where the last fetch failed: whoever comes while
    /// another one is under way need not wait for it.
    pub(super) fn while_failing(&self, now: Timestamp) -> Option<Arc<V>> {
        self.failed.as_ref().and_then(|_| self.usable(now))
    }

    pub(super) fn holds_any(&self) -> bool {
        self.held.is_some()
    }

    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        self.fresh(now).is_some()
    }

    fn fresh(&self, now: Timestamp) -> Option<&Held<V>> {
        let held = self.held.as_ref();
        held.filter(|held| left(held.since, held.lifetime, now).is_some())
    }

    /// Keys that are fresh, or that may stand in while fetching fails.
    fn usable(&self, now: Timestamp) -> Option<Arc<V>> {
        let held = self.held.as_ref();
        held.filter(|held| left(held.since, held.lifetime + MAX_STALE, now).is_some())
            .map(|held| held.value.clone())
    }

    fn missed_lately(&self, now: Timestamp) -> bool {
        self.missed
            .is_some_and(|missed| left(missed, MISS_INTERVAL, now).is_some())
    }

    fn backing_off(&self, now: Timestamp) -> Option<(Duration, FetchError)> {
        let failed = self.failed.as_ref()?;
        let wait = left(failed.at, failed.backoff(), now)?;
        Some((wait, failed.last.clone()))
    }
}

/// Tells what is left of a span that began at `since`; nothing once it is over, and nothing where it
/// began well after `now`: a clock that was set back must not stretch a span without end.
pub(super) fn left(since: Timestamp, span: Duration, now: Timestamp) -> Option<Duration> {
    let age = now.duration_since(since);
    let age = match Duration::try_from(age) {
        Ok(age) => age,
        Err(_) if age.unsigned_abs() <= DISORDER => Duration::ZERO,
        Err(_) => return None,
    };
    span.checked_sub(age).filter(|left| !left.is_zero())
}
