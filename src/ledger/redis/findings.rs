//! What a Redis server's settings mean for the promise that nothing acknowledged is lost, in plain
//! words. Pure: the server's answers in, sentences out.

/// Explains `INFO`, and `CONFIG GET appendfsync` and `save` where the server gave them.
pub(super) fn explain(info: &str, settings: Option<&[(String, String)]>) -> Vec<String> {
    let info = Info(info);
    let mut findings = vec![memory(&info), persistence(&info, settings)];
    findings.extend(disk_trouble(&info));
    findings.extend(replication(&info));
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

fn persistence(info: &Info<'_>, settings: Option<&[(String, String)]>) -> String {
    let setting = |name| {
        let found = settings?.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    };
    match (
        info.value("aof_enabled"),
        setting("appendfsync"),
        setting("save"),
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

fn replication(info: &Info<'_>) -> Option<String> {
    let replicas: u64 = info.value("connected_slaves")?.parse().ok()?;
    (replicas > 0).then(|| {
        format!(
            "replication: {replicas} replica(s), fed after the answer: a failover can lose the \
             last of what was acknowledged"
        )
    })
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

    fn told(info: &str, settings: Option<&[(String, String)]>) -> String {
        explain(info, settings).join("\n")
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
