//! Proves that a delivery is authentic.
//!
//! The step `verify` of the way of a delivery: exact bytes, keys and `now` go in; a [`Verified`]
//! delivery or the reason for refusing comes out. Pure: no sockets, no clock. Every secret, every
//! tag and every spelling of the URL is tried without early exit, and tags are compared in constant
//! time, so that neither the answer nor its timing tells how close a forgery came.

pub mod explain;
pub mod fetched;
pub mod fields;
pub mod jws;
pub mod key;
pub mod matched;
pub mod proof;
pub mod public_key;
pub mod scheme;
pub mod sign;
pub mod tag;
pub mod template;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::batch::Part;
use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::outcome::Rejected;
use crate::provider::Provider;
use crate::signal::Assurance;
use fetched::KeyOrder;
use fields::Fields;
use key::{Key, NamedKey};
use matched::Matched;
use proof::Proven;
use public_key::KeySet;
use scheme::{Equal, Proof, Scheme};
use template::{ReplyKey, Scope, Template, Unfit};

/// The compiled checks of one endpoint: its provider's schemes with the endpoint's keys. `Debug` shows
/// no key, and no digest of a secret that could be guessed by it.
#[derive(Clone)]
pub struct Verifier {
    provider: Arc<Provider>,
    schemes: Vec<Bound>,
    /// The secret params: SHA-256 of each for comparing, by name.
    tokens: Vec<(String, [u8; 32])>,
    /// The same as they are, where a key server asks for them.
    secrets: Vec<(String, SecretString)>,
}

impl fmt::Debug for Verified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("delivery", self.delivery)
            .field("scheme", &self.scheme.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("provider", &self.provider.name)
            .field("schemes", &self.schemes.len())
            .finish_non_exhaustive()
    }
}

/// A scheme with the keys that belong to it.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) scheme: Arc<Scheme>,
    pub(crate) keys: Vec<NamedKey>,
    pub(crate) tolerance: Option<Duration>,
    pub(crate) pinned: bool,
}

/// A delivery whose proof was checked. Only [`Verifier::verify`] makes one, so code that takes a
/// `Verified` cannot be reached with unchecked bytes.
pub struct Verified<'d> {
    delivery: &'d Delivery,
    scheme: &'d Scheme,
    fields: Fields<'d>,
    proven: Proven,
    /// Where each event of a batch is proved on its own: the events, with their proofs.
    parts: Option<Vec<(Part, Proven)>>,
    replies: ReplyKey,
    replay_bounded: bool,
    body_sha256: [u8; 32],
}

impl Verifier {
    /// Binds a provider's schemes to keys. [`Provider::verifier`] is how one is made.
    pub(crate) fn new(
        provider: Arc<Provider>,
        schemes: Vec<Bound>,
        secrets: Vec<(String, SecretString)>,
    ) -> Self {
        use secrecy::ExposeSecret;
        let digest = |(name, secret): &(String, SecretString)| {
            (
                name.clone(),
                Sha256::digest(secret.expose_secret().as_bytes()).into(),
            )
        };
        Self {
            provider,
            schemes,
            tokens: secrets.iter().map(digest).collect(),
            secrets,
        }
    }

    /// Returns the provider whose deliveries are verified, with the endpoint's settings filled in.
    pub fn provider(&self) -> &Arc<Provider> {
        &self.provider
    }

    /// Returns the settings that are secrets, which are no part of the list of secrets.
    pub fn param_secrets(&self) -> Vec<SecretString> {
        let secrets = self.secrets.iter();
        secrets.map(|(_, secret)| secret.clone()).collect()
    }

    /// Tells whether nothing can be verified yet.
    pub fn is_unarmed(&self) -> bool {
        self.schemes.is_empty()
    }

    /// Returns the weakest assurance that a delivery can have here.
    pub fn least_assurance(&self) -> Assurance {
        let each = self.schemes.iter().map(|bound| bound.scheme.assurance());
        each.min().unwrap_or(Assurance::None)
    }

    /// Tells whether keys have to be fetched for some deliveries.
    pub fn fetches_keys(&self) -> bool {
        self.schemes.iter().any(|bound| bound.scheme.keys.is_some())
    }

    /// Works out which keys a delivery must be verified with, if they are not configured.
    pub fn order_keys(&self, delivery: &Delivery) -> Result<Option<KeyOrder>, Rejected> {
        if !self.fetches_keys() {
            return Ok(None);
        }
        let fields = self.fields(delivery);
        let bound = self.select(&fields)?;
        let Some(rule) = &bound.scheme.keys else {
            return Ok(None);
        };
        let token = match &bound.scheme.proof {
            Proof::Jwt(jwt) => Some(proof::token_text(&jwt.token, &fields)?),
            _ => None,
        };
        let scope = Scope::of(&fields);
        rule.order(&scope, token.as_deref(), &self.secrets)
            .map(Some)
    }

