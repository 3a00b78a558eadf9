//! Keys of the gateway and of workers: what data is sealed to, and what signs.

use super::*;

/// The key pair of RFC 8037 appendix A.1.
pub(super) const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----";

/// The public key of RFC 8037 appendix A.6.
const WORKER: &str =
    r#"{"kty":"OKP","crv":"X25519","kid":"w","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}"#;

/// An endpoint of the tenant acme.
const ENDPOINT: &str = "[[endpoint]]\nid = \"a\"\ntenant = \"acme\"\nprovider = \"stripe\"\nsecrets = [\"env:STRIPE\"]";

/// Loads a file beside which `key` holds this.
fn with_key(key: &str, text: &str) -> Result<Config, Problems> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("key"), key).unwrap();
    fs::write(dir.path().join("hookgate.toml"), text).unwrap();
    Config::load(&dir.path().join("hookgate.toml"), &env())
}

fn tenant(key: &str, id: &str) -> Result<Config, Problems> {
    let section = format!("[[tenant]]\nid = \"{id}\"\nseal_to = \"file:key\"\n");
    with_key(key, &(section + ENDPOINT))
}

#[test]
fn data_is_sealed_to_the_key_of_the_endpoints_tenant() {
    let config = tenant(WORKER, "acme").unwrap();
    let recipient = config.endpoints[0].shared.seal_to.as_ref().unwrap();
    assert_eq!(recipient.key_id(), "w");
    // The configuration and the key.
    assert_eq!(config.watched_files().len(), 2);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn a_tenant_without_endpoints_is_most_likely_misspelt() {
    let config = tenant(WORKER, "akme").unwrap();
    assert!(config.endpoints[0].shared.seal_to.is_none());
    let warnings = config.warnings.join("\n");
    assert!(
        warnings.contains(":2:6: no endpoint belongs to the tenant `akme`"),
        "{warnings}"
    );
}

#[test]
fn a_key_that_cannot_be_sealed_to_keeps_the_file_from_loading() {
    let private = WORKER.replace('{', "{\"d\":\"s3cr3t\",");
    for (key, expected) in [
        (
            &*private,
            ":3:11: `seal_to` refers to a value that holds a PRIVATE key",
        ),
        (
            PRIVATE,
            ":3:11: `seal_to` refers to a value that is not JSON",
        ),
        (
            "{}",
            ":3:11: `seal_to` refers to a value that has a `kty` or `crv`",
        ),
        (" ", ":3:11: `seal_to` refers to an empty or blank value"),
    ] {
        let found = tenant(key, "acme").unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
        assert!(
            !found.contains("s3cr3t") && !found.contains("MC4C"),
            "{found}"
        );
    }
    let literal = "[[tenant]]\nid = \"acme\"\nseal_to = \"acme-worker.jwk.json\"\n";
    let found = parse(&(literal.to_owned() + ENDPOINT))
        .unwrap_err()
        .to_string();
    assert!(found.contains("`seal_to` is a literal"), "{found}");
}

fn publisher(key: &str, lines: &str) -> Result<Config, Problems> {
    let url = "url = \"amqp://rabbit/%2f\"";
    with_key(key, &format!("[publisher]\n{url}\n{lines}\n{ENDPOINT}"))
}

#[test]
fn messages_are_signed_where_a_key_is_given_and_only_there() {
    let keys = |config: Config| config.publisher.provenance.keys();
    assert!(keys(publisher("", "").unwrap()).signer.is_none());
    let config = publisher(PRIVATE, "signing_key = \"file:key\"").unwrap();
    assert_eq!(config.watched_files().len(), 2);
    assert!(!format!("{config:?}").contains("MC4C"));
    assert!(keys(config).signer.is_some());
    let config = publisher(PUBLIC, "announced_keys = [\"file:key\"]").unwrap();
    let keys = keys(config);
    assert_eq!((keys.signer.is_none(), keys.announced.len()), (true, 1));
}

#[test]
fn a_key_that_cannot_sign_keeps_the_file_from_loading() {
    for (key, lines, expected) in [
        (
            PUBLIC,
            "signing_key = \"file:key\"",
            ":3:15: `signing_key` refers to a value that is no private key",
        ),
        (
            PRIVATE,
            "announced_keys = [\"file:key\"]",
            ":3:19: `announced_keys` refers to a value that holds a PRIVATE key",
        ),
        (
            "x",
            "announced_keys = [\"file:key\"]",
            ":3:19: `announced_keys` refers to a value that is no public key",
        ),
    ] {
        let found = publisher(key, lines).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
        assert!(!found.contains("MC4C"), "{found}");
    }
}

#[test]
fn a_key_that_signs_nothing_is_told() {
    let text = format!("[publisher]\nsigning_key = \"env:SIGNING\"\n{ENDPOINT}");
    let warnings = parse(&text).unwrap().warnings.join("\n");
    assert!(
        warnings.contains("`signing_key` signs nothing here"),
        "{warnings}"
    );
}
