//! The gateway's promises, kept by the real binary with a real Redis and a real RabbitMQ.

mod degraded;
mod deliveries;
mod ends;
mod once;
mod outages;
mod readiness;
mod sealed;
mod secrets;
mod spool;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hookgate::ledger::{self, Ledger, LedgerUrl};
use serde_json::Value;

use self::deliveries::{signalid, signed, to};
use crate::support::process::{Gateway, Setup};
use crate::support::rabbit::{Broker, Inbox, Vhost};
use crate::support::redis::Redis;
use crate::support::{DEADLINE, until};

const EXCHANGE: &str = "signals";
const OWED: &str = "hookgate_ledger_owed_signals";
const PARKED: &str = "hookgate_ledger_parked_signals";
const PUBLISHER_READY: &str = "hookgate_publisher_ready";

/// A Redis, and a virtual host of RabbitMQ with a queue of everything that is published.
struct Backends {
    redis: Redis,
    vhost: Vhost<'static>,
    inbox: Inbox,
}

impl Backends {
    async fn start() -> Self {
        let vhost = Broker::shared().await.vhost().await;
        let inbox = vhost.inbox_of(EXCHANGE).await;
        let redis = Redis::start();
        Self {
            redis,
            vhost,
            inbox,
        }
    }

    /// What a gateway is started with that reaches the broker at `port`.
    fn setup_at(&self, port: u16, publisher: &str) -> Setup {
        let setup = Setup::new().ledger(&self.redis.url());
        setup.publisher(self.vhost.address_at(port).expose(), publisher)
    }

    fn setup(&self) -> Setup {
        self.setup_at(self.vhost.broker.port(), "")
    }
}

/// A message as a worker sees it.
#[derive(Debug)]
struct Message {
    signalid: String,
    signal: Value,
}

async fn next(inbox: &mut Inbox) -> Message {
    let delivery = inbox.next().await;
    let signalid = delivery.properties.message_id().clone().unwrap();
    let signal: Value = serde_json::from_slice(&delivery.data).unwrap();
    assert_eq!(signal["signalid"], signalid.as_str());
    Message {
        signalid: signalid.to_string(),
        signal,
    }
}

/// Makes sure that the queue holds nothing more: what is sent now is the next message.
async fn nothing_more(gateway: &Gateway, endpoint: &str, inbox: &mut Inbox, sentinel: &str) {
    let answer = gateway
        .send(to(endpoint, &signed("stripe", sentinel)))
        .await;
    assert_eq!(next(inbox).await.signalid, signalid(&answer));
}

/// Receives until every one of `signals` (by event id) has come, and returns everything that came.
async fn receive_all(
    inbox: &mut Inbox,
    signals: &BTreeMap<String, String>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut missing: BTreeSet<&String> = signals.values().collect();
    let mut received: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    while !missing.is_empty() {
        let Message { signalid, signal } = next(inbox).await;
        missing.remove(&signalid);
        let id = signal["id"].as_str().unwrap().to_owned();
        received.entry(id).or_default().insert(signalid);
    }
    received
}

/// Waits until the log has a line with this message that `fits`.
async fn until_logged(gateway: &Gateway, message: &str, fits: impl Fn(&Value) -> bool) {
    until(message, async || gateway.logged(message).iter().any(&fits)).await;
}

/// Opens the ledger in a Redis beside the gateways that use it.
async fn ledger_in(redis: &Redis) -> Arc<dyn Ledger> {
    let settings = ledger::Settings {
        url: LedgerUrl::parse(&redis.url()).unwrap(),
        retention: Duration::from_hours(1),
        lease: Duration::from_secs(10),
        timeout: DEADLINE,
        durability: ledger::Durability::Memory,
        access: ledger::redis::Access::default(),
    };
    ledger::open(&settings).await.unwrap()
}

/// Waits until the ledger in a Redis owes nothing, and makes sure that nothing is parked.
async fn until_nothing_is_owed(redis: &Redis) {
    let ledger = ledger_in(redis).await;
    until("nothing is owed", async || {
        let backlog = ledger.backlog().await.unwrap();
        assert_eq!(backlog.parked, 0);
        backlog.owed == 0
    })
    .await;
}
