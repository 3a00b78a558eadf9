//! The outbox and the relay together: fast path, slow path, and what is still owed in between.
//!
//! Against a real broker behind a proxy that can break, and a ledger in memory.

mod relay;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hookgate::outbox::{Ack, Outbox, OutboxSettings, Publication};
use hookgate::publisher::{Publisher, open};
use hookgate::relay::RelaySettings;
use hookgate::shutdown::Drain;
use hookgate::signal::{Signal, SignalId};
use lapin::types::{AMQPValue, FieldTable, LongString};

use crate::publisher::{settings as to, until_ready};
use crate::support::memory_ledger::MemoryLedger;
use crate::support::proxy::Proxy;
use crate::support::rabbit::{Broker, Inbox, MAX_MESSAGE, Vhost};
use crate::support::{DEADLINE, signal, signal_with, until};

const EXCHANGE: &str = "signals";

/// Longer than any test: only what is given back reaches the relay.
const LONG_LEASE: Duration = Duration::from_secs(3600);

/// An outbox, a publisher that reaches its broker through a proxy, and a ledger.
struct Office {
    vhost: Vhost<'static>,
    proxy: Proxy,
    publisher: Arc<dyn Publisher>,
    ledger: Arc<MemoryLedger>,
    outbox: Outbox,
    drain: Drain,
}

impl Office {
    async fn open(settings: OutboxSettings, lease: Duration) -> Self {
        let broker = Broker::shared().await;
        let vhost = broker.vhost().await;
        vhost.exchange(EXCHANGE).await;
        let proxy = Proxy::to(broker.port()).await;
        let drain = Drain::new();
        let address = vhost.address_at(proxy.port());
        // The publisher outlives the work that needs it, so its tasks are of another drain.
        let publisher = open(&to(vec![address]), &Drain::new()).await.unwrap();
        until_ready(&publisher, true).await;
        let ledger = Arc::new(MemoryLedger::new(lease));
        let outbox = Outbox::new(
            ledger.clone(),
            Arc::clone(&publisher),
            drain.clone(),
            settings,
        );
        Self {
            vhost,
            proxy,
            publisher,
            ledger,
            outbox,
            drain,
        }
    }

    /// An office that waits for confirms as long as any test does.
    async fn patient() -> Self {
        let settings = OutboxSettings {
            ack_wait: DEADLINE,
            ..OutboxSettings::default()
        };
        Self::open(settings, LONG_LEASE).await
    }

    async fn inbox(&self) -> Inbox {
        self.vhost.inbox_of(EXCHANGE).await
    }

    fn start_relay(&self) {
        let poll = Duration::from_millis(20);
        hookgate::relay::start(
            &self.outbox,
            &self.drain,
            RelaySettings {
                poll,
                retry_parked: Some(poll),
                ..RelaySettings::default()
            },
        );
    }

    async fn record_and_publish(&self, signals: &[Signal]) -> Publication {
        self.ledger.owe(signals);
        self.outbox.publish(signals.to_vec()).await
    }

    async fn until_nothing_is_owed(&self) {
        until("nothing is owed", async || self.ledger.owed().is_empty()).await;
    }

    fn count(&self, counter: impl Fn(&hookgate::outbox::PublishCounters) -> &AtomicU64) -> u64 {
        counter(&self.outbox.counters()).load(Ordering::Relaxed)
    }
}

fn signals(count: usize) -> Vec<Signal> {
    (0..count)
        .map(|n| signal("stripe", &n.to_string()))
        .collect()
}

fn ids(signals: &[Signal]) -> Vec<SignalId> {
    signals.iter().map(|signal| signal.signalid).collect()
}

async fn received(inbox: &mut Inbox, count: usize) -> Vec<SignalId> {
    let mut received = Vec::new();
    for _ in 0..count {
        let id = inbox.next().await.properties.message_id().clone().unwrap();
        received.push(SignalId::parse(id.as_str()).unwrap());
    }
    received.sort();
    received
}

fn sorted(mut ids: Vec<SignalId>) -> Vec<SignalId> {
    ids.sort();
    ids
}

#[tokio::test]
async fn what_is_confirmed_in_time_is_confirmed_and_discharged() {
    let office = Office::patient().await;
    let mut inbox = office.inbox().await;
    let signals = signals(300);
    let publication = office.record_and_publish(&signals).await;

    assert_eq!(publication, Publication::Confirmed);
    assert_eq!(received(&mut inbox, 300).await, sorted(ids(&signals)));
    office.until_nothing_is_owed().await;
    assert_eq!(office.count(|counters| &counters.confirmed), 300);
    assert_eq!(office.count(|counters| &counters.undischarged), 0);
}

