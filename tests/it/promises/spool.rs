//! Nothing acknowledged is lost and nothing counts twice while the ledger is away and the spool stands
//! in for it.

use std::collections::{BTreeMap, BTreeSet};

use super::deliveries::{header, outcome, sample, sign, signalid, signed, stripe_id, to};
use super::{Backends, OWED, PUBLISHER_READY, next, receive_all, until_nothing_is_owed};
use crate::support::process::{Gateway, SECRET, Setup};
use crate::support::proxy::Proxy;
use crate::support::redis::{Options, Redis};
use crate::support::until;

const SPOOLED: &str = "hookgate_spooled";

/// A gateway's surroundings: Redis keeps what it is told, and the gateway reaches it through a proxy.
struct Site {
    backends: Backends,
    proxy: Proxy,
    setup: Setup,
}

async fn site(more: &str) -> Site {
    let mut backends = Backends::start().await;
    backends.redis = Redis::with(Options {
        append_only: true,
        ..Options::default()
    });
    let proxy = Proxy::to(backends.redis.port()).await;
    let setup = backends
        .setup_at(backends.vhost.broker.port(), "ack_wait = \"30s\"")
        .ledger(&format!("redis://127.0.0.1:{}", proxy.port()));
    let file = setup.dir().join("spool.db");
    let lines = format!("spool = \"sqlite:{}\"\n{more}", file.display());
    let setup = setup
        .ledger_lines(&lines)
        .endpoint("charges", "acme", "stripe");
    Site {
        backends,
        proxy,
        setup,
    }
}

/// Sends events that are kept in the spool. Returns their signals by event id.
async fn send_spooled(
    gateway: &Gateway,
    events: impl Iterator<Item = String>,
) -> BTreeMap<String, String> {
    let mut line = gateway.connect().await;
    let mut signals = BTreeMap::new();
    for event in events {
        let answer = line.send(to("charges", &signed("stripe", &event))).await;
        let answer = answer.unwrap();
        assert_eq!(
            (answer.status().as_u16(), outcome(&answer)),
            (200, "accepted")
        );
        signals.insert(stripe_id(&event), signalid(&answer));
    }
    signals
}

/// Makes sure that each event came under the one signal that its sender was told of, and only once.
async fn each_arrives_once(site: &mut Site, answered: &BTreeMap<String, String>) {
    let received = receive_all(&mut site.backends.inbox, answered).await;
    for (event, signalid) in answered {
        assert_eq!(received[event], BTreeSet::from([signalid.clone()]));
    }
    assert_eq!(received.len(), answered.len());
}

#[tokio::test]
async fn while_redis_is_away_deliveries_are_kept_in_the_spool_and_published_when_it_is_back() {
    let mut site = site("").await;
    let gateway = site.setup.start().await;
    gateway.until_metric(PUBLISHER_READY, 1).await;
    gateway.until_ready(true).await;
    let first = gateway.send(to("charges", &signed("stripe", "0"))).await;
    assert_eq!(outcome(&first), "accepted");
    assert_eq!(
        next(&mut site.backends.inbox).await.signalid,
        signalid(&first)
    );

    site.proxy.turn_away();
    let answered = send_spooled(&gateway, (1..=200).map(|n| format!("s{n}"))).await;
    let again = gateway.send(to("charges", &signed("stripe", "s7"))).await;
    assert_eq!(outcome(&again), "duplicate");
    assert_eq!(signalid(&again), answered[&stripe_id("s7")]);
    gateway.until_metric("hookgate_ledger_ready", 0).await;
    assert_eq!(gateway.metric(SPOOLED).await, 200);
    assert_eq!(gateway.deliveries("accepted", "buffered").await, 200);
    let (status, report) = gateway.ask("/readyz").await;
    assert_eq!(status, 200, "{report}");
    assert!(report.contains("spool: 200 deliveries wait"), "{report}");
    assert!(!report.contains("ledger: ok"), "{report}");
    // This replica cannot know that it was recorded before: the ledger will.
    let known = gateway.send(to("charges", &signed("stripe", "0"))).await;
    assert_eq!(
        (outcome(&known), signalid(&known)),
        ("accepted", signalid(&first))
    );

    site.proxy.mend();
    gateway.until_metric(SPOOLED, 0).await;
    each_arrives_once(&mut site, &answered).await;
    gateway.until_metric(OWED, 0).await;
    let total = |result: &str| format!("hookgate_spooled_total{{result=\"{result}\"}}");
    assert_eq!(gateway.metric(&total("kept")).await, 201);
    assert_eq!(gateway.metric(&total("recorded")).await, 200);
    assert_eq!(gateway.metric(&total("known")).await, 1);
    gateway.until_ready(true).await;
    until("the end of the outage is logged", async || {
        gateway.logged("ledger can be used again").len() == 1
    })
    .await;
    let one_line = [
        "ledger cannot be used: the spool stands in",
        "ledger cannot record: deliveries are kept in the spool",
        "spool is empty: the ledger has all of it",
    ];
    for message in one_line {
        assert_eq!(gateway.logged(message).len(), 1, "{message}");
    }
    assert_eq!(gateway.logged("more deliveries rejected alike").len(), 0);
}

