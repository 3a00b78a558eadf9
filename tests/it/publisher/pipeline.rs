//! Many messages in flight on one channel: each gets its own verdict, whatever becomes of the others.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hookgate::publisher::{PublishError, Publisher, Settings, open};
use hookgate::shutdown::Drain;
use hookgate::signal::Signal;
use lapin::types::{AMQPValue, FieldTable, LongString};

use super::{EXCHANGE, connected_to, id, settings, until_ready};
use crate::support::proxy::Proxy;
use crate::support::rabbit::{Broker, Inbox, MAX_MESSAGE};
use crate::support::{DEADLINE, signal, signal_with, until};

fn stripes(count: usize) -> Vec<Signal> {
    (0..count)
        .map(|n| signal("stripe", &n.to_string()))
        .collect()
}

fn ids<'s>(signals: impl IntoIterator<Item = &'s Signal>) -> HashSet<String> {
    let ids = signals.into_iter().map(|one| one.signalid.to_string());
    ids.collect()
}

async fn publish_all(
    publisher: &Arc<dyn Publisher>,
    signals: &[Signal],
) -> Vec<Result<(), PublishError>> {
    join_all(signals.iter().map(|signal| publisher.publish(signal))).await
}

/// Receives until all of `wanted` have come. A message may come twice.
async fn receive(inbox: &mut Inbox, mut wanted: HashSet<String>) {
    while !wanted.is_empty() {
        wanted.remove(&id(&inbox.next().await));
    }
}

