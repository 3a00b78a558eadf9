//! How each kind of fault is made, and unmade.
//!
//! A fault holds what it does something to, so that two of them overlap only where they concern
//! different things; of those that do not, one waits for the other.

use std::time::{Duration, Instant};

use hookgate::clock;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use super::link::{Toward, Way};
use super::plan::{Fault, Kind};
use super::rng::Rng;
use super::site::{EXCHANGE, End, Held, Replica, Site};

/// A policy under which the queue takes nothing more.
const FULL: &str = r##"{"pattern":"^campaign$","apply-to":"queues",
    "definition":{"max-length":0,"overflow":"reject-publish"}}"##;

/// The share of the machine's memory that the broker may use: next to nothing, and as it is by default.
const MEMORY: [&str; 2] = ["0.0000001", "0.4"];

/// A fault that was made and unmade.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub(crate) kind: Kind,
    /// When it ended: for what is started again, when that was begun.
    pub(crate) ended: Instant,
    /// When what it concerned was there again.
    pub(crate) whole: Instant,
}

/// Makes a fault and unmakes it, and tells when it has ended.
pub(crate) async fn inject(site: &Site, fault: Fault, told: UnboundedSender<Instant>) -> Made {
    let Fault {
        kind,
        replica,
        begins,
        lasts,
        mut rng,
    } = fault;
    let replica = &site.replicas[replica];
    sleep(begins).await;
    let ended = match kind {
        Kind::LinkRefused
        | Kind::LinkHung
        | Kind::LinkCut
        | Kind::LinkSlow
        | Kind::LinkHalfOpen
        | Kind::LinkReset => on_link(replica, kind, lasts, &mut rng).await,
        Kind::Partition => partition(site, replica, lasts, &mut rng).await,
        Kind::GatewayKilled | Kind::GatewayRestarted | Kind::GatewayStopped => {
            on_gateway(replica, kind, lasts).await
        }
        Kind::ClockJump => jump(site, lasts, &mut rng).await,
        Kind::WorkerKilled => {
            let which = rng.index(site.workers.many());
            site.workers.kill(which, lasts).await
        }
        Kind::RedisKilled | Kind::RedisStopped | Kind::RedisFull => {
            on_redis(site, kind, lasts).await
        }
        Kind::RedisFailover => fail_over(site, true).await,
        Kind::BrokerKilled => return kill_broker(site, lasts, &told).await,
        Kind::BrokerStopped | Kind::BrokerAlarm => on_broker(site, kind, lasts).await,
        Kind::QueueUnbound | Kind::ExchangeDeleted | Kind::QueueFull => {
            on_topology(site, kind, lasts).await
        }
    };
    tell(&told, ended);
    Made {
        kind,
        ended,
        whole: ended,
    }
}

fn tell(told: &UnboundedSender<Instant>, ended: Instant) {
    told.send(ended).expect("the round waits for it");
}

async fn on_link(replica: &Replica, kind: Kind, lasts: Duration, rng: &mut Rng) -> Instant {
    let end = End::ALL[rng.index(End::ALL.len())];
    let (link, _mine) = replica.links.hold(end).await;
    let mut number = |range| usize::try_from(rng.within(range)).unwrap();
    let way = match kind {
        Kind::LinkRefused => Way::Refused,
        Kind::LinkHung => Way::Hung,
        Kind::LinkCut => Way::Cut {
            after: number(1..=2000),
        },
        Kind::LinkSlow => Way::Slow {
            at_once: number(64..=1024),
            pause: Duration::from_millis(rng.within(2..=30)),
        },
        Kind::LinkHalfOpen => Way::HalfOpen([Toward::Server, Toward::Client][rng.index(2)]),
        _ => {
            link.reset();
            return clock::instant();
        }
    };
    link.set(way);
    sleep(lasts).await;
    // What is dead in one direction often ends in a reset when somebody speaks again.
    if kind == Kind::LinkHalfOpen && rng.chance(500) {
        link.reset();
    }
    link.set(Way::Open);
    clock::instant()
}

/// Cuts one replica off from its servers or from everybody, or a server from all replicas.
async fn partition(site: &Site, replica: &Replica, lasts: Duration, rng: &mut Rng) -> Instant {
    let all = |end| site.replicas.iter().map(move |replica| (replica, end));
    let (alone, server): (&[End], _) = match rng.index(4) {
        0 => (&[End::Redis, End::Broker], None),
        1 => (&End::ALL, None),
        2 => (&[], Some(End::Redis)),
        _ => (&[], Some(End::Broker)),
    };
    let links = alone.iter().map(|end| (replica, *end));
    let links: Vec<_> = links.chain(server.into_iter().flat_map(all)).collect();
    let mut held: Vec<Held<'_>> = Vec::new();
    // Always in the same order, replica by replica and link by link.
    for (replica, end) in links {
        held.push(replica.links.hold(end).await);
    }
    let way = [Way::Hung, Way::Refused][rng.index(2)];
    held.iter().for_each(|(link, _)| link.set(way));
    sleep(lasts).await;
    held.iter().for_each(|(link, _)| link.set(Way::Open));
    clock::instant()
}

