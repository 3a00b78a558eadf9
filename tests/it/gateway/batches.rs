//! Deliveries of several events: a signal for each, all or none, and each one once.

use hookgate::clock;
use hookgate::delivery::Delivery;
use http::Method;
use serde_json::{Value, json};

use super::es256::Key;
use super::site::{Site, serve, site};
use super::{PUBLIC_URL, schema, set};
use crate::support::gateway::{Gateway, Seen};
use crate::support::redis::Redis;
use crate::support::until;

/// Returns the signals that an answer names, in order, and checks the form of each.
async fn signals(gateway: &Gateway, seen: &Seen) -> Vec<Value> {
    let mut signals = Vec::new();
    for id in seen.signalid().split(',') {
        let signal = gateway.signal(id).await;
        schema::check(&signal);
        signals.push(signal);
    }
    signals
}

/// Sends a batch, which must be accepted as these events (ids and types), and returns its signals.
async fn accepted(
    gateway: &Gateway,
    batch: &Delivery,
    status: u16,
    wanted: &[[&str; 2]],
) -> Vec<Value> {
    let seen = gateway.deliver(batch).await;
    assert_eq!(seen.verdict(), (status, "accepted", "confirmed"));
    let signals = signals(gateway, &seen).await;
    let named: Vec<[&str; 2]> = signals
        .iter()
        .map(|signal| ["id", "type"].map(|name| signal[name].as_str().unwrap()))
        .collect();
    assert_eq!(named, wanted);
    let again = gateway.deliver(batch).await;
    assert_eq!(again.verdict(), (status, "duplicate", ""));
    assert_eq!(again.signalid(), seen.signalid());
    signals
}

fn hubspot(lines: &'static str) -> Site {
    site("hubspot", "hubspot-client-secret", lines)
}

/// Writes events of these ids: of contacts, the odd ones deletions.
fn contacts(ids: impl IntoIterator<Item = u64>) -> String {
    let event = |id: u64| {
        let kind = ["creation", "deletion"][(id % 2) as usize];
        json!({ "eventId": id, "subscriptionId": 7, "portalId": 9, "objectId": 5,
                "occurredAt": 1_767_607_200_000_u64, "subscriptionType": format!("contact.{kind}"),
                "propertyValue": format!("private-{id}") })
    };
    Value::from_iter(ids.into_iter().map(event)).to_string()
}

fn id_of(id: u64) -> String {
    format!("9|7|{id}|1767607200000|5")
}

#[tokio::test]
async fn each_event_is_a_signal_whose_data_is_a_batch_of_one() {
    let hubspot = hubspot("");
    let gateway = serve(&[&hubspot]).await;
    let wanted = [1, 2, 3].map(id_of);
    let wanted = [
        [&*wanted[0], "hubspot.contact.deletion"],
        [&*wanted[1], "hubspot.contact.creation"],
        [&*wanted[2], "hubspot.contact.deletion"],
    ];
    let signals = accepted(&gateway, &hubspot.signed(contacts(1..=3)), 200, &wanted).await;
    for (at, signal) in signals.iter().enumerate() {
        let data = signal["data"].as_array().unwrap();
        assert_eq!(data.len(), 1);
        assert_eq!(data[0]["eventId"], at + 1);
        assert_eq!(data[0]["propertyValue"], "[redacted]");
        assert_eq!(signal["redacted"], 1);
        assert_eq!(signal["time"], "2026-01-05T10:00:00Z");
        // All of them came with one body.
        assert_eq!(signal["bodysha256"], signals[0]["bodysha256"]);
    }
    assert!(!format!("{signals:?}").contains("private-"));
    gateway.finish().await;
}

#[tokio::test]
async fn of_a_batch_that_overlaps_another_only_what_is_new_is_a_signal() {
    let hubspot = hubspot("");
    let gateway = serve(&[&hubspot]).await;
    let first = gateway.deliver(&hubspot.signed(contacts([1, 2]))).await;
    let second = gateway.deliver(&hubspot.signed(contacts([2, 3, 2]))).await;
    assert_eq!(second.verdict(), (200, "accepted", "confirmed"));
    let known: Vec<&str> = first.signalid().split(',').collect();
    let named: Vec<&str> = second.signalid().split(',').collect();
    assert_eq!(named.len(), 2);
    assert_eq!(named[0], known[1]);
    assert!(!known.contains(&named[1]));
    let whole = gateway.deliver(&hubspot.signed(contacts([3, 1]))).await;
    assert_eq!(whole.verdict().1, "duplicate");
    assert_eq!(whole.signalid(), format!("{},{}", named[1], known[0]));
    // Three signals for three events, which `finish` counts.
    gateway.finish().await;
}

