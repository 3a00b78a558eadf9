//! What happens to a gateway while it is watched: deliveries of every kind, and reloads.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hookgate::clock;
use hookgate::delivery::Delivery;
use http::Method;

use super::markers::percent_encoded;
use super::{CANARY, Secrets, Watch};
use crate::promises::deliveries::{outcome, sample, set, sign, sign_at};
use crate::promises::until_logged;
use crate::support::process::{Gateway, Setup};

/// Adds endpoints for every kind of acceptance and refusal, and writes the file with a secret.
pub(super) fn endpoints(setup: Setup, secrets: &Secrets) -> Setup {
    std::fs::write(setup.dir().join("next"), &secrets.next).unwrap();
    let stripe = "secrets = [\"env:STRIPE_SECRET\", \"file:next\"]";
    let with = |lines: &str| format!("{stripe}\n{lines}");
    let tenant = "[[tenant]]\nid = \"acme\"\npseudonym_key = \"env:PSEUDONYMS\"\n";
    let meta = "secrets = [\"env:META_SECRET\"]\nparams = { verify_token = \"env:VERIFY_TOKEN\" }";
    setup
        .server("log_level = \"trace\"")
        .environment("STRIPE_SECRET", &secrets.stripe)
        .environment("GITHUB_SECRET", &secrets.github)
        .environment("GITLAB_TOKEN", &secrets.gitlab)
        .environment("META_SECRET", &secrets.meta)
        .environment("VERIFY_TOKEN", &secrets.verify_token)
        .environment("PSEUDONYMS", &secrets.pseudonyms)
        .section(tenant)
        .endpoint_with("messages", "acme", "meta", meta)
        .endpoint_with("left-out", "acme", "stripe", &with("events = [\"none.*\"]"))
        .endpoint_with("seldom", "acme", "stripe", &with("rate = \"1/s\"\nburst = 1"))
        .endpoint_with("charges", "acme", "stripe", stripe)
        .endpoint_with("paused", "acme", "stripe", &with("state = \"paused\""))
        .endpoint_with("closed", "acme", "stripe", &with("state = \"disabled\""))
        .endpoint_with("inside", "acme", "stripe", &with("allow_ips = [\"192.0.2.7\"]"))
        .endpoint_with("small", "acme", "stripe", &with("max_body = 100"))
        .endpoint_with(
            "issues",
            "acme",
            "github",
            "secrets = [\"env:GITHUB_SECRET\"]\nredact = { keys = [\"iban\"], paths = [\"/card/*/number\"], rules = [\
             { key = \"customer\", action = \"hash\" }, { key = \"dropped\", action = \"remove\" }, \
             { value = \"ref-[^ ]+\", action = \"mask\" }] }",
        )
        .endpoint_with("merges", "acme", "gitlab", "secrets = [\"env:GITLAB_TOKEN\"]")
}

/// A delivery of GitHub's with this body.
fn issue(content_type: &str, id: &str, body: String) -> Delivery {
    let mut delivery = sample("github", id);
    set(&mut delivery, "content-type", content_type);
    delivery.body = body.into();
    delivery
}

