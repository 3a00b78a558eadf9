//! The way of one delivery: from the head of a request to recorded and published signals.
//!
//! Order only. Each step is a module of its own and none of them calls the next. Knows nothing of
//! sockets ([`crate::server`]); statuses and reason words are chosen in [`crate::outcome`].

use std::fmt;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Method};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::AsyncWriteExt;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{info, warn};

use crate::clock::Timestamp;
use crate::config::State;
use crate::config::snapshot::Snapshot;
use crate::delivery::Delivery;
use crate::envelope::{self, EnvelopeError, Parts};
use crate::handshake::{self, Phase};
use crate::identify::Event;
use crate::keys::{KeyAddress, KeyError, KeySource};
use crate::ledger::{Ledger, Recorded};
use crate::limits::{Budget, Received, check_caller};
use crate::outbox::{Outbox, Publication};
use crate::outcome::{Outcome, Rejected, Reply, Unredactable};
use crate::redact::{RedactError, Redactor};
use crate::route::{Route, Routes};
use crate::shutdown::Drain;
use crate::signal::Draft;
use crate::verify::Verified;
use crate::verify::public_key::KeySet;

/// Everything of a request but its body. `Debug` shows no header's value, and no query.
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
    /// Whether a trusted proxy passed it on.
    pub via_trusted_proxy: bool,
    /// When it was received.
    pub received: Timestamp,
    /// W3C Trace Context of the delivery.
    pub traceparent: String,
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &self.headers.len())
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
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
    keys: Arc<dyn KeySource<KeySet>>,
    ledger: Arc<dyn Ledger>,
    outbox: Outbox,
    drain: Drain,
}

