//! Seals the data of a signal to the public key of a tenant's worker, so that nobody on the way can
//! read it: not the broker, not whoever reads the ledger, not this gateway once it is done.
//!
//! Between `redact` and `record` on the way of a delivery, called by [`crate::envelope`]: redacted
//! data in, a JWE in compact serialisation out (RFC 7516). Key agreement is ECDH-ES without key wrapping
//! (RFC 7518 section 4.6) on P-256 or X25519 (RFC 8037), with a new key pair for every signal;
//! encryption is A256GCM. The header, which is authenticated, names the recipient's key, the media
//! type and the signal, so that a payload moved to another signal is noticed.
//!
//! Nothing here can open what was sealed, and a key that could is refused.

#[cfg(test)]
mod tests;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::jose::{MAX_KEY_ID, base64url, bytes32, thumbprint};
use crate::json::quote;
use crate::signal::SignalId;

/// The media type of sealed data (RFC 7515 section 9.2.1).
pub const MEDIA_TYPE: &str = "application/jose";

/// Bytes that sealing adds at most beside a third: header, tag and dots. Media type and key id are bounded.
pub const MAX_OVERHEAD: usize = 2048;

/// How keys are agreed on and data is encrypted, as the header says it.
const ENCRYPTION: &str = "A256GCM";

/// A worker's public key, to which data is sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient {
    key_id: String,
    curve: Curve,
    /// As ring takes it: the bytes of X25519, or the uncompressed point.
    public: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curve {
    P256,
    X25519,
}

/// Why nothing can be sealed to what a reference refers to. No message repeats anything of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// It is not JSON.
    #[error(
        "is not JSON (line {line}, column {column}); it must be a public JWK or a JWK Set (RFC 7517)"
    )]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// It is JSON, and neither a key nor a set of keys.
    #[error("is neither a JWK nor a JWK Set (RFC 7517)")]
    NoJwk,
    /// The key could open what is sealed.
    #[error(
        "holds a PRIVATE key, which the gateway must never have: make a new pair, keep the private key \
         with the worker, and write only the public one here (docs/SEALING.md)"
    )]
    Private,
    /// A set does not say which key is meant.
    #[error(
        "is a JWK Set with {0} keys that could be meant; exactly one must have \"use\": \"enc\", or be \
         alone"
    )]
    Ambiguous(usize),
    /// Its purpose is another one.
    #[error(
        "has `use` or `alg` for something else than ECDH-ES; leave them out, or make another key"
    )]
    Purpose,
    /// Its kind is not supported.
    #[error(
        "has a `kty` or `crv` that cannot be used; make a key of kty \"EC\" with crv \"P-256\", or of kty \
         \"OKP\" with crv \"X25519\""
    )]
    Curve,
    /// A coordinate is unreadable.
    #[error("has `{0}` that is not 32 bytes in base64url without padding")]
    Coordinate(&'static str),
    /// The coordinates are no public key.
    #[error("is no point of its curve")]
    Point,
    /// The id cannot be carried.
    #[error("has a `kid` that is not a text of 1 to {MAX_KEY_ID} visible ASCII characters")]
    KeyId,
}

/// The system gave no random numbers, or the key cannot be agreed with: nothing was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("data cannot be sealed")]
pub struct NotSealed;

impl Recipient {
    /// Reads a public key from a JWK, or from a JWK Set that says which one is meant.
    pub fn parse(text: &str) -> Result<Self, RecipientError> {
        let document: Value =
            serde_json::from_str(text).map_err(|error| RecipientError::NotJson {
                line: error.line(),
                column: error.column(),
            })?;
        let document = document.as_object().ok_or(RecipientError::NoJwk)?;
        if is_private(document) {
            return Err(RecipientError::Private);
        }
        let Some(keys) = document.get("keys") else {
            return Self::of(document);
        };
        let keys = keys.as_array().ok_or(RecipientError::NoJwk)?;
        let keys = keys.iter().map(Value::as_object);
        let keys: Vec<_> = keys.collect::<Option<_>>().ok_or(RecipientError::NoJwk)?;
        // A private key next to the one that is meant is here just the same.
        if keys.iter().any(|key| is_private(key)) {
            return Err(RecipientError::Private);
        }
        let meant = |key: &&Map<_, _>| text_of(key, "use") == Some("enc");
        let meant: Vec<_> = keys.iter().copied().filter(meant).collect();
        match (&meant[..], &keys[..]) {
            ([key], _) | ([], [key]) => Self::of(key),
            ([], all) => Err(RecipientError::Ambiguous(all.len())),
            (several, _) => Err(RecipientError::Ambiguous(several.len())),
        }
    }

