//! Every way of signing that is in the catalogue, with keys and a sample of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hookgate::clock::Timestamp;
use hookgate::delivery::Delivery;
use hookgate::handshake::Phase;
use hookgate::outcome::Rejected;
use hookgate::provider::settings::{ParamKind, Value};
use hookgate::provider::{BindError, Binding, Catalogue, Provider};
use hookgate::verify::key::{Hash, KeyEncoding};
use hookgate::verify::public_key::{Algorithm, KeyFormat, KeySet, Trust};
use hookgate::verify::scheme::{Proof, Scheme};
use hookgate::verify::sign::{PrivateKey, SignError, signing_key};
use hookgate::verify::{Verified, Verifier};
use http::{HeaderMap, HeaderName, Method};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{self, EcdsaKeyPair, KeyPair, RsaKeyPair};
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use crate::samples::{Sample, sample_of};

/// What a key is made of.
pub(crate) type Seed = [u8; 32];

/// The seed of tests that need only one.
pub(crate) const SEED: Seed = *b"a seed for keys, known to no one";

/// The public URL of every endpoint.
pub(crate) const URL: &str = "https://hooks.example.com/in";

/// What the key of a secret setting is.
const PARAM_SECRET: &str = "a secret setting";

/// Settings that are tried beside the defaults and examples of a definition, which has none for them.
const SETTINGS: &[(&str, &str, &str)] = &[
    (
        "azure-event-grid",
        "tenant",
        "84bd8158-6d4d-4958-8b9f-9d6445542f95",
    ),
    ("azure-event-grid", "audience", "api://hooks"),
    (
        "grafana-alerting",
        "timestamp_header",
        "x-grafana-alerting-time",
    ),
    ("hmac", "timestamp_header", "x-time"),
    ("hmac", "prefix", "sha256="),
    ("hmac", "signed", "{header:x-time}.{body}"),
    (
        "square",
        "notification_url",
        "https://elsewhere.example.com/in",
    ),
    (
        "wise",
        "subscription_ids",
        "90aa8e14-4ef1-4a56-861c-f3c9cde097ea",
    ),
];

/// When everything is signed.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_780_000_000).unwrap()
}

/// One scheme of one provider, with certain settings.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// As the catalogue has it.
    pub(crate) definition: Arc<Provider>,
    /// With the settings.
    pub(crate) provider: Arc<Provider>,
    pub(crate) scheme: Arc<Scheme>,
    /// Which of the provider's schemes it is.
    pub(crate) place: usize,
    pub(crate) params: BTreeMap<String, String>,
    param_secrets: BTreeMap<String, SecretString>,
}

/// What a sender signs with, and what an operator configures to verify it.
pub(crate) struct Keys {
    pub(crate) signing: SecretString,
    /// Nothing where the keys are fetched.
    pub(crate) configured: Option<String>,
}

/// A bound endpoint, and the keys that its vendor publishes.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) verifier: Verifier,
    pub(crate) published: Option<KeySet>,
}

/// Returns every scheme of every provider: with the settings that must be, and with all there are.
pub(crate) fn cases() -> Vec<Case> {
    static CASES: LazyLock<Vec<Case>> = LazyLock::new(all_cases);
    CASES.clone()
}

fn all_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for definition in Catalogue::builtin().unwrap().iter() {
        let mut known = BTreeSet::new();
        for all in [false, true] {
            let (params, param_secrets) = settings(definition, all);
            let provider = definition
                .with_params(&params, &param_secrets)
                .map(|set| set.0);
            let provider = provider.unwrap_or_else(|why| panic!("{}: {why}", definition.name));
            for (place, scheme) in provider.schemes().iter().enumerate() {
                if known.insert(format!("{scheme:?}")) {
                    cases.push(Case {
                        definition: definition.clone(),
                        provider: provider.clone(),
                        scheme: scheme.clone(),
                        place,
                        params: params.clone(),
                        param_secrets: param_secrets.clone(),
                    });
                }
            }
        }
    }
    cases
}

