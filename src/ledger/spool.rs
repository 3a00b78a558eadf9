//! The spool: a local file beside a ledger in Redis, for as long as that cannot record.
//!
//! Part of the step `record` of the way of a delivery, off unless it is configured. Deliveries that
//! the ledger cannot record are kept in a SQLite file with the same promises for this replica: synced
//! before the 2xx, repeats refused among what waits. What is kept are *drafts*: the ledger decides
//! later, as it would have at once, what is new, and only then are they published ([`mover`]).
//!
//! Once the ledger has failed, nobody waits for it any more: deliveries go to the spool at once, until
//! the mover finds that the ledger records again.

mod file;
mod mover;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tracing::warn;

use self::file::SpoolFile;
use super::{Backlog, Ledger, LedgerError, Recorded, Settings};
use crate::signal::{Draft, Signal};
use crate::telemetry::explain;

/// How large the file of a spool may become, but for its write-ahead log. Past it deliveries are
/// refused as without a spool.
pub const MAX_SPOOL_BYTES: u64 = 1 << 30;

/// Where a spool is, and how much it may hold.
#[derive(Clone, Debug)]
pub struct SpoolSettings {
    /// The file.
    pub path: PathBuf,
    /// How large it may become, in bytes: [`MAX_SPOOL_BYTES`].
    pub max_bytes: u64,
}

/// Counts deliveries that went through the spool. All but `waiting` only ever grow.
#[derive(Debug, Default)]
pub struct SpoolCounters {
    /// Deliveries that wait for the ledger now.
    pub waiting: AtomicU64,
    /// Deliveries that were kept in the spool.
    pub kept: AtomicU64,
    /// Deliveries that the ledger has recorded since, with something new in them.
    pub recorded: AtomicU64,
    /// Deliveries that the ledger knew already.
    pub known: AtomicU64,
    /// Deliveries that cannot be moved and are kept for the operator to look at.
    pub set_aside: AtomicU64,
}

