//! The relay drains a backlog while deliveries come in.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use hookgate::clock;
use hookgate::outbox::{Outbox, OutboxSettings, Publication};
use hookgate::publisher::{Publisher, open};
use hookgate::relay::{self, RelaySettings};
use hookgate::shutdown::Drain;
use hookgate::signal::Signal;

use crate::ledger::Owing;
use crate::{settings, signals};

/// Signals of the backlog.
pub(crate) const BACKLOG: usize = 20_000;
/// How long after one live delivery the next comes in.
const EVERY: Duration = Duration::from_millis(5);
/// Live deliveries with nothing to drain.
const QUIET: usize = 200;
/// Long enough for every confirm.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one drain came to.
pub(crate) struct Drained {
    /// Signals of the backlog confirmed and discharged a second.
    pub(crate) rate: f64,
    /// How long live deliveries waited for their confirms with nothing to drain, in order.
    pub(crate) quiet: Vec<Duration>,
    /// The same during the drain.
    pub(crate) during: Vec<Duration>,
}

/// Drains a backlog.
pub(crate) async fn measure(url: &str) -> anyhow::Result<Drained> {
    let publisher = open(&settings(url)?, &Drain::new()).await?;
    publisher.probe().await?;
    let live = signals("live", BACKLOG)?;
    let (quiet, rest) = live.split_at(QUIET);
    let idle = outbox(Owing::default().into(), &publisher, &Drain::new());
    let quiet = confirmed(&idle, quiet, || true).await?;

    let ledger = Arc::new(Owing::of(signals("backlog", BACKLOG)?));
    let drain = Drain::new();
    let outbox = outbox(Arc::clone(&ledger), &publisher, &drain);
    let began = clock::instant();
    relay::start(&outbox, &drain, RelaySettings::default());
    let during = confirmed(&outbox, rest, || ledger.owed() > 0).await?;
    // Looked at after each delivery, so late by a few milliseconds at most.
    let took = clock::instant().duration_since(began);
    ensure!(drain.finish(PATIENCE).await, "the drain does not end");
    publisher.close().await;
    Ok(Drained {
        rate: BACKLOG as f64 / took.as_secs_f64(),
        quiet,
        during,
    })
}

fn outbox(ledger: Arc<Owing>, publisher: &Arc<dyn Publisher>, drain: &Drain) -> Outbox {
    let settings = OutboxSettings {
        ack_wait: PATIENCE,
        ..OutboxSettings::default()
    };
    Outbox::new(ledger, Arc::clone(publisher), drain.clone(), settings)
}

/// Publishes one signal after the other for as long as `more` says, and returns how long each took.
async fn confirmed(
    outbox: &Outbox,
    signals: &[Signal],
    more: impl Fn() -> bool,
) -> anyhow::Result<Vec<Duration>> {
    let mut waits = Vec::new();
    for signal in signals.iter().take_while(|_| more()) {
        let began = clock::instant();
        let published = outbox.publish(vec![signal.clone()]).await;
        ensure!(published == Publication::Confirmed, "{published:?}");
        waits.push(clock::instant().duration_since(began));
        tokio::time::sleep(EVERY).await;
    }
    waits.sort();
    Ok(waits)
}
