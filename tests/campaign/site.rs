//! Everything that a campaign runs: gateways, servers, and a link between any two that talk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lapin::types::FieldTable;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use super::events::{Endpoint, endpoints};
use super::gateway::Gateway;
use super::link::Link;
use super::plan::{Plan, REPLICAS};
use super::store::Store;
use super::support::rabbit::{Broker, Vhost};
use super::workers::{Feed, Workers, feeds};

/// The exchange that the gateways publish to.
pub(crate) const EXCHANGE: &str = "signals";

/// What that exchange leads to, and what all queues are bound to: whether a signal can be routed is then
/// the same for every queue.
pub(crate) const BEHIND: &str = "behind";

/// The queue of the independent consumer.
pub(crate) const QUEUE: &str = "campaign";

/// A gateway and its links.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) gateway: Gateway,
    /// Held by whoever does something to its process.
    pub(crate) process: Mutex<()>,
    pub(crate) links: Links,
}

/// The links of one gateway.
#[derive(Debug)]
pub(crate) struct Links {
    http: Link,
    redis: Link,
    broker: Link,
    /// Held by whoever does something to one of them, in the same order.
    held: [Mutex<()>; 3],
}

/// A link in one's hands.
pub(crate) type Held<'a> = (&'a Link, MutexGuard<'a, ()>);

/// Which link of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Providers,
    Redis,
    Broker,
}

impl End {
    pub(crate) const ALL: [Self; 3] = [Self::Providers, Self::Redis, Self::Broker];
}

impl Links {
    /// Waits until nobody else does anything to a link.
    pub(crate) async fn hold(&self, end: End) -> Held<'_> {
        let [http, redis, broker] = &self.held;
        match end {
            End::Providers => (&self.http, http.lock().await),
            End::Redis => (&self.redis, redis.lock().await),
            End::Broker => (&self.broker, broker.lock().await),
        }
    }

    /// Leads to another Redis, whatever else is done to the link.
    pub(crate) fn lead_to_redis(&self, port: u16) {
        self.redis.lead_to(port);
    }

    /// The port that providers connect to.
    pub(crate) fn port(&self) -> u16 {
        self.http.port()
    }
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) endpoints: Arc<Vec<Endpoint>>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) store: Store,
    pub(crate) broker: Broker,
    /// Held by whoever does something to the broker.
    pub(crate) broker_is_mine: Mutex<()>,
    pub(crate) workers: Workers,
    vhost: String,
    dir: TempDir,
}

impl Site {
    /// Starts everything, and waits until it listens.
    pub(crate) async fn start(plan: &Plan) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("campaign")
            .tempdir()
            .unwrap();
        let store = tokio::task::block_in_place(Store::start);
        let broker = Broker::prepare();
        broker.start().await;
        let vhost = broker.vhost().await.name;
        let endpoints = Arc::new(endpoints());
        let redis = store.lock().await.port();
        let replica = |number: usize| {
            let at_vhost = Vhost {
                broker: &broker,
                name: vhost.clone(),
            };
            let (to_redis, to_broker) = (Link::to(redis), Link::to(broker.port()));
            let urls = (
                format!("redis://127.0.0.1:{}", to_redis.port()),
                at_vhost.address_at(to_broker.port()).expose().to_owned(),
            );
            let name = format!("gateway-{number}");
            // The others show what becomes of deliveries without the library that fakes the clock.
            let fake_clock = number == REPLICAS - 1;
            let gateway = Gateway::prepare((dir.path(), &name), plan, &endpoints, urls, fake_clock);
            Replica {
                links: Links {
                    http: Link::to(gateway.port()),
                    redis: to_redis,
                    broker: to_broker,
                    held: Default::default(),
                },
                process: Mutex::default(),
                gateway,
            }
        };
        let replicas = (0..REPLICAS).map(replica).collect();
        let at_vhost = Vhost {
            broker: &broker,
            name: vhost.clone(),
        };
        declare(&at_vhost, &endpoints).await;
        let workers = Workers::start(at_vhost.address().expose(), dir.path()).await;
        let site = Self {
            replicas,
            workers,
            endpoints,
            store,
            broker,
            broker_is_mine: Mutex::default(),
            vhost,
            dir,
        };
        for replica in &site.replicas {
            replica.gateway.start();
        }
        site
    }

    /// The virtual host of the campaign.
    pub(crate) fn vhost(&self) -> Vhost<'_> {
        Vhost {
            broker: &self.broker,
            name: self.vhost.clone(),
        }
    }

    /// Declares the exchange and what is bound to it. Safe to repeat.
    pub(crate) async fn declare(&self) {
        declare(&self.vhost(), &self.endpoints).await;
    }

    /// Breaks the way from the exchange to the queues off, for all of them at the same instant.
    pub(crate) async fn unbind(&self) {
        let binding = format!("e/{EXCHANGE}/e/{BEHIND}/%23");
        self.manage("DELETE", "bindings", &binding, "").await;
    }

    /// Calls the management API for the virtual host.
    pub(crate) async fn manage(&self, method: &str, what: &str, rest: &str, body: &str) {
        let path = format!("/api/{what}/{}/{rest}", self.vhost);
        let (status, answer) = self.broker.api(method, &path, body).await;
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
    }

    /// The version of the broker.
    pub(crate) async fn broker_version(&self) -> String {
        let (_, overview) = self.broker.api("GET", "/api/overview", "").await;
        let overview: serde_json::Value = serde_json::from_str(&overview).unwrap();
        overview["rabbitmq_version"].as_str().unwrap().to_owned()
    }

    /// Copies every log to a directory that stays.
    pub(crate) async fn keep_logs(&self) -> PathBuf {
        let kept = tempfile::Builder::new()
            .prefix("campaign-logs")
            .tempdir()
            .unwrap()
            .keep();
        copy(self.dir.path(), &kept);
        copy(&self.broker.dir.join("log"), &kept);
        for (at, dir) in self.store.lock().await.dirs().into_iter().enumerate() {
            let _ = std::fs::copy(dir.join("log"), kept.join(format!("redis-{at}.log")));
        }
        kept
    }
}

async fn declare(vhost: &Vhost<'_>, endpoints: &[Endpoint]) {
    vhost.exchange(BEHIND).await;
    let classic = FieldTable::default;
    vhost.queue(QUEUE, BEHIND, "#", classic()).await;
    for Feed { queue, key } in feeds(endpoints) {
        vhost.queue(&queue, BEHIND, &key, classic()).await;
    }
    vhost.exchange(EXCHANGE).await;
    let path = format!("/api/bindings/{}/e/{EXCHANGE}/e/{BEHIND}", vhost.name);
    let (status, answer) = vhost
        .broker
        .api("POST", &path, r##"{"routing_key":"#"}"##)
        .await;
    assert_eq!(status, 201, "{answer}");
}

/// Copies the files of a directory. What cannot be copied is left out: this is for reading only.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).into_iter().flatten().flatten() {
        let _ = std::fs::copy(entry.path(), to.join(entry.file_name()));
    }
}
