//! Deliveries as nobody should send them: nothing panics, nothing verifies, nothing is told.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookgate::clock::Timestamp;
use hookgate::delivery::Delivery;
use hookgate::verify::explain::{self, explain};
use hookgate::verify::scheme::Proof;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use secrecy::SecretString;

use crate::cases::{Case, Endpoint, SEED, Seed, cases, now};
use crate::pieces::{Piece, flip, length, proof, proves};

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    cases()
        .into_iter()
        .filter(|case| proves(&case.scheme))
        .collect()
});

/// An endpoint for each case that pins its scheme, and one that does not where there can be.
static ENDPOINTS: LazyLock<Vec<Endpoint>> = LazyLock::new(|| {
    let each = CASES
        .iter()
        .flat_map(|case| [Some(case.pinned(&SEED)), case.unpinned(&SEED)]);
    each.flatten().collect()
});

/// The cases that sign whatever is sent, of whatever kind it is.
static ANY: LazyLock<Vec<&Case>> =
    LazyLock::new(|| CASES.iter().filter(|case| case.signs_anything()).collect());

/// Every header that any definition looks at.
static NAMES: LazyLock<Vec<HeaderName>> = LazyLock::new(|| {
    let signed = CASES.iter().flat_map(|case| {
        case.signed(&SEED)
            .headers
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    });
    let mut names: Vec<HeaderName> = signed.collect();
    names.sort_by_key(ToString::to_string);
    names.dedup();
    names
});

/// Something that has the look of a header's value.
fn value() -> impl Strategy<Value = HeaderValue> {
    let text = prop_oneof![
        "\\PC{0,40}",
        "(v1|v1a|t|v0|sha256)[=,][0-9a-fA-F]{0,64}([, ](v1|t)[=,][0-9]{0,20}){0,3}",
        "(v1,[A-Za-z0-9+/]{43}=? ?){0,20}",
        "(sha256=|v0=)?[0-9a-f]{64}",
        "[0-9]{10,20}",
        Just("1780000000".to_owned()),
        Just("application/json".to_owned()),
        Just("application/x-www-form-urlencoded".to_owned()),
    ];
    let bytes = prop_oneof![text.prop_map(String::into_bytes), vec(any::<u8>(), 0..80)];
    bytes.prop_filter_map("no value of a header", |bytes| {
        HeaderValue::from_bytes(&bytes).ok()
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..200),
        "([a-z%&=+]{0,5}[&=]){0,9}".prop_map(String::into_bytes),
        "\\{\"(id|type|event)\":(\"\\PC{0,9}\"|[0-9.e-]{1,9}|\\{|\\[)\\}?"
            .prop_map(String::into_bytes),
    ]
}

fn delivery() -> impl Strategy<Value = Delivery> {
    let url = prop_oneof![
        "\\PC{0,60}",
        "https?://[a-z.]{0,9}(:[0-9]{0,5})?/[a-z]{0,5}(\\?(bodySHA256=)?[0-9a-f]{0,64})?",
    ];
    let headers = vec((select(NAMES.as_slice()), value()), 0..12);
    (url, headers, body()).prop_map(|(url, headers, body)| {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        Delivery {
            method: Method::POST,
            url,
            headers: map,
            body: Bytes::from(body),
            caller: [192, 0, 2, 7].into(),
            via_trusted_proxy: false,
        }
    })
}

/// One thing that goes wrong on the way, or in the configuration.
#[derive(Clone, Debug)]
enum Mishap {
    Body(Vec<u8>),
    Header(usize, HeaderValue),
    NoHeader(usize),
    Bit(usize),
    Time(i64),
    Secret(&'static str, &'static str),
    Stranger(Seed),
}

fn mishap() -> impl Strategy<Value = Mishap> {
    let ends = || select(&["", " ", "\n", "\"", "whsec_", "x"][..]);
    prop_oneof![
        body().prop_map(Mishap::Body),
        (any::<usize>(), value()).prop_map(|(at, value)| Mishap::Header(at, value)),
        any::<usize>().prop_map(Mishap::NoHeader),
        any::<usize>().prop_map(Mishap::Bit),
        any::<i32>().prop_map(|seconds| Mishap::Time(seconds.into())),
        (ends(), ends()).prop_map(|(before, after)| Mishap::Secret(before, after)),
        any::<Seed>().prop_map(Mishap::Stranger),
    ]
}

