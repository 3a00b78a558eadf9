//! What a proof covers: told in every signal, and demanded where the operator says so.

use std::process::Command;

use http::Method;

use super::site::{Site, serve, site};
use crate::support::gateway::BINARY;

/// Returns what `check` says of a configuration with this endpoint, which it must refuse.
fn refused(site: &Site) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hookgate.toml");
    let text = format!("allow_inline_secrets = true\n{}", site.endpoint());
    std::fs::write(&file, text).unwrap();
    let output = Command::new(BINARY)
        .args(["check", "--config", "hookgate.toml"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    told
}

#[test]
fn an_endpoint_whose_proof_covers_less_than_is_demanded_does_not_load() {
    for (site, told) in [
        (
            site("gitlab", "g1tl4b-token", "min_assurance = 'fields'"),
            "hookgate.toml:7:17: `min_assurance` is \"fields\", and GitLab gives \"token\" as it is \
             set here; `hookgate providers show gitlab`",
        ),
        (
            site("mercado-pago", "mercado-secret", "min_assurance = 'body'"),
            "gives \"fields\" as it is set here",
        ),
        (
            site(
                "zoom",
                "zoom-secret",
                "scheme = 'verification-token'\nmin_assurance = 'body'",
            ),
            "gives \"token\" as it is set here",
        ),
        (
            site(
                "monday",
                "",
                "params = { audience = 'x' }\nscheme = 'none'\nmin_assurance = 'token'",
            ),
            "gives \"none\" as it is set here",
        ),
        (
            site("github", "secret", "min_assurance = 'total'"),
            "`min_assurance`",
        ),
    ] {
        let answer = refused(&site);
        assert!(answer.contains(told), "{answer}");
    }
}

#[test]
fn settings_that_do_not_fit_are_refused_with_their_line() {
    for (site, told) in [
        (site("aws-sns", "", ""), "hookgate.toml:2:1: `params`: "),
        (
            site(
                "aws-sns",
                "",
                "params = { topic_arns = 'x', confirm = 'maybe' }",
            ),
            "hookgate.toml:6:10: `params`: ",
        ),
        (
            site("github", "x", "params = { verify_token = 'x' }"),
            "hookgate.toml:7:10: `params`: GitHub takes no parameter `verify_token`",
        ),
        (
            site("meta", "x", "params = { verify_tokens = 'x' }"),
            "takes no parameter `verify_tokens`",
        ),
        (
            site("meta", "x", "scheme = 'sha512'"),
            "hookgate.toml:7:10: `scheme`: ",
        ),
        (
            site("aws-sns", "x", "params = { topic_arns = 'x' }"),
            "no secret is needed",
        ),
        (
            site("adyen", "not-hex", ""),
            "hookgate.toml:6:12: `secrets` ",
        ),
        (
            site("hmac", "x", "params = { signed = '{nonsense}' }"),
            "hookgate.toml:7:10: `params`: ",
        ),
        (
            site("hmac", "x", "params = { hash = 'md5' }"),
            "hookgate.toml:7:10: `params`: ",
        ),
    ] {
        let answer = refused(&site);
        assert!(answer.contains(told), "{told}: {answer}");
    }
}

#[tokio::test]
async fn a_scheme_that_must_be_asked_for_counts_only_where_it_is() {
    const JSON: (&str, &str) = ("content-type", "application/json");
    let body = r#"{"event":"meeting.ended","event_ts":1767607200000,"payload":{"account_id":"a"}}"#;
    for (lines, status) in [("", 401), ("scheme = 'verification-token'", 200)] {
        let zoom = site("zoom", "zoom-secret", lines);
        let gateway = serve(&[&zoom]).await;
        let headers = [JSON, ("authorization", "zoom-secret")];
        let weak = gateway
            .deliver(&zoom.request(Method::POST, "", &headers, body))
            .await;
        assert_eq!(weak.verdict().0, status, "{lines}");
        if status == 200 {
            let signal = gateway.signal(weak.signalid()).await;
            assert_eq!(signal["assurance"], "token");
        }
        // Pinned is pinned: the stronger proof is no other way in.
        let strong = gateway
            .deliver(&site("zoom", "zoom-secret", "").signed(body))
            .await;
        assert_eq!(strong.verdict().0, if status == 200 { 401 } else { 200 });
        gateway.finish().await;
    }
}

#[tokio::test]
async fn every_signal_says_what_its_proof_covers() {
    let sites = [
        (site("github", "secret", "min_assurance = 'body'"), "body"),
        (
            site("mercado-pago", "secret", "min_assurance = 'fields'"),
            "fields",
        ),
        (
            site("gitlab", "g1tl4b-token", "min_assurance = 'token'"),
            "token",
        ),
        (
            site(
                "monday",
                "",
                "params = { audience = 'x' }\nscheme = 'none'\nmin_assurance = 'none'",
            ),
            "none",
        ),
    ];
    let all: Vec<&Site> = sites.iter().map(|(site, _)| site).collect();
    let gateway = serve(&all).await;
    for (site, assurance) in &sites {
        let delivery = match site.secret {
            "" => site.sample("1"),
            _ => site.sign(site.sample("1")),
        };
        let seen = gateway.deliver(&delivery).await;
        assert_eq!(
            seen.verdict().1,
            "accepted",
            "{site:?}: {:?}",
            seen.verdict()
        );
        let signal = gateway.signal(seen.signalid()).await;
        assert_eq!(signal["assurance"], *assurance, "{site:?}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_client_certificate_is_believed_from_a_trusted_proxy_only() {
    const SUBJECT: &str = "CN=alertmanager,O=acme";
    let alerts = site(
        "alertmanager",
        SUBJECT,
        "scheme = 'mtls'\nparams = { subject_header = 'X-Client-Subject' }",
    );
    let body = r#"{"version":"4","status":"firing","groupKey":"g","alerts":[]}"#;
    let with = |subject: &str, more: &[(&str, &str)]| {
        let json = ("content-type", "application/json");
        let headers = [&[json, ("x-client-subject", subject)][..], more].concat();
        alerts.request(Method::POST, "", &headers, body)
    };
    let direct = serve(&[&alerts]).await;
    let forwarded = [("x-forwarded-for", "192.0.2.7")];
    for delivery in [with(SUBJECT, &[]), with(SUBJECT, &forwarded)] {
        let seen = direct.deliver(&delivery).await;
        assert_eq!(seen.verdict().0, 401, "{:?}", seen.verdict());
    }
    direct.finish().await;

    let config = format!(
        "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n{}",
        alerts.endpoint()
    );
    let proxied = crate::support::gateway::Gateway::start(&config).await;
    for wrong in ["CN=alertmanager", "CN=alertmanager,O=acme2", ""] {
        let seen = proxied.deliver(&with(wrong, &forwarded)).await;
        assert_eq!(seen.verdict().0, 401, "{wrong}");
    }
    let twice = with(SUBJECT, &[("x-client-subject", SUBJECT)]);
    assert_eq!(proxied.deliver(&twice).await.verdict().0, 401);
    let seen = proxied.deliver(&with(SUBJECT, &forwarded)).await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    let signal = proxied.signal(seen.signalid()).await;
    assert_eq!(signal["assurance"], "token");
    proxied.finish().await;
}
