//! The protocol between provider, replicas, ledger and broker, as a state machine.
//!
//! A step is what one call does at its other end, or what time does, or a fault. Between any two
//! steps anything else may happen; that is all the concurrency there is. `docs/MODEL.md` says which
//! function of the code each step stands for.

use stateright::{Model, Property};

use crate::properties;
use crate::state::{
    At, Delivery, Duty, EVENTS, Event, History, IDS, Ledger, Path, Replica, SignalId, State, Work,
};

/// Counts as no bound.
pub(crate) const UNBOUNDED: u8 = u8::MAX;

/// How the replicas go about it: as the code does, or with one thing done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    AsBuilt,
    /// Refuses repeats in one step and persists in another.
    ClaimBeforePersist,
    /// Discharges the duty first, then publishes.
    DischargeBeforeConfirm,
    AnswerBeforeRecord,
    PublishBeforeRecord,
    /// A signal id of its own for each time an event is recorded.
    RandomSignalIds,
    /// Two events under one unsigned id are the same.
    IdentityFromUnsignedId,
    /// What was leased once is never taken over.
    LeaseWithoutEnd,
    /// Whoever looks may publish what is owed, at any time.
    NoLease,
}

/// How far a model goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How many events there are.
    pub(crate) events: usize,
    /// How many deliveries there are in all, of any event to any replica, whatever was answered.
    pub(crate) deliveries: u8,
    /// How many faults happen in all, of any kind.
    pub(crate) faults: u8,
    /// Whether marks and published signals come to their end.
    pub(crate) forgetting: bool,
    /// Whether Redis may lose its last second (`appendfsync everysec`).
    pub(crate) rollback: bool,
}

/// A protocol within bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gateway {
    pub(crate) protocol: Protocol,
    pub(crate) bounds: Bounds,
    /// Whether states that differ in the order of their replicas are the same. Their numbers in a
    /// path mean nothing then.
    pub(crate) alike: bool,
}

/// What may happen next. The first number is the replica's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    // The provider.
    Deliver(usize, Event),
    // A replica does its work.
    Claim(usize),
    Begin(usize),
    Record(usize),
    Answer(usize),
    Lease(usize),
    /// Offers what is parked to the broker again.
    Retry(usize),
    Publish(usize, Path, SignalId),
    Discharge(usize, Path, SignalId),
    // Time goes by.
    LeaseEnds(SignalId),
    MarkEnds(Event),
    RetentionEnds(SignalId),
    /// Redis writes what it has to its disk.
    Sync,
    // Faults.
    Crash(usize),
    /// The ledger cannot be reached and the answer is 503, or the answer is lost.
    Unanswered(usize),
    /// Carried out by the ledger, and its answer lost: 503.
    RecordUnseen(usize),
    /// Carried out by the ledger, its answer lost, and sent again.
    RecordSentAgain(usize),
    /// The broker is away or its confirm is lost: the lease is given back.
    GiveBack(usize, Path, SignalId),
    /// The broker refuses the signal: it is parked.
    Refuse(usize, Path, SignalId),
    /// Whatever became of it, the ledger is not told.
    NoteLost(usize, Path, SignalId),
    LoseLastSecond,
}

impl Model for Gateway {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            replicas: Default::default(),
            ledger: Ledger::default(),
            disk: Ledger::default(),
            broker: [false; IDS],
            deliveries_left: self.bounds.deliveries,
            faults_left: self.bounds.faults,
            history: History::default(),
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        for (r, replica) in state.replicas.iter().enumerate() {
            if state.deliveries_left > 0 && replica.delivery.is_none() {
                let events = 0..self.bounds.events;
                steps.extend(events.map(|event| Step::Deliver(r, event)));
            }
        }
        self.work(state, steps);
        self.time(state, steps);
        if state.faults_left > 0 {
            self.faults(state, steps);
        }
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut state = *before;
        if step.is_fault() {
            spend(&mut state.faults_left);
        }
        self.take(&mut state, step);
        let toward_rest = !step.is_fault() && !matches!(step, Step::Deliver(..) | Step::Sync);
        state.history.astray |= toward_rest && state.distance() >= before.distance();
        if self.alike {
            state.replicas.sort_unstable();
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(self)
    }
}

