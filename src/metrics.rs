//! What Prometheus scrapes: one struct, so that the whole list of metrics stands in one place.
//!
//! Labels come from the configuration and from fixed words, never from a request, so that their
//! number is bounded by the number of endpoints and of their secrets.

mod secrets;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

use crate::config::snapshot::Snapshot;
use crate::ledger::Backlog;
use crate::ledger::spool::SpoolCounters;
use crate::outbox::PublishCounters;
use secrets::SecretUses;

pub use secrets::SecretUse;

/// Upper bounds of the duration buckets in seconds: the tightest vendors wait 0.5, 3, 5 and 10 s.
const BUCKETS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 0.5, 3.0, 10.0,
];

/// Every metric of the gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Deliveries by endpoint, provider, outcome and reason.
    pub deliveries: IntCounterVec,
    /// Seconds from the head of a request to its answer, by outcome.
    pub seconds: HistogramVec,
    /// Signals whose unsigned id was already taken by other content, by endpoint.
    pub id_conflicts: IntCounterVec,
    /// Authentic deliveries that were not kept because they cannot be redacted, by endpoint.
    pub unredactable: IntCounterVec,
    /// Connections open on the public listener.
    pub connections: IntGauge,
    /// Bytes of bodies in flight.
    pub in_flight_bytes: IntGauge,
    /// Signals recorded and not known to be published.
    pub owed: IntGauge,
    /// Signals that the broker would not take.
    pub parked: IntGauge,
    /// Whether the ledger can record.
    pub ledger_ready: IntGauge,
    /// Whether the publisher can publish.
    pub publisher_ready: IntGauge,
    /// Signals pruned.
    pub pruned: IntCounter,
    /// Reloads of the configuration, by result.
    pub reloads: IntCounterVec,
    secret_uses: SecretUses,
    published: Published,
    spooled: Spooled,
}

/// Counters that the outbox keeps itself, mirrored at each scrape.
#[derive(Debug)]
struct Published {
    signals: IntCounterVec,
    counts: std::sync::OnceLock<Arc<PublishCounters>>,
}

/// Counters that the spool keeps itself, likewise.
#[derive(Debug)]
struct Spooled {
    waiting: IntGauge,
    deliveries: IntCounterVec,
    counts: std::sync::OnceLock<Arc<SpoolCounters>>,
}

impl Metrics {
    /// Registers every metric.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build = Opts::new(
            "hookgate_build_info",
            "1; the label says which version this is",
        )
        .const_label("version", env!("CARGO_PKG_VERSION"));
        let build = IntGauge::with_opts(build)?;
        build.set(1);
        registry.register(Box::new(build))?;
        let made = Make(&registry);
        Ok(Self {
            deliveries: made.counters(
                "hookgate_deliveries_total",
                "Deliveries by what became of them",
                &["endpoint", "provider", "outcome", "reason"],
            )?,
            seconds: made.seconds(
                "hookgate_delivery_seconds",
                "Seconds from the head of a request to its answer",
                &["outcome"],
            )?,
            id_conflicts: made.counters(
                "hookgate_id_conflicts_total",
                "Signals whose unsigned id was already taken by other content",
                &["endpoint"],
            )?,
            unredactable: made.counters(
                "hookgate_unredactable_total",
                "Authentic deliveries that were not kept because they cannot be redacted",
                &["endpoint"],
            )?,
            secret_uses: made.secret_uses(
                Opts::new(
                    "hookgate_secret_verified_total",
                    "Deliveries that a secret has proved, by its place in the endpoint's list",
                ),
                Opts::new(
                    "hookgate_secret_last_verified_timestamp_seconds",
                    "When a secret last proved a delivery, in seconds since 1970",
                ),
            )?,
            connections: made.gauge(
                "hookgate_connections",
                "Connections open on the public listener",
            )?,
            in_flight_bytes: made.gauge(
                "hookgate_in_flight_bytes",
                "Bytes set aside for bodies in flight",
            )?,
            owed: made.gauge(
                "hookgate_ledger_owed_signals",
                "Signals recorded and not known to be published",
            )?,
            parked: made.gauge(
                "hookgate_ledger_parked_signals",
                "Signals that the broker would not take",
            )?,
            ledger_ready: made.gauge("hookgate_ledger_ready", "1 if the ledger can record")?,
            publisher_ready: made
                .gauge("hookgate_publisher_ready", "1 if the publisher can publish")?,
            pruned: made.counter("hookgate_pruned_signals_total", "Signals pruned by age")?,
            reloads: made.counters(
                "hookgate_reloads_total",
                "Reloads of the configuration",
                &["result"],
            )?,
            published: Published {
                signals: made.counters(
                    "hookgate_publish_total",
                    "What became of signals on their way to the broker",
                    &["result"],
                )?,
                counts: std::sync::OnceLock::new(),
            },
            spooled: Spooled {
                waiting: made.gauge(
                    "hookgate_spooled",
                    "Deliveries that wait in the spool for the ledger",
                )?,
                deliveries: made.counters(
                    "hookgate_spooled_total",
                    "What became of deliveries that went through the spool",
                    &["result"],
                )?,
                counts: std::sync::OnceLock::new(),
            },
            registry,
        })
    }

    /// Shows the outbox's counters from now on.
    pub fn follow(&self, counters: Arc<PublishCounters>) {
        // A second outbox would be a second application: the first stays.
        let _ = self.published.counts.set(counters);
    }

    /// Shows the spool's counters from now on.
    pub fn follow_spool(&self, counters: Arc<SpoolCounters>) {
        let _ = self.spooled.counts.set(counters);
    }

    /// Shows how the secrets of these endpoints are used from now on.
    pub fn follow_secrets(&self, snapshot: Snapshot) {
        self.secret_uses.follow(snapshot);
    }

    /// Counts one delivery.
    pub fn delivery(&self, endpoint: &str, provider: &str, outcome: (&str, &str), took: Duration) {
        self.deliveries
            .with_label_values(&[endpoint, provider, outcome.0, outcome.1])
            .inc();
        self.seconds
            .with_label_values(&[outcome.0])
            .observe(took.as_secs_f64());
    }

    /// Shows how much the ledger owes.
    pub fn backlog(&self, backlog: Backlog) {
        self.owed
            .set(i64::try_from(backlog.owed).unwrap_or(i64::MAX));
        self.parked
            .set(i64::try_from(backlog.parked).unwrap_or(i64::MAX));
    }

    /// Writes everything in Prometheus' text format.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        self.published.refresh();
        self.spooled.refresh();
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

