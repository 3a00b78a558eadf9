//! The one place where all parts meet: opens them, starts them, and ends them in order.
//!
//! No process globals: tests, the demo and benchmarks assemble as many as they like.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::admin::{Admin, Health};
use crate::clock;
use crate::config::Config;
use crate::config::snapshot::Snapshot;
use crate::intake::Intake;
use crate::keys::{self, KeyCache};
use crate::ledger::spool::Spooling;
use crate::ledger::{self, Ledger, LedgerError};
use crate::limits::Budget;
use crate::metrics::Metrics;
use crate::outbox::{Outbox, OutboxSettings};
use crate::provenance::Provenance;
use crate::publisher::{self, PublishError, Publisher};
use crate::relay::{self, RelaySettings};
use crate::route::Routes;
use crate::server::Public;
use crate::shutdown::Drain;
use crate::telemetry::alike::Alike;
use crate::telemetry::explain;
use crate::verify::public_key::KeySet;

/// How often the ledger is asked whether it is there and how much it owes.
const CHECK_UP: Duration = Duration::from_secs(1);
/// How often old signals and marks are pruned.
const PRUNE: Duration = Duration::from_secs(60);
/// How long listeners, publisher and ledger may take to close once the work is done.
const CLOSE: Duration = Duration::from_secs(3);

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A listener's address is taken or not ours.
    #[error("cannot listen on {address} (server.{key})")]
    Bind {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The ledger cannot be opened.
    #[error("cannot open the ledger")]
    Ledger(#[from] LedgerError),
    /// The spool cannot be opened.
    #[error("cannot open the spool")]
    Spool(#[source] LedgerError),
    /// The publisher cannot be opened.
    #[error("cannot open the publisher")]
    Publisher(#[from] PublishError),
    /// No keys can be fetched.
    #[error("cannot prepare to fetch the keys that providers publish")]
    Keys(#[from] keys::SettingsError),
    /// A metric's name is taken.
    #[error("cannot register metrics")]
    Metrics(#[from] prometheus::Error),
}

/// The gateway, bound to its addresses and not serving yet.
#[derive(Debug)]
pub struct App {
    config: Config,
    snapshot: Snapshot,
    ledger: Arc<dyn Ledger>,
    spool: Option<Arc<Spooling>>,
    publisher: Arc<dyn Publisher>,
    outbox: Outbox,
    keys: KeyCache<KeySet>,
    budget: Budget,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    public: (TcpListener, SocketAddr),
    admin: (TcpListener, SocketAddr),
    /// Deliveries, relay: finished first.
    work: Drain,
    /// What the work stands on: publisher, admin listener, check-ups.
    base: Drain,
}

/// The gateway, serving.
#[derive(Debug)]
pub struct Running {
    fixed: Fixed,
    provenance: Provenance,
    snapshot: Snapshot,
    ledger: Arc<dyn Ledger>,
    publisher: Arc<dyn Publisher>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    work: Drain,
    base: Drain,
}

impl App {
    /// Opens what the configuration names and binds its addresses. Nothing is served yet.
    pub async fn bind(config: Config) -> Result<Self, AppError> {
        let base = Drain::new();
        let ledger = ledger::open(&config.ledger).await?;
        let publisher = publisher::open(&config.publisher, &base).await?;
        Self::assemble(config, ledger, publisher, base).await
    }

    /// Binds the addresses of a configuration around a ledger and a publisher that are open.
    pub async fn assemble(
        config: Config,
        ledger: Arc<dyn Ledger>,
        publisher: Arc<dyn Publisher>,
        base: Drain,
    ) -> Result<Self, AppError> {
        let metrics = Arc::new(Metrics::new()?);
        let spool = match &config.spool {
            Some(spool) => {
                let spooling = Spooling::open(ledger.clone(), spool, &config.ledger).await;
                Some(Arc::new(spooling.map_err(AppError::Spool)?))
            }
            None => None,
        };
        let ledger = match &spool {
            Some(spooling) => {
                metrics.follow_spool(spooling.counters());
                Arc::clone(spooling) as Arc<dyn Ledger>
            }
            None => ledger,
        };
        let snapshot = Snapshot::new(Routes::build(&config, None));
        metrics.follow_secrets(snapshot.clone());
        let public = listen("listen", config.server.listen).await?;
        let admin = listen("admin_listen", config.server.admin_listen).await?;
        let work = Drain::new();
        let keys = KeyCache::new(config.keys.clone(), work.clone())?;
        let settings = OutboxSettings {
            ack: config.ack,
            ack_wait: config.ack_wait,
            max_in_flight: config.publisher_max_in_flight,
        };
        let outbox = Outbox::new(ledger.clone(), publisher.clone(), work.clone(), settings);
        metrics.follow(outbox.counters());
        let budget = Budget::new(
            config.server.max_in_flight_bytes,
            config.server.body_timeout,
        );
        let health = Arc::new(Health::default());
        Ok(Self {
            config,
            snapshot,
            ledger,
            spool,
            publisher,
            outbox,
            keys,
            budget,
            metrics,
            health,
            public,
            admin,
            work,
            base,
        })
    }

    /// Returns the address of the public listener.
    pub fn public_addr(&self) -> SocketAddr {
        self.public.1
    }

    /// Returns the address of the admin listener.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.1
    }

    /// Starts everything.
    pub fn spawn(self) -> Running {
        let (work, base) = (self.work, self.base);
        let fixed = fixed(&self.config);
        let provenance = self.config.publisher.provenance.clone();
        let intake = Intake::new(
            self.snapshot.clone(),
            self.budget.clone(),
            Arc::new(self.keys),
            self.ledger.clone(),
            self.outbox.clone(),
            work.clone(),
        );
        let metrics = self.metrics;
        let alike = Arc::new(Alike::default());
        let public = Public::new(
            self.config.server,
            intake,
            metrics.clone(),
            alike.clone(),
            work.clone(),
        );
        work.spawn(Arc::new(public).serve(self.public.0));
        let relaying = RelaySettings {
            retry_parked: self.config.retry_parked,
            ..RelaySettings::default()
        };
        relay::start(&self.outbox, &work, relaying);
        if let Some(spool) = &self.spool {
            work.spawn(Arc::clone(spool).run_mover(work.clone()));
        }
        let admin = Arc::new(Admin::new(
            metrics.clone(),
            self.health.clone(),
            provenance.clone(),
        ));
        base.spawn(admin.serve(self.admin.0, base.clone()));
        let check_up = CheckUp {
            alike,
            ledger: self.ledger.clone(),
            spool: self.spool,
            publisher: self.publisher.clone(),
            budget: self.budget,
            metrics: metrics.clone(),
            health: self.health.clone(),
        };
        base.spawn(check_up.run(base.clone()));
        base.spawn(prune(self.ledger.clone(), metrics.clone(), base.clone()));
        Running {
            fixed,
            provenance,
            snapshot: self.snapshot,
            ledger: self.ledger,
            publisher: self.publisher,
            metrics,
            health: self.health,
            work,
            base,
        }
    }
}

impl Running {
    /// Puts the endpoints and signing keys of another configuration in force. Listeners, ledger and
    /// publisher stay, and what has changed about them is said.
    pub fn reload(&self, config: &Config) {
        for ((section, now), (_, new)) in self.fixed.iter().zip(fixed(config)) {
            if *now != new {
                warn!(section, "changed settings take effect at the next start");
            }
        }
        let routes = Routes::build(config, Some(&self.snapshot.routes()));
        info!(endpoints = routes.len(), "configuration reloaded");
        self.snapshot.swap(routes);
        if let Some(key_id) = self.provenance.follow(&config.publisher.provenance) {
            info!(key_id, "another key signs from now on");
        }
        self.metrics.reloads.with_label_values(&["ok"]).inc();
    }

    /// Counts a configuration that was not put in force.
    pub fn reload_failed(&self) {
        self.metrics.reloads.with_label_values(&["failed"]).inc();
    }

    /// Ends in order: not ready, no new connections, deliveries under way finished, owed signals
    /// published as far as time allows, connections closed. Returns whether all of it was done
    /// within `grace`; what was not is owed by the ledger.
    pub async fn finish(self, grace: Duration) -> bool {
        self.health.stopping();
        let finished = self.work.finish(grace).await;
        let closed = tokio::time::timeout(CLOSE, self.publisher.close())
            .await
            .is_ok();
        let ended = self.base.finish(CLOSE).await;
        self.ledger.close().await;
        finished && closed && ended
    }
}

/// The sections that a reload does not put in force, and what they say, without passwords.
type Fixed = [(&'static str, String); 3];

fn fixed(config: &Config) -> Fixed {
    let publishing = (
        &config.publisher,
        config.ack,
        config.ack_wait,
        config.publisher_max_in_flight,
        config.retry_parked,
    );
    [
        ("server", format!("{:?}", config.server)),
        ("ledger", format!("{:?}", (&config.ledger, &config.spool))),
        ("publisher", format!("{publishing:?}")),
    ]
}

/// Asks the parts how they are, for readiness and for the gauges.
struct CheckUp {
    alike: Arc<Alike>,
    ledger: Arc<dyn Ledger>,
    spool: Option<Arc<Spooling>>,
    publisher: Arc<dyn Publisher>,
    budget: Budget,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

impl CheckUp {
    async fn run(self, drain: Drain) {
        let (mut was_ready, mut probed) = (None, false);
        let mut publisher = self.publisher.ready();
        loop {
            let publishing = *publisher.borrow_and_update();
            self.health.publisher(publishing);
            self.metrics.publisher_ready.set(i64::from(publishing));
            self.metrics
                .in_flight_bytes
                .set(i64::try_from(self.budget.in_flight()).unwrap_or(i64::MAX));
            let ready = self.ask_ledger(was_ready).await;
            self.ask_spool(ready).await;
            if ready && !probed {
                probed = self.tell_findings().await;
            }
            was_ready = Some(ready);
            self.alike.tell(clock::instant());
            tokio::select! {
                () = tokio::time::sleep(CHECK_UP) => {}
                () = drain.stopping() => return self.alike.tell_all(clock::instant()),
            }
        }
    }

    /// Says once what the ledger's settings mean for what is acknowledged. Returns whether it could.
    async fn tell_findings(&self) -> bool {
        let Ok(findings) = self.ledger.probe().await else {
            return false;
        };
        for finding in findings {
            if finding.contains("WARNING: ") {
                warn!(finding, "ledger");
            } else {
                info!(finding, "ledger");
            }
        }
        true
    }

    /// Notes whether the spool can keep deliveries, where there is one. It is written to only while the
    /// ledger is away.
    async fn ask_spool(&self, ledger_ready: bool) {
        let Some(spool) = &self.spool else {
            return;
        };
        let checked = match ledger_ready {
            true => Ok(()),
            false => spool.check().await,
        };
        let found = checked.map(|()| spool.waiting());
        self.health.spool(found.map_err(|error| explain(&error)));
    }

    /// Returns whether the ledger can be used; says so when that has changed.
    async fn ask_ledger(&self, was_ready: Option<bool>) -> bool {
        let answer = match self.ledger.backlog().await {
            Ok(backlog) => {
                self.metrics.backlog(backlog);
                self.ledger.ready().await
            }
            Err(error) => Err(error),
        };
        let ready = answer.is_ok();
        self.metrics.ledger_ready.set(i64::from(ready));
        match answer {
            Ok(()) => {
                self.health.ledger(Ok(()));
                if was_ready == Some(false) {
                    info!("ledger can be used again");
                }
            }
            Err(error) => {
                let why = explain(&error);
                if was_ready != Some(false) {
                    match self.spool {
                        Some(_) => warn!(error = why, "ledger cannot be used: the spool stands in"),
                        None => warn!(
                            error = why,
                            "ledger cannot be used: deliveries are answered with 503"
                        ),
                    }
                }
                self.health.ledger(Err(why));
            }
        }
        ready
    }
}

async fn prune(ledger: Arc<dyn Ledger>, metrics: Arc<Metrics>, drain: Drain) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PRUNE) => {}
            () = drain.stopping() => return,
        }
        match ledger.prune().await {
            Ok(pruned) => metrics.pruned.inc_by(pruned),
            Err(error) => warn!(error = explain(&error), "pruning failed; it is tried again"),
        }
    }
}

async fn listen(
    key: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), AppError> {
    let failed = |source| AppError::Bind {
        key,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