/// Returns the settings that an endpoint must have, or values for all.
fn settings(
    definition: &Provider,
    all: bool,
) -> (BTreeMap<String, String>, BTreeMap<String, SecretString>) {
    let (mut params, mut secrets) = (BTreeMap::new(), BTreeMap::new());
    for (name, rule) in &definition.params {
        if rule.kind == ParamKind::Secret {
            secrets.insert(name.clone(), PARAM_SECRET.into());
            continue;
        }
        let own = SETTINGS
            .iter()
            .find(|(provider, param, _)| *provider == &*definition.name && *param == name.as_str());
        let example = rule.example.as_ref().map(|value| match value {
            Value::Text(text) => text.clone(),
            Value::List(list) => list.join(","),
        });
        let value = match own {
            Some((_, _, text)) if all => Some((*text).to_owned()),
            _ => example.filter(|_| all || rule.required),
        };
        params.extend(value.map(|value| (name.clone(), value)));
    }
    (params, secrets)
}

impl Case {
    /// Makes keys as this scheme takes them.
    pub(crate) fn keys(&self, seed: &Seed) -> Keys {
        let text = self.secret(seed);
        let signing = match &self.scheme.proof {
            Proof::PublicKey {
                algorithm: Algorithm::Ed25519,
                ..
            } => hex::encode(seed),
            _ => text.clone(),
        };
        Keys {
            signing: signing.into(),
            configured: Some(text).filter(|_| self.scheme.needs_secrets()),
        }
    }

    fn secret(&self, seed: &Seed) -> String {
        let encode = |encoding: KeyEncoding, bytes: &[u8]| match encoding {
            KeyEncoding::Base64 | KeyEncoding::SpkiBase64 => STANDARD.encode(bytes),
            _ => hex::encode(bytes),
        };
        let (derivation, text) = match &self.scheme.proof {
            Proof::Hmac { key, .. } | Proof::KeyedHash { key, .. } => {
                (Some(key), encode(key.encoding, seed))
            }
            Proof::Jwt(rule) => (Some(&rule.key), encode(rule.key.encoding, seed)),
            Proof::PublicKey { key, .. } if self.scheme.keys.is_some() => {
                (Some(key), hex::encode(seed))
            }
            Proof::PublicKey { algorithm, key, .. } => {
                let text = match (algorithm, key.encoding) {
                    (Algorithm::Ed25519, encoding) => {
                        let private = signing_key(&hex::encode(seed).into()).unwrap();
                        encode(encoding, private.verifying_key().as_bytes())
                    }
                    (_, KeyEncoding::Pem) => {
                        let der = STANDARD.encode(Private::of(seed).spki(*algorithm));
                        format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
                    }
                    _ => STANDARD.encode(Private::of(seed).spki(*algorithm)),
                };
                (Some(key), text)
            }
            Proof::Basic => (None, format!("user:{}", hex::encode(seed))),
            // A number, where nothing else can stand.
            Proof::Token(_) if &*self.provider.name == "strava" => {
                let digits = seed.iter().map(|byte| format!("{byte:03}"));
                (None, format!("1{}", digits.collect::<String>()))
            }
            _ => (None, hex::encode(seed)),
        };
        let strip = derivation.and_then(|key| key.strip.first());
        let prefix = self.scheme.for_secrets.first().or(strip);
        let id = match derivation {
            Some(key) if key.named => "a-key:",
            _ => "",
        };
        format!("{id}{}{text}", prefix.map_or("", String::as_str))
    }

    /// Binds secrets to this scheme and no other.
    pub(crate) fn bind(&self, secrets: &[&str]) -> Result<Verifier, BindError> {
        self.bind_scheme(Some(&self.scheme.name), secrets)
    }

