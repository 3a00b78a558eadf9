//! Says of every message that this gateway published it, so that a worker need not trust the broker.
//!
//! Part of the step `publish`: the bytes of a message in, a detached signature out, which travels in a
//! header beside them. It is a JWS (RFC 7515) whose payload is not encoded and not repeated (appendix F,
//! RFC 7797), by Ed25519 (RFC 8037). The public keys are told as a JWK Set: by [`crate::admin`] and by
//! `hookgate keys`. Which worker may believe what is its own business.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::{Signer as _, SigningKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::jose::{base64url, thumbprint};
use crate::verify::public_key::PublicKey;

/// Where the JWK Set of the public keys is found on the admin listener.
pub const PATH: &str = "/.well-known/jwks.json";

/// The name of the algorithm: RFC 8037. Libraries know it better than the `Ed25519` of RFC 9864.
const ALGORITHM: &str = "EdDSA";

/// What signs messages. `Debug` shows the key's id alone.
pub struct Signer {
    key: SigningKey,
    key_id: String,
    /// The protected header, encoded, with the dot behind it: the same for every message.
    protected: String,
}

/// A public key with which signatures are, were or will be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    bytes: [u8; 32],
    key_id: String,
}

/// Why a key cannot be used. No message repeats anything of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// What is to sign is no private key.
    #[error(
        "is no private key of Ed25519 in PEM (PKCS #8); `openssl genpkey -algorithm ed25519` makes one"
    )]
    NotPrivate,
    /// What is to be announced is no public key.
    #[error("is no public key of Ed25519 in PEM; `openssl pkey -in KEY -pubout` makes one")]
    NotPublic,
    /// What is to be announced is a private key.
    #[error(
        "holds a PRIVATE key; announce the public one, which `openssl pkey -in KEY -pubout` makes"
    )]
    Private,
}

impl Signer {
    /// Reads a private key of Ed25519 in PKCS #8 (RFC 8410), as PEM.
    pub fn from_pem(text: &str) -> Result<Self, SigningKeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes())
            .map_err(|_| SigningKeyError::NotPrivate)?;
        let key = SigningKey::from_pkcs8_der(der.secret_pkcs8_der())
            .map_err(|_| SigningKeyError::NotPrivate)?;
        Ok(Self::of(key))
    }

    fn of(key: SigningKey) -> Self {
        let key_id = thumbprint(&members(key.verifying_key().as_bytes()));
        let header =
            format!(r#"{{"alg":"{ALGORITHM}","b64":false,"crit":["b64"],"kid":"{key_id}"}}"#);
        Self {
            key,
            key_id,
            protected: base64url(header) + ".",
        }
    }

    /// Returns the key's id: its thumbprint (RFC 7638).
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Signs a message. The signature is a JWS in compact serialisation without its payload.
    pub fn sign(&self, body: &[u8]) -> String {
        let signed = [self.protected.as_bytes(), body].concat();
        let signature = self.key.sign(&signed);
        format!("{}.{}", self.protected, base64url(signature.to_bytes()))
    }

    fn announced(&self) -> Announced {
        Announced::of(self.key.verifying_key().as_bytes())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl Announced {
    /// Reads a public key of Ed25519 from its `SubjectPublicKeyInfo` (RFC 8410) in PEM.
    pub fn from_pem(text: &str) -> Result<Self, SigningKeyError> {
        if text.contains("PRIVATE KEY") {
            return Err(SigningKeyError::Private);
        }
        match PublicKey::from_pem(text) {
            Ok(PublicKey::Ed25519(key)) => Ok(Self::of(key.as_bytes())),
            _ => Err(SigningKeyError::NotPublic),
        }
    }

    fn of(bytes: &[u8; 32]) -> Self {
        Self {
            bytes: *bytes,
            key_id: thumbprint(&members(bytes)),
        }
    }

    fn jwk(&self) -> Value {
        json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "x": base64url(self.bytes),
            "kid": self.key_id,
            "use": "sig",
            "alg": ALGORITHM,
        })
    }
}

/// The members of a public key that RFC 7638 asks for, in its order (RFC 8037 section 2).
fn members(public: &[u8; 32]) -> String {
    let x = base64url(public);
    format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
}

/// The keys of one configuration: the one that signs, and those that are announced beside it.
#[derive(Debug, Default)]
pub struct Keys {
    /// What signs; without it nothing is signed.
    pub signer: Option<Signer>,
    /// Public keys from before and after a rotation.
    pub announced: Vec<Announced>,
}

impl Keys {
    /// Returns the id of the key that signs, empty where none does.
    pub fn key_id(&self) -> &str {
        self.signer.as_ref().map_or("", Signer::key_id)
    }

    /// Writes the public keys as a JWK Set (RFC 7517), the one that signs first.
    pub fn jwk_set(&self) -> String {
        let mut told: Vec<Announced> = Vec::new();
        let signing = self.signer.as_ref().map(Signer::announced);
        for key in signing.iter().chain(&self.announced) {
            if !told.contains(key) {
                told.push(key.clone());
            }
        }
        let keys: Vec<Value> = told.iter().map(Announced::jwk).collect();
        format!("{:#}\n", json!({ "keys": keys }))
    }
}

/// The keys in force, which a reload swaps. Clones share them.
#[derive(Clone, Default)]
pub struct Provenance(Arc<ArcSwap<Keys>>);

impl Provenance {
    /// Puts the first keys in force.
    pub fn new(keys: Keys) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(keys)))
    }

    /// Returns the keys in force now.
    pub fn keys(&self) -> Arc<Keys> {
        self.0.load_full()
    }

    /// Puts the keys of another configuration in force. Where another key signs now, or none, returns
    /// its id, or an empty one.
    pub fn follow(&self, other: &Self) -> Option<String> {
        let new = other.keys();
        let signs = new.key_id().to_owned();
        (self.0.swap(new).key_id() != signs).then_some(signs)
    }
}

/// Shows nothing: what changes on a reload is no fixed part of the settings.
impl fmt::Debug for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provenance").finish_non_exhaustive()
    }
}
