//! Explains why a delivery does not verify, by trying the known near misses.
//!
//! Offline only (`hookgate verify`): every guess is one more verification of a changed delivery or
//! secret, which would be a gift to an attacker in the request path.

mod rewrite;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};

use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::outcome::Rejected;
use crate::provider::{Binding, Provider};
use crate::verify::carrier_text;
use crate::verify::key::{Hash, HmacKey, KeyEncoding};
use crate::verify::scheme::{Proof, Scheme};
use crate::verify::tag::Encoding;
use crate::verify::template::{Fields, Scope};
use rewrite::{Escapes, Layout, rewrite};

/// A delivery that did not verify, and everything that was configured for it.
#[derive(Debug)]
pub struct Case<'a> {
    /// The provider.
    pub provider: &'a Arc<Provider>,
    /// The pinned scheme.
    pub scheme: Option<&'a str>,
    /// The secrets.
    pub secrets: &'a [SecretString],
    /// Further settings.
    pub params: &'a BTreeMap<String, String>,
    /// The delivery.
    pub delivery: &'a Delivery,
    /// The clock that was assumed.
    pub now: Timestamp,
}

/// Explains a refusal: what was found, then each near miss that would have verified.
pub fn explain(case: &Case<'_>, rejected: &Rejected) -> Vec<String> {
    let mut findings = vec![rejected.to_string()];
    match rejected {
        Rejected::TimestampStale { age, .. } => findings.push(format!(
            "the signature is right, but {age} s old: the delivery was held up or recorded \
             earlier (check it with --at), or this clock is {age} s ahead of the provider's"
        )),
        Rejected::TimestampFuture { ahead, .. } => findings.push(format!(
            "the signature is right, but from {ahead} s in the future: this clock is behind"
        )),
        _ => findings.extend(near_misses(case)),
    }
    findings
}

fn near_misses(case: &Case<'_>) -> Vec<String> {
    let mut findings = Vec::new();
    findings.extend(case.other_secrets());
    findings.extend(case.other_bodies());
    findings.extend(case.other_tags());
    let mut told = std::collections::BTreeSet::new();
    findings.retain(|finding| told.insert(finding.clone()));
    if findings.is_empty() && case.is_mismatch() {
        findings.push(
            "no near miss fits: most likely the secret belongs to another endpoint or account, or \
             the body was changed on its way (anything but the exact bytes received fails)"
                .to_owned(),
        );
    }
    findings
}

