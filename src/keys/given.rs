//! Keys that somebody gives, for working without a network: `hookgate verify` and test vectors.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::StatusCode;

use super::{FetchError, KeyAddress, KeyError, KeyRequest, KeySource, Wanted};
use crate::clock::Timestamp;

/// Documents in place of what their addresses hold. Everything else is not found.
#[derive(Clone, Debug, Default)]
pub struct Given(HashMap<KeyAddress, Vec<u8>>);

impl Given {
    /// Gives the document of an address; for POST it is the same for every key.
    #[must_use]
    pub fn with(mut self, address: KeyAddress, document: Vec<u8>) -> Self {
        self.0.insert(address, document);
        self
    }

    fn document(&self, address: &KeyAddress) -> Result<&[u8], KeyError> {
        let document = self.0.get(address).map(Vec::as_slice);
        document.ok_or_else(|| KeyError::failed(address, FetchError::Status(StatusCode::NOT_FOUND)))
    }
}

#[async_trait]
impl<V: Send + Sync + 'static> KeySource<V> for Given {
    async fn get(
        &self,
        request: &KeyRequest<V>,
        _: Option<Wanted<'_, V>>,
        now: Timestamp,
    ) -> Result<Arc<V>, KeyError> {
        let document = self.document(&request.address)?;
        let read = request.reading.read(document, now.as_second());
        read.map(Arc::new)
            .map_err(|why| request.failed(FetchError::Unreadable(why)))
    }

    async fn call(&self, address: &KeyAddress) -> Result<(), KeyError> {
        self.document(address).map(|_| ())
    }
}
