//! Certificates (RFC 5280): whose key they vouch for, and whether that may be believed.

use std::time::Duration;

use rustls_pki_types::pem::SectionKind;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::set::{KeyFault, Trust, VerificationKey, text};
use super::{PublicKey, pem_sections};

/// Most certificates of a chain.
const MAX_CHAIN: usize = 10;

/// Reads the key of a certificate, and nothing else of it.
pub(super) fn public_key(der: &[u8]) -> Result<PublicKey, &'static str> {
    PublicKey::from_spki(read(der)?.public_key().raw)
}

/// Reads a chain, leaf first, and returns the leaf's key if it is valid at `now` and proves what
/// `trust` asks for.
pub(super) fn parse(document: &[u8], trust: &Trust, now: i64) -> Result<VerificationKey, KeyFault> {
    let chain = certificates(document)?;
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Err(KeyFault::Malformed("holds no CERTIFICATE"));
    };
    let certificate = read(leaf).map_err(KeyFault::Certificate)?;
    let validity = certificate.validity();
    let not_before = validity.not_before.timestamp();
    let not_after = validity.not_after.timestamp();
    if !(not_before..=not_after).contains(&now) {
        return Err(KeyFault::NotValidNow {
            not_before,
            not_after,
            now,
        });
    }
    check_subject(&certificate, &trust.subjects)?;
    if trust.chain {
        check_chain(leaf, intermediates, &trust.anchors, now)?;
    }
    let key = PublicKey::from_spki(certificate.public_key().raw).map_err(KeyFault::NoUsableKey)?;
    Ok(VerificationKey {
        not_before: Some(not_before),
        not_after: Some(not_after),
        ..VerificationKey::timeless(None, key)
    })
}

fn read(der: &[u8]) -> Result<X509Certificate<'_>, &'static str> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err("has bytes after its end"),
        Err(_) => Err("cannot be read"),
    }
}

fn certificates(document: &[u8]) -> Result<Vec<CertificateDer<'static>>, KeyFault> {
    // DER begins with the tag of a sequence, which is the digit zero: PEM begins otherwise.
    if document.first() == Some(&0x30) {
        return Ok(vec![document.to_vec().into()]);
    }
    let mut chain = Vec::new();
    for section in pem_sections(text(document)?) {
        let (kind, der) = section.map_err(KeyFault::Malformed)?;
        if kind == SectionKind::Certificate {
            chain.push(der.into());
        }
    }
    if chain.len() > MAX_CHAIN {
        return Err(KeyFault::Malformed("holds too many certificates"));
    }
    Ok(chain)
}

/// Checks the path to a root (RFC 5280 section 6). The certificates that sign deliveries are issued
/// as those of TLS servers or clients are, so either usage will do.
fn check_chain(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    anchors: &[Vec<u8>],
    now: i64,
) -> Result<(), KeyFault> {
    let leaf = EndEntityCert::try_from(leaf).map_err(KeyFault::Untrusted)?;
    let own: Vec<CertificateDer<'_>> = anchors
        .iter()
        .map(|der| CertificateDer::from(der.as_slice()))
        .collect();
    let own: Vec<TrustAnchor<'_>> = own
        .iter()
        .map(webpki::anchor_from_trusted_cert)
        .collect::<Result<_, _>>()
        .map_err(KeyFault::Untrusted)?;
    let anchors = match own.as_slice() {
        [] => webpki_roots::TLS_SERVER_ROOTS,
        own => own,
    };
    let now = u64::try_from(now).map_err(|_| KeyFault::Malformed("is older than 1970"))?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
    let verify = |usage| {
        let algorithms = ALL_VERIFICATION_ALGS;
        leaf.verify_for_usage(algorithms, anchors, intermediates, now, usage, None, None)
            .map(|_| ())
    };
    verify(KeyUsage::server_auth())
        .or_else(|_| verify(KeyUsage::client_auth()))
        .map_err(KeyFault::Untrusted)
}

