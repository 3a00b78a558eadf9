//! Tags that are cut, or too long to be one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ground::Ground;
use super::tags::{HASHES, run};
use crate::verify::key::{Hash, HmacKey};
use crate::verify::proof::keyed_hash;
use crate::verify::public_key::Algorithm;
use crate::verify::scheme::{Carrier, Length, Proof, Scheme};
use crate::verify::tag::Encoding;
use crate::verify::template::Scope;

/// Fewest characters of a tag whose beginning is recognised.
const MIN_PART: usize = 8;

/// Tells how much of a tag is missing.
pub(super) fn cut(ground: &Ground<'_>, carrier: &Carrier, texts: &[String]) -> Vec<String> {
    let computed = computed(ground);
    for text in texts {
        for part in [run(text), run(text).trim_end_matches('=')] {
            for (hash, tag) in &computed {
                for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64url] {
                    let whole = encoding.encode(tag);
                    if part.len() >= MIN_PART && part.len() < whole.len() && whole.starts_with(part)
                    {
                        let (here, all) = (part.len(), whole.len());
                        let with = match Length::Exactly(tag.len()) == carrier.length {
                            true => String::new(),
                            false => format!(", and made with {hash}"),
                        };
                        return vec![format!(
                            "the tag is right but cut: {here} of its {all} characters are there{with}"
                        )];
                    }
                }
            }
        }
    }
    Vec::new()
}

/// Tells what the length of a tag that does not verify says.
pub(super) fn explain(ground: &Ground<'_>) -> Vec<String> {
    let Some(carrier) = ground.scheme().carrier() else {
        return Vec::new();
    };
    let decoded = ground.tag_texts().into_iter().map(|text| {
        let part = run(&text).trim_end_matches('=').to_owned();
        match carrier.encoding {
            Encoding::Hex | Encoding::HexAnyCase => part.len() / 2,
            // Of a group of four, what is left over still holds bytes.
            _ => part.len() * 3 / 4,
        }
    });
    let bytes = decoded.max().unwrap_or_default();
    match carrier.length {
        Length::Exactly(wanted) if bytes > 0 && bytes < wanted => vec![format!(
            "the tag has {bytes} bytes, and one of this scheme has {wanted}: it was cut on its way, \
             or made with another hash"
        )],
        Length::Exactly(wanted) if bytes > wanted => vec![format!(
            "the tag has {bytes} bytes, and one of this scheme has {wanted}: it is in another \
             encoding, or made with another hash"
        )],
        Length::Any if is_rsa(ground.scheme()) && bytes > 0 && !bytes.is_multiple_of(128) => {
            vec![format!(
                "the signature has {bytes} bytes, which no common RSA key makes: it was cut on its \
                 way, or is no RSA signature"
            )]
        }
        Length::Any => der_length(ground),
        Length::Exactly(_) => Vec::new(),
    }
}

fn is_rsa(scheme: &Scheme) -> bool {
    let rsa = |one: &Algorithm| matches!(one, Algorithm::RsaPkcs1(_) | Algorithm::RsaPss(_));
    matches!(&scheme.proof, Proof::PublicKey { algorithm, .. } if rsa(algorithm))
}

/// A signature in DER says itself how long it is.
fn der_length(ground: &Ground<'_>) -> Vec<String> {
    let texts = ground.tag_texts();
    let short = texts.iter().find_map(|text| {
        let part = run(text).trim_end_matches('=');
        // Whole groups of four characters, so that a cut text decodes as well.
        let bytes = STANDARD.decode(part.get(..part.len() / 4 * 4)?).ok()?;
        let wanted = match bytes.as_slice() {
            [0x30, length, ..] => usize::from(*length) + 2,
            _ => return None,
        };
        (bytes.len() + 3 < wanted).then_some((bytes.len(), wanted))
    });
    let tell = |(bytes, wanted): (usize, usize)| {
        format!(
            "the signature is cut: it says itself that it has {wanted} bytes, and {bytes} are there"
        )
    };
    short.map(tell).into_iter().collect()
}

/// Computes the tags that the secrets make of the content, with every hash.
fn computed(ground: &Ground<'_>) -> Vec<(Hash, Vec<u8>)> {
    let scheme = ground.scheme();
    let (Some(fields), Some(carrier)) = (ground.proof_fields(), scheme.carrier()) else {
        return Vec::new();
    };
    let texts = ground.tag_texts();
    let mut params = Vec::new();
    for text in &texts {
        let parsed = carrier.layout.parse(text).unwrap_or_default();
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        params.extend(parsed.params.iter().map(owned));
    }
    let mut tags = Vec::new();
    for form in &scheme.url_forms {
        let url = form.apply(&ground.case.delivery.url);
        let scope = Scope {
            url: &url,
            params: &params,
            ..Scope::of(&fields)
        };
        for hash in HASHES {
            for secret in ground.case.secrets {
                let tag = match &scheme.proof {
                    Proof::Hmac { key, .. } => {
                        let key = key.bytes(secret).ok();
                        let mac = key.and_then(|bytes| HmacKey::new(hash, &bytes));
                        mac.and_then(|mut mac| {
                            let fed = scheme.signed.feed(&scope, &mut |piece| mac.update(piece));
                            fed.ok().map(|()| mac.finish())
                        })
                    }
                    Proof::KeyedHash { key, .. } => key
                        .bytes(secret)
                        .ok()
                        .and_then(|bytes| keyed_hash(hash, &bytes, &scope, &scheme.signed).ok()),
                    _ => None,
                };
                tags.extend(tag.map(|tag| (hash, tag.bytes().to_vec())));
            }
        }
    }
    tags
}
