//! What holds for every way of signing in the catalogue, and for whatever is sent.
//!
//! No servers: definitions and the steps `verify` and `identify` alone. What can be tried out
//! completely (every bit of a sample) is; the rest is left to chance.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod anything;
mod cases;

use hookgate::clock::Timestamp;
use hookgate::delivery::Delivery;
use hookgate::identify::Event;
use hookgate::outcome::Rejected;
use hookgate::provider::definition::IdenticalContent;
use hookgate::signal::{Assurance, Identity};
use hookgate::verify::scheme::Proof;
use hookgate::verify::tag::Encoding;
use hookgate::verify::{Verified, Verifier};
use http::HeaderValue;

use cases::{Case, SEED, Seed, bind, cases, now, other_values, verify};

const SOURCE: &str = "/tenants/acme/endpoints/in";

/// A key that nobody configured.
const STRANGER: Seed = [0xa5; 32];

fn refuses(verifier: &Verifier, delivery: &Delivery, why: &str) {
    if let Ok(verified) = verify(verifier, delivery) {
        let (provider, scheme) = (&verifier.provider().name, verified.scheme());
        panic!("{provider}/{scheme} verifies a delivery with {why}");
    }
}

fn identify(verified: &Verified<'_>, case: &Case) -> Event {
    let events = &case.provider.events;
    events.identify(verified, SOURCE, None).unwrap()
}

#[test]
fn a_delivery_that_its_provider_signed_verifies() {
    for case in cases() {
        let (delivery, proof) = case.signed(&SEED);
        assert!(!proof.is_empty(), "{case} adds no proof");
        let secret = case.keys(&SEED).configured;
        // Where the secret does not tell the scheme, one must be pinned.
        let unpinned = bind(&case.provider, None, &[&secret]).ok();
        for verifier in [Some(case.verifier(&SEED)), unpinned].into_iter().flatten() {
            let verified = verify(&verifier, &delivery);
            let verified = verified.unwrap_or_else(|rejected| panic!("{case}: {rejected}"));
            assert_eq!(verified.scheme(), case.scheme.name);
            assert_eq!(verified.assurance(), case.scheme.assurance());
        }
    }
}

#[test]
fn no_changed_bit_of_a_covered_body_goes_unnoticed() {
    for case in cases() {
        if case.scheme.assurance() != Assurance::Body {
            continue;
        }
        let verifier = case.verifier(&SEED);
        let (delivery, _) = case.signed(&SEED);
        let is_form = delivery.media_type() == "application/x-www-form-urlencoded";
        let fields = |body: &[u8]| {
            let mut fields: Vec<_> = form_urlencoded::parse(body).into_owned().collect();
            fields.sort();
            fields
        };
        for bit in 0..delivery.body.len() * 8 {
            let mut body = delivery.body.to_vec();
            body[bit / 8] ^= 1 << (bit % 8);
            // `%2b` and `%2B` are the same field: a vendor that signs the fields signs both.
            if is_form && fields(&body) == fields(&delivery.body) {
                continue;
            }
            let mut changed = delivery.clone();
            changed.body = body.into();
            refuses(
                &verifier,
                &changed,
                &format!("bit {bit} of the body changed"),
            );
        }
    }
}

#[test]
fn no_changed_bit_of_a_tag_timestamp_or_token_goes_unnoticed() {
    for case in cases() {
        let verifier = case.verifier(&SEED);
        let (delivery, proof) = case.signed(&SEED);
        let carrier = case.scheme.carrier();
        let any_case = carrier.is_some_and(|carrier| carrier.encoding == Encoding::HexAnyCase);
        for name in proof {
            let value = &delivery.headers[&name];
            for (at, mask, changed_value) in other_values(value) {
                // The same digit in the other case is the same tag.
                let digit = matches!(value.as_bytes()[at], b'a'..=b'f') && mask == b' ';
                if any_case && digit {
                    continue;
                }
                let mut changed = delivery.clone();
                changed.headers.insert(&name, changed_value);
                refuses(&verifier, &changed, &format!("byte {at} of {name} changed"));
            }
        }
    }
}

