//! Proves that a delivery is authentic.
//!
//! The step `verify` of the way of a delivery: exact bytes, keys and `now` go in; a [`Verified`]
//! delivery or the reason for refusing comes out. Pure: no sockets, no clock. Every secret, every
//! tag and every spelling of the URL is tried without early exit, and tags are compared in constant
//! time, so that neither the answer nor its timing tells how close a forgery came.

pub mod explain;
pub mod key;
pub mod scheme;
pub mod sign;
pub mod tag;
pub mod template;

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::outcome::Rejected;
use crate::provider::Provider;
use crate::signal::Assurance;
use key::{HmacKey, Key};
use scheme::{Carrier, Proof, Scheme};
use tag::Tag;
use template::{Fields, Scope, Template, Unfit};

/// The compiled checks of one endpoint: its provider's schemes with the endpoint's keys.
#[derive(Clone, Debug)]
pub struct Verifier {
    provider: Arc<Provider>,
    schemes: Vec<Bound>,
}

/// A scheme with the keys that belong to it; there is at least one.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) scheme: Arc<Scheme>,
    pub(crate) keys: Vec<Key>,
    pub(crate) tolerance: Option<Duration>,
    pub(crate) pinned: bool,
}

/// The elements of a signature header that are not tags.
type Params = Vec<(String, String)>;

/// A delivery whose proof was checked. Only [`Verifier::verify`] makes one, so code that takes a
/// `Verified` cannot be reached with unchecked bytes.
#[derive(Debug)]
pub struct Verified<'d> {
    delivery: &'d Delivery,
    scheme: &'d Scheme,
    fields: Fields<'d>,
    params: Params,
    replay_bounded: bool,
    body_sha256: [u8; 32],
}

impl Verifier {
    /// Binds a provider's schemes to keys. [`Provider::verifier`] is how one is made.
    pub(crate) fn new(provider: Arc<Provider>, schemes: Vec<Bound>) -> Self {
        Self { provider, schemes }
    }

    /// Returns the provider whose deliveries are verified.
    pub fn provider(&self) -> &Arc<Provider> {
        &self.provider
    }

    /// Verifies a delivery against the clock `now`.
    pub fn verify<'d>(
        &'d self,
        delivery: &'d Delivery,
        now: Timestamp,
    ) -> Result<Verified<'d>, Rejected> {
        let bound = self.select(delivery)?;
        let scheme = bound.scheme.as_ref();
        if delivery.body.is_empty() && !scheme.allow_empty_body {
            return Err(Rejected::BodyMalformed("it is empty".to_owned()));
        }
        let fields = Fields::new(delivery, self.provider.pointers());
        let params = match &scheme.proof {
            Proof::Hmac { carrier, .. } => bound.verify_hmac(carrier, &fields)?,
            Proof::Ed25519 { carrier, .. } => bound.verify_ed25519(carrier, &fields)?,
            Proof::Token { value, prefix } => {
                bound.verify_token(value, prefix, &fields)?;
                Params::new()
            }
        };
        let scope = Scope {
            fields: &fields,
            url: &delivery.url,
            params: &params,
        };
        check_equal(scheme, &scope)?;
        bound.check_age(&scope, now)?;
        let replay_bounded = scheme.bounds_replay(bound.tolerance);
        let body_sha256 = Sha256::digest(&delivery.body).into();
        Ok(Verified {
            delivery,
            scheme,
            fields,
            params,
            replay_bounded,
            body_sha256,
        })
    }

    /// Picks the scheme that a delivery is signed with: the one whose conditions hold, else the one
    /// without conditions. All schemes of an endpoint are of the same strength (checked when it is
    /// bound), so that leaving a header away cannot choose a weaker one.
    pub(crate) fn select(&self, delivery: &Delivery) -> Result<&Bound, Rejected> {
        let fits = |bound: &&Bound| {
            bound.pinned || (bound.scheme.when.is_set() && bound.scheme.when.holds(delivery))
        };
        let fallback = |bound: &&Bound| !bound.scheme.when.is_set();
        let picked = self
            .schemes
            .iter()
            .find(fits)
            .or_else(|| self.schemes.iter().find(fallback));
        picked
            .or(self.schemes.first())
            .ok_or(Rejected::Internal("an endpoint was bound without a scheme"))
    }
}