/// Makes sure that exactly the signals of `bad` were refused, and says why.
fn only_these_refused(signals: &[Signal], results: Vec<Result<(), PublishError>>, bad: &[Signal]) {
    let bad = ids(bad);
    for (signal, result) in signals.iter().zip(results) {
        match (bad.contains(&signal.signalid.to_string()), result) {
            (false, Ok(())) | (true, Err(PublishError::Refused(_))) => {}
            (bad, result) => panic!("bad = {bad}, and {result:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_in_flight_beside_a_signal_that_closes_the_channel_is_confirmed() {
    let vhost = Broker::shared().await.vhost().await;
    let mut inbox = vhost.inbox_of(EXCHANGE).await;
    let publisher = connected_to(&vhost).await;
    let large = format!("\"{}\"", "x".repeat(MAX_MESSAGE));
    let bad: Vec<Signal> = (0..3)
        .map(|n| signal_with("stripe", &format!("large{n}"), &large))
        .collect();
    let good = stripes(900);
    let mut all = good.clone();
    for (n, bad) in bad.iter().enumerate() {
        all.insert(200 * (n + 1), bad.clone());
    }
    let results = publish_all(&publisher, &all).await;

    only_these_refused(&all, results, &bad);
    receive(&mut inbox, ids(&good)).await;
    assert!(*publisher.ready().borrow());
    // The channels are there again, and the next ones go through them.
    for result in publish_all(&publisher, &good).await {
        result.unwrap();
    }
}

#[tokio::test]
async fn signals_that_come_back_are_refused_beside_others_whose_channel_is_closed() {
    let vhost = Broker::shared().await.vhost().await;
    vhost.exchange(EXCHANGE).await;
    vhost
        .queue("stripes", EXCHANGE, "*.stripe.#", FieldTable::default())
        .await;
    let mut inbox = vhost.inbox("stripes").await;
    let publisher = connected_to(&vhost).await;
    let large = format!("\"{}\"", "x".repeat(MAX_MESSAGE));
    let mut all = stripes(600);
    let mut bad: Vec<Signal> = (0..200)
        .map(|n| signal("unrouted", &format!("unrouted-{n}")))
        .collect();
    bad.push(signal_with("stripe", "large", &large));
    for (n, one) in bad.iter().enumerate() {
        all.insert(3 * n, one.clone());
    }
    let results = publish_all(&publisher, &all).await;
    let refused = ids(&bad);
    only_these_refused(&all, results, &bad);
    let good = all
        .iter()
        .filter(|one| !refused.contains(&one.signalid.to_string()));
    receive(&mut inbox, ids(good)).await;
}

#[tokio::test]
async fn classic_and_quorum_queues_confirm_hundreds_in_flight() {
    for kind in ["classic", "quorum"] {
        let vhost = Broker::shared().await.vhost().await;
        vhost.exchange(EXCHANGE).await;
        let mut arguments = FieldTable::default();
        let value = AMQPValue::LongString(LongString::from(kind));
        arguments.insert("x-queue-type".into(), value);
        vhost.queue("all", EXCHANGE, "#", arguments).await;
        let publisher = connected_to(&vhost).await;
        let signals = stripes(1000);
        for result in publish_all(&publisher, &signals).await {
            result.unwrap_or_else(|error| panic!("{kind}: {error}"));
        }
        receive(&mut vhost.inbox("all").await, ids(&signals)).await;
    }
}

#[tokio::test]
async fn a_queue_that_goes_away_refuses_and_the_same_signal_is_taken_when_it_is_back() {
    let vhost = Broker::shared().await.vhost().await;
    let inbox = vhost.inbox_of(EXCHANGE).await;
    let publisher = connected_to(&vhost).await;
    let signals = stripes(50);
    drop(inbox);
    vhost.delete_queue("all").await;
    only_these_refused(&signals, publish_all(&publisher, &signals).await, &signals);

    let mut inbox = vhost.inbox_of(EXCHANGE).await;
    only_these_refused(&signals, publish_all(&publisher, &signals).await, &[]);
    receive(&mut inbox, ids(&signals)).await;
}

#[tokio::test]
async fn callers_that_give_up_disturb_nobody() {
    let vhost = Broker::shared().await.vhost().await;
    let mut inbox = vhost.inbox_of(EXCHANGE).await;
    let proxy = Proxy::to(vhost.broker.port()).await;
    let publisher = super::connected(vec![vhost.address_at(proxy.port())]).await;
    proxy.freeze();
    let (gone, patient) = (stripes(200), signal("stripe", "patient"));
    let given_up = publish_all(&publisher, &gone);
    let given_up = tokio::time::timeout(Duration::from_millis(50), given_up).await;
    assert!(given_up.is_err(), "a frozen broker confirms nothing");
    let waiting = publisher.publish(&patient);
    proxy.mend();

    tokio::time::timeout(DEADLINE, waiting)
        .await
        .unwrap()
        .unwrap();
    receive(&mut inbox, ids([&patient])).await;
}

#[tokio::test]
async fn a_confirm_that_does_not_come_gives_the_channel_up_and_the_next_is_used() {
    let vhost = Broker::shared().await.vhost().await;
    let mut inbox = vhost.inbox_of(EXCHANGE).await;
    let proxy = Proxy::to(vhost.broker.port()).await;
    let settings = Settings {
        confirm_timeout: Duration::from_secs(1),
        ..settings(vec![vhost.address_at(proxy.port())])
    };
    let publisher = open(&settings, &Drain::new()).await.unwrap();
    until_ready(&publisher, true).await;
    proxy.freeze();
    // More than all channels have room for: what finds none fails in time, too.
    for result in publish_all(&publisher, &stripes(5000)).await {
        let why = result.unwrap_err().to_string();
        assert!(why.contains("no confirm in time"), "{why}");
    }
    proxy.mend();
    let last = signal("stripe", "last");
    until("it is published again", async || {
        publisher.publish(&last).await.is_ok()
    })
    .await;
    receive(&mut inbox, ids([&last])).await;
}

#[tokio::test]
async fn a_connection_that_breaks_with_hundreds_in_flight_confirms_nothing_it_should_not() {
    let vhost = Broker::shared().await.vhost().await;
    let mut inbox = vhost.inbox_of(EXCHANGE).await;
    let proxy = Proxy::to(vhost.broker.port()).await;
    let publisher = super::connected(vec![vhost.address_at(proxy.port())]).await;
    let signals = stripes(2000);
    let breaking = async {
        inbox.next().await;
        proxy.cut();
    };
    let (results, ()) = tokio::join!(publish_all(&publisher, &signals), breaking);
    let results = signals.iter().zip(results);
    let confirmed = ids(results
        .filter(|(_, result)| result.is_ok())
        .map(|(one, _)| one));

    proxy.mend();
    until_ready(&publisher, true).await;
    // The consumer reaches the broker by itself: everything confirmed arrives.
    let mut inbox = {
        drop(inbox);
        vhost.inbox("all").await
    };
    let first = &signals[..1];
    only_these_refused(first, publish_all(&publisher, first).await, &[]);
    let mut missing = confirmed;
    missing.remove(&signals[0].signalid.to_string());
    let mut arrived = HashSet::new();
    while !arrived.contains(&signals[0].signalid.to_string()) || !missing.is_empty() {
        let one = id(&inbox.next().await);
        missing.remove(&one);
        arrived.insert(one);
    }
}
