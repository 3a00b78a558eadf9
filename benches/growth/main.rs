//! `cargo bench --bench growth`: what recording costs, and how much a ledger takes, as it fills up.
//!
//! Marks are put into a private Redis and a private SQLite file by their millions, in the layout that
//! recording has just used there; then drafts are recorded, one to a call, and timed.

mod draft;
mod redis;
mod spread;
mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use hookgate::clock;
use hookgate::ledger::redis::Access;
use hookgate::ledger::{self, Durability, Ledger, LedgerUrl, Recorded, Settings};
use hookgate::signal::Draft;
use spread::Spread;

/// How many marks there are when recording is timed.
const STEPS: [u64; 4] = [0, 100_000, 1_000_000, 5_000_000];
/// How many drafts are recorded at each step.
const RECORDED: usize = 3_000;
/// Sizes of signals' data, about.
const SIZES: [usize; 3] = [1 << 10, 4 << 10, 16 << 10];

fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        redis::marks(dir.path(), redis::Endpoints::One).await?;
        redis::marks(dir.path(), redis::Endpoints::Many).await?;
        redis::signals(dir.path()).await?;
        sqlite::marks(dir.path()).await?;
        sqlite::signals(dir.path()).await
    })
}

/// Opens a ledger whose leases and marks outlive the benchmark.
async fn open(url: &str) -> anyhow::Result<Arc<dyn Ledger>> {
    let settings = Settings {
        url: LedgerUrl::parse(url).map_err(anyhow::Error::msg)?,
        retention: Duration::from_hours(24),
        lease: Duration::from_hours(1),
        timeout: Duration::from_mins(1),
        durability: Durability::Memory,
        access: Access::default(),
    };
    Ok(ledger::open(&settings).await?)
}

/// Records drafts one after another and returns the microseconds that each took.
async fn record(
    ledger: &Arc<dyn Ledger>,
    drafts: impl Iterator<Item = Draft>,
) -> anyhow::Result<Spread> {
    let mut took = Vec::new();
    for draft in drafts {
        let began = clock::instant();
        let recorded = ledger.record(vec![draft]).await?;
        let elapsed = clock::instant().saturating_duration_since(began);
        took.push(elapsed.as_secs_f64() * 1e6);
        let new = matches!(recorded.as_slice(), [Recorded::New { .. }]);
        ensure!(new, "a draft that is new was not recorded: {recorded:?}");
    }
    Ok(Spread::of(took))
}

#[expect(clippy::print_stdout, reason = "a benchmark is for reading")]
fn say(line: &str) {
    println!("{line}");
}
