//! The way of one delivery: from the head of a request to recorded and published signals.
//!
//! Order only. Each step is a module of its own and none of them calls the next. Knows nothing of
//! sockets ([`crate::server`]); statuses and reason words are chosen in [`crate::outcome`].

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::sync::OwnedSemaphorePermit;

use crate::clock::Timestamp;
use crate::config::snapshot::Snapshot;
use crate::delivery::Delivery;
use crate::envelope::{self, Parts};
use crate::handshake;
use crate::identify::Event;
use crate::ledger::{Ledger, Recorded};
use crate::limits::{Budget, Received, check_caller};
use crate::outbox::{Outbox, Publication};
use crate::outcome::{Outcome, Rejected};
use crate::route::{Route, Routes};
use crate::shutdown::Drain;
use crate::signal::Draft;
use crate::verify::Verified;

/// Everything of a request but its body.
#[derive(Debug)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The path that names the endpoint.
    pub path: String,
    /// The public URL that the provider called.
    pub url: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The caller's address.
    pub caller: IpAddr,
    /// When it was received.
    pub received: Timestamp,
    /// W3C Trace Context of the delivery.
    pub traceparent: String,
}

/// What became of a delivery, and which endpoint it was for, if any.
#[derive(Debug)]
pub struct Taken {
    /// The endpoint.
    pub route: Option<Arc<Route>>,
    /// The body's size in bytes, once it was received.
    pub bytes: usize,
    /// What became of it.
    pub result: Result<Outcome, Rejected>,
}

/// Takes deliveries.
#[derive(Clone, Debug)]
pub struct Intake {
    snapshot: Snapshot,
    budget: Budget,
    ledger: Arc<dyn Ledger>,
    outbox: Outbox,
    drain: Drain,
}

impl Intake {
    /// Creates an intake; what it has begun with a verified delivery belongs to `drain`.
    pub fn new(
        snapshot: Snapshot,
        budget: Budget,
        ledger: Arc<dyn Ledger>,
        outbox: Outbox,
        drain: Drain,
    ) -> Self {
        Self {
            snapshot,
            budget,
            ledger,
            outbox,
            drain,
        }
    }

    /// Takes one delivery as far as it may go.
    pub async fn take<B>(&self, head: Head, body: B) -> Taken
    where
        B: http_body::Body<Data = Bytes>,
    {
        let routes = self.snapshot.routes();
        let mut taken = Taken {
            route: None,
            bytes: 0,
            result: Err(Rejected::UnknownEndpoint),
        };
        taken.result = self
            .walk(&routes, head, body, &mut taken.route, &mut taken.bytes)
            .await;
        taken
    }

    async fn walk<B>(
        &self,
        routes: &Routes,
        head: Head,
        body: B,
        taken_by: &mut Option<Arc<Route>>,
        bytes: &mut usize,
    ) -> Result<Outcome, Rejected>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let route = routes.find(&head.path)?;
        *taken_by = Some(route.clone());
        route.check_open(&head.method)?;
        check_caller(&route.endpoint.allow_ips, head.caller)?;
        route.check_rate()?;
        let Received { body, share } = self.budget.receive(body, route.endpoint.max_body).await?;
        *bytes = body.len();
        match prepare(routes, route, head, body)? {
            Prepared::Answered(outcome) => Ok(outcome),
            Prepared::Drafts(drafts) => self.record(drafts, share).await,
        }
    }

    /// Records and publishes. Runs to its end even when the caller hangs up, because a provider
    /// that never saw the answer will ask again and must find the event recorded or not.
    async fn record(
        &self,
        drafts: Vec<Draft>,
        share: OwnedSemaphorePermit,
    ) -> Result<Outcome, Rejected> {
        let (ledger, outbox) = (self.ledger.clone(), self.outbox.clone());
        let work = self.drain.see_through(async move {
            let recorded = ledger.record(drafts).await?;
            // Recorded before published: a crash in between is work for the relay, not a lost event.
            let outcome = publish(&outbox, recorded).await;
            drop(share);
            Ok(outcome)
        });
        work.await
            .unwrap_or(Err(Rejected::Internal("what records ended early")))
    }
}

/// A delivery that needs no ledger, or the drafts that go there.
enum Prepared {
    Answered(Outcome),
    Drafts(Vec<Draft>),
}

/// The deciding steps: verify, handshake, identify, admit, redact. Pure: `now` came with the head.
fn prepare(routes: &Routes, route: &Route, head: Head, body: Bytes) -> Result<Prepared, Rejected> {
    let (received, traceparent) = (head.received, head.traceparent);
    let delivery = Delivery {
        method: head.method,
        url: head.url,
        headers: head.headers,
        body,
        caller: head.caller,
    };
    let endpoint = &route.endpoint;
    let verified = endpoint.verifier.verify(&delivery, received)?;
    if let Some(reply) = handshake::answer(endpoint.provider.handshakes(), &verified) {
        return Ok(Prepared::Answered(Outcome::Handshake(reply)));
    }
    let event =
        endpoint
            .provider
            .events
            .identify(&verified, &route.source, endpoint.identical_content)?;
    if !route.admits(&event.event_type) {
        return Ok(Prepared::Answered(Outcome::Filtered));
    }
    let draft = redact(routes, route, &verified, &event, received, &traceparent)?;
    Ok(Prepared::Drafts(vec![draft]))
}

/// Redacts an event into the envelope of its signal. A body that cannot be redacted is refused.
fn redact(
    routes: &Routes,
    route: &Route,
    verified: &Verified<'_>,
    event: &Event,
    received: Timestamp,
    traceparent: &str,
) -> Result<Draft, Rejected> {
    let (endpoint, delivery) = (&route.endpoint, verified.delivery());
    let keep_marks = if verified.replay_bounded() {
        routes.dedupe_window
    } else {
        routes.dedupe_window.max(routes.replay_window)
    };
    let parts = Parts {
        tenant: &endpoint.tenant,
        endpoint: &endpoint.id,
        provider: &endpoint.provider.name,
        credential_ref: endpoint.credential_ref.as_deref(),
        assurance: verified.assurance(),
        event_id: event.id.as_deref(),
        event_type: &event.event_type,
        time: event.time,
        received,
        traceparent,
        media_type: &delivery.media_type(),
        body: &delivery.body,
        body_sha256: verified.body_sha256(),
        content_digest: &event.content_digest,
        signalid: event.signalid,
        identity: event.identity,
        keep_marks,
    };
    envelope::seal(&parts, &endpoint.redactor)
        .map_err(|error| Rejected::BodyMalformed(error.to_string()))
}

/// Publishes what is new and says what became of the delivery as a whole.
async fn publish(outbox: &Outbox, recorded: Vec<Recorded>) -> Outcome {
    let (mut ids, mut new) = (Vec::with_capacity(recorded.len()), Vec::new());
    let (mut id_conflicts, mut replayed) = (0, false);
    for one in recorded {
        match one {
            Recorded::New {
                signal,
                id_conflict,
            } => {
                ids.push(signal.signalid);
                new.push(signal);
                id_conflicts += usize::from(id_conflict);
            }
            Recorded::Duplicate(id) => ids.push(id),
            Recorded::Replayed(id) => {
                ids.push(id);
                replayed = true;
            }
        }
    }
    if !new.is_empty() {
        let publication: Publication = outbox.publish(new).await;
        return Outcome::Accepted {
            publication,
            signals: ids,
            id_conflicts,
        };
    }
    if replayed {
        Outcome::Replayed(ids)
    } else {
        Outcome::Duplicate(ids)
    }
}
