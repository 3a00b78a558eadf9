//! Authentic bodies that cannot be redacted: nothing of them is kept, and the operator learns enough to
//! ask for them again.

use sha2::{Digest, Sha256};

use super::{gateway, kind, set};
use crate::support::gateway::Seen;

const UNREDACTABLE: &str = "hookgate_unredactable_total";

/// A secret in the body that no line may hold.
const MARKER: &str = "in-the-body-that-is-not-kept";

fn told(seen: &Seen, body: &str) {
    let line = &seen.line;
    assert_eq!(line["bodysha256"], hex::encode(Sha256::digest(body)));
    assert_eq!(line["bytes"], body.len());
    assert!(!line.to_string().contains(MARKER), "{line}");
    assert!(seen.answer.body.is_empty());
}

#[tokio::test]
async fn what_will_never_be_redacted_is_refused_for_good() {
    let gateway = gateway(&[kind("github")]).await;
    let body = format!("{{\"password\":\"{MARKER}\",}}");
    let seen = gateway
        .deliver(&kind("github").signed_body("100001", body.clone()))
        .await;
    assert_eq!(seen.verdict(), (400, "rejected", "body_malformed"));
    assert_eq!(seen.answer.header("retry-after"), "");
    assert_eq!(seen.line["level"], "INFO");
    assert_eq!(seen.line["offset"], body.len() - 1);
    told(&seen, &body);
    let id = kind("github").signed("100001").headers["x-github-delivery"].clone();
    assert_eq!(seen.line["event"], id.to_str().unwrap());
    assert_eq!(
        gateway
            .metric(UNREDACTABLE, &[("endpoint", "github")])
            .await,
        1.0
    );

    // Who cannot sign leaves no such note.
    let mut forged = kind("github").signed_body("100002", body);
    set(
        &mut forged,
        "x-hub-signature-256",
        &format!("sha256={}", "0".repeat(64)),
    );
    let seen = gateway.deliver(&forged).await;
    assert_eq!(seen.verdict().0, 401);
    assert!(seen.line.get("bodysha256").is_none(), "{}", seen.line);
    assert_eq!(gateway.metric(UNREDACTABLE, &[]).await, 1.0);
    gateway.finish().await;
}

#[tokio::test]
async fn a_form_in_parts_that_cannot_be_read_is_not_kept_as_bytes() {
    let gateway = gateway(&[kind("github")]).await;
    let whole = format!(
        "--x\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n{MARKER}\r\n--x--\r\n"
    );
    let broken = whole.replace("--x--", "--x");
    for (body, verdict) in [
        (broken, (400, "rejected", "body_malformed")),
        (whole, (200, "accepted", "confirmed")),
    ] {
        let delivery = kind("github").signed_at(hookgate::clock::now(), "1", |delivery| {
            set(delivery, "content-type", "multipart/form-data; boundary=x");
            delivery.body = body.clone().into();
        });
        assert_eq!(gateway.deliver(&delivery).await.verdict(), verdict);
    }
    let signals = gateway.signals();
    assert_eq!(signals.len(), 1);
    assert_eq!(signals[0]["data"]["password"], "[redacted]");
    gateway.finish().await;
}

#[tokio::test]
async fn what_only_this_gateway_cannot_redact_is_to_come_again() {
    let gateway = gateway(&[kind("github")]).await;
    let deep = format!("{}\"{MARKER}\"{}", "[".repeat(200), "]".repeat(200));
    let surrogate = format!("{{\"a\":\"{MARKER}\\ud800\"}}");
    let form = format!("password={MARKER}") + &"&a=b".repeat(hookgate::redact::MAX_FIELDS);
    for (n, (body, content_type)) in [
        (deep, "application/json"),
        (surrogate, "application/json"),
        (form, "application/x-www-form-urlencoded"),
    ]
    .into_iter()
    .enumerate()
    {
        let delivery = kind("github").signed_at(hookgate::clock::now(), "1", |delivery| {
            set(delivery, "content-type", content_type);
            delivery.body = body.clone().into();
        });
        let seen = gateway.deliver(&delivery).await;
        assert_eq!(seen.verdict(), (503, "rejected", "body_too_large"));
        assert_eq!(seen.answer.header("retry-after"), "3600");
        assert_eq!(seen.line["level"], "ERROR");
        told(&seen, &body);
        let count = gateway
            .metric(UNREDACTABLE, &[("endpoint", "github")])
            .await;
        assert_eq!(count, (n + 1) as f64);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn the_note_repeats_no_secret_from_the_event_s_id() {
    let github = kind("github");
    let gateway = gateway(&[kind("github")]).await;
    let mut delivery = github.signed_body("1", "{");
    set(&mut delivery, "x-github-delivery", &github.secret);
    let seen = gateway.deliver(&delivery).await;
    assert_eq!(seen.verdict().0, 400);
    assert_eq!(seen.line["event"], "[redacted]");
    gateway.finish().await;
}