    /// Verifies a delivery against the clock `now`, with the keys that were ordered for it.
    pub fn verify<'d>(
        &'d self,
        delivery: &'d Delivery,
        now: Timestamp,
        fetched: Option<&KeySet>,
    ) -> Result<Verified<'d>, Rejected> {
        let fields = self.fields(delivery);
        let bound = self.select(&fields)?;
        let scheme = bound.scheme.as_ref();
        if delivery.body.is_empty() && !scheme.allow_empty_body {
            return Err(Rejected::BodyMalformed("it is empty".to_owned()));
        }
        let (proven, parts) = if scheme.each {
            (
                Proven::default(),
                Some(self.prove_each(bound, &fields, now)?),
            )
        } else {
            (bound.prove(&fields, fetched, now)?, None)
        };
        Ok(Verified {
            delivery,
            scheme,
            proven,
            parts,
            replies: self.reply_key(),
            replay_bounded: scheme.bounds_replay(bound.tolerance),
            body_sha256: Sha256::digest(&delivery.body).into(),
            fields,
        })
    }

    /// Proves every event of a batch; one that is not authentic refuses the delivery.
    fn prove_each(
        &self,
        bound: &Bound,
        fields: &Fields<'_>,
        now: Timestamp,
    ) -> Result<Vec<(Part, Proven)>, Rejected> {
        let parts = self.provider.events.split(fields)?;
        if parts.is_empty() {
            let what = "an event with a proof of its own".to_owned();
            return Err(Rejected::SignatureMissing(what));
        }
        let prove = |part: Part| {
            let event = fields.of_event(part.document.clone());
            let proven = bound.prove(&event, None, now)?;
            Ok((part, proven))
        };
        parts.into_iter().map(prove).collect()
    }

    pub(crate) fn fields<'d>(&'d self, delivery: &'d Delivery) -> Fields<'d> {
        let provider = &self.provider;
        Fields::within(delivery, provider.pointers(), &provider.documents)
    }

    /// Picks the scheme that a delivery is signed with: the first whose conditions hold, else one
    /// without conditions. All schemes of an endpoint are of the same strength (checked when it is
    /// bound), so that leaving a header away cannot choose a weaker one.
    pub(crate) fn select(&self, fields: &Fields<'_>) -> Result<&Bound, Rejected> {
        if let [only] = self.schemes.as_slice()
            && only.pinned
            && !only.scheme.when.object
        {
            return Ok(only);
        }
        let scope = Scope::of(fields);
        let fits = |bound: &&Bound| bound.scheme.when.is_set() && bound.scheme.when.holds(&scope);
        let fallback = |bound: &&Bound| !bound.scheme.when.is_set();
        let picked = self.schemes.iter().find(fits);
        let picked = picked.or_else(|| self.schemes.iter().find(fallback));
        picked.ok_or_else(|| match self.schemes.first() {
            None => Rejected::Internal("an endpoint was bound without a scheme"),
            Some(first) => Rejected::SignatureMissing(match &first.scheme.when.header {
                Some(name) => format!("header {name}"),
                None => "what would tell how the delivery is signed".to_owned(),
            }),
        })
    }

    /// Compares a text with a secret param, in constant time.
    pub(crate) fn token_matches(&self, param: &str, text: &[u8]) -> bool {
        let expected = self.tokens.iter().find(|(name, _)| name == param);
        let digest = Sha256::digest(text);
        expected.is_some_and(|(_, expected)| bool::from(digest.as_slice().ct_eq(expected)))
    }

    /// Compares a text with the endpoint's own tokens, in constant time.
    pub(crate) fn is_token(&self, text: &[u8]) -> bool {
        let digest = Sha256::digest(text);
        let mut matched = subtle::Choice::from(0);
        for named in self.schemes.iter().flat_map(|bound| &bound.keys) {
            if let Key::Token(expected) = &named.key {
                matched |= digest.as_slice().ct_eq(expected);
            }
        }
        bool::from(matched)
    }

    /// Returns the key that answers challenges: that of the endpoint's first secret.
    pub(crate) fn reply_key(&self) -> ReplyKey {
        let keys = self.schemes.iter().flat_map(|bound| &bound.keys);
        let mut first = keys.filter_map(|named| match &named.key {
            Key::Hmac(key) => Some((named.id.clone(), key.as_ref().clone())),
            _ => None,
        });
        match first.next() {
            Some((id, key)) => ReplyKey { id, key: Some(key) },
            None => ReplyKey {
                id: None,
                key: None,
            },
        }
    }
}

impl Bound {
    /// Checks everything that makes a delivery, or one event of it, authentic.
    fn prove(
        &self,
        fields: &Fields<'_>,
        fetched: Option<&KeySet>,
        now: Timestamp,
    ) -> Result<Proven, Rejected> {
        let mut proven = self.check_proof(fields, fetched, now)?;
        if let Some(token) = &self.scheme.token {
            proven.secrets = proven.secrets.and(self.check_token(token, fields)?);
        }
        let scope = proven.scope(fields);
        for rule in &self.scheme.equal {
            check_equal(rule, &scope)?;
        }
        for template in &self.scheme.require {
            template.bytes(&scope).map_err(|unfit| match unfit {
                Unfit::Missing(what) => Rejected::SignatureMalformed(format!("{what} is missing")),
                other => other.into(),
            })?;
        }
        self.check_age(&scope, now)?;
        Ok(proven)
    }