impl SpoolCounters {
    /// Never below nothing, because one whose keeping took too long was not counted.
    fn no_longer_waiting(&self, count: u64) {
        let less = |waiting: u64| Some(waiting.saturating_sub(count));
        let _always = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// A ledger with a spool beside it.
pub struct Spooling {
    ledger: Arc<dyn Ledger>,
    file: SpoolFile,
    counters: Arc<SpoolCounters>,
    /// Why the ledger has failed to record, where nobody has found it able to since.
    away: watch::Sender<Option<Arc<str>>>,
    /// Something was kept since the mover looked last.
    kept: AtomicBool,
    /// The log says that deliveries are kept in the spool.
    told: AtomicBool,
    /// Wakes the mover.
    wake: Notify,
}

impl Spooling {
    /// Opens the spool's file beside a ledger. What an earlier process has left there waits.
    pub async fn open(
        ledger: Arc<dyn Ledger>,
        spool: &SpoolSettings,
        settings: &Settings,
    ) -> Result<Self, LedgerError> {
        let file = SpoolFile::open(spool, settings).await?;
        let waiting = file.waiting().await?;
        if waiting > 0 {
            warn!(waiting, "an earlier process left deliveries in the spool");
        }
        let counters = SpoolCounters {
            waiting: waiting.into(),
            ..SpoolCounters::default()
        };
        Ok(Self {
            ledger,
            file,
            counters: Arc::new(counters),
            away: watch::Sender::new(None),
            kept: (waiting > 0).into(),
            told: (waiting > 0).into(),
            wake: Notify::new(),
        })
    }

    /// Returns the counters, for the metrics.
    pub fn counters(&self) -> Arc<SpoolCounters> {
        Arc::clone(&self.counters)
    }

    /// Makes sure that the spool can keep deliveries, with a small write.
    pub async fn check(&self) -> Result<(), LedgerError> {
        self.file.check().await
    }

    /// Returns how many deliveries wait.
    pub fn waiting(&self) -> u64 {
        self.counters.waiting.load(Ordering::Relaxed)
    }

    /// Keeps the drafts of a delivery, all or none, because the ledger cannot record for this reason.
    async fn keep(&self, drafts: Vec<Draft>, why: &str) -> Result<Vec<Recorded>, LedgerError> {
        // Counted before it is there, so that the mover never takes away what was not counted.
        self.counters.waiting.fetch_add(1, Ordering::Relaxed);
        let kept = self.file.keep(drafts).await;
        match &kept {
            Ok((_, true)) => {
                self.counters.kept.fetch_add(1, Ordering::Relaxed);
                if !self.told.swap(true, Ordering::Relaxed) {
                    warn!(
                        error = why,
                        "ledger cannot record: deliveries are kept in the spool"
                    );
                }
            }
            // One that took too long may have been kept all the same: the mover looks.
            Ok((_, false)) | Err(_) => self.counters.no_longer_waiting(1),
        }
        self.kept.store(true, Ordering::Release);
        self.wake.notify_one();
        kept.map(|(answers, _)| answers)
    }
}

#[async_trait]
impl Ledger for Spooling {
    async fn record(&self, drafts: Vec<Draft>) -> Result<Vec<Recorded>, LedgerError> {
        if !drafts.iter().all(|draft| draft.spool) {
            return self.ledger.record(drafts).await;
        }
        let mut away = self.away.subscribe();
        // Whoever still waits when another one has found the ledger away need not find it out too. It
        // may have recorded this all the same: then the mover meets a repeat.
        let why: Arc<str> = tokio::select! {
            biased;
            Ok(found) = away.wait_for(Option::is_some) => found.clone().unwrap_or_default(),
            answer = self.ledger.record(drafts.clone()) => match answer {
                Err(error @ LedgerError::Unavailable { .. }) => {
                    let why: Arc<str> = explain(&error).into();
                    self.away.send_replace(Some(Arc::clone(&why)));
                    why
                }
                answer => return answer,
            },
        };
        let kept = self.keep(drafts, &why).await;
        kept.map_err(|error| {
            LedgerError::unavailable(format!("{why}; nor can the spool keep it"), error)
        })
    }

    async fn unpublished(&self, limit: usize) -> Result<Vec<Signal>, LedgerError> {
        self.ledger.unpublished(limit).await
    }

    async fn published(&self, signals: &[Signal]) -> Result<(), LedgerError> {
        self.ledger.published(signals).await
    }

    async fn released(&self, signals: &[Signal]) -> Result<(), LedgerError> {
        self.ledger.released(signals).await
    }

    async fn parked(&self, signal: &Signal, reason: &str) -> Result<(), LedgerError> {
        self.ledger.parked(signal, reason).await
    }

    async fn retry_parked(&self, limit: usize, rest: Duration) -> Result<Vec<Signal>, LedgerError> {
        self.ledger.retry_parked(limit, rest).await
    }

    async fn backlog(&self) -> Result<Backlog, LedgerError> {
        self.ledger.backlog().await
    }

    async fn ready(&self) -> Result<(), LedgerError> {
        self.ledger.ready().await
    }

    /// Prunes the spool's marks first, which needs no ledger.
    async fn prune(&self) -> Result<u64, LedgerError> {
        self.file.prune().await?;
        self.ledger.prune().await
    }

    async fn probe(&self) -> Result<Vec<String>, LedgerError> {
        let mut found = self.ledger.probe().await?;
        let of_spool = self.file.probe().await?;
        found.extend(of_spool.iter().map(|line| format!("spool: {line}")));
        Ok(found)
    }

    async fn close(&self) {
        self.file.close().await;
        self.ledger.close().await;
    }
}

impl fmt::Debug for Spooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spooling")
            .field("ledger", &self.ledger)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// Opens the file of a spool, and says in plain words whether it can be used.
pub async fn probe(spool: &SpoolSettings, settings: &Settings) -> Result<Vec<String>, LedgerError> {
    let file = SpoolFile::open(spool, settings).await?;
    let found = file.probe().await;
    file.close().await;
    found
}
