//! Reloading: a good configuration is put in force whole, a bad one changes nothing.

use super::{Kind, kind};
use crate::support::gateway::{Gateway, replace};
use crate::support::{eventually, until};

const RELOADS: &str = "hookgate_reloads_total";
const UNKNOWN: (u16, &str, &str) = (404, "rejected", "unknown_endpoint");

/// Another endpoint than the one of [`kind`], of the same provider.
fn second() -> Kind {
    Kind {
        id: "second",
        secret: "second secret".into(),
        ..kind("github")
    }
}

/// Puts a configuration in place and waits until it is refused.
async fn refuse(gateway: &Gateway, config: &str) {
    let labels = [("result", "failed")];
    let before = gateway.metric(RELOADS, &labels).await;
    gateway.write_config(config);
    gateway.hang_up();
    until("the configuration is refused", async || {
        gateway.metric(RELOADS, &labels).await > before
    })
    .await;
}

/// Puts a configuration of so many endpoints in place and waits until it is in force. The number must
/// be another than before: the file is also looked at now and then, and that counts as well.
async fn reload(gateway: &Gateway, config: &str, endpoints: usize) {
    gateway.write_config(config);
    gateway.hang_up();
    until("the configuration is in force", async || {
        let last = gateway.logged("configuration reloaded").pop();
        last.is_some_and(|line| line["endpoints"] == endpoints)
    })
    .await;
    // It is logged just before it is put in force, and counted just after.
    let reloads = gateway.logged("configuration reloaded").len();
    until("the reload is counted", async || {
        gateway.metric(RELOADS, &[("result", "ok")]).await >= reloads as f64
    })
    .await;
}

#[tokio::test]
async fn a_reload_adds_changes_and_removes_endpoints() {
    let (first, second) = (kind("github"), second());
    let gateway = Gateway::start(&first.endpoint()).await;
    let seen = gateway.deliver(&second.signed("100001")).await;
    assert_eq!(seen.verdict(), UNKNOWN);

    let both = first.endpoint() + &second.endpoint();
    reload(&gateway, &both, 2).await;
    for kind in [&first, &second] {
        let seen = gateway.deliver(&kind.signed("100001")).await;
        assert_eq!(
            seen.verdict(),
            (200, "accepted", "confirmed"),
            "{}",
            kind.id
        );
    }
    let paused = format!("{}state = \"paused\"\n", second.endpoint());
    reload(&gateway, &paused, 1).await;
    let seen = gateway.deliver(&first.signed("100002")).await;
    assert_eq!(seen.verdict(), UNKNOWN);
    let seen = gateway.deliver(&second.signed("100002")).await;
    assert_eq!(seen.verdict(), (503, "rejected", "paused"));

    // What was recorded before is still known after.
    reload(&gateway, &both, 2).await;
    let seen = gateway.deliver(&first.signed("100001")).await;
    assert_eq!(seen.verdict(), (200, "duplicate", ""));
    gateway.finish().await;
}

#[tokio::test]
async fn a_bad_configuration_changes_nothing_and_is_reported() {
    let (first, second) = (kind("github"), second());
    let gateway = Gateway::start(&first.endpoint()).await;
    let bad = first.endpoint() + &second.endpoint() + "secrests = []\n";
    for (config, told) in [
        (
            bad.as_str(),
            "unknown key `secrests` in [[endpoint]]; did you mean `secrets`?",
        ),
        ("[server\n", "not valid TOML"),
    ] {
        refuse(&gateway, config).await;
        let line = eventually("the problem is logged", async || {
            let message = "configuration not reloaded: the one in force stays";
            let mut lines = gateway.logged(message).into_iter();
            lines.find(|line| line["problem"].as_str().unwrap().contains(told))
        })
        .await;
        assert_eq!(line["level"], "ERROR");
        assert!(!line.to_string().contains(&second.secret), "{line}");
    }
    assert_eq!(gateway.metric(RELOADS, &[("result", "ok")]).await, 0.0);
    let seen = gateway.deliver(&first.signed("100001")).await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    let seen = gateway.deliver(&second.signed("100001")).await;
    assert_eq!(seen.verdict(), UNKNOWN);

    // A file that is gone is no configuration either, and mending it mends everything.
    std::fs::remove_file(gateway.file("hookgate.toml")).unwrap();
    gateway.hang_up();
    until("the missing file is noticed", async || {
        gateway.stderr().contains("hookgate.toml: cannot be read")
    })
    .await;
    reload(&gateway, &(first.endpoint() + &second.endpoint()), 2).await;
    let seen = gateway.deliver(&second.signed("100001")).await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    gateway.finish().await;
}

#[tokio::test]
async fn secrets_are_rotated_without_refusing_a_delivery() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("current"), "the old secret\n").unwrap();
    std::fs::write(dir.path().join("next"), "the new secret\n").unwrap();
    let signer = |secret: &str| Kind {
        secret: secret.into(),
        ..kind("github")
    };
    let (old, new) = (signer("the old secret"), signer("the new secret"));
    let endpoint = |secrets: &str| signer("SECRETS").endpoint().replace("\"SECRETS\"", secrets);
    let gateway = Gateway::start_in(dir, &endpoint("\"file:current\"")).await;
    assert_eq!(
        gateway.deliver(&old.signed("100001")).await.verdict().0,
        200
    );
    assert_eq!(
        gateway.deliver(&new.signed("100002")).await.verdict().0,
        401
    );

    let both = endpoint("\"file:current\", \"file:next\"");
    reload(&gateway, &both, 1).await;
    for (signer, id) in [(&old, "100003"), (&new, "100004")] {
        let seen = gateway.deliver(&signer.signed(id)).await;
        assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    }
    // The file alone changes, and is looked at without being told to.
    replace(&gateway.file("current"), "the new secret\n");
    until("the old secret is refused", async || {
        let seen = gateway.deliver(&old.signed("100003")).await;
        seen.verdict().0 == 401
    })
    .await;
    let seen = gateway.deliver(&new.signed("100005")).await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    gateway.finish().await;
}

#[tokio::test]
async fn a_secret_that_becomes_unusable_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let github = kind("github");
    std::fs::write(dir.path().join("secret"), &github.secret).unwrap();
    let endpoint = github.endpoint().replace(&github.secret, "file:secret");
    let gateway = Gateway::start_in(dir, &endpoint).await;
    replace(&gateway.file("secret"), " \n");
    gateway.hang_up();
    until("the blank secret is noticed", async || {
        gateway.metric(RELOADS, &[("result", "failed")]).await >= 1.0
    })
    .await;
    until("the blank secret is reported", async || {
        let told = "refers to an empty or blank value";
        gateway.stderr().contains(told)
    })
    .await;
    let seen = gateway.deliver(&github.signed("100001")).await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    gateway.finish().await;
}
