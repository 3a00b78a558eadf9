//! The file of a spool: a SQLite file like that of a ledger, whose marks refuse repeats among what
//! waits, and in the place of signals the drafts of deliveries.

use std::fmt;
use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use super::SpoolSettings;
use crate::ledger::sqlite::{Holds, Judged, Sqlite, judge, now_ms};
use crate::ledger::{LEASED_BYTES, Ledger, LedgerError, Recorded, Settings, millis};
use crate::signal::{Attributes, Draft, Envelope, Identity, Mark, SignalId};

/// How many deliveries are read at once.
const MOVED_AT_ONCE: usize = 256;

/// The room below which a spool says that it is full: some hundred deliveries.
const LEAST_ROOM: i64 = 1 << 20;

/// An open file of a spool.
pub(super) struct SpoolFile {
    file: Sqlite,
    max_bytes: u64,
}

/// A delivery that waits for the ledger.
pub(super) struct Waiting {
    pub(super) delivery: i64,
    /// Its drafts in their order, or why they cannot be read.
    pub(super) drafts: Result<Vec<Draft>, String>,
}

impl SpoolFile {
    /// Opens the file, creates it where it does not exist, and tries again what was set aside.
    pub(super) async fn open(
        spool: &SpoolSettings,
        settings: &Settings,
    ) -> Result<Self, LedgerError> {
        let file = Sqlite::open_as(Holds::Spool, &spool.path, settings).await?;
        let max_bytes = i64::try_from(spool.max_bytes).unwrap_or(i64::MAX);
        let prepare = move |db: &Connection| {
            let page: i64 = db.query_row("PRAGMA page_size", [], |row| row.get(0))?;
            let limit = format!("PRAGMA max_page_count = {}", (max_bytes / page).max(1));
            db.query_row(&limit, [], |_| Ok(()))?;
            db.execute(
                "UPDATE deliveries SET set_aside = NULL WHERE set_aside IS NOT NULL",
                [],
            )
        };
        file.call("preparing the spool", prepare).await?;
        Ok(Self {
            file,
            max_bytes: spool.max_bytes,
        })
    }

    /// Keeps what the drafts of a delivery add to what waits. Returns what each became, and whether
    /// anything was added.
    pub(super) async fn keep(
        &self,
        drafts: Vec<Draft>,
    ) -> Result<(Vec<Recorded>, bool), LedgerError> {
        let now = now_ms();
        let keep = move |db: &Connection| keep(db, &drafts, now);
        self.file.call("keeping a delivery", keep).await
    }

    /// Reads the oldest behind delivery `after`, up to [`MOVED_AT_ONCE`] and not many more than
    /// [`LEASED_BYTES`].
    pub(super) async fn oldest(&self, after: i64) -> Result<Vec<Waiting>, LedgerError> {
        let read = move |db: &Connection| oldest(db, after);
        self.file.call("reading the spool", read).await
    }

    /// Removes deliveries that the ledger has. With the last one go all marks: from then on the
    /// ledger refuses the repeats.
    pub(super) async fn remove(&self, gone: Vec<i64>) -> Result<(), LedgerError> {
        let remove = move |db: &Connection| {
            for delivery in gone {
                for sql in [
                    "DELETE FROM drafts WHERE delivery = ?1",
                    "DELETE FROM deliveries WHERE delivery = ?1",
                ] {
                    db.prepare_cached(sql)?.execute([delivery])?;
                }
            }
            let sql = "DELETE FROM marks WHERE NOT EXISTS (SELECT 1 FROM deliveries)";
            db.prepare_cached(sql)?.execute([]).map(drop)
        };
        self.file.call("emptying the spool", remove).await
    }

    /// Keeps a delivery out of the way of the others.
    pub(super) async fn set_aside(&self, delivery: i64, why: String) -> Result<(), LedgerError> {
        let sql = "UPDATE deliveries SET set_aside = ?2 WHERE delivery = ?1";
        let aside = move |db: &Connection| db.execute(sql, params![delivery, why]).map(drop);
        self.file.call("setting a delivery aside", aside).await
    }

    /// Counts the deliveries that wait.
    pub(super) async fn waiting(&self) -> Result<u64, LedgerError> {
        let sql = "SELECT count(*) FROM deliveries WHERE set_aside IS NULL";
        let count = |db: &Connection| db.query_row(sql, [], |row| row.get::<_, i64>(0));
        let count = self.file.call("counting what waits", count).await?;
        Ok(count.unsigned_abs())
    }

    /// Makes sure that there is room and that the file takes writes.
    pub(super) async fn check(&self) -> Result<(), LedgerError> {
        if self.file.call("measuring the spool", room).await? < LEAST_ROOM {
            let what = format!("the spool is full: it holds {} bytes", self.max_bytes);
            return Err(LedgerError::Unavailable { what, source: None });
        }
        self.file.probe().await.map(drop)
    }

    /// Says in plain words what the spool is good for.
    pub(super) async fn probe(&self) -> Result<Vec<String>, LedgerError> {
        self.check().await?;
        let waiting = self.waiting().await?;
        Ok(vec![format!(
            "open and takes writes, {waiting} deliveries wait; what waits is on this machine's \
             disk alone, and is published once redis has it"
        )])
    }

    pub(super) async fn prune(&self) -> Result<u64, LedgerError> {
        self.file.prune().await
    }

    pub(super) async fn close(&self) {
        self.file.close().await;
    }
}

impl fmt::Debug for SpoolFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

