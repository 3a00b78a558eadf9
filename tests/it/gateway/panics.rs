//! A delivery whose taking panics: an answer to it, and no end of anything else.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hookgate::clock;
use hookgate::config::snapshot::Snapshot;
use hookgate::config::{Config, ProcessEnvironment};
use hookgate::intake::{Head, Intake, Taken};
use hookgate::keys::KeyCache;
use hookgate::limits::Budget;
use hookgate::outbox::{Outbox, OutboxSettings};
use hookgate::outcome;
use hookgate::publisher::stdout::Stdout;
use hookgate::route::Routes;
use hookgate::shutdown::Drain;
use http::StatusCode;
use http_body::{Body, Frame};
use http_body_util::Full;

use super::kind;
use crate::support::memory_ledger::MemoryLedger;

/// A body that nobody foresaw.
struct Unforeseen;

impl Body for Unforeseen {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        panic!("on purpose")
    }
}

fn intake(drain: &Drain) -> Intake {
    let text = format!("allow_inline_secrets = true\n{}", kind("github").endpoint());
    let config = Config::parse(&text, "test", Path::new(""), &ProcessEnvironment).unwrap();
    let ledger = Arc::new(MemoryLedger::new(Duration::from_secs(60)));
    let settings = OutboxSettings {
        ack: config.ack,
        ack_wait: config.ack_wait,
        max_in_flight: config.publisher_max_in_flight,
    };
    let publisher = Arc::new(Stdout::new());
    let outbox = Outbox::new(ledger.clone(), publisher, drain.clone(), settings);
    let budget = Budget::new(1 << 20, Duration::from_secs(60));
    let keys = KeyCache::new(config.keys.clone(), drain.clone()).unwrap();
    let snapshot = Snapshot::new(Routes::build(&config, None));
    Intake::new(
        snapshot,
        budget,
        Arc::new(keys),
        ledger,
        outbox,
        drain.clone(),
    )
}

fn head() -> Head {
    let delivery = kind("github").signed("100001");
    Head {
        method: delivery.method,
        path: "/hooks/github".to_owned(),
        url: delivery.url,
        headers: delivery.headers,
        caller: delivery.caller,
        via_trusted_proxy: false,
        received: clock::now(),
        traceparent: String::new(),
    }
}

fn answered(taken: &Taken) -> StatusCode {
    let route = taken.route.as_ref().unwrap();
    assert_eq!(&*route.endpoint.id, "github");
    outcome::answer(&taken.result, Some(&route.endpoint.provider)).status()
}

#[tokio::test]
async fn a_panic_is_a_fault_of_our_own_and_the_next_delivery_is_taken() {
    let drain = Drain::new();
    let intake = intake(&drain);
    let taken = intake.take(head(), Unforeseen).await;
    assert_eq!(answered(&taken), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(taken.result.unwrap_err().reason(), "internal");

    let body = kind("github").signed("100001").body;
    let taken = intake.take(head(), Full::new(body)).await;
    assert_eq!(answered(&taken), StatusCode::OK);
    assert!(drain.finish(Duration::from_secs(60)).await);
}