    /// Binds secrets to the schemes that need not be asked for by name, or to one.
    pub(crate) fn bind_scheme(
        &self,
        scheme: Option<&str>,
        secrets: &[&str],
    ) -> Result<Verifier, BindError> {
        let secrets: Vec<SecretString> = secrets.iter().map(|&text| text.into()).collect();
        self.definition.verifier(&Binding {
            scheme,
            secrets: &secrets,
            params: &self.params,
            param_secrets: &self.param_secrets,
            tolerance: None,
            phase: Phase::Armed,
        })
    }

    /// Binds as [`Self::bind_scheme`] does, with the key of a seed.
    pub(crate) fn endpoint(
        &self,
        scheme: Option<&str>,
        seed: &Seed,
    ) -> Result<Endpoint, BindError> {
        let configured = self.keys(seed).configured;
        let secrets: Vec<&str> = configured.iter().map(String::as_str).collect();
        Ok(Endpoint {
            verifier: self.bind_scheme(scheme, &secrets)?,
            published: self.published(seed),
        })
    }

    /// Returns an endpoint with this scheme alone and the key of a seed.
    pub(crate) fn pinned(&self, seed: &Seed) -> Endpoint {
        let bound = self.endpoint(Some(&self.scheme.name), seed);
        bound.unwrap_or_else(|why| panic!("{self}: {why}"))
    }

    /// Returns an endpoint that pins no scheme, if there can be one with this secret.
    pub(crate) fn unpinned(&self, seed: &Seed) -> Option<Endpoint> {
        self.endpoint(None, seed).ok()
    }

    /// Returns the keys that the vendor publishes, if it does.
    pub(crate) fn published(&self, seed: &Seed) -> Option<KeySet> {
        self.scheme.keys.as_ref()?;
        let jwks = Private::of(seed).jwks();
        let trust = Trust::default();
        let keys = KeySet::parse(
            KeyFormat::Jwks,
            jwks.as_bytes(),
            None,
            &trust,
            now().as_second(),
        );
        Some(keys.unwrap())
    }

    /// Makes the provider's sample as it would be sent in this scheme, and not signed yet.
    pub(crate) fn sample(&self) -> Delivery {
        let Sample {
            method,
            query,
            content_type,
            headers: named,
            body,
        } = sample_of(self);
        let mut headers = HeaderMap::new();
        if !body.is_empty() {
            headers.insert("content-type", content_type.parse().unwrap());
        }
        for (name, value) in &named {
            let name: HeaderName = name.parse().unwrap();
            headers.insert(name, filled(value).parse().unwrap());
        }
        let mut delivery = self.with_body(filled(&body).into_bytes(), headers);
        delivery.method = method;
        if !query.is_empty() {
            let mark = if delivery.url.contains('?') { '&' } else { '?' };
            delivery.url = format!("{}{mark}{query}", delivery.url);
        }
        delivery
    }

    /// Makes a delivery of a body, with the query that this scheme is known by.
    pub(crate) fn with_body(&self, body: Vec<u8>, headers: HeaderMap) -> Delivery {
        let query = self.scheme.when.query.as_ref().map(|name| {
            let digest = hex::encode(Sha256::digest(&body));
            format!("?{name}={digest}")
        });
        Delivery {
            method: Method::POST,
            url: format!("{URL}{}", query.unwrap_or_default()),
            headers,
            body: body.into(),
            caller: [192, 0, 2, 7].into(),
            via_trusted_proxy: matches!(self.scheme.proof, Proof::ClientCertificate(_)),
        }
    }

    /// Signs a delivery with the key of a seed.
    pub(crate) fn sign(&self, seed: &Seed, delivery: &mut Delivery) {
        self.try_sign(now(), seed, delivery)
            .unwrap_or_else(|error| panic!("{self}: {error}"));
    }

