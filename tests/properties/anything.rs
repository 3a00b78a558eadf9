//! Deliveries as nobody should send them: nothing panics, nothing verifies, nothing is told.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookgate::clock::Timestamp;
use hookgate::delivery::Delivery;
use hookgate::verify::explain::{self, explain};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use secrecy::SecretString;

use crate::cases::{Case, SEED, Seed, bind, cases, now, verify};

static CASES: LazyLock<Vec<Case>> = LazyLock::new(cases);

/// Every header that any definition looks at.
static NAMES: LazyLock<Vec<HeaderName>> = LazyLock::new(|| {
    let signed = CASES.iter().flat_map(|case| {
        let (delivery, _) = case.signed(&SEED);
        delivery.headers.keys().cloned().collect::<Vec<_>>()
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
        }
    })
}

/// One thing that goes wrong on the way, or in the configuration.
#[derive(Clone, Debug)]
enum Mishap {
    Body(Vec<u8>),
    Header(usize, HeaderValue),
    NoHeader(usize),
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
        any::<i32>().prop_map(|seconds| Mishap::Time(seconds.into())),
        (ends(), ends()).prop_map(|(before, after)| Mishap::Secret(before, after)),
        any::<Seed>().prop_map(Mishap::Stranger),
    ]
}

proptest! {
    #[test]
    fn a_delivery_that_nobody_signed_never_verifies(delivery in delivery()) {
        for case in CASES.iter() {
            let secret = case.keys(&SEED).configured;
            for scheme in [None, Some(case.scheme.name.as_str())] {
                // Where the secret does not tell the scheme, one must be pinned.
                let Ok(verifier) = bind(&case.provider, scheme, &[&secret]) else {
                    prop_assert!(scheme.is_none(), "{}", case);
                    continue;
                };
                prop_assert!(verify(&verifier, &delivery).is_err(), "{}", case);
            }
        }
    }

    #[test]
    fn any_content_verifies_if_it_was_signed_and_only_with_its_key(
        body in vec(any::<u8>(), 1..300),
        seed in any::<Seed>(),
        other in any::<Seed>(),
    ) {
        prop_assume!(seed != other);
        for case in CASES.iter() {
            let mut delivery = case.with_body(body.clone(), case.sample().headers);
            case.sign(&seed, &mut delivery);
            prop_assert!(verify(&case.verifier(&seed), &delivery).is_ok(), "{}", case);
            prop_assert!(verify(&case.verifier(&other), &delivery).is_err(), "{}", case);
        }
    }

    #[test]
    fn an_explanation_never_tells_a_secret(at in any::<usize>(), seed in any::<Seed>(), mishap in mishap()) {
        let case = &CASES[at % CASES.len()];
        let keys = case.keys(&seed);
        let (mut delivery, proof) = case.signed(&seed);
        let (mut configured, mut clock) = (keys.configured.clone(), now());
        match mishap {
            Mishap::Body(body) => delivery.body = body.into(),
            Mishap::Header(at, value) => {
                delivery.headers.insert(&proof[at % proof.len()], value);
            }
            Mishap::NoHeader(at) => {
                delivery.headers.remove(&proof[at % proof.len()]);
            }
            Mishap::Time(seconds) => {
                clock = Timestamp::from_second(clock.as_second() + seconds).unwrap();
            }
            Mishap::Secret(before, after) => configured = format!("{before}{configured}{after}"),
            Mishap::Stranger(seed) => configured = case.keys(&seed).configured,
        }
        // What does not bind was refused before there was anything to explain.
        let Ok(verifier) = case.bind(&[&configured]) else { return Ok(()) };
        let Err(rejected) = verifier.verify(&delivery, clock) else { return Ok(()) };
        let secrets: [SecretString; 1] = [configured.clone().into()];
        for scheme in [None, Some(case.scheme.name.as_str())] {
            let findings = explain(&explain::Case {
                provider: &case.provider,
                scheme,
                secrets: &secrets,
                params: &BTreeMap::new(),
                delivery: &delivery,
                now: clock,
            }, &rejected);
            prop_assert!(!findings.is_empty());
            let told = format!("{findings:?} {rejected:?}");
            for secret in [configured.trim(), &keys.configured, &hex::encode(seed), &STANDARD.encode(seed)] {
                prop_assert!(!told.contains(secret), "{}: {}", case, told);
            }
        }
    }
}