/// Sends deliveries that carry secrets in every place that redaction names.
pub(super) async fn accept_some(watch: &mut Watch, gateway: &Gateway) {
    let Secrets {
        stripe,
        next,
        github,
        gitlab,
        meta,
        verify_token,
        ..
    } = watch.secrets.clone();
    // What detectors find has a form of its own.
    let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"somebody","of":"the-test"}"#);
    let jwt = format!("eyJhbGciOiJIUzI1NiJ9.{claims}.{}", "c2ln".repeat(11));
    watch
        .markers
        .remember("token of a known form", jwt.as_bytes());
    let in_url = "p4ssw0rd-in-a-url-of-the-test";
    watch
        .markers
        .remember("password in a URL", in_url.as_bytes());
    let mut planted = |what: &str| watch.plant(what);
    let json = serde_json::json!({
        "action": CANARY,
        "access_token": planted("access token"),
        "password": planted("password"),
        "nested": { "client_secret": planted("client secret"), "deep": [
            { "refreshToken": planted("refresh token") },
            { "headers": { "Authorization": planted("authorization in the body") } },
            [{ "db_password": [planted("list of passwords")] }],
        ]},
        "token": { "inner": planted("object under a name that is taken out") },
        "iban": planted("key of the endpoint's own rules"),
        "card": [{ "number": planted("path of the endpoint's own rules") }],
        "sender": { "login": planted("path of the provider's definition") },
        "customer": planted("value with a pseudonym"),
        "dropped": planted("value that is left out"),
        "text": format!("see ref-{} there", planted("part that a pattern matches")),
        "header": format!("sent with {jwt}, it said"),
        "mirror": format!("https://somebody:{in_url}@mirror.example/"),
        "note": format!("signed with {github}, you know"),
        // Long enough to be kept compressed.
        "seen": format!("{CANARY} ").repeat(200),
        "encoded": STANDARD.encode(&github),
        "in hex": hex::encode(&github),
        "link": format!("https://x.example/?s={}", percent_encoded(github.as_bytes())),
    });
    let form = format!(
        "seen={CANARY}&access_token={}&password={}&note={}",
        percent_encoded(planted("token in a form").as_bytes()),
        percent_encoded(planted("password in a form").as_bytes()),
        percent_encoded(github.as_bytes()),
    );
    let form_type = "application/x-www-form-urlencoded";
    for delivery in [
        issue("application/json", "1", json.to_string()),
        issue(form_type, "2", form),
    ] {
        let delivery = watch.sign("github", &github, delivery);
        watch.accepted_and_again(gateway, "issues", &delivery).await;
        let mut replayed = delivery;
        set(&mut replayed, "x-github-delivery", "another");
        let answer = watch.send(gateway, "issues", &replayed).await;
        assert_eq!(outcome(&answer), "replayed");
    }
    let mut named = issue("application/json", "3", "{}".to_owned());
    set(&mut named, "x-github-delivery", &github);
    set(&mut named, "x-github-event", &github);
    let named = watch.sign("github", &github, named);
    watch.accepted_and_again(gateway, "issues", &named).await;

    for (id, secret) in [("1", &stripe), ("2", &next)] {
        let charge = watch.sign("stripe", secret, sample("stripe", id));
        watch.accepted_and_again(gateway, "charges", &charge).await;
    }
    let merge = sign("gitlab", &gitlab, sample("gitlab", "1"));
    watch.accepted_and_again(gateway, "merges", &merge).await;

    let mut message = sample("meta", "1");
    let told = serde_json::json!({ "note": format!("with {verify_token}"), "seen": CANARY });
    let change = serde_json::json!({ "field": "feed", "value": told });
    let entry = serde_json::json!({ "id": "1", "time": 1, "changes": [change] });
    message.body = serde_json::json!({ "object": "page", "entry": [entry] })
        .to_string()
        .into();
    let message = watch.sign("meta", &meta, message);
    watch
        .accepted_and_again(gateway, "messages", &message)
        .await;

    let charge = watch.sign("stripe", &stripe, sample("stripe", "left-out"));
    let answer = watch.send(gateway, "left-out", &charge).await;
    assert_eq!(outcome(&answer), "filtered");
    let answer = watch
        .send(gateway, &subscription(&verify_token), &plain_get())
        .await;
    assert_eq!(outcome(&answer), "handshake");
}

/// The path of a check whether the endpoint is its owner's, with the token that was agreed on.
fn subscription(token: &str) -> String {
    let token = percent_encoded(token.as_bytes());
    format!("messages?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}")
}

fn plain_get() -> Delivery {
    let mut delivery = sample("meta", "1");
    delivery.method = Method::GET;
    delivery.body = Default::default();
    delivery
}

/// Sends deliveries that the spool keeps.
pub(super) async fn spool_some(watch: &mut Watch, gateway: &Gateway) {
    let github = watch.secrets.github.clone();
    for (id, filler) in [("1", String::new()), ("2", CANARY.repeat(200))] {
        let body = serde_json::json!({
            "action": CANARY,
            "password": watch.plant("password"),
            "note": format!("signed with {github}, you know"),
            "filler": filler,
        });
        let delivery = issue("application/json", id, body.to_string());
        let delivery = watch.sign("github", &github, delivery);
        let answer = watch.send(gateway, "issues", &delivery).await;
        assert_eq!(outcome(&answer), "accepted");
    }
}

