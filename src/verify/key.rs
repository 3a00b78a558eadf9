//! Keys: how an endpoint's secret becomes what a scheme verifies with.
//!
//! Made once when the configuration is loaded. No key is ever shown.

use std::fmt;

use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::digest::DynDigest;
use sha2::{Digest, Sha256, Sha384, Sha512};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::verify::public_key::PublicKey;
use crate::verify::tag::Tag;
use crate::verify::template::Template;

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
    /// MD5: broken as a hash. Only for legacy schemes that an endpoint has to ask for by name.
    Md5,
}

impl Hash {
    /// Those that an HMAC is made with.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Bytes of a tag.
    pub fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
            Self::Md5 => 16,
        }
    }

    /// Begins a plain digest, which is no HMAC.
    pub fn digest(self) -> Box<dyn DynDigest + Send> {
        match self {
            Self::Sha1 => Box::new(Sha1::new()),
            Self::Sha256 => Box::new(Sha256::new()),
            Self::Sha384 => Box::new(Sha384::new()),
            Self::Sha512 => Box::new(Sha512::new()),
            Self::Md5 => Box::new(Md5::new()),
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
            Self::Md5 => "MD5",
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
    /// PEM (RFC 7468) of a public key or certificate.
    Pem,
    /// Base64 of a DER SubjectPublicKeyInfo (RFC 5280 section 4.1).
    #[serde(rename = "spki-base64")]
    SpkiBase64,
}

impl KeyEncoding {
    /// Those that a shared key can be written in.
    pub const ALL: [Self; 3] = [Self::Utf8, Self::Hex, Self::Base64];

    /// Turns the text into the key's bytes. The error never repeats the text.
    pub fn decode(self, text: &str) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        let bytes = match self {
            Self::Utf8 | Self::Pem => text.as_bytes().to_vec(),
            Self::Hex => hex::decode(text).map_err(|_| "is not hexadecimal")?,
            Self::Base64 | Self::SpkiBase64 => BASE64_ANY_PADDING
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
            Self::Pem => "PEM",
            Self::SpkiBase64 => "a public key in base64",
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
    /// Whether the text is put into Unicode's normalisation form KD first.
    pub nfkd: bool,
    /// Whether HTML entities in the text are decoded first, once.
    pub html_entities: bool,
    /// What is appended to the text.
    pub suffix: String,
    /// The hash whose digest of all that is the key.
    pub hash: Option<Hash>,
    /// Whether the secret is written `ID:KEY`, with the id of the key before its last colon.
    pub named: bool,
    /// Where a delivery names the key that it is signed with.
    pub id: Option<Template>,
}

impl Derivation {
    /// Returns the key's bytes. An empty or blank secret is refused, and so is one that leaves no
    /// byte: an empty key would verify what anyone can sign.
    pub fn bytes(&self, secret: &SecretString) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        let text = self.named(secret)?.1;
        if text.trim().is_empty() {
            return Err("is empty");
        }
        let stripped = self
            .strip
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix.as_str()));
        let text = self.rewritten(stripped.unwrap_or(text));
        let bytes = self.encoding.decode(&text)?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err("has nothing behind its prefix");
        }
        Ok(match self.hash {
            None => bytes,
            Some(hash) => {
                let mut digest = hash.digest();
                digest.update(&bytes);
                Zeroizing::new(digest.finalize().to_vec())
            }
        })
    }

    /// Returns the id of the key, where secrets name it, and the key's text.
    pub fn named<'s>(
        &self,
        secret: &'s SecretString,
    ) -> Result<(Option<&'s str>, &'s str), &'static str> {
        let text = secret.expose_secret();
        if !self.named {
            return Ok((None, text));
        }
        match text.rsplit_once(':') {
            Some((id, key)) if !id.is_empty() => Ok((Some(id), key)),
            _ => Err("is not of the form ID:KEY"),
        }
    }

    fn rewritten(&self, text: &str) -> Zeroizing<String> {
        let mut text = Zeroizing::new(text.to_owned());
        if self.nfkd {
            text = Zeroizing::new(text.nfkd().collect());
        }
        if self.html_entities {
            text = Zeroizing::new(decode_entities(&text));
        }
        text.push_str(&self.suffix);
        text
    }
}

/// Decodes the five entities that HTML escaping makes, in one pass.
fn decode_entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let decoded = after
            .split_once(';')
            .and_then(|(name, rest)| Some((entity(name)?, rest)));
        rest = match decoded {
            Some((char, rest)) => {
                out.push(char);
                rest
            }
            None => {
                out.push('&');
                after
            }
        };
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    let number = |digits: &str| match digits.trim_start_matches('0') {
        "38" => Some('&'),
        "60" => Some('<'),
        "62" => Some('>'),
        "34" => Some('"'),
        "39" => Some('\''),
        _ => None,
    };
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        _ => name.strip_prefix('#').and_then(number),
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
    /// With MD5, whose collisions do not break the HMAC (RFC 6151).
    Md5(Hmac<Md5>),
}

