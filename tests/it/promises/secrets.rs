//! No secret is kept or told: markers go in wherever secrets do, and are looked for wherever
//! anything comes out, with the log at its most talkative.

mod backends;
mod dumps;
mod markers;
mod scarce;
mod sealed;
mod story;

use bytes::Bytes;
use hookgate::delivery::Delivery;
use http::Response;
use std::collections::BTreeSet;

use self::backends::{keep_check, refused_by_backends};
use self::dumps::{keep_redis, keep_sqlite};
use self::markers::{Markers, percent_encoded};
use self::story::{accept_some, endpoints, keep_offline, refuse_some, reload_some, spool_some};
use super::deliveries::{outcome, sample, set, sign, signalid, to};
use super::{EXCHANGE, OWED, PUBLISHER_READY};
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

/// The endpoints' secrets, and what else the configuration refers to.
#[derive(Clone, Debug, Default)]
struct Secrets {
    stripe: String,
    next: String,
    github: String,
    gitlab: String,
    meta: String,
    verify_token: String,
    pseudonyms: String,
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
            meta: markers.plant("meta secret"),
            verify_token: markers.plant("verify token"),
            pseudonyms: markers.plant("pseudonym key"),
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
        let query = if endpoint.contains('?') { '&' } else { '?' };
        let path = format!("{endpoint}{query}token={token}&access_token={token}");
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
        self.saw("how it was called", gateway.called());
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
    keep_offline(&mut watch, &gateway, &setup).await;

    keep_messages(&mut watch, &mut inbox).await;
    watch.saw_admin(&gateway).await;
    keep_redis(&mut watch, &redis.url());
    watch.saw_output(&gateway);
    assert_eq!(gateway.terminate().await, Some(0));
    watch.saw_output(&gateway);
    watch.nothing_told(&[
        ("a message", CANARY),
        ("redis", CANARY),
        ("stderr", "ledger_unavailable"),
        ("/metrics", "endpoint=\"issues\""),
        ("check", "takes writes"),
        ("redis, unpacked", CANARY),
        ("verify", "signature_mismatch"),
        ("stderr", "ACCESS_REFUSED"),
        ("stderr", "authentication failed"),
        ("stderr", "NOAUTH"),
        ("stderr", "failed to lookup address"),
        ("stderr", "amqps://127.0.0.1"),
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
    keep_files(&mut watch, &setup, "ledger.db");
    watch.saw_output(&gateway);
    assert_eq!(gateway.terminate().await, Some(0));
    keep_files(&mut watch, &setup, "ledger.db");
    keep_sqlite(&mut watch, &setup.dir().join("ledger.db"));
    watch.saw_output(&gateway);
    watch.nothing_told(&[
        ("stdout", CANARY),
        ("stdout", "detector:jwt=1"),
        ("stdout", "\"customer\":\"hmac:"),
        ("ledger.db", CANARY),
        ("ledger.db-wal", CANARY),
        ("sqlite, unpacked", CANARY),
        ("how it was called", "serve"),
        ("stderr", "signature_mismatch"),
    ]);
}

#[tokio::test]
async fn in_the_spool_no_secret_is_kept_or_told() {
    let mut redis = Redis::with(Options {
        password: Some(REDIS_PASSWORD),
        ..Options::default()
    });
    let mut watch = Watch::new();
    let setup = Setup::new().ledger(&redis.url());
    let spool = setup.dir().join("spool.db");
    let setup = setup.ledger_lines(&format!("spool = \"sqlite:{}\"", spool.display()));
    let setup = endpoints(setup, &watch.secrets);
    let mut gateway = setup.start().await;
    redis.stop();
    spool_some(&mut watch, &gateway).await;
    watch.saw_admin(&gateway).await;
    keep_files(&mut watch, &setup, "spool.db");
    assert_eq!(gateway.terminate().await, Some(0));
    keep_files(&mut watch, &setup, "spool.db");
    keep_sqlite(&mut watch, &setup.dir().join("spool.db"));
    watch.saw_output(&gateway);
    watch.nothing_told(&[("spool.db", CANARY), ("sqlite", CANARY)]);
}

#[tokio::test]
async fn in_words_for_people_no_secret_is_told() {
    let mut watch = Watch::new();
    let setup = endpoints(Setup::new(), &watch.secrets);
    let mut gateway = setup.start_for_people().await;
    accept_some(&mut watch, &gateway).await;
    refuse_some(&mut watch, &gateway).await;
    assert_eq!(gateway.terminate().await, Some(0));
    watch.saw_output(&gateway);
    watch.nothing_told(&[("stderr", "reason=\"signature_mismatch\"")]);
}

/// Keeps the files of a ledger or a spool.
fn keep_files(watch: &mut Watch, setup: &Setup, named: &str) {
    for entry in std::fs::read_dir(setup.dir()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with(named) {
            watch.saw(&name, std::fs::read(&path).unwrap());
        }
    }
}
