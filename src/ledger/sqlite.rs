//! The embedded ledger: one SQLite file, for one instance.
//!
//! Everything runs on the one thread of `writer`. The database is in WAL mode and synced at every
//! commit, so an answer means that the signal is on disk. The file is locked while it is open: a
//! second process is refused, because two relays without shared leases would publish everything twice.

mod file;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tracing::error;

pub(super) use self::file::Holds;
use self::file::VERSION;
use self::writer::Writer;
use super::stored::{self, Stored};
use super::{
    Backlog, LEASED_BYTES, LONGEST_LEASE, Ledger, LedgerError, Recorded, Settings, cut, memo,
    millis,
};
use crate::clock;
use crate::signal::{Draft, Identity, Mark, Signal, SignalId};

/// How many rows one step of pruning removes, so that recording never waits long behind it.
const PRUNED_AT_ONCE: u32 = 500;

/// Into how many slices the marks are divided. One step of pruning goes through one.
const SLICES: u16 = 1 << 12;
/// How many slices one call of `prune` goes through. Once a minute, that is all of them in about an hour.
const SWEEPS: usize = 64;

/// A ledger in one SQLite file.
pub struct Sqlite {
    path: PathBuf,
    writer: Writer,
    lease_ms: i64,
    retention_ms: i64,
    /// Which slice of the marks is gone through next.
    swept: AtomicUsize,
}

impl Sqlite {
    /// Opens the file, creates it where it does not exist, and ends the leases of the instance that
    /// used it before.
    pub async fn open(path: &Path, settings: &Settings) -> Result<Self, LedgerError> {
        Self::open_as(Holds::Ledger, path, settings).await
    }

    /// Opens a file that holds a ledger, or that of a spool.
    pub(super) async fn open_as(
        holds: Holds,
        path: &Path,
        settings: &Settings,
    ) -> Result<Self, LedgerError> {
        let failed = |error: io::Error| {
            LedgerError::unavailable(format!("opening {}", path.display()), error)
        };
        let opened = path.to_owned();
        let opening = tokio::task::spawn_blocking(move || file::open(&opened, holds));
        let opening = opening.await;
        // What the error says of a panic would be the panic's message.
        let opening = opening.map_err(|_| failed(io::Error::other("it ended in a panic")));
        let db = opening??;
        Ok(Self {
            path: path.to_owned(),
            writer: Writer::start(db, settings.timeout).map_err(failed)?,
            lease_ms: millis(settings.lease.min(LONGEST_LEASE)),
            retention_ms: millis(settings.retention),
            swept: AtomicUsize::new(clock::now().subsec_nanosecond().unsigned_abs() as usize),
        })
    }

    /// Has `work` done by the writer, in a savepoint of its own, and committed.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.writer
            .call(&format!("{what} in {}", self.path.display()), work)
            .await
    }

    /// Runs a statement of `?1 = now` and `?2 = signalid` for each signal.
    async fn settle(
        &self,
        what: &str,
        sql: &'static str,
        signals: &[Signal],
    ) -> Result<(), LedgerError> {
        let signalids: Vec<_> = signals.iter().map(|signal| signal.signalid).collect();
        let now = now_ms();
        let update = move |db: &Connection| {
            let mut update = db.prepare_cached(sql)?;
            signalids
                .iter()
                .try_for_each(|id| update.execute(params![now, id.as_bytes()]).map(drop))
        };
        self.call(what, update).await
    }

    /// Removes the marks of one slice whose time is over.
    async fn sweep(&self, now: i64) -> Result<(), LedgerError> {
        let turn = self.swept.fetch_add(1, Ordering::Relaxed) % usize::from(SLICES);
        let [from, to] = [turn, turn + 1].map(slice);
        let delete = move |db: &Connection| {
            let sql = "DELETE FROM marks WHERE mark >= ?1 AND mark < ?2 AND ends * 1000 <= ?3";
            db.prepare_cached(sql)?.execute(params![from, to, now])
        };
        self.call("pruning", delete).await.map(drop)
    }

    /// Removes published signals that are older than `retention`.
    async fn prune_signals(&self, now: i64) -> Result<u64, LedgerError> {
        let before = now.saturating_sub(self.retention_ms);
        let mut gone = 0;
        loop {
            let delete = move |db: &Connection| {
                let sql = "DELETE FROM signals WHERE rowid IN
                               (SELECT rowid FROM signals WHERE published_ms <= ?1 LIMIT ?2)";
                db.prepare_cached(sql)?
                    .execute(params![before, PRUNED_AT_ONCE])
            };
            let step = self.call("pruning", delete).await? as u64;
            gone += step;
            if step < u64::from(PRUNED_AT_ONCE) {
                return Ok(gone);
            }
        }
    }
}

