//! The real binary, started as an operator starts it: `serve --config FILE` on free ports, with a
//! ledger in a directory of its own. What it logs and publishes is kept for the test to look at.

pub(crate) mod http;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use ::http::{Request, StatusCode};
use hookgate::delivery::Delivery;
use http_body_util::Full;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{eventually, until};
use http::{Answer, exchange, read_to_end, request_of};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_hookgate");
/// What every delivery is counted by.
const DELIVERIES: &str = "hookgate_deliveries_total";
/// Waits are as long as they may be, so that a slow machine changes no outcome.
const PATIENT_SERVER: &str =
    "listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\nlog_format = \"json\"\n";
const PATIENT_LEDGER: &str = "[ledger]\nurl = \"sqlite:ledger.db\"\ntimeout = \"60s\"\n";
const PATIENT_PUBLISHER: &str = "[publisher]\nack_wait = \"30s\"\nlease = \"10m\"\n";

/// What became of one delivery: what the caller learned, and what the operator can.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The answer.
    pub(crate) answer: Answer,
    /// The one log line about it.
    pub(crate) line: Value,
    /// The labels of the one series that counted it.
    pub(crate) labels: BTreeMap<String, String>,
}

impl Seen {
    /// Returns status, outcome and reason.
    pub(crate) fn verdict(&self) -> (u16, &str, &str) {
        let words = (&self.labels["outcome"], &self.labels["reason"]);
        (self.answer.status.as_u16(), words.0, words.1)
    }

    /// Returns the signal that the answer names.
    pub(crate) fn signalid(&self) -> &str {
        self.answer.header("hookgate-signal")
    }
}

type Lines = Arc<Mutex<Vec<String>>>;

/// A gateway that serves. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Gateway {
    dir: TempDir,
    child: Child,
    readers: Vec<JoinHandle<()>>,
    stdout: Lines,
    stderr: Lines,
    public: SocketAddr,
    admin: SocketAddr,
    delivered: AtomicUsize,
    accepted: Mutex<BTreeSet<String>>,
}

