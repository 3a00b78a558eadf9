//! A scheme: one way in which a provider proves that a delivery is its own, as typed steps.
//!
//! Compiled from a definition ([`crate::provider`]); bound to an endpoint's keys by
//! [`crate::verify::Verifier`].

use std::borrow::Cow;
use std::time::Duration;

use secrecy::SecretString;

use crate::clock::Timestamp;
use crate::delivery::{Delivery, Single};
use crate::signal::Assurance;
use crate::verify::key::{Derivation, Hash, HmacKey, Key};
use crate::verify::tag::{Encoding, Layout};
use crate::verify::template::{Coverage, Template};

/// One way of signing.
#[derive(Clone, Debug)]
pub struct Scheme {
    /// The name by which an endpoint pins it.
    pub name: String,
    /// Which deliveries are signed this way, where a provider has several schemes.
    pub when: When,
    /// Prefixes of the secrets that belong to this scheme and no other; empty: the other secrets.
    pub for_secrets: Vec<String>,
    /// How the proof is made.
    pub proof: Proof,
    /// What is signed; empty for tokens.
    pub signed: Template,
    /// Pairs that must be equal, such as a signed hash of the body and the body's hash.
    pub equal: Vec<(Template, Template)>,
    /// The signed time, where there is one.
    pub timestamp: Option<TimestampRule>,
    /// What the proof covers.
    pub coverage: Coverage,
    /// The spellings of the URL that are tried, in order.
    pub url_forms: Vec<UrlForm>,
    /// Whether a delivery may have no body.
    pub allow_empty_body: bool,
}

/// How a proof is made and where it stands.
#[derive(Clone, Debug)]
pub enum Proof {
    /// A message authentication code (RFC 2104).
    Hmac {
        /// The hash function.
        hash: Hash,
        /// How a secret becomes a key.
        key: Derivation,
        /// Where the tags stand.
        carrier: Carrier,
    },
    /// A signature with Ed25519 (RFC 8032).
    Ed25519 {
        /// How the configured text becomes the public key.
        key: Derivation,
        /// Where the signatures stand.
        carrier: Carrier,
    },
    /// A secret that travels with the delivery and binds nothing.
    Token {
        /// Where it stands.
        value: Template,
        /// What stands before it, such as `Bearer `.
        prefix: String,
    },
}

/// Where tags stand and in which form.
#[derive(Clone, Debug)]
pub struct Carrier {
    /// The text that holds them.
    pub from: Template,
    /// How it is taken apart.
    pub layout: Layout,
    /// The form of a tag.
    pub encoding: Encoding,
    /// Bytes that a tag has.
    pub length: usize,
}

/// The time that a delivery was signed.
#[derive(Clone, Debug)]
pub struct TimestampRule {
    /// Where it stands.
    pub from: Template,
    /// Its form.
    pub unit: TimestampUnit,
    /// How old or how far ahead it may be; nothing: the vendor defines no window.
    pub tolerance: Option<Duration>,
}

/// The form of a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimestampUnit {
    /// Decimal digits: seconds since 1970.
    Seconds,
    /// Decimal digits: milliseconds since 1970.
    Milliseconds,
    /// RFC 3339.
    Rfc3339,
}

impl TimestampUnit {
    /// Reads a timestamp; strict, since some readers take `123abc` for 123 and others refuse it.
    pub fn parse(self, text: &str) -> Option<Timestamp> {
        let digits = || {
            let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| text.parse::<i64>().ok()).flatten()
        };
        match self {
            Self::Seconds => Timestamp::from_second(digits()?).ok(),
            Self::Milliseconds => Timestamp::from_millisecond(digits()?).ok(),
            Self::Rfc3339 => text.parse().ok(),
        }
    }

    /// Writes a timestamp.
    pub fn format(self, time: Timestamp) -> String {
        match self {
            Self::Seconds => time.as_second().to_string(),
            Self::Milliseconds => time.as_millisecond().to_string(),
            Self::Rfc3339 => time.to_string(),
        }
    }
}

