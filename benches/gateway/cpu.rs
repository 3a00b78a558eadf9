//! CPU time of a process, as the kernel accounts for it.

use std::time::Duration;

use anyhow::Context;

/// What `/proc` counts in, on every architecture of Linux (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Returns the CPU time, user and system, that all threads of a process have used.
pub(crate) fn time_of(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .context("CPU time is read from /proc, which needs Linux")?;
    // The name in parentheses may hold anything; behind it stands the third field.
    let (_, fields) = stat.rsplit_once(')').context("no such form of stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let [user, system] = [fields.get(11), fields.get(12)].map(|field| {
        field
            .and_then(|text| text.parse::<u32>().ok())
            .context("no ticks")
    });
    Ok(TICK * (user? + system?))
}
