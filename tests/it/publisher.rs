//! The AMQP publisher against real brokers, with lapin as the consumer.

mod failover;
mod permissions;
mod pipeline;
mod tls;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hookgate::config::TlsFiles;
use hookgate::publisher::routing::RoutingKey;
use hookgate::publisher::{
    Address, PublishError, Publisher, PublisherUrl, Settings, Topology, open,
};
use hookgate::shutdown::Drain;
use hookgate::signal::Signal;
use lapin::message::Delivery;
use lapin::options::BasicRejectOptions;
use lapin::types::{AMQPValue, FieldTable, LongString};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::support::rabbit::{Broker, MAX_MESSAGE, Vhost};
use crate::support::{DEADLINE, signal, signal_with, until};

const EXCHANGE: &str = "signals";

/// Settings for these addresses, with a confirm timeout that tests need not wait for.
pub(crate) fn settings(addresses: Vec<Address>) -> Settings {
    Settings {
        url: PublisherUrl::Amqp(addresses),
        tls: TlsFiles::default(),
        exchange: EXCHANGE.to_owned(),
        routing_key: RoutingKey::default(),
        declare: None,
        confirm_timeout: Duration::from_secs(20),
        provenance: Default::default(),
    }
}

pub(crate) async fn until_ready(publisher: &Arc<dyn Publisher>, ready: bool) {
    let mut changes = publisher.ready();
    let changed = tokio::time::timeout(DEADLINE, changes.wait_for(|now| *now == ready)).await;
    assert!(changed.is_ok(), "publisher does not become ready = {ready}");
}

async fn connected(addresses: Vec<Address>) -> Arc<dyn Publisher> {
    let publisher = open(&settings(addresses), &Drain::new()).await.unwrap();
    until_ready(&publisher, true).await;
    publisher
}

async fn connected_to(vhost: &Vhost<'_>) -> Arc<dyn Publisher> {
    connected(vec![vhost.address()]).await
}

async fn failure(publisher: &Arc<dyn Publisher>, signal: &Signal) -> String {
    let tried = tokio::time::timeout(DEADLINE, publisher.publish(signal)).await;
    tried
        .expect("publish ends")
        .expect_err("publish fails")
        .to_string()
}

fn id(delivery: &Delivery) -> String {
    delivery
        .properties
        .message_id()
        .clone()
        .unwrap()
        .to_string()
}

