//! The only file that reads a clock.
//!
//! Everything that decides takes `now` as an argument, so that a verdict can be recomputed for any
//! moment (`hookgate verify --at`) and tests need no waiting. Clippy's `disallowed-methods` keeps
//! other files from asking the time.

use std::time::Instant;

pub use jiff::Timestamp;

/// Returns the wall-clock time, for timestamps in signals and for signature tolerances.
#[expect(clippy::disallowed_methods, reason = "this is the file that may")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Returns the monotonic time, for measuring how long something took.
#[expect(clippy::disallowed_methods, reason = "this is the file that may")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Formats a timestamp as RFC 3339 in UTC with milliseconds, as signals carry it.
pub fn rfc3339_millis(time: Timestamp) -> String {
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_time_has_three_digits_of_a_second_and_a_z() {
        let time: Timestamp = "2026-01-05T10:00:00.4129Z".parse().unwrap();
        assert_eq!(rfc3339_millis(time), "2026-01-05T10:00:00.412Z");
    }
}
