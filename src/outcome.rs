//! What became of a delivery: the only table of statuses, reason words and answers.
//!
//! The last step of the way of a delivery. The operator learns the precise reason from the metric,
//! the log line and `hookgate verify`; the caller learns a status and nothing else.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use secrecy::SecretString;

use crate::batch::TooManyEvents;
use crate::keys::KeyAddress;
use crate::ledger::LedgerError;
use crate::outbox::Publication;
use crate::provider::Provider;
use crate::redact::RedactError;
use crate::signal::{SignalId, list};

/// What became of one delivery that was not rejected.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// At least one event was new and is recorded.
    Accepted {
        /// Whether the broker has confirmed all of them, or will be told later.
        publication: Publication,
        /// The signals of the delivery's events, new and known, in order.
        signals: Vec<SignalId>,
        /// How many were new under an id already taken by other content.
        id_conflicts: usize,
    },
    /// Every event was known under the same id.
    Duplicate(Vec<SignalId>),
    /// The signed content was known under another, unsigned id.
    Replayed(Vec<SignalId>),
    /// The endpoint's event type allow list leaves it out.
    Filtered,
    /// It was an ownership check of the provider's.
    Handshake(Reply),
}

/// The answer to a handshake.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The secret that the handshake brought, for whoever sets the endpoint up.
    pub captured: Option<SecretString>,
    /// The status.
    pub status: StatusCode,
    /// The media type of the body, if the provider wants one named.
    pub content_type: Option<String>,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: String,
    /// An address that is called afterwards, where the provider waits for that.
    pub confirm: Option<KeyAddress>,
}

impl Outcome {
    /// Returns the word for metrics, logs and the `Hookgate-Outcome` header.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Duplicate(_) => "duplicate",
            Self::Replayed(_) => "replayed",
            Self::Filtered => "filtered",
            Self::Handshake(_) => "handshake",
        }
    }

    /// Returns the reason word: how far an accepted delivery has come; empty for the others.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Accepted {
                publication: Publication::Confirmed,
                ..
            } => "confirmed",
            Self::Accepted { .. } => "buffered",
            _ => "",
        }
    }

    /// Returns the signals of the delivery's events.
    pub fn signals(&self) -> &[SignalId] {
        match self {
            Self::Accepted { signals, .. } | Self::Duplicate(signals) | Self::Replayed(signals) => {
                signals
            }
            Self::Filtered | Self::Handshake(_) => &[],
        }
    }
}

/// An authentic delivery that is not kept, with what the provider is asked for to send it again.
#[derive(Debug, thiserror::Error)]
#[error("body cannot be redacted, and is not kept: {why}")]
pub struct Unredactable {
    /// Why.
    pub why: RedactError,
    /// SHA-256 of the body, in hex.
    pub body_sha256: String,
    /// The provider's event id, where there is one, without the endpoint's secrets.
    pub event_id: Option<String>,
}

impl Unredactable {
    /// Where in the body it cannot be read, in bytes from 0.
    pub fn offset(&self) -> Option<usize> {
        match self.why {
            RedactError::Malformed { offset, .. } => Some(offset),
            _ => None,
        }
    }

    /// Tells whether others would read the body, and this gateway does not go as far.
    fn is_ours(&self) -> bool {
        match self.why {
            RedactError::Malformed { what, .. } => what.is_ours(),
            RedactError::TooDeep | RedactError::TooManyFields => true,
        }
    }
}