impl Case<'_> {
    fn is_mismatch(&self) -> bool {
        matches!(
            self.verify(self.secrets, self.delivery),
            Err(Rejected::SignatureMismatch { .. } | Rejected::TokenInvalid { .. })
        )
    }

    fn verify(&self, secrets: &[SecretString], delivery: &Delivery) -> Result<(), Rejected> {
        let binding = Binding {
            scheme: self.scheme,
            secrets,
            params: self.params,
            tolerance: None,
        };
        let verifier = self.provider.verifier(&binding);
        let verifier = verifier.map_err(|_| Rejected::Internal("the guess does not bind"))?;
        verifier.verify(delivery, self.now).map(|_| ())
    }

    /// Tells whether a guess would have verified; a stale timestamp does not speak against it.
    fn fits(&self, secrets: &[SecretString], delivery: &Delivery) -> bool {
        matches!(
            self.verify(secrets, delivery),
            Ok(()) | Err(Rejected::TimestampStale { .. } | Rejected::TimestampFuture { .. })
        )
    }

    fn other_secrets(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for secret in self.secrets {
            let text = secret.expose_secret();
            for (guess, finding) in secret_guesses(text) {
                if guess != text && self.fits(&[guess.into()], self.delivery) {
                    findings.push(finding.to_owned());
                }
            }
            findings.extend(self.other_derivations(secret));
        }
        findings
    }

    /// Tries the secret's text as other encodings of a key.
    fn other_derivations(&self, secret: &SecretString) -> Vec<String> {
        let Some((scheme, text)) = self.hmac_scheme() else {
            return Vec::new();
        };
        let Proof::Hmac { hash, key, carrier } = &scheme.proof else {
            return Vec::new();
        };
        let whole = secret.expose_secret();
        let rest = whole.split_once('_').map_or(whole, |(_, rest)| rest);
        let mut findings = Vec::new();
        for encoding in KeyEncoding::ALL {
            for (candidate, of) in [
                (whole, "the whole secret"),
                (rest, "the secret behind its prefix"),
            ] {
                let known = key.bytes(secret).ok();
                let Ok(bytes) = encoding.decode(candidate) else {
                    continue;
                };
                if known.as_ref().is_some_and(|known| **known == *bytes) || bytes.is_empty() {
                    continue;
                }
                let tags = self.tags_under(scheme, *hash, &bytes);
                if tags
                    .iter()
                    .any(|tag| text.contains(&carrier.encoding.encode(tag)))
                {
                    findings.push(format!(
                        "the signature fits if {of} is taken as {}: the sender decodes its key \
                         otherwise than this provider does",
                        encoding.name()
                    ));
                }
            }
        }
        findings
    }

    fn other_bodies(&self) -> Vec<String> {
        let guesses = body_guesses(&self.delivery.body);
        let fitting = guesses.into_iter().filter(|(body, _)| {
            let mut delivery = self.delivery.clone();
            delivery.body = Bytes::from(body.clone());
            *body != self.delivery.body && self.fits(self.secrets, &delivery)
        });
        fitting.map(|(_, finding)| finding.to_owned()).collect()
    }

    /// Looks for the right tag in the wrong encoding, or made with another hash.
    fn other_tags(&self) -> Vec<String> {
        let Some((scheme, text)) = self.hmac_scheme() else {
            return Vec::new();
        };
        let Proof::Hmac {
            hash: wanted,
            key,
            carrier,
        } = &scheme.proof
        else {
            return Vec::new();
        };
        let mut findings = Vec::new();
        for secret in self.secrets {
            let Ok(bytes) = key.bytes(secret) else {
                continue;
            };
            for hash in Hash::ALL {
                for tag in self.tags_under(scheme, hash, &bytes) {
                    if let Some(form) = form_of(&tag, &text, carrier.encoding) {
                        findings.push(describe_tag(hash, *wanted, form, carrier.encoding));
                    }
                }
            }
        }
        findings.retain(|finding| !finding.is_empty());
        findings
    }

    /// Returns the HMAC scheme that was applied and the text that carries its tags.
    fn hmac_scheme(&self) -> Option<(&Scheme, String)> {
        let fits = |scheme: &&Arc<Scheme>| {
            self.scheme.is_none_or(|name| scheme.name == name)
                && (self.scheme.is_some()
                    || !scheme.when.is_set()
                    || scheme.when.holds(self.delivery))
        };
        let fields = Fields::new(self.delivery, self.provider.pointers());
        self.provider
            .schemes()
            .iter()
            .filter(fits)
            .find_map(|scheme| {
                let Proof::Hmac { carrier, .. } = &scheme.proof else {
                    return None;
                };
                let text = carrier_text(carrier, &fields).ok()?;
                Some((scheme.as_ref(), text))
            })
    }

    /// Computes the tags of the signed content under a key, for every spelling of the URL.
    fn tags_under(&self, scheme: &Scheme, hash: Hash, key: &[u8]) -> Vec<Vec<u8>> {
        let Some(key) = HmacKey::new(hash, key) else {
            return Vec::new();
        };
        let fields = Fields::new(self.delivery, self.provider.pointers());
        let params = scheme.carrier().and_then(|carrier| {
            let text = carrier_text(carrier, &fields).ok()?;
            let parsed = carrier.layout.parse(&text).ok()?;
            let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            Some(parsed.params.iter().map(owned).collect::<Vec<_>>())
        });
        let params = params.unwrap_or_default();
        let tags = scheme.url_forms.iter().filter_map(|form| {
            let url = form.apply(&self.delivery.url);
            let scope = Scope {
                fields: &fields,
                url: &url,
                params: &params,
            };
            let mut mac = key.clone();
            scheme
                .signed
                .feed(&scope, &mut |piece| mac.update(piece))
                .ok()?;
            Some(mac.finish().bytes().to_vec())
        });
        tags.collect()
    }
}

