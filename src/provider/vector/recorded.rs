//! A vector made ready: what its operator configured, bound to the provider, and its delivery.
//!
//! What `providers test` runs, and what tests play over the network or explain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::setup::Setup;
use super::{Expect, ExpectedReply, NOW, Vector};
use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::handshake::{self, Phase};
use crate::outcome::{Rejected, Reply};
use crate::provider::{BindError, Binding, Provider};
use crate::verify::Verifier;
use crate::verify::public_key::KeySet;
use crate::verify::scheme::Proof;

/// A vector with everything that it takes to run it. `Debug` shows no secret.
#[derive(Debug)]
pub struct Prepared {
    /// The provider.
    pub provider: Arc<Provider>,
    /// The scheme that is pinned.
    pub scheme: Option<String>,
    /// The secrets, in the form that the scheme takes.
    pub secrets: Vec<SecretString>,
    /// The settings.
    pub params: BTreeMap<String, String>,
    /// The settings that are secrets.
    pub param_secrets: BTreeMap<String, SecretString>,
    /// The tolerance, where the vector sets one.
    pub tolerance: Option<Duration>,
    /// Whether the endpoint has its secret yet.
    pub phase: Phase,
    /// The delivery.
    pub delivery: Delivery,
    /// The clock.
    pub now: Timestamp,
    /// The verifier of all that.
    pub verifier: Verifier,
    setup: Setup,
}

impl Vector {
    /// Binds the provider to what the vector says the operator configured, and reads its delivery.
    /// The error says why the configuration would not load.
    pub fn prepare(&self, provider: &Arc<Provider>) -> Result<Prepared, String> {
        let delivery = self.recorded.delivery()?;
        let by_place = self.auth.and_then(|place| provider.scheme_name(place));
        let by_name = self.scheme.as_deref();
        let by_name = by_name.filter(|name| provider.has_scheme(name));
        let scheme = by_name.or(by_place);
        let (params, param_secrets) = self.setup.params(provider);
        let secrets = self.secrets(provider, scheme);
        let tolerance = self.setup.tolerance();
        let bind = |phase| {
            provider.verifier(&Binding {
                scheme,
                secrets: &secrets,
                params: &params,
                param_secrets: &param_secrets,
                tolerance,
                phase,
            })
        };
        let (verifier, phase) = match bind(Phase::Armed) {
            // An ownership check comes before the secret does.
            Err(BindError::NoSecret) if self.reply.is_some() => (
                bind(Phase::Setup).map_err(|why| why.to_string())?,
                Phase::Setup,
            ),
            bound => (bound.map_err(|why| why.to_string())?, Phase::Armed),
        };
        let now =
            Timestamp::from_second(self.now.unwrap_or(NOW)).map_err(|_| "`now` is no time")?;
        Ok(Prepared {
            provider: provider.clone(),
            scheme: scheme.map(str::to_owned),
            secrets,
            params,
            param_secrets,
            tolerance,
            phase,
            delivery,
            now,
            verifier,
            setup: self.setup.clone(),
        })
    }

    /// Tells whether the delivery must be authentic, where the vector says so.
    pub fn valid(&self) -> Option<bool> {
        self.expect.map(|expect| expect == Expect::Valid)
    }

    /// Returns what an ownership check must be answered, if it is one.
    pub fn reply(&self) -> Option<&ExpectedReply> {
        self.reply.as_ref()
    }
}

impl Prepared {
    /// Returns the keys that the delivery needs, from what the vector says is published.
    pub fn keys(&self) -> Result<Option<KeySet>, Rejected> {
        let order = self.verifier.order_keys(&self.delivery)?;
        order
            .map(|order| self.setup.fetch(&order, self.now))
            .transpose()
    }

    /// Verifies the delivery; an ownership check gives its answer.
    pub fn verdict(&self) -> Result<Option<Reply>, Rejected> {
        if !self.provider.methods.contains(&self.delivery.method) {
            return Err(Rejected::Method(self.delivery.method.clone()));
        }
        let reply = handshake::answer_unsigned(&self.verifier, &self.delivery, self.phase)?;
        if reply.is_some() {
            return Ok(reply);
        }
        let keys = self.keys()?;
        let verified = self
            .verifier
            .verify(&self.delivery, self.now, keys.as_ref())?;
        handshake::answer(&self.verifier, &verified)
    }

    /// Tells whether one of the schemes that count bounds how old a delivery may be.
    pub fn time_bound(&self) -> bool {
        let mut schemes = self.verifier.provider().schemes().iter();
        schemes.any(|scheme| {
            let rule = scheme.timestamp.as_ref();
            let counts = self.scheme.as_ref().is_none_or(|name| *name == scheme.name);
            let tolerance = rule.is_some_and(|rule| rule.tolerance.is_some());
            counts && (tolerance || matches!(scheme.proof, Proof::Jwt(_)))
        })
    }

    /// Returns the address that keys are fetched from to verify the delivery, and the document that
    /// the vector says is there; nothing where none are, or where none may be.
    pub fn published(&self) -> Option<(String, String)> {
        let order = self.verifier.order_keys(&self.delivery).ok()??;
        let document = self.setup.document(&order).ok()?;
        Some((order.url, document))
    }

    /// Tells whether the vector's keys are trusted for the sake of an authority of its own, which no
    /// configuration can name.
    pub fn has_own_trust(&self) -> bool {
        self.setup.own_trust()
    }
}
