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
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use secrecy::SecretString;
use serde::Deserialize;

use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::handshake;
use crate::outcome::{Rejected, Reply};
use crate::provider::{Binding, Provider};

/// A vector as written. Fields that only describe it are not read.
#[derive(Clone, Debug, Deserialize)]
pub struct Vector {
    /// What it is called.
    pub name: String,
    /// Which of the provider's schemes is pinned, by its place.
    auth: Option<usize>,
    /// Which of the provider's schemes is pinned, by its name.
    scheme: Option<String>,
    secret: Option<String>,
    #[serde(default)]
    secrets: Vec<String>,
    public_key: Option<String>,
    /// The clock to assume, in seconds since 1970.
    now: Option<i64>,
    #[serde(flatten)]
    recorded: RecordedDelivery,
    expect: Option<Expect>,
    /// What a handshake must be answered.
    reply: Option<ExpectedReply>,
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

#[derive(Clone, Debug, Deserialize)]
struct ExpectedReply {
    status: u16,
    #[serde(default)]
    body: String,
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

impl Vector {
    /// Tells whether the vector says what must come of it.
    pub(crate) fn expects(&self) -> bool {
        self.expect.is_some() || self.reply.is_some()
    }

    /// Runs the vector against a provider.
    pub fn run(&self, provider: &Arc<Provider>) -> Result<(), Failure> {
        let expected = self.expected();
        let got = self.outcome(provider);
        if got == expected || (expected == "invalid" && got.starts_with("invalid")) {
            return Ok(());
        }
        Err(Failure { expected, got })
    }

    /// Returns `valid`, `invalid (reason)`, or the status and body of a handshake's answer.
    pub fn outcome(&self, provider: &Arc<Provider>) -> String {
        match self.verdict(provider) {
            Ok(reply) if self.reply.is_some() => reply.map_or_else(
                || "no handshake".to_owned(),
                |reply| format!("{} {:?}", reply.status.as_u16(), reply.body),
            ),
            Ok(_) => "valid".to_owned(),
            Err(Refusal::Unusable(why)) => format!("invalid ({why})"),
            Err(Refusal::Rejected(rejected)) if self.reply.is_some() => {
                format!("{} \"\"", rejected.answer().0.as_u16())
            }
            Err(Refusal::Rejected(rejected)) => format!("invalid ({})", rejected.reason()),
        }
    }

    fn expected(&self) -> String {
        match (&self.reply, self.expect) {
            (Some(reply), _) => format!("{} {:?}", reply.status, reply.body),
            (None, Some(Expect::Invalid)) => "invalid".to_owned(),
            (None, _) => "valid".to_owned(),
        }
    }

    fn verdict(&self, provider: &Arc<Provider>) -> Result<Option<Reply>, Refusal> {
        let delivery = self.recorded.delivery().map_err(Refusal::Unusable)?;
        let secrets = self.configured();
        let by_place = self.auth.and_then(|place| provider.scheme_name(place));
        let by_name = self
            .scheme
            .as_deref()
            .filter(|name| provider.has_scheme(name));
        let binding = Binding {
            scheme: by_name.or(by_place),
            secrets: &secrets,
            params: &BTreeMap::new(),
            tolerance: None,
        };
        let verifier = provider
            .verifier(&binding)
            .map_err(|why| Refusal::Unusable(why.to_string()))?;
        let now = Timestamp::from_second(self.now.unwrap_or_default())
            .map_err(|_| Refusal::Unusable("`now` is no time".to_owned()))?;
        let verified = verifier.verify(&delivery, now).map_err(Refusal::Rejected)?;
        Ok(handshake::answer(provider.handshakes(), &verified))
    }

    /// Returns what the operator configured.
    pub fn configured(&self) -> Vec<SecretString> {
        let one = self.secret.iter().chain(&self.public_key);
        one.chain(&self.secrets)
            .map(|text| text.clone().into())
            .collect()
    }
}

enum Refusal {
    /// The vector's configuration would not load.
    Unusable(String),
    /// The delivery is refused.
    Rejected(Rejected),
}
