//! What is refused because of what is in it: every reason, and nothing of it for the caller.

use std::collections::BTreeMap;

use bytes::Bytes;
use hookgate::clock;
use hookgate::delivery::Delivery;

use super::{Kind, fill, gateway, kind, kinds, seconds_from_now, set};
use crate::support::gateway::Gateway;
use crate::support::gateway::http::bytes_of;

/// Makes every unauthentic delivery of a kind, with the reason for refusing it.
fn forgeries(kind: &Kind) -> Vec<(&'static str, Delivery)> {
    let changed = |change: &dyn Fn(&mut Delivery)| {
        let mut delivery = kind.signed("100001");
        change(&mut delivery);
        delivery
    };
    let missing = changed(&|delivery| {
        delivery.headers.remove(kind.carrier);
    });
    let twice = changed(&|delivery| {
        let proof = delivery.headers[kind.carrier].clone();
        delivery.headers.append(kind.carrier, proof);
    });
    let mut forgeries = vec![
        ("signature_missing", missing),
        ("signature_ambiguous", twice),
    ];
    if kind.assurance == "token" {
        for token in ["g1tl4b-T0ken_with-Cas", "g1tl4b-T0ken_with-Casey", ""] {
            let wrong = changed(&|delivery| set(delivery, kind.carrier, token));
            forgeries.push(("token_invalid", wrong));
        }
        return forgeries;
    }
    let text = fill(kind.malformed, "", clock::now());
    let malformed = changed(&|delivery| set(delivery, kind.carrier, &text));
    forgeries.push(("signature_malformed", malformed));
    let tampered = changed(&|delivery| {
        // One more field of a form, and in JSON a change of nothing but white space.
        let more: &[u8] = if kind.id == "twilio-form" {
            b"&x=1"
        } else {
            b" "
        };
        delivery.body = [&delivery.body[..], more].concat().into();
    });
    forgeries.push(("signature_mismatch", tampered));
    if let Some(clock) = kind.clock {
        forgeries.extend(untimely(kind, clock));
    }
    forgeries
}

/// Makes the deliveries whose timestamp is not there, not one, or not of now.
fn untimely(kind: &Kind, clock: &'static str) -> Vec<(&'static str, Delivery)> {
    let mut missing = kind.signed("100001");
    let mut malformed = kind.signed("100001");
    if clock.is_empty() {
        let proof = missing.headers[kind.carrier].to_str().unwrap().to_owned();
        let (time, tag) = proof.split_once(',').unwrap();
        set(&mut missing, kind.carrier, tag);
        set(&mut malformed, kind.carrier, &format!("{time}x,{tag}"));
    } else {
        missing.headers.remove(clock);
        set(&mut malformed, clock, "soon");
    }
    let at = |seconds| kind.signed_at(seconds_from_now(seconds), "100001", |_| {});
    vec![
        ("timestamp_missing", missing),
        ("timestamp_malformed", malformed),
        ("timestamp_stale", at(-3600)),
        ("timestamp_future", at(3600)),
    ]
}

#[tokio::test]
async fn every_unauthentic_delivery_is_refused_for_its_precise_reason() {
    let kinds = kinds();
    let gateway = gateway(&kinds).await;
    for kind in &kinds {
        for (reason, delivery) in forgeries(kind) {
            let seen = gateway.deliver(&delivery).await;
            assert_eq!(seen.verdict(), (401, "rejected", reason), "{}", kind.id);
            assert_eq!(seen.labels["endpoint"], kind.id);
            assert_ne!(seen.line["detail"], "", "{}", seen.line);
            assert_eq!(seen.line["level"], "INFO", "{}", seen.line);
        }
        // No refused delivery has left anything behind: the genuine one is new.
        let seen = gateway.deliver(&kind.signed("100001")).await;
        assert_eq!(seen.verdict().1, "accepted", "{}", kind.id);
    }
    gateway.finish().await;
}

/// Sends a delivery and returns the whole answer, byte for byte, but for its date.
async fn answer_to(gateway: &Gateway, delivery: &Delivery) -> String {
    let answer = gateway.raw(&bytes_of(delivery)).await;
    let answer = String::from_utf8(answer).unwrap();
    let lines = answer
        .split("\r\n")
        .filter(|line| !line.starts_with("date:"));
    lines.collect::<Vec<_>>().join("\r\n")
}

#[tokio::test]
async fn the_caller_cannot_tell_one_unauthentic_delivery_from_another() {
    let kinds = kinds();
    let gateway = gateway(&kinds).await;
    let mut reasons: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for kind in &kinds {
        for (reason, delivery) in forgeries(kind) {
            let answer = answer_to(&gateway, &delivery).await;
            reasons.entry(answer).or_default().push(reason);
        }
    }
    assert_eq!(reasons.len(), 1, "{reasons:#?}");
    let (answer, mut reasons) = reasons.pop_first().unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(answer.contains("content-length: 0\r\n"), "{answer}");
    reasons.sort_unstable();
    reasons.dedup();
    let all = [
        "signature_ambiguous",
        "signature_malformed",
        "signature_mismatch",
        "signature_missing",
        "timestamp_future",
        "timestamp_malformed",
        "timestamp_missing",
        "timestamp_stale",
        "token_invalid",
    ];
    assert_eq!(reasons, all);
}

