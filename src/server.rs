//! The public listener: accepts connections, reads requests, and answers them.
//!
//! The steps `accept` and `answer` of the way of a delivery; everything between is
//! [`crate::intake`]. Bounds here: connections, header bytes and count, time for headers, streams of
//! an HTTP/2 connection.

mod caller;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use prometheus::IntGauge;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tracing::{debug, info, warn};

use crate::clock;
use crate::config::Server as Settings;
use crate::intake::{Head, Intake, Taken};
use crate::metrics::Metrics;
use crate::outcome::{self, Rejected};
use crate::provider::definition::IdNames;
use crate::shutdown::Drain;
use crate::telemetry;
use crate::telemetry::alike::Alike;

/// Most headers of a request.
const MAX_HEADERS: usize = 100;
/// Most bytes of a request's headers.
const MAX_HEADER_BYTES: usize = 64 << 10;
/// Most requests under way on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// Connections over the cap that are told so at once; more are closed without a word.
const MAX_TURNED_AWAY: usize = 64;
/// How long a connection that is turned away may take to hear it.
const TURN_AWAY: Duration = Duration::from_secs(1);
/// Bytes of a refused body that are read and thrown away, so that its sender hears the answer.
const MAX_DISCARDED: usize = 1 << 20;
/// How long that may take.
const DISCARD: Duration = Duration::from_secs(1);
/// How long to wait when the system has no more sockets to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What every connection needs.
#[derive(Debug)]
pub struct Public {
    settings: Settings,
    intake: Intake,
    metrics: Arc<Metrics>,
    alike: Arc<Alike>,
    drain: Drain,
    places: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
}

