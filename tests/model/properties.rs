//! What must hold, in every state that can be reached.
//!
//! None of them is stateright's `eventually`, which overlooks violations where paths join or turn in
//! circles. That every acknowledged event is published in the end follows from three properties of
//! states instead: it is kept; every step without a fault leads nearer to rest; at rest it is published.

use stateright::Property;

use crate::protocol::Gateway;
use crate::state::{At, Delivery, Duty, EVENTS, Event, Replica, State, Work};

pub(crate) const NOTHING_ACKNOWLEDGED_IS_LOST: &str =
    "what is acknowledged is published, owed or parked";
pub(crate) const NOTHING_ON_DISK_IS_LOST: &str =
    "what Redis had on its disk is published, owed or parked";
pub(crate) const REPEATS_ARE_KEPT: &str =
    "what is refused as a repeat is published, owed or parked";
pub(crate) const ONE_SIGNAL_ID: &str = "one event never gets two signal ids";
pub(crate) const RECORDED_BEFORE_ANSWERED: &str = "a 2xx means recorded";
pub(crate) const RECORDED_BEFORE_REPEATED: &str =
    "no repeat is answered 2xx before its first copy is recorded";
pub(crate) const RECORDED_BEFORE_PUBLISHED: &str = "what is published is recorded";
pub(crate) const NEARER_TO_REST: &str = "every step without a fault leads nearer to rest";
pub(crate) const PUBLISHED_AT_REST: &str = "at rest, what is acknowledged is published";

/// Returns all properties of a model.
pub(crate) fn of(model: &Gateway) -> Vec<Property<Gateway>> {
    let mut properties = vec![
        Property::always(NOTHING_ACKNOWLEDGED_IS_LOST, |_, state: &State| {
            each(|event| !state.history.acknowledged[event] || state.keeps(event))
        }),
        Property::always(NOTHING_ON_DISK_IS_LOST, |_, state: &State| {
            each(|event| !state.history.synced[event] || state.keeps(event))
        }),
        Property::always(REPEATS_ARE_KEPT, |_, state: &State| {
            each(|event| !state.ledger.marks[event] || state.keeps(event))
        }),
        Property::always(ONE_SIGNAL_ID, |_, state: &State| {
            each(|event| !(state.broker[event] && state.broker[event + EVENTS]))
        }),
        Property::always(RECORDED_BEFORE_ANSWERED, |_, state: &State| {
            !state.history.early_answer
        }),
        Property::always(RECORDED_BEFORE_REPEATED, |_, state: &State| {
            !state.history.early_repeat
        }),
        Property::always(RECORDED_BEFORE_PUBLISHED, |_, state: &State| {
            each(|event| !state.published(event) || state.history.recorded[event])
        }),
        Property::always(NEARER_TO_REST, |_, state: &State| !state.history.astray),
        Property::always(PUBLISHED_AT_REST, |model: &Gateway, state: &State| {
            each(|event| !state.history.acknowledged[event] || state.published(event))
                || !model.at_rest(state)
        }),
        // What must be reachable, so that the model shows something at all.
        Property::sometimes("a repeat is recognised", |_, state: &State| {
            let repeat = |at: At| at == At::Repeat;
            let mut deliveries = state.replicas.iter().flat_map(|replica| replica.delivery);
            deliveries.any(|delivery| repeat(delivery.at))
        }),
        Property::sometimes("a parked signal is tried again", |_, state: &State| {
            let mut replicas = state.replicas.iter();
            let tried = replicas.any(|replica| replica.relay[0] == Work::ToPublish);
            tried && state.ledger.duties[0] == Duty::Parked
        }),
        Property::sometimes("both paths publish one signal", |_, state: &State| {
            let [one, other] = &state.replicas;
            let both = |fast: &Replica, slow: &Replica| {
                fast.outbox[0] == Work::Sent && slow.relay[0] == Work::Sent
            };
            both(one, other) || both(other, one)
        }),
    ];
    if model.bounds.forgetting {
        let name = "an event is forgotten, and recorded again";
        properties.push(Property::sometimes(name, |_, state: &State| {
            let (event, at) = (0, At::New);
            let recorded = Some(Delivery { event, at });
            let mut replicas = state.replicas.iter();
            let new = replicas.any(|replica| replica.delivery == recorded);
            new && state.published(0) && state.ledger.duties[0].is_kept()
        }));
    }
    properties
}

/// Whether something is so for each event.
fn each(holds: impl Fn(Event) -> bool) -> bool {
    (0..EVENTS).all(holds)
}

impl Gateway {
    /// Whether there is nothing left to do, until a delivery or a fault comes.
    fn at_rest(&self, state: &State) -> bool {
        let mut steps = Vec::new();
        self.work(state, &mut steps);
        steps.is_empty()
    }
}

impl State {
    fn keeps(&self, event: Event) -> bool {
        let kept = |id: usize| self.broker[id] || self.ledger.duties[id].is_kept();
        kept(event) || kept(event + EVENTS)
    }

    fn published(&self, event: Event) -> bool {
        self.broker[event] || self.broker[event + EVENTS]
    }
}
