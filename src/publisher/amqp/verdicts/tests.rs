use proptest::prelude::*;

use super::*;

/// A model of the broker and of lapin, as far as the order of what happens goes.
///
/// What the broker has decided happens step by step, at any time: also between two polls of one pass.
struct Channel {
    /// Steps of the broker that are still to come.
    coming: Vec<Step>,
    /// What came back and no confirm has taken yet.
    queue: std::collections::VecDeque<u8>,
    /// What each confirm says, once it has resolved. By the order of sending.
    confirms: Vec<Option<Option<u8>>>,
}

#[derive(Clone, Debug)]
enum Step {
    Return(u8),
    /// The messages of one confirm, in the order in which lapin resolves them.
    Confirm(Vec<usize>),
}

impl Channel {
    fn step(&mut self) {
        if self.coming.is_empty() {
            return;
        }
        match self.coming.remove(0) {
            Step::Return(id) => self.queue.push_back(id),
            Step::Confirm(tags) => {
                for tag in tags {
                    self.confirms[tag] = Some(self.queue.pop_front());
                }
            }
        }
    }
}

/// A message: its id, and whether a queue takes it.
#[derive(Clone, Copy, Debug)]
struct Sent {
    id: u8,
    routable: bool,
}

/// What a test does with the channel.
#[derive(Clone, Debug)]
enum Act {
    /// Sends messages.
    Send(Vec<Sent>),
    /// The broker confirms what it has by then, several at once, in an order of its own.
    Answer(usize, Vec<usize>),
    /// The broker goes on by so many steps.
    Pass(usize),
    /// A round, during which the broker goes on by so many steps at each poll.
    Round(Vec<u8>),
}

fn act(ids: u8) -> impl Strategy<Value = Act> {
    let sent = (0..ids, any::<bool>()).prop_map(|(id, routable)| Sent { id, routable });
    prop_oneof![
        3 => prop::collection::vec(sent, 1..6).prop_map(Act::Send),
        3 => (1_usize..8, prop::collection::vec(any::<prop::sample::Index>(), 8))
            .prop_map(|(most, order)| Act::Answer(most, order.iter().map(|at| at.index(1 << 16)).collect())),
        2 => (0_usize..6).prop_map(Act::Pass),
        3 => prop::collection::vec(0_u8..3, 0..40).prop_map(Act::Round),
    ]
}

/// Runs the acts, then lets everything come to its end. Returns what was sent and each verdict.
fn run(acts: Vec<Act>) -> Vec<(Sent, Verdict)> {
    let mut channel = Channel {
        coming: Vec::new(),
        queue: Default::default(),
        confirms: Vec::new(),
    };
    let mut verdicts = Verdicts::<usize, u8>::new();
    let (mut sent, mut decided) = (Vec::<Sent>::new(), Vec::new());
    let (mut pending, mut unanswered) = (Vec::<usize>::new(), Vec::<usize>::new());
    let the_end = [
        Act::Answer(usize::MAX, vec![0; 8]),
        Act::Pass(usize::MAX),
        Act::Round(Vec::new()),
    ];
    for act in acts.into_iter().chain(the_end) {
        match act {
            Act::Send(messages) => {
                for message in messages {
                    let tag = sent.len();
                    sent.push(message);
                    channel.confirms.push(None);
                    verdicts.sent(message.id);
                    pending.push(tag);
                    unanswered.push(tag);
                }
            }
            Act::Answer(most, order) => {
                let mut tags: Vec<_> = unanswered.drain(..most.min(unanswered.len())).collect();
                let back = tags.iter().filter(|tag| !sent[**tag].routable);
                channel
                    .coming
                    .extend(back.map(|tag| Step::Return(sent[*tag].id)));
                for (at, other) in order.iter().enumerate().take(tags.len()) {
                    let other = other % tags.len();
                    tags.swap(at, other);
                }
                channel.coming.push(Step::Confirm(tags));
            }
            Act::Pass(steps) => {
                for _ in 0..steps.min(channel.coming.len()) {
                    channel.step();
                }
            }
            Act::Round(steps) => {
                let mut steps = steps.into_iter();
                let found = gather(&mut pending, |tag| {
                    for _ in 0..steps.next().unwrap_or(0) {
                        channel.step();
                    }
                    channel.confirms[*tag].take()
                });
                let found = found.into_iter().map(|(tag, carried)| Resolved {
                    message: tag,
                    id: sent[tag].id,
                    acked: true,
                    carried: carried.map(|id| Returned {
                        id: Some(id),
                        why: "NO_ROUTE".into(),
                    }),
                });
                let round = verdicts.round(found.collect());
                decided.extend(round.expect("no return is a stray"));
            }
        }
    }
    assert_eq!(verdicts.open(), 0, "everything has its verdict");
    assert!(verdicts.flights.is_empty());
    decided.sort_by_key(|(tag, _)| *tag);
    assert_eq!(decided.len(), sent.len());
    decided
        .into_iter()
        .map(|(tag, verdict)| (sent[tag], verdict))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_came_back_is_never_confirmed_and_the_rest_always(
        acts in prop::collection::vec(act(255), 0..40),
    ) {
        let mut ids = std::collections::HashSet::new();
        // An id once: what is sent twice at the same time may be refused for the other.
        let acts = acts.into_iter().map(|act| match act {
            Act::Send(mut messages) => {
                messages.retain(|message| ids.insert(message.id));
                Act::Send(messages)
            }
            act => act,
        });
        for (sent, verdict) in run(acts.collect()) {
            prop_assert_eq!(verdict == Verdict::Confirmed, sent.routable, "{:?}", sent);
        }
    }

    #[test]
    fn what_came_back_is_not_confirmed_when_ids_are_in_flight_several_times(
        acts in prop::collection::vec(act(3), 0..40),
    ) {
        for (sent, verdict) in run(acts) {
            prop_assert!(sent.routable || verdict != Verdict::Confirmed, "{:?}", sent);
        }
    }
}

