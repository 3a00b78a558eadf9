//! The signal: the durable, redacted, immutable record of one event, a CloudEvents 1.0 JSON envelope.
//!
//! Redaction turns an event into a [`Draft`]; the ledger turns a draft that is new into a [`Signal`];
//! publishers hand signals to brokers. A draft differs from its signal in one thing only: where an
//! unsigned event id is already taken by other content, the ledger completes the `id` with digits of
//! the digest, so that a forged id cannot make a genuine event disappear (`id_conflict`).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::clock::Timestamp;

/// The media type of a signal in CloudEvents' JSON format.
pub const MEDIA_TYPE: &str = "application/cloudevents+json";

/// The name of a signal: a UUID version 8 (RFC 9562) made from SHA-256 over the source and the
/// event's identity. The same event has the same signal id everywhere and for ever, so that a worker
/// can drop a repeat long after every mark is gone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SignalId(Uuid);

impl SignalId {
    /// Derives the id of the event `identity` (a signed event id, or a content digest) of `source`.
    pub fn derive(source: &str, identity: &[u8]) -> Self {
        let digest = fingerprint(&[b"signal", source.as_bytes(), identity]);
        Self(Uuid::new_v8(first16(&digest)))
    }

    /// Reads an id in its hyphenated text form.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }

    /// Makes an id of its 16 bytes, as a ledger stored them.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Returns the id's 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for SignalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for SignalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The key of a dedupe mark: the first 16 bytes of a SHA-256 over what must not come twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark([u8; 16]);

impl Mark {
    /// Marks an event id of a source.
    pub fn of_id(source: &str, id: &str) -> Self {
        Self::of(b"id", source, id.as_bytes())
    }

    /// Marks a digest of signed content of a source.
    pub fn of_content(source: &str, digest: &[u8]) -> Self {
        Self::of(b"content", source, digest)
    }

    fn of(kind: &[u8], source: &str, what: &[u8]) -> Self {
        Self(first16(&fingerprint(&[kind, source.as_bytes(), what])))
    }

    /// Makes a mark of its 16 bytes, as the spool stored them.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the mark's 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What makes an event the same, and so what the ledger marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The id decides: the mark known is `Duplicate`, whatever the content.
    Id(Mark),
    /// The signed content decides, because anyone may have changed the id. Content known under the
    /// same id is `Duplicate`, under another id `Replayed` (and that id is not remembered); content
    /// that is new under an id already known is `New` with its id completed.
    Content {
        /// The mark of the signed content's digest.
        content: Mark,
        /// The mark of the unsigned id that came with it, if one did.
        id: Option<Mark>,
    },
    /// Either of them decides, because the vendor's retries carry other content under the same
    /// unsigned id. Content known under the same id is `Duplicate`, under another id `Replayed`; new
    /// content under a known id is `Duplicate`, and remembered like the first.
    Either {
        /// The mark of the signed content's digest.
        content: Mark,
        /// The mark of the unsigned id.
        id: Mark,
    },
}

/// What a broker and a log need to know of a signal without reading its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// CloudEvents `type`: `{provider}.{event type}`.
    pub event_type: String,
    /// Whose signal it is.
    pub tenant: Arc<str>,
    /// The endpoint that received it.
    pub endpoint: Arc<str>,
    /// The provider that sent it.
    pub provider: Arc<str>,
    /// When it was received.
    pub received: Timestamp,
    /// W3C Trace Context `traceparent` of the delivery.
    pub traceparent: String,
}

/// What the provider's proof covers, so that a worker knows what to believe. Ordered by strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assurance {
    /// Nothing was proved.
    None,
    /// The caller knew a shared secret; nothing binds the content.
    Token,
    /// Only some parts are covered.
    Fields,
    /// Every byte of the body is covered.
    Body,
}

impl Assurance {
    /// Returns the word that signals carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Token => "token",
            Self::Fields => "fields",
            Self::Body => "body",
        }
    }
}

/// Returns the CloudEvents `source` of an endpoint: `/tenants/{tenant}/endpoints/{endpoint}`.
pub fn source(tenant: &str, endpoint: &str) -> String {
    format!("/tenants/{tenant}/endpoints/{endpoint}")
}

/// Lists ids, with commas between them.
pub fn list(ids: &[SignalId]) -> String {
    let mut text = String::new();
    for id in ids {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(id.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    }
    text
}

/// A redacted event that the ledger has not seen yet.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The signal's name if the draft becomes one.
    pub signalid: SignalId,
    /// What makes the event the same.
    pub identity: Identity,
    /// How long its marks are kept, counted from recording.
    pub keep_marks: Duration,
    /// Whether it may wait in the spool while the ledger is away, where one is configured.
    pub spool: bool,
    /// What travels beside the envelope.
    pub attributes: Attributes,
    /// The envelope, complete but for its `id`.
    pub envelope: Envelope,
}

