//! What callers and operators see while something that the gateway needs fails, under load: statuses,
//! metrics, readiness, and how much is logged and how often is tried.

use std::time::{Duration, Instant};

use hookgate::clock;
use lapin::types::{AMQPValue, FieldTable, LongString};

use super::deliveries::{header, outcome, sample, sign, signalid, signed, to};
use super::{EXCHANGE, OWED, PARKED, PUBLISHER_READY, next, until_logged};
use crate::support::process::{Gateway, SECRET, Setup};
use crate::support::proxy::Proxy;
use crate::support::rabbit::{Broker, MAX_MESSAGE};
use crate::support::redis::{Options, Redis};
use crate::support::until;

const LEDGER_READY: &str = "hookgate_ledger_ready";
const LEDGER_AWAY: &str = "ledger cannot be used: deliveries are answered with 503";
const LEDGER_BACK: &str = "ledger can be used again";
const ALIKE: &str = "more deliveries rejected alike";

/// How many deliveries are sent during an outage.
const LOAD: usize = 200;

/// How many lines an outage may log beside those that tell of accepted deliveries.
const FEW: usize = 10;

/// Sends many deliveries one after the other. All are answered with `status`.
async fn send_many(gateway: &Gateway, name: &str, status: u16) {
    let mut line = gateway.connect().await;
    for n in 0..LOAD {
        let delivery = signed("stripe", &format!("{name}{n}"));
        let answer = line.send(to("charges", &delivery)).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{name}{n}");
        if status == 503 {
            assert!(!header(&answer, "retry-after").is_empty());
            assert!(answer.body().is_empty() && outcome(&answer).is_empty());
        }
    }
}

/// Makes sure that a load of deliveries is refused, and that little is logged about it: all lines in
/// full, and one that counts the rest once the gateway ends.
async fn refuses_quietly(gateway: &Gateway, name: &str) {
    let before = other_lines(gateway);
    send_many(gateway, name, 503).await;
    let refused = gateway.deliveries("rejected", "ledger_unavailable").await;
    assert_eq!(refused, LOAD as u64);
    let more = other_lines(gateway) - before;
    assert!((1..=FEW).contains(&more), "{more}: {}", gateway.stderr());
}

/// Counts the lines of the log but those that count others, of which there is one every 10 seconds.
fn other_lines(gateway: &Gateway) -> usize {
    gateway.stderr().lines().count() - gateway.logged(ALIKE).len()
}

/// Ends a gateway that accepts again. Every delivery was logged or counted.
async fn ends_with_every_delivery_told(mut gateway: Gateway) {
    let answer = gateway.send(to("charges", &signed("stripe", "end"))).await;
    assert_eq!(outcome(&answer), "accepted");
    assert_eq!(gateway.terminate().await, Some(0), "{}", gateway.stderr());
    let deliveries = gateway.logged("delivery");
    let full = deliveries
        .iter()
        .filter(|line| line["reason"] == "ledger_unavailable")
        .count() as u64;
    let counted: u64 = gateway
        .logged(ALIKE)
        .iter()
        .inspect(|line| assert_eq!(line["reason"], "ledger_unavailable"))
        .map(|line| line["count"].as_u64().unwrap())
        .sum();
    assert_eq!(full + counted, LOAD as u64);
}

/// Makes sure that no more was tried than pauses of at least `pause` allow.
fn tried_at_intervals(attempts: usize, pause: Duration, since: Instant) {
    let pauses = since.elapsed().as_millis() / pause.as_millis();
    // Each attempt may be one more where a connection was lost that had just been made.
    let most = 4 + 2 * pauses as usize;
    assert!(attempts <= most, "{attempts} attempts, {most} at most");
}

async fn on_redis(url: &str) -> Gateway {
    let setup = Setup::new()
        .ledger(url)
        .endpoint("charges", "acme", "stripe");
    let gateway = setup.start().await;
    gateway.until_ready(true).await;
    gateway
}

