//! What holds for every way of signing in the catalogue, and for whatever is sent.
//!
//! No servers: definitions and the steps `verify` and `identify` alone. What can be tried out
//! completely (every bit of a sample) is; the rest is left to chance.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod anything;
mod cases;
mod challenges;
mod covered;
mod pieces;
mod samples;
mod seeds;
mod settings;

use hookgate::clock::Timestamp;
use hookgate::delivery::Delivery;
use hookgate::identify::Event;
use hookgate::outcome::Rejected;
use hookgate::provider::definition::IdenticalContent;
use hookgate::signal::Identity;
use hookgate::verify::Verified;
use hookgate::verify::public_key::Algorithm;
use hookgate::verify::scheme::{Carrier, Place, Proof};
use hookgate::verify::tag::{Encoding, Layout};
use http::HeaderValue;

use cases::{Case, Endpoint, SEED, Seed, cases, now};
use pieces::{Piece, bits, flip, length, proof, proves, repeatable, replace, same};

const SOURCE: &str = "/tenants/acme/endpoints/in";

/// A key that nobody configured.
const STRANGER: Seed = [0xa5; 32];

/// Schemes that apply only where they are pinned, since another takes every secret.
const PINNED: &[&str] = &["auth0/basic"];

/// What can be signed only by those who hold a private key, however much else is configured.
const NOT_SIGNED: &[&str] = &[
    "alertmanager/oauth2",
    "aws-sns/signature",
    "azure-event-grid/jwt",
    "datadog/oauth2",
    "google-health/tink-ecdsa",
    "google-pubsub-push/jwt",
    "microsoft-graph/validationTokens",
    "paypal/certificate",
    "plaid/jwt",
    "sendgrid/ecdsa",
    "travis-ci/signature",
    "wise/signature",
];

fn refuses(endpoint: &Endpoint, delivery: &Delivery, why: &str) {
    if let Ok(verified) = endpoint.verify(delivery) {
        let provider = &endpoint.verifier.provider().name;
        panic!(
            "{provider}/{} verifies a delivery with {why}",
            verified.scheme()
        );
    }
}

fn identify(verified: &Verified<'_>, case: &Case) -> Event {
    let events = &case.provider.events;
    let events = events.identify(verified, SOURCE, None, "once");
    events.unwrap().remove(0)
}

/// Returns the cases whose proof a key of this seed and no other makes.
fn proved() -> impl Iterator<Item = Case> {
    cases().into_iter().filter(|case| proves(&case.scheme))
}

#[test]
fn every_scheme_of_every_definition_is_tried() {
    let cases = cases();
    let catalogue = hookgate::provider::Catalogue::builtin().unwrap();
    for provider in catalogue.iter() {
        for name in provider.scheme_names() {
            let tried =
                |case: &&Case| case.provider.name == provider.name && case.scheme.name == name;
            assert!(
                cases.iter().any(|case| tried(&case)),
                "{}/{name}",
                provider.name
            );
        }
    }
    assert!(cases.len() >= 187, "only {} schemes", cases.len());
}

