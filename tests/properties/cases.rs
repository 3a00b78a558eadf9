//! Every way of signing that is in the catalogue, with keys and a sample of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookgate::clock::Timestamp;
use hookgate::delivery::Delivery;
use hookgate::outcome::Rejected;
use hookgate::provider::{BindError, Binding, Catalogue, Provider};
use hookgate::verify::key::KeyEncoding;
use hookgate::verify::scheme::{Proof, Scheme};
use hookgate::verify::sign::signing_key;
use hookgate::verify::{Verified, Verifier};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

/// What a key is made of.
pub(crate) type Seed = [u8; 32];

/// The seed of tests that need only one.
pub(crate) const SEED: Seed = *b"a seed for keys, known to no one";

/// When everything is signed.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_780_000_000).unwrap()
}

/// One scheme of one provider.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) provider: Arc<Provider>,
    pub(crate) scheme: Arc<Scheme>,
}

/// What a sender signs with, and what an operator configures to verify it.
pub(crate) struct Keys {
    pub(crate) signing: SecretString,
    pub(crate) configured: String,
}

/// Returns every scheme of every provider whose proof stands in headers.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for provider in Catalogue::builtin().unwrap().iter() {
        for scheme in provider.schemes() {
            let case = Case {
                provider: provider.clone(),
                scheme: scheme.clone(),
            };
            // A token in the body or the query is nothing that can be taken away or changed alone.
            if !case.signed(&SEED).1.is_empty() {
                cases.push(case);
            }
        }
    }
    assert!(cases.len() >= 45, "only {} schemes", cases.len());
    cases
}

impl Case {
    /// Makes keys as this scheme takes them.
    pub(crate) fn keys(&self, seed: &Seed) -> Keys {
        let (derivation, bytes, signing) = match &self.scheme.proof {
            Proof::Hmac { key, .. } => (key.clone(), seed.to_vec(), None),
            Proof::Ed25519 { key, .. } => {
                let private: SecretString = hex::encode(seed).into();
                let public = signing_key(&private).unwrap().verifying_key();
                (key.clone(), public.to_bytes().to_vec(), Some(private))
            }
            Proof::Token { .. } => Default::default(),
        };
        let bytes = if bytes.is_empty() {
            seed.to_vec()
        } else {
            bytes
        };
        let prefix = self.scheme.for_secrets.first().or(derivation.strip.first());
        let text = match derivation.encoding {
            KeyEncoding::Utf8 | KeyEncoding::Hex => hex::encode(bytes),
            KeyEncoding::Base64 => STANDARD.encode(bytes),
        };
        let configured = format!("{}{text}", prefix.map_or("", String::as_str));
        Keys {
            signing: signing.unwrap_or_else(|| configured.clone().into()),
            configured,
        }
    }

    /// Binds secrets to this scheme and no other.
    pub(crate) fn bind(&self, secrets: &[&str]) -> Result<Verifier, BindError> {
        bind(&self.provider, Some(&self.scheme.name), secrets)
    }

    /// Returns a verifier of this scheme with the key of a seed.
    pub(crate) fn verifier(&self, seed: &Seed) -> Verifier {
        self.bind(&[&self.keys(seed).configured]).unwrap()
    }

    /// Makes the provider's sample as it would be sent in this scheme, and not signed yet.
    pub(crate) fn sample(&self) -> Delivery {
        let sample = &self.provider.sample;
        let fill = |text: &str| text.replace("$ID", "4711").replace("$NOW", "1780000000");
        let mut headers = HeaderMap::new();
        headers.insert("content-type", sample.content_type.parse().unwrap());
        for (name, value) in &sample.headers {
            let name: HeaderName = name.parse().unwrap();
            headers.insert(name, fill(value).parse().unwrap());
        }
        self.with_body(fill(&sample.body).into_bytes(), headers)
    }

    /// Makes a delivery of a body, with the query that this scheme is known by.
    pub(crate) fn with_body(&self, body: Vec<u8>, headers: HeaderMap) -> Delivery {
        let query = self.scheme.when.query.as_ref().map(|name| {
            let digest = hex::encode(Sha256::digest(&body));
            format!("?{name}={digest}")
        });
        Delivery {
            method: Method::POST,
            url: format!("https://hooks.example.com/in{}", query.unwrap_or_default()),
            headers,
            body: body.into(),
            caller: [192, 0, 2, 7].into(),
        }
    }

    /// Signs a delivery with the key of a seed; returns the headers that prove it.
    pub(crate) fn sign(&self, seed: &Seed, delivery: &mut Delivery) -> Vec<HeaderName> {
        self.sign_at(now(), seed, delivery)
    }

    /// The same at another time.
    pub(crate) fn sign_at(
        &self,
        time: Timestamp,
        seed: &Seed,
        delivery: &mut Delivery,
    ) -> Vec<HeaderName> {
        let before = delivery.headers.clone();
        let signing = self.keys(seed).signing;
        let scheme = Some(self.scheme.name.as_str());
        let signed = self.provider.sign(scheme, &signing, delivery, time);
        signed.unwrap_or_else(|error| panic!("{self}: {error}"));
        let proves = |name: &&HeaderName| before.get(*name) != delivery.headers.get(*name);
        delivery.headers.keys().filter(proves).cloned().collect()
    }

    /// Returns the signed sample and the headers that prove it.
    pub(crate) fn signed(&self, seed: &Seed) -> (Delivery, Vec<HeaderName>) {
        let mut delivery = self.sample();
        let proof = self.sign(seed, &mut delivery);
        (delivery, proof)
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.provider.name, self.scheme.name)
    }
}

/// Binds secrets to a provider.
pub(crate) fn bind(
    provider: &Arc<Provider>,
    scheme: Option<&str>,
    secrets: &[&str],
) -> Result<Verifier, BindError> {
    let secrets: Vec<SecretString> = secrets.iter().map(|&text| text.into()).collect();
    provider.verifier(&Binding {
        scheme,
        secrets: &secrets,
        params: &BTreeMap::new(),
        tolerance: None,
    })
}

/// Verifies at the time when everything is signed.
pub(crate) fn verify<'d>(
    verifier: &'d Verifier,
    delivery: &'d Delivery,
) -> Result<Verified<'d>, Rejected> {
    verifier.verify(delivery, now())
}

/// Returns every value that differs from `text` in one bit and can be a header's.
pub(crate) fn other_values(text: &HeaderValue) -> impl Iterator<Item = (usize, u8, HeaderValue)> {
    let bytes = text.as_bytes().to_vec();
    (0..bytes.len() * 8).filter_map(move |bit| {
        let (at, mask) = (bit / 8, 1 << (bit % 8));
        let mut changed = bytes.clone();
        changed[at] ^= mask;
        Some((at, mask, HeaderValue::from_bytes(&changed).ok()?))
    })
}