/// A spelling of the public URL. Some vendors are inconsistent about ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UrlForm {
    /// As the provider called it.
    AsCalled,
    /// Without its port.
    WithoutPort,
    /// With the scheme's default port spelled out.
    DefaultPort,
}

impl UrlForm {
    /// Spells a URL in this form.
    pub fn apply(self, url: &str) -> Cow<'_, str> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Cow::Borrowed(url);
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        };
        let port = if scheme == "http" { 80 } else { 443 };
        match self {
            Self::AsCalled => Cow::Borrowed(url),
            Self::WithoutPort => Cow::Owned(format!("{scheme}://{host}{path}")),
            Self::DefaultPort => Cow::Owned(format!("{scheme}://{host}:{port}{path}")),
        }
    }
}

/// Which deliveries a scheme is for: all conditions that are set must hold.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// A header that must be there.
    pub header: Option<String>,
    /// A query parameter that must be there.
    pub query: Option<String>,
}

impl When {
    /// Tells whether any condition is set.
    pub fn is_set(&self) -> bool {
        self.header.is_some() || self.query.is_some()
    }

    /// Tells whether every condition that is set holds.
    pub fn holds(&self, delivery: &Delivery) -> bool {
        let header = self
            .header
            .as_ref()
            .is_none_or(|name| delivery.header(name) != Single::Absent);
        let query = self.query.as_ref().is_none_or(|name| {
            form_urlencoded::parse(delivery.query().as_bytes()).any(|(key, _)| key == name.as_str())
        });
        header && query
    }
}

impl Scheme {
    /// What the proof covers, in the word that signals carry.
    pub fn assurance(&self) -> Assurance {
        match self.proof {
            Proof::Token { .. } => Assurance::Token,
            _ if self.coverage.body() => Assurance::Body,
            _ => Assurance::Fields,
        }
    }

    /// Tells whether this scheme claims a secret by its prefix.
    pub fn claims(&self, secret: &str) -> bool {
        self.for_secrets
            .iter()
            .any(|prefix| secret.starts_with(prefix.as_str()))
    }

    /// Makes the key of a secret. The error never repeats the secret.
    pub fn key(&self, secret: &SecretString) -> Result<Key, &'static str> {
        match &self.proof {
            Proof::Hmac { hash, key, .. } => {
                let key = HmacKey::new(*hash, &key.bytes(secret)?);
                Ok(Key::Hmac(Box::new(key.ok_or("is no HMAC key")?)))
            }
            Proof::Ed25519 { key, .. } => Key::ed25519(&key.bytes(secret)?),
            Proof::Token { .. } => Ok(Key::token(&Derivation::default().bytes(secret)?)),
        }
    }

    /// Returns where the tags stand; nothing for tokens.
    pub fn carrier(&self) -> Option<&Carrier> {
        match &self.proof {
            Proof::Hmac { carrier, .. } | Proof::Ed25519 { carrier, .. } => Some(carrier),
            Proof::Token { .. } => None,
        }
    }

    /// Tells whether the signed time bounds how long a captured delivery can be replayed.
    pub fn bounds_replay(&self, tolerance: Option<Duration>) -> bool {
        let signed = self
            .timestamp
            .as_ref()
            .is_some_and(|rule| rule.from.covered_by(&self.coverage));
        signed && tolerance.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_digits_and_nothing_else() {
        assert!(TimestampUnit::Seconds.parse("1614265330").is_some());
        for text in [
            "",
            "1614265330abc",
            "+1",
            " 1",
            "1.0",
            "99999999999999999999",
            "٣",
        ] {
            assert!(TimestampUnit::Seconds.parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_url_is_spelled_with_and_without_its_port() {
        let url = "https://gw.example:1234/a:1?b=c:2";
        assert_eq!(
            UrlForm::WithoutPort.apply(url),
            "https://gw.example/a:1?b=c:2"
        );
        assert_eq!(
            UrlForm::DefaultPort.apply(url),
            "https://gw.example:443/a:1?b=c:2"
        );
        assert_eq!(UrlForm::DefaultPort.apply("http://gw"), "http://gw:80");
    }
}
