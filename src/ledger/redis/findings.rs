//! What a Redis server's settings mean for the promise that nothing acknowledged is lost, in plain
//! words. Pure: the server's answers in, sentences out.

use crate::ledger::Durability;

/// The settings that are asked for beside `INFO`.
pub(super) const SETTINGS: [&str; 3] = ["appendfsync", "save", "min-replicas-to-write"];

/// What one server says of itself.
pub(super) struct Server {
    /// What it is called where there are several.
    pub(super) name: String,
    pub(super) info: String,
    /// It was reached as a node of a cluster.
    pub(super) of_cluster: bool,
    /// [`SETTINGS`] and their values, where the server tells them.
    pub(super) settings: Option<Vec<(String, String)>>,
}

/// Explains what the servers say, each finding once, with the servers that it is of where it is not of
/// all.
pub(super) fn explain(servers: &[Server], durability: Durability) -> Vec<String> {
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    for server in servers {
        for finding in of_one(server, durability) {
            match found.iter_mut().find(|(known, _)| *known == finding) {
                Some((_, names)) => names.push(&server.name),
                None => found.push((finding, vec![&server.name])),
            }
        }
    }
    let told = found
        .into_iter()
        .map(|(finding, names)| match names.len() == servers.len() {
            true => finding,
            false => format!("{finding} ({})", names.join(", ")),
        });
    told.collect()
}

fn of_one(server: &Server, durability: Durability) -> Vec<String> {
    let (info, settings) = (Info(&server.info), server.settings.as_deref());
    let mut findings = vec![version(&info), memory(&info), persistence(&info, settings)];
    findings.extend(disk_trouble(&info));
    findings.extend(cluster(&info).filter(|_| !server.of_cluster));
    findings.extend(replication(&info, settings, durability));
    findings.push(durable(&info, settings, durability));
    findings
}

/// The text of `INFO`: lines of `name:value`.
struct Info<'a>(&'a str);

impl Info<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        self.0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    }
}

/// Valkey says who it is, and of which Redis it speaks the language.
fn version(info: &Info<'_>) -> String {
    let redis = info.value("redis_version").unwrap_or("of unknown version");
    match (info.value("server_name"), info.value("valkey_version")) {
        (Some("valkey"), version) => {
            let version = version.unwrap_or("of unknown version");
            format!("server: Valkey {version}, which stands for Redis {redis}")
        }
        (Some(other), _) if other != "redis" => {
            format!("server: {other}, which stands for Redis {redis}")
        }
        _ => format!("server: Redis {redis}"),
    }
}

/// The first version of Redis with `WAITAOF`. Every Valkey has it.
const WAITAOF: (u64, u64) = (7, 2);

fn has_waitaof(info: &Info<'_>) -> bool {
    let mut numbers = info.value("redis_version").unwrap_or_default().split('.');
    let mut next = || {
        numbers
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or(0)
    };
    (next(), next()) >= WAITAOF
}

fn memory(info: &Info<'_>) -> String {
    match info.value("maxmemory_policy") {
        Some("noeviction") => "memory: noeviction; when redis is full it refuses to record, and \
            providers are answered 503"
            .to_owned(),
        Some(policy) => format!(
            "memory: WARNING: maxmemory-policy is {policy}: when redis is full it throws away \
             signals and marks, acknowledged or not; set it to noeviction"
        ),
        None => "memory: redis does not tell its maxmemory-policy; it must be noeviction, or \
            acknowledged signals can vanish"
            .to_owned(),
    }
}

fn setting<'s>(settings: Option<&'s [(String, String)]>, name: &str) -> Option<&'s str> {
    let found = settings?.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

fn persistence(info: &Info<'_>, settings: Option<&[(String, String)]>) -> String {
    match (
        info.value("aof_enabled"),
        setting(settings, "appendfsync"),
        setting(settings, "save"),
    ) {
        (Some("1"), Some("always"), _) => "persistence: appendonly with appendfsync always; what \
            is acknowledged is on redis's disk"
            .to_owned(),
        (Some("1"), Some("everysec"), _) => {
            "persistence: appendonly with appendfsync everysec; if \
            redis's machine fails, up to 1 s of what was acknowledged is lost"
                .to_owned()
        }
        (Some("1"), Some("no"), _) => {
            "persistence: WARNING: appendfsync is no: if redis's machine \
            fails, what it had not yet written (some 30 s) of what was acknowledged is lost"
                .to_owned()
        }
        (Some("1"), ..) => "persistence: appendonly; appendfsync could not be read (CONFIG is not \
            permitted): unless it is always, a failing machine loses the last of what was \
            acknowledged"
            .to_owned(),
        (Some(_), _, Some("")) => "persistence: WARNING: none: if redis ends for whatever reason, \
            everything acknowledged and not yet published is lost; set appendonly yes"
            .to_owned(),
        (Some(_), ..) => "persistence: WARNING: at most snapshots: if redis crashes, what was \
            acknowledged since the last snapshot is lost; set appendonly yes"
            .to_owned(),
        (None, ..) => {
            "persistence: redis does not tell whether appendonly is on; it must be, or a \
            crash of redis loses what was acknowledged"
                .to_owned()
        }
    }
}

