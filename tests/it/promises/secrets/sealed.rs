//! Data that is sealed to a worker stands nowhere in the clear: not in a ledger, not in the spool, not in
//! what is published or logged. What another tenant receives shows that the search finds it there.

use hookgate::delivery::Delivery;

use super::{CANARY, Watch, keep_files, keep_redis};
use crate::promises::deliveries::{outcome, sample, sign, to};
use crate::support::process::{Gateway, SECRET, Setup};
use crate::support::proxy::Proxy;
use crate::support::redis::{Options, Redis};
use crate::support::until;

/// The public key of RFC 8037 appendix A.6.
const WORKER: &str =
    r#"{"kty":"OKP","crv":"X25519","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}"#;

/// A gateway that seals what `sealed` receives, and not what `open` does.
fn setup(setup: Setup) -> Setup {
    std::fs::write(setup.dir().join("worker.jwk.json"), WORKER).unwrap();
    let secrets = "secrets = [\"env:SECRET\"]";
    let tenant = "[[tenant]]\nid = \"acme\"\nseal_to = \"file:worker.jwk.json\"";
    setup
        .server("log_level = \"trace\"")
        .endpoint_with("sealed", "acme", "github", secrets)
        .endpoint_with("open", "globex", "github", &format!("{secrets}\n{tenant}"))
}

/// A delivery of GitHub's that says something.
fn saying(id: &str, media_type: &str, body: String) -> Delivery {
    let mut delivery = sample("github", id);
    super::set(&mut delivery, "content-type", media_type);
    delivery.body = body.into();
    sign("github", SECRET, delivery)
}

/// Sends data of every kind to be sealed, and one delivery that anybody may see.
async fn send_some(watch: &mut Watch, gateway: &Gateway, name: &str) {
    let json = serde_json::json!({ "note": watch.plant("sealed json"), "action": "x" });
    let form = super::percent_encoded(watch.plant("sealed form").as_bytes());
    let bytes = watch.plant("sealed bytes");
    for (n, (media_type, body)) in [
        ("application/json", json.to_string()),
        ("application/x-www-form-urlencoded", format!("note={form}")),
        ("application/octet-stream", bytes),
    ]
    .into_iter()
    .enumerate()
    {
        let delivery = saying(&format!("{name}{n}"), media_type, body);
        let answer = gateway.send(to("sealed", &delivery)).await;
        assert_eq!(outcome(&answer), "accepted", "{answer:?}");
    }
    let seen = serde_json::json!({ "note": format!("{CANARY}-{name}"), "action": "x" });
    let delivery = saying(name, "application/json", seen.to_string());
    let answer = gateway.send(to("open", &delivery)).await;
    assert_eq!(outcome(&answer), "accepted", "{answer:?}");
}

#[tokio::test]
async fn sealed_data_is_nowhere_in_sqlite_nor_in_what_is_published() {
    let mut watch = Watch::new();
    let setup = setup(Setup::new());
    let mut gateway = setup.start().await;
    send_some(&mut watch, &gateway, "a").await;
    watch.saw_admin(&gateway).await;
    // Once with its write-ahead log, and once as it is closed.
    keep_files(&mut watch, &setup, "ledger.db");
    assert_eq!(gateway.terminate().await, Some(0));
    keep_files(&mut watch, &setup, "ledger.db");
    watch.saw_output(&gateway);
    let sealed = |(what, text): &(String, Vec<u8>)| {
        what == "stdout"
            && String::from_utf8_lossy(text)
                .matches("\"sealedfor\":")
                .count()
                == 3
    };
    assert!(watch.seen.iter().any(sealed));
    watch.nothing_told(&[
        ("stdout", CANARY),
        ("ledger.db", CANARY),
        ("ledger.db-wal", CANARY),
    ]);
}

#[tokio::test]
async fn sealed_data_is_nowhere_in_redis_nor_in_the_spool() {
    let mut redis = Redis::with(Options {
        append_only: true,
        ..Options::default()
    });
    let proxy = Proxy::to(redis.port()).await;
    let mut watch = Watch::new();
    let base = Setup::new().ledger(&format!("redis://127.0.0.1:{}", proxy.port()));
    // Found among the files of the ledger.
    let spool = base.dir().join("ledger.db-spool");
    let lines = format!("spool = \"sqlite:{}\"", spool.display());
    let setup = setup(base.ledger_lines(&lines));
    let mut gateway = setup.start().await;
    gateway.until_ready(true).await;
    send_some(&mut watch, &gateway, "a").await;
    proxy.cut();
    send_some(&mut watch, &gateway, "b").await;
    keep_files(&mut watch, &setup, "ledger.db");
    proxy.mend();
    until("what was spooled is published", async || {
        gateway.stdout().matches("\"signalid\":").count() == 8
    })
    .await;
    keep_files(&mut watch, &setup, "ledger.db");
    keep_redis(&mut watch, &redis.url());
    let second = format!("{CANARY}-b");
    watch.saw_admin(&gateway).await;
    assert_eq!(gateway.terminate().await, Some(0));
    watch.saw_output(&gateway);
    redis.stop();
    watch.nothing_told(&[
        ("stdout", &second),
        ("redis", CANARY),
        ("redis", &second),
        ("ledger.db-spool-wal", &second),
    ]);
}