#[tokio::test]
async fn what_the_fast_path_could_not_publish_arrives_once_when_the_broker_is_back() {
    let office = Office::patient().await;
    let mut inbox = office.inbox().await;
    office.start_relay();
    office.proxy.cut();
    until_ready(&office.publisher, false).await;
    let signals = signals(300);
    let publication = office.record_and_publish(&signals).await;
    assert_eq!(publication, Publication::Buffered);
    assert_eq!(office.ledger.owed().len(), 300);

    office.proxy.mend();
    office.until_nothing_is_owed().await;
    assert_eq!(received(&mut inbox, 300).await, sorted(ids(&signals)));
    assert_eq!(sorted(office.ledger.discharged()), sorted(ids(&signals)));
    assert_eq!(office.count(|counters| &counters.relayed), 300);
    // Nothing else was published: the next message is the next signal.
    let last = signal("stripe", "last");
    assert_eq!(
        office.record_and_publish(std::slice::from_ref(&last)).await,
        Publication::Confirmed
    );
    assert_eq!(received(&mut inbox, 1).await, [last.signalid]);
}

#[tokio::test]
async fn a_broker_that_hangs_is_not_waited_for_and_what_is_in_flight_is_still_owed() {
    let settings = OutboxSettings {
        ack_wait: Duration::from_millis(50),
        ..OutboxSettings::default()
    };
    let office = Office::open(settings, LONG_LEASE).await;
    let mut inbox = office.inbox().await;
    office.proxy.freeze();
    let signals = signals(3);
    assert_eq!(
        office.record_and_publish(&signals).await,
        Publication::Buffered
    );
    assert_eq!(office.ledger.owed(), ids(&signals));
    assert_eq!(office.count(|counters| &counters.buffered), 3);

    // Publishing has not been given up: the fast path finishes by itself.
    office.proxy.mend();
    office.until_nothing_is_owed().await;
    assert_eq!(received(&mut inbox, 3).await, sorted(ids(&signals)));
    assert_eq!(office.count(|counters| &counters.confirmed), 3);
}

#[tokio::test]
async fn more_than_may_be_in_flight_is_left_to_the_relay() {
    let ack_wait = Duration::from_millis(50);
    let settings = OutboxSettings {
        ack_wait,
        max_in_flight: 2,
        ..OutboxSettings::default()
    };
    let office = Office::open(settings, LONG_LEASE).await;
    let mut inbox = office.inbox().await;
    office.proxy.freeze();
    let signals = signals(5);
    assert_eq!(
        office.record_and_publish(&signals[..2]).await,
        Publication::Buffered
    );
    assert_eq!(
        office.record_and_publish(&signals[2..]).await,
        Publication::Buffered
    );
    until("what was not let in is given back", async || {
        office.ledger.leased() == 2
    })
    .await;

    office.start_relay();
    office.proxy.mend();
    office.until_nothing_is_owed().await;
    assert_eq!(received(&mut inbox, 5).await, sorted(ids(&signals)));
    assert_eq!(office.count(|counters| &counters.confirmed), 2);
    assert_eq!(office.count(|counters| &counters.relayed), 3);
}

#[tokio::test]
async fn what_stays_refused_stays_parked_and_holds_nobody_up() {
    let office = Office::patient().await;
    let too_large = format!("\"{}\"", "x".repeat(MAX_MESSAGE));
    let large = signal_with("stripe", "large", &too_large);
    let unroutable = signals(100);
    office
        .record_and_publish(std::slice::from_ref(&large))
        .await;
    office.record_and_publish(&unroutable).await;
    until("all are parked", async || {
        office.ledger.parked_signals().len() == 101
    })
    .await;

    office.start_relay();
    let mut inbox = office.inbox().await;
    let received = received(&mut inbox, 100).await;
    assert_eq!(received, sorted(ids(&unroutable)));
    until("one is left", async || {
        office.ledger.parked_signals().len() == 1
    })
    .await;
    assert_eq!(office.ledger.parked_signals()[0].0, large.signalid);
    assert_eq!(office.count(|counters| &counters.replayed), 100);
    // It takes its turn, and the connection stays what it was.
    let later = signals(101).split_off(100);
    let publication = office.record_and_publish(&later).await;
    assert_eq!(publication, Publication::Confirmed);
}

