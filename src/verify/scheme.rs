//! A scheme: one way in which a provider proves that a delivery is its own, as typed steps.
//!
//! Compiled from a definition ([`crate::provider`]); bound to an endpoint's keys by
//! [`crate::verify::Verifier`].

mod time;
mod url;

use std::time::Duration;

use http::Method;
use secrecy::{ExposeSecret, SecretString};

use crate::delivery::Single;
use crate::signal::Assurance;
use crate::verify::fetched::KeyRule;
use crate::verify::jws::JwsAlgorithm;
use crate::verify::key::{Derivation, Hash, HmacKey, Key, NamedKey};
use crate::verify::public_key::{Algorithm, PublicKey};
use crate::verify::tag::{Encoding, Layout};
use crate::verify::template::{Coverage, Scope, Template};
pub use time::TimestampUnit;
pub use url::UrlForm;

/// One way of signing. Several may share a name: they are variants, told apart by `when`.
#[derive(Clone, Debug)]
pub struct Scheme {
    /// The name by which an endpoint pins it.
    pub name: String,
    /// Whether it is used only where an endpoint pins it.
    pub opt_in: bool,
    /// Which deliveries are signed this way, where a provider has several schemes.
    pub when: When,
    /// Prefixes of the secrets that belong to this scheme and no other; empty: the other secrets.
    pub for_secrets: Vec<String>,
    /// How the proof is made.
    pub proof: Proof,
    /// What is signed; empty where nothing is.
    pub signed: Template,
    /// Further spellings of what is signed.
    pub also_signed: Vec<Template>,
    /// A token that must be right as well.
    pub token: Option<Token>,
    /// Where the keys come from, if they are not configured.
    pub keys: Option<KeyRule>,
    /// Whether every event of a batch carries a proof of its own.
    pub each: bool,
    /// Pieces that must be equal, such as a signed hash of the body and the body's hash.
    pub equal: Vec<Equal>,
    /// Pieces that must be there once the rest is verified.
    pub require: Vec<Template>,
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
    /// A plain digest of the content with the secret in it. Only where the vendor has no HMAC.
    KeyedHash {
        /// The hash function.
        hash: Hash,
        /// How a secret becomes a key.
        key: Derivation,
        /// Where the tags stand.
        carrier: Carrier,
    },
    /// A signature with a private key.
    PublicKey {
        /// The signature algorithm.
        algorithm: Algorithm,
        /// How the configured text becomes the public key.
        key: Derivation,
        /// Where the signatures stand.
        carrier: Carrier,
        /// Whether a Tink prefix names the key.
        tink: bool,
    },
    /// A JSON Web Token (RFC 7519).
    Jwt(Box<JwtRule>),
    /// A secret that travels with the delivery and binds nothing.
    Token(Token),
    /// User and password (RFC 7617), likewise.
    Basic,
    /// The subject of the caller's certificate, as a trusted proxy says.
    ClientCertificate(Template),
    /// Nothing is proved.
    None,
}

/// Where a token stands.
#[derive(Clone, Debug)]
pub struct Token {
    /// The text that holds it.
    pub value: Template,
    /// What stands before it, such as `Bearer `.
    pub prefix: String,
    /// Whether the prefix is the name of an authentication scheme, which has no case (RFC 9110
    /// section 11.1).
    pub any_case: bool,
}

impl Token {
    /// Returns what stands behind the prefix, if that is there.
    pub fn behind_prefix<'t>(&self, sent: &'t [u8]) -> Option<&'t [u8]> {
        let (before, token) = sent.split_at_checked(self.prefix.len())?;
        let same = match self.any_case {
            true => before.eq_ignore_ascii_case(self.prefix.as_bytes()),
            false => before == self.prefix.as_bytes(),
        };
        same.then_some(token)
    }
}