#[tokio::test]
async fn a_redis_that_turns_connections_away_is_neither_hammered_nor_logged_about_without_end() {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.port()).await;
    let gateway = on_redis(&format!("redis://127.0.0.1:{}", proxy.port())).await;
    let (begun, before) = (clock::instant(), proxy.connected());
    proxy.turn_away();
    refuses_quietly(&gateway, "refused").await;
    gateway.until_metric(LEDGER_READY, 0).await;
    let report = gateway.until_ready(false).await;
    assert!(report.contains("ledger: ledger cannot be used"), "{report}");
    until("it was tried some times", async || {
        proxy.connected() >= before + 5
    })
    .await;
    tried_at_intervals(proxy.connected() - before, Duration::from_millis(50), begun);

    proxy.mend();
    gateway.until_ready(true).await;
    until_logged(&gateway, LEDGER_BACK, |_| true).await;
    assert_eq!(gateway.logged(LEDGER_AWAY).len(), 1);
    assert_eq!(gateway.logged(LEDGER_BACK).len(), 1);
    ends_with_every_delivery_told(gateway).await;
}

#[tokio::test]
async fn a_redis_that_is_full_refuses_deliveries_and_is_not_ready() {
    let redis = Redis::start();
    let gateway = on_redis(&redis.url()).await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    refuses_quietly(&gateway, "full").await;
    let line = gateway.logged("delivery").pop().unwrap();
    assert!(line["detail"].as_str().unwrap().contains("OOM"), "{line}");
    let report = gateway.until_ready(false).await;
    assert!(report.contains("OOM"), "{report}");
    gateway.until_metric(LEDGER_READY, 0).await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    gateway.until_ready(true).await;
    ends_with_every_delivery_told(gateway).await;
}

