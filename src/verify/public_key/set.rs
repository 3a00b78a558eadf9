//! Key sets: the documents that vendors publish their keys in.

use rustls_pki_types::pem::SectionKind;
use serde_json::Value;

use super::{PublicKey, certificate, jwk, pem_sections, tink};

/// Most bytes of a document.
pub const MAX_DOCUMENT: usize = 256 * 1024;
/// Most keys of a set.
pub const MAX_KEYS: usize = 64;

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyFormat {
    /// A JWK set, a single JWK, or `{"key": JWK}` (RFC 7517).
    Jwks,
    /// A certificate, with those that lead to its root behind it (RFC 5280): PEM, or one in DER.
    X509,
    /// A public key or a certificate in PEM (RFC 7468).
    Pem,
    /// A public key set as Google's Tink writes it in JSON.
    Tink,
}

/// What a certificate must prove before its key counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// It must chain to a root: to one of [`Self::anchors`] if there are any, else to a public one.
    pub chain: bool,
    /// It must carry one of these names: a DNS name, or `*.example.com` for all names below it.
    /// Any name will do if there are none.
    pub subjects: Vec<String>,
    /// Certificates in DER that count as roots instead of the public ones.
    pub anchors: Vec<Vec<u8>>,
}

/// A key that signatures may be verified with, and when.
#[derive(Clone, Debug)]
pub struct VerificationKey {
    /// What signatures name it by.
    pub id: Option<String>,
    /// The one algorithm it is meant for: the `alg` of RFC 7517 section 4.4.
    pub algorithm: Option<String>,
    /// The key.
    pub key: PublicKey,
    /// The first second at which it counts, since 1970.
    pub not_before: Option<i64>,
    /// The last second at which it counts, since 1970.
    pub not_after: Option<i64>,
}

/// The keys of a document: there is at least one.
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<VerificationKey>,
}

