//! One bounded HTTPS exchange with a pinned address.
//!
//! A name is resolved once, what it leads to is judged, and the very address that was judged is
//! connected to, so that a name that changes in between (DNS rebinding) gains nothing. The
//! connection is driven by whoever waits for the answer: no task, no pool, nothing to clean up.
//! There is no proxy, and the variables that name one are not read. Redirects are answers like any
//! other, and no success.

mod answer;

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use self::answer::{Document, read};
use super::address::KeyAddress;
use super::network::Network;

/// Most bytes of a document.
pub const MAX_DOCUMENT: usize = 256 << 10;
/// Most exchanges at once, lookups of names that nobody waits for any more included.
pub const MAX_EXCHANGES: usize = 32;
/// Most bytes and fields of an answer's head.
const MAX_HEAD: usize = 32 << 10;
const MAX_HEADERS: usize = 100;
/// Most addresses of a name that are tried in turn.
const MAX_TRIES: usize = 4;
const HTTPS: u16 = 443;

/// How keys are fetched. Checked by the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Certificates that are trusted beside the public ones: [`certificates`].
    pub extra_ca: Vec<CertificateDer<'static>>,
    /// Whether networks of one's own may be connected to. Off unless set.
    pub allow_private: bool,
    /// How long a whole exchange may take. 3 s unless set.
    pub timeout: Duration,
    /// How long connecting to one address may take. 1 s unless set.
    pub connect_timeout: Duration,
    /// Where hosts are to be found, in place of what DNS says: for a relay that leads out of a
    /// closed network, since a proxy is not supported. Still judged, and the certificate must still
    /// be the host's.
    pub places: HashMap<String, Vec<SocketAddr>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            extra_ca: Vec::new(),
            allow_private: false,
            timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(1),
            places: HashMap::new(),
        }
    }
}

/// Why keys cannot be fetched at all.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Text that holds no certificates.
    #[error("no certificates in PEM can be read")]
    Unreadable(#[source] Option<rustls::pki_types::pem::Error>),
    /// TLS refuses what it was given.
    #[error("a certificate or the settings of TLS cannot be used")]
    Unusable(#[from] rustls::Error),
}

/// Reads the certificates of a PEM file (RFC 7468) for [`Settings::extra_ca`]: at least one.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(read) if !read.is_empty() => Ok(read),
        Ok(_) => Err(SettingsError::Unreadable(None)),
        Err(error) => Err(SettingsError::Unreadable(Some(error))),
    }
}

/// Why an exchange brought nothing. Never holds what was sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// Everything the name leads to is outside of the public Internet.
    #[error("the name leads to {0}, which is not connected to")]
    Refused(IpAddr),
    /// It cannot be reached, or what answers does not speak HTTPS or is not who it should be.
    #[error("{what} failed")]
    Unreachable {
        /// What was being done.
        what: &'static str,
        /// The cause.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
    /// It took too long.
    #[error("no whole answer within {0:?}")]
    TimedOut(Duration),
    /// The answer is no success. Redirects are none.
    #[error("the answer has status {}{}", .0.as_u16(), redirect(*.0))]
    Status(StatusCode),
    /// The document is too large.
    #[error("the document is larger than {MAX_DOCUMENT} bytes")]
    TooLarge,
    /// The document is not what it should be.
    #[error("the document cannot be read: {0}")]
    Unreadable(String),
}

fn redirect(status: StatusCode) -> &'static str {
    if status.is_redirection() {
        " and redirects are not followed"
    } else {
        ""
    }
}

fn unreachable<E>(what: &'static str) -> impl FnOnce(E) -> FetchError
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    move |error| FetchError::Unreachable {
        what,
        source: error.into().into(),
    }
}

/// Fetches documents.
#[derive(Debug)]
pub(super) struct Client {
    settings: Settings,
    tls: Arc<ClientConfig>,
    slots: Arc<Semaphore>,
}

