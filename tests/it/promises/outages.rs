//! What becomes of deliveries while the broker or the ledger is away, and afterwards.

use std::collections::{BTreeMap, BTreeSet};

use lapin::types::FieldTable;

use super::deliveries::{header, outcome, signalid, signed, to};
use super::{
    Backends, EXCHANGE, OWED, PARKED, PUBLISHER_READY, next, nothing_more, receive_all,
    until_nothing_is_owed,
};
use crate::support::process::{Gateway, Setup};
use crate::support::proxy::Proxy;
use crate::support::rabbit::{Broker, Vhost};
use crate::support::redis::{Options, Redis};
use crate::support::{eventually, until};

/// A gateway that publishes to an exchange of its own on one broker, which it reaches through `port`.
async fn on_broker(
    broker: &Vhost<'_>,
    port: u16,
    ledger: Option<&Redis>,
    name: &str,
) -> (Setup, Gateway) {
    broker.exchange(name).await;
    let address = broker.address_at(port);
    let lines = format!("exchange = \"{name}\"");
    let mut setup = Setup::new().publisher(address.expose(), &lines);
    if let Some(redis) = ledger {
        setup = setup.ledger(&redis.url());
    }
    let setup = setup.endpoint("charges", "acme", "stripe");
    let gateway = setup.start().await;
    (setup, gateway)
}

/// Delivers one event while the broker is away, and returns the signal that the caller is told of.
async fn deliver_buffered(gateway: &Gateway, event: &str) -> String {
    let before = gateway.deliveries("accepted", "buffered").await;
    let answer = gateway.send(to("charges", &signed("stripe", event))).await;
    assert_eq!(
        (answer.status().as_u16(), outcome(&answer)),
        (200, "accepted")
    );
    let signalid = signalid(&answer);

    assert_eq!(gateway.deliveries("accepted", "buffered").await, before + 1);
    let line = eventually("the delivery is logged", async || {
        let mut lines = gateway.logged("delivery").into_iter();
        lines.find(|line| line["signals"] == *signalid)
    });
    assert_eq!(line.await["reason"], "buffered");
    gateway.until_metric(OWED, 1).await;
    let (status, report) = gateway.ask("/readyz").await;
    assert_eq!(status, 200, "{report}");
    assert!(report.contains("publisher: not ready"), "{report}");
    signalid
}

/// Makes sure that a signal arrives once now that the broker is back, and that nothing is left.
async fn arrives_once(gateway: &Gateway, broker: &Vhost<'_>, queue: &str, signalid: &str) {
    gateway.until_metric(OWED, 0).await;
    let mut inbox = broker.inbox(queue).await;
    assert_eq!(next(&mut inbox).await.signalid, signalid);
    let before = gateway.published().await;
    nothing_more(gateway, "charges", &mut inbox, &format!("after-{signalid}")).await;
    // The broker may only go away again once the gateway has its confirm: else it would publish twice.
    until("the last one is confirmed", async || {
        gateway.published().await > before
    })
    .await;
}

#[tokio::test]
async fn what_arrives_while_the_broker_is_away_is_published_once_when_it_is_back() {
    let broker = Broker::prepare();
    broker.start().await;
    let vhost = broker.vhost().await;
    let proxy = Proxy::to(broker.port()).await;
    proxy.cut();
    let redis = Redis::start();
    let (_one, on_redis) = on_broker(&vhost, proxy.port(), Some(&redis), "redis").await;
    let (_other, on_sqlite) = on_broker(&vhost, proxy.port(), None, "sqlite").await;
    let gateways = [(&on_redis, "redis"), (&on_sqlite, "sqlite")];

    queues(gateways, &vhost, "at-start").await;
    let buffered = all_buffered(gateways, "at-start").await;
    proxy.mend();
    all_arrive_once(gateways, &vhost, "at-start", &buffered).await;

    queues(gateways, &vhost, "after-a-crash").await;
    broker.kill().await;
    let buffered = all_buffered(gateways, "after-a-crash").await;
    broker.start().await;
    all_arrive_once(gateways, &vhost, "after-a-crash", &buffered).await;
}

/// Declares a queue for each gateway. Each outage has queues of its own, because the last message
/// that was taken from one may come again.
async fn queues(gateways: [(&Gateway, &str); 2], broker: &Vhost<'_>, outage: &str) {
    for (_, name) in gateways {
        let queue = format!("{name}-{outage}");
        broker.queue(&queue, name, "#", FieldTable::default()).await;
    }
}