async fn on_gateway(replica: &Replica, kind: Kind, lasts: Duration) -> Instant {
    let _mine = replica.process.lock().await;
    let gateway = &replica.gateway;
    if kind == Kind::GatewayStopped {
        gateway.signal("-STOP");
        sleep(lasts).await;
        gateway.signal("-CONT");
        return clock::instant();
    }
    let signal = match kind {
        Kind::GatewayKilled => "-KILL",
        _ => "-TERM",
    };
    gateway.signal(signal);
    gateway.ended().await;
    sleep(lasts).await;
    let ended = clock::instant();
    gateway.start();
    ended
}

async fn jump(site: &Site, lasts: Duration, rng: &mut Rng) -> Instant {
    let replica = site
        .replicas
        .iter()
        .find(|replica| replica.gateway.has_clock());
    let replica = replica.expect("a gateway whose clock can be set");
    let _mine = replica.process.lock().await;
    replica.gateway.set_clock(["+7200", "-7200"][rng.index(2)]);
    sleep(lasts).await;
    replica.gateway.set_clock("+0");
    clock::instant()
}

async fn on_redis(site: &Site, kind: Kind, lasts: Duration) -> Instant {
    let mut pair = site.store.lock().await;
    match kind {
        Kind::RedisKilled => {
            pair.kill();
            sleep(lasts).await;
            let ended = clock::instant();
            pair.start_again();
            ended
        }
        Kind::RedisStopped => {
            pair.freeze();
            sleep(lasts).await;
            pair.thaw();
            clock::instant()
        }
        _ => {
            pair.bound_memory("1mb");
            sleep(lasts).await;
            pair.bound_memory("0");
            clock::instant()
        }
    }
}

/// Lets the standby take over, and leads every gateway to it. What asynchronous replication had not
/// carried over yet is left behind unless the failover waits for it.
pub(crate) async fn fail_over(site: &Site, waits: bool) -> Instant {
    let mut pair = site.store.lock().await;
    pair.prepare_failover().await;
    if waits {
        pair.fail_over().await;
    } else {
        pair.fail_over_at_once();
    }
    for replica in &site.replicas {
        replica.links.lead_to_redis(pair.port());
    }
    let ended = clock::instant();
    if waits {
        pair.part();
    } else {
        pair.start_standby_again();
    }
    ended
}

/// Starting again takes many seconds, in which deliveries are accepted all the same.
async fn kill_broker(site: &Site, lasts: Duration, told: &UnboundedSender<Instant>) -> Made {
    let _mine = site.broker_is_mine.lock().await;
    site.broker.kill().await;
    sleep(lasts).await;
    let ended = clock::instant();
    tell(told, ended);
    site.broker.start().await;
    Made {
        kind: Kind::BrokerKilled,
        ended,
        whole: clock::instant(),
    }
}

async fn on_broker(site: &Site, kind: Kind, lasts: Duration) -> Instant {
    let _mine = site.broker_is_mine.lock().await;
    if kind == Kind::BrokerStopped {
        site.broker.signal("-STOP");
        sleep(lasts).await;
        site.broker.signal("-CONT");
    } else {
        let [none, normal] = MEMORY.map(|share| ["set_vm_memory_high_watermark", share]);
        site.broker.ctl(&none).await;
        sleep(lasts).await;
        site.broker.ctl(&normal).await;
    }
    clock::instant()
}

async fn on_topology(site: &Site, kind: Kind, lasts: Duration) -> Instant {
    let _mine = site.broker_is_mine.lock().await;
    match kind {
        Kind::QueueFull => {
            site.manage("PUT", "policies", "full", FULL).await;
            sleep(lasts).await;
            site.manage("DELETE", "policies", "full", "").await;
        }
        Kind::QueueUnbound => {
            // Not deleted: that would take with it what the broker has taken responsibility for.
            site.unbind().await;
            sleep(lasts).await;
            site.declare().await;
        }
        _ => {
            site.vhost().delete_exchange(EXCHANGE).await;
            sleep(lasts).await;
            site.declare().await;
        }
    }
    clock::instant()
}
