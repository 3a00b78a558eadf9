//! The embedded ledger: a file, and how large it becomes.

use std::path::Path;

use anyhow::Context;
use rusqlite::Connection;

use crate::{RECORDED, SIZES, STEPS, draft, open, record, say};

/// Records beside more and more marks.
pub(crate) async fn marks(dir: &Path) -> anyhow::Result<()> {
    say("\nsqlite");
    let path = dir.join("marks.db");
    let url = format!("sqlite:{}", path.to_str().context("no such path")?);
    let (mut marks, mut bytes) = (0, 0);
    for step in STEPS {
        if step > 0 {
            // The ledger's own exclusive lock is gone while it is closed.
            let db = Connection::open(&path)?;
            let before = size(&db)?;
            fill(&db, step - marks)?;
            bytes += size(&db)?.saturating_sub(before);
        }
        marks = step;
        let ledger = open(&url).await?;
        let took = record(&ledger, draft::some(256, RECORDED / 3)).await?;
        ledger.close().await;
        let each = bytes as f64 / marks.max(1) as f64;
        say(&format!(
            "  {step:>9} marks of {each:5.1} bytes; a record takes {took}, synced to disk"
        ));
    }
    Ok(())
}

/// Records signals of several sizes.
pub(crate) async fn signals(dir: &Path) -> anyhow::Result<()> {
    say("\nsqlite, bytes of a signal");
    for kib in SIZES {
        let path = dir.join(format!("signals-{kib}.db"));
        let url = format!("sqlite:{}", path.to_str().context("no such path")?);
        let ledger = open(&url).await?;
        let drafts: Vec<_> = draft::some(kib, RECORDED / 3).collect();
        let raw = drafts[0].envelope.whole(false).len();
        let count = drafts.len() as u64;
        let took = record(&ledger, drafts.into_iter()).await?;
        ledger.close().await;
        let bytes = size(&Connection::open(&path)?)? / count;
        say(&format!(
            "  envelope of {raw:>6} bytes: {bytes:>6} with its mark and indexes; a record takes {took}"
        ));
    }
    Ok(())
}

fn fill(db: &Connection, count: u64) -> anyhow::Result<()> {
    db.pragma_update(None, "synchronous", "OFF")?;
    db.pragma_update(None, "cache_size", -400_000)?;
    let sql = "INSERT INTO marks
               WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
               SELECT randomblob(16), 2000000000, x'' FROM n";
    db.execute(sql, [i64::try_from(count)?])?;
    Ok(())
}

fn size(db: &Connection) -> anyhow::Result<u64> {
    let pragma = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok(u64::try_from(pragma("page_count")? * pragma("page_size")?)?)
}
