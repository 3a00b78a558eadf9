//! Fetched keys, kept: one fetch at a time for each address, and no hammering of whoever fails.
//!
//! What is to be done is decided by `state`, which is pure. A fetch that was begun comes
//! to its end even where the delivery that asked for it goes away: whoever hangs up early can
//! neither poison an entry nor have the same fetch begun over and over.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::client::{Client, FetchError, Settings, SettingsError};
use super::{KeyAddress, KeyError, KeyRequest, KeySource, Wanted};
use crate::clock::Timestamp;
use crate::shutdown::Drain;

/// Most entries. Past it those without keys go first, then those that were used longest ago.
pub const MAX_ENTRIES: usize = 256;
/// How long keys are kept where the answer does not say, and what is made of what it says.
pub const LIFETIME: Duration = Duration::from_secs(60 * 60);
/// The least that keys are kept.
pub const MIN_LIFETIME: Duration = Duration::from_secs(5 * 60);
/// The most that keys are kept.
pub const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How long past their lifetime keys are used while fetching fails.
pub const MAX_STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an address is left alone after its first failure; doubles with each that follows.
pub const MIN_BACKOFF: Duration = Duration::from_secs(10);
/// How long an address is left alone at most.
pub const MAX_BACKOFF: Duration = Duration::from_secs(5 * 60);
/// How often keys are fetched again because one is not among them.
pub const MISS_INTERVAL: Duration = Duration::from_secs(60);
/// Most fetches of one reading in [`NEW_INTERVAL`] for entries that hold no keys yet. An address, or
/// the id of a key, may be anything that a caller makes up within what is pinned.
pub const MAX_NEW: u32 = 60;
/// The time that [`MAX_NEW`] counts for.
pub const NEW_INTERVAL: Duration = Duration::from_secs(60);
/// How much the times of deliveries may be out of order: they wait for each other.
const DISORDER: Duration = Duration::from_secs(60);

/// Keys that are fetched over HTTPS and kept. Clones share what is kept.
pub struct KeyCache<V> {
    shared: Arc<Shared<V>>,
    drain: Drain,
}

/// A lock of `entries` may be held while the state of an entry is locked, never the other way round.
struct Shared<V> {
    client: Client,
    entries: Mutex<Entries<V>>,
}

impl<V> KeyCache<V> {
    /// Creates an empty cache; a fetch that nobody waits for any more belongs to `drain`.
    pub fn new(settings: Settings, drain: Drain) -> Result<Self, SettingsError> {
        Ok(Self {
            shared: Arc::new(Shared {
                client: Client::new(settings)?,
                entries: Mutex::new(Entries::default()),
            }),
            drain,
        })
    }

    fn entries(&self) -> MutexGuard<'_, Entries<V>> {
        let entries = self.shared.entries.lock();
        entries.unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<V: Send + Sync + 'static> KeySource<V> for KeyCache<V> {
    async fn get(
        &self,
        request: &KeyRequest<V>,
        wanted: Option<Wanted<'_, V>>,
        now: Timestamp,
    ) -> Result<Arc<V>, KeyError> {
        let entry = self.entries().entry(request);
        let step = entry.state().decide(wanted, now);
        let before = match step {
            Step::Use(value) => return Ok(value),
            Step::BackOff(wait, last) => return Err(request.backing_off(wait, Some(last))),
            Step::Fetch { instead_of } => instead_of,
        };
        let flight = match entry.flight.clone().try_lock_owned() {
            Ok(flight) => flight,
            Err(_) => {
                let stale = entry.state().while_failing(now);
                if let Some(value) = stale {
                    return Ok(value);
                }
                entry.flight.clone().lock_owned().await
            }
        };
        let (step, fresh, cold) = {
            let state = entry.state();
            (
                state.decide(wanted, now),
                state.is_fresh(now),
                !state.holds_any(),
            )
        };
        match step {
            Step::Use(value) => return Ok(value),
            Step::BackOff(wait, last) => return Err(request.backing_off(wait, Some(last))),
            // Somebody else has just fetched them, and what is wanted is not among them.
            Step::Fetch {
                instead_of: Some(value),
            } if fresh && !before.is_some_and(|before| Arc::ptr_eq(&before, &value)) => {
                return Ok(value);
            }
            Step::Fetch { .. } => {}
        }
        if cold {
            let admitted = self.entries().admit_new(request.reading.name(), now);
            admitted.map_err(|wait| request.backing_off(wait, None))?;
        }
        // One that begins while the keys are fresh is for a key that is missed.
        let (shared, asked, kept) = (self.shared.clone(), request.clone(), entry.clone());
        let fetch = self.drain.see_through(async move {
            let fetched = shared.fetch(&asked, now).await;
            let kept = kept.state().ended(fetched, fresh, now);
            drop(flight);
            kept
        });
        let panicked = FetchError::Unreadable("reading it ended early".to_owned());
        let fetched = match fetch.await {
            Some(fetched) => fetched,
            None => entry.state().ended(Err(panicked), fresh, now),
        };
        fetched.map_err(|cause| request.failed(cause))
    }

