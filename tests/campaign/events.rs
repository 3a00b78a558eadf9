//! What is delivered: events with a number in their id, signed as their providers sign.

use bytes::Bytes;
use hookgate::clock;
use hookgate::delivery::Delivery;
use hookgate::signal;
use http::Request;
use sha2::{Digest, Sha256};

use super::rng::Rng;
use super::support::deliveries::{sample, set, sign_at, to};
use super::support::process::SECRET;

/// What stands before an event's number wherever its id does.
const TAG: &str = "campaign-";

/// The same for forged ones: no signal of one may ever be seen.
const FORGED: &str = "forged-";

/// How many shards the ledger spreads its keys over, each of which gets an endpoint.
const SHARDS: u8 = 16;

/// How many events a batch has.
const BATCH: u32 = 3;

/// What the providers of the campaign have to do with the ids of their events.
const PROVIDERS: [&str; 4] = [
    "stripe",            // in the signed body
    "github",            // in an unsigned header
    "standard-webhooks", // in a signed header
    "gocardless",        // several of them in a signed body
];

/// The secret of the endpoints whose provider wants base64.
pub(crate) const BASE64_SECRET: &str = "whsec_Y2FtcGFpZ24gc2VjcmV0IG9mIHRoZSB0ZXN0cw==";

/// An endpoint of every gateway.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) provider: &'static str,
    pub(crate) source: String,
}

impl Endpoint {
    fn secret(&self) -> &'static str {
        match self.provider {
            "standard-webhooks" => BASE64_SECRET,
            _ => SECRET,
        }
    }
}

/// Names an endpoint for each shard of the ledger, the providers taking turns.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let named = |shard: u8, attempt: u32| {
        let provider = PROVIDERS[usize::from(shard) % PROVIDERS.len()];
        let (tenant, id) = (
            format!("tenant-{}", shard % 5),
            format!("{provider}-{shard}-{attempt}"),
        );
        let source = signal::source(&tenant, &id);
        Endpoint {
            id,
            tenant,
            provider,
            source,
        }
    };
    let is_of = |shard: u8, endpoint: &Endpoint| {
        Sha256::digest(endpoint.source.as_bytes())[0] % SHARDS == shard
    };
    let of_shard = |shard| {
        let mut attempts = (0..).map(|attempt| named(shard, attempt));
        attempts.find(|endpoint| is_of(shard, endpoint)).unwrap()
    };
    (0..SHARDS).map(of_shard).collect()
}

/// What is delivered at once, as often as it takes: one event or a batch.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    /// The number of the first event.
    pub(crate) first: u32,
    /// How many events it has, with numbers that follow.
    pub(crate) many: u32,
    /// Which of [`endpoints`] it goes to.
    pub(crate) endpoint: usize,
    delivery: Delivery,
}

impl Parcel {
    /// How many events the parcel has that begins with event `first`.
    pub(crate) fn many_from(endpoints: &[Endpoint], endpoint: usize) -> u32 {
        match endpoints[endpoint].provider {
            "gocardless" => BATCH,
            _ => 1,
        }
    }

    /// Makes the parcel that begins with event `first`.
    pub(crate) fn new(endpoints: &[Endpoint], endpoint: usize, first: u32) -> Self {
        let provider = endpoints[endpoint].provider;
        let mut delivery = sample(provider, &format!("{TAG}{first}"));
        let many = Self::many_from(endpoints, endpoint);
        if many > 1 {
            delivery.body = batch(first, many);
        }
        Self {
            first,
            many,
            endpoint,
            delivery,
        }
    }

    /// Whether anyone can deliver it again under an id of his own.
    pub(crate) fn has_unsigned_id(&self, endpoints: &[Endpoint]) -> bool {
        endpoints[self.endpoint].provider == "github"
    }

    /// The same content under another id, which nobody signed.
    pub(crate) fn under_another_id(&self) -> Self {
        let mut other = self.clone();
        set(
            &mut other.delivery,
            "x-github-delivery",
            &format!("{TAG}{}-again", self.first),
        );
        other
    }

    /// The request that brings it, signed now.
    pub(crate) fn request(&self, endpoints: &[Endpoint]) -> Request<Bytes> {
        let endpoint = &endpoints[self.endpoint];
        let mut delivery = self.delivery.clone();
        let now = clock::now();
        sign_at(endpoint.provider, endpoint.secret(), &mut delivery, now);
        to(&endpoint.id, &delivery)
    }

    /// A request that looks like it and that the provider never sent: signed with another secret, or
    /// with the signature of other content.
    pub(crate) fn forged(&self, endpoints: &[Endpoint], rng: &mut Rng) -> Request<Bytes> {
        let endpoint = &endpoints[self.endpoint];
        let mut delivery = self.delivery.clone();
        let body = String::from_utf8(delivery.body.to_vec()).unwrap();
        let body: Bytes = body.replace(TAG, FORGED).into();
        let id = format!("{FORGED}{}", self.first);
        let now = clock::now();
        if rng.chance(500) {
            delivery.body = body;
            sign_at(endpoint.provider, OTHER_SECRET, &mut delivery, now);
        } else {
            sign_at(endpoint.provider, endpoint.secret(), &mut delivery, now);
            delivery.body = body;
        }
        for name in ["x-github-delivery", "webhook-id"] {
            if delivery.headers.contains_key(name) {
                set(&mut delivery, name, &id);
            }
        }
        to(&endpoint.id, &delivery)
    }
}

/// A secret that no endpoint has.
const OTHER_SECRET: &str = "whsec_bm90IHRoZSBzZWNyZXQgb2YgYW55IGVuZHBvaW50IQ==";

fn batch(first: u32, many: u32) -> Bytes {
    let event = |number: u32| {
        format!(
            r#"{{"id":"EV{TAG}{number}","created_at":"2026-01-05T10:00:00.404Z","resource_type":"payments","action":"confirmed","links":{{"payment":"PM{number}"}},"details":{{"origin":"gocardless"}}}}"#
        )
    };
    let events: Vec<_> = (first..first + many).map(event).collect();
    format!(r#"{{"events":[{}]}}"#, events.join(",")).into()
}

/// Reads the number of the event that an id names.
pub(crate) fn number_in(id: &str) -> Option<u32> {
    let (_, rest) = id.split_once(TAG)?;
    let end = rest.find(|c: char| !c.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_event_is_read_from_its_id_and_that_of_a_forged_one_is_not() {
        assert_eq!(number_in("evt_campaign-12"), Some(12));
        assert_eq!(number_in("campaign-7-again"), Some(7));
        // Completed by the ledger, because the id was taken.
        assert_eq!(number_in("campaign-7-0a1b2c3d4e5f"), Some(7));
        assert_eq!(number_in("evt_forged-12"), None);
    }
}
