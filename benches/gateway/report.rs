//! What is printed: medians over the rounds, and between which values the rounds lay.

use std::time::Duration;

use crate::load::Load;
use crate::replicas::Reading;
use crate::servers::Role;

/// The most that the gateway should cost, as a multiple of what it has to.
const GOAL: f64 = 1.5;

/// The most that redaction should add to a delivery of 1 KiB, as a share of the rest.
const REDACTION_GOAL: f64 = 0.3;

/// One turn of every server, and the steps measured beside them.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// CPU time per delivery of each server, and the load it was under.
    pub(crate) turns: Vec<(Role, Duration, Load)>,
    /// CPU time of one HMAC.
    pub(crate) hmac: Duration,
    /// CPU time of one transcode.
    pub(crate) transcode: Duration,
    /// CPU time of one redacting pass.
    pub(crate) redact: Duration,
}

impl Round {
    fn cpu_of(&self, role: Role) -> f64 {
        let turn = self.turns.iter().find(|(of, _, _)| *of == role);
        turn.map_or(f64::NAN, |(_, cpu, _)| micros(*cpu))
    }

    fn rate_of(&self, role: Role) -> f64 {
        let turn = self.turns.iter().find(|(of, _, _)| *of == role);
        turn.map_or(f64::NAN, |(_, _, load)| {
            load.deliveries as f64 / load.took.as_secs_f64()
        })
    }

    /// How much redaction adds to what a delivery costs without it.
    fn share_of_redaction(&self) -> f64 {
        let redact = micros(self.redact);
        redact / (self.cpu_of(Role::Gateway) - redact)
    }

    /// How many times what it has to cost a delivery costs.
    fn ratio_of(&self, role: Role) -> f64 {
        let floor = self.cpu_of(Role::Floor) + micros(self.hmac) + micros(self.transcode);
        self.cpu_of(role) / floor
    }
}

/// The rounds with bodies of one size.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    bytes: usize,
    rounds: Vec<Round>,
}

impl Report {
    /// Begins the report on bodies of this many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            bytes,
            rounds: Vec::new(),
        }
    }

    /// Takes a round in.
    pub(crate) fn add(&mut self, round: Round) {
        self.rounds.push(round);
    }

    /// Prints it.
    #[expect(clippy::print_stdout, reason = "a benchmark is for reading")]
    pub(crate) fn print(&self) {
        let rounds = self.rounds.len();
        println!(
            "\nbodies of {} bytes, {rounds} rounds: median (min to max)",
            self.bytes
        );
        for role in Role::ALL {
            let cpu = self.over(|round| round.cpu_of(role));
            let rate = self.over(|round| round.rate_of(role));
            println!(
                "  {:<25}{} µs of CPU per delivery, {:.0}/s",
                role.name(),
                cpu.show(1),
                rate.median
            );
        }
        let hmac = self.over(|round| micros(round.hmac));
        let transcode = self.over(|round| micros(round.transcode));
        println!("  {:<25}{} µs", "one HMAC-SHA256", hmac.show(1));
        println!("  {:<25}{} µs", "one JSON transcode", transcode.show(1));
        let redact = self.over(|round| micros(round.redact));
        println!("  {:<25}{} µs", "one redacting pass", redact.show(1));
        for role in [Role::Gateway, Role::GatewayAtWarn] {
            let ratio = self.over(|round| round.ratio_of(role));
            println!(
                "  {:<25}{} times bare server + HMAC + transcode (goal: {GOAL})",
                role.name(),
                ratio.show(2)
            );
        }
        let share = self.over(Round::share_of_redaction);
        println!(
            "  {:<25}{} times a delivery without it (goal at 1 KiB: {REDACTION_GOAL})",
            "redaction adds",
            share.show(2)
        );
        let ratio =
            self.over(|round| round.cpu_of(Role::EveryProvider) / round.cpu_of(Role::FewProviders));
        println!(
            "  {:<25}{} times what it costs with 8",
            "every provider",
            ratio.show(2)
        );
    }

    fn over(&self, what: impl Fn(&Round) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(what).collect())
    }
}

/// Prints how long catalogue and configuration take to read.
#[expect(clippy::print_stdout, reason = "a benchmark is for reading")]
pub(crate) fn print_readings(readings: &[(Duration, Duration, usize)]) {
    let providers = readings.first().map_or(0, |(_, _, count)| *count);
    println!(
        "\n{providers} providers, read {} times: median (min to max)",
        readings.len()
    );
    let millis = |time: &Duration| micros(*time) / 1e3;
    let catalogue = Spread::of(readings.iter().map(|(time, _, _)| millis(time)).collect());
    let check = Spread::of(readings.iter().map(|(_, time, _)| millis(time)).collect());
    println!("  {:<25}{} ms", "the catalogue", catalogue.show(1));
    println!("  {:<25}{} ms", "and an endpoint of each", check.show(1));
}

/// Prints what two replicas take beside one.
#[expect(clippy::print_stdout, reason = "a benchmark is for reading")]
pub(crate) fn print_replicas(cores: f64, readings: &[Reading]) {
    let over = |what: fn(&Reading) -> f64| Spread::of(readings.iter().map(what).collect());
    println!(
        "\nreplicas of {cores} cores each on one Redis, {} rounds: median (min to max)",
        readings.len()
    );
    println!(
        "  {:<25}{} deliveries/s",
        "one replica",
        over(|r| r.one).show(0)
    );
    println!(
        "  {:<25}{} deliveries/s",
        "two replicas",
        over(|r| r.two).show(0)
    );
    println!(
        "  {:<25}{} times one",
        "two replicas",
        over(|r| r.two / r.one).show(2)
    );
    println!(
        "  {:<25}{} cores",
        "redis, with two",
        over(|r| r.redis).show(2)
    );
}

struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
        Self {
            least: at(0),
            median: at(values.len() / 2),
            most: at(values.len().saturating_sub(1)),
        }
    }

    fn show(&self, digits: usize) -> String {
        let Self {
            least,
            median,
            most,
        } = self;
        format!("{median:6.digits$} ({least:.digits$} to {most:.digits$})")
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
