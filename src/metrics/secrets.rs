//! When each secret of an endpoint was last needed, so that an operator sees when an old one can go.
//!
//! The counts live as long as the list of secrets they are about: a [`crate::route::Route`] holds them,
//! hands them on to the route of the next configuration where the list is the same, and takes them
//! along where it is not. A delivery that is under way during a reload is therefore never counted for
//! a secret that has moved to the place of its own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

use crate::clock::Timestamp;
use crate::config::snapshot::Snapshot;
use crate::verify::matched::Matched;

/// The labels: the endpoint, and the place in its list, from 1.
const LABELS: [&str; 2] = ["endpoint", "secret"];

/// How often each secret of one list has proved a delivery, and when last.
#[derive(Debug)]
pub struct SecretUse(Box<[Use]>);

#[derive(Debug, Default)]
struct Use {
    verified: AtomicU64,
    /// Seconds since 1970; 0: never.
    last: AtomicI64,
}

impl SecretUse {
    /// Begins with a list of this length, none of which was used.
    pub fn new(secrets: usize) -> Self {
        Self((0..secrets).map(|_| Use::default()).collect())
    }

    /// Counts a delivery that was received `at` for every secret that proves it.
    pub fn count(&self, matched: Matched, at: Timestamp) {
        for used in matched.places().filter_map(|place| self.0.get(place)) {
            used.verified.fetch_add(1, Ordering::Relaxed);
            used.last.fetch_max(at.as_second(), Ordering::Relaxed);
        }
    }
}

/// Shows the counts of the endpoints in force, and of no others.
#[derive(Clone, Debug)]
pub(super) struct SecretUses {
    verified: Opts,
    last: Opts,
    descriptions: Vec<Desc>,
    snapshot: std::sync::Arc<OnceLock<Snapshot>>,
}

impl SecretUses {
    /// Describes the two metrics.
    pub(super) fn new(verified: Opts, last: Opts) -> Result<Self, prometheus::Error> {
        let mut descriptions = Vec::new();
        for options in [&verified, &last] {
            let labels = LABELS.map(str::to_owned).to_vec();
            let (name, help) = (options.name.clone(), options.help.clone());
            descriptions.push(Desc::new(name, help, labels, Default::default())?);
        }
        Ok(Self {
            verified,
            last,
            descriptions,
            snapshot: Default::default(),
        })
    }

    /// Shows these endpoints from now on.
    pub(super) fn follow(&self, snapshot: Snapshot) {
        // A second application would have metrics of its own: the first stays.
        let _ = self.snapshot.set(snapshot);
    }

    fn gather(&self) -> Result<Vec<MetricFamily>, prometheus::Error> {
        let verified = IntCounterVec::new(self.verified.clone(), &LABELS)?;
        let last = IntGaugeVec::new(self.last.clone(), &LABELS)?;
        let routes = self.snapshot.get().map(Snapshot::routes);
        for route in routes.iter().flat_map(|routes| routes.all()) {
            for (place, used) in route.secret_use.0.iter().enumerate() {
                let labels = [&*route.endpoint.id, &(place + 1).to_string()];
                let count = used.verified.load(Ordering::Relaxed);
                verified.with_label_values(&labels).inc_by(count);
                let at = used.last.load(Ordering::Relaxed);
                if at > 0 {
                    last.with_label_values(&labels).set(at);
                }
            }
        }
        Ok([verified.collect(), last.collect()].concat())
    }
}

impl Collector for SecretUses {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Their names were accepted when they were described.
        self.gather().unwrap_or_default()
    }
}
