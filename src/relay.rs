//! The slow path of publishing: what the ledger says is still owed.
//!
//! Runs beside the way of a delivery, in every replica. It takes over signals whose lease has run
//! out or was given back, because the broker was away, this process was new, or another one died.
//!
//! A sweep keeps the same number of signals on their way until nothing is owed any more: the next
//! are leased while the last are being confirmed, and those confirmed are discharged meanwhile. That
//! number is a small share of what the publisher has room for, so that what is delivered while a
//! large backlog drains is not kept waiting behind it.

mod parked;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::watch;

use self::parked::Parked;
use crate::outbox::{Desk, Handed, Outbox};
use crate::shutdown::Drain;
use crate::signal::{Signal, SignalId};

/// The longest pause while the ledger fails, before jitter, which at most doubles it.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How many batches may be told to the ledger at once.
const TELLING: usize = 2;

/// How the relay works.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// How long it waits when there was nothing to do, before jitter, which at most doubles it.
    pub poll: Duration,
    /// How many signals it leases at once.
    pub batch: usize,
    /// How many signals it has on their way at once.
    pub concurrency: usize,
    /// How long it leaves a parked signal alone between two attempts; never tries any if nothing.
    pub retry_parked: Option<Duration>,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(500),
            batch: 256,
            concurrency: 128,
            retry_parked: Some(Duration::from_secs(60)),
        }
    }
}

/// Starts the relay as tasks of `drain`. It shares the outbox's ledger, publisher and counters.
pub fn start(outbox: &Outbox, drain: &Drain, settings: RelaySettings) {
    let desk = outbox.desk();
    let ready = desk.publisher.ready();
    if let Some(rest) = settings.retry_parked {
        let parked = Parked {
            desk: Arc::clone(&desk),
            ready: ready.clone(),
            drain: drain.clone(),
            rest,
        };
        drain.spawn(parked.run());
    }
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

/// How a sweep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swept {
    /// Nothing more to do for now, or not all of it worked.
    Rest,
    /// The ledger failed.
    LedgerFailed,
}

/// What a sweep knows.
#[derive(Debug, Default)]
struct Sweep {
    /// Something could not be published: nothing more is taken.
    unavailable: AtomicBool,
    ledger_failed: AtomicBool,
    /// What was taken and the ledger was not told of yet. Its lease may run out meanwhile.
    under_way: Mutex<HashSet<SignalId>>,
}

impl Sweep {
    fn is_over(&self) -> bool {
        self.unavailable.load(Ordering::Relaxed) || self.ledger_failed.load(Ordering::Relaxed)
    }

    /// Takes what is not under way already.
    fn take(&self, mut leased: Vec<Signal>) -> Vec<Signal> {
        let mut under_way = self.under_way();
        leased.retain(|signal| under_way.insert(signal.signalid));
        leased
    }

    fn done(&self, handed: &[(Signal, Handed)]) {
        let mut under_way = self.under_way();
        for (signal, _) in handed {
            under_way.remove(&signal.signalid);
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashSet<SignalId>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Relay {
    async fn run(mut self) {
        let mut rests = self.rests();
        let mut pauses = self.pauses();
        while self.until_ready().await {
            let pause = match self.sweep().await {
                Swept::Rest => {
                    pauses = self.pauses();
                    rests.next()
                }
                Swept::LedgerFailed => pauses.next(),
            };
            self.rest(pause.unwrap_or(LONGEST_PAUSE)).await;
        }
        // What is owed need not wait for the next process. The drain's deadline bounds this.
        if *self.ready.borrow() {
            self.sweep().await;
        }
    }

    /// Waits until publishing is worth trying. False when the drain has begun.
    async fn until_ready(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.drain.stopping() => false,
            ready = self.ready.wait_for(|ready| *ready) => ready.is_ok(),
        }
    }

    /// Takes what is owed, publishes it and tells the ledger, until nothing is left or something fails.
    async fn sweep(&self) -> Swept {
        let sweep = Sweep::default();
        self.owed(&sweep)
            .map(|signal| self.hand_over(signal, &sweep))
            .buffer_unordered(self.settings.concurrency.max(1))
            .ready_chunks(self.settings.batch.max(1))
            .map(|handed| self.tell(handed, &sweep))
            .buffer_unordered(TELLING)
            .collect::<()>()
            .await;
        match sweep.ledger_failed.into_inner() {
            true => Swept::LedgerFailed,
            false => Swept::Rest,
        }
    }

    /// Leases what is owed, batch after batch, as fast as it is taken.
    fn owed(&self, sweep: &Sweep) -> impl Stream<Item = Signal> {
        let batches = stream::unfold((), async |()| {
            if sweep.is_over() {
                return None;
            }
            let leased = self.desk.ledger.unpublished(self.settings.batch).await;
            let leased = self.desk.ledger_answered(leased);
            if leased.is_none() {
                sweep.ledger_failed.store(true, Ordering::Relaxed);
            }
            // Large signals come in smaller lots: only nothing new means that nothing is left.
            let taken = leased.map(|leased| sweep.take(leased));
            let taken = taken.filter(|taken| !taken.is_empty())?;
            Some((stream::iter(taken), ()))
        });
        batches.flatten()
    }

    async fn hand_over(&self, signal: Signal, sweep: &Sweep) -> (Signal, Handed) {
        let handed = self.desk.hand_over(&signal).await;
        if handed == Handed::Unavailable {
            sweep.unavailable.store(true, Ordering::Relaxed);
        }
        (signal, handed)
    }

    async fn tell(&self, handed: Vec<(Signal, Handed)>, sweep: &Sweep) {
        let confirmed = with(&handed, Handed::Confirmed);
        let unavailable = with(&handed, Handed::Unavailable);
        if !self.discharge(&confirmed).await || !self.give_back(&unavailable).await {
            sweep.ledger_failed.store(true, Ordering::Relaxed);
        }
        sweep.done(&handed);
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
