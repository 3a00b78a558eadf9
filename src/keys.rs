//! Where the keys that a provider publishes come from: key sets, certificates and single keys.
//!
//! Stands beside the way of a delivery. Intake asks a [`KeySource`] before the step `verify`, which
//! stays pure: it is given the keys. What is fetched is a [`KeyAddress`], which only exists where a
//! definition pins it; how a document is read is the caller's to say ([`Reading`]). Knows nothing of
//! schemes, and makes no verdict: a key that is not among those returned is for `verify` to miss.
//!
//! Bounds: [`client::MAX_DOCUMENT`], [`client::MAX_EXCHANGES`] and those named in [`cache`].

pub mod address;
pub mod cache;
pub mod client;
pub mod given;
pub mod network;

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

use self::address::MAX_KID;
pub use self::address::{HostPattern, KeyAddress, NotPinned, PathPattern};
pub use self::cache::KeyCache;
pub use self::client::{FetchError, Settings, SettingsError, certificates};
pub use self::given::Given;
use crate::clock::Timestamp;

/// Tells whether keys have what a caller wants, such as the key with an id.
pub type Wanted<'a, V> = &'a (dyn Fn(&V) -> bool + Send + Sync);

/// Where published keys come from. Safe to ask from many tasks at once.
#[async_trait]
pub trait KeySource<V>: Debug + Send + Sync + 'static {
    /// Returns the keys of an address. Where `wanted` misses something in the keys that are held,
    /// they are fetched again if that has not just been done; what is returned may miss it still.
    async fn get(
        &self,
        request: &KeyRequest<V>,
        wanted: Option<Wanted<'_, V>>,
        now: Timestamp,
    ) -> Result<Arc<V>, KeyError>;

    /// Calls an address once, and returns whether it answered with success: what confirms a
    /// subscription. Nothing of the answer is kept, and nothing is tried again.
    async fn call(&self, address: &KeyAddress) -> Result<(), KeyError>;
}

/// Why there are no keys. Never holds what was sent, nor the query of an address.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeyError {
    /// The definition does not pin the address.
    #[error("what the delivery names is not fetched")]
    NotPinned(#[from] NotPinned),
    /// The address was tried now, in vain.
    #[error("{address} cannot be used")]
    Failed {
        /// Where.
        address: KeyAddress,
        /// Why.
        #[source]
        cause: FetchError,
    },
    /// The address has failed, or too many new ones were asked for, and is not tried now.
    #[error("{address} is not tried again for {}s", wait.as_secs() + 1)]
    BackingOff {
        /// Where.
        address: KeyAddress,
        /// For how long.
        wait: Duration,
        /// What its last failure was; nothing where too many new ones were asked for.
        #[source]
        last: Option<FetchError>,
    },
}

impl KeyError {
    fn failed(address: &KeyAddress, cause: FetchError) -> Self {
        Self::Failed {
            address: address.clone(),
            cause,
        }
    }
}

type Read<V> = dyn Fn(&[u8], i64) -> Result<V, String> + Send + Sync;

/// How a document is read. Two readings of one name must read alike: keys are kept by it.
pub struct Reading<V> {
    name: Arc<str>,
    read: Arc<Read<V>>,
}

impl<V> Reading<V> {
    /// Creates a reading. `name` says all that it depends on: whose it is, the format, the trust.
    ///
    /// `read` gets the document and the time in seconds since 1970. Its error goes to the operator,
    /// so it must not repeat the document.
    pub fn new<F>(name: &str, read: F) -> Self
    where
        F: Fn(&[u8], i64) -> Result<V, String> + Send + Sync + 'static,
    {
        Self {
            name: name.into(),
            read: Arc::new(read),
        }
    }

    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn read(&self, document: &[u8], now: i64) -> Result<V, String> {
        (self.read)(document, now)
    }
}

impl<V> Clone for Reading<V> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            read: self.read.clone(),
        }
    }
}

impl<V> Debug for Reading<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reading").field(&self.name).finish()
    }
}

/// What to fetch, and how to read it.
pub struct KeyRequest<V> {
    address: KeyAddress,
    reading: Reading<V>,
    post: Option<Post>,
}

/// A question for one key.
#[derive(Clone)]
struct Post {
    kid: Arc<str>,
    body: Arc<SecretString>,
}

impl<V> KeyRequest<V> {
    /// Asks with GET.
    pub fn get(address: KeyAddress, reading: Reading<V>) -> Self {
        Self {
            address,
            reading,
            post: None,
        }
    }

    /// Asks for the key with the id `kid` with POST. `body` is JSON and may hold credentials. `kid`
    /// is what a delivery names: one that is longer than any is refused.
    pub fn post(
        address: KeyAddress,
        reading: Reading<V>,
        kid: &str,
        body: SecretString,
    ) -> Result<Self, KeyError> {
        if kid.len() > MAX_KID {
            return Err(NotPinned::KeyId.into());
        }
        let post = Post {
            kid: kid.into(),
            body: Arc::new(body),
        };
        Ok(Self {
            address,
            reading,
            post: Some(post),
        })
    }

    /// Returns the address.
    pub fn address(&self) -> &KeyAddress {
        &self.address
    }

    fn failed(&self, cause: FetchError) -> KeyError {
        KeyError::failed(&self.address, cause)
    }

    fn backing_off(&self, wait: Duration, last: Option<FetchError>) -> KeyError {
        KeyError::BackingOff {
            address: self.address.clone(),
            wait,
            last,
        }
    }
}

impl<V> Clone for KeyRequest<V> {
    fn clone(&self) -> Self {
        Self {
            address: self.address.clone(),
            reading: self.reading.clone(),
            post: self.post.clone(),
        }
    }
}

impl<V> Debug for KeyRequest<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRequest")
            .field("address", &self.address)
            .field("reading", &self.reading)
            .field("kid", &self.post.as_ref().map(|post| &post.kid))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