/// Counts the bytes that the file may still take.
fn room(db: &Connection) -> rusqlite::Result<i64> {
    let pragma = |name: &str| {
        let sql = format!("PRAGMA {name}");
        db.query_row(&sql, [], |row| row.get::<_, i64>(0))
    };
    let pages = pragma("max_page_count")? - pragma("page_count")? + pragma("freelist_count")?;
    Ok(pages.saturating_mul(pragma("page_size")?))
}

fn keep(db: &Connection, drafts: &[Draft], now: i64) -> rusqlite::Result<(Vec<Recorded>, bool)> {
    let (mut answers, mut delivery) = (Vec::with_capacity(drafts.len()), None);
    for (place, draft) in (0_i64..).zip(drafts) {
        let answer = match judge(db, draft, now)? {
            Judged::Known(recorded) => {
                answers.push(recorded);
                continue;
            }
            Judged::New { .. } => Recorded::Spooled(draft.signalid),
            // The ledger must remember its content too.
            Judged::Retry(first) => Recorded::Duplicate(first),
        };
        let number = match delivery {
            Some(number) => number,
            None => begin(db)?,
        };
        delivery = Some(number);
        write(db, (number, place), draft)?;
        answers.push(answer);
    }
    Ok((answers, delivery.is_some()))
}

fn begin(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("INSERT INTO deliveries DEFAULT VALUES")?
        .execute([])?;
    Ok(db.last_insert_rowid())
}

fn write(db: &Connection, place: (i64, i64), draft: &Draft) -> rusqlite::Result<()> {
    let (decides, mark, id_mark) = match draft.identity {
        Identity::Id(mark) => ("id", mark, None),
        Identity::Content { content, id } => ("content", content, id),
        Identity::Either { content, id } => ("either", content, Some(id)),
    };
    let (attributes, envelope) = (&draft.attributes, &draft.envelope);
    let beginning = |id: &str| format!("{}{id}", envelope.head);
    let sql = "INSERT INTO drafts VALUES
               (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
    let values = params![
        place.0,
        place.1,
        draft.signalid.as_bytes(),
        decides,
        mark.as_bytes(),
        id_mark.as_ref().map(Mark::as_bytes),
        millis(draft.keep_marks),
        attributes.event_type,
        &*attributes.tenant,
        &*attributes.endpoint,
        &*attributes.provider,
        attributes.received.to_string(),
        attributes.traceparent,
        beginning(&envelope.id),
        beginning(&envelope.completed_id),
        &envelope.tail[..],
    ];
    db.prepare_cached(sql)?.execute(values).map(drop)
}

fn oldest(db: &Connection, after: i64) -> rusqlite::Result<Vec<Waiting>> {
    let sql = "SELECT delivery FROM deliveries WHERE set_aside IS NULL AND delivery > ?1
               ORDER BY delivery LIMIT ?2";
    let mut select = db.prepare_cached(sql)?;
    let mut numbers = select.query([after, MOVED_AT_ONCE as i64])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while bytes < LEASED_BYTES
        && let Some(row) = numbers.next()?
    {
        let delivery = row.get(0)?;
        let drafts = match drafts(db, delivery) {
            Ok(drafts) => Ok(drafts),
            Err(error) if is_unreadable(&error) => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        bytes += drafts
            .iter()
            .flatten()
            .map(|draft| draft.envelope.tail.len())
            .sum::<usize>();
        found.push(Waiting { delivery, drafts });
    }
    Ok(found)
}

fn drafts(db: &Connection, delivery: i64) -> rusqlite::Result<Vec<Draft>> {
    let sql = "SELECT * FROM drafts WHERE delivery = ?1 ORDER BY place";
    let mut select = db.prepare_cached(sql)?;
    let drafts = select.query_map([delivery], read)?;
    drafts.collect()
}

/// Tells whether what stands in the file is not what is written there, and trying again is of no use.
fn is_unreadable(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    matches!(
        error,
        FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..)
    )
}

fn read(row: &Row<'_>) -> rusqlite::Result<Draft> {
    let mark = |column| row.get(column).map(Mark::from_bytes);
    let id_mark: Option<[u8; 16]> = row.get("id_mark")?;
    let id_mark = id_mark.map(Mark::from_bytes);
    let decides: String = row.get("decides")?;
    let identity = match (decides.as_str(), id_mark) {
        ("id", None) => Identity::Id(mark("mark")?),
        ("content", id) => Identity::Content {
            content: mark("mark")?,
            id,
        },
        ("either", Some(id)) => Identity::Either {
            content: mark("mark")?,
            id,
        },
        _ => return Err(unreadable("what decides is not known")),
    };
    let text = |column| row.get::<_, String>(column);
    let received = text("received")?.parse();
    let tail: Vec<u8> = row.get("tail")?;
    Ok(Draft {
        signalid: SignalId::from_bytes(row.get("signalid")?),
        identity,
        keep_marks: Duration::from_millis(row.get::<_, i64>("keep_ms")?.unsigned_abs()),
        spool: true,
        attributes: Attributes {
            event_type: text("event_type")?,
            tenant: text("tenant")?.into(),
            endpoint: text("endpoint")?.into(),
            provider: text("provider")?.into(),
            received: received.map_err(unreadable)?,
            traceparent: text("traceparent")?,
        },
        // The head was written with each of the ids.
        envelope: Envelope {
            head: "",
            id: text("beginning")?,
            completed_id: text("completed")?,
            tail: tail.into(),
        },
    })
}

fn unreadable(
    why: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, why.into())
}
