//! Publishes over AMQP 0-9-1 with publisher confirms.
//!
//! `keeper` is the one task that connects, watches and connects again; `session` is one connection and
//! what is published on it, most of it through a `pipe`, a channel with many messages in flight whose
//! `verdicts` are pure logic; this file hands signals to the session that the keeper shows, and
//! fails at once where it shows none. Lapin's own recovery is not used: it knows
//! one address and keeps publishes waiting, where failing fast leaves them to the ledger.

mod keeper;
mod pipe;
mod session;
mod socket;
mod topology;
mod verdicts;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::BasicProperties;
use lapin::tcp::RustlsConnector;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::{AMQPScheme, AMQPUri};
use tokio::sync::watch;

use self::keeper::{Keeper, Target};
use self::session::{Message, Session};
use super::routing::RoutingKey;
use super::{PublishError, Publisher, Settings};
use crate::address::Address;
use crate::config::TlsFiles;
use crate::provenance::Provenance;
use crate::shutdown::Drain;
use crate::signal::{MEDIA_TYPE, Signal};

/// The most bytes of an AMQP short string. Lapin panics on a longer one.
const SHORT: usize = 255;

/// The header with the signature of the message's body, where messages are signed.
pub const SIGNATURE: &str = "hookgate-signature";

/// How long [`Publisher::probe`] waits for a connection, per address.
const PROBE_WAIT: Duration = Duration::from_secs(12);

/// Publishes to an AMQP exchange.
pub struct Amqp {
    board: Arc<Board>,
    addresses: usize,
    exchange: ShortString,
    routing_key: RoutingKey,
    confirm_timeout: Duration,
    provenance: Provenance,
}

impl Amqp {
    /// Starts connecting to one of `addresses` in the background, as a task of `drain`. Fails only
    /// where an address or the exchange's name can never work.
    pub fn open(
        addresses: &[Address],
        settings: &Settings,
        drain: &Drain,
    ) -> Result<Self, PublishError> {
        let brokers = addresses
            .iter()
            .map(Broker::new)
            .collect::<Result<Vec<_>, _>>()?;
        if brokers.is_empty() {
            return Err(unusable("there is no broker address"));
        }
        let exchange = exact(&settings.exchange, "the exchange's name")?;
        let queue = settings.declare.as_ref().map(|topology| &topology.queue);
        let queue = queue
            .map(|name| exact(name, "the queue's name"))
            .transpose()?;
        let target = Target {
            exchange: exchange.clone(),
            queue,
            tls: encryption(&brokers, &settings.tls)?,
            confirm_timeout: settings.confirm_timeout,
        };
        let board = Arc::new(Board::default());
        let keeper = Keeper::new(brokers, target, Arc::clone(&board), drain);
        drain.spawn(keeper.keep());
        Ok(Self {
            board,
            addresses: addresses.len(),
            exchange,
            routing_key: settings.routing_key.clone(),
            confirm_timeout: settings.confirm_timeout,
            provenance: settings.provenance.clone(),
        })
    }

    fn session(&self) -> Result<Arc<Session>, PublishError> {
        match &*self.board.link.borrow() {
            Link::Up(session) => Ok(Arc::clone(session)),
            Link::Down { why, .. } => Err(unavailable(why.to_string())),
        }
    }

    /// Signs exactly the bytes that become the message's body, where signatures are asked for.
    fn signature(&self, signal: &Signal) -> Option<String> {
        let keys = self.provenance.keys();
        Some(keys.signer.as_ref()?.sign(&signal.envelope))
    }

    fn message(&self, signal: &Signal) -> Message {
        Message {
            id: signal.signalid,
            exchange: self.exchange.clone(),
            routing_key: short(&self.routing_key.of(&signal.attributes)),
            properties: properties(signal, self.signature(signal)),
            body: signal.envelope.clone(),
        }
    }
}

#[async_trait]
impl Publisher for Amqp {
    async fn publish(&self, signal: &Signal) -> Result<(), PublishError> {
        let session = self.session()?;
        let published = session.publish(self.message(signal));
        match tokio::time::timeout(self.confirm_timeout, published).await {
            Ok(published) => published,
            Err(_) => Err(unavailable("no confirm in time".to_owned())),
        }
    }

    fn ready(&self) -> watch::Receiver<bool> {
        self.board.ready.subscribe()
    }

    async fn probe(&self) -> Result<Vec<String>, PublishError> {
        let mut link = self.board.link.subscribe();
        let wait = PROBE_WAIT.saturating_mul(u32::try_from(self.addresses).unwrap_or(u32::MAX));
        let settled = link.wait_for(|link| match link {
            Link::Up(_) => true,
            Link::Down { attempts, .. } => *attempts >= self.addresses,
        });
        // Whether it settled or not, what the board shows now is the answer.
        let _ = tokio::time::timeout(wait, settled).await.map(drop);
        Ok(self.session()?.findings())
    }

    async fn close(&self) {
        let session = self.session();
        self.board.show(Link::Down {
            why: "publisher is closed".into(),
            attempts: 0,
        });
        if let Ok(session) = session {
            session.end().await;
        }
    }
}

impl fmt::Debug for Amqp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Amqp")
            .field("exchange", &self.exchange.as_str())
            .field("ready", &*self.board.ready.borrow())
            .finish_non_exhaustive()
    }
}

