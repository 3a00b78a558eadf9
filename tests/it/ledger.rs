//! The contract of a ledger: every check here runs on every backend. What is special to one backend
//! is in the file of its name.

/// Makes a test on each backend of every check named.
macro_rules! every_ledger {
    ($($check:ident)*) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $check() {
                super::$check(crate::ledger::Backend::sqlite()).await;
            })*
        }
        mod on_redis {
            $(#[tokio::test]
            async fn $check() {
                super::$check(crate::ledger::Backend::redis()).await;
            })*
        }
        mod on_redis_with_a_spool {
            $(#[tokio::test]
            async fn $check() {
                super::$check(crate::ledger::Backend::spooling()).await;
            })*
        }
        mod on_a_cluster {
            $(#[tokio::test]
            async fn $check() {
                super::$check(crate::ledger::Backend::cluster().await).await;
            })*
        }
        mod on_sentinels {
            $(#[tokio::test]
            async fn $check() {
                super::$check(crate::ledger::Backend::sentinels().await).await;
            })*
        }
    };
}

mod access;
mod cluster;
mod drafts;
mod durable;
mod duties;
mod redis;
mod sentinels;
mod spool;
mod sqlite;

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hookgate::ledger::redis::Access;
use hookgate::ledger::spool::{MAX_SPOOL_BYTES, SpoolSettings, Spooling};
use hookgate::ledger::{
    self, Backlog, Durability, Ledger, LedgerError, LedgerUrl, Recorded, Settings,
};
use hookgate::signal::{Draft, Signal, SignalId};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use self::drafts::{by_content, by_either, by_id, without_id};
use crate::support;
use crate::support::redis::{Cluster, Options, Redis, Replicated};

const HOUR: Duration = Duration::from_hours(1);

/// A backend with nothing in it.
struct Backend {
    url: LedgerUrl,
    dir: TempDir,
    /// Each replica has a spool beside the ledger.
    spools: bool,
    _redis: Option<Redis>,
    _turn: Option<MutexGuard<'static, ()>>,
}

/// A cluster and a master with a sentinel, which checks use one after the other.
static CLUSTER: LazyLock<(Cluster, Mutex<()>)> =
    LazyLock::new(|| (Cluster::start(3, 0, &shared()), Mutex::default()));
static REPLICATED: LazyLock<(Replicated, Mutex<()>)> =
    LazyLock::new(|| (Replicated::start(0, 1, &shared(), &[]), Mutex::default()));

fn shared() -> Options {
    Options {
        shared: true,
        ..Options::default()
    }
}

impl Backend {
    fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = LedgerUrl::Sqlite(dir.path().join("ledger.db"));
        Self {
            url,
            dir,
            spools: false,
            _redis: None,
            _turn: None,
        }
    }

    fn redis() -> Self {
        let redis = Redis::start();
        let url = redis.url();
        Self {
            _redis: Some(redis),
            ..Self::at(&url, None)
        }
    }

    fn spooling() -> Self {
        Self {
            spools: true,
            ..Self::redis()
        }
    }

    async fn cluster() -> Self {
        let (cluster, turns) = &*CLUSTER;
        let turn = turns.lock().await;
        cluster.flush();
        Self::at(&cluster.url(), Some(turn))
    }

    async fn sentinels() -> Self {
        let (replicated, turns) = &*REPLICATED;
        let turn = turns.lock().await;
        replicated.master.cli(&["FLUSHALL"]);
        Self::at(&replicated.url(), Some(turn))
    }

    fn at(url: &str, turn: Option<MutexGuard<'static, ()>>) -> Self {
        Self {
            url: LedgerUrl::parse(url).unwrap(),
            dir: tempfile::tempdir().unwrap(),
            spools: false,
            _redis: None,
            _turn: turn,
        }
    }

    /// Settings under which nothing runs out during a test.
    fn settings(&self) -> Settings {
        Settings {
            url: self.url.clone(),
            retention: HOUR,
            lease: HOUR,
            timeout: support::DEADLINE,
            durability: Durability::Memory,
            access: Access::default(),
        }
    }

    async fn open(&self) -> Arc<dyn Ledger> {
        self.open_with(|_| {}).await
    }

    async fn open_with(&self, change: impl FnOnce(&mut Settings)) -> Arc<dyn Ledger> {
        let mut settings = self.settings();
        change(&mut settings);
        let ledger = ledger::open(&settings).await.unwrap();
        if !self.spools {
            return ledger;
        }
        let file = tempfile::Builder::new().tempfile_in(&self.dir).unwrap();
        let spool = SpoolSettings {
            path: file.path().to_owned(),
            max_bytes: MAX_SPOOL_BYTES,
        };
        Arc::new(Spooling::open(ledger, &spool, &settings).await.unwrap())
    }

    /// The ledger as two replicas see it; an embedded one has a single user.
    async fn open_twice(&self) -> [Arc<dyn Ledger>; 2] {
        let one = self.open().await;
        let other = match self.url {
            LedgerUrl::Redis(_) => self.open().await,
            LedgerUrl::Sqlite(_) => Arc::clone(&one),
        };
        [one, other]
    }
}