#[tokio::test]
async fn what_the_broker_refuses_is_parked_with_its_reason() {
    let office = Office::patient().await;
    let signals = signals(2);
    assert_eq!(
        office.record_and_publish(&signals).await,
        Publication::Buffered
    );

    until("it is parked", async || {
        office.ledger.parked_signals().len() == 2
    })
    .await;
    let (_, reason) = &office.ledger.parked_signals()[0];
    assert!(reason.contains("unroutable"), "{reason}");
    assert!(office.ledger.owed().is_empty());
    assert_eq!(office.count(|counters| &counters.refused), 2);
}

#[tokio::test]
async fn the_relay_parks_what_the_broker_refuses() {
    let office = Office::open(OutboxSettings::default(), Duration::ZERO).await;
    office.ledger.owe(&signals(1));
    office.start_relay();
    until("it is parked", async || {
        office.ledger.parked_signals().len() == 1
    })
    .await;
    assert!(office.ledger.owed().is_empty());
}

#[tokio::test]
async fn the_relay_takes_over_what_nobody_publishes() {
    let office = Office::open(OutboxSettings::default(), Duration::from_millis(1)).await;
    let mut inbox = office.inbox().await;
    // As after a crash between recording and publishing: leased to a process that is gone. More
    // than one batch, so that several turns are needed.
    let signals = signals(600);
    office.ledger.owe(&signals);
    until("the leases have run out", async || {
        office.ledger.leased() == 0
    })
    .await;
    office.start_relay();

    office.until_nothing_is_owed().await;
    let arrived = received(&mut inbox, 600).await;
    assert_eq!(arrived, sorted(ids(&signals)));
}

#[tokio::test]
async fn a_signal_that_a_full_queue_refuses_keeps_its_lease_and_lets_others_by() {
    let office = Office::patient().await;
    let mut limits = FieldTable::default();
    limits.insert("x-max-length".into(), AMQPValue::LongInt(0));
    limits.insert(
        "x-overflow".into(),
        AMQPValue::LongString(LongString::from("reject-publish")),
    );
    office
        .vhost
        .queue("full", EXCHANGE, "*.stripe.#", limits)
        .await;
    office
        .vhost
        .queue("roomy", EXCHANGE, "*.github.#", FieldTable::default())
        .await;
    office.start_relay();
    let (stuck, free) = (signal("stripe", "1"), signal("github", "2"));

    assert_eq!(
        office
            .record_and_publish(std::slice::from_ref(&stuck))
            .await,
        Publication::Buffered
    );
    // Once on the fast path, once by the relay, which then leaves it alone.
    until("the relay has tried", async || {
        office.count(|counters| &counters.unavailable) == 2
    })
    .await;
    assert_eq!(
        office.record_and_publish(&[free]).await,
        Publication::Confirmed
    );
    until("only the stuck one is owed", async || {
        office.ledger.owed() == [stuck.signalid]
    })
    .await;
    assert_eq!(office.ledger.leased(), 1);
    assert_eq!(office.count(|counters| &counters.unavailable), 2);
}

#[tokio::test]
async fn what_a_full_queue_refused_is_published_as_soon_as_there_is_room() {
    let office = Office::open(OutboxSettings::default(), Duration::from_millis(50)).await;
    let mut limits = FieldTable::default();
    limits.insert("x-max-length".into(), AMQPValue::LongInt(1));
    limits.insert(
        "x-overflow".into(),
        AMQPValue::LongString(LongString::from("reject-publish")),
    );
    office.vhost.exchange(EXCHANGE).await;
    office.vhost.queue("small", EXCHANGE, "#", limits).await;
    office.start_relay();
    let signals = signals(20);
    assert_eq!(
        office.record_and_publish(&signals).await,
        Publication::Buffered
    );
    until("some are refused", async || {
        office.count(|counters| &counters.unavailable) > 0
    })
    .await;

    // Taking a message makes room for another.
    let mut inbox = office.vhost.inbox("small").await;
    let mut missing = ids(&signals);
    while !missing.is_empty() {
        let id = received(&mut inbox, 1).await;
        missing.retain(|missing| *missing != id[0]);
    }
    office.until_nothing_is_owed().await;
    assert_eq!(office.count(|counters| &counters.refused), 0);
}

