//! What is wrong with a text that should be JSON.

use std::fmt;

/// What cannot be read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {offset}")]
pub struct JsonError {
    /// Bytes before the place, from 0.
    pub offset: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with a text that should be JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes are not UTF-8.
    NotUtf8,
    /// The text ends before its value does.
    End,
    /// Something else should stand here.
    Unexpected,
    /// A number is not written as JSON writes numbers.
    Number,
    /// A control character stands unescaped in a string.
    Control,
    /// A backslash is followed by no known escape.
    Escape,
    /// An escaped surrogate lacks its other half, so the string is no Unicode text.
    Surrogate,
    /// More than [`MAX_DEPTH`](super::MAX_DEPTH) objects and arrays are open.
    TooDeep,
    /// The value is followed by something.
    Trailing,
}

impl Fault {
    /// Tells whether other parsers may well read the text: it is JSON so far, only not for us.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Surrogate | Self::TooDeep)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "not UTF-8",
            Self::End => "unexpected end",
            Self::Unexpected => "unexpected character",
            Self::Number => "malformed number",
            Self::Control => "unescaped control character",
            Self::Escape => "unknown escape",
            Self::Surrogate => "lone surrogate",
            Self::TooDeep => "too many levels",
            Self::Trailing => "text after the value",
        })
    }
}
