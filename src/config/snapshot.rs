//! The configuration in force: swapped whole on reload, read without a lock by every delivery.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::route::Routes;

/// The endpoints in force. Clones share them.
#[derive(Clone, Debug)]
pub struct Snapshot(Arc<ArcSwap<Routes>>);

impl Snapshot {
    /// Puts the first endpoints in force.
    pub fn new(routes: Routes) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(routes)))
    }

    /// Returns the endpoints in force now; they stay as they are for whoever holds them.
    pub fn routes(&self) -> Arc<Routes> {
        self.0.load_full()
    }

    /// Puts other endpoints in force for every delivery from now on.
    pub fn swap(&self, routes: Routes) {
        self.0.store(Arc::new(routes));
    }
}