fn check_subject(certificate: &X509Certificate<'_>, subjects: &[String]) -> Result<(), KeyFault> {
    if subjects.is_empty() {
        return Ok(());
    }
    let names = names(certificate).map_err(KeyFault::Certificate)?;
    let wanted = |name: &&str| subjects.iter().any(|subject| matches(subject, name));
    if names.iter().any(wanted) {
        return Ok(());
    }
    Err(KeyFault::OtherSubject(names.join(", ")))
}

/// Returns the DNS names that a certificate is for: its alternative names. Only where it has none
/// of any kind does its common name count, as RFC 6125 section 6.4.4 has it.
fn names<'c>(certificate: &'c X509Certificate<'_>) -> Result<Vec<&'c str>, &'static str> {
    let alternative = certificate
        .subject_alternative_name()
        .map_err(|_| "has malformed alternative names")?;
    if let Some(alternative) = alternative {
        let names = alternative.value.general_names.iter();
        return Ok(names
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(*name),
                _ => None,
            })
            .collect());
    }
    let mut common = certificate.subject().iter_common_name();
    match (common.next(), common.next()) {
        (Some(name), None) => Ok(vec![name.as_str().map_err(|_| "has a malformed name")?]),
        _ => Err("has neither alternative names nor one common name"),
    }
}

/// Tells whether a certificate's name is the one meant, or lies below it for `*.example.com`.
fn matches(subject: &str, name: &str) -> bool {
    let Some(parent) = subject.strip_prefix("*.") else {
        return name.eq_ignore_ascii_case(subject);
    };
    let Some((below, tail)) = name
        .len()
        .checked_sub(parent.len())
        .and_then(|at| name.split_at_checked(at))
    else {
        return false;
    };
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        // A certificate for every name of a domain has `*` itself for its label.
        label == "*" || (!label.is_empty() && label.bytes().all(plain))
    };
    let below = below.strip_suffix('.');
    !parent.is_empty()
        && tail.eq_ignore_ascii_case(parent)
        && below.is_some_and(|labels| labels.split('.').all(label))
}

#[cfg(test)]
mod tests {
    use super::super::set::{KeyFormat, KeySet};
    use super::super::vectors::*;
    use super::*;

    /// In 2025.
    const NOW: i64 = 1_750_000_000;
    const PAYPAL: &str = "*.paypal.com";

    fn der(pem: &str) -> Vec<u8> {
        certificates(pem.as_bytes()).unwrap()[0].to_vec()
    }

    fn trust(anchor: &str, subject: &str) -> Trust {
        Trust {
            chain: true,
            subjects: vec![subject.to_owned()],
            anchors: vec![der(anchor)],
        }
    }

    fn load(document: &[u8], trust: &Trust) -> Result<KeySet, KeyFault> {
        KeySet::parse(KeyFormat::X509, document, None, trust, NOW)
    }

    #[test]
    fn a_leaf_of_a_trusted_authority_passes() {
        let trust = trust(PAYPAL_CA, PAYPAL);
        for document in [PAYPAL_LEAF.as_bytes(), &der(PAYPAL_LEAF)] {
            let set = load(document, &trust).unwrap();
            let key = set.keys().next().unwrap();
            assert_eq!(key.not_before, Some(1_704_067_200));
            assert_eq!(key.not_after, Some(2_019_686_400));
            assert!(key.is_valid_at(NOW) && !key.is_valid_at(0));
            assert!(key.is_valid_at(2_019_686_400) && !key.is_valid_at(2_019_686_401));
            assert!(key.key == PublicKey::from_pem(PAYPAL_LEAF).unwrap());
        }
    }