    /// The same at another time, if it can be signed.
    pub(crate) fn try_sign(
        &self,
        time: Timestamp,
        seed: &Seed,
        delivery: &mut Delivery,
    ) -> Result<(), SignError> {
        let signing = self.keys(seed).signing;
        let name = Some(self.scheme.name.as_str());
        let private = Private::of(seed);
        self.provider
            .sign_with(name, (&signing, &private), delivery, time)
    }

    /// Returns the signed sample.
    pub(crate) fn signed(&self, seed: &Seed) -> Delivery {
        let mut delivery = self.sample();
        self.sign(seed, &mut delivery);
        delivery
    }

    /// Tells whether whatever is sent can be signed, of whatever kind it is.
    pub(crate) fn signs_anything(&self) -> bool {
        let mut delivery = self.with_body(b"\x00\xff{".to_vec(), self.sample().headers);
        self.try_sign(now(), &SEED, &mut delivery).is_ok()
            && self.pinned(&SEED).verify(&delivery).is_ok()
    }

    /// Tells whether nothing can be signed but what was signed once and for all: no library at hand
    /// makes signatures with RSA and SHA-1 any more.
    pub(crate) fn is_recorded(&self) -> bool {
        matches!(
            self.scheme.proof,
            Proof::PublicKey {
                algorithm: Algorithm::RsaPkcs1(Hash::Sha1),
                ..
            }
        )
    }

    /// Tells whether the proof is made with an RSA key.
    pub(crate) fn is_rsa(&self) -> bool {
        match &self.scheme.proof {
            Proof::PublicKey { algorithm, .. } => {
                matches!(algorithm, Algorithm::RsaPkcs1(_) | Algorithm::RsaPss(_))
            }
            Proof::Jwt(_) => self.scheme.keys.is_some(),
            _ => false,
        }
    }

    /// Returns the headers that prove a delivery made of the sample.
    pub(crate) fn proof_headers(&self, delivery: &Delivery) -> Vec<HeaderName> {
        let before = self.sample().headers;
        let proves = |name: &&HeaderName| before.get(*name) != delivery.headers.get(*name);
        delivery.headers.keys().filter(proves).cloned().collect()
    }
}

/// Writes the event's name and time into a sample.
pub(crate) fn filled(text: &str) -> String {
    text.replace("$ID", "4711").replace("$NOW", "1780000000")
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.provider.name, self.scheme.name)?;
        let names = self
            .provider
            .schemes()
            .iter()
            .filter(|one| one.name == self.scheme.name);
        if names.count() > 1 {
            write!(f, "[{}]", self.place)?;
        }
        Ok(())
    }
}

impl Endpoint {
    /// Verifies at the time when everything is signed.
    pub(crate) fn verify<'d>(&'d self, delivery: &'d Delivery) -> Result<Verified<'d>, Rejected> {
        self.verify_at(delivery, now())
    }

    /// Verifies at another time.
    pub(crate) fn verify_at<'d>(
        &'d self,
        delivery: &'d Delivery,
        time: Timestamp,
    ) -> Result<Verified<'d>, Rejected> {
        self.verifier
            .verify(delivery, time, self.published.as_ref())
    }
}

/// The private keys of a vendor.
pub(crate) struct Private {
    rsa: &'static RsaKeyPair,
    ecdsa: Arc<EcdsaKeyPair>,
    known: bool,
}

static KNOWN: LazyLock<RsaKeyPair> = LazyLock::new(|| rsa(include_str!("keys/known.pem")));
static STRANGER: LazyLock<RsaKeyPair> = LazyLock::new(|| rsa(include_str!("keys/stranger.pem")));

fn rsa(pem: &str) -> RsaKeyPair {
    let lines = pem.lines().filter(|line| !line.starts_with('-'));
    let der = STANDARD.decode(lines.collect::<String>()).unwrap();
    RsaKeyPair::from_pkcs8(&der).unwrap()
}