fn secret_guesses(text: &str) -> Vec<(String, &'static str)> {
    vec![
        (
            text.trim().to_owned(),
            "the secret has white space around it; without it the signature fits",
        ),
        (
            format!("{text}\n"),
            "the sender's secret ends with a line break; with one the signature fits",
        ),
        (
            text.trim_matches(['"', '\'']).to_owned(),
            "the secret has quotation marks around it; without them the signature fits",
        ),
    ]
}

const COMPACT: &str = "the body was parsed and written again: it was signed in compact form";
const SPACED: &str =
    "the body was parsed and written again: it was signed with a space behind `:` and `,`";
const PRETTY: &str = "the body was parsed and written again: it was signed pretty-printed";

/// Bodies that the received one may have been made of on its way.
fn body_guesses(body: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let mut guesses = vec![
        (
            body.trim_ascii().to_vec(),
            "white space was added around the body after it was signed",
        ),
        (
            [body, b"\n"].concat(),
            "the line break at the end of the body was lost",
        ),
    ];
    if let Ok(text) = std::str::from_utf8(body) {
        let unix = text.replace("\r\n", "\n");
        let windows = unix.replace('\n', "\r\n");
        guesses.push((
            unix.into(),
            "line ends were changed from LF to CRLF after signing",
        ));
        guesses.push((
            windows.into(),
            "line ends were changed from CRLF to LF after signing",
        ));
    }
    const LAYOUTS: [(Layout, &str); 5] = [
        (Layout::Compact, COMPACT),
        (Layout::Spaced, SPACED),
        (Layout::Pretty("  "), PRETTY),
        (Layout::Pretty("    "), PRETTY),
        (Layout::Pretty("\t"), PRETTY),
    ];
    for escapes in [Escapes::Kept, Escapes::Raw, Escapes::Ascii] {
        for (layout, finding) in LAYOUTS {
            guesses.extend(rewrite(body, layout, escapes).map(|text| (text, finding)));
        }
    }
    guesses
}

/// A form in which a tag was found.
enum Form {
    Known(Encoding),
    UpperHex,
    WithoutPrefix,
}

fn form_of(tag: &[u8], text: &str, wanted: Encoding) -> Option<Form> {
    let upper = hex::encode_upper(tag);
    if wanted == Encoding::Hex && text.contains(&upper) && upper != hex::encode(tag) {
        return Some(Form::UpperHex);
    }
    if text.contains(&wanted.encode(tag)) {
        return Some(Form::WithoutPrefix);
    }
    let others = [Encoding::HexAnyCase, Encoding::Base64, Encoding::Base64url];
    others
        .into_iter()
        .find(|other| text.contains(&other.encode(tag)))
        .map(Form::Known)
}

fn describe_tag(hash: Hash, wanted_hash: Hash, form: Form, wanted: Encoding) -> String {
    let with = if hash == wanted_hash {
        String::new()
    } else {
        format!(", made with {hash} instead of {wanted_hash}")
    };
    match form {
        Form::Known(found) => {
            format!("the tag is right but written in {found} instead of {wanted}{with}")
        }
        Form::UpperHex => {
            format!(
                "the tag is right but written in upper case, and the vendor sends lower case{with}"
            )
        }
        Form::WithoutPrefix if hash == wanted_hash => {
            "the right tag is there, but not in the place or behind the prefix where it belongs"
                .to_owned()
        }
        Form::WithoutPrefix => format!("the tag fits the secret and the body{with}"),
    }
}