#[async_trait]
impl Ledger for Sqlite {
    async fn record(&self, drafts: Vec<Draft>) -> Result<Vec<Recorded>, LedgerError> {
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        let (now, lease_ms) = (now_ms(), self.lease_ms);
        let record = move |db: &Connection| {
            drafts
                .into_iter()
                .map(|draft| record(db, draft, now, lease_ms))
                .collect()
        };
        self.call("recording", record).await
    }

    async fn unpublished(&self, limit: usize) -> Result<Vec<Signal>, LedgerError> {
        let (now, lease_ms) = (now_ms(), self.lease_ms);
        let lease = move |db: &Connection| lease(db, now, lease_ms, limit);
        let mut signals = self.call("leasing signals", lease).await?;
        signals.sort_by_key(|signal| signal.attributes.received);
        Ok(signals)
    }

    async fn published(&self, signals: &[Signal]) -> Result<(), LedgerError> {
        let sql =
            "UPDATE signals SET published_ms = ?1, lease_until_ms = NULL, parked_reason = NULL
                   WHERE signalid = ?2 AND published_ms IS NULL";
        self.settle("noting what is published", sql, signals).await
    }

    async fn released(&self, signals: &[Signal]) -> Result<(), LedgerError> {
        let sql = "UPDATE signals SET lease_until_ms = ?1
                   WHERE signalid = ?2 AND lease_until_ms IS NOT NULL";
        self.settle("releasing leases", sql, signals).await
    }

    async fn parked(&self, signal: &Signal, reason: &str) -> Result<(), LedgerError> {
        let (signalid, reason) = (signal.signalid, cut(reason).to_owned());
        self.call("parking", move |db| {
            park(db, signalid.as_bytes(), &reason, now_ms())
        })
        .await
    }

    async fn retry_parked(&self, limit: usize, rest: Duration) -> Result<Vec<Signal>, LedgerError> {
        let (now, rest_ms) = (now_ms(), millis(rest));
        let retry = move |db: &Connection| retry(db, now, rest_ms, limit);
        let mut signals = self.call("taking parked signals", retry).await?;
        signals.sort_by_key(|signal| signal.attributes.received);
        Ok(signals)
    }

    async fn backlog(&self) -> Result<Backlog, LedgerError> {
        let count = |db: &Connection| {
            let sql = "SELECT (SELECT count(*) FROM signals WHERE lease_until_ms IS NOT NULL),
                              (SELECT count(*) FROM signals WHERE parked_reason IS NOT NULL)";
            let counts = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
            let (owed, parked) = db.prepare_cached(sql)?.query_row([], counts)?;
            Ok(Backlog {
                owed: owed.unsigned_abs(),
                parked: parked.unsigned_abs(),
            })
        };
        self.call("counting what is owed", count).await
    }

    async fn prune(&self) -> Result<u64, LedgerError> {
        let now = now_ms();
        for _ in 0..SWEEPS {
            self.sweep(now).await?;
        }
        self.prune_signals(now).await
    }

    async fn probe(&self) -> Result<Vec<String>, LedgerError> {
        let write = |db: &Connection| db.pragma_update(None, "user_version", VERSION);
        self.call("checking that it takes writes", write).await?;
        Ok(vec![
            format!("sqlite:{} is open and takes writes", self.path.display()),
            "persistence: synchronous=FULL; what is acknowledged is on this machine's disk"
                .to_owned(),
            "sharing: one instance at a time; for several replicas use redis".to_owned(),
        ])
    }

