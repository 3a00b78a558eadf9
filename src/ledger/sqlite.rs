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

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tracing::error;

pub(super) use self::file::Holds;
use self::file::VERSION;
use self::writer::Writer;
use super::{
    Backlog, LEASED_BYTES, LONGEST_LEASE, Ledger, LedgerError, Recorded, Settings, cut, millis,
};
use crate::clock;
use crate::signal::{Draft, Identity, Mark, Signal, SignalId};

/// How many rows one step of pruning removes, so that recording never waits long behind it.
const PRUNED_AT_ONCE: u32 = 500;

/// A ledger in one SQLite file.
pub struct Sqlite {
    path: PathBuf,
    writer: Writer,
    lease_ms: i64,
    retention_ms: i64,
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
        let db = opening.await.map_err(io::Error::other).map_err(failed)??;
        Ok(Self {
            path: path.to_owned(),
            writer: Writer::start(db, settings.timeout).map_err(failed)?,
            lease_ms: millis(settings.lease.min(LONGEST_LEASE)),
            retention_ms: millis(settings.retention),
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

    /// Repeats a bounded `DELETE` of `?1 = before` and `?2 = limit` until it finds less than the limit.
    async fn delete(&self, sql: &'static str, before: i64) -> Result<u64, LedgerError> {
        let mut gone = 0;
        loop {
            let delete = move |db: &Connection| {
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
        let mut signals = self
            .call("leasing signals", move |db| lease(db, now, lease_ms, limit))
            .await?;
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
        self.call("parking", move |db| park(db, signalid.as_bytes(), &reason))
            .await
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
        let marks = "DELETE FROM marks WHERE mark IN
                         (SELECT mark FROM marks WHERE expires_ms <= ?1 LIMIT ?2)";
        self.delete(marks, now).await?;
        let signals = "DELETE FROM signals WHERE rowid IN
                           (SELECT rowid FROM signals WHERE published_ms <= ?1 LIMIT ?2)";
        self.delete(signals, now.saturating_sub(self.retention_ms))
            .await
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
    let signal = draft.into_signal(id_conflict);
    let received = signal.attributes.received.as_millisecond();
    let sql = "INSERT INTO signals (signalid, envelope, received_ms, recorded_ms, lease_until_ms)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    db.prepare_cached(sql)?.execute(params![
        signal.signalid.as_bytes(),
        &signal.envelope[..],
        received,
        now,
        now + lease_ms
    ])?;
    Ok(Recorded::New {
        signal,
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
    let known_as = |recorded| Ok(Judged::Known(recorded));
    let mut id_conflict = false;
    match draft.identity {
        Identity::Id(mark) => {
            if let Some((first, _)) = known(db, mark, now)? {
                return known_as(Recorded::Duplicate(first));
            }
        }
        Identity::Content { content, id } => {
            if let Some((first, first_id)) = known(db, content, now)? {
                let same_id = first_id == id.map(|mark| *mark.as_bytes());
                return known_as(if same_id {
                    Recorded::Duplicate(first)
                } else {
                    Recorded::Replayed(first)
                });
            }
            if let Some(id) = id {
                id_conflict = known(db, id, now)?.is_some();
            }
        }
        Identity::Either { content, id } => {
            if let Some((first, first_id)) = known(db, content, now)? {
                return known_as(match first_id == Some(*id.as_bytes()) {
                    true => Recorded::Duplicate(first),
                    false => Recorded::Replayed(first),
                });
            }
            if let Some((first, _)) = known(db, id, now)? {
                // A captured retry must not come again under another id.
                let expires = now + millis(draft.keep_marks);
                write_mark(db, content, (first, Some(id)), expires)?;
                return Ok(Judged::Retry(first));
            }
        }
    }
    if is_stored(db, draft.signalid)? {
        // Its marks are gone, the signal is not: a signal never changes and never comes twice.
        return known_as(Recorded::Duplicate(draft.signalid));
    }
    write_marks(db, draft, id_conflict, now)?;
    Ok(Judged::New { id_conflict })
}

/// Returns whose mark it is, and the id mark that came with it.
fn known(
    db: &Connection,
    mark: Mark,
    now: i64,
) -> rusqlite::Result<Option<(SignalId, Option<[u8; 16]>)>> {
    let sql = "SELECT signalid, id_mark FROM marks WHERE mark = ?1 AND expires_ms > ?2";
    let read = |row: &Row<'_>| Ok((SignalId::from_bytes(row.get(0)?), row.get(1)?));
    db.prepare_cached(sql)?
        .query_row(params![mark.as_bytes(), now], read)
        .optional()
}

fn is_stored(db: &Connection, signalid: SignalId) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM signals WHERE signalid = ?1")?
        .exists([signalid.as_bytes()])
}

fn write_marks(
    db: &Connection,
    draft: &Draft,
    id_conflict: bool,
    now: i64,
) -> rusqlite::Result<()> {
    let expires = now + millis(draft.keep_marks);
    let write = |mark: Mark, id_mark: Option<Mark>| {
        write_mark(db, mark, (draft.signalid, id_mark), expires)
    };
    match draft.identity {
        Identity::Id(mark) => write(mark, None)?,
        Identity::Content { content, id } => {
            if let Some(id) = id.filter(|_| !id_conflict) {
                write(id, None)?;
            }
            write(content, id)?
        }
        Identity::Either { content, id } => {
            write(id, None)?;
            write(content, Some(id))?
        }
    };
    Ok(())
}

fn write_mark(
    db: &Connection,
    mark: Mark,
    (signalid, id_mark): (SignalId, Option<Mark>),
    expires: i64,
) -> rusqlite::Result<()> {
    // A mark that is there is over, or it would have been found: it gives way.
    let sql = "INSERT OR REPLACE INTO marks (mark, signalid, id_mark, expires_ms) VALUES (?1, ?2, ?3, ?4)";
    let id_mark = id_mark.as_ref().map(Mark::as_bytes);
    db.prepare_cached(sql)?.execute(params![
        mark.as_bytes(),
        signalid.as_bytes(),
        id_mark,
        expires
    ])?;
    Ok(())
}

fn lease(db: &Connection, now: i64, lease_ms: i64, limit: usize) -> rusqlite::Result<Vec<Signal>> {
    // Leases that nobody can have taken: the clock was wrong.
    db.prepare_cached("UPDATE signals SET lease_until_ms = ?1 WHERE lease_until_ms > ?2")?
        .execute(params![now, now + millis(LONGEST_LEASE)])?;

    let mut signals = Vec::new();
    for (signalid, envelope) in due(db, now, limit)? {
        match Signal::from_envelope(envelope.into()) {
            Ok(signal) => {
                db.prepare_cached("UPDATE signals SET lease_until_ms = ?1 WHERE signalid = ?2")?
                    .execute(params![now + lease_ms, signalid])?;
                signals.push(signal);
            }
            // Not left to stand in the way for ever.
            Err(unreadable) => {
                error!(signalid = hex::encode(&signalid), error = %unreadable, "parked a signal that cannot be read");
                park(db, &signalid, &unreadable.to_string())?;
            }
        }
    }
    Ok(signals)
}

/// Reads up to `limit` signals whose lease has run out, and not many more than [`LEASED_BYTES`].
fn due(db: &Connection, now: i64, limit: usize) -> rusqlite::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let sql = "SELECT signalid, envelope FROM signals WHERE lease_until_ms <= ?1
               ORDER BY lease_until_ms LIMIT ?2";
    let mut select = db.prepare_cached(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = select.query(params![now, limit])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while bytes < LEASED_BYTES
        && let Some(row) = rows.next()?
    {
        let envelope: Vec<u8> = row.get(1)?;
        bytes += envelope.len();
        found.push((row.get(0)?, envelope));
    }
    Ok(found)
}

fn park(db: &Connection, signalid: &[u8], reason: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE signals SET parked_reason = ?1, lease_until_ms = NULL
               WHERE signalid = ?2 AND lease_until_ms IS NOT NULL";
    db.prepare_cached(sql)?
        .execute(params![reason, signalid])
        .map(drop)
}
