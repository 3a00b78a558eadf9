//! Private Redis servers: real ones, each on a free port, in a directory of its own. Several of them
//! make a cluster or have sentinels: see [`groups`].
//!
//! A server ends with the value that started it, and with the test process, however that ends: a shell holds
//! the server and kills it when the pipe from the test is closed.

// Named, so that another test target can include this file.
#[path = "redis/certificates.rs"]
mod certificates;
#[path = "redis/groups.rs"]
mod groups;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hookgate::clock;
use tempfile::TempDir;

pub(crate) use self::certificates::Certificates;
pub(crate) use self::groups::{Cluster, Replicated, SERVICE};
use super::DEADLINE;
use super::ports::free_port;

/// Runs `$0 "$@"` until standard input is closed, and prints its process id first. Removes the
/// directory in `$REMOVE` at the end.
const KEEPER: &str = r#""$0" "$@" >/dev/null & pid=$!; echo $pid; cat >/dev/null
kill -9 $pid; wait $pid; test -z "$REMOVE" || rm -rf "$REMOVE""#;

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Every write is on disk before it is answered, and survives [`Redis::stop`].
    pub(crate) append_only: bool,
    /// The most memory it may use, as in `10mb`.
    pub(crate) max_memory: Option<&'static str>,
    /// The password that clients must give.
    pub(crate) password: Option<&'static str>,
    /// A Redis Cluster of one node that owns every slot: keys of different slots in one command or
    /// script are refused.
    pub(crate) cluster: bool,
    /// Further settings, as a configuration file has them.
    pub(crate) settings: Vec<String>,
    /// It speaks TLS only, and these are its certificate and the authority of its clients.
    pub(crate) tls: Option<Arc<Certificates>>,
    /// It is a sentinel, and these are its settings.
    pub(crate) sentinel: Vec<String>,
    /// It lasts as long as the test process: its directory is removed after that.
    pub(crate) shared: bool,
}

/// A running Redis server. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Redis {
    port: u16,
    pub(crate) dir: TempDir,
    options: Options,
    keeper: Option<Child>,
    pid: String,
}

impl Redis {
    /// Starts a server that keeps nothing on disk.
    pub(crate) fn start() -> Self {
        Self::with(Options::default())
    }

    /// Starts a server that follows `master`, and waits until it has what that one has.
    pub(crate) fn replica_of(master: &Self, options: Options) -> Self {
        let mut options = options;
        let port = master.port();
        options.settings.push(format!("replicaof 127.0.0.1 {port}"));
        options
            .settings
            .push("repl-diskless-sync-delay 0".to_owned());
        let replica = Self::with(options);
        replica.wait("the replica does not follow", |replica| {
            replica
                .cli(&["INFO", "replication"])
                .contains("master_link_status:up")
        });
        replica
    }

    /// Starts a server and waits until it answers.
    pub(crate) fn with(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut redis = Self {
            port: 0,
            dir,
            options,
            keeper: None,
            pid: String::new(),
        };
        // Somebody else may take a free port first.
        let started = (0..5).any(|_| {
            redis.port = free_port();
            redis.run()
        });
        assert!(started, "redis-server does not start: {}", redis.log());
        if redis.options.cluster && !redis.options.settings.iter().any(|one| one == groups::NODE) {
            redis.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
            redis.wait("the cluster is not ready", |redis| {
                redis.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
            });
        }
        redis
    }

    /// The port it listens on, on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its URL, with the password if it has one.
    pub(crate) fn url(&self) -> String {
        let user = self
            .options
            .password
            .map(|password| format!(":{password}@"))
            .unwrap_or_default();
        let scheme = if self.options.tls.is_some() {
            "rediss"
        } else {
            "redis"
        };
        format!("{scheme}://{user}127.0.0.1:{}", self.port)
    }