#[test]
fn what_shares_a_secret_can_be_signed_and_nothing_else() {
    let (mut unsigned, mut broken) = (Vec::new(), Vec::new());
    for case in cases() {
        let mut delivery = case.sample();
        let name = Some(case.scheme.name.as_str());
        let secret = case.keys(&SEED).signing;
        if let Err(why) = case.provider.sign(name, &secret, &mut delivery, now()) {
            let public = case.scheme.keys.is_some()
                || matches!(case.scheme.proof, Proof::PublicKey { algorithm, .. } if algorithm != Algorithm::Ed25519);
            if !public {
                broken.push(format!("{case}: {why}"));
            }
            unsigned.push(format!("{}/{}", case.provider.name, case.scheme.name));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    unsigned.dedup();
    assert_eq!(unsigned, NOT_SIGNED);
}

#[test]
fn a_delivery_that_its_provider_signed_verifies() {
    let mut broken = Vec::new();
    for case in cases() {
        let mut delivery = case.sample();
        if let Err(why) = case.try_sign(now(), &SEED, &mut delivery) {
            broken.push(format!("{case}: {why}"));
            continue;
        }
        if proves(&case.scheme) && proof(&case, &delivery).is_empty() {
            broken.push(format!("{case} adds no proof"));
        }
        let usual = !case.scheme.opt_in && !PINNED.contains(&case.to_string().as_str());
        let unpinned = case.unpinned(&SEED).filter(|_| usual);
        // Where the secret does not tell the scheme, one must be pinned.
        for endpoint in [Some(case.pinned(&SEED)), unpinned].into_iter().flatten() {
            match endpoint.verify(&delivery) {
                Ok(verified) => {
                    assert_eq!(verified.scheme(), case.scheme.name, "{case}");
                    assert_eq!(verified.assurance(), case.scheme.assurance(), "{case}");
                }
                Err(rejected) => broken.push(format!("{case}: {rejected}")),
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_changed_bit_of_a_tag_timestamp_or_token_goes_unnoticed() {
    for case in proved() {
        let endpoint = case.pinned(&SEED);
        let delivery = case.signed(&SEED);
        for piece in proof(&case, &delivery) {
            for bit in bits(length(&piece, &delivery)) {
                let Some(changed) = flip(&piece, bit, &delivery) else {
                    continue;
                };
                if !same(&case.scheme, &changed, &delivery) {
                    refuses(
                        &endpoint,
                        &changed,
                        &format!("bit {bit} of {piece:?} changed"),
                    );
                }
            }
        }
    }
}

#[test]
fn no_changed_bit_of_the_secret_goes_unnoticed() {
    for case in proved() {
        let delivery = case.signed(&SEED);
        // Settings are filled in anew for every endpoint, and keys of some kinds are slow to make.
        let few = !case.params.is_empty() || case.scheme.keys.is_some();
        let step = match &case.scheme.proof {
            Proof::PublicKey { algorithm, .. } if *algorithm != Algorithm::Ed25519 => 128,
            _ if few => 17,
            _ => 1,
        };
        for bit in (0..SEED.len() * 8).step_by(step) {
            let mut seed = SEED;
            seed[bit / 8] ^= 1 << (bit % 8);
            let why = format!("bit {bit} of the secret changed");
            refuses(&case.pinned(&seed), &delivery, &why);
        }
    }
}

#[test]
fn a_proof_that_is_missing_empty_or_there_twice_is_refused() {
    for case in proved() {
        let endpoint = case.pinned(&SEED);
        let delivery = case.signed(&SEED);
        for piece in proof(&case, &delivery) {
            refuses(
                &endpoint,
                &replace(&piece, "", &delivery),
                &format!("{piece:?} empty"),
            );
            let (without, twice) = match &piece {
                Piece::Header(name) => {
                    let (mut without, mut twice) = (delivery.clone(), delivery.clone());
                    without.headers.remove(name);
                    let reason = endpoint.verify(&without).unwrap_err().reason();
                    let missing = ["signature_missing", "timestamp_missing"];
                    assert!(missing.contains(&reason), "{case} without {name}: {reason}");
                    let value = delivery.headers[name].clone();
                    twice.headers.append(name, value);
                    (without, (!repeatable(&case.scheme)).then_some(twice))
                }
                Piece::Url(range) => {
                    let (mut without, mut twice) = (delivery.clone(), delivery.clone());
                    without.url.truncate(range.start - 1);
                    twice.url.push('&');
                    twice.url.push_str(&delivery.url[range.clone()]);
                    (without, Some(twice))
                }
                Piece::Body(range) => {
                    let (without, twice) = around_member(&delivery, range.start, range.end);
                    (without, twice)
                }
            };
            refuses(&endpoint, &without, &format!("no {piece:?}"));
            if let Some(twice) = twice {
                refuses(&endpoint, &twice, &format!("{piece:?} twice"));
            }
        }
    }
}

/// Takes the member around a value out of a body, and writes it twice.
fn around_member(delivery: &Delivery, begins: usize, ends: usize) -> (Delivery, Option<Delivery>) {
    let text = std::str::from_utf8(&delivery.body).unwrap();
    let (open, close) = match delivery.media_type().ends_with("urlencoded") {
        true => {
            let open = text[..begins].rfind('&').map_or(0, |at| at + 1);
            (
                open,
                text[ends..].find('&').map_or(text.len(), |at| ends + at),
            )
        }
        false => {
            let colon = text[..begins].trim_end_matches(['"', ' ']).len();
            let open = text[..colon - 2].rfind('"').unwrap();
            let quoted = usize::from(text[ends..].starts_with('"'));
            (open, ends + quoted)
        }
    };
    let json = text.starts_with(['{', '[', '-']);
    let member = &text[open..close];
    let with = |member: &str| Delivery {
        body: format!("{}{member}{}", &text[..open], &text[close..]).into(),
        ..delivery.clone()
    };
    // Of a member of an object that is repeated the last one counts, as for most who read JSON.
    let (renamed, twice) = match json {
        true => {
            let wrong = format!("{}0{}", &text[open..begins], &text[ends..close]);
            (member.replacen('"', "\"x", 1), format!("{member},{wrong}"))
        }
        false => (format!("x{member}"), format!("{member}&{member}")),
    };
    // An element of an array has no name.
    let named = member.contains([':', '=']);
    (
        with(if named { &renamed } else { "" }),
        named.then(|| with(&twice)),
    )
}

#[test]
fn a_tag_has_one_form_and_no_other() {
    let mut tried = 0;
    for case in proved() {
        let Some(carrier) = one_tag(&case) else {
            continue;
        };
        tried += 1;
        let endpoint = case.pinned(&SEED);
        let delivery = case.signed(&SEED);
        let names = case.proof_headers(&delivery);
        let verifies_with = |change: &dyn Fn(&str) -> String| {
            let mut changed = delivery.clone();
            for name in &names {
                let value = delivery.headers[name].to_str().unwrap();
                let value = HeaderValue::from_str(&change(value)).unwrap();
                changed.headers.insert(name, value);
            }
            endpoint.verify(&changed).is_ok()
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
    assert!(tried >= 75, "only {tried} schemes");
}

/// Returns where the tag stands if that is one header, white space in it counts, and the length of the
/// tag is always the same.
fn one_tag(case: &Case) -> Option<&Carrier> {
    let carrier = case.scheme.carrier()?;
    let trims = match &carrier.layout {
        Layout::Plain { .. } => false,
        Layout::Pairs {
            trim, separator, ..
        } => {
            *trim
                || (separator.contains(' ') && case.scheme.timestamp.is_none())
                || separator == ", "
        }
        Layout::List { trim, .. } => *trim,
    };
    let elsewhere = |one: &Place| !matches!(one, Place::Piece(_));
    let varies = matches!(&case.scheme.proof, Proof::PublicKey { algorithm, .. } if *algorithm == Algorithm::EcdsaP256Der);
    let in_header = proof(case, &case.signed(&SEED))
        .iter()
        .all(|piece| matches!(piece, Piece::Header(_)));
    (!trims && !varies && in_header && !carrier.from.iter().any(elsewhere)).then_some(carrier)
}

#[test]
fn each_of_several_secrets_verifies_and_no_other() {
    for case in proved().filter(|case| case.scheme.keys.is_none()) {
        let [old, new] = [SEED, [7; 32]].map(|seed| case.keys(&seed).configured.unwrap());
        let endpoint = Endpoint {
            verifier: case.bind(&[&old, &new]).unwrap(),
            published: None,
        };
        // Where the place tells the secret, a stand-in cannot sign with the second.
        let by_place = case
            .scheme
            .carrier()
            .is_some_and(|carrier| carrier.by_secret);
        for seed in if by_place {
            &[SEED][..]
        } else {
            &[SEED, [7; 32]]
        } {
            assert!(endpoint.verify(&case.signed(seed)).is_ok(), "{case}");
        }
        // There are only two RSA keys, and both are configured.
        if !case.is_rsa() {
            refuses(&endpoint, &case.signed(&STRANGER), "a stranger's key");
        }
    }
}

#[test]
fn no_definition_binds_an_empty_or_blank_secret() {
    for case in proved().filter(|case| case.scheme.needs_secrets()) {
        let secret = case.keys(&SEED).configured.unwrap();
        let mut blanks = ["", " ", "\n", "\t \r\n", "\u{a0}", "\u{3000}", ":", " : "]
            .map(str::to_owned)
            .to_vec();
        let mut prefixes = case.scheme.for_secrets.clone();
        if let Proof::Hmac { key, .. }
        | Proof::KeyedHash { key, .. }
        | Proof::PublicKey { key, .. } = &case.scheme.proof
        {
            prefixes.extend(key.strip.iter().cloned());
            prefixes.extend(key.named.then(|| "a-key:".to_owned()));
        }
        for prefix in &prefixes {
            blanks.extend([prefix.clone(), format!("{prefix} "), format!("{prefix}\n")]);
        }
        // A token may well be a colon.
        if matches!(
            &case.scheme.proof,
            Proof::Token(_) | Proof::ClientCertificate(_)
        ) || case.scheme.carrier().is_some()
            || matches!(&case.scheme.proof, Proof::Jwt(_))
        {
            blanks.retain(|blank| blank.trim() != ":");
        }
        for blank in &blanks {
            for secrets in [&[blank.as_str()][..], &[&secret, blank], &[blank, &secret]] {
                assert!(case.bind(secrets).is_err(), "{case} binds {blank:?}");
                // As a key of another scheme a colon is bad, and no mistake.
                let unpinned = case.bind_scheme(None, secrets);
                assert!(
                    blank.trim() == ":" || unpinned.is_err(),
                    "{} binds {blank:?}",
                    case.provider.name
                );
            }
        }
        assert!(case.bind(&[]).is_err(), "{case} binds no secret");
    }
}

#[test]
fn a_delivery_is_refused_outside_its_tolerance_and_taken_within() {
    for case in proved() {
        let endpoint = case.pinned(&SEED);
        let rule = case.scheme.timestamp.as_ref();
        let Some(tolerance) = rule.and_then(|rule| rule.tolerance) else {
            continue;
        };
        // A token has times of its own, and expires earlier.
        if matches!(case.scheme.proof, Proof::Jwt(_)) {
            continue;
        }
        let tolerance = i64::try_from(tolerance.as_secs()).unwrap();
        let delivery = case.signed(&SEED);
        let at = |seconds: i64| {
            let clock = Timestamp::from_second(now().as_second() + seconds);
            endpoint.verify_at(&delivery, clock.unwrap()).map(|_| ())
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
fn a_token_is_refused_before_it_begins_and_from_when_it_has_expired() {
    for case in proved() {
        let Proof::Jwt(rule) = &case.scheme.proof else {
            continue;
        };
        let endpoint = case.pinned(&SEED);
        let delivery = case.signed(&SEED);
        let at = |seconds: i64| {
            let clock = Timestamp::from_second(now().as_second() + seconds);
            endpoint.verify_at(&delivery, clock.unwrap()).map(|_| ())
        };
        let (begins, ends) = (-rule.leeway, 60 + rule.leeway);
        assert!(at(begins).is_ok() && at(ends - 1).is_ok(), "{case}");
        assert!(at(begins - 1).is_err(), "{case}");
        assert!(at(ends).is_err(), "{case}");
    }
}

#[test]
fn what_must_be_asked_for_by_name_is_refused_unasked() {
    let mut tried = 0;
    for case in cases().into_iter().filter(|case| case.scheme.opt_in) {
        let delivery = case.signed(&SEED);
        let mut secrets: Vec<String> = case.keys(&SEED).configured.into_iter().collect();
        // An endpoint of the other schemes, with a secret that they take.
        let others = cases()
            .into_iter()
            .filter(|one| one.provider.name == case.provider.name);
        secrets.extend(others.filter_map(|one| one.keys(&SEED).configured));
        for secret in &secrets {
            let Ok(verifier) = case.bind_scheme(None, &[secret]) else {
                continue;
            };
            tried += 1;
            let published = case.published(&SEED);
            let endpoint = Endpoint {
                verifier,
                published,
            };
            refuses(&endpoint, &delivery, &format!("the proof of {case} alone"));
        }
    }
    assert!(tried >= 20, "only {tried} endpoints");
}

#[test]
fn nothing_that_is_left_out_makes_another_scheme_apply() {
    for case in proved() {
        let delivery = case.signed(&SEED);
        for endpoint in [Some(case.pinned(&SEED)), case.unpinned(&SEED)]
            .into_iter()
            .flatten()
        {
            for name in delivery.headers.keys() {
                let mut without = delivery.clone();
                without.headers.remove(name);
                if let Ok(verified) = endpoint.verify(&without) {
                    assert_eq!(verified.scheme(), case.scheme.name, "{case} without {name}");
                }
            }
            let mut without = delivery.clone();
            without.url.truncate(cases::URL.len());
            if let Ok(verified) = endpoint.verify(&without) {
                assert_eq!(
                    verified.scheme(),
                    case.scheme.name,
                    "{case} without its query"
                );
            }
        }
    }
}

#[test]
fn what_is_not_signed_does_not_change_which_event_it_is() {
    for case in proved() {
        let events = &case.provider.events;
        // These definitions say that an id counts although anyone can change it, and why.
        if events.retries_change_body || events.identical_content == IdenticalContent::Distinct {
            continue;
        }
        let endpoint = case.pinned(&SEED);
        let delivery = case.signed(&SEED);
        let verified = endpoint.verify(&delivery).unwrap();
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
                let Ok(verified) = endpoint.verify(&changed) else {
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
    for case in proved().filter(|case| !case.is_recorded()) {
        let endpoint = case.pinned(&SEED);
        let first = case.signed(&SEED);
        let mut again = case.sample();
        let later = Timestamp::from_second(now().as_second() + 1).unwrap();
        case.try_sign(later, &SEED, &mut again).unwrap();
        let [first, again] = [&first, &again].map(|delivery| {
            let verified = endpoint.verify_at(delivery, later).unwrap();
            identify(&verified, &case)
        });
        // The time of signing is part of what this vendor's events are told apart by.
        if &*case.provider.name == "plaid" {
            continue;
        }
        // A definition can say that an unsigned id counts.
        if matches!(first.identity, Identity::Id(_)) && first.id_signed {
            tried += 1;
            assert_eq!(first.signalid, again.signalid, "{case}");
            assert_eq!(first.identity, again.identity, "{case}");
        }
    }
    assert!(tried >= 50, "only {tried} schemes sign an id");
}
