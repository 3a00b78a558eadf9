//! Keys and scripts: how drafts are laid out for Lua, and how its answers are read.

use std::sync::Arc;

use redis::{Cmd, Script, ToRedisArgs};
use sha2::{Digest, Sha256};

use crate::ledger::stored::Stored;
use crate::ledger::{LEASED_BYTES, LONGEST_LEASE, LedgerError, Recorded, Settings, memo, millis};
use crate::signal::{self, Attributes, Draft, Identity, Mark, SignalId};

/// Which layout the keys have, so that what another one left is not found, let alone misread.
const LAYOUT: u8 = 1;
/// Into how many hash tags the keys are spread. Another number would not find the marks any more.
const SHARDS: u8 = 16;
/// Over how many hashes the marks of a shard are spread. Redis keeps a hash of up to 512 fields in one
/// piece of memory, which costs a quarter of what keys of their own would; beyond, it still works.
const BUCKETS: u16 = 1 << 14;
/// How many buckets one script sweeps, so that none keeps Redis busy for long.
const SWEPT_AT_ONCE: u16 = 64;

/// The scripts, and the times that they are given.
pub(super) struct Scripts {
    record: Script,
    lease: Script,
    published: Script,
    released: Script,
    parked: Script,
    sweep: Script,
    lease_ms: i64,
    retention_ms: i64,
}

/// Which signals are taken.
#[derive(Clone, Copy)]
pub(super) enum Taken {
    /// Owed ones whose lease has run out.
    Owed,
    /// Parked ones that were not tried since, in ms.
    Parked { since: i64 },
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
            sweep: Script::new(include_str!("../sweep.lua")),
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
            &self.sweep,
        ];
        all.map(Script::clone).into()
    }

    /// Records drafts of one shard.
    pub(super) fn record(&self, shard: Shard, drafts: &[Draft]) -> Cmd {
        let mut command = eval(&self.record, 2 + 3 * drafts.len());
        command.arg(shard.key("owed")).arg(shard.key("log"));
        for draft in drafts {
            let (deciding, beside) = memo::marks(&draft.identity);
            command.arg(shard.signal(&draft.signalid.to_string()));
            command.arg(shard.bucket(bucket_of(deciding)));
            command.arg(shard.bucket(bucket_of(beside.unwrap_or(deciding))));
        }
        command.arg(self.lease_ms).arg(self.retention_ms);
        for draft in drafts {
            add_draft(&mut command, draft);
        }
        command
    }

    /// Takes up to `limit` signals of a shard.
    pub(super) fn take(&self, taken: Taken, shard: Shard, limit: usize) -> Cmd {
        let (keys, due, moment, ahead): (&[_], _, _, _) = match taken {
            Taken::Owed => (&["owed"], 0, self.lease_ms, millis(LONGEST_LEASE)),
            Taken::Parked { since } => (&["parked", "reasons"], since.max(1), 0, 0),
        };
        let mut command = eval(&self.lease, keys.len());
        for name in keys {
            command.arg(shard.key(name));
        }
        command.arg(limit).arg(due).arg(moment).arg(ahead);
        command.arg(LEASED_BYTES).arg(shard.signal(""));
        command
    }

    /// Settles signals of one shard.
    pub(super) fn settle(&self, settled: Settled<'_>, shard: Shard, signalids: &[String]) -> Cmd {
        let (script, argument) = match settled {
            Settled::Published => (&self.published, self.retention_ms.to_redis_args()),
            Settled::Released => (&self.released, Vec::new()),
            Settled::Parked { reason } => (&self.parked, reason.to_redis_args()),
        };
        let mut command = eval(script, 3 + signalids.len());
        command.arg(shard.key("owed")).arg(shard.key("parked"));
        command.arg(shard.key("reasons"));
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

    /// Removes marks whose time is over from some buckets, going on in each where it says.
    pub(super) fn sweep(&self, buckets: &[(String, u64)]) -> Cmd {
        let mut command = eval(&self.sweep, buckets.len());
        for (bucket, _) in buckets {
            command.arg(bucket);
        }
        for (_, cursor) in buckets {
            command.arg(cursor);
        }
        command
    }
}