fn disk_trouble(info: &Info<'_>) -> Option<String> {
    let failing = |name| info.value(name).is_some_and(|status| status != "ok");
    (failing("aof_last_write_status") || failing("rdb_last_bgsave_status")).then(|| {
        "disk: WARNING: redis could not write to its disk the last time it tried".to_owned()
    })
}

/// Tells of a cluster that is not reached as one.
fn cluster(info: &Info<'_>) -> Option<String> {
    (info.value("cluster_enabled") == Some("1")).then(|| {
        "cluster: WARNING: this server is a node of a redis cluster, and works only as long as it holds \
         every slot; write the url as redis+cluster://"
            .to_owned()
    })
}

/// Explains `CLUSTER INFO`, and over how many nodes the shards are spread.
pub(super) fn of_cluster(info: &str, holders: usize) -> String {
    let info = Info(info);
    let state = info.value("cluster_state").unwrap_or("unknown");
    let warning = if state == "ok" { "" } else { "WARNING: " };
    let (known, masters) = (
        info.value("cluster_known_nodes"),
        info.value("cluster_size"),
    );
    format!(
        "cluster: {warning}its state is {state}; {} node(s), {} of them master(s) with slots, of which \
         {holders} hold the signals",
        known.unwrap_or("?"),
        masters.unwrap_or("?"),
    )
}

fn replication(
    info: &Info<'_>,
    settings: Option<&[(String, String)]>,
    durability: Durability,
) -> Option<String> {
    let replicas: u64 = info.value("connected_slaves")?.parse().ok()?;
    let least = setting(settings, "min-replicas-to-write").unwrap_or("0");
    let cut_off = match least {
        "0" => "; min-replicas-to-write is 0, so that a master that is cut off goes on taking \
            records, and loses them"
            .to_owned(),
        least => format!("; without {least} of them redis refuses to record"),
    };
    let when = match durability {
        Durability::Replicas(_) => "waited for, as ledger.durability asks",
        _ => "fed after the answer: a failover can lose the last of what was acknowledged",
    };
    (replicas > 0).then(|| format!("replication: {replicas} replica(s), {when}{cut_off}"))
}

