//! A cluster whose slots move and whose nodes fail.

use std::time::Duration;

use super::drafts::by_id;
use super::{backlog, ids, is_new, open_hasty, record_new, record_one, whole};
use crate::support::redis::{Cluster, Options};
use crate::support::{eventually, until};

const HASTE: Duration = Duration::from_secs(3);

/// Endpoints enough that every master has some.
const ENDPOINTS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

/// Returns the key with which the shard of a signal begins, found at whichever master has it.
fn tag_of(cluster: &Cluster, signalid: &str) -> String {
    let found = cluster.masters.iter().find_map(|master| {
        let key = master.cli(&["KEYS", &format!("*:s:{signalid}")]);
        key.split_once(":s:").map(|(tag, _)| tag.to_owned())
    });
    found.unwrap()
}

#[tokio::test]
async fn a_node_that_fails_takes_only_its_own_shards_with_it_until_its_replica_stands_in() {
    let mut cluster = Cluster::start(3, 1, &Options::default());
    let ledger = open_hasty(&cluster.url(), HASTE).await;
    let mut signals = Vec::new();
    for endpoint in ENDPOINTS {
        signals.push(record_new(&ledger, &by_id(endpoint, "evt_1", "")).await);
    }
    ledger.released(&signals).await.unwrap();
    assert_eq!(cluster.masters[0].cli(&["WAIT", "1", "0"]), "1");
    cluster.masters[0].stop();

    // What the others hold is published meanwhile.
    let mut leased = ids(&ledger.unpublished(100).await.unwrap());
    assert!(
        !leased.is_empty() && leased.len() < signals.len(),
        "{}",
        leased.len()
    );
    for endpoint in ENDPOINTS {
        let draft = by_id(endpoint, "evt_2", "");
        let recorded = eventually("the ledger records again", || async {
            ledger.record(vec![draft.clone()]).await.ok()
        });
        recorded.await;
        assert!(!is_new(
            &record_one(&ledger, &by_id(endpoint, "evt_1", "")).await
        ));
    }
    leased.extend(ids(&ledger.unpublished(100).await.unwrap()));
    assert_eq!(leased, ids(&signals));
    assert_eq!(ledger.backlog().await.unwrap(), backlog(24, 0));
}

#[tokio::test]
async fn a_slot_that_moves_is_followed_and_nothing_of_it_is_lost_or_doubled() {
    let cluster = Cluster::start(2, 0, &Options::default());
    let ledger = open_hasty(&cluster.url(), HASTE).await;
    let (first, second) = (by_id("a", "evt_1", ""), by_id("a", "evt_2", ""));
    let signal = record_new(&ledger, &first).await;
    let tag = tag_of(&cluster, &signal.signalid.to_string());
    let from = cluster.owner_of(&tag);
    let (source, target) = (&cluster.masters[from], &cluster.masters[1 - from]);
    let slot = source.cli(&["CLUSTER", "KEYSLOT", &tag]);
    let (source_id, target_id) = (
        source.cli(&["CLUSTER", "MYID"]),
        target.cli(&["CLUSTER", "MYID"]),
    );
    target.cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id]);
    source.cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id]);

    // Keys that are at neither node cannot be written meanwhile: refused, so that the provider retries.
    let refused = ledger.record(vec![second.clone()]).await.unwrap_err();
    assert!(whole(&refused).contains("TryAgain"), "{}", whole(&refused));
    let port = target.port().to_string();
    let keys = source.cli(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
    let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
    migrate.extend(keys.lines());
    assert_eq!(source.cli(&migrate), "OK");
    // They are all at the new node, which has to be asked: the old one still owns the slot. The
    // script is not known there yet.
    assert_eq!(ledger.backlog().await.unwrap(), backlog(1, 0));
    assert_eq!(ledger.unpublished(10).await.unwrap(), []);
    target.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]);
    source.cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]);

    assert!(!is_new(&record_one(&ledger, &first).await));
    record_new(&ledger, &second).await;
    assert_eq!(ledger.backlog().await.unwrap(), backlog(2, 0));
    assert!(
        target
            .cli(&["KEYS", "*:s:*"])
            .contains(&second.signalid.to_string())
    );
}

#[tokio::test]
async fn a_master_that_hands_over_is_left_for_its_successor() {
    let cluster = Cluster::start(1, 1, &Options::default());
    let ledger = open_hasty(&cluster.url(), HASTE).await;
    record_new(&ledger, &by_id("a", "evt_1", "")).await;
    assert_eq!(cluster.masters[0].cli(&["WAIT", "1", "0"]), "1");
    let replica = &cluster.replicas[0];
    assert_eq!(replica.cli(&["CLUSTER", "FAILOVER"]), "OK");
    until("the replica is the master", async || {
        replica.cli(&["ROLE"]).starts_with("master")
    })
    .await;
    eventually("the ledger records again", || async {
        ledger.record(vec![by_id("a", "evt_2", "")]).await.ok()
    })
    .await;
    assert!(!is_new(
        &record_one(&ledger, &by_id("a", "evt_1", "")).await
    ));
    assert!(replica.calls_of("evalsha") > 0);
}

#[tokio::test]
async fn what_is_no_cluster_or_not_said_to_be_one_is_told_in_plain_words() {
    let cluster = Cluster::start(2, 0, &Options::default());
    let one = open_hasty(&cluster.masters[0].url(), HASTE).await;
    let told = whole(&one.backlog().await.unwrap_err());
    assert!(told.contains("write the url as redis+cluster://"), "{told}");

    let found = open_hasty(&cluster.url(), HASTE)
        .await
        .probe()
        .await
        .unwrap()
        .join("\n");
    assert!(
        found.contains("cluster: its state is ok; 2 node(s)"),
        "{found}"
    );
    assert!(!found.contains("write the url"), "{found}");

    let single = crate::support::redis::Redis::start();
    let url = single.url().replacen("://", "+cluster://", 1);
    let told = whole(&open_hasty(&url, HASTE).await.backlog().await.unwrap_err());
    assert!(told.contains("cluster support disabled"), "{told}");
    let nobody = open_hasty("redis+cluster://127.0.0.1:1,127.0.0.1:2", HASTE).await;
    let told = whole(&nobody.backlog().await.unwrap_err());
    assert!(
        told.contains("no node tells") && told.contains("refused"),
        "{told}"
    );
}
