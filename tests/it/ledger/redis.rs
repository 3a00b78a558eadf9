//! What is special to the Redis ledger: its server fails, fills up, restarts or is no master.

use std::sync::Arc;
use std::time::Duration;

use hookgate::ledger::redis::Access;
use hookgate::ledger::{self, Durability, Ledger, LedgerError, LedgerUrl, Recorded, Settings};
use hookgate::telemetry::explain;

use super::drafts::{by_content, by_id, without_id};
use super::{HOUR, backlog, is_new, record_new, record_one, whole};
use crate::support::redis::{Options, Redis};
use crate::support::{DEADLINE, eventually};

async fn open(redis: &Redis) -> Arc<dyn Ledger> {
    open_with_timeout(redis, DEADLINE).await
}

async fn open_with_timeout(redis: &Redis, timeout: Duration) -> Arc<dyn Ledger> {
    try_open(&redis.url(), timeout).await.unwrap()
}

async fn try_open(url: &str, timeout: Duration) -> Result<Arc<dyn Ledger>, LedgerError> {
    let url = LedgerUrl::parse(url).unwrap();
    let ledger = ledger::open(&Settings {
        url,
        retention: HOUR,
        lease: HOUR,
        timeout,
        durability: Durability::Memory,
        access: Access::default(),
    })
    .await?;
    // It connects on first use.
    ledger.backlog().await?;
    Ok(ledger)
}

/// The keys that tests know by name, in whichever shard they are.
fn key_like(redis: &Redis, pattern: &str) -> String {
    let keys = redis.cli(&["KEYS", pattern]);
    assert_eq!(keys.lines().count(), 1, "{keys}");
    keys
}

#[tokio::test]
async fn what_was_recorded_survives_a_crash_of_redis() {
    let mut redis = Redis::with(Options {
        append_only: true,
        ..Options::default()
    });
    let ledger = open(&redis).await;
    let draft = by_content("a", "evt_1", "content");
    let signal = record_new(&ledger, &draft).await;
    redis.stop();
    assert!(ledger.record(vec![by_id("a", "evt_2", "")]).await.is_err());
    redis.start_again();

    let counted = eventually("the ledger connects again", || async {
        ledger.backlog().await.ok()
    });
    assert_eq!(counted.await, backlog(1, 0));
    assert_eq!(
        record_one(&ledger, &draft).await,
        Recorded::Duplicate(draft.signalid)
    );
    ledger
        .released(std::slice::from_ref(&signal))
        .await
        .unwrap();
    assert_eq!(ledger.unpublished(10).await.unwrap(), [signal]);
    record_new(&ledger, &by_id("a", "evt_2", "")).await;
}

#[tokio::test]
async fn a_full_redis_records_all_of_a_delivery_or_nothing() {
    let redis = Redis::with(Options {
        max_memory: Some("64mb"),
        ..Options::default()
    });
    let ledger = open(&redis).await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let drafts = vec![by_id("a", "evt_1", ""), by_content("a", "evt_2", "content")];
    let refused = ledger.record(drafts.clone()).await.unwrap_err();
    assert!(
        matches!(refused, LedgerError::Unavailable { .. }),
        "{refused:?}"
    );
    assert!(whole(&refused).contains("OOM"), "{}", whole(&refused));
    assert_eq!(redis.cli(&["DBSIZE"]), "0");

    redis.cli(&["CONFIG", "SET", "maxmemory", "64mb"]);
    assert!(ledger.record(drafts).await.unwrap().iter().all(is_new));
    assert_eq!(ledger.backlog().await.unwrap(), backlog(2, 0));
}

#[tokio::test]
async fn a_full_redis_can_still_be_emptied_by_publishing() {
    let redis = Redis::with(Options {
        max_memory: Some("64mb"),
        ..Options::default()
    });
    let ledger = open(&redis).await;
    let [one, two] = [by_id("a", "evt_1", ""), by_id("b", "evt_2", "")];
    let one = record_new(&ledger, &one).await;
    let two = record_new(&ledger, &two).await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);

    ledger.released(&[one.clone(), two.clone()]).await.unwrap();
    assert_eq!(ledger.unpublished(10).await.unwrap().len(), 2);
    ledger.published(&[one]).await.unwrap();
    ledger.parked(&two, "refused").await.unwrap();
    assert_eq!(ledger.backlog().await.unwrap(), backlog(0, 1));
}