proptest! {
    #[test]
    fn a_delivery_that_nobody_signed_never_verifies(delivery in delivery()) {
        for endpoint in ENDPOINTS.iter() {
            let verified = endpoint.verify(&delivery);
            prop_assert!(verified.is_err(), "{}", endpoint.verifier.provider().name);
        }
    }

    #[test]
    fn any_content_verifies_if_it_was_signed_and_only_with_its_key(
        at in any::<usize>(),
        body in vec(any::<u8>(), 1..300),
        seed in any::<Seed>(),
        other in any::<Seed>(),
    ) {
        prop_assume!(seed != other);
        prop_assert!(ANY.len() >= 100, "only {} schemes sign anything", ANY.len());
        let case = ANY[at % ANY.len()];
        // There are two RSA keys only, of which this is one.
        let seed = if case.is_rsa() { SEED } else { seed };
        let mut delivery = case.with_body(body, case.sample().headers);
        case.sign(&seed, &mut delivery);
        prop_assert!(case.pinned(&seed).verify(&delivery).is_ok(), "{}", case);
        prop_assert!(case.pinned(&other).verify(&delivery).is_err(), "{}", case);
    }

    #[test]
    fn an_explanation_never_tells_a_secret(at in any::<usize>(), seed in any::<Seed>(), mishap in mishap()) {
        let case = &CASES[at % CASES.len()];
        // What was signed once and for all was signed with one key.
        let seed = if case.is_recorded() { SEED } else { seed };
        let keys = case.keys(&seed);
        let mut delivery = case.signed(&seed);
        let proof = proof(case, &delivery);
        let piece = |at: usize| &proof[at % proof.len()];
        let (mut configured, mut clock) = (keys.configured.clone().unwrap_or_default(), now());
        match mishap {
            Mishap::Body(body) => delivery.body = body.into(),
            Mishap::Header(at, value) => if let Piece::Header(name) = piece(at) {
                delivery.headers.insert(name, value);
            },
            Mishap::NoHeader(at) => if let Piece::Header(name) = piece(at) {
                delivery.headers.remove(name);
            },
            Mishap::Bit(at) => {
                let piece = piece(at);
                let changed = flip(piece, at % (8 * length(piece, &delivery)), &delivery);
                delivery = changed.unwrap_or(delivery);
            }
            Mishap::Time(seconds) => {
                clock = Timestamp::from_second(clock.as_second() + seconds).unwrap();
            }
            Mishap::Secret(before, after) => configured = format!("{before}{configured}{after}"),
            Mishap::Stranger(seed) => configured = case.keys(&seed).configured.unwrap_or_default(),
        }
        let configured: Vec<String> = keys.configured.iter().map(|_| configured.clone()).collect();
        let texts: Vec<&str> = configured.iter().map(String::as_str).collect();
        // What does not bind was refused before there was anything to explain.
        let Ok(verifier) = case.bind(&texts) else { return Ok(()) };
        let published = case.published(&seed);
        let verified = verifier.verify(&delivery, clock, published.as_ref());
        let Err(rejected) = verified else { return Ok(()) };
        let secrets: Vec<SecretString> = texts.iter().map(|&text| text.into()).collect();
        // A public key is no secret, nor is what stands for another kind of token.
        let hidden = [hex::encode(seed), STANDARD.encode(seed)];
        let private = !matches!(case.scheme.proof, Proof::PublicKey { .. });
        let shared = texts.iter().map(|text| text.trim()).filter(|text| private && text.len() > 8);
        for scheme in [None, Some(case.scheme.name.as_str())] {
            let findings = explain(&explain::Case {
                catalogue: None,
                tolerance: None,
                provider: &case.definition,
                scheme,
                secrets: &secrets,
                params: &case.params,
                param_secrets: &BTreeMap::new(),
                keys: published.as_ref(),
                delivery: &delivery,
                now: clock,
            }, &rejected);
            prop_assert!(!findings.is_empty());
            let told = format!("{findings:?} {rejected:?}");
            for secret in shared.clone().chain(hidden.iter().map(String::as_str)) {
                prop_assert!(!told.contains(secret), "{}: {}", case, told);
            }
        }
    }
}
