//! How many messages a second are confirmed.

use std::time::Duration;

use anyhow::ensure;
use futures_util::{StreamExt, TryStreamExt, stream};
use hookgate::clock;
use hookgate::publisher::open;
use hookgate::shutdown::Drain;
use hookgate::signal::Signal;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};

use crate::broker::EXCHANGE;
use crate::{settings, signals};

/// Messages of one turn.
const MESSAGES: usize = 20_000;
/// How many are under way at once: as many as live deliveries and the relay may have.
const UNDER_WAY: usize = 1_280;
/// The channels that carry one message each.
const CHANNELS: usize = 128;

/// Publishes through the publisher, and returns the messages confirmed a second.
pub(crate) async fn pipelined(url: &str) -> anyhow::Result<f64> {
    let publisher = open(&settings(url)?, &Drain::new()).await?;
    publisher.probe().await?;
    let signals = signals("throughput", MESSAGES)?;
    let began = clock::instant();
    stream::iter(&signals)
        .map(|signal| publisher.publish(signal))
        .buffer_unordered(UNDER_WAY)
        .try_collect::<()>()
        .await?;
    let took = clock::instant().duration_since(began);
    publisher.close().await;
    Ok(rate(took))
}

/// Publishes on many channels, on each the next message when the last is confirmed.
pub(crate) async fn one_each(url: &str) -> anyhow::Result<f64> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let mut channels = Vec::new();
    for _ in 0..CHANNELS {
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        channels.push(channel);
    }
    let signals = signals("throughput", MESSAGES)?;
    let lots = signals.chunks(MESSAGES.div_ceil(CHANNELS));
    let began = clock::instant();
    stream::iter(channels.iter().zip(lots))
        .map(|(channel, lot)| one_after_another(channel, lot))
        .buffer_unordered(CHANNELS)
        .try_collect::<()>()
        .await?;
    let took = clock::instant().duration_since(began);
    connection.close(200, "done".into()).await?;
    Ok(rate(took))
}

async fn one_after_another(channel: &Channel, signals: &[Signal]) -> anyhow::Result<()> {
    for signal in signals {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_message_id(signal.signalid.to_string().into());
        let key = "acme.stripe.charge.succeeded".into();
        let confirm = channel
            .basic_publish(EXCHANGE.into(), key, options, &signal.envelope, properties)
            .await?;
        ensure!(confirm.await? == Confirmation::Ack(None), "not confirmed");
    }
    Ok(())
}

fn rate(took: Duration) -> f64 {
    MESSAGES as f64 / took.as_secs_f64()
}