#[tokio::test]
async fn a_key_taken_by_something_else_fails_a_record_before_anything_is_written() {
    let redis = Redis::start();
    let ledger = open(&redis).await;
    record_new(&ledger, &by_id("a", "evt_0", "")).await;
    let log = key_like(&redis, "*:log");
    redis.cli(&["SET", &log, "taken"]);
    let before = redis.cli(&["DBSIZE"]);
    let drafts = vec![by_id("a", "evt_1", ""), by_id("a", "evt_2", "")];
    assert!(ledger.record(drafts.clone()).await.is_err());
    assert_eq!(redis.cli(&["DBSIZE"]), before);
    assert_eq!(ledger.backlog().await.unwrap(), backlog(1, 0));

    redis.cli(&["DEL", &log]);
    assert!(ledger.record(drafts).await.unwrap().iter().all(is_new));
}

#[tokio::test]
async fn keys_of_one_call_live_in_one_slot_of_a_cluster() {
    let redis = Redis::with(Options {
        cluster: true,
        ..Options::default()
    });
    let ledger = open(&redis).await;
    for endpoint in ["a", "b", "c", "d", "e", "f"] {
        let drafts = vec![
            by_id(endpoint, "evt_1", ""),
            by_content(endpoint, "evt_2", "content"),
            without_id(endpoint, "bare"),
        ];
        assert!(ledger.record(drafts).await.unwrap().iter().all(is_new));
    }
    let signal = record_new(&ledger, &by_id("a", "evt_9", "")).await;
    ledger
        .released(std::slice::from_ref(&signal))
        .await
        .unwrap();
    assert_eq!(
        ledger.unpublished(100).await.unwrap(),
        std::slice::from_ref(&signal)
    );
    ledger.parked(&signal, "refused").await.unwrap();
    ledger.published(&[signal]).await.unwrap();
    ledger.prune().await.unwrap();
    ledger.probe().await.unwrap();
    assert_eq!(ledger.backlog().await.unwrap(), backlog(18, 0));
}

#[tokio::test]
async fn a_record_is_one_round_trip_once_redis_knows_the_script() {
    let redis = Redis::start();
    let ledger = open(&redis).await;
    record_new(&ledger, &by_id("a", "evt_0", "")).await;
    let before = (redis.calls_of("evalsha"), redis.calls_of("script|load"));
    for n in 1..=10 {
        record_new(&ledger, &by_id("a", &format!("evt_{n}"), "")).await;
    }
    let after = (redis.calls_of("evalsha"), redis.calls_of("script|load"));
    assert_eq!(after, (before.0 + 10, before.1));

    redis.cli(&["SCRIPT", "FLUSH"]);
    record_new(&ledger, &by_id("a", "evt_11", "")).await;
}

#[tokio::test]
async fn a_connection_that_was_cut_is_mended_within_the_call() {
    let redis = Redis::start();
    let ledger = open(&redis).await;
    record_new(&ledger, &by_id("a", "evt_0", "")).await;
    let cut = redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert_eq!(cut, "1");
    record_new(&ledger, &by_id("a", "evt_1", "")).await;
}

#[tokio::test]
async fn a_silent_redis_fails_a_call_in_time_and_serves_the_next_when_it_is_back() {
    let redis = Redis::start();
    let ledger = open_with_timeout(&redis, Duration::from_millis(300)).await;
    record_new(&ledger, &by_id("a", "evt_0", "")).await;
    redis.freeze();
    let draft = by_id("a", "evt_1", "");
    let silent = ledger.record(vec![draft.clone()]).await.unwrap_err();
    assert!(
        matches!(silent, LedgerError::Unavailable { .. }),
        "{silent:?}"
    );
    redis.thaw();
    // It may have been carried out after all: then it is a duplicate, and owed.
    eventually("the ledger serves again", || async {
        ledger.record(vec![draft.clone()]).await.ok()
    })
    .await;
    assert_eq!(ledger.backlog().await.unwrap(), backlog(2, 0));
}

