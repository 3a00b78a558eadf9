//! Who said what of which event: the senders, the consumer and, at the end, the ledger; and what of it
//! breaks a promise.
//!
//! Small enough for millions of events: about a hundred bytes for each.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Instant;

use hookgate::signal::SignalId;

/// How many offenders of a kind are named.
const NAMED: usize = 10;

/// A broken promise. None of them may ever happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Broken {
    Lost,
    TwoSignals,
    SharedSignal,
    NeverSent,
    Altered,
    AnswerDiffers,
    DuplicateOfNothing,
    AcceptedTwice,
    ForgedAccepted,
    RefusedForGood,
    LedgerUnpublished,
    StillOwed,
    NoEffect,
    EffectTwice,
    EffectOfNothing,
    DidNotComeBack,
}

impl Broken {
    pub(crate) const ALL: [Self; 16] = [
        Self::Lost,
        Self::TwoSignals,
        Self::SharedSignal,
        Self::NeverSent,
        Self::Altered,
        Self::AnswerDiffers,
        Self::DuplicateOfNothing,
        Self::AcceptedTwice,
        Self::ForgedAccepted,
        Self::RefusedForGood,
        Self::LedgerUnpublished,
        Self::StillOwed,
        Self::NoEffect,
        Self::EffectTwice,
        Self::EffectOfNothing,
        Self::DidNotComeBack,
    ];

    /// What was broken, in words, with the number of the promise.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lost => "acknowledged and lost (2)",
            Self::TwoSignals => "one event published as two signals (3)",
            Self::SharedSignal => "two events published as one signal (3)",
            Self::NeverSent => "published and never sent (4)",
            Self::Altered => "published under the name of another endpoint (4)",
            Self::AnswerDiffers => "answered with a signal other than the published one (3)",
            Self::DuplicateOfNothing => "answered `duplicate` of a signal that is nowhere (2)",
            Self::AcceptedTwice => "answered `accepted` twice (3)",
            Self::ForgedAccepted => "forged and answered 2xx (4)",
            Self::RefusedForGood => "genuine and never accepted",
            Self::LedgerUnpublished => "in the ledger, neither published nor owed nor parked (2)",
            Self::StillOwed => "still owed at the end (2)",
            Self::NoEffect => "published and without effect at a worker (2)",
            Self::EffectTwice => "with more than one effect at a worker (3)",
            Self::EffectOfNothing => "with an effect at a worker and never published (3)",
            Self::DidNotComeBack => "faults from which the system did not come back",
        }
    }
}

/// Broken promises: how often each, and the first that broke it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offences(BTreeMap<Broken, (u64, Vec<String>)>);

impl Offences {
    pub(crate) fn add(&mut self, broken: Broken, who: impl Into<String>) {
        let (count, named) = self.0.entry(broken).or_default();
        *count += 1;
        if named.len() < NAMED {
            named.push(who.into());
        }
    }

    pub(crate) fn count(&self, broken: Broken) -> u64 {
        self.0.get(&broken).map_or(0, |(count, _)| *count)
    }

    /// Takes out those of a kind, and returns how many they were.
    pub(crate) fn take(&mut self, broken: Broken) -> u64 {
        self.0.remove(&broken).map_or(0, |(count, _)| count)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first offenders of a kind.
    pub(crate) fn named(&self, broken: Broken) -> &[String] {
        self.0.get(&broken).map_or(&[], |(_, named)| named)
    }
}

/// What is known of one event.
#[derive(Clone, Debug, Default)]
struct Event {
    acknowledged: Option<SignalId>,
    published: Option<SignalId>,
    /// The first acknowledgement said `duplicate`.
    known_before: bool,
    accepted: bool,
    parked: bool,
    endpoint: u8,
}

/// How a delivery was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) outcome: &'a str,
    /// The signals that it names, with commas between them.
    pub(crate) signals: &'a str,
}

/// What the consumer received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published<'a> {
    pub(crate) signalid: SignalId,
    /// The event's number, where its id has one.
    pub(crate) number: Option<u32>,
    /// Whether source, tenant and endpoint are those that the event was sent to.
    pub(crate) in_place: bool,
    /// The broker says that it has handed it out before.
    pub(crate) redelivered: bool,
    pub(crate) id: &'a str,
}

