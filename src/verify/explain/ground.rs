//! What guesses stand on: the case as it is bound, and the one way in which a guess is tried.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use secrecy::SecretString;

use super::Case;
use crate::delivery::Delivery;
use crate::outcome::Rejected;
use crate::provider::{Binding, Provider};
use crate::verify::fields::Fields;
use crate::verify::proof::carrier_texts;
use crate::verify::scheme::{Scheme, When};
use crate::verify::{Bound, Verified, Verifier};

/// Most guesses that are tried for one delivery.
const MAX_GUESSES: usize = 2000;
/// Most bytes that are hashed for them, more or less: what bounds the time for a large body.
const MAX_WORK: usize = 400 << 20;
/// What a guess costs beside the body's bytes.
const OVERHEAD: usize = 16 << 10;

/// One thing that may be otherwise than it should be.
pub(super) enum Change {
    /// The delivery was like this when it was signed.
    Delivery(Delivery),
    /// The secrets are these.
    Secrets(Vec<String>),
    /// The settings are these.
    Params(BTreeMap<String, String>),
    /// Another scheme of the provider was used.
    Pinned(String),
    /// The sender applies the scheme otherwise.
    Scheme(Box<Scheme>),
    /// The sender applies the scheme otherwise, to a delivery that was like this.
    Both(Box<Scheme>, Delivery),
    /// Another provider sent it.
    Provider(Arc<Provider>, Option<String>),
}

/// A change, and what is told where a delivery verifies with it.
pub(super) struct Guess {
    pub(super) change: Change,
    pub(super) told: String,
}

impl Guess {
    pub(super) fn new(change: Change, told: impl Into<String>) -> Self {
        let told = told.into();
        Self { change, told }
    }

    pub(super) fn scheme(scheme: Scheme, told: impl Into<String>) -> Self {
        Self::new(Change::Scheme(Box::new(scheme)), told)
    }
}

/// Tells whether a delivery is authentic, whatever the time.
pub(super) fn counts(verdict: &Result<Verified<'_>, Rejected>) -> bool {
    matches!(
        verdict,
        Ok(_)
            | Err(Rejected::TimestampStale { .. }
                | Rejected::TimestampFuture { .. }
                | Rejected::TokenExpired
                | Rejected::TokenNotYetValid)
    )
}

/// A case with its verifier.
pub(super) struct Ground<'a> {
    pub(super) case: &'a Case<'a>,
    pub(super) verifier: &'a Verifier,
    pub(super) fields: Fields<'a>,
    /// The scheme that the delivery is judged by; the first where none could be picked.
    pub(super) bound: &'a Bound,
    guesses: Cell<usize>,
    work: Cell<usize>,
}

impl<'a> Ground<'a> {
    pub(super) fn new(case: &'a Case<'a>, verifier: &'a Verifier) -> Option<Self> {
        let fields = verifier.fields(case.delivery);
        let picked = verifier.select(&fields).ok();
        Some(Self {
            case,
            verifier,
            bound: picked.or(verifier.schemes.first())?,
            fields,
            guesses: Cell::new(0),
            work: Cell::new(0),
        })
    }

