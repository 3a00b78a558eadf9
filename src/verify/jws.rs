//! Signed tokens: JSON Web Signatures in their compact form (RFC 7515) around JSON Web Tokens
//! (RFC 7519).
//!
//! Text in, a parsed token or a verdict out. A [`Jws`] is parsed, not proven: nothing in it may be
//! believed before its signature was verified, under an algorithm that the verifier chose (RFC 8725
//! section 3.1). Keys in the token itself (`jwk`, `jku`, `x5c`, `x5u`) are never looked at.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::json::{Found, JsonError, Kind, Pointer, Scanner, Token, lookup};
use crate::verify::key::Hash;
use crate::verify::public_key::{Algorithm, KeySet, VerificationKey};

/// Most bytes of a token: twice what common servers take for all headers together.
pub const MAX_TOKEN: usize = 16 * 1024;

/// A token, parsed and not verified.
#[derive(Clone, Debug)]
pub struct Jws<'t> {
    alg: String,
    kid: Option<String>,
    signing_input: &'t str,
    signature: Vec<u8>,
    /// The claims as they were written: numbers keep their digits.
    text: String,
    claims: Map<String, Value>,
}

/// Why a token is refused.
#[derive(Debug, thiserror::Error)]
pub enum JwsFault {
    /// It is too long.
    #[error("token is longer than {MAX_TOKEN} bytes")]
    TooLong,
    /// It is not three texts with dots between them.
    #[error("token does not have three parts")]
    Parts,
    /// A part is not base64url as RFC 7515 section 2 writes it.
    #[error("{0} of the token is not base64url without padding")]
    NotBase64url(Part),
    /// The signature is empty, as that of an unsecured token is (RFC 7519 section 6).
    #[error("token is not signed")]
    Unsigned,
    /// A part is not JSON.
    #[error("{0} of the token is not JSON")]
    NotJson(Part, #[source] JsonError),
    /// A part is JSON, but not an object that can be held.
    #[error("{0} of the token is not a JSON object")]
    NotObject(Part),
    /// An object of a part has a member twice (RFC 7515 section 4, RFC 7519 section 4).
    #[error("{0} of the token has a member twice")]
    Repeated(Part),
    /// The header demands extensions (RFC 7515 section 4.1.11), and none is known here.
    #[error("token demands extensions that are not known")]
    Critical,
    /// The header does not name an algorithm.
    #[error("token names no algorithm")]
    NoAlgorithm,
    /// The key's id is not a string.
    #[error("token names its key by something else than a string")]
    KeyId,
    /// A time claim is not a number (RFC 7519 section 2, `NumericDate`).
    #[error("claim `{0}` is not a time")]
    NotATime(&'static str),
    /// The token has expired (RFC 7519 section 4.1.4).
    #[error("token has expired")]
    Expired,
    /// The token is not valid yet (RFC 7519 section 4.1.5).
    #[error("token is not valid yet")]
    NotYetValid,
}

/// A part of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Before the first dot.
    Header,
    /// Between the dots.
    Claims,
    /// Behind the second dot.
    Signature,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Claims => "claims",
            Self::Signature => "signature",
        })
    }
}

