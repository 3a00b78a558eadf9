//! Takes out of an event what must not be kept, on the way into its signal.
//!
//! The step `redact` of the way of a delivery: body in, the text of the envelope's `data` out, in one
//! pass and without a tree in between. What is taken out leaves [`REDACTED`] in its place; all else
//! stays to the letter (order, numbers, escapes, repeated keys), but for the space between tokens,
//! which is dropped so that a signal is one line. Redacting twice changes nothing.
//!
//! Fails closed: a body that cannot be read as what it claims to be becomes no signal. Names and
//! paths reach JSON, forms of both kinds, and JSON inside their strings. Of any other body only the endpoint's own
//! secrets can be recognised, and it is kept in base64.

mod detect;
mod document;
mod form;
mod path;
mod rules;
mod secrets;

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::json::{Fault, JsonError, MAX_DEPTH, Scanner};

pub use detect::{Detecting, Detector, Detectors, Found, Group};
pub use form::MAX_FIELDS;
pub use rules::{DEFAULT_KEYS, DEFAULT_SUFFIXES, MAX_RULES, RuleError, Rules};

/// What stands where something was taken out.
pub const REDACTED: &str = "[redacted]";

/// The same as JSON.
const REDACTED_JSON: &[u8] = b"\"[redacted]\"";

/// Redacts the events of one endpoint. Built once, used by many deliveries at a time.
pub struct Redactor {
    names: rules::Names,
    paths: path::Paths,
    secrets: secrets::Needles,
}

/// What the redactor made of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data {
    /// How the body was written out.
    pub kind: DataKind,
    /// How many values were taken out. One that holds others counts once.
    pub redacted: u32,
}

/// How a body travels in its envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    /// As JSON, in `data`.
    Json,
    /// As the characters of standard base64, without quotes, in `data_base64`.
    Base64,
}

/// Why a body cannot become a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedactError {
    /// The body is not what its media type says.
    #[error("body is malformed at byte {offset}: {what}")]
    Malformed {
        /// Bytes before the place, from 0.
        offset: usize,
        /// What is wrong there.
        what: Fault,
    },
    /// The body nests deeper than the gateway reads.
    #[error("body has more than {MAX_DEPTH} levels")]
    TooDeep,
    /// The form has more fields than the gateway reads.
    #[error("form has more than {MAX_FIELDS} fields")]
    TooManyFields,
}

/// How a body is read, which its media type decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Json,
    Form,
    /// A form in parts, with files.
    Multipart,
    /// The media type says nothing about it: JSON if it looks and reads like it.
    Guess,
    Opaque,
}

impl Redactor {
    /// Compiles the rules of an endpoint. The error names the rule that cannot be used.
    pub fn new(rules: &Rules) -> Result<Self, RuleError> {
        let (names, paths) = rules::compile(rules)?;
        let secrets = secrets::Needles::new(&rules.secrets)?;
        Ok(Self {
            names,
            paths,
            secrets,
        })
    }

    /// Redacts a body, appending what is left of it to `out`. On an error `out` is as it was.
    ///
    /// JSON and forms are appended as JSON. Text, and a body without media type, is JSON if it begins
    /// like an object or array and reads as one. Everything else is appended in base64, unless one of
    /// the endpoint's secrets is in it: then nothing of it is kept.
    pub fn redact(
        &self,
        media_type: &str,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Data, RedactError> {
        let before = out.len();
        let data = match reading(media_type) {
            Reading::Json => self.json(body, out).map_err(RedactError::from),
            Reading::Form => form::redact(self, body, out),
            Reading::Multipart => match form::redact_parts(self, media_type, body, out) {
                Some(data) => Ok(data),
                // Somebody else may find the fields in it that the rules name.
                None => Err(RedactError::Malformed {
                    offset: 0,
                    what: Fault::Unexpected,
                }),
            },
            Reading::Guess => self.guess(body, out),
            Reading::Opaque => Ok(self.opaque(body, out)),
        };
        if data.is_err() {
            out.truncate(before);
        }
        data
    }

    /// Returns a text from outside the body, such as an event id, or [`REDACTED`] if one of the
    /// endpoint's secrets is in it.
    pub fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.secrets.found_in(text.as_bytes()) {
            true => Cow::Borrowed(REDACTED),
            false => Cow::Borrowed(text),
        }
    }

    fn json(&self, body: &[u8], out: &mut Vec<u8>) -> Result<Data, JsonError> {
        let scanner = Scanner::new(body)?;
        let mut pass = document::Pass::new(self, 1, out);
        pass.document(scanner)?;
        Ok(Data {
            kind: DataKind::Json,
            redacted: pass.redacted(),
        })
    }

    fn guess(&self, body: &[u8], out: &mut Vec<u8>) -> Result<Data, RedactError> {
        if !looks_like_json(body) {
            return Ok(self.opaque(body, out));
        }
        let before = out.len();
        match self.json(body, out) {
            // Other parsers would read it and find what the rules name.
            Err(error) if error.fault.is_ours() => Err(error.into()),
            Err(_) => {
                out.truncate(before);
                Ok(self.opaque(body, out))
            }
            Ok(data) => Ok(data),
        }
    }

    fn opaque(&self, body: &[u8], out: &mut Vec<u8>) -> Data {
        if self.secrets.found_in(body) {
            out.extend_from_slice(REDACTED_JSON);
            return Data {
                kind: DataKind::Json,
                redacted: 1,
            };
        }
        out.extend_from_slice(STANDARD.encode(body).as_bytes());
        Data {
            kind: DataKind::Base64,
            redacted: 0,
        }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

impl From<JsonError> for RedactError {
    fn from(error: JsonError) -> Self {
        match error.fault {
            Fault::TooDeep => Self::TooDeep,
            what => Self::Malformed {
                offset: error.offset,
                what,
            },
        }
    }
}

/// Tells whether a media type, parameters or not, is one of JSON.
pub fn is_json(media_type: &str) -> bool {
    reading(media_type) == Reading::Json
}

fn reading(media_type: &str) -> Reading {
    let essence = media_type.split(';').next().unwrap_or_default();
    let essence = essence.trim();
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    let suffix = essence.rsplit_once('+').map_or("", |(_, suffix)| suffix);
    if is("application/json") || is("text/json") || suffix.eq_ignore_ascii_case("json") {
        Reading::Json
    } else if is("application/x-www-form-urlencoded") {
        Reading::Form
    } else if is("multipart/form-data") {
        Reading::Multipart
    } else if is("text/plain") || is("") {
        Reading::Guess
    } else {
        Reading::Opaque
    }
}

/// Tells whether the first byte that is no space opens an object or array.
fn looks_like_json(body: &[u8]) -> bool {
    let first = body.iter().find(|byte| !b" \t\r\n".contains(byte));
    matches!(first, Some(b'{' | b'['))
}

#[cfg(test)]
mod tests;