impl Private {
    /// Returns the keys of a seed. There are two RSA keys only, since making one takes long: that of
    /// [`SEED`], and that of all others.
    pub(crate) fn of(seed: &Seed) -> Self {
        static MADE: LazyLock<Mutex<HashMap<Seed, Arc<EcdsaKeyPair>>>> =
            LazyLock::new(Mutex::default);
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        let ecdsa = made.entry(*seed).or_insert_with(|| {
            let (random, algorithm) = (
                SystemRandom::new(),
                &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
            );
            let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            Arc::new(EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).unwrap())
        });
        let known = *seed == SEED;
        Self {
            rsa: if known { &KNOWN } else { &STRANGER },
            ecdsa: ecdsa.clone(),
            known,
        }
    }

    /// Returns the public key as a `SubjectPublicKeyInfo` in DER.
    fn spki(&self, algorithm: Algorithm) -> Vec<u8> {
        let rsa = matches!(algorithm, Algorithm::RsaPkcs1(_) | Algorithm::RsaPss(_));
        let (kind, key) = match rsa {
            true => (
                hex::decode("300d06092a864886f70d0101010500").unwrap(),
                self.rsa.public_key().as_ref(),
            ),
            false => (
                hex::decode("301306072a8648ce3d020106082a8648ce3d030107").unwrap(),
                self.ecdsa.public_key().as_ref(),
            ),
        };
        let key = der(0x03, &[&[0], key].concat());
        der(0x30, &[kind, key].concat())
    }

    fn jwks(&self) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let rsa = PublicKeyComponents::<Vec<u8>>::from(self.rsa.public_key());
        let point = self.ecdsa.public_key().as_ref();
        let kid = self.id();
        format!(
            r#"{{"keys":[{{"kty":"RSA","kid":"{kid}","n":"{}","e":"{}"}},{{"kty":"EC","kid":"{kid}","crv":"P-256","x":"{}","y":"{}"}}]}}"#,
            encode(&rsa.n),
            encode(&rsa.e),
            encode(&point[1..33]),
            encode(&point[33..]),
        )
    }
}

/// Writes the two numbers of a signature in DER side by side.
fn fixed(der: &[u8]) -> Vec<u8> {
    let number = |at: usize| {
        let length = usize::from(der[at + 1]);
        let digits = &der[at + 2..at + 2 + length];
        let significant = &digits[digits.len().saturating_sub(32)..];
        [&[0; 32][significant.len()..], significant].concat()
    };
    let first = number(2);
    [first, number(4 + usize::from(der[3]))].concat()
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let header = match u8::try_from(length) {
        Ok(length) if length < 0x80 => vec![tag, length],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [header.as_slice(), content].concat()
}

impl PrivateKey for Private {
    fn id(&self) -> u32 {
        4711
    }

    fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        let rsa = |padding: &'static dyn signature::RsaEncoding| {
            let mut made = vec![0; self.rsa.public().modulus_len()];
            self.rsa.sign(padding, &random, message, &mut made).ok()?;
            Some(made)
        };
        match algorithm {
            Algorithm::RsaPkcs1(Hash::Sha256) => rsa(&signature::RSA_PKCS1_SHA256),
            Algorithm::RsaPkcs1(Hash::Sha384) => rsa(&signature::RSA_PKCS1_SHA384),
            Algorithm::RsaPkcs1(Hash::Sha512) => rsa(&signature::RSA_PKCS1_SHA512),
            Algorithm::RsaPkcs1(Hash::Sha1) => crate::samples::recorded(self.known, message),
            Algorithm::RsaPss(Hash::Sha256) => rsa(&signature::RSA_PSS_SHA256),
            Algorithm::EcdsaP256Der => {
                let made = self.ecdsa.sign(&random, message).ok()?;
                Some(made.as_ref().to_vec())
            }
            Algorithm::EcdsaP256Fixed => {
                let made = self.ecdsa.sign(&random, message).ok()?;
                Some(fixed(made.as_ref()))
            }
            _ => None,
        }
    }
}
