//! No secret is kept or told: markers go in wherever secrets do, and are looked for wherever
//! anything comes out, with the log at its most talkative.

mod markers;
mod sealed;
mod story;

use bytes::Bytes;
use hookgate::delivery::Delivery;
use http::Response;
use std::collections::BTreeSet;

use self::markers::{Markers, percent_encoded};
use self::story::{accept_some, endpoints, refuse_some, reload_some};
use super::deliveries::{outcome, sample, set, sign, signalid, to};
use super::{EXCHANGE, OWED, PUBLISHER_READY, until_logged};
use crate::support::process::{Gateway, Setup};
use crate::support::proxy::Proxy;
use crate::support::rabbit::{Broker, Inbox, Vhost};
use crate::support::redis::{Options, Redis};

/// Redis is given its password when it starts, so that this one cannot be made up then.
const REDIS_PASSWORD: &str = "password-of-redis.Zq7~of-the-test";

/// What is no secret, and shows that the search looks in the right places.
const CANARY: &str = "canary-that-may-be-seen";

/// What was planted, what came out, and which signals were made.
#[derive(Debug, Default)]
struct Watch {
    markers: Markers,
    seen: Vec<(String, Vec<u8>)>,
    signals: BTreeSet<String>,
    secrets: Secrets,
}

/// The endpoints' secrets.
#[derive(Debug, Default)]
struct Secrets {
    stripe: String,
    next: String,
    github: String,
    gitlab: String,
}

impl Watch {
    fn new() -> Self {
        let mut watch = Self::default();
        let markers = &mut watch.markers;
        markers.remember("password of redis", REDIS_PASSWORD.as_bytes());
        watch.secrets = Secrets {
            stripe: markers.plant("stripe secret"),
            next: markers.plant("next secret"),
            github: markers.plant("github secret"),
            gitlab: markers.plant("gitlab token"),
        };
        watch
    }

    fn plant(&mut self, what: &str) -> String {
        self.markers.plant(what)
    }

    /// Keeps something that came out.
    fn saw(&mut self, what: &str, text: impl Into<Vec<u8>>) {
        self.seen.push((what.to_owned(), text.into()));
    }

    /// Sends a delivery with secrets in its headers and query, and keeps the answer.
    async fn send(
        &mut self,
        gateway: &Gateway,
        endpoint: &str,
        delivery: &Delivery,
    ) -> Response<Bytes> {
        let mut delivery = delivery.clone();
        set(
            &mut delivery,
            "authorization",
            &format!("Bearer {}", self.plant("bearer token")),
        );
        set(
            &mut delivery,
            "cookie",
            &format!("session={}", self.plant("cookie")),
        );
        set(&mut delivery, "x-api-key", &self.plant("api key"));
        let token = percent_encoded(self.plant("token in the query").as_bytes());
        let path = format!("{endpoint}?token={token}&access_token={token}");
        let answer = gateway.send(to(&path, &delivery)).await;
        let (status, headers) = (answer.status(), answer.headers());
        self.saw("an answer", format!("{status} {headers:?}"));
        self.saw("an answer's body", answer.body().to_vec());
        let ids = signalid(&answer);
        self.signals.extend(
            ids.split(',')
                .filter(|id| !id.is_empty())
                .map(str::to_owned),
        );
        answer
    }

    /// Signs a delivery and remembers its tag.
    fn sign(&mut self, provider: &str, secret: &str, delivery: Delivery) -> Delivery {
        let signed = sign(provider, secret, delivery);
        self.remember_tag(&signed);
        signed
    }

    fn remember_tag(&mut self, signed: &Delivery) {
        for (header, before) in [
            ("stripe-signature", "v1="),
            ("x-hub-signature-256", "sha256="),
        ] {
            if let Some(value) = signed.headers.get(header) {
                let tag = value.to_str().unwrap().rsplit(before).next().unwrap();
                self.markers
                    .remember("signature", &hex::decode(tag).unwrap());
            }
        }
    }

    /// Sends a delivery that is accepted, and again as a duplicate.
    async fn accepted_and_again(&mut self, gateway: &Gateway, endpoint: &str, delivery: &Delivery) {
        for expected in ["accepted", "duplicate"] {
            let answer = self.send(gateway, endpoint, delivery).await;
            assert_eq!(outcome(&answer), expected, "{endpoint}");
        }
    }