/// Opens the Redis ledger at this URL with settings of its own.
async fn open_at(url: &str, change: impl FnOnce(&mut Settings)) -> Arc<dyn Ledger> {
    Backend::at(url, None).open_with(change).await
}

/// Opens the Redis ledger at this URL, where a call that fails does so in this time.
async fn open_hasty(url: &str, timeout: Duration) -> Arc<dyn Ledger> {
    open_at(url, |settings| settings.timeout = timeout).await
}

async fn record_one(ledger: &Arc<dyn Ledger>, draft: &Draft) -> Recorded {
    let mut recorded = ledger.record(vec![draft.clone()]).await.unwrap();
    assert_eq!(recorded.len(), 1);
    recorded.remove(0)
}

async fn record_new(ledger: &Arc<dyn Ledger>, draft: &Draft) -> Signal {
    match record_one(ledger, draft).await {
        Recorded::New {
            signal,
            id_conflict: false,
        } => signal,
        other => panic!("not new: {other:?}"),
    }
}

fn is_new(recorded: &Recorded) -> bool {
    matches!(recorded, Recorded::New { .. })
}

fn text(signal: &Signal) -> &str {
    std::str::from_utf8(&signal.envelope).unwrap()
}

fn backlog(owed: u64, parked: u64) -> Backlog {
    Backlog { owed, parked }
}

fn ids(signals: &[Signal]) -> HashSet<SignalId> {
    signals.iter().map(|signal| signal.signalid).collect()
}

every_ledger! {
    a_new_event_becomes_the_signal_that_is_published
    nothing_to_record_is_nothing_recorded
    an_id_that_is_known_is_a_duplicate_whatever_the_content
    content_known_under_the_same_id_is_a_duplicate
    content_known_under_another_id_is_a_replay_and_that_id_is_not_remembered
    a_forged_id_does_not_swallow_a_genuine_event
    content_without_an_id_is_told_from_content_with_one
    a_retry_with_other_content_is_a_duplicate_and_no_copy_of_it_comes_again
    a_repeat_within_one_call_is_a_duplicate
    answers_come_in_the_order_given
    endpoints_do_not_share_events
    one_event_delivered_at_once_in_many_places_is_one_signal
    bytes_are_kept_as_they_are
    a_probe_says_what_the_settings_mean
    a_ledger_that_can_record_is_ready
}

async fn a_new_event_becomes_the_signal_that_is_published(backend: Backend) {
    let ledger = backend.open().await;
    let draft = by_id("a", "evt_1", "first");
    let signal = record_new(&ledger, &draft).await;
    assert_eq!(signal.signalid, draft.signalid);
    assert_eq!(signal.envelope, draft.envelope.whole(false));
    assert_eq!(ledger.backlog().await.unwrap(), backlog(1, 0));

    ledger
        .released(std::slice::from_ref(&signal))
        .await
        .unwrap();
    assert_eq!(ledger.unpublished(10).await.unwrap(), [signal]);
}

async fn nothing_to_record_is_nothing_recorded(backend: Backend) {
    let ledger = backend.open().await;
    assert_eq!(ledger.record(Vec::new()).await.unwrap(), []);
    ledger.published(&[]).await.unwrap();
    ledger.released(&[]).await.unwrap();
    assert_eq!(ledger.unpublished(0).await.unwrap(), []);
    assert_eq!(ledger.backlog().await.unwrap(), backlog(0, 0));
}

async fn an_id_that_is_known_is_a_duplicate_whatever_the_content(backend: Backend) {
    let ledger = backend.open().await;
    let first = record_new(&ledger, &by_id("a", "evt_1", "first")).await;
    let again = record_one(&ledger, &by_id("a", "evt_1", "retry")).await;
    assert_eq!(again, Recorded::Duplicate(first.signalid));
    assert_eq!(ledger.backlog().await.unwrap(), backlog(1, 0));
}