#[test]
fn no_changed_bit_of_the_secret_goes_unnoticed() {
    for case in cases() {
        let (delivery, _) = case.signed(&SEED);
        for bit in 0..SEED.len() * 8 {
            let mut seed = SEED;
            seed[bit / 8] ^= 1 << (bit % 8);
            let why = format!("bit {bit} of the secret changed");
            refuses(&case.verifier(&seed), &delivery, &why);
        }
    }
}

#[test]
fn a_proof_that_is_missing_or_there_twice_is_refused() {
    for case in cases() {
        let verifier = case.verifier(&SEED);
        let (delivery, proof) = case.signed(&SEED);
        for name in proof {
            let mut without = delivery.clone();
            without.headers.remove(&name);
            let reason = verify(&verifier, &without).unwrap_err().reason();
            let missing = ["signature_missing", "timestamp_missing"];
            assert!(missing.contains(&reason), "{case} without {name}: {reason}");

            let mut twice = delivery.clone();
            let value = delivery.headers[&name].clone();
            twice.headers.append(&name, value);
            refuses(&verifier, &twice, &format!("{name} twice"));
        }
    }
}

#[test]
fn a_tag_has_one_form_and_no_other() {
    for case in cases() {
        let Some(carrier) = case.scheme.carrier() else {
            continue;
        };
        let verifier = case.verifier(&SEED);
        let (delivery, proof) = case.signed(&SEED);
        let verifies_with = |change: &dyn Fn(&str) -> String| {
            let mut changed = delivery.clone();
            for name in &proof {
                let value = delivery.headers[name].to_str().unwrap();
                let value = HeaderValue::from_str(&change(value)).unwrap();
                changed.headers.insert(name, value);
            }
            verify(&verifier, &changed).is_ok()
        };
        assert!(verifies_with(&str::to_owned), "{case}");
        for white in [" ", "\t"] {
            assert!(!verifies_with(&|text| format!("{text}{white}")), "{case}");
            assert!(!verifies_with(&|text| format!("{white}{text}")), "{case}");
        }
        let upper = |text: &str| match text.rsplit_once('=') {
            Some((name, tag)) => format!("{name}={}", tag.to_ascii_uppercase()),
            None => text.to_ascii_uppercase(),
        };
        match carrier.encoding {
            Encoding::HexAnyCase => assert!(verifies_with(&upper), "{case}"),
            Encoding::Hex => assert!(!verifies_with(&upper), "{case}"),
            Encoding::Base64 => {
                let bare = |text: &str| text.trim_end_matches('=').to_owned();
                assert!(!verifies_with(&bare), "{case}");
                assert!(!verifies_with(&|text| format!("{text}=")), "{case}");
            }
            Encoding::Base64url => {
                assert!(!verifies_with(&|text| format!("{text}=")), "{case}");
            }
        }
    }
}

#[test]
fn each_of_several_secrets_verifies_and_no_other() {
    for case in cases() {
        let [old, new] = [SEED, [7; 32]].map(|seed| case.keys(&seed).configured);
        let verifier = case.bind(&[&old, &new]).unwrap();
        for seed in [SEED, [7; 32]] {
            let (delivery, _) = case.signed(&seed);
            assert!(verify(&verifier, &delivery).is_ok(), "{case}");
        }
        refuses(&verifier, &case.signed(&STRANGER).0, "a stranger's key");
    }
}

