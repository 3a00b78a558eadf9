//! Ownership checks: each mechanism is answered to whom it may be, is no event, and gives nobody a
//! proof for one.

use hookgate::delivery::Delivery;
use http::Method;
use serde_json::{Value, json};

use super::site::{Site, serve, site};
use crate::support::gateway::{Gateway, Seen};

const JSON: (&str, &str) = ("content-type", "application/json");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Sends an ownership check that must be answered, and answered again, with this status and body.
async fn answered(gateway: &Gateway, check: &Delivery, status: u16, body: &str) -> Seen {
    let seen = gateway.deliver(check).await;
    assert_eq!(seen.verdict(), (status, "handshake", ""), "{check:?}");
    assert_eq!(seen.answer.body, body);
    assert_eq!(seen.answer.header("hookgate-signal"), "");
    // It is no event, so that asking again is no repeat.
    let again = gateway.deliver(check).await;
    assert_eq!(again.verdict(), (status, "handshake", ""));
    seen
}

/// Sends what must be refused, and tells the caller nothing.
async fn refused(gateway: &Gateway, delivery: &Delivery, status: u16, reason: &str) {
    let seen = gateway.deliver(delivery).await;
    assert_eq!(seen.verdict(), (status, "rejected", reason), "{delivery:?}");
    assert!(seen.answer.body.is_empty());
}

fn get(site: &Site, query: &str, headers: &[(&str, &str)]) -> Delivery {
    site.request(Method::GET, query, headers, "")
}

