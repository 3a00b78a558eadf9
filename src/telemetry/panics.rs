//! Panics: where one happened is told, and what with never.
//!
//! The message of a panic can hold what the code was working on: a slice outside a text prints the
//! text, an `unwrap` the error. So only messages that are literals of the program are told, and of a
//! backtrace the frames alone, which hold no values.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

use tracing::error;

/// What stands in the place of a message that was put together.
const WITHHELD: &str = "withheld: it may hold what the program was working on";

/// Reports panics of this process in one log line each, from now on. With `RUST_BACKTRACE=1` the line
/// has a backtrace.
pub fn report_places_alone() {
    std::panic::set_hook(Box::new(report));
}

fn report(panic: &PanicHookInfo<'_>) {
    // A message with anything filled in is a `String`.
    let message = panic.payload().downcast_ref::<&'static str>();
    let message = message.copied().unwrap_or(WITHHELD);
    let place = panic.location().map(ToString::to_string);
    let place = place.as_deref().unwrap_or("unknown");
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    if tracing::dispatcher::has_been_set() {
        let backtrace = backtrace.as_deref();
        error!(place, thread, why = message, backtrace, "panic");
    } else {
        let frames = backtrace.map(|frames| format!("\n{frames}"));
        crate::cli::complain(&format!(
            "panic at {place} in thread {thread}: {message}{}",
            frames.unwrap_or_default()
        ));
    }
}

#[cfg(test)]
mod tests;
