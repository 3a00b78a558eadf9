//! Deliveries as providers send them, and many of them at once.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use hookgate::clock;
use hookgate::delivery::Delivery;
use hookgate::provider::{Catalogue, Provider};
use http::{HeaderMap, HeaderName, Method, Request, Response};

use crate::support::process::{Line, SECRET};

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::builtin().unwrap());

/// A provider's sample event, named `id`, not signed yet.
pub(crate) fn sample(provider: &str, id: &str) -> Delivery {
    let sample = &known(provider).sample;
    let now = clock::now().as_second().to_string();
    let fill = |text: &str| text.replace("$ID", id).replace("$NOW", &now);
    let mut delivery = Delivery {
        method: Method::POST,
        url: String::new(),
        headers: HeaderMap::new(),
        body: fill(&sample.body).into(),
        caller: [127, 0, 0, 1].into(),
        via_trusted_proxy: false,
    };
    set(&mut delivery, "content-type", &sample.content_type);
    for (name, value) in &sample.headers {
        set(&mut delivery, name, &fill(value));
    }
    delivery
}

/// Signs a delivery as its provider does, now.
pub(crate) fn sign(provider: &str, secret: &str, mut delivery: Delivery) -> Delivery {
    sign_at(provider, secret, &mut delivery, clock::now());
    delivery
}

/// Signs a delivery as its provider does at another time.
pub(crate) fn sign_at(provider: &str, secret: &str, delivery: &mut Delivery, at: clock::Timestamp) {
    let secret = secret.to_owned().into();
    known(provider).sign(None, &secret, delivery, at).unwrap();
}

/// A provider's sample event, named `id`, signed with [`SECRET`].
pub(crate) fn signed(provider: &str, id: &str) -> Delivery {
    sign(provider, SECRET, sample(provider, id))
}

/// Sets a header.
pub(crate) fn set(delivery: &mut Delivery, name: &str, value: &str) {
    let name = HeaderName::try_from(name).unwrap();
    delivery.headers.insert(name, value.parse().unwrap());
}

/// The request that brings a delivery to an endpoint; `endpoint` may carry a query.
pub(crate) fn to(endpoint: &str, delivery: &Delivery) -> Request<Bytes> {
    let mut request = Request::new(delivery.body.clone());
    *request.method_mut() = delivery.method.clone();
    *request.uri_mut() = format!("/hooks/{endpoint}").parse().unwrap();
    *request.headers_mut() = delivery.headers.clone();
    request
}

/// What the caller is told became of its delivery.
pub(crate) fn outcome(answer: &Response<Bytes>) -> &str {
    header(answer, "hookgate-outcome")
}

/// The signal that the caller is told of.
pub(crate) fn signalid(answer: &Response<Bytes>) -> String {
    header(answer, "hookgate-signal").to_owned()
}

/// A header of an answer; empty where it is absent.
pub(crate) fn header<'a>(answer: &'a Response<Bytes>, name: &str) -> &'a str {
    let value = answer.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

/// The event id of a sample of Stripe's, as signals carry it.
pub(crate) fn stripe_id(id: &str) -> String {
    format!("evt_{id}")
}

/// Sends one new event after the other on one connection, for as long as they are answered and
/// `go_on` says so after each. Returns the signal of each event that was answered, by the event's id.
pub(crate) async fn keep_sending(
    mut line: Line,
    endpoint: &str,
    name: &str,
    mut go_on: impl FnMut() -> bool,
) -> BTreeMap<String, String> {
    let mut signals = BTreeMap::new();
    for n in 0.. {
        let id = format!("{name}x{n}");
        let Ok(answer) = line.send(to(endpoint, &signed("stripe", &id))).await else {
            break;
        };
        assert_eq!(
            (answer.status().as_u16(), outcome(&answer)),
            (200, "accepted")
        );
        signals.insert(stripe_id(&id), signalid(&answer));
        if !go_on() {
            break;
        }
    }
    signals
}

fn known(provider: &str) -> &'static Provider {
    CATALOGUE.get(provider).unwrap()
}
