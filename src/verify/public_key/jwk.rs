//! JSON Web Keys (RFC 7517, with the kinds of RFC 7518 section 6 and RFC 8037).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::PublicKey;
use super::set::{KeyFault, VerificationKey, json, usable};

/// Reads `{"keys": […]}`, one JWK, or `{"key": JWK}`.
pub(super) fn parse(document: &[u8]) -> Result<Vec<VerificationKey>, KeyFault> {
    let document = json(document)?;
    let keys = match (document.get("keys"), document.get("key")) {
        (Some(Value::Array(keys)), _) => keys.as_slice(),
        (None, Some(key)) => std::slice::from_ref(key),
        (None, None) if document.get("kty").is_some() => std::slice::from_ref(&document),
        _ => return Err(KeyFault::Malformed("is not a JWK set")),
    };
    usable(keys, read)
}

fn read(jwk: &Value) -> Result<VerificationKey, &'static str> {
    if optional(jwk, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err("is not for signatures");
    }
    if let Some(operations) = jwk.get("key_ops") {
        let verify = |operations: &Vec<Value>| operations.iter().any(|name| name == "verify");
        if !operations.as_array().is_some_and(verify) {
            return Err("is not for verifying");
        }
    }
    if jwk.get("d").is_some() {
        return Err("is a private key, which everybody knows by now");
    }
    // Not of the RFC: how Plaid withdraws a key that it goes on to publish.
    if jwk.get("expired_at").is_some_and(|time| !time.is_null()) {
        return Err("has been withdrawn");
    }
    let key = public_key(jwk)?;
    Ok(VerificationKey {
        algorithm: optional(jwk, "alg")?.map(str::to_owned),
        ..VerificationKey::timeless(optional(jwk, "kid")?.map(str::to_owned), key)
    })
}

fn public_key(jwk: &Value) -> Result<PublicKey, &'static str> {
    let kind = optional(jwk, "kty")?.unwrap_or_default();
    let curve = optional(jwk, "crv")?.unwrap_or_default();
    match (kind, curve) {
        ("RSA", _) => PublicKey::rsa(&bytes(jwk, "n")?, &bytes(jwk, "e")?),
        ("EC", "P-256") => PublicKey::p256(&point(jwk, 32)?),
        ("EC", "P-384") => PublicKey::p384(&point(jwk, 48)?),
        ("OKP", "Ed25519") => PublicKey::ed25519(&bytes(jwk, "x")?),
        _ => Err("is of a kind or curve that is not supported"),
    }
}

/// Returns the coordinates as an uncompressed point. Both are of full width (RFC 7518 section
/// 6.2.1.2), or a byte could move from one to the other.
fn point(jwk: &Value, width: usize) -> Result<Vec<u8>, &'static str> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != width || y.len() != width {
        return Err("has a coordinate of another length than its curve's");
    }
    Ok([&[4], x.as_slice(), &y].concat())
}

fn bytes(jwk: &Value, name: &str) -> Result<Vec<u8>, &'static str> {
    let text = optional(jwk, name)?.ok_or("lacks a member of its kind")?;
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| "has a member that is not base64url")
}

fn optional<'j>(jwk: &'j Value, name: &str) -> Result<Option<&'j str>, &'static str> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err("has a member that is not a string"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::set::MAX_KEYS;
    use super::super::vectors::*;
    use super::*;

    fn parse_value(document: &Value) -> Result<Vec<VerificationKey>, KeyFault> {
        parse(document.to_string().as_bytes())
    }

    fn first(jwks: &str) -> Value {
        json(jwks.as_bytes()).unwrap()["keys"][0].take()
    }

    #[test]
    fn every_kind_of_key_is_read() {
        let keys = parse(MIXED_JWKS.as_bytes()).unwrap();
        let kinds: Vec<_> = keys.iter().map(|key| format!("{:?}", key.key)).collect();
        assert_eq!(kinds, ["Ed25519(..)", "EcdsaP384(..)", "Rsa(..)"]);
        let ids: Vec<_> = keys.iter().filter_map(|key| key.id.as_deref()).collect();
        assert_eq!(ids, ["ed", "p384", "rsa"]);
        assert_eq!(keys[1].algorithm.as_deref(), Some("ES384"));
        assert_eq!(keys[2].algorithm, None);
        assert_eq!(
            keys[0].key,
            PublicKey::from_pem(ED25519_KEY).unwrap(),
            "one key in two forms"
        );
    }

    #[test]
    fn a_set_may_be_one_key() {
        let key = first(PLAID_JWKS);
        for document in [
            key.clone(),
            json!({"key": key, "request_id": "1"}),
            json!({"keys": [key]}),
        ] {
            let keys = parse_value(&document).unwrap();
            assert_eq!(keys.len(), 1);
            assert_eq!(keys[0].algorithm.as_deref(), Some("ES256"));
        }
    }

    #[test]
    fn what_cannot_be_used_is_passed_over_as_long_as_something_can() {
        let good = first(PLAID_JWKS);
        for (name, value) in [
            ("use", json!("enc")),
            ("use", json!(1)),
            ("key_ops", json!(["sign"])),
            ("kty", json!("oct")),
            ("crv", json!("P-521")),
            ("crv", json!("P-384")),
            ("x", json!("35lvC8uz2QrWpQJ3TUH8t9o9DURMp7ydU518RKDl20k=")),
            ("x", json!("35lv")),
            ("y", Value::Null),
            ("d", json!("AQ")),
            ("kid", json!(7)),
            ("expired_at", json!(1_735_603_200)),
        ] {
            let mut bad = good.clone();
            bad[name] = value;
            let mut usable = good.clone();
            usable["kid"] = json!("usable");
            let keys = parse_value(&json!({"keys": [bad, usable]})).unwrap();
            assert_eq!(keys.len(), 1, "{name}");
            assert_eq!(keys[0].id.as_deref(), Some("usable"), "{name}");
            let fault = parse_value(&bad);
            assert!(matches!(fault, Err(KeyFault::NoUsableKey(_))), "{name}");
        }
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for document in ["", "[]", "{}", "1", r#"{"keys": {}}"#, r#"{"keys": []}"#] {
            assert!(parse(document.as_bytes()).is_err(), "{document}");
        }
        let many = vec![first(PLAID_JWKS); MAX_KEYS + 1];
        let fault = parse_value(&json!({"keys": many}));
        assert!(matches!(fault, Err(KeyFault::TooManyKeys)));
        assert!(parse_value(&json!({"keys": many[1..]})).is_ok());
    }
}
