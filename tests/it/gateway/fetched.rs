//! Keys that vendors publish, fetched by the real binary from a server that plays the vendor's.

use futures_util::future::join_all;
use hookgate::clock;
use hookgate::delivery::Delivery;
use hookgate::provider::Catalogue;
use hookgate::provider::vector::VectorFile;
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::es256::Key;
use super::site::{Site, site};
use crate::support::gateway::Gateway;
use crate::support::gateway::http::{exchange, request_of};
use crate::support::key_server::KeyServer;
use crate::support::until;

const SNS: &str = "sns.us-west-2.amazonaws.com";
const SNS_CALL: &str = "https://sns.us-west-2.amazonaws.com/";
const TOPIC: &str = "topic_arns = 'arn:aws:sns:us-west-2:123456789012:MyTopic'";

/// Returns a published SNS delivery, and what AWS publishes for it.
fn sns(name: &str) -> (Delivery, Option<(String, String)>) {
    let text = include_str!("../../vectors/aws-sns.json");
    let catalogue = Catalogue::builtin().unwrap();
    let provider = catalogue.get("aws-sns").unwrap();
    let file = VectorFile::parse(text).unwrap();
    let vector = file.vectors.iter().find(|vector| vector.name == name);
    let vector = vector.unwrap();
    let prepared = vector.prepare(provider).unwrap();
    let mut delivery = prepared.delivery.clone();
    delivery.url = "http://gateway/hooks/aws-sns".to_owned();
    (delivery, prepared.published())
}

/// Starts a gateway with an SNS endpoint that finds its keys at the server.
async fn sns_gateway(server: &KeyServer, params: &str, section: &str) -> Gateway {
    let endpoint = site("aws-sns", "", "").endpoint();
    let config = format!("{section}{endpoint}params = {{ {TOPIC}{params} }}\n");
    Gateway::start_in(server.dir(), &config).await
}

#[tokio::test]
async fn a_certificate_is_fetched_once_for_many_deliveries_at_the_same_time() {
    let server = KeyServer::start(&[SNS]).await;
    let (delivery, published) = sns("valid-v2");
    let (url, certificate) = published.unwrap();
    server.publishes(&url, &certificate);
    let gateway = sns_gateway(&server, "", &server.section()).await;
    let send = |_| exchange(gateway.public(), request_of(&delivery));
    let answers = join_all((0..50).map(send)).await;
    let mut outcomes: Vec<&str> = Vec::new();
    for answer in &answers {
        assert_eq!(answer.status, 200);
        outcomes.push(answer.header("hookgate-outcome"));
    }
    outcomes.sort_unstable();
    assert_eq!(outcomes[0], "accepted");
    assert!(
        outcomes[1..].iter().all(|one| *one == "duplicate"),
        "{outcomes:?}"
    );
    assert_eq!(server.asked().len(), 1);
    let signal = gateway.signal(answers[0].header("hookgate-signal")).await;
    assert_eq!(signal["id"], "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324");
    assert_eq!(signal["type"], "aws-sns.Notification");
    assert_eq!(signal["data"]["UnsubscribeURL"], "[redacted]");
}