#[tokio::test]
async fn nothing_that_proves_or_forges_is_told_to_anyone() {
    let kinds = kinds();
    let gateway = gateway(&kinds).await;
    let mut proofs = Vec::new();
    for kind in &kinds {
        for (_, delivery) in forgeries(kind) {
            let sent = delivery.headers.get_all(kind.carrier);
            proofs.extend(sent.iter().map(|proof| proof.to_str().unwrap().to_owned()));
            gateway.deliver(&delivery).await;
        }
    }
    let metrics = gateway.admin("/metrics").await.body;
    let told = gateway.stderr() + std::str::from_utf8(&metrics).unwrap();
    for proof in proofs.iter().filter(|proof| proof.len() > 20) {
        assert!(!told.contains(proof.as_str()), "{proof}");
    }
    for kind in &kinds {
        assert!(!told.contains(&kind.secret), "{}", kind.id);
        assert!(kind.private.is_none_or(|key| !told.contains(key)));
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_body_that_is_not_what_it_says_is_refused_and_leaves_no_signal() {
    let kinds = kinds();
    let gateway = gateway(&kinds).await;
    for kind in kinds.iter().filter(|kind| kind.id != "twilio-form") {
        for body in [
            r#"{"id":"evt_1","type":"x""#,
            "\u{1}",
            r#"{"a":1}{"a":2}"#,
            "[01]",
        ] {
            let seen = gateway.deliver(&kind.signed_body("100001", body)).await;
            let wanted = (400, "rejected", "body_malformed");
            assert_eq!(seen.verdict(), wanted, "{}: {body}", kind.id);
            assert!(seen.answer.body.is_empty());
        }
    }
    gateway.finish().await;
}

#[tokio::test]
async fn an_empty_body_is_refused_unless_the_provider_sends_such() {
    let kinds = kinds();
    let gateway = gateway(&kinds).await;
    for kind in kinds.iter().filter(|kind| kind.provider != "twilio") {
        let seen = gateway.deliver(&kind.signed_body("100001", "")).await;
        let wanted = (400, "rejected", "body_malformed");
        assert_eq!(seen.verdict(), wanted, "{}", kind.id);
    }
    let by_form = kind("twilio-form");
    let seen = gateway
        .deliver(&by_form.signed_body("1", Bytes::new()))
        .await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    gateway.finish().await;
}

#[tokio::test]
async fn a_content_type_that_the_scheme_does_not_sign_is_refused() {
    let kinds = kinds();
    let gateway = gateway(&kinds).await;
    for content_type in ["application/json", "text/plain", ""] {
        let mut delivery = kind("twilio-form").signed("100001");
        set(&mut delivery, "content-type", content_type);
        let seen = gateway.deliver(&delivery).await;
        let wanted = (415, "rejected", "content_type");
        assert_eq!(seen.verdict(), wanted, "{content_type}");
        assert!(seen.answer.body.is_empty());
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_proof_for_one_endpoint_opens_no_other() {
    let github = kind("github");
    let other = Kind {
        id: "github-other",
        secret: "another secret".into(),
        ..kind("github")
    };
    let kinds = [github, other];
    let gateway = gateway(&kinds).await;
    let mut astray = kinds[0].signed("100001");
    astray.url = astray.url.replace("github", "github-other");
    let seen = gateway.deliver(&astray).await;
    assert_eq!(seen.verdict(), (401, "rejected", "signature_mismatch"));
    assert_eq!(seen.labels["endpoint"], "github-other");
    gateway.finish().await;
}

#[tokio::test]
async fn a_signed_url_is_the_public_one_with_its_query() {
    let kinds = [kind("twilio-form")];
    let gateway = gateway(&kinds).await;
    let with_query = |query: &str| {
        kinds[0].signed_at(clock::now(), "100001", |delivery| {
            delivery.url.push_str(query)
        })
    };
    let seen = gateway.deliver(&with_query("?a=1&b=%20")).await;
    assert_eq!(seen.verdict().1, "accepted");
    for (signed, sent) in [("?a=1", "?a=2"), ("?a=1", ""), ("", "?a=1")] {
        let mut delivery = with_query(signed);
        let bare = delivery.url.split('?').next().unwrap().to_owned();
        delivery.url = bare + sent;
        let seen = gateway.deliver(&delivery).await;
        assert_eq!(seen.verdict().2, "signature_mismatch", "{signed} {sent}");
    }
    gateway.finish().await;
}
