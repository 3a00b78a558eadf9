//! Where signals are recorded, once each.
//!
//! The step `record` of the way of a delivery, and the memory behind `publish`: the ledger refuses
//! repeats, persists what is new and notes what is still to be published, in one atomic step. There
//! is no state between refusing a repeat and persisting, because that is the window in which events
//! get lost. Two backends: [`sqlite`] (embedded, for one instance) and [`redis`] (shared by replicas),
//! the latter with a [`spool`] beside it where one is configured.

mod durability;
mod memo;
pub mod redis;
pub mod spool;
pub mod sqlite;
mod stored;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::signal::{Draft, Signal, SignalId};

pub use durability::Durability;

/// The longest lease. One that ends later is a trace of a clock that was wrong, and counts as over.
pub const LONGEST_LEASE: Duration = Duration::from_hours(1);

/// How much of the reason for parking a signal is kept, in bytes.
pub const LONGEST_REASON: usize = 512;

/// How many bytes of envelopes one step of [`Ledger::unpublished`] may read, unless the first one
/// alone is larger.
const LEASED_BYTES: usize = 4 << 20;

/// What became of one draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The event was new: this is its signal, leased to the caller for publishing.
    New {
        /// The signal as it was stored.
        signal: Signal,
        /// Its unsigned id was already taken by other content, and so was completed.
        id_conflict: bool,
    },
    /// The event is known under the same id.
    Duplicate(SignalId),
    /// The signed content is known under another, unsigned id.
    Replayed(SignalId),
    /// The ledger is away, and the draft waits in this replica's [`spool`]: kept as safely, and not
    /// to be published before the ledger has it.
    Spooled(SignalId),
}

/// How much is owed to the publisher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Signals recorded and not yet known to be published.
    pub owed: u64,
    /// Signals that the broker would not take.
    pub parked: u64,
}

/// Why the ledger could not do what was asked. Nothing was recorded in part.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be reached, is full, or failed: the provider should try again.
    #[error("ledger cannot be used: {what}")]
    Unavailable {
        /// What was being done, in a few words, without any secret.
        what: String,
        /// The backend's own error.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// What it holds was not written by this version of Hookgate.
    #[error("ledger holds something unreadable: {0}")]
    Corrupt(String),
}

impl LedgerError {
    /// Tells what was being done when the backend failed, and keeps its error. Neither may hold a
    /// secret.
    fn unavailable(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable {
            what: what.into(),
            source: Some(source.into()),
        }
    }
}

/// Where signals are recorded. Safe to call from many tasks and replicas at once.
///
/// Every backend passes the suite in `tests/it/ledger.rs`.
#[async_trait]
pub trait Ledger: Debug + Send + Sync + 'static {
    /// Refuses repeats, persists the rest and notes what is still to be published, in one atomic
    /// step: all signals or none. Answers in the order given. New signals are leased to the caller
    /// for [`Settings::lease`]. All drafts of one call belong to one endpoint.
    async fn record(&self, drafts: Vec<Draft>) -> Result<Vec<Recorded>, LedgerError>;

    /// Leases up to `limit` signals whose lease has run out, oldest first. Fewer than `limit` does
    /// not mean that none are left: large ones come in smaller lots.
    async fn unpublished(&self, limit: usize) -> Result<Vec<Signal>, LedgerError>;

    /// Discharges the duty to publish. Safe to repeat, safe to lose.
    async fn published(&self, signals: &[Signal]) -> Result<(), LedgerError>;

    /// Ends the caller's lease, so that the relay may take the signals at once. Safe to lose.
    async fn released(&self, signals: &[Signal]) -> Result<(), LedgerError>;

    /// Keeps a signal that the broker will not take: no longer owed, never pruned, replayable.
    async fn parked(&self, signal: &Signal, reason: &str) -> Result<(), LedgerError>;

    /// Takes up to `limit` parked signals that nobody tried for as long as `rest`, those tried longest
    /// ago first, and notes that they are tried now, so that no replica takes them meanwhile. They stay
    /// parked until they are [`published`](Self::published). Large ones come in smaller lots.
    async fn retry_parked(&self, limit: usize, rest: Duration) -> Result<Vec<Signal>, LedgerError>;

    /// Counts what is owed and what is parked.
    async fn backlog(&self) -> Result<Backlog, LedgerError>;

    /// Makes sure, at a small cost, that the ledger can record now: one that answers may be full, or
    /// refuse to write. For the check-up, which asks it every second.
    async fn ready(&self) -> Result<(), LedgerError> {
        self.backlog().await.map(drop)
    }

    /// Removes published signals older than [`Settings::retention`] and some of the marks whose time
    /// is over: all of them in about an hour of calls once a minute. It works in bounded steps, between
    /// which others get through. Returns how many signals it removed (none on Redis, which lets them
    /// expire by itself). Never removes what is owed or parked.
    async fn prune(&self) -> Result<u64, LedgerError>;

    /// Makes sure that the ledger can record, and says in plain words, one finding a line, what its
    /// settings mean for the promise that nothing acknowledged is lost.
    async fn probe(&self) -> Result<Vec<String>, LedgerError>;

    /// Finishes what was begun and lets go of files and connections.
    async fn close(&self);
}

