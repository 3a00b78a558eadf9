//! The workers of `examples/`, receiving from a queue that the gateway declared: the effect of each
//! signal is there once, whatever breaks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use hookgate::signal::Signal;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use rusqlite::OpenFlags;
use serde_json::Value;

use super::EXCHANGE;
use super::deliveries::{signalid, signed, to};
use crate::support::process::Setup;
use crate::support::proxy::Proxy;
use crate::support::rabbit::{Broker, Vhost};
use crate::support::{signal, until};

const QUEUE: &str = "hookgate";

/// How many signals the workers let the broker send ahead.
const PREFETCH: usize = 16;

/// A worker that can be killed and started again, beside its database.
struct Worker {
    program: Command,
    directory: tempfile::TempDir,
    running: Option<Child>,
}

impl Worker {
    fn new(program: &str, arguments: &[PathBuf], url: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("AMQP_URL", url)
            .env("QUEUE", QUEUE)
            .env("DB", directory.path().join("worker.db"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Self {
            program: command,
            directory,
            running: None,
        }
    }

    fn start(&mut self) {
        let spawned = self.program.spawn();
        self.running = Some(spawned.expect("tests/setup.sh installs what the workers need"));
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks the worker to end, and makes sure that it does so by itself.
    async fn end(&mut self) {
        let child = self.running.as_mut().unwrap();
        let mut asking = Command::new("kill");
        asking.args(["-TERM", &child.id().to_string()]);
        assert!(asking.status().unwrap().success());
        until("the worker has ended", async || {
            child.try_wait().unwrap().is_some()
        })
        .await;
        let status = self.running.take().unwrap().wait().unwrap();
        assert!(status.success(), "{status}");
    }

    /// Returns how many effects each signal had, by signalid.
    fn effects(&self) -> BTreeMap<String, u32> {
        let read = || -> rusqlite::Result<_> {
            let path = self.directory.path().join("worker.db");
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
            let store = rusqlite::Connection::open_with_flags(path, flags)?;
            let count = "SELECT signalid, count(*) FROM effects GROUP BY signalid";
            let mut rows = store.prepare(count)?;
            let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        // The worker may not have created it yet.
        read().unwrap_or_default()
    }

    async fn until_effects(&self, count: usize) {
        let what = format!("{count} signals had their effect");
        until(&what, async || self.effects().len() >= count).await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Publishes to the exchange past the gateway, to have repeats and what is no signal.
struct Source {
    _connection: Connection,
    channel: Channel,
}

impl Source {
    async fn open(vhost: &Vhost<'_>) -> Self {
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
        let (key, options) = ("acme.stripe.test", BasicPublishOptions::default());
        let properties = BasicProperties::default().with_delivery_mode(2);
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

fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(file)
}

/// Builds the worker in Rust beside the program under test, where it is not there yet.
async fn build_example() -> PathBuf {
    let programs = Path::new(env!("CARGO_BIN_EXE_hookgate")).parent().unwrap();
    let profile = match programs.file_name().unwrap().to_str() {
        Some("debug") => "dev",
        other => other.unwrap(),
    };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["build", "--quiet", "--locked", "--example", "worker"]);
    cargo.args(["--profile", profile, "--target-dir"]);
    cargo.arg(programs.parent().unwrap());
    // What cargo tells a test makes build scripts run again, and all that hangs on them.
    for (name, _) in std::env::vars() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .iter()
            .any(|it| name.starts_with(it))
        {
            cargo.env_remove(name);
        }
    }
    let built = tokio::task::spawn_blocking(move || cargo.status().unwrap()).await;
    assert!(built.unwrap().success(), "the example does not compile");
    programs.join("examples/worker")
}

/// Sends signals to a worker, with repeats, and breaks what can break.
async fn an_effect_is_there_once(program: &str, arguments: &[PathBuf]) {
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
    let mut worker = Worker::new(program, arguments, url.expose());
    worker.start();
    worker.until_effects(1).await;

    // Killed between commit and acknowledgement: what it acknowledges is held back.
    proxy.mute();
    let held = named("held", PREFETCH + 4);
    source.signals(&held).await;
    // The first may still be unacknowledged.
    worker.until_effects(PREFETCH).await;
    worker.kill();
    proxy.interrupt().await;
    expected.extend(held.iter().map(|signal| signal.signalid.to_string()));

    // Killed wherever it is, while signals come, and come again.
    let many = named("many", 120);
    for part in many.chunks(40) {
        worker.start();
        source.signals(part).await;
        source.signals(&part[..20]).await;
        worker.until_effects(expected.len() + 10).await;
        worker.kill();
        expected.extend(part.iter().map(|signal| signal.signalid.to_string()));
    }

    // The broker goes away and comes back; and what is no signal goes to the dead letters.
    worker.start();
    worker.until_effects(expected.len()).await;
    proxy.interrupt().await;
    let last = named("last", 1);
    for nonsense in ["", "no JSON", "[]", r#"{"type": "t", "id": "1"}"#] {
        source.publish(nonsense.as_bytes()).await;
    }
    source.signals(&last).await;
    source.signals(&held).await;
    expected.push(last[0].signalid.to_string());
    worker.until_effects(expected.len()).await;
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
    let python = format!("{}/.tools/bin/python", env!("CARGO_MANIFEST_DIR"));
    an_effect_is_there_once(&python, &[example("worker.py")]).await;
}

#[tokio::test]
async fn the_worker_in_node_applies_each_signal_once() {
    an_effect_is_there_once("node", &[example("worker.mjs")]).await;
}

#[tokio::test]
async fn the_worker_in_rust_applies_each_signal_once() {
    let program = build_example().await;
    an_effect_is_there_once(program.to_str().unwrap(), &[]).await;
}
