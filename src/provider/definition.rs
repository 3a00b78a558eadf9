//! The shape of a provider definition as it is written: one TOML file under `providers/`.
//!
//! Nothing here is trusted yet; `provider/compile.rs` checks it and turns it into
//! typed steps. `docs/PROVIDERS.md` explains the format to those who write one.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::provider::settings::ParamRule;
use crate::provider::vector::Vector;
use crate::verify::jws::JwsAlgorithm;
use crate::verify::key::{Hash, KeyEncoding};
use crate::verify::public_key::KeyFormat;
use crate::verify::scheme::{TimestampUnit, UrlForm};
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
    /// What an endpoint can set (`params`).
    #[serde(default, rename = "param")]
    pub(crate) params: BTreeMap<String, ParamRule>,
    /// Where the JSON document stands, if it is not the body.
    #[serde(default)]
    pub(crate) document: Vec<String>,
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
    /// Documents that vectors fetch, by name.
    #[serde(default)]
    pub(crate) fixtures: BTreeMap<String, serde_json::Value>,
}

/// One text, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// `[[scheme]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawScheme {
    pub(crate) name: String,
    /// Used only where an endpoint pins it.
    #[serde(default)]
    pub(crate) opt_in: bool,
    pub(crate) kind: Kind,
    pub(crate) hash: Option<Hash>,
    /// What is signed.
    pub(crate) signed: Option<OneOrMany>,
    /// Further spellings of it.
    #[serde(default)]
    pub(crate) also_signed: Vec<OneOrMany>,
    #[serde(default)]
    pub(crate) key: RawKey,
    /// Where keys are fetched.
    pub(crate) keys: Option<RawKeys>,
    pub(crate) tag: Option<RawTag>,
    /// Where a token stands.
    pub(crate) token: Option<String>,
    #[serde(default)]
    pub(crate) token_prefix: String,
    pub(crate) jwt: Option<RawJwt>,
    pub(crate) timestamp: Option<RawTimestamp>,
    #[serde(default)]
    pub(crate) when: RawWhen,
    #[serde(default)]
    pub(crate) for_secrets: Vec<String>,
    #[serde(default)]
    pub(crate) equal: Vec<Vec<String>>,
    /// Pieces that must be there.
    #[serde(default)]
    pub(crate) require: Vec<String>,
    /// The events that carry a proof of their own.
    pub(crate) each: Option<String>,
    #[serde(default = "as_called")]
    pub(crate) url_forms: Vec<UrlForm>,
    #[serde(default)]
    pub(crate) allow_empty_body: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Hmac,
    KeyedHash,
    Ed25519,
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    RsaPkcs1,
    RsaPss,
    Jwt,
    Token,
    Basic,
    ClientCertificate,
    None,
}

/// `scheme.when`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawWhen {
    pub(crate) header: Option<String>,
    pub(crate) query: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) equals: BTreeMap<String, OneOrMany>,
    pub(crate) present: Vec<String>,
    pub(crate) absent: Vec<String>,
    pub(crate) object: bool,
}

/// `scheme.key`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawKey {
    pub(crate) strip: Vec<String>,
    pub(crate) encoding: KeyEncoding,
    pub(crate) suffix: String,
    pub(crate) hash: Option<Hash>,
    pub(crate) normalize: Option<Normalization>,
    pub(crate) html_entities: bool,
    /// Where a delivery names its key; secrets are then written `ID:KEY`.
    pub(crate) id: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Normalization {
    Nfkd,
}

/// `scheme.keys`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawKeys {
    pub(crate) url: String,
    pub(crate) format: KeyFormat,
    pub(crate) pointer: Option<String>,
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
    pub(crate) path: Option<String>,
    #[serde(default)]
    pub(crate) chain: bool,
    #[serde(default)]
    pub(crate) subject: Vec<String>,
    #[serde(default)]
    pub(crate) post: BTreeMap<String, String>,
}

/// `scheme.jwt`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawJwt {
    pub(crate) algorithms: Vec<JwsAlgorithm>,
    #[serde(default)]
    pub(crate) claims: BTreeMap<String, OneOrMany>,
    #[serde(default)]
    pub(crate) claims_if_body: BTreeMap<String, OneOrMany>,
    #[serde(default)]
    pub(crate) require: Vec<String>,
    #[serde(default)]
    pub(crate) leeway: u32,
}

/// `scheme.tag`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTag {
    pub(crate) from: OneOrMany,
    pub(crate) encoding: Encoding,
    #[serde(default)]
    pub(crate) prefix: String,
    pub(crate) pairs: Option<RawPairs>,
    pub(crate) list: Option<RawList>,
    #[serde(default)]
    pub(crate) by_secret: bool,
    #[serde(default)]
    pub(crate) form: SignatureForm,
}

/// How an ECDSA signature is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SignatureForm {
    /// ASN.1 (RFC 3279 section 2.2.3).
    #[default]
    Der,
    /// Both numbers in full length, one behind the other.
    Fixed,
    /// ASN.1 behind a prefix that names the key, as Google's Tink writes it.
    Tink,
}