/// What a JWT must say.
#[derive(Clone, Debug)]
pub struct JwtRule {
    /// Where it stands.
    pub token: Token,
    /// The algorithms that are believed; `none` is not among those there are.
    pub algorithms: Vec<JwsAlgorithm>,
    /// How a secret becomes a shared key.
    pub key: Derivation,
    /// Claims and what each must be: one of these.
    pub claims: Vec<(String, Vec<Template>)>,
    /// The same, for claims that must be there where the delivery has a body.
    pub claims_if_body: Vec<(String, Vec<Template>)>,
    /// Claims that must be there.
    pub require: Vec<String>,
    /// Seconds by which clocks may differ.
    pub leeway: i64,
}

/// Pieces that must be equal.
#[derive(Clone, Debug)]
pub struct Equal {
    /// What is compared.
    pub left: Template,
    /// What it may be: one of these.
    pub alternatives: Vec<Template>,
    /// Whether it is passed over where a piece is absent.
    pub optional: bool,
}

/// Where tags stand and in which form.
#[derive(Clone, Debug)]
pub struct Carrier {
    /// The texts that hold them; those that are absent are passed over if one is there.
    pub from: Vec<Place>,
    /// How each is taken apart.
    pub layout: Layout,
    /// The form of a tag.
    pub encoding: Encoding,
    /// Bytes that a tag has.
    pub length: Length,
    /// Whether the nth place is verified by the nth secret alone.
    pub by_secret: bool,
}

/// A text that holds tags.
#[derive(Clone, Debug)]
pub enum Place {
    /// One piece of the delivery.
    Piece(Template),
    /// Every line of a header that may be repeated, each a list separated by commas.
    Lines(String),
    /// Every header whose name begins like this.
    Numbered(String),
}

/// How many bytes a tag has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many.
    Exactly(usize),
    /// Any number that the algorithm judges.
    Any,
}

impl Length {
    /// Tells whether a tag may have this many bytes.
    pub fn admits(self, bytes: usize) -> bool {
        match self {
            Self::Exactly(length) => length == bytes,
            Self::Any => bytes > 0,
        }
    }
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
    /// Seconds since 1970 before which no delivery can have been signed.
    pub min: i64,
}

/// Which deliveries a scheme is for: all conditions that are set must hold.
#[derive(Clone, Debug, Default)]
pub struct When {
    /// A header that must be there.
    pub header: Option<String>,
    /// A query parameter that must be there.
    pub query: Option<String>,
    /// The method.
    pub method: Option<Method>,
    /// Templates and the texts of which each must give one.
    pub equals: Vec<(Template, Vec<String>)>,
    /// Templates whose pieces must be there.
    pub present: Vec<Template>,
    /// Templates whose pieces must not be there.
    pub absent: Vec<Template>,
    /// Whether the document must be a JSON object.
    pub object: bool,
}

impl When {
    /// Tells whether any condition is set.
    pub fn is_set(&self) -> bool {
        self.header.is_some()
            || self.query.is_some()
            || self.method.is_some()
            || self.object
            || !self.equals.is_empty()
            || !self.present.is_empty()
            || !self.absent.is_empty()
    }

    /// Tells whether every condition that is set holds.
    pub fn holds(&self, scope: &Scope<'_, '_>) -> bool {
        let delivery = scope.fields.delivery();
        let header = self
            .header
            .as_ref()
            .is_none_or(|name| delivery.header(name) != Single::Absent);
        let query = self.query.as_ref().is_none_or(|name| {
            form_urlencoded::parse(delivery.query().as_bytes()).any(|(key, _)| key == name.as_str())
        });
        let method = self
            .method
            .as_ref()
            .is_none_or(|method| *method == delivery.method);
        let equals = |(template, texts): &(Template, Vec<String>)| {
            template
                .text(scope)
                .is_some_and(|text| texts.contains(&text))
        };
        let present = |template: &Template| template.bytes(scope).is_ok();
        let object = || scope.fields.document().trim_ascii_start().starts_with(b"{");
        header
            && query
            && method
            && self.equals.iter().all(equals)
            && self.present.iter().all(present)
            && !self.absent.iter().any(present)
            && (!self.object || object())
    }
}