async fn all_buffered(gateways: [(&Gateway, &str); 2], event: &str) -> Vec<String> {
    let mut signalids = Vec::new();
    for (gateway, _) in gateways {
        gateway.until_metric(PUBLISHER_READY, 0).await;
        signalids.push(deliver_buffered(gateway, event).await);
    }
    signalids
}

async fn all_arrive_once(
    gateways: [(&Gateway, &str); 2],
    broker: &Vhost<'_>,
    outage: &str,
    signalids: &[String],
) {
    for ((gateway, name), signalid) in gateways.into_iter().zip(signalids) {
        let queue = format!("{name}-{outage}");
        arrives_once(gateway, broker, &queue, signalid).await;
    }
}

#[tokio::test]
async fn what_arrives_while_the_broker_blocks_publishing_is_published_when_its_alarm_is_over() {
    let broker = Broker::prepare();
    broker.start().await;
    let vhost = broker.vhost().await;
    let (_setup, gateway) = on_broker(&vhost, broker.port(), None, EXCHANGE).await;
    vhost
        .queue("all", EXCHANGE, "#", FieldTable::default())
        .await;
    gateway.until_metric(PUBLISHER_READY, 1).await;
    broker
        .ctl(&["set_vm_memory_high_watermark", "0.0000001"])
        .await;
    let mut signals = BTreeMap::new();
    let mut deliver = async |event: String| {
        let answer = gateway.send(to("charges", &signed("stripe", &event))).await;
        assert_eq!(
            (answer.status().as_u16(), outcome(&answer)),
            (200, "accepted")
        );
        signals.insert(event, signalid(&answer));
    };
    // The broker blocks a connection when it first publishes.
    deliver("first".to_owned()).await;
    gateway.until_metric(PUBLISHER_READY, 0).await;
    for n in 0..50 {
        deliver(n.to_string()).await;
    }
    gateway.until_metric(OWED, 51).await;

    broker.ctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    gateway.until_metric(OWED, 0).await;
    let mut inbox = vhost.inbox("all").await;
    receive_all(&mut inbox, &signals).await;
    assert_eq!(gateway.metric(PARKED).await, 0);
}

#[tokio::test]
async fn what_no_queue_takes_is_accepted_and_parked() {
    let vhost = Broker::shared().await.vhost().await;
    vhost.exchange(EXCHANGE).await;
    let redis = Redis::start();
    let setup = Setup::new()
        .ledger(&redis.url())
        .publisher(vhost.address().expose(), "")
        .endpoint("charges", "acme", "stripe");
    let gateway = setup.start().await;
    gateway.until_metric(PUBLISHER_READY, 1).await;
    let answer = gateway.send(to("charges", &signed("stripe", "1"))).await;

    assert_eq!(
        (answer.status().as_u16(), outcome(&answer)),
        (200, "accepted")
    );
    gateway.until_metric(PARKED, 1).await;
    gateway.until_metric(OWED, 0).await;
    let key = redis.cli(&["KEYS", "*:reasons"]);
    let reason = redis.cli(&["HGET", &key, &signalid(&answer)]);
    assert!(reason.contains("unroutable"), "{reason}");
}

#[tokio::test]
async fn what_is_parked_is_published_once_a_queue_takes_it() {
    let vhost = Broker::shared().await.vhost().await;
    vhost.exchange(EXCHANGE).await;
    let redis = Redis::start();
    let setup = |ledger: Option<&Redis>| {
        let setup = Setup::new().publisher(vhost.address().expose(), "retry_parked = \"200ms\"");
        let setup = match ledger {
            Some(redis) => setup.ledger(&redis.url()),
            None => setup,
        };
        setup.endpoint("charges", "acme", "stripe")
    };
    let (on_redis, on_sqlite) = (setup(Some(&redis)), setup(None));
    let mut parked = BTreeSet::new();
    let gateways = [on_redis.start().await, on_sqlite.start().await];
    for (gateway, event) in gateways.iter().zip(["redis", "sqlite"]) {
        gateway.until_metric(PUBLISHER_READY, 1).await;
        let answer = gateway.send(to("charges", &signed("stripe", event))).await;
        parked.insert(signalid(&answer));
        gateway.until_metric(PARKED, 1).await;
    }

    let mut inbox = vhost.inbox_of(EXCHANGE).await;
    let mut received = BTreeSet::new();
    while received.len() < parked.len() {
        received.insert(next(&mut inbox).await.signalid);
    }
    assert_eq!(received, parked);
    for gateway in &gateways {
        gateway.until_metric(PARKED, 0).await;
        let replayed = r#"hookgate_publish_total{result="replayed"}"#;
        assert_eq!(gateway.metric(replayed).await, 1);
        assert_eq!(gateway.metric(OWED).await, 0);
    }
}