#[tokio::test]
async fn the_events_that_an_endpoint_leaves_out_are_dropped_from_a_batch() {
    let hubspot = hubspot("events = ['contact.deletion']");
    let gateway = serve(&[&hubspot]).await;
    let wanted = [1, 3].map(id_of);
    let wanted = [
        [&*wanted[0], "hubspot.contact.deletion"],
        [&*wanted[1], "hubspot.contact.deletion"],
    ];
    accepted(&gateway, &hubspot.signed(contacts(0..=4)), 200, &wanted).await;
    let none = gateway.deliver(&hubspot.signed(contacts([2, 4]))).await;
    assert_eq!(none.verdict(), (200, "filtered", ""));
    gateway.finish().await;
}

#[tokio::test]
async fn more_events_than_are_split_are_refused_whole() {
    let hubspot = hubspot("");
    let gateway = serve(&[&hubspot]).await;
    let seen = gateway.deliver(&hubspot.signed(contacts(0..2001))).await;
    assert_eq!(seen.verdict(), (503, "rejected", "body_too_large"));
    gateway.finish().await;
}

#[tokio::test]
async fn without_its_ledger_no_event_of_a_batch_counts_and_afterwards_all_do() {
    let hubspot = hubspot("");
    let mut redis = Redis::start();
    let gateway = Gateway::start(&format!(
        "[server]\npublic_url = \"{PUBLIC_URL}\"\n[ledger]\nurl = \"{}\"\n{}",
        redis.url(),
        hubspot.endpoint()
    ))
    .await;
    gateway.ready().await;
    redis.stop();
    let seen = gateway.deliver(&hubspot.signed(contacts(1..=3))).await;
    assert_eq!(seen.verdict(), (503, "rejected", "ledger_unavailable"));
    assert_ne!(seen.answer.header("retry-after"), "");
    redis.start_again();
    // The gateway looks for its ledger by itself, sooner or later.
    let mut last = None;
    until("the retry is taken", async || {
        let seen = gateway.deliver(&hubspot.signed(contacts(1..=3))).await;
        let taken = seen.verdict().0 == 200;
        last = Some(seen);
        taken
    })
    .await;
    let seen = last.unwrap();
    assert_eq!(seen.verdict().1, "accepted");
    assert_eq!(signals(&gateway, &seen).await.len(), 3);
    gateway.finish().await;
}

#[tokio::test]
async fn events_under_one_public_key_are_signals_of_their_own() {
    let key = Key::new();
    let secret = key.public();
    let sendgrid = site("sendgrid", "", "").endpoint();
    let config = format!("{sendgrid}secrets = ['{secret}']\n");
    let gateway = Gateway::start(&config).await;
    let at = clock::now().as_second().to_string();
    let body = "[{\"email\":\"a@example.com\",\"event\":\"processed\",\"sg_event_id\":\"one\",\"timestamp\":1767607200},\r\n\
                 {\"email\":\"b@example.com\",\"event\":\"bounce\",\"sg_event_id\":\"two\",\"timestamp\":1767607201}]\r\n";
    let signed = key.sign(format!("{at}{body}").as_bytes());
    let headers = [
        ("content-type", "application/json"),
        ("x-twilio-email-event-webhook-signature", &*signed),
        ("x-twilio-email-event-webhook-timestamp", &*at),
    ];
    let batch = site("sendgrid", "", "").request(Method::POST, "", &headers, body);
    let wanted = [["one", "sendgrid.processed"], ["two", "sendgrid.bounce"]];
    let signals = accepted(&gateway, &batch, 200, &wanted).await;
    assert!(!format!("{signals:?}").contains("@example.com"));
    let mut tampered = batch.clone();
    tampered.body = body.replace("bounce", "bounced").into();
    assert_eq!(
        gateway.deliver(&tampered).await.verdict().2,
        "signature_mismatch"
    );
    gateway.finish().await;
}