    async fn close(&self) {
        self.writer.close().await;
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

pub(super) fn now_ms() -> i64 {
    clock::now().as_millisecond()
}

/// Records one draft; whoever calls undoes all of a call's drafts if one fails.
fn record(db: &Connection, draft: Draft, now: i64, lease_ms: i64) -> rusqlite::Result<Recorded> {
    let id_conflict = match judge(db, &draft, now)? {
        Judged::New { id_conflict } => id_conflict,
        Judged::Retry(first) => return Ok(Recorded::Duplicate(first)),
        Judged::Known(recorded) => return Ok(recorded),
    };
    let envelope = &draft.envelope;
    let id = match id_conflict {
        true => &envelope.completed_id,
        false => &envelope.id,
    };
    let sql = "INSERT INTO signals (signalid, envelope, received_ms, recorded_ms, lease_until_ms)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    db.prepare_cached(sql)?.execute(params![
        draft.signalid.as_bytes(),
        Stored::of(envelope).around(id),
        draft.attributes.received.as_millisecond(),
        now,
        now + lease_ms
    ])?;
    Ok(Recorded::New {
        signal: draft.into_signal(id_conflict),
        id_conflict,
    })
}

/// What the marks say of a draft.
pub(super) enum Judged {
    /// It is new, perhaps under an id that other content has already.
    New { id_conflict: bool },
    /// It is a vendor's retry with other content, which is remembered.
    Retry(SignalId),
    /// It is a repeat, and tells nothing new.
    Known(Recorded),
}

/// Decides by the marks whether a draft is new, and writes those that it adds.
pub(super) fn judge(db: &Connection, draft: &Draft, now: i64) -> rusqlite::Result<Judged> {
    let (deciding, beside) = memo::marks(&draft.identity);
    if let Some(memo) = memo_of(db, deciding, now)? {
        return Ok(Judged::Known(memo::repeat(draft, &memo)));
    }
    let id_known = match beside {
        Some(id) => memo_of(db, id, now)?.is_some(),
        None => false,
    };
    if id_known && matches!(draft.identity, Identity::Either { .. }) {
        // A captured copy of the retry must not come under another id.
        remember(db, deciding, &memo::of(draft), ends(draft, now))?;
        return Ok(Judged::Retry(draft.signalid));
    }
    if is_stored(db, draft.signalid)? {
        // Its marks are gone, the signal is not: a signal never changes and never comes twice.
        return Ok(Judged::Known(Recorded::Duplicate(draft.signalid)));
    }
    remember(db, deciding, &memo::of(draft), ends(draft, now))?;
    if let Some(id) = beside.filter(|_| !id_known) {
        remember(db, id, &[], ends(draft, now))?;
    }
    Ok(Judged::New {
        id_conflict: id_known,
    })
}

/// Returns what a mark remembers, or nothing where it is not known or its time is over.
fn memo_of(db: &Connection, mark: &Mark, now: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    let sql = "SELECT memo FROM marks WHERE mark = ?1 AND ends * 1000 > ?2";
    db.prepare_cached(sql)?
        .query_row(params![mark.as_bytes(), now], |row| row.get(0))
        .optional()
}

fn is_stored(db: &Connection, signalid: SignalId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM signals WHERE signalid = ?1")?
        .exists([signalid.as_bytes()])
}

/// Returns when the marks of a draft end, in seconds.
fn ends(draft: &Draft, now: i64) -> i64 {
    (now + millis(draft.keep_marks) + 999) / 1000
}

fn remember(db: &Connection, mark: &Mark, memo: &[u8], ends: i64) -> rusqlite::Result<()> {
    // A mark that is there is over, or it would have been found: it gives way.
    let sql = "INSERT OR REPLACE INTO marks (mark, ends, memo) VALUES (?1, ?2, ?3)";
    db.prepare_cached(sql)?
        .execute(params![mark.as_bytes(), ends, memo])
        .map(drop)
}

