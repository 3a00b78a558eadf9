//! The steps that no gateway can do without, alone in a loop: one HMAC, one pass over the JSON; and the
//! gateway's own redacting pass.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, anyhow};
use hookgate::clock;
use hookgate::provider::Catalogue;
use hookgate::redact::{Redactor, Rules};

use crate::body::{SECRET, Sample, tag};
use crate::cpu;
use crate::servers::THREADS;

/// How long a step is repeated.
const LONG_ENOUGH: Duration = Duration::from_millis(250);

/// Returns the CPU time of one HMAC-SHA256 over the body.
pub(crate) fn hmac(sample: &Sample) -> anyhow::Result<Duration> {
    cost(|| tag(black_box(sample.bytes())).map(|tag| tag[0]))
}

/// Returns the CPU time of reading the body and writing it again, with no tree in between.
pub(crate) fn transcode(sample: &Sample) -> anyhow::Result<Duration> {
    cost(|| {
        let mut out = Vec::with_capacity(sample.len());
        serde_transcode::transcode(
            &mut serde_json::Deserializer::from_slice(black_box(sample.bytes())),
            &mut serde_json::Serializer::new(&mut out),
        )?;
        Ok(black_box(out)[0])
    })
}

/// Returns the CPU time of redacting the body, as an endpoint of the provider does by default.
pub(crate) fn redact(sample: &Sample) -> anyhow::Result<Duration> {
    let catalogue = Catalogue::builtin()?;
    let provider = catalogue.get("github").context("github is built in")?;
    let redactor = Redactor::new(&Rules {
        sensitive: provider.sensitive.clone(),
        secrets: vec![SECRET.into()],
        ..Rules::default()
    })?;
    cost(|| {
        let mut out = Vec::with_capacity(sample.len());
        redactor.redact("application/json", black_box(sample.bytes()), &mut out)?;
        Ok(black_box(out)[0])
    })
}

/// Repeats a step on as many threads as the servers have: cores that share a cache, or are one core
/// in truth, are slower when both are at work, and the servers' are.
fn cost(step: impl Fn() -> anyhow::Result<u8> + Sync) -> anyhow::Result<Duration> {
    let before = cpu::time_of(std::process::id())?;
    let times = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(|| repeat(&step)))
            .collect();
        let ended = threads.into_iter().map(|thread| {
            let ended = thread.join();
            ended.unwrap_or_else(|_| Err(anyhow!("a step panicked")))
        });
        ended.sum::<anyhow::Result<u32>>()
    })?;
    Ok((cpu::time_of(std::process::id())?.saturating_sub(before)) / times)
}

fn repeat(step: impl Fn() -> anyhow::Result<u8>) -> anyhow::Result<u32> {
    const BATCH: u32 = 256;
    let began = clock::instant();
    let mut times = 0;
    while clock::instant().saturating_duration_since(began) < LONG_ENOUGH {
        for _ in 0..BATCH {
            black_box(step()?);
        }
        times += BATCH;
    }
    Ok(times)
}