/// An envelope in two pieces around the value of `id`, which the ledger decides.
///
/// The pieces are JSON text: `head`, then a JSON string, then `tail`, make the whole object.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Everything up to the value of `id`.
    pub head: &'static str,
    /// The `id` as a JSON string with its quotes.
    pub id: String,
    /// The `id` completed with the first 12 hex digits of the content's digest, likewise.
    pub completed_id: String,
    /// Everything after the value of `id`.
    pub tail: Bytes,
}

impl Envelope {
    /// Returns the whole envelope under its own `id`, or under the completed one on a conflict.
    pub fn whole(&self, id_conflict: bool) -> Bytes {
        let id = if id_conflict {
            &self.completed_id
        } else {
            &self.id
        };
        let mut json = Vec::with_capacity(self.head.len() + id.len() + self.tail.len());
        json.extend_from_slice(self.head.as_bytes());
        json.extend_from_slice(id.as_bytes());
        json.extend_from_slice(&self.tail);
        json.into()
    }
}

impl Draft {
    /// Makes the signal that this draft becomes.
    pub fn into_signal(self, id_conflict: bool) -> Signal {
        let envelope = self.envelope.whole(id_conflict);
        Signal {
            signalid: self.signalid,
            attributes: self.attributes,
            envelope,
        }
    }
}

/// A recorded signal, ready to be published any number of times: it never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The signal's name.
    pub signalid: SignalId,
    /// What travels beside the envelope.
    pub attributes: Attributes,
    /// The envelope: the exact JSON text that is stored and published.
    pub envelope: Bytes,
}

/// A stored envelope that is not a signal.
#[derive(Debug, thiserror::Error)]
#[error("a stored envelope cannot be read")]
pub struct UnreadableSignal(#[source] serde_json::Error);

impl Signal {
    /// Reads a signal back from its envelope, as a ledger stored it.
    pub fn from_envelope(envelope: Bytes) -> Result<Self, UnreadableSignal> {
        let stored: Stored<'_> = serde_json::from_slice(&envelope).map_err(UnreadableSignal)?;
        let attributes = Attributes {
            event_type: stored.event_type.into_owned(),
            tenant: stored.tenant.as_ref().into(),
            endpoint: stored.endpoint.as_ref().into(),
            provider: stored.provider.as_ref().into(),
            received: stored.receivedtime,
            traceparent: stored.traceparent.into_owned(),
        };
        let signalid = SignalId(stored.signalid);
        Ok(Self {
            signalid,
            attributes,
            envelope,
        })
    }
}

/// The attributes that [`Signal::from_envelope`] needs; the rest of the envelope is skipped.
#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(rename = "type", borrow)]
    event_type: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    tenant: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    endpoint: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    provider: std::borrow::Cow<'a, str>,
    #[serde(deserialize_with = "uuid_text")]
    signalid: Uuid,
    #[serde(deserialize_with = "timestamp_text")]
    receivedtime: Timestamp,
    #[serde(borrow)]
    traceparent: std::borrow::Cow<'a, str>,
}

fn uuid_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Uuid, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(from)?;
    Uuid::try_parse(&text).map_err(serde::de::Error::custom)
}

fn timestamp_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(from)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// SHA-256 over parts, each preceded by its length, so that no two lists of parts look alike.
fn fingerprint(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn first16(digest: &[u8; 32]) -> [u8; 16] {
    std::array::from_fn(|at| digest[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_id_is_a_uuid_of_version_8_and_the_same_every_time() {
        let id = SignalId::derive("/tenants/a/endpoints/b", b"evt_1");
        assert_eq!(id, SignalId::derive("/tenants/a/endpoints/b", b"evt_1"));
        assert_eq!(id.0.get_version_num(), 8);
        assert_eq!(SignalId::parse(&id.to_string()), Some(id));
    }

    #[test]
    fn the_boundary_between_source_and_identity_counts() {
        assert_ne!(SignalId::derive("ab", b"c"), SignalId::derive("a", b"bc"));
        assert_ne!(Mark::of_id("a", "x"), Mark::of_content("a", b"x"));
    }

    #[test]
    fn a_signal_reads_back_from_its_envelope() {
        let json = r#"{"specversion":"1.0","id":"e","source":"/tenants/t/endpoints/n","type":"p.x","tenant":"t","endpoint":"n","provider":"p","signalid":"8f0c6d0e-0000-8000-8000-000000000000","receivedtime":"2026-01-05T10:00:00.412Z","traceparent":"00-0-0-01","data":{"type":"other"}}"#;
        let signal = Signal::from_envelope(Bytes::from_static(json.as_bytes())).unwrap();
        assert_eq!(signal.attributes.event_type, "p.x");
        assert_eq!(
            signal.signalid.to_string(),
            "8f0c6d0e-0000-8000-8000-000000000000"
        );
        assert!(Signal::from_envelope(Bytes::from_static(b"{}")).is_err());
    }
}