impl Bound {
    fn verify_hmac(&self, carrier: &Carrier, fields: &Fields<'_>) -> Result<Params, Rejected> {
        let (tags, params) = read_tags(carrier, fields)?;
        let mut matched = Choice::from(0);
        for form in &self.scheme.url_forms {
            let url = form.apply(&fields.delivery().url);
            let scope = Scope {
                fields,
                url: &url,
                params: &params,
            };
            self.check_timestamp_text(&scope)?;
            for computed in self.compute_tags(&scope)? {
                for tag in &tags {
                    matched |= computed.matches(tag);
                }
            }
        }
        self.decide(bool::from(matched), params)
    }

    /// Computes the tag of the signed content under every key.
    pub(crate) fn compute_tags(&self, scope: &Scope<'_, '_>) -> Result<Vec<Tag>, Rejected> {
        let mut macs: Vec<HmacKey> = self
            .keys
            .iter()
            .filter_map(|key| {
                if let Key::Hmac(key) = key {
                    Some(HmacKey::clone(key))
                } else {
                    None
                }
            })
            .collect();
        self.scheme.signed.feed(scope, &mut |piece| {
            for mac in &mut macs {
                mac.update(piece);
            }
        })?;
        Ok(macs.into_iter().map(HmacKey::finish).collect())
    }

    fn verify_ed25519(&self, carrier: &Carrier, fields: &Fields<'_>) -> Result<Params, Rejected> {
        let (tags, params) = read_tags(carrier, fields)?;
        let mut matched = false;
        for form in &self.scheme.url_forms {
            let url = form.apply(&fields.delivery().url);
            let scope = Scope {
                fields,
                url: &url,
                params: &params,
            };
            self.check_timestamp_text(&scope)?;
            let message = self.scheme.signed.bytes(&scope)?;
            for key in &self.keys {
                let Key::Ed25519(key) = key else { continue };
                for tag in &tags {
                    matched |= key::verify_ed25519(key, &message, tag);
                }
            }
        }
        self.decide(matched, params)
    }

    fn verify_token(
        &self,
        value: &Template,
        prefix: &str,
        fields: &Fields<'_>,
    ) -> Result<(), Rejected> {
        let scope = Scope {
            fields,
            url: &fields.delivery().url,
            params: &[],
        };
        let sent = value.bytes(&scope)?;
        let token = sent.strip_prefix(prefix.as_bytes()).unwrap_or_default();
        let digest = Sha256::digest(token);
        let mut matched = Choice::from(0);
        for key in &self.keys {
            if let Key::Token(expected) = key {
                matched |= digest.as_slice().ct_eq(expected);
            }
        }
        // An empty token is never a key's, but the rule is worth its own line.
        if token.is_empty() || !bool::from(matched) {
            return Err(Rejected::TokenInvalid {
                secrets: self.keys.len(),
            });
        }
        Ok(())
    }

    fn decide<T>(&self, matched: bool, proof: T) -> Result<T, Rejected> {
        if matched {
            Ok(proof)
        } else {
            Err(Rejected::SignatureMismatch {
                secrets: self.keys.len(),
            })
        }
    }

    /// Refuses a timestamp that is not one before anything is computed over it.
    fn check_timestamp_text(&self, scope: &Scope<'_, '_>) -> Result<(), Rejected> {
        self.signed_at(scope).map(|_| ())
    }

    fn signed_at(&self, scope: &Scope<'_, '_>) -> Result<Option<Timestamp>, Rejected> {
        let Some(rule) = &self.scheme.timestamp else {
            return Ok(None);
        };
        let bytes = rule.from.bytes(scope).map_err(|unfit| match unfit {
            Unfit::Missing(what) => Rejected::TimestampMissing(what),
            other => other.into(),
        })?;
        let time = std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| rule.unit.parse(text));
        let what = || {
            rule.from
                .sources()
                .map(ToString::to_string)
                .collect::<String>()
        };
        time.map(Some)
            .ok_or_else(|| Rejected::TimestampMalformed(what()))
    }

    /// Refuses what was signed longer ago, or further ahead, than the tolerance.
    fn check_age(&self, scope: &Scope<'_, '_>, now: Timestamp) -> Result<(), Rejected> {
        let (Some(time), Some(tolerance)) = (self.signed_at(scope)?, self.tolerance) else {
            return Ok(());
        };
        let age = now.as_second().saturating_sub(time.as_second());
        let tolerance = i64::try_from(tolerance.as_secs()).unwrap_or(i64::MAX);
        if age > tolerance {
            return Err(Rejected::TimestampStale { age, tolerance });
        }
        if age < -tolerance {
            return Err(Rejected::TimestampFuture {
                ahead: -age,
                tolerance,
            });
        }
        Ok(())
    }
}

