//! Tags: in another encoding, made with another hash, behind another prefix, cut.

use super::ground::{Change, Ground, Guess};
use super::lengths::cut;
use super::public_keys::{algorithms, confused};
use crate::verify::key::Hash;
use crate::verify::scheme::{Carrier, Length, Place, Proof, Scheme};
use crate::verify::tag::{Encoding, Layout, TagName};
use crate::verify::template::Source;

pub(super) const HASHES: [Hash; 5] = [
    Hash::Sha256,
    Hash::Sha1,
    Hash::Sha512,
    Hash::Sha384,
    Hash::Md5,
];
const ENCODINGS: [Encoding; 4] = [
    Encoding::Hex,
    Encoding::HexAnyCase,
    Encoding::Base64,
    Encoding::Base64url,
];
/// Most bytes of a prefix that is repeated in a finding.
const MAX_SHOWN: usize = 24;

/// Tries other forms of the tag.
pub(super) fn guess(ground: &Ground<'_>) -> Vec<String> {
    let Some(carrier) = ground.scheme().carrier() else {
        return Vec::new();
    };
    let texts = ground.tag_texts();
    if texts.is_empty() {
        return Vec::new();
    }
    let mut found = ground.first(padded(ground, carrier, &texts));
    if found.is_empty() {
        found = ground.first(other_forms(ground.scheme(), carrier, &texts));
    }
    if found.is_empty() {
        found = cut(ground, carrier, &texts);
    }
    found
}

/// Something that is otherwise, and how it is told; nothing where it is as usual.
pub(super) type Other<T> = (T, Option<String>);

fn other_forms(scheme: &Scheme, carrier: &Carrier, texts: &[String]) -> Vec<Guess> {
    let mut forms = Vec::new();
    for (layout, place) in layouts(carrier, texts) {
        for (proof, made) in proofs(scheme) {
            for (encoding, written) in encodings(carrier, texts) {
                let told: Vec<String> = [&written, &made, &place]
                    .into_iter()
                    .flatten()
                    .cloned()
                    .collect();
                if told.is_empty() {
                    continue;
                }
                let mut scheme = scheme.clone();
                scheme.proof = proof.clone();
                if let Some(carrier) = carrier_of(&mut scheme.proof) {
                    carrier.layout = layout.clone();
                    carrier.encoding = encoding;
                }
                forms.push((scheme, told));
            }
        }
    }
    // What differs in one thing alone is the more likely.
    forms.sort_by_key(|(_, told)| told.len());
    let tell = |(scheme, told): (Scheme, Vec<String>)| {
        Guess::scheme(scheme, format!("the tag is right but {}", told.join(", ")))
    };
    forms.into_iter().map(tell).collect()
}

fn carrier_of(proof: &mut Proof) -> Option<&mut Carrier> {
    match proof {
        Proof::Hmac { carrier, .. }
        | Proof::KeyedHash { carrier, .. }
        | Proof::PublicKey { carrier, .. } => Some(carrier),
        _ => None,
    }
}

fn encodings(carrier: &Carrier, texts: &[String]) -> Vec<Other<Encoding>> {
    let wanted = carrier.encoding;
    let upper = texts
        .iter()
        .any(|text| run(text).bytes().any(|byte| byte.is_ascii_uppercase()));
    let mut all = vec![(wanted, None)];
    for other in ENCODINGS.into_iter().filter(|other| *other != wanted) {
        let told = match (wanted, other) {
            (Encoding::HexAnyCase, Encoding::Hex) => continue,
            (Encoding::Hex, Encoding::HexAnyCase) if upper => {
                "written in upper case, and the vendor sends lower case".to_owned()
            }
            (_, Encoding::Hex | Encoding::HexAnyCase) => {
                format!("written in hex instead of {wanted}")
            }
            _ => format!("written in {other} instead of {wanted}"),
        };
        all.push((other, Some(told)));
    }
    all
}

fn layouts(carrier: &Carrier, texts: &[String]) -> Vec<Other<Layout>> {
    const ELSEWHERE: &str = "not in the place or behind the prefix where it belongs";
    let mut all = vec![(carrier.layout.clone(), None)];
    let wanted = match &carrier.layout {
        Layout::Plain { prefix } if prefix.is_empty() => "nothing".to_owned(),
        Layout::Plain { prefix } => format!("`{prefix}`"),
        Layout::Pairs { .. } | Layout::List { .. } => "the name of its element".to_owned(),
    };
    for text in texts {
        if let Layout::Pairs { name, trim, .. } = &carrier.layout {
            all.extend(other_elements(carrier, text));
            for (separator, assign) in [(",", '='), (";", '='), ("&", '='), (" ", ','), (",", ':')]
            {
                let layout = Layout::Pairs {
                    separator: separator.to_owned(),
                    assign,
                    name: name.clone(),
                    trim: *trim,
                };
                let told = format!(
                    "in a header whose elements are separated by `{separator}` and assigned by \
                     `{assign}`, otherwise than this provider does"
                );
                all.push((layout, Some(told)));
            }
        }
        let before = text.get(..text.len() - run(text).len()).unwrap_or_default();
        for prefix in [before, ""] {
            let shown = match prefix {
                "" => "nothing".to_owned(),
                prefix if prefix.len() <= MAX_SHOWN => format!("`{prefix}`"),
                _ => "something else".to_owned(),
            };
            let layout = Layout::Plain {
                prefix: prefix.to_owned(),
            };
            let told = format!("{ELSEWHERE}: it stands behind {shown} instead of {wanted}");
            all.push((layout, Some(told)));
        }
    }
    let mut known: Vec<Layout> = Vec::new();
    all.retain(|(layout, _)| {
        let new = !known.contains(layout);
        known.push(layout.clone());
        new
    });
    all
}