#[tokio::test]
async fn publishing_goes_on_when_the_caller_goes_away() {
    let office = Office::patient().await;
    let mut inbox = office.inbox().await;
    office.proxy.freeze();
    let signals = signals(1);
    office.ledger.owe(&signals);
    let abandoned = office.outbox.publish(signals.clone());
    assert!(
        tokio::time::timeout(Duration::from_millis(20), abandoned)
            .await
            .is_err()
    );

    office.proxy.mend();
    assert_eq!(received(&mut inbox, 1).await, ids(&signals));
    office.until_nothing_is_owed().await;
}

#[tokio::test]
async fn where_recording_is_enough_nobody_waits_for_the_broker() {
    let settings = OutboxSettings {
        ack: Ack::Recorded,
        ack_wait: DEADLINE,
        ..OutboxSettings::default()
    };
    let office = Office::open(settings, LONG_LEASE).await;
    let mut inbox = office.inbox().await;
    office.proxy.freeze();
    let signals = signals(2);
    assert_eq!(
        office.record_and_publish(&signals).await,
        Publication::Pending
    );

    office.proxy.mend();
    assert_eq!(received(&mut inbox, 2).await, sorted(ids(&signals)));
    office.until_nothing_is_owed().await;
}

#[tokio::test]
async fn a_discharge_that_is_lost_means_published_again_under_the_same_id() {
    let office = Office::open(
        OutboxSettings {
            ack_wait: DEADLINE,
            ..OutboxSettings::default()
        },
        Duration::from_millis(1),
    )
    .await;
    let mut inbox = office.inbox().await;
    let signals = signals(1);
    office.ledger.owe(&signals);
    office.ledger.fail(true);
    assert_eq!(
        office.outbox.publish(signals.clone()).await,
        Publication::Confirmed
    );
    until("the discharge is lost", async || {
        office.count(|counters| &counters.undischarged) == 1
    })
    .await;
    assert_eq!(office.ledger.owed(), ids(&signals));

    // The relay waits for the ledger too.
    office.start_relay();
    office.ledger.fail(false);
    office.until_nothing_is_owed().await;
    let twice = [signals[0].signalid; 2];
    assert_eq!(received(&mut inbox, 2).await, twice);
}

#[tokio::test]
async fn the_drain_waits_for_what_is_in_flight_and_for_its_discharge() {
    let settings = OutboxSettings {
        ack_wait: Duration::from_millis(20),
        ..OutboxSettings::default()
    };
    let office = Office::open(settings, LONG_LEASE).await;
    let mut inbox = office.inbox().await;
    office.start_relay();
    office.proxy.freeze();
    let signals = signals(300);
    assert_eq!(
        office.record_and_publish(&signals).await,
        Publication::Buffered
    );
    office.drain.begin();
    office.proxy.mend();

    assert!(office.drain.finish(DEADLINE).await);
    assert!(office.ledger.owed().is_empty());
    assert_eq!(received(&mut inbox, 300).await, sorted(ids(&signals)));
}

#[tokio::test]
async fn the_relay_makes_a_last_pass_when_the_drain_begins() {
    let office = Office::patient().await;
    let mut inbox = office.inbox().await;
    let settings = RelaySettings {
        poll: DEADLINE,
        ..RelaySettings::default()
    };
    hookgate::relay::start(&office.outbox, &office.drain, settings);
    // The drain begins before the relay has had a turn: only its last pass can find this. More than
    // one batch, so that several turns are needed.
    let owed = signals(600);
    office.ledger.owe(&owed);
    let ledger: &dyn hookgate::ledger::Ledger = &*office.ledger;
    ledger.released(&owed).await.unwrap();

    assert!(office.drain.finish(DEADLINE).await);
    assert!(office.ledger.owed().is_empty());
    assert_eq!(received(&mut inbox, 600).await, sorted(ids(&owed)));
}

#[tokio::test]
async fn while_the_broker_is_away_the_relay_leaves_the_ledger_alone() {
    let office = Office::patient().await;
    office.proxy.cut();
    until_ready(&office.publisher, false).await;
    office.start_relay();
    let signals = signals(1);
    assert_eq!(
        office.record_and_publish(&signals).await,
        Publication::Buffered
    );
    until("it is given back", async || office.ledger.leased() == 0).await;
    assert!(office.drain.finish(DEADLINE).await);

    assert_eq!(office.ledger.owed(), ids(&signals));
    assert_eq!(office.count(|counters| &counters.unavailable), 0);
}
