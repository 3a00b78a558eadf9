//! A ledger in memory that owes a backlog.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hookgate::ledger::{Backlog, Ledger, LedgerError, Recorded};
use hookgate::signal::{Draft, Signal, SignalId};

/// Owes what it was given until it is published. Leases do not end.
#[derive(Debug, Default)]
pub(crate) struct Owing(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    free: VecDeque<Signal>,
    leased: HashMap<SignalId, Signal>,
}

impl Owing {
    /// Owes these.
    pub(crate) fn of(backlog: Vec<Signal>) -> Self {
        Self(Mutex::new(State {
            free: backlog.into(),
            leased: HashMap::new(),
        }))
    }

    /// Returns how many signals are owed.
    pub(crate) fn owed(&self) -> usize {
        let state = self.state();
        state.free.len() + state.leased.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Ledger for Owing {
    async fn record(&self, _drafts: Vec<Draft>) -> Result<Vec<Recorded>, LedgerError> {
        Ok(Vec::new())
    }

    async fn unpublished(&self, limit: usize) -> Result<Vec<Signal>, LedgerError> {
        let mut state = self.state();
        let taken: Vec<Signal> = {
            let count = limit.min(state.free.len());
            state.free.drain(..count).collect()
        };
        for signal in &taken {
            state.leased.insert(signal.signalid, signal.clone());
        }
        Ok(taken)
    }

    async fn published(&self, signals: &[Signal]) -> Result<(), LedgerError> {
        let mut state = self.state();
        for signal in signals {
            state.leased.remove(&signal.signalid);
        }
        Ok(())
    }

    async fn released(&self, signals: &[Signal]) -> Result<(), LedgerError> {
        let mut state = self.state();
        for signal in signals {
            if let Some(signal) = state.leased.remove(&signal.signalid) {
                state.free.push_back(signal);
            }
        }
        Ok(())
    }

    async fn parked(&self, signal: &Signal, _reason: &str) -> Result<(), LedgerError> {
        self.published(std::slice::from_ref(signal)).await
    }

    async fn retry_parked(
        &self,
        _limit: usize,
        _rest: Duration,
    ) -> Result<Vec<Signal>, LedgerError> {
        Ok(Vec::new())
    }

    async fn backlog(&self) -> Result<Backlog, LedgerError> {
        let owed = self.owed() as u64;
        Ok(Backlog { owed, parked: 0 })
    }

    async fn prune(&self) -> Result<u64, LedgerError> {
        Ok(0)
    }

    async fn probe(&self) -> Result<Vec<String>, LedgerError> {
        Ok(Vec::new())
    }

    async fn close(&self) {}
}
