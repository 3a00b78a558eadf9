//! Public keys: read from what vendors publish, and what their signatures are checked with.
//!
//! Bytes in, a key or a verdict out. Knows nothing of how a document was fetched or for how long it
//! may be kept. Sets of keys, and what a certificate must prove, are [`set`]'s.

mod certificate;
mod jwk;
pub mod set;
mod tink;
#[cfg(test)]
pub(crate) mod vectors;

use std::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use ring::signature::{self, VerificationAlgorithm};
use rustls_pki_types::pem::{PemObject, SectionKind};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use crate::verify::key::Hash;

pub use set::{KeyFault, KeyFormat, KeySet, Trust, VerificationKey};
pub use tink::split as split_tink;

/// Fewest bits of an RSA modulus: NIST SP 800-131A allows no fewer.
pub const MIN_RSA_BITS: usize = 2048;
/// Most bits of an RSA modulus, so that nobody's key makes a signature slow to check.
pub const MAX_RSA_BITS: usize = 8192;

/// A public key that signatures are verified with.
#[derive(Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// Ed25519 (RFC 8032).
    Ed25519(Box<VerifyingKey>),
    /// ECDSA on P-256 (FIPS 186-5): the uncompressed point.
    EcdsaP256(Vec<u8>),
    /// ECDSA on P-384 (FIPS 186-5): the uncompressed point.
    EcdsaP384(Vec<u8>),
    /// RSA: the `RSAPublicKey` of RFC 8017 appendix A.1.1.
    Rsa(Vec<u8>),
}

