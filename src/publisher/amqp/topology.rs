//! What is on the broker: the exchange that has to be there, and what is declared on request.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ErrorKind, ExchangeKind};

use super::keeper::Fault;
use super::session::NOT_FOUND;
use super::short;

/// Asks whether an exchange exists, which takes no permission.
pub(super) async fn exists(channel: &Channel, exchange: &ShortString) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions {
        passive: true,
        ..ExchangeDeclareOptions::default()
    };
    let table = FieldTable::default();
    channel
        .exchange_declare(exchange.clone(), ExchangeKind::Topic, options, table)
        .await
}

pub(super) fn missing_exchange(exchange: &ShortString, error: &lapin::Error) -> Fault {
    match error.kind() {
        ErrorKind::ProtocolError(protocol) if protocol.get_id() == NOT_FOUND => {
            Fault::text(&format!("exchange `{exchange}` does not exist"))
        }
        _ => Fault::new("cannot look for the exchange", error),
    }
}

/// Declares the exchange, a quorum queue bound to all of it, and where that queue's dead letters go.
pub(super) async fn declare(
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
