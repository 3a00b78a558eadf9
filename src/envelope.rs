//! Seals a verified event into the envelope of its signal.
//!
//! Between `identify` and `record` on the way of a delivery: what is known of an event goes in, its
//! redacted [`Draft`] comes out. Nothing of the body reaches the envelope but through the
//! [`Redactor`], and nothing that the provider chose (id, type) unless its own secrets are scrubbed.

mod payload;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::payload::Payload;
use crate::clock::{Timestamp, rfc3339_millis};
use crate::json::quote;
use crate::redact::{DataKind, RedactError, Redactor, is_json};
use crate::sealing::{NotSealed, Recipient};
use crate::signal::{Assurance, Attributes, Draft, Envelope, Identity, SignalId, source};

/// The envelope up to the value of `id`.
const HEAD: &str = r#"{"specversion":"1.0","id":"#;

/// Digits of the content's digest that complete an id which other content has already.
const COMPLETING_DIGITS: usize = 12;

/// What is known of an event once it is verified and identified. Not `Debug`: it holds the body.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// Whose event it is.
    pub tenant: &'a Arc<str>,
    /// The endpoint that received it.
    pub endpoint: &'a Arc<str>,
    /// The provider that sent it.
    pub provider: &'a Arc<str>,
    /// The name under which workers find the credentials for acting on it.
    pub credential_ref: Option<&'a str>,
    /// What the provider's proof covers.
    pub assurance: Assurance,
    /// The provider's id of the event, if it has one.
    pub event_id: Option<&'a str>,
    /// The provider's type of the event, without the provider's name before it.
    pub event_type: &'a str,
    /// When it happened, if the provider says so.
    pub time: Option<Timestamp>,
    /// When the delivery was received.
    pub received: Timestamp,
    /// W3C Trace Context of the delivery.
    pub traceparent: &'a str,
    /// The media type of the event, as it was sent; empty if there is none.
    pub media_type: &'a str,
    /// The event's bytes: the delivery's body, or one part of a batch.
    pub body: &'a [u8],
    /// SHA-256 of the whole body of the delivery.
    pub body_sha256: &'a [u8; 32],
    /// SHA-256 of the content that was signed, or of that and its occasion: see
    /// [`crate::identify::Event::content_digest`].
    pub content_digest: &'a [u8; 32],
    /// The signal's name.
    pub signalid: SignalId,
    /// What makes the event the same.
    pub identity: Identity,
    /// How long the ledger remembers it.
    pub keep_marks: Duration,
    /// Whether it may wait in the spool.
    pub spool: bool,
    /// Whom the data is sealed to; `None`: it stays readable.
    pub seal_to: Option<&'a Recipient>,
}

