//! The same event again, in every disguise that a retry or an attacker can give it.

use hookgate::clock;
use hookgate::delivery::Delivery;
use http::HeaderName;

use super::site::{serve, site};
use super::{Kind, fill, gateway, kind, kinds, seconds_from_now};
use crate::support::gateway::Gateway;

/// Gives a delivery another id without signing it again.
fn renamed(kind: &Kind, mut delivery: Delivery, id: &str) -> Delivery {
    let name: HeaderName = kind.unsigned_id.unwrap().parse().unwrap();
    delivery.headers.insert(name, id.parse().unwrap());
    delivery
}

/// Makes an event of other content: a key more.
fn other_content(kind: &Kind, id: &str) -> Delivery {
    let body = String::from_utf8(kind.event(id, clock::now()).body.to_vec()).unwrap();
    kind.signed_body(id, body.replacen('{', r#"{"another":true,"#, 1))
}

async fn conflicts(gateway: &Gateway, kind: &Kind) -> f64 {
    let labels = [("endpoint", kind.id)];
    gateway.metric("hookgate_id_conflicts_total", &labels).await
}

#[tokio::test]
async fn the_same_delivery_again_is_a_duplicate_of_the_same_signal() {
    let kinds = kinds();
    let gateway = gateway(&kinds).await;
    for kind in &kinds {
        let delivery = kind.signed("100001");
        let first = gateway.deliver(&delivery).await;
        assert_eq!(first.verdict().1, "accepted", "{}", kind.id);
        for _ in 0..2 {
            let again = gateway.deliver(&delivery).await;
            assert_eq!(
                again.verdict(),
                (kind.status, "duplicate", ""),
                "{}",
                kind.id
            );
            assert_eq!(again.signalid(), first.signalid(), "{}", kind.id);
        }
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_retry_that_is_signed_anew_is_a_duplicate() {
    let kinds = kinds();
    let gateway = gateway(&kinds).await;
    for kind in kinds.iter().filter(|kind| kind.clock.is_some()) {
        let first = gateway.deliver(&kind.signed("100001")).await;
        let retry = kind.signed_at(seconds_from_now(-60), "100001", |_| {});
        let again = gateway.deliver(&retry).await;
        assert_eq!(
            again.verdict(),
            (kind.status, "duplicate", ""),
            "{}",
            kind.id
        );
        assert_eq!(again.signalid(), first.signalid(), "{}", kind.id);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_signed_id_decides_even_where_the_content_changed() {
    let kinds = kinds();
    let gateway = gateway(&kinds).await;
    for kind in kinds.iter().filter(|kind| kind.clock.is_some()) {
        let first = gateway.deliver(&kind.signed("100001")).await;
        assert_eq!(first.verdict().1, "accepted", "{}", kind.id);
        let again = gateway.deliver(&other_content(kind, "100001")).await;
        assert_eq!(again.verdict().1, "duplicate", "{}", kind.id);
        assert_eq!(again.signalid(), first.signalid(), "{}", kind.id);
        let other = gateway.deliver(&kind.signed("100002")).await;
        assert_eq!(other.verdict().1, "accepted", "{}", kind.id);
        assert_eq!(conflicts(&gateway, kind).await, 0.0, "{}", kind.id);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn an_unsigned_id_makes_no_captured_delivery_new_and_swallows_no_genuine_event() {
    let kinds = kinds();
    let gateway = gateway(&kinds).await;
    for kind in kinds.iter().filter(|kind| kind.unsigned_id.is_some()) {
        let captured = kind.signed("100001");
        let first = gateway.deliver(&captured).await;
        for id in ["100002", "100003"] {
            let replay = renamed(kind, captured.clone(), id);
            let seen = gateway.deliver(&replay).await;
            assert_eq!(seen.verdict(), (kind.status, "replayed", ""), "{}", kind.id);
            assert_eq!(seen.signalid(), first.signalid(), "{}", kind.id);
        }
        // The forged id was not remembered: the event that really has it is accepted under it.
        let genuine = gateway.deliver(&kind.signed("100002")).await;
        assert_eq!(genuine.verdict().1, "accepted", "{}", kind.id);
        let signal = gateway.signal(genuine.signalid()).await;
        assert_eq!(signal["id"], "100002", "{}", kind.id);
        assert_eq!(conflicts(&gateway, kind).await, 0.0, "{}", kind.id);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_captured_delivery_without_its_id_is_replayed_too() {
    let kinds = [kind("github")];
    let gateway = gateway(&kinds).await;
    let mut captured = kinds[0].signed("100001");
    gateway.deliver(&captured).await;
    captured.headers.remove("x-github-delivery");
    let seen = gateway.deliver(&captured).await;
    assert_eq!(seen.verdict(), (200, "replayed", ""));
    gateway.finish().await;
}

#[tokio::test]
async fn new_content_under_a_known_unsigned_id_is_an_event_of_its_own() {
    let kinds = kinds();
    let gateway = gateway(&kinds).await;
    for kind in kinds.iter().filter(|kind| kind.unsigned_id.is_some()) {
        let first = gateway.deliver(&kind.signed("100001")).await;
        let second = gateway.deliver(&other_content(kind, "100001")).await;
        let wanted = (kind.status, "accepted", "confirmed");
        assert_eq!(second.verdict(), wanted, "{}", kind.id);
        assert_ne!(first.signalid(), second.signalid(), "{}", kind.id);
        assert_eq!(conflicts(&gateway, kind).await, 1.0, "{}", kind.id);

        let signal = gateway.signal(second.signalid()).await;
        let digest = signal["bodysha256"].as_str().unwrap();
        assert_eq!(
            signal["id"],
            format!("100001-{}", &digest[..12]),
            "{}",
            kind.id
        );
        let again = gateway.deliver(&other_content(kind, "100001")).await;
        assert_eq!(again.verdict().1, "duplicate", "{}", kind.id);
        assert_eq!(again.signalid(), second.signalid(), "{}", kind.id);
        assert_eq!(conflicts(&gateway, kind).await, 1.0, "{}", kind.id);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_form_cut_anew_within_what_was_signed_is_no_new_event() {
    let kinds = [kind("twilio-form")];
    let gateway = gateway(&kinds).await;
    let captured = kinds[0].signed_body("1", "CallSid=CA1&CallStatus=ringing&Digits=12");
    assert_eq!(gateway.deliver(&captured).await.verdict().1, "accepted");
    // Names and values are signed without separators, so that the boundary can be moved.
    for (body, outcome) in [
        ("CallSid=CA1&CallStatus=ringing&Digits1=2", "duplicate"),
        ("CallSidCA=1&CallStatus=ringing&Digits=12", "replayed"),
    ] {
        let mut cut = captured.clone();
        cut.body = body.into();
        let seen = gateway.deliver(&cut).await;
        assert_eq!(seen.verdict(), (200, outcome, ""), "{body}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn each_change_of_a_resource_is_an_event_of_its_own() {
    let kinds = [kind("twilio-form")];
    let gateway = gateway(&kinds).await;
    let mut ids = Vec::new();
    for status in ["sent", "delivered", "read"] {
        let body = format!("MessageSid=SM1&MessageStatus={status}");
        let seen = gateway.deliver(&kinds[0].signed_body("1", body)).await;
        assert_eq!(seen.verdict(), (200, "accepted", "confirmed"), "{status}");
        let signal = gateway.signal(seen.signalid()).await;
        assert_eq!(signal["data"]["MessageStatus"], status);
        ids.push(signal["id"].as_str().unwrap().to_owned());
    }
    // Source and id together are unique, as CloudEvents asks.
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");
    // That a resource changes is its nature and no sign of a forged id.
    assert_eq!(conflicts(&gateway, &kinds[0]).await, 0.0);
    gateway.finish().await;
}

#[tokio::test]
async fn the_same_bytes_are_distinct_events_where_the_endpoint_says_so() {
    let kinds = [Kind {
        extra: "identical_content = \"distinct\"",
        ..kind("github")
    }];
    let gateway = gateway(&kinds).await;
    let heartbeat = kinds[0].signed_body("100001", r#"{"zen":"the same"}"#);
    let first = gateway.deliver(&heartbeat).await;
    assert_eq!(first.verdict().1, "accepted");
    let again = gateway.deliver(&heartbeat).await;
    assert_eq!(again.verdict().1, "duplicate");
    let second = renamed(&kinds[0], heartbeat, "100002");
    let second = gateway.deliver(&second).await;
    assert_eq!(second.verdict().1, "accepted");
    assert_ne!(first.signalid(), second.signalid());
    gateway.finish().await;
}

#[tokio::test]
async fn the_same_event_to_two_endpoints_is_two_signals() {
    let github = kind("github");
    let other = Kind {
        id: "github-too",
        ..kind("github")
    };
    let kinds = [github, other];
    let gateway = gateway(&kinds).await;
    let first = gateway.deliver(&kinds[0].signed("100001")).await;
    let second = gateway.deliver(&kinds[1].signed("100001")).await;
    assert_eq!(second.verdict().1, "accepted");
    assert_ne!(first.signalid(), second.signalid());
    let id = fill(kinds[0].event_id, "100001", clock::now());
    for seen in [first, second] {
        assert_eq!(gateway.signal(seen.signalid()).await["id"], id);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn the_same_bytes_without_an_id_are_events_with_ids_of_their_own() {
    let dropbox = site("dropbox", "dropbox-secret", "");
    let gateway = serve(&[&dropbox]).await;
    let delivery = dropbox.signed(r#"{"list_folder":{"accounts":["dbid:1"]}}"#);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let seen = gateway.deliver(&delivery).await;
        assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
        let signal = gateway.signal(seen.signalid()).await;
        super::schema::check(&signal);
        ids.push(signal["id"].as_str().unwrap().to_owned());
    }
    assert!(
        ids.iter()
            .all(|id| id.len() == 71 && id.starts_with("sha256:")),
        "{ids:?}"
    );
    // Source and id together are unique, as CloudEvents asks.
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");
    gateway.finish().await;

    // An endpoint can have them taken for one.
    let same = site("dropbox", "dropbox-secret", "identical_content = 'same'");
    let gateway = serve(&[&same]).await;
    assert_eq!(gateway.deliver(&delivery).await.verdict().1, "accepted");
    assert_eq!(gateway.deliver(&delivery).await.verdict().1, "duplicate");
    gateway.finish().await;
}