    /// Kills the server, as a crash would. Does nothing where it is not running.
    pub(crate) fn stop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            keeper.wait().unwrap();
        }
    }

    /// Starts a stopped server again, on the same port and with what it kept on disk.
    pub(crate) fn start_again(&mut self) {
        self.stop();
        assert!(
            self.run(),
            "redis-server does not start again: {}",
            self.log()
        );
    }

    /// Stops the server's process: connections stay open and nothing is answered.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets a frozen server go on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Runs one command with `redis-cli` and returns what it prints.
    pub(crate) fn cli(&self, command: &[&str]) -> String {
        let mut cli = Command::new("redis-cli");
        cli.args(["-p", &self.port.to_string()]);
        if let Some(certificates) = &self.options.tls {
            cli.args(["--tls", "--cacert"]).arg(certificates.ca());
            cli.arg("--cert").arg(certificates.client_chain());
            cli.arg("--key").arg(certificates.client_key());
        }
        cli.args(command);
        if let Some(password) = self.options.password {
            cli.env("REDISCLI_AUTH", password);
        }
        let output = cli.output().expect("redis-cli is installed");
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    /// Whether it can tell what is on its disk: Redis from 7.2, and Valkey.
    pub(crate) fn has_waitaof(&self) -> bool {
        self.cli(&["COMMAND", "INFO", "waitaof"])
            .contains("waitaof")
    }

    /// How many times a command was called since the server started, scripts' own calls included.
    pub(crate) fn calls_of(&self, command: &str) -> u64 {
        let stats = self.cli(&["INFO", "commandstats"]);
        let line = stats.lines().find_map(|line| {
            line.strip_prefix("cmdstat_")?
                .strip_prefix(command)?
                .strip_prefix(":calls=")
        });
        line.and_then(|line| line.split(',').next())
            .map_or(0, |calls| calls.parse().unwrap())
    }

    /// Runs the server and tells whether it answers.
    fn run(&mut self) -> bool {
        // What an earlier run says is not of this one. There may not have been any.
        let _ = std::fs::remove_file(self.dir.path().join("log"));
        let mut keeper = Command::new("sh");
        keeper
            .args(["-c", KEEPER, "redis-server"])
            .args(self.arguments());
        if self.options.shared {
            keeper.env("REMOVE", self.dir.path());
        }
        let mut keeper = keeper
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.pid.clear();
        let mut output = BufReader::new(keeper.stdout.take().unwrap());
        output.read_line(&mut self.pid).unwrap();
        self.keeper = Some(keeper);
        // Its own log tells: who answers on the port may be the server of another test.
        self.wait("redis-server does not start", |redis| {
            redis.is_ready() || redis.has_failed()
        });
        let failed = self.has_failed();
        if failed {
            self.stop();
        }
        !failed
    }

    /// Writes the configuration, and returns what the server is started with.
    fn arguments(&self) -> Vec<String> {
        let dir = self.dir.path().display();
        let mut text = format!("bind 127.0.0.1\ndir {dir}\nlogfile {dir}/log\ndaemonize no\n");
        match &self.options.tls {
            None => text += &format!("port {}\n", self.port),
            Some(certificates) => {
                text += &format!("port 0\ntls-port {}\n", self.port);
                text += &certificates.settings();
            }
        }
        let file = format!("{dir}/redis.conf");
        if !self.options.sentinel.is_empty() {
            text += &self.options.sentinel.join("\n");
            std::fs::write(&file, text + "\n").unwrap();
            return vec![file, "--sentinel".to_owned()];
        }
        text += "save \"\"\n";
        if self.options.append_only {
            text += "appendonly yes\nappendfsync always\n";
        }
        if let Some(bytes) = self.options.max_memory {
            text += &format!("maxmemory {bytes}\nmaxmemory-policy noeviction\n");
        }
        if let Some(password) = self.options.password {
            text += &format!("requirepass {password}\n");
        }
        if self.options.cluster {
            text += "cluster-enabled yes\ncluster-config-file nodes.conf\n";
        }
        for setting in &self.options.settings {
            text += &format!("{setting}\n");
        }
        std::fs::write(&file, text).unwrap();
        vec![file]
    }

    /// Tells whether this run of the server takes connections.
    fn is_ready(&self) -> bool {
        // A sentinel says another thing than a server.
        let log = self.log();
        log.contains("Ready to accept connections") || log.contains("+monitor master")
    }

    /// Tells whether this run of the server could not take its port.
    fn has_failed(&self) -> bool {
        self.log().contains("Failed listening on port")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, self.pid.trim()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits until a condition holds.
    pub(crate) fn wait(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let begun = clock::instant();
        while !done(self) {
            assert!(begun.elapsed() < DEADLINE, "{what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}
