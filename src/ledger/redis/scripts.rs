//! Keys and scripts: how drafts are laid out for Lua, and how its answers are read.

use std::sync::Arc;

use redis::{Cmd, Script, ToRedisArgs};
use sha2::{Digest, Sha256};

use crate::ledger::{LEASED_BYTES, LONGEST_LEASE, LedgerError, Recorded, Settings, millis};
use crate::signal::{self, Attributes, Draft, Identity, Mark, SignalId};

/// Into how many hash tags the keys are spread. Another number would not find the marks any more.
const SHARDS: u8 = 16;

/// The scripts, and the times that they are given.
pub(super) struct Scripts {
    record: Script,
    lease: Script,
    published: Script,
    released: Script,
    parked: Script,
    lease_ms: i64,
    retention_ms: i64,
}

/// What becomes of signals that were leased.
#[derive(Clone, Copy)]
pub(super) enum Settled<'a> {
    Published,
    Released,
    Parked { reason: &'a str },
}

impl Scripts {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            record: Script::new(include_str!("../record.lua")),
            lease: Script::new(include_str!("../lease.lua")),
            published: Script::new(include_str!("../published.lua")),
            released: Script::new(include_str!("../released.lua")),
            parked: Script::new(include_str!("../parked.lua")),
            lease_ms: millis(settings.lease.min(LONGEST_LEASE)),
            retention_ms: millis(settings.retention),
        }
    }

    /// Returns every script, for loading.
    pub(super) fn all(&self) -> Arc<[Script]> {
        let all = [
            &self.record,
            &self.lease,
            &self.published,
            &self.released,
            &self.parked,
        ];
        all.map(Script::clone).into()
    }

    /// Records drafts of one shard.
    pub(super) fn record(&self, shard: Shard, drafts: &[Draft]) -> Cmd {
        let mut command = eval(&self.record, 2 + 3 * drafts.len());
        command.arg(shard.key("owed")).arg(shard.key("log"));
        for draft in drafts {
            let (deciding, beside) = match &draft.identity {
                Identity::Id(mark) => (mark, mark),
                Identity::Content { content, id } => (content, id.as_ref().unwrap_or(content)),
                Identity::Either { content, id } => (content, id),
            };
            command.arg(shard.signal(&draft.signalid.to_string()));
            command.arg(shard.mark(deciding)).arg(shard.mark(beside));
        }
        command.arg(self.lease_ms).arg(self.retention_ms);
        for draft in drafts {
            add_draft(&mut command, draft);
        }
        command
    }

    /// Leases up to `limit` signals of a shard.
    pub(super) fn lease(&self, shard: Shard, limit: usize) -> Cmd {
        let mut command = eval(&self.lease, 1);
        command.arg(shard.key("owed")).arg(limit).arg(self.lease_ms);
        command
            .arg(millis(LONGEST_LEASE))
            .arg(LEASED_BYTES)
            .arg(shard.signal(""));
        command
    }

    /// Settles signals of one shard.
    pub(super) fn settle(&self, settled: Settled<'_>, shard: Shard, signalids: &[String]) -> Cmd {
        let (script, argument) = match settled {
            Settled::Published => (&self.published, self.retention_ms.to_redis_args()),
            Settled::Released => (&self.released, Vec::new()),
            Settled::Parked { reason } => (&self.parked, reason.to_redis_args()),
        };
        let mut command = eval(script, 2 + signalids.len());
        command.arg(shard.key("owed")).arg(shard.key("parked"));
        for signalid in signalids {
            command.arg(shard.signal(signalid));
        }
        command.arg(argument);
        command
    }

    /// Writes something small that is soon gone, as a full or read-only server does not let it.
    pub(super) fn touch(shard: Shard) -> Cmd {
        let mut command = redis::cmd("SET");
        command.arg(shard.key("probe")).arg("").arg("PX").arg(1000);
        command
    }

    /// Trims the log of a shard to `retention` before `now_ms`.
    pub(super) fn trim(&self, shard: Shard, now_ms: i64) -> Cmd {
        let start = (now_ms - self.retention_ms).max(0);
        let mut command = redis::cmd("XTRIM");
        command
            .arg(shard.key("log"))
            .arg("MINID")
            .arg("~")
            .arg(start);
        command
    }
}

