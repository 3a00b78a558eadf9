//! `hookgate send`: signed samples to a gateway that runs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookgate::verify::sign::signing_key;

use super::{Ran, acorn, run, run_with};
use crate::support::gateway::Gateway;

const GITHUB_SECRET: &str = "github secret of the tests";
const PRIVATE_KEY: &str = "whsk_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";

fn endpoint(id: &str, provider: &str, secret: &str) -> String {
    format!(
        "[[endpoint]]\nid = \"{id}\"\ntenant = \"acme\"\nprovider = \"{provider}\"\n\
         secrets = [\"{secret}\"]\n"
    )
}

/// Starts a gateway with endpoints for HMAC, a public key, and a signed URL.
async fn gateway() -> Gateway {
    let key = signing_key(&PRIVATE_KEY.to_owned().into()).unwrap();
    let key = STANDARD.encode(key.verifying_key().to_bytes());
    let config = [
        "[server]\npublic_url = \"https://hooks.example.com\"\n".to_owned(),
        endpoint("github", "github", GITHUB_SECRET),
        endpoint("stripe", "stripe", "whsec_of_the_tests"),
        endpoint("standard", "standard-webhooks", &format!("whpk_{key}")),
        endpoint("twilio", "twilio", "twilio-token"),
    ];
    let gateway = Gateway::start(&config.concat()).await;
    gateway.ready().await;
    gateway
}

/// Runs `send --provider PROVIDER …` to an endpoint, beside the runtime.
async fn send(gateway: &Gateway, endpoint: &str, provider: &str, more: &[&str]) -> Ran {
    let url = format!("http://{}/hooks/{endpoint}", gateway.public());
    let mut arguments = ["send", "--provider", provider].map(str::to_owned).to_vec();
    let (options, file) = more.split_at(more.iter().take_while(|one| **one != "FILE").count());
    arguments.extend(options.iter().map(|&one| one.to_owned()));
    arguments.push(url);
    arguments.extend(file.iter().skip(1).map(|&one| one.to_owned()));
    let dir = gateway.file("");
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let variables = [("HOOKGATE_TEST_SECRET", GITHUB_SECRET)];
        run_with(&arguments, &dir, &variables, "")
    });
    running.await.unwrap()
}

/// Returns the signal that an accepted delivery became.
async fn accepted(gateway: &Gateway, ran: Ran) -> serde_json::Value {
    let told = ran.done();
    let lines: Vec<&str> = told.lines().collect();
    let [status, outcome, signal] = lines[..] else {
        panic!("{told}");
    };
    assert_eq!((status, outcome), ("200 OK", "hookgate-outcome: accepted"));
    let signalid = signal.strip_prefix("hookgate-signal: ").unwrap();
    gateway.signal(signalid).await
}

#[tokio::test]
async fn a_signed_sample_is_accepted_however_the_secret_is_named() {
    let gateway = gateway().await;
    std::fs::write(gateway.file("secret"), format!("{GITHUB_SECRET}\n")).unwrap();
    for secret in [GITHUB_SECRET, "env:HOOKGATE_TEST_SECRET", "file:secret"] {
        let ran = send(&gateway, "github", "github", &["--secret", secret]).await;
        let signal = accepted(&gateway, ran).await;
        assert_eq!(signal["type"], "github.issues", "{secret}");
    }
}

#[tokio::test]
async fn a_sample_is_signed_with_a_private_key_or_for_the_public_url() {
    let gateway = gateway().await;
    let secret = ["--secret", PRIVATE_KEY];
    let ran = send(&gateway, "standard", "standard-webhooks", &secret).await;
    let signal = accepted(&gateway, ran).await;
    assert_eq!(signal["type"], "standard-webhooks.contact.created");

    let public = "https://hooks.example.com/hooks/twilio";
    let secret = ["--secret", "twilio-token", "--public-url", public];
    let ran = send(&gateway, "twilio", "twilio", &secret).await;
    let signal = accepted(&gateway, ran).await;
    assert_eq!(signal["type"], "twilio.delivered");
    let ran = send(&gateway, "twilio", "twilio", &secret[..2]).await;
    assert_eq!(ran.code, Some(1), "another URL was signed: {ran:?}");
}

#[tokio::test]
async fn a_sample_is_signed_as_the_endpoint_s_settings_say() {
    let config = endpoint("any", "hmac", "shared")
        + "params = { signature_header = \"X-Acorn\", prefix = \"v1=\" }\n";
    let gateway = Gateway::start(&config).await;
    gateway.ready().await;
    let secret = ["--secret", "shared"];
    let params = [
        "--param",
        "signature_header=X-Acorn",
        "--param",
        "prefix=v1=",
    ];
    let ran = send(&gateway, "any", "hmac", &[&secret[..], &params].concat()).await;
    let signal = accepted(&gateway, ran).await;
    assert_eq!(signal["type"], "hmac.example.created");
    let ran = send(&gateway, "any", "hmac", &secret).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
}