/// What the keeper shows and publishers read.
struct Board {
    link: watch::Sender<Link>,
    ready: watch::Sender<bool>,
}

/// Whether there is a session to publish on.
enum Link {
    Up(Arc<Session>),
    Down {
        why: Arc<str>,
        /// How many attempts to connect have failed since there last was a session.
        attempts: usize,
    },
}

impl Default for Board {
    fn default() -> Self {
        let link = Link::Down {
            why: "not connected yet".into(),
            attempts: 0,
        };
        Self {
            link: watch::Sender::new(link),
            ready: watch::Sender::new(false),
        }
    }
}

impl Board {
    fn show(&self, link: Link) {
        let up = matches!(link, Link::Up(_));
        self.link.send_replace(link);
        self.ready
            .send_if_modified(|ready| std::mem::replace(ready, up) != up);
    }
}

/// One broker's address: how it is shown, and how lapin wants it, password included.
struct Broker {
    shown: Address,
    uri: AMQPUri,
}

impl Broker {
    fn new(address: &Address) -> Result<Self, PublishError> {
        let unreadable = || unusable(&format!("{address} is no AMQP URL that can be used"));
        // Lapin's own message would repeat the URL with its password.
        let mut uri: AMQPUri = address.expose().parse().map_err(|_| unreadable())?;
        exact(&uri.vhost, "the virtual host's name")?;
        // Lapin takes an IPv6 address for no host at all, and would connect to localhost.
        let whole: http::Uri = address.expose().parse().map_err(|_| unreadable())?;
        let host = whole.host().ok_or_else(unreadable)?;
        uri.authority.host = host.trim_matches(['[', ']']).to_owned();
        uri.query
            .heartbeat
            .get_or_insert(session::HEARTBEAT_SECONDS);
        Ok(Self {
            shown: address.clone(),
            uri,
        })
    }
}

/// Prepares TLS where an address asks for it. Lapin's own settings could only add to the public
/// authorities, and `ca_file` replaces them.
fn encryption(
    brokers: &[Broker],
    files: &TlsFiles,
) -> Result<Option<RustlsConnector>, PublishError> {
    let mut schemes = brokers.iter().map(|broker| &broker.uri.scheme);
    if !schemes.any(|scheme| *scheme == AMQPScheme::AMQPS) {
        return Ok(None);
    }
    let config = files
        .client_config()
        .map_err(|error| PublishError::Unavailable {
            what: "TLS cannot be prepared".to_owned(),
            source: Some(Box::new(error)),
        })?;
    Ok(Some(config.into()))
}

fn properties(signal: &Signal, signature: Option<String>) -> BasicProperties {
    const PERSISTENT: u8 = 2;
    let attributes = &signal.attributes;
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("tenant", &*attributes.tenant),
        ("endpoint", &*attributes.endpoint),
        ("provider", &*attributes.provider),
        ("traceparent", &*attributes.traceparent),
    ] {
        headers.insert(short(name), AMQPValue::LongString(value.into()));
    }
    if let Some(signature) = signature {
        headers.insert(short(SIGNATURE), AMQPValue::LongString(signature.into()));
    }
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(short(&signal.signalid.to_string()))
        .with_type(short(&attributes.event_type))
        .with_timestamp(
            attributes
                .received
                .as_second()
                .try_into()
                .unwrap_or_default(),
        )
        .with_app_id(short("hookgate"))
        .with_content_type(short(MEDIA_TYPE))
        .with_headers(headers)
}

/// Makes a short string, cut where the text is longer than one can be.
fn short(text: &str) -> ShortString {
    let cut = &text[..text.floor_char_boundary(SHORT)];
    ShortString::try_new(cut).unwrap_or_default()
}

/// Makes a short string of a name that must not be cut.
fn exact(text: &str, what: &str) -> Result<ShortString, PublishError> {
    ShortString::try_new(text)
        .map_err(|_| unusable(&format!("{what} is longer than {SHORT} bytes")))
}

fn unusable(what: &str) -> PublishError {
    unavailable(what.to_owned())
}

fn unavailable(what: String) -> PublishError {
    PublishError::Unavailable { what, source: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_broker_is_not_taken_for_localhost() {
        let broker = Broker::new(&Address::parse("amqp://u:p@[::1]:5673/v").unwrap()).unwrap();
        assert_eq!(broker.uri.authority.host, "::1");
        assert_eq!(
            (broker.uri.authority.port, broker.uri.vhost.as_str()),
            (5673, "v")
        );
    }

    #[test]
    fn an_address_that_cannot_work_is_refused_without_its_password() {
        for text in [
            "amqp://u:s3cr3t@h/?heartbeat=s3cr3t",
            "amqp://u:s3cr3t@h:5672/%ff",
        ] {
            let Err(error) = Broker::new(&Address::parse(text).unwrap()) else {
                panic!("{text} was accepted");
            };
            assert!(
                !format!("{error} {error:?}").contains("s3cr3t"),
                "{error:?}"
            );
        }
        let long = format!("amqp://h/{}", "v".repeat(256));
        assert!(Broker::new(&Address::parse(&long).unwrap()).is_err());
    }

    #[test]
    fn a_text_too_long_for_a_short_string_is_cut_between_characters() {
        let cut = short(&"ä".repeat(200));
        assert_eq!(cut.as_str(), "ä".repeat(127));
    }
}