/// An algorithm of RFC 7518 section 3.1 or RFC 8037. `none` is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
pub enum JwsAlgorithm {
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

impl JwsAlgorithm {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::HS256,
        Self::HS384,
        Self::HS512,
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// Returns the algorithm of that name, which is compared exactly (RFC 7515 section 4.1.1).
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    /// Returns the name.
    pub fn name(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    /// Returns the hash of an HMAC; nothing where signatures are made with a private key.
    pub fn hash(self) -> Option<Hash> {
        match self {
            Self::HS256 => Some(Hash::Sha256),
            Self::HS384 => Some(Hash::Sha384),
            Self::HS512 => Some(Hash::Sha512),
            _ => None,
        }
    }

    /// Returns how a public key verifies; nothing for an HMAC, so that a public key never becomes
    /// an HMAC key (RFC 8725 section 2.1).
    pub fn public_key(self) -> Option<Algorithm> {
        match self {
            Self::HS256 | Self::HS384 | Self::HS512 => None,
            Self::RS256 => Some(Algorithm::RsaPkcs1(Hash::Sha256)),
            Self::RS384 => Some(Algorithm::RsaPkcs1(Hash::Sha384)),
            Self::RS512 => Some(Algorithm::RsaPkcs1(Hash::Sha512)),
            Self::PS256 => Some(Algorithm::RsaPss(Hash::Sha256)),
            Self::PS384 => Some(Algorithm::RsaPss(Hash::Sha384)),
            Self::PS512 => Some(Algorithm::RsaPss(Hash::Sha512)),
            Self::ES256 => Some(Algorithm::EcdsaP256Fixed),
            Self::ES384 => Some(Algorithm::EcdsaP384Fixed),
            Self::EdDSA => Some(Algorithm::Ed25519),
        }
    }
}

/// Parses a token in compact form (RFC 7515 section 7.1) whose payload is a JSON object.
pub fn parse(token: &str) -> Result<Jws<'_>, JwsFault> {
    if token.len() > MAX_TOKEN {
        return Err(JwsFault::TooLong);
    }
    let (signing_input, signature) = token.rsplit_once('.').ok_or(JwsFault::Parts)?;
    let (header, payload) = signing_input.split_once('.').ok_or(JwsFault::Parts)?;
    if payload.contains('.') {
        return Err(JwsFault::Parts);
    }
    let (header, _) = object(Part::Header, header)?;
    if header.contains_key("crit") {
        return Err(JwsFault::Critical);
    }
    let Some(Value::String(alg)) = header.get("alg") else {
        return Err(JwsFault::NoAlgorithm);
    };
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.clone()),
        Some(_) => return Err(JwsFault::KeyId),
    };
    let signature = decode(Part::Signature, signature)?;
    if signature.is_empty() {
        return Err(JwsFault::Unsigned);
    }
    let (claims, text) = object(Part::Claims, payload)?;
    Ok(Jws {
        alg: alg.clone(),
        kid,
        signing_input,
        signature,
        text,
        claims,
    })
}