/// Returns the buckets that one script sweeps when it is the `turn` of these.
pub(super) fn swept(turn: usize) -> (Shard, Vec<(String, u64)>) {
    let turns = BUCKETS / SWEPT_AT_ONCE;
    let shard = Shard::all_from(turn / usize::from(turns))[0];
    // The rest of a division by less fits.
    let first = (turn % usize::from(turns)) as u16 * SWEPT_AT_ONCE;
    let buckets = first..first + SWEPT_AT_ONCE;
    let buckets = buckets.map(|bucket| (shard.bucket(bucket), 0));
    (shard, buckets.collect())
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
        format!("hookgate:{LAYOUT}:{}", self.0)
    }

    pub(super) fn key(self, name: &str) -> String {
        format!("{{{}}}:{name}", self.tag())
    }

    fn signal(self, signalid: &str) -> String {
        self.key(&format!("s:{signalid}"))
    }

    fn bucket(self, bucket: u16) -> String {
        self.key(&format!("m:{bucket:04x}"))
    }
}

/// Returns in which of a shard's buckets a mark is: its first 14 bits.
fn bucket_of(mark: &Mark) -> u16 {
    let [first, second, ..] = *mark.as_bytes();
    u16::from_be_bytes([first, second]) / (u16::MAX / BUCKETS + 1)
}

/// Returns the field of a mark in its bucket: the bits that the bucket does not say, in whole bytes.
fn field_of(mark: &Mark) -> &[u8] {
    &mark.as_bytes()[1..]
}

/// Reads what `record.lua` answered for one draft.
pub(super) fn recorded(draft: Draft, answer: &[u8]) -> Result<Recorded, LedgerError> {
    let first_after = |word: &[u8]| match answer.strip_prefix(word)? {
        [] => Some(draft.signalid),
        name => name.try_into().map(SignalId::from_bytes).ok(),
    };
    let duplicate = first_after(b"duplicate").map(Recorded::Duplicate);
    let known = duplicate.or_else(|| first_after(b"replayed").map(Recorded::Replayed));
    let id_conflict = answer == b"conflict";
    match known {
        Some(known) => Ok(known),
        None if id_conflict || answer == b"new" => Ok(Recorded::New {
            signal: draft.into_signal(id_conflict),
            id_conflict,
        }),
        None => Err(LedgerError::Corrupt(
            "a mark in redis is not one of ours".to_owned(),
        )),
    }
}

fn eval(script: &Script, keys: usize) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys);
    command
}

/// Adds the nine arguments of a draft, as `record.lua` reads them.
fn add_draft(command: &mut Cmd, draft: &Draft) {
    let kind = match &draft.identity {
        Identity::Id(_) => "id",
        Identity::Content { .. } => "content",
        Identity::Either { .. } => "either",
    };
    let (deciding, beside) = memo::marks(&draft.identity);
    command
        .arg(kind)
        .arg(field_of(deciding))
        .arg(memo::of(draft));
    command.arg(beside.map_or(&[][..], field_of));
    command.arg(millis(draft.keep_marks));
    let stored = Stored::of(&draft.envelope);
    command.arg(&stored.head[..]).arg(&draft.envelope.id);
    command
        .arg(&draft.envelope.completed_id)
        .arg(&stored.tail[..]);
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
    fn every_bucket_is_swept_in_its_turn() {
        let turns = usize::from(BUCKETS / SWEPT_AT_ONCE) * usize::from(SHARDS);
        let swept: std::collections::BTreeSet<_> =
            (0..turns).flat_map(|turn| swept(turn).1).collect();
        assert_eq!(swept.len(), usize::from(BUCKETS) * usize::from(SHARDS));
        let last = Shard(SHARDS - 1).bucket(BUCKETS - 1);
        assert!(swept.contains(&(last, 0)));
        assert_eq!(super::swept(turns), super::swept(0));
    }

    #[test]
    fn bucket_and_field_tell_marks_apart_that_differ_in_any_bit() {
        let place = |mark: &Mark| (bucket_of(mark), field_of(mark).to_vec());
        let mark = Mark::of_id("a", "evt_1");
        for bit in 0..128 {
            let mut bytes = *mark.as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let other = Mark::from_bytes(bytes);
            assert_ne!(place(&mark), place(&other), "{bit}");
            assert!(bucket_of(&other) < BUCKETS);
        }
    }

    #[test]
    fn keys_carry_the_hash_tag_of_their_shard() {
        assert_eq!(Shard(7).signal("x"), "{hookgate:1:7}:s:x");
        assert_eq!(Shard(7).key("owed"), "{hookgate:1:7}:owed");
    }
}
