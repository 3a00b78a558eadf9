//! Printing: results to stdout, complaints to stderr, colours on a terminal alone.

use std::io::{IsTerminal, Write, stderr, stdout};

/// A colour.
#[derive(Clone, Copy, Debug)]
pub(super) enum Colour {
    Green,
    Yellow,
    Red,
    Bold,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Red => "31",
            Self::Bold => "1",
        }
    }
}

/// Colours a text if stdout is a terminal and `NO_COLOR` is not set.
pub(super) fn paint(colour: Colour, text: &str) -> String {
    if stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{}m{text}\x1b[0m", colour.code())
    } else {
        text.to_owned()
    }
}

/// Prints a line to stdout. A reader that went away, as `head` does, is no fault.
pub(super) fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

/// Prints a complaint to stderr.
pub(crate) fn complain(message: &str) {
    let _ = writeln!(stderr(), "hookgate: {message}");
}

/// Prints lines to stderr as they are.
pub(super) fn note(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}
