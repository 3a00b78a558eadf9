use super::*;

/// The key pair of RFC 8037 appendix A.1, as PKCS #8 (RFC 8410): what comes before the key is the same for all.
const SEED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const THUMBPRINT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

fn pem(label: &str, before: &str, key: &str) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let key = crate::jose::bytes32(key).unwrap();
    let der = [&hex::decode(before).unwrap()[..], &key].concat();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

fn private() -> String {
    pem("PRIVATE KEY", "302e020100300506032b657004220420", SEED)
}

fn public() -> String {
    pem("PUBLIC KEY", "302a300506032b6570032100", PUBLIC)
}

#[test]
fn a_key_has_the_thumbprint_of_the_rfc() {
    assert_eq!(Signer::from_pem(&private()).unwrap().key_id(), THUMBPRINT);
    assert_eq!(Announced::from_pem(&public()).unwrap().key_id, THUMBPRINT);
}

/// RFC 8037 appendix A.4, whose payload is encoded.
#[test]
fn the_pair_signs_as_in_the_rfc() {
    let signer = Signer::from_pem(&private()).unwrap();
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_eq!(
        base64url(signer.key.sign(signed.as_bytes()).to_bytes()),
        signature
    );
}

#[test]
fn a_signature_is_detached_and_over_the_bytes_as_they_are() {
    let signer = Signer::from_pem(&private()).unwrap();
    let token = signer.sign(b"{\"a\": 1}");
    let (protected, signature) = token.split_once("..").unwrap();
    use base64::Engine;
    let url = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    assert_eq!(
        url.decode(protected).unwrap(),
        format!(r#"{{"alg":"EdDSA","b64":false,"crit":["b64"],"kid":"{THUMBPRINT}"}}"#).as_bytes()
    );
    let key = PublicKey::from_pem(&public()).unwrap();
    let verifies = |body: &str| {
        let signed = format!("{protected}.{body}");
        let algorithm = crate::verify::public_key::Algorithm::Ed25519;
        key.verify(
            algorithm,
            signed.as_bytes(),
            &url.decode(signature).unwrap(),
        )
    };
    assert!(verifies("{\"a\": 1}"));
    assert!(!verifies("{\"a\":1}"));
}

#[test]
fn every_key_is_announced_once_and_the_one_that_signs_comes_first() {
    let other = pem(
        "PUBLIC KEY",
        "302a300506032b6570032100",
        // RFC 8032 section 7.1, test 2.
        "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw",
    );
    let keys = Keys {
        signer: Signer::from_pem(&private()).ok(),
        announced: [&other, &public()]
            .map(|text| Announced::from_pem(text).unwrap())
            .into(),
    };
    let set: Value = serde_json::from_str(&keys.jwk_set()).unwrap();
    assert_eq!(set["keys"].as_array().unwrap().len(), 2);
    let golden = json!({
        "kty": "OKP", "crv": "Ed25519", "x": PUBLIC, "kid": THUMBPRINT, "use": "sig", "alg": "EdDSA",
    });
    assert_eq!(set["keys"][0], golden);
    assert_eq!(
        Keys::default().jwk_set().replace(char::is_whitespace, ""),
        "{\"keys\":[]}"
    );
}

#[test]
fn a_key_of_the_wrong_kind_is_refused_and_not_repeated() {
    assert_eq!(
        Announced::from_pem(&private()),
        Err(SigningKeyError::Private)
    );
    for text in ["", "s3cr3t", &public(), &private().replace("MC4C", "MC5C")] {
        assert_eq!(
            Signer::from_pem(text).unwrap_err(),
            SigningKeyError::NotPrivate,
            "{text}"
        );
    }
    for text in ["", "s3cr3t", &public().replace("MCow", "MCox")] {
        assert_eq!(
            Announced::from_pem(text),
            Err(SigningKeyError::NotPublic),
            "{text}"
        );
    }
    let shown = format!("{:?}", Signer::from_pem(&private()).unwrap());
    assert_eq!(shown, format!("Signer {{ key_id: {THUMBPRINT:?}, .. }}"));
}

#[test]
fn a_reload_changes_the_key_for_whoever_holds_the_first() {
    let first = Provenance::default();
    let held = first.clone();
    let signing = || {
        Provenance::new(Keys {
            signer: Signer::from_pem(&private()).ok(),
            announced: Vec::new(),
        })
    };
    assert_eq!(first.follow(&signing()).as_deref(), Some(THUMBPRINT));
    assert_eq!(held.keys().signer.as_ref().unwrap().key_id(), THUMBPRINT);
    assert_eq!(first.follow(&signing()), None);
    assert_eq!(first.follow(&Provenance::default()).as_deref(), Some(""));
    assert!(held.keys().signer.is_none());
}
