//! What the tests stand on.

pub(crate) mod gateway;
pub(crate) mod key_server;
pub(crate) mod memory_ledger;
pub(crate) mod pki;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod rabbit;
pub(crate) mod redis;

use std::future::Future;
use std::time::Duration;

use hookgate::signal::{Signal, SignalId, source};

/// How long a condition may take to come true before a test fails. Long, because machines are slow.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Asks again and again until `check` gives something, and returns it.
///
/// # Panics
///
/// Panics with `what` where that does not happen within [`DEADLINE`].
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut check: impl FnMut() -> F,
) -> T {
    let asking = async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(DEADLINE, asking)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// Waits until a condition holds, or fails the test and says what it waited for.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, waited).await;
    assert!(in_time.is_ok(), "waited in vain until {what}");
}

/// Makes a signal of a provider, with data of its own.
pub(crate) fn signal(provider: &str, event: &str) -> Signal {
    signal_with(provider, event, "1")
}

/// Makes a signal with this JSON as its data.
pub(crate) fn signal_with(provider: &str, event: &str, data: &str) -> Signal {
    let source = source("acme", "hook");
    let signalid = SignalId::derive(&source, event.as_bytes());
    let envelope = format!(
        r#"{{"specversion":"1.0","id":"{event}","source":"{source}","type":"{provider}.charge.succeeded","tenant":"acme","endpoint":"hook","provider":"{provider}","signalid":"{signalid}","receivedtime":"2026-01-05T10:00:00.412Z","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","data":{data}}}"#
    );
    Signal::from_envelope(envelope.into()).unwrap()
}
