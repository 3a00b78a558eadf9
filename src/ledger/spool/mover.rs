//! Moves what waits in the spool to the ledger, oldest first, and leaves it to the relay.
//!
//! A delivery is recorded as a whole, and removed from the spool once the ledger has answered: a crash
//! in between means that it is moved again, and that the ledger refuses the repeat. New signals are
//! released to the relay, which publishes them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::{StreamExt, stream};
use tracing::{debug, error, info, warn};

use super::Spooling;
use super::file::Waiting;
use crate::ledger::{LedgerError, Recorded};
use crate::shutdown::Drain;
use crate::signal::Signal;
use crate::telemetry::explain;

/// How many deliveries are recorded at once.
const MOVED_TOGETHER: usize = 16;

/// The first and the longest pause while the ledger stays away, before jitter, which at most doubles
/// it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a turn says about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Some were moved: there may be more.
    Again,
    /// Nothing waits any more.
    Empty,
    /// The ledger is still away, or the spool failed.
    Failed,
}

/// Where the mover stands.
#[derive(Default)]
struct Place {
    /// The delivery up to which all were tried since the beginning, where some could not be moved.
    after: i64,
    /// The spool's file failed last.
    failing: bool,
}

/// What became of one delivery.
enum Moved {
    Recorded(Vec<Recorded>),
    /// It cannot be moved, now or ever.
    Stuck(String),
    Failed,
}

impl Spooling {
    /// Moves what waits, now and whenever something is kept, until the drain begins.
    pub async fn run_mover(self: Arc<Self>, drain: Drain) {
        let mut pauses = pauses();
        let mut place = Place::default();
        loop {
            tokio::select! {
                biased;
                () = drain.stopping() => break,
                () = self.something_waits() => {}
            }
            match self.turn(&mut place).await {
                Turn::Again | Turn::Empty => pauses = self::pauses(),
                Turn::Failed => {
                    let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
                    tokio::select! {
                        () = drain.stopping() => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
        // What waits need not wait for the next process. The drain's deadline bounds this.
        while self.turn(&mut place).await == Turn::Again {}
    }

    async fn something_waits(&self) {
        while !self.kept.load(Ordering::Acquire) && self.away.borrow().is_none() {
            self.wake.notified().await;
        }
    }

    /// Moves some of the oldest.
    async fn turn(&self, place: &mut Place) -> Turn {
        // Before looking: what is kept from here on sets it again.
        self.kept.store(false, Ordering::Release);
        let turn = match self.move_some(place).await {
            Ok(turn) => {
                place.failing = false;
                turn
            }
            Err(error) => {
                if !std::mem::replace(&mut place.failing, true) {
                    warn!(error = explain(&error), "spool cannot be emptied");
                }
                Turn::Failed
            }
        };
        if turn != Turn::Empty {
            self.kept.store(true, Ordering::Release);
            return turn;
        }
        self.away.send_replace(None);
        if self.told.swap(false, Ordering::Relaxed) {
            let recorded = self.counters.recorded.load(Ordering::Relaxed);
            let known = self.counters.known.load(Ordering::Relaxed);
            info!(recorded, known, "spool is empty: the ledger has all of it");
        }
        turn
    }

    async fn move_some(&self, place: &mut Place) -> Result<Turn, LedgerError> {
        let mut waiting = self.file.oldest(place.after).await?.into_iter();
        let Some(first) = waiting.next() else {
            // Those that were passed over have their turn again, after a pause.
            return Ok(match std::mem::take(&mut place.after) {
                0 => Turn::Empty,
                _ => Turn::Failed,
            });
        };
        // One finds out whether the ledger is back, and the others follow.
        let mut moved = vec![self.move_one(first).await];
        if !matches!(moved[..], [(_, Moved::Failed)]) {
            self.away.send_replace(None);
            let rest = stream::iter(waiting).map(|one| self.move_one(one));
            moved.extend(rest.buffered(MOVED_TOGETHER).collect::<Vec<_>>().await);
        }
        let failed = |(_, one): &(i64, Moved)| matches!(one, Moved::Failed);
        let turn = match moved.iter().any(failed) {
            true => Turn::Failed,
            false => Turn::Again,
        };
        if let (Turn::Failed, Some((last, _))) = (turn, moved.last()) {
            // It may be this one that the ledger cannot record: it holds up nobody behind it.
            place.after = *last;
        }
        self.settle(moved).await?;
        Ok(turn)
    }

    async fn move_one(&self, waiting: Waiting) -> (i64, Moved) {
        let moved = match waiting.drafts {
            Err(unreadable) => Moved::Stuck(unreadable),
            Ok(drafts) => match self.ledger.record(drafts).await {
                Ok(recorded) => Moved::Recorded(recorded),
                Err(error @ LedgerError::Corrupt(_)) => Moved::Stuck(explain(&error)),
                Err(LedgerError::Unavailable { .. }) => Moved::Failed,
            },
        };
        (waiting.delivery, moved)
    }

    /// Takes what was moved out of the spool, and leaves it to the relay.
    async fn settle(&self, moved: Vec<(i64, Moved)>) -> Result<(), LedgerError> {
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        let (mut with_new, mut all_known) = (0, 0);
        let counters = &self.counters;
        for (delivery, moved) in moved {
            match moved {
                Moved::Recorded(recorded) => {
                    gone.push(delivery);
                    let signals: Vec<Signal> = recorded.into_iter().filter_map(as_new).collect();
                    match signals.is_empty() {
                        true => all_known += 1,
                        false => with_new += 1,
                    }
                    new.extend(signals);
                }
                Moved::Stuck(why) => {
                    error!(
                        delivery,
                        why, "a delivery in the spool cannot be moved, and is set aside"
                    );
                    self.file.set_aside(delivery, why).await?;
                    counters.set_aside.fetch_add(1, Ordering::Relaxed);
                    counters.no_longer_waiting(1);
                }
                Moved::Failed => {}
            }
        }
        if let Err(error) = self.ledger.released(&new).await {
            // The relay finds them when their leases run out.
            debug!(error = explain(&error), "moved signals keep their leases");
        }
        self.file.remove(gone).await?;
        counters.recorded.fetch_add(with_new, Ordering::Relaxed);
        counters.known.fetch_add(all_known, Ordering::Relaxed);
        counters.no_longer_waiting(with_new + all_known);
        Ok(())
    }
}

fn as_new(recorded: Recorded) -> Option<Signal> {
    match recorded {
        Recorded::New { signal, .. } => Some(signal),
        Recorded::Duplicate(_) | Recorded::Replayed(_) | Recorded::Spooled(_) => None,
    }
}

fn pauses() -> ExponentialBackoff {
    let builder = ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE);
    builder.with_jitter().without_max_times().build()
}
