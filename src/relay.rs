//! The slow path of publishing: what the ledger says is still owed.
//!
//! Runs beside the way of a delivery, in every replica. It takes over signals whose lease has run
//! out or was given back, because the broker was away, this process was new, or another one died.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use crate::outbox::{Desk, Handed, Outbox};
use crate::shutdown::Drain;
use crate::signal::Signal;

/// The longest pause while the ledger fails, before jitter, which at most doubles it.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How the relay works.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// How long it waits when there was nothing to do, before jitter, which at most doubles it.
    pub poll: Duration,
    /// How many signals it takes at once.
    pub batch: usize,
    /// How many of them it publishes at once.
    pub concurrency: usize,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(500),
            batch: 256,
            concurrency: 64,
        }
    }
}

/// Starts the relay as a task of `drain`. It shares the outbox's ledger, publisher and counters.
pub fn start(outbox: &Outbox, drain: &Drain, settings: RelaySettings) {
    let desk = outbox.desk();
    let ready = desk.publisher.ready();
    let relay = Relay {
        desk,
        ready,
        drain: drain.clone(),
        settings,
    };
    drain.spawn(relay.run());
}

struct Relay {
    desk: Arc<Desk>,
    ready: watch::Receiver<bool>,
    drain: Drain,
    settings: RelaySettings,
}

/// What a turn says about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// There was something to do, and it worked: there may be more.
    Again,
    /// Nothing more to do for now, or not all of it worked.
    Rest,
    /// The ledger failed.
    LedgerFailed,
}

impl Relay {
    async fn run(mut self) {
        let mut rests = self.rests();
        let mut pauses = self.pauses();
        while self.until_ready().await {
            let turn = self.turn().await;
            if turn != Turn::LedgerFailed {
                pauses = self.pauses();
            }
            let pause = match turn {
                Turn::Again => Some(Duration::ZERO),
                Turn::Rest => rests.next(),
                Turn::LedgerFailed => pauses.next(),
            };
            self.rest(pause.unwrap_or(LONGEST_PAUSE)).await;
        }
        // What is owed need not wait for the next process. The drain's deadline bounds this.
        while *self.ready.borrow() && self.turn().await == Turn::Again {}
    }

    /// Waits until publishing is worth trying. False when the drain has begun.
    async fn until_ready(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.drain.stopping() => false,
            ready = self.ready.wait_for(|ready| *ready) => ready.is_ok(),
        }
    }

    /// Takes what is owed, publishes it and tells the ledger.
    async fn turn(&self) -> Turn {
        let taken = self.desk.ledger.unpublished(self.settings.batch).await;
        let Some(signals) = self.desk.ledger_answered(taken) else {
            return Turn::LedgerFailed;
        };
        // Large signals come in smaller lots, so that less than a batch may not be all.
        let some = !signals.is_empty();
        let handed: Vec<(Signal, Handed)> = stream::iter(signals)
            .map(async |signal| {
                let handed = self.desk.hand_over(&signal).await;
                (signal, handed)
            })
            .buffer_unordered(self.settings.concurrency.max(1))
            .collect()
            .await;
        let confirmed = with(&handed, Handed::Confirmed);
        let unavailable = with(&handed, Handed::Unavailable);
        let worked = unavailable.is_empty();
        if !self.discharge(&confirmed).await || !self.give_back(&unavailable).await {
            return Turn::LedgerFailed;
        }
        if some && worked {
            Turn::Again
        } else {
            Turn::Rest
        }
    }

    async fn discharge(&self, confirmed: &[Signal]) -> bool {
        if confirmed.is_empty() {
            return true;
        }
        let counters = &self.desk.counters;
        counters
            .relayed
            .fetch_add(confirmed.len() as u64, Ordering::Relaxed);
        let told = self.desk.ledger.published(confirmed).await;
        let told = self.desk.ledger_answered(told).is_some();
        if !told {
            counters
                .undischarged
                .fetch_add(confirmed.len() as u64, Ordering::Relaxed);
        }
        told
    }

    /// Gives back what failed because the broker went away. What failed while the broker is well
    /// (a full queue) keeps its lease instead: that is its pause, and lets the others by.
    async fn give_back(&self, unavailable: &[Signal]) -> bool {
        if unavailable.is_empty() || *self.ready.borrow() {
            return true;
        }
        let told = self.desk.ledger.released(unavailable).await;
        self.desk.ledger_answered(told).is_some()
    }

    /// Waits, unless the drain begins or the publisher's readiness changes.
    async fn rest(&mut self, pause: Duration) {
        tokio::select! {
            () = self.drain.stopping() => {}
            changed = self.ready.changed() => drop(changed),
            () = tokio::time::sleep(pause) => {}
        }
    }

    fn rests(&self) -> ExponentialBackoff {
        self.delays()
            .with_factor(1.0)
            .with_max_delay(self.settings.poll)
            .build()
    }

    fn pauses(&self) -> ExponentialBackoff {
        self.delays()
            .with_max_delay(LONGEST_PAUSE.max(self.settings.poll))
            .build()
    }

    fn delays(&self) -> ExponentialBuilder {
        let builder = ExponentialBuilder::default().with_min_delay(self.settings.poll);
        builder.with_jitter().without_max_times()
    }
}

fn with(handed: &[(Signal, Handed)], wanted: Handed) -> Vec<Signal> {
    let matching = handed.iter().filter(|(_, handed)| *handed == wanted);
    matching.map(|(signal, _)| signal.clone()).collect()
}
