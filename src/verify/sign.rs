//! Signs a delivery as its provider would, for `hookgate send`, the demo and tests.
//!
//! The mirror of [`crate::verify`], from the same definitions. Never on the way of a delivery: the
//! gateway itself signs nothing in a provider's name.

use ed25519_dalek::{Signer, SigningKey};
use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::provider::Provider;
use crate::verify::key::{HmacKey, KeyEncoding};
use crate::verify::scheme::{Carrier, Proof, Scheme};
use crate::verify::template::{Fields, Scope, Source};

/// What a private key in base64 begins with, as Standard Webhooks writes them.
const PRIVATE_KEY: &str = "whsk_";

/// What stands in a sample body for the token that is put there.
const TOKEN_PLACE: &str = "$TOKEN";

/// Why a delivery cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The provider has no such scheme.
    #[error("there is no scheme `{name}`; there are {known}")]
    NoSuchScheme {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The secret belongs to none of the schemes.
    #[error("the secret fits no scheme; name one with --scheme")]
    NoScheme,
    /// The secret is no key for signing.
    #[error("the secret {0}")]
    Secret(&'static str),
    /// The delivery lacks something that is signed.
    #[error("the delivery cannot be signed: {0}")]
    Unsignable(String),
}

impl Provider {
    /// Adds to a delivery the headers that prove it, as signed at `now`.
    ///
    /// For public-key schemes the secret is the private key: the 32-byte seed as 64 hex digits, or
    /// base64 behind `whsk_`.
    pub fn sign(
        &self,
        scheme: Option<&str>,
        secret: &SecretString,
        delivery: &mut Delivery,
        now: Timestamp,
    ) -> Result<(), SignError> {
        let scheme = self.scheme_for_signing(scheme, secret, delivery)?;
        let mut params = Vec::new();
        if let Some(rule) = &scheme.timestamp {
            let text = rule.unit.format(now);
            match rule.from.only_source() {
                Some(Source::Header(name)) => insert(delivery, name, &text)?,
                Some(Source::Param(name)) => params.push((name.clone(), text)),
                _ => {
                    return Err(SignError::Unsignable(
                        "its timestamp has no place".to_owned(),
                    ));
                }
            }
        }
        match &scheme.proof {
            Proof::Token { value, prefix } => {
                let text = format!("{prefix}{}", secret.expose_secret());
                set(delivery, value.only_source(), &text)
            }
            Proof::Hmac { carrier, .. } | Proof::Ed25519 { carrier, .. } => {
                let tag = self.compute(scheme, secret, delivery, &params)?;
                carry(delivery, carrier, &tag, &params)
            }
        }
    }

    fn scheme_for_signing(
        &self,
        pinned: Option<&str>,
        secret: &SecretString,
        delivery: &Delivery,
    ) -> Result<&Scheme, SignError> {
        let schemes = || self.schemes().iter().map(AsRef::as_ref);
        if let Some(name) = pinned {
            let found = schemes().find(|scheme| scheme.name == name);
            return found.ok_or_else(|| {
                let known: Vec<&str> = schemes().map(|scheme| scheme.name.as_str()).collect();
                SignError::NoSuchScheme {
                    name: name.to_owned(),
                    known: known.join(", "),
                }
            });
        }
        let text = secret.expose_secret();
        let private = text.starts_with(PRIVATE_KEY);
        let claimed = schemes().find(|scheme| match &scheme.proof {
            // The public key's prefix is what the scheme claims; the private key has its own.
            Proof::Ed25519 { .. } if private => true,
            _ => scheme.claims(text),
        });
        let selected = || schemes().find(|one| one.when.is_set() && one.when.holds(delivery));
        let unclaimed = || schemes().find(|one| one.for_secrets.is_empty() && !one.when.is_set());
        claimed
            .or_else(selected)
            .or_else(unclaimed)
            .ok_or(SignError::NoScheme)
    }

    fn compute(
        &self,
        scheme: &Scheme,
        secret: &SecretString,
        delivery: &Delivery,
        params: &[(String, String)],
    ) -> Result<Vec<u8>, SignError> {
        let fields = Fields::new(delivery, self.pointers());
        let scope = Scope {
            fields: &fields,
            url: &delivery.url,
            params,
        };
        let message = scheme.signed.bytes(&scope);
        let message = message.map_err(|unfit| SignError::Unsignable(format!("{unfit:?}")))?;
        match &scheme.proof {
            Proof::Hmac { hash, key, .. } => {
                let bytes = key.bytes(secret).map_err(SignError::Secret)?;
                let mut mac = HmacKey::new(*hash, &bytes).ok_or(SignError::Secret("is no key"))?;
                mac.update(&message);
                Ok(mac.finish().bytes().to_vec())
            }
            Proof::Ed25519 { .. } => Ok(signing_key(secret)?.sign(&message).to_bytes().to_vec()),
            Proof::Token { .. } => Ok(Vec::new()),
        }
    }
}

/// Reads the private key that belongs to a public one: a seed of 32 bytes, or seed and public key.
pub fn signing_key(secret: &SecretString) -> Result<SigningKey, SignError> {
    let text = secret.expose_secret();
    let bytes = match text.strip_prefix(PRIVATE_KEY) {
        Some(base64) => KeyEncoding::Base64.decode(base64),
        None => KeyEncoding::Hex.decode(text),
    };
    let bytes = bytes.map_err(SignError::Secret)?;
    let seed = bytes
        .first_chunk::<32>()
        .filter(|_| matches!(bytes.len(), 32 | 64));
    seed.map(SigningKey::from_bytes)
        .ok_or(SignError::Secret("is not a private key of 32 bytes"))
}

fn carry(
    delivery: &mut Delivery,
    carrier: &Carrier,
    tag: &[u8],
    params: &[(String, String)],
) -> Result<(), SignError> {
    let params: Vec<(&str, &str)> = params
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let text = carrier
        .layout
        .format(&carrier.encoding.encode(tag), &params);
    set(delivery, carrier.from.only_source(), &text)
}

fn set(delivery: &mut Delivery, place: Option<&Source>, text: &str) -> Result<(), SignError> {
    match place {
        Some(Source::Header(name)) => insert(delivery, name, text),
        Some(Source::Query(name)) => {
            let pair = form_urlencoded::Serializer::new(String::new())
                .append_pair(name, text)
                .finish();
            let mark = if delivery.url.contains('?') { '&' } else { '?' };
            delivery.url = format!("{}{mark}{pair}", delivery.url);
            Ok(())
        }
        Some(Source::Field(_)) => fill_in(delivery, text),
        _ => Err(SignError::Unsignable(
            "its proof has no place that could be filled in".to_owned(),
        )),
    }
}

/// Puts a token into a JSON body where `$TOKEN` stands.
fn fill_in(delivery: &mut Delivery, token: &str) -> Result<(), SignError> {
    let mut quoted = Vec::new();
    crate::json::quote(token, &mut quoted);
    let body = String::from_utf8_lossy(&delivery.body);
    let place = format!("\"{TOKEN_PLACE}\"");
    if !body.contains(&place) {
        let how = format!("its body has no string \"{TOKEN_PLACE}\" where the token belongs");
        return Err(SignError::Unsignable(how));
    }
    delivery.body = body
        .replace(&place, &String::from_utf8_lossy(&quoted))
        .into();
    Ok(())
}

fn insert(delivery: &mut Delivery, name: &HeaderName, text: &str) -> Result<(), SignError> {
    let value = HeaderValue::from_str(text)
        .map_err(|_| SignError::Unsignable(format!("header {name} cannot hold its value")))?;
    delivery.headers.insert(name, value);
    Ok(())
}
