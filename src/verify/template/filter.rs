//! What a template does to a piece before it is used.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::{Scope, Unfit};
use crate::verify::tag::Encoding;

/// One thing done to a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// Its SHA-256 in lower-case hex.
    Sha256Hex,
    /// Its SHA-256 as 32 bytes.
    Sha256Raw,
    /// Its CRC-32 (ISO 3309) as an unsigned decimal number.
    Crc32,
    /// In lower case (ASCII).
    Lower,
    /// Without white space around it.
    Trim,
    /// Percent-encoded but for `A-Z a-z 0-9 - _ . ! ~ * ' ( )`, as `encodeURIComponent` does.
    PercentEncode,
    /// Percent-encoded but for those and `; / ? : @ & = + $ , #`, as `encodeURI` does.
    EncodeUri,
    /// Decoded from standard base64; white space is passed over.
    Base64Decode,
    /// The text of the first XML element of this name.
    Element(String),
    /// Its HMAC under the endpoint's first key, for answers to challenges alone.
    Hmac(Encoding),
}

impl Filter {
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        Ok(match text.split_once(':') {
            Some(("element", name)) if !name.is_empty() => Self::Element(name.to_owned()),
            None => match text {
                "sha256" => Self::Sha256Hex,
                "sha256-raw" => Self::Sha256Raw,
                "crc32" => Self::Crc32,
                "lower" => Self::Lower,
                "trim" => Self::Trim,
                "percent-encode" => Self::PercentEncode,
                "encode-uri" => Self::EncodeUri,
                "base64-decode" => Self::Base64Decode,
                "hmac-hex" => Self::Hmac(Encoding::Hex),
                "hmac-base64" => Self::Hmac(Encoding::Base64),
                _ => return Err(unknown(text)),
            },
            Some(_) => return Err(unknown(text)),
        })
    }

    /// Tells whether what is signed after this filter still pins the piece: a CRC does not, since
    /// another text with the same one is easily made.
    pub(super) fn binds(&self) -> bool {
        !matches!(self, Self::Crc32 | Self::Element(_) | Self::Hmac(_))
    }

    pub(super) fn apply<'p>(
        &self,
        piece: Cow<'p, [u8]>,
        scope: &Scope<'_, '_>,
    ) -> Result<Cow<'p, [u8]>, Unfit> {
        let text = |text: String| Cow::Owned(text.into_bytes());
        Ok(match self {
            Self::Sha256Hex => text(hex::encode(Sha256::digest(&piece))),
            Self::Sha256Raw => Cow::Owned(Sha256::digest(&piece).to_vec()),
            Self::Crc32 => text(crc32fast::hash(&piece).to_string()),
            Self::Lower => Cow::Owned(piece.to_ascii_lowercase()),
            Self::Trim => Cow::Owned(piece.trim_ascii().to_vec()),
            Self::PercentEncode => text(percent_encode(&piece, b"-_.!~*'()")),
            Self::EncodeUri => text(percent_encode(&piece, b"-_.!~*'();/?:@&=+$,#")),
            Self::Base64Decode => {
                let compact: Vec<u8> = piece
                    .iter()
                    .copied()
                    .filter(|byte| !byte.is_ascii_whitespace())
                    .collect();
                let decoded = STANDARD.decode(compact);
                Cow::Owned(decoded.map_err(|_| Unfit::Blurred("a piece is not base64".into()))?)
            }
            Self::Element(name) => text(element(&piece, name)?),
            Self::Hmac(encoding) => {
                let key = scope.replies.and_then(|replies| replies.key.clone());
                let mut mac = key.ok_or_else(|| Unfit::Missing("a key".into()))?;
                mac.update(&piece);
                text(encoding.encode(mac.finish().bytes()))
            }
        })
    }
}

fn unknown(text: &str) -> String {
    format!(
        "no filter `{text}`; there are sha256, sha256-raw, crc32, lower, trim, percent-encode, \
         encode-uri, base64-decode, element:NAME, free, hmac-hex and hmac-base64"
    )
}

fn percent_encode(bytes: &[u8], kept: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Finds the text of the first element `<name>…</name>` that holds no markup. Only ever applied to
/// what was verified: a name that a vendor signed, not a parser for strangers' XML.
fn element(xml: &[u8], name: &str) -> Result<String, Unfit> {
    let missing = || Unfit::Missing(format!("element <{name}>"));
    let xml = std::str::from_utf8(xml).map_err(|_| missing())?;
    let after = xml
        .match_indices(&format!("<{name}"))
        .find_map(|(at, open)| {
            let rest = &xml[at + open.len()..];
            let (attributes, text) = rest.split_once('>')?;
            let ends_here = attributes.is_empty() || attributes.starts_with(char::is_whitespace);
            ends_here.then_some(text)
        });
    let (text, _) = after
        .and_then(|after| after.split_once(&format!("</{name}>")))
        .ok_or_else(missing)?;
    if text.contains(['<', '&']) {
        return Err(missing());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_the_two_functions() {
        assert_eq!(
            percent_encode("a b/é=".as_bytes(), b"-_.!~*'()"),
            "a%20b%2F%C3%A9%3D"
        );
        assert_eq!(
            percent_encode(b"a%3D/&", b"-_.!~*'();/?:@&=+$,#"),
            "a%253D/&"
        );
    }

    #[test]
    fn an_element_is_found_by_its_whole_name() {
        let xml =
            b"<notification><kind-of>x</kind-of><kind type=\"a\">past_due</kind></notification>";
        assert_eq!(element(xml, "kind").unwrap(), "past_due");
        assert!(element(xml, "notification").is_err());
        assert!(element(b"<a>1", "a").is_err());
    }
}