/// Why a delivery was rejected.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// No endpoint has this path.
    #[error("no endpoint has this path")]
    UnknownEndpoint,
    /// The endpoint's provider does not send with this method.
    #[error("method {0} is not what this provider sends")]
    Method(http::Method),
    /// The caller's address is not on the endpoint's allow list.
    #[error("caller {0} is not on the endpoint's allow list")]
    IpDenied(std::net::IpAddr),
    /// The endpoint or its tenant has used up its rate.
    #[error("{scope} sends faster than its rate; room again in {retry_after:?}")]
    RateLimited {
        /// `endpoint` or `tenant`.
        scope: &'static str,
        /// When there is room again.
        retry_after: Duration,
    },
    /// The endpoint is disabled for good.
    #[error("endpoint is disabled")]
    Disabled,
    /// The endpoint is paused.
    #[error("endpoint is paused")]
    Paused,
    /// The body is over the endpoint's limit.
    #[error("body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body did not arrive in time, or the connection broke off.
    #[error("body did not arrive whole within {0:?}")]
    BodyTimeout(Duration),
    /// The body is authentic and cannot be redacted.
    #[error(transparent)]
    Unredactable(#[from] Box<Unredactable>),
    /// The body holds more events than the gateway takes apart.
    #[error(transparent)]
    TooManyEvents(#[from] TooManyEvents),
    /// The body did not arrive whole, or is empty.
    #[error("body is malformed: {0}")]
    BodyMalformed(String),
    /// The scheme cannot be applied to this content type.
    #[error("content type `{0}` is not one that this scheme signs")]
    ContentType(String),
    /// A header, parameter or field that carries the proof is absent.
    #[error("{0} is missing")]
    SignatureMissing(String),
    /// The proof cannot be decoded.
    #[error("{0}")]
    SignatureMalformed(String),
    /// No tag matches any secret.
    #[error("no tag matches any of {secrets} secret(s)")]
    SignatureMismatch {
        /// How many secrets were tried.
        secrets: usize,
    },
    /// A digest that was signed is not that of what arrived.
    #[error("{0} is not what it is signed to be")]
    DigestMismatch(String),
    /// A piece that proves what kind of delivery it is has another value than it must have.
    #[error("{0} is not what it must be")]
    UnexpectedValue(String),
    /// The delivery names a key that the endpoint does not have.
    #[error("{0} names a key that is not configured")]
    UnknownKey(String),
    /// A key that a provider publishes cannot be had.
    #[error("the key to verify with cannot be had: {0}")]
    KeyUnavailable(String),
    /// A claim of a token is absent, or not what it must be.
    #[error("claim `{0}` of the token is absent or not what it must be")]
    ClaimMismatch(String),
    /// A token's time is over.
    #[error("the token has expired")]
    TokenExpired,
    /// A token's time has not come.
    #[error("the token is not valid yet")]
    TokenNotYetValid,
    /// An ownership check carries another token than the endpoint's.
    #[error("the token of an ownership check is not the endpoint's")]
    HandshakeToken(StatusCode),
    /// An ownership check wants an answer to a text that may not be signed.
    #[error("the challenge of an ownership check is not one that is answered")]
    HandshakeChallenge(StatusCode),
    /// The proof is there more than once, so that readers could disagree.
    #[error("{0} appears more than once")]
    SignatureAmbiguous(String),
    /// The signed timestamp is absent.
    #[error("{0} is missing")]
    TimestampMissing(String),
    /// The signed timestamp is not a time.
    #[error("{0} is not a timestamp")]
    TimestampMalformed(String),
    /// The delivery was signed too long ago.
    #[error("signed {age} s ago, tolerance is {tolerance} s")]
    TimestampStale {
        /// Age in seconds.
        age: i64,
        /// Tolerance in seconds.
        tolerance: i64,
    },
    /// The delivery was signed too far in the future.
    #[error("signed {ahead} s in the future, tolerance is {tolerance} s")]
    TimestampFuture {
        /// How far ahead, in seconds.
        ahead: i64,
        /// Tolerance in seconds.
        tolerance: i64,
    },
    /// No configured token is the one that was sent.
    #[error("token is none of the {secrets} configured")]
    TokenInvalid {
        /// How many secrets were tried.
        secrets: usize,
    },
    /// A limit of this process is reached.
    #[error("{0} is at its limit")]
    Overloaded(&'static str),
    /// The ledger cannot record.
    #[error("ledger cannot record")]
    LedgerUnavailable(#[from] LedgerError),
    /// A fault of our own.
    #[error("internal fault: {0}")]
    Internal(&'static str),
}

impl Rejected {
    /// The status for the caller and the reason word for metrics and logs.
    ///
    /// Faults of our own are 5xx, because vendors disable an endpoint for good after some 4xx.
    pub fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            Self::UnknownEndpoint => (StatusCode::NOT_FOUND, "unknown_endpoint"),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "method"),
            Self::IpDenied(_) => (StatusCode::FORBIDDEN, "ip_denied"),
            Self::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            Self::Disabled => (StatusCode::GONE, "disabled"),
            Self::Paused => (StatusCode::SERVICE_UNAVAILABLE, "paused"),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::BodyTimeout(_) => (StatusCode::REQUEST_TIMEOUT, "body_timeout"),
            Self::BodyMalformed(_) => (StatusCode::BAD_REQUEST, "body_malformed"),
            // Nothing but another version of this program could take it, and until then a vendor is
            // not to give the endpoint up for what is not its fault.
            Self::Unredactable(body) if body.is_ours() => {
                (StatusCode::SERVICE_UNAVAILABLE, "body_too_large")
            }
            Self::TooManyEvents(_) => (StatusCode::SERVICE_UNAVAILABLE, "body_too_large"),
            // It is the same bytes however often they are sent.
            Self::Unredactable(_) => (StatusCode::BAD_REQUEST, "body_malformed"),
            Self::ContentType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type"),
            Self::SignatureMissing(_) => (StatusCode::UNAUTHORIZED, "signature_missing"),
            Self::SignatureMalformed(_) => (StatusCode::UNAUTHORIZED, "signature_malformed"),
            Self::SignatureMismatch { .. } | Self::DigestMismatch(_) | Self::UnknownKey(_) => {
                (StatusCode::UNAUTHORIZED, "signature_mismatch")
            }
            Self::UnexpectedValue(_) => (StatusCode::UNAUTHORIZED, "signature_malformed"),
            Self::KeyUnavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "key_unavailable"),
            Self::ClaimMismatch(_) => (StatusCode::UNAUTHORIZED, "token_invalid"),
            Self::TokenExpired => (StatusCode::UNAUTHORIZED, "timestamp_stale"),
            Self::TokenNotYetValid => (StatusCode::UNAUTHORIZED, "timestamp_future"),
            Self::HandshakeToken(status) => (*status, "token_invalid"),
            Self::HandshakeChallenge(status) => (*status, "body_malformed"),
            Self::SignatureAmbiguous(_) => (StatusCode::UNAUTHORIZED, "signature_ambiguous"),
            Self::TimestampMissing(_) => (StatusCode::UNAUTHORIZED, "timestamp_missing"),
            Self::TimestampMalformed(_) => (StatusCode::UNAUTHORIZED, "timestamp_malformed"),
            Self::TimestampStale { .. } => (StatusCode::UNAUTHORIZED, "timestamp_stale"),
            Self::TimestampFuture { .. } => (StatusCode::UNAUTHORIZED, "timestamp_future"),
            Self::TokenInvalid { .. } => (StatusCode::UNAUTHORIZED, "token_invalid"),
            Self::Overloaded(_) => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::LedgerUnavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "ledger_unavailable"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// Returns the reason word alone.
    pub fn reason(&self) -> &'static str {
        self.answer().1
    }

    /// How long the caller should wait before it tries again, where trying again can help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            Self::Overloaded(_) => Some(Duration::from_secs(1)),
            Self::LedgerUnavailable(_) | Self::KeyUnavailable(_) => Some(Duration::from_secs(5)),
            Self::Paused => Some(Duration::from_secs(60)),
            Self::Unredactable(body) if body.is_ours() => Some(Duration::from_hours(1)),
            Self::TooManyEvents(_) => Some(Duration::from_hours(1)),
            _ => None,
        }
    }
}

