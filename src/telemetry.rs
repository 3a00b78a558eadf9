//! Logs: structured JSON, or lines for people on a terminal; always on stderr.
//!
//! One line per delivery, but for what an outage rejects alike ([`alike`]). Bodies, headers, tags, tokens and secrets are never logged. The libraries
//! below speak at `warn` at most, whatever the level: at `trace` some of them print what they send.

pub mod alike;
pub mod panics;

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use tracing::{error, info};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{Log, LogFormat};
use crate::intake::Taken;
use crate::outcome::Rejected;
use crate::publisher::SILENT_TARGETS;
use crate::signal::list;

/// Starts logging. Fails if something else in the process already does.
pub fn start(log: Log) -> Result<(), TryInitError> {
    let human = match log.format {
        LogFormat::Auto => stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let builder = fmt()
        .with_env_filter(filter(log))
        .with_writer(stderr)
        .with_target(false);
    if human {
        builder
            .with_ansi(stderr().is_terminal())
            .compact()
            .finish()
            .try_init()
    } else {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .finish()
            .try_init()
    }
}

fn filter(log: Log) -> EnvFilter {
    let silent: String = SILENT_TARGETS
        .iter()
        .map(|target| format!(",{target}=off"))
        .collect();
    EnvFilter::new(format!("warn,hookgate={}{silent}", log.level))
}

/// Logs what became of one delivery.
pub fn delivery(taken: &Taken, traceparent: &str, status: u16, took: Duration) {
    let endpoint = taken.route.as_ref().map(|route| &route.endpoint);
    let id = endpoint.map_or("", |endpoint| &*endpoint.id);
    let tenant = endpoint.map_or("", |endpoint| &*endpoint.tenant);
    let provider = endpoint.map_or("", |endpoint| &*endpoint.provider.name);
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let bytes = taken.bytes;
    match &taken.result {
        Ok(outcome) => {
            info!(
                endpoint = id,
                tenant,
                provider,
                outcome = outcome.word(),
                reason = outcome.reason(),
                status,
                bytes,
                took_us,
                signals = list(outcome.signals()),
                traceparent,
                "delivery"
            );
        }
        Err(rejected) => {
            let (reason, detail) = (rejected.reason(), explain(rejected));
            // What is left of an authentic delivery that is not kept: enough to ask for it again.
            let lost = match rejected {
                Rejected::Unredactable(body) => Some(body),
                _ => None,
            };
            let offset = lost.and_then(|body| body.offset());
            let bodysha256 = lost.map(|body| &*body.body_sha256);
            let event = lost.and_then(|body| body.event_id.as_deref());
            // The level of a log line is fixed when it is compiled, so two lines with one text.
            macro_rules! rejected {
                ($log:ident) => {
                    $log!(
                        endpoint = id,
                        tenant,
                        provider,
                        outcome = "rejected",
                        reason,
                        detail,
                        offset,
                        bodysha256,
                        event,
                        status,
                        bytes,
                        took_us,
                        traceparent,
                        "delivery"
                    )
                };
            }
            if rejected.answer().0.is_server_error() {
                rejected!(error);
            } else {
                rejected!(info);
            }
        }
    }
}

/// Says an error with its causes, in one line.
pub fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some libraries repeat their cause in their own text.
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// Makes a W3C Trace Context `traceparent` (section 3.2) for a delivery: a new trace, because what
/// a public caller sends in its place is not to be trusted.
pub fn traceparent() -> Result<String, Rejected> {
    let mut random = [0; 24];
    getrandom::fill(&mut random)
        .map_err(|_| Rejected::Internal("no random bytes are to be had"))?;
    let (trace, span) = random.split_at(16);
    Ok(format!(
        "00-{}-{}-01",
        hex::encode(trace),
        hex::encode(span)
    ))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    /// What a log at this level writes of an event of each target.
    fn logged(level: Level) -> String {
        use std::sync::{Arc, Mutex, PoisonError};
        let (format, lines) = (LogFormat::Json, Arc::new(Mutex::new(Vec::new())));
        let log = Log { format, level };
        let sink = lines.clone();
        let writer = move || Lines(sink.clone());
        let subscriber = fmt().with_env_filter(filter(log)).with_writer(writer);
        tracing::subscriber::with_default(subscriber.finish(), || {
            tracing::trace!(target: "hookgate::intake", "our own");
            tracing::info!(target: "hyper::proto", "theirs");
            tracing::debug!(target: "redis::aio", "theirs");
            tracing::trace!(target: "rustls::client", "theirs");
            tracing::warn!(target: "h2::codec", "a warning");
            tracing::error!(target: "lapin::channel", "theirs");
            tracing::error!(target: "lapin", "theirs");
        });
        let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(lines.clone()).unwrap()
    }

    struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_libraries_below_are_quiet_at_every_level() {
        for (level, own) in [
            (Level::TRACE, true),
            (Level::DEBUG, false),
            (Level::INFO, false),
        ] {
            let text = logged(level);
            assert!(!text.contains("theirs"), "{text}");
            assert!(text.contains("a warning"), "{text}");
            assert_eq!(text.contains("our own"), own, "{text}");
        }
    }

    #[test]
    fn a_traceparent_has_its_four_fields() {
        let text = traceparent().unwrap();
        let lengths: Vec<usize> = text.split('-').map(str::len).collect();
        assert_eq!(lengths, [2, 32, 16, 2]);
        assert_ne!(text, traceparent().unwrap());
    }

    #[test]
    fn an_error_is_said_with_its_causes_once() {
        let cause = std::io::Error::other("disk full");
        let error = crate::ledger::LedgerError::Unavailable {
            what: "committing".into(),
            source: Some(Box::new(cause)),
        };
        assert_eq!(
            explain(&error),
            "ledger cannot be used: committing: disk full"
        );
    }
}
