//! Keys: how an endpoint's secret becomes what a scheme verifies with.
//!
//! Made once when the configuration is loaded. No key is ever shown.

use std::fmt;

use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use crate::verify::tag::Tag;

/// Vendors' dashboards show keys with and without padding, and both mean the same key.
const BASE64_ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A hash function, for HMAC (RFC 2104).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hash {
    /// SHA-1: broken for collisions, still sound in HMAC; only where the vendor has nothing better.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Bytes of a tag.
    pub fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        })
    }
}

/// How the text of a secret stands for the bytes of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyEncoding {
    /// The text's own UTF-8 bytes.
    #[default]
    Utf8,
    /// Hexadecimal.
    Hex,
    /// RFC 4648 base64, padded or not.
    Base64,
}

impl KeyEncoding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Utf8, Self::Hex, Self::Base64];

    /// Turns the text into the key's bytes. The error never repeats the text.
    pub fn decode(self, text: &str) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        let bytes = match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Hex => hex::decode(text).map_err(|_| "is not hexadecimal")?,
            Self::Base64 => BASE64_ANY_PADDING
                .decode(text)
                .map_err(|_| "is not base64")?,
        };
        Ok(Zeroizing::new(bytes))
    }

    /// Returns the encoding's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "plain text",
            Self::Hex => "hex",
            Self::Base64 => "base64",
        }
    }
}

/// How a scheme makes its key of a secret.
#[derive(Clone, Debug, Default)]
pub struct Derivation {
    /// Prefixes that are dropped if they are there, such as `whsec_`.
    pub strip: Vec<String>,
    /// What the rest is.
    pub encoding: KeyEncoding,
}

impl Derivation {
    /// Returns the key's bytes. An empty or blank secret is refused, and so is one that leaves no
    /// byte: an empty key would verify what anyone can sign.
    pub fn bytes(&self, secret: &SecretString) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        let text = secret.expose_secret();
        if text.trim().is_empty() {
            return Err("is empty");
        }
        let stripped = self
            .strip
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix.as_str()));
        let bytes = self.encoding.decode(stripped.unwrap_or(text))?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err("has nothing behind its prefix");
        }
        Ok(bytes)
    }
}

/// An HMAC key with its first block already hashed: cloned for every delivery.
#[derive(Clone)]
pub enum HmacKey {
    /// With SHA-1.
    Sha1(Hmac<Sha1>),
    /// With SHA-256.
    Sha256(Hmac<Sha256>),
    /// With SHA-384.
    Sha384(Hmac<Sha384>),
    /// With SHA-512.
    Sha512(Hmac<Sha512>),
}

impl HmacKey {
    /// Makes a key of bytes; HMAC takes any length.
    pub fn new(hash: Hash, bytes: &[u8]) -> Option<Self> {
        Some(match hash {
            Hash::Sha1 => Self::Sha1(Hmac::new_from_slice(bytes).ok()?),
            Hash::Sha256 => Self::Sha256(Hmac::new_from_slice(bytes).ok()?),
            Hash::Sha384 => Self::Sha384(Hmac::new_from_slice(bytes).ok()?),
            Hash::Sha512 => Self::Sha512(Hmac::new_from_slice(bytes).ok()?),
        })
    }

    /// Takes in a piece of the message.
    pub fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha1(mac) => mac.update(piece),
            Self::Sha256(mac) => mac.update(piece),
            Self::Sha384(mac) => mac.update(piece),
            Self::Sha512(mac) => mac.update(piece),
        }
    }

    /// Returns the tag of the message.
    pub fn finish(self) -> Tag {
        match self {
            Self::Sha1(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha256(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha384(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha512(mac) => Tag::new(&mac.finalize().into_bytes()),
        }
    }
}

/// What one secret of an endpoint verifies with.
#[derive(Clone)]
pub enum Key {
    /// A shared key.
    Hmac(Box<HmacKey>),
    /// A public key (RFC 8032).
    Ed25519(Box<VerifyingKey>),
    /// A shared token, kept as its SHA-256, so that tokens of any length compare in constant time.
    Token([u8; 32]),
}

impl Key {
    /// Makes an Ed25519 key of 32 bytes; weak points, which verify forgeries, are refused.
    pub fn ed25519(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes: &[u8; 32] = bytes
            .try_into()
            .map_err(|_| "is not a public key of 32 bytes")?;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| "is not an Ed25519 public key")?;
        if key.is_weak() {
            return Err("is a weak Ed25519 public key");
        }
        Ok(Self::Ed25519(Box::new(key)))
    }

    /// Makes a token key.
    pub fn token(bytes: &[u8]) -> Self {
        Self::Token(Sha256::digest(bytes).into())
    }
}

/// Verifies an Ed25519 signature as RFC 8032 section 5.1.7 asks, malleable encodings refused.
pub fn verify_ed25519(key: &VerifyingKey, message: &[u8], tag: &Tag) -> bool {
    Signature::from_slice(tag.bytes())
        .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac(_) => "Hmac([redacted])",
            Self::Ed25519(_) => "Ed25519([redacted])",
            Self::Token(_) => "Token([redacted])",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(strip: &[&str], encoding: KeyEncoding, secret: &str) -> Result<Vec<u8>, &'static str> {
        let strip = strip.iter().map(|&prefix| prefix.to_owned()).collect();
        let derivation = Derivation { strip, encoding };
        derivation
            .bytes(&secret.to_owned().into())
            .map(|bytes| bytes.to_vec())
    }

    #[test]
    fn an_empty_secret_is_no_key() {
        assert!(key(&[], KeyEncoding::Utf8, "").is_err());
        assert!(key(&[], KeyEncoding::Utf8, "  \n").is_err());
        assert!(key(&["whsec_"], KeyEncoding::Base64, "whsec_").is_err());
        assert!(key(&["whsec_"], KeyEncoding::Utf8, "whsec_ ").is_err());
    }

    #[test]
    fn a_key_is_decoded_behind_its_prefix() {
        assert_eq!(
            key(&["whsec_"], KeyEncoding::Base64, "whsec_AQI=").unwrap(),
            [1, 2]
        );
        assert_eq!(
            key(&["whsec_"], KeyEncoding::Base64, "AQI").unwrap(),
            [1, 2]
        );
        assert_eq!(
            key(&[], KeyEncoding::Utf8, "whsec_AQI=").unwrap(),
            b"whsec_AQI="
        );
        assert_eq!(key(&[], KeyEncoding::Hex, "0102").unwrap(), [1, 2]);
    }

    #[test]
    fn a_weak_public_key_is_refused() {
        assert!(Key::ed25519(&[0; 32]).is_err());
        assert!(Key::ed25519(&[1; 31]).is_err());
    }
}