impl Gateway {
    /// What the replicas can do, where nothing goes wrong.
    pub(crate) fn work(&self, state: &State, steps: &mut Vec<Step>) {
        for (r, replica) in state.replicas.iter().enumerate() {
            match replica.delivery.map(|delivery| delivery.at) {
                None => {}
                Some(At::Received) => steps.push(match self.protocol {
                    Protocol::ClaimBeforePersist => Step::Claim(r),
                    Protocol::AnswerBeforeRecord | Protocol::PublishBeforeRecord => Step::Begin(r),
                    _ => Step::Record(r),
                }),
                Some(At::Claimed | At::Begun) => steps.push(Step::Record(r)),
                Some(At::New | At::Repeat) => steps.push(Step::Answer(r)),
            }
            for (path, id, work) in replica.under_way() {
                steps.push(match work {
                    Work::Idle => continue,
                    Work::ToPublish if self.protocol == Protocol::DischargeBeforeConfirm => {
                        Step::Discharge(r, path, id)
                    }
                    Work::ToPublish | Work::Discharged => Step::Publish(r, path, id),
                    Work::Sent => Step::Discharge(r, path, id),
                });
            }
            if state.free(r, Duty::Owed).next().is_some() {
                steps.push(Step::Lease(r));
            }
            if state.free(r, Duty::Parked).next().is_some() {
                steps.push(Step::Retry(r));
            }
        }
        for id in 0..IDS {
            if state.ledger.duties[id] == Duty::Leased && self.protocol != Protocol::LeaseWithoutEnd
            {
                steps.push(Step::LeaseEnds(id));
            }
        }
    }

    /// What time does beside ending leases.
    fn time(&self, state: &State, steps: &mut Vec<Step>) {
        for event in 0..EVENTS {
            if self.bounds.forgetting && state.ledger.marks[event] {
                steps.push(Step::MarkEnds(event));
            }
        }
        for id in 0..IDS {
            if self.bounds.forgetting && state.ledger.duties[id] == Duty::Published {
                steps.push(Step::RetentionEnds(id));
            }
        }
        if self.bounds.rollback && state.disk != state.ledger {
            steps.push(Step::Sync);
        }
    }

    fn faults(&self, state: &State, steps: &mut Vec<Step>) {
        for (r, replica) in state.replicas.iter().enumerate() {
            if *replica != Replica::default() {
                steps.push(Step::Crash(r));
            }
            match replica.delivery.map(|delivery| delivery.at) {
                None => {}
                Some(at) => {
                    steps.push(Step::Unanswered(r));
                    if at == At::Received && self.protocol == Protocol::AsBuilt {
                        steps.extend([Step::RecordUnseen(r), Step::RecordSentAgain(r)]);
                    }
                }
            }
            for (path, id, work) in replica.under_way() {
                if work != Work::Idle {
                    steps.extend([Step::GiveBack(r, path, id), Step::NoteLost(r, path, id)]);
                }
                if work == Work::ToPublish {
                    steps.push(Step::Refuse(r, path, id));
                }
            }
        }
        if self.bounds.rollback && state.disk != state.ledger {
            steps.push(Step::LoseLastSecond);
        }
    }

