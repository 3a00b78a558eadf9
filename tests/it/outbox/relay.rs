//! How the relay drains a backlog: no batch waits for the last of the one before, and only a share of
//! the publisher is taken.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hookgate::outbox::{Outbox, OutboxSettings, Publication};
use hookgate::publisher::{PublishError, Publisher};
use hookgate::relay::{self, RelaySettings};
use hookgate::shutdown::Drain;
use hookgate::signal::{Signal, SignalId};
use tokio::sync::watch;

use super::{LONG_LEASE, ids, signals};
use crate::support::memory_ledger::MemoryLedger;
use crate::support::{DEADLINE, signal, until};

/// A publisher that confirms nothing that it was told to hold back.
#[derive(Debug)]
struct Slow {
    ready: watch::Sender<bool>,
    held: watch::Sender<HashSet<SignalId>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
    confirmed: Mutex<Vec<SignalId>>,
}

impl Slow {
    fn holding(signals: &[Signal]) -> Arc<Self> {
        Arc::new(Self {
            ready: watch::Sender::new(true),
            held: watch::Sender::new(ids(signals).into_iter().collect()),
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            confirmed: Mutex::default(),
        })
    }

    fn let_go(&self) {
        self.held.send_modify(HashSet::clear);
    }

    fn confirmed(&self) -> usize {
        self.confirmed.lock().unwrap().len()
    }
}

#[async_trait]
impl Publisher for Slow {
    async fn publish(&self, signal: &Signal) -> Result<(), PublishError> {
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let mut held = self.held.subscribe();
        let let_go = held.wait_for(|held| !held.contains(&signal.signalid)).await;
        let_go.unwrap();
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        self.confirmed.lock().unwrap().push(signal.signalid);
        Ok(())
    }

    fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    async fn probe(&self) -> Result<Vec<String>, PublishError> {
        Ok(Vec::new())
    }

    async fn close(&self) {}
}

/// Owes `backlog` to nobody, and starts a relay with a share of 10 in batches of 5.
async fn draining(publisher: &Arc<Slow>, backlog: &[Signal]) -> (Arc<MemoryLedger>, Outbox, Drain) {
    let drain = Drain::new();
    let ledger = Arc::new(MemoryLedger::new(LONG_LEASE));
    ledger.owe(backlog);
    let owed: &dyn hookgate::ledger::Ledger = &*ledger;
    owed.released(backlog).await.unwrap();
    let settings = OutboxSettings {
        ack_wait: DEADLINE,
        ..OutboxSettings::default()
    };
    let outbox = Outbox::new(ledger.clone(), publisher.clone(), drain.clone(), settings);
    let settings = RelaySettings {
        poll: Duration::from_millis(20),
        batch: 5,
        concurrency: 10,
        retry_parked: None,
    };
    relay::start(&outbox, &drain, settings);
    (ledger, outbox, drain)
}

#[tokio::test]
async fn what_is_slow_holds_nothing_up_behind_it() {
    let backlog = signals(200);
    let slow = &backlog[..3];
    let publisher = Slow::holding(slow);
    let (ledger, _outbox, drain) = draining(&publisher, &backlog).await;
    until("all others are discharged", async || {
        ledger.owed() == ids(slow)
    })
    .await;
    assert_eq!(publisher.confirmed(), 197);

    publisher.let_go();
    until("nothing is owed", async || ledger.owed().is_empty()).await;
    assert!(drain.finish(DEADLINE).await);
    assert_eq!(publisher.confirmed(), 200, "each was published once");
}

#[tokio::test]
async fn a_backlog_takes_its_share_alone_and_leases_little_more() {
    let backlog = signals(100);
    let publisher = Slow::holding(&backlog);
    let (ledger, outbox, _drain) = draining(&publisher, &backlog).await;
    until("its share is taken", async || {
        publisher.under_way.load(Ordering::SeqCst) == 10
    })
    .await;
    let live = signal("stripe", "live");
    ledger.owe(std::slice::from_ref(&live));
    let published = outbox.publish(vec![live]).await;
    assert_eq!(published, Publication::Confirmed);
    assert_eq!(publisher.most.load(Ordering::SeqCst), 11);
    // A batch may wait, leased, behind what is on its way.
    assert!(ledger.leased() <= 15, "{} are leased", ledger.leased());
}
