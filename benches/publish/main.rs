//! `cargo bench --bench publish -- AMQP_URL`: how fast a real RabbitMQ confirms what is published.
//!
//! Two measurements, for a classic and for a quorum queue. First the publisher, which keeps many
//! messages in flight on a few channels, beside 128 channels with one message each: they take turns.
//! Then the relay draining a backlog, and what that does to the confirms of live deliveries. The
//! ledger is one in memory. Exchange and queue are the benchmark's own, and removed when it ends.

mod broker;
mod drain;
mod ledger;
mod report;
mod throughput;

use std::time::Duration;

use anyhow::Context;
use hookgate::config::TlsFiles;
use hookgate::publisher::routing::RoutingKey;
use hookgate::publisher::{PublisherUrl, Settings};
use hookgate::signal::{Signal, SignalId, source};

use self::broker::{EXCHANGE, Kind, Place};

/// How often everything is measured.
const ROUNDS: usize = 5;

fn main() -> anyhow::Result<()> {
    let url = std::env::args().skip(1).find(|one| one.contains("://"));
    let Some(url) = url else {
        report::say("publish: give the URL of a RabbitMQ: cargo bench --bench publish -- AMQP_URL");
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        for kind in [Kind::Classic, Kind::Quorum] {
            let place = Place::prepare(&url, kind).await?;
            let mut rates = Vec::new();
            for _ in 0..ROUNDS {
                place.empty().await?;
                let pipelined = throughput::pipelined(&url).await?;
                place.empty().await?;
                rates.push((pipelined, throughput::one_each(&url).await?));
            }
            report::throughput(kind, &rates);
            let mut drains = Vec::new();
            for _ in 0..ROUNDS {
                place.empty().await?;
                drains.push(drain::measure(&url).await?);
            }
            report::drains(kind, &drains);
            place.remove().await?;
        }
        Ok(())
    })
}

/// The settings of a publisher.
fn settings(url: &str) -> anyhow::Result<Settings> {
    Ok(Settings {
        url: PublisherUrl::parse(url).map_err(anyhow::Error::msg)?,
        tls: TlsFiles::default(),
        exchange: EXCHANGE.to_owned(),
        routing_key: RoutingKey::default(),
        declare: None,
        confirm_timeout: Duration::from_secs(60),
        provenance: Default::default(),
    })
}

/// Makes signals with envelopes of about 1 KiB, whose names begin so.
fn signals(name: &str, count: usize) -> anyhow::Result<Vec<Signal>> {
    let padding = "x".repeat(600);
    let one = |n: usize| {
        let source = source("acme", "bench");
        let event = format!("{name}-{n}");
        let signalid = SignalId::derive(&source, event.as_bytes());
        let envelope = format!(
            r#"{{"specversion":"1.0","id":"{event}","source":"{source}","type":"stripe.charge.succeeded","tenant":"acme","endpoint":"bench","provider":"stripe","signalid":"{signalid}","receivedtime":"2026-01-05T10:00:00.412Z","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","data":"{padding}"}}"#
        );
        Signal::from_envelope(envelope.into()).context("an envelope")
    };
    (0..count).map(one).collect()
}
