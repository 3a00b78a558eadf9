//! Drafts with real events for their data: the catalogue's own samples.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hookgate::provider::Catalogue;
use hookgate::signal::{self, Attributes, Draft, Envelope, Identity, Mark, SignalId};

/// Numbers drafts over the whole run, so that no two are alike.
static NEXT: AtomicU64 = AtomicU64::new(0);

const ENDPOINT: &str = "acme-stripe";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const RECEIVED: &str = "2026-01-05T10:00:00.412Z";

/// Makes drafts with about `size` bytes of data: samples of providers, each beginning at another one.
pub(crate) fn some(size: usize, count: usize) -> impl Iterator<Item = Draft> {
    let samples = samples();
    (0..count).map(move |n| draft(&data(&samples, n, size)))
}

fn samples() -> Vec<String> {
    let catalogue = Catalogue::builtin().ok();
    let providers = catalogue.iter().flat_map(Catalogue::iter);
    let bodies = providers.map(|provider| provider.sample.body.clone());
    bodies.filter(|body| body.starts_with('{')).collect()
}

/// Lists samples until there is enough.
fn data(samples: &[String], first: usize, size: usize) -> String {
    let mut list = String::from("[");
    let mut number = first;
    while list.len() < size {
        let event = format!("evt_{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let sample = &samples[number % samples.len()];
        list.push_str(&sample.replace("$ID", &event).replace("$NOW", "1767607200"));
        list.push(',');
        number += 1;
    }
    list.pop();
    list.push(']');
    list
}

fn draft(data: &str) -> Draft {
    let id = format!("evt_{:024x}", NEXT.fetch_add(1, Ordering::Relaxed));
    let source = signal::source("acme", ENDPOINT);
    let signalid = SignalId::derive(&source, id.as_bytes());
    let tail = format!(
        r#","source":"{source}","type":"stripe.charge.succeeded","time":"2026-01-05T10:00:00Z","datacontenttype":"application/json","tenant":"acme","endpoint":"{ENDPOINT}","provider":"stripe","signalid":"{signalid}","receivedtime":"{RECEIVED}","credentialref":"cred_acme_stripe","assurance":"body","bodysha256":"{:064x}","redacted":0,"traceparent":"{TRACEPARENT}","data":{data}}}"#,
        u128::from_be_bytes(*signalid.as_bytes())
    );
    Draft {
        spool: false,
        signalid,
        identity: Identity::Id(Mark::of_id(&source, &id)),
        keep_marks: Duration::from_hours(24 * 7),
        attributes: Attributes {
            event_type: "stripe.charge.succeeded".to_owned(),
            tenant: "acme".into(),
            endpoint: ENDPOINT.into(),
            provider: "stripe".into(),
            received: RECEIVED.parse().unwrap_or_default(),
            traceparent: TRACEPARENT.to_owned(),
        },
        envelope: Envelope {
            head: r#"{"specversion":"1.0","id":"#,
            id: format!("\"{id}\""),
            completed_id: format!("\"{id}-000000000000\""),
            tail: Bytes::from(tail),
        },
    }
}