impl<'d> Verified<'d> {
    /// Returns the delivery.
    pub fn delivery(&self) -> &'d Delivery {
        self.delivery
    }

    /// Returns what the proof covers.
    pub fn assurance(&self) -> Assurance {
        self.scheme.assurance()
    }

    /// Returns the name of the scheme that was applied.
    pub fn scheme(&self) -> &'d str {
        &self.scheme.name
    }

    /// Tells whether a signed timestamp bounds how long this delivery can be replayed.
    pub fn replay_bounded(&self) -> bool {
        self.replay_bounded
    }

    /// Fills in a template as text; nothing where a piece is absent.
    pub(crate) fn text(&self, template: &Template) -> Option<String> {
        template.text(&self.scope())
    }

    /// Tells whether the proof covers every piece of a template.
    pub(crate) fn covers(&self, template: &Template) -> bool {
        template.covered_by(&self.scheme.coverage)
    }

    /// Returns the body's fields.
    pub(crate) fn fields(&self) -> &Fields<'d> {
        &self.fields
    }

    /// Returns the SHA-256 of the body.
    pub fn body_sha256(&self) -> &[u8; 32] {
        &self.body_sha256
    }

    /// Returns the SHA-256 of the signed content; of the body where a token signs nothing.
    pub fn content_digest(&self) -> Result<[u8; 32], Rejected> {
        let whole_body = matches!(self.scheme.proof, Proof::Token { .. });
        if whole_body || self.scheme.signed.is_body() {
            return Ok(self.body_sha256);
        }
        let mut hash = Sha256::new();
        self.scheme
            .signed
            .feed(&self.scope(), &mut |piece| hash.update(piece))?;
        Ok(hash.finalize().into())
    }

    fn scope(&self) -> Scope<'_, 'd> {
        Scope {
            fields: &self.fields,
            url: &self.delivery.url,
            params: &self.params,
        }
    }
}

/// Reads the candidate tags of a delivery. Candidates that cannot be decoded are passed over as
/// long as one can: a vendor may send another version's tag beside the one that counts.
fn read_tags(carrier: &Carrier, fields: &Fields<'_>) -> Result<(Vec<Tag>, Params), Rejected> {
    let what = || describe(&carrier.from);
    let text = carrier_text(carrier, fields)?;
    let parsed = carrier
        .layout
        .parse(&text)
        .map_err(|how| Rejected::SignatureMalformed(format!("{} {how}", what())))?;
    if parsed.tags.is_empty() {
        return Err(Rejected::SignatureMissing(format!(
            "an element with the tag in {}",
            what()
        )));
    }
    let decoded = parsed
        .tags
        .iter()
        .filter_map(|text| carrier.encoding.decode(text));
    let tags: Vec<Tag> = decoded
        .filter(|tag| tag.bytes().len() == carrier.length)
        .collect();
    if tags.is_empty() {
        let (length, encoding) = (carrier.length, carrier.encoding);
        let how = format!("{} holds no tag of {length} bytes in {encoding}", what());
        return Err(Rejected::SignatureMalformed(how));
    }
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    Ok((tags, parsed.params.into_iter().map(owned).collect()))
}

/// Returns the text that holds the tags.
pub(crate) fn carrier_text(carrier: &Carrier, fields: &Fields<'_>) -> Result<String, Rejected> {
    let scope = Scope {
        fields,
        url: &fields.delivery().url,
        params: &[],
    };
    String::from_utf8(carrier.from.bytes(&scope)?).map_err(|_| {
        Rejected::SignatureMalformed(format!("{} is not text", describe(&carrier.from)))
    })
}

fn describe(template: &Template) -> String {
    template
        .sources()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" and ")
}

fn check_equal(scheme: &Scheme, scope: &Scope<'_, '_>) -> Result<(), Rejected> {
    for (left, right) in &scheme.equal {
        let (left_text, right_text) = (left.bytes(scope)?, right.bytes(scope)?);
        if !bool::from(left_text.ct_eq(&right_text)) {
            return Err(Rejected::DigestMismatch(describe(right)));
        }
    }
    Ok(())
}

impl From<Unfit> for Rejected {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Missing(what) => Self::SignatureMissing(what),
            Unfit::Repeated(what) => Self::SignatureAmbiguous(what),
            Unfit::Blurred(how) => Self::SignatureMalformed(how),
            Unfit::ContentType(media_type) => Self::ContentType(media_type),
        }
    }
}
