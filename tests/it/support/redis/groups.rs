//! Several servers that belong together: a cluster, or a master with replicas and sentinels.

use super::{Options, Redis};

/// A setting by which a server of a cluster waits for its part of the slots.
pub(super) const NODE: &str = "cluster-node-timeout 2000";

/// What the sentinels call the master.
pub(crate) const SERVICE: &str = "hooks";

/// How many slots a cluster has.
const SLOTS: usize = 16_384;

/// A cluster whose masters share the slots evenly.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) masters: Vec<Redis>,
    /// Each follows the master of its place.
    pub(crate) replicas: Vec<Redis>,
}

impl Cluster {
    /// Starts a cluster, with replicas for the first few masters.
    pub(crate) fn start(masters: usize, replicas: usize, options: &Options) -> Self {
        let node = || {
            let mut options = options.clone();
            options.cluster = true;
            options.settings.push(NODE.to_owned());
            options
                .settings
                .push("repl-diskless-sync-delay 0".to_owned());
            if options.tls.is_some() {
                options.settings.push("tls-cluster yes".to_owned());
            }
            Redis::with(options)
        };
        let cluster = Self {
            masters: (0..masters).map(|_| node()).collect(),
            replicas: (0..replicas).map(|_| node()).collect(),
        };
        for (n, master) in cluster.masters.iter().enumerate() {
            let (first, next) = (n * SLOTS / masters, (n + 1) * SLOTS / masters);
            let last = next - 1;
            master.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
            master.cli(&[
                "CLUSTER",
                "ADDSLOTSRANGE",
                &first.to_string(),
                &last.to_string(),
            ]);
        }
        let port = cluster.masters[0].port().to_string();
        for node in cluster.nodes().skip(1) {
            node.cli(&["CLUSTER", "MEET", "127.0.0.1", &port]);
        }
        let known = format!("cluster_known_nodes:{}\r", masters + replicas);
        cluster.wait("the nodes do not know each other", |info| {
            info.contains(&known)
        });
        for (replica, master) in cluster.replicas.iter().zip(&cluster.masters) {
            let id = master.cli(&["CLUSTER", "MYID"]);
            replica.wait("the replica does not follow", |replica| {
                replica.cli(&["CLUSTER", "REPLICATE", &id]) == "OK"
            });
            replica.wait("the replica has nothing yet", |replica| {
                replica
                    .cli(&["INFO", "replication"])
                    .contains("master_link_status:up")
            });
        }
        cluster.wait("the cluster is not ready", |info| {
            info.contains("cluster_state:ok")
        });
        cluster
    }

    /// Its URL, with all masters but the last, so that the last one has to be found out.
    pub(crate) fn url(&self) -> String {
        let first = self.masters[0].url().replacen("://", "+cluster://", 1);
        let (_, more) = self.masters.split_last().unwrap();
        let more = more
            .iter()
            .skip(1)
            .map(|node| format!(",127.0.0.1:{}", node.port()));
        first + &more.collect::<String>()
    }

    /// The master that owns the slot of a key.
    pub(crate) fn owner_of(&self, key: &str) -> usize {
        let slot: usize = self.masters[0]
            .cli(&["CLUSTER", "KEYSLOT", key])
            .parse()
            .unwrap();
        let masters = self.masters.len();
        (0..masters)
            .find(|n| slot < (n + 1) * SLOTS / masters)
            .unwrap()
    }

    /// Removes all keys.
    pub(crate) fn flush(&self) {
        self.masters
            .iter()
            .for_each(|master| drop(master.cli(&["FLUSHALL"])));
    }

    fn nodes(&self) -> impl Iterator<Item = &Redis> {
        self.masters.iter().chain(&self.replicas)
    }

    fn wait(&self, what: &str, holds: impl Fn(&str) -> bool) {
        for node in self.nodes() {
            node.wait(what, |node| holds(&(node.cli(&["CLUSTER", "INFO"]) + "\r")));
        }
    }
}

/// A master, its replicas, and the sentinels that watch them.
#[derive(Debug)]
pub(crate) struct Replicated {
    pub(crate) master: Redis,
    pub(crate) replicas: Vec<Redis>,
    pub(crate) sentinels: Vec<Redis>,
}

impl Replicated {
    /// Starts all of them, with `options` for the servers with data, and `more` for the sentinels.
    pub(crate) fn start(
        replicas: usize,
        sentinels: usize,
        options: &Options,
        more: &[String],
    ) -> Self {
        let master = Redis::with(options.clone());
        let replicas: Vec<_> = (0..replicas)
            .map(|_| Redis::replica_of(&master, options.clone()))
            .collect();
        let quorum = sentinels / 2 + 1;
        let mut watch = vec![
            format!(
                "sentinel monitor {SERVICE} 127.0.0.1 {} {quorum}",
                master.port()
            ),
            format!("sentinel down-after-milliseconds {SERVICE} 1000"),
            format!("sentinel failover-timeout {SERVICE} 5000"),
        ];
        if let Some(password) = options.password {
            watch.push(format!("sentinel auth-pass {SERVICE} {password}"));
        }
        watch.extend(more.iter().cloned());
        let sentinel = || {
            Redis::with(Options {
                sentinel: watch.clone(),
                tls: options.tls.clone(),
                shared: options.shared,
                ..Options::default()
            })
        };
        Self {
            master,
            replicas,
            sentinels: (0..sentinels).map(|_| sentinel()).collect(),
        }
    }

    /// The URL by which the master is found.
    pub(crate) fn url(&self) -> String {
        let master = self.master.url();
        let (login, _) = master.rsplit_once("127.0.0.1").unwrap();
        let sentinels: Vec<_> = self
            .sentinels
            .iter()
            .map(|sentinel| format!("127.0.0.1:{}", sentinel.port()))
            .collect();
        let url = format!("{login}{}/{SERVICE}", sentinels.join(","));
        url.replacen("://", "+sentinel://", 1)
    }

    /// Waits until every sentinel knows every other and every replica.
    pub(crate) fn until_watched(&self) {
        let others = format!("num-other-sentinels\n{}", self.sentinels.len() - 1);
        let replicas = format!("num-slaves\n{}", self.replicas.len());
        for sentinel in &self.sentinels {
            sentinel.wait("the sentinels do not see each other", |sentinel| {
                let told = sentinel.cli(&["SENTINEL", "MASTER", SERVICE]);
                told.contains(&others) && told.contains(&replicas)
            });
        }
    }
}
