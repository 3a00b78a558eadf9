use std::fs;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// What the worker in Rust opens with.
#[path = "../../examples/trust/mod.rs"]
#[allow(dead_code, missing_docs, unreachable_pub, reason = "an example's file")]
mod trust;

/// Bob's key of RFC 7518 appendix C.
const P256: &str = r#"{"kty":"EC","crv":"P-256",
    "x":"weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
    "y":"e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck"}"#;
const P256_D: &str = "VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw";

/// Bob's key of RFC 8037 appendix A.6, which is that of RFC 7748 section 6.1.
const X25519: &str = r#"{"kty":"OKP","crv":"X25519","kid":"Bob",
    "x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}"#;
const X25519_D: &str = "XasIfmJKikt54X-Lg4AO5m87sSkmGLb9HC-LJ_-I4Os";

fn recipients() -> [Recipient; 2] {
    [P256, X25519].map(|jwk| Recipient::parse(jwk).unwrap())
}

fn openers() -> trust::Openers {
    let mut keys: Vec<Value> = Vec::new();
    for ((jwk, d), recipient) in [(P256, P256_D), (X25519, X25519_D)]
        .iter()
        .zip(recipients())
    {
        let mut key: Value = serde_json::from_str(jwk).unwrap();
        key["d"] = (*d).into();
        key["kid"] = recipient.key_id().into();
        keys.push(key);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, json!({ "keys": keys }).to_string()).unwrap();
    trust::Openers::read(file.path()).unwrap()
}

fn named(name: &str) -> SignalId {
    SignalId::derive("/tenants/acme/endpoints/x", name.as_bytes())
}

fn open(sealed: &str, signalid: SignalId) -> Result<Vec<u8>, String> {
    let signal = json!({ "sealedfor": "x", "signalid": signalid.to_string(), "data": sealed });
    openers().data(&signal).map_err(|error| error.to_string())
}

