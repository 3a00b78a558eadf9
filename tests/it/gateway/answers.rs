//! Answers in the form in which each vendor expects them.

use http::Method;

use super::set;
use super::site::{serve, site};
use crate::support::until;

#[tokio::test]
async fn a_success_is_what_the_vendor_takes_for_one() {
    let sign = site("dropbox-sign", "api-key-of-the-tests", "");
    let adyen = site(
        "adyen",
        "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
        "scheme = 'items'",
    );
    let gocardless = site("gocardless", "gocardless-secret", "");
    let events = site("cloudevents-webhook", "bearer-token", "");
    let gateway = serve(&[&sign, &adyen, &gocardless, &events]).await;
    for (site, status, content_type, body) in [
        (&sign, 200, "text/plain", "Hello API Event Received"),
        (&adyen, 200, "text/plain", "[accepted]"),
        (&gocardless, 204, "", ""),
        (&events, 202, "", ""),
    ] {
        let delivery = site.sign(site.sample("100001"));
        for outcome in ["accepted", "duplicate"] {
            let seen = gateway.deliver(&delivery).await;
            assert_eq!(
                (seen.verdict().0, seen.verdict().1),
                (status, outcome),
                "{site:?}"
            );
            assert_eq!(seen.answer.header("content-type"), content_type);
            assert_eq!(seen.answer.body, body);
        }
    }
    // A test of the vendor's gets the same text, and is no event.
    let mut test = sign.sample("1");
    let text = String::from_utf8(test.body.to_vec()).unwrap();
    test.body = text
        .replace("signature_request_sent", "callback_test")
        .into();
    let seen = gateway.deliver(&sign.sign(test)).await;
    assert_eq!(seen.verdict(), (200, "handshake", ""));
    assert_eq!(seen.answer.body, "Hello API Event Received");
    gateway.finish().await;
}

#[tokio::test]
async fn a_bad_signature_is_told_with_the_status_that_the_vendor_tests_for() {
    let gocardless = site("gocardless", "gocardless-secret", "");
    let xero = site("xero", "xero-key", "");
    let gateway = serve(&[&gocardless, &xero]).await;
    for (site, header, status) in [
        (&gocardless, "webhook-signature", 498),
        (&xero, "x-xero-signature", 401),
    ] {
        let mut forged = site.sign(site.sample("1"));
        forged.body = [&forged.body[..], b" "].concat().into();
        let mut missing = forged.clone();
        missing.headers.remove(header);
        let mut malformed = forged.clone();
        set(&mut malformed, header, "x");
        for (delivery, reason) in [
            (forged, "signature_mismatch"),
            (missing, "signature_missing"),
            (malformed, "signature_malformed"),
        ] {
            let seen = gateway.deliver(&delivery).await;
            assert_eq!(seen.verdict(), (status, "rejected", reason));
            assert!(seen.answer.body.is_empty());
        }
    }
    gateway.finish().await;
}

#[tokio::test]
async fn over_the_rate_only_a_vendor_that_comes_again_is_told_429() {
    let lines = "rate = '1/s'\nburst = 1";
    let (asana, xero) = (
        site("asana", "asana-secret", lines),
        site("xero", "xero-key", lines),
    );
    let gateway = serve(&[&asana, &xero]).await;
    for (site, status) in [(&asana, 429), (&xero, 503)] {
        let mut events = 1..;
        let mut limited = None;
        until("a delivery is over the rate", async || {
            let event = site.sample(&events.next().unwrap().to_string());
            let seen = gateway.deliver(&site.sign(event)).await;
            limited = Some(seen).filter(|seen| seen.verdict().1 == "rejected");
            limited.is_some()
        })
        .await;
        let seen = limited.unwrap();
        assert_eq!(seen.verdict(), (status, "rejected", "rate_limited"));
        assert_eq!(seen.answer.header("retry-after"), "1");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_method_that_no_check_uses_is_refused_and_the_right_ones_named() {
    let x = site("x-twitter", "consumer-secret", "");
    let gateway = serve(&[&x]).await;
    for method in [Method::PUT, Method::HEAD, Method::OPTIONS] {
        let seen = gateway.deliver(&x.request(method, "", &[], "")).await;
        assert_eq!(seen.verdict(), (405, "rejected", "method"));
        assert_eq!(seen.answer.header("allow"), "POST, GET");
    }
    gateway.finish().await;
}
