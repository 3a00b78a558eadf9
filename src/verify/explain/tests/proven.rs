//! Tokens, keys, certificates and neighbours.

use super::*;

fn token() -> Arc<Provider> {
    provider(
        "[[scheme]]\nname = \"t\"\nkind = \"token\"\n\
         token = \"{header:authorization}\"\ntoken_prefix = \"Bearer \"",
    )
}

#[test]
fn a_token_is_compared_with_what_was_sent() {
    let basic = STANDARD.encode(format!("x:{SECRET}"));
    for (sent, words) in [
        ("acorn-secret".to_owned(), "without the word `Bearer`"),
        (
            "Token acorn-secret".to_owned(),
            "behind `Token` instead of `Bearer`",
        ),
        ("Bearer ACORN-secret".to_owned(), "upper and lower case"),
        (
            "Bearer acorn-sec".to_owned(),
            "it is cut, 3 character(s) are missing",
        ),
        (
            "Bearer acorn-secretive".to_owned(),
            "3 character(s) are too many",
        ),
        ("Bearer secret".to_owned(), "the end of the secret"),
        ("Bearer ".to_owned(), "empty"),
        (format!("Basic {basic}"), "user or password of HTTP Basic"),
    ] {
        let sent = delivery("", &[("authorization", sent.trim_end())], BODY);
        has(&told(&SET, &token(), &sent), words);
    }
    let sent = delivery("", &[("x-token", SECRET)], BODY);
    has(
        &told(&SET, &token(), &sent),
        "the secret stands in header x-token",
    );
    let sent = delivery("", &[], format!("{{\"t\":\"{SECRET}\"}}").as_bytes());
    has(
        &told(&SET, &token(), &sent),
        "the secret stands in the body",
    );
    let sent = delivery("", &[("authorization", "Bearer elsewhere")], BODY);
    has(&told(&SET, &token(), &sent), "no near miss fits");
}

#[test]
fn user_and_password_are_compared_one_by_one() {
    let basic = provider("[[scheme]]\nname = \"b\"\nkind = \"basic\"");
    let setup = Setup {
        secrets: &["squirrel:acorn-secret"],
        ..SET
    };
    let encoded = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    for (sent, words) in [
        (
            encoded("squirrel:other"),
            "the user is right, the password is another",
        ),
        (
            encoded("other:acorn-secret"),
            "the password is right, the user is another",
        ),
        (encoded(":acorn-secret"), "without a user"),
        (encoded("squirrel:"), "password that was sent is empty"),
        (encoded("acorn-secret:squirrel"), "in the wrong order"),
        (encoded("squirrel"), "the user alone was sent"),
        ("Basic squirrel:acorn-secret".to_owned(), "not in base64"),
        (
            encoded("squirrel:acorn-secret").replace("Basic", "Bearer"),
            "instead of `Basic`",
        ),
        ("Bearer x".to_owned(), "a token behind the word `Bearer`"),
    ] {
        let sent = delivery("", &[("authorization", &sent)], BODY);
        has(&told(&setup, &basic, &sent), words);
    }
}