    #[test]
    fn every_other_leaf_is_refused() {
        let trust = trust(PAYPAL_CA, PAYPAL);
        let fault = |pem: &str| load(pem.as_bytes(), &trust).unwrap_err();
        assert!(matches!(
            fault(PAYPAL_EXPIRED),
            KeyFault::NotValidNow { .. }
        ));
        assert!(matches!(
            fault(PAYPAL_OTHER_NAME),
            KeyFault::OtherSubject(_)
        ));
        assert!(matches!(fault(PAYPAL_LOOKALIKE), KeyFault::OtherSubject(_)));
        assert!(matches!(
            fault(PAYPAL_EVIL_SELFSIGNED),
            KeyFault::Untrusted(_)
        ));
        // A leaf that leads its own chain is no better.
        let chain = [PAYPAL_EVIL_SELFSIGNED, PAYPAL_LEAF, PAYPAL_CA].concat();
        assert!(matches!(fault(&chain), KeyFault::Untrusted(_)));
    }

    #[test]
    fn an_authority_for_tests_is_no_public_one() {
        let public = Trust {
            anchors: Vec::new(),
            ..trust(PAYPAL_CA, PAYPAL)
        };
        let chain = [PAYPAL_LEAF, PAYPAL_CA].concat();
        let fault = load(chain.as_bytes(), &public);
        assert!(matches!(fault, Err(KeyFault::Untrusted(_))));
    }

    #[test]
    fn the_way_to_the_root_may_lead_over_an_intermediate() {
        let trust = trust(CHAIN_ROOT, "signing.hooks.example");
        let chain = [CHAIN_LEAF, CHAIN_INTERMEDIATE].concat();
        assert!(load(chain.as_bytes(), &trust).is_ok());
        let alone = load(CHAIN_LEAF.as_bytes(), &trust);
        assert!(matches!(alone, Err(KeyFault::Untrusted(_))));
        let turned = [CHAIN_INTERMEDIATE, CHAIN_LEAF].concat();
        assert!(load(turned.as_bytes(), &trust).is_err());
        let code = [CHAIN_CODE_SIGNER, CHAIN_INTERMEDIATE].concat();
        assert!(matches!(
            load(code.as_bytes(), &trust),
            Err(KeyFault::Untrusted(_))
        ));
    }

    #[test]
    fn the_common_name_counts_only_without_alternative_names() {
        let trust = trust(CHAIN_ROOT, "signing.hooks.example");
        let chain = [CHAIN_OTHER_SAN, CHAIN_INTERMEDIATE].concat();
        let fault = load(chain.as_bytes(), &trust);
        assert!(matches!(fault, Err(KeyFault::OtherSubject(_))));
        let subjects = Trust {
            subjects: vec!["sns.amazonaws.com".to_owned()],
            ..Trust::default()
        };
        assert!(load(SNS_CERTIFICATE.as_bytes(), &subjects).is_ok());
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let trust = Trust::default();
        let whole = der(PAYPAL_LEAF);
        for length in 0..whole.len() {
            assert!(load(&whole[..length], &trust).is_err(), "{length}");
        }
        assert!(load(&[whole.as_slice(), &[0]].concat(), &trust).is_err());
        assert!(load(WISE_KEY.as_bytes(), &trust).is_err());
        let long = PAYPAL_LEAF.repeat(MAX_CHAIN + 1);
        assert!(load(long.as_bytes(), &trust).is_err());
    }

    #[test]
    fn a_wildcard_stands_for_whole_labels_in_front() {
        for name in ["a.paypal.com", "A.B.PayPal.com", "*.paypal.com"] {
            assert!(matches(PAYPAL, name), "{name}");
        }
        for name in [
            "paypal.com",
            ".paypal.com",
            "evilpaypal.com",
            "a..paypal.com",
            "a.paypal.com.",
            "a.paypal.com.evil.example",
            "evil.example\0.paypal.com",
            "evil.example/.paypal.com",
            "a.b*.paypal.com",
            "ü.paypal.com",
            "",
        ] {
            assert!(!matches(PAYPAL, name), "{name}");
        }
        assert!(matches("api.paypal.com", "API.paypal.com"));
        assert!(!matches("api.paypal.com", "*.paypal.com"));
        assert!(!matches("a.*.com", "a.paypal.com"));
        assert!(!matches("*.", "a."));
    }
}