#[tokio::test]
async fn what_waits_in_the_spool_when_a_gateway_is_killed_is_published_by_the_next_one() {
    let mut site = site("").await;
    let mut gateway = site.setup.start().await;
    gateway.until_ready(true).await;
    site.backends.redis.stop();
    let mut answered = send_spooled(&gateway, (0..50).map(|n| format!("a{n}"))).await;
    gateway.kill().await;

    let mut gateway = site.setup.start().await;
    assert_eq!(gateway.metric(SPOOLED).await, 50);
    answered.append(&mut send_spooled(&gateway, (0..50).map(|n| format!("b{n}"))).await);
    let again = gateway.send(to("charges", &signed("stripe", "a7"))).await;
    assert_eq!(outcome(&again), "duplicate");
    gateway.kill().await;

    site.backends.redis.start_again();
    let gateway = site.setup.start().await;
    gateway.until_metric(SPOOLED, 0).await;
    each_arrives_once(&mut site, &answered).await;
    until_nothing_is_owed(&site.backends.redis).await;
}

#[tokio::test]
async fn a_gateway_that_is_killed_while_it_empties_the_spool_loses_and_doubles_nothing() {
    let mut site = site("").await;
    site.backends.redis.stop();
    let mut gateway = site.setup.start().await;
    let answered = send_spooled(&gateway, (0..400).map(|n| n.to_string())).await;
    site.backends.redis.start_again();
    until("some are recorded", async || {
        !site.backends.redis.cli(&["KEYS", "*:s:*"]).is_empty()
    })
    .await;
    gateway.kill().await;

    let gateway = site.setup.start().await;
    gateway.until_metric(SPOOLED, 0).await;
    let received = receive_all(&mut site.backends.inbox, &answered).await;
    for (event, signalid) in &answered {
        assert_eq!(received[event], BTreeSet::from([signalid.clone()]));
    }
    let recorded = site.backends.redis.cli(&["KEYS", "*:s:*"]);
    assert_eq!(recorded.lines().count(), answered.len());
    until_nothing_is_owed(&site.backends.redis).await;
}

#[tokio::test]
async fn a_redis_that_hangs_holds_up_nobody_once_it_was_found_to() {
    let mut site = site("timeout = \"2s\"").await;
    let gateway = site.setup.start().await;
    gateway.until_metric(PUBLISHER_READY, 1).await;
    gateway.until_ready(true).await;
    site.backends.redis.freeze();
    let answered = send_spooled(&gateway, (0..100).map(|n| n.to_string())).await;
    site.backends.redis.thaw();
    gateway.until_metric(SPOOLED, 0).await;
    let received = receive_all(&mut site.backends.inbox, &answered).await;
    assert_eq!(received.len(), answered.len());
    assert!(received.values().all(|signals| signals.len() == 1));
}

#[tokio::test]
async fn what_is_kept_in_the_spool_is_redacted() {
    let mut site = site("").await;
    site.backends.redis.stop();
    let gateway = site.setup.start().await;
    let mut delivery = sample("stripe", "1");
    let text = String::from_utf8_lossy(&delivery.body).into_owned();
    let secret = "{\"password\":\"c4nary-of-the-spool\",";
    delivery.body = text.replacen('{', secret, 1).into();
    let delivery = sign("stripe", SECRET, delivery);
    let answer = gateway.send(to("charges", &delivery)).await;
    assert_eq!(outcome(&answer), "accepted");
    let kept: Vec<u8> = ["spool.db", "spool.db-wal"]
        .iter()
        .flat_map(|name| std::fs::read(site.setup.dir().join(name)).unwrap())
        .collect();
    let kept = String::from_utf8_lossy(&kept);
    assert!(kept.contains("[redacted]") && kept.contains(&stripe_id("1")));
    assert!(!kept.contains("c4nary") && !kept.contains(SECRET));
}

#[tokio::test]
async fn an_endpoint_can_prefer_a_503_to_the_spool() {
    let mut site = site("").await;
    let lines = "secrets = [\"env:SECRET\"]\nspool = false";
    site.setup = site.setup.endpoint_with("retried", "acme", "stripe", lines);
    site.backends.redis.stop();
    let gateway = site.setup.start().await;
    let refused = gateway.send(to("retried", &signed("stripe", "1"))).await;
    assert_eq!(refused.status(), 503);
    assert!(!header(&refused, "retry-after").is_empty());
    send_spooled(&gateway, ["1".to_owned()].into_iter()).await;
    gateway.until_metric(SPOOLED, 1).await;
}

#[tokio::test]
async fn a_spool_on_a_disk_that_is_full_refuses_and_keeps_what_it_has() {
    let mut site = site("").await;
    site.backends.redis.stop();
    // 1 MiB for each file, the write-ahead log first.
    let gateway = site.setup.start_on_a_disk_of(2048).await;
    let mut line = gateway.connect().await;
    let mut answered = BTreeMap::new();
    for n in 0..2000 {
        let event = n.to_string();
        let answer = line.send(to("charges", &signed("stripe", &event))).await;
        let answer = answer.unwrap();
        if answer.status() == 503 {
            break;
        }
        answered.insert(stripe_id(&event), signalid(&answer));
    }
    assert!((10..2000).contains(&answered.len()), "{}", answered.len());
    let line = gateway.logged("delivery").pop().unwrap();
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.contains("nor can the spool keep it"), "{detail}");
    gateway.until_ready(false).await;

    drop(gateway);
    site.backends.redis.start_again();
    let gateway = site.setup.start().await;
    gateway.until_metric(SPOOLED, 0).await;
    each_arrives_once(&mut site, &answered).await;
}
