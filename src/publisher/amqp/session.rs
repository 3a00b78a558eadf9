//! One connection to a broker, and what is published on it.
//!
//! A few channels carry many messages each ([`super::pipe`]). Where such a channel breaks, the messages
//! in flight on it are tried again alone: on channels that carry one message at a time, so that an
//! oversized or forbidden signal is always the one that was sent, and its neighbours go through.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind,
    PublisherConfirm,
};
use tokio::sync::{Notify, Semaphore};

use super::keeper::{Fault, Target};
use super::pipe::{Inlet, Pipe};
use super::socket::Socket;
use super::topology::{declare, exists, missing_exchange};
use super::verdicts::Verdict;
use super::{Broker, PublishError, short, unavailable};
use crate::shutdown::Drain;
use crate::signal::SignalId;

/// Asked of the broker unless the URL says otherwise: a peer is given up after twice this.
pub(super) const HEARTBEAT_SECONDS: u16 = 10;

/// How many channels carry many messages each. Opened when they are needed.
const PIPES: usize = 8;

/// How many messages may be tried alone at once. Their channels are opened as they are needed.
const ALONE: usize = 32;

/// How long reaching a broker may take, the handshake as long again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the broker may take to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) const NOT_FOUND: u16 = 404;
const ACCESS_REFUSED: u16 = 403;
const CONTENT_TOO_LARGE: u16 = 311;
const PRECONDITION_FAILED: u16 = 406;

/// A signal as AMQP sends it. Clones share the body.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) id: SignalId,
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

impl Message {
    /// Sends the message. Its place among others is taken when this is first polled.
    pub(super) async fn send(self, channel: &Channel) -> lapin::Result<PublisherConfirm> {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let Self {
            exchange,
            routing_key,
            properties,
            body,
            ..
        } = self;
        channel
            .basic_publish(exchange, routing_key, options, &body, properties)
            .await
    }
}

/// A connection whose exchange is known to exist. Dropping it cuts the connection.
pub(super) struct Session {
    connection: Arc<Connection>,
    pipes: Vec<Inlet>,
    turn: AtomicUsize,
    idle: Mutex<Vec<Channel>>,
    permits: Semaphore,
    fault: Mutex<Option<Arc<str>>>,
    suspicion: Arc<Notify>,
    findings: Vec<String>,
    _socket: Socket,
}

/// How a session is.
pub(super) enum Health {
    Open,
    Blocked,
    /// The connection is gone.
    Lost,
    /// The connection is there and of no use.
    Useless(Arc<str>),
}

impl Session {
    /// Connects, declares the topology if a queue is to be, and makes sure that the exchange exists.
    /// Its tasks belong to `drain`, and end when the session is dropped.
    pub(super) async fn open(
        broker: &Broker,
        target: &Target,
        drain: &Drain,
    ) -> Result<Self, Fault> {
        let exchange = &target.exchange;
        let failed = |what: &'static str| move |error| Fault::new(what, &error);
        let (connection, socket) =
            Socket::connect(&broker.uri, target.tls.as_ref(), client(), CONNECT_TIMEOUT)
                .await
                .map_err(failed("cannot connect"))?;
        let mut findings = vec![format!("connected to {}", broker.shown)];
        let prepared = async {
            if let Some(queue) = &target.queue {
                let channel = connection
                    .create_channel()
                    .await
                    .map_err(failed("no channel"))?;
                declare(&channel, exchange, queue)
                    .await
                    .map_err(failed("cannot declare topology"))?;
                findings.push(format!(
                    "exchange `{exchange}` and queue `{queue}` are declared"
                ));
            }
            let channel = confirming(&connection)
                .await
                .map_err(failed("no channel"))?;
            if !exchange.as_str().is_empty() {
                let exists = exists(&channel, exchange).await;
                exists.map_err(|error| missing_exchange(exchange, &error))?;
                findings.push(format!("exchange `{exchange}` exists"));
            }
            Ok(channel)
        };
        let channel = match tokio::time::timeout(CONNECT_TIMEOUT, prepared).await {
            Ok(prepared) => prepared?,
            Err(_) => return Err(Fault::text("the broker does not answer")),
        };
        let channels = usize::from(connection.configuration().channel_max());
        let connection = Arc::new(connection);
        let suspicion = Arc::new(Notify::new());
        let mut pipes = Vec::new();
        // At least as many are left for messages tried alone.
        for _ in 0..PIPES.min(channels / 2) {
            let (connection, suspicion) = (Arc::clone(&connection), Arc::clone(&suspicion));
            let (inlet, pipe) = Pipe::new(connection, target.confirm_timeout, suspicion);
            drain.spawn(pipe.run());
            pipes.push(inlet);
        }
        let alone = channels.saturating_sub(pipes.len()).clamp(1, ALONE);
        Ok(Self {
            connection,
            pipes,
            turn: AtomicUsize::new(0),
            idle: Mutex::new(vec![channel]),
            permits: Semaphore::new(alone),
            fault: Mutex::default(),
            suspicion,
            findings,
            _socket: socket,
        })
    }