    async fn call(&self, address: &KeyAddress) -> Result<(), KeyError> {
        let called = self.shared.client.call(address).await;
        called.map_err(|cause| KeyError::failed(address, cause))
    }
}

impl<V> Shared<V> {
    async fn fetch(&self, asked: &KeyRequest<V>, now: Timestamp) -> Result<Held<V>, FetchError> {
        let post = asked.post.as_ref().map(|post| &*post.body);
        let document = self.client.fetch(&asked.address, post).await?;
        let value = asked.reading.read(&document.bytes, now.as_second());
        let lifetime = document.lifetime.unwrap_or(LIFETIME);
        Ok(Held {
            value: Arc::new(value.map_err(FetchError::Unreadable)?),
            since: now,
            lifetime: lifetime.clamp(MIN_LIFETIME, MAX_LIFETIME),
        })
    }
}

impl<V> Clone for KeyCache<V> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            drain: self.drain.clone(),
        }
    }
}

impl<V> fmt::Debug for KeyCache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries().slots.len();
        f.debug_struct("KeyCache")
            .field("entries", &entries)
            .finish_non_exhaustive()
    }
}

/// What makes two requests one: the address, how it is read, and the key's id where it is posted.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Name {
    address: KeyAddress,
    reading: Arc<str>,
    kid: Option<Arc<str>>,
}

struct Entries<V> {
    slots: HashMap<Name, Slot<V>>,
    /// Counts up with each use.
    uses: u64,
    /// For each reading, since when how many were fetched that are new. Bounded by the definitions.
    new: HashMap<Arc<str>, (Timestamp, u32)>,
}

struct Slot<V> {
    entry: Arc<Entry<V>>,
    used: u64,
}

impl<V> Default for Entries<V> {
    fn default() -> Self {
        Self {
            slots: HashMap::new(),
            uses: 0,
            new: HashMap::new(),
        }
    }
}

impl<V> Entries<V> {
    /// Finds a request's entry, or makes one in place of another.
    fn entry(&mut self, request: &KeyRequest<V>) -> Arc<Entry<V>> {
        self.uses += 1;
        let used = self.uses;
        let name = Name {
            address: request.address.clone(),
            reading: request.reading.name.clone(),
            kid: request.post.as_ref().map(|post| post.kid.clone()),
        };
        if let Some(slot) = self.slots.get_mut(&name) {
            slot.used = used;
            return slot.entry.clone();
        }
        if self.slots.len() >= MAX_ENTRIES {
            self.make_room();
        }
        let entry = Arc::new(Entry::default());
        let slot = Slot {
            entry: entry.clone(),
            used,
        };
        self.slots.insert(name, slot);
        entry
    }

    /// Drops one entry: addresses that lead nowhere must not drive out those that hold keys.
    fn make_room(&mut self) {
        let rank = |slot: &Slot<V>| (slot.entry.state().holds_any(), slot.used);
        let last = self.slots.iter().min_by_key(|(_, slot)| rank(slot));
        if let Some(name) = last.map(|(name, _)| name.clone()) {
            self.slots.remove(&name);
        }
    }

    /// Counts a fetch for an entry without keys, or tells how long there is none.
    fn admit_new(&mut self, reading: &Arc<str>, now: Timestamp) -> Result<(), Duration> {
        if self.new.len() >= MAX_ENTRIES {
            self.new
                .retain(|_, (since, _)| left(*since, NEW_INTERVAL, now).is_some());
        }
        let (since, count) = self.new.entry(reading.clone()).or_insert((now, 0));
        let Some(left) = left(*since, NEW_INTERVAL, now) else {
            (*since, *count) = (now, 1);
            return Ok(());
        };
        if *count >= MAX_NEW {
            return Err(left);
        }
        *count += 1;
        Ok(())
    }
}

/// What is known of one address.
struct Entry<V> {
    /// Held by whoever fetches.
    flight: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State<V>>,
}

impl<V> Default for Entry<V> {
    fn default() -> Self {
        Self {
            flight: Arc::default(),
            state: Mutex::new(State::default()),
        }
    }
}

impl<V> Entry<V> {
    fn state(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

mod state;
use state::{Held, State, Step, left};

#[cfg(test)]
mod tests;