/// What the ledger holds at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) signals: HashSet<SignalId>,
    pub(crate) owed: HashSet<SignalId>,
    pub(crate) parked: HashSet<SignalId>,
}

/// Counts of what needs no judgement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Deliveries sent, every attempt counted, forged ones left out.
    pub(crate) deliveries: u64,
    pub(crate) acknowledged: u64,
    /// Attempts by status; 0 where no answer came.
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) outcomes: BTreeMap<String, u64>,
    pub(crate) forged: u64,
    pub(crate) messages: u64,
    /// Messages of signals that had come before, and that the broker did not mark as redelivered.
    pub(crate) repeats: u64,
    pub(crate) redelivered: u64,
}

/// The book of one campaign.
#[derive(Debug, Default)]
pub(crate) struct Book {
    events: Vec<Event>,
    events_by_signal: HashMap<SignalId, u32>,
    /// Acknowledged events that the consumer has not seen, by the time of the acknowledgement.
    pending: HashMap<u32, Instant>,
    pub(crate) counts: Counts,
    pub(crate) offences: Offences,
}

impl Book {
    /// Takes the numbers of so many new events of an endpoint, and returns the first.
    pub(crate) fn begin(&mut self, many: u32, endpoint: usize) -> u32 {
        let first = u32::try_from(self.events.len()).unwrap();
        let endpoint = u8::try_from(endpoint).unwrap();
        let event = Event {
            endpoint,
            ..Event::default()
        };
        self.events.resize(self.events.len() + many as usize, event);
        first
    }

    /// The endpoint that an event was sent to, where there is such an event.
    pub(crate) fn endpoint_of(&self, number: u32) -> Option<usize> {
        let event = self.events.get(number as usize)?;
        Some(event.endpoint.into())
    }

    /// How many events there are.
    pub(crate) fn events(&self) -> usize {
        self.events.len()
    }

    /// Notes how a delivery of `many` events beginning with `first` was answered; nothing where no
    /// answer came. Returns whether it was acknowledged.
    pub(crate) fn answered(
        &mut self,
        (first, many): (u32, u32),
        answer: Option<Answer<'_>>,
        now: Instant,
    ) -> bool {
        self.counts.deliveries += 1;
        let status = answer.map_or(0, |answer| answer.status);
        *self.counts.statuses.entry(status).or_default() += 1;
        let Some(answer) = answer.filter(|_| (200..300).contains(&status)) else {
            return false;
        };
        self.counts.acknowledged += 1;
        *self
            .counts
            .outcomes
            .entry(answer.outcome.to_owned())
            .or_default() += 1;
        let ids: Vec<_> = answer
            .signals
            .split(',')
            .filter_map(SignalId::parse)
            .collect();
        if ids.len() != many as usize {
            let who = format!(
                "event {first}: {} names {:?}",
                answer.outcome, answer.signals
            );
            self.offences.add(Broken::AnswerDiffers, who);
            return true;
        }
        for (number, id) in (first..).zip(ids) {
            self.acknowledged(number, id, answer.outcome, now);
        }
        true
    }

    fn acknowledged(&mut self, number: u32, id: SignalId, outcome: &str, now: Instant) {
        let event = &mut self.events[number as usize];
        if outcome == "accepted" && std::mem::replace(&mut event.accepted, true) {
            self.offences.add(
                Broken::AcceptedTwice,
                format!("event {number}, signal {id}"),
            );
        }
        let first = *event.acknowledged.get_or_insert_with(|| {
            event.known_before = outcome != "accepted";
            id
        });
        let named = event.published.unwrap_or(first);
        if event.published.is_none() && !event.parked {
            self.pending.entry(number).or_insert(now);
        }
        if id != first || id != named {
            let who = format!("event {number}: signal {id}, before {first}, published {named}");
            self.offences.add(Broken::AnswerDiffers, who);
        }
    }

    /// Notes how a forged delivery was answered.
    pub(crate) fn forged(&mut self, first: u32, status: Option<u16>) {
        self.counts.forged += 1;
        if status.is_some_and(|status| (200..300).contains(&status)) {
            self.offences
                .add(Broken::ForgedAccepted, format!("made of event {first}"));
        }
    }