    /// Sends a delivery that is rejected for a reason.
    async fn rejected(
        &mut self,
        gateway: &Gateway,
        endpoint: &str,
        delivery: &Delivery,
        reason: &str,
    ) {
        let before = gateway.deliveries("rejected", reason).await;
        self.send(gateway, endpoint, delivery).await;
        let after = gateway.deliveries("rejected", reason).await;
        assert_eq!(after, before + 1, "not {reason}: {}", gateway.stderr());
    }

    async fn saw_admin(&mut self, gateway: &Gateway) {
        for path in ["/metrics", "/readyz", "/livez", "/nothing"] {
            let (_, text) = gateway.ask(path).await;
            self.saw(path, text);
        }
    }

    fn saw_output(&mut self, gateway: &Gateway) {
        self.saw("stdout", gateway.stdout());
        self.saw("stderr", gateway.stderr());
    }

    /// Makes sure that no marker came out, and that what may be seen did, in each of these places.
    fn nothing_told(&self, visible: &[(&str, &str)]) {
        for (what, text) in &self.seen {
            let found = self.markers.found_in(text);
            assert!(
                found.is_empty(),
                "{what} tells {found:?}: {}",
                String::from_utf8_lossy(text)
            );
        }
        for (place, expected) in visible {
            let shown = |(what, text): &(String, Vec<u8>)| {
                what == place && String::from_utf8_lossy(text).contains(expected)
            };
            assert!(
                self.seen.iter().any(shown),
                "{place} does not show {expected}"
            );
        }
    }
}

/// Creates a user of the broker with a password, and returns the URL by which it reaches a virtual host
/// at `port`.
async fn user_of(vhost: &Vhost<'_>, password: &str, port: u16) -> String {
    let user = format!("gate-of-{}", vhost.name);
    let body = serde_json::json!({ "password": password, "tags": "" }).to_string();
    let (status, answer) = vhost
        .broker
        .api("PUT", &format!("/api/users/{user}"), &body)
        .await;
    assert_eq!(status, 201, "{answer}");
    let all = r#"{"configure":".*","write":".*","read":".*"}"#;
    let path = format!("/api/permissions/{}/{user}", vhost.name);
    let (status, answer) = vhost.broker.api("PUT", &path, all).await;
    assert_eq!(status, 201, "{answer}");
    let password = percent_encoded(password.as_bytes());
    format!("amqp://{user}:{password}@127.0.0.1:{port}/{}", vhost.name)
}

/// Takes messages until every signal has come, and keeps them whole.
async fn keep_messages(watch: &mut Watch, inbox: &mut Inbox) {
    let mut missing = watch.signals.clone();
    while !missing.is_empty() {
        let message = inbox.next().await;
        let signalid = message.properties.message_id().clone().unwrap();
        missing.remove(signalid.as_str());
        let (key, properties) = (&message.routing_key, &message.properties);
        watch.saw("a message's properties", format!("{key} {properties:?}"));
        watch.saw("a message", message.data);
    }
}

/// Keeps every key of a Redis with its value.
fn keep_redis(watch: &mut Watch, redis: &Redis) {
    for key in redis.cli(&["KEYS", "*"]).lines() {
        let value = match redis.cli(&["TYPE", key]).as_str() {
            "string" => redis.cli(&["GET", key]),
            "hash" => redis.cli(&["HGETALL", key]),
            "zset" => redis.cli(&["ZRANGE", key, "0", "-1", "WITHSCORES"]),
            "stream" => redis.cli(&["XRANGE", key, "-", "+"]),
            // It has come to its end meanwhile.
            "none" => continue,
            other => panic!("{key} is a {other}"),
        };
        watch.saw("redis", format!("{key} {value}"));
    }
}

/// Keeps what `hookgate check` says.
async fn keep_check(watch: &mut Watch, setup: &Setup) {
    let mut check = setup.command("check");
    // Not on this thread: the proxy to the broker lives on it.
    let said = tokio::task::spawn_blocking(move || check.output().unwrap());
    let said = said.await.unwrap();
    watch.saw("check", [said.stdout, said.stderr].concat());
}

