//! What happens to a gateway while it is watched: deliveries of every kind, and reloads.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
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
    setup
        .server("log_level = \"trace\"")
        .environment("STRIPE_SECRET", &secrets.stripe)
        .environment("GITHUB_SECRET", &secrets.github)
        .environment("GITLAB_TOKEN", &secrets.gitlab)
        .endpoint_with("charges", "acme", "stripe", stripe)
        .endpoint_with("paused", "acme", "stripe", &with("state = \"paused\""))
        .endpoint_with("closed", "acme", "stripe", &with("state = \"disabled\""))
        .endpoint_with("inside", "acme", "stripe", &with("allow_ips = [\"192.0.2.7\"]"))
        .endpoint_with("small", "acme", "stripe", &with("max_body = 100"))
        .endpoint_with(
            "issues",
            "acme",
            "github",
            "secrets = [\"env:GITHUB_SECRET\"]\nredact = { keys = [\"iban\"], paths = [\"/card/*/number\"] }",
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
    } = std::mem::take(&mut watch.secrets);
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
        "note": format!("signed with {github}, you know"),
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
    watch.secrets = Secrets {
        stripe,
        next,
        github,
        gitlab,
    };
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
    let mut stale = sample("stripe", "stale");
    let long_ago = clock::now() - jiff::SignedDuration::from_mins(10);
    sign_at("stripe", &stripe, &mut stale, long_ago);
    watch.remember_tag(&stale);
    watch
        .rejected(gateway, "charges", &stale, "timestamp_stale")
        .await;

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
    let mut merge = sample("gitlab", "refused");
    set(&mut merge, "x-gitlab-token", &watch.plant("wrong token"));
    watch
        .rejected(gateway, "merges", &merge, "token_invalid")
        .await;
}

/// Mistakes in a configuration: what is replaced, by what, and what the log says of it. `MARKER` is a
/// secret where none belongs, `ENCODED` one that is percent-encoded.
const MISTAKES: [(&str, &str, &str); 8] = [
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
