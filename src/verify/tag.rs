//! Tags: what stands in a signature header, decoded to bytes and compared in constant time.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use subtle::{Choice, ConstantTimeEq};

/// Most candidate tags that one delivery may carry; a header with more is refused.
pub const MAX_TAGS: usize = 16;
/// Most bytes of a tag: HMAC-SHA-512 and Ed25519 have 64, an RSA-4096 signature 512.
const MAX_TAG_BYTES: usize = 512;

/// A text form of bytes. Decoding is strict: one form, no white space, no left-over bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Hexadecimal in lower case only, as vendors that compare the text require.
    Hex,
    /// Hexadecimal in either case.
    HexAnyCase,
    /// RFC 4648 base64, standard alphabet, padded.
    Base64,
    /// RFC 4648 base64, URL-safe alphabet, not padded.
    Base64url,
}

impl Encoding {
    /// Decodes a tag; nothing if the text is not exactly of this form.
    pub fn decode(self, text: &str) -> Option<Tag> {
        if text.is_empty() || text.len() > 2 * MAX_TAG_BYTES {
            return None;
        }
        let bytes = match self {
            Self::Hex if text.bytes().any(|byte| byte.is_ascii_uppercase()) => return None,
            Self::Hex | Self::HexAnyCase => hex::decode(text).ok()?,
            Self::Base64 => STANDARD.decode(text).ok()?,
            Self::Base64url => URL_SAFE_NO_PAD.decode(text).ok()?,
        };
        Some(Tag(bytes))
    }

    /// Encodes bytes in this form.
    pub fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex | Self::HexAnyCase => hex::encode(bytes),
            Self::Base64 => STANDARD.encode(bytes),
            Self::Base64url => URL_SAFE_NO_PAD.encode(bytes),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hex => "lower-case hex",
            Self::HexAnyCase => "hex",
            Self::Base64 => "base64",
            Self::Base64url => "base64url",
        })
    }
}

/// A decoded tag. Compared in constant time only.
#[derive(Clone)]
pub struct Tag(Vec<u8>);

impl Tag {
    /// Takes the bytes of a tag that was computed.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Returns the bytes, for public-key signatures, which are no secret.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Compares in constant time; tags of different length are unequal at once, since the length
    /// of a tag is no secret.
    pub fn matches(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({} bytes)", self.0.len())
    }
}

/// How the tags stand in their header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One tag behind a fixed prefix, which may be empty.
    Plain {
        /// Such as `sha256=`.
        prefix: String,
    },
    /// A list of `name assign value` elements, as in `t=1,v1=ab,v1=cd` or `v1,ab v1,cd`.
    /// Elements of other names are parameters; nothing is trimmed.
    Pairs {
        /// Between elements.
        separator: char,
        /// Between a name and its value.
        assign: char,
        /// The name of the elements that are tags.
        name: String,
    },
}

/// A signature header taken apart.
#[derive(Debug, Default)]
pub struct Parsed<'a> {
    /// The texts of the candidate tags.
    pub tags: Vec<&'a str>,
    /// The other elements.
    pub params: Vec<(&'a str, &'a str)>,
}

impl Layout {
    /// Takes a header's text apart. The error says how the text differs from the layout.
    pub fn parse<'a>(&self, text: &'a str) -> Result<Parsed<'a>, String> {
        let mut parsed = Parsed::default();
        match self {
            Self::Plain { prefix } => {
                let tag = text.strip_prefix(prefix.as_str());
                parsed
                    .tags
                    .push(tag.ok_or_else(|| format!("has no `{prefix}` at its beginning"))?);
            }
            Self::Pairs {
                separator,
                assign,
                name,
            } => {
                for element in text.split(*separator) {
                    match element.split_once(*assign) {
                        Some((key, value)) if key == name => parsed.tags.push(value),
                        Some(pair) => parsed.params.push(pair),
                        None => {}
                    }
                    if parsed.tags.len() + parsed.params.len() > MAX_TAGS {
                        return Err(format!("has more than {MAX_TAGS} elements"));
                    }
                }
            }
        }
        Ok(parsed)
    }

    /// Writes a header's text, as the provider would.
    pub fn format(&self, tag: &str, params: &[(&str, &str)]) -> String {
        match self {
            Self::Plain { prefix } => format!("{prefix}{tag}"),
            Self::Pairs {
                separator,
                assign,
                name,
            } => {
                let mut elements: Vec<String> = params
                    .iter()
                    .map(|(key, value)| format!("{key}{assign}{value}"))
                    .collect();
                elements.push(format!("{name}{assign}{tag}"));
                elements.join(&separator.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoding_is_strict() {
        assert!(Encoding::Hex.decode("ab0f").is_some());
        assert!(Encoding::HexAnyCase.decode("AB0F").is_some());
        assert!(Encoding::Base64.decode("+/8=").is_some());
        for (encoding, text) in [
            (Encoding::Hex, "AB0F"),
            (Encoding::Hex, "ab0"),
            (Encoding::Hex, ""),
            (Encoding::Hex, " ab0f"),
            (Encoding::Base64, "-_8="),
            (Encoding::Base64, "+/8"),
            (Encoding::Base64, "+/9=\n"),
            (Encoding::Base64, "+/9="),
            (Encoding::Base64url, "-_8="),
        ] {
            assert!(encoding.decode(text).is_none(), "{encoding} {text:?}");
        }
    }

    #[test]
    fn tags_of_different_length_never_match() {
        let (long, short) = (Tag::new(&[1, 2, 3]), Tag::new(&[1, 2]));
        assert!(!bool::from(long.matches(&short)));
        assert!(bool::from(long.matches(&Tag::new(&[1, 2, 3]))));
    }

    #[test]
    fn a_list_is_split_without_trimming() {
        let layout = Layout::Pairs {
            separator: ',',
            assign: '=',
            name: "v1".into(),
        };
        let parsed = layout.parse("t=1,v1=a, v1=b,v1=c=,x").unwrap();
        assert_eq!(parsed.tags, ["a", "c="]);
        assert_eq!(parsed.params, [("t", "1"), (" v1", "b")]);
        assert_eq!(layout.format("a", &[("t", "1")]), "t=1,v1=a");
    }

    #[test]
    fn a_list_without_end_is_refused() {
        let layout = Layout::Pairs {
            separator: ' ',
            assign: ',',
            name: "v1".into(),
        };
        assert!(layout.parse(&"v1,x ".repeat(17)).is_err());
    }
}