impl Scheme {
    /// What the proof covers, in the word that signals carry.
    pub fn assurance(&self) -> Assurance {
        match self.proof {
            Proof::None => Assurance::None,
            Proof::Token(_) | Proof::Basic | Proof::ClientCertificate(_) => Assurance::Token,
            _ if self.coverage.body() => Assurance::Body,
            // A token says who calls, and nothing of what is said.
            Proof::Jwt(_) => Assurance::Token,
            _ => Assurance::Fields,
        }
    }

    /// Tells whether this scheme claims a secret by its prefix.
    pub fn claims(&self, secret: &str) -> bool {
        self.for_secrets
            .iter()
            .any(|prefix| secret.starts_with(prefix.as_str()))
    }

    /// Tells whether an endpoint must configure secrets for this scheme.
    pub fn needs_secrets(&self) -> bool {
        match self.proof {
            Proof::None => false,
            _ => self.keys.is_none() || self.token.is_some(),
        }
    }

    /// Makes the key of the secret at a place. The error never repeats the secret.
    pub fn key(&self, secret: &SecretString, place: usize) -> Result<NamedKey, &'static str> {
        let mut behind = self
            .for_secrets
            .iter()
            .filter_map(|prefix| secret.expose_secret().strip_prefix(prefix.as_str()));
        if behind.any(|text| text.trim().is_empty()) {
            return Err("has nothing behind its prefix");
        }
        let plain = Derivation::default();
        let (derivation, key) = match &self.proof {
            Proof::Hmac { hash, key, .. } => {
                let made = HmacKey::new(*hash, &key.bytes(secret)?).ok_or("is no HMAC key")?;
                (key, Key::Hmac(Box::new(made)))
            }
            Proof::KeyedHash { key, .. } => (key, Key::Shared(key.bytes(secret)?)),
            Proof::Jwt(rule) if self.keys.is_none() => {
                (&rule.key, Key::Shared(rule.key.bytes(secret)?))
            }
            Proof::PublicKey { algorithm, key, .. } if self.keys.is_none() => {
                let raw = match algorithm {
                    Algorithm::Ed25519 => PublicKey::ed25519,
                    _ => PublicKey::from_spki,
                };
                (key, Key::public(secret, key, raw)?)
            }
            Proof::Basic if !secret.expose_secret().contains(':') => {
                return Err("is not of the form USER:PASSWORD");
            }
            Proof::Basic if secret.expose_secret().trim() == ":" => return Err("is empty"),
            _ => (&plain, Key::token(&plain.bytes(secret)?)),
        };
        let id = derivation.named(secret)?.0.map(str::to_owned);
        Ok(NamedKey { id, place, key })
    }

    /// Returns where the tags stand; nothing where there are none.
    pub fn carrier(&self) -> Option<&Carrier> {
        match &self.proof {
            Proof::Hmac { carrier, .. }
            | Proof::KeyedHash { carrier, .. }
            | Proof::PublicKey { carrier, .. } => Some(carrier),
            _ => None,
        }
    }

    /// Returns every spelling of what is signed.
    pub fn signed_forms(&self) -> impl Iterator<Item = &Template> {
        std::iter::once(&self.signed).chain(&self.also_signed)
    }

    /// Tells whether a signed time bounds how long a captured delivery can be replayed.
    pub fn bounds_replay(&self, tolerance: Option<Duration>) -> bool {
        let signed = self
            .timestamp
            .as_ref()
            .is_some_and(|rule| rule.from.covered_by(&self.coverage));
        // RFC 7519 section 4.1.4: past `exp` a token is refused.
        let expires = match &self.proof {
            Proof::Jwt(rule) => rule.require.iter().any(|name| name == "exp"),
            _ => false,
        };
        expires || (signed && tolerance.is_some())
    }
}
