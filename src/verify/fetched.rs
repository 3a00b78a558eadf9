//! Keys that a provider publishes: which address a delivery needs them from.
//!
//! Pure, like all of `verify`: works out what is to be fetched and refuses what the definition does
//! not pin. [`crate::keys`] fetches, before the delivery is verified.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::keys::{HostPattern, KeyAddress, KeyError, KeyRequest, NotPinned, PathPattern, Reading};
use crate::outcome::Rejected;
use crate::verify::jws;
use crate::verify::public_key::{KeyFormat, KeySet, Trust};
use crate::verify::template::{Scope, Template};

/// Where a scheme's keys come from.
#[derive(Clone, Debug)]
pub struct KeyRule {
    /// The address, as a template.
    pub url: Template,
    /// What an address that a delivery names must match; nothing where the definition spells it out.
    pub pinned: Option<(Vec<HostPattern>, PathPattern)>,
    /// The form of what is there.
    pub reading: KeyReading,
    /// The members of the JSON that asks for one key; empty: a plain GET.
    pub post: Vec<(String, PostValue)>,
}

/// How a document of keys is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyReading {
    /// Its form.
    pub format: KeyFormat,
    /// Where the keys stand in it (RFC 6901), if not at the top.
    pub pointer: Option<String>,
    /// What certificates must prove.
    pub trust: Trust,
}

/// A member of the JSON that asks for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostValue {
    /// A text.
    Text(String),
    /// The endpoint's secret param of this name.
    Secret(String),
    /// The id of the key that the token names.
    KeyId,
}

/// What is to be fetched for one delivery.
#[derive(Debug)]
pub struct KeyOrder {
    /// The address.
    pub address: KeyAddress,
    /// The address as the delivery or the definition writes it.
    pub url: String,
    /// How what is there is read.
    pub reading: KeyReading,
    /// The id of the key that the proof names, if it names one.
    pub key_id: Option<String>,
    /// What is posted to ask for it: JSON that may hold credentials.
    pub post: Option<SecretString>,
}

impl KeyOrder {
    /// Makes the request of the order. Keys are shared between endpoints that read them alike.
    pub fn request(self) -> Result<KeyRequest<KeySet>, KeyError> {
        let reading = self.reading;
        let name = format!("{}{reading:?}", self.address.host());
        let reading = Reading::new(&name, move |document, now| reading.read(document, now));
        match (self.post, self.key_id) {
            (Some(question), key_id) => {
                let key_id = key_id.unwrap_or_default();
                KeyRequest::post(self.address, reading, &key_id, question)
            }
            (None, _) => Ok(KeyRequest::get(self.address, reading)),
        }
    }
}

impl KeyReading {
    /// Reads a document of keys at `now`, in seconds since 1970. The error is for the operator.
    pub fn read(&self, document: &[u8], now: i64) -> Result<KeySet, String> {
        KeySet::parse(
            self.format,
            document,
            self.pointer.as_deref(),
            &self.trust,
            now,
        )
        .map_err(|fault| crate::telemetry::explain(&fault))
    }
}

impl KeyRule {
    /// Works out what a delivery needs. `token` is the JWT that is its proof, if it is one.
    pub(crate) fn order(
        &self,
        scope: &Scope<'_, '_>,
        token: Option<&str>,
        secrets: &[(String, SecretString)],
    ) -> Result<KeyOrder, Rejected> {
        let url = String::from_utf8(self.url.bytes(scope)?).map_err(|_| {
            Rejected::SignatureMalformed("the address of the key is not text".into())
        })?;
        let address = match &self.pinned {
            Some((hosts, path)) => KeyAddress::pinned(&url, hosts, path),
            None => KeyAddress::fixed(&url),
        };
        let refused = |why: NotPinned| {
            Rejected::SignatureMalformed(format!("the address of the key is refused: {why}"))
        };
        let address = address.map_err(refused)?;
        let token = token.map(jws::parse).transpose().map_err(malformed)?;
        let key_id = token.as_ref().and_then(|token| token.kid());
        let key_id = key_id.map(str::to_owned);
        let post = match self.post.is_empty() {
            true => None,
            false => Some(self.question(key_id.as_deref(), secrets)?),
        };
        let reading = self.reading.clone();
        Ok(KeyOrder {
            address,
            url,
            reading,
            key_id,
            post,
        })
    }

    fn question(
        &self,
        key_id: Option<&str>,
        secrets: &[(String, SecretString)],
    ) -> Result<SecretString, Rejected> {
        let mut members = Map::new();
        for (name, value) in &self.post {
            let text = match value {
                PostValue::Text(text) => text,
                PostValue::KeyId => key_id.ok_or_else(|| {
                    Rejected::SignatureMalformed("the token names no key".to_owned())
                })?,
                PostValue::Secret(wanted) => {
                    let found = secrets.iter().find(|(name, _)| name == wanted);
                    let missing = || Rejected::KeyUnavailable(format!("`{wanted}` is not set"));
                    found.ok_or_else(missing)?.1.expose_secret()
                }
            };
            members.insert(name.clone(), Value::from(text));
        }
        Ok(Value::from(members).to_string().into())
    }
}

pub(crate) fn malformed(fault: jws::JwsFault) -> Rejected {
    match fault {
        jws::JwsFault::Expired => Rejected::TokenExpired,
        jws::JwsFault::NotYetValid => Rejected::TokenNotYetValid,
        fault => Rejected::SignatureMalformed(fault.to_string()),
    }
}
