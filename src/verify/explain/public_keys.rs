//! Public keys: of another kind, and the other ways in which a signature can be made and written.

use super::ground::Ground;
use super::tags::{Other, with_length};
use crate::verify::key::{Derivation, Hash, Key, KeyEncoding};
use crate::verify::public_key::{Algorithm, PublicKey};
use crate::verify::scheme::{Carrier, Proof};

/// Tells whether a key is of the kind that an algorithm takes.
pub(super) fn other_kind(ground: &Ground<'_>) -> Vec<String> {
    let Proof::PublicKey { algorithm, .. } = &ground.scheme().proof else {
        return Vec::new();
    };
    let wanted = match algorithm {
        Algorithm::Ed25519 => "Ed25519",
        Algorithm::EcdsaP256Der | Algorithm::EcdsaP256Fixed => "ECDSA P-256",
        Algorithm::EcdsaP384Fixed => "ECDSA P-384",
        Algorithm::RsaPkcs1(_) | Algorithm::RsaPss(_) => "RSA",
    };
    let configured = ground
        .bound
        .keys
        .iter()
        .filter_map(|named| match &named.key {
            Key::Public(key) => Some(key),
            _ => None,
        });
    let fetched = ground.case.keys.into_iter().flat_map(|set| set.keys());
    let keys = configured.chain(fetched.map(|one| &one.key));
    let kind = |key: &PublicKey| match key {
        PublicKey::Ed25519(_) => "Ed25519",
        PublicKey::EcdsaP256(_) => "ECDSA P-256",
        PublicKey::EcdsaP384(_) => "ECDSA P-384",
        PublicKey::Rsa(_) => "RSA",
    };
    let kinds: Vec<&str> = keys.map(kind).collect();
    match kinds.first() {
        Some(other) if !kinds.contains(&wanted) => vec![format!(
            "the key is one for {other}, and this provider signs with {wanted}: it is another key \
             than the one that its webhooks are signed with"
        )],
        _ => Vec::new(),
    }
}

/// Whoever lets the sender choose the algorithm takes a public key for a shared one.
pub(super) fn confused(key: &Derivation, carrier: &Carrier) -> Other<Proof> {
    let key = Derivation {
        encoding: KeyEncoding::Utf8,
        ..key.clone()
    };
    let proof = Proof::Hmac {
        hash: Hash::Sha256,
        key,
        carrier: with_length(carrier, Hash::Sha256),
    };
    let told = "made as an HMAC with the public key, which anybody has: it is a forgery";
    (proof, Some(told.to_owned()))
}

/// The other ways of signing with a key of the same kind.
pub(super) fn algorithms(wanted: Algorithm) -> Vec<(Algorithm, String)> {
    let rsa = |wanted_hash: Hash, wanted_pss: bool| {
        let mut all = Vec::new();
        for hash in [Hash::Sha256, Hash::Sha1, Hash::Sha384, Hash::Sha512] {
            for (algorithm, name) in [
                (Algorithm::RsaPkcs1(hash), "PKCS #1 v1.5"),
                (Algorithm::RsaPss(hash), "PSS"),
            ] {
                if algorithm != wanted {
                    let usual = if wanted_pss { "PSS" } else { "PKCS #1 v1.5" };
                    let told = format!(
                        "made with {hash} and {name} padding instead of {wanted_hash} and {usual}"
                    );
                    all.push((algorithm, told));
                }
            }
        }
        all
    };
    match wanted {
        Algorithm::RsaPkcs1(hash) => rsa(hash, false),
        Algorithm::RsaPss(hash) => rsa(hash, true),
        Algorithm::EcdsaP256Der => {
            let told = "written as two numbers side by side (r and s) instead of DER";
            vec![(Algorithm::EcdsaP256Fixed, told.to_owned())]
        }
        Algorithm::EcdsaP256Fixed => {
            let told = "written in DER instead of two numbers side by side (r and s)";
            vec![(Algorithm::EcdsaP256Der, told.to_owned())]
        }
        Algorithm::Ed25519 | Algorithm::EcdsaP384Fixed => Vec::new(),
    }
}