impl Jws<'_> {
    /// Returns the algorithm that the token says it is signed with: a claim like any other.
    pub fn alg(&self) -> &str {
        &self.alg
    }

    /// Returns the id of the key that the token says it is signed with.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Returns what is signed (RFC 7515 section 5.1).
    pub fn signing_input(&self) -> &[u8] {
        self.signing_input.as_bytes()
    }

    /// Returns the signature, or the tag of an HMAC.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Returns the claims. Their numbers may have lost digits; see [`Self::claim_texts`].
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Returns a claim as text: a string, a number as it was written, `true` or `false`. Of an
    /// array every such element, since `aud` may be one (RFC 7519 section 4.1.3).
    pub fn claim_texts(&self, name: &str) -> Vec<String> {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        let Ok(pointer) = Pointer::parse(&pointer) else {
            return Vec::new();
        };
        let found = lookup(self.text.as_bytes(), &[pointer]).ok();
        match found.and_then(|mut found| found.pop().flatten()) {
            Some(Found::Composite(array)) => elements(&array).unwrap_or_default(),
            Some(scalar) => scalar.text().map(String::from).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// Checks `exp` and `nbf` where the token has them (RFC 7519 sections 4.1.4 and 4.1.5). From
    /// the second `exp` on the token has expired. The leeway, in seconds, is for clocks that
    /// differ.
    pub fn check_times(&self, now: i64, leeway: i64) -> Result<(), JwsFault> {
        let (expires, begins) = (self.time("exp")?, self.time("nbf")?);
        // Seconds since 1970 are exact as floating-point numbers for longer than tokens will last.
        if expires.is_some_and(|time| time <= now.saturating_sub(leeway) as f64) {
            return Err(JwsFault::Expired);
        }
        if begins.is_some_and(|time| time > now.saturating_add(leeway) as f64) {
            return Err(JwsFault::NotYetValid);
        }
        Ok(())
    }

    fn time(&self, name: &'static str) -> Result<Option<f64>, JwsFault> {
        match self.claims.get(name) {
            None => Ok(None),
            Some(time) => time.as_f64().map(Some).ok_or(JwsFault::NotATime(name)),
        }
    }

    /// Verifies the signature with public keys. The token must name `algorithm` itself. Of the keys
    /// those count whose id is the token's `kid`, as far as both have one, that are meant for the
    /// algorithm or for any, and that are valid at `now`. All of them are tried.
    pub fn verify_with(&self, algorithm: JwsAlgorithm, keys: &KeySet, now: i64) -> bool {
        let Some(verify_as) = algorithm.public_key() else {
            return false;
        };
        if self.alg != algorithm.name() {
            return false;
        }
        let named = |key: &&VerificationKey| match (&key.id, &self.kid) {
            (Some(id), Some(kid)) => id == kid,
            _ => true,
        };
        let meant = |key: &&VerificationKey| {
            let stated = key.algorithm.as_deref();
            stated.is_none_or(|stated| stated == algorithm.name())
        };
        let candidates = keys.keys().filter(named).filter(meant);
        let candidates = candidates.filter(|key| key.is_valid_at(now));
        candidates.fold(false, |matched, candidate| {
            matched
                | candidate
                    .key
                    .verify(verify_as, self.signing_input(), &self.signature)
        })
    }
}

fn decode(part: Part, text: &str) -> Result<Vec<u8>, JwsFault> {
    let bytes = URL_SAFE_NO_PAD.decode(text);
    bytes.map_err(|_| JwsFault::NotBase64url(part))
}

/// Decodes a part that is a JSON object, and returns its text as well.
fn object(part: Part, text: &str) -> Result<(Map<String, Value>, String), JwsFault> {
    let bytes = decode(part, text)?;
    check_members(part, &bytes)?;
    let map = serde_json::from_slice(&bytes).map_err(|_| JwsFault::NotObject(part))?;
    let text = String::from_utf8(bytes).map_err(|_| JwsFault::NotObject(part))?;
    Ok((map, text))
}

/// Refuses a member that is there twice: parsers differ in which one they take.
fn check_members(part: Part, json: &[u8]) -> Result<(), JwsFault> {
    let fault = |fault| JwsFault::NotJson(part, fault);
    let mut scanner = Scanner::new(json).map_err(fault)?;
    let mut open: Vec<HashSet<String>> = Vec::new();
    while let Some(token) = scanner.next_token().map_err(fault)? {
        match token {
            Token::Open(_) => open.push(HashSet::new()),
            Token::Close(_) => drop(open.pop()),
            Token::Key(name) => {
                let name = name.text().into_owned();
                let new = open.last_mut().is_none_or(|members| members.insert(name));
                if !new {
                    return Err(JwsFault::Repeated(part));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns the scalar elements of an array as text; nothing for an object.
fn elements(array: &str) -> Result<Vec<String>, JsonError> {
    let mut scanner = Scanner::over(array);
    let mut texts = Vec::new();
    if scanner.next_token()? != Some(Token::Open(Kind::Array)) {
        return Ok(texts);
    }
    while let Some(token) = scanner.next_token()? {
        match token {
            Token::Open(_) => scanner.skip_rest()?,
            Token::String(text) => texts.push(text.text().into_owned()),
            Token::Number(text) => texts.push(text.to_owned()),
            Token::True => texts.push("true".to_owned()),
            Token::False => texts.push("false".to_owned()),
            Token::Null | Token::Key(_) | Token::Close(_) => {}
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests;