#[tokio::test]
async fn a_text_is_echoed_as_text_that_no_browser_takes_for_a_page() {
    let dropbox = site("dropbox", "dropbox-secret", "");
    let graph = site("microsoft-graph", "client-state", "");
    let gateway = serve(&[&dropbox, &graph]).await;
    let text = "<script>alert(1)</script>";
    let query = "?challenge=%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let checks = [
        get(&dropbox, query, &[]),
        graph.request(
            Method::POST,
            &query.replace("challenge", "validationToken"),
            &[("content-type", "text/plain")],
            "",
        ),
    ];
    for check in checks {
        let seen = answered(&gateway, &check, 200, text).await;
        assert!(seen.answer.header("content-type").starts_with("text/plain"));
        assert_eq!(seen.answer.header("x-content-type-options"), "nosniff");
    }
    // A GET without a challenge is no check, and needs what any event does.
    refused(&gateway, &get(&dropbox, "", &[]), 400, "body_malformed").await;
    let event = dropbox.request(Method::GET, "", &[JSON], "{}");
    refused(&gateway, &event, 401, "signature_missing").await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_json_challenge_is_given_back_where_it_stands_alone() {
    let monday = site(
        "monday",
        "monday-secret-of-the-tests-0123456789",
        "params = { audience = 'x' }",
    );
    let gateway = serve(&[&monday]).await;
    let check = monday.unsigned(r#"{"challenge":"3eZbrw1a\"Bm2r"}"#);
    let seen = answered(&gateway, &check, 200, r#"{"challenge":"3eZbrw1a\"Bm2r"}"#).await;
    assert_eq!(seen.answer.header("content-type"), "application/json");
    // With an event beside it, it is an event that nobody signed.
    let both = monday.unsigned(r#"{"challenge":"3eZ","event":{"type":"create_pulse"}}"#);
    refused(&gateway, &both, 401, "signature_missing").await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_header_is_echoed_and_verifies_nothing() {
    let ringcentral = site("ringcentral", "ringcentral-token", "");
    let gateway = serve(&[&ringcentral]).await;
    let check = ringcentral.request(Method::POST, "", &[("validation-token", "a1b2-c3")], "");
    let seen = answered(&gateway, &check, 200, "").await;
    assert_eq!(seen.answer.header("validation-token"), "a1b2-c3");
    let event = ringcentral.request(
        Method::POST,
        "",
        &[JSON, ("validation-token", "a1b2-c3")],
        r#"{"uuid":"1","event":"/restapi"}"#,
    );
    // What the caller brought along was not taken for the endpoint's secret.
    refused(&gateway, &event, 401, "token_invalid").await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_secret_that_the_vendor_tells_is_kept_for_the_operator_and_told_to_nobody() {
    const STRANGER: &str = "00000000000000000000000000000000";
    let secret = "b537207f20cbfa02357cf448134da559";
    let setup = site("asana", "", "state = 'setup'");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("asana-secret");
    let kept = format!("setup_file = '{}'\n", file.display());
    let gateway = Gateway::start(&format!("{}{kept}", setup.endpoint())).await;
    let check =
        |secret: &str| setup.request(Method::POST, "", &[JSON, ("x-hook-secret", secret)], "{}");
    refused(&gateway, &check(&"x".repeat(300)), 400, "body_malformed").await;
    let seen = answered(&gateway, &check(secret), 200, "").await;
    assert_eq!(seen.answer.header("x-hook-secret"), secret);
    // Whoever calls next cannot put another in its place.
    answered(&gateway, &check(STRANGER), 200, "").await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), secret);
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let event =
        r#"{"events":[{"action":"changed","resource":{"gid":"1","resource_type":"task"}}]}"#;
    let told = site("asana", "b537207f20cbfa02357cf448134da559", "");
    refused(&gateway, &told.signed(event), 503, "paused").await;
    gateway.finish().await;

    let found = format!("secrets = ['file:{}']\n", file.display());
    let armed = format!("{}{found}", site("asana", "", "").endpoint());
    let gateway = Gateway::start(&armed).await;
    let seen = gateway.deliver(&told.signed(event)).await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    refused(&gateway, &check(STRANGER), 401, "signature_missing").await;
    gateway.finish().await;
}

#[tokio::test]
async fn what_x_gets_for_a_challenge_signs_no_delivery() {
    let x = site("x-twitter", "consumer-secret-of-the-tests", "");
    let gateway = serve(&[&x]).await;
    let token = "9b4507b3-9040-4669-9ca3-6b94edb50553";
    let check = get(&x, &format!("?crc_token={token}"), &[]);
    let seen = gateway.deliver(&check).await;
    assert_eq!(seen.verdict(), (200, "handshake", ""));
    let answer: Value = serde_json::from_slice(&seen.answer.body).unwrap();
    let proof = answer["response_token"].as_str().unwrap();
    // The answer is the right signature of the token, as X's own of that body would be.
    let signed = x.signed(token);
    assert_eq!(signed.headers["x-twitter-webhooks-signature"], proof);
    let carrying = |method: Method, query: &str, body: &str| {
        let headers = [JSON, ("x-twitter-webhooks-signature", proof)];
        x.request(method, query, &headers, body.to_owned())
    };
    // Yet no delivery is one: an event is an object, and no object is a token.
    for forged in [
        carrying(Method::POST, "", token),
        carrying(Method::POST, "", &format!("\"{token}\"")),
        carrying(Method::GET, "", token),
    ] {
        let seen = gateway.deliver(&forged).await;
        assert_eq!(seen.verdict().1, "rejected", "{forged:?}");
    }
    for bad in [
        "",
        "%7B%22a%22%3A1%7D",
        &"x".repeat(129),
        "a%20b",
        "a&crc_token=%7B%7D",
    ] {
        let check = get(&x, &format!("?crc_token={bad}"), &[]);
        let seen = gateway.deliver(&check).await;
        assert_eq!(seen.verdict().1, "rejected", "{bad}");
        assert!(seen.answer.body.is_empty());
    }
    gateway.finish().await;
}

#[tokio::test]
async fn what_zoom_gets_for_a_challenge_signs_no_delivery() {
    let zoom = site("zoom", "zoom-secret-of-the-tests", "");
    let gateway = serve(&[&zoom]).await;
    let challenge = |token: &str| {
        json!({ "event": "endpoint.url_validation", "payload": { "plainToken": token } })
            .to_string()
    };
    let check = zoom.signed(challenge("qgg8vlvZRS6UYooatFL8Aw"));
    let seen = gateway.deliver(&check).await;
    assert_eq!(seen.verdict(), (200, "handshake", ""));
    let answer: Value = serde_json::from_slice(&seen.answer.body).unwrap();
    assert_eq!(answer["plainToken"], "qgg8vlvZRS6UYooatFL8Aw");
    assert_eq!(answer["encryptedToken"].as_str().unwrap().len(), 64);
    // Nobody but Zoom gets one.
    let unsigned = zoom.unsigned(challenge("qgg8vlvZRS6UYooatFL8Aw"));
    refused(&gateway, &unsigned, 401, "signature_missing").await;
    // Not even Zoom gets what a delivery's signature is made of.
    let stolen = zoom.signed(challenge("v0:1767607200:{\"event\":\"meeting.ended\"}"));
    refused(&gateway, &stolen, 400, "body_malformed").await;
    // And what is answered stands for no delivery.
    let mut forged = zoom.signed(r#"{"event":"meeting.ended","event_ts":1}"#);
    let proof = format!("v0={}", answer["encryptedToken"].as_str().unwrap());
    super::set(&mut forged, "x-zm-signature", &proof);
    refused(&gateway, &forged, 401, "signature_mismatch").await;
    gateway.finish().await;
}

#[tokio::test]
async fn what_braintree_gets_for_a_challenge_signs_no_notification() {
    let braintree = site(
        "braintree",
        "private-key-of-the-tests",
        "params = { public_key = 'integration_public_key' }",
    );
    let gateway = serve(&[&braintree]).await;
    let challenge = "20f9f8ed05f77439fe955c977e4c8a53";
    let check = get(&braintree, &format!("?bt_challenge={challenge}"), &[]);
    let seen = gateway.deliver(&check).await;
    assert_eq!(seen.verdict(), (200, "handshake", ""));
    let proof = String::from_utf8(seen.answer.body.to_vec()).unwrap();
    assert!(proof.starts_with("integration_public_key|"), "{proof}");
    let encode = |text: &str| text.replace('|', "%7C");
    let body = format!("bt_signature={}&bt_payload={challenge}", encode(&proof));
    let forged = braintree.request(Method::POST, "", &[FORM], body);
    let seen = gateway.deliver(&forged).await;
    assert_eq!(seen.verdict().1, "rejected", "{:?}", seen.verdict());
    let payload = "PG5vdGlmaWNhdGlvbj48L25vdGlmaWNhdGlvbj4";
    let check = get(&braintree, &format!("?bt_challenge={payload}"), &[]);
    refused(&gateway, &check, 400, "body_malformed").await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_verify_token_is_right_or_the_vendor_is_told_so_in_its_own_way() {
    let meta = site(
        "meta",
        "app-secret",
        "params = { verify_token = 'meatyhamhock' }",
    );
    let fitbit = site(
        "fitbit",
        "client-secret",
        "params = { verify_token = 'code-of-fitbit' }",
    );
    let gateway = serve(&[&meta, &fitbit]).await;
    let subscribe = |token: &str| {
        let query =
            format!("?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}");
        get(&meta, &query, &[])
    };
    answered(&gateway, &subscribe("meatyhamhock"), 200, "1158201444").await;
    answered(
        &gateway,
        &get(&fitbit, "?verify=code-of-fitbit", &[]),
        204,
        "",
    )
    .await;
    for wrong in ["", "meatyhamhoc", "meatyhamhockk", "app-secret"] {
        refused(&gateway, &subscribe(wrong), 403, "token_invalid").await;
    }
    for wrong in ["", "code-of-fitbi", "client-secret"] {
        let check = get(&fitbit, &format!("?verify={wrong}"), &[]);
        refused(&gateway, &check, 404, "token_invalid").await;
    }
    let (told, signals) = (gateway.stderr(), gateway.signals());
    assert!(signals.is_empty());
    assert!(!told.contains("meatyham") && !told.contains("code-of-fitbi"));
    gateway.finish().await;
}

#[tokio::test]
async fn a_check_that_carries_the_secret_is_answered_to_nobody_else() {
    let okta = site("okta", "okta-secret", "");
    let grid = site("azure-event-grid", "grid-secret", "");
    let gateway = serve(&[&okta, &grid]).await;
    let ask = |secret: &str| {
        let headers = [
            ("authorization", secret),
            ("x-okta-verification-challenge", "ch\"1"),
        ];
        get(&okta, "", &headers)
    };
    let seen = answered(
        &gateway,
        &ask("okta-secret"),
        200,
        r#"{"verification":"ch\"1"}"#,
    )
    .await;
    assert_eq!(seen.answer.header("content-type"), "application/json");
    refused(&gateway, &ask("okta-secre"), 401, "token_invalid").await;

    let body = r#"[{"id":"1","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6","validationUrl":"https://rp-eastus2.eventgrid.azure.net/x"}}]"#;
    let validate = |code: &str| {
        let headers = [JSON, ("aeg-event-type", "SubscriptionValidation")];
        grid.request(Method::POST, &format!("?code={code}"), &headers, body)
    };
    let reply = r#"{"validationResponse":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}"#;
    answered(&gateway, &validate("grid-secret"), 200, reply).await;
    refused(&gateway, &validate("x"), 401, "token_invalid").await;
    let consent = |code: &str| {
        let headers = [("webhook-request-origin", "eventgrid.azure.net")];
        grid.request(Method::OPTIONS, &format!("?code={code}"), &headers, "")
    };
    let seen = answered(&gateway, &consent("grid-secret"), 200, "").await;
    assert_eq!(
        seen.answer.header("webhook-allowed-origin"),
        "eventgrid.azure.net"
    );
    refused(&gateway, &consent("x"), 401, "token_invalid").await;
    gateway.finish().await;
}

#[tokio::test]
async fn consent_to_send_is_given_to_the_listed_origins_only() {
    let events = site(
        "cloudevents-webhook",
        "bearer-token",
        "params = { allowed_origins = 'one.example.com,two.example.com' }",
    );
    let gateway = serve(&[&events]).await;
    let ask = |origin: &str, more: &[(&str, &str)]| {
        let headers = [&[("webhook-request-origin", origin)], more].concat();
        events.request(Method::OPTIONS, "", &headers, "")
    };
    let seen = answered(&gateway, &ask("two.example.com", &[]), 200, "").await;
    assert_eq!(
        seen.answer.header("webhook-allowed-origin"),
        "two.example.com"
    );
    assert_eq!(seen.answer.header("webhook-allowed-rate"), "*");
    assert_eq!(seen.answer.header("allow"), "POST");
    let rate = ask("one.example.com", &[("webhook-request-rate", "120")]);
    let seen = answered(&gateway, &rate, 200, "").await;
    assert_eq!(seen.answer.header("webhook-allowed-rate"), "120");
    let stranger = gateway.deliver(&ask("evil.example.com", &[])).await;
    assert_eq!(stranger.verdict().1, "rejected");
    assert_eq!(stranger.answer.header("webhook-allowed-origin"), "");
    gateway.finish().await;
}

#[tokio::test]
async fn a_delivery_without_events_is_answered_where_it_is_signed() {
    let xero = site("xero", "xero-key-of-the-tests", "");
    let woo = site("woocommerce", "woo-secret", "");
    let mandrill = site("mandrill", "mandrill-key", "");
    let gateway = serve(&[&xero, &woo, &mandrill]).await;
    let body =
        r#"{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0m3r4Nd0mt3xt"}"#;
    answered(&gateway, &xero.signed(body), 200, "").await;
    let mut wrong = xero.signed(body);
    super::set(
        &mut wrong,
        "x-xero-signature",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    );
    refused(&gateway, &wrong, 401, "signature_mismatch").await;

    let ping = woo.request(Method::POST, "", &[FORM], "webhook_id=1");
    answered(&gateway, &ping, 200, "").await;
    let more = woo.request(Method::POST, "", &[FORM], "webhook_id=1&x=2");
    refused(&gateway, &more, 401, "signature_missing").await;

    let probe = mandrill.request(Method::HEAD, "", &[], "");
    answered(&gateway, &probe, 200, "").await;
    let empty =
        mandrill.sign(mandrill.request(Method::POST, "", &[FORM], "mandrill_events=%5B%5D"));
    answered(&gateway, &empty, 200, "").await;
    gateway.finish().await;
}