async fn content_known_under_the_same_id_is_a_duplicate(backend: Backend) {
    let ledger = backend.open().await;
    let draft = by_content("a", "evt_1", "content");
    let first = record_new(&ledger, &draft).await;
    assert_eq!(
        record_one(&ledger, &draft).await,
        Recorded::Duplicate(first.signalid)
    );
}

async fn content_known_under_another_id_is_a_replay_and_that_id_is_not_remembered(
    backend: Backend,
) {
    let ledger = backend.open().await;
    let first = record_new(&ledger, &by_content("a", "evt_1", "captured")).await;
    let forged = by_content("a", "evt_2", "captured");
    assert_eq!(
        record_one(&ledger, &forged).await,
        Recorded::Replayed(first.signalid)
    );
    // The genuine event of that id is new, without a conflict.
    record_new(&ledger, &by_content("a", "evt_2", "genuine")).await;
}

async fn a_forged_id_does_not_swallow_a_genuine_event(backend: Backend) {
    let ledger = backend.open().await;
    record_new(&ledger, &by_content("a", "evt_1", "forger's")).await;
    let genuine = by_content("a", "evt_1", "genuine");
    let Recorded::New {
        signal,
        id_conflict: true,
    } = record_one(&ledger, &genuine).await
    else {
        panic!("the genuine event is not recorded under a completed id");
    };
    assert_eq!(signal.envelope, genuine.envelope.whole(true));
    assert!(
        text(&signal).contains(&genuine.envelope.completed_id),
        "{}",
        text(&signal)
    );
    let again = record_one(&ledger, &genuine).await;
    assert_eq!(again, Recorded::Duplicate(signal.signalid));

    // What is stored is what was answered.
    ledger
        .released(std::slice::from_ref(&signal))
        .await
        .unwrap();
    assert_eq!(ledger.unpublished(10).await.unwrap(), [signal]);
    // The id still belongs to its first content.
    let third = record_one(&ledger, &by_content("a", "evt_1", "third")).await;
    assert!(
        matches!(
            third,
            Recorded::New {
                id_conflict: true,
                ..
            }
        ),
        "{third:?}"
    );
}

async fn a_retry_with_other_content_is_a_duplicate_and_no_copy_of_it_comes_again(backend: Backend) {
    let ledger = backend.open().await;
    let first = record_new(&ledger, &by_either("a", "evt_1", "first try")).await;
    for (id, content, expected) in [
        ("evt_1", "first try", Recorded::Duplicate(first.signalid)),
        ("evt_1", "second try", Recorded::Duplicate(first.signalid)),
        ("evt_1", "second try", Recorded::Duplicate(first.signalid)),
        ("evt_2", "first try", Recorded::Replayed(first.signalid)),
        ("evt_2", "second try", Recorded::Replayed(first.signalid)),
    ] {
        let recorded = record_one(&ledger, &by_either("a", id, content)).await;
        assert_eq!(recorded, expected, "{id} {content}");
    }
    // The genuine event whose id was forged is new.
    record_new(&ledger, &by_either("a", "evt_2", "genuine")).await;

    let both = vec![
        by_either("a", "evt_3", "one"),
        by_either("a", "evt_3", "two"),
        by_either("a", "evt_4", "two"),
    ];
    let recorded = ledger.record(both).await.unwrap();
    let [Recorded::New { signal, .. }, duplicate, replayed] = recorded.as_slice() else {
        panic!("{recorded:?}");
    };
    assert_eq!(*duplicate, Recorded::Duplicate(signal.signalid));
    assert_eq!(*replayed, Recorded::Replayed(signal.signalid));
}

async fn content_without_an_id_is_told_from_content_with_one(backend: Backend) {
    let ledger = backend.open().await;
    let first = record_new(&ledger, &without_id("a", "bare")).await;
    let bare = record_one(&ledger, &without_id("a", "bare")).await;
    assert_eq!(bare, Recorded::Duplicate(first.signalid));
    let given_one = record_one(&ledger, &by_content("a", "evt_1", "bare")).await;
    assert_eq!(given_one, Recorded::Replayed(first.signalid));

    let first = record_new(&ledger, &by_content("a", "evt_2", "named")).await;
    let lost_it = record_one(&ledger, &without_id("a", "named")).await;
    assert_eq!(lost_it, Recorded::Replayed(first.signalid));
}

