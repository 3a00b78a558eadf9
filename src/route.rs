//! Finds the endpoint of a delivery, and keeps everything an endpoint's deliveries need compiled.
//!
//! The step `route` of the way of a delivery. The table is immutable: a reload builds a new one and
//! swaps it in whole ([`crate::config::snapshot`]), and deliveries under way finish with theirs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use secrecy::{ExposeSecret, SecretString};

use crate::config::{Config, Endpoint, Rate, State};
use crate::limits::Bucket;
use crate::metrics::SecretUse;
use crate::outcome::Rejected;
use crate::signal;

/// One endpoint with all that its deliveries need.
#[derive(Debug)]
pub struct Route {
    /// The endpoint as configured.
    pub endpoint: Arc<Endpoint>,
    /// The CloudEvents source of its signals.
    pub source: String,
    /// What its secrets were used for since their list is in force.
    pub secret_use: Arc<SecretUse>,
    rate: Option<Arc<Bucket>>,
    tenant_rate: Option<Arc<Bucket>>,
}

/// Every endpoint, by path.
#[derive(Debug, Default)]
pub struct Routes {
    by_path: HashMap<String, Arc<Route>>,
    /// How long a repeat of an event is recognised.
    pub dedupe_window: Duration,
    /// The same where no signed timestamp bounds a replay.
    pub replay_window: Duration,
}

impl Routes {
    /// Compiles the endpoints of a configuration. Buckets of `previous` go on where their rate is
    /// the same, so that a reload fills none; so do counts of secrets where their list is the same.
    pub fn build(config: &Config, previous: Option<&Self>) -> Self {
        let mut tenants: HashMap<Arc<str>, Arc<Bucket>> = HashMap::new();
        let mut by_path = HashMap::with_capacity(config.endpoints.len());
        let before = previous.into_iter().flat_map(Self::all);
        let before: HashMap<&str, _> = before.map(|route| (&*route.endpoint.id, route)).collect();
        for endpoint in &config.endpoints {
            let known = before.get(&*endpoint.id).copied();
            let tenant_rate = config.tenant_rate.map(|rate| {
                let earlier = known.and_then(|route| route.tenant_rate.as_ref());
                let bucket = tenants.entry(endpoint.tenant.clone());
                bucket.or_insert_with(|| bucket_for(rate, earlier)).clone()
            });
            let rate = endpoint
                .rate
                .map(|rate| bucket_for(rate, known.and_then(|route| route.rate.as_ref())));
            let route = Route {
                source: signal::source(&endpoint.tenant, &endpoint.id),
                secret_use: secret_use_for(&endpoint.secrets, known),
                rate,
                tenant_rate,
                endpoint: endpoint.clone(),
            };
            by_path.insert(endpoint.path.clone(), Arc::new(route));
        }
        let (dedupe_window, replay_window) = (config.dedupe_window, config.replay_window);
        Self {
            by_path,
            dedupe_window,
            replay_window,
        }
    }

    /// Finds the endpoint of a path.
    pub fn find(&self, path: &str) -> Result<&Arc<Route>, Rejected> {
        self.by_path.get(path).ok_or(Rejected::UnknownEndpoint)
    }

    /// Returns every endpoint, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.by_path.values()
    }

    /// Returns how many endpoints there are.
    pub fn len(&self) -> usize {
        self.by_path.len()
    }

    /// Tells whether there is no endpoint.
    pub fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }
}

impl Route {
    /// Tells whether the endpoint takes deliveries with this method at the moment.
    pub fn check_open(&self, method: &Method) -> Result<(), Rejected> {
        match self.endpoint.state {
            State::Active | State::Setup if self.endpoint.provider.methods.contains(method) => {
                Ok(())
            }
            State::Active | State::Setup => Err(Rejected::Method(method.clone())),
            State::Paused => Err(Rejected::Paused),
            State::Disabled => Err(Rejected::Disabled),
        }
    }

    /// Takes one delivery off the endpoint's rate and its tenant's.
    pub fn check_rate(&self) -> Result<(), Rejected> {
        let scopes = [("endpoint", &self.rate), ("tenant", &self.tenant_rate)];
        for (scope, bucket) in scopes {
            if let Some(bucket) = bucket {
                bucket.take(scope)?;
            }
        }
        Ok(())
    }

    /// Tells whether the endpoint's allow list admits an event type; an empty list admits all.
    pub fn admits(&self, event_type: &str) -> bool {
        let events = &self.endpoint.events;
        events.is_empty() || events.iter().any(|pattern| pattern.matches(event_type))
    }
}

fn bucket_for(rate: Rate, earlier: Option<&Arc<Bucket>>) -> Arc<Bucket> {
    match earlier {
        Some(bucket) if bucket.rate() == rate => bucket.clone(),
        _ => Arc::new(Bucket::new(rate)),
    }
}

fn secret_use_for(secrets: &[SecretString], earlier: Option<&Arc<Route>>) -> Arc<SecretUse> {
    let texts = secrets.iter().map(ExposeSecret::expose_secret);
    let same = |route: &&Arc<Route>| {
        let known = &route.endpoint.secrets;
        texts.eq(known.iter().map(ExposeSecret::expose_secret))
    };
    match earlier.filter(same) {
        Some(route) => route.secret_use.clone(),
        // A place would stand for another secret than before.
        None => Arc::new(SecretUse::new(secrets.len())),
    }
}