/// Keeps what the commands say that work on one delivery.
pub(super) async fn keep_offline(watch: &mut Watch, gateway: &Gateway, setup: &Setup) {
    let github = watch.secrets.github.clone();
    let body = format!("{{\"password\":\"{}\"}}", watch.plant("password offline"));
    let good = watch.sign(
        "github",
        &github,
        issue("application/json", "offline", body),
    );
    let changed = |change: fn(&mut Delivery)| {
        let mut delivery = good.clone();
        change(&mut delivery);
        delivery
    };
    let file = setup.dir().join("recorded.json");
    for delivery in [
        good.clone(),
        changed(|delivery| delivery.body = [&delivery.body[..], b" "].concat().into()),
        changed(|delivery| set(delivery, "x-hub-signature-256", "sha256=nonsense")),
        changed(|delivery| drop(delivery.headers.remove("x-hub-signature-256"))),
    ] {
        let headers: BTreeMap<&str, &str> = delivery
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        let recorded = serde_json::json!({
            "headers": headers,
            "body": String::from_utf8(delivery.body.to_vec()).unwrap(),
        });
        std::fs::write(&file, recorded.to_string()).unwrap();
        for secret in [
            "env:GITHUB_SECRET",
            "env:GITLAB_TOKEN",
            "env:NOTHING",
            "file:recorded.json",
        ] {
            let mut verify = setup.offline("verify");
            verify
                .args(["--provider", "github", "--secret", secret])
                .arg(&file);
            let said = verify.output().unwrap();
            watch.saw("verify", [said.stdout, said.stderr].concat());
        }
    }
    let url = format!("http://{}/hooks/issues", gateway.public());
    let mut send = setup.offline("send");
    send.args([
        "--provider",
        "github",
        "--secret",
        "env:GITHUB_SECRET",
        &url,
    ]);
    let said = tokio::task::spawn_blocking(move || send.output().unwrap());
    let said = said.await.unwrap();
    watch.saw("send", [said.stdout, said.stderr].concat());
}

/// Sends deliveries that are refused, for every reason that can be brought about at once.
pub(super) async fn refuse_some(watch: &mut Watch, gateway: &Gateway) {
    let (stripe, github) = (watch.secrets.stripe.clone(), watch.secrets.github.clone());
    let charge = watch.sign("stripe", &stripe, sample("stripe", "refused"));
    for (endpoint, reason) in [
        ("nowhere", "unknown_endpoint"),
        ("paused", "paused"),
        ("closed", "disabled"),
        ("inside", "ip_denied"),
        ("small", "body_too_large"),
    ] {
        watch.rejected(gateway, endpoint, &charge, reason).await;
    }
    let with_header = |value: &str| {
        let mut delivery = charge.clone();
        set(&mut delivery, "stripe-signature", value);
        delivery
    };
    let (junk, time) = (
        watch.plant("junk for a signature"),
        clock::now().as_second(),
    );
    let tag = "00".repeat(32);
    for (delivery, reason) in [
        (
            with_header(&format!("t={time},v1={junk}")),
            "signature_malformed",
        ),
        (
            with_header(&format!("t={junk},v1={tag}")),
            "timestamp_malformed",
        ),
        (with_header(&format!("v1={tag}")), "timestamp_missing"),
        (
            with_header(&format!("t={time},v1={tag}")),
            "signature_mismatch",
        ),
    ] {
        watch.rejected(gateway, "charges", &delivery, reason).await;
    }
    let mut twice = charge.clone();
    let value = twice.headers["stripe-signature"].clone();
    twice.headers.append("stripe-signature", value);
    watch
        .rejected(gateway, "charges", &twice, "signature_ambiguous")
        .await;
    let mut unsigned = charge.clone();
    unsigned.headers.remove("stripe-signature");
    watch
        .rejected(gateway, "charges", &unsigned, "signature_missing")
        .await;
    let mut get = charge.clone();
    get.method = Method::GET;
    watch.rejected(gateway, "charges", &get, "method").await;
    for (at, reason) in [
        (
            clock::now() - jiff::SignedDuration::from_mins(10),
            "timestamp_stale",
        ),
        (
            clock::now() + jiff::SignedDuration::from_mins(10),
            "timestamp_future",
        ),
    ] {
        let mut untimely = sample("stripe", reason);
        sign_at("stripe", &stripe, &mut untimely, at);
        watch.remember_tag(&untimely);
        watch.rejected(gateway, "charges", &untimely, reason).await;
    }

    for (content_type, body) in [
        (
            "application/json",
            format!(
                "{{\"password\":\"{}\",",
                watch.plant("password in bad JSON")
            ),
        ),
        (
            "application/json",
            format!("{{\"password\":{}}}", watch.plant("bare password")),
        ),
    ] {
        let malformed = watch.sign("github", &github, issue(content_type, "bad", body));
        watch
            .rejected(gateway, "issues", &malformed, "body_malformed")
            .await;
    }
    let marker = watch.plant("secret that is too deep");
    let deep = format!(
        "{}{{\"password\":\"{marker}\"}}{}",
        "[".repeat(200),
        "]".repeat(200)
    );
    let surrogate = format!(
        "{{\"password\":\"{}\\ud800\"}}",
        watch.plant("half a character")
    );
    let marker = percent_encoded(watch.plant("secret of many fields").as_bytes());
    let many = format!("password={marker}") + &"&a=b".repeat(hookgate::redact::MAX_FIELDS);
    for (content_type, body) in [
        ("application/json", deep),
        ("application/json", surrogate),
        ("application/x-www-form-urlencoded", many),
    ] {
        let unredactable = watch.sign("github", &github, issue(content_type, "bad", body));
        watch
            .rejected(gateway, "issues", &unredactable, "body_too_large")
            .await;
    }
    let mut empty = sample("stripe", "refused");
    empty.body = Default::default();
    let empty = watch.sign("stripe", &stripe, empty);
    watch
        .rejected(gateway, "charges", &empty, "body_malformed")
        .await;
    // However slow the machine is, at some time two come within a second.
    while gateway.deliveries("rejected", "rate_limited").await == 0 {
        watch.send(gateway, "seldom", &charge).await;
    }
    let token = watch.plant("wrong verify token");
    watch
        .rejected(
            gateway,
            &subscription(&token),
            &plain_get(),
            "token_invalid",
        )
        .await;
    let mut merge = sample("gitlab", "refused");
    set(&mut merge, "x-gitlab-token", &watch.plant("wrong token"));
    watch
        .rejected(gateway, "merges", &merge, "token_invalid")
        .await;
}