impl Gateway {
    /// Starts a gateway. `[server]`, `[ledger]` and `[publisher]` are completed where the text leaves
    /// them out; inline secrets are allowed.
    pub(crate) async fn start(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config).await
    }

    /// Starts a gateway whose configuration stands in `dir`, beside files that it refers to.
    pub(crate) async fn start_in(dir: TempDir, config: &str) -> Self {
        let file = dir.path().join("hookgate.toml");
        std::fs::write(&file, complete(config)).unwrap();
        let mut child = Command::new(BINARY)
            .arg("serve")
            .arg("--config")
            .arg(&file)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, first) = collect(child.stdout.take().unwrap());
        let (stderr, second) = collect(child.stderr.take().unwrap());
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut gateway = Self {
            dir,
            child,
            readers: vec![first, second],
            stdout,
            stderr,
            public: nowhere,
            admin: nowhere,
            delivered: AtomicUsize::new(0),
            accepted: Mutex::default(),
        };
        (gateway.public, gateway.admin) = gateway.addresses().await;
        gateway
    }

    async fn addresses(&mut self) -> (SocketAddr, SocketAddr) {
        let mut listening = None;
        until("the gateway listens", async || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the gateway ended with {status}: {}", self.stderr());
            }
            listening = self.logged("listening").pop();
            listening.is_some()
        })
        .await;
        let line = listening.unwrap();
        let address = |key: &str| line[key].as_str().unwrap().parse().unwrap();
        (address("public"), address("admin"))
    }

    /// Returns the address of the public listener.
    pub(crate) fn public(&self) -> SocketAddr {
        self.public
    }

    /// Returns the path of a file beside the configuration.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Replaces the configuration, whole and at once, and does not say so.
    pub(crate) fn write_config(&self, config: &str) {
        replace(&self.file("hookgate.toml"), &complete(config));
    }

    /// Opens a connection to the public listener.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.public).await.unwrap()
    }

    /// Sends a delivery as it is, and looks at what became of it: exactly one series grew by one, and
    /// exactly one line was logged, and both say the same.
    pub(crate) async fn deliver(&self, delivery: &Delivery) -> Seen {
        self.watch(exchange(self.public, request_of(delivery)))
            .await
    }

    /// Does the same for whatever else sends one delivery and returns the answer.
    pub(crate) async fn watch(&self, sending: impl Future<Output = Answer>) -> Seen {
        let before = self.series(DELIVERIES).await;
        let expected = self.delivered.fetch_add(1, Ordering::Relaxed) + 1;
        let answer = sending.await;
        until("the delivery is logged", async || {
            self.logged("delivery").len() >= expected
        })
        .await;
        let mut lines = self.logged("delivery");
        assert_eq!(lines.len(), expected, "one line for each delivery");
        let after = self.series(DELIVERIES).await;
        let grown: Vec<_> = after
            .iter()
            .map(|(labels, count)| (labels, count - before.get(labels).unwrap_or(&0.0)))
            .filter(|(_, by)| *by != 0.0)
            .collect();
        let [(labels, 1.0)] = grown[..] else {
            panic!("not one series grew by one, but {grown:?}");
        };
        let labels = labels.clone();
        let line = lines.pop().unwrap();
        for (name, value) in &labels {
            assert_eq!(line[name.as_str()], value.as_str(), "{name} in {line}");
        }
        assert_eq!(line["status"], answer.status.as_u16(), "{line}");
        let seen = Seen {
            answer,
            line,
            labels,
        };
        self.note(&seen);
        seen
    }

    fn note(&self, seen: &Seen) {
        let (_, outcome, _) = seen.verdict();
        let told = seen.answer.header("hookgate-outcome");
        assert_eq!(told, if outcome == "rejected" { "" } else { outcome });
        if outcome == "accepted" {
            let mut accepted = self.accepted.lock().unwrap();
            // A batch names several.
            accepted.extend(seen.signalid().split(',').map(str::to_owned));
        }
    }

    /// Sends bytes as they are and returns everything that comes back until the connection ends.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        read_to_end(&mut stream).await
    }

    /// Sends bytes as they are and returns the answer, after which the connection ends.
    pub(crate) async fn answer_to(&self, bytes: &[u8]) -> Answer {
        Answer::parse(&self.raw(bytes).await)
    }

    /// Returns the sum of the series of a metric that have all of these labels.
    pub(crate) async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let series = self.series(name).await;
        let fits = |known: &&BTreeMap<String, String>| {
            labels
                .iter()
                .all(|(name, value)| known.get(*name).is_some_and(|known| known == value))
        };
        series
            .keys()
            .filter(fits)
            .map(|labels| series[labels])
            .sum()
    }

    async fn series(&self, name: &str) -> BTreeMap<BTreeMap<String, String>, f64> {
        let text = self.admin("/metrics").await.body;
        let text = std::str::from_utf8(&text).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix(name));
        lines.filter_map(series).collect()
    }

    /// Asks the admin listener.
    pub(crate) async fn admin(&self, path: &str) -> Answer {
        let request = Request::get(path).body(Full::default()).unwrap();
        exchange(self.admin, request).await
    }

    /// Waits until the gateway says that it is ready.
    pub(crate) async fn ready(&self) {
        until("the gateway is ready", async || {
            self.admin("/readyz").await.status == StatusCode::OK
        })
        .await;
    }

    /// Returns the log lines with this message.
    pub(crate) fn logged(&self, message: &str) -> Vec<Value> {
        let lines = self.stderr.lock().unwrap();
        let parsed = lines.iter().map(|line| {
            serde_json::from_str::<Value>(line)
                .unwrap_or_else(|error| panic!("not a log line ({error}): {line}"))
        });
        parsed.filter(|line| line["message"] == message).collect()
    }

    /// Returns everything that was logged.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().join("\n")
    }

    /// Returns every signal that was published.
    pub(crate) fn signals(&self) -> Vec<Value> {
        let lines = self.stdout.lock().unwrap();
        let parsed = lines.iter().map(|line| serde_json::from_str(line).unwrap());
        parsed.collect()
    }

    /// Returns the published signal of this name.
    pub(crate) async fn signal(&self, signalid: &str) -> Value {
        eventually("the signal is published", async || {
            let mut signals = self.signals().into_iter();
            signals.find(|signal| signal["signalid"] == signalid)
        })
        .await
    }

    /// Sends SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.kill("-HUP");
    }

    /// Sends SIGTERM, waits for the end and returns the exit code.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        self.kill("-TERM");
        let mut ended = None;
        until("the gateway ends", async || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        })
        .await;
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        ended.unwrap().code()
    }

    /// Ends the gateway and settles the accounts: one line for each delivery, and one signal for each
    /// that was accepted and for nothing else.
    pub(crate) async fn finish(mut self) {
        assert_eq!(self.terminate().await, Some(0), "{}", self.stderr());
        let delivered = self.delivered.load(Ordering::Relaxed);
        assert_eq!(self.logged("delivery").len(), delivered);
        let signals = self.signals();
        let published: Vec<&str> = signals
            .iter()
            .map(|signal| signal["signalid"].as_str().unwrap())
            .collect();
        let accepted = self.accepted.lock().unwrap();
        assert_eq!(published.len(), accepted.len(), "a signal for each event");
        assert!(published.iter().all(|id| accepted.contains(*id)));
    }

    fn kill(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a file so that nobody can read half of it.
pub(crate) fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(next, path).unwrap();
}

fn collect(stream: impl Read + Send + 'static) -> (Lines, JoinHandle<()>) {
    let lines = Lines::default();
    let sink = lines.clone();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            sink.lock().unwrap().push(line.unwrap());
        }
    });
    (lines, reader)
}

/// Adds what a test need not say.
fn complete(config: &str) -> String {
    let mut text = String::new();
    if !config.contains("allow_inline_secrets") {
        text.push_str("allow_inline_secrets = true\n");
    }
    let server = format!("[server]\n{PATIENT_SERVER}");
    text.push_str(&config.replacen("[server]\n", &server, 1));
    if !config.contains("[server]\n") {
        text.push_str(&format!("\n{server}"));
    }
    for (section, whole) in [
        ("[ledger]", PATIENT_LEDGER),
        ("[publisher]", PATIENT_PUBLISHER),
    ] {
        if !config.contains(section) {
            text.push_str(whole);
        }
    }
    text
}

/// Reads the rest of a line of Prometheus' text format, behind the metric's name.
fn series(rest: &str) -> Option<(BTreeMap<String, String>, f64)> {
    let (labels, value) = rest.rsplit_once(' ')?;
    let labels = match labels {
        "" => "",
        labels => labels.strip_prefix('{')?.strip_suffix('}')?,
    };
    let pairs = labels.split(',').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.trim_matches('"').to_owned())
    });
    Some((pairs.collect(), value.parse().unwrap()))
}