async fn a_repeat_within_one_call_is_a_duplicate(backend: Backend) {
    let ledger = backend.open().await;
    let drafts = vec![
        by_content("a", "evt_1", "one"),
        by_content("a", "evt_1", "one"),
        by_content("a", "evt_2", "one"),
        by_content("a", "evt_1", "two"),
    ];
    let one = drafts[0].signalid;
    let recorded = ledger.record(drafts).await.unwrap();
    assert!(
        matches!(
            recorded[0],
            Recorded::New {
                id_conflict: false,
                ..
            }
        ),
        "{recorded:?}"
    );
    assert_eq!(
        recorded[1..3],
        [Recorded::Duplicate(one), Recorded::Replayed(one)]
    );
    assert!(
        matches!(
            recorded[3],
            Recorded::New {
                id_conflict: true,
                ..
            }
        ),
        "{recorded:?}"
    );
    assert_eq!(ledger.backlog().await.unwrap(), backlog(2, 0));
}

async fn answers_come_in_the_order_given(backend: Backend) {
    let ledger = backend.open().await;
    record_new(&ledger, &by_id("a", "evt_1", "")).await;
    record_new(&ledger, &by_id("a", "evt_3", "")).await;
    let drafts: Vec<_> = (0..5)
        .map(|n| by_id("a", &format!("evt_{n}"), ""))
        .collect();
    let recorded = ledger.record(drafts.clone()).await.unwrap();
    for (n, (draft, recorded)) in drafts.iter().zip(&recorded).enumerate() {
        match recorded {
            Recorded::New { signal, .. } => {
                assert!(n % 2 == 0 && signal.signalid == draft.signalid, "{n}");
            }
            other => assert!(
                n % 2 == 1 && *other == Recorded::Duplicate(draft.signalid),
                "{n}"
            ),
        }
    }
}

async fn endpoints_do_not_share_events(backend: Backend) {
    let ledger = backend.open().await;
    for endpoint in ["a", "b", "c"] {
        record_new(&ledger, &by_id(endpoint, "evt_1", "")).await;
        record_new(&ledger, &by_content(endpoint, "evt_2", "content")).await;
    }
    assert_eq!(ledger.backlog().await.unwrap(), backlog(6, 0));
}

async fn one_event_delivered_at_once_in_many_places_is_one_signal(backend: Backend) {
    let ledgers = backend.open_twice().await;
    let draft = by_content("a", "evt_1", "content");
    let deliveries = (0..64).map(|n| record_one(&ledgers[n % 2], &draft));
    let recorded = futures_util::future::join_all(deliveries).await;
    assert_eq!(
        recorded.iter().filter(|recorded| is_new(recorded)).count(),
        1
    );
    let repeat = Recorded::Duplicate(draft.signalid);
    assert_eq!(
        recorded
            .iter()
            .filter(|recorded| **recorded == repeat)
            .count(),
        63
    );
    assert_eq!(ledgers[0].backlog().await.unwrap(), backlog(1, 0));
}

async fn bytes_are_kept_as_they_are(backend: Backend) {
    let ledger = backend.open().await;
    let content = "ünïcødé \0 \\ \" %s {1} \r\n \u{1F980} \u{2028}".repeat(100);
    let draft = by_content("a", "évt \" 1", &content);
    let signal = record_new(&ledger, &draft).await;
    ledger
        .released(std::slice::from_ref(&signal))
        .await
        .unwrap();
    let leased = ledger.unpublished(10).await.unwrap();
    assert_eq!(leased[0].envelope, draft.envelope.whole(false));
}

async fn a_probe_says_what_the_settings_mean(backend: Backend) {
    let found = backend.open().await.probe().await.unwrap();
    assert!(
        found.iter().any(|line| line.starts_with("persistence: ")),
        "{found:?}"
    );
    assert!(found.iter().all(|line| !line.contains('\n')), "{found:?}");
}

async fn a_ledger_that_can_record_is_ready(backend: Backend) {
    let ledger = backend.open().await;
    ledger.ready().await.unwrap();
    assert_eq!(ledger.backlog().await.unwrap(), backlog(0, 0));
}

/// Writes an error and its causes out, as a log would.
fn whole(error: &LedgerError) -> String {
    let mut text = format!("{error:?} {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error:?} {error}");
        cause = error.source();
    }
    text
}
