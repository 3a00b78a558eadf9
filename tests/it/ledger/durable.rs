//! `ledger.durability`: what must hold before a record counts.

use std::time::Duration;

use hookgate::ledger::{Durability, Recorded};

use super::drafts::by_id;
use super::{HOUR, backlog, is_new, open_at, record_new, record_one, whole};
use crate::support::redis::{Options, Redis};
use crate::support::{DEADLINE, eventually};

/// How long a call may take where it is to fail.
const HASTE: Duration = Duration::from_millis(800);

async fn open(
    redis: &Redis,
    durability: &str,
    timeout: Duration,
) -> std::sync::Arc<dyn hookgate::ledger::Ledger> {
    open_at(&redis.url(), |settings| {
        settings.durability = Durability::parse(durability).unwrap();
        settings.timeout = timeout;
    })
    .await
}

#[tokio::test]
async fn a_record_counts_once_a_replica_has_it_and_a_repeat_too() {
    let master = Redis::start();
    let mut replica = Redis::replica_of(&master, Options::default());
    let ledger = open(&master, "replicas:1", DEADLINE).await;
    let draft = by_id("a", "evt_1", "");
    let signal = record_new(&ledger, &draft).await;
    assert!(
        replica
            .cli(&["KEYS", "*:s:*"])
            .contains(&signal.signalid.to_string())
    );
    ledger.ready().await.unwrap();
    let found = ledger.probe().await.unwrap().join("\n");
    assert!(
        found.contains("durability: replicas:1 is asked for and given"),
        "{found}"
    );

    replica.freeze();
    let hasty = open(&master, "replicas:1", HASTE).await;
    let second = by_id("a", "evt_2", "");
    for draft in [&second, &second, &draft] {
        let error = hasty.record(vec![draft.clone()]).await.unwrap_err();
        assert!(
            whole(&error).contains("0 of the 1 replica(s)"),
            "{}",
            whole(&error)
        );
    }
    assert!(whole(&hasty.ready().await.unwrap_err()).contains("0 of the 1 replica(s)"));
    assert!(hasty.probe().await.is_err());
    // Others are not held up: nothing else needs the replica.
    assert_eq!(hasty.backlog().await.unwrap(), backlog(2, 0));

    // It was written nevertheless, and is owed: a repeat is one, and the relay publishes it.
    replica.thaw();
    let again = eventually("the replica is back", || async {
        hasty.record(vec![second.clone()]).await.ok()
    });
    assert_eq!(again.await, [Recorded::Duplicate(second.signalid)]);
    assert_eq!(hasty.backlog().await.unwrap(), backlog(2, 0));
    replica.stop();
    let error = hasty
        .record(vec![by_id("a", "evt_3", "")])
        .await
        .unwrap_err();
    assert!(
        whole(&error).contains("0 of the 1 replica(s)"),
        "{}",
        whole(&error)
    );
}

#[tokio::test]
async fn many_records_at_once_share_the_waiting() {
    let master = Redis::start();
    let _replica = Redis::replica_of(&master, Options::default());
    let ledger = open(&master, "replicas:1", DEADLINE).await;
    record_new(&ledger, &by_id("a", "evt_0", "")).await;
    let before = master.calls_of("wait");
    let drafts: Vec<_> = (1..=200)
        .map(|n| by_id("a", &format!("evt_{n}"), ""))
        .collect();
    let recorded = drafts.iter().map(|draft| record_one(&ledger, draft));
    let recorded = futures_util::future::join_all(recorded).await;
    assert!(recorded.iter().all(is_new));
    let rounds = master.calls_of("wait") - before;
    assert!((1..=100).contains(&rounds), "{rounds}");
}

#[tokio::test]
async fn two_replicas_are_not_one() {
    let master = Redis::start();
    let _replica = Redis::replica_of(&master, Options::default());
    let ledger = open(&master, "replicas:2", HASTE).await;
    eventually("the one replica has it", || async {
        let error = ledger
            .record(vec![by_id("a", "evt_1", "")])
            .await
            .unwrap_err();
        whole(&error)
            .contains("1 of the 2 replica(s)")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn disk_is_given_while_the_settings_of_redis_give_it() {
    let redis = Redis::with(Options {
        append_only: true,
        ..Options::default()
    });
    let ledger = open(&redis, "disk", DEADLINE).await;
    let draft = by_id("a", "evt_1", "");
    record_new(&ledger, &draft).await;
    ledger.ready().await.unwrap();
    let found = ledger.probe().await.unwrap().join("\n");
    assert!(
        found.contains("durability: disk is asked for and given"),
        "{found}"
    );

    // Redis can be told otherwise while it runs. A repeat is no better off. One with WAITAOF needs no
    // more than a log of any kind.
    let (setting, value) = match redis.has_waitaof() {
        true => ("appendonly", "no"),
        false => ("appendfsync", "everysec"),
    };
    redis.cli(&["CONFIG", "SET", setting, value]);
    for draft in [by_id("a", "evt_2", ""), draft.clone()] {
        let told = whole(&ledger.record(vec![draft]).await.unwrap_err());
        assert!(told.contains(setting), "{told}");
    }
    let told = whole(&ledger.ready().await.unwrap_err());
    assert!(told.contains(setting), "{told}");
    let told = whole(&ledger.probe().await.unwrap_err());
    assert!(told.contains(setting), "{told}");
}

#[tokio::test]
async fn disk_is_not_taken_on_trust() {
    let redis = Redis::with(Options {
        append_only: true,
        ..Options::default()
    });
    let ledger = open(&redis, "disk", DEADLINE).await;
    redis.cli(&["ACL", "SETUSER", "default", "-config", "-waitaof"]);
    redis.cli(&["ACL", "SETUSER", "default", "-config"]);
    let told = whole(
        &ledger
            .record(vec![by_id("a", "evt_1", "")])
            .await
            .unwrap_err(),
    );
    let expected = match redis.has_waitaof() {
        true => "waitaof",
        false => "settings that it does not tell",
    };
    assert!(told.contains(expected), "{told}");
}

#[tokio::test]
async fn a_sqlite_ledger_gives_disk_without_being_told() {
    let backend = super::Backend::sqlite();
    for durability in [Durability::Memory, Durability::Disk] {
        let ledger = backend
            .open_with(|settings| settings.durability = durability)
            .await;
        ledger.record(vec![by_id("a", "evt_1", "")]).await.unwrap();
        ledger.close().await;
    }
    assert_eq!(HOUR, backend.settings().retention);
}