    pub(crate) fn signed_at(&self, scope: &Scope<'_, '_>) -> Result<Option<Timestamp>, Rejected> {
        let Some(rule) = &self.scheme.timestamp else {
            return Ok(None);
        };
        let bytes = rule.from.bytes(scope).map_err(|unfit| match unfit {
            Unfit::Missing(what) => Rejected::TimestampMissing(what),
            other => other.into(),
        })?;
        let time = std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| rule.unit.parse(text))
            .filter(|time| time.as_second() >= rule.min);
        time.map(Some)
            .ok_or_else(|| Rejected::TimestampMalformed(describe(&rule.from)))
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

    /// Returns which of the endpoint's secrets it is proved with: none where the provider publishes
    /// its keys.
    pub fn secrets(&self) -> Matched {
        let parts = self.parts.iter().flatten();
        parts.fold(self.proven.secrets, |known, (_, proven)| {
            known.and(proven.secrets)
        })
    }

    /// Tells whether a signed timestamp bounds how long this delivery can be replayed.
    pub fn replay_bounded(&self) -> bool {
        self.replay_bounded
    }

    /// Tells whether the proof covers every piece of a template.
    pub(crate) fn covers(&self, template: &Template) -> bool {
        template.covered_by(&self.scheme.coverage)
    }

    /// Returns the body's fields.
    pub(crate) fn fields(&self) -> &Fields<'d> {
        &self.fields
    }

    /// Returns the events that were proved one by one, with the digest of what was signed of each.
    pub(crate) fn proven_parts(&self) -> Option<Vec<(Part, [u8; 32])>> {
        let digest = |(part, proven): &(Part, Proven)| {
            let event = self.fields.of_event(part.document.clone());
            (part.clone(), self.digest(&event, proven, &part.element))
        };
        self.parts
            .as_ref()
            .map(|parts| parts.iter().map(digest).collect())
    }

    /// Returns the SHA-256 of the body.
    pub fn body_sha256(&self) -> &[u8; 32] {
        &self.body_sha256
    }

    /// Returns the SHA-256 of the signed content; of the body where nothing of it is signed.
    pub fn content_digest(&self) -> [u8; 32] {
        if self.signs_nothing() || self.scheme.signed.is_body() {
            return self.body_sha256;
        }
        self.digest(&self.fields, &self.proven, &self.delivery.body)
    }

    fn digest(&self, fields: &Fields<'_>, proven: &Proven, content: &[u8]) -> [u8; 32] {
        if self.signs_nothing() {
            return Sha256::digest(content).into();
        }
        if let Some(signed) = &proven.signing_input {
            return Sha256::digest(signed).into();
        }
        let mut hash = Sha256::new();
        let mut scope = proven.scope(fields);
        // A secret is no part of what makes an event the same: it may be replaced.
        scope.secret = Some(&[]);
        let signed = self.scheme.signed_forms().nth(proven.form);
        let fed = signed.map(|signed| signed.feed(&scope, &mut |piece| hash.update(piece)));
        match fed {
            Some(Ok(())) => hash.finalize().into(),
            _ => Sha256::digest(content).into(),
        }
    }

    /// Tells whether the proof says who calls, and nothing of what is said.
    fn signs_nothing(&self) -> bool {
        self.assurance() <= Assurance::Token
    }

    pub(crate) fn scope(&self) -> Scope<'_, 'd> {
        self.scope_of(&self.fields)
    }

    /// What a template is filled in from, for one event of the delivery.
    pub(crate) fn scope_of<'s>(&'s self, fields: &'s Fields<'d>) -> Scope<'s, 'd> {
        Scope {
            replies: Some(&self.replies),
            ..self.proven.scope(fields)
        }
    }
}

fn describe(template: &Template) -> String {
    template
        .sources()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" and ")
}

fn check_equal(rule: &Equal, scope: &Scope<'_, '_>) -> Result<(), Rejected> {
    let left = match rule.left.bytes(scope) {
        Err(Unfit::Missing(_)) if rule.optional => return Ok(()),
        left => left?,
    };
    let mut equal = subtle::Choice::from(0);
    for alternative in &rule.alternatives {
        match alternative.bytes(scope) {
            Err(Unfit::Missing(_)) if rule.optional => return Ok(()),
            right => equal |= left.ct_eq(&right?),
        }
    }
    if bool::from(equal) {
        return Ok(());
    }
    let fixed = rule.alternatives.iter().all(Template::is_literal);
    Err(match rule.alternatives.first() {
        Some(right) if !fixed => Rejected::DigestMismatch(describe(right)),
        _ => Rejected::UnexpectedValue(describe(&rule.left)),
    })
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