/// Starts a gateway whose ledger and broker do not take its passwords, and keeps what it says.
async fn refused_by_backends(watch: &mut Watch, redis: &Redis, amqp: &str) {
    let password = percent_encoded(watch.plant("wrong password of redis").as_bytes());
    let ledger = format!("redis://:{password}@127.0.0.1:{}", redis.port());
    let password = percent_encoded(watch.plant("wrong password of the broker").as_bytes());
    let (user, place) = (
        amqp.split(':').nth(1).unwrap(),
        amqp.rsplit('@').next().unwrap(),
    );
    let publisher = format!("amqp:{user}:{password}@{place}");
    let setup = Setup::new().ledger(&ledger).publisher(&publisher, "");
    let setup = endpoints(setup, &watch.secrets);
    let mut gateway = setup.start().await;
    until_logged(&gateway, "broker unavailable", |_| true).await;
    gateway.until_ready(false).await;
    let charge = watch.sign(
        "stripe",
        &watch.secrets.stripe.clone(),
        sample("stripe", "refused"),
    );
    watch
        .rejected(&gateway, "charges", &charge, "ledger_unavailable")
        .await;
    watch.saw_admin(&gateway).await;
    keep_check(watch, &setup).await;
    gateway.terminate().await;
    watch.saw_output(&gateway);
}

#[tokio::test]
async fn with_redis_and_rabbitmq_no_secret_is_kept_or_told() {
    let mut redis = Redis::with(Options {
        append_only: true,
        password: Some(REDIS_PASSWORD),
        ..Options::default()
    });
    let vhost = Broker::shared().await.vhost().await;
    let mut inbox = vhost.inbox_of(EXCHANGE).await;
    let proxy = Proxy::to(vhost.broker.port()).await;
    let mut watch = Watch::new();
    let amqp = user_of(&vhost, &watch.plant("password of the broker"), proxy.port()).await;
    let setup = Setup::new().ledger(&redis.url()).publisher(&amqp, "");
    let setup = endpoints(setup, &watch.secrets);
    let mut gateway = setup.start().await;
    gateway.until_metric(PUBLISHER_READY, 1).await;
    keep_check(&mut watch, &setup).await;

    accept_some(&mut watch, &gateway).await;
    refuse_some(&mut watch, &gateway).await;
    let stripe = watch.secrets.stripe.clone();
    let charge = watch.sign("stripe", &stripe, sample("stripe", "outage"));
    redis.stop();
    watch
        .rejected(&gateway, "charges", &charge, "ledger_unavailable")
        .await;
    gateway.until_ready(false).await;
    watch.saw_admin(&gateway).await;
    redis.start_again();
    gateway.until_ready(true).await;
    proxy.cut();
    gateway.until_metric(PUBLISHER_READY, 0).await;
    watch.accepted_and_again(&gateway, "charges", &charge).await;
    watch.saw_admin(&gateway).await;
    proxy.mend();
    gateway.until_metric(OWED, 0).await;
    reload_some(&mut watch, &gateway, &setup).await;
    refused_by_backends(&mut watch, &redis, &amqp).await;

    keep_messages(&mut watch, &mut inbox).await;
    watch.saw_admin(&gateway).await;
    keep_redis(&mut watch, &redis);
    assert_eq!(gateway.terminate().await, Some(0));
    watch.saw_output(&gateway);
    watch.nothing_told(&[
        ("a message", CANARY),
        ("redis", CANARY),
        ("stderr", "ledger_unavailable"),
        ("/metrics", "endpoint=\"issues\""),
        ("check", "takes writes"),
    ]);
}

#[tokio::test]
async fn with_sqlite_and_stdout_no_secret_is_kept_or_told() {
    let mut watch = Watch::new();
    let setup = endpoints(Setup::new(), &watch.secrets);
    let mut gateway = setup.start().await;
    accept_some(&mut watch, &gateway).await;
    refuse_some(&mut watch, &gateway).await;
    reload_some(&mut watch, &gateway, &setup).await;
    watch.saw_admin(&gateway).await;
    // Once with its write-ahead log, and once as it is closed.
    keep_files(&mut watch, &setup);
    assert_eq!(gateway.terminate().await, Some(0));
    keep_files(&mut watch, &setup);
    watch.saw_output(&gateway);
    watch.nothing_told(&[
        ("stdout", CANARY),
        ("ledger.db", CANARY),
        ("ledger.db-wal", CANARY),
        ("stderr", "signature_mismatch"),
    ]);
}

/// Keeps the files of the ledger.
fn keep_files(watch: &mut Watch, setup: &Setup) {
    for entry in std::fs::read_dir(setup.dir()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("ledger.db") {
            watch.saw(&name, std::fs::read(&path).unwrap());
        }
    }
}
