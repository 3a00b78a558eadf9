//! Signs a delivery as its provider would, for `hookgate send`, the demo and tests.
//!
//! The mirror of [`crate::verify`], from the same definitions. Never on the way of a delivery: the
//! gateway itself signs nothing in a provider's name.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey};
use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::outcome::Rejected;
use crate::provider::Provider;
use crate::verify::fields::{Fields, Type};
use crate::verify::key::{HmacKey, KeyEncoding};
use crate::verify::proof::{keyed_hash, read_tags};
use crate::verify::public_key::Algorithm;
use crate::verify::scheme::{Carrier, JwtRule, Place, Proof, Scheme, Token};
use crate::verify::template::{Scope, Source};

/// What a private key in base64 begins with, as Standard Webhooks writes them.
const PRIVATE_KEY: &str = "whsk_";

/// What a signature begins with that Google's Tink makes, before the id of its key.
const TINK: u8 = 1;

/// What stands in a sample body for the token that is put there.
const TOKEN_PLACE: &str = "$TOKEN";
/// The same for a tag.
const TAG_PLACE: &str = "$TAG";
/// The same for the time of signing.
const TIME_PLACE: &str = "$TIME";

/// A private key whose public half the verifier is given: how tests sign in the name of vendors that
/// alone hold the key.
pub trait PrivateKey {
    /// The number that signatures and tokens name it by.
    fn id(&self) -> u32;

    /// Signs a message; nothing where this is no key for the algorithm.
    fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>>;
}

/// What a delivery is signed with.
#[derive(Clone, Copy)]
struct Signatory<'k> {
    secret: &'k SecretString,
    private: Option<&'k dyn PrivateKey>,
}