fn resolved(id: u8, carried: Option<u8>) -> Resolved<u8, u8> {
    Resolved {
        message: id,
        id,
        acked: true,
        carried: carried.map(|id| Returned {
            id: Some(id),
            why: "NO_ROUTE".into(),
        }),
    }
}

/// Messages 1 to `count` in flight.
fn in_flight(count: u8) -> Verdicts<u8, u8> {
    let mut verdicts = Verdicts::new();
    (1..=count).for_each(|id| verdicts.sent(id));
    verdicts
}

#[test]
fn a_return_that_another_confirm_carried_refuses_the_right_one() {
    let mut verdicts = in_flight(2);
    let round = verdicts.round(vec![resolved(1, Some(2)), resolved(2, None)]);
    let back = Verdict::Returned("NO_ROUTE".into());
    assert_eq!(round.unwrap(), [(1, Verdict::Confirmed), (2, back)]);
}

#[test]
fn a_confirm_that_carried_anothers_return_waits_for_proof() {
    let mut verdicts = in_flight(4);
    let waits = verdicts.round(vec![resolved(1, Some(2))]).unwrap();
    assert_eq!((waits, verdicts.open()), (vec![], 4));
    // Its own return was behind the other's.
    let back = Verdict::Returned("NO_ROUTE".into());
    let round = verdicts.round(vec![resolved(2, Some(1))]).unwrap();
    assert_eq!(round, [(1, back.clone()), (2, back)]);
}

#[test]
fn the_return_of_a_later_message_is_proof() {
    let mut verdicts = in_flight(3);
    assert_eq!(verdicts.round(vec![resolved(1, Some(2))]).unwrap(), []);
    verdicts.sent(9);
    let round = verdicts.round(vec![resolved(2, Some(9))]).unwrap();
    assert_eq!(round[0], (1, Verdict::Confirmed));
}

#[test]
fn what_the_broker_takes_no_responsibility_for_is_not_confirmed() {
    let mut verdicts = in_flight(1);
    let nacked = Resolved {
        acked: false,
        ..resolved(1, None)
    };
    assert_eq!(
        verdicts.round(vec![nacked]).unwrap(),
        [(1, Verdict::Nacked)]
    );
}

#[test]
fn a_message_that_came_back_and_was_not_sent_is_a_stray() {
    assert!(in_flight(2).round(vec![resolved(1, Some(7))]).is_err());
    let mut unreadable = resolved(1, Some(2));
    unreadable.carried = unreadable.carried.map(|back| Returned { id: None, ..back });
    assert!(in_flight(2).round(vec![unreadable]).is_err());
}
