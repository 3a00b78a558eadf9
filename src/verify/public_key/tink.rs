//! Public key sets of Google's Tink: JSON around small protocol buffers.
//!
//! Of Tink's many kinds the one that signs webhooks is read: ECDSA on P-256 with SHA-256 and DER
//! signatures behind a prefix that names the key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::set::{KeyFault, VerificationKey, json, usable};
use super::{PublicKey, significant};

const ECDSA: &str = "type.googleapis.com/google.crypto.tink.EcdsaPublicKey";
/// Begins what is signed with a key of the prefix type `TINK`.
const PREFIX: u8 = 1;
/// The wire types of protocol buffers that occur here.
const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

/// Splits a signature into the id of its key and the signature proper: Tink's wire format puts the
/// byte 1 and the id, most significant byte first, in front.
pub fn split(signature: &[u8]) -> Option<(u32, &[u8])> {
    let (id, rest) = signature.strip_prefix(&[PREFIX])?.split_first_chunk()?;
    Some((u32::from_be_bytes(*id), rest))
}

/// Reads a public key set. A key's id is its `keyId` in decimal.
pub(super) fn parse(document: &[u8]) -> Result<Vec<VerificationKey>, KeyFault> {
    let document = json(document)?;
    match document.get("key") {
        Some(Value::Array(keys)) => usable(keys, read),
        _ => Err(KeyFault::Malformed("is not a Tink key set")),
    }
}

fn read(entry: &Value) -> Result<VerificationKey, &'static str> {
    let is = |pointer: &str, text: &str| entry.pointer(pointer).is_some_and(|value| value == text);
    if !is("/status", "ENABLED") {
        return Err("is not enabled");
    }
    if !is("/outputPrefixType", "TINK") || !is("/keyData/typeUrl", ECDSA) {
        return Err("is of a kind that is not supported");
    }
    let id = entry.get("keyId").and_then(Value::as_u64);
    let id = id
        .and_then(|id| u32::try_from(id).ok())
        .ok_or("has no key id")?;
    let value = entry.pointer("/keyData/value").and_then(Value::as_str);
    let value = STANDARD
        .decode(value.unwrap_or_default())
        .map_err(|_| "is not base64")?;
    let key = ecdsa(&value)?;
    Ok(VerificationKey::timeless(Some(id.to_string()), key))
}

/// Reads an `EcdsaPublicKey`: version 1, params 2, x 3, y 4. Its parameters are a hash 1 (SHA-256
/// is 3), a curve 2 (P-256 is 2) and an encoding 3 (DER is 2).
fn ecdsa(message: &[u8]) -> Result<PublicKey, &'static str> {
    const MALFORMED: &str = "is not an EcdsaPublicKey";
    let [version, params, x, y] = fields(message).ok_or(MALFORMED)?;
    if version.is_some_and(|version| version != Field::Number(0)) {
        return Err("is of an unknown version");
    }
    let (Some(Field::Bytes(params)), Some(Field::Bytes(x)), Some(Field::Bytes(y))) = (params, x, y)
    else {
        return Err(MALFORMED);
    };
    let params: [_; 3] = fields(params).ok_or(MALFORMED)?;
    if params != [3, 2, 2].map(|number| Some(Field::Number(number))) {
        return Err("is not for P-256 with SHA-256 and DER");
    }
    let mut point = vec![4];
    for coordinate in [x, y] {
        // Signed numbers: as many bytes as they need, with a zero before a high bit.
        let coordinate = significant(coordinate);
        let zeros = 32_usize.checked_sub(coordinate.len()).ok_or(MALFORMED)?;
        point.extend(std::iter::repeat_n(0, zeros));
        point.extend_from_slice(coordinate);
    }
    PublicKey::p256(&point)
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field<'m> {
    Number(u64),
    Bytes(&'m [u8]),
}

/// Reads the fields 1 to `N` of a message. Nothing where it has others, or one of them twice.
fn fields<const N: usize>(mut message: &[u8]) -> Option<[Option<Field<'_>>; N]> {
    let mut fields = [None; N];
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let value = match tag & 7 {
            VARINT => Field::Number(varint(&mut message)?),
            LENGTH_DELIMITED => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (bytes, rest) = message.split_at_checked(length)?;
                message = rest;
                Field::Bytes(bytes)
            }
            _ => return None,
        };
        let index = usize::try_from(tag >> 3).ok()?.checked_sub(1)?;
        if fields.get_mut(index)?.replace(value).is_some() {
            return None;
        }
    }
    Some(fields)
}

