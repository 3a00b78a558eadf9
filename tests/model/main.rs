//! A model of the protocol, checked exhaustively: in every order of steps within the bounds, with every
//! fault between any two of them. Needs no server. `docs/MODEL.md` says what is modelled, what it
//! shows and what it does not.

#![expect(clippy::print_stdout, reason = "what was counted and found")]

mod properties;
mod protocol;
mod state;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use properties::{
    NOTHING_ACKNOWLEDGED_IS_LOST, ONE_SIGNAL_ID, PUBLISHED_AT_REST, RECORDED_BEFORE_ANSWERED,
    RECORDED_BEFORE_PUBLISHED, RECORDED_BEFORE_REPEATED, REPEATS_ARE_KEPT,
};
use protocol::{Bounds, Gateway, Protocol, UNBOUNDED};

/// One event, and no end of deliveries and faults.
const ONE_EVENT: Bounds = Bounds {
    events: 1,
    deliveries: UNBOUNDED,
    faults: UNBOUNDED,
    forgetting: true,
    rollback: false,
};

/// The same with a Redis that may lose its last second, again and again.
const ROLLBACK: Bounds = Bounds {
    rollback: true,
    ..ONE_EVENT
};

/// Two events under one unsigned id, two deliveries and a fault.
const TWO_EVENTS: Bounds = Bounds {
    events: 2,
    deliveries: 2,
    faults: 1,
    forgetting: false,
    rollback: false,
};

const PAGE: &str = include_str!("../../docs/MODEL.md");

/// What no gateway can promise beside such a Redis.
const GIVEN_UP: [&str; 2] = [NOTHING_ACKNOWLEDGED_IS_LOST, PUBLISHED_AT_REST];

/// Checks every state within the bounds: all properties hold but those that are `given_up`, which
/// do not.
fn holds(protocol: Protocol, bounds: Bounds, given_up: &[&str]) {
    let model = Gateway {
        protocol,
        bounds,
        alike: true,
    };
    let checker = model.checker().spawn_bfs().join();
    let (states, steps) = (checker.unique_state_count(), checker.state_count());
    let depth = checker.max_depth();
    println!("{protocol:?}, {bounds:?}: {states} states, {steps} steps, {depth} deep");
    if protocol == Protocol::AsBuilt {
        let row = format!("| {} | {} |", grouped(states), grouped(steps));
        assert!(PAGE.contains(&row), "docs/MODEL.md does not say {row}");
    }
    for property in model.properties() {
        let found = checker.discovery(property.name);
        let wanted =
            property.expectation == Expectation::Sometimes || given_up.contains(&property.name);
        let path = found.map(|path| path.into_actions());
        assert_eq!(path.is_some(), wanted, "{}: {path:?}", property.name);
    }
}

/// Writes a number as the page does.
fn grouped(number: usize) -> String {
    match (number / 1000, number % 1000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{} {rest:03}", grouped(thousands)),
    }
}

/// Finds a shortest way to break a property, and prints it.
fn breaks(protocol: Protocol, bounds: Bounds, property: &'static str) {
    let model = Gateway {
        protocol,
        bounds,
        alike: false,
    };
    for depth in 2..16 {
        let checker = model
            .checker()
            .target_max_depth(depth)
            .finish_when(HasDiscoveries::AnyOf([property].into()))
            .spawn_bfs()
            .join();
        if let Some(path) = checker.discovery(property) {
            println!(
                "{protocol:?} breaks `{property}`: {:?}",
                path.into_actions()
            );
            return;
        }
    }
    panic!("{protocol:?} does not break `{property}`");
}

#[test]
fn the_protocol_holds_for_one_event_whatever_fails_and_however_often() {
    holds(Protocol::AsBuilt, ONE_EVENT, &[]);
}

#[test]
fn the_protocol_holds_for_two_events_under_one_unsigned_id() {
    holds(Protocol::AsBuilt, TWO_EVENTS, &[]);
}

#[test]
fn the_protocol_holds_what_it_can_where_redis_loses_its_last_second() {
    holds(Protocol::AsBuilt, ROLLBACK, &GIVEN_UP);
}

#[test]
#[ignore = "tens of millions of steps: make model"]
fn the_protocol_holds_further_out() {
    let far = Bounds {
        deliveries: 3,
        faults: 2,
        ..TWO_EVENTS
    };
    holds(Protocol::AsBuilt, far, &[]);
}

#[test]
fn what_was_acknowledged_in_the_last_second_can_go_with_it() {
    breaks(Protocol::AsBuilt, ROLLBACK, NOTHING_ACKNOWLEDGED_IS_LOST);
}

/// Leases keep two replicas from publishing the same signal. Nothing is wrong when they do.
#[test]
fn no_promise_rests_on_leases() {
    holds(Protocol::NoLease, ONE_EVENT, &[]);
}

#[test]
fn a_claim_before_persisting_loses_events() {
    let protocol = Protocol::ClaimBeforePersist;
    breaks(protocol, ONE_EVENT, PUBLISHED_AT_REST);
    breaks(protocol, ONE_EVENT, RECORDED_BEFORE_REPEATED);
    breaks(protocol, ONE_EVENT, REPEATS_ARE_KEPT);
}

#[test]
fn a_discharge_before_the_confirm_loses_events() {
    let protocol = Protocol::DischargeBeforeConfirm;
    breaks(protocol, ONE_EVENT, PUBLISHED_AT_REST);
    breaks(protocol, ONE_EVENT, NOTHING_ACKNOWLEDGED_IS_LOST);
}

#[test]
fn an_answer_before_recording_loses_events() {
    let protocol = Protocol::AnswerBeforeRecord;
    breaks(protocol, ONE_EVENT, RECORDED_BEFORE_ANSWERED);
    breaks(protocol, ONE_EVENT, PUBLISHED_AT_REST);
}

#[test]
fn publishing_before_recording_publishes_what_nobody_can_find() {
    let protocol = Protocol::PublishBeforeRecord;
    breaks(protocol, ONE_EVENT, RECORDED_BEFORE_PUBLISHED);
}

#[test]
fn a_random_signal_id_makes_two_signals_of_one_event() {
    breaks(Protocol::RandomSignalIds, ONE_EVENT, ONE_SIGNAL_ID);
}

#[test]
fn identity_from_an_unsigned_id_swallows_a_genuine_event() {
    let protocol = Protocol::IdentityFromUnsignedId;
    breaks(protocol, TWO_EVENTS, NOTHING_ACKNOWLEDGED_IS_LOST);
}

#[test]
fn a_lease_without_end_leaves_events_unpublished() {
    breaks(Protocol::LeaseWithoutEnd, ONE_EVENT, PUBLISHED_AT_REST);
}
