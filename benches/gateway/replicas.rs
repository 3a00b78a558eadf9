//! Replicas on one Redis: how much more two of them take than one.
//!
//! Each replica is the real binary in a control group of its own that has a small share of a core, as a
//! container with a CPU limit has, so that neither Redis nor what sends is the limit. One replica and
//! two take turns.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use hookgate::clock;

use crate::body::{PATH, SECRET, Sample};
use crate::{cpu, load, report};

/// How often one replica and two get their turns.
const ROUNDS: usize = 9;
/// How long a turn lasts.
const TURN: Duration = Duration::from_secs(2);
/// How long each replica is under load before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long a server may take to start.
const START: Duration = Duration::from_secs(10);
/// CPU time that a replica may use in each period, both in microseconds.
const QUOTA: (u32, u32) = (10_000, 50_000);

/// Deliveries a second of one replica and of two, and the share of a core that Redis used for two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Of one replica.
    pub(crate) one: f64,
    /// Of two.
    pub(crate) two: f64,
    /// Cores that Redis was busy while there were two.
    pub(crate) redis: f64,
}

/// Measures, and prints what was found.
pub(crate) fn run() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let redis = Redis::start(directory.path())?;
    let replicas = [0, 1].map(|number| Replica::start(number, directory.path(), redis.port));
    let [first, second] = replicas;
    let both = [first?, second?];
    let sample = Sample::of_size(1 << 10);
    rate(&both, &sample, WARM_UP)?;
    let mut readings = Vec::new();
    for _ in 0..ROUNDS {
        let one = rate(&both[..1], &sample, TURN)?;
        let before = cpu::time_of(redis.process.id())?;
        let two = rate(&both, &sample, TURN)?;
        let busy = cpu::time_of(redis.process.id())?.saturating_sub(before);
        let redis = busy.as_secs_f64() / TURN.as_secs_f64();
        readings.push(Reading { one, two, redis });
    }
    report::print_replicas(f64::from(QUOTA.0) / f64::from(QUOTA.1), &readings);
    Ok(())
}

/// Sends to all of some replicas at once; returns deliveries a second.
fn rate(replicas: &[Replica], sample: &Sample, turn: Duration) -> anyhow::Result<f64> {
    std::thread::scope(|scope| {
        let loads = replicas.iter();
        let loads = loads.map(|replica| scope.spawn(|| load::run(replica.address, sample, turn)));
        let mut sum = 0.0;
        for load in loads.collect::<Vec<_>>() {
            let load = load.join().ok().context("what sends has failed")??;
            sum += load.deliveries as f64 / load.took.as_secs_f64();
        }
        Ok(sum)
    })
}

/// A Redis that keeps nothing.
struct Redis {
    process: Child,
    port: u16,
}

impl Redis {
    fn start(directory: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(directory)
            .stdout(Stdio::null())
            .spawn()
            .context("redis-server is needed; `./tests/setup.sh` installs it")?;
        let redis = Self { process, port };
        until_open(SocketAddr::from(([127, 0, 0, 1], port)))?;
        Ok(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

/// The gateway in a control group of its own.
struct Replica {
    process: Child,
    address: SocketAddr,
    group: PathBuf,
}

impl Replica {
    fn start(number: u32, directory: &Path, redis: u16) -> anyhow::Result<Self> {
        let (public, admin) = (free_port()?, free_port()?);
        let config = directory.join(format!("replica{number}.toml"));
        fs::write(
            &config,
            format!(
                "allow_inline_secrets = true\n\
                 [server]\nlisten = \"127.0.0.1:{public}\"\nadmin_listen = \"127.0.0.1:{admin}\"\n\
                 log_level = \"warn\"\n\
                 [ledger]\nurl = \"redis://127.0.0.1:{redis}\"\nretention = \"10s\"\n\
                 [[endpoint]]\nid = \"bench\"\npath = \"{PATH}\"\ntenant = \"acme\"\n\
                 provider = \"github\"\nsecrets = [\"{SECRET}\"]\n"
            ),
        )?;
        let process = Command::new(env!("CARGO_BIN_EXE_hookgate"))
            .args(["serve", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .spawn()?;
        let mut replica = Self {
            process,
            address: SocketAddr::from(([127, 0, 0, 1], public)),
            group: PathBuf::new(),
        };
        replica.group = limit(&format!("hookgate-bench-{}", replica.process.id()))
            .context("limiting a process's CPU time needs root and the `cpu` control group")?;
        fs::write(
            replica.group.join("cgroup.procs"),
            replica.process.id().to_string(),
        )?;
        until_open(replica.address)?;
        Ok(replica)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        end(&mut self.process);
        // There is none where it could not be made, and it goes only when nobody is left in it.
        let _ = fs::remove_dir(&self.group);
    }
}

/// Makes a control group with [`QUOTA`], in the first or the second version of them.
fn limit(name: &str) -> std::io::Result<PathBuf> {
    let (quota, period) = QUOTA;
    let first = Path::new("/sys/fs/cgroup/cpu");
    if first.is_dir() {
        let group = first.join(name);
        fs::create_dir(&group)?;
        fs::write(group.join("cpu.cfs_period_us"), period.to_string())?;
        fs::write(group.join("cpu.cfs_quota_us"), quota.to_string())?;
        return Ok(group);
    }
    let group = Path::new("/sys/fs/cgroup").join(name);
    fs::create_dir(&group)?;
    fs::write(group.join("cpu.max"), format!("{quota} {period}"))?;
    Ok(group)
}

fn end(process: &mut Child) {
    // It may have ended already.
    let _ = process.kill();
    let _ = process.wait();
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn until_open(address: SocketAddr) -> anyhow::Result<()> {
    let began = clock::instant();
    while TcpStream::connect(address).is_err() {
        ensure!(began.elapsed() < START, "nobody listens on {address}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
