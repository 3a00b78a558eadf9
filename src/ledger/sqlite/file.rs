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
pub(super) const VERSION: i64 = 1;
const SCHEMA: &str = include_str!("schema.sql");

/// How long an instance that is just ending is given to let go of the file.
const HANDOVER: Duration = Duration::from_millis(500);

/// Opens or creates a ledger file, locks it, and ends all leases. Blocks.
pub(super) fn open(path: &Path) -> Result<Connection, LedgerError> {
    create_private(path)
        .map_err(|error| LedgerError::unavailable(format!("creating {}", path.display()), error))?;
    connect(path).map_err(|error| match error {
        OpenError::Sqlite(error) => cannot_open(path, error),
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

fn connect(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(HANDOVER)?;
    // Before the first access: the lock that it takes is kept until the file is closed.
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
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

fn cannot_open(path: &Path, error: rusqlite::Error) -> LedgerError {
    let path = path.display();
    match error.sqlite_error_code() {
        // What SQLite says about it ("database is locked") would only repeat this.
        Some(ErrorCode::DatabaseBusy) => LedgerError::Unavailable {
            what: format!("{path} is open in another process; a sqlite ledger is for one instance"),
            source: None,
        },
        Some(ErrorCode::NotADatabase) => LedgerError::Corrupt(format!("{path} is not a database")),
        _ => LedgerError::unavailable(format!("opening {path}"), error),
    }
}
