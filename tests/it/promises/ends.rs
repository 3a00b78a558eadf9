//! Nothing acknowledged is lost, however a gateway or a caller ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use hookgate::clock;
use hookgate::delivery::Delivery;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::deliveries::{keep_sending, sample, sign, signed, stripe_id};
use super::{
    Backends, OWED, PUBLISHER_READY, ledger_in, next, nothing_more, receive_all,
    until_nothing_is_owed,
};
use crate::support::process::{Gateway, SECRET, Setup};
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::until;

/// Several connections that send new events for as long as they are answered.
struct Load {
    senders: JoinSet<BTreeMap<String, String>>,
    answered: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
}

impl Load {
    async fn on(gateway: &Gateway) -> Self {
        let mut load = Self {
            senders: JoinSet::new(),
            answered: Arc::default(),
            enough: Arc::default(),
        };
        for name in ["a", "b", "c", "d"] {
            let line = gateway.connect().await;
            let (answered, enough) = (load.answered.clone(), load.enough.clone());
            load.senders.spawn(async move {
                let go_on = || {
                    answered.fetch_add(1, Ordering::Relaxed);
                    !enough.load(Ordering::Relaxed)
                };
                keep_sending(line, "charges", name, go_on).await
            });
        }
        load
    }

    /// Waits until that many more deliveries are answered.
    async fn until_answered(&self, more: usize) {
        let enough = self.answered.load(Ordering::Relaxed) + more;
        until("deliveries are answered", async || {
            self.answered.load(Ordering::Relaxed) >= enough
        })
        .await;
    }

    /// Ends all connections. Returns the signal of each event that was answered.
    async fn stop(self) -> BTreeMap<String, String> {
        self.enough.store(true, Ordering::Relaxed);
        self.ended().await
    }

    /// Waits until all connections have ended. Returns the signal of each event that was answered.
    async fn ended(self) -> BTreeMap<String, String> {
        self.senders
            .join_all()
            .await
            .into_iter()
            .flatten()
            .collect()
    }
}

/// Makes sure that each event has come under the one signal that its sender was told of.
fn each_under_its_own_signal(
    received: &BTreeMap<String, BTreeSet<String>>,
    answered: &BTreeMap<String, String>,
) {
    for (event, signalids) in received {
        assert_eq!(signalids.len(), 1, "{event} came as {signalids:?}");
    }
    for (event, signalid) in answered {
        assert!(received[event].contains(signalid), "{event}");
    }
    let distinct: BTreeSet<&String> = received.values().flatten().collect();
    assert_eq!(distinct.len(), received.len());
}

#[tokio::test]
async fn a_gateway_that_is_told_to_end_answers_what_it_has_begun_and_keeps_what_it_answered() {
    let mut backends = Backends::start().await;
    let port = backends.vhost.broker.port();
    let patient = "lease = \"60s\"\nconfirm_timeout = \"60s\"";
    let setup = backends
        .setup_at(port, patient)
        .endpoint("charges", "acme", "stripe");
    let mut gateway = setup.start().await;
    gateway.until_metric(PUBLISHER_READY, 1).await;
    let load = Load::on(&gateway).await;
    load.until_answered(200).await;
    assert_eq!(gateway.terminate().await, Some(0), "{}", gateway.stderr());
    let answered = load.ended().await;

    // What was recorded was answered: no request was dropped half-way.
    let recorded = backends.redis.cli(&["KEYS", "*:s:*"]);
    assert_eq!(recorded.lines().count(), answered.len());
    assert_eq!(
        ledger_in(&backends.redis)
            .await
            .backlog()
            .await
            .unwrap()
            .owed,
        0
    );
    let received = receive_all(&mut backends.inbox, &answered).await;
    assert_eq!(received.len(), answered.len());
    each_under_its_own_signal(&received, &answered);
    assert_eq!(gateway.logged("drained").len(), 1);
}