impl HmacKey {
    /// Makes a key of bytes; HMAC takes any length.
    pub fn new(hash: Hash, bytes: &[u8]) -> Option<Self> {
        Some(match hash {
            Hash::Sha1 => Self::Sha1(Hmac::new_from_slice(bytes).ok()?),
            Hash::Sha256 => Self::Sha256(Hmac::new_from_slice(bytes).ok()?),
            Hash::Sha384 => Self::Sha384(Hmac::new_from_slice(bytes).ok()?),
            Hash::Sha512 => Self::Sha512(Hmac::new_from_slice(bytes).ok()?),
            Hash::Md5 => Self::Md5(Hmac::new_from_slice(bytes).ok()?),
        })
    }

    /// Takes in a piece of the message.
    pub fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha1(mac) => mac.update(piece),
            Self::Sha256(mac) => mac.update(piece),
            Self::Sha384(mac) => mac.update(piece),
            Self::Sha512(mac) => mac.update(piece),
            Self::Md5(mac) => mac.update(piece),
        }
    }

    /// Returns the tag of the message.
    pub fn finish(self) -> Tag {
        match self {
            Self::Sha1(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha256(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha384(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Sha512(mac) => Tag::new(&mac.finalize().into_bytes()),
            Self::Md5(mac) => Tag::new(&mac.finalize().into_bytes()),
        }
    }
}

/// What one secret of an endpoint verifies with.
#[derive(Clone)]
pub enum Key {
    /// A shared key.
    Hmac(Box<HmacKey>),
    /// A shared key whose hash function the delivery names, or which is hashed with the content.
    Shared(Zeroizing<Vec<u8>>),
    /// A public key.
    Public(PublicKey),
    /// A shared token, kept as its SHA-256, so that tokens of any length compare in constant time.
    Token([u8; 32]),
}

impl Key {
    /// Makes a token key.
    pub fn token(bytes: &[u8]) -> Self {
        Self::Token(Sha256::digest(bytes).into())
    }

    /// Makes a public key of what an operator configured.
    pub fn public(
        secret: &SecretString,
        derivation: &Derivation,
        raw: fn(&[u8]) -> Result<PublicKey, &'static str>,
    ) -> Result<Self, &'static str> {
        let bytes = derivation.bytes(secret)?;
        let key = match derivation.encoding {
            KeyEncoding::Pem => {
                let text = std::str::from_utf8(&bytes).map_err(|_| "is not PEM")?;
                PublicKey::from_pem(text)?
            }
            KeyEncoding::SpkiBase64 => PublicKey::from_spki(&bytes)?,
            _ => raw(&bytes)?,
        };
        Ok(Self::Public(key))
    }
}

/// A key with what tells it from the endpoint's others.
#[derive(Clone, Debug)]
pub struct NamedKey {
    /// Its id, where secrets name one.
    pub id: Option<String>,
    /// Its place among the endpoint's secrets, from 0.
    pub place: usize,
    /// The key.
    pub key: Key,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac(_) => "Hmac([redacted])",
            Self::Shared(_) => "Shared([redacted])",
            Self::Public(_) => "Public([redacted])",
            Self::Token(_) => "Token([redacted])",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(strip: &[&str], encoding: KeyEncoding, secret: &str) -> Result<Vec<u8>, &'static str> {
        let strip = strip.iter().map(|&prefix| prefix.to_owned()).collect();
        let derivation = Derivation {
            strip,
            encoding,
            ..Derivation::default()
        };
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
    fn a_key_is_made_of_a_rewritten_text() {
        let made = |derivation: Derivation, secret: &str| {
            let bytes = derivation.bytes(&secret.to_owned().into());
            bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        let named = || Derivation {
            named: true,
            ..Derivation::default()
        };
        assert_eq!(made(named(), "app.key:id:text").unwrap(), "text");
        assert!(made(named(), "text").is_err());
        assert!(made(named(), "id:").is_err());
        let entities = Derivation {
            html_entities: true,
            ..Derivation::default()
        };
        let text = "a&amp;lt;b&#039;c&quot;&x;&";
        assert_eq!(made(entities, text).unwrap(), "a&lt;b'c\"&x;&");
        let composed = Derivation {
            nfkd: true,
            suffix: "&".into(),
            ..Derivation::default()
        };
        assert_eq!(made(composed, "\u{e9}").unwrap(), "e\u{301}&");
        let hashed = Derivation {
            hash: Some(Hash::Sha1),
            ..Derivation::default()
        };
        let bytes = hashed.bytes(&"abc".to_owned().into()).unwrap();
        assert_eq!(
            hex::encode(&*bytes),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
    }
}
