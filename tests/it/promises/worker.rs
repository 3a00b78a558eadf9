//! The worker that the documentation shows, receiving from a queue that the gateway declared.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use serde_json::Value;

use super::deliveries::{signalid, signed, stripe_id, to};
use super::{EXCHANGE, next};
use crate::support::process::Setup;
use crate::support::rabbit::{Broker, Vhost};
use crate::support::until;

const QUEUE: &str = "hookgate";

/// A running worker, and the lines that it has printed.
struct Worker {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Worker {
    fn start(vhost: &Vhost<'_>) -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let mut child = Command::new(format!("{root}/.tools/bin/python"))
            .arg(format!("{root}/examples/worker.py"))
            .env("AMQP_URL", vhost.address().expose())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/setup.sh installs python and pika");
        let output = BufReader::new(child.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Self { child, lines }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn stop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Publishes a signal once more, as a gateway does whose confirm was lost.
async fn publish_again(vhost: &Vhost<'_>, signal: &Value) {
    let address = vhost.address();
    let connecting = Connection::connect(address.expose(), ConnectionProperties::default());
    let connection = connecting.await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let (signalid, body) = (signal["signalid"].as_str().unwrap(), signal.to_string());
    let properties = BasicProperties::default().with_message_id(signalid.into());
    let (key, options) = (
        "acme.stripe.charge.succeeded",
        BasicPublishOptions::default(),
    );
    let sent = channel.basic_publish(
        EXCHANGE.into(),
        key.into(),
        options,
        body.as_bytes(),
        properties,
    );
    sent.await.unwrap().await.unwrap();
    connection.close(200, "bye".into()).await.unwrap();
}

/// Reads a number that the broker keeps of the queue.
async fn of_queue(vhost: &Vhost<'_>, pointer: &str) -> Option<u64> {
    let path = format!("/api/queues/{}/{QUEUE}", vhost.name);
    let (_, body) = vhost.broker.api("GET", &path, "").await;
    let queue: Value = serde_json::from_str(&body).unwrap_or_default();
    queue.pointer(pointer)?.as_u64()
}

#[tokio::test]
async fn a_worker_receives_each_signal_once_and_acknowledges_it() {
    let vhost = Broker::shared().await.vhost().await;
    let setup = Setup::new()
        .publisher(vhost.address().expose(), &format!("declare = \"{QUEUE}\""))
        .endpoint("charges", "acme", "stripe");
    let gateway = setup.start().await;
    gateway.until_metric(super::PUBLISHER_READY, 1).await;
    let first = gateway.send(to("charges", &signed("stripe", "1"))).await;
    // The first message is looked at, and goes back as two: the worker must drop one.
    let mut inbox = vhost.inbox(QUEUE).await;
    let seen = next(&mut inbox).await.signal;
    drop(inbox);
    publish_again(&vhost, &seen).await;
    publish_again(&vhost, &seen).await;
    let worker = Worker::start(&vhost);
    let second = gateway.send(to("charges", &signed("stripe", "2"))).await;

    assert_ne!(signalid(&first), signalid(&second));
    let line = |event: &str| format!("stripe.charge.succeeded {}", stripe_id(event));
    let mut expected = [line("1"), line("2")];
    until("the worker has printed both", async || {
        worker.lines().len() >= 2
    })
    .await;
    until("all of them are acknowledged", async || {
        // One by the test itself, three by the worker. The broker counts with some delay.
        of_queue(&vhost, "/message_stats/ack").await == Some(4)
            && of_queue(&vhost, "/messages").await == Some(0)
            && of_queue(&vhost, "/messages_unacknowledged").await == Some(0)
    })
    .await;
    let mut lines = worker.lines();
    // A message that the test's own consumer took and gave back may have lost its place.
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
}
