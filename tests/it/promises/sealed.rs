//! What is sealed and signed is opened and verified by the workers of `examples/`, and what somebody on
//! the broker forges has no effect. Keys are made by the commands that docs/SEALING.md shows.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use hookgate::provenance::Signer;
use hookgate::publisher::amqp::SIGNATURE;
use hookgate::sealing::Recipient;
use hookgate::signal::SignalId;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;
use tempfile::TempDir;

use super::deliveries::{signalid, signed, stripe_id, to};
use super::worker::{QUEUE, Source, until_effects};
use super::{EXCHANGE, PUBLISHER_READY};
use crate::gateway::schema;
use crate::support::process::{Gateway, Setup};
use crate::support::rabbit::{Broker, Vhost};
use crate::support::until;
use crate::support::worker::{Language, Worker};

const RELOADED: &str = "hookgate_reloads_total{result=\"ok\"}";

/// Runs the command of the page that contains `words`, changed, in a directory.
fn run(directory: &Path, words: &str, change: impl Fn(&str) -> String) {
    let page = include_str!("../../../docs/SEALING.md");
    let blocks = page.split("```sh\n").skip(1);
    let mut blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    let block = blocks.find(|block| block.contains(words)).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-euc", &change(block)]).current_dir(directory);
    let binary = Path::new(env!("CARGO_BIN_EXE_hookgate")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    shell.env("PATH", format!("{}:{path}", binary.display()));
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{block}: {output:?}");
}

/// Makes a pair that a tenant's data is sealed to: `NAME-private.jwks.json` and `NAME-worker.jwk.json`,
/// whose id is the name.
fn sealing_pair(directory: &Path, name: &str, curve: Curve) {
    let change = |block: &str| {
        let block = block.replace("\"acme-1\"", &format!("{name:?}"));
        let block = block.replace("acme-", &format!("{name}-"));
        match curve {
            Curve::P256 => block,
            Curve::X25519 => block.replace(r#"("ec", { namedCurve: "P-256" })"#, r#"("x25519")"#),
        }
    };
    run(directory, "generateKeyPairSync", change);
    run(directory, "readFileSync", change);
}

/// Makes a pair that signs: `NAME.pem` and `NAME.pub.pem`.
fn signing_pair(directory: &Path, name: &str) {
    run(directory, "genpkey", |block| {
        block.replace("signing.", &format!("{name}."))
    });
}

#[derive(Clone, Copy)]
enum Curve {
    P256,
    X25519,
}

/// A gateway that seals for two tenants of three and signs everything, and the files of a worker.
struct Site {
    directory: TempDir,
    vhost: Vhost<'static>,
    setup: Setup,
}

impl Site {
    async fn new() -> Self {
        let vhost = Broker::shared().await.vhost().await;
        let setup = Setup::new();
        let dir = setup.dir();
        sealing_pair(dir, "acme", Curve::P256);
        sealing_pair(dir, "globex", Curve::X25519);
        sealing_pair(dir, "next", Curve::X25519);
        for name in ["signing", "following", "foreign"] {
            signing_pair(dir, name);
        }
        std::fs::copy(dir.join("signing.pub.pem"), dir.join("announced.pem")).unwrap();
        let publisher = format!(
            "declare = \"{QUEUE}\"\nsigning_key = \"file:signing.pem\"\n\
             announced_keys = [\"file:announced.pem\"]"
        );
        let tenant = |name: &str| {
            format!(
                "secrets = [\"env:SECRET\"]\n[[tenant]]\nid = \"{name}\"\n\
                 seal_to = \"file:{name}-worker.jwk.json\""
            )
        };
        let setup = setup
            .publisher(vhost.address().expose(), &publisher)
            .endpoint_with("charges", "acme", "stripe", &tenant("acme"))
            .endpoint_with("orders", "globex", "stripe", &tenant("globex"))
            .endpoint("open", "initech", "stripe");
        let site = Self {
            directory: tempfile::tempdir().unwrap(),
            vhost,
            setup,
        };
        site.give_private_keys(&["acme", "globex"]);
        site
    }

    /// The key that a file of the gateway holds.
    fn signer(&self, name: &str) -> Signer {
        let pem = std::fs::read_to_string(self.setup.dir().join(format!("{name}.pem")));
        Signer::from_pem(&pem.unwrap()).unwrap()
    }

    /// Gives the worker the private keys of these pairs.
    fn give_private_keys(&self, names: &[&str]) {
        let keys = names.iter().map(|name| {
            let file = self.setup.dir().join(format!("{name}-private.jwks.json"));
            let set: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            set["keys"][0].clone()
        });
        let set = serde_json::json!({ "keys": keys.collect::<Vec<_>>() });
        std::fs::write(self.directory.path().join("private.json"), set.to_string()).unwrap();
    }

    /// Gives the worker the keys that the gateway announces, which its command prints as well.
    async fn give_public_keys(&self, gateway: &Gateway) {
        let (status, set) = gateway.ask("/.well-known/jwks.json").await;
        assert_eq!(status, 200);
        run(self.setup.dir(), "hookgate keys", |block| {
            format!("export SECRET=x LEDGER_URL=sqlite:x PUBLISHER_URL=amqp://x\n{block}")
        });
        let printed = std::fs::read_to_string(self.setup.dir().join("signers.jwks.json"));
        assert_eq!(printed.unwrap(), set);
        std::fs::write(self.directory.path().join("signers.json"), set).unwrap();
    }

    async fn worker(&self, language: Language) -> Worker {
        let (url, dir) = (self.vhost.address(), self.directory.path());
        let mut worker = Worker::prepare(language, url.expose(), QUEUE, dir).await;
        worker.set("SIGNED_BY", dir.join("signers.json"));
        worker.set("OPEN_WITH", dir.join("private.json"));
        worker
    }
}

/// Sends an event, and returns its signal.
async fn send(gateway: &Gateway, endpoint: &str, id: &str) -> String {
    let answer = gateway.send(to(endpoint, &signed("stripe", id))).await;
    let signalid = signalid(&answer);
    assert_eq!(signalid.len(), 36, "{answer:?}");
    signalid
}

/// The text of a header, if it is there.
fn signature(message: &Delivery) -> String {
    let headers = message.properties.headers().as_ref().unwrap();
    let value = headers.inner().get(SIGNATURE).unwrap();
    String::from_utf8(value.as_long_string().unwrap().as_bytes().into()).unwrap()
}

/// Puts a message into the exchange, as somebody on the broker would.
async fn forge(source: &Source, body: &[u8], signature: Option<&str>) {
    let mut headers = FieldTable::default();
    if let Some(signature) = signature {
        headers.insert(SIGNATURE.into(), AMQPValue::LongString(signature.into()));
    }
    let properties = BasicProperties::default().with_headers(headers);
    source.publish_with(body, properties).await;
}

/// An envelope under a name that no worker has seen.
fn renamed(envelope: &[u8]) -> Vec<u8> {
    let mut envelope: Value = serde_json::from_slice(envelope).unwrap();
    let signalid = envelope["signalid"].as_str().unwrap();
    let last = if signalid.ends_with('0') { "1" } else { "0" };
    envelope["signalid"] = format!("{}{last}", &signalid[..35]).into();
    serde_json::to_vec(&envelope).unwrap()
}

async fn what_is_forged_has_no_effect(language: Language) {
    let site = Site::new().await;
    let mut inbox = site.vhost.inbox_of(EXCHANGE).await;
    let gateway = site.setup.start().await;
    gateway.until_metric(PUBLISHER_READY, 1).await;
    site.give_public_keys(&gateway).await;
    let mut worker = site.worker(language).await;
    worker.start();
    let mut expected = BTreeMap::new();
    let mut sealed = Vec::new();
    for (endpoint, id) in [("charges", "one"), ("orders", "two"), ("open", "three")] {
        expected.insert(send(&gateway, endpoint, id).await, stripe_id(id));
        let message = inbox.next().await;
        let text = String::from_utf8(message.data.clone()).unwrap();
        assert_eq!(
            text.contains("\"sealedfor\":"),
            endpoint != "open",
            "{text}"
        );
        assert_eq!(text.contains("\"object\":"), endpoint == "open", "{text}");
        schema::check(&serde_json::from_str(&text).unwrap());
        sealed.push(message);
    }
    until_effects(&worker, expected.len()).await;

    let source = Source::open(&site.vhost).await;
    let [one, two, open] = &sealed[..] else {
        panic!("three messages");
    };
    // Readable data, so that nothing but the signature keeps the worker from it: changed under the
    // signature it had, not signed, and with the signature of another message.
    let body = renamed(&open.data);
    forge(&source, &body, Some(&signature(open))).await;
    forge(&source, &body, None).await;
    forge(&source, &body, Some(&signature(two))).await;
    // What looks right: the header is the gateway's own.
    let header = signature(one).split('.').next().unwrap().to_owned();
    let nonsense = format!("{header}..{}", "A".repeat(86));
    forge(&source, &body, Some(&nonsense)).await;
    // Signed by a key that nobody announced.
    forge(&source, &body, Some(&site.signer("foreign").sign(&body))).await;
    forge(&source, &body, Some("no signature")).await;
    // Data that belongs to another signal, as a gateway never sends it: not even its signature helps.
    let signer = site.signer("signing");
    for message in [one, two] {
        let body = renamed(&message.data);
        forge(&source, &body, Some(&signer.sign(&body))).await;
    }
    // Sealed data in which one character is another one.
    let text = String::from_utf8(renamed(&one.data)).unwrap();
    let at = text.rfind('.').unwrap() - 2;
    let other = if text.as_bytes()[at] == b'A' {
        "B"
    } else {
        "A"
    };
    let body = format!("{}{other}{}", &text[..at], &text[at + 1..]);
    forge(
        &source,
        body.as_bytes(),
        Some(&signer.sign(body.as_bytes())),
    )
    .await;

    // What anybody with the worker's public key can seal.
    let text = std::fs::read_to_string(site.setup.dir().join("acme-worker.jwk.json")).unwrap();
    let mut envelope: Value = serde_json::from_slice(&renamed(&one.data)).unwrap();
    let named = SignalId::parse(envelope["signalid"].as_str().unwrap()).unwrap();
    let recipient = Recipient::parse(&text).unwrap();
    let media_type = Some("application/json");
    envelope["data"] = recipient
        .seal(b"{".into(), media_type, named)
        .unwrap()
        .into();
    let body = serde_json::to_vec(&envelope).unwrap();
    forge(&source, &body, Some(&signer.sign(&body))).await;

    let mut dead = site.vhost.inbox("hookgate.dead").await;
    for _ in 0..10 {
        dead.next().await;
    }
    expected.insert(send(&gateway, "charges", "last").await, stripe_id("last"));
    until_effects(&worker, expected.len()).await;
    worker.end().await;
    let data = worker.data();
    assert_eq!(
        data.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (signalid, id) in &expected {
        let data: Value = serde_json::from_str(&data[signalid]).unwrap();
        assert_eq!(data["id"], id.as_str());
    }
    let log = worker.log();
    for (reason, times) in [
        ("it is not signed", 1),
        ("its signature is no detached JWS", 1),
        ("its signature does not verify", 3),
        ("its signature is by an unknown key", 1),
        ("its data was sealed for another signal", 2),
        ("its data was changed", 1),
        ("its data is no JSON", 1),
    ] {
        let line = format!("refused: {reason}\n");
        assert_eq!(log.matches(&line).count(), times, "{reason}: {log}");
    }
}

async fn both_keys_can_be_changed(language: Language) {
    let site = Site::new().await;
    let gateway = site.setup.start().await;
    gateway.until_metric(PUBLISHER_READY, 1).await;
    let mut inbox = site.vhost.inbox_of(EXCHANGE).await;
    site.give_public_keys(&gateway).await;
    let mut worker = site.worker(language).await;
    if language != Language::Rust {
        // The other two ask the gateway itself.
        let url = format!("http://{}/.well-known/jwks.json", gateway.admin());
        worker.set("SIGNED_BY", url);
    }
    worker.start();
    let mut expected = vec![send(&gateway, "charges", "first").await];
    until_effects(&worker, 1).await;
    // One waits in the queue, sealed and signed with the old keys.
    worker.end().await;
    expected.push(send(&gateway, "charges", "waits").await);
    inbox.next().await;
    let old = inbox.next().await;
    worker.start();
    until_effects(&worker, 2).await;

    let dir = site.setup.dir();
    let replace = |from: &str, to: &str| {
        std::fs::copy(dir.join(from), dir.join(to)).unwrap();
    };
    // The worker keeps running, and has the keys before the gateway uses them.
    site.give_private_keys(&["acme", "globex", "next"]);
    replace("next-worker.jwk.json", "acme-worker.jwk.json");
    replace("following.pem", "signing.pem");
    let key_id = site.signer("following").key_id().to_owned();
    gateway.signal("-HUP");
    until("the new key signs", async || {
        let (_, set) = gateway.ask("/.well-known/jwks.json").await;
        let set: Value = serde_json::from_str(&set).unwrap();
        set["keys"][0]["kid"] == key_id.as_str() && set["keys"].as_array().unwrap().len() == 2
    })
    .await;
    until("the reload is done", async || {
        gateway.metric(RELOADED).await >= 1
    })
    .await;
    site.give_public_keys(&gateway).await;
    expected.push(send(&gateway, "charges", "second").await);
    let new = inbox.next().await;
    until_effects(&worker, 3).await;
    // What was signed and sealed before comes again to a worker that has seen nothing yet.
    worker.end().await;
    let again = site.directory.path().join(format!("{QUEUE}.db"));
    std::fs::remove_file(again).unwrap();
    let source = Source::open(&site.vhost).await;
    for message in [&old, &new] {
        forge(&source, &message.data, Some(&signature(message))).await;
    }
    worker.start();
    until_effects(&worker, 2).await;
    worker.end().await;
    assert_eq!(worker.data().into_keys().collect::<Vec<_>>(), {
        let mut both = expected[1..].to_vec();
        both.sort();
        both
    });
    let sealed_for = [&old, &new].map(|message| {
        let envelope: Value = serde_json::from_slice(&message.data).unwrap();
        envelope["sealedfor"].as_str().unwrap().to_owned()
    });
    assert_eq!(sealed_for, ["acme", "next"]);
    assert!(!worker.log().contains("refused"), "{}", worker.log());
}

#[tokio::test]
async fn the_worker_in_python_refuses_what_is_forged() {
    what_is_forged_has_no_effect(Language::Python).await;
}

#[tokio::test]
async fn the_worker_in_node_refuses_what_is_forged() {
    what_is_forged_has_no_effect(Language::Node).await;
}

#[tokio::test]
async fn the_worker_in_rust_refuses_what_is_forged() {
    what_is_forged_has_no_effect(Language::Rust).await;
}

#[tokio::test]
async fn the_worker_in_python_follows_both_keys() {
    both_keys_can_be_changed(Language::Python).await;
}

#[tokio::test]
async fn the_worker_in_node_follows_both_keys() {
    both_keys_can_be_changed(Language::Node).await;
}

#[tokio::test]
async fn the_worker_in_rust_follows_both_keys() {
    both_keys_can_be_changed(Language::Rust).await;
}