/// How a signature is made and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256, the two numbers as DER (RFC 3279 section 2.2.3).
    EcdsaP256Der,
    /// ECDSA on P-256 with SHA-256, the two numbers side by side (RFC 7518 section 3.4).
    EcdsaP256Fixed,
    /// ECDSA on P-384 with SHA-384, the two numbers side by side (RFC 7518 section 3.4).
    EcdsaP384Fixed,
    /// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2). SHA-1 only where the vendor has nothing better.
    RsaPkcs1(Hash),
    /// RSASSA-PSS with a salt as long as the hash (RFC 8017 section 8.1). Never with SHA-1.
    RsaPss(Hash),
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo` (RFC 5280 section 4.1, RFC 5480, RFC 8410), in DER.
    pub fn from_spki(der: &[u8]) -> Result<Self, &'static str> {
        let (rest, info) =
            SubjectPublicKeyInfo::from_der(der).map_err(|_| "is not a SubjectPublicKeyInfo")?;
        if !rest.is_empty() {
            return Err("has bytes after the public key");
        }
        if info.subject_public_key.unused_bits != 0 {
            return Err("is no whole number of bytes");
        }
        let bytes = info.subject_public_key.data.as_ref();
        let kind = &info.algorithm.algorithm;
        if *kind == OID_SIG_ED25519 && info.algorithm.parameters.is_none() {
            Self::ed25519(bytes)
        } else if *kind == OID_PKCS1_RSAENCRYPTION {
            Self::rsa_der(bytes)
        } else if *kind == OID_KEY_TYPE_EC_PUBLIC_KEY {
            Self::ecdsa(&info.algorithm, bytes)
        } else {
            Err("is neither an Ed25519 nor an ECDSA nor an RSA public key")
        }
    }

    /// Reads the first public key or certificate of a PEM text (RFC 7468). White space around its
    /// lines does not count. Nothing of a certificate but its key is looked at.
    pub fn from_pem(text: &str) -> Result<Self, &'static str> {
        for section in pem_sections(text) {
            match section? {
                (SectionKind::PublicKey, der) => return Self::from_spki(&der),
                (SectionKind::Certificate, der) => return certificate::public_key(&der),
                _ => {}
            }
        }
        Err("holds neither a PUBLIC KEY nor a CERTIFICATE")
    }

    /// Verifies a signature. What does not fit the key, such as another kind's signature, does not
    /// verify.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let (bytes, algorithm): (_, &dyn VerificationAlgorithm) = match (self, algorithm) {
            (Self::Ed25519(key), Algorithm::Ed25519) => {
                // RFC 8032 section 5.1.7, malleable encodings refused.
                return Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok());
            }
            (Self::EcdsaP256(point), Algorithm::EcdsaP256Der) => {
                (point, &signature::ECDSA_P256_SHA256_ASN1)
            }
            (Self::EcdsaP256(point), Algorithm::EcdsaP256Fixed) => {
                (point, &signature::ECDSA_P256_SHA256_FIXED)
            }
            (Self::EcdsaP384(point), Algorithm::EcdsaP384Fixed) => {
                (point, &signature::ECDSA_P384_SHA384_FIXED)
            }
            (Self::Rsa(der), Algorithm::RsaPkcs1(hash)) => match pkcs1(hash) {
                Some(algorithm) => (der, algorithm),
                None => return false,
            },
            (Self::Rsa(der), Algorithm::RsaPss(hash)) => match pss(hash) {
                Some(algorithm) => (der, algorithm),
                None => return false,
            },
            _ => return false,
        };
        let key = signature::UnparsedPublicKey::new(algorithm, bytes);
        key.verify(message, signature).is_ok()
    }

    /// Reads an Ed25519 key of 32 bytes (RFC 8032); weak points, which verify forgeries, are refused.
    pub fn ed25519(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes: &[u8; 32] = bytes
            .try_into()
            .map_err(|_| "is not a public key of 32 bytes")?;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| "is not an Ed25519 public key")?;
        if key.is_weak() {
            return Err("is a weak Ed25519 public key");
        }
        Ok(Self::Ed25519(Box::new(key)))
    }

    fn ecdsa(algorithm: &AlgorithmIdentifier<'_>, point: &[u8]) -> Result<Self, &'static str> {
        let curve = algorithm.parameters.as_ref().and_then(|any| {
            // Explicit parameters, which RFC 5480 section 2.1.1 forbids, are no OID.
            any.as_oid().ok()
        });
        match curve {
            Some(curve) if curve == OID_EC_P256 => Self::p256(point),
            Some(curve) if curve == OID_NIST_EC_P384 => Self::p384(point),
            _ => Err("is of another curve than P-256 and P-384"),
        }
    }

    /// Takes a point in the form of SEC 1 section 2.3.3, uncompressed. That it lies on the curve is
    /// checked with every signature.
    fn p256(point: &[u8]) -> Result<Self, &'static str> {
        uncompressed(point, 32).map(Self::EcdsaP256)
    }

    fn p384(point: &[u8]) -> Result<Self, &'static str> {
        uncompressed(point, 48).map(Self::EcdsaP384)
    }

    fn rsa_der(der: &[u8]) -> Result<Self, &'static str> {
        const NOT_ONE: &str = "is not an RSAPublicKey";
        let (_, numbers) = RSAPublicKey::from_der(der).map_err(|_| NOT_ONE)?;
        let key = Self::rsa(numbers.modulus, numbers.exponent)?;
        // One key, one encoding: left-over bytes and negative numbers would show here.
        match &key {
            Self::Rsa(canonical) if canonical == der => Ok(key),
            _ => Err(NOT_ONE),
        }
    }

    /// Takes the two numbers of an RSA key, most significant byte first.
    fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, &'static str> {
        let (modulus, exponent) = (significant(modulus), significant(exponent));
        let bits = bits(modulus);
        if bits < MIN_RSA_BITS {
            return Err("is an RSA key of fewer than 2048 bits");
        }
        if bits > MAX_RSA_BITS {
            return Err("is an RSA key of more than 8192 bits");
        }
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        // As `ring` has it: odd, at least 3 and of 33 bits at most.
        if !odd(modulus) || !odd(exponent) || exponent == [1] || self::bits(exponent) > 33 {
            return Err("is no sound RSA key");
        }
        let numbers = [der_number(modulus), der_number(exponent)].concat();
        Ok(Self::Rsa(der(0x30, &numbers)))
    }
}

/// Shows the kind only: the bytes say nothing to a reader.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519(_) => "Ed25519(..)",
            Self::EcdsaP256(_) => "EcdsaP256(..)",
            Self::EcdsaP384(_) => "EcdsaP384(..)",
            Self::Rsa(_) => "Rsa(..)",
        })
    }
}

/// Reads the sections of a PEM text that can be named, whatever stands before and between them.
fn pem_sections(
    text: &str,
) -> impl Iterator<Item = Result<(SectionKind, Vec<u8>), &'static str>> + use<> {
    // A key pasted into a configuration file is often indented.
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let lines = lines.join("\n");
    let sections: Vec<_> = <(SectionKind, Vec<u8>)>::pem_slice_iter(lines.as_bytes())
        .map(|section| section.map_err(|_| "is not PEM"))
        .collect();
    sections.into_iter()
}

fn pkcs1(hash: Hash) -> Option<&'static dyn VerificationAlgorithm> {
    match hash {
        Hash::Sha1 => Some(&signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
        Hash::Sha256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Hash::Sha384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Hash::Sha512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Hash::Md5 => None,
    }
}

fn pss(hash: Hash) -> Option<&'static dyn VerificationAlgorithm> {
    match hash {
        Hash::Sha1 | Hash::Md5 => None,
        Hash::Sha256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Hash::Sha384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Hash::Sha512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
    }
}

fn uncompressed(point: &[u8], width: usize) -> Result<Vec<u8>, &'static str> {
    match point {
        [4, coordinates @ ..] if coordinates.len() == 2 * width => Ok(point.to_vec()),
        _ => Err("is not an uncompressed point of its curve"),
    }
}

/// Drops the leading zeros of a number.
fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Counts the bits of a number without leading zeros.
fn bits(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |byte| byte.leading_zeros());
    number.len() * 8 - unused as usize
}

/// Encodes a number without leading zeros as a DER INTEGER (X.690 section 8.3).
fn der_number(number: &[u8]) -> Vec<u8> {
    let negative = number.first().is_none_or(|&byte| byte >= 0x80);
    let sign: &[u8] = if negative { &[0] } else { &[] };
    der(0x02, &[sign, number].concat())
}

/// Encodes a value in DER: tag, definite length in its shortest form, content (X.690 section 8.1).
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = significant(&length);
    let header = match length {
        [] => vec![tag, 0],
        [short] if *short < 0x80 => vec![tag, *short],
        // A length is of eight bytes at most, so their count always fits.
        long => [&[tag, 0x80 | long.len() as u8], long].concat(),
    };
    [header.as_slice(), content].concat()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::vectors::*;
    use super::*;

    const SHA256: Algorithm = Algorithm::RsaPkcs1(Hash::Sha256);

    fn bytes(base64: &str) -> Vec<u8> {
        STANDARD.decode(base64).unwrap()
    }

    #[test]
    fn an_rsa_signature_verifies_under_its_own_key_and_hash_only() {
        let key = PublicKey::from_pem(WISE_KEY).unwrap();
        let (body, signature) = (WISE_BODY.as_bytes(), bytes(WISE_SIGNATURE));
        assert!(key.verify(SHA256, body, &signature));
        assert!(!key.verify(SHA256, &body[1..], &signature));
        assert!(!key.verify(SHA256, body, &signature[1..]));
        assert!(!key.verify(SHA256, body, b""));
        assert!(!key.verify(Algorithm::RsaPkcs1(Hash::Sha512), body, &signature));
        assert!(!key.verify(Algorithm::RsaPss(Hash::Sha256), body, &signature));
        assert!(!key.verify(Algorithm::RsaPss(Hash::Sha1), body, &signature));
        assert!(!key.verify(Algorithm::EcdsaP256Der, body, &signature));
        assert!(!key.verify(Algorithm::Ed25519, body, &signature));
        let other = PublicKey::from_pem(TRAVIS_KEY).unwrap();
        assert!(!other.verify(SHA256, body, &signature));
    }

    #[test]
    fn sha_1_verifies_where_it_is_asked_for() {
        let key = PublicKey::from_pem(TRAVIS_KEY).unwrap();
        let (payload, signature) = (TRAVIS_PAYLOAD.as_bytes(), bytes(TRAVIS_SIGNATURE));
        assert!(key.verify(Algorithm::RsaPkcs1(Hash::Sha1), payload, &signature));
        assert!(!key.verify(SHA256, payload, &signature));
    }

    #[test]
    fn a_certificate_is_read_for_its_key() {
        let key = PublicKey::from_pem(SNS_CERTIFICATE).unwrap();
        let signature = bytes(SNS_SIGNATURE);
        assert!(key.verify(SHA256, SNS_SIGNED.as_bytes(), &signature));
    }

    #[test]
    fn an_ecdsa_signature_verifies_in_its_own_form_only() {
        let key = PublicKey::from_spki(&bytes(SENDGRID_KEY)).unwrap();
        let (signed, signature) = (SENDGRID_SIGNED.as_bytes(), bytes(SENDGRID_SIGNATURE));
        assert!(key.verify(Algorithm::EcdsaP256Der, signed, &signature));
        assert!(!key.verify(Algorithm::EcdsaP256Fixed, signed, &signature));
        assert!(!key.verify(Algorithm::EcdsaP384Fixed, signed, &signature));
        assert!(!key.verify(Algorithm::EcdsaP256Der, &signed[1..], &signature));
    }

    #[test]
    fn white_space_around_the_lines_of_a_pem_text_does_not_count() {
        let indented = format!("\n\n  {}\r\n ", ED25519_KEY.replace('\n', "  \r\n\t"));
        let key = PublicKey::from_pem(ED25519_KEY).unwrap();
        assert!(PublicKey::from_pem(&indented).unwrap() == key);
        assert_eq!(format!("{key:?}"), "Ed25519(..)");
    }

    #[test]
    fn what_is_no_sound_key_is_refused() {
        let spki = bytes(SENDGRID_KEY);
        let longer = [spki.as_slice(), &[0]].concat();
        assert_eq!(
            PublicKey::from_spki(&longer),
            Err("has bytes after the public key")
        );
        for length in 0..spki.len() {
            assert!(PublicKey::from_spki(&spki[..length]).is_err(), "{length}");
        }
        let mut compressed = spki.clone();
        compressed[26] = 2;
        assert!(PublicKey::from_spki(&compressed).is_err());
        let mut weak = bytes("MCowBQYDK2VwAyEA");
        weak.extend([0; 32]);
        assert_eq!(
            PublicKey::from_spki(&weak),
            Err("is a weak Ed25519 public key")
        );
        assert_eq!(
            PublicKey::from_pem(RSA_1024_KEY),
            Err("is an RSA key of fewer than 2048 bits")
        );
        for text in ["", "MCowBQYDK2VwAyEA", "-----BEGIN PUBLIC KEY-----\nMCow"] {
            assert!(PublicKey::from_pem(text).is_err());
        }
    }

    #[test]
    fn an_rsa_key_has_one_encoding_and_a_sound_exponent() {
        let modulus = [0xC1; 256];
        let Ok(PublicKey::Rsa(der)) = PublicKey::rsa(&modulus, &[1, 0, 1]) else {
            panic!("a sound key was refused");
        };
        assert!(PublicKey::rsa_der(&der).is_ok());
        assert!(PublicKey::rsa_der(&[der.as_slice(), &[0]].concat()).is_err());
        let padded = [&[0, 0], modulus.as_slice()].concat();
        assert!(PublicKey::rsa(&padded, &[0, 1, 0, 1]).is_ok());
        for exponent in [&[1][..], &[0], &[], &[4], &[2, 0, 0, 0, 1]] {
            assert!(PublicKey::rsa(&modulus, exponent).is_err(), "{exponent:?}");
        }
        assert!(PublicKey::rsa(&[0xC2; 256], &[1, 0, 1]).is_err());
        assert!(PublicKey::rsa(&[0xC1; 1025], &[1, 0, 1]).is_err());
    }
}
