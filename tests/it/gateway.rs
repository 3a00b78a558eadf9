//! Deliveries to the real binary, as providers and strangers send them, and what becomes of them.

mod accepted;
mod answers;
mod assurance;
mod batches;
mod custom;
mod edge;
mod es256;
mod fetched;
mod handshakes;
mod limits;
mod panics;
mod rejected;
mod reload;
mod repeated;
mod rotation;
pub(crate) mod schema;
mod site;
mod unredactable;
mod vectors;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookgate::clock::{self, Timestamp};
use hookgate::delivery::Delivery;
use hookgate::provider::{Catalogue, Provider};
use hookgate::verify::sign::signing_key;
use http::{HeaderMap, HeaderName, Method};
use jiff::SignedDuration;
use sha2::{Digest, Sha256};

use crate::support::gateway::Gateway;

/// What providers call in these tests.
const PUBLIC_URL: &str = "https://hooks.example.com";

/// One way in which a provider signs, with everything a test must know to play the provider.
#[derive(Debug)]
struct Kind {
    /// The endpoint, and the tenant's credential.
    id: &'static str,
    provider: &'static str,
    scheme: Option<&'static str>,
    /// What the operator configures.
    secret: String,
    /// What the provider signs with, where that is another.
    private: Option<&'static str>,
    /// The body, where it is not the definition's sample.
    body: Option<&'static str>,
    /// The status of a success.
    status: u16,
    /// What the signal must say.
    event_id: &'static str,
    event_type: &'static str,
    assurance: &'static str,
    /// The header that carries the event's id without its being signed.
    unsigned_id: Option<&'static str>,
    /// The header with the proof, and a proof in it that is none.
    carrier: &'static str,
    malformed: &'static str,
    /// The header with the signed timestamp; `t=` in the carrier where it is empty.
    clock: Option<&'static str>,
    /// Further lines of the endpoint.
    extra: &'static str,
}

const PLAIN: Kind = Kind {
    id: "",
    provider: "",
    scheme: None,
    secret: String::new(),
    private: None,
    body: None,
    status: 200,
    event_id: "$ID",
    event_type: "",
    assurance: "body",
    unsigned_id: None,
    carrier: "",
    malformed: "",
    clock: None,
    extra: "",
};

const SEED: &str = "whsk_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";
const HEX_SEED: &str = "4142434445464748494a4b4c4d4e4f505152535455565758595a616263646566";
const SIGNING_TOKEN: &str = "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q=";
/// The sample with a time of its own, because that is a part of the event's id.
const DISCORD_EVENT: &str = r#"{"version":1,"application_id":"1234","type":1,"event":{"type":"APPLICATION_AUTHORIZED","timestamp":"2024-10-18T14:42:53.$ID","data":{"user":{"username":"nelly"}}}}"#;

