//! What the ledger is still to be told: who was published, who is free for the relay.
//!
//! Told in batches, off the request's path. There is no task that waits for notes: the first note
//! starts one, and it ends when nothing is left, so that a drain waits for exactly what is owed to
//! the ledger. Every note is safe to lose.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::Desk;
use crate::shutdown::Drain;
use crate::signal::Signal;

/// How many notes are told at once.
const BATCH: usize = 256;

/// How long notes may be collected.
const LINGER: Duration = Duration::from_millis(20);

/// How many notes of a kind may wait. More are dropped: the relay finds those signals when their
/// leases run out.
const WAITING: usize = 4096;

/// Collects notes for the ledger.
#[derive(Debug)]
pub(super) struct Notes {
    desk: Arc<Desk>,
    drain: Drain,
    waiting: Mutex<Waiting>,
    full: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    published: Vec<Signal>,
    released: Vec<Signal>,
    telling: bool,
}

impl Notes {
    pub(super) fn new(desk: Arc<Desk>, drain: Drain) -> Self {
        Self {
            desk,
            drain,
            waiting: Mutex::default(),
            full: Notify::new(),
        }
    }

    /// Notes that the broker has confirmed a signal.
    pub(super) fn published(self: &Arc<Self>, signal: Signal) {
        self.note(|waiting| {
            if waiting.published.len() < WAITING {
                waiting.published.push(named(signal));
            } else {
                self.undischarged(1);
            }
        });
    }

    /// Notes that signals are free for the relay.
    pub(super) fn released(self: &Arc<Self>, signals: Vec<Signal>) {
        self.note(|waiting| {
            let room = WAITING.saturating_sub(waiting.released.len());
            waiting
                .released
                .extend(signals.into_iter().take(room).map(named));
        });
    }

    fn note(self: &Arc<Self>, add: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.waiting();
        add(&mut waiting);
        if waiting.published.len().max(waiting.released.len()) >= BATCH {
            self.full.notify_one();
        }
        if !std::mem::replace(&mut waiting.telling, true) {
            self.drain.spawn(Arc::clone(self).tell());
        }
    }

    /// Tells the ledger, batch by batch, until nothing is left.
    async fn tell(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.full.notified() => {}
                () = self.drain.stopping() => {}
                () = tokio::time::sleep(LINGER) => {}
            }
            let Some((published, released)) = self.next() else {
                return;
            };
            if !published.is_empty() {
                let told = self.desk.ledger.published(&published).await;
                if self.desk.ledger_answered(told).is_none() {
                    self.undischarged(published.len());
                }
            }
            if !released.is_empty() {
                self.desk
                    .ledger_answered(self.desk.ledger.released(&released).await);
            }
        }
    }

    /// Takes the next batches, or takes note that nobody is telling any more.
    fn next(&self) -> Option<(Vec<Signal>, Vec<Signal>)> {
        let mut waiting = self.waiting();
        let published = take(&mut waiting.published);
        let released = take(&mut waiting.released);
        waiting.telling = !(published.is_empty() && released.is_empty());
        if waiting.published.len().max(waiting.released.len()) >= BATCH {
            self.full.notify_one();
        }
        waiting.telling.then_some((published, released))
    }

    fn undischarged(&self, count: usize) {
        self.desk
            .counters
            .undischarged
            .fetch_add(count as u64, Ordering::Relaxed);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves out the envelope: the ledger knows a signal by its name and attributes, and thousands of
/// notes must not hold thousands of payloads.
fn named(signal: Signal) -> Signal {
    Signal {
        envelope: Bytes::new(),
        ..signal
    }
}

fn take(from: &mut Vec<Signal>) -> Vec<Signal> {
    from.drain(..from.len().min(BATCH)).collect()
}