/// One hash tag's worth of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shard(u8);

impl Shard {
    /// Returns every shard, beginning with the one whose `turn` it is.
    pub(super) fn all_from(turn: usize) -> Vec<Self> {
        let mut all: Vec<_> = (0..SHARDS).map(Self).collect();
        all.rotate_left(turn % usize::from(SHARDS));
        all
    }

    /// Returns the shard of an endpoint, the same on every replica.
    pub(super) fn of(attributes: &Attributes) -> Self {
        let source = signal::source(&attributes.tenant, &attributes.endpoint);
        Self(Sha256::digest(source.as_bytes())[0] % SHARDS)
    }

    /// Returns the hash tag of its keys.
    pub(super) fn tag(self) -> String {
        format!("hookgate:{}", self.0)
    }

    pub(super) fn key(self, name: &str) -> String {
        format!("{{hookgate:{}}}:{name}", self.0)
    }

    fn signal(self, signalid: &str) -> String {
        self.key(&format!("s:{signalid}"))
    }

    fn mark(self, mark: &Mark) -> String {
        self.key(&format!("m:{}", hex::encode(mark.as_bytes())))
    }
}

/// Reads what `record.lua` answered for one draft.
pub(super) fn recorded(draft: Draft, answer: &[u8]) -> Result<Recorded, LedgerError> {
    let new = |draft: Draft, id_conflict| {
        let signal = draft.into_signal(id_conflict);
        Recorded::New {
            signal,
            id_conflict,
        }
    };
    let first_after = |word: &[u8]| {
        let bytes = answer.strip_prefix(word)?;
        bytes.try_into().map(SignalId::from_bytes).ok()
    };
    match answer {
        b"new" => return Ok(new(draft, false)),
        b"conflict" => return Ok(new(draft, true)),
        _ => {}
    }
    let duplicate = first_after(b"duplicate").map(Recorded::Duplicate);
    let known = duplicate.or_else(|| first_after(b"replayed").map(Recorded::Replayed));
    known.ok_or_else(|| LedgerError::Corrupt("a mark in redis is not one of ours".to_owned()))
}

fn eval(script: &Script, keys: usize) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys);
    command
}

/// Adds the eight arguments of a draft, as `record.lua` reads them.
fn add_draft(command: &mut Cmd, draft: &Draft) {
    let (kind, id_mark): (_, &[u8]) = match &draft.identity {
        Identity::Id(_) => ("id", &[]),
        Identity::Content { id: None, .. } => ("content", &[]),
        Identity::Content { id: Some(mark), .. } => ("content", mark.as_bytes()),
        Identity::Either { id, .. } => ("either", id.as_bytes()),
    };
    let envelope = &draft.envelope;
    command
        .arg(&draft.signalid.as_bytes()[..])
        .arg(kind)
        .arg(id_mark);
    command.arg(millis(draft.keep_marks)).arg(envelope.head);
    command
        .arg(&envelope.id)
        .arg(&envelope.completed_id)
        .arg(&envelope.tail[..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_has_its_turn_to_be_first() {
        let firsts: std::collections::BTreeSet<_> = (0..usize::from(SHARDS))
            .map(|turn| Shard::all_from(turn)[0])
            .collect();
        assert_eq!(firsts.len(), usize::from(SHARDS));
    }

    #[test]
    fn keys_carry_the_hash_tag_of_their_shard() {
        assert_eq!(Shard(7).signal("x"), "{hookgate:7}:s:x");
        assert_eq!(Shard(7).key("owed"), "{hookgate:7}:owed");
    }
}