/// Why a delivery cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The provider has no such scheme.
    #[error("there is no scheme `{name}`; there are {known}")]
    NoSuchScheme {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The secret belongs to none of the schemes.
    #[error("the secret fits no scheme; name one with --scheme")]
    NoScheme,
    /// The secret is no key for signing.
    #[error("the secret {0}")]
    Secret(&'static str),
    /// The delivery lacks something that is signed.
    #[error("the delivery cannot be signed: {0}")]
    Unsignable(String),
}

impl Provider {
    /// Adds to a delivery the headers that prove it, as signed at `now`.
    ///
    /// For public-key schemes the secret is the private key: the 32-byte seed as 64 hex digits, or
    /// base64 behind `whsk_`.
    pub fn sign(
        &self,
        scheme: Option<&str>,
        secret: &SecretString,
        delivery: &mut Delivery,
        now: Timestamp,
    ) -> Result<(), SignError> {
        let private = None;
        self.sign_as(scheme, Signatory { secret, private }, delivery, now)
    }

    /// The same with a private key for what only the vendor's key signs. `secret` is then the token,
    /// where the scheme has one beside the signature.
    pub fn sign_with(
        &self,
        scheme: Option<&str>,
        (secret, private): (&SecretString, &dyn PrivateKey),
        delivery: &mut Delivery,
        now: Timestamp,
    ) -> Result<(), SignError> {
        let private = Some(private);
        self.sign_as(scheme, Signatory { secret, private }, delivery, now)
    }

    fn sign_as(
        &self,
        scheme: Option<&str>,
        signatory: Signatory<'_>,
        delivery: &mut Delivery,
        now: Timestamp,
    ) -> Result<(), SignError> {
        let secret = signatory.secret;
        let scheme = self.scheme_for_signing(scheme, secret, delivery)?;
        let mut params = Vec::new();
        if let Some(rule) = &scheme.timestamp {
            let text = rule.unit.format(now);
            match rule.from.only_source() {
                Some(Source::Header(names)) => insert(delivery, &names[0], &text)?,
                Some(Source::Param(name)) => params.push((name.clone(), text)),
                Some(place @ Source::Query(_)) => set(delivery, Some(place), &text)?,
                Some(Source::Claim(_)) => {}
                _ => fill_in(delivery, TIME_PLACE, &text)?,
            }
        }
        for rule in scheme.equal.iter().filter(|rule| !rule.optional) {
            // A value that must be there, such as a version.
            let fixed = rule.alternatives.iter().find_map(|one| one.literal());
            if let (Some(Source::Header(names)), Some(text)) = (rule.left.only_source(), fixed) {
                insert(delivery, &names[0], text)?;
            }
        }
        if let Some(token) = &scheme.token {
            set_token(delivery, token, secret.expose_secret())?;
        }
        match &scheme.proof {
            Proof::Token(token) => set_token(delivery, token, secret.expose_secret()),
            Proof::Basic => {
                let text = format!("Basic {}", STANDARD.encode(secret.expose_secret()));
                insert(delivery, &http::header::AUTHORIZATION, &text)
            }
            Proof::None => Ok(()),
            Proof::ClientCertificate(subject) => {
                set(delivery, subject.only_source(), secret.expose_secret())
            }
            Proof::Jwt(rule) => {
                let token = self.make_token(scheme, rule, signatory, delivery, now)?;
                set_token(delivery, &rule.token, &token)
            }
            Proof::Hmac { carrier, key, .. } | Proof::KeyedHash { carrier, key, .. } => {
                let id = key.named(secret).map_err(SignError::Secret)?.0;
                if let (Some(id), Some(template)) = (id, &key.id) {
                    set(delivery, template.only_source(), id)?;
                }
                fill_in_nonces(scheme, delivery)?;
                let tag = self.compute(scheme, signatory, delivery, &params)?;
                carry(delivery, carrier, &tag, &params, id)
            }
            Proof::PublicKey { carrier, .. } => {
                let tag = self.compute(scheme, signatory, delivery, &params)?;
                carry(delivery, carrier, &tag, &params, None)
            }
        }
    }

    /// Returns what a delivery's signature is made over: what its provider signed if it is genuine.
    pub fn signed_content(
        &self,
        scheme: &Scheme,
        delivery: &Delivery,
    ) -> Result<Vec<u8>, Rejected> {
        let fields = Fields::within(delivery, self.pointers(), &self.documents);
        let params = match scheme.carrier() {
            Some(carrier) => read_tags(carrier, &fields)?.1,
            None => Vec::new(),
        };
        let scope = Scope {
            params: &params,
            ..Scope::of(&fields)
        };
        Ok(scheme.signed.bytes(&scope)?)
    }

    fn scheme_for_signing(
        &self,
        pinned: Option<&str>,
        secret: &SecretString,
        delivery: &Delivery,
    ) -> Result<&Scheme, SignError> {
        let schemes = || self.schemes().iter().map(AsRef::as_ref);
        let fields = Fields::within(delivery, self.pointers(), &self.documents);
        let scope = Scope::of(&fields);
        if let Some(name) = pinned {
            // Variants of one scheme are told apart by the delivery, as when it is verified.
            let variants = || schemes().filter(|scheme| scheme.name == name);
            let fits = |one: &&Scheme| one.when.is_set() && one.when.holds(&scope);
            let found = variants()
                .find(fits)
                .or_else(|| variants().find(|one| !one.when.is_set()))
                .or_else(|| variants().next());
            return found.ok_or_else(|| {
                let known: Vec<&str> = schemes().map(|scheme| scheme.name.as_str()).collect();
                SignError::NoSuchScheme {
                    name: name.to_owned(),
                    known: known.join(", "),
                }
            });
        }
        let text = secret.expose_secret();
        let private = text.starts_with(PRIVATE_KEY);
        let claimed = schemes().find(|scheme| match &scheme.proof {
            // The public key's prefix is what the scheme claims; the private key has its own.
            Proof::PublicKey { algorithm, .. } if private => *algorithm == Algorithm::Ed25519,
            _ => scheme.claims(text),
        });
        let usual = || schemes().filter(|one| !one.opt_in);
        let selected = || usual().find(|one| one.when.is_set() && one.when.holds(&scope));
        let unclaimed = || usual().find(|one| one.for_secrets.is_empty() && !one.when.is_set());
        // A header that tells the scheme is often the one that carries the signature.
        let first = || usual().find(|one| one.for_secrets.is_empty());
        claimed
            .or_else(selected)
            .or_else(unclaimed)
            .or_else(first)
            .ok_or(SignError::NoScheme)
    }

    fn compute(
        &self,
        scheme: &Scheme,
        Signatory { secret, private }: Signatory<'_>,
        delivery: &Delivery,
        params: &[(String, String)],
    ) -> Result<Vec<u8>, SignError> {
        let mut fields = Fields::within(delivery, self.pointers(), &self.documents);
        if scheme.each {
            let parts = self.events.split(&fields).unwrap_or_default();
            let [part] = parts.as_slice() else {
                let how = "its events are signed one by one, and there is not exactly one";
                return Err(SignError::Unsignable(how.to_owned()));
            };
            fields = fields.of_event(part.document.clone());
        }
        let scope = Scope {
            params,
            ..Scope::of(&fields)
        };
        let unsignable = |why: String| SignError::Unsignable(why);
        let message = scheme.signed.bytes(&scope);
        let message = || message.map_err(|unfit| unsignable(format!("{unfit:?}")));
        match &scheme.proof {
            Proof::Hmac { hash, key, .. } => {
                let bytes = key.bytes(secret).map_err(SignError::Secret)?;
                let mut mac = HmacKey::new(*hash, &bytes).ok_or(SignError::Secret("is no key"))?;
                mac.update(&message()?);
                Ok(mac.finish().bytes().to_vec())
            }
            Proof::KeyedHash { hash, key, .. } => {
                let bytes = key.bytes(secret).map_err(SignError::Secret)?;
                let tag = keyed_hash(*hash, &bytes, &scope, &scheme.signed);
                let tag = tag.map_err(|rejected| unsignable(rejected.to_string()))?;
                Ok(tag.bytes().to_vec())
            }
            Proof::PublicKey {
                algorithm: Algorithm::Ed25519,
                ..
            } => Ok(signing_key(secret)?.sign(&message()?).to_bytes().to_vec()),
            Proof::PublicKey {
                algorithm, tink, ..
            } => {
                let private = private.ok_or_else(vendors_key)?;
                let signature = private.sign(*algorithm, &message()?);
                let signature = signature.ok_or_else(vendors_key)?;
                Ok(match tink {
                    true => [&[TINK][..], &private.id().to_be_bytes(), &signature].concat(),
                    false => signature,
                })
            }
            _ => Err(vendors_key()),
        }
    }

    /// Makes a token that says what the provider's tokens say.
    fn make_token(
        &self,
        scheme: &Scheme,
        rule: &JwtRule,
        Signatory { secret, private }: Signatory<'_>,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<String, SignError> {
        let shared = rule
            .algorithms
            .iter()
            .find_map(|one| Some((one, one.hash()?)));
        let public = rule
            .algorithms
            .iter()
            .find_map(|one| Some((one, one.public_key()?)));
        let algorithm = match (shared, public, &scheme.keys) {
            (Some((algorithm, _)), _, None) | (_, Some((algorithm, _)), Some(_)) => algorithm,
            _ => return Err(vendors_key()),
        };
        let mut header = Map::new();
        header.insert("alg".to_owned(), algorithm.name().into());
        if let (Some(private), Some(_)) = (private, &scheme.keys) {
            header.insert("kid".to_owned(), private.id().to_string().into());
        }
        header.insert("typ".to_owned(), "JWT".into());
        let claims = self.claims(scheme, rule, delivery, now)?;
        let input = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(Value::from(header).to_string()),
            URL_SAFE_NO_PAD.encode(Value::from(claims).to_string())
        );
        let tag = match (algorithm.hash(), algorithm.public_key()) {
            (Some(hash), _) => {
                let bytes = rule.key.bytes(secret).map_err(SignError::Secret)?;
                let mac = HmacKey::new(hash, &bytes);
                let mut mac = mac.ok_or(SignError::Secret("is no key"))?;
                mac.update(input.as_bytes());
                mac.finish().bytes().to_vec()
            }
            (None, Some(algorithm)) => {
                let signature = private.and_then(|key| key.sign(algorithm, input.as_bytes()));
                signature.ok_or_else(vendors_key)?
            }
            (None, None) => return Err(vendors_key()),
        };
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag)))
    }

    fn claims(
        &self,
        scheme: &Scheme,
        rule: &JwtRule,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<Map<String, Value>, SignError> {
        let fields = Fields::within(delivery, self.pointers(), &self.documents);
        let mut claims = Map::new();
        for name in &rule.require {
            claims.insert(name.clone(), "1".into());
        }
        claims.insert("iat".to_owned(), now.as_second().into());
        claims.insert("nbf".to_owned(), now.as_second().into());
        claims.insert("exp".to_owned(), (now.as_second() + 60).into());
        for equal in &scheme.equal {
            let fixed = equal.alternatives.iter().find_map(|one| one.literal());
            if let (Some(Source::Claim(name)), Some(text)) = (equal.left.sources().next(), fixed) {
                claims.insert(name.clone(), text.into());
            }
        }
        for (name, templates) in rule.claims.iter().chain(&rule.claims_if_body) {
            let text = templates
                .first()
                .and_then(|one| one.text(&Scope::of(&fields)));
            let text = text.ok_or_else(|| {
                SignError::Unsignable(format!("its claim `{name}` cannot be filled in"))
            })?;
            let value = match text.as_str() {
                "true" => true.into(),
                "false" => false.into(),
                _ => Value::from(text),
            };
            claims.insert(name.clone(), value);
        }
        Ok(claims)
    }
}