impl Published {
    fn refresh(&self) {
        let Some(counts) = self.counts.get() else {
            return;
        };
        let all: [(&str, &AtomicU64); 7] = [
            ("confirmed", &counts.confirmed),
            ("buffered", &counts.buffered),
            ("unavailable", &counts.unavailable),
            ("refused", &counts.refused),
            ("relayed", &counts.relayed),
            ("replayed", &counts.replayed),
            ("undischarged", &counts.undischarged),
        ];
        mirror(&self.signals, &all);
    }
}

impl Spooled {
    fn refresh(&self) {
        let Some(counts) = self.counts.get() else {
            return;
        };
        let waiting = counts.waiting.load(Ordering::Relaxed);
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let all: [(&str, &AtomicU64); 4] = [
            ("kept", &counts.kept),
            ("recorded", &counts.recorded),
            ("known", &counts.known),
            ("set_aside", &counts.set_aside),
        ];
        mirror(&self.deliveries, &all);
    }
}

/// Raises counters to what somebody else has counted.
fn mirror(counters: &IntCounterVec, counts: &[(&str, &AtomicU64)]) {
    for (result, count) in counts {
        let counter = counters.with_label_values(&[*result]);
        let behind = count.load(Ordering::Relaxed).saturating_sub(counter.get());
        counter.inc_by(behind);
    }
}

/// Makes metrics and registers them.
struct Make<'a>(&'a Registry);

impl Make<'_> {
    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        let gauge = IntGauge::new(name, help)?;
        self.0.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        let counter = IntCounter::new(name, help)?;
        self.0.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(counters.clone()))?;
        Ok(counters)
    }

    fn secret_uses(&self, verified: Opts, last: Opts) -> Result<SecretUses, prometheus::Error> {
        let uses = SecretUses::new(verified, last)?;
        self.0.register(Box::new(uses.clone()))?;
        Ok(uses)
    }

    fn seconds(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
        let seconds = HistogramVec::new(options, labels)?;
        self.0.register(Box::new(seconds.clone()))?;
        Ok(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_shows_up_in_the_text() {
        let metrics = Metrics::new().unwrap();
        let took = Duration::from_millis(2);
        metrics.delivery(
            "acme-stripe",
            "stripe",
            ("rejected", "timestamp_stale"),
            took,
        );
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        let line = r#"hookgate_deliveries_total{endpoint="acme-stripe",outcome="rejected",provider="stripe",reason="timestamp_stale"} 1"#;
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn the_outbox_is_mirrored_and_never_counted_twice() {
        let metrics = Metrics::new().unwrap();
        let counters = Arc::new(PublishCounters::default());
        metrics.follow(counters.clone());
        counters.confirmed.store(3, Ordering::Relaxed);
        for _ in 0..2 {
            let text = String::from_utf8(metrics.render().unwrap()).unwrap();
            assert!(
                text.contains("hookgate_publish_total{result=\"confirmed\"} 3"),
                "{text}"
            );
        }
    }
}
