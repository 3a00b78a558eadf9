//! What the tests stand on.

pub(crate) mod gateway;
pub(crate) mod key_server;
pub(crate) mod line;
pub(crate) mod memory_ledger;
pub(crate) mod pki;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod rabbit;
pub(crate) mod redis;
mod waiting;
pub(crate) mod worker;

use hookgate::signal::{Signal, SignalId, source};

pub(crate) use self::waiting::{DEADLINE, eventually, until};

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