#[tokio::test]
async fn a_signal_that_cannot_be_read_is_parked_and_holds_nobody_up() {
    let redis = Redis::start();
    let ledger = open(&redis).await;
    let bad = record_new(&ledger, &by_id("a", "evt_1", "")).await;
    let good = record_new(&ledger, &by_id("a", "evt_2", "")).await;
    let key = key_like(&redis, &format!("*:s:{}", bad.signalid));
    redis.cli(&["SET", &key, "{}"]);
    ledger.released(&[bad, good.clone()]).await.unwrap();
    assert_eq!(ledger.unpublished(10).await.unwrap(), [good]);
    assert_eq!(ledger.backlog().await.unwrap(), backlog(1, 1));
}

#[tokio::test]
async fn a_signal_that_vanished_from_redis_holds_nobody_up() {
    let redis = Redis::start();
    let ledger = open(&redis).await;
    let gone = record_new(&ledger, &by_id("a", "evt_1", "")).await;
    let good = record_new(&ledger, &by_id("a", "evt_2", "")).await;
    redis.cli(&["DEL", &key_like(&redis, &format!("*:s:{}", gone.signalid))]);
    ledger.released(&[gone, good.clone()]).await.unwrap();
    assert_eq!(ledger.unpublished(10).await.unwrap(), [good]);
    assert_eq!(ledger.backlog().await.unwrap(), backlog(1, 0));
}

#[tokio::test]
async fn a_lease_from_a_clock_that_was_wrong_runs_out_at_once() {
    let redis = Redis::start();
    let ledger = open(&redis).await;
    let signal = record_new(&ledger, &by_id("a", "evt_1", "")).await;
    let owed = key_like(&redis, "*:owed");
    redis.cli(&[
        "ZADD",
        &owed,
        "99999999999999",
        &signal.signalid.to_string(),
    ]);
    assert_eq!(ledger.unpublished(10).await.unwrap(), [signal]);
}

#[tokio::test]
async fn what_is_owed_or_parked_has_no_lifetime_and_what_is_published_has() {
    let redis = Redis::start();
    let ledger = open(&redis).await;
    let signal = record_new(&ledger, &by_id("a", "evt_1", "")).await;
    let key = key_like(&redis, "*:s:*");
    assert_eq!(redis.cli(&["PTTL", &key]), "-1");
    ledger.parked(&signal, "no queue").await.unwrap();
    assert_eq!(redis.cli(&["PTTL", &key]), "-1");
    let reasons = key_like(&redis, "*:reasons");
    let signalid = signal.signalid.to_string();
    assert_eq!(redis.cli(&["HGET", &reasons, &signalid]), "no queue");
    let signals = [signal];
    ledger.published(&signals).await.unwrap();
    assert_eq!(redis.cli(&["EXISTS", &reasons]), "0");
    let left = || redis.cli(&["PTTL", &key]).parse::<i64>().unwrap();
    assert!((1..=3_600_000).contains(&left()), "{}", left());
    // A repeat does not lengthen it.
    redis.cli(&["PEXPIRE", &key, "60000"]);
    ledger.published(&signals).await.unwrap();
    assert!((1..=60_000).contains(&left()), "{}", left());
}