#[tokio::test]
async fn without_the_key_the_fault_is_ours_and_heals() {
    let server = KeyServer::start(&[SNS]).await;
    let (delivery, published) = sns("valid-v1");
    let (url, certificate) = published.unwrap();
    server.answers(&url, 500, "");
    let mut gateway = sns_gateway(&server, "", &server.section()).await;
    let seen = gateway.deliver(&delivery).await;
    assert_eq!(seen.verdict(), (503, "rejected", "key_unavailable"));
    let wait: u64 = seen.answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert!(seen.answer.body.is_empty());
    // A document that is no certificate is none that could be used.
    server.publishes(&url, "<html>maintenance</html>");
    let seen = gateway.deliver(&delivery).await;
    assert_eq!(seen.verdict(), (503, "rejected", "key_unavailable"));
    server.publishes(&url, &certificate);
    until("the key is fetched", async || {
        let answer = exchange(gateway.public(), request_of(&delivery)).await;
        assert!(
            [200, 503].contains(&answer.status.as_u16()),
            "{}",
            answer.status
        );
        answer.status == 200
    })
    .await;
    // While it backed off it did not ask for each delivery.
    assert!(server.asked().len() <= 4, "{:?}", server.asked().len());
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn an_address_that_is_not_pinned_is_refused_and_nothing_is_fetched() {
    let hosts = [
        SNS,
        "sns.us-west-2.amazonaws.com.evil.example",
        "evil.s3.amazonaws.com",
    ];
    let server = KeyServer::start(&hosts).await;
    let gateway = sns_gateway(&server, "", &server.section()).await;
    for name in [
        "cert-host-suffix",
        "cert-userinfo",
        "cert-http",
        "cert-s3-bucket",
        "cert-other-service",
        "cert-not-pem",
        "cert-backslash",
        "raw-delivery",
    ] {
        let seen = gateway.deliver(&sns(name).0).await;
        let (status, outcome, reason) = seen.verdict();
        assert_eq!((status, outcome), (401, "rejected"), "{name}: {reason}");
        assert_eq!(server.connections(), 0, "{name}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_private_address_is_not_called_unless_the_operator_allows_it() {
    let server = KeyServer::start(&[SNS]).await;
    let (delivery, published) = sns("valid-v2");
    let (url, certificate) = published.unwrap();
    server.publishes(&url, &certificate);
    let section = server.section_for_public_addresses();
    let gateway = sns_gateway(&server, "", &section).await;
    let seen = gateway.deliver(&delivery).await;
    assert_eq!(seen.verdict(), (503, "rejected", "key_unavailable"));
    assert_eq!(server.connections(), 0);
    gateway.finish().await;
}

#[tokio::test]
async fn a_subscription_is_confirmed_where_the_endpoint_allows_it() {
    let (delivery, published) = sns("valid-subscription-confirmation");
    let (url, certificate) = published.unwrap();
    for (params, status, calls) in [
        ("", 200, 1),
        (", confirm = 'true'", 500, 1),
        (", confirm = 'false'", 200, 0),
    ] {
        let server = KeyServer::start(&[SNS]).await;
        server.publishes(&url, &certificate);
        server.answers(SNS_CALL, status, "");
        let gateway = sns_gateway(&server, params, &server.section()).await;
        let seen = gateway.deliver(&delivery).await;
        match status {
            200 => assert_eq!(seen.verdict(), (200, "handshake", "")),
            _ => assert_eq!(seen.verdict(), (503, "rejected", "key_unavailable")),
        }
        let called = |asked: &&String| asked.starts_with("GET /?Action=ConfirmSubscription&");
        let asked = server.asked();
        assert_eq!(asked.iter().filter(called).count(), calls, "{params}");
        // The token that confirms is told to nobody.
        assert!(!gateway.stderr().contains("2336412f37fakefakefake"));
        // One that AWS did not sign confirms nothing.
        let seen = gateway.deliver(&sns("confirmation-url-swapped").0).await;
        assert_eq!(seen.verdict().0, 401);
        assert_eq!(server.asked().iter().filter(called).count(), calls);
        gateway.finish().await;
    }
}

const LOGIN: &str = "https://login.example.com/jwks.json";
const ALERTS: &str = r#"{"version":"4","status":"firing","groupKey":"g","alerts":[]}"#;

fn alerts(token: &str, body: &str) -> Delivery {
    let site: Site = site("alertmanager", "", "");
    let bearer = format!("Bearer {token}");
    let headers = [
        ("content-type", "application/json"),
        ("authorization", &bearer),
    ];
    site.request(Method::POST, "", &headers, body.to_owned())
}

#[tokio::test]
async fn a_key_that_is_not_known_yet_is_looked_for_once() {
    let server = KeyServer::start(&["login.example.com"]).await;
    let (first, second, third) = (Key::new(), Key::new(), Key::new());
    let keys = |keys: Vec<Value>| json!({ "keys": keys }).to_string();
    server.publishes(LOGIN, &keys(vec![first.jwk("one")]));
    let endpoint = site(
        "alertmanager",
        "",
        "scheme = 'oauth2'\nparams = { jwks_url = 'https://login.example.com/jwks.json', audience = 'hookgate', issuer = 'https://login.example.com' }",
    );
    let config = format!("{}{}", server.section(), endpoint.endpoint());
    let gateway = Gateway::start_in(server.dir(), &config).await;
    let now = clock::now().as_second();
    let claims = json!({
        "iss": "https://login.example.com",
        "aud": ["other", "hookgate"],
        "exp": now + 300,
        "iat": now,
    });
    let seen = gateway
        .deliver(&alerts(&first.token("one", &claims), ALERTS))
        .await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    assert_eq!(gateway.signal(seen.signalid()).await["assurance"], "token");
    assert_eq!(server.asked().len(), 1);

    // The vendor rotates: the old key stays for a while.
    server.publishes(LOGIN, &keys(vec![first.jwk("one"), second.jwk("two")]));
    let rotated = alerts(&second.token("two", &claims), ALERTS);
    let seen = gateway.deliver(&rotated).await;
    assert_eq!(seen.verdict().1, "accepted");
    assert_eq!(server.asked().len(), 2);
    // Whoever makes up key ids does not make the gateway ask for each.
    for id in ["three", "four", "five"] {
        let seen = gateway
            .deliver(&alerts(&third.token(id, &claims), ALERTS))
            .await;
        assert_eq!(seen.verdict(), (401, "rejected", "signature_mismatch"));
    }
    assert_eq!(server.asked().len(), 2);
    // A key of another id, another audience, an old token: nothing passes for the right key alone.
    let expired = json!({ "aud": "hookgate", "exp": now - 300 });
    let foreign = json!({ "aud": "other", "exp": now + 300 });
    for (token, reason) in [
        (first.token("two", &claims), "signature_mismatch"),
        (first.token("one", &expired), "timestamp_stale"),
        (first.token("one", &foreign), "token_invalid"),
        (
            first.token("one", &json!({ "aud": "hookgate" })),
            "token_invalid",
        ),
    ] {
        let seen = gateway.deliver(&alerts(&token, ALERTS)).await;
        assert_eq!(seen.verdict(), (401, "rejected", reason));
        assert!(!gateway.stderr().contains(&token));
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_key_is_asked_for_by_its_id_with_the_endpoint_s_credentials() {
    const URL: &str = "https://production.plaid.com/webhook_verification_key/get";
    let server = KeyServer::start(&["production.plaid.com"]).await;
    let key = Key::new();
    server.publishes(URL, &json!({ "key": key.jwk("kid-of-plaid") }).to_string());
    let plaid = site(
        "plaid",
        "",
        "params = { client_id = 'client-of-the-tests', api_secret = 'api-secret-of-the-tests' }",
    );
    let config = format!("{}{}", server.section(), plaid.endpoint());
    let gateway = Gateway::start_in(server.dir(), &config).await;
    let body = r#"{"webhook_type":"ITEM","webhook_code":"ERROR","item_id":"1"}"#;
    let digest = hex::encode(Sha256::digest(body));
    let claims = json!({ "iat": clock::now().as_second(), "request_body_sha256": digest });
    let delivery = |body: &str| {
        let token = key.token("kid-of-plaid", &claims);
        let headers = [
            ("content-type", "application/json"),
            ("plaid-verification", &*token),
        ];
        plaid.request(Method::POST, "", &headers, body.to_owned())
    };
    let seen = gateway.deliver(&delivery(body)).await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    let asked = server.asked();
    let (head, question) = asked[0].split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /webhook_verification_key/get "),
        "{head}"
    );
    let question: Value = serde_json::from_str(question).unwrap();
    assert_eq!(
        question,
        json!({ "client_id": "client-of-the-tests", "secret": "api-secret-of-the-tests",
                "key_id": "kid-of-plaid" })
    );
    let seen = gateway
        .deliver(&delivery(&body.replace("ERROR", "ERRORS")))
        .await;
    assert_eq!(seen.verdict().0, 401);
    assert_eq!(server.asked().len(), 1);
    let told = format!("{}{:?}", gateway.stderr(), gateway.signals());
    assert!(!told.contains("api-secret-of-the-tests"));
    gateway.finish().await;
}