    pub(super) fn scheme(&self) -> &'a Scheme {
        &self.bound.scheme
    }

    /// Tells whether the delivery verifies with a change, by the verification that all deliveries
    /// go through. That it is too old by now does not speak against a change.
    pub(super) fn fits(&self, change: &Change) -> bool {
        if !self.afford() {
            return false;
        }
        match change {
            Change::Delivery(delivery) => self.is_authentic(self.verifier, delivery),
            // Where the sender signs otherwise, it says so in what must have a fixed value too.
            Change::Scheme(scheme) => {
                let verifier = self.with_scheme(scheme);
                let verdict = verifier.verify(self.case.delivery, self.case.now, self.case.keys);
                counts(&verdict) || matches!(verdict, Err(Rejected::UnexpectedValue(_)))
            }
            Change::Both(scheme, delivery) => {
                self.is_authentic(&self.with_scheme(scheme), delivery)
            }
            other => self
                .rebound(other)
                .is_some_and(|verifier| self.is_authentic(&verifier, self.case.delivery)),
        }
    }

    /// Returns what the first guess that fits tells.
    pub(super) fn first(&self, guesses: impl IntoIterator<Item = Guess>) -> Vec<String> {
        let mut guesses = guesses.into_iter();
        let found = guesses.find(|guess| self.fits(&guess.change));
        found.map(|guess| guess.told).into_iter().collect()
    }

    /// Counts a guess; false once there were enough.
    fn afford(&self) -> bool {
        let cost = OVERHEAD + self.case.delivery.body.len();
        let (guesses, work) = (self.guesses.get() + 1, self.work.get() + cost);
        let affordable = guesses <= MAX_GUESSES && work <= MAX_WORK;
        if affordable {
            self.guesses.set(guesses);
            self.work.set(work);
        }
        affordable
    }

    /// Returns how many guesses were tried.
    #[cfg(test)]
    pub(super) fn tried(&self) -> usize {
        self.guesses.get()
    }

    fn is_authentic(&self, verifier: &Verifier, delivery: &Delivery) -> bool {
        counts(&verifier.verify(delivery, self.case.now, self.case.keys))
    }

    fn rebound(&self, change: &Change) -> Option<Verifier> {
        let case = self.case;
        let filled = self.verifier.provider();
        let none = BTreeMap::new();
        let none_secret = BTreeMap::new();
        let same = case.binding();
        match change {
            Change::Delivery(_) | Change::Scheme(_) | Change::Both(..) => None,
            Change::Secrets(texts) => {
                let secrets: Vec<SecretString> =
                    texts.iter().map(|text| text.clone().into()).collect();
                let binding = Binding {
                    secrets: &secrets,
                    ..same
                };
                filled.verifier(&binding).ok()
            }
            Change::Params(params) => case.provider.verifier(&Binding { params, ..same }).ok(),
            Change::Pinned(name) => {
                let binding = Binding {
                    scheme: Some(name),
                    ..same
                };
                let bound = filled.verifier(&binding);
                let keyless = || {
                    filled.verifier(&Binding {
                        secrets: &[],
                        ..binding
                    })
                };
                bound.or_else(|_| keyless()).ok()
            }
            Change::Provider(provider, scheme) => {
                let binding = Binding {
                    scheme: scheme.as_deref(),
                    params: &none,
                    param_secrets: &none_secret,
                    tolerance: None,
                    ..same
                };
                provider.verifier(&binding).ok()
            }
        }
    }

    /// Binds another form of the scheme to the keys that the scheme has.
    fn with_scheme(&self, scheme: &Scheme) -> Verifier {
        let mut scheme = scheme.clone();
        scheme.when = When::default();
        let places = self.bound.keys.iter().map(|key| key.place);
        let keys = places.filter_map(|place| {
            let secret = self.case.secrets.get(place)?;
            scheme.key(secret, place).ok()
        });
        let bound = Bound {
            keys: keys.collect(),
            scheme: Arc::new(scheme.clone()),
            tolerance: self.bound.tolerance,
            pinned: true,
        };
        let provider = self.verifier.provider().clone();
        Verifier::new(provider, vec![bound], self.verifier.secrets.clone())
    }

    /// Returns the fields that the proof stands in: the delivery's, or the first event's where each
    /// carries its own.
    pub(super) fn proof_fields(&self) -> Option<Fields<'a>> {
        let whole = self.verifier.fields(self.case.delivery);
        if !self.scheme().each {
            return Some(whole);
        }
        let parts = self.verifier.provider().events.split(&whole).ok()?;
        Some(whole.of_event(parts.first()?.document.clone()))
    }

    /// Returns the texts that should hold the tags.
    pub(super) fn tag_texts(&self) -> Vec<String> {
        let (Some(carrier), Some(fields)) = (self.scheme().carrier(), self.proof_fields()) else {
            return Vec::new();
        };
        let texts = carrier_texts(carrier, &fields).unwrap_or_default();
        texts.into_iter().map(|(_, _, text)| text).collect()
    }

    /// Returns the delivery with one header changed.
    pub(super) fn with_header(&self, name: &HeaderName, value: &[u8]) -> Option<Delivery> {
        let mut delivery = self.case.delivery.clone();
        let value = HeaderValue::from_bytes(value).ok()?;
        delivery.headers.insert(name.clone(), value);
        Some(delivery)
    }
}
