//! What providers really send: accepted, filtered, or an ownership check.

use bytes::Bytes;
use hookgate::clock;
use http::Method;
use serde_json::json;

use super::{Kind, fill, gateway, kind, kinds, schema, set};

#[tokio::test]
async fn every_provider_s_delivery_is_accepted_and_becomes_a_signal_of_the_published_form() {
    let kinds = kinds();
    let gateway = gateway(&kinds).await;
    for kind in &kinds {
        let seen = gateway.deliver(&kind.signed("100001")).await;
        let wanted = (kind.status, "accepted", "confirmed");
        assert_eq!(seen.verdict(), wanted, "{}", kind.id);
        assert!(seen.answer.body.is_empty(), "{}", kind.id);
        assert_eq!(seen.labels["endpoint"], kind.id);
        assert_eq!(seen.labels["provider"], kind.provider);
        assert_eq!(seen.line["signals"], seen.signalid(), "{}", kind.id);

        let signal = gateway.signal(seen.signalid()).await;
        schema::check(&signal);
        let id = signal["id"].as_str().unwrap();
        assert!(id.starts_with(&fill(kind.event_id, "100001", clock::now())));
        assert_eq!(signal["type"], kind.event_type);
        assert_eq!(signal["assurance"], kind.assurance, "{}", kind.id);
        assert_eq!(signal["tenant"], "acme");
        assert_eq!(signal["endpoint"], kind.id);
        assert_eq!(
            signal["source"],
            format!("/tenants/acme/endpoints/{}", kind.id)
        );
        assert_eq!(signal["credentialref"], format!("cred_{}", kind.id));
        assert_eq!(signal["traceparent"], seen.line["traceparent"]);
    }
    let (told, published) = (gateway.stderr(), format!("{:?}", gateway.signals()));
    for Kind { id, secret, .. } in &kinds {
        assert!(!told.contains(secret.as_str()), "{id}: logged");
        assert!(!published.contains(secret.as_str()), "{id}: published");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn what_a_definition_calls_sensitive_reaches_no_signal() {
    let kinds = kinds();
    let gateway = gateway(&kinds).await;
    for (id, pointer, count) in [
        ("github", "/data/sender", 1),
        ("stripe", "/data/data/object/receipt_email", 1),
        ("slack", "/data/event/text", 3),
        ("shopify", "/data/email", 1),
        ("twilio-form", "/data/From", 3),
        ("discord", "/data/event/data/user", 1),
    ] {
        let seen = gateway.deliver(&kind(id).signed("100001")).await;
        let signal = gateway.signal(seen.signalid()).await;
        assert_eq!(signal.pointer(pointer), Some(&json!("[redacted]")), "{id}");
        assert_eq!(signal["redacted"], count, "{id}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_form_without_a_body_is_accepted_where_the_provider_signs_its_url() {
    let twilio = [kind("twilio-form")];
    let gateway = gateway(&twilio).await;
    let by_get = twilio[0].signed_at(clock::now(), "100001", |delivery| {
        delivery.method = Method::GET;
        delivery.url.push_str("?CallSid=CA1&Digits=1");
        delivery.body = Bytes::new();
    });
    let seen = gateway.deliver(&by_get).await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    schema::check(&gateway.signal(seen.signalid()).await);
    gateway.finish().await;
}

#[tokio::test]
async fn an_event_that_the_endpoint_leaves_out_is_answered_and_dropped() {
    let stripe = Kind {
        extra: "events = [\"charge.*\", \"invoice.paid\"]",
        ..kind("stripe")
    };
    let kinds = [stripe];
    let gateway = gateway(&kinds).await;
    let body = |event_type: &str| format!(r#"{{"id":"evt_{event_type}","type":"{event_type}"}}"#);
    for (event_type, outcome, reason) in [
        ("charge.refunded", "accepted", "confirmed"),
        ("invoice.paid", "accepted", "confirmed"),
        ("invoice.paid.again", "filtered", ""),
        ("invoice.created", "filtered", ""),
    ] {
        let delivery = kinds[0].signed_body("1", body(event_type));
        let seen = gateway.deliver(&delivery).await;
        assert_eq!(seen.verdict(), (200, outcome, reason), "{event_type}");
        assert_eq!(seen.signalid().is_empty(), outcome == "filtered");
    }
    // What is left out must be authentic all the same.
    let mut forged = kinds[0].signed_body("1", body("invoice.created"));
    set(&mut forged, "stripe-signature", "t=1,v1=00");
    assert_eq!(gateway.deliver(&forged).await.verdict().0, 401);
    gateway.finish().await;
}

#[tokio::test]
async fn slack_s_challenge_is_echoed_as_text_when_slack_signed_it() {
    const CHALLENGE: &str =
        r#"{"token":"x","challenge":"3eZbrw1aBm2r<b>","type":"url_verification"}"#;
    let kinds = [kind("slack")];
    let gateway = gateway(&kinds).await;
    let seen = gateway.deliver(&kinds[0].signed_body("1", CHALLENGE)).await;
    assert_eq!(seen.verdict(), (200, "handshake", ""));
    assert_eq!(seen.answer.body, "3eZbrw1aBm2r<b>");
    assert_eq!(seen.answer.header("content-type"), "text/plain");
    assert_eq!(seen.answer.header("x-content-type-options"), "nosniff");

    let mut forged = kinds[0].signed_body("1", CHALLENGE);
    forged.body = CHALLENGE.replace("3eZ", "4eZ").into();
    let seen = gateway.deliver(&forged).await;
    assert_eq!(seen.verdict(), (401, "rejected", "signature_mismatch"));
    assert!(seen.answer.body.is_empty());
    gateway.finish().await;
}

#[tokio::test]
async fn discord_s_pings_are_answered_and_its_false_ones_refused() {
    let kinds = [kind("discord")];
    let gateway = gateway(&kinds).await;
    for (body, status, answer) in [
        (r#"{"id":"7","type":1,"version":1}"#, 200, r#"{"type":1}"#),
        (r#"{"version":1,"application_id":"1234","type":0}"#, 204, ""),
    ] {
        let ping = kinds[0].signed_body("1", body);
        let seen = gateway.deliver(&ping).await;
        assert_eq!(seen.verdict(), (status, "handshake", ""));
        assert_eq!(seen.answer.body, answer);
        // Asking again is no repeat: nothing was recorded.
        let again = gateway.deliver(&ping).await;
        assert_eq!(again.verdict(), (status, "handshake", ""));

        let mut probe = ping.clone();
        set(&mut probe, "x-signature-ed25519", &"0".repeat(128));
        let seen = gateway.deliver(&probe).await;
        assert_eq!(seen.verdict(), (401, "rejected", "signature_mismatch"));
        assert!(seen.answer.body.is_empty());
    }
    gateway.finish().await;
}
