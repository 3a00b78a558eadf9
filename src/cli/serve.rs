//! `hookgate serve`: the gateway, from its configuration to its exit code.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use super::{Failure, runtime};
use crate::app::{App, Running};
use crate::config::{Config, ProcessEnvironment};
use crate::coredump;
use crate::telemetry;

/// How often the configuration and the files with secrets are looked at for changes.
const LOOK: Duration = Duration::from_secs(5);

pub(super) fn run(path: &Path) -> Result<ExitCode, Failure> {
    let config = load(path)?;
    telemetry::start(config.server.log).map_err(|error| Failure::failed(error.to_string()))?;
    if std::env::var_os(coredump::VARIABLE).is_some() {
        warn!("core dumps are allowed, and would hold secrets and bodies");
    }
    tell(&config);
    runtime()?.block_on(serve(config, path))
}

/// Logs what the operator should know of a configuration that loads.
fn tell(config: &Config) {
    for notice in &config.notices {
        info!(notice, "configuration leaves something in");
    }
    for warning in &config.warnings {
        warn!(warning, "configuration may be mistaken");
    }
}

/// Loads a configuration; all its problems are the message.
pub(super) fn load(path: &Path) -> Result<Config, Failure> {
    Config::load(path, &ProcessEnvironment).map_err(|problems| {
        let hint = match path.exists() {
            true => "",
            false => {
                "\nname the file with --config FILE; docs/CONFIGURATION.md says what stands in it"
            }
        };
        Failure::unusable(format!(
            "the configuration cannot be used\n{problems}{hint}"
        ))
    })
}

async fn serve(config: Config, path: &Path) -> Result<ExitCode, Failure> {
    let mut ends = ends()?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let grace = config.server.shutdown_grace;
    let mut watch = Watch::new(&config);
    let app = App::bind(config).await?;
    info!(
        version = env!("CARGO_PKG_VERSION"),
        public = %app.public_addr(),
        admin = %app.admin_addr(),
        "listening"
    );
    let running = app.spawn();
    loop {
        tokio::select! {
            () = any(&mut ends) => break,
            _ = hang_up.recv() => reload(&running, path, &mut watch).await,
            () = tokio::time::sleep(LOOK) => {
                if watch.changed() {
                    reload(&running, path, &mut watch).await;
                }
            }
        }
    }
    info!("draining");
    if running.finish(grace).await {
        info!("drained");
        return Ok(ExitCode::SUCCESS);
    }
    error!("not drained in time; what is recorded and not published is owed by the ledger");
    Ok(ExitCode::FAILURE)
}

/// Listens for what ends the process: SIGTERM and SIGINT.
pub(super) fn ends() -> io::Result<[Signal; 2]> {
    Ok([
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    ])
}

/// Resolves when one of them came.
pub(super) async fn any([terminate, interrupt]: &mut [Signal; 2]) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Loads the configuration again and puts its endpoints in force; a bad one changes nothing.
async fn reload(running: &Running, path: &Path, watch: &mut Watch) {
    let file = path.to_owned();
    let loaded = tokio::task::spawn_blocking(move || load(&file)).await;
    let problem = match loaded {
        Ok(Ok(config)) => {
            *watch = Watch::new(&config);
            tell(&config);
            running.reload(&config);
            return;
        }
        Ok(Err(failure)) => {
            watch.look_again();
            failure.message
        }
        // What the error says of a panic would be the panic's message.
        Err(_) => "reading it ended in a panic".to_owned(),
    };
    running.reload_failed();
    error!(
        problem,
        "configuration not reloaded: the one in force stays"
    );
}

/// Notices when one of the files behind a configuration changes.
struct Watch {
    files: Vec<PathBuf>,
    seen: Vec<Option<State>>,
}

impl Watch {
    fn new(config: &Config) -> Self {
        let mut watch = Self {
            files: config.watched_files().to_vec(),
            seen: Vec::new(),
        };
        watch.look_again();
        watch
    }

    fn changed(&self) -> bool {
        look(&self.files) != self.seen
    }

    fn look_again(&mut self) {
        self.seen = look(&self.files);
    }
}

/// What changes with a file: when it was written, its length, and which file it is, where a link is
/// made to lead to another.
type State = (SystemTime, u64, u64);

fn look(files: &[PathBuf]) -> Vec<Option<State>> {
    let state = |file: &PathBuf| {
        let metadata = file.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    };
    files.iter().map(state).collect()
}
