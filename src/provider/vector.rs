//! Test vectors: one delivery and what must come of it.
//!
//! Definitions carry theirs as `[[vector]]`; `hookgate providers test --vectors FILE` reads a JSON
//! file with `vectors` and `handshake_vectors` of the same form.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use crate::delivery::Delivery;
use crate::keys::KeyAddress;
use crate::outcome::{self, Rejected, Reply};
use crate::provider::Provider;
pub use recorded::Prepared;
use setup::Setup;

mod recorded;
mod setup;

/// The clock of vectors for which it does not matter.
const NOW: i64 = 1_780_000_000;

/// A vector as written. Fields that only describe it are not read.
#[derive(Clone, Debug, Deserialize)]
pub struct Vector {
    /// What it is called.
    pub name: String,
    /// Which of the provider's schemes is pinned, by its place.
    auth: Option<usize>,
    /// Which of the provider's schemes is pinned, by its name.
    scheme: Option<String>,
    /// The clock to assume, in seconds since 1970.
    now: Option<i64>,
    #[serde(flatten)]
    recorded: RecordedDelivery,
    expect: Option<Expect>,
    /// What a handshake must be answered.
    #[serde(alias = "expect_reply", alias = "expect_response")]
    reply: Option<ExpectedReply>,
    /// What the operator configured, and what the vendor publishes.
    #[serde(flatten)]
    setup: Setup,
}

/// A delivery as it was written down: `{method, url, headers, body | body_base64}`.
#[derive(Clone, Debug, Deserialize)]
pub struct RecordedDelivery {
    method: Option<String>,
    /// The public URL that the provider called.
    pub url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, OneOrMany>,
    body: Option<String>,
    body_base64: Option<String>,
}

impl RecordedDelivery {
    /// Returns the delivery.
    pub fn delivery(&self) -> Result<Delivery, String> {
        let mut headers = HeaderMap::new();
        for (name, values) in &self.headers {
            let name: HeaderName = name.parse().map_err(|_| format!("`{name}` is no header"))?;
            let values = match values {
                OneOrMany::One(value) => std::slice::from_ref(value),
                OneOrMany::Many(values) => values,
            };
            for value in values {
                let value = HeaderValue::from_bytes(value.as_bytes());
                headers.append(
                    &name,
                    value.map_err(|_| format!("`{name}` has no header value"))?,
                );
            }
        }
        let body = match (&self.body, &self.body_base64) {
            (Some(text), _) => Bytes::from(text.clone()),
            (None, Some(encoded)) => STANDARD
                .decode(encoded)
                .map_err(|_| "`body_base64` is not base64")?
                .into(),
            (None, None) => Bytes::new(),
        };
        let method = self.method.as_deref().unwrap_or("POST");
        Ok(Delivery {
            method: Method::from_bytes(method.as_bytes()).map_err(|_| "`method` is none")?,
            url: self.url.clone().unwrap_or_default(),
            headers,
            body,
            caller: [0, 0, 0, 0].into(),
            via_trusted_proxy: false,
        })
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Valid,
    Invalid,
}

/// What a handshake must be answered.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ExpectedReply {
    /// The status.
    pub status: u16,
    /// Headers that must be among the answer's.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The whole body.
    pub body: Option<String>,
    /// The body as JSON.
    pub body_json: Option<Value>,
    /// A part of the body.
    pub body_contains: Option<String>,
    /// The address that must be called to confirm.
    pub then_fetch: Option<String>,
}

/// A file of vectors.
#[derive(Debug, Deserialize)]
pub struct VectorFile {
    /// Deliveries that are valid or not.
    #[serde(default)]
    pub vectors: Vec<Vector>,
    /// Deliveries that ask for an answer.
    #[serde(default)]
    pub handshake_vectors: Vec<Vector>,
    /// Documents that vectors fetch, by name.
    #[serde(default)]
    fixtures: BTreeMap<String, Value>,
}

impl VectorFile {
    /// Reads a file, and gives every vector what it fetches.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let file: Self = serde_json::from_str(text)?;
        let fixtures = file.fixtures;
        Ok(Self {
            vectors: with_fixtures(file.vectors, fixtures.clone()),
            handshake_vectors: with_fixtures(file.handshake_vectors, fixtures),
            fixtures: BTreeMap::new(),
        })
    }
}

/// Gives vectors the documents that they fetch.
pub(super) fn with_fixtures(
    mut vectors: Vec<Vector>,
    fixtures: BTreeMap<String, Value>,
) -> Vec<Vector> {
    let fixtures = Arc::new(fixtures);
    for vector in &mut vectors {
        vector.setup.fixtures = fixtures.clone();
    }
    vectors
}

/// A vector whose delivery came out otherwise than it says.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// What should have come of it.
    pub expected: String,
    /// What did.
    pub got: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} got {}", self.expected, self.got)
    }
}

/// What came of a vector's delivery.
enum Came {
    /// It is authentic.
    Valid,
    /// It was an ownership check, answered like this.
    Answered(Reply),
    /// It was rejected, with this status.
    Rejected(StatusCode, Rejected),
    /// The vector's configuration would not load.
    Unusable(String),
}

impl Vector {
    /// Tells whether the vector says what must come of it.
    pub(crate) fn expects(&self) -> bool {
        self.expect.is_some() || self.reply.is_some()
    }

