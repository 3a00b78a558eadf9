//! Nothing counts twice, and a tenant is what the endpoint says.

use bytes::Bytes;
use futures_util::future::join_all;
use hookgate::delivery::Delivery;

use super::deliveries::{outcome, sample, set, sign, signalid, signed, to};
use super::{Backends, next, nothing_more, until_nothing_is_owed};
use crate::support::process::{Gateway, SECRET};

/// Sends every delivery on a connection of its own, all at once, to two gateways by turns. Returns
/// the outcomes, sorted, and the one signal that all answers name.
async fn all_at_once(
    gateways: [&Gateway; 2],
    endpoint: &str,
    deliveries: Vec<Delivery>,
) -> (Vec<String>, String) {
    let connecting = (0..deliveries.len()).map(|n| gateways[n % 2].connect());
    let lines = join_all(connecting).await;
    let sending = lines.into_iter().zip(&deliveries);
    let answers =
        sending.map(async |(mut line, delivery)| line.send(to(endpoint, delivery)).await.unwrap());
    let answers = join_all(answers).await;
    let first = signalid(&answers[0]);
    for answer in &answers {
        assert_eq!(
            (answer.status().as_u16(), signalid(answer)),
            (200, first.clone())
        );
    }
    let mut outcomes: Vec<String> = answers
        .iter()
        .map(|answer| outcome(answer).to_owned())
        .collect();
    outcomes.sort();
    (outcomes, first)
}

/// One accepted delivery and 63 others.
fn one_accepted_and_63(other: &str) -> Vec<String> {
    let mut outcomes = vec!["accepted".to_owned()];
    outcomes.extend(vec![other.to_owned(); 63]);
    outcomes
}

#[tokio::test]
async fn many_copies_of_one_event_on_two_gateways_are_one_signal() {
    let mut backends = Backends::start().await;
    let setup = backends.setup().endpoint("charges", "acme", "stripe");
    let (one, other) = (setup.start().await, setup.start().await);
    let copies = vec![signed("stripe", "1"); 64];
    let (outcomes, signalid) = all_at_once([&one, &other], "charges", copies).await;

    assert_eq!(outcomes, one_accepted_and_63("duplicate"));
    let duplicates =
        one.deliveries("duplicate", "").await + other.deliveries("duplicate", "").await;
    assert_eq!(duplicates, 63);
    assert_eq!(next(&mut backends.inbox).await.signalid, signalid);
    until_nothing_is_owed(&backends.redis).await;
    nothing_more(&other, "charges", &mut backends.inbox, "last").await;
}

#[tokio::test]
async fn many_copies_of_one_content_under_fresh_ids_are_one_signal() {
    let mut backends = Backends::start().await;
    let setup = backends
        .setup()
        .endpoint("issues", "acme", "github")
        .endpoint("charges", "acme", "stripe");
    let (one, other) = (setup.start().await, setup.start().await);
    // The signature covers the body alone, so whoever captured one delivery can send them all.
    let copies = (0..64).map(|n| {
        let mut copy = signed("github", "captured");
        set(&mut copy, "x-github-delivery", &format!("fresh-{n}"));
        copy
    });
    let copies = copies.collect();
    let (outcomes, signalid) = all_at_once([&one, &other], "issues", copies).await;

    assert_eq!(outcomes, one_accepted_and_63("replayed"));
    assert_eq!(next(&mut backends.inbox).await.signalid, signalid);
    until_nothing_is_owed(&backends.redis).await;
    nothing_more(&one, "charges", &mut backends.inbox, "last").await;
}

#[tokio::test]
async fn the_same_body_for_two_tenants_is_a_signal_for_each_whatever_the_request_claims() {
    let mut backends = Backends::start().await;
    let setup = backends
        .setup()
        .endpoint("of-acme", "acme", "stripe")
        .endpoint("of-globex", "globex", "stripe");
    let gateway = setup.start().await;
    let mut delivery = sample("stripe", "1");
    delivery.body = Bytes::from_static(
        br#"{"id":"evt_1","type":"charge.succeeded","tenant":"globex","endpoint":"of-globex"}"#,
    );
    for name in ["x-tenant", "x-tenant-id", "x-forwarded-host", "ce-tenant"] {
        set(&mut delivery, name, "globex");
    }
    let delivery = sign("stripe", SECRET, delivery);

    let mut signals = Vec::new();
    for (endpoint, tenant) in [("of-acme", "acme"), ("of-globex", "globex")] {
        let answer = gateway
            .send(to(&format!("{endpoint}?tenant=globex"), &delivery))
            .await;
        assert_eq!(outcome(&answer), "accepted");
        let message = next(&mut backends.inbox).await;
        assert_eq!(message.signalid, signalid(&answer));
        assert_eq!(message.signal["tenant"], tenant);
        assert_eq!(message.signal["endpoint"], endpoint);
        let source = format!("/tenants/{tenant}/endpoints/{endpoint}");
        assert_eq!(message.signal["source"], source);
        signals.push(message.signalid);
    }
    assert_ne!(signals[0], signals[1]);
}
