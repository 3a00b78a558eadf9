//! The workers of `examples/`, as processes that can be killed and started again beside their databases.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rusqlite::OpenFlags;
use rusqlite::types::FromSql;

use super::until;

/// What a worker is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Python,
    Node,
    Rust,
}

/// A worker, running or not. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Worker {
    program: Command,
    db: PathBuf,
    running: Option<Child>,
}

impl Worker {
    /// Prepares a worker on a queue, with its database and its log in a directory.
    pub(crate) async fn prepare(language: Language, url: &str, queue: &str, dir: &Path) -> Self {
        let db = dir.join(format!("{queue}.db"));
        let log = std::fs::File::create(dir.join(format!("{queue}.log"))).unwrap();
        let mut program = match language {
            Language::Python => Command::new(root().join(".tools/bin/python")),
            Language::Node => Command::new("node"),
            Language::Rust => Command::new(build_example().await),
        };
        match language {
            Language::Python => drop(program.arg(root().join("examples/worker.py"))),
            Language::Node => drop(program.arg(root().join("examples/worker.mjs"))),
            Language::Rust => {}
        }
        program
            .env("AMQP_URL", url)
            .env("QUEUE", queue)
            .env("DB", &db)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        Self {
            program,
            db,
            running: None,
        }
    }

    /// Sets what the worker reads of its environment, from the next start on.
    pub(crate) fn set(&mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) {
        self.program.env(name, value);
    }

    pub(crate) fn start(&mut self) {
        let spawned = self.program.spawn();
        self.running = Some(spawned.expect("tests/setup.sh installs what the workers need"));
    }

    /// Kills it, as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks the worker to end, and makes sure that it does so by itself.
    pub(crate) async fn end(&mut self) {
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
    pub(crate) fn effects(&self) -> BTreeMap<String, u32> {
        self.rows("SELECT signalid, count(*) FROM effects GROUP BY signalid")
    }

    /// Returns the data that each signal had for the worker, by signalid.
    pub(crate) fn data(&self) -> BTreeMap<String, String> {
        self.rows("SELECT signalid, data FROM effects")
    }

    /// Returns what the worker said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.db.with_extension("log")).unwrap()
    }

    fn rows<T: FromSql>(&self, query: &str) -> BTreeMap<String, T> {
        let read = || -> rusqlite::Result<_> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
            let store = rusqlite::Connection::open_with_flags(&self.db, flags)?;
            let mut rows = store.prepare(query)?;
            let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        // The worker may not have created it yet.
        read().unwrap_or_default()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds the worker in Rust beside the program under test, where it is not there yet.
async fn build_example() -> PathBuf {
    let programs = Path::new(env!("CARGO_BIN_EXE_hookgate")).parent().unwrap();
    let profile = match programs.file_name().unwrap().to_str() {
        Some("debug") => "dev",
        other => other.unwrap(),
    };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root());
    cargo.args(["build", "--quiet", "--locked", "--example", "worker"]);
    cargo.args(["--profile", profile, "--target-dir"]);
    cargo.arg(programs.parent().unwrap());
    // What cargo tells a test makes build scripts run again, and all that hangs on them.
    for (name, _) in std::env::vars() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"]
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