#[tokio::test]
async fn a_definition_of_one_s_own_is_sent_and_taken() {
    let directory = tempfile::tempdir().unwrap();
    let definition = directory.path().join("acorn.toml");
    std::fs::write(&definition, acorn()).unwrap();
    let providers = format!("[providers]\ndirectory = {:?}\n", directory.path());
    let gateway = Gateway::start(&(providers + &endpoint("own", "acorn", "shared"))).await;
    gateway.ready().await;
    let more = [
        "--secret",
        "shared",
        "--definition",
        definition.to_str().unwrap(),
    ];
    let ran = send(&gateway, "own", "acorn", &more).await;
    let signal = accepted(&gateway, ran).await;
    assert_eq!(signal["type"], "acorn.nut.buried");
    assert_eq!(signal["assurance"], "body");
    let more = [
        "--secret",
        "shared",
        "--directory",
        directory.path().to_str().unwrap(),
    ];
    let ran = send(&gateway, "own", "acorn", &more).await;
    accepted(&gateway, ran).await;
}

#[tokio::test]
async fn a_file_and_headers_take_the_place_of_the_sample_s() {
    let gateway = gateway().await;
    std::fs::write(gateway.file("event.json"), r#"{"zen":"Keep it simple"}"#).unwrap();
    let more = [
        "--secret",
        GITHUB_SECRET,
        "--header",
        "X-GitHub-Event: ping",
        "--header",
        "x-github-delivery: d-1",
        "FILE",
        "event.json",
    ];
    let signal = accepted(&gateway, send(&gateway, "github", "github", &more).await).await;
    assert_eq!(
        (&signal["id"], &signal["type"]),
        (&"d-1".into(), &"github.ping".into())
    );
    assert_eq!(signal["data"]["zen"], "Keep it simple");
    let again = send(&gateway, "github", "github", &more).await.done();
    assert!(
        again.starts_with("200 OK\nhookgate-outcome: duplicate\n"),
        "{again}"
    );
}

#[tokio::test]
async fn what_the_gateway_refuses_is_a_failure_and_the_caller_learns_no_reason() {
    let gateway = gateway().await;
    for (endpoint, provider, more, status) in [
        (
            "github",
            "github",
            &["--secret", "wrong"][..],
            "401 Unauthorized",
        ),
        (
            "stripe",
            "stripe",
            &["--secret", "whsec_of_the_tests", "--at", "1735689600"],
            "401 Unauthorized",
        ),
        ("none", "github", &["--secret", "wrong"], "404 Not Found"),
    ] {
        let ran = send(&gateway, endpoint, provider, more).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_eq!(ran.stdout, format!("{status}\n"));
        assert!(
            ran.stderr.starts_with("the caller is not told why: "),
            "{ran:?}"
        );
    }
}

#[test]
fn a_gateway_that_is_not_there_is_a_failure() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hooks/github", gone.local_addr().unwrap());
    drop(gone);
    let ran = run(&["send", "--provider", "github", "--secret", "s3cr3t", &url]);
    assert_eq!((ran.code, &*ran.stdout), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.contains("Connection refused"), "{ran:?}");
    assert!(!ran.stderr.contains("s3cr3t"), "{ran:?}");
}

#[test]
fn arguments_that_cannot_be_used_are_a_usage_error() {
    const URL: &str = "http://127.0.0.1:1/hooks/x";
    for (arguments, told) in [
        (
            &["--provider", "githb", "--secret", "x", URL][..],
            "did you mean github",
        ),
        (
            &[
                "--provider",
                "github",
                "--secret",
                "env:HOOKGATE_TEST_NOT_SET",
                URL,
            ],
            "not set",
        ),
        (&["--secret", "x", URL], "--provider"),
        (
            &[
                "--provider",
                "github",
                "--secret",
                "x",
                "--param",
                "header=x",
                URL,
            ],
            "takes no parameter `header`",
        ),
        (
            &["--provider", "braintree", "--secret", "x", URL],
            "needs the parameter `public_key`",
        ),
        (
            &["--definition", "none.toml", "--secret", "x", URL],
            "none.toml cannot be read",
        ),
        (
            &["--provider", "github", "--secret", "x", URL, "none.json"],
            "none.json: No such file",
        ),
        (
            &[
                "--provider",
                "github",
                "--secret",
                "x",
                "--header",
                "nonsense",
                URL,
            ],
            "NAME: VALUE",
        ),
        (
            &["--provider", "github", "--secret", "x", "localhost"],
            "http://HOST[:PORT]/PATH",
        ),
        (
            &["--provider", "github", "--secret", "x", "ftp://localhost/x"],
            "http://HOST[:PORT]/PATH",
        ),
        (
            &["--provider", "github", "--secret", "x", "not a url"],
            "http://HOST[:PORT]/PATH",
        ),
    ] {
        let complaint = run(&[&["send"], arguments].concat()).unusable();
        assert!(complaint.contains(told), "{complaint}");
    }
}