impl Intake {
    /// Creates an intake; what it has begun with a verified delivery belongs to `drain`.
    pub fn new(
        snapshot: Snapshot,
        budget: Budget,
        keys: Arc<dyn KeySource<KeySet>>,
        ledger: Arc<dyn Ledger>,
        outbox: Outbox,
        drain: Drain,
    ) -> Self {
        Self {
            snapshot,
            budget,
            keys,
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
        let walk = self.walk(&routes, head, body, &mut taken.route, &mut taken.bytes);
        // A fault in one delivery is an answer to it, and no end of what shares its connection.
        let walked = AssertUnwindSafe(walk).catch_unwind().await;
        taken.result = walked.unwrap_or(Err(Rejected::Internal("what takes it panicked")));
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
        let (received, traceparent) = (head.received, head.traceparent);
        let delivery = Delivery {
            method: head.method,
            url: head.url,
            headers: head.headers,
            body,
            caller: head.caller,
            via_trusted_proxy: head.via_trusted_proxy,
        };
        if let Some(reply) = answer_unsigned(route, &delivery).await? {
            return Ok(Outcome::Handshake(reply));
        }
        let keys = self.keys_for(route, &delivery, received).await?;
        let prepared = {
            let verifier = &route.endpoint.verifier;
            let verified = verifier.verify(&delivery, received, keys.as_deref())?;
            route.secret_use.count(verified.secrets(), received);
            prepare(routes, route, &verified, (received, &traceparent))?
        };
        match prepared {
            Prepared::Answered(Outcome::Handshake(reply)) => {
                if let Some(address) = &reply.confirm {
                    self.confirm(address).await?;
                }
                Ok(Outcome::Handshake(reply))
            }
            Prepared::Answered(outcome) => Ok(outcome),
            Prepared::Drafts(drafts) => self.record(drafts, share).await,
        }
    }

    /// Gets the keys that a delivery must be verified with, where a provider publishes them.
    async fn keys_for(
        &self,
        route: &Route,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Result<Option<Arc<KeySet>>, Rejected> {
        let Some(order) = route.endpoint.verifier.order_keys(delivery)? else {
            return Ok(None);
        };
        let key_id = order.key_id.clone();
        let wanted = |keys: &KeySet| key_id.as_ref().is_none_or(|id| keys.find(id).is_some());
        let request = order.request().map_err(unavailable)?;
        let keys = self.keys.get(&request, Some(&wanted), now).await;
        keys.map(Some).map_err(unavailable)
    }

    /// Calls the address that confirms a subscription. Seen through even when the caller hangs up.
    async fn confirm(&self, address: &KeyAddress) -> Result<(), Rejected> {
        let (keys, address) = (self.keys.clone(), address.clone());
        let call = self
            .drain
            .see_through(async move { keys.call(&address).await });
        match call.await {
            Some(called) => called.map_err(unavailable),
            None => Err(Rejected::Internal("what confirms ended early")),
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

/// Answers an ownership check that nobody signs. An endpoint that is being set up takes nothing else.
async fn answer_unsigned(route: &Route, delivery: &Delivery) -> Result<Option<Reply>, Rejected> {
    let endpoint = &route.endpoint;
    let phase = match endpoint.state {
        State::Setup => Phase::Setup,
        _ => Phase::Armed,
    };
    let reply = handshake::answer_unsigned(&endpoint.verifier, delivery, phase)?;
    match (reply, phase) {
        (None, Phase::Setup) => Err(Rejected::Paused),
        (Some(reply), Phase::Setup) => {
            keep(endpoint.setup_file.as_deref(), reply.captured.as_ref()).await?;
            Ok(Some(reply))
        }
        (reply, Phase::Armed) => Ok(reply),
    }
}

/// Writes the secret that a provider tells to the file that the operator named, for nobody else to
/// read. One that is there is kept: whoever calls first has told it, and the operator looks.
async fn keep(file: Option<&Path>, secret: Option<&SecretString>) -> Result<(), Rejected> {
    let (Some(file), Some(secret)) = (file, secret) else {
        return Ok(());
    };
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let written = async {
        let mut open = options.open(file).await?;
        open.write_all(secret.expose_secret().as_bytes()).await?;
        open.sync_all().await
    };
    match written.await {
        Ok(()) => {
            info!(file = %file.display(), "the provider told its secret; read it and take the endpoint out of setup");
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            warn!(file = %file.display(), "the provider told a secret again; the file is kept as it is");
            Ok(())
        }
        Err(error) => {
            warn!(file = %file.display(), %error, "the provider told its secret, and it cannot be kept");
            Err(Rejected::Internal(
                "the secret that the provider told cannot be kept",
            ))
        }
    }
}

fn unavailable(error: KeyError) -> Rejected {
    Rejected::KeyUnavailable(crate::telemetry::explain(&error))
}

/// The deciding steps behind the proof: handshake, identify, admit, redact. Pure: `now` came with the
/// head.
fn prepare(
    routes: &Routes,
    route: &Route,
    verified: &Verified<'_>,
    (received, traceparent): (Timestamp, &str),
) -> Result<Prepared, Rejected> {
    let endpoint = &route.endpoint;
    if let Some(reply) = handshake::answer(&endpoint.verifier, verified)? {
        return Ok(Prepared::Answered(Outcome::Handshake(reply)));
    }
    let rules = &endpoint.provider.events;
    let events = rules.identify(
        verified,
        &route.source,
        endpoint.identical_content,
        traceparent,
    )?;
    let admitted = events
        .iter()
        .filter(|event| route.admits(&event.event_type));
    let drafts = admitted
        .map(|event| redact(routes, route, verified, event, (received, traceparent)))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(match drafts.is_empty() {
        true => Prepared::Answered(Outcome::Filtered),
        false => Prepared::Drafts(drafts),
    })
}

/// The media type of a query, read as a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// Redacts an event into the envelope of its signal. A body that cannot be redacted is refused.
fn redact(
    routes: &Routes,
    route: &Route,
    verified: &Verified<'_>,
    event: &Event,
    (received, traceparent): (Timestamp, &str),
) -> Result<Draft, Rejected> {
    let (endpoint, delivery) = (&route.endpoint, verified.delivery());
    let keep_marks = if verified.replay_bounded() {
        routes.dedupe_window
    } else {
        routes.dedupe_window.max(routes.replay_window)
    };
    let content_type = delivery.content_type();
    // A document is JSON by what it is, whatever the body around it claims.
    let (media_type, body) = match &event.document {
        Some(document) => ("application/json", document.as_ref()),
        // What has no body says all that it says in its query.
        None if delivery.body.is_empty() => (FORM, delivery.query().as_bytes()),
        None => (content_type.as_ref(), delivery.body.as_ref()),
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
        media_type,
        body,
        body_sha256: verified.body_sha256(),
        content_digest: &event.content_digest,
        signalid: event.signalid,
        identity: event.identity,
        keep_marks,
        spool: endpoint.spool,
        seal_to: endpoint.shared.seal_to.as_deref(),
    };
    envelope::seal(&parts, &endpoint.redactor).map_err(|error| match error {
        EnvelopeError::Redact(why) => unredactable(why, event, verified, &endpoint.redactor),
        EnvelopeError::Seal(_) => Rejected::Internal("the data cannot be sealed"),
    })
}

/// Notes what the operator can ask the provider for again. Nothing of the body is in it.
fn unredactable(
    why: RedactError,
    event: &Event,
    verified: &Verified<'_>,
    redactor: &Redactor,
) -> Rejected {
    let event_id = event.id.as_deref();
    Rejected::from(Box::new(Unredactable {
        why,
        body_sha256: hex::encode(verified.body_sha256()),
        event_id: event_id.map(|id| redactor.scrub(id).into_owned()),
    }))
}

/// Publishes what is new and says what became of the delivery as a whole.
async fn publish(outbox: &Outbox, recorded: Vec<Recorded>) -> Outcome {
    let (mut ids, mut new) = (Vec::with_capacity(recorded.len()), Vec::new());
    let (mut id_conflicts, mut replayed, mut spooled) = (0, false, false);
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
            Recorded::Spooled(id) => {
                ids.push(id);
                spooled = true;
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
    if spooled {
        // Published once the ledger has it, which may refuse it yet as a repeat.
        return Outcome::Accepted {
            publication: Publication::Buffered,
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
