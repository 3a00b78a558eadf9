//! Drafts as redaction makes them.

use std::time::Duration;

use hookgate::signal::{self, Attributes, Draft, Envelope, Identity, Mark, SignalId};
use sha2::{Digest, Sha256};

const TENANT: &str = "acme";
const RECEIVED: &str = "2026-01-05T10:00:00.412Z";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// An event whose id is signed: the id decides.
pub(crate) fn by_id(endpoint: &str, id: &str, content: &str) -> Draft {
    let source = signal::source(TENANT, endpoint);
    let signalid = SignalId::derive(&source, id.as_bytes());
    draft(
        endpoint,
        signalid,
        Identity::Id(Mark::of_id(&source, id)),
        id,
        content,
    )
}

/// An event whose id came in an unsigned header: the content decides.
pub(crate) fn by_content(endpoint: &str, id: &str, content: &str) -> Draft {
    let source = signal::source(TENANT, endpoint);
    let mut draft = without_id(endpoint, content);
    if let Identity::Content { id: mark, .. } = &mut draft.identity {
        *mark = Some(Mark::of_id(&source, id));
    }
    draft.envelope.completed_id = json(&format!("{id}-{}", &hex::encode(digest(content))[..12]));
    draft.envelope.id = json(id);
    draft
}

/// An event whose unsigned id merges the vendor's retries: content or id decides.
pub(crate) fn by_either(endpoint: &str, id: &str, content: &str) -> Draft {
    let source = signal::source(TENANT, endpoint);
    let mut draft = by_content(endpoint, id, content);
    draft.signalid = SignalId::derive(&source, id.as_bytes());
    draft.identity = Identity::Either {
        content: Mark::of_content(&source, &digest(content)),
        id: Mark::of_id(&source, id),
    };
    draft
}

/// An event without any id.
pub(crate) fn without_id(endpoint: &str, content: &str) -> Draft {
    let source = signal::source(TENANT, endpoint);
    let digest = digest(content);
    let signalid = SignalId::derive(&source, &digest);
    let identity = Identity::Content {
        content: Mark::of_content(&source, &digest),
        id: None,
    };
    draft(
        endpoint,
        signalid,
        identity,
        &format!("sha256:{}", hex::encode(digest)),
        content,
    )
}

fn draft(endpoint: &str, signalid: SignalId, identity: Identity, id: &str, content: &str) -> Draft {
    let tail = format!(
        r#","source":"{}","type":"p.x","tenant":"{TENANT}","endpoint":"{endpoint}","provider":"p","signalid":"{signalid}","receivedtime":"{RECEIVED}","traceparent":"{TRACEPARENT}","data":{}}}"#,
        signal::source(TENANT, endpoint),
        json(content),
    );
    Draft {
        signalid,
        identity,
        keep_marks: Duration::from_hours(1),
        spool: true,
        attributes: Attributes {
            event_type: "p.x".to_owned(),
            tenant: TENANT.into(),
            endpoint: endpoint.into(),
            provider: "p".into(),
            received: RECEIVED.parse().unwrap(),
            traceparent: TRACEPARENT.to_owned(),
        },
        envelope: Envelope {
            head: r#"{"specversion":"1.0","id":"#,
            id: json(id),
            completed_id: json(id),
            tail: tail.into(),
        },
    }
}

fn digest(content: &str) -> [u8; 32] {
    Sha256::digest(content.as_bytes()).into()
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