/// The elements of other names, such as those of another version of the scheme.
fn other_elements(carrier: &Carrier, text: &str) -> Vec<Other<Layout>> {
    let Layout::Pairs {
        separator,
        assign,
        name: TagName::Fixed(wanted),
        trim,
    } = &carrier.layout
    else {
        return Vec::new();
    };
    let parsed = carrier.layout.parse(text).unwrap_or_default();
    let others = parsed.params.iter().map(|(name, _)| *name);
    let other = |name: &str| {
        let layout = Layout::Pairs {
            separator: separator.clone(),
            assign: *assign,
            name: TagName::Fixed(name.to_owned()),
            trim: *trim,
        };
        let told = format!(
            "it is element `{}` of the header and not `{wanted}`: that of another version",
            shown(name)
        );
        (layout, Some(told))
    };
    others.map(other).collect()
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

/// The algorithms that a sender may have used instead.
fn proofs(scheme: &Scheme) -> Vec<Other<Proof>> {
    let mut all = vec![(scheme.proof.clone(), None)];
    match &scheme.proof {
        Proof::Hmac {
            hash: wanted,
            key,
            carrier,
        } => {
            for hash in HASHES.into_iter().filter(|hash| hash != wanted) {
                let (key, carrier) = (key.clone(), with_length(carrier, hash));
                let told = format!("made with {hash} instead of {wanted}");
                all.push((Proof::Hmac { hash, key, carrier }, Some(told)));
            }
        }
        Proof::KeyedHash {
            hash: wanted,
            key,
            carrier,
        } => {
            for hash in HASHES.into_iter().filter(|hash| hash != wanted) {
                let (key, carrier) = (key.clone(), with_length(carrier, hash));
                let told = format!("made with {hash} instead of {wanted}");
                all.push((Proof::KeyedHash { hash, key, carrier }, Some(told)));
            }
        }
        Proof::PublicKey {
            algorithm: wanted,
            key,
            carrier,
            tink,
        } => {
            for (algorithm, told) in algorithms(*wanted) {
                let proof = Proof::PublicKey {
                    algorithm,
                    key: key.clone(),
                    carrier: Carrier {
                        length: Length::Any,
                        ..carrier.clone()
                    },
                    tink: *tink,
                };
                all.push((proof, Some(told)));
            }
            if scheme.keys.is_none() {
                all.push(confused(key, carrier));
            }
            if *tink {
                let proof = Proof::PublicKey {
                    algorithm: *wanted,
                    key: key.clone(),
                    carrier: carrier.clone(),
                    tink: false,
                };
                let told = "without the prefix of 5 bytes that names its key".to_owned();
                all.push((proof, Some(told)));
            }
        }
        _ => {}
    }
    all
}

pub(super) fn with_length(carrier: &Carrier, hash: Hash) -> Carrier {
    Carrier {
        length: Length::Exactly(hash.length()),
        ..carrier.clone()
    }
}

/// Returns what a text ends with that may be a tag in any encoding.
pub(super) fn run(text: &str) -> &str {
    let body = text.trim_end_matches('=');
    let kept = |char: char| char.is_ascii_alphanumeric() || "+/-_".contains(char);
    let start = body.trim_end_matches(kept).len();
    text.get(start..).unwrap_or_default()
}

/// A tag in base64 that lacks its padding.
fn padded(ground: &Ground<'_>, carrier: &Carrier, texts: &[String]) -> Vec<Guess> {
    let header = carrier.from.iter().find_map(|place| match place {
        Place::Piece(template) => match template.only_source() {
            Some(Source::Header(names)) => names.first(),
            _ => None,
        },
        _ => None,
    });
    let (Some(header), [text], Encoding::Base64) = (header, texts, carrier.encoding) else {
        return Vec::new();
    };
    let told = "the tag is right but lacks its padding: base64 ends with `=` here";
    let pads = ["=", "=="].into_iter();
    pads.filter_map(|pad| ground.with_header(header, format!("{text}{pad}").as_bytes()))
        .map(|delivery| Guess::new(Change::Delivery(delivery), told))
        .collect()
}
