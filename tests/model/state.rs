//! What there is at one moment: the replicas' memory, the ledger, the broker, and what happened before.

/// The number of replicas.
pub(crate) const REPLICAS: usize = 2;
/// The number of events that providers may send; they share one unsigned id.
pub(crate) const EVENTS: usize = 2;
/// The number of signal ids. Event `e` has the derived ids `e`, and `e + EVENTS` for a protocol that
/// draws its ids at random.
pub(crate) const IDS: usize = 2 * EVENTS;
pub(crate) type Event = usize;
pub(crate) type SignalId = usize;

/// Everything there is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) replicas: [Replica; REPLICAS],
    pub(crate) ledger: Ledger,
    /// What Redis has on its disk.
    pub(crate) disk: Ledger,
    /// Whether the broker has taken responsibility for a signal, once or more often.
    pub(crate) broker: [bool; IDS],
    pub(crate) deliveries_left: u8,
    pub(crate) faults_left: u8,
    pub(crate) history: History,
}

/// What a replica holds in memory: all of it is lost in a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Replica {
    /// The delivery that waits for its answer. One at a time.
    pub(crate) delivery: Option<Delivery>,
    /// Signals under way on the fast path. It goes on after the answer.
    pub(crate) outbox: [Work; IDS],
    /// Signals under way on the slow path.
    pub(crate) relay: [Work; IDS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Delivery {
    pub(crate) event: Event,
    pub(crate) at: At,
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum At {
    /// Verified, to be recorded.
    Received,
    /// New, to be persisted (`Protocol::ClaimBeforePersist`).
    Claimed,
    /// To be recorded, and answered (`Protocol::AnswerBeforeRecord`) or published
    /// (`Protocol::PublishBeforeRecord`) already.
    Begun,
    /// Recorded as new, to be answered.
    New,
    /// A duplicate or a replay, to be answered.
    Repeat,
}

/// How far a signal has come on one of the two paths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Work {
    #[default]
    Idle,
    ToPublish,
    /// The broker has it; its confirm and the discharge are to come.
    Sent,
    /// To be published, and discharged already (`Protocol::DischargeBeforeConfirm`).
    Discharged,
}

/// The ledger, of which every step is atomic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ledger {
    /// Whether an event's mark is there, by which its repeats are refused.
    pub(crate) marks: [bool; EVENTS],
    pub(crate) duties: [Duty; IDS],
}

/// What the ledger knows of a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Duty {
    #[default]
    Unknown,
    /// Owed, and left to whoever leased it. The ledger does not know who that is.
    Leased,
    /// Owed, and free for any relay.
    Owed,
    Parked,
    /// Published; kept until its retention is over.
    Published,
}

/// What happened before, as far as a property asks for it. No step depends on it, except that ids
/// drawn at random are not drawn twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct History {
    /// The provider has seen a 2xx for the event.
    pub(crate) acknowledged: [bool; EVENTS],
    /// The ledger has recorded the event.
    pub(crate) recorded: [bool; EVENTS],
    /// Redis has had the event's signal on its disk.
    pub(crate) synced: [bool; EVENTS],
    /// A 2xx was sent for a delivery whose event was not recorded.
    pub(crate) early_answer: bool,
    /// The same for one that was taken for a repeat.
    pub(crate) early_repeat: bool,
    /// A step that is no fault led no nearer to rest.
    pub(crate) astray: bool,
}

/// The two ways to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Fast,
    Slow,
}

impl State {
    /// How far it is to rest, where no fault and no delivery comes in between. Every step of the
    /// replicas and of time must make it less, so that every order of them ends at rest.
    pub(crate) fn distance(&self) -> usize {
        let mut far = 0;
        for replica in &self.replicas {
            far += match replica.delivery.map(|delivery| delivery.at) {
                None => 0,
                Some(At::New | At::Repeat) => 1,
                Some(At::Received | At::Claimed | At::Begun) => 100,
            };
            for (_, _, work) in replica.under_way() {
                far += match work {
                    Work::Idle => 0,
                    Work::Sent | Work::Discharged => 1,
                    Work::ToPublish => 2,
                };
            }
        }
        for (id, duty) in self.ledger.duties.iter().enumerate() {
            let idle = |replica: &&Replica| replica.relay[id] == Work::Idle;
            let turns = || 4 * self.replicas.iter().filter(idle).count();
            far += match duty {
                Duty::Unknown => 0,
                Duty::Published => 1,
                Duty::Parked => 1 + turns(),
                Duty::Owed => 2 + turns(),
                Duty::Leased => 3 + turns(),
            };
        }
        far + self.ledger.marks.iter().filter(|mark| **mark).count()
    }

    /// The signals with a duty of this kind that a replica does not have under way on the slow path.
    pub(crate) fn free(&self, r: usize, duty: Duty) -> impl Iterator<Item = SignalId> {
        let is_free = move |id: &SignalId| {
            self.ledger.duties[*id] == duty && self.replicas[r].relay[*id] == Work::Idle
        };
        (0..IDS).filter(is_free)
    }

    pub(crate) fn event(&self, r: usize) -> Event {
        self.replicas[r].delivery.expect("it has a delivery").event
    }

    pub(crate) fn at(&mut self, r: usize, at: At) {
        let event = self.event(r);
        self.replicas[r].delivery = Some(Delivery { event, at });
    }

    pub(crate) fn work(&mut self, r: usize, path: Path, id: SignalId) -> &mut Work {
        match path {
            Path::Fast => &mut self.replicas[r].outbox[id],
            Path::Slow => &mut self.replicas[r].relay[id],
        }
    }

    /// The provider sees a 2xx.
    pub(crate) fn acknowledge(&mut self, r: usize) {
        let delivery = self.replicas[r].delivery.take();
        let Delivery { event, at } = delivery.expect("it answers a delivery");
        let early = !self.history.recorded[event];
        self.history.acknowledged[event] = true;
        self.history.early_answer |= early;
        self.history.early_repeat |= early && at == At::Repeat;
    }

    /// `released.lua` and `parked.lua`: nothing happens to what is not owed.
    pub(crate) fn tell(&mut self, r: usize, path: Path, id: SignalId, duty: Duty) {
        if matches!(self.ledger.duties[id], Duty::Leased | Duty::Owed) {
            self.ledger.duties[id] = duty;
        }
        *self.work(r, path, id) = Work::Idle;
    }
}

impl Replica {
    pub(crate) fn under_way(&self) -> impl Iterator<Item = (Path, SignalId, Work)> {
        let fast = self.outbox.iter().enumerate();
        let slow = self.relay.iter().enumerate();
        let fast = fast.map(|(id, work)| (Path::Fast, id, *work));
        fast.chain(slow.map(|(id, work)| (Path::Slow, id, *work)))
    }
}

impl Duty {
    /// Whether the signal will be published, or was parked.
    pub(crate) fn is_kept(self) -> bool {
        matches!(self, Self::Leased | Self::Owed | Self::Parked)
    }
}