#[tokio::test]
async fn a_published_signal_arrives_with_its_properties_and_exact_bytes() {
    let vhost = Broker::shared().await.vhost().await;
    let mut inbox = vhost.inbox_of(EXCHANGE).await;
    let publisher = connected_to(&vhost).await;
    let signal = signal_with("stripe", "evt_1", r#"{"amount": 1.00,  "name":"Zoë"}"#);
    publisher.publish(&signal).await.unwrap();

    let received = inbox.next().await;
    assert_eq!(received.data, signal.envelope);
    assert_eq!(
        received.routing_key.as_str(),
        "acme.stripe.charge.succeeded"
    );
    let properties = &received.properties;
    let text = |value: &Option<lapin::types::ShortString>| value.clone().unwrap().to_string();
    assert_eq!(text(properties.message_id()), signal.signalid.to_string());
    assert_eq!(text(properties.kind()), "stripe.charge.succeeded");
    assert_eq!(text(properties.app_id()), "hookgate");
    assert_eq!(
        text(properties.content_type()),
        "application/cloudevents+json"
    );
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert_eq!(*properties.timestamp(), Some(1_767_607_200));
    let headers = properties.headers().clone().unwrap();
    let header = |name: &str| match headers.inner().get(name) {
        Some(AMQPValue::LongString(value)) => value.to_string(),
        other => panic!("{name} is {other:?}"),
    };
    assert_eq!(header("tenant"), "acme");
    assert_eq!(header("endpoint"), "hook");
    assert_eq!(header("provider"), "stripe");
    assert_eq!(header("traceparent"), signal.attributes.traceparent);
}

#[tokio::test]
async fn an_event_type_longer_than_amqp_allows_is_published_all_the_same() {
    let vhost = Broker::shared().await.vhost().await;
    let mut inbox = vhost.inbox_of(EXCHANGE).await;
    let publisher = connected_to(&vhost).await;
    let mut signal = signal("stripe", "evt_1");
    signal.attributes.event_type = format!("stripe.{}", "ä".repeat(500));
    publisher.publish(&signal).await.unwrap();

    let received = inbox.next().await;
    assert_eq!(received.routing_key.as_str().len(), 255);
    assert_eq!(received.data, signal.envelope);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_hundreds_in_flight_exactly_the_unroutable_ones_are_refused() {
    let vhost = Broker::shared().await.vhost().await;
    vhost.exchange(EXCHANGE).await;
    vhost
        .queue("stripes", EXCHANGE, "*.stripe.#", FieldTable::default())
        .await;
    let mut inbox = vhost.inbox("stripes").await;
    let publisher = connected_to(&vhost).await;
    let provider = |n: usize| {
        if n.is_multiple_of(3) {
            "unrouted"
        } else {
            "stripe"
        }
    };
    let signals: Vec<Signal> = (0..3000)
        .map(|n| signal(provider(n), &n.to_string()))
        .collect();
    // From tasks on several threads, so that what is sent at the same time really mixes.
    let tasks = Drain::new();
    let published = signals.iter().cloned().map(|signal| {
        let publisher = Arc::clone(&publisher);
        tasks.spawn(async move { publisher.publish(&signal).await })
    });
    let results = join_all(published.collect::<Vec<_>>()).await;

    let mut wanted = HashSet::new();
    for (signal, result) in signals.iter().zip(results) {
        match (&*signal.attributes.provider, result.unwrap()) {
            ("stripe", Ok(())) => drop(wanted.insert(signal.signalid.to_string())),
            ("unrouted", Err(PublishError::Refused(why))) if why.contains("unroutable") => {}
            (provider, result) => panic!("{provider} became {result:?}"),
        }
    }
    let mut arrived = HashSet::new();
    while arrived.len() < wanted.len() {
        let received = inbox.next().await;
        assert!(
            arrived.insert(id(&received)),
            "{} arrived twice",
            id(&received)
        );
    }
    assert_eq!(arrived, wanted);
}

#[tokio::test]
async fn only_the_signal_that_is_too_large_is_refused() {
    let vhost = Broker::shared().await.vhost().await;
    let _inbox = vhost.inbox_of(EXCHANGE).await;
    let publisher = connected_to(&vhost).await;
    let data = format!("\"{}\"", "x".repeat(MAX_MESSAGE));
    let large = signal_with("stripe", "large", &data);
    let small: Vec<Signal> = (0..20).map(|n| signal("stripe", &n.to_string())).collect();
    let all = small
        .iter()
        .chain([&large])
        .map(|signal| publisher.publish(signal));
    let mut results = join_all(all).await;

    let refused = results.pop().unwrap();
    assert!(
        matches!(refused, Err(PublishError::Refused(_))),
        "{refused:?}"
    );
    for result in results {
        result.unwrap();
    }
    assert!(*publisher.ready().borrow());
}

#[tokio::test]
async fn a_full_queue_refuses_for_now_and_the_publisher_stays_ready() {
    let vhost = Broker::shared().await.vhost().await;
    vhost.exchange(EXCHANGE).await;
    let mut limits = FieldTable::default();
    limits.insert("x-max-length".into(), AMQPValue::LongInt(1));
    limits.insert(
        "x-overflow".into(),
        AMQPValue::LongString(LongString::from("reject-publish")),
    );
    vhost.queue("small", EXCHANGE, "#", limits).await;
    let publisher = connected_to(&vhost).await;
    publisher.publish(&signal("stripe", "1")).await.unwrap();

    let why = failure(&publisher, &signal("stripe", "2")).await;
    assert!(why.contains("for now"), "{why}");
    assert!(*publisher.ready().borrow());
    vhost.inbox("small").await.next().await;
    until("there is room again", async || {
        publisher.publish(&signal("stripe", "2")).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_missing_exchange_is_named_and_waited_for() {
    let vhost = Broker::shared().await.vhost().await;
    let publisher = open(&settings(vec![vhost.address()]), &Drain::new())
        .await
        .unwrap();
    let signal = signal("stripe", "1");
    until("the exchange is missed", async || {
        failure(&publisher, &signal)
            .await
            .contains("exchange `signals` does not exist")
    })
    .await;
    let why = publisher.probe().await.unwrap_err().to_string();
    assert!(why.contains("exchange `signals`"), "{why}");
    // Where several brokers are configured, the operator has to know which one is meant.
    assert!(why.contains(&vhost.address().to_string()), "{why}");

    let _inbox = vhost.inbox_of(EXCHANGE).await;
    until_ready(&publisher, true).await;
    publisher.publish(&signal).await.unwrap();

    vhost.delete_exchange(EXCHANGE).await;
    let why = failure(&publisher, &signal).await;
    assert!(why.contains("exchange `signals` does not exist"), "{why}");
    until_ready(&publisher, false).await;
}

#[tokio::test]
async fn topology_is_declared_on_request_and_dead_letters_are_kept() {
    let vhost = Broker::shared().await.vhost().await;
    let topology = Topology {
        queue: "workers".to_owned(),
    };
    let settings = Settings {
        declare: Some(topology),
        ..settings(vec![vhost.address()])
    };
    // Twice: a second replica finds everything declared.
    for event in ["1", "2"] {
        let publisher = open(&settings, &Drain::new()).await.unwrap();
        let findings = publisher.probe().await.unwrap();
        assert!(
            findings.iter().any(|finding| finding.contains("`workers`")),
            "{findings:?}"
        );
        publisher.publish(&signal("stripe", event)).await.unwrap();
        publisher.close().await;
    }
    let mut workers = vhost.inbox("workers").await;
    let (first, second) = (
        workers.next_unsettled().await,
        workers.next_unsettled().await,
    );
    let mut dead = vhost.inbox("workers.dead").await;
    first
        .reject(BasicRejectOptions { requeue: false })
        .await
        .unwrap();
    assert_eq!(id(&dead.next().await), id(&first));
    assert_ne!(id(&first), id(&second));
    let path = format!("/api/queues/{}/workers", vhost.name);
    let (_, queue) = vhost.broker.api("GET", &path, "").await;
    assert!(queue.contains(r#""type":"quorum""#), "{queue}");
}

#[tokio::test]
async fn the_next_address_is_tried_and_no_password_is_told() {
    let vhost = Broker::shared().await.vhost().await;
    let _inbox = vhost.inbox_of(EXCHANGE).await;
    let port = vhost.broker.port();
    let wrong = format!("amqp://guest:s3cr3t@127.0.0.1:{port}/{}", vhost.name);
    let wrong = Address::parse(&wrong).unwrap();
    let dead = Address::parse("amqp://guest:s3cr3t@127.0.0.1:1/x").unwrap();
    let publisher = connected(vec![dead.clone(), wrong.clone(), vhost.address()]).await;
    publisher.publish(&signal("stripe", "1")).await.unwrap();

    let drain = Drain::new();
    let publisher = open(&settings(vec![dead, wrong]), &drain).await.unwrap();
    let error = publisher.probe().await.unwrap_err();
    let told = format!("{error} {error:?} {publisher:?}");
    assert!(!told.contains("s3cr3t"), "{told}");
    assert!(drain.finish(DEADLINE).await);
}

#[tokio::test]
async fn a_connection_that_the_operator_closes_is_made_again() {
    let vhost = Broker::shared().await.vhost().await;
    let mut inbox = vhost.inbox_of(EXCHANGE).await;
    let publisher = connected_to(&vhost).await;
    publisher.publish(&signal("stripe", "1")).await.unwrap();
    let first = inbox.next().await;
    let changes = publisher.ready();
    vhost
        .broker
        .ctl(&["close_all_connections", "--vhost", &vhost.name, "test"])
        .await;

    until("it was lost", async || changes.has_changed().unwrap()).await;
    until_ready(&publisher, true).await;
    publisher.publish(&signal("stripe", "2")).await.unwrap();
    assert_ne!(id(&vhost.inbox("all").await.next().await), id(&first));
}

#[tokio::test]
async fn a_broker_that_never_answers_is_given_up_and_leaves_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = Address::parse(&format!("amqp://127.0.0.1:{port}/")).unwrap();
    let publisher = open(&settings(vec![address]), &Drain::new()).await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    assert!(
        failure(&publisher, &signal("stripe", "1"))
            .await
            .contains("not connected yet")
    );

    // The end of the stream is reached: the gateway has hung up, after its greeting.
    let mut greeting = Vec::new();
    let read = tokio::time::timeout(DEADLINE, peer.read_to_end(&mut greeting)).await;
    read.expect("the gateway hangs up").unwrap();
    assert_eq!(greeting, b"AMQP\x00\x00\x09\x01");
    until("the reason is told", async || {
        failure(&publisher, &signal("stripe", "1"))
            .await
            .contains("timed out")
    })
    .await;
}

#[tokio::test]
async fn what_is_in_flight_when_the_drain_begins_is_still_confirmed() {
    let vhost = Broker::shared().await.vhost().await;
    let _inbox = vhost.inbox_of(EXCHANGE).await;
    let drain = Drain::new();
    let publisher = open(&settings(vec![vhost.address()]), &drain)
        .await
        .unwrap();
    until_ready(&publisher, true).await;
    drain.begin();

    publisher.publish(&signal("stripe", "1")).await.unwrap();
    publisher.close().await;
    assert!(drain.finish(DEADLINE).await);
    assert!(
        failure(&publisher, &signal("stripe", "2"))
            .await
            .contains("closed")
    );
    assert!(!*publisher.ready().borrow());
}

#[tokio::test]
async fn a_broker_may_be_away_at_first_and_later() {
    let broker = Broker::prepare();
    let root = Vhost {
        broker: &broker,
        name: "%2f".to_owned(),
    };
    let publisher = open(&settings(vec![root.address()]), &Drain::new())
        .await
        .unwrap();
    let why = failure(&publisher, &signal("stripe", "1")).await;
    assert!(why.starts_with("broker cannot be used"), "{why}");

    broker.start().await;
    let _inbox = root.inbox_of(EXCHANGE).await;
    until_ready(&publisher, true).await;
    publisher.publish(&signal("stripe", "1")).await.unwrap();

    broker.kill().await;
    until_ready(&publisher, false).await;
    failure(&publisher, &signal("stripe", "2")).await;

    broker.start().await;
    until_ready(&publisher, true).await;
    publisher.publish(&signal("stripe", "2")).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_blocks_publishing_counts_as_away() {
    let broker = Broker::prepare();
    broker.start().await;
    let vhost = broker.vhost().await;
    let _inbox = vhost.inbox_of(EXCHANGE).await;
    let confirm_timeout = Duration::from_secs(2);
    let settings = Settings {
        confirm_timeout,
        ..settings(vec![vhost.address()])
    };
    let publisher = open(&settings, &Drain::new()).await.unwrap();
    until_ready(&publisher, true).await;

    broker
        .ctl(&["set_vm_memory_high_watermark", "0.0000001"])
        .await;
    // The broker blocks a connection when it first publishes.
    until("publishing is blocked", async || {
        failure_if_any(&publisher)
            .await
            .is_some_and(|why| why.contains("blocked"))
    })
    .await;
    assert!(!*publisher.ready().borrow());

    broker.ctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    until_ready(&publisher, true).await;
    publisher.publish(&signal("stripe", "2")).await.unwrap();
}

async fn failure_if_any(publisher: &Arc<dyn Publisher>) -> Option<String> {
    publisher
        .publish(&signal("stripe", "1"))
        .await
        .err()
        .map(|error| error.to_string())
}
