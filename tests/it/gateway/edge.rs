//! The HTTP edge: what a sound client may do, and what an unsound one cannot.

use bytes::Bytes;
use hookgate::delivery::Delivery;
use http::{HeaderName, Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Kind, PUBLIC_URL, gateway, kind};
use crate::support::gateway::Gateway;
use crate::support::gateway::http::{Answer, bytes_of, chunked_bytes_of, read_to_end, request_of};
use crate::support::{DEADLINE, until};

/// Starts a gateway with a GitHub endpoint and these lines in `[server]`.
async fn with_server(lines: &str) -> (Kind, Gateway) {
    let github = kind("github");
    let endpoint = github.endpoint();
    let gateway = Gateway::start(&format!("[server]\n{lines}\n{endpoint}")).await;
    (github, gateway)
}

/// Writes a delivery as a request that leaves the connection open.
fn kept_open(delivery: &Delivery) -> Vec<u8> {
    let text = String::from_utf8(bytes_of(delivery)).unwrap();
    text.replacen("connection: close\r\n", "", 1).into_bytes()
}

#[tokio::test]
async fn http_2_is_taken_with_prior_knowledge() {
    let kinds = [kind("github"), kind("twilio-form")];
    let gateway = gateway(&kinds).await;
    let stream = TokioIo::new(gateway.connect().await);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    let send = |request: Request<Full<Bytes>>| {
        let mut sender = sender.clone();
        async move {
            let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
            assert_eq!(parts.version, Version::HTTP_2);
            Answer {
                status: parts.status,
                headers: parts.headers,
                body: body.collect().await.unwrap().to_bytes(),
            }
        }
    };
    let deliveries = async {
        let mut verdicts = Vec::new();
        for delivery in [
            kinds[0].signed("100001"),
            kinds[0].signed("100001"),
            kinds[1].signed("100001"),
        ] {
            let mut request = request_of(&delivery);
            *request.uri_mut() = delivery.url.parse().unwrap();
            let seen = gateway.watch(send(request)).await;
            verdicts.push(seen.verdict().1.to_owned());
        }
        verdicts
    };
    let verdicts = tokio::select! {
        verdicts = deliveries => verdicts,
        ended = connection => panic!("the connection ended: {ended:?}"),
    };
    assert_eq!(verdicts, ["accepted", "duplicate", "accepted"]);
    drop(sender);
    gateway.finish().await;
}

#[tokio::test]
async fn a_body_in_chunks_is_the_body() {
    let (github, gateway) = with_server("").await;
    let delivery = github.signed("100001");
    let chunked = chunked_bytes_of(&delivery, 3);
    let seen = gateway.watch(gateway.answer_to(&chunked)).await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    assert_eq!(seen.line["bytes"], delivery.body.len());
    let whole = gateway.deliver(&delivery).await;
    assert_eq!(whole.verdict().1, "duplicate");
    gateway.finish().await;
}

#[tokio::test]
async fn one_connection_carries_deliveries_one_after_the_other() {
    let (github, gateway) = with_server("").await;
    let mut stream = gateway.connect().await;
    for (id, outcome) in [("100001", "accepted"), ("100002", "accepted")] {
        let kept = kept_open(&github.signed(id));
        let exchange = async {
            stream.write_all(&kept).await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(stream.read_u8().await.unwrap());
            }
            Answer::parse(&answer)
        };
        assert_eq!(gateway.watch(exchange).await.verdict().1, outcome);
    }
    drop(stream);
    gateway.finish().await;
}

#[tokio::test]
async fn a_body_that_stops_short_is_malformed() {
    let (github, gateway) = with_server("").await;
    let delivery = github.signed("100001");
    for bytes in [bytes_of(&delivery), chunked_bytes_of(&delivery, 50)] {
        let mut stream = gateway.connect().await;
        let sending = async {
            stream.write_all(&bytes[..bytes.len() - 20]).await.unwrap();
            stream.shutdown().await.unwrap();
            Answer::parse(&read_to_end(&mut stream).await)
        };
        let seen = gateway.watch(sending).await;
        assert_eq!(seen.verdict(), (400, "rejected", "body_malformed"));
    }
    let seen = gateway.deliver(&delivery).await;
    assert_eq!(seen.verdict().1, "accepted");
    gateway.finish().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let (github, gateway) = with_server("body_timeout = \"50ms\"").await;
    let bytes = bytes_of(&github.signed("100001"));
    let seen = gateway
        .watch(gateway.answer_to(&bytes[..bytes.len() - 20]))
        .await;
    assert_eq!(seen.verdict(), (408, "rejected", "body_timeout"));
    assert!(seen.answer.body.is_empty());
    gateway.finish().await;
}