impl Client {
    pub(super) fn new(settings: Settings) -> Result<Self, SettingsError> {
        let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for certificate in &settings.extra_ca {
            roots.add(certificate.clone())?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            settings,
            tls: Arc::new(tls),
            slots: Arc::new(Semaphore::new(MAX_EXCHANGES)),
        })
    }

    /// Fetches a document: with POST where there is a JSON body, else with GET. Only 200 is success.
    pub(super) async fn fetch(
        &self,
        address: &KeyAddress,
        post: Option<&SecretString>,
    ) -> Result<Document, FetchError> {
        let request = request(address, post)?;
        self.within(async {
            self.exchange(address, request, async |answer: Response<Incoming>| {
                if answer.status() != StatusCode::OK {
                    return Err(FetchError::Status(answer.status()));
                }
                read(answer).await
            })
            .await
        })
        .await
    }

    /// Calls an address with GET. Any 2xx is success; the body is not read.
    pub(super) async fn call(&self, address: &KeyAddress) -> Result<(), FetchError> {
        let request = request(address, None)?;
        self.within(async {
            self.exchange(address, request, async |answer: Response<Incoming>| {
                let status = answer.status();
                status
                    .is_success()
                    .then_some(())
                    .ok_or(FetchError::Status(status))
            })
            .await
        })
        .await
    }

    async fn within<T>(
        &self,
        whole: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        let patience = self.settings.timeout;
        timeout(patience, whole)
            .await
            .unwrap_or(Err(FetchError::TimedOut(patience)))
    }

    /// Sends a request on a connection of its own, and gives the answer to `take`.
    async fn exchange<T>(
        &self,
        address: &KeyAddress,
        request: Request<Full<Bytes>>,
        take: impl AsyncFnOnce(Response<Incoming>) -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let slot = self.slots.clone().acquire_owned().await;
        let slot = Arc::new(slot.map_err(unreachable("waiting for other exchanges"))?);
        let stream = self.connect(address.host(), &slot).await?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(unreachable("speaking HTTP"))?;
        let exchange = std::pin::pin!(async {
            let answer = sender.send_request(request).await;
            take(answer.map_err(unreachable("asking"))?).await
        });
        match select(exchange, connection).await {
            Either::Left((taken, _)) => taken,
            // What came before the connection ended may be the whole answer.
            Either::Right((_, exchange)) => exchange.await,
        }
    }

    /// Resolves a name once, and connects to an address that is allowed.
    async fn connect(
        &self,
        host: &str,
        slot: &Arc<OwnedSemaphorePermit>,
    ) -> Result<TlsStream<TcpStream>, FetchError> {
        let name =
            ServerName::try_from(host.to_owned()).map_err(unreachable("reading the name"))?;
        let found = match self.settings.places.get(host) {
            Some(places) => places.clone(),
            None => resolve(host, slot).await?,
        };
        let stream = self.open(&found).await?;
        TlsConnector::from(self.tls.clone())
            .connect(name, stream)
            .await
            .map_err(unreachable("the TLS handshake"))
    }

    /// Connects to the first address that is allowed and answers.
    async fn open(&self, found: &[SocketAddr]) -> Result<TcpStream, FetchError> {
        let allowed = judge(found, self.settings.allow_private)?;
        let patience = self.settings.connect_timeout;
        let mut failed = FetchError::TimedOut(patience);
        for place in allowed.into_iter().take(MAX_TRIES) {
            match timeout(patience, TcpStream::connect(place)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failed = unreachable("connecting")(error),
                Err(_) => failed = FetchError::TimedOut(patience),
            }
        }
        Err(failed)
    }
}

/// Keeps of the addresses that a name leads to those that may be connected to.
fn judge(found: &[SocketAddr], allow_private: bool) -> Result<Vec<SocketAddr>, FetchError> {
    let allowed = |place: &&SocketAddr| Network::of(place.ip()).allowed(allow_private);
    let kept: Vec<SocketAddr> = found.iter().filter(allowed).copied().collect();
    match (kept.is_empty(), found.first()) {
        (false, _) => Ok(kept),
        (true, Some(place)) => Err(FetchError::Refused(place.ip())),
        (true, None) => Err(unreachable("resolving the name")("it has no address")),
    }
}

/// Asks the system's resolver. That cannot be cancelled, so the slot is held until it has answered:
/// names that take for ever cannot fill the runtime with threads.
async fn resolve(
    host: &str,
    slot: &Arc<OwnedSemaphorePermit>,
) -> Result<Vec<SocketAddr>, FetchError> {
    let (host, slot) = (host.to_owned(), slot.clone());
    let lookup = tokio::task::spawn_blocking(move || {
        let found = (host.as_str(), HTTPS).to_socket_addrs();
        drop(slot);
        found.map(Iterator::collect)
    });
    let found: io::Result<Vec<SocketAddr>> = lookup.await.unwrap_or_else(|error| Err(error.into()));
    found.map_err(unreachable("resolving the name"))
}

fn request(
    address: &KeyAddress,
    post: Option<&SecretString>,
) -> Result<Request<Full<Bytes>>, FetchError> {
    let method = if post.is_some() {
        Method::POST
    } else {
        Method::GET
    };
    let mut request = Request::builder()
        .method(method)
        .uri(address.target())
        .header(HOST, address.host())
        .header(USER_AGENT, concat!("hookgate/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json, */*;q=0.5")
        .header(ACCEPT_ENCODING, "identity")
        .body(Full::new(Bytes::new()))
        .map_err(unreachable("making a request"))?;
    if let Some(body) = post {
        let body = Zeroizing::new(body.expose_secret().as_bytes().to_vec());
        *request.body_mut() = Full::new(Bytes::from_owner(body));
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_a_name_leads_to_only_what_is_allowed_is_connected_to() {
        let places = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let mixed = places(&[
            "10.0.0.1:443",
            "1.1.1.1:443",
            "[::1]:443",
            "169.254.169.254:443",
        ]);
        assert_eq!(judge(&mixed, false).unwrap(), places(&["1.1.1.1:443"]));
        assert_eq!(judge(&mixed, true).unwrap(), mixed[..3]);
        let inner = places(&["[::ffff:127.0.0.1]:443", "10.0.0.1:443"]);
        assert!(
            matches!(judge(&inner, false), Err(FetchError::Refused(ip)) if ip == inner[0].ip())
        );
        assert!(matches!(
            judge(&[], true),
            Err(FetchError::Unreachable { .. })
        ));
    }

    #[test]
    fn text_without_a_certificate_is_no_authority() {
        assert!(certificates(b"").is_err());
        assert!(
            certificates(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----").is_err()
        );
    }
}
