//! Gateways as processes of their own: the real binary, on free ports, with all that it says kept.

use std::fmt::Write as _;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use super::line::Line;
use super::until;

/// The verification secret of every endpoint that names no other.
pub(crate) const SECRET: &str = "whsec_of_the_tests_5f2c81";

/// What gateways are started with. The URLs and secrets go through the environment.
#[derive(Debug)]
pub(crate) struct Setup {
    dir: TempDir,
    ledger_url: String,
    publisher_url: String,
    server: String,
    ledger: String,
    publisher: String,
    endpoints: String,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// A gateway on embedded defaults, with no endpoint. A slow machine must not look like an outage,
    /// so the ledger has more time than it has by default.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            ledger_url: format!("sqlite:{}", dir.path().join("ledger.db").display()),
            publisher_url: "stdout:".to_owned(),
            server: String::new(),
            ledger: "timeout = \"30s\"".to_owned(),
            publisher: String::new(),
            endpoints: String::new(),
            environment: vec![("SECRET".to_owned(), SECRET.to_owned())],
            dir,
        }
    }

    /// Records at a URL.
    pub(crate) fn ledger(mut self, url: &str) -> Self {
        url.clone_into(&mut self.ledger_url);
        self
    }

    /// Publishes to a URL, with further lines of `[publisher]`.
    pub(crate) fn publisher(mut self, url: &str, lines: &str) -> Self {
        url.clone_into(&mut self.publisher_url);
        lines.clone_into(&mut self.publisher);
        self
    }

    /// Replaces the lines of `[ledger]`.
    pub(crate) fn ledger_lines(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.ledger);
        self
    }

    /// Sets further lines of `[server]`.
    pub(crate) fn server(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.server);
        self
    }

    /// Adds an endpoint whose secret is [`SECRET`].
    pub(crate) fn endpoint(self, id: &str, tenant: &str, provider: &str) -> Self {
        self.endpoint_with(id, tenant, provider, "secrets = [\"env:SECRET\"]")
    }

    /// Adds an endpoint with further lines, its secrets among them.
    pub(crate) fn endpoint_with(
        mut self,
        id: &str,
        tenant: &str,
        provider: &str,
        lines: &str,
    ) -> Self {
        let head = format!("id = \"{id}\"\ntenant = \"{tenant}\"\nprovider = \"{provider}\"");
        write!(self.endpoints, "[[endpoint]]\n{head}\n{lines}\n").unwrap();
        self
    }

    /// Adds a section of another kind.
    pub(crate) fn section(mut self, text: &str) -> Self {
        self.endpoints.insert_str(0, text);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The directory of the configuration file and, unless set otherwise, of the ledger.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration file's text.
    pub(crate) fn text(&self) -> String {
        let Self {
            server,
            ledger,
            publisher,
            endpoints,
            ..
        } = self;
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
             log_format = \"json\"\n{server}\n\
             [ledger]\nurl = \"env:LEDGER_URL\"\n{ledger}\n\
             [publisher]\nurl = \"env:PUBLISHER_URL\"\n{publisher}\n{endpoints}"
        )
    }

    /// Writes the configuration file anew.
    pub(crate) fn write(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    /// Starts a gateway and waits until it listens.
    pub(crate) async fn start(&self) -> Gateway {
        let child = self
            .command("serve")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Gateway::of(child).await
    }

    /// Starts a gateway that logs text for people.
    pub(crate) async fn start_for_people(&self) -> Gateway {
        let mut command = self.command("serve");
        let text = self.text();
        self.write(&text.replace("log_format = \"json\"", "log_format = \"human\""));
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Gateway::of(command.spawn().unwrap()).await
    }

    /// Prepares the binary to run a command that needs no configuration, in its directory.
    pub(crate) fn offline(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
        command
            .arg(name)
            .current_dir(self.dir())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Starts a gateway whose files may not grow beyond so many blocks of 512 bytes, as on a disk that
    /// is full then.
    pub(crate) async fn start_on_a_disk_of(&self, blocks: u32) -> Gateway {
        let serve = self.command("serve");
        let limit = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &limit]).arg(serve.get_program());
        let environment = serve
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)));
        let child = shell
            .args(serve.get_args())
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Gateway::of(child.unwrap()).await
    }

    /// Prepares the binary to run a command with the configuration.
    pub(crate) fn command(&self, name: &str) -> Command {
        self.write(&self.text());
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
        command
            .args([name, "--config"])
            .arg(self.file())
            .envs(self.environment.iter().cloned())
            .env("LEDGER_URL", &self.ledger_url)
            .env("PUBLISHER_URL", &self.publisher_url)
            .stdin(Stdio::null());
        command
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("hookgate.toml")
    }
}

/// A running gateway. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    stdout: Output,
    stderr: Output,
    public: SocketAddr,
    admin: SocketAddr,
}

