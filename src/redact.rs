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

mod action;
mod detect;
mod document;
mod form;
mod names;
mod path;
mod profile;
mod rules;
mod secrets;
mod suspects;
mod sweep;
mod tally;
mod writer;

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::json::{Fault, JsonError, MAX_DEPTH, Scanner};
use document::Pass;
use suspects::Look;
use sweep::{Search, Swept};
use tally::{Cause, Tally};

pub use action::{Action, LAST4, PSEUDONYM};
pub use detect::{Detecting, Detector, Detectors, Found, Group};
pub use form::MAX_FIELDS;
pub use names::{DEFAULT_KEYS, DEFAULT_SUFFIXES};
pub use profile::{PAYMENT_KEYS, PERSONAL_KEYS, Profile};
pub use rules::{MAX_RULES, Rule, RuleError, Rules, Target};
pub use tally::{MAX_MANIFEST, Removal};

/// What stands where something was taken out.
pub const REDACTED: &str = "[redacted]";

/// The same as JSON.
const REDACTED_JSON: &[u8] = b"\"[redacted]\"";

/// Redacts the events of one endpoint. Built once, used by many deliveries at a time.
pub struct Redactor {
    rules: rules::Compiled,
}

/// What the redactor made of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// How the body was written out.
    pub kind: DataKind,
    /// How many values, and parts of texts, were taken out. One that holds others counts once.
    pub redacted: u32,
    /// Which rules took out how many, such as `key:password=2,secret=1`: at most [`MAX_MANIFEST`]
    /// bytes, and no more of the body than what the rules say of it. Empty where nothing was.
    pub manifest: String,
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
        Ok(Self {
            rules: rules::compile(rules)?,
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
        self.run(media_type, body, out, &mut Tally::default())
    }

    /// Redacts a body likewise, and tells what was taken out where. Slower: for people, and not for
    /// deliveries.
    pub fn explain(
        &self,
        media_type: &str,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(Data, Vec<Removal>), RedactError> {
        let mut tally = Tally::traced();
        let data = self.run(media_type, body, out, &mut tally)?;
        Ok((data, tally.removals(&self.rules.book)))
    }

    /// Returns a text from outside the body, such as an event id, or [`REDACTED`] if one of the
    /// endpoint's secrets is in it.
    pub fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.rules.secrets.found_in(text.as_bytes()) {
            true => Cow::Borrowed(REDACTED),
            false => Cow::Borrowed(text),
        }
    }

    fn run(
        &self,
        media_type: &str,
        body: &[u8],
        out: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Result<Data, RedactError> {
        let before = out.len();
        let written = match reading(media_type) {
            Reading::Json => self.json(body, out, tally).map_err(RedactError::from),
            Reading::Form => form::redact(self, body, out, tally),
            Reading::Multipart => match form::redact_parts(self, media_type, body, out, tally) {
                Some(()) => Ok(()),
                // Somebody else may find the fields in it that the rules name.
                None => Err(RedactError::Malformed {
                    offset: 0,
                    what: Fault::Unexpected,
                }),
            },
            Reading::Guess => match self.guess(body, out, tally) {
                Some(written) => written,
                None => return Ok(self.opaque(body, out, tally)),
            },
            Reading::Opaque => return Ok(self.opaque(body, out, tally)),
        };
        match written {
            Ok(()) => Ok(self.data(DataKind::Json, tally)),
            Err(error) => {
                out.truncate(before);
                Err(error)
            }
        }
    }

    fn data(&self, kind: DataKind, tally: &mut Tally) -> Data {
        Data {
            kind,
            redacted: tally.count(),
            manifest: tally.manifest(&self.rules.book),
        }
    }

    fn json(&self, body: &[u8], out: &mut Vec<u8>, tally: &mut Tally) -> Result<(), JsonError> {
        let scanner = Scanner::new(body)?;
        Pass::new(self, body, out, tally).document(scanner)
    }

    /// Reads a text as JSON; nothing where it is none.
    fn guess(
        &self,
        body: &[u8],
        out: &mut Vec<u8>,
        tally: &mut Tally,
    ) -> Option<Result<(), RedactError>> {
        if !looks_like_json(body) {
            return None;
        }
        let before = out.len();
        match self.json(body, out, tally) {
            // Other parsers would read it and find what the rules name.
            Err(error) if error.fault.is_ours() => Some(Err(error.into())),
            Err(_) => {
                out.truncate(before);
                tally.rewind(0);
                None
            }
            Ok(()) => Some(Ok(())),
        }
    }

    /// Writes what has no names and paths: of a text, what is found in it goes.
    fn opaque(&self, body: &[u8], out: &mut Vec<u8>, tally: &mut Tally) -> Data {
        let mut mask = |cause, tally: &mut Tally| {
            out.extend_from_slice(REDACTED_JSON);
            tally.fire(cause, Action::Mask);
            self.data(DataKind::Json, tally)
        };
        if self.rules.secrets.found_in(body) {
            return mask(Cause::Secret, tally);
        }
        let mut left = Cow::Borrowed(body);
        if let Ok(text) = std::str::from_utf8(body) {
            match self.search(text, Search::ALL, Look::Afresh, tally) {
                Swept::Stays => {}
                Swept::Becomes(text) => left = Cow::Owned(text.into_bytes()),
                Swept::Removed(rule) => return mask(Cause::Rule(rule), tally),
            }
        }
        out.extend_from_slice(STANDARD.encode(left).as_bytes());
        self.data(DataKind::Base64, tally)
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