    fn take(&self, state: &mut State, step: Step) {
        match step {
            Step::Deliver(r, event) => {
                spend(&mut state.deliveries_left);
                let at = At::Received;
                state.replicas[r].delivery = Some(Delivery { event, at });
            }
            Step::Claim(r) => self.claim(state, r),
            Step::Begin(r) => self.begin(state, r),
            Step::Record(r) => {
                let answered = self.protocol == Protocol::AnswerBeforeRecord;
                match self.record(state, r) {
                    _ if answered => state.replicas[r].delivery = None,
                    at => state.at(r, at),
                }
            }
            Step::RecordUnseen(r) => {
                self.recorded_unseen(state, r);
                state.replicas[r].delivery = None;
            }
            Step::RecordSentAgain(r) => self.recorded_unseen(state, r),
            Step::Answer(r) => state.acknowledge(r),
            Step::Unanswered(r) => state.replicas[r].delivery = None,
            Step::Crash(r) => state.replicas[r] = Replica::default(),

            Step::Lease(r) => self.lease(state, r),
            Step::Retry(r) => {
                for id in state.free(r, Duty::Parked).collect::<Vec<_>>() {
                    state.replicas[r].relay[id] = Work::ToPublish;
                }
            }
            Step::Publish(r, path, id) => {
                state.broker[id] = true;
                let work = state.work(r, path, id);
                *work = match *work {
                    Work::Discharged => Work::Idle,
                    _ => Work::Sent,
                };
            }
            Step::Discharge(r, path, id) => {
                if state.ledger.duties[id].is_kept() {
                    state.ledger.duties[id] = Duty::Published;
                }
                let work = state.work(r, path, id);
                *work = match *work {
                    Work::ToPublish => Work::Discharged,
                    _ => Work::Idle,
                };
            }
            Step::GiveBack(r, path, id) => state.tell(r, path, id, Duty::Owed),
            Step::Refuse(r, path, id) => state.tell(r, path, id, Duty::Parked),
            Step::NoteLost(r, path, id) => *state.work(r, path, id) = Work::Idle,

            Step::LeaseEnds(id) => state.ledger.duties[id] = Duty::Owed,
            Step::MarkEnds(event) => state.ledger.marks[event] = false,
            Step::RetentionEnds(id) => state.ledger.duties[id] = Duty::Unknown,
            Step::Sync => {
                state.disk = state.ledger;
                for id in 0..IDS {
                    state.history.synced[id % EVENTS] |= state.disk.duties[id] != Duty::Unknown;
                }
            }
            Step::LoseLastSecond => state.ledger = state.disk,
        }
    }

    /// `Ledger::record` of one draft: `record.lua`. Returns where the delivery has come.
    fn record(&self, state: &mut State, r: usize) -> At {
        let Delivery { event, at } = state.replicas[r].delivery.expect("it records a delivery");
        let (mark, id) = (self.mark(event), self.signal_id(state, event));
        let ledger = &mut state.ledger;
        let known = ledger.marks[mark] && at != At::Claimed;
        if known || ledger.duties[id] != Duty::Unknown {
            return At::Repeat;
        }
        ledger.marks[mark] = true;
        ledger.duties[id] = match self.protocol {
            Protocol::NoLease => Duty::Owed,
            _ => Duty::Leased,
        };
        state.history.recorded[event] = true;
        // In place of what may still be under way since before the signal was forgotten or rolled back.
        state.replicas[r].outbox[id] = Work::ToPublish;
        At::New
    }

    /// A record that was carried out and whose answer did not come: nothing is published from memory.
    fn recorded_unseen(&self, state: &mut State, r: usize) {
        let outbox = state.replicas[r].outbox;
        self.record(state, r);
        state.replicas[r].outbox = outbox;
    }

    fn claim(&self, state: &mut State, r: usize) {
        let event = state.event(r);
        let known = std::mem::replace(&mut state.ledger.marks[event], true);
        state.at(r, if known { At::Repeat } else { At::Claimed });
    }

    /// What a protocol in the wrong order does before it records.
    fn begin(&self, state: &mut State, r: usize) {
        let event = state.event(r);
        if self.protocol == Protocol::PublishBeforeRecord {
            state.broker[event] = true;
        } else {
            state.acknowledge(r);
        }
        let at = At::Begun;
        state.replicas[r].delivery = Some(Delivery { event, at });
    }

    /// `Ledger::unpublished`: `lease.lua`.
    fn lease(&self, state: &mut State, r: usize) {
        for id in state.free(r, Duty::Owed).collect::<Vec<_>>() {
            if self.protocol != Protocol::NoLease {
                state.ledger.duties[id] = Duty::Leased;
            }
            state.replicas[r].relay[id] = Work::ToPublish;
        }
    }

    fn mark(&self, event: Event) -> usize {
        match self.protocol {
            Protocol::IdentityFromUnsignedId => 0,
            _ => event,
        }
    }

    fn signal_id(&self, state: &State, event: Event) -> SignalId {
        match self.protocol {
            Protocol::RandomSignalIds if state.history.recorded[event] => event + EVENTS,
            _ => event,
        }
    }
}

impl Step {
    fn is_fault(self) -> bool {
        matches!(
            self,
            Self::Crash(_)
                | Self::Unanswered(_)
                | Self::RecordUnseen(_)
                | Self::RecordSentAgain(_)
                | Self::GiveBack(..)
                | Self::Refuse(..)
                | Self::NoteLost(..)
                | Self::LoseLastSecond
        )
    }
}

fn spend(left: &mut u8) {
    if *left != UNBOUNDED {
        *left -= 1;
    }
}