/// `scheme.tag.pairs`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPairs {
    pub(crate) separator: String,
    pub(crate) assign: char,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) trim: bool,
}

/// `scheme.tag.list`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawList {
    pub(crate) separator: char,
    #[serde(default)]
    pub(crate) params: Vec<String>,
    #[serde(default)]
    pub(crate) trim: bool,
}

/// `scheme.timestamp`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTimestamp {
    pub(crate) from: String,
    pub(crate) unit: TimestampUnit,
    /// Seconds; absent where the vendor defines no window.
    pub(crate) tolerance: Option<u64>,
    /// Seconds since 1970 before which nothing can have been signed.
    #[serde(default)]
    pub(crate) min: i64,
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
    /// Where the events of a batch stand: alternatives.
    #[serde(default)]
    pub(crate) batch: Vec<String>,
    /// Which deliveries can be batches at all.
    #[serde(default)]
    pub(crate) batch_when: RawWhen,
    /// Where each of those holds several in turn: alternatives.
    #[serde(default)]
    pub(crate) batch_within: Vec<String>,
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
    /// Answered before anything is verified.
    #[serde(default)]
    pub(crate) unsigned: bool,
    /// Answered only while an endpoint is being set up.
    #[serde(default)]
    pub(crate) setup: bool,
    /// The secret that the check brings.
    pub(crate) capture: Option<String>,
    pub(crate) method: Option<String>,
    /// Values that pieces must have.
    #[serde(default)]
    pub(crate) when: BTreeMap<String, OneOrMany>,
    /// Pieces that must be there.
    #[serde(default)]
    pub(crate) present: Vec<String>,
    /// JSON pointers, or pieces, that must find nothing.
    #[serde(default)]
    pub(crate) absent: Vec<String>,
    /// A JSON array that must be there and empty.
    pub(crate) empty: Option<String>,
    /// The body must be empty.
    #[serde(default)]
    pub(crate) empty_body: bool,
    /// The body must be a JSON object of exactly these members.
    pub(crate) only: Option<Vec<String>>,
    /// A token that must be the endpoint's.
    pub(crate) token: Option<RawHandshakeToken>,
    /// The text that is answered with, and what it may be.
    pub(crate) challenge: Option<RawChallenge>,
    pub(crate) status: u16,
    /// The status where token or challenge are wrong.
    pub(crate) refuse: Option<u16>,
    pub(crate) content_type: Option<String>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, OneOrMany>,
    /// A fixed answer.
    #[serde(default)]
    pub(crate) body: String,
    /// A piece of the delivery that is the answer.
    pub(crate) echo: Option<String>,
    /// A JSON object of texts that is the answer.
    pub(crate) json: Option<toml::Table>,
    /// An address that is called afterwards.
    pub(crate) confirm: Option<RawConfirm>,
    /// Why answering is safe, in a sentence.
    pub(crate) safe_because: String,
}

/// `handshake.token`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawHandshakeToken {
    pub(crate) from: String,
    /// The secret param that it must be; one of the endpoint's own secrets if there is none.
    pub(crate) param: Option<String>,
}

/// `handshake.challenge`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawChallenge {
    pub(crate) from: String,
    /// The characters it may have, as in `A-Za-z0-9_-`.
    pub(crate) chars: String,
    #[serde(default = "one")]
    pub(crate) min: usize,
    pub(crate) max: usize,
}

/// `handshake.confirm`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawConfirm {
    pub(crate) url: String,
    pub(crate) hosts: Vec<String>,
    pub(crate) path: String,
    /// Whether the endpoint allows it: `true`.
    #[serde(default)]
    pub(crate) allowed: String,
}

/// `[answer]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawAnswer {
    /// The status of a success.
    pub(crate) status: u16,
    /// Its body.
    pub(crate) body: String,
    /// The media type of the body.
    pub(crate) content_type: Option<String>,
    /// The status of whatever is not authentic.
    pub(crate) bad_signature: u16,
    /// Whether the vendor retries a 429; it gets 503 otherwise.
    pub(crate) retries_429: bool,
}

impl Default for RawAnswer {
    fn default() -> Self {
        Self {
            status: 200,
            body: String::new(),
            content_type: None,
            bad_signature: 401,
            retries_429: false,
        }
    }
}

/// `[sample]`: an event that `hookgate send` and the demo sign. `$ID` and `$NOW` are filled in, and
/// `$TOKEN` where a token stands in the body.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSample {
    #[serde(default = "post")]
    pub(crate) method: String,
    pub(crate) content_type: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

fn one() -> usize {
    1
}

fn one_mib() -> usize {
    1 << 20
}

fn post() -> String {
    "POST".to_owned()
}

fn only_post() -> Vec<String> {
    vec!["POST".to_owned()]
}

fn as_called() -> Vec<UrlForm> {
    vec![UrlForm::AsCalled]
}