impl Public {
    /// Prepares the public listener; its connections belong to `drain`.
    pub fn new(
        settings: Settings,
        intake: Intake,
        metrics: Arc<Metrics>,
        alike: Arc<Alike>,
        drain: Drain,
    ) -> Self {
        let places = settings.max_connections.min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(places)),
            turned_away: Arc::new(Semaphore::new(MAX_TURNED_AWAY)),
            settings,
            intake,
            metrics,
            alike,
            drain,
        }
    }

    /// Accepts connections until the drain begins, then lets those under way finish.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let graceful = GracefulShutdown::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.accept(stream, peer, &graceful),
                    Err(error) => {
                        warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                () = self.drain.stopping() => break,
            }
        }
        drop(listener);
        graceful.shutdown().await;
    }

    fn accept(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, graceful: &GracefulShutdown) {
        // Answers are small: waiting to fill a segment would only delay them.
        let _ = stream.set_nodelay(true);
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            self.turn_away(stream);
            return;
        };
        let public = self.clone();
        let spoken = Arc::new(Notify::new());
        let silence = silence(spoken.clone(), self.settings.header_timeout);
        let service = service_fn(move |request| {
            spoken.notify_one();
            let public = public.clone();
            async move { Ok::<_, std::convert::Infallible>(public.answer(request, peer.ip()).await) }
        });
        let builder = builder(&self.settings);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection.into_owned());
        let counted = Counted::one_more(&self.metrics.connections);
        self.drain.spawn(async move {
            let _place: (OwnedSemaphorePermit, Counted) = (place, counted);
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    debug!(%error, "a connection ended early");
                },
                () = silence => debug!("a connection sent no request in time"),
            }
        });
    }

    /// Tells a connection over the cap to come again, without reading its request.
    fn turn_away(&self, mut stream: TcpStream) {
        let rejected = Rejected::Overloaded("the number of connections");
        self.metrics
            .delivery("", "", ("rejected", rejected.reason()), Duration::ZERO);
        if self.alike.admits(&rejected, clock::instant()) {
            info!(reason = rejected.reason(), detail = %rejected, "connection turned away");
        }
        let Ok(place) = self.turned_away.clone().try_acquire_owned() else {
            return;
        };
        self.drain.spawn(async move {
            let _place = place;
            let answer = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\
                Connection: close\r\nContent-Length: 0\r\n\r\n";
            let told = async {
                stream.write_all(answer).await?;
                stream.shutdown().await
            };
            let _ = tokio::time::timeout(TURN_AWAY, told).await;
        });
    }

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Full<Bytes>> {
        let began = clock::instant();
        let (parts, mut body) = request.into_parts();
        let (taken, traceparent) = match telemetry::traceparent() {
            Ok(traceparent) => {
                let head = self.head(parts, peer, traceparent.clone());
                (self.intake.take(head, &mut body).await, traceparent)
            }
            Err(rejected) => (
                Taken {
                    route: None,
                    bytes: 0,
                    result: Err(rejected),
                },
                String::new(),
            ),
        };
        let endpoint = taken.route.as_ref().map(|route| &route.endpoint);
        let provider = endpoint.map(|endpoint| endpoint.provider.as_ref());
        let response = outcome::answer(&taken.result, provider);
        let took = clock::instant().saturating_duration_since(began);
        if !matches!(&taken.result, Err(rejected) if !self.alike.admits(rejected, began)) {
            telemetry::delivery(&taken, &traceparent, response.status().as_u16(), took);
        }
        self.count(&taken, took);
        // Whoever was too slow for the body has had its time.
        if matches!(&taken.result, Err(rejected) if !matches!(rejected, Rejected::BodyTimeout(_))) {
            discard(body).await;
        }
        response
    }

    fn head(&self, parts: http::request::Parts, peer: IpAddr, traceparent: String) -> Head {
        let caller = caller::address(&self.settings.trusted_proxies, peer, &parts.headers);
        let url = caller::public_url(&self.settings, peer, &parts);
        Head {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            url,
            headers: parts.headers,
            caller,
            via_trusted_proxy: caller::is_trusted(&self.settings.trusted_proxies, peer),
            received: clock::now(),
            traceparent,
        }
    }

    fn count(&self, taken: &Taken, took: Duration) {
        let endpoint = taken.route.as_ref().map(|route| &route.endpoint);
        let id = endpoint.map_or("", |endpoint| &*endpoint.id);
        let provider = endpoint.map_or("", |endpoint| &*endpoint.provider.name);
        let words = match &taken.result {
            Ok(outcome) => (outcome.word(), outcome.reason()),
            Err(rejected) => ("rejected", rejected.reason()),
        };
        self.metrics.delivery(id, provider, words, took);
        if let Err(Rejected::Unredactable(_)) = &taken.result {
            self.metrics.unredactable.with_label_values(&[id]).inc();
        }
        // A resource's name comes again with each of its events: nobody has forged it.
        let names_events =
            endpoint.is_some_and(|one| one.provider.events.id_names == IdNames::Event);
        if let Ok(outcome::Outcome::Accepted { id_conflicts, .. }) = &taken.result
            && *id_conflicts > 0
            && names_events
        {
            self.metrics
                .id_conflicts
                .with_label_values(&[id])
                .inc_by(*id_conflicts as u64);
        }
    }
}

/// Counts something for as long as it is there, however it ends.
struct Counted(IntGauge);

impl Counted {
    fn one_more(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Ends when a connection has sent no request within `limit`, else never.
///
/// The library's own deadline for headers begins once it has told HTTP/1 from HTTP/2, and for the
/// bytes that tell it waits for ever: silent callers could take every place there is.
async fn silence(spoken: Arc<Notify>, limit: Duration) {
    if tokio::time::timeout(limit, spoken.notified()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// Reads what is left of a refused body, within bounds. Closing a connection with bytes unread
/// resets it, and a sender that is still writing then never sees why.
async fn discard(mut body: Incoming) {
    let reading = async {
        let mut read = 0;
        while read < MAX_DISCARDED
            && let Some(Ok(frame)) = body.frame().await
        {
            read += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    let _ = tokio::time::timeout(DISCARD, reading).await;
}

fn builder(settings: &Settings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // A caller that hangs up once it has sent its request is no reason not to read it.
        .half_close(true)
        .header_read_timeout(settings.header_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES as u32)
        .keep_alive_interval(settings.header_timeout)
        .keep_alive_timeout(settings.header_timeout);
    builder
}
