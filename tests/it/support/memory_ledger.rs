//! A ledger in memory, with real leases, which a test can look into and make fail.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hookgate::clock;
use hookgate::ledger::{Backlog, Ledger, LedgerError, Recorded};
use hookgate::signal::{Draft, Signal, SignalId};

/// Keeps signals for as long as the test runs. Repeats are recognised by the signal id alone.
#[derive(Debug)]
pub(crate) struct MemoryLedger {
    lease: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failing: bool,
    known: HashSet<SignalId>,
    owed: Vec<Owed>,
    parked: Vec<Parked>,
    discharged: Vec<SignalId>,
}

#[derive(Debug)]
struct Owed {
    signal: Signal,
    leased_until: Option<Instant>,
}

#[derive(Debug)]
struct Parked {
    signal: Signal,
    reason: String,
    tried: Instant,
}

impl MemoryLedger {
    /// Creates an empty ledger whose leases last `lease`.
    pub(crate) fn new(lease: Duration) -> Self {
        Self {
            lease,
            state: Mutex::default(),
        }
    }

    /// Records signals as new, leased to the caller, as `record` does.
    pub(crate) fn owe(&self, signals: &[Signal]) {
        let leased_until = Some(clock::instant() + self.lease);
        let mut state = self.state();
        for signal in signals {
            assert!(state.known.insert(signal.signalid), "recorded twice");
            state.owed.push(Owed {
                signal: signal.clone(),
                leased_until,
            });
        }
    }

    /// Makes every call fail, or work again.
    pub(crate) fn fail(&self, failing: bool) {
        self.state().failing = failing;
    }

    /// Returns the names of what is owed.
    pub(crate) fn owed(&self) -> Vec<SignalId> {
        self.state()
            .owed
            .iter()
            .map(|owed| owed.signal.signalid)
            .collect()
    }

    /// Returns how many of what is owed are leased to somebody.
    pub(crate) fn leased(&self) -> usize {
        let now = clock::instant();
        self.state()
            .owed
            .iter()
            .filter(|owed| owed.is_leased(now))
            .count()
    }

    /// Returns what is parked, with the reasons.
    pub(crate) fn parked_signals(&self) -> Vec<(SignalId, String)> {
        let state = self.state();
        state
            .parked
            .iter()
            .map(|parked| (parked.signal.signalid, parked.reason.clone()))
            .collect()
    }

    /// Returns what was discharged, in order.
    pub(crate) fn discharged(&self) -> Vec<SignalId> {
        self.state().discharged.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn working(&self) -> Result<MutexGuard<'_, State>, LedgerError> {
        let state = self.state();
        match state.failing {
            true => Err(LedgerError::Unavailable {
                what: "told to fail".into(),
                source: None,
            }),
            false => Ok(state),
        }
    }
}

impl Owed {
    fn is_leased(&self, now: Instant) -> bool {
        self.leased_until.is_some_and(|until| until > now)
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn record(&self, drafts: Vec<Draft>) -> Result<Vec<Recorded>, LedgerError> {
        let leased_until = Some(clock::instant() + self.lease);
        let mut state = self.working()?;
        let mut answers = Vec::new();
        for draft in drafts {
            if !state.known.insert(draft.signalid) {
                answers.push(Recorded::Duplicate(draft.signalid));
                continue;
            }
            let signal = draft.into_signal(false);
            state.owed.push(Owed {
                signal: signal.clone(),
                leased_until,
            });
            answers.push(Recorded::New {
                signal,
                id_conflict: false,
            });
        }
        Ok(answers)
    }

    async fn unpublished(&self, limit: usize) -> Result<Vec<Signal>, LedgerError> {
        let now = clock::instant();
        let mut state = self.working()?;
        let free = state.owed.iter_mut().filter(|owed| !owed.is_leased(now));
        let leased = free.take(limit).map(|owed| {
            owed.leased_until = Some(now + self.lease);
            owed.signal.clone()
        });
        Ok(leased.collect())
    }

    async fn published(&self, signals: &[Signal]) -> Result<(), LedgerError> {
        let mut state = self.working()?;
        for signal in signals {
            state
                .owed
                .retain(|owed| owed.signal.signalid != signal.signalid);
            state
                .parked
                .retain(|parked| parked.signal.signalid != signal.signalid);
            state.discharged.push(signal.signalid);
        }
        Ok(())
    }

    async fn released(&self, signals: &[Signal]) -> Result<(), LedgerError> {
        let mut state = self.working()?;
        let named: HashSet<SignalId> = signals.iter().map(|signal| signal.signalid).collect();
        for owed in state
            .owed
            .iter_mut()
            .filter(|owed| named.contains(&owed.signal.signalid))
        {
            owed.leased_until = None;
        }
        Ok(())
    }

    async fn parked(&self, signal: &Signal, reason: &str) -> Result<(), LedgerError> {
        let mut state = self.working()?;
        state
            .owed
            .retain(|owed| owed.signal.signalid != signal.signalid);
        let known = |parked: &Parked| parked.signal.signalid == signal.signalid;
        if !state.parked.iter().any(known) {
            state.parked.push(Parked {
                signal: signal.clone(),
                reason: reason.to_owned(),
                tried: clock::instant(),
            });
        }
        Ok(())
    }

    async fn retry_parked(&self, limit: usize, rest: Duration) -> Result<Vec<Signal>, LedgerError> {
        let now = clock::instant();
        let mut state = self.working()?;
        state.parked.sort_by_key(|parked| parked.tried);
        let due = state.parked.iter_mut();
        let due = due.filter(|parked| now.duration_since(parked.tried) >= rest);
        let taken = due.take(limit).map(|parked| {
            parked.tried = now;
            parked.signal.clone()
        });
        Ok(taken.collect())
    }

    async fn backlog(&self) -> Result<Backlog, LedgerError> {
        let state = self.working()?;
        Ok(Backlog {
            owed: state.owed.len() as u64,
            parked: state.parked.len() as u64,
        })
    }

    async fn prune(&self) -> Result<u64, LedgerError> {
        self.working().map(|_| 0)
    }

    async fn probe(&self) -> Result<Vec<String>, LedgerError> {
        self.working()
            .map(|_| vec!["nothing outlives the process".to_owned()])
    }

    async fn close(&self) {}
}
