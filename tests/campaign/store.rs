//! The two Redis servers of a campaign: one holds the ledger, the other stands by.

use std::collections::HashSet;

use hookgate::signal::SignalId;
use redis::aio::MultiplexedConnection;
use tokio::sync::Mutex;

use super::book::Held;
use super::support::redis::{Options, Redis};
use super::support::until;

/// How many shards the ledger spreads its keys over.
const SHARDS: u8 = 16;

/// What every key of the ledger begins with, in the layout that this module reads.
const PREFIX: &str = "{hookgate:1:";

/// How many keys one step of a scan looks at.
const SCAN: usize = 1000;

/// The servers, by turns the one that holds the ledger.
#[derive(Debug)]
pub(crate) struct Store {
    pair: Mutex<Pair>,
}

#[derive(Debug)]
pub(crate) struct Pair {
    active: Redis,
    standby: Redis,
}

impl Store {
    /// Starts both.
    pub(crate) fn start() -> Self {
        let start = || {
            let redis = Redis::with(Options {
                append_only: true,
                ..Options::default()
            });
            configure(&redis);
            redis
        };
        let pair = Pair {
            active: start(),
            standby: start(),
        };
        Self {
            pair: Mutex::new(pair),
        }
    }

    /// Waits until nobody else does anything to the servers.
    pub(crate) async fn lock(&self) -> tokio::sync::MutexGuard<'_, Pair> {
        self.pair.lock().await
    }

    /// What the ledger holds.
    pub(crate) async fn held(&self) -> Held {
        let pair = self.lock().await;
        let mut connection = connect(&pair.active).await.unwrap();
        let mut held = Held::default();
        for shard in 0..SHARDS {
            held.owed
                .extend(members(&mut connection, shard, "owed").await);
            held.parked
                .extend(members(&mut connection, shard, "parked").await);
        }
        let mut cursor: u64 = 0;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor)
                .arg("MATCH")
                .arg("{hookgate:*}:s:*")
                .arg("COUNT")
                .arg(SCAN);
            let (next, keys): (u64, Vec<String>) = scan.query_async(&mut connection).await.unwrap();
            for key in keys {
                assert!(key.starts_with(PREFIX), "{key} is of another layout");
                held.signals
                    .extend(key.rsplit(':').next().and_then(SignalId::parse));
            }
            cursor = next;
            if cursor == 0 {
                return held;
            }
        }
    }

    /// Which signals are parked; nothing where the server does not answer.
    pub(crate) async fn parked(&self) -> Option<HashSet<SignalId>> {
        let pair = self.pair.try_lock().ok()?;
        let mut connection = connect(&pair.active).await?;
        let mut parked = HashSet::new();
        for shard in 0..SHARDS {
            parked.extend(members(&mut connection, shard, "parked").await);
        }
        Some(parked)
    }

    /// How many signals are owed.
    pub(crate) async fn owed(&self) -> u64 {
        let pair = self.lock().await;
        let mut connection = connect(&pair.active).await.unwrap();
        let mut owed = 0;
        for shard in 0..SHARDS {
            let count: u64 = redis::cmd("ZCARD")
                .arg(key(shard, "owed"))
                .query_async(&mut connection)
                .await
                .unwrap();
            owed += count;
        }
        owed
    }

    /// The version of the servers.
    pub(crate) async fn version(&self) -> String {
        let pair = self.lock().await;
        info(&pair.active, "server", "redis_version")
    }
}

impl Pair {
    /// The port of the server that holds the ledger.
    pub(crate) fn port(&self) -> u16 {
        self.active.port()
    }

    /// The directories of both.
    pub(crate) fn dirs(&self) -> [&std::path::Path; 2] {
        [self.active.dir.path(), self.standby.dir.path()]
    }

    /// Kills the server as a crash would.
    pub(crate) fn kill(&mut self) {
        tokio::task::block_in_place(|| self.active.stop());
    }

    /// Starts a killed server again, and waits until it answers.
    pub(crate) fn start_again(&mut self) {
        tokio::task::block_in_place(|| self.active.start_again());
        configure(&self.active);
    }

    /// Stops the server's process without ending it.
    pub(crate) fn freeze(&self) {
        self.active.freeze();
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.active.thaw();
    }

    /// Bounds the memory that the server may use; `0` for no bound.
    pub(crate) fn bound_memory(&self, bytes: &str) {
        self.active.cli(&["CONFIG", "SET", "maxmemory", bytes]);
    }

    /// Makes the other server a replica that has everything, on disk too, before it may take over.
    pub(crate) async fn prepare_failover(&self) {
        let port = self.active.port().to_string();
        self.standby.cli(&["REPLICAOF", "127.0.0.1", &port]);
        until("the replica is in step", async || {
            let linked = info(&self.standby, "replication", "master_link_status") == "up";
            linked
                && info(&self.standby, "persistence", "aof_rewrite_in_progress") == "0"
                && info(&self.standby, "persistence", "aof_rewrite_scheduled") == "0"
        })
        .await;
    }

    /// Lets the replica take over once it has every write, as `FAILOVER` sees to.
    pub(crate) async fn fail_over(&mut self) {
        let port = self.standby.port().to_string();
        let answer = self
            .active
            .cli(&["FAILOVER", "TO", "127.0.0.1", &port, "TIMEOUT", "10000"]);
        assert_eq!(answer, "OK");
        until("the replica has taken over", async || {
            info(&self.standby, "replication", "role") == "master"
                && info(&self.active, "replication", "role") == "slave"
        })
        .await;
        self.swap();
    }

    /// Lets the server that was replaced go its own way. It takes writes from then on, so nobody may be
    /// led to it any more.
    pub(crate) fn part(&self) {
        // Some may not have let go of it yet.
        self.standby.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        self.standby.cli(&["REPLICAOF", "NO", "ONE"]);
    }

    /// Kills the server and lets the replica take over with whatever it has.
    pub(crate) fn fail_over_at_once(&mut self) {
        self.kill();
        self.standby.cli(&["REPLICAOF", "NO", "ONE"]);
        self.swap();
    }

    /// Starts the server again that was killed when the other took over.
    pub(crate) fn start_standby_again(&mut self) {
        tokio::task::block_in_place(|| self.standby.start_again());
        configure(&self.standby);
    }

    fn swap(&mut self) {
        std::mem::swap(&mut self.active, &mut self.standby);
    }
}

/// Settings that a restart forgets.
fn configure(redis: &Redis) {
    for (name, value) in [
        // A replica that joins need not wait for others.
        ("repl-diskless-sync-delay", "0"),
        // What is read at a start stays small.
        ("auto-aof-rewrite-min-size", "128mb"),
    ] {
        redis.cli(&["CONFIG", "SET", name, value]);
    }
}

async fn connect(redis: &Redis) -> Option<MultiplexedConnection> {
    let client = redis::Client::open(redis.url()).unwrap();
    client.get_multiplexed_async_connection().await.ok()
}

async fn members(connection: &mut MultiplexedConnection, shard: u8, name: &str) -> Vec<SignalId> {
    let mut range = redis::cmd("ZRANGE");
    range.arg(key(shard, name)).arg(0).arg(-1);
    let members: Vec<String> = range.query_async(connection).await.unwrap_or_default();
    members
        .iter()
        .filter_map(|id| SignalId::parse(id))
        .collect()
}

fn key(shard: u8, name: &str) -> String {
    format!("{PREFIX}{shard}}}:{name}")
}

/// Reads a field of a section of `INFO`.
fn info(redis: &Redis, section: &str, field: &str) -> String {
    let text = redis.cli(&["INFO", section]);
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap_or_default().trim().to_owned()
}
