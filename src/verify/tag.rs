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

/// How the tags stand in their text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One tag behind a fixed prefix, which may be empty.
    Plain {
        /// Such as `sha256=`.
        prefix: String,
    },
    /// A list of `name assign value` elements, as in `t=1,v1=ab,v1=cd` or `v1,ab v1,cd`.
    /// Elements of other names are parameters.
    Pairs {
        /// Between elements: any of these characters.
        separator: String,
        /// Between a name and its value.
        assign: char,
        /// The name of the elements that are tags.
        name: TagName,
        /// Whether blanks around elements, names and values are passed over.
        trim: bool,
    },
    /// A list whose first elements are parameters, and the others tags, as in `1614265330,ab,cd`.
    List {
        /// Between elements.
        separator: char,
        /// The names of the first elements.
        params: Vec<String>,
        /// Whether blanks around elements are passed over.
        trim: bool,
    },
}

/// The name of the elements of a list that are tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagName {
    /// This one, as in `v1=ab`.
    Fixed(String),
    /// The id of the key that the tag is made with, as in `PUBLIC_KEY|ab`.
    KeyId,
}

/// A text taken apart.
#[derive(Debug, Default)]
pub struct Parsed<'a> {
    /// The candidate tags, each with the id of its key where the text names it.
    pub tags: Vec<(Option<&'a str>, &'a str)>,
    /// The other elements.
    pub params: Vec<(&'a str, &'a str)>,
}

impl Layout {
    /// Takes a text apart. The error says how it differs from the layout.
    pub fn parse<'a>(&'a self, text: &'a str) -> Result<Parsed<'a>, String> {
        let mut parsed = Parsed::default();
        match self {
            Self::Plain { prefix } => {
                let tag = text.strip_prefix(prefix.as_str());
                let tag = tag.ok_or_else(|| format!("has no `{prefix}` at its beginning"))?;
                parsed.tags.push((None, tag));
            }
            Self::Pairs {
                separator,
                assign,
                name,
                trim,
            } => {
                let tidy = |text: &'a str| if *trim { text.trim() } else { text };
                for element in text.split(|char| separator.contains(char)) {
                    let pair = element.split_once(*assign);
                    match (pair.map(|(key, value)| (tidy(key), tidy(value))), name) {
                        (Some((key, value)), TagName::KeyId) => {
                            parsed.tags.push((Some(key), value));
                        }
                        (Some((key, value)), TagName::Fixed(name)) if key == name => {
                            parsed.tags.push((None, value));
                        }
                        (Some(pair), _) => parsed.params.push(pair),
                        (None, _) => {}
                    }
                    parsed.check_size()?;
                }
            }
            Self::List {
                separator,
                params,
                trim,
            } => {
                for (at, element) in text.split(*separator).enumerate() {
                    let element = if *trim { element.trim() } else { element };
                    match params.get(at) {
                        Some(name) => parsed.params.push((name, element)),
                        None => parsed.tags.push((None, element)),
                    }
                    parsed.check_size()?;
                }
            }
        }
        Ok(parsed)
    }

    /// Writes a text, as the provider would. `key_id` is the name of the key that made the tag.
    pub fn format(&self, tag: &str, params: &[(&str, &str)], key_id: Option<&str>) -> String {
        match self {
            Self::Plain { prefix } => format!("{prefix}{tag}"),
            Self::Pairs {
                separator,
                assign,
                name,
                ..
            } => {
                let mut elements: Vec<String> = params
                    .iter()
                    .map(|(key, value)| format!("{key}{assign}{value}"))
                    .collect();
                let name = match name {
                    TagName::Fixed(name) => name,
                    TagName::KeyId => key_id.unwrap_or_default(),
                };
                elements.push(format!("{name}{assign}{tag}"));
                let separator: String = separator.chars().take(1).collect();
                elements.join(&separator)
            }
            Self::List { separator, .. } => {
                let values = params.iter().map(|(_, value)| *value);
                let elements: Vec<&str> = values.chain([tag]).collect();
                elements.join(&separator.to_string())
            }
        }
    }
}

impl Parsed<'_> {
    fn check_size(&self) -> Result<(), String> {
        match self.tags.len() + self.params.len() > MAX_TAGS {
            true => Err(format!("has more than {MAX_TAGS} elements")),
            false => Ok(()),
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
        let layout = |trim| Layout::Pairs {
            separator: ",".into(),
            assign: '=',
            name: TagName::Fixed("v1".into()),
            trim,
        };
        let text = "t=1,v1=a, v1 = b,v1=c=,x";
        let (strict, lenient) = (layout(false), layout(true));
        let parsed = strict.parse(text).unwrap();
        assert_eq!(parsed.tags, [(None, "a"), (None, "c=")]);
        assert_eq!(parsed.params, [("t", "1"), (" v1 ", " b")]);
        assert_eq!(lenient.parse(text).unwrap().tags.len(), 3);
        assert_eq!(strict.format("a", &[("t", "1")], None), "t=1,v1=a");
    }

    #[test]
    fn a_tag_may_be_named_after_its_key_or_stand_at_its_place() {
        let by_key = Layout::Pairs {
            separator: "&".into(),
            assign: '|',
            name: TagName::KeyId,
            trim: false,
        };
        let parsed = by_key.parse("k1|ab&k2|cd").unwrap();
        assert_eq!(parsed.tags, [(Some("k1"), "ab"), (Some("k2"), "cd")]);
        assert_eq!(by_key.format("ab", &[], Some("k1")), "k1|ab");
        let by_place = Layout::List {
            separator: ',',
            params: vec!["t".into()],
            trim: false,
        };
        let parsed = by_place.parse("12,ab,cd").unwrap();
        assert_eq!(parsed.params, [("t", "12")]);
        assert_eq!(parsed.tags, [(None, "ab"), (None, "cd")]);
        assert_eq!(by_place.format("ab", &[("t", "12")], None), "12,ab");
    }

    #[test]
    fn a_list_without_end_is_refused() {
        let layout = Layout::Pairs {
            separator: " ".into(),
            assign: ',',
            name: TagName::Fixed("v1".into()),
            trim: false,
        };
        assert!(layout.parse(&"v1,x ".repeat(17)).is_err());
    }
}