#[tokio::test]
async fn headers_that_do_not_come_end_the_connection() {
    let (_, gateway) = with_server("header_timeout = \"50ms\"").await;
    for beginning in [
        &b"POST /hooks/github HTTP/1.1\r\nhost: gateway\r\n"[..],
        b"POST /hooks/github HTTP/1.1\r\n",
        b"POST /hooks",
        // What HTTP/2 begins with too.
        b"P",
        b"PRI * HTTP/2.0\r\n",
        b"",
    ] {
        let answer = gateway.raw(beginning).await;
        let timed_out = answer.is_empty() || Answer::parse(&answer).status == 408;
        assert!(timed_out, "{}", answer.escape_ascii());
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_connection_that_is_idle_after_a_delivery_is_ended() {
    let (github, gateway) = with_server("header_timeout = \"2s\"").await;
    let kept = kept_open(&github.signed("100001"));
    let seen = gateway.watch(gateway.answer_to(&kept)).await;
    assert_eq!(seen.verdict().1, "accepted");
    gateway.finish().await;
}

#[tokio::test]
async fn a_body_may_take_longer_than_headers() {
    let (github, gateway) = with_server("header_timeout = \"2s\"").await;
    let bytes = bytes_of(&github.signed("100001"));
    let (beginning, end) = bytes.split_at(bytes.len() - 20);
    let mut slow = gateway.connect().await;
    let sending = async {
        slow.write_all(beginning).await.unwrap();
        until("the headers have arrived", async || {
            gateway.metric("hookgate_in_flight_bytes", &[]).await > 0.0
        })
        .await;
        // A silent connection that came later is given up: so much time has passed.
        assert_eq!(gateway.raw(b"").await, b"");
        slow.write_all(end).await.unwrap();
        Answer::parse(&read_to_end(&mut slow).await)
    };
    let seen = gateway.watch(sending).await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    gateway.finish().await;
}

#[tokio::test]
async fn headers_beyond_count_or_size_are_refused() {
    let (github, gateway) = with_server("").await;
    let delivery = github.signed("100001");
    let mut many = delivery.clone();
    for at in 0..100 {
        let name: HeaderName = format!("x-filler-{at}").parse().unwrap();
        many.headers.insert(name, "1".parse().unwrap());
    }
    let mut large = delivery.clone();
    for at in 0..10 {
        let name: HeaderName = format!("x-filler-{at}").parse().unwrap();
        large
            .headers
            .insert(name, "x".repeat(8000).parse().unwrap());
    }
    for refused in [many, large] {
        let answer = gateway.answer_to(&bytes_of(&refused)).await;
        assert_eq!(answer.status, 431);
        assert!(answer.body.is_empty());
    }
    let seen = gateway.deliver(&delivery).await;
    assert_eq!(seen.verdict().1, "accepted");
    gateway.finish().await;
}

#[tokio::test]
async fn a_request_that_two_readers_could_read_differently_is_refused() {
    let (github, gateway) = with_server("").await;
    let text = String::from_utf8(bytes_of(&github.signed("100001"))).unwrap();
    let length = text.split("content-length: ").nth(1).unwrap();
    let length = length.split("\r\n").next().unwrap();
    let framed = |framing: &str| {
        text.replacen(&format!("content-length: {length}"), framing, 1)
            .into_bytes()
    };
    for framing in [
        format!("content-length: {length}\r\ncontent-length: 1"),
        "content-length: -1".to_owned(),
        "content-length: 1, 2".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: identity".to_owned(),
        format!("x-folded: a\r\n b\r\ncontent-length: {length}"),
        format!("content-length : {length}"),
    ] {
        let answer = gateway.answer_to(&framed(&framing)).await;
        assert_eq!(answer.status, 400, "{framing}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_query_does_not_choose_the_endpoint_and_the_path_does_not_hide_in_it() {
    let (github, gateway) = with_server("").await;
    for (id, target, status) in [
        ("100001", "/hooks/github?tenant=other&x=%20", 200),
        ("100002", "/hooks/github?", 200),
        ("100003", "/?/hooks/github", 404),
    ] {
        let mut delivery = github.signed(id);
        delivery.url = format!("{PUBLIC_URL}{target}");
        let seen = gateway.deliver(&delivery).await;
        assert_eq!(seen.verdict().0, status, "{target}");
        if status == 200 {
            let signal = gateway.signal(seen.signalid()).await;
            assert_eq!(signal["tenant"], "acme");
        }
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_caller_that_waits_for_leave_to_send_its_body_gets_it() {
    let (github, gateway) = with_server("").await;
    let bytes = bytes_of(&github.signed("100001"));
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let (head, body) = (&bytes[..end + 2], &bytes[end + 4..]);
    let mut stream = gateway.connect().await;
    let sending = async {
        stream.write_all(head).await.unwrap();
        stream
            .write_all(b"expect: 100-continue\r\n\r\n")
            .await
            .unwrap();
        let mut leave = [0; 25];
        let waiting = tokio::time::timeout(DEADLINE, stream.read_exact(&mut leave));
        waiting.await.expect("leave is given").unwrap();
        assert_eq!(&leave, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(body).await.unwrap();
        Answer::parse(&read_to_end(&mut stream).await)
    };
    let seen = gateway.watch(sending).await;
    assert_eq!(seen.verdict().1, "accepted");
    gateway.finish().await;
}
