//! What is special to the embedded ledger: its file.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookgate::ledger::{self, Ledger, LedgerError, LedgerUrl, Recorded, Settings};
use hookgate::signal::Signal;
use rusqlite::Connection;

use super::drafts::{by_content, by_id};
use super::{HOUR, backlog, record_new, record_one};
use crate::support::DEADLINE;

async fn try_open(path: &Path) -> Result<Arc<dyn Ledger>, LedgerError> {
    let url = LedgerUrl::Sqlite(path.to_owned());
    ledger::open(&Settings {
        url,
        retention: HOUR,
        lease: HOUR,
        timeout: DEADLINE,
        durability: ledger::Durability::Memory,
        access: ledger::redis::Access::default(),
    })
    .await
}

#[tokio::test]
async fn what_was_recorded_survives_and_is_free_to_be_published_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = try_open(&path).await.unwrap();
    let draft = by_content("a", "evt_1", "content");
    let signal = record_new(&ledger, &draft).await;
    let parked = record_new(&ledger, &by_id("a", "evt_2", "")).await;
    ledger.parked(&parked, "refused").await.unwrap();
    ledger.close().await;
    assert!(ledger.record(vec![draft.clone()]).await.is_err());

    let ledger = try_open(&path).await.unwrap();
    assert_eq!(ledger.backlog().await.unwrap(), backlog(1, 1));
    assert_eq!(
        record_one(&ledger, &draft).await,
        Recorded::Duplicate(draft.signalid)
    );
    // Whoever held the lease is gone.
    assert_eq!(ledger.unpublished(10).await.unwrap(), [signal]);
}

#[tokio::test]
async fn what_was_recorded_survives_without_closing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = try_open(&path).await.unwrap();
    let signal = record_new(&ledger, &by_id("a", "evt_1", "")).await;
    // The files as a crash at this moment would leave them.
    let crashed = dir.path().join("crashed.db");
    for end in ["", "-wal"] {
        let name = |path: &Path| format!("{}{end}", path.display());
        std::fs::copy(name(&path), name(&crashed)).unwrap();
    }
    let after = try_open(&crashed).await.unwrap();
    assert_eq!(after.unpublished(10).await.unwrap(), [signal]);
}

#[tokio::test]
async fn a_second_user_of_the_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let first = try_open(&path).await.unwrap();
    let error = try_open(&path).await.unwrap_err();
    assert!(error.to_string().contains("one instance"), "{error}");
    // Said once, and not again in SQLite's words.
    assert!(std::error::Error::source(&error).is_none(), "{error:?}");
    assert!(
        error.to_string().contains(&*path.to_string_lossy()),
        "{error}"
    );
    // The refusal did not take the first one's lock away.
    assert!(try_open(&path).await.is_err());
    record_new(&first, &by_id("a", "evt_1", "")).await;
    first.close().await;
    try_open(&path).await.unwrap();
}