#[tokio::test]
async fn the_log_names_signals_in_order_and_is_trimmed_with_time() {
    let redis = Redis::start();
    let url = LedgerUrl::parse(&redis.url()).unwrap();
    let settings = Settings {
        url,
        retention: Duration::ZERO,
        lease: HOUR,
        timeout: DEADLINE,
        durability: Durability::Memory,
        access: Access::default(),
    };
    let ledger = ledger::open(&settings).await.unwrap();
    let signal = record_new(&ledger, &by_id("a", "first", "")).await;
    let log = key_like(&redis, "*:log");
    assert!(
        redis
            .cli(&["XRANGE", &log, "-", "+"])
            .contains(&signal.signalid.to_string())
    );
    for n in 0..20 {
        let many = (0..50)
            .map(|m| by_id("a", &format!("evt_{n}_{m}"), ""))
            .collect();
        ledger.record(many).await.unwrap();
    }
    eventually("the log is trimmed", || async {
        ledger.prune().await.unwrap();
        let length: u64 = redis.cli(&["XLEN", &log]).parse().unwrap();
        (length < 200).then_some(())
    })
    .await;
    assert_eq!(ledger.backlog().await.unwrap(), backlog(1001, 0));
}

#[tokio::test]
async fn a_bucket_of_marks_is_small_and_outlives_its_marks() {
    let redis = Redis::start();
    let ledger = open(&redis).await;
    record_new(&ledger, &by_id("a", "evt_1", "")).await;
    let bucket = key_like(&redis, "*:m:*");
    assert_eq!(redis.cli(&["OBJECT", "ENCODING", &bucket]), "listpack");
    let left: u64 = redis.cli(&["PTTL", &bucket]).parse().unwrap();
    assert!((3_600_000..=4_051_000).contains(&left), "{left}");
    // 15 bytes of the mark and 4 of its end.
    let mark = redis.cli(&["--no-raw", "HGETALL", &bucket]);
    assert_eq!(mark.lines().count(), 2, "{mark}");
}

#[tokio::test]
async fn marks_whose_time_is_over_are_swept_from_buckets_that_live_on() {
    let redis = Redis::start();
    let ledger = open(&redis).await;
    let mut draft = by_id("a", "evt_1", "");
    draft.keep_marks = Duration::ZERO;
    let signal = record_new(&ledger, &draft).await;
    let bucket = key_like(&redis, "*:m:*");
    // As a mark whose time is not over keeps its bucket.
    redis.cli(&["HSET", &bucket, "fifteen bytes..", "zzzz"]);
    redis.cli(&["PERSIST", &bucket]);
    assert_eq!(redis.cli(&["HLEN", &bucket]), "2");
    eventually("the mark is swept", || async {
        ledger.prune().await.unwrap();
        (redis.cli(&["HLEN", &bucket]) == "1").then_some(())
    })
    .await;
    assert_eq!(
        redis.cli(&["HGET", &bucket, "fifteen bytes.."]),
        "zzzz",
        "a mark that is of use is gone"
    );
    assert_eq!(ledger.backlog().await.unwrap(), backlog(1, 0));
    ledger.published(&[signal]).await.unwrap();
}

#[tokio::test]
async fn what_another_layout_left_is_not_touched() {
    let redis = Redis::start();
    redis.cli(&["ZADD", "{hookgate:0}:owed", "0", "left"]);
    let ledger = open(&redis).await;
    assert_eq!(ledger.unpublished(10).await.unwrap(), []);
    assert_eq!(redis.cli(&["ZCARD", "{hookgate:0}:owed"]), "1");
}

#[tokio::test]
async fn a_large_signal_is_stored_in_fewer_bytes() {
    let redis = Redis::start();
    let ledger = open(&redis).await;
    let signal = record_new(
        &ledger,
        &by_id("a", "evt_1", &"much the same; ".repeat(500)),
    )
    .await;
    let stored: usize = redis
        .cli(&["STRLEN", &key_like(&redis, "*:s:*")])
        .parse()
        .unwrap();
    assert!(stored < signal.envelope.len() / 4, "{stored}");
    ledger
        .released(std::slice::from_ref(&signal))
        .await
        .unwrap();
    assert_eq!(ledger.unpublished(10).await.unwrap(), [signal]);
}

