//! What is special to a spool: it keeps what a ledger that is away cannot record, and moves it later.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hookgate::ledger::spool::{MAX_SPOOL_BYTES, SpoolSettings, Spooling};
use hookgate::ledger::{self, Ledger, LedgerError, LedgerUrl, Recorded, Settings};
use hookgate::shutdown::Drain;
use hookgate::signal::{Draft, Signal};
use rusqlite::Connection;
use tempfile::TempDir;

use super::drafts::{by_content, by_either, by_id};
use super::{HOUR, backlog, record_new, whole};
use crate::support::proxy::Proxy;
use crate::support::redis::{Options, Redis};
use crate::support::{DEADLINE, until};

/// A ledger in Redis, the way to which can be cut, with a spool beside it.
struct Replica {
    redis: Redis,
    proxy: Proxy,
    dir: TempDir,
    timeout: Duration,
    max_bytes: u64,
}

impl Replica {
    async fn new() -> Self {
        let redis = Redis::with(Options {
            append_only: true,
            ..Options::default()
        });
        Self {
            proxy: Proxy::to(redis.port()).await,
            redis,
            dir: tempfile::tempdir().unwrap(),
            timeout: DEADLINE,
            max_bytes: MAX_SPOOL_BYTES,
        }
    }

    fn settings(&self) -> Settings {
        let url = format!("redis://127.0.0.1:{}", self.proxy.port());
        Settings {
            url: LedgerUrl::parse(&url).unwrap(),
            retention: HOUR,
            lease: HOUR,
            timeout: self.timeout,
            durability: ledger::Durability::Memory,
            access: ledger::redis::Access::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("spool.db")
    }

    async fn try_open(&self) -> Result<Arc<Spooling>, LedgerError> {
        let ledger = ledger::open(&self.settings()).await.unwrap();
        let spool = SpoolSettings {
            path: self.path(),
            max_bytes: self.max_bytes,
        };
        let spooling = Spooling::open(ledger, &spool, &self.settings()).await?;
        Ok(Arc::new(spooling))
    }

    async fn open(&self) -> Arc<Spooling> {
        self.try_open().await.unwrap()
    }

    /// The same ledger as another replica sees it.
    async fn beside(&self) -> Arc<dyn Ledger> {
        let mut settings = self.settings();
        settings.url = LedgerUrl::parse(&self.redis.url()).unwrap();
        ledger::open(&settings).await.unwrap()
    }
}

/// Counts what became of deliveries: kept, recorded, known, set aside.
fn counted(spool: &Spooling) -> [u64; 4] {
    let counters = spool.counters();
    [
        &counters.kept,
        &counters.recorded,
        &counters.known,
        &counters.set_aside,
    ]
    .map(|count| count.load(Ordering::Relaxed))
}

async fn until_empty(spool: &Spooling) {
    until("the spool is empty", async || spool.waiting() == 0).await;
}

async fn keep(spool: &Spooling, drafts: &[Draft]) {
    let expected: Vec<_> = drafts
        .iter()
        .map(|draft| Recorded::Spooled(draft.signalid))
        .collect();
    assert_eq!(spool.record(drafts.to_vec()).await.unwrap(), expected);
}

/// Leases everything that is owed and free.
async fn owed(ledger: &Arc<dyn Ledger>) -> Vec<Signal> {
    ledger.unpublished(1000).await.unwrap()
}

#[tokio::test]
async fn what_a_ledger_that_is_away_cannot_record_is_kept_and_recorded_later_as_it_came() {
    let replica = Replica::new().await;
    let spool = replica.open().await;
    replica.proxy.cut();
    let delivery = [
        by_id("a", "évt \" 1", "ünïcødé \0 \\ \u{2028}"),
        by_content("a", "evt_2", "content"),
        by_either("a", "evt_3", "first try"),
    ];
    keep(&spool, &delivery).await;
    assert_eq!(spool.waiting(), 1);

    let drain = Drain::new();
    drain.spawn(Arc::clone(&spool).run_mover(drain.clone()));
    replica.proxy.mend();
    until_empty(&spool).await;
    assert_eq!(counted(&spool), [1, 1, 0, 0]);
    let beside = replica.beside().await;
    let mut moved = Vec::new();
    until("the leases are given back", async || {
        moved.extend(owed(&beside).await);
        moved.len() == delivery.len()
    })
    .await;
    for draft in delivery {
        let envelope = draft.envelope.whole(false);
        assert!(moved.iter().any(|one| one.envelope == envelope));
    }
    // The ledger records again, and knows what it was told meanwhile.
    let again = spool.record(vec![by_content("a", "evt_2", "content")]);
    assert!(matches!(again.await.unwrap()[..], [Recorded::Duplicate(_)]));
    record_new(&(spool as Arc<dyn Ledger>), &by_id("a", "evt_4", "")).await;
    assert!(drain.finish(DEADLINE).await);
}

#[tokio::test]
async fn repeats_are_refused_among_what_waits() {
    let replica = Replica::new().await;
    let spool = replica.open().await;
    replica.proxy.cut();
    let [id, content] = [by_id("a", "evt_1", "x"), by_content("a", "evt_2", "c")];
    let conflict = by_content("a", "evt_2", "other");
    keep(&spool, std::slice::from_ref(&id)).await;
    keep(&spool, &[content.clone(), conflict.clone()]).await;
    for (draft, expected) in [
        (id.clone(), Recorded::Duplicate(id.signalid)),
        (content.clone(), Recorded::Duplicate(content.signalid)),
        (
            by_content("a", "evt_9", "c"),
            Recorded::Replayed(content.signalid),
        ),
        (conflict.clone(), Recorded::Duplicate(conflict.signalid)),
    ] {
        assert_eq!(spool.record(vec![draft]).await.unwrap(), [expected]);
    }
    assert_eq!((spool.waiting(), counted(&spool)[0]), (2, 2));
}

#[tokio::test]
async fn the_ledger_decides_in_the_end_what_is_new() {
    let replica = Replica::new().await;
    let spool = replica.open().await;
    let before: Arc<dyn Ledger> = spool.clone();
    let known = record_new(&before, &by_id("a", "evt_1", "")).await;
    let captured = record_new(&before, &by_content("a", "evt_2", "captured")).await;
    replica.proxy.cut();

    // This replica cannot know better.
    keep(&spool, &[by_id("a", "evt_1", "")]).await;
    keep(&spool, &[by_content("a", "evt_3", "captured")]).await;
    let genuine = by_content("a", "evt_3", "genuine");
    keep(&spool, std::slice::from_ref(&genuine)).await;
    let first = by_either("a", "evt_4", "first try");
    let retry = by_either("a", "evt_4", "second try");
    keep(&spool, std::slice::from_ref(&first)).await;
    let again = spool.record(vec![retry]).await.unwrap();
    assert_eq!(again, [Recorded::Duplicate(first.signalid)]);

    let drain = Drain::new();
    drain.spawn(Arc::clone(&spool).run_mover(drain.clone()));
    replica.proxy.mend();
    until_empty(&spool).await;
    assert_eq!(counted(&spool), [5, 2, 3, 0]);
    let beside = replica.beside().await;
    assert_eq!(beside.backlog().await.unwrap(), backlog(4, 0));
    beside
        .released(&[known.clone(), captured.clone()])
        .await
        .unwrap();
    let mut moved = Vec::new();
    until("the leases are given back", async || {
        moved.extend(owed(&beside).await);
        moved.len() == 4
    })
    .await;
    // The id that the replay claimed is not remembered: the genuine event has it.
    let whole = |draft: &Draft| draft.envelope.whole(false);
    for envelope in [
        &known.envelope,
        &captured.envelope,
        &whole(&genuine),
        &whole(&first),
    ] {
        assert!(moved.iter().any(|one| one.envelope == envelope));
    }
    // No captured copy of the retry comes in again under another id.
    let copy = beside.record(vec![by_either("a", "evt_5", "second try")]);
    assert_eq!(copy.await.unwrap(), [Recorded::Replayed(first.signalid)]);
    assert!(drain.finish(DEADLINE).await);
}

#[tokio::test]
async fn what_the_ledger_recorded_although_its_answer_was_lost_is_moved_as_a_repeat() {
    let mut replica = Replica::new().await;
    replica.timeout = Duration::from_millis(300);
    let spool = replica.open().await;
    record_new(
        &(spool.clone() as Arc<dyn Ledger>),
        &by_id("a", "evt_0", ""),
    )
    .await;
    // Redis gets the request, and nobody hears its answer.
    replica.redis.freeze();
    keep(&spool, &[by_id("a", "evt_1", ""), by_id("a", "evt_2", "")]).await;
    replica.redis.thaw();
    let drain = Drain::new();
    drain.spawn(Arc::clone(&spool).run_mover(drain.clone()));
    until_empty(&spool).await;
    let beside = replica.beside().await;
    assert_eq!(beside.backlog().await.unwrap(), backlog(3, 0));
    let [kept, recorded, known, _] = counted(&spool);
    assert_eq!((kept, recorded + known), (1, 1));
    assert!(drain.finish(DEADLINE).await);
}

#[tokio::test]
async fn nobody_waits_for_a_ledger_that_was_found_to_be_away() {
    let mut replica = Replica::new().await;
    replica.timeout = Duration::from_millis(500);
    let spool = replica.open().await;
    record_new(
        &(spool.clone() as Arc<dyn Ledger>),
        &by_id("a", "evt_0", ""),
    )
    .await;
    replica.proxy.freeze();
    // All find out together.
    let deliveries = (0..64).map(|n| {
        let (spool, draft) = (spool.clone(), by_id("a", &format!("first_{n}"), ""));
        async move { keep(&spool, &[draft]).await }
    });
    futures_util::future::join_all(deliveries).await;
    let connected = replica.proxy.connected();
    for n in 0..64 {
        keep(&spool, &[by_id("a", &format!("later_{n}"), "")]).await;
    }
    // None of the later ones asked Redis, to which there is no connection any more.
    assert_eq!(replica.proxy.connected(), connected);
    assert_eq!(spool.waiting(), 128);
}

#[tokio::test]
async fn what_waits_survives_a_crash_and_is_moved_by_the_next_process() {
    let replica = Replica::new().await;
    let spool = replica.open().await;
    replica.proxy.cut();
    let draft = by_id("a", "evt_1", "");
    keep(&spool, std::slice::from_ref(&draft)).await;
    // The files as a crash at this moment would leave them.
    let crashed = replica.dir.path().join("crashed.db");
    copy(&replica.path(), &crashed);
    spool.close().await;
    copy(&crashed, &replica.path());

    let spool = replica.open().await;
    assert_eq!(spool.waiting(), 1);
    let drain = Drain::new();
    drain.spawn(Arc::clone(&spool).run_mover(drain.clone()));
    replica.proxy.mend();
    until_empty(&spool).await;
    let beside = replica.beside().await;
    assert_eq!(beside.backlog().await.unwrap(), backlog(1, 0));
    assert!(drain.finish(DEADLINE).await);
    spool.close().await;

    // The crash came after the ledger recorded it and before it left the spool: it is a repeat.
    copy(&crashed, &replica.path());
    let spool = replica.open().await;
    let drain = Drain::new();
    drain.spawn(Arc::clone(&spool).run_mover(drain.clone()));
    until_empty(&spool).await;
    assert_eq!(counted(&spool), [0, 0, 1, 0]);
    assert_eq!(beside.backlog().await.unwrap(), backlog(1, 0));
    assert!(drain.finish(DEADLINE).await);
}

fn copy(from: &Path, to: &Path) {
    for end in ["", "-wal"] {
        let name = |path: &Path| format!("{}{end}", path.display());
        match std::fs::read(name(from)) {
            Ok(bytes) => std::fs::write(name(to), bytes).unwrap(),
            // A file that was closed has no log.
            Err(_) => drop(std::fs::remove_file(name(to))),
        }
    }
}

#[tokio::test]
async fn a_full_spool_refuses_a_delivery_whole_and_makes_room_as_it_is_emptied() {
    let mut replica = Replica::new().await;
    replica.max_bytes = 2 << 20;
    let spool = replica.open().await;
    replica.proxy.cut();
    spool.check().await.unwrap();
    let large = |n: u32| by_id("a", &format!("evt_{n}"), &"x".repeat(300_000));
    let mut kept = 0;
    let full = loop {
        // The small one alone would fit.
        let delivery = vec![by_id("a", &format!("small_{kept}"), ""), large(kept)];
        match spool.record(delivery).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(kept > 2, "{kept}");
    let text = whole(&full);
    assert!(matches!(full, LedgerError::Unavailable { .. }), "{text}");
    assert!(
        text.contains("nor can the spool") && text.contains("full"),
        "{text}"
    );
    assert_eq!(spool.waiting(), u64::from(kept));
    assert!(spool.check().await.is_err());

    let drain = Drain::new();
    drain.spawn(Arc::clone(&spool).run_mover(drain.clone()));
    replica.proxy.mend();
    until_empty(&spool).await;
    let beside = replica.beside().await;
    let both = u64::from(kept) * 2;
    assert_eq!(beside.backlog().await.unwrap(), backlog(both, 0));
    spool.check().await.unwrap();
    assert!(drain.finish(DEADLINE).await);
}

#[tokio::test]
async fn a_ledger_that_is_full_counts_as_away_until_it_has_room() {
    let replica = Replica::new().await;
    let spool = replica.open().await;
    replica.redis.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    keep(&spool, &[by_id("a", "evt_1", ""), by_id("a", "evt_2", "")]).await;
    let drain = Drain::new();
    drain.spawn(Arc::clone(&spool).run_mover(drain.clone()));
    keep(&spool, &[by_id("a", "evt_3", "")]).await;
    replica.redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    until_empty(&spool).await;
    assert_eq!(spool.backlog().await.unwrap(), backlog(3, 0));
    assert!(drain.finish(DEADLINE).await);
}

#[tokio::test]
async fn an_endpoint_without_a_spool_is_refused_while_the_ledger_is_away() {
    let replica = Replica::new().await;
    let spool = replica.open().await;
    replica.proxy.cut();
    let mut draft = by_id("a", "evt_1", "");
    draft.spool = false;
    let refused = spool.record(vec![draft.clone()]).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Unavailable { .. }));
    assert_eq!(spool.waiting(), 0);
    keep(&spool, &[by_id("b", "evt_1", "")]).await;
    // Its ledger is asked each time, also when others know that it is away.
    replica.proxy.mend();
    until("the ledger records again", async || {
        spool.record(vec![draft.clone()]).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_the_ledger_cannot_record_holds_nobody_up() {
    let replica = Replica::new().await;
    let spool = replica.open().await;
    record_new(
        &(spool.clone() as Arc<dyn Ledger>),
        &by_id("a", "evt_0", ""),
    )
    .await;
    let log = replica.redis.cli(&["KEYS", "*:log"]);
    replica.redis.cli(&["RENAME", &log, "kept"]);
    replica.redis.cli(&["SET", &log, "taken"]);
    keep(&spool, &[by_id("a", "evt_1", "")]).await;
    // Other endpoints have another log; some share this one, and wait with it.
    let others: Vec<_> = (0..40)
        .map(|n| by_id(&format!("b{n}"), "evt", ""))
        .collect();
    for draft in &others {
        keep(&spool, std::slice::from_ref(draft)).await;
    }
    let drain = Drain::new();
    drain.spawn(Arc::clone(&spool).run_mover(drain.clone()));
    until("the others are moved", async || {
        let [_, recorded, ..] = counted(&spool);
        recorded >= 20
    })
    .await;
    assert!(spool.waiting() >= 1);
    replica.redis.cli(&["RENAME", "kept", &log]);
    until_empty(&spool).await;
    assert_eq!(counted(&spool), [41, 41, 0, 0]);
    assert!(drain.finish(DEADLINE).await);
}

#[tokio::test]
async fn a_delivery_that_cannot_be_read_is_set_aside_and_holds_nobody_up() {
    let replica = Replica::new().await;
    let spool = replica.open().await;
    replica.proxy.cut();
    keep(&spool, &[by_id("a", "evt_1", "")]).await;
    keep(&spool, &[by_id("a", "evt_2", "")]).await;
    spool.close().await;
    let spoil = "UPDATE drafts SET decides = 'nothing' WHERE delivery = 1";
    let db = Connection::open(replica.path()).unwrap();
    db.execute(spoil, []).unwrap();
    drop(db);

    let spool = replica.open().await;
    assert_eq!(spool.waiting(), 2);
    let drain = Drain::new();
    drain.spawn(Arc::clone(&spool).run_mover(drain.clone()));
    replica.proxy.mend();
    until_empty(&spool).await;
    assert_eq!(counted(&spool), [0, 1, 0, 1]);
    assert_eq!(spool.backlog().await.unwrap(), backlog(1, 0));
    assert!(drain.finish(DEADLINE).await);
    spool.close().await;
    // It is kept, and tried again by the next process.
    assert_eq!(replica.open().await.waiting(), 1);
}

#[tokio::test]
async fn a_spool_is_for_one_process_and_no_ledger_is_taken_for_it() {
    let replica = Replica::new().await;
    let spool = replica.open().await;
    let second = replica.try_open().await.unwrap_err();
    assert!(second.to_string().contains("of its own"), "{second}");
    spool.close().await;

    let mut settings = replica.settings();
    settings.url = LedgerUrl::Sqlite(replica.path());
    let taken = ledger::open(&settings).await.unwrap_err();
    assert!(taken.to_string().contains("is a spool"), "{taken}");
    let other = replica.dir.path().join("ledger.db");
    settings.url = LedgerUrl::Sqlite(other.clone());
    ledger::open(&settings).await.unwrap().close().await;
    std::fs::rename(other, replica.path()).unwrap();
    let taken = replica.try_open().await.unwrap_err();
    assert!(taken.to_string().contains("is no spool"), "{taken}");
}
