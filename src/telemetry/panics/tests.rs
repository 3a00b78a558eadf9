//! A hook belongs to a process, so each test is run again in one of its own, and its output read here.

use std::process::Command;

use tracing::Level;

use super::*;
use crate::config::{Log, LogFormat};
use crate::shutdown::Drain;
use crate::telemetry;

/// What was being worked on.
const MARKER: &str = "body-of-a-delivery-\u{e9}";

/// Tells a test that it is the one that panics.
const AGAIN: &str = "RUN_AGAIN_TO_PANIC";

/// Runs the test of this name again, and returns all that it writes.
fn output_of(test: &str, backtrace: bool) -> String {
    let name = format!("telemetry::panics::tests::{test}");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", &name, "--nocapture"])
        .env(AGAIN, "1");
    match backtrace {
        true => command.env("RUST_BACKTRACE", "1"),
        false => command.env_remove("RUST_BACKTRACE"),
    };
    let output = command.output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(text.contains("running 1 test"), "{text}");
    text
}

fn is_again() -> bool {
    std::env::var_os(AGAIN).is_some()
}

fn failure(what: &str) -> Result<(), String> {
    Err(what.to_owned())
}

/// Panics in each of the ways in which a message holds what was worked on, and once in plain words.
fn panic_in_every_way() {
    let end = MARKER.len() - 1;
    let ways: [fn(usize); 7] = [
        |end| drop(MARKER[..end].to_owned()),
        |_| failure(MARKER).unwrap(),
        |_| assert_eq!(MARKER, "another"),
        |_| panic!("at {MARKER}{}", std::process::id()),
        |_| {
            drop(
                std::cell::RefCell::new(MARKER)
                    .try_borrow()
                    .map(|text| panic!("{text}")),
            )
        },
        |_| std::panic::panic_any(MARKER.to_owned()),
        |_| panic!("in plain words"),
    ];
    for way in ways {
        let thread = std::thread::Builder::new().name("of-the-test".to_owned());
        let ended = thread.spawn(move || way(end)).unwrap().join();
        assert!(ended.is_err());
    }
}

/// Panics in a task, in work that is seen through, and on a blocking thread.
fn panic_in_tasks() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let drain = Drain::new();
        let fail = |what: String| async move { failure(&what).unwrap() };
        let spawned = drain.spawn(fail(MARKER.to_owned())).await;
        assert!(spawned.unwrap_err().is_panic());
        assert!(drain.see_through(fail(MARKER.to_owned())).await.is_none());
        let blocking = tokio::task::spawn_blocking(|| failure(MARKER).unwrap()).await;
        assert!(blocking.unwrap_err().is_panic());
    });
}

#[test]
fn a_log_line_tells_the_place_and_not_what_with() {
    if is_again() {
        report_places_alone();
        let (format, level) = (LogFormat::Json, Level::TRACE);
        telemetry::start(Log { format, level }).unwrap();
        panic_in_every_way();
        panic_in_tasks();
        return;
    }
    let text = output_of("a_log_line_tells_the_place_and_not_what_with", false);
    assert!(!text.contains("body-of-a-delivery"), "{text}");
    let lines = text.lines().filter(|line| line.starts_with('{'));
    let lines: Vec<serde_json::Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 10, "{text}");
    let whys: Vec<&str> = lines
        .iter()
        .map(|line| line["why"].as_str().unwrap())
        .collect();
    assert_eq!(whys.iter().filter(|why| **why == WITHHELD).count(), 9);
    assert_eq!(whys[6], "in plain words");
    for line in &lines {
        assert_eq!(
            (&line["message"], &line["level"]),
            (&"panic".into(), &"ERROR".into())
        );
        assert!(line["place"].as_str().unwrap().contains(".rs:"), "{line}");
    }
    assert_eq!(lines[0]["thread"], "of-the-test");
}

#[test]
fn a_backtrace_has_frames_and_no_values() {
    if is_again() {
        report_places_alone();
        let (format, level) = (LogFormat::Json, Level::TRACE);
        telemetry::start(Log { format, level }).unwrap();
        return panic_in_every_way();
    }
    let text = output_of("a_backtrace_has_frames_and_no_values", true);
    assert!(!text.contains("body-of-a-delivery"), "{text}");
    assert!(text.contains("panic_in_every_way"), "{text}");
}

#[test]
fn before_there_is_a_log_it_is_told_all_the_same() {
    if is_again() {
        report_places_alone();
        return panic_in_every_way();
    }
    let text = output_of("before_there_is_a_log_it_is_told_all_the_same", false);
    assert!(!text.contains("body-of-a-delivery"), "{text}");
    let told = text
        .lines()
        .filter(|line| line.starts_with("hookgate: panic at "));
    assert_eq!(told.count(), 7, "{text}");
    assert!(
        text.contains("in thread of-the-test: in plain words"),
        "{text}"
    );
}