fn header(sealed: &str) -> Value {
    let header = sealed.split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

/// RFC 7518 appendix C.
#[test]
fn a_key_is_derived_as_in_the_rfc() {
    let shared = [
        158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49, 110,
        163, 218, 128, 106, 72, 246, 218, 167, 121, 140, 254, 144, 196,
    ];
    let derived = derive(&shared, ("A128GCM", "Alice", "Bob", 128));
    assert_eq!(base64url(&derived[..16]), "VqqN6vgjbSBcIijNcacQGg");
}

/// RFC 7516 appendix A.1, but for its encrypted key.
#[test]
fn a_container_is_written_as_in_the_rfc() {
    let key = [
        177, 161, 244, 128, 84, 143, 225, 115, 63, 180, 3, 255, 107, 154, 212, 246, 138, 7, 110,
        91, 112, 46, 34, 105, 47, 130, 203, 46, 122, 234, 64, 252,
    ];
    let iv = [227, 197, 117, 252, 2, 219, 233, 68, 180, 225, 77, 219];
    let data = b"The true sign of intelligence is not knowledge but imagination.";
    let header = br#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#;
    assert_eq!(
        container(header, &key, iv, data.into()).unwrap(),
        "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ..48V1_ALb6US04U3b.\
         5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6ji\
         SdiwkIr3ajwQzaBtQD_A.XFBoMYUZodetZdvTiFvSkQ"
    );
}

#[test]
fn a_header_says_how_to_open_and_for_which_signal() {
    let [p256, x25519] = recipients();
    let sealed = p256.seal(b"{}".into(), Some("application/json"), named("1"));
    let mut found = header(&sealed.unwrap());
    let epk = found["epk"].take();
    assert_eq!(
        found,
        json!({
            "alg": "ECDH-ES", "enc": "A256GCM", "kid": p256.key_id(), "cty": "application/json",
            "signalid": named("1").to_string(), "epk": null,
        })
    );
    assert_eq!((&epk["kty"], &epk["crv"]), (&json!("EC"), &json!("P-256")));
    let sealed = x25519.seal(b"x".into(), None, named("1")).unwrap();
    let found = header(&sealed);
    assert_eq!(found["kid"], "Bob");
    assert_eq!(found["epk"]["crv"], "X25519");
    assert_eq!(found.get("cty"), None);
}

#[test]
fn no_two_signals_share_a_key() {
    for recipient in recipients() {
        let once = || recipient.seal(b"same".into(), None, named("1")).unwrap();
        let (one, other) = (once(), once());
        assert_ne!(header(&one)["epk"], header(&other)["epk"]);
        assert_ne!(one.split('.').nth(2), other.split('.').nth(2));
    }
}

#[test]
fn what_was_sealed_for_another_signal_is_refused() {
    for recipient in recipients() {
        let sealed = recipient.seal(b"x".into(), None, named("1")).unwrap();
        assert_eq!(open(&sealed, named("1")).unwrap(), b"x");
        let error = open(&sealed, named("2")).unwrap_err();
        assert!(error.contains("another signal"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sealed_opens_to_the_same_bytes_and_grows_within_bounds(
        data in prop::collection::vec(any::<u8>(), 0..5000),
        media_type in prop::option::of("[a-z]{1,127}/[a-z]{1,127}"),
        which in 0..2usize,
    ) {
        let recipient = &recipients()[which];
        let sealed = recipient.seal(data.clone(), media_type.as_deref(), named("1")).unwrap();
        prop_assert!(sealed.len() <= data.len().div_ceil(3) * 4 + MAX_OVERHEAD);
        prop_assert_eq!(open(&sealed, named("1")).unwrap(), data);
    }

    #[test]
    fn no_character_can_be_changed(
        data in prop::collection::vec(any::<u8>(), 1..60),
        at in any::<prop::sample::Index>(),
        bit in 0..6u8,
        which in 0..2usize,
    ) {
        let sealed = recipients()[which].seal(data, None, named("1")).unwrap();
        let mut changed = sealed.clone().into_bytes();
        let at = at.index(changed.len());
        changed[at] ^= 1 << bit;
        if let Ok(changed) = String::from_utf8(changed) {
            prop_assert!(open(&changed, named("1")).is_err(), "{} opened like {}", changed, sealed);
        }
    }
}

#[test]
fn the_longest_header_is_within_bounds() {
    let jwk = P256.replace(
        '{',
        &format!("{{\"kid\":\"{}\",", "\\\\".repeat(MAX_KEY_ID)),
    );
    let recipient = Recipient::parse(&jwk).unwrap();
    let media_type = format!("{0}/{0}", "x".repeat(127));
    let sealed = recipient.seal(Vec::new(), Some(&media_type), named("1"));
    assert!(sealed.unwrap().len() <= MAX_OVERHEAD);
}

#[test]
fn a_key_without_an_id_is_called_by_its_thumbprint() {
    let [p256, _] = recipients();
    let members = P256.replace(char::is_whitespace, "");
    let ordered = members.replace(r#""kty":"EC","crv":"P-256""#, r#""crv":"P-256","kty":"EC""#);
    assert_eq!(p256.key_id(), thumbprint(&ordered));
}

#[test]
fn a_private_key_is_refused_wherever_it_stands() {
    let private = P256.replace('{', &format!("{{\"d\":\"{P256_D}\","));
    for text in [
        private.clone(),
        format!(r#"{{"keys":[{P256},{private}]}}"#),
        format!(r#"{{"d":"x","keys":[{P256}]}}"#),
        r#"{"kty":"oct","k":"AAAA"}"#.to_owned(),
    ] {
        let error = Recipient::parse(&text).unwrap_err();
        assert_eq!(error, RecipientError::Private);
        assert!(!error.to_string().contains(P256_D));
    }
}

#[test]
fn a_set_says_which_key_is_meant() {
    let enc = |jwk: &str| jwk.replacen('{', r#"{"use":"enc","#, 1);
    let signing = r#"{"kty":"OKP","crv":"Ed25519","use":"sig","x":"AA"}"#;
    let meant = |keys: &[&str]| {
        let set = format!(r#"{{"keys":[{}]}}"#, keys.join(","));
        Recipient::parse(&set).map(|recipient| recipient.curve)
    };
    assert_eq!(meant(&[X25519]), Ok(Curve::X25519));
    assert_eq!(meant(&[signing, &enc(P256), X25519]), Ok(Curve::P256));
    assert_eq!(meant(&[P256, X25519]), Err(RecipientError::Ambiguous(2)));
    assert_eq!(
        meant(&[&enc(P256), signing, &enc(X25519)]),
        Err(RecipientError::Ambiguous(2))
    );
    assert_eq!(meant(&[]), Err(RecipientError::Ambiguous(0)));
}

#[test]
fn what_is_no_usable_key_is_refused_and_says_why() {
    let refused = |text: &str| Recipient::parse(text).unwrap_err();
    let changed = |from: &str, to: &str| {
        assert!(P256.contains(from));
        refused(&P256.replace(from, to))
    };
    assert_eq!(
        refused("-----BEGIN"),
        RecipientError::NotJson { line: 1, column: 2 }
    );
    assert_eq!(refused("[]"), RecipientError::NoJwk);
    assert_eq!(refused(r#"{"keys":{}}"#), RecipientError::NoJwk);
    assert_eq!(refused(r#"{"keys":[1]}"#), RecipientError::NoJwk);
    assert_eq!(refused("{}"), RecipientError::Curve);
    assert_eq!(changed("P-256", "P-384"), RecipientError::Curve);
    assert_eq!(changed("P-256", "X25519"), RecipientError::Curve);
    assert_eq!(changed("\"y\"", "\"z\""), RecipientError::Coordinate("y"));
    assert_eq!(changed("PxMQ", "PxMQ="), RecipientError::Coordinate("x"));
    assert_eq!(changed("PxMQ", "PxMR"), RecipientError::Coordinate("x"));
    assert_eq!(changed("weNJ", "weNK"), RecipientError::Point);
    assert_eq!(changed("{", r#"{"use":"sig","#), RecipientError::Purpose);
    assert_eq!(
        changed("{", r#"{"alg":"ECDH-ES+A256KW","#),
        RecipientError::Purpose
    );
    assert_eq!(changed("{", r#"{"kid":"","#), RecipientError::KeyId);
    assert_eq!(changed("{", r#"{"kid":7,"#), RecipientError::KeyId);
    assert_eq!(changed("{", r#"{"kid":"a b","#), RecipientError::KeyId);
    // RFC 7748 section 6.1: what is agreed with such a point is nothing but zeros.
    let small = r#"{"kty":"OKP","crv":"X25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
    assert_eq!(refused(small), RecipientError::Point);
}
