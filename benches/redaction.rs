//! `cargo bench --bench redaction`: what the redacting pass costs, beside reading a body and writing
//! it again.
//!
//! Bodies are made of the samples of all providers. The floor is a transcode by `serde_json`, with no
//! tree in between; what is measured takes turns with it, so that a slow moment of the machine does
//! not fall on one alone.

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use hookgate::clock;
use hookgate::provider::Catalogue;
use hookgate::redact::{Profile, Redactor, Rules};

/// How often everything gets its turn.
const ROUNDS: usize = 15;
/// How long a turn lasts.
const TURN: Duration = Duration::from_millis(60);
/// Bytes of the bodies, about.
const SIZES: [usize; 4] = [1 << 10, 10 << 10, 100 << 10, 1 << 20];
/// The most that a pass should take, as a multiple of a transcode.
const GOAL: f64 = 2.0;
/// What a pass over 100 KiB should do at least, in MB/s, with the profile that is the default.
const RATE_GOAL: f64 = 300.0;

fn main() -> anyhow::Result<()> {
    let catalogue = Catalogue::builtin()?;
    let redactors = [
        ("secrets", redactor(&catalogue, Profile::SECRETS)?),
        ("all groups", redactor(&catalogue, Profile::ALL)?),
    ];
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{:>9}  {:<12} {:>24} {:>10} {:>20}",
        "bytes", "pass", "µs (median, range)", "MB/s", "times a transcode"
    )?;
    for size in SIZES {
        let body = body(&catalogue, size)?;
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            rounds.push(round(&body, &redactors)?);
        }
        let floors: Vec<f64> = rounds.iter().map(|round| round[0]).collect();
        print(&mut out, body.len(), "transcode", &floors, &floors)?;
        for (at, (name, _)) in redactors.iter().enumerate() {
            let times: Vec<f64> = rounds.iter().map(|round| round[at + 1]).collect();
            print(&mut out, body.len(), name, &times, &floors)?;
        }
    }
    writeln!(
        out,
        "goals: {GOAL} times a transcode; {RATE_GOAL} MB/s for 100 KiB with the profile `secrets`"
    )?;
    Ok(())
}

/// Makes the redactor of an endpoint as they mostly are: the provider's paths, and a secret.
fn redactor(catalogue: &Catalogue, profile: Profile) -> anyhow::Result<Redactor> {
    let provider = catalogue.get("stripe").context("stripe is built in")?;
    let rules = Rules {
        profile,
        sensitive: provider.sensitive.clone(),
        secrets: vec!["whsec_of_the_benchmark_and_nobody_else".into()],
        ..Rules::default()
    };
    Ok(Redactor::new(&rules)?)
}

/// Makes a body of the samples that are JSON, one after the other.
fn body(catalogue: &Catalogue, size: usize) -> anyhow::Result<Vec<u8>> {
    let mut samples = Vec::new();
    for name in catalogue.names() {
        let sample = &catalogue.get(name).context("a name of its own")?.sample;
        let text = sample.body.replace("$NOW", "1767607200");
        let filled = text.replace("$ID", "1");
        if serde_json::from_str::<serde::de::IgnoredAny>(&filled).is_ok() && text.contains('{') {
            samples.push(text);
        }
    }
    let mut body = String::from(r#"{"events":["#);
    for (at, sample) in samples.iter().cycle().enumerate() {
        body.push_str(&sample.replace("$ID", &format!("evt_{at}")));
        if body.len() >= size {
            break;
        }
        body.push(',');
    }
    body.push_str("]}");
    Ok(body.into_bytes())
}

/// Gives everything its turn, and returns microseconds: the transcode's, then each redactor's.
fn round(body: &[u8], redactors: &[(&str, Redactor)]) -> anyhow::Result<Vec<f64>> {
    let mut times = vec![time(|| transcode(body))?];
    for (_, redactor) in redactors {
        times.push(time(|| {
            let mut out = Vec::with_capacity(body.len());
            redactor.redact("application/json", black_box(body), &mut out)?;
            Ok(black_box(out)[0])
        })?);
    }
    Ok(times)
}

fn transcode(body: &[u8]) -> anyhow::Result<u8> {
    let mut out = Vec::with_capacity(body.len());
    serde_transcode::transcode(
        &mut serde_json::Deserializer::from_slice(black_box(body)),
        &mut serde_json::Serializer::new(&mut out),
    )?;
    Ok(black_box(out)[0])
}

/// Repeats a step for a turn and returns what one takes, in microseconds.
fn time(step: impl Fn() -> anyhow::Result<u8>) -> anyhow::Result<f64> {
    let began = clock::instant();
    let mut times = 0.0;
    loop {
        for _ in 0..8 {
            black_box(step()?);
        }
        times += 8.0;
        let took = clock::instant().saturating_duration_since(began);
        if took >= TURN {
            return Ok(took.as_secs_f64() * 1e6 / times);
        }
    }
}

fn print(
    out: &mut impl Write,
    bytes: usize,
    name: &str,
    times: &[f64],
    floors: &[f64],
) -> std::io::Result<()> {
    let ratios: Vec<f64> = times
        .iter()
        .zip(floors)
        .map(|(time, floor)| time / floor)
        .collect();
    let ([low, mid, high], [least, ratio, most]) = (spread(times), spread(&ratios));
    writeln!(
        out,
        "{bytes:>9}  {name:<12} {:>24} {:>10.0} {:>20}",
        format!("{mid:.1} ({low:.1}–{high:.1})"),
        bytes as f64 / mid,
        format!("{ratio:.2} ({least:.2}–{most:.2})"),
    )
}

/// Returns the least, the middle one and the most.
fn spread(values: &[f64]) -> [f64; 3] {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
    [
        at(0),
        at(values.len() / 2),
        at(values.len().saturating_sub(1)),
    ]
}