    /// Reads a key that is known to have no private member.
    fn of(key: &Map<String, Value>) -> Result<Self, RecipientError> {
        for (name, meant) in [("use", "enc"), ("alg", Curve::AGREEMENT)] {
            if key.get(name).is_some_and(|value| value != meant) {
                return Err(RecipientError::Purpose);
            }
        }
        let coordinate = |name| {
            let bytes = text_of(key, name).and_then(bytes32);
            bytes.ok_or(RecipientError::Coordinate(name))
        };
        let (curve, public) = match (text_of(key, "kty"), text_of(key, "crv")) {
            (Some("EC"), Some("P-256")) => {
                // SEC 1 section 2.3.3: an uncompressed point begins with 4.
                let point = [&[4][..], &coordinate("x")?, &coordinate("y")?].concat();
                (Curve::P256, point)
            }
            (Some("OKP"), Some("X25519")) => (Curve::X25519, coordinate("x")?.into()),
            _ => return Err(RecipientError::Curve),
        };
        let key_id = match key.get("kid") {
            Some(key_id) => key_id
                .as_str()
                .filter(|text| (1..=MAX_KEY_ID).contains(&text.len()))
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))
                .ok_or(RecipientError::KeyId)?
                .to_owned(),
            None => thumbprint(&curve.jwk(&public)),
        };
        let recipient = Self {
            key_id,
            curve,
            public,
        };
        // What a key is worth is known once something was agreed with it.
        recipient
            .agree(|_, _| ())
            .map_err(|_| RecipientError::Point)?;
        Ok(recipient)
    }

    /// Returns the key's id: its `kid`, or else its thumbprint (RFC 7638).
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Seals data of a media type, where it has one, for one signal.
    pub fn seal(
        &self,
        data: Vec<u8>,
        media_type: Option<&str>,
        signalid: SignalId,
    ) -> Result<String, NotSealed> {
        let mut iv = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut iv).map_err(|_| NotSealed)?;
        let (header, key) = self.agree(|ephemeral, shared| {
            let header = self.header(ephemeral, media_type, signalid);
            (header, derive(shared, PURPOSE))
        })?;
        container(&header, &key, iv, data)
    }

    /// Agrees on a secret with a new key pair, whose public key and secret go to `then`.
    fn agree<T>(&self, then: impl FnOnce(&[u8], &[u8]) -> T) -> Result<T, NotSealed> {
        let (algorithm, random) = (self.curve.algorithm(), SystemRandom::new());
        let ephemeral = EphemeralPrivateKey::generate(algorithm, &random).map_err(|_| NotSealed)?;
        let public = ephemeral.compute_public_key().map_err(|_| NotSealed)?;
        let peer = UnparsedPublicKey::new(algorithm, &self.public);
        agreement::agree_ephemeral(ephemeral, &peer, |shared| then(public.as_ref(), shared))
            .map_err(|_| NotSealed)
    }

    /// Writes the protected header.
    fn header(&self, ephemeral: &[u8], media_type: Option<&str>, signalid: SignalId) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAX_OVERHEAD / 2);
        out.extend_from_slice(b"{\"alg\":");
        quote(Curve::AGREEMENT, &mut out);
        let signalid = signalid.to_string();
        let named = [
            ("enc", Some(ENCRYPTION)),
            ("kid", Some(&*self.key_id)),
            ("cty", media_type),
            ("signalid", Some(&*signalid)),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                out.push(b',');
                quote(name, &mut out);
                out.push(b':');
                quote(value, &mut out);
            }
        }
        out.extend_from_slice(b",\"epk\":");
        out.extend_from_slice(self.curve.jwk(ephemeral).as_bytes());
        out.push(b'}');
        out
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipient")
            .field("key_id", &self.key_id)
            .field("curve", &self.curve)
            .finish_non_exhaustive()
    }
}

impl Curve {
    /// The header's `alg`, the same for both.
    const AGREEMENT: &'static str = "ECDH-ES";

    fn algorithm(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &agreement::ECDH_P256,
            Self::X25519 => &agreement::X25519,
        }
    }

    /// Writes a public key with the members that RFC 7638 asks for, in its order.
    fn jwk(self, public: &[u8]) -> String {
        match self {
            Self::P256 => {
                let (x, y) = public[1..].split_at(32);
                let (x, y) = (base64url(x), base64url(y));
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            Self::X25519 => {
                let x = base64url(public);
                format!(r#"{{"crv":"X25519","kty":"OKP","x":"{x}"}}"#)
            }
        }
    }
}

fn text_of<'k>(key: &'k Map<String, Value>, name: &str) -> Option<&'k str> {
    key.get(name).and_then(Value::as_str)
}

/// Tells whether a JWK has a private member, of whatever kind of key (RFC 7518 section 6).
fn is_private(key: &Map<String, Value>) -> bool {
    let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
    private.iter().any(|name| key.contains_key(*name))
}

/// What a key is derived for, in the order of the Concat KDF's `OtherInfo`: algorithm, the two parties, and
/// the key's length in bits, which is at most 256.
type Purpose = (&'static str, &'static str, &'static str, u32);

/// The parties need no names: the key pair of one of them is new for every signal.
const PURPOSE: Purpose = (ENCRYPTION, "", "", 256);

/// Derives a key by the Concat KDF (RFC 7518 section 4.6.2): one block of SHA-256, of which a shorter key
/// is the beginning.
fn derive(shared: &[u8], (algorithm, one, other, bits): Purpose) -> Zeroizing<[u8; 32]> {
    let mut block = Sha256::new_with_prefix(1u32.to_be_bytes());
    block.update(shared);
    for part in [algorithm, one, other] {
        // Each is a constant of a few bytes.
        block.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        block.update(part);
    }
    block.update(bits.to_be_bytes());
    Zeroizing::new(block.finalize().into())
}

/// Encrypts and writes the five parts (RFC 7516 section 7.1), the second of which, the encrypted key,
/// is empty where the key was agreed on directly.
fn container(
    header: &[u8],
    key: &[u8; 32],
    iv: [u8; NONCE_LEN],
    mut data: Vec<u8>,
) -> Result<String, NotSealed> {
    let header = base64url(header);
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).map_err(|_| NotSealed)?);
    let (nonce, aad) = (Nonce::assume_unique_for_key(iv), Aad::from(&header));
    let tag = key
        .seal_in_place_separate_tag(nonce, aad, &mut data)
        .map_err(|_| NotSealed)?;
    let mut out = String::with_capacity(data.len() / 3 * 4 + MAX_OVERHEAD);
    out.push_str(&header);
    out.push_str("..");
    for part in [&iv[..], &data, tag.as_ref()] {
        URL_SAFE_NO_PAD.encode_string(part, &mut out);
        out.push('.');
    }
    out.pop();
    Ok(out)
}
