//! `cargo bench`: what a delivery costs the gateway, beside what it has to cost.
//!
//! The floor is a bare hyper server that reads the body and answers 200, plus one HMAC and one JSON
//! transcode of the body. The gateway is whole but for a ledger and a publisher that do nothing.
//! Servers are child processes (this binary again), so that each one's CPU time can be read from
//! `/proc`; they take turns, so that a slow moment of the machine does not fall on one alone.
//!
//! `cargo bench --bench gateway -- replicas` measures how much more two replicas take than one.

mod body;
mod cpu;
mod endpoints;
mod load;
mod replicas;
mod report;
mod servers;
mod steps;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use body::Sample;
use report::{Report, Round};
use servers::Role;

/// How often every server gets its turn.
const ROUNDS: usize = 9;
/// How long a turn lasts. CPU time comes in ticks of 10 ms, which are a hundredth of this.
const TURN: Duration = Duration::from_millis(900);
/// How long each server is under load before anything is measured.
const WARM_UP: Duration = Duration::from_millis(400);
/// Bytes of the bodies, about.
const SIZES: [usize; 2] = [1 << 10, 16 << 10];

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("serve") {
        let role = arguments.next().and_then(|name| Role::named(&name));
        return servers::serve(role.context("there is no such server")?);
    }
    if std::env::args().any(|argument| argument == "replicas") {
        return replicas::run();
    }
    costs()
}

/// Measures what a delivery costs, and reading the catalogue.
fn costs() -> anyhow::Result<()> {
    let servers = Role::ALL
        .into_iter()
        .map(Server::start)
        .collect::<anyhow::Result<Vec<_>>>()?;
    for size in SIZES {
        let sample = Sample::of_size(size);
        for server in &servers {
            load::run(server.address, &sample, WARM_UP)?;
        }
        let mut report = Report::new(sample.len());
        for _ in 0..ROUNDS {
            report.add(round(&servers, &sample)?);
        }
        report.print();
    }
    let mut readings = Vec::new();
    for _ in 0..ROUNDS {
        readings.push(endpoints::reading()?);
    }
    report::print_readings(&readings);
    Ok(())
}

/// Gives every server its turn, and measures the steps that cannot be done without.
fn round(servers: &[Server], sample: &Sample) -> anyhow::Result<Round> {
    let mut turns = Vec::new();
    for server in servers {
        let before = cpu::time_of(server.process.id())?;
        let load = load::run(server.address, sample, TURN)?;
        let cpu = cpu::time_of(server.process.id())?.saturating_sub(before);
        turns.push((server.role, cpu.div_f64(load.deliveries as f64), load));
    }
    Ok(Round {
        turns,
        hmac: steps::hmac(sample)?,
        transcode: steps::transcode(sample)?,
        redact: steps::redact(sample)?,
    })
}

/// A server in a process of its own, which ends when this is dropped.
struct Server {
    role: Role,
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(role: Role) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["serve", role.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = process.stdout.take().context("no pipe to the server")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let Ok(address) = line.trim().parse() else {
            bail!("the server `{}` did not start", role.name());
        };
        Ok(Self {
            role,
            process,
            address,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends by itself when its standard input does, which waiting closes first.
        let _ = self.process.wait();
    }
}
