//! Backends that do not take the gateway's passwords, or do not speak with it at all.

use super::markers::percent_encoded;
use super::story::endpoints;
use super::{REDIS_PASSWORD, Watch};
use crate::promises::deliveries::sample;
use crate::promises::until_logged;
use crate::support::pki::Pki;
use crate::support::process::Setup;
use crate::support::redis::{Options, Redis};
use crate::support::until;

/// Keeps what `hookgate check` says.
pub(super) async fn keep_check(watch: &mut Watch, setup: &Setup) {
    let mut check = setup.command("check");
    // Not on this thread: the proxy to the broker lives on it.
    let said = tokio::task::spawn_blocking(move || check.output().unwrap());
    let said = said.await.unwrap();
    watch.saw("check", [said.stdout, said.stderr].concat());
}

/// Starts gateways that cannot use their ledger and their broker, and keeps what they say.
pub(super) async fn refused_by_backends(watch: &mut Watch, redis: &Redis, amqp: &str) {
    let user = amqp.split(':').nth(1).unwrap().trim_matches('/');
    let place = amqp.rsplit('@').next().unwrap();
    let (broker, redis) = (place.split('/').next().unwrap(), redis.port());
    // Both refuse the password; none is given; no such names; no TLS where TLS is asked for; TLS where none is.
    for (ledger, publisher) in [
        (
            format!("redis://:PASSWORD@127.0.0.1:{redis}"),
            format!("amqp://{user}:PASSWORD@{place}"),
        ),
        (
            format!("redis://nobody:PASSWORD@127.0.0.1:{redis}"),
            format!("amqp://nobody:PASSWORD@{place}"),
        ),
        (
            format!("redis://127.0.0.1:{redis}"),
            format!("amqp://{user}:PASSWORD@{broker}/nowhere"),
        ),
        (
            "redis://:PASSWORD@redis.invalid:6379".to_owned(),
            "amqp://me:PASSWORD@rabbit.invalid/v".to_owned(),
        ),
        (
            format!("rediss://:PASSWORD@127.0.0.1:{redis}"),
            format!("amqps://me:PASSWORD@{broker}/v"),
        ),
        (
            format!("rediss+sentinel://:PASSWORD@127.0.0.1:{redis}/mymaster"),
            format!("amqps://me:PASSWORD@{broker}/v"),
        ),
    ] {
        let mut with_password = |url: String| {
            let password = watch.plant("wrong password");
            url.replace("PASSWORD", &percent_encoded(password.as_bytes()))
        };
        let (ledger, publisher) = (with_password(ledger), with_password(publisher));
        refused(watch, &ledger, &publisher).await;
    }
}

async fn refused(watch: &mut Watch, ledger: &str, publisher: &str) {
    let pki = tempfile::tempdir().unwrap();
    let pki = (Pki::write(pki.path()), pki);
    let mut lines = [String::new(), String::new()];
    if ledger.starts_with("rediss") {
        let file = |name: &str| pki.0.file(name).display().to_string();
        let (ca, chain, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
        for line in std::fs::read_to_string(&key).unwrap().lines() {
            if !line.starts_with('-') {
                watch.markers.remember("client key", line.as_bytes());
            }
        }
        lines = lines.map(|_| {
            format!("ca_file = {ca:?}\nclient_cert_file = {chain:?}\nclient_key_file = {key:?}\n")
        });
    }
    let sentinels = watch.plant("password of the sentinels");
    if ledger.contains("sentinel") {
        lines[0] += "sentinel_password = \"env:SENTINELS\"\n";
    }
    let setup = Setup::new().environment("SENTINELS", &sentinels);
    let setup = setup.ledger(ledger).ledger_lines(&lines[0]);
    let setup = setup.publisher(publisher, &lines[1]);
    let setup = endpoints(setup, &watch.secrets);
    let mut gateway = setup.start().await;
    until_logged(&gateway, "broker unavailable", |_| true).await;
    gateway.until_ready(false).await;
    let stripe = watch.secrets.stripe.clone();
    let charge = watch.sign("stripe", &stripe, sample("stripe", "refused"));
    watch
        .rejected(&gateway, "charges", &charge, "ledger_unavailable")
        .await;
    watch.saw_admin(&gateway).await;
    keep_check(watch, &setup).await;
    gateway.terminate().await;
    watch.saw_output(&gateway);
}

#[tokio::test]
async fn a_redis_that_repeats_what_it_was_told_tells_nobody_else() {
    // Before version 6 Redis knew no HELLO, which has the password among its arguments.
    let redis = Redis::with(Options {
        password: Some(REDIS_PASSWORD),
        settings: vec!["rename-command HELLO \"\"".to_owned()],
        ..Options::default()
    });
    let mut watch = Watch::new();
    let setup = Setup::new().ledger(&format!("{}?protocol=resp3", redis.url()));
    let setup = endpoints(setup, &watch.secrets);
    let mut gateway = setup.start().await;
    until("what Redis says is told", async || {
        let (_, text) = gateway.ask("/readyz").await;
        text.contains("unknown command")
    })
    .await;
    watch.saw_admin(&gateway).await;
    keep_check(&mut watch, &setup).await;
    assert_eq!(gateway.terminate().await, Some(0));
    watch.saw_output(&gateway);
    watch.nothing_told(&[("/readyz", "unknown command"), ("check", "unknown command")]);
}
