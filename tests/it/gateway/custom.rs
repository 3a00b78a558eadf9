//! Services that have no definition in the catalogue: an operator's own, and the generic one.

use http::Method;

use super::site::{serve, site};
use hookgate::clock;
use hookgate::delivery::Delivery;
use hookgate::provider::{Catalogue, Provider};

use crate::cli::run_with;
use crate::support::gateway::Gateway;

/// Writes the definition of a service that signs like GitHub under a name of its own.
fn forge() -> String {
    let github = include_str!("../../../providers/github.toml");
    let (head, _) = github.split_once("[[vector]]").unwrap();
    let (_, vector) = github.split_at(head.len());
    let text = format!("{head}{vector}").replacen("name = \"github\"", "name = \"forge\"", 1);
    text.replace("X-Hub-Signature-256", "X-Forge-Signature")
}

#[tokio::test]
async fn a_definition_of_the_operator_s_own_is_a_provider_like_others() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("definitions")).unwrap();
    std::fs::write(dir.path().join("definitions/forge.toml"), forge()).unwrap();
    let endpoint = site("forge", "forge-secret", "").endpoint();
    let config = format!("[providers]\ndirectory = \"definitions\"\n{endpoint}");
    let gateway = Gateway::start_in(dir, &config).await;
    let headers = [
        ("content-type", "application/json"),
        ("x-github-event", "push"),
        ("x-github-delivery", "42"),
    ];
    let body = r#"{"ref":"refs/heads/main"}"#;
    let mut delivery = site("forge", "", "").request(Method::POST, "", &headers, body);
    let provider = Provider::parse("forge.toml", &forge()).unwrap();
    let secret = "forge-secret".to_owned().into();
    provider
        .sign(None, &secret, &mut delivery, clock::now())
        .unwrap();
    assert!(delivery.headers.contains_key("x-forge-signature"));
    let seen = gateway.deliver(&delivery).await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    let signal = gateway.signal(seen.signalid()).await;
    assert_eq!(
        (&signal["id"], &signal["type"]),
        (&"42".into(), &"forge.push".into())
    );
    assert_eq!(signal["provider"], "forge");
    delivery.body = "{}".into();
    assert_eq!(
        gateway.deliver(&delivery).await.verdict().2,
        "signature_mismatch"
    );
    gateway.finish().await;
}

#[test]
fn a_definition_that_cannot_be_used_is_refused_with_file_and_line() {
    let endpoint = site("forge", "forge-secret", "").endpoint();
    let config = format!(
        "allow_inline_secrets = true\n[providers]\ndirectory = \"definitions\"\n{endpoint}"
    );
    for (wrong, told) in [
        (forge().replacen("title = ", "titel = ", 1), "line 2"),
        (
            forge().replacen("kind = \"hmac\"", "kind = \"hmak\"", 1),
            "hmak",
        ),
        (forge().replacen("{body}", "{boddy}", 1), "boddy"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("definitions")).unwrap();
        std::fs::write(dir.path().join("definitions/forge.toml"), wrong).unwrap();
        std::fs::write(dir.path().join("hookgate.toml"), &config).unwrap();
        for command in ["check", "serve"] {
            let answer = run_with(&[command], dir.path(), &[], "").unusable();
            assert!(answer.contains("hookgate.toml:3:13: "), "{answer}");
            assert!(answer.contains("forge.toml"), "{answer}");
            assert!(answer.contains(told), "{told}: {answer}");
        }
    }
}

#[tokio::test]
async fn the_generic_provider_verifies_what_its_settings_say() {
    const PARAMS: &str = "params = { signature_header = 'X-Acme-Signature', prefix = 'v1=', \
        encoding = 'base64', hash = 'sha512', signed = '{header:X-Acme-Time}.{body}', \
        timestamp_header = 'X-Acme-Time', id = '{body:/event_id}', type = '{body:/kind}' }";
    let acme = site("hmac", "secret-of-acme", PARAMS);
    let gateway = serve(&[&acme]).await;
    let body = r#"{"event_id":"e1","kind":"order.paid"}"#;
    let at = |seconds: i64, body: &str| -> Delivery {
        let time = (clock::now().as_second() + seconds).to_string();
        let message = format!("{time}.{body}");
        let tag = hmac_sha512(b"secret-of-acme", message.as_bytes());
        let proof = format!("v1={tag}");
        let headers = [
            ("content-type", "application/json"),
            ("x-acme-time", &*time),
            ("x-acme-signature", &*proof),
        ];
        acme.request(Method::POST, "", &headers, body.to_owned())
    };
    let delivery = at(0, body);
    let seen = gateway.deliver(&delivery).await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    let signal = gateway.signal(seen.signalid()).await;
    assert_eq!(signal["id"], "e1");
    assert_eq!(signal["type"], "hmac.order.paid");
    assert_eq!(
        gateway.deliver(&at(-10, body)).await.verdict().1,
        "duplicate"
    );
    for (delivery, reason) in [
        (at(-3600, body), "timestamp_stale"),
        (at(3600, body), "timestamp_future"),
    ] {
        assert_eq!(
            gateway.deliver(&delivery).await.verdict(),
            (401, "rejected", reason)
        );
    }
    let mut forged = delivery.clone();
    forged.body = body.replace("e1", "e2").into();
    assert_eq!(
        gateway.deliver(&forged).await.verdict().2,
        "signature_mismatch"
    );
    gateway.finish().await;

    // Without settings it takes the usual form.
    let plain = site("hmac", "secret", "");
    let gateway = serve(&[&plain]).await;
    let seen = gateway.deliver(&plain.signed(r#"{"type":"a.b"}"#)).await;
    assert_eq!(seen.verdict().1, "accepted");
    assert!(Catalogue::builtin().unwrap().get("hmac").is_some());
    gateway.finish().await;
}

fn hmac_sha512(key: &[u8], message: &[u8]) -> String {
    use base64::Engine as _;
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA512, key);
    base64::engine::general_purpose::STANDARD.encode(ring::hmac::sign(&key, message))
}