/// Mistakes in a configuration: what is replaced, by what, and what the log says of it. `MARKER` is a
/// secret where none belongs, `ENCODED` one that is percent-encoded.
const MISTAKES: [(&str, &str, &str); 10] = [
    (
        "[\"env:GITHUB_SECRET\"]",
        "[\"MARKER\"]",
        "is a literal secret",
    ),
    ("[\"env:GITHUB_SECRET\"]", "[\"Env:MARKER\"]", "`secrets`"),
    ("[\"env:GITHUB_SECRET\"]", "\"MARKER\"", "`secrets`"),
    (
        "[\"env:GITHUB_SECRET\"]",
        "[\"MARKER\", oops]",
        "not valid TOML",
    ),
    ("[\"env:GITHUB_SECRET\"]", "[MARKER]", "not valid TOML"),
    (
        "\"env:LEDGER_URL\"",
        "\"redis//:ENCODED@127.0.0.1\"",
        "`url`",
    ),
    // What follows a slash would pass for a path, and what is before it for a port.
    (
        "\"env:LEDGER_URL\"",
        "\"redis://me:12/ENCODED@127.0.0.1\"",
        "an `@` follows the host",
    ),
    (
        "\"env:PUBLISHER_URL\"",
        "\"amqp://me:12?ENCODED@127.0.0.1\"",
        "an `@` follows the host",
    ),
    (
        "\"env:PUBLISHER_URL\"",
        "\"kafka://me:ENCODED@127.0.0.1\"",
        "is no publisher",
    ),
    (
        "\"env:PUBLISHER_URL\"",
        "\"amqp://me:ENCODED@127.0.0.1\" oops",
        "not valid TOML",
    ),
];

/// Reloads configurations with mistakes in them, and one that only deserves warnings.
pub(super) async fn reload_some(watch: &mut Watch, gateway: &Gateway, setup: &Setup) {
    let good = setup.text();
    for (n, (right, wrong, said)) in MISTAKES.into_iter().enumerate() {
        let marker = watch.plant("secret in a bad file");
        let encoded = percent_encoded(marker.as_bytes());
        let wrong = wrong
            .replace("MARKER", &marker)
            .replace("ENCODED", &encoded);
        // Each has its mistake on a line of its own, by which it is told from the others.
        let text = "#\n".repeat(100 * n) + &good.replacen(right, &wrong, 1);
        let line = text.lines().position(|line| line.contains(&wrong)).unwrap() + 1;
        setup.write(&text);
        gateway.signal("-HUP");
        let place = format!("hookgate.toml:{line}:");
        until_logged(gateway, NOT_RELOADED, |line| {
            let problem = line["problem"].as_str().unwrap_or_default();
            problem.contains(&place) && problem.contains(said)
        })
        .await;
    }
    let password = percent_encoded(watch.plant("password in the file").as_bytes());
    let url = format!("\"redis://:{password}@127.0.0.1:1\"");
    setup.write(&good.replacen("\"env:LEDGER_URL\"", &url, 1));
    std::fs::write(
        setup.dir().join("next"),
        format!(" {} ", watch.secrets.next),
    )
    .unwrap();
    gateway.signal("-HUP");
    until_logged(gateway, "configuration reloaded", |_| true).await;
}

const NOT_RELOADED: &str = "configuration not reloaded: the one in force stays";