/// Every provider, in every way in which it signs.
fn kinds() -> Vec<Kind> {
    let public = |seed: &str| {
        let key = signing_key(&seed.to_owned().into()).unwrap();
        key.verifying_key().to_bytes()
    };
    vec![
        Kind {
            id: "github",
            provider: "github",
            secret: "It's a Secret to Everybody".into(),
            event_type: "github.issues",
            unsigned_id: Some("x-github-delivery"),
            carrier: "x-hub-signature-256",
            malformed: "sha256=nonsense",
            ..PLAIN
        },
        Kind {
            id: "stripe",
            provider: "stripe",
            secret: "whsec_stripe_of_the_tests".into(),
            event_id: "evt_$ID",
            event_type: "stripe.charge.succeeded",
            carrier: "stripe-signature",
            malformed: "t=$NOW,v1=nonsense",
            clock: Some(""),
            ..PLAIN
        },
        Kind {
            id: "slack",
            provider: "slack",
            secret: "8f742231b10e8888abcd99yyyzzz85a5".into(),
            event_id: "Ev$ID",
            event_type: "slack.app_mention",
            carrier: "x-slack-signature",
            malformed: "v0=nonsense",
            clock: Some("x-slack-request-timestamp"),
            ..PLAIN
        },
        Kind {
            id: "shopify",
            provider: "shopify",
            secret: "hush_of_the_tests".into(),
            event_type: "shopify.orders/create",
            unsigned_id: Some("x-shopify-webhook-id"),
            carrier: "x-shopify-hmac-sha256",
            malformed: "nonsense",
            ..PLAIN
        },
        Kind {
            id: "standard",
            provider: "standard-webhooks",
            secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(),
            event_id: "msg_$ID",
            event_type: "standard-webhooks.contact.created",
            carrier: "webhook-signature",
            malformed: "v1,nonsense",
            clock: Some("webhook-timestamp"),
            ..PLAIN
        },
        Kind {
            id: "standard-ed25519",
            provider: "standard-webhooks",
            secret: format!("whpk_{}", STANDARD.encode(public(SEED))),
            private: Some(SEED),
            scheme: Some("v1a"),
            event_id: "msg_$ID",
            event_type: "standard-webhooks.contact.created",
            carrier: "webhook-signature",
            malformed: "v1a,nonsense",
            clock: Some("webhook-timestamp"),
            ..PLAIN
        },
        Kind {
            id: "gitlab-token",
            provider: "gitlab",
            secret: "g1tl4b-T0ken_with-Case".into(),
            event_type: "gitlab.Push Hook",
            assurance: "token",
            unsigned_id: Some("webhook-id"),
            carrier: "x-gitlab-token",
            ..PLAIN
        },
        Kind {
            id: "gitlab-signing",
            provider: "gitlab",
            secret: SIGNING_TOKEN.into(),
            event_type: "gitlab.Push Hook",
            carrier: "webhook-signature",
            malformed: "v1,nonsense",
            clock: Some("webhook-timestamp"),
            ..PLAIN
        },
        Kind {
            id: "twilio-form",
            provider: "twilio",
            secret: "twilio-token-of-the-tests".into(),
            event_id: "SM$ID",
            event_type: "twilio.delivered",
            carrier: "x-twilio-signature",
            malformed: "nonsense",
            ..PLAIN
        },
        Kind {
            id: "twilio-json",
            provider: "twilio",
            secret: "twilio-token-of-the-tests".into(),
            body: Some(r#"{"property":"value","number":"$ID"}"#),
            event_id: "sha256:",
            event_type: "twilio.event",
            carrier: "x-twilio-signature",
            malformed: "nonsense",
            ..PLAIN
        },
        Kind {
            id: "discord",
            provider: "discord",
            secret: hex::encode(public(HEX_SEED)),
            private: Some(HEX_SEED),
            body: Some(DISCORD_EVENT),
            status: 204,
            event_id: "1234:APPLICATION_AUTHORIZED:2024-10-18T14:42:53.$ID",
            event_type: "discord.APPLICATION_AUTHORIZED",
            carrier: "x-signature-ed25519",
            malformed: "nonsense",
            clock: Some("x-signature-timestamp"),
            extra: "tolerance = \"5m\"",
            ..PLAIN
        },
    ]
}

/// Finds one of [`kinds`].
fn kind(id: &str) -> Kind {
    kinds().into_iter().find(|kind| kind.id == id).unwrap()
}

/// Starts a gateway with an endpoint for each of these.
async fn gateway(kinds: &[Kind]) -> Gateway {
    let endpoints: String = kinds.iter().map(Kind::endpoint).collect();
    Gateway::start(&format!(
        "[server]\npublic_url = \"{PUBLIC_URL}\"\n{endpoints}"
    ))
    .await
}

impl Kind {
    /// Writes the endpoint.
    fn endpoint(&self) -> String {
        let Self {
            id,
            provider,
            secret,
            extra,
            ..
        } = self;
        format!(
            "[[endpoint]]\nid = \"{id}\"\ntenant = \"acme\"\nprovider = \"{provider}\"\n\
             secrets = [\"{secret}\"]\ncredential_ref = \"cred_{id}\"\n{extra}\n"
        )
    }

    fn definition(&self) -> Arc<Provider> {
        let catalogue = Catalogue::builtin().unwrap();
        catalogue.get(self.provider).unwrap().clone()
    }

    /// Makes a delivery of an event of this name, not signed yet.
    fn event(&self, id: &str, at: Timestamp) -> Delivery {
        let sample = &self.definition().sample;
        let fill = |text: &str| fill(text, id, at);
        let body = fill(self.body.unwrap_or(&sample.body));
        let json = self.body.is_some();
        let content_type = if json {
            "application/json"
        } else {
            &sample.content_type
        };
        let mut headers = HeaderMap::new();
        headers.insert("content-type", content_type.parse().unwrap());
        for (name, value) in &sample.headers {
            let name: HeaderName = name.parse().unwrap();
            headers.insert(name, fill(value).parse().unwrap());
        }
        Delivery {
            method: Method::POST,
            url: format!("{PUBLIC_URL}/hooks/{}", self.id),
            headers,
            body: body.into(),
            caller: [127, 0, 0, 1].into(),
            via_trusted_proxy: false,
        }
    }

    /// Makes a delivery as the provider signs it at some time, after a change.
    fn signed_at(&self, at: Timestamp, id: &str, change: impl FnOnce(&mut Delivery)) -> Delivery {
        let mut delivery = self.event(id, at);
        change(&mut delivery);
        if self.id == "twilio-json" {
            let digest = hex::encode(Sha256::digest(&delivery.body));
            delivery.url = format!("{}?bodySHA256={digest}", delivery.url);
        }
        let secret = self.private.unwrap_or(&self.secret).to_owned().into();
        self.definition()
            .sign(self.scheme, &secret, &mut delivery, at)
            .unwrap();
        delivery
    }

    /// Makes a delivery as the provider signs it now.
    fn signed(&self, id: &str) -> Delivery {
        self.signed_at(clock::now(), id, |_| {})
    }

    /// Makes a delivery with this body, as the provider signs it now.
    fn signed_body(&self, id: &str, body: impl Into<Bytes>) -> Delivery {
        self.signed_at(clock::now(), id, |delivery| delivery.body = body.into())
    }
}

fn fill(text: &str, id: &str, at: Timestamp) -> String {
    text.replace("$ID", id)
        .replace("$NOW", &at.as_second().to_string())
}

/// Sets a header of a delivery, after it was signed or before.
fn set(delivery: &mut Delivery, name: &'static str, value: &str) {
    delivery.headers.insert(name, value.parse().unwrap());
}

fn seconds_from_now(seconds: i64) -> Timestamp {
    clock::now() + SignedDuration::from_secs(seconds)
}
