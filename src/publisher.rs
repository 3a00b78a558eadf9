//! Hands signals to a broker, and learns whether the broker has taken responsibility for them.
//!
//! The step `publish` of the way of a delivery. It can fail without failing the delivery, because
//! the ledger holds the duty: [`crate::relay`] tries again. Backends: [`amqp`] and [`stdout`].

pub mod amqp;
pub mod routing;
pub mod stdout;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use self::routing::RoutingKey;
pub use crate::address::Address;
use crate::config::TlsFiles;
use crate::provenance::Provenance;
use crate::shutdown::Drain;
use crate::signal::Signal;

/// Log targets that must stay silent, whatever level is asked for: the AMQP client logs a returned
/// message whole, body included, and repeats as errors what [`amqp`] says once.
pub const SILENT_TARGETS: [&str; 1] = ["lapin"];

/// Why a signal was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The broker cannot be reached, or did not answer in time: try again later.
    #[error("broker cannot be used: {what}")]
    Unavailable {
        /// What was being done, in a few words, without any secret.
        what: String,
        /// The client's own error.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The broker answered that it will not take this signal: park it.
    #[error("broker would not take the signal: {0}")]
    Refused(String),
}

/// Where signals are published. Safe to call from many tasks at once.
#[async_trait]
pub trait Publisher: Debug + Send + Sync + 'static {
    /// Publishes one signal and returns once the broker has taken responsibility for it.
    async fn publish(&self, signal: &Signal) -> Result<(), PublishError>;

    /// Tells whether publishing is worth trying now; changes are seen on the channel.
    fn ready(&self) -> watch::Receiver<bool>;

    /// Makes sure that signals can be published, and says in plain words, one finding a line, what
    /// was found.
    async fn probe(&self) -> Result<Vec<String>, PublishError>;

    /// Finishes what was begun and closes connections.
    async fn close(&self);
}

/// How a publisher is opened. Checked by the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which backend, and where.
    pub url: PublisherUrl,
    /// Whom `amqps` trusts, and as whom it shows itself.
    pub tls: TlsFiles,
    /// The AMQP exchange.
    pub exchange: String,
    /// The AMQP routing key's template.
    pub routing_key: RoutingKey,
    /// Whether to declare the exchange, a quorum queue and a dead-letter exchange at start.
    pub declare: Option<Topology>,
    /// How long a publish may wait for its confirm before it counts as failed.
    pub confirm_timeout: Duration,
    /// What signs messages, which a reload can change under the publisher.
    pub provenance: Provenance,
}

/// What is declared on the broker on request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The quorum queue that is bound to the exchange with `#`.
    pub queue: String,
}

/// Opens the publisher that `settings.url` names. Does not wait for the broker: what cannot be
/// published yet is owed by the ledger. Background tasks belong to `drain`.
pub async fn open(settings: &Settings, drain: &Drain) -> Result<Arc<dyn Publisher>, PublishError> {
    Ok(match &settings.url {
        PublisherUrl::Stdout => Arc::new(stdout::Stdout::new()),
        PublisherUrl::Amqp(addresses) => Arc::new(amqp::Amqp::open(addresses, settings, drain)?),
    })
}

/// Which publisher, and where.
#[derive(Clone, Debug)]
pub enum PublisherUrl {
    /// `stdout:`
    Stdout,
    /// `amqp://…` or `amqps://…`, several separated by commas: tried in turn.
    Amqp(Vec<Address>),
}

impl PublisherUrl {
    /// Tells whether any address is reached through TLS.
    pub fn is_encrypted(&self) -> bool {
        match self {
            Self::Stdout => false,
            Self::Amqp(addresses) => addresses.iter().any(|one| one.scheme() == "amqps"),
        }
    }

    /// Reads a publisher's URL. The error says which forms there are, and repeats no password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "stdout:" {
            return Ok(Self::Stdout);
        }
        let forms = "use stdout: or amqp://HOST:PORT/VHOST";
        let addresses: Vec<Address> = text
            .split(',')
            .map(|one| Address::parse(one.trim()))
            .collect::<Result<_, _>>()
            .map_err(|why| format!("{why}; {forms}"))?;
        for address in &addresses {
            if !matches!(address.scheme(), "amqp" | "amqps") {
                return Err(format!("`{}:` is no publisher; {forms}", address.scheme()));
            }
        }
        Ok(Self::Amqp(addresses))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_brokers_may_be_named_and_no_password_is_shown() {
        let url = PublisherUrl::parse("amqp://u:s3cr3t@a:5672/%2f, amqps://u:s3cr3t@b").unwrap();
        assert!(matches!(&url, PublisherUrl::Amqp(addresses) if addresses.len() == 2));
        assert!(!format!("{url:?}").contains("s3cr3t"));
    }

    #[test]
    fn a_url_that_is_no_publisher_is_refused_without_its_password() {
        for text in [
            "kafka://u:s3cr3t@a",
            "amqp://u:s3cr3t@a,redis://b",
            "stdout",
            "",
            "amqp://a,",
        ] {
            let error = PublisherUrl::parse(text).unwrap_err();
            assert!(!error.contains("s3cr3t"), "{error}");
        }
    }
}
