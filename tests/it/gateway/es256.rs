//! A key of a vendor that signs with ECDSA over P-256.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair,
};
use serde_json::{Value, json};

/// What precedes the point in a DER SubjectPublicKeyInfo for P-256 (RFC 5480).
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A key pair.
pub(super) struct Key(Vec<u8>);

impl Key {
    pub(super) fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
        Self(pkcs8.unwrap().as_ref().to_vec())
    }

    fn pair(&self, form: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
        EcdsaKeyPair::from_pkcs8(form, &self.0, &SystemRandom::new()).unwrap()
    }

    fn point(&self) -> Vec<u8> {
        let pair = self.pair(&ECDSA_P256_SHA256_ASN1_SIGNING);
        pair.public_key().as_ref().to_vec()
    }

    /// Returns the public key as base64 of its DER form.
    pub(super) fn public(&self) -> String {
        STANDARD.encode([&SPKI[..], &self.point()].concat())
    }

    /// Returns the public key as a JWK (RFC 7517) of this id.
    pub(super) fn jwk(&self, id: &str) -> Value {
        let point = self.point();
        let (x, y) = point[1..].split_at(32);
        let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
        json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": id,
                "x": encode(x), "y": encode(y) })
    }

    /// Signs, in DER.
    pub(super) fn sign(&self, message: &[u8]) -> String {
        let pair = self.pair(&ECDSA_P256_SHA256_ASN1_SIGNING);
        STANDARD.encode(pair.sign(&SystemRandom::new(), message).unwrap())
    }

    /// Makes a JWT (RFC 7519) with these claims, signed by the key of this id.
    pub(super) fn token(&self, id: &str, claims: &Value) -> String {
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": id });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let input = format!("{}.{}", encode(&header), encode(claims));
        let pair = self.pair(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let tag = pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
    }
}