    /// Notes what the consumer received.
    pub(crate) fn published(&mut self, message: Published<'_>) {
        self.counts.messages += 1;
        let id = message.signalid;
        let Some(number) = message.number.filter(|n| (*n as usize) < self.events.len()) else {
            self.offences.add(
                Broken::NeverSent,
                format!("signal {id} of {:?}", message.id),
            );
            return;
        };
        if !message.in_place {
            self.offences
                .add(Broken::Altered, format!("event {number}, signal {id}"));
        }
        let owner = *self.events_by_signal.entry(id).or_insert(number);
        if owner != number {
            self.offences.add(
                Broken::SharedSignal,
                format!("events {owner} and {number}, signal {id}"),
            );
        }
        self.pending.remove(&number);
        let event = &mut self.events[number as usize];
        match event.published {
            None => event.published = Some(id),
            Some(first) if first != id => {
                let who = format!("event {number}: signals {first} and {id}");
                self.offences.add(Broken::TwoSignals, who);
            }
            Some(_) if message.redelivered => self.counts.redelivered += 1,
            Some(_) => self.counts.repeats += 1,
        }
        if let Some(answered) = event.acknowledged.filter(|answered| *answered != id) {
            let who = format!("event {number}: answered {answered}, published {id}");
            self.offences.add(Broken::AnswerDiffers, who);
        }
    }

    /// Notes a message that is no signal.
    pub(crate) fn unreadable(&mut self, message: &str) {
        self.offences
            .add(Broken::NeverSent, format!("no signal: {message:?}"));
    }

    /// Whether everything acknowledged before a moment has been seen, or is parked.
    pub(crate) fn seen_until(&self, moment: Instant) -> bool {
        self.pending
            .values()
            .all(|acknowledged| *acknowledged > moment)
    }

    /// Notes which signals are parked: they are kept, and nobody waits for them.
    pub(crate) fn parked(&mut self, parked: &HashSet<SignalId>) {
        let events = &mut self.events;
        self.pending.retain(|number, _| {
            let event = &mut events[*number as usize];
            event.parked = event.acknowledged.is_some_and(|id| parked.contains(&id));
            !event.parked
        });
    }

    /// Compares everything with what the ledger holds, once all is quiet. Returns what was broken up
    /// to now.
    pub(crate) fn close(&mut self, held: &Held) -> Offences {
        let mut offences = self.offences.clone();
        for (number, event) in self.events.iter().enumerate() {
            let Some(id) = event.acknowledged else {
                // Whoever sent it gave up, which nobody does before it is acknowledged.
                if event.published.is_none() {
                    offences.add(Broken::RefusedForGood, format!("event {number}"));
                }
                continue;
            };
            let kept = held.owed.contains(&id) || held.parked.contains(&id);
            if event.published.is_none() && !kept {
                let broken = match event.known_before {
                    true => Broken::DuplicateOfNothing,
                    false => Broken::Lost,
                };
                offences.add(broken, format!("event {number}, signal {id}"));
            }
        }
        for id in &held.owed {
            offences.add(Broken::StillOwed, format!("signal {id}"));
        }
        let kept: BTreeSet<_> = held.owed.union(&held.parked).collect();
        for id in held.signals.iter().filter(|id| !kept.contains(id)) {
            if !self.events_by_signal.contains_key(id) {
                offences.add(Broken::LedgerUnpublished, format!("signal {id}"));
            }
        }
        offences
    }

    /// How many events were published.
    pub(crate) fn published_events(&self) -> usize {
        self.events_by_signal.len()
    }

    /// The signals that were published of the events of an endpoint.
    pub(crate) fn published_of(&self, endpoint: usize) -> BTreeSet<SignalId> {
        let of_it = self
            .events
            .iter()
            .filter(|event| usize::from(event.endpoint) == endpoint);
        of_it.filter_map(|event| event.published).collect()
    }