/// Takes a number off the front: seven bits a byte, the least significant first. No number here
/// needs more than four bytes.
fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in [0, 7, 14, 21] {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::vectors::*;
    use super::super::{Algorithm, KeyFormat, KeySet, Trust};
    use super::*;

    fn set(document: &str) -> Result<KeySet, KeyFault> {
        KeySet::parse(
            KeyFormat::Tink,
            document.as_bytes(),
            None,
            &Trust::default(),
            0,
        )
    }

    fn verifies(set: &KeySet, body: &[u8], signature: &[u8]) -> bool {
        let Some((id, signature)) = split(signature) else {
            return false;
        };
        set.find(&id.to_string())
            .is_some_and(|key| key.key.verify(Algorithm::EcdsaP256Der, body, signature))
    }

    #[test]
    fn a_signature_verifies_under_the_key_it_names() {
        let body = HEALTH_BODY.as_bytes();
        let signature = STANDARD.decode(HEALTH_SIGNATURE).unwrap();
        let one = set(HEALTH_KEYSET).unwrap();
        assert!(verifies(&one, body, &signature));
        assert!(!verifies(&one, &body[1..], &signature));
        assert!(!verifies(&one, body, &signature[5..]));
        assert!(!verifies(&one, body, &signature[..40]));
        let two = set(HEALTH_ROTATION).unwrap();
        assert_eq!(two.keys().count(), 2);
        assert!(verifies(&two, body, &signature));
    }

    #[test]
    fn a_key_that_is_not_enabled_does_not_count() {
        let signature = STANDARD.decode(HEALTH_SIGNATURE).unwrap();
        let other = set(HEALTH_DISABLED).unwrap();
        assert_eq!(other.keys().count(), 1);
        assert!(!verifies(&other, HEALTH_BODY.as_bytes(), &signature));
        let none = HEALTH_KEYSET.replace("ENABLED", "DESTROYED");
        assert!(matches!(set(&none), Err(KeyFault::NoUsableKey(_))));
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        for (part, instead) in [
            ("\"TINK\"", "\"RAW\""),
            ("EcdsaPublicKey", "Ed25519PublicKey"),
            ("\"keyId\":1423518167", "\"keyId\":4294967296"),
            ("EgYIAxACGAIa", "EgYIAxACGAEa"),
            ("EgYIAxACGAIa", "EgYIBBACGAIa"),
            ("EgYIAxACGAIa", "EgQIAxACGg=="),
            ("\"key\":[", "\"keys\":["),
        ] {
            let changed = HEALTH_KEYSET.replace(part, instead);
            assert_ne!(changed, HEALTH_KEYSET);
            assert!(set(&changed).is_err(), "{part}");
        }
    }

    #[test]
    fn a_message_has_each_field_once_and_no_other() {
        let keyset: Value = serde_json::from_str(HEALTH_KEYSET).unwrap();
        let value = keyset.pointer("/key/0/keyData/value").unwrap();
        let message = STANDARD.decode(value.as_str().unwrap()).unwrap();
        assert!(ecdsa(&message).is_ok());
        for length in 0..message.len() {
            assert!(ecdsa(&message[..length]).is_err(), "{length}");
        }
        let with = |tail: &[u8]| ecdsa(&[message.as_slice(), tail].concat());
        assert!(with(&[0x08, 0]).is_ok());
        assert!(with(&[0x08, 1]).is_err());
        assert!(with(&[0x1A, 1, 1]).is_err());
        assert!(with(&[0x2A, 0]).is_err());
        assert!(with(&[0x0D, 0, 0, 0, 0]).is_err());
        assert!(with(&[0x08, 0x80, 0x80, 0x80, 0x80, 0]).is_err());
    }

    #[test]
    fn a_prefix_is_five_bytes_and_begins_with_one() {
        assert_eq!(split(&[1, 0, 0, 1, 2, 9]), Some((258, &[9][..])));
        assert_eq!(split(&[1, 0, 0, 1, 2]), Some((258, &[][..])));
        assert_eq!(split(&[0, 0, 0, 1, 2, 9]), None);
        assert_eq!(split(&[1, 0, 0, 1]), None);
        assert_eq!(split(&[]), None);
    }
}