/// Why a document yields no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// It is too large.
    #[error("document is larger than {MAX_DOCUMENT} bytes")]
    TooLarge,
    /// It holds too many keys.
    #[error("document holds more than {MAX_KEYS} keys")]
    TooManyKeys,
    /// It is not JSON.
    #[error("document is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// Its parts are not where they should be.
    #[error("document {0}")]
    Malformed(&'static str),
    /// The pointer names nothing in it.
    #[error("document has nothing at `{0}`")]
    NothingThere(String),
    /// None of its keys can be used. This is what is wrong with the first.
    #[error("document holds no usable key: the first {0}")]
    NoUsableKey(&'static str),
    /// A certificate must be proven, and there is none.
    #[error("trust is asked of a certificate, but the document holds a bare key")]
    NoCertificate,
    /// A certificate cannot be read.
    #[error("certificate {0}")]
    Certificate(&'static str),
    /// The certificate has expired, or is of the future.
    #[error("certificate is valid from {not_before} to {not_after}, but now is {now}")]
    NotValidNow {
        /// Its first second.
        not_before: i64,
        /// Its last second.
        not_after: i64,
        /// The clock.
        now: i64,
    },
    /// The certificate is for someone else.
    #[error("certificate is for {0:?}, which is none of the names asked for")]
    OtherSubject(String),
    /// The certificate leads to no trusted root.
    #[error("certificate does not chain to a trusted root")]
    Untrusted(#[source] webpki::Error),
}

impl Trust {
    /// Tells whether only a certificate can prove what is asked for.
    fn asks(&self) -> bool {
        self.chain || !self.subjects.is_empty()
    }
}

impl VerificationKey {
    /// Makes a key that counts at any time.
    pub(super) fn timeless(id: Option<String>, key: PublicKey) -> Self {
        Self {
            id,
            algorithm: None,
            key,
            not_before: None,
            not_after: None,
        }
    }

    /// Tells whether the key counts at `now`.
    pub fn is_valid_at(&self, now: i64) -> bool {
        self.not_before.is_none_or(|first| first <= now)
            && self.not_after.is_none_or(|last| now <= last)
    }
}

impl KeySet {
    /// Reads a document. With `pointer` (RFC 6901) it is JSON, and what counts is the string, or
    /// the object, that stands there. What `trust` asks for is checked at `now`; a document without
    /// a certificate cannot grant it and is refused.
    pub fn parse(
        format: KeyFormat,
        document: &[u8],
        pointer: Option<&str>,
        trust: &Trust,
        now: i64,
    ) -> Result<Self, KeyFault> {
        if document.len() > MAX_DOCUMENT {
            return Err(KeyFault::TooLarge);
        }
        let inner = match pointer {
            Some(pointer) => Some(inner_document(document, pointer)?),
            None => None,
        };
        let document = inner.as_deref().unwrap_or(document);
        if format == KeyFormat::X509 || (format == KeyFormat::Pem && is_certificate(document)?) {
            let key = certificate::parse(document, trust, now)?;
            return Ok(Self { keys: vec![key] });
        }
        if trust.asks() {
            return Err(KeyFault::NoCertificate);
        }
        Ok(Self {
            keys: match format {
                KeyFormat::Jwks => jwk::parse(document)?,
                KeyFormat::Tink => tink::parse(document)?,
                KeyFormat::Pem | KeyFormat::X509 => {
                    let key =
                        PublicKey::from_pem(text(document)?).map_err(KeyFault::NoUsableKey)?;
                    vec![VerificationKey::timeless(None, key)]
                }
            },
        })
    }

    /// Returns every key.
    pub fn keys(&self) -> impl Iterator<Item = &VerificationKey> {
        self.keys.iter()
    }

    /// Returns the first key of that id.
    pub fn find(&self, id: &str) -> Option<&VerificationKey> {
        self.keys.iter().find(|key| key.id.as_deref() == Some(id))
    }
}

/// Reads every entry of a set, and passes over what cannot be used as long as something can: a
/// vendor may publish a kind of key that is not known here.
pub(super) fn usable(
    entries: &[Value],
    read: impl Fn(&Value) -> Result<VerificationKey, &'static str>,
) -> Result<Vec<VerificationKey>, KeyFault> {
    if entries.len() > MAX_KEYS {
        return Err(KeyFault::TooManyKeys);
    }
    let mut keys = Vec::new();
    let mut first_fault = None;
    for entry in entries {
        match read(entry) {
            Ok(key) => keys.push(key),
            Err(fault) => {
                first_fault.get_or_insert(fault);
            }
        }
    }
    if keys.is_empty() {
        return Err(KeyFault::NoUsableKey(first_fault.unwrap_or("is missing")));
    }
    Ok(keys)
}

/// Parses a document as JSON.
pub(super) fn json(document: &[u8]) -> Result<Value, KeyFault> {
    serde_json::from_slice(document).map_err(KeyFault::NotJson)
}

/// Takes a document as text.
pub(super) fn text(document: &[u8]) -> Result<&str, KeyFault> {
    std::str::from_utf8(document).map_err(|_| KeyFault::Malformed("is not text"))
}

fn inner_document(document: &[u8], pointer: &str) -> Result<Vec<u8>, KeyFault> {
    match json(document)?.pointer_mut(pointer).map(Value::take) {
        Some(Value::String(text)) => Ok(text.into_bytes()),
        Some(value @ (Value::Object(_) | Value::Array(_))) => Ok(value.to_string().into_bytes()),
        _ => Err(KeyFault::NothingThere(pointer.to_owned())),
    }
}

/// Tells whether the first key of a PEM text comes in a certificate.
fn is_certificate(document: &[u8]) -> Result<bool, KeyFault> {
    let kinds = pem_sections(text(document)?).filter_map(Result::ok);
    let first = kinds
        .map(|(kind, _)| kind)
        .find(|kind| matches!(kind, SectionKind::PublicKey | SectionKind::Certificate));
    Ok(first == Some(SectionKind::Certificate))
}

#[cfg(test)]
mod tests {
    use super::super::vectors::*;
    use super::*;

    fn parse(format: KeyFormat, document: &str, pointer: Option<&str>) -> Result<KeySet, KeyFault> {
        KeySet::parse(format, document.as_bytes(), pointer, &Trust::default(), 0)
    }

    #[test]
    fn a_bare_key_stands_alone_or_in_a_json_document() {
        let plain = parse(KeyFormat::Pem, WISE_KEY, None).unwrap();
        let config = serde_json::json!({"config": {"a/b": [{"public_key": WISE_KEY}]}});
        let pointer = Some("/config/a~1b/0/public_key");
        let inside = parse(KeyFormat::Pem, &config.to_string(), pointer).unwrap();
        let key = |set: &KeySet| set.keys().next().map(|key| key.key.clone()).unwrap();
        assert!(key(&plain) == key(&inside));
        assert!(plain.keys().all(|key| key.is_valid_at(i64::MIN)));
        assert!(plain.find("").is_none());

        for (document, pointer) in [
            (config.to_string().as_str(), "/config/public_key"),
            (config.to_string().as_str(), "/config"),
            (r#"{"key": 1}"#, "/key"),
            (WISE_KEY, "/key"),
        ] {
            assert!(parse(KeyFormat::Pem, document, Some(pointer)).is_err());
        }
    }

    #[test]
    fn a_set_may_stand_inside_a_document() {
        let outer = format!(r#"{{"data": {PUBSUB_JWKS}}}"#);
        let set = parse(KeyFormat::Jwks, &outer, Some("/data")).unwrap();
        assert_eq!(set.keys().count(), 2);
    }

    #[test]
    fn what_only_a_certificate_can_prove_is_not_granted_to_a_bare_key() {
        let subject = Trust {
            subjects: vec!["*.example.com".to_owned()],
            ..Trust::default()
        };
        let chain = Trust {
            chain: true,
            ..Trust::default()
        };
        for trust in [subject, chain] {
            for (format, document) in [
                (KeyFormat::Pem, WISE_KEY),
                (KeyFormat::Jwks, PUBSUB_JWKS),
                (KeyFormat::Tink, HEALTH_KEYSET),
            ] {
                let set = KeySet::parse(format, document.as_bytes(), None, &trust, 0);
                assert!(matches!(set, Err(KeyFault::NoCertificate)));
            }
        }
    }

    #[test]
    fn a_certificate_in_a_pem_document_is_checked_as_one() {
        let expired = parse(KeyFormat::Pem, PAYPAL_EXPIRED, None);
        assert!(matches!(expired, Err(KeyFault::NotValidNow { .. })));
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let large = " ".repeat(MAX_DOCUMENT + 1);
        let set = parse(KeyFormat::Jwks, &large, None);
        assert!(matches!(set, Err(KeyFault::TooLarge)));
    }

    #[test]
    fn a_format_is_named_in_lower_case() {
        for name in ["jwks", "x509", "pem", "tink"] {
            assert!(serde_json::from_value::<KeyFormat>(name.into()).is_ok());
        }
        assert!(serde_json::from_value::<KeyFormat>("JWKS".into()).is_err());
    }
}
