//! The fast path of publishing: what was just recorded goes to the broker at once, from memory.
//!
//! The step `publish` of the way of a delivery, after the ledger and before the answer. It never
//! fails the delivery: the duty to publish is the ledger's, and what cannot be done here is left to
//! [`crate::relay`]. Publishing goes on after the caller has had its answer.

mod notes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::{info, warn};

use self::notes::Notes;
use crate::ledger::{Ledger, LedgerError};
use crate::publisher::{PublishError, Publisher};
use crate::shutdown::Drain;
use crate::signal::Signal;

/// What a delivery's answer waits for, once its signals are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ack {
    /// The broker's confirm, as long as that comes in time.
    #[default]
    Confirmed,
    /// Nothing more.
    Recorded,
}

/// How the outbox publishes. Checked by the configuration.
#[derive(Clone, Debug)]
pub struct OutboxSettings {
    /// What the answer waits for.
    pub ack: Ack,
    /// How long the answer waits for the confirm. 300 ms unless set.
    pub ack_wait: Duration,
    /// How many signals may be on their way to the broker; more are left to the relay. 1024 unless set.
    pub max_in_flight: usize,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self {
            ack: Ack::Confirmed,
            ack_wait: Duration::from_millis(300),
            max_in_flight: 1024,
        }
    }
}

/// What the caller may be told. All three mean that the signals are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publication {
    /// The broker has confirmed every signal.
    Confirmed,
    /// Not every signal is confirmed; the rest are published later.
    Buffered,
    /// Publishing has begun, and nobody waits for it.
    Pending,
}

/// Counts what became of signals. All of them only ever grow.
#[derive(Debug, Default)]
pub struct PublishCounters {
    /// Signals confirmed on the fast path.
    pub confirmed: AtomicU64,
    /// Signals of deliveries that were answered before all of theirs were confirmed.
    pub buffered: AtomicU64,
    /// Attempts that failed because the broker could not be used.
    pub unavailable: AtomicU64,
    /// Signals that the broker would not take.
    pub refused: AtomicU64,
    /// Signals confirmed on the slow path, by the relay.
    pub relayed: AtomicU64,
    /// Signals confirmed that were parked.
    pub replayed: AtomicU64,
    /// Signals confirmed whose duty could not be discharged: the relay publishes them once more.
    pub undischarged: AtomicU64,
}

/// Publishes what was just recorded. Clones share everything.
#[derive(Clone, Debug)]
pub struct Outbox {
    desk: Arc<Desk>,
    notes: Arc<Notes>,
    drain: Drain,
    ready: watch::Receiver<bool>,
    permits: Arc<Semaphore>,
    ack: Ack,
    ack_wait: Duration,
}

