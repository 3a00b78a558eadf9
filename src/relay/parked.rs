//! The replay of parked signals: what the broker would not take is offered again now and then.
//!
//! Runs beside the way of a delivery, in every replica. A signal is parked because no queue was bound,
//! it was too large, or its routing key was forbidden; only the operator of the broker can change that,
//! and nobody tells the gateway. So every turn tries a few, those tried longest ago first: a signal that
//! stays refused costs one attempt a turn at most, and goes to the end of the line.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::watch;
use tracing::info;

use crate::outbox::Desk;
use crate::publisher::PublishError;
use crate::shutdown::Drain;
use crate::signal::Signal;

/// How many parked signals are tried together. A turn ends with a lot of which none was taken.
const LOT: usize = 64;
/// How many of them are published at once, so that live traffic is not in their way.
const CONCURRENCY: usize = 4;

/// Tries what is parked.
pub(super) struct Parked {
    pub(super) desk: Arc<Desk>,
    pub(super) ready: watch::Receiver<bool>,
    pub(super) drain: Drain,
    /// How long a signal is left alone between two attempts, over all replicas.
    pub(super) rest: Duration,
}

impl Parked {
    /// Takes turns until the drain begins.
    pub(super) async fn run(self) {
        loop {
            tokio::select! {
                () = self.drain.stopping() => return,
                () = tokio::time::sleep(self.rest) => {}
            }
            while self.is_worth_trying() && self.try_some().await {}
        }
    }

    fn is_worth_trying(&self) -> bool {
        *self.ready.borrow() && !self.drain.is_stopping()
    }

    /// Tries a lot, and tells whether another one is worth trying at once: some of it was taken.
    async fn try_some(&self) -> bool {
        let taken = self.desk.ledger.retry_parked(LOT, self.rest).await;
        let Some(signals) = self.desk.ledger_answered(taken) else {
            return false;
        };
        let confirmed: Vec<Signal> = stream::iter(signals)
            .map(async |signal| self.is_taken(&signal).await.then_some(signal))
            .buffer_unordered(CONCURRENCY)
            .filter_map(std::future::ready)
            .collect()
            .await;
        if confirmed.is_empty() {
            return false;
        }
        let count = confirmed.len() as u64;
        self.desk
            .counters
            .replayed
            .fetch_add(count, Ordering::Relaxed);
        info!(signals = count, "broker takes signals that were parked");
        let told = self.desk.ledger.published(&confirmed).await;
        let told = self.desk.ledger_answered(told).is_some();
        if !told {
            // They stay parked and are published once more.
            let counters = &self.desk.counters;
            counters.undischarged.fetch_add(count, Ordering::Relaxed);
        }
        told
    }

    /// Offers one signal to the broker. Whatever else it answers, the signal stays parked.
    async fn is_taken(&self, signal: &Signal) -> bool {
        let published = self.desk.publisher.publish(signal).await;
        if let Err(PublishError::Unavailable { .. }) = &published {
            let counters = &self.desk.counters;
            counters.unavailable.fetch_add(1, Ordering::Relaxed);
        }
        published.is_ok()
    }
}