/// Tells the caller what became of a delivery of `provider`, which is known unless no endpoint was
/// found. A rejection is a status and an empty body, the same for every reason of one status.
pub fn answer(
    result: &Result<Outcome, Rejected>,
    provider: Option<&Provider>,
) -> Response<Full<Bytes>> {
    match result {
        Ok(outcome) => accept(outcome, provider),
        Err(rejected) => refuse(rejected, provider),
    }
}

fn accept(outcome: &Outcome, provider: Option<&Provider>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if let Some(answer) = provider.map(|provider| &provider.answer) {
        *response.status_mut() = answer.success;
        *response.body_mut() = Full::new(Bytes::from(answer.body.clone()));
        if let Some(content_type) = &answer.content_type {
            set(&mut response, CONTENT_TYPE, content_type);
        }
    }
    if let Outcome::Handshake(reply) = outcome {
        *response.status_mut() = reply.status;
        *response.body_mut() = Full::new(Bytes::from(reply.body.clone()));
        response.headers_mut().remove(CONTENT_TYPE);
        if let Some(content_type) = &reply.content_type {
            set(&mut response, CONTENT_TYPE, content_type);
        }
        for (name, value) in &reply.headers {
            response.headers_mut().insert(name, value.clone());
        }
        set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    }
    set(&mut response, HOOKGATE_OUTCOME, outcome.word());
    if !outcome.signals().is_empty() {
        set(&mut response, HOOKGATE_SIGNAL, &list(outcome.signals()));
    }
    response
}

