//! Reads the tags that a delivery carries, from wherever its vendor puts them.

use std::fmt;

use super::Params;
use crate::outcome::Rejected;
use crate::verify::describe;
use crate::verify::fields::Fields;
use crate::verify::key::NamedKey;
use crate::verify::scheme::{Carrier, Length, Place};
use crate::verify::tag::{MAX_TAGS, Tag};
use crate::verify::template::{Scope, Unfit};

/// A tag as it was sent.
pub(crate) struct Candidate {
    pub(crate) tag: Tag,
    /// The id of its key, where the text names it.
    key_id: Option<String>,
    /// The place of the text that held it.
    place: usize,
}

impl Candidate {
    /// Tells whether a key may have made this tag.
    pub(super) fn is_for(&self, key: &NamedKey, carrier: &Carrier) -> bool {
        (self.key_id.is_none() || self.key_id == key.id)
            && (!carrier.by_secret || self.place == key.place)
    }
}

/// Reads the candidate tags of a delivery. Candidates that cannot be decoded are passed over as
/// long as one can: a vendor may send another version's tag beside the one that counts.
pub(crate) fn read_tags(
    carrier: &Carrier,
    fields: &Fields<'_>,
) -> Result<(Vec<Candidate>, Params), Rejected> {
    let mut tags = Vec::new();
    let mut params = Params::new();
    let mut seen = false;
    for (place, what, text) in carrier_texts(carrier, fields)? {
        let parsed = carrier
            .layout
            .parse(&text)
            .map_err(|how| Rejected::SignatureMalformed(format!("{what} {how}")))?;
        seen |= !parsed.tags.is_empty();
        for (key_id, text) in parsed.tags {
            let decoded = carrier.encoding.decode(text);
            let fitting = decoded.filter(|tag| carrier.length.admits(tag.bytes().len()));
            tags.extend(fitting.map(|tag| Candidate {
                tag,
                key_id: key_id.map(str::to_owned),
                place,
            }));
        }
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        params.extend(parsed.params.into_iter().map(owned));
    }
    let what = || describe_places(carrier);
    if !seen {
        return Err(Rejected::SignatureMissing(format!(
            "an element with the tag in {}",
            what()
        )));
    }
    if tags.is_empty() {
        let encoding = carrier.encoding;
        let how = match carrier.length {
            Length::Exactly(length) => {
                format!("{} holds no tag of {length} bytes in {encoding}", what())
            }
            Length::Any => format!("{} holds no tag in {encoding}", what()),
        };
        return Err(Rejected::SignatureMalformed(how));
    }
    Ok((tags, params))
}

/// Returns the texts that hold the tags: the place of each, what it is called, and the text.
pub(crate) fn carrier_texts(
    carrier: &Carrier,
    fields: &Fields<'_>,
) -> Result<Vec<(usize, String, String)>, Rejected> {
    let scope = Scope::of(fields);
    let mut texts = Vec::new();
    let mut missing = None;
    for (place, from) in carrier.from.iter().enumerate() {
        let found = match from {
            Place::Piece(template) => match template.bytes(&scope) {
                Ok(bytes) => vec![bytes],
                Err(Unfit::Missing(what)) => {
                    missing = missing.or(Some(what));
                    continue;
                }
                Err(unfit) => return Err(unfit.into()),
            },
            Place::Lines(name) => header_lines(fields, |one| one == name),
            Place::Numbered(prefix) => header_lines(fields, |one| one.starts_with(prefix.as_str())),
        };
        let what = from.to_string();
        for bytes in found {
            if texts.len() == MAX_TAGS {
                let how = format!("{what} holds more than {} tags", MAX_TAGS);
                return Err(Rejected::SignatureMalformed(how));
            }
            let text = String::from_utf8(bytes)
                .map_err(|_| Rejected::SignatureMalformed(format!("{what} is not text")))?;
            texts.push((place, what.clone(), text));
        }
    }
    match texts.is_empty() {
        true => Err(Rejected::SignatureMissing(
            missing.unwrap_or_else(|| describe_places(carrier)),
        )),
        false => Ok(texts),
    }
}

/// Returns the lines of the headers of some names, each split at its commas.
fn header_lines(fields: &Fields<'_>, wanted: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
    let headers = fields.delivery().headers.iter();
    let lines = headers.filter(|(name, _)| wanted(name.as_str()));
    let elements = lines.flat_map(|(_, value)| value.as_bytes().split(|byte| *byte == b','));
    elements.map(|text| text.trim_ascii().to_vec()).collect()
}

fn describe_places(carrier: &Carrier) -> String {
    let each = carrier.from.iter().map(ToString::to_string);
    each.collect::<Vec<_>>().join(" or ")
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Piece(template) => f.write_str(&describe(template)),
            Self::Lines(name) => write!(f, "header {name}"),
            Self::Numbered(prefix) => write!(f, "a header {prefix}…"),
        }
    }
}
