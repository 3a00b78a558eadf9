//! The database file: made private, locked, and refused where it is not a ledger of this version.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::now_ms;
use crate::ledger::LedgerError;

/// The version of [`SCHEMA`], kept in `user_version`.
pub(super) const VERSION: i64 = 2;
const SCHEMA: &str = include_str!("schema.sql");
/// What a spool has beside the tables of a ledger, of which it uses the marks.
const SPOOL_SCHEMA: &str = include_str!("../spool/schema.sql");
/// The `application_id` of a spool: "Hspl". A ledger has none.
const SPOOL_ID: i64 = 0x4873_706c;

/// What a file is for. One is never taken for the other: what waits in a spool is not owed, and a
/// spool does not publish what a ledger owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) enum Holds {
    Ledger,
    Spool,
}

impl Holds {
    fn application_id(self) -> i64 {
        match self {
            Self::Ledger => 0,
            Self::Spool => SPOOL_ID,
        }
    }
}

/// How long an instance that is just ending is given to let go of the file.
const HANDOVER: Duration = Duration::from_millis(500);

/// Opens or creates a file, locks it, and ends all leases. Blocks.
pub(super) fn open(path: &Path, holds: Holds) -> Result<Connection, LedgerError> {
    create_private(path)
        .map_err(|error| LedgerError::unavailable(format!("creating {}", path.display()), error))?;
    connect(path, holds).map_err(|error| match error {
        OpenError::Sqlite(error) => cannot_open(path, holds, error),
        OpenError::Foreign(what) => LedgerError::Corrupt(format!("{} {what}", path.display())),
    })
}

/// Creates the file readable for its owner only: signals may hold what others must not read.
fn create_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Why a file did not become a ledger.
enum OpenError {
    Sqlite(rusqlite::Error),
    Foreign(String),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn connect(path: &Path, holds: Holds) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(HANDOVER)?;
    // Before the first access: the lock that it takes is kept until the file is closed.
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let application: i64 = db.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if tables > 0 && application != holds.application_id() {
        return Err(OpenError::Foreign(match holds {
            Holds::Ledger if application == SPOOL_ID => "is a spool and no ledger".to_owned(),
            Holds::Ledger => "is another program's database".to_owned(),
            Holds::Spool => "is no spool; name a file of its own".to_owned(),
        }));
    }
    match (version, tables) {
        (VERSION, _) | (0, 0) => {}
        (0, _) => {
            return Err(OpenError::Foreign(
                "is another program's database".to_owned(),
            ));
        }
        _ => {
            let what = format!("has version {version}, and this Hookgate knows {VERSION}");
            return Err(OpenError::Foreign(what));
        }
    }
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::Foreign("cannot be put in WAL mode".to_owned()));
    }
    let start = db.transaction()?;
    if version == 0 {
        start.execute_batch(SCHEMA)?;
        if holds == Holds::Spool {
            start.execute_batch(SPOOL_SCHEMA)?;
            start.pragma_update(None, "application_id", SPOOL_ID)?;
        }
        start.pragma_update(None, "user_version", VERSION)?;
    }
    // Whoever held the leases is gone.
    start.execute(
        "UPDATE signals SET lease_until_ms = ?1 WHERE lease_until_ms IS NOT NULL",
        [now_ms()],
    )?;
    start.commit()?;
    Ok(db)
}

fn cannot_open(path: &Path, holds: Holds, error: rusqlite::Error) -> LedgerError {
    let path = path.display();
    match error.sqlite_error_code() {
        // What SQLite says about it ("database is locked") would only repeat this.
        Some(ErrorCode::DatabaseBusy) => LedgerError::Unavailable {
            what: match holds {
                Holds::Ledger => format!(
                    "{path} is open in another process; a sqlite ledger is for one instance"
                ),
                Holds::Spool => {
                    format!(
                        "{path} is open in another process; each replica needs a spool of its own"
                    )
                }
            },
            source: None,
        },
        Some(ErrorCode::NotADatabase) => LedgerError::Corrupt(format!("{path} is not a database")),
        _ => LedgerError::unavailable(format!("opening {path}"), error),
    }
}