/// A whole request in HTTP/1.1, its head and its body.
fn written(delivery: &Delivery, more_headers: &str) -> (String, Bytes) {
    let length = delivery.body.len();
    let mut head = format!(
        "POST /hooks/charges HTTP/1.1\r\nhost: hooks.example\r\ncontent-length: {length}\r\n{more_headers}"
    );
    for (name, value) in &delivery.headers {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    (head + "\r\n", delivery.body.clone())
}

#[tokio::test]
async fn a_request_under_way_is_finished_while_readiness_already_says_no() {
    let setup = Setup::new().endpoint("charges", "acme", "stripe");
    let mut gateway = setup.start().await;
    let (head, body) = written(&signed("stripe", "1"), "expect: 100-continue\r\n");
    let mut stream = TcpStream::connect(gateway.public()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&body[..10]).await.unwrap();

    gateway.signal("-TERM");
    let report = gateway.until_ready(false).await;
    assert!(report.contains("process: stopping"), "{report}");
    until("new connections are refused", async || {
        TcpStream::connect(gateway.public()).await.is_err()
    })
    .await;
    assert_eq!(gateway.ask("/livez").await.0, 200);

    stream.write_all(&body[10..]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(gateway.ended().await, Some(0));
    assert_eq!(gateway.stdout().lines().count(), 1);
    assert!(gateway.stdout().contains(&stripe_id("1")));
}

/// Counts the signals of the one endpoint that are owed and leased to nobody.
fn free_to_publish(redis: &Redis) -> usize {
    let owed = redis.cli(&["KEYS", "*:owed"]);
    let now = clock::now().as_millisecond().to_string();
    let free = redis.cli(&["ZCOUNT", &owed, "-inf", &now]);
    free.parse().unwrap_or(0)
}

#[tokio::test]
async fn what_an_absent_broker_left_behind_is_published_before_the_end() {
    let mut backends = Backends::start().await;
    let proxy = Proxy::to(backends.vhost.broker.port()).await;
    proxy.cut();
    let setup = backends
        .setup_at(proxy.port(), "lease = \"10m\"")
        .endpoint("charges", "acme", "stripe");
    let mut gateway = setup.start().await;
    let load = Load::on(&gateway).await;
    load.until_answered(600).await;
    let answered = load.stop().await;
    // What is still leased to the fast path would have to wait for the lease to run out.
    until("all of it is left to the relay", async || {
        free_to_publish(&backends.redis) == answered.len()
    })
    .await;
    proxy.mend();
    until("the broker is back", async || {
        !gateway.logged("broker ready").is_empty()
    })
    .await;
    assert_eq!(gateway.terminate().await, Some(0), "{}", gateway.stderr());

    let received = receive_all(&mut backends.inbox, &answered).await;
    assert_eq!(received.len(), answered.len());
    each_under_its_own_signal(&received, &answered);
}

#[tokio::test]
async fn what_was_answered_before_a_crash_is_published_after_it() {
    let mut backends = Backends::start().await;
    let proxy = Proxy::to(backends.vhost.broker.port()).await;
    let setup = backends
        .setup_at(proxy.port(), "ack = \"recorded\"\nlease = \"1s\"")
        .endpoint("charges", "acme", "stripe");
    let mut gateway = setup.start().await;
    gateway.until_metric(PUBLISHER_READY, 1).await;
    let load = Load::on(&gateway).await;
    load.until_answered(100).await;
    // From here on nothing is confirmed: what is answered lives in the ledger alone.
    proxy.freeze();
    load.until_answered(100).await;
    gateway.kill().await;
    let answered = load.ended().await;
    proxy.mend();
    let owed = ledger_in(&backends.redis)
        .await
        .backlog()
        .await
        .unwrap()
        .owed;
    assert!(owed > 0);

    let _successor = setup.start().await;
    let received = receive_all(&mut backends.inbox, &answered).await;
    each_under_its_own_signal(&received, &answered);
    until_nothing_is_owed(&backends.redis).await;
}

#[tokio::test]
async fn an_event_counts_although_its_caller_hangs_up_without_waiting_for_the_answer() {
    let mut backends = Backends::start().await;
    let setup = backends.setup().endpoint("charges", "acme", "stripe");
    let gateway = setup.start().await;
    let mut missing = BTreeSet::new();
    for n in 0..40 {
        let id = format!("h{n}");
        let mut delivery = sample("stripe", &id);
        if n % 4 == 0 {
            // More than one read.
            let long = format!(
                "{}{}",
                String::from_utf8_lossy(&delivery.body),
                " ".repeat(300_000)
            );
            delivery.body = long.into();
        }
        let (head, body) = written(&sign("stripe", SECRET, delivery), "");
        let mut stream = TcpStream::connect(gateway.public()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        drop(stream);
        missing.insert(stripe_id(&id));
    }
    while !missing.is_empty() {
        let message = next(&mut backends.inbox).await;
        assert!(missing.remove(message.signal["id"].as_str().unwrap()));
    }
    gateway.until_metric(OWED, 0).await;
    nothing_more(&gateway, "charges", &mut backends.inbox, "last").await;
}