/// Why an event cannot become a signal.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Its body cannot be redacted: that is the sender's doing.
    #[error(transparent)]
    Redact(#[from] RedactError),
    /// Its data cannot be sealed: that is ours.
    #[error(transparent)]
    Seal(#[from] NotSealed),
}

/// Redacts an event and makes the draft of its signal.
pub fn seal(parts: &Parts<'_>, redactor: &Redactor) -> Result<Draft, EnvelopeError> {
    let mut data = Vec::with_capacity(parts.body.len());
    let made = redactor.redact(parts.media_type, parts.body, &mut data)?;

    let digest = digits(parts.content_digest);
    let digest = text(&digest);
    let id = match parts.event_id {
        Some(id) => redactor.scrub(id),
        None => format!("sha256:{digest}").into(),
    };
    let completed_id = format!("{id}-{}", &digest[..COMPLETING_DIGITS]);
    let attributes = attributes(parts, redactor);
    let media_type = media_type(parts.media_type, made.kind, redactor);
    let data = Payload::new(parts, made.kind, media_type, data)?;
    let mut tail = Vec::with_capacity(data.len() + 1024);
    tail_attributes(parts, &attributes, &data, &mut tail);
    tail.extend_from_slice(format!(r#","redacted":{}"#, made.redacted).as_bytes());
    if !made.manifest.is_empty() {
        member("redactedby", &made.manifest, &mut tail);
    }
    member("traceparent", parts.traceparent, &mut tail);
    data.write(&mut tail);
    tail.push(b'}');
    Ok(Draft {
        signalid: parts.signalid,
        identity: parts.identity,
        keep_marks: parts.keep_marks,
        spool: parts.spool,
        attributes,
        envelope: Envelope {
            head: HEAD,
            id: quoted(&id),
            completed_id: quoted(&completed_id),
            tail: Bytes::from(tail),
        },
    })
}

/// The media type of the data as signals carry it. One of JSON stays one of JSON, whatever was
/// scrubbed: it is what tells a worker how to read what was sealed.
fn media_type(received: &str, kind: DataKind, redactor: &Redactor) -> Option<String> {
    let media_type = content_type(received, kind)?;
    let scrubbed = redactor.scrub(&media_type);
    match kind {
        DataKind::Json if !is_json(&scrubbed) => Some("application/json".to_owned()),
        _ => Some(scrubbed.into_owned()),
    }
}

fn attributes(parts: &Parts<'_>, redactor: &Redactor) -> Attributes {
    let event_type = redactor.scrub(parts.event_type);
    Attributes {
        event_type: format!("{}.{event_type}", parts.provider),
        tenant: parts.tenant.clone(),
        endpoint: parts.endpoint.clone(),
        provider: parts.provider.clone(),
        received: parts.received,
        traceparent: parts.traceparent.to_owned(),
    }
}

/// Writes the attributes from `source` to `bodysha256`.
fn tail_attributes(
    parts: &Parts<'_>,
    attributes: &Attributes,
    data: &Payload<'_>,
    out: &mut Vec<u8>,
) {
    let received = rfc3339_millis(parts.received);
    let time = parts
        .time
        .map_or_else(|| received.clone(), |time| time.to_string());
    member("source", &source(parts.tenant, parts.endpoint), out);
    member("type", &attributes.event_type, out);
    member("time", &time, out);
    data.write_attributes(out);
    member("tenant", parts.tenant, out);
    member("endpoint", parts.endpoint, out);
    member("provider", parts.provider, out);
    member("signalid", &parts.signalid.to_string(), out);
    member("receivedtime", &received, out);
    if let Some(credential_ref) = parts.credential_ref {
        member("credentialref", credential_ref, out);
    }
    member("assurance", parts.assurance.as_str(), out);
    member("bodysha256", text(&digits(parts.body_sha256)), out);
}

/// The media type of `data`: the one received, unless what it named has become JSON. The header is
/// signed by nobody, so a text that is no media type is left out.
fn content_type(received: &str, kind: DataKind) -> Option<String> {
    let essence = received.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    match kind {
        DataKind::Json if !is_json(&essence) => Some("application/json".to_owned()),
        _ => Some(essence).filter(|text| is_media_type(text)),
    }
}

/// Tells whether a text is `type/subtype` (RFC 6838 section 4.2), without parameters.
fn is_media_type(text: &str) -> bool {
    let name = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        (1..=127).contains(&part.len()) && part.bytes().all(plain)
    };
    text.split_once('/')
        .is_some_and(|(kind, subtype)| name(kind) && name(subtype))
}

/// Writes a digest in hex.
fn digits(digest: &[u8; 32]) -> [u8; 64] {
    let mut digits = [0; 64];
    hex::encode_to_slice(digest, &mut digits).expect("two digits for each of 32 bytes");
    digits
}

fn text(digits: &[u8; 64]) -> &str {
    std::str::from_utf8(digits).expect("hex digits are ASCII")
}

fn member(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b',');
    quote(name, out);
    out.push(b':');
    quote(value, out);
}

fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    quote(text, &mut out);
    String::from_utf8(out).expect("quoting a string gives a string")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::redact::Rules;
    use crate::signal::{Mark, Signal};

    const SECRET: &str = "s3cr3t-of-endpoint";

    /// The parts of an event that says everything, in the hands of `change`; then its whole envelope.
    pub(super) fn sealed(change: impl FnOnce(&mut Parts<'_>)) -> Draft {
        let [tenant, endpoint, provider] = ["acme", "acme-stripe", "stripe"].map(Arc::from);
        let source = source(&tenant, &endpoint);
        let mut parts = Parts {
            tenant: &tenant,
            endpoint: &endpoint,
            provider: &provider,
            credential_ref: Some("cred_acme_stripe"),
            assurance: Assurance::Body,
            event_id: Some("evt_1\"é"),
            event_type: "charge.succeeded",
            time: Some("2026-01-05T10:00:00Z".parse().unwrap()),
            received: "2026-01-05T10:00:00.4129Z".parse().unwrap(),
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            media_type: "application/json",
            body: br#"{ "amount": 1.50, "client_secret": "x" }"#,
            body_sha256: &[0xab; 32],
            content_digest: &[0xcd; 32],
            signalid: SignalId::derive(&source, b"evt_1"),
            identity: Identity::Id(Mark::of_id(&source, "evt_1")),
            keep_marks: Duration::from_secs(60),
            spool: true,
            seal_to: None,
        };
        change(&mut parts);
        let rules = Rules {
            secrets: vec![SECRET.into()],
            ..Rules::default()
        };
        seal(&parts, &Redactor::new(&rules).unwrap()).unwrap()
    }

    pub(super) fn whole(draft: &Draft) -> Value {
        serde_json::from_slice(&draft.envelope.whole(false)).unwrap()
    }

    #[test]
    fn an_envelope_is_written_to_the_letter() {
        let draft = sealed(|_| {});
        let golden = concat!(
            r#"{"specversion":"1.0","id":"evt_1\"é","source":"/tenants/acme/endpoints/acme-stripe","#,
            r#""type":"stripe.charge.succeeded","time":"2026-01-05T10:00:00Z","datacontenttype":"application/json","#,
            r#""tenant":"acme","endpoint":"acme-stripe","provider":"stripe","signalid":"SIGNALID","#,
            r#""receivedtime":"2026-01-05T10:00:00.412Z","credentialref":"cred_acme_stripe","assurance":"body","#,
            r#""bodysha256":"abababababababababababababababababababababababababababababababab","redacted":1,"#,
            r#""redactedby":"key:client_secret=1","#,
            r#""traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","#,
            r#""data":{"amount":1.50,"client_secret":"[redacted]"}}"#,
        )
        .replace("SIGNALID", &draft.signalid.to_string());
        assert_eq!(draft.envelope.whole(false), golden.as_bytes());
        let completed = golden.replace(r#"evt_1\"é""#, r#"evt_1\"é-cdcdcdcdcdcd""#);
        assert_eq!(draft.envelope.whole(true), completed.as_bytes());

        let signal = Signal::from_envelope(draft.envelope.whole(false)).unwrap();
        assert_eq!(signal.signalid, draft.signalid);
        assert_eq!(signal.attributes.event_type, draft.attributes.event_type);
    }

    #[test]
    fn what_is_not_known_is_left_out_or_made_of_what_is() {
        let envelope = whole(&sealed(|parts| {
            parts.credential_ref = None;
            parts.event_id = None;
            parts.time = None;
            parts.media_type = "";
            parts.assurance = Assurance::None;
            parts.body = b"Hello";
        }));
        assert_eq!(envelope["id"], format!("sha256:{}", "cd".repeat(32)));
        assert_eq!(envelope["time"], envelope["receivedtime"]);
        assert_eq!(envelope["assurance"], "none");
        assert_eq!(envelope["data_base64"], "SGVsbG8=");
        for absent in ["credentialref", "datacontenttype", "redactedby", "data"] {
            assert_eq!(envelope.get(absent), None, "{absent}");
        }
    }

    #[test]
    fn what_became_json_says_so_and_what_did_not_keeps_its_media_type() {
        let made = |media_type: &'static str, body: &'static [u8]| {
            let envelope = whole(&sealed(|parts| {
                (parts.media_type, parts.body) = (media_type, body);
            }));
            envelope["datacontenttype"].clone()
        };
        let form = "application/x-www-form-urlencoded";
        assert_eq!(made(form, b"a=1"), "application/json");
        assert_eq!(made("text/plain", b"{}"), "application/json");
        assert_eq!(made("text/plain", b"text"), "text/plain");
        assert_eq!(
            made("application/vnd.x+json", b"1"),
            "application/vnd.x+json"
        );
    }

    #[test]
    fn the_endpoints_secret_travels_in_no_attribute() {
        let draft = sealed(|parts| {
            parts.event_id = Some("evt-s3cr3t-of-endpoint");
            parts.event_type = "s3cr3t-of-endpoint.created";
            parts.media_type = "text/s3cr3t-of-endpoint";
            parts.body = b"s3cr3t-of-endpoint";
        });
        assert!(!format!("{draft:?}").contains(SECRET));
        assert!(!String::from_utf8_lossy(&draft.envelope.whole(true)).contains(SECRET));
        let envelope = whole(&draft);
        assert_eq!(envelope["id"], "[redacted]");
        assert_eq!(envelope["type"], "stripe.[redacted]");
        assert_eq!(envelope["data"], "[redacted]");
    }

    #[test]
    fn an_envelope_has_what_the_schema_asks_for_and_nothing_else() {
        let schema: Value =
            serde_json::from_str(include_str!("../docs/signal.schema.json")).unwrap();
        let known = schema["properties"].as_object().unwrap();
        let required = schema["required"].as_array().unwrap();
        let json = whole(&sealed(|_| {}));
        let base64 = whole(&sealed(|parts| parts.media_type = "text/xml"));
        for envelope in [&json, &base64] {
            for name in envelope.as_object().unwrap().keys() {
                assert!(known.contains_key(name), "{name}");
            }
            for name in required {
                assert!(envelope.get(name.as_str().unwrap()).is_some(), "{name}");
            }
        }
        // The schema lists its properties in the order of the envelope.
        let elsewhere = ["data_base64", "sealedfor"];
        let order = known.keys().map(String::as_str);
        let order: Vec<_> = order.filter(|name| !elsewhere.contains(name)).collect();
        assert_eq!(json.as_object().unwrap().keys().collect::<Vec<_>>(), order);
    }

    #[test]
    fn a_content_type_is_a_media_type_or_left_out() {
        for text in ["application/json", "text/plain", "application/vnd.x-1+json"] {
            assert!(is_media_type(text), "{text}");
        }
        for text in [
            "", "text", "text/", "/x", "a/b/c", "a/b;q", "a/b c", "a/\u{e9}",
        ] {
            assert!(!is_media_type(text), "{text}");
        }
    }
}