    /// Begins anew with the events to come: those that there are stay as they are, and are no longer
    /// waited for.
    pub(crate) fn forget_pending(&mut self) {
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use hookgate::clock;

    use super::*;

    fn id(n: u32) -> SignalId {
        SignalId::derive("/tenants/t/endpoints/e", &n.to_be_bytes())
    }

    fn answer<'a>(outcome: &'a str, signals: &'a str) -> Option<Answer<'a>> {
        let status = 200;
        Some(Answer {
            status,
            outcome,
            signals,
        })
    }

    fn accepted(book: &mut Book, number: u32, signal: SignalId) {
        let signals = signal.to_string();
        book.answered((number, 1), answer("accepted", &signals), clock::instant());
    }

    fn message(number: u32, signalid: SignalId) -> Published<'static> {
        Published {
            signalid,
            number: Some(number),
            in_place: true,
            redelivered: false,
            id: "evt",
        }
    }

    /// A book of two events that went well.
    fn good() -> Book {
        let mut book = Book::default();
        book.begin(2, 0);
        for number in 0..2 {
            accepted(&mut book, number, id(number));
            book.published(message(number, id(number)));
        }
        book
    }

    fn broken(mut book: Book, held: &Held) -> Vec<Broken> {
        let offences = book.close(held);
        Broken::ALL
            .into_iter()
            .filter(|one| offences.count(*one) > 0)
            .collect()
    }

    #[test]
    fn repeats_under_the_same_id_break_nothing() {
        let mut book = good();
        book.published(message(0, id(0)));
        let signals = id(0).to_string();
        book.answered((0, 1), answer("duplicate", &signals), clock::instant());
        book.answered((0, 1), None, clock::instant());
        assert_eq!((book.counts.repeats, book.counts.deliveries), (1, 4));
        let held = Held {
            signals: [id(0), id(1)].into(),
            ..Held::default()
        };
        assert_eq!(broken(book, &held), []);
    }

    #[test]
    fn an_acknowledged_event_must_be_published_or_kept() {
        let lost = || {
            let mut book = good();
            book.begin(1, 0);
            accepted(&mut book, 2, id(2));
            book
        };
        assert!(!lost().seen_until(clock::instant()));
        assert_eq!(broken(lost(), &Held::default()), [Broken::Lost]);
        let mut parked = lost();
        parked.parked(&[id(2)].into());
        assert!(parked.seen_until(clock::instant()));
        let held = Held {
            parked: [id(2)].into(),
            ..Held::default()
        };
        assert_eq!(broken(parked, &held), []);
        let held = Held {
            owed: [id(2)].into(),
            ..Held::default()
        };
        assert_eq!(broken(lost(), &held), [Broken::StillOwed]);
        let mut book = good();
        book.begin(1, 0);
        let signals = id(2).to_string();
        book.answered((2, 1), answer("duplicate", &signals), clock::instant());
        assert_eq!(broken(book, &Held::default()), [Broken::DuplicateOfNothing]);
    }

    #[test]
    fn an_event_is_one_signal_and_a_signal_is_one_event() {
        let mut book = good();
        book.published(message(0, id(7)));
        assert_eq!(
            broken(book, &Held::default()),
            [Broken::TwoSignals, Broken::AnswerDiffers]
        );
        let mut book = good();
        book.begin(1, 0);
        book.published(message(2, id(0)));
        assert_eq!(broken(book, &Held::default()), [Broken::SharedSignal]);
        let mut book = good();
        accepted(&mut book, 0, id(0));
        assert_eq!(broken(book, &Held::default()), [Broken::AcceptedTwice]);
        let mut book = good();
        let signals = format!("{},{}", id(0), id(1));
        book.answered((0, 1), answer("duplicate", &signals), clock::instant());
        assert_eq!(broken(book, &Held::default()), [Broken::AnswerDiffers]);
    }

    #[test]
    fn only_what_was_sent_may_be_published() {
        let mut book = good();
        book.published(message(9, id(9)));
        assert_eq!(broken(book, &Held::default()), [Broken::NeverSent]);
        let mut book = good();
        book.forged(0, Some(200));
        assert_eq!(broken(book, &Held::default()), [Broken::ForgedAccepted]);
        let mut book = good();
        book.begin(1, 0);
        assert_eq!(broken(book, &Held::default()), [Broken::RefusedForGood]);
        let held = Held {
            signals: [id(9)].into(),
            ..Held::default()
        };
        assert_eq!(broken(good(), &held), [Broken::LedgerUnpublished]);
    }
}