impl Outbox {
    /// Creates an outbox. Its tasks belong to `drain`, which waits for what is on its way.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        publisher: Arc<dyn Publisher>,
        drain: Drain,
        settings: OutboxSettings,
    ) -> Self {
        let desk = Arc::new(Desk::new(ledger, publisher));
        Self {
            notes: Arc::new(Notes::new(Arc::clone(&desk), drain.clone())),
            ready: desk.publisher.ready(),
            desk,
            drain,
            permits: Arc::new(Semaphore::new(
                settings.max_in_flight.min(Semaphore::MAX_PERMITS),
            )),
            ack: settings.ack,
            ack_wait: settings.ack_wait,
        }
    }

    /// Publishes the new signals of one delivery, and waits for their confirms as long as the
    /// settings say. Publishing goes on when the wait is over or the caller goes away.
    pub async fn publish(&self, signals: Vec<Signal>) -> Publication {
        let count = signals.len();
        let Some(permit) = self.admit(count) else {
            self.notes.released(signals);
            return self.buffered(count);
        };
        let outbox = self.clone();
        let work = async move {
            let _permit = permit;
            let published = join_all(signals.into_iter().map(|signal| outbox.hand_over(signal)));
            published.await.into_iter().all(|confirmed| confirmed)
        };
        if self.ack == Ack::Recorded {
            self.drain.spawn(work);
            return Publication::Pending;
        }
        match tokio::time::timeout(self.ack_wait, self.drain.see_through(work)).await {
            Ok(Some(true)) => Publication::Confirmed,
            Ok(_) | Err(_) => self.buffered(count),
        }
    }

    /// Returns the counters, for the metrics and for the relay.
    pub fn counters(&self) -> Arc<PublishCounters> {
        Arc::clone(&self.desk.counters)
    }

    /// Returns where signals are handed over, for the relay.
    pub(crate) fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// Lets signals in where publishing is worth trying and there is room for all of them.
    fn admit(&self, count: usize) -> Option<OwnedSemaphorePermit> {
        let ready = *self.ready.borrow();
        let count = u32::try_from(count).ok().filter(|_| ready)?;
        Arc::clone(&self.permits).try_acquire_many_owned(count).ok()
    }

    async fn hand_over(&self, signal: Signal) -> bool {
        match self.desk.hand_over(&signal).await {
            Handed::Confirmed => {
                self.desk.counters.confirmed.fetch_add(1, Ordering::Relaxed);
                self.notes.published(signal);
                true
            }
            Handed::Unavailable => {
                self.notes.released(vec![signal]);
                false
            }
            Handed::Refused => false,
        }
    }

    fn buffered(&self, count: usize) -> Publication {
        self.desk
            .counters
            .buffered
            .fetch_add(count as u64, Ordering::Relaxed);
        Publication::Buffered
    }
}

/// Where both paths hand signals to the publisher, and where what it refuses is parked.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) publisher: Arc<dyn Publisher>,
    pub(crate) counters: Arc<PublishCounters>,
    refusing: AtomicBool,
    ledger_failing: AtomicBool,
}

/// What became of one signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handed {
    /// The broker has it; the duty is to be discharged.
    Confirmed,
    /// To be tried again.
    Unavailable,
    /// The broker will not have it. It is parked, or the lease runs out and it is tried again.
    Refused,
}

impl Desk {
    fn new(ledger: Arc<dyn Ledger>, publisher: Arc<dyn Publisher>) -> Self {
        Self {
            ledger,
            publisher,
            counters: Arc::default(),
            refusing: AtomicBool::new(false),
            ledger_failing: AtomicBool::new(false),
        }
    }

    /// Publishes one signal, counts failures and parks it where it is refused.
    pub(crate) async fn hand_over(&self, signal: &Signal) -> Handed {
        match self.publisher.publish(signal).await {
            Ok(()) => {
                self.refusing.store(false, Ordering::Relaxed);
                Handed::Confirmed
            }
            Err(PublishError::Unavailable { .. }) => {
                self.counters.unavailable.fetch_add(1, Ordering::Relaxed);
                Handed::Unavailable
            }
            Err(PublishError::Refused(reason)) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                self.park(signal, &reason).await;
                Handed::Refused
            }
        }
    }

    /// Takes note of whether a call of the ledger succeeded, and says so when that changes.
    pub(crate) fn ledger_answered<T>(&self, answer: Result<T, LedgerError>) -> Option<T> {
        match answer {
            Ok(value) => {
                if self.ledger_failing.swap(false, Ordering::Relaxed) {
                    info!("ledger answers publishing again");
                }
                Some(value)
            }
            Err(error) => {
                if !self.ledger_failing.swap(true, Ordering::Relaxed) {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    warn!(%error, cause, "ledger fails publishing");
                }
                None
            }
        }
    }

    async fn park(&self, signal: &Signal, reason: &str) {
        if !self.refusing.swap(true, Ordering::Relaxed) {
            let endpoint = &signal.attributes.endpoint;
            warn!(signalid = %signal.signalid, %endpoint, reason, "broker refuses signals, parking");
        }
        self.ledger_answered(self.ledger.parked(signal, reason).await);
    }
}
