//! A master that fails, and the sentinels that make another.

use std::time::Duration;

use super::drafts::by_id;
use super::{backlog, is_new, open_at, open_hasty, record_new, record_one, whole};
use crate::support::redis::{Options, Redis, Replicated, SERVICE};
use crate::support::{eventually, until};

const HASTE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_failover_loses_nothing_that_the_replica_had_and_the_ledger_follows_it() {
    let mut servers = Replicated::start(1, 3, &Options::default(), &[]);
    servers.until_watched();
    let ledger = open_hasty(&servers.url(), HASTE).await;
    let drafts: Vec<_> = (0..20)
        .map(|n| by_id("a", &format!("evt_{n}"), ""))
        .collect();
    for draft in &drafts {
        record_new(&ledger, draft).await;
    }
    assert_eq!(servers.master.cli(&["WAIT", "1", "0"]), "1");
    servers.master.stop();
    servers.sentinels.pop();

    let later = by_id("a", "later", "");
    let recorded = eventually("the ledger records again", || async {
        ledger.record(vec![later.clone()]).await.ok()
    });
    assert!(is_new(&recorded.await[0]));
    for draft in &drafts {
        assert!(!is_new(&record_one(&ledger, draft).await));
    }
    assert_eq!(ledger.backlog().await.unwrap(), backlog(21, 0));
    ledger.ready().await.unwrap();
    let replica = &servers.replicas[0];
    assert!(replica.cli(&["ROLE"]).starts_with("master"));
}

#[tokio::test]
async fn a_master_that_was_demoted_is_left_for_the_one_that_the_sentinels_name() {
    let servers = Replicated::start(1, 1, &Options::default(), &[]);
    servers.until_watched();
    let ledger = open_hasty(&servers.url(), HASTE).await;
    record_new(&ledger, &by_id("a", "evt_1", "")).await;
    assert_eq!(servers.master.cli(&["WAIT", "1", "0"]), "1");
    let replica = &servers.replicas[0];
    // It takes a while to find out that the replica is good enough.
    until("the sentinel begins the failover", async || {
        servers.sentinels[0].cli(&["SENTINEL", "FAILOVER", SERVICE]) == "OK"
    })
    .await;
    let draft = by_id("a", "evt_2", "");
    until("the new master has the next event", async || {
        let recorded = ledger.record(vec![draft.clone()]).await;
        recorded.is_ok()
            && replica
                .cli(&["KEYS", "*:s:*"])
                .contains(&draft.signalid.to_string())
    })
    .await;
    assert!(!is_new(
        &record_one(&ledger, &by_id("a", "evt_1", "")).await
    ));
}

#[tokio::test]
async fn a_master_that_does_not_know_that_it_was_replaced_is_left_at_the_next_check_up() {
    let servers = Replicated::start(0, 1, &Options::default(), &[]);
    let ledger = open_hasty(&servers.url(), HASTE).await;
    ledger.ready().await.unwrap();
    // As if the old one had been cut off from the sentinels, and still could be reached from here.
    let new = Redis::start();
    let (sentinel, port) = (&servers.sentinels[0], new.port().to_string());
    sentinel.cli(&["SENTINEL", "REMOVE", SERVICE]);
    sentinel.cli(&["SENTINEL", "MONITOR", SERVICE, "127.0.0.1", &port, "1"]);
    ledger.ready().await.unwrap();
    record_new(&ledger, &by_id("a", "evt_1", "")).await;
    assert!(new.cli(&["KEYS", "*:s:*"]).contains(":s:"));
    assert_eq!(servers.master.cli(&["KEYS", "*:s:*"]), "");
}

#[tokio::test]
async fn what_sentinels_cannot_tell_is_told_in_plain_words() {
    let servers = Replicated::start(1, 1, &Options::default(), &[]);
    let url = servers.url();
    let failed = async |url: &str| {
        let ledger = open_hasty(url, HASTE).await;
        let error = ledger.ready().await.unwrap_err();
        whole(&error)
    };
    let told = failed(&url.replace(SERVICE, "another")).await;
    assert!(
        told.contains("no sentinel leads to a master of another"),
        "{told}"
    );
    // A replica is no master, whoever says so.
    let replica = servers.replicas[0].port().to_string();
    let sentinel = &servers.sentinels[0];
    sentinel.cli(&["SENTINEL", "MONITOR", "wrong", "127.0.0.1", &replica, "1"]);
    let told = failed(&url.replace(SERVICE, "wrong")).await;
    assert!(told.contains("says that it is a slave"), "{told}");
    let nobody = format!("redis+sentinel://127.0.0.1:1/{SERVICE}");
    let told = failed(&nobody).await;
    assert!(told.contains("refused"), "{told}");
}

#[tokio::test]
async fn sentinels_that_are_away_are_passed_over_and_told_of() {
    let servers = Replicated::start(0, 1, &Options::default(), &[]);
    let url = servers.url().replacen("://", "://127.0.0.1:1,", 1);
    let ledger = open_hasty(&url, HASTE).await;
    let found = ledger.probe().await.unwrap().join("\n");
    assert!(
        found.contains("sentinels: WARNING: 1 of 2 answer"),
        "{found}"
    );
    assert!(found.contains("they are enough to fail over"), "{found}");
}

#[tokio::test]
async fn sentinels_and_servers_each_have_their_password() {
    let password = Options {
        password: Some("d4ta"),
        ..Options::default()
    };
    let servers = Replicated::start(0, 1, &password, &["requirepass s3cr3t".to_owned()]);
    let url = servers.url();
    let right = open_at(&url, |settings| {
        settings.access.sentinel_password = Some("s3cr3t".to_owned().into());
    });
    record_new(&right.await, &by_id("a", "evt_1", "")).await;
    let wrong = open_at(&url, |settings| {
        settings.access.sentinel_password = Some("wr0ng".to_owned().into());
    });
    let told = whole(&wrong.await.ready().await.unwrap_err());
    assert!(!told.contains("wr0ng") && !told.contains("d4ta"), "{told}");
    assert!(told.contains("authentication failed"), "{told}");
}