/// Returns the least mark of a slice; that of the slice after the last is more than any mark.
fn slice(number: usize) -> Vec<u8> {
    let first = number * (1 << 16) / usize::from(SLICES);
    match u16::try_from(first) {
        Ok(first) => first.to_be_bytes().to_vec(),
        Err(_) => vec![0xff; 17],
    }
}

fn lease(db: &Connection, now: i64, lease_ms: i64, limit: usize) -> rusqlite::Result<Vec<Signal>> {
    // Leases that nobody can have taken: the clock was wrong.
    db.prepare_cached("UPDATE signals SET lease_until_ms = ?1 WHERE lease_until_ms > ?2")?
        .execute(params![now, now + millis(LONGEST_LEASE)])?;

    let sql = "SELECT signalid, envelope FROM signals WHERE lease_until_ms <= ?1
               ORDER BY lease_until_ms LIMIT ?2";
    let mut signals = Vec::new();
    for (signalid, envelope) in due(db, sql, now, limit)? {
        match stored::read(envelope) {
            Ok(signal) => {
                db.prepare_cached("UPDATE signals SET lease_until_ms = ?1 WHERE signalid = ?2")?
                    .execute(params![now + lease_ms, signalid])?;
                signals.push(signal);
            }
            // Not left to stand in the way for ever.
            Err(reason) => {
                error!(
                    signalid = hex::encode(&signalid),
                    error = reason,
                    "parked a signal that cannot be read"
                );
                park(db, &signalid, &reason, now)?;
            }
        }
    }
    Ok(signals)
}

/// Takes parked signals that were not tried for `rest_ms`.
fn retry(db: &Connection, now: i64, rest_ms: i64, limit: usize) -> rusqlite::Result<Vec<Signal>> {
    let sql = "UPDATE signals SET tried_ms = ?1 WHERE parked_reason IS NOT NULL AND tried_ms > ?2";
    // Tried when the clock was wrong.
    db.prepare_cached(sql)?
        .execute(params![now - rest_ms, now])?;

    let sql = "SELECT signalid, envelope FROM signals
               WHERE parked_reason IS NOT NULL AND tried_ms <= ?1 ORDER BY tried_ms LIMIT ?2";
    let mut signals = Vec::new();
    for (signalid, envelope) in due(db, sql, now - rest_ms, limit)? {
        db.prepare_cached("UPDATE signals SET tried_ms = ?1 WHERE signalid = ?2")?
            .execute(params![now, signalid])?;
        // What cannot be read was said when it was parked.
        signals.extend(stored::read(envelope).ok());
    }
    Ok(signals)
}

/// Reads up to `limit` signals that a query finds due, and not many more than [`LEASED_BYTES`].
fn due(
    db: &Connection,
    sql: &str,
    moment: i64,
    limit: usize,
) -> rusqlite::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut select = db.prepare_cached(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = select.query(params![moment, limit])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while bytes < LEASED_BYTES
        && let Some(row) = rows.next()?
    {
        let envelope: Vec<u8> = row.get(1)?;
        bytes += stored::size(&envelope);
        found.push((row.get(0)?, envelope));
    }
    Ok(found)
}

fn park(db: &Connection, signalid: &[u8], reason: &str, now: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE signals SET parked_reason = ?1, tried_ms = ?2, lease_until_ms = NULL
               WHERE signalid = ?3 AND lease_until_ms IS NOT NULL";
    db.prepare_cached(sql)?
        .execute(params![reason, now, signalid])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slices_follow_one_another_and_leave_no_mark_out() {
        assert_eq!(slice(0), [0, 0]);
        let slices: Vec<_> = (0..=usize::from(SLICES)).map(slice).collect();
        assert!(slices.is_sorted_by(|one, next| one < next));
        assert!(slices[usize::from(SLICES)] > vec![0xff; 16]);
    }
}
