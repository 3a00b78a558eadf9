//! Real RabbitMQ brokers: one that all tests share, and others that a test can stop.
//!
//! Each broker has its own directory, Erlang cookie, epmd and ports, and a watchdog that ends it when
//! the test process is gone, however that ended: the watchdog waits for the end of a pipe.

use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt;
use hookgate::publisher::Address;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use super::pki::Pki;
use super::ports::free_ports;
use super::{DEADLINE, until};

/// Where the programs are. Debian's wrappers in /usr/sbin would switch user.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// The largest message that the brokers take, so that a test can exceed it.
pub(crate) const MAX_MESSAGE: usize = 1024 * 1024;

/// `guest:guest` for HTTP.
const AUTHORIZATION: &str = "Basic Z3Vlc3Q6Z3Vlc3Q=";

/// Waits until the test process is gone, then ends every process group named in the directory and
/// removes the directory.
const WATCHDOG: &str = r#"
trap '' INT HUP TERM
cat >/dev/null
for file in "$1"/*.group; do
  kill -s KILL -- "-$(cat "$file")" 2>/dev/null
done
sleep 1
rm -rf "$1"
"#;

/// A private broker.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) dir: PathBuf,
    pki: Pki,
    ports: Ports,
    vhosts: AtomicUsize,
    group: Mutex<Option<u32>>,
    _watchdog: ChildStdin,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    amqp: u16,
    amqps: u16,
    management: u16,
    epmd: u16,
    distribution: u16,
}

impl Broker {
    /// Returns the broker that all tests of this process share, started by whoever comes first.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<Broker> = OnceCell::const_new();
        SHARED
            .get_or_init(|| async {
                let broker = Self::prepare();
                broker.start().await;
                broker
            })
            .await
    }

    /// Prepares a broker of one's own, which is not running yet.
    pub(crate) fn prepare() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("rabbit")
            .tempdir()
            .unwrap()
            .keep();
        for name in ["data", "log"] {
            std::fs::create_dir(dir.join(name)).unwrap();
        }
        let [amqp, amqps, management, epmd, distribution] = free_ports();
        let pki = Pki::write(&dir);
        let file = |name: &str| pki.file(name).display().to_string();
        std::fs::write(dir.join("enabled_plugins"), "[rabbitmq_management].").unwrap();
        std::fs::write(
            dir.join("rabbitmq.conf"),
            format!(
                "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
                 listeners.ssl.1 = 127.0.0.1:{amqps}\n\
                 ssl_options.cacertfile = {}\n\
                 ssl_options.certfile = {}\n\
                 ssl_options.keyfile = {}\n\
                 ssl_options.verify = verify_peer\n\
                 ssl_options.fail_if_no_peer_cert = true\n\
                 management.tcp.ip = 127.0.0.1\n\
                 management.tcp.port = {management}\n\
                 max_message_size = {MAX_MESSAGE}\n\
                 log.console = false\n",
                file("ca.pem"),
                file("server.pem"),
                file("server.key"),
            ),
        )
        .unwrap();
        let mut watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(&dir)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pipe = watchdog.stdin.take().unwrap();
        std::thread::spawn(move || watchdog.wait());
        Self {
            ports: Ports {
                amqp,
                amqps,
                management,
                epmd,
                distribution,
            },
            vhosts: AtomicUsize::new(0),
            group: Mutex::new(None),
            _watchdog: pipe,
            pki,
            dir,
        }
    }

    /// Starts the broker and waits until it takes connections.
    pub(crate) async fn start(&self) {
        if !self.dir.join("epmd.group").exists() {
            // Started here and not by the node, which would leave it behind as a daemon.
            let mut epmd = Command::new("epmd");
            epmd.args([
                "-address",
                "127.0.0.1",
                "-port",
                &self.ports.epmd.to_string(),
            ]);
            self.spawn(epmd, "epmd");
            until("epmd listens", async || is_open(self.ports.epmd).await).await;
        }
        let server = Command::new(format!("{PROGRAMS}/rabbitmq-server"));
        *self.group.lock().unwrap() = Some(self.spawn(server, "server"));
        until("the broker listens", async || {
            is_open(self.ports.amqp).await
        })
        .await;
        until("the management API answers", async || {
            is_open(self.ports.management).await
                && self.api("GET", "/api/whoami", "").await.0 == 200
        })
        .await;
    }

    /// Kills the broker. What it has confirmed is still there when it starts again.
    pub(crate) async fn kill(&self) {
        self.signal("-KILL");
        *self.group.lock().unwrap() = None;
        until("the broker is gone", async || {
            !is_open(self.ports.amqp).await
        })
        .await;
    }

    /// Sends every process of the broker a signal of the operating system, such as `-STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let group = self.group.lock().unwrap().expect("the broker runs");
        let group = format!("-{group}");
        let sent = Command::new("kill").args([signal, "--", &group]).status();
        assert!(sent.unwrap().success(), "no process group {group}");
    }

    /// Returns the port for AMQP.
    pub(crate) fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// Returns the port for AMQP over TLS, where clients must show a certificate.
    pub(crate) fn tls_port(&self) -> u16 {
        self.ports.amqps
    }

    /// Returns the authority that vouches for the broker, and for its clients.
    pub(crate) fn pki(&self) -> &Pki {
        &self.pki
    }

    /// Runs `rabbitmqctl`.
    pub(crate) async fn ctl(&self, arguments: &[&str]) {
        let mut command = Command::new(format!("{PROGRAMS}/rabbitmqctl"));
        command
            .args(arguments)
            .envs(self.environment())
            .stdin(Stdio::null());
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = run.await.unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Creates a virtual host for one test.
    pub(crate) async fn vhost(&self) -> Vhost<'_> {
        let name = format!("test{}", self.vhosts.fetch_add(1, Ordering::Relaxed));
        let (status, body) = self.api("PUT", &format!("/api/vhosts/{name}"), "").await;
        assert_eq!(status, 201, "{body}");
        let permissions = r#"{"configure":".*","write":".*","read":".*"}"#;
        let path = format!("/api/permissions/{name}/guest");
        let (status, body) = self.api("PUT", &path, permissions).await;
        assert!(matches!(status, 201 | 204), "{status} {body}");
        Vhost { broker: self, name }
    }

    /// Calls the management API, and returns the status and the body.
    pub(crate) async fn api(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let call = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.ports.management)).await?;
            let length = body.len();
            let request = format!(
                "{method} {path} HTTP/1.0\r\nhost: localhost\r\nauthorization: {AUTHORIZATION}\r\n\
                 content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = tokio::time::timeout(DEADLINE, call)
            .await
            .expect("the management API is slow");
        // While the broker starts, a listener may be there before it answers.
        let answer = answer.unwrap_or_default();
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status.unwrap_or(0), body.to_owned())
    }

    /// Spawns a program in a group of its own, which the watchdog will end.
    fn spawn(&self, mut command: Command, name: &str) -> u32 {
        let log = std::fs::File::create(self.dir.join(format!("{name}.out"))).unwrap();
        let mut child = command
            .envs(self.environment())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let group = child.id();
        let mut file = std::fs::File::create(self.dir.join(format!("{name}.group"))).unwrap();
        write!(file, "{group}").unwrap();
        // Somebody must take the exit status, or the process stays as a zombie.
        std::thread::spawn(move || child.wait());
        group
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let path = |name: &str| self.dir.join(name).display().to_string();
        vec![
            ("HOME", self.dir.display().to_string()),
            (
                "RABBITMQ_NODENAME",
                format!("t{}@localhost", self.ports.amqp),
            ),
            ("ERL_EPMD_PORT", self.ports.epmd.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_DIST_PORT", self.ports.distribution.to_string()),
            ("RABBITMQ_MNESIA_BASE", path("data")),
            ("RABBITMQ_LOG_BASE", path("log")),
            ("RABBITMQ_PID_FILE", path("pid")),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins")),
        ]
    }
}

/// A virtual host of a broker, for one test.
#[derive(Debug)]
pub(crate) struct Vhost<'a> {
    pub(crate) broker: &'a Broker,
    pub(crate) name: String,
}

impl Vhost<'_> {
    /// Returns the address for a publisher.
    pub(crate) fn address(&self) -> Address {
        self.address_at(self.broker.ports.amqp)
    }

    /// Returns the address for a publisher that reaches the broker through another port.
    pub(crate) fn address_at(&self, port: u16) -> Address {
        Address::parse(&self.url_at(port)).unwrap()
    }

    fn url_at(&self, port: u16) -> String {
        format!("amqp://guest:guest@127.0.0.1:{port}/{}", self.name)
    }

    /// Declares a durable topic exchange.
    pub(crate) async fn exchange(&self, exchange: &str) {
        let channel = self.connect().await.1;
        let options = ExchangeDeclareOptions {
            durable: true,
            ..Default::default()
        };
        let table = FieldTable::default();
        channel
            .exchange_declare(exchange.into(), ExchangeKind::Topic, options, table)
            .await
            .unwrap();
    }

    /// Deletes an exchange.
    pub(crate) async fn delete_exchange(&self, exchange: &str) {
        let channel = self.connect().await.1;
        channel
            .exchange_delete(exchange.into(), Default::default())
            .await
            .unwrap();
    }

    /// Deletes a queue.
    pub(crate) async fn delete_queue(&self, queue: &str) {
        let channel = self.connect().await.1;
        channel
            .queue_delete(queue.into(), Default::default())
            .await
            .unwrap();
    }

    /// Declares a durable queue bound to an exchange.
    pub(crate) async fn queue(
        &self,
        queue: &str,
        exchange: &str,
        key: &str,
        arguments: FieldTable,
    ) {
        let channel = self.connect().await.1;
        let options = QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        channel
            .queue_declare(queue.into(), options, arguments)
            .await
            .unwrap();
        let (options, table) = (QueueBindOptions::default(), FieldTable::default());
        channel
            .queue_bind(queue.into(), exchange.into(), key.into(), options, table)
            .await
            .unwrap();
    }

    /// Consumes a queue.
    pub(crate) async fn inbox(&self, queue: &str) -> Inbox {
        let (connection, channel) = self.connect().await;
        let (options, table) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel
            .basic_consume(queue.into(), "test".into(), options, table)
            .await
            .unwrap();
        Inbox {
            _connection: connection,
            consumer,
        }
    }

    /// Declares `exchange` and a queue of all that is published to it, and consumes that.
    pub(crate) async fn inbox_of(&self, exchange: &str) -> Inbox {
        self.exchange(exchange).await;
        self.queue("all", exchange, "#", FieldTable::default())
            .await;
        self.inbox("all").await
    }

    async fn connect(&self) -> (Connection, Channel) {
        let url = self.url_at(self.broker.ports.amqp);
        let connected = Connection::connect(&url, ConnectionProperties::default());
        let connection = connected.await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        (connection, channel)
    }
}

/// What a consumer receives.
#[derive(Debug)]
pub(crate) struct Inbox {
    _connection: Connection,
    consumer: Consumer,
}

impl Inbox {
    /// Returns the next message, acknowledged.
    pub(crate) async fn next(&mut self) -> Delivery {
        let delivery = self.next_unsettled().await;
        delivery.ack(BasicAckOptions::default()).await.unwrap();
        delivery
    }

    /// Returns the next message, which is left to the caller to acknowledge or reject.
    pub(crate) async fn next_unsettled(&mut self) -> Delivery {
        let next = tokio::time::timeout(DEADLINE, self.consumer.next()).await;
        next.expect("a message arrives in time")
            .expect("the consumer goes on")
            .unwrap()
    }
}

async fn is_open(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .is_ok()
}
