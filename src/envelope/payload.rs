//! The data of a signal, readable or sealed, and the attributes that say which.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Parts, member};
use crate::redact::DataKind;
use crate::sealing::{MEDIA_TYPE, NotSealed};

/// The data of a signal, as it travels.
pub(super) enum Payload<'a> {
    /// For everyone to read, with its media type.
    Plain(DataKind, Option<String>, Vec<u8>),
    /// For whoever has the private key of this id, with its media type inside.
    Sealed(&'a str, String),
}

impl<'a> Payload<'a> {
    /// Seals redacted data where its tenant asks for it.
    pub(super) fn new(
        parts: &Parts<'a>,
        kind: DataKind,
        media_type: Option<String>,
        data: Vec<u8>,
    ) -> Result<Self, NotSealed> {
        let Some(recipient) = parts.seal_to else {
            return Ok(Self::Plain(kind, media_type, data));
        };
        let sealed = recipient.seal(plain(data, kind), media_type.as_deref(), parts.signalid)?;
        Ok(Self::Sealed(recipient.key_id(), sealed))
    }

    /// Writes the attributes that say what the data is.
    pub(super) fn write_attributes(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(_, Some(media_type), _) => member("datacontenttype", media_type, out),
            Self::Plain(_, None, _) => {}
            Self::Sealed(key_id, _) => {
                member("datacontenttype", MEDIA_TYPE, out);
                member("sealedfor", key_id, out);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Plain(_, _, data) => data.len(),
            Self::Sealed(_, data) => data.len(),
        }
    }

    /// Writes the member that holds the data.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(DataKind::Json, _, data) => {
                out.extend_from_slice(br#","data":"#);
                out.extend_from_slice(data);
            }
            Self::Plain(DataKind::Base64, _, data) => {
                out.extend_from_slice(br#","data_base64":""#);
                out.extend_from_slice(data);
                out.push(b'"');
            }
            Self::Sealed(_, data) => member("data", data, out),
        }
    }
}

/// Returns what is sealed: the text of JSON, and of anything else its bytes.
fn plain(data: Vec<u8>, kind: DataKind) -> Vec<u8> {
    match kind {
        DataKind::Json => data,
        DataKind::Base64 => STANDARD.decode(data).expect("the redactor wrote base64"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::Value;

    use super::super::tests::{sealed, whole};
    use super::*;
    use crate::sealing::Recipient;

    /// The key pair's public half is RFC 8037 appendix A.6's.
    const WORKER: &str = r#"{"kty":"OKP","crv":"X25519","kid":"worker-1","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}"#;

    static RECIPIENT: LazyLock<Recipient> = LazyLock::new(|| Recipient::parse(WORKER).unwrap());

    /// Seals with a change, and returns the envelope and the header of its data.
    fn for_worker(change: impl FnOnce(&mut Parts<'_>)) -> (Value, Value) {
        let envelope = sealed(|parts| {
            change(parts);
            parts.seal_to = Some(&RECIPIENT);
        });
        let envelope = whole(&envelope);
        let header = envelope["data"].as_str().unwrap().split('.').next();
        let header = URL_SAFE_NO_PAD.decode(header.unwrap());
        (envelope, serde_json::from_slice(&header.unwrap()).unwrap())
    }

    #[test]
    fn sealed_data_stands_nowhere_and_says_for_whom_it_is() {
        let (envelope, header) = for_worker(|parts| parts.body = br#"{"amount":"plain-text"}"#);
        assert!(!envelope.to_string().contains("plain-text"));
        assert_eq!(envelope["datacontenttype"], "application/jose");
        assert_eq!(envelope["sealedfor"], "worker-1");
        assert_eq!(header["kid"], "worker-1");
        assert_eq!(header["cty"], "application/json");
        assert_eq!(header["signalid"], envelope["signalid"]);
        let schema: Value =
            serde_json::from_str(include_str!("../../docs/signal.schema.json")).unwrap();
        let order = schema["properties"].as_object().unwrap().keys();
        let elsewhere = ["data_base64", "redactedby"];
        let order: Vec<_> = order
            .filter(|name| !elsewhere.contains(&name.as_str()))
            .collect();
        assert_eq!(
            envelope.as_object().unwrap().keys().collect::<Vec<_>>(),
            order
        );
    }

    #[test]
    fn sealed_bytes_are_no_base64_and_json_is_called_json() {
        let length = |envelope: &Value| {
            let data = envelope["data"]
                .as_str()
                .unwrap()
                .split('.')
                .nth(3)
                .unwrap();
            data.len() * 3 / 4
        };
        let (envelope, header) = for_worker(|parts| {
            (parts.media_type, parts.body) = ("text/xml", b"<sealed/>");
        });
        assert_eq!(envelope.get("data_base64"), None);
        assert_eq!((length(&envelope), &header["cty"]), (9, &"text/xml".into()));
        let (_, header) = for_worker(|parts| {
            (parts.media_type, parts.body) = ("", b"bytes");
        });
        assert_eq!(header.get("cty"), None);
        let (_, header) = for_worker(|parts| {
            (parts.media_type, parts.body) = ("application/s3cr3t-of-endpoint+json", b"[]");
        });
        assert_eq!(header["cty"], "application/json");
    }
}
