//! The workers of `examples/`, receiving from a queue that the gateway declared: the effect of each
//! signal is there once, whatever breaks.

use hookgate::signal::Signal;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::Value;

use super::EXCHANGE;
use super::deliveries::{signalid, signed, to};
use crate::support::process::Setup;
use crate::support::proxy::Proxy;
use crate::support::rabbit::{Broker, Vhost};
use crate::support::worker::{Language, Worker};
use crate::support::{signal, until};

pub(super) const QUEUE: &str = "hookgate";

/// How many signals the workers let the broker send ahead.
const PREFETCH: usize = 16;

/// Publishes to the exchange past the gateway, to have repeats and what is no signal.
pub(super) struct Source {
    _connection: Connection,
    channel: Channel,
}

impl Source {
    pub(super) async fn open(vhost: &Vhost<'_>) -> Self {
        let address = vhost.address();
        let connecting = Connection::connect(address.expose(), ConnectionProperties::default());
        let connection = connecting.await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let options = ConfirmSelectOptions::default();
        channel.confirm_select(options).await.unwrap();
        Self {
            _connection: connection,
            channel,
        }
    }

    async fn publish(&self, body: &[u8]) {
        self.publish_with(body, BasicProperties::default()).await;
    }

    pub(super) async fn publish_with(&self, body: &[u8], properties: BasicProperties) {
        let (key, options) = ("acme.stripe.test", BasicPublishOptions::default());
        let properties = properties.with_delivery_mode(2);
        let sent =
            self.channel
                .basic_publish(EXCHANGE.into(), key.into(), options, body, properties);
        sent.await.unwrap().await.unwrap();
    }

    async fn signals(&self, signals: &[Signal]) {
        for signal in signals {
            self.publish(&signal.envelope).await;
        }
    }
}

/// Reads a number that the broker keeps of the queue. It counts with some delay.
async fn of_queue(vhost: &Vhost<'_>, pointer: &str) -> Option<u64> {
    let path = format!("/api/queues/{}/{QUEUE}", vhost.name);
    let (_, body) = vhost.broker.api("GET", &path, "").await;
    let queue: Value = serde_json::from_str(&body).unwrap_or_default();
    queue.pointer(pointer)?.as_u64()
}

/// Waits until so many signals had their effect.
pub(super) async fn until_effects(worker: &Worker, count: usize) {
    let what = format!("{count} signals had their effect");
    until(&what, async || worker.effects().len() >= count).await;
}

/// Sends signals to a worker, with repeats, and breaks what can break.
async fn an_effect_is_there_once(language: Language) {
    let directory = tempfile::tempdir().unwrap();
    let vhost = Broker::shared().await.vhost().await;
    let setup = Setup::new()
        .publisher(vhost.address().expose(), &format!("declare = \"{QUEUE}\""))
        .endpoint("charges", "acme", "stripe");
    let gateway = setup.start().await;
    gateway.until_metric(super::PUBLISHER_READY, 1).await;
    let first = gateway.send(to("charges", &signed("stripe", "1"))).await;
    let mut expected = vec![signalid(&first)];
    let (source, proxy) = (
        Source::open(&vhost).await,
        Proxy::to(vhost.broker.port()).await,
    );
    let url = vhost.address_at(proxy.port());
    let mut worker = Worker::prepare(language, url.expose(), QUEUE, directory.path()).await;
    worker.start();
    until_effects(&worker, 1).await;

    // Killed between commit and acknowledgement: what it acknowledges is held back.
    proxy.mute();
    let held = named("held", PREFETCH + 4);
    source.signals(&held).await;
    // The first may still be unacknowledged.
    until_effects(&worker, PREFETCH).await;
    worker.kill();
    proxy.interrupt().await;
    expected.extend(held.iter().map(|signal| signal.signalid.to_string()));

    // Killed wherever it is, while signals come, and come again.
    let many = named("many", 120);
    for part in many.chunks(40) {
        worker.start();
        source.signals(part).await;
        source.signals(&part[..20]).await;
        until_effects(&worker, expected.len() + 10).await;
        worker.kill();
        expected.extend(part.iter().map(|signal| signal.signalid.to_string()));
    }

    // The broker goes away and comes back; and what is no signal goes to the dead letters.
    worker.start();
    until_effects(&worker, expected.len()).await;
    proxy.interrupt().await;
    let last = named("last", 1);
    for nonsense in ["", "no JSON", "[]", r#"{"type": "t", "id": "1"}"#] {
        source.publish(nonsense.as_bytes()).await;
    }
    source.signals(&last).await;
    source.signals(&held).await;
    expected.push(last[0].signalid.to_string());
    until_effects(&worker, expected.len()).await;
    let mut dead = vhost.inbox("hookgate.dead").await;
    for _ in 0..4 {
        let letter = dead.next().await;
        assert!(letter.data.len() < 40, "a signal is among the dead letters");
    }
    until("everything is acknowledged", async || {
        of_queue(&vhost, "/messages").await == Some(0)
            && of_queue(&vhost, "/messages_unacknowledged").await == Some(0)
    })
    .await;
    worker.end().await;

    let once = expected.into_iter().map(|signalid| (signalid, 1));
    assert_eq!(worker.effects(), once.collect());
}

fn named(name: &str, count: usize) -> Vec<Signal> {
    let each = (0..count).map(|n| signal("stripe", &format!("{name}{n}")));
    each.collect()
}

#[tokio::test]
async fn the_worker_in_python_applies_each_signal_once() {
    an_effect_is_there_once(Language::Python).await;
}

#[tokio::test]
async fn the_worker_in_node_applies_each_signal_once() {
    an_effect_is_there_once(Language::Node).await;
}

#[tokio::test]
async fn the_worker_in_rust_applies_each_signal_once() {
    an_effect_is_there_once(Language::Rust).await;
}