    /// Publishes one message and waits for its confirm.
    pub(super) async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let verdict = match self.pipes.get(turn % self.pipes.len().max(1)) {
            Some(pipe) => pipe.publish(message.clone()).await,
            None => None,
        };
        match verdict {
            Some(verdict) => answer(verdict),
            None => self.publish_alone(message).await,
        }
    }

    /// Publishes one message on a channel that carries no other. A caller that gives up takes the
    /// channel with it, so that a late confirm or return meets nobody else's message.
    async fn publish_alone(&self, message: Message) -> Result<(), PublishError> {
        let permit = self.permits.acquire().await;
        let _permit = permit.map_err(|_| unavailable("connection is closed".to_owned()))?;
        let channel = self.channel().await.map_err(|error| self.failed(error))?;
        let exchange = message.exchange.clone();
        let confirmed = async { message.send(&channel).await?.await }.await;
        let confirmation = confirmed.map_err(|error| self.failed_on(&exchange, error))?;
        self.idle().push(channel);
        answer(match confirmation {
            Confirmation::Ack(None) => Verdict::Confirmed,
            Confirmation::Ack(Some(back)) => Verdict::Returned(back.reply_text.as_str().into()),
            Confirmation::Nack(_) => Verdict::Nacked,
            Confirmation::NotRequested => {
                return Err(unavailable("the broker confirms nothing".to_owned()));
            }
        })
    }

    /// Tells how the session is.
    pub(super) fn health(&self) -> Health {
        if let Some(fault) = &*self.fault.lock().unwrap_or_else(PoisonError::into_inner) {
            return Health::Useless(Arc::clone(fault));
        }
        let status = self.connection.status();
        if !status.connected() {
            Health::Lost
        } else if status.blocked() {
            Health::Blocked
        } else {
            Health::Open
        }
    }

    /// Resolves when something happened after which the session's health should be looked at.
    pub(super) async fn suspicious(&self) {
        self.suspicion.notified().await;
    }

    /// Returns what happens to the connection from now on.
    pub(super) fn events(&self) -> impl futures_util::Stream<Item = lapin::Event> {
        self.connection.events_listener()
    }

    /// Says in plain words what was found on connecting.
    pub(super) fn findings(&self) -> Vec<String> {
        self.findings.clone()
    }

    /// Closes the connection, politely where the broker lets it.
    pub(super) async fn end(&self) {
        self.permits.close();
        let closed = self.connection.close(200, short("closing"));
        // Whether the broker answered or not, dropping the session cuts the connection.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closed).await;
    }

    async fn channel(&self) -> lapin::Result<Channel> {
        // The guard must be gone before the await below.
        let idle = self.idle().pop();
        match idle {
            Some(channel) if channel.status().connected() => Ok(channel),
            _ => confirming(&self.connection).await,
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Channel>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges an error on the channel that carried one message to `exchange`.
    fn failed_on(&self, exchange: &ShortString, error: lapin::Error) -> PublishError {
        let ErrorKind::ProtocolError(protocol) = error.kind() else {
            return self.failed(error);
        };
        let text = protocol.get_message().to_string();
        match protocol.get_id() {
            CONTENT_TOO_LARGE | PRECONDITION_FAILED => PublishError::Refused(text),
            // The exchange as a whole is closed to us, or only this routing key.
            ACCESS_REFUSED if text.contains("topic") => PublishError::Refused(text),
            NOT_FOUND | ACCESS_REFUSED => {
                let fault = match protocol.get_id() {
                    NOT_FOUND => missing_exchange(exchange, &error),
                    _ => Fault::new("publishing is not permitted", &error),
                };
                let what = fault.0.to_string();
                *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault.0);
                self.suspicion.notify_one();
                PublishError::Unavailable {
                    what,
                    source: Some(Box::new(error)),
                }
            }
            _ => self.failed(error),
        }
    }

    fn failed(&self, error: lapin::Error) -> PublishError {
        self.suspicion.notify_one();
        let what = "publishing failed".to_owned();
        PublishError::Unavailable {
            what,
            source: Some(Box::new(error)),
        }
    }
}

fn client() -> ConnectionProperties {
    ConnectionProperties::default()
        .with_connection_name("hookgate".into())
        .with_client_property(short("product"), env!("CARGO_PKG_NAME").into())
        .with_client_property(short("version"), env!("CARGO_PKG_VERSION").into())
}

/// Opens a channel whose messages are confirmed.
pub(super) async fn confirming(connection: &Connection) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok(channel)
}

fn answer(verdict: Verdict) -> Result<(), PublishError> {
    match verdict {
        Verdict::Confirmed => Ok(()),
        // A full queue says no for now, not for ever.
        Verdict::Nacked => Err(unavailable("refused by the broker for now".to_owned())),
        Verdict::Returned(why) => Err(PublishError::Refused(format!("unroutable: {why}"))),
    }
}
