//! Verifies who published a message, and opens what is sealed in it. Kept beside a worker.
//!
//! Both need nothing but the files with the keys (JWK Sets, RFC 7517). A message that cannot be believed or
//! opened is [`Refused`]; [`Unreadable`] says that the keys are not there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use p256::elliptic_curve::ecdh::diffie_hellman;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Why a message is not to be acted on.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) &'static str);

/// A file of keys that cannot be read. Nothing is wrong with the message.
#[derive(Debug, thiserror::Error)]
#[error("keys cannot be read from {0}")]
pub(crate) struct Unreadable(String);

/// The keys of a JWK Set by their ids. It is read again when another key is asked for.
#[derive(Default)]
struct Keys {
    file: Option<PathBuf>,
    keys: BTreeMap<String, Value>,
}

impl Keys {
    fn read(file: PathBuf) -> Result<Self, Unreadable> {
        let unreadable =
            |error: &dyn std::fmt::Display| Unreadable(format!("{}: {error}", file.display()));
        let text = std::fs::read(&file).map_err(|error| unreadable(&error))?;
        let document: Value = serde_json::from_slice(&text).map_err(|error| unreadable(&error))?;
        let keys = document["keys"].as_array();
        let keys = keys.ok_or_else(|| unreadable(&"there is no JWK Set in it"))?;
        let keys = keys.iter().map(|key| (text_of(&key["kid"]), key.clone()));
        Ok(Self {
            keys: keys.map(|(kid, key)| (kid.to_owned(), key)).collect(),
            file: Some(file),
        })
    }

    fn get(&mut self, kid: &str) -> Result<Option<&Value>, Unreadable> {
        if !self.keys.contains_key(kid)
            && let Some(file) = &self.file
        {
            *self = Self::read(file.clone())?;
        }
        Ok(self.keys.get(kid))
    }
}

/// The keys of the gateways whose messages are believed: what `hookgate keys` prints.
pub(crate) struct Signers(Keys);

impl Signers {
    /// Reads a file of public keys.
    pub(crate) fn read(file: impl Into<PathBuf>) -> Result<Self, Unreadable> {
        Keys::read(file.into()).map(Self)
    }

    /// Verifies the header `hookgate-signature` over the body of a message, to the letter: a detached JWS
    /// (RFC 7515 appendix F, RFC 7797).
    pub(crate) fn verify(&mut self, signature: Option<&str>, body: &[u8]) -> anyhow::Result<()> {
        let signature = signature.ok_or(Refused("it is not signed"))?;
        let (protected, signature) = signature
            .split_once("..")
            .ok_or(Refused("its signature is no detached JWS"))?;
        let header = json(protected).ok_or(Refused("its signature has no header"))?;
        let plain = header["b64"] == false && header["crit"] == serde_json::json!(["b64"]);
        if header["alg"] != "EdDSA" || !plain {
            return Err(Refused("its signature is of another kind").into());
        }
        let key = self.0.get(text_of(&header["kid"]))?;
        let key = key.and_then(|key| bytes(&key["x"]));
        let key = key.ok_or(Refused("its signature is by an unknown key"))?;
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        let signed = [protected.as_bytes(), b".", body].concat();
        UnparsedPublicKey::new(&ED25519, key)
            .verify(&signed, &signature)
            .map_err(|_| Refused("its signature does not verify"))?;
        Ok(())
    }
}

/// The private keys that data may be sealed to. Keys before and after a rotation are here together.
#[derive(Default)]
pub(crate) struct Openers(Keys);

impl Openers {
    /// Reads a file of private keys.
    pub(crate) fn read(file: impl Into<PathBuf>) -> Result<Self, Unreadable> {
        Keys::read(file.into()).map(Self)
    }

