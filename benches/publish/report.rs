//! What is printed: medians over the rounds, and between which values the rounds lay.

use std::time::Duration;

use crate::broker::Kind;
use crate::drain::{BACKLOG, Drained};

/// Prints a line.
#[expect(clippy::print_stdout, reason = "a benchmark is for reading")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Prints the messages confirmed a second: through the publisher, and on a channel each.
pub(crate) fn throughput(kind: Kind, rates: &[(f64, f64)]) {
    let rounds = rates.len();
    let name = kind.name();
    say(&format!(
        "\n{name} queue, {rounds} rounds: median (min to max)"
    ));
    let spread = |what: fn(&(f64, f64)) -> f64| spread(rates.iter().map(what).collect(), 0);
    line("many in flight", &spread(|(many, _)| *many), "confirmed/s");
    line("128 channels", &spread(|(_, one)| *one), "confirmed/s");
    let ratio = rates.iter().map(|(many, one)| many / one).collect();
    line("ratio", &self::spread(ratio, 2), "");
}

/// Prints how a backlog drained.
pub(crate) fn drains(kind: Kind, drains: &[Drained]) {
    let name = kind.name();
    say(&format!("\n{name} queue, a backlog of {BACKLOG} signals"));
    let rates = drains.iter().map(|one| one.rate).collect();
    line("drained", &spread(rates, 0), "signals/s");
    for (label, percent) in [("median", 50), ("99 of 100", 99)] {
        let at = |waits: &Vec<Duration>| {
            let place = waits.len() * percent / 100;
            let wait = waits.get(place).or(waits.last());
            wait.map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3)
        };
        let quiet = drains.iter().map(|one| at(&one.quiet)).collect();
        let during = drains.iter().map(|one| at(&one.during)).collect();
        line(&format!("live, quiet, {label}"), &spread(quiet, 2), "ms");
        line(&format!("live, drain, {label}"), &spread(during, 2), "ms");
    }
}

fn line(label: &str, value: &str, unit: &str) {
    say(&format!("  {label:<25}{value} {unit}"));
}

fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
    let (least, median) = (at(0), at(values.len() / 2));
    let most = at(values.len().saturating_sub(1));
    format!("{median:.digits$} ({least:.digits$} to {most:.digits$})")
}
