//! The exchange and the queue that are published to.

use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};

/// The exchange of the benchmark.
pub(crate) const EXCHANGE: &str = "hookgate-bench";
const QUEUE: &str = "hookgate-bench";

/// The kind of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// On one node.
    Classic,
    /// Replicated.
    Quorum,
}

impl Kind {
    /// Returns its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
        }
    }
}

/// Where messages go.
pub(crate) struct Place {
    _connection: Connection,
    channel: Channel,
    kind: Kind,
}

impl Place {
    /// Declares the exchange and an empty queue of everything.
    pub(crate) async fn prepare(url: &str, kind: Kind) -> anyhow::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        channel
            .exchange_declare(
                EXCHANGE.into(),
                ExchangeKind::Topic,
                durable,
                FieldTable::default(),
            )
            .await?;
        let place = Self {
            _connection: connection,
            channel,
            kind,
        };
        place.empty().await?;
        Ok(place)
    }

    /// Puts an empty queue in the place of the one there is.
    pub(crate) async fn empty(&self) -> anyhow::Result<()> {
        let (channel, queue) = (&self.channel, QUEUE);
        channel
            .queue_delete(queue.into(), QueueDeleteOptions::default())
            .await?;
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let mut table = FieldTable::default();
        let kind = AMQPValue::LongString(LongString::from(self.kind.name()));
        table.insert("x-queue-type".into(), kind);
        channel.queue_declare(queue.into(), durable, table).await?;
        let (options, table) = (QueueBindOptions::default(), FieldTable::default());
        channel
            .queue_bind(queue.into(), EXCHANGE.into(), "#".into(), options, table)
            .await?;
        Ok(())
    }

    /// Removes both.
    pub(crate) async fn remove(&self) -> anyhow::Result<()> {
        self.channel
            .queue_delete(QUEUE.into(), QueueDeleteOptions::default())
            .await?;
        self.channel
            .exchange_delete(EXCHANGE.into(), ExchangeDeleteOptions::default())
            .await?;
        Ok(())
    }
}