fn vendors_key() -> SignError {
    let how = "only its vendor holds the private key, and no other is taken here";
    SignError::Unsignable(how.to_owned())
}

/// Puts a number of its own into every signed header that the sample leaves out and that is no
/// signature, such as a nonce.
fn fill_in_nonces(scheme: &Scheme, delivery: &mut Delivery) -> Result<(), SignError> {
    let signed = scheme.signed.sources();
    let absent: Vec<HeaderName> = signed
        .filter_map(|source| match source {
            Source::Header(names) => Some(names),
            _ => None,
        })
        .filter(|names| !names.iter().any(|name| delivery.headers.contains_key(name)))
        .map(|names| names[0].clone())
        .collect();
    for name in absent {
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| SignError::Unsignable(format!("no random bytes: {error}")))?;
        insert(delivery, &name, &u64::from_be_bytes(random).to_string())?;
    }
    Ok(())
}

fn set_token(delivery: &mut Delivery, token: &Token, text: &str) -> Result<(), SignError> {
    let text = format!("{}{text}", token.prefix);
    set(delivery, token.value.only_source(), &text)
}

/// Reads the private key that belongs to a public one: a seed of 32 bytes, or seed and public key.
pub fn signing_key(secret: &SecretString) -> Result<SigningKey, SignError> {
    let text = secret.expose_secret();
    let bytes = match text.strip_prefix(PRIVATE_KEY) {
        Some(base64) => KeyEncoding::Base64.decode(base64),
        None => KeyEncoding::Hex.decode(text),
    };
    let bytes = bytes.map_err(SignError::Secret)?;
    let seed = bytes
        .first_chunk::<32>()
        .filter(|_| matches!(bytes.len(), 32 | 64));
    seed.map(SigningKey::from_bytes)
        .ok_or(SignError::Secret("is not a private key of 32 bytes"))
}

