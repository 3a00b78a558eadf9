//! One connection to a broker, and what is published on it.
//!
//! Each channel carries one message at a time. A channel could carry many, but then lapin hands a
//! returned message to whichever confirm comes next, numbers publishes of several tasks out of
//! order, and a broker that closes the channel over one message does not say which. With one, an
//! unroutable or oversized signal is always the one that was sent. Many are in flight at once because
//! there are many channels.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind,
    ExchangeKind,
};
use tokio::sync::{Notify, Semaphore};

use super::keeper::Fault;
use super::socket::Socket;
use super::{Broker, PublishError, short, unavailable};

/// Asked of the broker unless the URL says otherwise: a peer is given up after twice this.
pub(super) const HEARTBEAT_SECONDS: u16 = 10;

/// How many messages may await their confirms at once. Channels are opened as they are needed.
const CHANNELS: usize = 128;

/// How long reaching a broker may take, the handshake as long again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the broker may take to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

const NOT_FOUND: u16 = 404;
const ACCESS_REFUSED: u16 = 403;
const CONTENT_TOO_LARGE: u16 = 311;
const PRECONDITION_FAILED: u16 = 406;

/// A signal as AMQP sends it.
pub(super) struct Message<'a> {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: &'a [u8],
}

/// A connection whose exchange is known to exist. Dropping it cuts the connection.
pub(super) struct Session {
    connection: Connection,
    idle: Mutex<Vec<Channel>>,
    permits: Semaphore,
    fault: Mutex<Option<Arc<str>>>,
    suspicion: Notify,
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
    /// Connects, declares the topology if `queue` is given, and makes sure that the exchange exists.
    pub(super) async fn open(
        broker: &Broker,
        exchange: &ShortString,
        queue: Option<&ShortString>,
    ) -> Result<Self, Fault> {
        let failed = |what: &'static str| move |error| Fault::new(what, &error);
        let (connection, socket) = Socket::connect(&broker.uri, client(), CONNECT_TIMEOUT)
            .await
            .map_err(failed("cannot connect"))?;
        let mut findings = vec![format!("connected to {}", broker.shown)];
        let prepared = async {
            if let Some(queue) = queue {
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
        let channels = CHANNELS.min(usize::from(connection.configuration().channel_max()));
        Ok(Self {
            connection,
            idle: Mutex::new(vec![channel]),
            permits: Semaphore::new(channels.max(1)),
            fault: Mutex::default(),
            suspicion: Notify::new(),
            findings,
            _socket: socket,
        })
    }

    /// Publishes one message and waits for its confirm. A caller that gives up takes the channel
    /// with it, so that a late confirm or return meets nobody else's message.
    pub(super) async fn publish(&self, message: Message<'_>) -> Result<(), PublishError> {
        let permit = self.permits.acquire().await;
        let _permit = permit.map_err(|_| unavailable("connection is closed".to_owned()))?;
        let channel = self.channel().await.map_err(|error| self.failed(error))?;
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let Message {
            exchange,
            routing_key,
            properties,
            body,
        } = message;
        let confirm = channel
            .basic_publish(exchange.clone(), routing_key, options, body, properties)
            .await
            .map_err(|error| self.failed_on(&exchange, error))?;
        let confirmation = confirm
            .await
            .map_err(|error| self.failed_on(&exchange, error))?;
        self.idle().push(channel);
        verdict(confirmation)
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

async fn confirming(connection: &Connection) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok(channel)
}

async fn exists(channel: &Channel, exchange: &ShortString) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions {
        passive: true,
        ..ExchangeDeclareOptions::default()
    };
    let table = FieldTable::default();
    channel
        .exchange_declare(exchange.clone(), ExchangeKind::Topic, options, table)
        .await
}

fn missing_exchange(exchange: &ShortString, error: &lapin::Error) -> Fault {
    match error.kind() {
        ErrorKind::ProtocolError(protocol) if protocol.get_id() == NOT_FOUND => {
            Fault::text(&format!("exchange `{exchange}` does not exist"))
        }
        _ => Fault::new("cannot look for the exchange", error),
    }
}

/// Declares the exchange, a quorum queue bound to all of it, and where that queue's dead letters go.
async fn declare(
    channel: &Channel,
    exchange: &ShortString,
    queue: &ShortString,
) -> lapin::Result<()> {
    let dead_exchange = short(&format!("{exchange}.dlx"));
    let dead_queue = short(&format!("{queue}.dead"));
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    for (name, kind) in [
        (exchange, ExchangeKind::Topic),
        (&dead_exchange, ExchangeKind::Fanout),
    ] {
        channel
            .exchange_declare(name.clone(), kind, durable, FieldTable::default())
            .await?;
    }
    let mut quorum = FieldTable::default();
    quorum.insert(
        short("x-queue-type"),
        AMQPValue::LongString("quorum".into()),
    );
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(dead_queue.clone(), durable, quorum.clone())
        .await?;
    let dead_letters = AMQPValue::LongString(dead_exchange.as_str().into());
    quorum.insert(short("x-dead-letter-exchange"), dead_letters);
    channel
        .queue_declare(queue.clone(), durable, quorum)
        .await?;
    for (queue, exchange) in [(&dead_queue, &dead_exchange), (queue, exchange)] {
        let (options, table) = (QueueBindOptions::default(), FieldTable::default());
        channel
            .queue_bind(queue.clone(), exchange.clone(), short("#"), options, table)
            .await?;
    }
    Ok(())
}

fn verdict(confirmation: Confirmation) -> Result<(), PublishError> {
    match confirmation {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(returned)) => Err(PublishError::Refused(format!(
            "unroutable: {}",
            returned.reply_text
        ))),
        // A full queue says no for now, not for ever.
        Confirmation::Nack(_) => Err(unavailable("refused by the broker for now".to_owned())),
        Confirmation::NotRequested => Err(unavailable("the broker confirms nothing".to_owned())),
    }
}