    /// Runs the vector against a provider.
    pub fn run(&self, provider: &Arc<Provider>) -> Result<(), Failure> {
        let came = self.come(provider);
        // An ownership check is no event, and answered all the same: the answer decides.
        let answered = self.reply.is_some() && matches!(came, Came::Answered(_));
        let fits = self.expect.is_none_or(|expect| answered || came.is(expect))
            && self
                .reply
                .as_ref()
                .is_none_or(|reply| came.answers(reply, provider));
        match fits {
            true => Ok(()),
            false => Err(Failure {
                expected: self.expected(),
                got: came.to_string(),
            }),
        }
    }

    /// Returns `valid`, `invalid (reason)`, or the status and body of a handshake's answer.
    pub fn outcome(&self, provider: &Arc<Provider>) -> String {
        self.come(provider).to_string()
    }

    fn expected(&self) -> String {
        let verdict = match self.expect {
            None => "",
            Some(Expect::Valid) => "valid",
            Some(Expect::Invalid) => "invalid",
        };
        match &self.reply {
            None => verdict.to_owned(),
            Some(reply) => {
                let body = reply.body.as_ref().or(reply.body_contains.as_ref());
                let body = match &reply.body_json {
                    Some(json) => json.to_string(),
                    None => body.cloned().unwrap_or_default(),
                };
                let headers = match reply.headers.is_empty() {
                    true => String::new(),
                    false => format!(" {:?}", reply.headers),
                };
                format!("{verdict} {} {body:?}{headers}", reply.status)
                    .trim_start()
                    .to_owned()
            }
        }
    }

    fn come(&self, provider: &Arc<Provider>) -> Came {
        match self.verdict(provider) {
            Ok(Some(reply)) => Came::Answered(reply),
            Ok(None) => Came::Valid,
            Err(Refusal::Unusable(why)) => Came::Unusable(why),
            Err(Refusal::Rejected(rejected)) => {
                let response = outcome::answer(&Err(rejected), Some(provider));
                let status = response.status();
                match self.verdict(provider) {
                    Err(Refusal::Rejected(rejected)) => Came::Rejected(status, rejected),
                    _ => Came::Unusable("the verdict changes".to_owned()),
                }
            }
        }
    }

    fn verdict(&self, provider: &Arc<Provider>) -> Result<Option<Reply>, Refusal> {
        let prepared = self.prepare(provider).map_err(Refusal::Unusable)?;
        Ok(prepared.verdict()?)
    }

    /// Returns what the operator configured.
    pub fn configured(&self) -> Vec<SecretString> {
        self.setup.plain_secrets()
    }

    /// Returns the secrets as an endpoint of this scheme would hold them.
    fn secrets(&self, provider: &Arc<Provider>, scheme: Option<&str>) -> Vec<SecretString> {
        let mut schemes = provider.schemes().iter();
        let chosen = schemes.find(|one| scheme.is_none_or(|name| one.name == name));
        let Some(chosen) = chosen else {
            return self.configured();
        };
        if !chosen.needs_secrets() {
            return Vec::new();
        }
        self.setup.secrets_for(chosen)
    }
}

impl Came {
    fn is(&self, expect: Expect) -> bool {
        match self {
            Self::Valid | Self::Answered(_) => expect == Expect::Valid,
            Self::Rejected(..) | Self::Unusable(_) => expect == Expect::Invalid,
        }
    }

    /// Tells whether the caller would get this answer.
    fn answers(&self, expected: &ExpectedReply, provider: &Provider) -> bool {
        let none = Vec::new();
        let (status, body, content_type, headers) = match self {
            Self::Valid => {
                let answer = &provider.answer;
                let content_type = answer.content_type.clone();
                (answer.success, answer.body.as_str(), content_type, &none)
            }
            Self::Answered(reply) => {
                let content_type = reply.content_type.clone();
                (
                    reply.status,
                    reply.body.as_str(),
                    content_type,
                    &reply.headers,
                )
            }
            Self::Rejected(status, _) => (*status, "", None, &none),
            Self::Unusable(_) => return false,
        };
        let header = |(name, value): (&String, &String)| match name.to_ascii_lowercase().as_str() {
            "content-type" => content_type.as_ref() == Some(value) || body.is_empty(),
            "x-content-type-options" => value == "nosniff",
            name => headers
                .iter()
                .any(|(known, text)| known.as_str() == name && text.as_bytes() == value.as_bytes()),
        };
        let confirms = match (self, &expected.then_fetch) {
            (_, None) => true,
            (Self::Answered(reply), Some(url)) => {
                let address = KeyAddress::fixed(url).ok();
                address.is_some() && reply.confirm == address
            }
            _ => false,
        };
        status.as_u16() == expected.status
            && expected.body.as_ref().is_none_or(|text| text == body)
            && expected
                .body_contains
                .as_ref()
                .is_none_or(|text| body.contains(text.as_str()))
            && expected.body_json.as_ref().is_none_or(|json| {
                serde_json::from_str::<Value>(body).is_ok_and(|got| got == *json)
            })
            && expected.headers.iter().all(header)
            && confirms
    }
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valid => f.write_str("valid"),
            Self::Answered(reply) => {
                write!(f, "{} {:?}", reply.status.as_u16(), reply.body)?;
                match reply.headers.is_empty() {
                    true => Ok(()),
                    false => write!(f, " {:?}", reply.headers),
                }
            }
            Self::Rejected(status, rejected) => {
                let reason = rejected.reason();
                match status.as_u16() {
                    401 => write!(f, "invalid ({reason})"),
                    status => write!(f, "invalid ({reason}, {status})"),
                }
            }
            Self::Unusable(why) => write!(f, "invalid ({why})"),
        }
    }
}

enum Refusal {
    /// The vector's configuration would not load.
    Unusable(String),
    /// The delivery is refused.
    Rejected(Rejected),
}

impl From<Rejected> for Refusal {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}