fn refuse(rejected: &Rejected, provider: Option<&Provider>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let retries_429 = provider.is_some_and(|provider| provider.answer.retries_429);
    *response.status_mut() = match rejected.answer().0 {
        StatusCode::UNAUTHORIZED if !matches!(rejected, Rejected::HandshakeToken(_)) => provider
            .map_or(StatusCode::UNAUTHORIZED, |provider| {
                provider.answer.bad_signature
            }),
        // A vendor that takes 429 for a failure for good must be told that the fault is ours.
        StatusCode::TOO_MANY_REQUESTS if !retries_429 => StatusCode::SERVICE_UNAVAILABLE,
        status => status,
    };
    if let Some(wait) = rejected.retry_after() {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        set(&mut response, RETRY_AFTER, &seconds.max(1).to_string());
    }
    if let (Rejected::Method(_), Some(provider)) = (rejected, provider) {
        let methods: Vec<&str> = provider.methods.iter().map(http::Method::as_str).collect();
        set(&mut response, http::header::ALLOW, &methods.join(", "));
    }
    response
}

const HOOKGATE_OUTCOME: HeaderName = HeaderName::from_static("hookgate-outcome");
const HOOKGATE_SIGNAL: HeaderName = HeaderName::from_static("hookgate-signal");

fn set(response: &mut Response<Full<Bytes>>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Fault;

    #[test]
    fn our_own_faults_are_5xx_and_say_when_to_retry() {
        let ledger = LedgerError::Corrupt("x".into());
        for fault in [
            Rejected::LedgerUnavailable(ledger),
            Rejected::Overloaded("x"),
            Rejected::TooManyEvents(TooManyEvents),
            unredactable(RedactError::TooDeep),
            unredactable(RedactError::TooManyFields),
            unredactable(RedactError::Malformed {
                offset: 0,
                what: Fault::Surrogate,
            }),
        ] {
            assert!(fault.answer().0.is_server_error());
            assert!(fault.retry_after().is_some());
        }
    }

    fn unredactable(why: RedactError) -> Rejected {
        Rejected::from(Box::new(Unredactable {
            why,
            body_sha256: String::new(),
            event_id: None,
        }))
    }

    #[test]
    fn what_no_retry_can_mend_is_not_to_be_retried() {
        let (offset, what) = (7, Fault::End);
        let rejected = unredactable(RedactError::Malformed { offset, what });
        assert_eq!(rejected.answer().0, StatusCode::BAD_REQUEST);
        assert_eq!(rejected.retry_after(), None);
    }

    #[test]
    fn every_bad_signature_looks_the_same_to_the_caller() {
        let faults = [
            Rejected::SignatureMissing("x".into()),
            Rejected::SignatureMismatch { secrets: 1 },
            Rejected::TimestampStale {
                age: 1,
                tolerance: 1,
            },
            Rejected::TokenInvalid { secrets: 1 },
        ];
        assert!(
            faults
                .iter()
                .all(|fault| fault.answer().0 == StatusCode::UNAUTHORIZED)
        );
    }
}
