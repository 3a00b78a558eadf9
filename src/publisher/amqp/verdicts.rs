//! Decides what became of the messages in flight on one channel. Pure: no socket, no clock.
//!
//! A message that no queue takes is returned before it is confirmed. Lapin keeps what is returned in a
//! queue and hands the first of it to whichever confirm resolves next, be it another message's. So
//! a message is known to be returned by its id alone, and known to be *not* returned only by proof:
//!
//! 1. Its confirm carried nothing. The queue was empty then, so its return, if there was one, was
//!    handed out before, to a confirm that had resolved earlier.
//! 2. Its confirm carried the return of another. Its own may be behind in the queue. That is settled
//!    by a confirm that resolved later and carried nothing (the queue was empty by then); or by the
//!    return of a message that was sent later (the queue keeps its order); or by nothing being in
//!    flight any more (each return has a confirm after it that takes one out).
//!
//! "Earlier" and "later" need an order, and polling gives none: a confirm may resolve just after it
//! was found pending, and another one, polled in the same pass, just after that. [`gather`] makes the
//! order: it passes over all that is pending until a pass finds nothing. What resolved before
//! anything it found is then found too, because the last pass began after everything was found; and
//! what is left, or sent afterwards, resolves later than all of it. One gathering is a *round*.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Takes out of `pending` what has resolved, until nothing more has.
pub(super) fn gather<T, R>(
    pending: &mut Vec<T>,
    mut resolved: impl FnMut(&mut T) -> Option<R>,
) -> Vec<(T, R)> {
    let mut found = Vec::new();
    loop {
        let mut answers = Vec::new();
        let ready = pending.extract_if(.., |one| match resolved(one) {
            Some(answer) => {
                answers.push(answer);
                true
            }
            None => false,
        });
        let ready: Vec<T> = ready.collect();
        if ready.is_empty() {
            return found;
        }
        found.extend(ready.into_iter().zip(answers));
    }
}

/// What one confirm said.
#[derive(Debug)]
pub(super) struct Resolved<M, I> {
    /// Handed back with the verdict.
    pub(super) message: M,
    pub(super) id: I,
    /// Whether the broker took responsibility.
    pub(super) acked: bool,
    pub(super) carried: Option<Returned<I>>,
}

/// A message that came back, with the confirm of whichever one.
#[derive(Debug)]
pub(super) struct Returned<I> {
    /// Its id; `None` where it has none that can be read.
    pub(super) id: Option<I>,
    pub(super) why: Arc<str>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Confirmed,
    /// Not taken for now.
    Nacked,
    /// No queue takes it.
    Returned(Arc<str>),
}

/// A message came back that is not in flight: the channel cannot be trusted.
#[derive(Debug)]
pub(super) struct Stray;

/// The messages of one channel that have no verdict yet.
#[derive(Debug)]
pub(super) struct Verdicts<M, I> {
    /// How many rounds are over.
    rounds: u64,
    pending: usize,
    flights: HashMap<I, Flight>,
    uncertain: Vec<Uncertain<M, I>>,
}

/// All messages in flight under one id: the relay may send one that a caller gave up.
#[derive(Debug)]
struct Flight {
    count: usize,
    /// How many rounds were over when the first was sent.
    sent: u64,
    /// Why one of them came back. Counts for all, since it does not say for which.
    returned: Option<Arc<str>>,
}

#[derive(Debug)]
struct Uncertain<M, I> {
    message: M,
    id: I,
    acked: bool,
    /// The round that found it; 0: nothing more is needed.
    round: u64,
}

impl<M, I: Copy + Eq + Hash> Verdicts<M, I> {
    pub(super) fn new() -> Self {
        Self {
            rounds: 0,
            pending: 0,
            flights: HashMap::new(),
            uncertain: Vec::new(),
        }
    }

    /// Takes note that a message is sent.
    pub(super) fn sent(&mut self, id: I) {
        self.pending += 1;
        let flight = self.flights.entry(id).or_insert(Flight {
            count: 0,
            sent: self.rounds,
            returned: None,
        });
        flight.count += 1;
    }

    /// Returns how many messages have no verdict.
    pub(super) fn open(&self) -> usize {
        self.pending + self.uncertain.len()
    }

    /// Takes what one round has found, and returns the verdicts that follow from it.
    pub(super) fn round(&mut self, found: Vec<Resolved<M, I>>) -> Result<Vec<(M, Verdict)>, Stray> {
        self.rounds += 1;
        self.pending = self.pending.saturating_sub(found.len());
        // What resolved in rounds before this one has no return in the queue any more.
        let mut settled = 0;
        for one in found {
            let mut round = self.rounds;
            match one.carried {
                None => {
                    settled = settled.max(self.rounds);
                    round = 0;
                }
                Some(Returned { id, why }) => {
                    let flight = id.and_then(|id| self.flights.get_mut(&id)).ok_or(Stray)?;
                    settled = settled.max(flight.sent + 1);
                    flight.returned.get_or_insert(why);
                }
            }
            self.uncertain.push(Uncertain {
                message: one.message,
                id: one.id,
                acked: one.acked,
                round,
            });
        }
        if self.pending == 0 {
            settled = self.rounds + 1;
        }
        Ok(self.settle(settled))
    }

    fn settle(&mut self, settled: u64) -> Vec<(M, Verdict)> {
        let flights = &self.flights;
        let returned = |id: &I| flights.get(id).and_then(|flight| flight.returned.clone());
        let decided: Vec<_> = self
            .uncertain
            .extract_if(.., |one| one.round < settled || returned(&one.id).is_some())
            .map(|one| {
                let verdict = match (returned(&one.id), one.acked) {
                    (Some(why), _) => Verdict::Returned(why),
                    (None, true) => Verdict::Confirmed,
                    (None, false) => Verdict::Nacked,
                };
                (one.id, one.message, verdict)
            })
            .collect();
        // Only now: until all are decided, a return counts for every message of its id.
        for (id, _, _) in &decided {
            self.land(id);
        }
        decided
            .into_iter()
            .map(|(_, message, verdict)| (message, verdict))
            .collect()
    }

    fn land(&mut self, id: &I) {
        if let Some(flight) = self.flights.get_mut(id) {
            flight.count -= 1;
            if flight.count == 0 {
                self.flights.remove(id);
            }
        }
    }
}

#[cfg(test)]
mod tests;