/// Says what `ledger.durability` asks for and what the server gives. By now it has been tried.
fn durable(
    info: &Info<'_>,
    settings: Option<&[(String, String)]>,
    durability: Durability,
) -> String {
    let asked = format!("durability: {durability} is asked for");
    match durability {
        Durability::Memory => format!(
            "{asked}: a delivery is answered once redis has it, however safe that is by the above"
        ),
        Durability::Disk if has_waitaof(info) => {
            format!(
                "{asked} and given: a delivery is answered once WAITAOF says that it is on disk"
            )
        }
        Durability::Disk if setting(settings, "appendfsync") == Some("always") => {
            format!("{asked} and given, by appendfsync always")
        }
        Durability::Disk => format!("{asked}, and given when it was tried"),
        Durability::Replicas(number) => format!(
            "{asked} and given: a delivery is answered once {number} replica(s) have it in memory; a \
             failover to one that has not can still lose it"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(appendfsync: &str, save: &str) -> Vec<(String, String)> {
        vec![
            ("appendfsync".to_owned(), appendfsync.to_owned()),
            ("save".to_owned(), save.to_owned()),
        ]
    }

    fn server(name: &str, info: &str, settings: Option<&[(String, String)]>) -> Server {
        Server {
            name: name.to_owned(),
            info: info.to_owned(),
            of_cluster: false,
            settings: settings.map(<[_]>::to_vec),
        }
    }

    fn told(info: &str, settings: Option<&[(String, String)]>) -> String {
        told_for(info, settings, Durability::Memory)
    }

    fn told_for(
        info: &str,
        settings: Option<&[(String, String)]>,
        durability: Durability,
    ) -> String {
        explain(&[server("one", info, settings)], durability).join("\n")
    }

    #[test]
    fn redis_and_valkey_are_told_apart() {
        let redis = "redis_version:7.0.15\r\nredis_mode:standalone\r\n";
        assert!(told(redis, None).contains("server: Redis 7.0.15"));
        let valkey = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n";
        let valkey = told(valkey, None);
        assert!(
            valkey.contains("server: Valkey 8.0.1, which stands for Redis 7.2.4"),
            "{valkey}"
        );
    }

    #[test]
    fn what_is_asked_of_durability_is_told_with_what_is_given() {
        let disk = |info: &str, settings: Option<&[_]>| told_for(info, settings, Durability::Disk);
        assert!(disk("redis_version:8.2.0\r\n", None).contains("WAITAOF says"));
        let always = settings("always", "");
        let old = disk("redis_version:7.0.15\r\n", Some(&always));
        assert!(old.contains("given, by appendfsync always"), "{old}");
        let replicas = Durability::parse("replicas:2").unwrap();
        let replicas = told_for("connected_slaves:2\r\n", None, replicas);
        assert!(
            replicas.contains("replicas:2 is asked for and given"),
            "{replicas}"
        );
        assert!(!replicas.contains("fed after the answer"), "{replicas}");
    }

    #[test]
    fn the_state_of_a_cluster_is_told() {
        let told = of_cluster(
            "cluster_state:ok\r\ncluster_known_nodes:6\r\ncluster_size:3\r\n",
            3,
        );
        assert!(
            told.contains("ok; 6 node(s), 3 of them") && !told.contains("WARNING"),
            "{told}"
        );
        assert!(of_cluster("cluster_state:fail\r\n", 3).contains("WARNING: its state is fail"));
        assert!(super::tests::told("cluster_enabled:1\r\n", None).contains("redis+cluster://"));
    }

    #[test]
    fn what_is_not_of_every_server_names_those_that_it_is_of() {
        let told = explain(
            &[
                server(
                    "a:1",
                    "maxmemory_policy:noeviction\r\nconnected_slaves:0\r\n",
                    None,
                ),
                server(
                    "b:2",
                    "maxmemory_policy:allkeys-lru\r\nconnected_slaves:0\r\n",
                    None,
                ),
            ],
            Durability::Memory,
        );
        let about = |part: &str| told.iter().filter(|line| line.contains(part)).count();
        assert_eq!(
            (about("memory: "), about("persistence: ")),
            (2, 1),
            "{told:?}"
        );
        assert!(
            told.iter()
                .any(|line| line.contains("allkeys-lru") && line.ends_with("(b:2)"))
        );
    }

    #[test]
    fn a_master_that_may_be_cut_off_is_told_with_its_setting() {
        let replicated = "connected_slaves:1\r\n";
        assert!(told(replicated, None).contains("min-replicas-to-write is 0"));
        let least = [("min-replicas-to-write".to_owned(), "1".to_owned())];
        let told = told(replicated, Some(&least));
        assert!(told.contains("without 1 of them redis refuses"), "{told}");
    }

    #[test]
    fn an_eviction_policy_is_a_warning_and_noeviction_is_none() {
        assert!(
            told("maxmemory_policy:allkeys-lru\r\n", None).contains("WARNING: maxmemory-policy")
        );
        assert!(!told("maxmemory_policy:noeviction\r\n", None).contains("WARNING"));
    }

    #[test]
    fn each_kind_of_persistence_is_told_apart() {
        let cases = [
            ("aof_enabled:1\r\n", "always", "is on redis's disk"),
            ("aof_enabled:1\r\n", "everysec", "up to 1 s"),
            ("aof_enabled:1\r\n", "no", "WARNING: appendfsync is no"),
            ("aof_enabled:0\r\n", "everysec", "WARNING: none"),
        ];
        for (info, appendfsync, expected) in cases {
            let told = told(info, Some(&settings(appendfsync, "")));
            assert!(told.contains(expected), "{told}");
        }
        let snapshots = told("aof_enabled:0\r\n", Some(&settings("everysec", "3600 1")));
        assert!(
            snapshots.contains("WARNING: at most snapshots"),
            "{snapshots}"
        );
    }

    #[test]
    fn what_cannot_be_read_is_said_and_not_guessed() {
        assert!(told("aof_enabled:1\r\n", None).contains("could not be read"));
        assert!(told("", None).contains("does not tell whether appendonly is on"));
    }

    #[test]
    fn replicas_and_a_failing_disk_are_mentioned_only_where_there_are_any() {
        let bad = told("connected_slaves:2\r\naof_last_write_status:err\r\n", None);
        assert!(
            bad.contains("2 replica(s)") && bad.contains("disk: WARNING"),
            "{bad}"
        );
        let good = told("connected_slaves:0\r\naof_last_write_status:ok\r\n", None);
        assert!(
            !good.contains("replica(s)") && !good.contains("disk:"),
            "{good}"
        );
    }
}