#[tokio::test]
async fn a_redis_that_became_a_replica_refuses_deliveries_until_it_takes_writes() {
    let redis = Redis::start();
    let gateway = on_redis(&redis.url()).await;
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    refuses_quietly(&gateway, "replica").await;
    let lines = gateway.logged("delivery");
    let told = |line: &serde_json::Value| line["detail"].as_str().unwrap().contains("replica");
    assert!(lines.iter().any(told), "{lines:?}");
    redis.cli(&["REPLICAOF", "NO", "ONE"]);
    until("deliveries are accepted", async || {
        let answer = gateway
            .send(to("charges", &signed("stripe", "again")))
            .await;
        answer.status() == 200
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_takes_the_password_no_more_refuses_deliveries_until_it_does() {
    let redis = Redis::with(Options::default());
    redis.cli(&["ACL", "SETUSER", "gate", "on", ">first", "~*", "+@all"]);
    let url = format!("redis://gate:first@127.0.0.1:{}", redis.port());
    let gateway = on_redis(&url).await;
    redis.cli(&["ACL", "SETUSER", "gate", "resetpass", ">second"]);
    redis.cli(&["CLIENT", "KILL", "USER", "gate"]);
    refuses_quietly(&gateway, "password").await;
    gateway.until_metric(LEDGER_READY, 0).await;
    let report = gateway.until_ready(false).await;
    assert!(report.contains("authentication failed"), "{report}");
    redis.cli(&["ACL", "SETUSER", "gate", ">first"]);
    gateway.until_ready(true).await;
    ends_with_every_delivery_told(gateway).await;
}

#[tokio::test]
async fn a_sqlite_ledger_on_a_disk_that_is_full_refuses_and_keeps_what_it_has() {
    let setup = Setup::new().endpoint("charges", "acme", "stripe");
    let gateway = setup.start_on_a_disk_of(2048).await;
    let mut line = gateway.connect().await;
    let mut accepted = 0;
    let refused = loop {
        let delivery = signed("stripe", &format!("d{accepted}"));
        let answer = line.send(to("charges", &delivery)).await.unwrap();
        if answer.status() != 200 {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 5000, "the disk is never full");
    };
    assert_eq!(refused.status(), 503);
    assert!(!header(&refused, "retry-after").is_empty());
    assert_eq!(
        gateway.deliveries("rejected", "ledger_unavailable").await,
        1
    );
    drop(gateway);

    // With room again: what was acknowledged is known, and what was refused is new.
    let gateway = setup.start().await;
    gateway.until_ready(true).await;
    let last = signed("stripe", &format!("d{}", accepted - 1));
    let again = gateway.send(to("charges", &last)).await;
    assert_eq!(outcome(&again), "duplicate");
    let retry = signed("stripe", &format!("d{accepted}"));
    let retry = gateway.send(to("charges", &retry)).await;
    assert_eq!(outcome(&retry), "accepted");
}

#[tokio::test]
async fn a_broker_that_turns_connections_away_is_neither_hammered_nor_logged_about_without_end() {
    let vhost = Broker::shared().await.vhost().await;
    let mut inbox = vhost.inbox_of(EXCHANGE).await;
    let proxy = Proxy::to(vhost.broker.port()).await;
    let address = vhost.address_at(proxy.port());
    let setup = Setup::new()
        .publisher(address.expose(), "")
        .endpoint("charges", "acme", "stripe");
    let gateway = setup.start().await;
    gateway.until_metric(PUBLISHER_READY, 1).await;
    let (begun, before) = (clock::instant(), proxy.connected());
    proxy.turn_away();
    gateway.until_metric(PUBLISHER_READY, 0).await;
    send_many(&gateway, "buffered", 200).await;
    assert_eq!(
        gateway.deliveries("accepted", "buffered").await,
        LOAD as u64
    );
    gateway.until_metric(OWED, LOAD as u64).await;
    let (status, report) = gateway.ask("/readyz").await;
    assert_eq!(status, 200);
    assert!(report.contains("publisher: not ready"), "{report}");
    until("it was tried some times", async || {
        proxy.connected() >= before + 3
    })
    .await;
    tried_at_intervals(proxy.connected() - before, Duration::from_millis(50), begun);
    let others = gateway.stderr().lines().count() - gateway.logged("delivery").len();
    assert!(others <= FEW, "{}", gateway.stderr());

    proxy.mend();
    for _ in 0..LOAD {
        next(&mut inbox).await;
    }
    gateway.until_metric(OWED, 0).await;
    assert_eq!(gateway.logged("broker ready").len(), 2);
}

#[tokio::test]
async fn a_broker_with_an_alarm_is_waited_for_and_deliveries_are_accepted() {
    let broker = Broker::prepare();
    broker.start().await;
    let vhost = broker.vhost().await;
    let mut inbox = vhost.inbox_of(EXCHANGE).await;
    let setup = Setup::new()
        .publisher(vhost.address().expose(), "")
        .endpoint("charges", "acme", "stripe");
    let gateway = setup.start().await;
    gateway.until_metric(PUBLISHER_READY, 1).await;
    broker
        .ctl(&["set_vm_memory_high_watermark", "0.0000001"])
        .await;
    // The broker blocks a connection when it first publishes.
    let first = gateway
        .send(to("charges", &signed("stripe", "first")))
        .await;
    assert_eq!(outcome(&first), "accepted");
    gateway.until_metric(PUBLISHER_READY, 0).await;
    send_many(&gateway, "alarm", 200).await;
    assert_eq!(gateway.ask("/readyz").await.0, 200);
    let told = gateway.logged("broker unavailable");
    assert!(told[0]["reason"].as_str().unwrap().contains("blocked"));
    assert_eq!(told.len(), 1);

    broker.ctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    gateway.until_metric(OWED, 0).await;
    for _ in 0..=LOAD {
        next(&mut inbox).await;
    }
}

#[tokio::test]
async fn what_a_deleted_queue_should_have_taken_is_parked_and_told_once() {
    let vhost = Broker::shared().await.vhost().await;
    vhost.exchange(EXCHANGE).await;
    vhost
        .queue("work", EXCHANGE, "#", FieldTable::default())
        .await;
    let setup = Setup::new()
        .publisher(vhost.address().expose(), "")
        .endpoint("charges", "acme", "stripe");
    let gateway = setup.start().await;
    gateway.until_metric(PUBLISHER_READY, 1).await;
    let answer = gateway.send(to("charges", &signed("stripe", "0"))).await;
    assert_eq!(outcome(&answer), "accepted");
    let path = format!("/api/queues/{}/work", vhost.name);
    assert_eq!(vhost.broker.api("DELETE", &path, "").await.0, 204);

    send_many(&gateway, "lost", 200).await;
    gateway.until_metric(PARKED, LOAD as u64).await;
    gateway.until_metric(OWED, 0).await;
    assert_eq!(gateway.ask("/readyz").await.0, 200);
    let told = gateway.logged("broker refuses signals, parking");
    assert_eq!(told.len(), 1);
    assert!(told[0]["reason"].as_str().unwrap().contains("unroutable"));
    // With a queue again, what comes from now on is published.
    vhost
        .queue("work", EXCHANGE, "#", FieldTable::default())
        .await;
    let before = gateway.published().await;
    gateway.send(to("charges", &signed("stripe", "end"))).await;
    until("it is confirmed", async || {
        gateway.published().await > before
    })
    .await;
}

#[tokio::test]
async fn what_a_full_queue_refuses_stays_owed_until_there_is_room() {
    let vhost = Broker::shared().await.vhost().await;
    vhost.exchange(EXCHANGE).await;
    let mut limits = FieldTable::default();
    limits.insert("x-max-length".into(), AMQPValue::LongInt(1));
    limits.insert(
        "x-overflow".into(),
        AMQPValue::LongString(LongString::from("reject-publish")),
    );
    vhost.queue("small", EXCHANGE, "#", limits).await;
    let lease = "lease = \"1s\"\nconfirm_timeout = \"1s\"";
    let setup = Setup::new()
        .publisher(vhost.address().expose(), lease)
        .endpoint("charges", "acme", "stripe");
    let gateway = setup.start().await;
    gateway.until_metric(PUBLISHER_READY, 1).await;
    let mut sent = Vec::new();
    for n in 0..5 {
        let answer = gateway
            .send(to("charges", &signed("stripe", &n.to_string())))
            .await;
        assert_eq!(outcome(&answer), "accepted");
        sent.push(signalid(&answer));
    }
    gateway.until_metric(OWED, 4).await;
    assert_eq!(gateway.metric(PARKED).await, 0);
    assert_eq!(gateway.metric(PUBLISHER_READY).await, 1);
    let mut inbox = vhost.inbox("small").await;
    let mut arrived = Vec::new();
    for _ in 0..5 {
        arrived.push(next(&mut inbox).await.signalid);
    }
    arrived.sort();
    sent.sort();
    assert_eq!(arrived, sent);
    gateway.until_metric(OWED, 0).await;
    assert_eq!(gateway.logged("broker unavailable").len(), 0);
}

#[tokio::test]
async fn what_is_too_big_for_the_broker_is_parked_and_holds_nobody_up() {
    let vhost = Broker::shared().await.vhost().await;
    let mut inbox = vhost.inbox_of(EXCHANGE).await;
    let lines = "secrets = [\"env:SECRET\"]\nmax_body = \"4MiB\"";
    let setup = Setup::new()
        .publisher(vhost.address().expose(), "")
        .endpoint_with("charges", "acme", "stripe", lines);
    let gateway = setup.start().await;
    gateway.until_metric(PUBLISHER_READY, 1).await;
    let mut big = sample("stripe", "big");
    let text = String::from_utf8_lossy(&big.body).into_owned();
    let filler = format!("{{\"filler\":\"{}\",", "x".repeat(MAX_MESSAGE));
    big.body = text.replacen('{', &filler, 1).into();
    let big = sign("stripe", SECRET, big);
    let answer = gateway.send(to("charges", &big)).await;
    assert_eq!(outcome(&answer), "accepted");
    gateway.until_metric(PARKED, 1).await;
    let answer = gateway.send(to("charges", &signed("stripe", "1"))).await;
    assert_eq!(next(&mut inbox).await.signalid, signalid(&answer));
    assert_eq!(gateway.ask("/readyz").await.0, 200);
}
