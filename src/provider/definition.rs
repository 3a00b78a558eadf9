//! The shape of a provider definition as it is written: one TOML file under `providers/`.
//!
//! Nothing here is trusted yet; `provider/compile.rs` checks it and turns it into
//! typed steps. `docs/PROVIDERS.md` explains the format to those who write one.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::provider::vector::Vector;
use crate::verify::key::{Hash, KeyEncoding};
use crate::verify::scheme::{TimestampUnit, UrlForm, When};
use crate::verify::tag::Encoding;

/// A definition as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) category: String,
    /// Pages of the vendor's documentation.
    pub(crate) docs: Vec<String>,
    /// Where an operator finds the secret, in a sentence.
    pub(crate) secret: String,
    /// How the vendor retries, in a sentence.
    pub(crate) retries: String,
    /// Pitfalls, a sentence each.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
    #[serde(default = "one_mib")]
    pub(crate) max_body: usize,
    #[serde(default = "only_post")]
    pub(crate) methods: Vec<String>,
    /// Paths that the redactor takes out by default.
    #[serde(default)]
    pub(crate) sensitive: Vec<String>,
    #[serde(rename = "scheme")]
    pub(crate) schemes: Vec<RawScheme>,
    pub(crate) event: RawEvent,
    #[serde(default, rename = "handshake")]
    pub(crate) handshakes: Vec<RawHandshake>,
    #[serde(default)]
    pub(crate) answer: RawAnswer,
    pub(crate) sample: RawSample,
    #[serde(rename = "vector")]
    pub(crate) vectors: Vec<Vector>,
}

/// `[[scheme]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawScheme {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) hash: Option<Hash>,
    /// What is signed.
    pub(crate) signed: Option<String>,
    #[serde(default)]
    pub(crate) key: RawKey,
    pub(crate) tag: Option<RawTag>,
    /// Where a token stands (`kind = "token"`).
    pub(crate) token: Option<String>,
    #[serde(default)]
    pub(crate) token_prefix: String,
    pub(crate) timestamp: Option<RawTimestamp>,
    #[serde(default)]
    pub(crate) when: When,
    #[serde(default)]
    pub(crate) for_secrets: Vec<String>,
    #[serde(default)]
    pub(crate) equal: Vec<[String; 2]>,
    #[serde(default = "as_called")]
    pub(crate) url_forms: Vec<UrlForm>,
    #[serde(default)]
    pub(crate) allow_empty_body: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Hmac,
    Ed25519,
    Token,
}

/// `scheme.key`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawKey {
    pub(crate) strip: Vec<String>,
    pub(crate) encoding: KeyEncoding,
}

/// `scheme.tag`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTag {
    pub(crate) from: String,
    pub(crate) encoding: Encoding,
    #[serde(default)]
    pub(crate) prefix: String,
    pub(crate) pairs: Option<RawPairs>,
}

/// `scheme.tag.pairs`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPairs {
    pub(crate) separator: char,
    pub(crate) assign: char,
    pub(crate) name: String,
}

/// `scheme.timestamp`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTimestamp {
    pub(crate) from: String,
    pub(crate) unit: TimestampUnit,
    /// Seconds; absent where the vendor defines no window.
    pub(crate) tolerance: Option<u64>,
}

/// `[event]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawEvent {
    /// The first that can be filled in is the event's id.
    #[serde(default)]
    pub(crate) id: Vec<String>,
    /// What an id names: an `event`, or a `resource` that several events are about.
    #[serde(default)]
    pub(crate) id_names: IdNames,
    /// Whether a retry of the vendor's can carry another body under the same unsigned id.
    #[serde(default)]
    pub(crate) retries_change_body: bool,
    #[serde(default)]
    pub(crate) identical_content: IdenticalContent,
    #[serde(rename = "type")]
    pub(crate) event_type: Vec<String>,
    #[serde(default)]
    pub(crate) time: Vec<RawTime>,
}

/// What an event id names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdNames {
    /// One event: the same id is the same event.
    #[default]
    Event,
    /// Something that several events can be about: the content tells them apart.
    Resource,
}

/// What deliveries of the same bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdenticalContent {
    /// The same event.
    #[default]
    Same,
    /// Distinct events, told apart by their unsigned id alone.
    Distinct,
}

/// `event.time`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTime {
    pub(crate) from: String,
    pub(crate) unit: TimestampUnit,
}

/// `[[handshake]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawHandshake {
    pub(crate) name: String,
    /// Values that fields must have.
    pub(crate) when: BTreeMap<String, String>,
    /// JSON pointers that must find nothing.
    #[serde(default)]
    pub(crate) absent: Vec<String>,
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    /// A fixed answer.
    #[serde(default)]
    pub(crate) body: String,
    /// A piece of the delivery that is the answer.
    pub(crate) echo: Option<String>,
    /// Why answering is safe, in a sentence.
    pub(crate) safe_because: String,
}

/// `[answer]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawAnswer {
    /// The status of a success.
    pub(crate) status: u16,
    /// Whether the vendor retries a 429; it gets 503 otherwise.
    pub(crate) retries_429: bool,
}

impl Default for RawAnswer {
    fn default() -> Self {
        Self {
            status: 200,
            retries_429: false,
        }
    }
}

/// `[sample]`: an event that `hookgate send` and the demo sign. `$ID` and `$NOW` are filled in, and
/// `$TOKEN` where a token stands in the body.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSample {
    pub(crate) content_type: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

fn one_mib() -> usize {
    1 << 20
}

fn only_post() -> Vec<String> {
    vec!["POST".to_owned()]
}

fn as_called() -> Vec<UrlForm> {
    vec![UrlForm::AsCalled]
}
