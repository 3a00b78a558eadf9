use super::*;
use crate::verify::public_key::vectors::*;
use crate::verify::public_key::{KeyFormat, Trust};

const NOW: i64 = 1_700_000_010;

fn keys(jwks: &str) -> KeySet {
    KeySet::parse(KeyFormat::Jwks, jwks.as_bytes(), None, &Trust::default(), 0).unwrap()
}

fn encode(header: &str, claims: &str) -> String {
    let (header, claims) = (
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims),
    );
    format!("{header}.{claims}.c2ln")
}

fn fault(header: &str, claims: &str) -> JwsFault {
    parse(&encode(header, claims)).unwrap_err()
}

/// Changes the first character of a token's part, so that it stays base64url.
fn altered(token: &str, part: usize) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let first = if parts[part].starts_with('A') {
        "B"
    } else {
        "A"
    };
    parts[part].replace_range(0..1, first);
    parts.join(".")
}

#[test]
fn a_token_verifies_under_the_keys_and_the_algorithm_it_was_made_with() {
    use JwsAlgorithm::{ES256, ES384, EdDSA, PS256, RS256};
    for (token, jwks, algorithm, kid) in [
        (
            PLAID_TOKEN,
            PLAID_JWKS,
            ES256,
            "6c5516e1-92dc-479e-a8ff-5a51992e0001",
        ),
        (PUBSUB_TOKEN, PUBSUB_JWKS, RS256, "key-2"),
        (EDDSA_TOKEN, MIXED_JWKS, EdDSA, "ed"),
        (ES384_TOKEN, MIXED_JWKS, ES384, "p384"),
        (PS256_TOKEN, MIXED_JWKS, PS256, "rsa"),
    ] {
        let set = keys(jwks);
        let jws = parse(token).unwrap();
        assert_eq!((jws.alg(), jws.kid()), (algorithm.name(), Some(kid)));
        for other in JwsAlgorithm::ALL {
            let verified = jws.verify_with(other, &set, NOW);
            assert_eq!(verified, other == algorithm, "{algorithm:?} as {other:?}");
        }
        let other = if jwks == PUBSUB_JWKS {
            MIXED_JWKS
        } else {
            PUBSUB_JWKS
        };
        assert!(!jws.verify_with(algorithm, &keys(other), NOW));
        let signature = altered(token, 2);
        let jws = parse(&signature).unwrap();
        assert!(!jws.verify_with(algorithm, &set, NOW));
    }
}

#[test]
fn what_was_altered_does_not_verify() {
    let set = keys(PUBSUB_JWKS);
    let (input, signature) = PUBSUB_TOKEN.rsplit_once('.').unwrap();
    let (header, _) = input.split_once('.').unwrap();
    let claims = URL_SAFE_NO_PAD.encode("{}");
    for token in [
        format!("{header}.{claims}.{signature}"),
        // Still four characters to three bytes.
        format!("{input}.{}", &signature[..signature.len() - 6]),
        format!("{input}.{signature}AAAA"),
    ] {
        let verified =
            parse(&token).is_ok_and(|jws| jws.verify_with(JwsAlgorithm::RS256, &set, NOW));
        assert!(!verified, "{token}");
    }
}

#[test]
fn the_key_counts_by_its_id_its_algorithm_and_its_dates() {
    let jws = parse(PUBSUB_TOKEN).unwrap();
    let verifies = |jwks: &str| jws.verify_with(JwsAlgorithm::RS256, &keys(jwks), NOW);
    assert!(verifies(PUBSUB_JWKS));
    // Another key's id, though the key is right.
    let swapped = PUBSUB_JWKS.replace("key-2", "key-3");
    assert!(!verifies(&swapped));
    // Keys without ids are all tried.
    let nameless = PUBSUB_JWKS.replace("\"kid\"", "\"name\"");
    assert!(verifies(&nameless));
    let other = PUBSUB_JWKS.replace("RS256", "RS512");
    assert!(!verifies(&other));
    let any = PUBSUB_JWKS.replace("\"alg\"", "\"made_for\"");
    assert!(verifies(&any));

    let certificate = KeySet::parse(
        KeyFormat::X509,
        SNS_CERTIFICATE.as_bytes(),
        None,
        &Trust::default(),
        NOW,
    );
    let certificate = certificate.unwrap();
    assert!(!jws.verify_with(JwsAlgorithm::RS256, &certificate, NOW));
}

