//! The command line: what it prints, and the exit code that scripts go by.

mod check;
mod core_dumps;
mod demo;
mod general;
mod providers;
mod redact;
mod send;
mod verify;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::gateway::BINARY;

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs a command to its end. No terminal is there, so that nothing may be coloured.
fn run(arguments: &[&str]) -> Ran {
    run_with(arguments, Path::new("."), &[], "")
}

/// Does the same in a directory, with variables, and with something on standard input.
pub(crate) fn run_with(
    arguments: &[&str],
    dir: &Path,
    variables: &[(&str, &str)],
    stdin: &str,
) -> Ran {
    // A command that serves where it should have ended is ended, and fails the test.
    let mut child = Command::new("timeout")
        .args(["--signal=KILL", "60", BINARY])
        .args(arguments)
        .current_dir(dir)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing may be gone by now.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let ran = Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.contains('\u{1b}'), "coloured: {text:?}");
    }
    ran
}

impl Ran {
    /// Returns standard output, where the command went well.
    fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert_eq!(self.stderr, "");
        self.stdout
    }

    /// Returns what a command complained of that could not be understood.
    pub(crate) fn unusable(self) -> String {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert_eq!(self.stdout, "");
        assert!(!self.stderr.is_empty());
        self.stderr
    }
}

/// Finds a published vector.
fn vector(provider: &str, name: &str) -> Value {
    let path = format!(
        "{}/tests/vectors/{provider}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    let found = vectors.iter().find(|vector| vector["name"] == name);
    found.unwrap_or_else(|| panic!("no {name}")).clone()
}

/// The definition of the page on providers.
fn acorn() -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PROVIDERS.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block = page.split("```toml\n").nth(1).unwrap();
    block.split("```").next().unwrap().to_owned()
}