/// How a ledger is opened. Checked by the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which backend, and where.
    pub url: LedgerUrl,
    /// Age at which a published signal may be pruned, counted from its publication.
    pub retention: Duration,
    /// How long a signal is left to whoever leased it for publishing, at most [`LONGEST_LEASE`].
    pub lease: Duration,
    /// How long one call may take before it counts as failed.
    pub timeout: Duration,
    /// How safe a record must be before it counts. A SQLite ledger is always on disk, and gives no
    /// more.
    pub durability: Durability,
    /// What connections to Redis need beside the URL.
    pub access: redis::Access,
}

/// Opens the ledger that `settings.url` names. Does not wait for a server: one that is away refuses to
/// record, and is used as soon as it is there. [`Ledger::probe`] tells whether it is.
pub async fn open(settings: &Settings) -> Result<Arc<dyn Ledger>, LedgerError> {
    Ok(match &settings.url {
        LedgerUrl::Sqlite(path) => Arc::new(sqlite::Sqlite::open(path, settings).await?),
        LedgerUrl::Redis(place) => Arc::new(redis::Redis::open(place, settings)?),
    })
}

/// Which ledger, and where.
#[derive(Clone, Debug)]
pub enum LedgerUrl {
    /// `sqlite:PATH`
    Sqlite(std::path::PathBuf),
    /// `redis://…` and its kin: see [`redis::FORMS`].
    Redis(redis::Place),
}

impl LedgerUrl {
    /// Reads a ledger's URL. The error says which forms there are, and repeats no password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return match path {
                "" => Err("no path after `sqlite:`".to_owned()),
                ":memory:" => Err("a ledger in memory would lose what was acknowledged".to_owned()),
                path => Ok(Self::Sqlite(path.into())),
            };
        }
        let place = redis::Place::parse(text);
        let place = place.map_err(|why| format!("{why}; use sqlite:PATH, {}", redis::FORMS));
        place.map(Self::Redis)
    }
}

/// A duration in milliseconds that every backend can add to its clock: at least one, because zero
/// is no lifetime to Redis, and at most a hundred years, because a sum must not overflow.
fn millis(duration: Duration) -> i64 {
    const CENTURY: i64 = 100 * 365 * 24 * 60 * 60 * 1000;
    i64::try_from(duration.as_millis())
        .unwrap_or(CENTURY)
        .clamp(1, CENTURY)
}

/// Cuts a reason to [`LONGEST_REASON`] bytes, between characters.
fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(LONGEST_REASON)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_url_names_its_backend() {
        assert!(
            matches!(LedgerUrl::parse("sqlite:x.db"), Ok(LedgerUrl::Sqlite(path)) if path == *"x.db")
        );
        assert!(matches!(
            LedgerUrl::parse("redis://localhost:6379"),
            Ok(LedgerUrl::Redis(_))
        ));
        assert!(matches!(
            LedgerUrl::parse("rediss://localhost"),
            Ok(LedgerUrl::Redis(_))
        ));
        for text in [
            "sqlite:",
            "sqlite::memory:",
            "amqp://localhost",
            "localhost",
        ] {
            assert!(LedgerUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mistyped_ledger_url_is_refused_without_its_password() {
        let error = LedgerUrl::parse("postgres://user:s3cr3t@host/db").unwrap_err();
        assert!(
            error.contains("postgres") && !error.contains("s3cr3t"),
            "{error}"
        );
    }

    #[test]
    fn a_lifetime_is_neither_zero_nor_beyond_what_a_clock_can_add() {
        assert_eq!(millis(Duration::ZERO), 1);
        assert_eq!(millis(Duration::from_secs(2)), 2000);
        assert!(millis(Duration::MAX) < i64::MAX / 1000);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = "é".repeat(LONGEST_REASON);
        assert_eq!(cut(&format!("x{reason}")).len(), LONGEST_REASON - 1);
        assert_eq!(cut("NO_ROUTE"), "NO_ROUTE");
    }
}