/// Makes sure that deliveries are refused and readiness says why, while the ledger is away.
async fn refuses_for_want_of_a_ledger(gateway: &Gateway, event: &str) {
    let before = gateway.deliveries("rejected", "ledger_unavailable").await;
    let answer = gateway.send(to("charges", &signed("stripe", event))).await;
    assert_eq!(answer.status(), 503);
    assert!(header(&answer, "retry-after").parse::<u32>().unwrap() > 0);
    assert!(answer.body().is_empty() && outcome(&answer).is_empty());
    let after = gateway.deliveries("rejected", "ledger_unavailable").await;
    assert_eq!(after, before + 1);

    let report = gateway.until_ready(false).await;
    let of_ledger = report.lines().find(|line| line.starts_with("ledger: "));
    assert!(
        of_ledger.is_some_and(|line| line != "ledger: ok"),
        "{report}"
    );
    assert_eq!(gateway.ask("/livez").await.0, 200);
}

fn append_only() -> Redis {
    Redis::with(Options {
        append_only: true,
        ..Options::default()
    })
}

#[tokio::test]
async fn without_its_ledger_a_gateway_refuses_and_afterwards_takes_the_retry_once() {
    let mut redis = append_only();
    let setup = Setup::new()
        .ledger(&redis.url())
        .endpoint("charges", "acme", "stripe");
    let gateway = setup.start().await;
    let first = gateway.send(to("charges", &signed("stripe", "1"))).await;
    assert_eq!(outcome(&first), "accepted");
    // Without its discharge noted it would, rightly, be published again.
    until_nothing_is_owed(&redis).await;

    redis.stop();
    refuses_for_want_of_a_ledger(&gateway, "2").await;
    redis.start_again();
    gateway.until_ready(true).await;
    assert_eq!(redis.cli(&["KEYS", "*:s:*"]).lines().count(), 1);

    let retry = signed("stripe", "2");
    let second = gateway.send(to("charges", &retry)).await;
    assert_eq!(outcome(&second), "accepted");
    let third = gateway.send(to("charges", &retry)).await;
    assert_eq!(
        (outcome(&third), signalid(&third)),
        ("duplicate", signalid(&second))
    );
    let known = gateway.send(to("charges", &signed("stripe", "1"))).await;
    assert_eq!(outcome(&known), "duplicate");
    gateway.until_metric(OWED, 0).await;
    let published = gateway.stdout();
    let published: Vec<&str> = published.lines().collect();
    assert_eq!(published.len(), 2, "{published:?}");
    assert!(published[0].contains(&signalid(&first)));
    assert!(published[1].contains(&signalid(&second)));
}

#[tokio::test]
async fn a_gateway_that_starts_without_its_ledger_becomes_ready_by_itself() {
    let mut redis = append_only();
    redis.stop();
    let setup = Setup::new()
        .ledger(&redis.url())
        .endpoint("charges", "acme", "stripe");
    let gateway = setup.start().await;
    refuses_for_want_of_a_ledger(&gateway, "1").await;
    assert_eq!(
        gateway.logged("ledger can be used again"),
        [] as [serde_json::Value; 0]
    );

    redis.start_again();
    gateway.until_ready(true).await;
    let answer = gateway.send(to("charges", &signed("stripe", "1"))).await;
    assert_eq!(
        (answer.status().as_u16(), outcome(&answer)),
        (200, "accepted")
    );
    until("the signal is published", async || {
        gateway.stdout().contains(&signalid(&answer))
    })
    .await;
}

#[tokio::test]
async fn a_ledger_that_hangs_is_not_waited_for_without_end() {
    let mut backends = Backends::start().await;
    let port = backends.vhost.broker.port();
    let setup = backends
        .setup_at(port, "lease = \"1s\"")
        .ledger_lines("timeout = \"2s\"")
        .endpoint("charges", "acme", "stripe");
    let gateway = setup.start().await;
    gateway.until_ready(true).await;
    backends.redis.freeze();
    refuses_for_want_of_a_ledger(&gateway, "1").await;
    backends.redis.thaw();

    gateway.until_ready(true).await;
    // Redis may have recorded what it was asked before it hung: then the retry is a repeat, and the
    // relay has taken over what the first attempt left behind.
    let answer = gateway.send(to("charges", &signed("stripe", "1"))).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(next(&mut backends.inbox).await.signalid, signalid(&answer));
    until_nothing_is_owed(&backends.redis).await;
}