#[tokio::test]
async fn items_that_are_signed_one_by_one_stand_or_fall_together() {
    const KEY: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
    let adyen = site("adyen", KEY, "scheme = 'items'");
    let gateway = serve(&[&adyen]).await;
    let item = |reference: &str| {
        let body = json!({ "live": "false", "notificationItems": [{ "NotificationRequestItem": {
            "pspReference": reference, "merchantReference": "a:b", "merchantAccountCode": "Test",
            "amount": { "currency": "EUR", "value": 1130 }, "eventCode": "AUTHORISATION",
            "success": "true", "additionalData": { "hmacSignature": "$TAG", "cardSummary": "7777" },
        } }] });
        let signed = adyen.signed(body.to_string()).body;
        let signed: Value = serde_json::from_slice(&signed).unwrap();
        signed["notificationItems"][0].clone()
    };
    let batch = |items: Vec<Value>| {
        adyen.unsigned(json!({ "live": "false", "notificationItems": items }).to_string())
    };
    let mut forged = item("3");
    forged["NotificationRequestItem"]["amount"]["value"] = 1.into();
    let seen = gateway.deliver(&batch(vec![item("1"), forged])).await;
    assert_eq!(seen.verdict(), (401, "rejected", "signature_mismatch"));
    let wanted = [
        ["1|AUTHORISATION|true", "adyen.AUTHORISATION"],
        ["2|AUTHORISATION|true", "adyen.AUTHORISATION"],
    ];
    let both = batch(vec![item("1"), item("2")]);
    let signals = accepted(&gateway, &both, 200, &wanted).await;
    for signal in signals {
        let items = signal["data"]["notificationItems"].as_array().unwrap();
        assert_eq!(items.len(), 1);
        assert_eq!(
            items[0]["NotificationRequestItem"]["additionalData"],
            "[redacted]"
        );
        assert_eq!(signal["assurance"], "fields");
    }
    // What is not signed makes no event of a known one.
    let mut dated = item("1");
    dated["NotificationRequestItem"]["eventDate"] = "2026-01-05T10:00:00+01:00".into();
    let seen = gateway.deliver(&batch(vec![dated])).await;
    assert_eq!(seen.verdict().1, "duplicate");
    gateway.finish().await;
}

#[tokio::test]
async fn events_inside_events_and_inside_forms_are_found() {
    let meta = site("meta", "app-secret", "");
    let mandrill = site("mandrill", "mandrill-key", "");
    let grid = site("azure-event-grid", "grid-secret", "");
    let gateway = serve(&[&meta, &mandrill, &grid]).await;
    let message = |id: &str| {
        json!({ "field": "messages", "value": { "messages":
            [{ "id": id, "from": "1650555", "timestamp": "1767607200", "text": { "body": "private" } }] } })
    };
    let body = json!({ "object": "whatsapp_business_account", "entry": [
        { "id": "one", "changes": [message("wamid.1"), message("wamid.2")] },
        { "id": "two", "changes": [message("wamid.3")] },
    ] });
    let kind = "meta.whatsapp_business_account.messages";
    let wanted = [["wamid.1", kind], ["wamid.2", kind], ["wamid.3", kind]];
    let signals = accepted(&gateway, &meta.signed(body.to_string()), 200, &wanted).await;
    for (signal, entry) in signals.iter().zip(["one", "one", "two"]) {
        let entries = signal["data"]["entry"].as_array().unwrap();
        assert_eq!((entries.len(), &entries[0]["id"]), (1, &entry.into()));
        assert_eq!(entries[0]["changes"].as_array().unwrap().len(), 1);
        assert!(!signal.to_string().contains("private"));
    }

    let events = json!([
        { "event": "send", "_id": "m1", "ts": 1_767_607_200, "msg": { "email": "a@example.com" } },
        { "event": "open", "_id": "m1", "ts": 1_767_607_201, "msg": { "email": "a@example.com" } },
    ]);
    let form: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("mandrill_events", &events.to_string())
        .finish();
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let batch = mandrill.sign(mandrill.request(Method::POST, "", &headers, form));
    let wanted = [
        ["m1|send|1767607200", "mandrill.send"],
        ["m1|open|1767607201", "mandrill.open"],
    ];
    let signals = accepted(&gateway, &batch, 200, &wanted).await;
    assert_eq!(signals[1]["data"][0]["event"], "open");

    let events = json!([
        { "id": "g1", "eventType": "Blob.Created", "eventTime": "2026-01-05T10:00:00Z", "data": {} },
        { "id": "g2", "eventType": "Blob.Deleted", "eventTime": "2026-01-05T10:00:01Z", "data": {} },
    ]);
    let headers = [
        ("content-type", "application/json"),
        ("aeg-event-type", "Notification"),
    ];
    let batch = grid.request(
        Method::POST,
        "?code=grid-secret",
        &headers,
        events.to_string(),
    );
    let wanted = [
        ["g1", "azure-event-grid.Blob.Created"],
        ["g2", "azure-event-grid.Blob.Deleted"],
    ];
    let signals = accepted(&gateway, &batch, 200, &wanted).await;
    assert!(signals.iter().all(|signal| signal["assurance"] == "token"));
    let mut wrong = batch.clone();
    wrong.url = wrong.url.replace("grid-secret", "x");
    set(&mut wrong, "aeg-event-type", "Notification");
    assert_eq!(gateway.deliver(&wrong).await.verdict().2, "token_invalid");
    gateway.finish().await;
}
