//! A ledger that answers and cannot record: the gateway says so, and does not pretend.

use super::deliveries::{outcome, signed, to};
use super::until_nothing_is_owed;
use crate::support::process::{Gateway, Setup};
use crate::support::redis::{Options, Redis};

async fn status_of(gateway: &Gateway, event: &str) -> u16 {
    let answer = gateway.send(to("charges", &signed("stripe", event))).await;
    answer.status().as_u16()
}

#[tokio::test]
async fn a_full_redis_makes_the_gateway_not_ready_until_there_is_room() {
    let redis = Redis::with(Options {
        max_memory: Some("64mb"),
        ..Options::default()
    });
    let setup = Setup::new()
        .ledger(&redis.url())
        .endpoint("charges", "acme", "stripe");
    let gateway = setup.start().await;
    gateway.until_ready(true).await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let report = gateway.until_ready(false).await;
    assert!(report.contains("OOM"), "{report}");
    assert_eq!(status_of(&gateway, "1").await, 503);
    assert_eq!(gateway.metric("hookgate_ledger_ready").await, 0);

    redis.cli(&["CONFIG", "SET", "maxmemory", "64mb"]);
    gateway.until_ready(true).await;
    assert_eq!(status_of(&gateway, "1").await, 200);
}

#[tokio::test]
async fn a_redis_that_was_demoted_makes_the_gateway_not_ready() {
    let redis = Redis::start();
    let setup = Setup::new()
        .ledger(&redis.url())
        .endpoint("charges", "acme", "stripe");
    let gateway = setup.start().await;
    gateway.until_ready(true).await;
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let report = gateway.until_ready(false).await;
    assert!(report.contains("replica"), "{report}");
    redis.cli(&["REPLICAOF", "NO", "ONE"]);
    gateway.until_ready(true).await;
}

#[tokio::test]
async fn what_a_replica_did_not_get_in_time_is_answered_503_and_not_lost() {
    let master = Redis::start();
    let mut replica = Redis::replica_of(&master, Options::default());
    let setup = Setup::new()
        .ledger(&master.url())
        .ledger_lines("durability = \"replicas:1\"\ntimeout = \"3s\"")
        .endpoint("charges", "acme", "stripe");
    let gateway = setup.start().await;
    gateway.until_ready(true).await;
    assert_eq!(status_of(&gateway, "1").await, 200);
    replica.stop();
    for _ in 0..2 {
        assert_eq!(status_of(&gateway, "2").await, 503);
    }
    let report = gateway.until_ready(false).await;
    assert!(report.contains("0 of the 1 replica(s)"), "{report}");
    // It is in the ledger all the same.
    assert_eq!(master.cli(&["KEYS", "*:s:*"]).lines().count(), 2);

    replica.start_again();
    gateway.until_ready(true).await;
    let answer = gateway.send(to("charges", &signed("stripe", "2"))).await;
    assert_eq!(
        (answer.status().as_u16(), outcome(&answer)),
        (200, "duplicate")
    );
    until_nothing_is_owed(&master).await;
}
