//! Applies the effect of each signal of a queue once, however often the signal comes.
//!
//!     AMQP_URL=amqp://localhost QUEUE=hookgate DB=worker.db cargo run --example worker
//!
//! With `SIGNED_BY` (a file of public keys) it refuses what the gateway did not sign; with `OPEN_WITH` (a file
//! of private keys) it opens what is sealed.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program of its own, not part of the gateway"
)]

mod trust;

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use rusqlite::Connection as Store;
use serde::Deserialize;
use serde_json::Value;
use tokio::signal::unix::{Signal as Stop, SignalKind, signal};

use self::trust::{Openers, Refused, Signers, Unreadable};

/// Signals that the broker sends ahead of their acknowledgement.
const PREFETCH: u16 = 16;
/// Between attempts to reach the broker.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What this worker reads of a signal.
#[derive(Deserialize)]
struct Signal {
    signalid: String,
    #[serde(rename = "type")]
    event_type: String,
    id: String,
}

/// Whom the worker believes, and what it opens data with.
struct Keys {
    signers: Option<Signers>,
    openers: Openers,
}

/// The header with the gateway's signature.
const SIGNATURE: &str = "hookgate-signature";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let url = setting("AMQP_URL", "amqp://localhost");
    let queue = setting("QUEUE", "hookgate");
    let mut store = open(&setting("DB", "worker.db"))?;
    let [signed_by, open_with] = ["SIGNED_BY", "OPEN_WITH"].map(|name| std::env::var(name).ok());
    let mut keys = Keys {
        signers: signed_by.map(Signers::read).transpose()?,
        openers: open_with
            .map(Openers::read)
            .transpose()?
            .unwrap_or_default(),
    };
    let mut stop = signal(SignalKind::terminate())?;
    let mut pause = SHORTEST_PAUSE;
    loop {
        let began = Instant::now();
        match consume(&url, &queue, &mut keys, &mut store, &mut stop).await {
            Ok(()) => return Ok(()),
            // The worker cannot do its work; whoever supervises it decides.
            Err(error) if error.is::<rusqlite::Error>() || error.is::<Unreadable>() => {
                return Err(error);
            }
            Err(error) => eprintln!("broker: {error}"),
        }
        pause = match began.elapsed() > LONGEST_PAUSE {
            true => SHORTEST_PAUSE,
            false => (2 * pause).min(LONGEST_PAUSE),
        };
        tokio::select! {
            _ = stop.recv() => return Ok(()),
            () = tokio::time::sleep(pause.mul_f64(0.5 + jitter() / 2.0)) => {}
        }
    }
}

/// Works until the process is to stop. Fails where the broker or the store does.
async fn consume(
    url: &str,
    queue: &str,
    keys: &mut Keys,
    store: &mut Store,
    stop: &mut Stop,
) -> anyhow::Result<()> {
    let connecting = Connection::connect(url, ConnectionProperties::default());
    let connection = tokio::select! {
        _ = stop.recv() => return Ok(()),
        connected = connecting => connected?,
    };
    let channel = connection.create_channel().await?;
    let qos = BasicQosOptions::default();
    channel.basic_qos(PREFETCH, qos).await?;
    let (options, table) = (BasicConsumeOptions::default(), FieldTable::default());
    let consuming = channel.basic_consume(queue.into(), "".into(), options, table);
    let mut deliveries = consuming.await?;
    loop {
        tokio::select! {
            _ = stop.recv() => break,
            delivery = deliveries.next() => match delivery {
                Some(delivery) => work(keys, store, &delivery?).await?,
                None => anyhow::bail!("the queue is gone"),
            },
        }
    }
    // What was not acknowledged goes back to the queue.
    Ok(connection.close(200, "bye".into()).await?)
}

async fn work(keys: &mut Keys, store: &mut Store, delivery: &Delivery) -> anyhow::Result<()> {
    let (signal, data) = match read(keys, delivery) {
        Ok(read) => read,
        Err(why) if why.is::<Refused>() => {
            eprintln!("refused: {why}");
            // To the dead letters.
            let options = BasicRejectOptions { requeue: false };
            delivery.reject(options).await?;
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    if apply(store, &signal, &data)? {
        println!("{} {}", signal.event_type, signal.id);
    }
    // After the commit: a crash in between makes a repeat, which is dropped.
    delivery.ack(BasicAckOptions::default()).await?;
    Ok(())
}

/// Returns the signal and its data. Refuses what is no signal that can be believed, and never will be.
fn read(keys: &mut Keys, delivery: &Delivery) -> anyhow::Result<(Signal, Vec<u8>)> {
    if let Some(signers) = &mut keys.signers {
        let headers = delivery.properties.headers().as_ref();
        let signature = headers.and_then(|headers| headers.inner().get(SIGNATURE));
        let signature = signature.and_then(|value| value.as_long_string());
        let signature = signature.map(|text| String::from_utf8_lossy(text.as_bytes()));
        signers.verify(signature.as_deref(), &delivery.data)?;
    }
    let no_signal = |_| Refused("it is no signal");
    let whole: Value = serde_json::from_slice(&delivery.data).map_err(no_signal)?;
    let signal = Signal::deserialize(&whole).map_err(no_signal)?;
    let data = keys.openers.data(&whole)?;
    Ok((signal, data))
}

/// Takes note of the signal and applies its effect: both, or neither. False if it is a repeat.
fn apply(store: &mut Store, signal: &Signal, data: &[u8]) -> rusqlite::Result<bool> {
    let transaction = store.transaction()?;
    let note = "INSERT OR IGNORE INTO seen VALUES (?1)";
    let new = transaction.execute(note, [&signal.signalid])? == 1;
    if new {
        effect(&transaction, signal, data)?;
    }
    transaction.commit()?;
    Ok(new)
}

/// What this worker is for. Whatever it does, it does in this transaction.
fn effect(transaction: &Store, signal: &Signal, data: &[u8]) -> rusqlite::Result<()> {
    // JSON is text, and anything else may be none.
    let text = std::str::from_utf8(data).ok();
    let row = (&signal.signalid, &signal.event_type, &signal.id, text);
    transaction.execute("INSERT INTO effects VALUES (?1, ?2, ?3, ?4)", row)?;
    Ok(())
}

fn open(path: &str) -> rusqlite::Result<Store> {
    let store = Store::open(path)?;
    store.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         CREATE TABLE IF NOT EXISTS seen (signalid TEXT PRIMARY KEY);
         CREATE TABLE IF NOT EXISTS effects (signalid TEXT NOT NULL, type TEXT NOT NULL, event TEXT NOT NULL, data ANY);",
    )?;
    Ok(store)
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Returns a number between 0 and 1, or 1 where the system has none to give.
fn jitter() -> f64 {
    getrandom::u32().map_or(1.0, |number| f64::from(number) / f64::from(u32::MAX))
}