#[tokio::test]
async fn another_process_is_refused_while_the_file_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let _ledger = try_open(&path).await.unwrap();
    // Any other process will do: SQLite's locks are what refuses it.
    let script =
        "import sqlite3, sys; sqlite3.connect(sys.argv[1], 0).execute('SELECT * FROM signals')";
    let output = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(&path)
        .output();
    let output = output.expect("python3 is installed");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("database is locked"), "{told}");
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for path in [
        dir.path().join("no/such/dir/ledger.db"),
        dir.path().to_owned(),
    ] {
        let error = try_open(&path).await.unwrap_err();
        assert!(
            matches!(error, LedgerError::Unavailable { .. }),
            "{error:?}"
        );
        assert!(
            error.to_string().contains(&*path.to_string_lossy()),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    try_open(&path).await.unwrap().close().await;
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = try_open(&path).await.unwrap_err();
    assert!(
        matches!(&error, LedgerError::Corrupt(what) if what.contains("version 99")),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_of_an_older_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let older = Connection::open(&path).unwrap();
    older
        .execute_batch("CREATE TABLE marks (mark); PRAGMA user_version = 1")
        .unwrap();
    drop(older);
    let error = try_open(&path).await.unwrap_err();
    assert!(
        matches!(&error, LedgerError::Corrupt(what) if what.contains("version 1")),
        "{error}"
    );
}

#[tokio::test]
async fn a_record_gets_through_while_much_is_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let url = LedgerUrl::Sqlite(dir.path().join("ledger.db"));
    let settings = Settings {
        url,
        retention: Duration::ZERO,
        lease: HOUR,
        timeout: DEADLINE,
        durability: ledger::Durability::Memory,
        access: ledger::redis::Access::default(),
    };
    let ledger = ledger::open(&settings).await.unwrap();
    let drafts = (0..2000).map(|n| by_id("a", &format!("evt_{n}"), ""));
    let recorded = ledger.record(drafts.collect()).await.unwrap();
    let signals: Vec<Signal> = recorded.into_iter().filter_map(new).collect();
    ledger.published(&signals).await.unwrap();

    let ended = Mutex::new(Vec::new());
    let pruning = async {
        let pruned = ledger.prune().await.unwrap();
        ended.lock().unwrap().push("pruned");
        pruned
    };
    let recording = async {
        record_new(&ledger, &by_id("a", "meanwhile", "")).await;
        ended.lock().unwrap().push("recorded");
    };
    let (pruned, ()) = tokio::join!(pruning, recording);
    assert_eq!(*ended.lock().unwrap(), ["recorded", "pruned"]);
    // Retention is a millisecond at least: the last ones may be too young by that.
    let rest = ledger.prune().await.unwrap();
    assert_eq!(pruned + rest, 2000);
    assert_eq!(ledger.backlog().await.unwrap(), backlog(1, 0));
}

fn new(recorded: Recorded) -> Option<Signal> {
    match recorded {
        Recorded::New { signal, .. } => Some(signal),
        _ => None,
    }
}

#[tokio::test]
async fn marks_whose_time_is_over_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = try_open(&path).await.unwrap();
    let mut drafts: Vec<_> = (0..50)
        .map(|n| by_content("a", &format!("evt_{n}"), &n.to_string()))
        .collect();
    for draft in &mut drafts {
        draft.keep_marks = Duration::ZERO;
    }
    ledger.record(drafts).await.unwrap();
    record_new(&ledger, &by_id("a", "kept", "")).await;
    ledger.close().await;
    // As if they had been recorded long ago.
    let db = Connection::open(&path).unwrap();
    let age = "UPDATE marks SET ends = ends - 3000 WHERE ends < (SELECT max(ends) FROM marks)";
    assert_eq!(db.execute(age, []).unwrap(), 100);
    drop(db);

    let ledger = try_open(&path).await.unwrap();
    for _ in 0..64 {
        ledger.prune().await.unwrap();
    }
    ledger.close().await;
    let left =
        Connection::open(&path)
            .unwrap()
            .query_row("SELECT count(*) FROM marks", [], |row| row.get::<_, i64>(0));
    assert_eq!(left.unwrap(), 1);
}

#[tokio::test]
async fn a_file_of_another_program_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("theirs.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (x)")
        .unwrap();
    let error = try_open(&path).await.unwrap_err();
    assert!(matches!(&error, LedgerError::Corrupt(_)), "{error}");

    let path = dir.path().join("text.db");
    std::fs::write(
        &path,
        "no database at all, but long enough to be looked at".repeat(100),
    )
    .unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = try_open(&path).await.unwrap_err();
    assert!(matches!(&error, LedgerError::Corrupt(_)), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn the_file_is_for_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = try_open(&path).await.unwrap();
    record_new(&ledger, &by_id("a", "evt_1", "")).await;
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(
            file.metadata().unwrap().permissions().mode() & 0o077,
            0,
            "{file:?}"
        );
    }
}

#[tokio::test]
async fn a_signal_that_cannot_be_read_is_parked_and_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let ledger = try_open(&path).await.unwrap();
    let bad = record_new(&ledger, &by_id("a", "evt_1", "")).await;
    let good = record_new(&ledger, &by_id("a", "evt_2", "")).await;
    ledger.close().await;
    let spoil = "UPDATE signals SET envelope = x'7b7d' WHERE signalid = ?1";
    Connection::open(&path)
        .unwrap()
        .execute(spoil, [bad.signalid.as_bytes()])
        .unwrap();

    let ledger = try_open(&path).await.unwrap();
    assert_eq!(ledger.unpublished(10).await.unwrap(), [good]);
    assert_eq!(ledger.backlog().await.unwrap(), backlog(1, 1));
}
