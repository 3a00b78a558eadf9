//! An independent consumer: on a connection of its own straight to the broker, with an acknowledgement
//! for each message. It connects again for as long as the campaign lasts.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use hookgate::signal::SignalId;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use serde::Deserialize;

use super::book::Published;
use super::events::{Endpoint, number_in};
use super::run::Shared;
use super::site::QUEUE;

/// How long to wait before connecting again.
const AGAIN: Duration = Duration::from_millis(100);

/// How long a broker may take to let the consumer in.
const CONNECT: Duration = Duration::from_secs(10);

/// How many messages may wait for their acknowledgement.
const PREFETCH: u16 = 500;

/// What a worker needs of a signal.
#[derive(Deserialize)]
struct Signal<'a> {
    id: &'a str,
    source: &'a str,
    tenant: &'a str,
    endpoint: &'a str,
    signalid: &'a str,
}

/// Consumes until it is dropped.
pub(crate) async fn consume(url: String, shared: Arc<Shared>) {
    loop {
        // However it ended, the broker is away or was: again.
        let _ = session(&url, &shared).await;
        tokio::time::sleep(AGAIN).await;
    }
}

async fn session(url: &str, shared: &Shared) -> lapin::Result<()> {
    let prepared = async {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel
            .basic_qos(PREFETCH, BasicQosOptions::default())
            .await?;
        let (options, table) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(QUEUE.into(), "campaign".into(), options, table);
        lapin::Result::Ok((connection, consumer.await?))
    };
    let Ok(prepared) = tokio::time::timeout(CONNECT, prepared).await else {
        return Ok(());
    };
    let (_connection, mut consumer) = prepared?;
    while let Some(message) = consumer.next().await {
        let message = message?;
        note(&message, shared);
        message.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}

/// How many messages are in the queue and with nobody yet; nothing where the broker is away.
pub(crate) async fn waiting(url: &str) -> Option<u32> {
    let asked = async {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let queue = channel.queue_declare(QUEUE.into(), options, FieldTable::default());
        let waiting = queue.await?.message_count();
        connection.close(200, "bye".into()).await?;
        lapin::Result::Ok(waiting)
    };
    tokio::time::timeout(CONNECT, asked).await.ok()?.ok()
}

fn note(message: &Delivery, shared: &Shared) {
    let named = message.properties.message_id().as_ref();
    let named = named.and_then(|id| SignalId::parse(id.as_str()));
    let signal: Option<Signal<'_>> = serde_json::from_slice(&message.data).ok();
    let mut book = shared.book();
    let (Some(signalid), Some(signal)) = (named, signal) else {
        let what = String::from_utf8_lossy(&message.data);
        return book.unreadable(&what[..what.floor_char_boundary(200)]);
    };
    let in_place = |endpoint: &Endpoint| {
        (signal.source, signal.tenant, signal.endpoint)
            == (&endpoint.source, &endpoint.tenant, &endpoint.id)
    };
    let number = number_in(signal.id);
    let endpoint = number.and_then(|number| book.endpoint_of(number));
    book.published(Published {
        signalid,
        number,
        in_place: SignalId::parse(signal.signalid) == Some(signalid)
            && endpoint.is_none_or(|at| in_place(&shared.endpoints[at])),
        redelivered: message.redelivered,
        id: signal.id,
    });
}
