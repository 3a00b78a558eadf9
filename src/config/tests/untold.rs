//! What a configuration shows of its secrets: nothing.

use super::*;

/// A secret of every kind, each where it belongs.
const EVERY_KIND: &str = r#"
allow_inline_secrets = true

[ledger]
url = "rediss+sentinel://s3cr3t-user:s3cr3t-password@a:1,b:2/mymaster"
sentinel_password = "s3cr3t-sentinel"

[publisher]
url = "amqp://s3cr3t-user:s3cr3t-password@h/v,amqps://s3cr3t-user:s3cr3t-password@i/v"

[[tenant]]
id = "acme"
pseudonym_key = "s3cr3t-key-of-pseudonyms"

[[endpoint]]
id = "a"
tenant = "acme"
provider = "stripe"
secrets = ["s3cr3t-one", "env:TWO"]

[[endpoint]]
id = "b"
tenant = "acme"
provider = "gitlab"
secrets = ["s3cr3t-token"]

[[endpoint]]
id = "c"
tenant = "acme"
provider = "meta"
secrets = ["s3cr3t-app"]
params = { verify_token = "s3cr3t-param" }
"#;

fn load() -> Config {
    let env = BTreeMap::from([("TWO".to_owned(), "s3cr3t-two".to_owned())]);
    Config::parse(EVERY_KIND, "hookgate.toml", Path::new(""), &env).unwrap()
}

#[test]
fn no_secret_is_shown_when_a_configuration_is() {
    let config = load();
    let mut shown = format!("{config:?} {config:#?}");
    for endpoint in &config.endpoints {
        let parts = (&endpoint.verifier, &endpoint.redactor, &endpoint.provider);
        shown.push_str(&format!("{parts:?} {:?}", endpoint.shared));
    }
    assert!(!shown.contains("s3cr3t"), "{shown}");
    // A digest tells a secret that can be guessed.
    let digest = <sha2::Sha256 as sha2::Digest>::digest("s3cr3t-param");
    assert!(!shown.contains(&format!("{:?}", &digest[..])), "{shown}");
    assert!(shown.contains("mymaster"), "{shown}");
}