    /// Returns the data of a signal as JSON text, or as bytes where it is no JSON. Opens what is sealed
    /// (RFC 7516), and refuses what was sealed for another signal.
    pub(crate) fn data(&mut self, signal: &Value) -> anyhow::Result<Vec<u8>> {
        if signal.get("sealedfor").is_some() {
            return self.open(text_of(&signal["data"]), text_of(&signal["signalid"]));
        }
        match signal.get("data_base64") {
            Some(data) => {
                let data = STANDARD.decode(text_of(data));
                Ok(data.map_err(|_| Refused("its data is no base64"))?)
            }
            None => Ok(signal["data"].to_string().into_bytes()),
        }
    }

    fn open(&mut self, sealed: &str, signalid: &str) -> anyhow::Result<Vec<u8>> {
        let parts: Vec<&str> = sealed.split('.').collect();
        let [protected, "", iv, data, tag] = parts[..] else {
            return Err(Refused("its data is no JWE with a key that was agreed on").into());
        };
        let header = json(protected).ok_or(Refused("its data has no header"))?;
        if (text_of(&header["alg"]), text_of(&header["enc"])) != ("ECDH-ES", "A256GCM") {
            return Err(Refused("its data is sealed in another way").into());
        }
        let key = self.0.get(text_of(&header["kid"]))?;
        let key = key.ok_or(Refused("its data is sealed for another key"))?;
        let shared = agree(key, &header["epk"]).ok_or(Refused("its data has no key"))?;
        let opened = decrypt(&shared, protected, [iv, data, tag]);
        let opened = opened.ok_or(Refused("its data was changed"))?;
        if text_of(&header["signalid"]) != signalid {
            return Err(Refused("its data was sealed for another signal").into());
        }
        if is_json(text_of(&header["cty"])) && serde_json::from_slice::<Value>(&opened).is_err() {
            return Err(Refused("its data is no JSON").into());
        }
        Ok(opened)
    }
}

/// Agrees on a secret (RFC 7518 section 4.6, RFC 8037 section 3.2).
fn agree(key: &Value, ephemeral: &Value) -> Option<[u8; 32]> {
    let [ours, theirs] = [key, ephemeral].map(|key| (text_of(&key["kty"]), text_of(&key["crv"])));
    match (ours, ours == theirs) {
        (("EC", "P-256"), true) => {
            let secret = p256::SecretKey::from_slice(&bytes(&key["d"])?).ok()?;
            let point = [&[4][..], &bytes(&ephemeral["x"])?, &bytes(&ephemeral["y"])?].concat();
            let public = p256::PublicKey::from_sec1_bytes(&point).ok()?;
            let shared = diffie_hellman(secret.to_nonzero_scalar(), public.as_affine());
            Some((*shared.raw_secret_bytes()).into())
        }
        (("OKP", "X25519"), true) => {
            let shared = x25519_dalek::x25519(bytes(&key["d"])?, bytes(&ephemeral["x"])?);
            (shared != [0; 32]).then_some(shared)
        }
        _ => None,
    }
}

/// Derives the key (RFC 7518 section 4.6.2) and decrypts.
fn decrypt(shared: &[u8; 32], protected: &str, parts: [&str; 3]) -> Option<Vec<u8>> {
    let mut block = Sha256::new();
    block.update(1u32.to_be_bytes());
    block.update(shared);
    block.update(7u32.to_be_bytes());
    block.update("A256GCM");
    block.update([0; 8]); // two parties without names
    block.update(256u32.to_be_bytes());
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &block.finalize()).ok()?);
    let [iv, data, tag] = parts.map(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let nonce = Nonce::try_assume_unique_for_key(&iv?).ok()?;
    let mut data = [data?, tag?].concat();
    let opened = key.open_in_place(nonce, Aad::from(protected), &mut data);
    Some(opened.ok()?.to_vec())
}

fn is_json(media_type: &str) -> bool {
    ["application/json", "text/json"].contains(&media_type) || media_type.ends_with("+json")
}

fn json(encoded: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn bytes(value: &Value) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD
        .decode(value.as_str()?)
        .ok()?
        .try_into()
        .ok()
}