#[test]
fn no_definition_binds_an_empty_or_blank_secret() {
    for case in cases() {
        let secret = case.keys(&SEED).configured;
        let mut blanks = ["", " ", "\n", "\t \r\n", "\u{a0}", "\u{3000}"]
            .map(str::to_owned)
            .to_vec();
        if let Proof::Hmac { key, .. } | Proof::Ed25519 { key, .. } = &case.scheme.proof {
            for prefix in &key.strip {
                blanks.extend([prefix.clone(), format!("{prefix} "), format!("{prefix}\n")]);
            }
        }
        for blank in &blanks {
            for secrets in [&[blank.as_str()][..], &[&secret, blank], &[blank, &secret]] {
                assert!(case.bind(secrets).is_err(), "{case} binds {blank:?}");
                let unpinned = bind(&case.provider, None, secrets);
                assert!(unpinned.is_err(), "{} binds {blank:?}", case.provider.name);
            }
        }
        assert!(case.bind(&[]).is_err(), "{case} binds no secret");
    }
}

#[test]
fn a_delivery_is_refused_outside_its_tolerance_and_taken_within() {
    for case in cases() {
        let verifier = case.verifier(&SEED);
        let tolerance = case
            .scheme
            .timestamp
            .as_ref()
            .and_then(|rule| rule.tolerance);
        let Some(tolerance) = tolerance.map(|time| i64::try_from(time.as_secs()).unwrap()) else {
            continue;
        };
        let (delivery, _) = case.signed(&SEED);
        let at = |seconds: i64| {
            let clock = Timestamp::from_second(now().as_second() + seconds);
            verifier.verify(&delivery, clock.unwrap()).map(|_| ())
        };
        assert!(at(tolerance).is_ok() && at(-tolerance).is_ok(), "{case}");
        let (late, early) = (at(tolerance + 1), at(-tolerance - 1));
        assert!(
            matches!(late, Err(Rejected::TimestampStale { .. })),
            "{case}"
        );
        assert!(
            matches!(early, Err(Rejected::TimestampFuture { .. })),
            "{case}"
        );
    }
}

#[test]
fn what_is_not_signed_does_not_change_which_event_it_is() {
    for case in cases() {
        let events = &case.provider.events;
        // These definitions say that an id counts although anyone can change it, and why.
        if events.retries_change_body || events.identical_content == IdenticalContent::Distinct {
            continue;
        }
        let verifier = case.verifier(&SEED);
        let (delivery, _) = case.signed(&SEED);
        let verified = verify(&verifier, &delivery).unwrap();
        let event = identify(&verified, &case);
        assert_eq!(identify(&verified, &case), event, "{case}");

        for name in case.sample().headers.keys() {
            let mut forged = delivery.clone();
            let value = HeaderValue::from_static("forged");
            forged.headers.insert(name, value);
            forged.caller = [203, 0, 113, 9].into();
            let mut stripped = delivery.clone();
            stripped.headers.remove(name);
            for changed in [forged, stripped] {
                // Refused where the header is signed.
                let Ok(verified) = verify(&verifier, &changed) else {
                    continue;
                };
                let now = identify(&verified, &case);
                assert_eq!(now.signalid, event.signalid, "{case}: {name}");
                assert_eq!(now.content_digest, event.content_digest, "{case}: {name}");
                assert!(now.id == event.id || !now.id_signed, "{case}: {name}");
            }
        }
    }
}

#[test]
fn a_signed_id_is_the_same_event_whenever_it_is_signed() {
    let mut tried = 0;
    for case in cases() {
        let verifier = case.verifier(&SEED);
        let (first, _) = case.signed(&SEED);
        let mut again = case.sample();
        let later = Timestamp::from_second(now().as_second() + 1).unwrap();
        case.sign_at(later, &SEED, &mut again);
        let [first, again] = [&first, &again].map(|delivery| {
            let verified = verify(&verifier, delivery).unwrap();
            identify(&verified, &case)
        });
        if matches!(first.identity, Identity::Id(_)) {
            assert!(first.id_signed, "{case}");
            tried += 1;
            assert_eq!(first.signalid, again.signalid, "{case}");
            assert_eq!(first.identity, again.identity, "{case}");
        }
    }
    assert!(tried >= 3, "only {tried} schemes sign an id");
}
