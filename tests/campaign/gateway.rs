//! A gateway of the campaign: the real binary, on ports of its own that it keeps across restarts, with
//! its log in a file.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::Request;

use super::events::{BASE64_SECRET, Endpoint};
use super::plan::Plan;
use super::support::line::Line;
use super::support::ports::free_ports;
use super::support::process::SECRET;
use super::support::until;

/// What fakes the clock, where Debian's `libfaketime` puts it.
const FAKE_CLOCK: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

/// A gateway, running or not. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Gateway {
    public: u16,
    admin: u16,
    config: PathBuf,
    /// Its configuration without a spool, and with one.
    configurations: [String; 2],
    log: PathBuf,
    environment: Vec<(&'static str, String)>,
    /// The file that says what the clock shows.
    clock: Option<PathBuf>,
    child: Mutex<Option<Child>>,
}

impl Gateway {
    /// Prepares a gateway that reaches its ledger and its publisher at these URLs. The clock of one
    /// with `fake_clock` can be set, where the library for that is installed.
    pub(crate) fn prepare(
        (dir, name): (&Path, &str),
        plan: &Plan,
        endpoints: &[Endpoint],
        (ledger, publisher): (String, String),
        fake_clock: bool,
    ) -> Self {
        let [public, admin] = free_ports();
        let config = dir.join(format!("{name}.toml"));
        let spool = dir.join(format!("{name}.spool"));
        let spool = format!("spool = \"sqlite:{}\"\n", spool.display());
        let configurations =
            ["", &spool].map(|spool| configuration(plan, endpoints, (public, admin), spool));
        std::fs::write(&config, &configurations[0]).unwrap();
        let mut environment = vec![
            ("LEDGER_URL", ledger),
            ("PUBLISHER_URL", publisher),
            ("SECRET", SECRET.to_owned()),
            ("BASE64_SECRET", BASE64_SECRET.to_owned()),
        ];
        let library = FAKE_CLOCK.into_iter().find(|path| Path::new(path).exists());
        let library = library.filter(|_| fake_clock);
        let clock = library.map(|_| dir.join(format!("{name}.clock")));
        if let (Some(library), Some(clock)) = (library, &clock) {
            std::fs::write(clock, "+0").unwrap();
            environment.extend([
                ("LD_PRELOAD", library.to_owned()),
                ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
                ("FAKETIME_CACHE_DURATION", "1".to_owned()),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ]);
        }
        Self {
            public,
            admin,
            config,
            configurations,
            log: dir.join(format!("{name}.log")),
            environment,
            clock,
            child: Mutex::default(),
        }
    }

    /// Starts it. It listens soon.
    pub(crate) fn start(&self) {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
        command
            .args(["serve", "--config"])
            .arg(&self.config)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.unwrap());
        let child = command.spawn().unwrap();
        *self.child.lock().unwrap() = Some(child);
    }

    /// Has a spool beside its ledger, or none, from its next start on.
    pub(crate) fn configure(&self, with_spool: bool) {
        std::fs::write(&self.config, &self.configurations[usize::from(with_spool)]).unwrap();
    }

    /// How many deliveries wait in its spool; nothing where it does not answer.
    pub(crate) async fn spooled(&self) -> Option<u64> {
        let mut line = Line::to(local(self.admin)).await.ok()?;
        let request = Request::get("/metrics").header("host", "localhost");
        let answer = line.send(request.body(Bytes::new()).unwrap()).await.ok()?;
        let metrics = std::str::from_utf8(answer.body()).ok()?;
        let value = |line: &str| line.strip_prefix("hookgate_spooled ")?.trim().parse().ok();
        metrics.lines().find_map(value)
    }

    /// Sends it a signal of the operating system, such as `-STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.lock().unwrap().as_ref().map(Child::id);
        let pid = pid.expect("the gateway runs").to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until it has ended, after a signal that ends it.
    pub(crate) async fn ended(&self) {
        until("the gateway ends", async || {
            let mut child = self.child.lock().unwrap();
            let status = child.as_mut().map(|child| child.try_wait().unwrap());
            status.is_none_or(|status| status.is_some())
        })
        .await;
    }

    /// Whether it runs. One that ended without being told to has crashed.
    pub(crate) fn runs(&self) -> bool {
        let mut child = self.child.lock().unwrap();
        child
            .as_mut()
            .is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Sets its clock so far beside the real one, such as `+7200`. It takes notice within a second or
    /// two.
    pub(crate) fn set_clock(&self, offset: &str) {
        let clock = self.clock.as_ref().expect("the clock can be set");
        // Replaced as a whole, so that it is never read half-written.
        let new = clock.with_extension("new");
        std::fs::write(&new, offset).unwrap();
        std::fs::rename(new, clock).unwrap();
    }

    /// Whether its clock can be set.
    pub(crate) fn has_clock(&self) -> bool {
        self.clock.is_some()
    }

    /// The port of its public listener.
    pub(crate) fn port(&self) -> u16 {
        self.public
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            // It may have ended already; either way nothing is left to do about it.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How long a delivery is waited for, as long as the tightest of the well-known vendors do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// The local address of a port.
pub(crate) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The configuration. Times are short, so that a minute sees many of them run out.
fn configuration(
    plan: &Plan,
    endpoints: &[Endpoint],
    (public, admin): (u16, u16),
    spool: &str,
) -> String {
    let retention = plan.retention;
    let mut text = format!(
        r#"[server]
listen = "127.0.0.1:{public}"
admin_listen = "127.0.0.1:{admin}"
log_format = "json"
log_level = "warn"
shutdown_grace = "5s"

[ledger]
url = "env:LEDGER_URL"
retention = "{retention}"
dedupe_window = "6h"
replay_window = "6h"
timeout = "1s"
{spool}
[publisher]
url = "env:PUBLISHER_URL"
lease = "2s"
confirm_timeout = "2s"
retry_parked = "1s"
"#
    );
    for Endpoint {
        id,
        tenant,
        provider,
        ..
    } in endpoints
    {
        let secret = match *provider {
            "standard-webhooks" => "BASE64_SECRET",
            _ => "SECRET",
        };
        write!(
            text,
            "\n[[endpoint]]\nid = \"{id}\"\ntenant = \"{tenant}\"\nprovider = \"{provider}\"\n\
             secrets = [\"env:{secret}\"]\n"
        )
        .unwrap();
    }
    text
}
