use super::*;

/// `{"alg":"HS256"}`.
const HEADER: &str = "eyJhbGciOiJIUzI1NiJ9";

/// `{"alg":"dir","enc":"A128GCM"}`.
const ENCRYPTED: &str = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0";

/// The words of a private key's lines.
const KEY: &str = "PRIVATE KEY";

#[test]
fn tokens_in_parts() {
    for text in [
        format!("«{HEADER}.eyJhIjoxfQ.c2lnbmF0dXJl»."),
        format!("a=«{HEADER}.payload.sig-_»&b"),
        format!("unsecured «{HEADER}.eyJhIjoxfQ.» it is"),
        format!("«{ENCRYPTED}..aXY.dGV4dA.dGFn»"),
        format!("«{ENCRYPTED}.a2V5.aXY.dGV4dA.dGFn».x"),
        format!("%3D«{HEADER}.eyJhIjoxfQ.c2ln»%26"),
    ] {
        expect(SECRETS, "jwt", &text);
    }
    for text in [
        HEADER.to_owned(),
        format!("{HEADER}.eyJhIjoxfQ"),
        format!("{HEADER}."),
        format!("x{HEADER}.eyJhIjoxfQ.c2ln"),
        // Begins like a header, and is no object.
        "eyJhbGciOiJIUzI1NiI.eyJhIjoxfQ.c2lnbmF0dXJl".to_owned(),
        "eyJub3Q.an.object.of.json.at.all.here".to_owned(),
    ] {
        expect_nothing(SECRETS, &text);
    }
}

#[test]
fn private_keys() {
    for (kind, newline) in [
        ("", "\n"),
        ("RSA ", "\\n"),
        ("EC ", "\r\n"),
        ("OPENSSH ", "\n"),
    ] {
        let text = format!(
            "«-----BEGIN {kind}{KEY}-----{newline}MIIB+/aa=={newline}-----END {kind}{KEY}-----» and"
        );
        expect(SECRETS, "private_key", &text);
    }
    let armour = format!(
        "«-----BEGIN PGP {KEY} BLOCK-----\nVersion: x (y)\n\nlQOY\n=abcd\n-----END PGP {KEY} BLOCK-----»"
    );
    expect(SECRETS, "private_key", &armour);
    let ssh2 = format!(
        "«---- BEGIN SSH2 ENCRYPTED {KEY} ----\nP2/5\n---- END SSH2 ENCRYPTED {KEY} ----»\n"
    );
    expect(SECRETS, "private_key", &ssh2);
    expect(
        SECRETS,
        "private_key",
        &format!("cut: «-----BEGIN {KEY}-----\nMIIB"),
    );
    expect_nothing(
        SECRETS,
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
    );
    expect_nothing(SECRETS, &format!("a {KEY} begins with -----BEGIN"));
    expect_nothing(SECRETS, &format!("-----BEGIN {KEY}"));
}

#[test]
fn credentials_behind_their_scheme() {
    for text in [
        "Authorization: Bearer «0a1b2c»",
        "curl -H 'authorization: token «0a1b2c3d»'",
        "Authorization: GenieKey «0a1b-2c3d»\nnext",
        "Authorization: «0a1b2c3d»",
        "Authorization: Acme «id0a1b:c2lnbmF0dXJl/0a=», then",
        "got Bearer «0123456789abcdef+/~._-==», twice",
        "bearer «aBcDeFgHiJkLmNoPq»",
        "Basic «dXNlcjpwYXNzd29yZA==»",
    ] {
        expect(SECRETS, "authorization", text);
    }
    for text in [
        "Bearer of bad news",
        "Bearer authentication",
        "Bearer v2 tokens",
        "Basic authentication1",
        "Token OAuth2",
        "Authorization: Bearer [redacted]",
        "Authorization: 0a1b2c3d [redacted]",
        "Authorization: required by the server",
        "forBearer 0123456789abcdef",
    ] {
        expect_nothing(SECRETS, text);
    }
}

#[test]
fn tokens_without_a_telling_beginning() {
    let tag = "a1".repeat(19);
    let word = "a1_-".repeat(8);
    for (detector, text) in [
        (
            "discord_token",
            format!("«MTIzNDU2Nzg5MDEyMzQ1Njc4.Gabcde.{tag}»!"),
        ),
        ("telegram_token", format!("/bot«110201543:AA{word}x»/getMe")),
        (
            "airtable_token",
            format!("(«patA1b2C3d4E5f6G7.{}»)", "0f".repeat(32)),
        ),
        ("entra_secret", format!("'«abc8Q~{word}»'")),
        (
            "terraform_token",
            format!("«abcdefghij1234.atlasv1.{word}{word}»"),
        ),
        ("twilio_key", format!("«SK{}»", "0f".repeat(16))),
    ] {
        expect(SECRETS, detector, &text);
    }
    for text in [
        format!("bm90IGEgbnVtYmVyIGF0IGFsbA.Gabcde.{tag}"),
        format!("12:AA{word}x"),
        format!("patA1b2C3d4E5f6G7.{}", "0f".repeat(31)),
        format!("a/b~{word}"),
        format!("SK{}", "0f".repeat(17)),
        format!("TASK{}", "0f".repeat(16)),
    ] {
        expect_nothing(SECRETS, &text);
    }
}

#[test]
fn tokens_of_the_table_need_their_length_and_their_bounds() {
    let hub = ["gh", "p_"].concat();
    let body = "a1B2c3".repeat(6);
    for text in [
        format!("«{hub}{body}»"),
        format!("KEY_«{hub}{body}»."),
        format!("«{hub}{body}and_more»"),
        format!("%3D«{hub}{body}»%26\\n«{hub}{body}»\\n\\u003d«{hub}{body}»"),
    ] {
        expect(SECRETS, "github_token", &text);
    }
    let short = &body[1..];
    for text in [
        format!("{hub}{short}"),
        format!("x{hub}{body}"),
        format!("{hub}[redacted]"),
    ] {
        expect_nothing(SECRETS, &text);
    }
    let id = ["AK", "IA"].concat();
    expect(SECRETS, "aws_key_id", &format!("«{id}ABCDEFGH23456789»/x"));
    expect_nothing(SECRETS, &format!("{id}ABCDEFGH234567890"));
    expect_nothing(SECRETS, &format!("{id}ABCDEFGH23456789x"));
}