#[tokio::test]
async fn a_wrong_password_is_told_without_any_password() {
    let redis = Redis::with(Options {
        password: Some("right-s3cr3t"),
        ..Options::default()
    });
    record_new(&open(&redis).await, &by_id("a", "evt_1", "")).await;

    let wrong = redis.url().replace("right-s3cr3t", "wr0ng-s3cr3t");
    let none = format!("redis://127.0.0.1:{}", redis.port());
    for (url, expected) in [(wrong, "authentication failed"), (none, "NOAUTH")] {
        let error = try_open(&url, DEADLINE).await.unwrap_err();
        let text = whole(&error);
        assert!(
            text.contains(expected) && !text.contains("s3cr3t"),
            "{text}"
        );
    }
    let shown = format!("{:?}", open(&redis).await);
    assert!(!shown.contains("s3cr3t"), "{shown}");
}

#[tokio::test]
async fn a_refused_connection_is_told_with_its_cause_and_without_the_password() {
    let mut redis = Redis::with(Options {
        password: Some("s3cr3t"),
        ..Options::default()
    });
    let ledger = open(&redis).await;
    redis.stop();
    let at_start = try_open(&redis.url(), DEADLINE).await.unwrap_err();
    let in_use = eventually("the loss is noticed", || async {
        let error = ledger.backlog().await.unwrap_err();
        whole(&error).contains("refused").then_some(error)
    })
    .await;
    for error in [at_start, in_use] {
        let text = whole(&error);
        assert!(matches!(error, LedgerError::Unavailable { .. }), "{text}");
        assert!(
            text.contains("refused") && !text.contains("s3cr3t"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn whoever_asks_while_the_connection_is_made_again_waits_for_it() {
    let redis = Redis::start();
    let ledger = open(&redis).await;
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    let drafts: Vec<_> = (0..64)
        .map(|n| by_id("a", &format!("evt_{n}"), ""))
        .collect();
    let asked = drafts.iter().map(|draft| record_new(&ledger, draft));
    futures_util::future::join_all(asked).await;
    assert_eq!(ledger.backlog().await.unwrap(), backlog(64, 0));
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_refused_where_tls_is_asked_for() {
    let redis = Redis::start();
    let url = redis.url().replace("redis://", "rediss://");
    // Redis waits for the rest of what it takes for a command.
    let error = try_open(&url, Duration::from_millis(300))
        .await
        .unwrap_err();
    assert!(
        matches!(error, LedgerError::Unavailable { .. }),
        "{error:?}"
    );
    assert_eq!(redis.cli(&["DBSIZE"]), "0");
}

#[tokio::test]
async fn an_unusable_address_is_not_repeated() {
    for url in [
        "redis://u:s3cr3t@127.0.0.1/s3cr3t",
        "redis://u:s3cr3t@127.0.0.1/?protocol=s3cr3t",
    ] {
        let error = try_open(url, DEADLINE).await.unwrap_err();
        let text = whole(&error);
        assert!(
            !text.contains(":s3cr3t") && !text.contains("=s3cr3t"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_probe_warns_of_settings_that_lose_signals() {
    let redis = Redis::start();
    let ledger = open(&redis).await;
    let found = ledger.probe().await.unwrap().join("\n");
    assert!(found.contains("WARNING: none"), "{found}");
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    redis.cli(&["CONFIG", "SET", "appendonly", "yes"]);
    let found = ledger.probe().await.unwrap().join("\n");
    assert!(
        found.contains("WARNING: maxmemory-policy is allkeys-lru"),
        "{found}"
    );
    assert!(found.contains("appendfsync everysec"), "{found}");

    redis.cli(&["ACL", "SETUSER", "default", "-config"]);
    let found = ledger.probe().await.unwrap().join("\n");
    assert!(found.contains("CONFIG is not permitted"), "{found}");
}

#[tokio::test]
async fn a_probe_fails_where_redis_takes_no_writes() {
    let redis = Redis::start();
    let ledger = open(&redis).await;
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let error = ledger.probe().await.unwrap_err();
    assert!(
        whole(&error).contains("READONLY") || whole(&error).contains("replica"),
        "{}",
        whole(&error)
    );
    // Every shard failed for the same reason, which is told once.
    let told = explain(&error);
    assert_eq!(told.matches("replica").count(), 1, "{told}");
}