#[test]
fn a_token_without_a_kid_is_tried_with_every_key() {
    let set = keys(MIXED_JWKS);
    let jws = Jws {
        kid: None,
        ..parse(EDDSA_TOKEN).unwrap()
    };
    assert!(jws.verify_with(JwsAlgorithm::EdDSA, &set, NOW));
    let other = Jws {
        kid: Some("rsa".to_owned()),
        ..jws
    };
    assert!(!other.verify_with(JwsAlgorithm::EdDSA, &set, NOW));
}

#[test]
fn a_token_without_an_algorithm_proves_nothing() {
    let claims = "{}";
    let token = encode(r#"{"alg":"none"}"#, claims);
    let jws = parse(&token).unwrap();
    for algorithm in JwsAlgorithm::ALL {
        assert!(!jws.verify_with(algorithm, &keys(MIXED_JWKS), NOW));
        assert_eq!(JwsAlgorithm::named(algorithm.name()), Some(algorithm));
        let name = algorithm.name().into();
        assert_eq!(
            serde_json::from_value::<JwsAlgorithm>(name).unwrap(),
            algorithm
        );
        assert!(algorithm.hash().is_some() != algorithm.public_key().is_some());
    }
    for name in ["none", "None", "", "rs256", "RS1", "ES512"] {
        assert_eq!(JwsAlgorithm::named(name), None);
    }
    let unsigned = token.trim_end_matches("c2ln");
    assert!(matches!(parse(unsigned), Err(JwsFault::Unsigned)));
}

#[test]
fn a_token_has_exactly_three_parts_of_strict_base64url() {
    assert!(parse(PUBSUB_TOKEN).is_ok());
    let (two, signature) = PUBSUB_TOKEN.rsplit_once('.').unwrap();
    for token in [
        "",
        ".",
        "..",
        "...",
        two,
        &format!("{PUBSUB_TOKEN}."),
        &format!(".{PUBSUB_TOKEN}"),
        &format!("{PUBSUB_TOKEN}.{signature}.{signature}"),
        &format!("{PUBSUB_TOKEN}=="),
        &format!("{PUBSUB_TOKEN}\n"),
        &format!(" {PUBSUB_TOKEN}"),
        &PUBSUB_TOKEN.replace('_', "/"),
        &PUBSUB_TOKEN.replace('-', "+"),
        // Two spellings of one signature would be two tokens.
        &format!("{two}.c2lnZb"),
    ] {
        assert!(parse(token).is_err(), "{token:?}");
    }
    let padding = "a".repeat(MAX_TOKEN);
    let long = format!("{PUBSUB_TOKEN}{padding}");
    assert!(matches!(parse(&long), Err(JwsFault::TooLong)));
}

#[test]
fn a_header_and_claims_are_objects_without_repeats() {
    let header = r#"{"alg":"RS256"}"#;
    assert!(parse(&encode(header, r#"{"a":{"x":1},"b":{"x":1}}"#)).is_ok());
    for text in ["", "[]", "1", "{", "{}{}", "\u{feff}{}", r#"{"a":1,}"#] {
        assert!(parse(&encode(text, "{}")).is_err(), "{text}");
        assert!(parse(&encode(header, text)).is_err(), "{text}");
    }
    for twice in [
        r#"{"alg":"RS256","alg":"HS256"}"#,
        r#"{"alg":"RS256","\u0061lg":"HS256"}"#,
        r#"{"alg":"RS256","x":[{"a":1,"b":2,"a":1}]}"#,
    ] {
        let header_fault = fault(twice, "{}");
        assert!(matches!(header_fault, JwsFault::Repeated(Part::Header)));
        let claims_fault = fault(header, twice);
        assert!(matches!(claims_fault, JwsFault::Repeated(Part::Claims)));
    }
}

#[test]
fn a_header_names_an_algorithm_and_demands_nothing() {
    for header in ["{}", r#"{"alg":null}"#, r#"{"alg":1}"#] {
        assert!(matches!(fault(header, "{}"), JwsFault::NoAlgorithm));
    }
    for crit in ["[]", "null", r#"["exp"]"#] {
        let header = format!(r#"{{"alg":"RS256","crit":{crit}}}"#);
        assert!(matches!(fault(&header, "{}"), JwsFault::Critical));
    }
    let header = r#"{"alg":"RS256","kid":1}"#;
    assert!(matches!(fault(header, "{}"), JwsFault::KeyId));
}

#[test]
fn a_claim_is_text_as_it_was_written() {
    let claims = r#"{"s":"a\u0062","n":12345678901234567890.10,"t":true,"z":null,"o":{"s":"x"},
        "l":["a",1.0,false,null,["b"],{"c":"d"}],"a/b~c":"e","":"f","\u006b":"g"}"#;
    let token = encode(r#"{"alg":"RS256"}"#, claims);
    let jws = parse(&token).unwrap();
    for (name, texts) in [
        ("s", &["ab"][..]),
        ("n", &["12345678901234567890.10"]),
        ("t", &["true"]),
        ("z", &[]),
        ("o", &[]),
        ("l", &["a", "1.0", "false"]),
        ("a/b~c", &["e"]),
        ("", &["f"]),
        ("k", &["g"]),
        ("missing", &[]),
    ] {
        assert_eq!(jws.claim_texts(name), texts, "{name}");
    }
    assert_eq!(jws.claims().len(), 9);
    assert_eq!(jws.signature(), b"sig");
    let (input, _) = token.rsplit_once('.').unwrap();
    assert_eq!(jws.signing_input(), input.as_bytes());
}

#[test]
fn a_token_is_valid_from_nbf_until_just_before_exp() {
    let check = |claims: &str, now, leeway| {
        let token = encode(r#"{"alg":"RS256"}"#, claims);
        parse(&token).unwrap().check_times(now, leeway)
    };
    assert!(check("{}", NOW, 0).is_ok());
    let exp = r#"{"exp":1000}"#;
    assert!(check(exp, 999, 0).is_ok());
    assert!(matches!(check(exp, 1000, 0), Err(JwsFault::Expired)));
    assert!(check(exp, 1059, 60).is_ok());
    assert!(matches!(check(exp, 1060, 60), Err(JwsFault::Expired)));
    let nbf = r#"{"nbf":1000}"#;
    assert!(check(nbf, 1000, 0).is_ok());
    assert!(matches!(check(nbf, 999, 0), Err(JwsFault::NotYetValid)));
    assert!(check(nbf, 940, 60).is_ok());
    assert!(matches!(check(nbf, 939, 60), Err(JwsFault::NotYetValid)));
    assert!(check(r#"{"exp":1000.5,"nbf":999.5}"#, 1000, 0).is_ok());
    assert!(check(r#"{"exp":1000.5}"#, 1001, 0).is_err());
    assert!(check(r#"{"nbf":1000.5}"#, 1000, 0).is_err());
    assert!(check(r#"{"exp":-1}"#, 0, 0).is_err());
    assert!(check(r#"{"exp":1e300}"#, i64::MAX, 0).is_ok());
    for value in [r#""1000""#, "null", "[1000]", "true", "{}"] {
        for name in ["exp", "nbf"] {
            let claims = format!(r#"{{"{name}":{value}}}"#);
            let fault = check(&claims, 0, 0);
            assert!(matches!(fault, Err(JwsFault::NotATime(it)) if it == name));
        }
    }
    // A number that no `f64` holds is refused with the token.
    assert!(parse(&encode(r#"{"alg":"RS256"}"#, r#"{"exp":1e999}"#)).is_err());
}
