//! Answers to challenges are HMACs under the endpoint's key over what the caller chose. None of them
//! may be a signature that admits an event.

use std::path::Path;

use bytes::Bytes;
use hookgate::delivery::Delivery;
use hookgate::handshake::{self, Phase};
use hookgate::verify::scheme::Scheme;
use http::{HeaderMap, Method};
use proptest::prelude::*;

use crate::cases::{Case, SEED, URL, cases, now};

/// A vendor whose challenges are answered with an HMAC.
struct Oracle {
    provider: &'static str,
    /// Asks for the HMAC of a text.
    ask: fn(&str) -> Delivery,
    /// Makes a delivery whose signed content is a text, as far as there can be one.
    forge: fn(&str) -> Delivery,
}

const ORACLES: &[Oracle] = &[
    Oracle {
        provider: "braintree",
        ask: |text| request(Method::GET, &[("bt_challenge", text)], "", ""),
        forge: |text| {
            let form = [("bt_signature", "$TAG"), ("bt_payload", text)];
            let body = encoded(&form).replace("%24TAG", "$TAG");
            request(
                Method::POST,
                &[],
                "application/x-www-form-urlencoded",
                &body,
            )
        },
    },
    Oracle {
        provider: "x-twitter",
        ask: |text| request(Method::GET, &[("crc_token", text)], "", ""),
        forge: |text| request(Method::POST, &[], "application/json", text),
    },
    Oracle {
        provider: "zoom",
        ask: |text| {
            let asked = serde_json::json!({
                "event": "endpoint.url_validation", "payload": {"plainToken": text}, "event_ts": 1
            });
            request(Method::POST, &[], "application/json", &asked.to_string())
        },
        forge: |text| request(Method::POST, &[], "application/json", text),
    },
];

fn encoded(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

fn request(method: Method, query: &[(&str, &str)], content_type: &str, body: &str) -> Delivery {
    let mut headers = HeaderMap::new();
    if !content_type.is_empty() {
        headers.insert("content-type", content_type.parse().unwrap());
    }
    Delivery {
        method,
        url: format!("{URL}?{}", encoded(query)),
        headers,
        body: Bytes::copy_from_slice(body.as_bytes()),
        caller: [192, 0, 2, 7].into(),
        via_trusted_proxy: false,
    }
}

/// Returns the schemes of a vendor whose tags are HMACs under the key that answers challenges.
fn schemes(provider: &str) -> Vec<Case> {
    let hmac = |case: &Case| &*case.provider.name == provider && case.scheme.carrier().is_some();
    cases().into_iter().filter(hmac).collect()
}

/// Tells whether a text is answered with its HMAC, when the vendor asks and when anyone does.
fn is_answered(oracle: &Oracle, case: &Case, text: &str) -> bool {
    let endpoint = case.pinned(&SEED);
    let asked = (oracle.ask)(text);
    if let Ok(Some(_)) = handshake::answer_unsigned(&endpoint.verifier, &asked, Phase::Armed) {
        return true;
    }
    let mut signed = asked;
    if case.try_sign(now(), &SEED, &mut signed).is_err() {
        return false;
    }
    endpoint.verify(&signed).is_ok_and(|verified| {
        matches!(
            handshake::answer(&endpoint.verifier, &verified),
            Ok(Some(_))
        )
    })
}

/// Checks that no delivery is admitted whose signed content is a text that is answered.
fn admits_nothing(oracle: &Oracle, text: &str) -> Result<(), TestCaseError> {
    for case in schemes(oracle.provider) {
        if !is_answered(oracle, &case, text) {
            continue;
        }
        let mut forged = (oracle.forge)(text);
        if case.try_sign(now(), &SEED, &mut forged).is_err() {
            continue;
        }
        let endpoint = case.pinned(&SEED);
        let content = |scheme: &Scheme| case.provider.signed_content(scheme, &forged);
        let is_content = content(&case.scheme).is_ok_and(|content| content == text.as_bytes());
        prop_assert!(
            !is_content || endpoint.verify(&forged).is_err(),
            "{} admits the challenge {:?}",
            case,
            text
        );
    }
    Ok(())
}

#[test]
fn every_answer_with_an_hmac_is_tried() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("providers");
    let mut answering: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            text.contains("|hmac-hex}") || text.contains("|hmac-base64}")
        })
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    answering.sort();
    let tried: Vec<&str> = ORACLES.iter().map(|oracle| oracle.provider).collect();
    assert_eq!(answering, tried);
    for oracle in ORACLES {
        let case = &schemes(oracle.provider)[0];
        assert!(
            is_answered(oracle, case, "2bf5a3e0d8c94c1b9e7f"),
            "{case} answers nothing"
        );
    }
}

#[test]
fn what_was_signed_is_no_challenge() {
    for oracle in ORACLES {
        for case in schemes(oracle.provider) {
            let signed = case.signed(&SEED);
            let content = case.provider.signed_content(&case.scheme, &signed).unwrap();
            let text = String::from_utf8(content).unwrap();
            assert!(
                !is_answered(oracle, &case, &text),
                "{case} signs {text:?} for anyone"
            );
            admits_nothing(oracle, &text).unwrap();
        }
        for text in [
            "{}",
            "{\"a\":1}",
            "[]",
            "1",
            "true",
            "null",
            "\"a\"",
            "a=b",
            "kind",
        ] {
            admits_nothing(oracle, text).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_challenge_that_is_answered_is_an_event(
        text in prop_oneof!["[a-f0-9]{1,40}", "[A-Za-z0-9_-]{1,120}", "[A-Za-z0-9+/=]{4,64}", "[0-9]{1,20}", "\\PC{1,40}", "v0:[0-9]{10}:[a-z{}]{0,9}"],
    ) {
        for oracle in ORACLES {
            admits_nothing(oracle, &text)?;
        }
    }
}