#[test]
fn a_json_web_token_is_told_by_its_claims() {
    let jwt = provider(
        "[[scheme]]\nname = \"j\"\nkind = \"jwt\"\ntoken = \"{header:authorization}\"\n\
         token_prefix = \"Bearer \"\n\
         jwt = { algorithms = [\"HS256\"], claims = { aud = \"me\", sha256 = \"{body|sha256}\" } }",
    );
    let sign = |header: &str, claims: &str| {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let input = format!("{}.{}", part(header), part(claims));
        let tag = hmac(Hash::Sha256, SECRET, input.as_bytes());
        format!("Bearer {input}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(BODY));
    let usual = r#"{"alg":"HS256"}"#;
    for (header, claims, words) in [
        (
            usual,
            r#"{"aud":"me","exp":1767607100}"#.to_owned(),
            "expired 100 s ago",
        ),
        (
            usual,
            r#"{"aud":"me","nbf":1767607300}"#.to_owned(),
            "becomes valid in 100 s",
        ),
        (
            usual,
            r#"{"aud":"you"}"#.to_owned(),
            "audience (claim `aud`) is `you`, and must be `me`",
        ),
        (usual, "{}".to_owned(), "has no audience"),
        (
            r#"{"alg":"HS512"}"#,
            "{}".to_owned(),
            "its algorithm is `HS512`, and HS256 is believed",
        ),
    ] {
        let sent = sign(header, &claims);
        let sent = delivery("", &[("authorization", &sent)], BODY);
        has(&told(&SET, &jwt, &sent), words);
    }
    let claims = format!(r#"{{"aud":"me","sha256":"{digest}"}}"#);
    let right = sign(usual, &claims);
    let sent = delivery("", &[("authorization", &right)], &[BODY, b"\n"].concat());
    has(
        &told(&SET, &jwt, &sent),
        "white space was added around the body",
    );
    let cut = delivery("", &[("authorization", &right[..right.len() - 7])], BODY);
    has(&told(&SET, &jwt, &cut), "its signature has 27 bytes");
    let bare = delivery("", &[("authorization", &right[7..])], BODY);
    has(&told(&SET, &jwt, &bare), "without the word `Bearer`");
}

#[test]
fn keys_and_ids_that_are_written_otherwise_are_recognised() {
    let named = provider(
        "[[scheme]]\nname = \"v1\"\nkind = \"hmac\"\nhash = \"sha256\"\nsigned = \"{body}\"\n\
         key = { id = \"{header:acorn-key}\" }\n\
         tag = { from = \"{header:acorn-signature}\", encoding = \"hex\" }",
    );
    let sent = |key: &str| {
        let tag = hex::encode(hmac(Hash::Sha256, key, BODY));
        delivery("", &[("acorn-key", "k1"), ("acorn-signature", &tag)], BODY)
    };
    let look = |secret: &str, sent: &Delivery| {
        told(
            &Setup {
                secrets: &[secret],
                ..SET
            },
            &named,
            sent,
        )
    };
    has(&look("k2:acorn-secret", &sent(SECRET)), "names it `k1`");
    has(&look("acorn-secret:k1", &sent(SECRET)), "KEY:ID");
    has(
        &look("k1:acorn-secret", &sent("k1:acorn-secret")),
        "as the whole `ID:KEY`",
    );
    let unusable = case(&SET, &named, &sent(SECRET), |case| {
        let why = "is not of the form ID:KEY".to_owned();
        explain_unusable(case, &BindError::Secret { index: 0, why })
    });
    assert!(
        unusable.concat().contains("with that id it verifies"),
        "{unusable:?}"
    );
}

#[test]
fn secrets_of_two_places_are_told_apart() {
    let two = provider(
        "[[scheme]]\nname = \"v1\"\nkind = \"hmac\"\nhash = \"sha256\"\nsigned = \"{body}\"\n\
         tag = { from = [\"{header:acorn-first}\", \"{header:acorn-second}\"], encoding = \"hex\", \
         by_secret = true }",
    );
    let tag = |key: &str| hex::encode(hmac(Hash::Sha256, key, BODY));
    let (one, other) = (tag("key-one"), tag("key-two"));
    let sent = delivery("", &[("acorn-first", &one), ("acorn-second", &other)], BODY);
    let swapped = Setup {
        secrets: &["key-two", "key-one"],
        ..SET
    };
    has(&told(&swapped, &two, &sent), "in the wrong order");
    let second = Setup {
        secrets: &["key-two"],
        ..SET
    };
    has(&told(&second, &two, &sent), "that of the second place");
}

#[test]
fn a_public_key_of_another_kind_or_form_is_recognised() {
    let ed25519 = provider(
        "[[scheme]]\nname = \"e\"\nkind = \"ed25519\"\nsigned = \"{body}\"\nkey = { encoding = \"pem\" }\n\
         tag = { from = \"{header:acorn-signature}\", encoding = \"hex\" }",
    );
    let rsa = crate::verify::public_key::vectors::WISE_KEY;
    let zero = "00".repeat(64);
    let sent = delivery("", &[("acorn-signature", &zero)], BODY);
    let setup = Setup {
        secrets: &[rsa],
        ..SET
    };
    has(
        &told(&setup, &ed25519, &sent),
        "the key is one for RSA, and this provider signs with Ed25519",
    );
    for (secret, words) in [
        ("-----BEGIN PRIVATE KEY-----", "it is a private key"),
        ("00ff00ff", "it looks like hex, and PEM is wanted"),
        (
            "MCowBQYDK2VwAyEA",
            "it looks like DER in base64, and PEM is wanted",
        ),
        (
            "\"-----BEGIN PUBLIC KEY-----\"",
            "quotation marks around it",
        ),
    ] {
        let lines = case(
            &Setup {
                secrets: &[secret],
                ..SET
            },
            &ed25519,
            &sent,
            |case| {
                let why = "is not PEM".to_owned();
                explain_unusable(case, &BindError::Secret { index: 0, why })
            },
        );
        assert!(lines.concat().contains(words), "{words}: {lines:?}");
    }
}

#[test]
fn a_neighbour_is_named_by_its_definition() {
    let catalogue = Catalogue::builtin().unwrap();
    let setup = Setup {
        catalogue: Some(&catalogue),
        ..SET
    };
    let tag = format!("sha256={}", hex::encode(hmac(Hash::Sha256, SECRET, BODY)));
    let sent = delivery("", &[("x-hub-signature-256", &tag)], BODY);
    let lines = told(&setup, &timed(), &sent);
    has(&lines, "this delivery is signed as ");
    has(&lines, "`github`");
    let other = provider(
        "[[scheme]]\nname = \"new\"\nkind = \"hmac\"\nhash = \"sha256\"\nsigned = \"{body}\"\n\
         tag = { from = \"{header:acorn-signature}\", encoding = \"hex\" }\n\
         [[scheme]]\nname = \"old\"\nopt_in = true\nkind = \"hmac\"\nhash = \"sha1\"\n\
         signed = \"{body}\"\ntag = { from = \"{header:acorn-sha1}\", encoding = \"hex\" }",
    );
    let tag = hex::encode(hmac(Hash::Sha1, SECRET, BODY));
    let sent = delivery("", &[("acorn-sha1", &tag)], BODY);
    has(&told(&SET, &other, &sent), "pin it with `scheme = \"old\"`");
}

#[test]
fn a_certificate_that_is_not_pinned_is_told_with_its_host() {
    let fetched = provider(
        "[[scheme]]\nname = \"c\"\nkind = \"rsa-pkcs1\"\nhash = \"sha256\"\nsigned = \"{body}\"\n\
         keys = { url = \"{header:acorn-cert}\", hosts = [\"certs.acorn.example\"], path = \"/*.pem\", \
         format = \"x509\" }\ntag = { from = \"{header:acorn-signature}\", encoding = \"base64\" }",
    );
    let headers = [(
        "acorn-cert",
        "https://certs.acorn.example@evil.example/a.pem?x=1",
    )];
    let sent = delivery("", &headers, BODY);
    let none = Setup {
        secrets: &[],
        ..SET
    };
    let look = |rejected: Rejected| case(&none, &fetched, &sent, |case| explain(case, &rejected));
    let why = "the address of the key is refused: the host is none that the definition pins";
    has(
        &look(Rejected::SignatureMalformed(why.into())),
        "host `evil.example`",
    );
    for (why, words) in [
        (
            "certificate is valid from 1 to 2, but now is 3",
            "expired or is not valid yet",
        ),
        (
            "certificate does not chain to a trusted root",
            "self-signed",
        ),
        (
            "certificate is for \"x\", which is none of the names asked for",
            "another subject",
        ),
        ("no key was fetched", "--keys FILE"),
    ] {
        has(&look(Rejected::KeyUnavailable(why.into())), words);
    }
}

#[test]
fn the_number_of_guesses_is_bounded_for_a_large_body() {
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    let sent = acorn(b"something else", body.as_bytes(), TIME, v1);
    case(&SET, &timed(), &sent, |case| {
        let binding = Binding {
            scheme: None,
            secrets: case.secrets,
            params: case.params,
            param_secrets: case.param_secrets,
            tolerance: None,
            phase: Phase::Armed,
        };
        let verifier = case.provider.verifier(&binding).unwrap();
        let ground = Ground::new(case, &verifier).unwrap();
        let lines = causes(&ground, &Rejected::SignatureMismatch { secrets: 1 });
        assert!(lines.concat().contains("no near miss fits"), "{lines:?}");
        assert!(ground.tried() <= 401, "{}", ground.tried());
    });
}
