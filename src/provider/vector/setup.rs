//! What a vector says that the operator configured, and what its vendor publishes.
//!
//! Vectors of different vendors name the same things differently; this is the one place that knows
//! the names.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::outcome::Rejected;
use crate::provider::Provider;
use crate::provider::settings::{Given, ParamKind};
use crate::verify::fetched::KeyOrder;
use crate::verify::public_key::KeySet;
use crate::verify::scheme::{Proof, Scheme};

/// The configuration of a vector: every key that describes no delivery and no verdict.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Setup {
    secret: Option<String>,
    #[serde(default)]
    secrets: Vec<String>,
    /// The secret of a second place.
    secondary_secret: Option<String>,
    public_key: Option<String>,
    username: Option<String>,
    password: Option<String>,
    /// Secrets by the id of their key.
    #[serde(default)]
    keys: BTreeMap<String, String>,
    key_id: Option<String>,
    #[serde(default)]
    config: Map<String, Value>,
    /// Documents that the vendor publishes.
    jwks: Option<Value>,
    keyset: Option<Value>,
    cert_pem: Option<String>,
    /// Addresses, and the fixture that each returns.
    fetch: Option<BTreeMap<String, String>>,
    /// Whatever else there is, settings among it.
    #[serde(flatten)]
    rest: Map<String, Value>,
    /// The fixtures of the file.
    #[serde(skip)]
    pub(super) fixtures: Arc<BTreeMap<String, Value>>,
}

impl Setup {
    /// Returns the secrets as they stand there.
    pub(super) fn plain_secrets(&self) -> Vec<SecretString> {
        let one = self.secret.iter().chain(&self.public_key);
        let more = self.secrets.iter().chain(&self.secondary_secret);
        one.chain(more).map(|text| text.clone().into()).collect()
    }

    /// Returns the secrets in the form that a scheme takes.
    pub(super) fn secrets_for(&self, scheme: &Scheme) -> Vec<SecretString> {
        let join = |name: &str, secret: &str| SecretString::from(format!("{name}:{secret}"));
        if let Proof::Basic = scheme.proof {
            let user = self.username.as_deref().or(self.text("username"));
            let password = self.password.as_ref().or(self.secret.as_ref());
            if let (Some(user), Some(password)) = (user, password) {
                return match user.is_empty() && password.is_empty() {
                    true => vec![String::new().into()],
                    false => vec![join(user, password)],
                };
            }
        }
        if !self.keys.is_empty() {
            let each = self.keys.iter().map(|(id, secret)| join(id, secret));
            return each.collect();
        }
        let named = match &scheme.proof {
            Proof::Hmac { key, .. } => key.named,
            _ => false,
        };
        let id = self.key_id.as_deref().or(self.text("public_key"));
        match (named, id, &self.secret) {
            (true, Some(id), Some(secret)) => vec![join(id, secret)],
            _ => self.plain_secrets(),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.config.get(name)?.as_str()
    }

    /// Returns the settings among what is configured: those that the provider knows.
    pub(super) fn params(&self, provider: &Provider) -> Given {
        let (mut params, mut secrets) = (BTreeMap::new(), BTreeMap::new());
        for (name, rule) in &provider.params {
            let value = self.config.get(name).or_else(|| self.rest.get(name));
            let text = match value {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Array(list)) => {
                    let each = list.iter().filter_map(Value::as_str);
                    each.collect::<Vec<_>>().join(",")
                }
                Some(Value::Bool(value)) => value.to_string(),
                Some(Value::Number(number)) => number.to_string(),
                _ if rule.required && rule.kind != ParamKind::Secret => match &rule.example {
                    Some(super::super::settings::Value::Text(text)) => text.clone(),
                    _ => continue,
                },
                // A key server's credentials: whatever it publishes stands in the vector.
                _ if rule.kind == ParamKind::Secret && self.publishes() => "unused".to_owned(),
                _ => continue,
            };
            match rule.kind {
                ParamKind::Secret => drop(secrets.insert(name.clone(), text.into())),
                _ => drop(params.insert(name.clone(), text)),
            }
        }
        (params, secrets)
    }

    fn publishes(&self) -> bool {
        self.jwks.is_some() || self.keyset.is_some() || self.fetch.is_some()
    }

    /// Returns `tolerance_s`.
    pub(super) fn tolerance(&self) -> Option<std::time::Duration> {
        let seconds = self.config.get("tolerance_s")?.as_u64()?;
        Some(std::time::Duration::from_secs(seconds))
    }

    /// Returns what the vector says is published at the address of an order.
    pub(super) fn document(&self, order: &KeyOrder) -> Result<String, Rejected> {
        let unavailable = |why: &str| Rejected::KeyUnavailable(why.to_owned());
        let as_text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match &self.fetch {
            Some(addresses) => {
                let name = addresses.get(&order.url);
                let name = name.ok_or_else(|| unavailable("nothing is at the address"))?;
                let fixture = self.fixtures.get(name);
                let fixture = fixture.ok_or_else(|| unavailable("there is no such fixture"))?;
                Ok(as_text(fixture))
            }
            None => {
                let published = self.jwks.as_ref().or(self.keyset.as_ref()).map(as_text);
                let published = published.or_else(|| self.cert_pem.clone());
                // What is configured where an operator gives the key is published where it is not.
                let published = published.or_else(|| self.published_pem(order));
                published.ok_or_else(|| unavailable("the vector publishes nothing"))
            }
        }
    }

    /// Tells whether the vector's keys are trusted for the sake of an authority of its own.
    pub(super) fn own_trust(&self) -> bool {
        self.text("trust").is_some()
    }

    /// Returns the keys that were ordered, from what the vector says is published.
    pub(super) fn fetch(&self, order: &KeyOrder, now: Timestamp) -> Result<KeySet, Rejected> {
        let document = self.document(order)?;
        let mut reading = order.reading.clone();
        let root = self.text("trust").and_then(|name| self.fixtures.get(name));
        if let Some(ca) = root.and_then(Value::as_str) {
            reading.trust.anchors = anchors(ca);
        }
        let keys = reading.read(document.as_bytes(), now.as_second());
        keys.map_err(Rejected::KeyUnavailable)
    }

    fn published_pem(&self, order: &KeyOrder) -> Option<String> {
        let pem = self.public_key.as_ref().or(self.secret.as_ref())?;
        let Some(pointer) = &order.reading.pointer else {
            return Some(pem.clone());
        };
        let names: Vec<&str> = pointer.split('/').skip(1).collect();
        let whole = names
            .iter()
            .rev()
            .fold(Value::from(pem.clone()), |inner, name| {
                Value::from(Map::from_iter([((*name).to_owned(), inner)]))
            });
        Some(whole.to_string())
    }
}

fn anchors(pem: &str) -> Vec<Vec<u8>> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .filter_map(Result::ok)
        .map(|one| one.as_ref().to_vec())
        .collect()
}
