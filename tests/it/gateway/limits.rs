//! What is refused before a byte of it is believed: route, method, callers, rates, sizes, states.

use std::fmt::Write as _;

use bytes::Bytes;
use http::Method;
use tokio::io::AsyncWriteExt;

use super::{Kind, PUBLIC_URL, gateway, kind, set};
use crate::support::gateway::http::{Answer, bytes_of, chunked_bytes_of, read_to_end};
use crate::support::gateway::{Gateway, Seen};
use crate::support::until;

/// A kind under another endpoint's name, with these settings.
fn with(id: &'static str, of: &str, extra: &'static str) -> Kind {
    Kind {
        id,
        extra,
        ..kind(of)
    }
}

/// Sends new events until one is over the rate, however fast the bucket fills up again.
async fn over_the_rate(gateway: &Gateway, kinds: &[&Kind]) -> Seen {
    let mut last = None;
    let mut events = 100_000..;
    until("a delivery is over the rate", async || {
        let event = events.next().unwrap();
        let kind = kinds[event % kinds.len()];
        let seen = gateway.deliver(&kind.signed(&event.to_string())).await;
        let limited = seen.verdict().1 == "rejected";
        last = Some(seen);
        limited
    })
    .await;
    last.unwrap()
}

#[tokio::test]
async fn a_path_without_an_endpoint_is_not_found() {
    let kinds = [kind("github")];
    let gateway = gateway(&kinds).await;
    for path in [
        "/",
        "/hooks/none",
        "/hooks/github/",
        "/hooks/GitHub",
        "//hooks/github",
        "/hooks/../hooks/github",
        "/hooks/git%68ub",
    ] {
        let mut delivery = kinds[0].signed("100001");
        delivery.url = format!("{PUBLIC_URL}{path}");
        let seen = gateway.deliver(&delivery).await;
        let wanted = (404, "rejected", "unknown_endpoint");
        assert_eq!(seen.verdict(), wanted, "{path}");
        assert_eq!(
            (&*seen.labels["endpoint"], &*seen.labels["provider"]),
            ("", "")
        );
        assert!(seen.answer.body.is_empty());
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_method_that_the_provider_does_not_send_is_refused_and_the_right_ones_named() {
    let kinds = [kind("github"), kind("twilio-form")];
    let gateway = gateway(&kinds).await;
    for (kind, method, allow) in [
        (&kinds[0], Method::GET, "POST"),
        (&kinds[0], Method::HEAD, "POST"),
        (&kinds[0], Method::PUT, "POST"),
        (&kinds[0], Method::OPTIONS, "POST"),
        (&kinds[1], Method::DELETE, "POST, GET"),
        (&kinds[1], Method::HEAD, "POST, GET"),
    ] {
        let mut delivery = kind.signed("100001");
        delivery.method = method.clone();
        let seen = gateway.deliver(&delivery).await;
        assert_eq!(seen.verdict(), (405, "rejected", "method"), "{method}");
        assert_eq!(seen.answer.header("allow"), allow, "{method}");
        assert!(seen.answer.body.is_empty());
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_paused_endpoint_asks_for_another_try_and_a_disabled_one_for_none() {
    let kinds = [
        with("paused", "stripe", "state = \"paused\""),
        with("disabled", "stripe", "state = \"disabled\""),
    ];
    let gateway = gateway(&kinds).await;
    let seen = gateway.deliver(&kinds[0].signed("100001")).await;
    assert_eq!(seen.verdict(), (503, "rejected", "paused"));
    assert_eq!(seen.answer.header("retry-after"), "60");
    let seen = gateway.deliver(&kinds[1].signed("100001")).await;
    assert_eq!(seen.verdict(), (410, "rejected", "disabled"));
    assert_eq!(seen.answer.header("retry-after"), "");
    gateway.finish().await;
}

#[tokio::test]
async fn callers_from_elsewhere_are_denied_whatever_they_claim() {
    let kinds = [
        with("near", "github", "allow_ips = [\"127.0.0.0/8\"]"),
        with(
            "far",
            "github",
            "allow_ips = [\"192.0.2.0/24\", \"2001:db8::/32\"]",
        ),
    ];
    let gateway = gateway(&kinds).await;
    let near = gateway.deliver(&kinds[0].signed("100001")).await;
    assert_eq!(near.verdict(), (200, "accepted", "confirmed"));
    let mut claimed = kinds[1].signed("100001");
    for name in ["x-unheard-of", "x-forwarded-for", "forwarded"] {
        set(&mut claimed, name, "192.0.2.7");
        let seen = gateway.deliver(&claimed).await;
        assert_eq!(seen.verdict(), (403, "rejected", "ip_denied"));
        assert!(seen.answer.body.is_empty());
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_about_the_caller_and_the_url() {
    let far = with("far", "github", "allow_ips = [\"192.0.2.0/24\"]");
    let twilio = kind("twilio-form");
    let (far_endpoint, twilio_endpoint) = (far.endpoint(), twilio.endpoint());
    let gateway = Gateway::start(&format!(
        "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n{far_endpoint}{twilio_endpoint}"
    ))
    .await;
    for (addresses, status) in [
        ("192.0.2.7", 200),
        ("203.0.113.9, 192.0.2.8, 127.0.0.1", 200),
        ("192.0.2.7, 203.0.113.9", 403),
    ] {
        let mut delivery = far.signed(addresses);
        set(&mut delivery, "x-forwarded-for", addresses);
        let seen = gateway.deliver(&delivery).await;
        assert_eq!(seen.verdict().0, status, "{addresses}");
    }
    let mut delivery = twilio.signed("100001");
    for (name, value) in [
        ("x-forwarded-host", "hooks.example.com"),
        ("x-forwarded-proto", "https"),
    ] {
        set(&mut delivery, name, value);
    }
    assert_eq!(gateway.deliver(&delivery).await.verdict().1, "accepted");
    gateway.finish().await;
}

#[tokio::test]
async fn over_the_rate_the_answer_is_one_that_the_vendor_tries_again() {
    let kinds = [
        with("stripe", "stripe", "rate = \"1/s\"\nburst = 1"),
        with("github", "github", "rate = \"1/s\"\nburst = 1"),
    ];
    let gateway = gateway(&kinds).await;
    for (kind, status) in [(&kinds[0], 429), (&kinds[1], 503)] {
        let seen = over_the_rate(&gateway, &[kind]).await;
        assert_eq!(seen.verdict(), (status, "rejected", "rate_limited"));
        assert_eq!(seen.answer.header("retry-after"), "1");
        assert!(seen.answer.body.is_empty());
    }
    gateway.finish().await;
}

#[tokio::test]
async fn the_endpoints_of_a_tenant_share_its_rate() {
    let kinds = [with("one", "stripe", ""), with("two", "stripe", "")];
    let mut config = "[limits]\ntenant_rate = \"1/s\"\ntenant_burst = 1\n".to_owned();
    for kind in &kinds {
        write!(config, "{}", kind.endpoint()).unwrap();
    }
    let gateway = Gateway::start(&config).await;
    let seen = over_the_rate(&gateway, &[&kinds[0], &kinds[1]]).await;
    assert_eq!(seen.verdict(), (429, "rejected", "rate_limited"));
    let detail = seen.line["detail"].as_str().unwrap();
    assert!(detail.starts_with("tenant sends faster"), "{detail}");
    gateway.finish().await;
}

#[tokio::test]
async fn a_body_over_the_endpoint_s_limit_is_refused_however_it_is_sent() {
    let kinds = [with("small", "github", "max_body = 64")];
    let gateway = gateway(&kinds).await;
    let fitting = format!("[\"{}\"]", "x".repeat(60));
    assert_eq!(fitting.len(), 64);
    let seen = gateway.deliver(&kinds[0].signed_body("1", fitting)).await;
    assert_eq!(seen.verdict().1, "accepted");

    let large = kinds[0].signed_body("1", format!("[\"{}\"]", "x".repeat(61)));
    let seen = gateway.deliver(&large).await;
    assert_eq!(seen.verdict(), (413, "rejected", "body_too_large"));
    assert!(seen.answer.body.is_empty());
    let chunked = chunked_bytes_of(&large, 7);
    let seen = gateway.watch(gateway.answer_to(&chunked)).await;
    assert_eq!(seen.verdict(), (413, "rejected", "body_too_large"));
    gateway.finish().await;
}

#[tokio::test]
async fn the_largest_body_that_a_vendor_sends_is_taken() {
    let kinds = [kind("github")];
    let gateway = gateway(&kinds).await;
    let limit = kinds[0].definition().max_body;
    let body = |length: usize| {
        let mut body = vec![b'x'; length];
        body[..2].copy_from_slice(b"[\"");
        body[length - 2..].copy_from_slice(b"\"]");
        Bytes::from(body)
    };
    let seen = gateway
        .deliver(&kinds[0].signed_body("1", body(limit)))
        .await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    // One byte more is refused as soon as it is announced.
    let over = bytes_of(&kinds[0].signed_body("2", body(limit + 1)));
    let head = &over[..over.len() - limit - 1];
    let seen = gateway.watch(gateway.answer_to(head)).await;
    assert_eq!(seen.verdict(), (413, "rejected", "body_too_large"));
    gateway.finish().await;
}

#[tokio::test]
async fn past_the_bytes_in_flight_the_caller_is_told_to_come_again() {
    let kinds = [with("github", "github", "max_body = \"64KiB\"")];
    let endpoint = kinds[0].endpoint();
    let gateway = Gateway::start(&format!(
        "[server]\nmax_in_flight_bytes = \"64KiB\"\nbody_timeout = \"10m\"\n{endpoint}"
    ))
    .await;
    let large = kinds[0].signed_body("1", Bytes::from(vec![b' '; 64 << 10]));
    let mut held = gateway.connect().await;
    let announced = bytes_of(&large);
    let all_but_one = &announced[..announced.len() - 1];
    held.write_all(all_but_one).await.unwrap();
    until("the first body has its share", async || {
        gateway.metric("hookgate_in_flight_bytes", &[]).await >= f64::from(64 << 10)
    })
    .await;
    let small = kinds[0].signed("100001");
    let seen = gateway.deliver(&small).await;
    assert_eq!(seen.verdict(), (503, "rejected", "overloaded"));
    assert_eq!(seen.answer.header("retry-after"), "1");
    assert_eq!(seen.line["level"], "ERROR");

    // What was set aside is given back: the same delivery is taken once the other caller is gone.
    let ending = async {
        held.shutdown().await.unwrap();
        Answer::parse(&read_to_end(&mut held).await)
    };
    let seen = gateway.watch(ending).await;
    assert_eq!(seen.verdict(), (400, "rejected", "body_malformed"));
    let seen = gateway.deliver(&small).await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    gateway.finish().await;
}

#[tokio::test]
async fn a_body_that_is_announced_and_not_sent_keeps_nobody_out() {
    let kinds = [with("github", "github", "max_body = \"64KiB\"")];
    let endpoint = kinds[0].endpoint();
    let gateway = Gateway::start(&format!(
        "[server]\nmax_in_flight_bytes = \"64KiB\"\nbody_timeout = \"10m\"\n{endpoint}"
    ))
    .await;
    let large = bytes_of(&kinds[0].signed_body("1", Bytes::from(vec![b' '; 64 << 10])));
    let mut idle = Vec::new();
    for _ in 0..8 {
        let mut held = gateway.connect().await;
        held.write_all(&large[..1000]).await.unwrap();
        idle.push(held);
    }
    until("the others wait for their bodies", async || {
        gateway.metric("hookgate_connections", &[]).await >= 8.0
    })
    .await;
    let seen = gateway.deliver(&kinds[0].signed("100001")).await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
}

#[tokio::test]
async fn past_the_connections_the_caller_is_told_to_come_again() {
    let kinds = [kind("github")];
    let endpoint = kinds[0].endpoint();
    let gateway = Gateway::start(&format!("[server]\nmax_connections = 1\n{endpoint}")).await;
    let mut held = gateway.connect().await;
    held.write_all(b"POST /hooks/github HTTP/1.1\r\n")
        .await
        .unwrap();
    until("the connection is counted", async || {
        gateway.metric("hookgate_connections", &[]).await >= 1.0
    })
    .await;
    let answer = gateway.answer_to(b"").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), "1");
    let labels = [("outcome", "rejected"), ("reason", "overloaded")];
    let counted = gateway.metric("hookgate_deliveries_total", &labels).await;
    assert_eq!(counted, 1.0);
    until("it is logged", async || {
        gateway.logged("connection turned away").len() == 1
    })
    .await;

    drop(held);
    until("the place is free again", async || {
        // Who has a place is told that this is no request; who has none is turned away.
        let answer = gateway.raw(b"nonsense\r\n\r\n").await;
        answer.starts_with(b"HTTP/1.1 400 ")
    })
    .await;
    gateway.finish().await;
}