impl Gateway {
    async fn of(mut child: Child) -> Self {
        let stdout = Output::of(child.stdout.take().unwrap());
        let stderr = Output::of(child.stderr.take().unwrap());
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut gateway = Self {
            child,
            stdout,
            stderr,
            public: unknown,
            admin: unknown,
        };
        until("the gateway listens", async || {
            let ended = gateway.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", gateway.stderr.text());
            gateway.address("public").is_some() && gateway.address("admin").is_some()
        })
        .await;
        gateway.public = gateway.address("public").unwrap();
        gateway.admin = gateway.address("admin").unwrap();
        gateway
    }

    /// Reads one of its addresses from the log, in whichever form that is.
    fn address(&self, name: &str) -> Option<SocketAddr> {
        let text = self.stderr.text();
        let line = text.lines().find(|line| line.contains("listening"))?;
        if let Ok(line) = serde_json::from_str::<Value>(line) {
            return line[name].as_str()?.parse().ok();
        }
        let (_, rest) = line.split_once(&format!("{name}="))?;
        rest.split_whitespace().next()?.parse().ok()
    }

    /// The arguments that every other process sees.
    pub(crate) fn called(&self) -> Vec<u8> {
        let path = format!("/proc/{}/cmdline", self.child.id());
        // Nothing where it has ended.
        std::fs::read(path).unwrap_or_default()
    }

    /// The address of the public listener.
    pub(crate) fn public(&self) -> SocketAddr {
        self.public
    }

    /// The address of the admin listener.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Connects to the public listener.
    pub(crate) async fn connect(&self) -> Line {
        Line::to(self.public).await.unwrap()
    }

    /// Sends one request to the public listener, on a connection of its own.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.connect().await.send(request).await.unwrap()
    }

    /// Asks the admin listener, and returns status and body.
    pub(crate) async fn ask(&self, path: &str) -> (u16, String) {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = path.parse().unwrap();
        let mut line = Line::to(self.admin).await.unwrap();
        let answer = line.send(request).await.unwrap();
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        (answer.status().as_u16(), text)
    }

    /// Waits until `/readyz` says whether deliveries can be taken, and returns what it says.
    pub(crate) async fn until_ready(&self, ready: bool) -> String {
        let status = if ready { 200 } else { 503 };
        let mut report = String::new();
        until("readiness changes", async || {
            let (found, text) = self.ask("/readyz").await;
            report = text;
            found == status
        })
        .await;
        report
    }

    /// Reads one series of the metrics; 0 where there is none yet.
    pub(crate) async fn metric(&self, series: &str) -> u64 {
        let (status, text) = self.ask("/metrics").await;
        assert_eq!(status, 200);
        let value = |line: &str| line.strip_prefix(series)?.trim().parse().ok();
        text.lines().find_map(value).unwrap_or(0)
    }

    /// Waits until a series of the metrics has a value.
    pub(crate) async fn until_metric(&self, series: &str, value: u64) {
        let what = format!("{series} is {value}");
        until(&what, async || self.metric(series).await == value).await;
    }

    /// Counts the deliveries of all endpoints with an outcome and a reason.
    pub(crate) async fn deliveries(&self, outcome: &str, reason: &str) -> u64 {
        let labels = [
            format!("outcome=\"{outcome}\""),
            format!("reason=\"{reason}\""),
        ];
        let (_, text) = self.ask("/metrics").await;
        text.lines()
            .filter(|line| line.starts_with("hookgate_deliveries_total{"))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    }

    /// Counts the signals that the broker has confirmed, on whichever path.
    pub(crate) async fn published(&self) -> u64 {
        let confirmed = self.metric("hookgate_publish_total{result=\"confirmed\"}");
        confirmed.await
            + self
                .metric("hookgate_publish_total{result=\"relayed\"}")
                .await
    }

    /// The lines of the log that have this message.
    pub(crate) fn logged(&self, message: &str) -> Vec<Value> {
        let text = self.stderr.text();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines
            .filter(|line: &Value| line["message"] == message)
            .collect()
    }

    /// What it has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// What it has written to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Sends a signal of the operating system, such as `-TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Asks it to end, waits until it has, and returns its exit code.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        self.signal("-TERM");
        self.ended().await
    }

    /// Kills it, as a crash would.
    pub(crate) async fn kill(&mut self) {
        self.signal("-KILL");
        assert_eq!(self.ended().await, None);
    }

    /// Waits until it has ended and all it said is read; returns its exit code, if it had one.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let child = &mut self.child;
        let mut status = None;
        until("the gateway ends", async || {
            status = child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        self.stdout.finish();
        self.stderr.finish();
        status.and_then(|status| status.code())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left to do about it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process writes to one of its streams.
#[derive(Debug)]
struct Output {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let kept = text.clone();
        let reader = std::thread::spawn(move || {
            let mut some = [0; 8192];
            while let Ok(read @ 1..) = stream.read(&mut some) {
                kept.lock().unwrap().extend_from_slice(&some[..read]);
            }
        });
        Self {
            text,
            reader: Some(reader),
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}
