//! The admin listener: `/metrics`, `/livez`, `/readyz` and the public keys of published signals.
//!
//! Beside the way of a delivery. Never public: it tells operators what callers must not learn.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::metrics::Metrics;
use crate::provenance::{self, Provenance};
use crate::shutdown::Drain;

/// Most connections to the admin listener.
const MAX_CONNECTIONS: usize = 256;
/// How long a caller may take to send its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// RFC 7517 section 8.5.2.
const JWK_SET: HeaderValue = HeaderValue::from_static("application/jwk-set+json");

/// What is known of the parts that a delivery needs.
#[derive(Debug, Default)]
pub struct Health {
    state: RwLock<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    stopping: bool,
    ledger: Option<Result<(), String>>,
    /// How many deliveries wait in the spool, or why it cannot keep any; nothing where there is none.
    spool: Option<Result<u64, String>>,
    publisher: bool,
}

impl Health {
    /// Notes that the process is on its way out.
    pub fn stopping(&self) {
        self.change(|state| state.stopping = true);
    }

    /// Notes whether the ledger can record, and if not, why.
    pub fn ledger(&self, found: Result<(), String>) {
        self.change(|state| state.ledger = Some(found));
    }

    /// Notes whether the spool can keep deliveries: how many wait in it, or why not.
    pub fn spool(&self, found: Result<u64, String>) {
        self.change(|state| state.spool = Some(found));
    }

    /// Notes whether the publisher can publish.
    pub fn publisher(&self, ready: bool) {
        self.change(|state| state.publisher = ready);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Tells whether deliveries can be taken, and names each part with its state.
    ///
    /// The publisher does not count: without it deliveries are recorded and published later, and
    /// taking every replica out of service would lose what the ledger could keep. A spool that can keep
    /// deliveries stands in for the ledger.
    pub fn report(&self) -> (bool, String) {
        let state = self
            .state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut text = String::new();
        let mut line = |part: &str, state: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{part}: {state}");
        };
        line("process", if state.stopping { "stopping" } else { "ok" });
        match &state.ledger {
            Some(Ok(())) => line("ledger", "ok"),
            Some(Err(why)) => line("ledger", why),
            None => line("ledger", "not asked yet"),
        }
        match &state.spool {
            Some(Ok(0)) => line("spool", "ok"),
            Some(Ok(waiting)) => line(
                "spool",
                &format!("{waiting} deliveries wait for the ledger"),
            ),
            Some(Err(why)) => line("spool", why),
            None => {}
        }
        let publishing = if state.publisher {
            "ok"
        } else {
            "not ready; signals are recorded and owed"
        };
        line("publisher", publishing);
        let kept = match &state.ledger {
            Some(Ok(())) => true,
            Some(Err(_)) => matches!(state.spool, Some(Ok(_))),
            None => false,
        };
        (!state.stopping && kept, text)
    }
}

/// The admin listener.
#[derive(Debug)]
pub struct Admin {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    provenance: Provenance,
    places: Arc<Semaphore>,
}

impl Admin {
    /// Prepares the admin listener.
    pub fn new(metrics: Arc<Metrics>, health: Arc<Health>, provenance: Provenance) -> Self {
        Self {
            metrics,
            health,
            provenance,
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        }
    }

    /// Serves until the drain begins.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, drain: Drain) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = drain.stopping() => return,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "cannot accept an admin connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(place) = self.places.clone().try_acquire_owned() else {
                continue;
            };
            let admin = self.clone();
            let stopping = drain.clone();
            drain.spawn(async move {
                let _place = place;
                let service = service_fn(|request| {
                    let response = admin.answer(&request);
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    ended = connection => if let Err(error) = ended {
                        debug!(%error, "an admin connection ended early");
                    },
                    () = stopping.stopping() => {}
                }
            });
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".into());
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/livez" => plain(StatusCode::OK, "ok\n".into()),
            "/readyz" => {
                let (ready, report) = self.health.report();
                let status = if ready {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                plain(status, report)
            }
            "/metrics" => self.metrics(),
            provenance::PATH => {
                let mut response = plain(StatusCode::OK, self.provenance.keys().jwk_set());
                response.headers_mut().insert(CONTENT_TYPE, JWK_SET);
                response
            }
            _ => plain(
                StatusCode::NOT_FOUND,
                "there are /metrics, /livez, /readyz and /.well-known/jwks.json\n".into(),
            ),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        match self.metrics.render() {
            Ok(text) => {
                let mut response = Response::new(Full::new(Bytes::from(text)));
                response.headers_mut().insert(CONTENT_TYPE, METRICS);
                response
            }
            Err(error) => plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("cannot render: {error}\n"),
            ),
        }
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, PLAIN);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_names_what_is_not_ready() {
        let health = Health::default();
        assert!(!health.report().0);
        health.ledger(Ok(()));
        let (ready, report) = health.report();
        assert!(ready && report.contains("publisher: not ready"), "{report}");
        health.ledger(Err("cannot be reached".into()));
        let (ready, report) = health.report();
        assert!(
            !ready && report.contains("ledger: cannot be reached"),
            "{report}"
        );
        health.spool(Ok(3));
        let (ready, report) = health.report();
        assert!(
            ready && report.contains("spool: 3 deliveries wait"),
            "{report}"
        );
        health.spool(Err("is full".into()));
        assert!(!health.report().0);
        health.ledger(Ok(()));
        health.stopping();
        assert!(!health.report().0);
    }
}