fn carry(
    delivery: &mut Delivery,
    carrier: &Carrier,
    tag: &[u8],
    params: &[(String, String)],
    key_id: Option<&str>,
) -> Result<(), SignError> {
    let params: Vec<(&str, &str)> = params
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let text = carrier
        .layout
        .format(&carrier.encoding.encode(tag), &params, key_id);
    match carrier.from.first() {
        Some(Place::Piece(template)) => match template.only_source() {
            Some(Source::Field(..) | Source::Form(_)) => fill_in(delivery, TAG_PLACE, &text),
            place => set(delivery, place, &text),
        },
        Some(Place::Lines(name)) => insert_named(delivery, name, &text),
        Some(Place::Numbered(prefix)) => insert_named(delivery, &format!("{prefix}1"), &text),
        None => Err(no_place()),
    }
}

fn no_place() -> SignError {
    SignError::Unsignable("its proof has no place that could be filled in".to_owned())
}

fn set(delivery: &mut Delivery, place: Option<&Source>, text: &str) -> Result<(), SignError> {
    match place {
        Some(Source::Header(names)) => insert(delivery, &names[0], text),
        Some(Source::Query(name)) => {
            let pair = form_urlencoded::Serializer::new(String::new())
                .append_pair(name, text)
                .finish();
            let mark = if delivery.url.contains('?') { '&' } else { '?' };
            delivery.url = format!("{}{mark}{pair}", delivery.url);
            Ok(())
        }
        Some(Source::Field(_, Type::Number)) => {
            if !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(SignError::Secret("is not a number, which it must be here"));
            }
            // What is written as a string in the sample, so that it is JSON, becomes a number.
            let body = String::from_utf8_lossy(&delivery.body);
            delivery.body = body
                .replace(&format!("\"{TOKEN_PLACE}\""), TOKEN_PLACE)
                .into();
            fill_in(delivery, TOKEN_PLACE, text)
        }
        Some(Source::Field(..) | Source::Form(_)) => fill_in(delivery, TOKEN_PLACE, text),
        _ => Err(no_place()),
    }
}

/// Puts a text into a body where its place stands: in JSON a string that is the place alone becomes
/// the text's JSON, or the number that it is.
fn fill_in(delivery: &mut Delivery, place: &str, text: &str) -> Result<(), SignError> {
    let body = String::from_utf8_lossy(&delivery.body);
    if !body.contains(place) {
        let how = format!("its body has no {place} where what proves it belongs");
        return Err(SignError::Unsignable(how));
    }
    let mut quoted = Vec::new();
    crate::json::quote(text, &mut quoted);
    let filled = match body.contains(&format!("\"{place}\"")) {
        true => body.replace(&format!("\"{place}\""), &String::from_utf8_lossy(&quoted)),
        false => {
            let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
            let plain = delivery.media_type() != "application/x-www-form-urlencoded";
            body.replace(place, if plain { text } else { &encoded })
        }
    };
    delivery.body = filled.into();
    Ok(())
}

fn insert_named(delivery: &mut Delivery, name: &str, text: &str) -> Result<(), SignError> {
    let name: HeaderName = name
        .parse()
        .map_err(|_| SignError::Unsignable(format!("`{name}` is no header")))?;
    insert(delivery, &name, text)
}

fn insert(delivery: &mut Delivery, name: &HeaderName, text: &str) -> Result<(), SignError> {
    let value = HeaderValue::from_str(text)
        .map_err(|_| SignError::Unsignable(format!("header {name} cannot hold its value")))?;
    delivery.headers.insert(name, value);
    Ok(())
}
