//! The ledger in Redis, shared by replicas: one Lua script and one round trip for each delivery.
//!
//! Keys are spread over shards by the endpoint's source. All keys of a shard share a hash tag,
//! such as `{hookgate:1:7}` (layout 1, shard 7), so that a script's keys live in one slot of a Redis Cluster:
//!
//! | key | holds | until |
//! | --- | --- | --- |
//! | `…:m:BUCKET` | hash of marks: the rest of the mark, when it ends and what it remembers, in bytes | its last mark's time is over |
//! | `…:s:SIGNALID` | the envelope, compressed where that pays | `retention` after it was published |
//! | `…:owed` | sorted set of signalids by the end of their lease | published or parked |
//! | `…:parked` | sorted set of signalids by when they were last tried | published |
//! | `…:reasons` | hash of why signals are parked, by signalid | published |
//! | `…:log` | stream of signalids in the order of recording | about `retention` |
//!
//! The time is Redis's own, never a gateway's. Needs Redis 6.2 or later, or Valkey.
//!
//! `place` reads where Redis is, `way` and `link` connect, `reach` and `cluster` find the server of a
//! shard, `rounds` wait for replicas or the disk, `findings` say what all of that means.

mod cluster;
mod findings;
mod link;
mod place;
mod reach;
mod rounds;
mod scripts;
mod trouble;
mod way;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use redis::{Cmd, FromRedisValue, RedisError};
use tracing::error;

pub use self::place::{Access, FORMS, MAX_HOSTS, Place};

use self::reach::{Answer, Reach};
use self::scripts::{Scripts, Settled, Shard, Taken, recorded, swept};
use self::trouble::Trouble;
use super::{Backlog, Durability, Ledger, LedgerError, Recorded, Settings, cut, millis, stored};
use crate::clock;
use crate::signal::{Draft, Signal};

/// How many signals one script settles, so that none keeps Redis busy for long.
const SETTLED_AT_ONCE: usize = 256;

/// How many scripts that remove old marks one call of `prune` runs. Once a minute, that is all buckets
/// in about an hour.
const SWEEPS: usize = 64;

/// What one leasing script answers: signalids with envelopes, and signalids whose signal is gone.
type Lease = (Vec<(String, Vec<u8>)>, Vec<String>);

/// A ledger in Redis.
pub struct Redis {
    place: Place,
    /// Connections for recording. They are the others where nothing is waited for; where it is, they
    /// are connections of their own, because waiting blocks them.
    records: Arc<Reach>,
    others: Arc<Reach>,
    scripts: Scripts,
    durability: Durability,
    timeout: Duration,
    /// The shard that is asked first for signals to publish, so that none starves.
    turn: AtomicUsize,
    /// Which buckets are swept next; replicas begin in different places.
    swept: AtomicUsize,
}

impl Redis {
    /// Opens the ledger at `place`, and fails where that can never work. Connects on first use, so
    /// that a gateway can start before its Redis does; losses of the connection are mended likewise.
    pub fn open(place: &Place, settings: &Settings) -> Result<Self, LedgerError> {
        let scripts = Scripts::new(settings);
        let reach = || Reach::new(place, &settings.access, settings.timeout, scripts.all());
        let others = Arc::new(reach()?);
        let records = match settings.durability {
            Durability::Memory => Arc::clone(&others),
            Durability::Disk | Durability::Replicas(_) => Arc::new(reach()?),
        };
        Ok(Self {
            place: place.clone(),
            records,
            others,
            scripts,
            durability: settings.durability,
            timeout: settings.timeout,
            turn: AtomicUsize::new(0),
            swept: AtomicUsize::new(clock::now().subsec_nanosecond().unsigned_abs() as usize),
        })
    }

    /// Sends each command to the server of its shard and reads every answer, or fails with the first
    /// that is none. What other shards were told to do is then done nevertheless.
    async fn ask<T: FromRedisValue>(
        &self,
        what: &str,
        commands: &[(Shard, Cmd)],
    ) -> Result<Vec<T>, LedgerError> {
        let answers = self.others.ask(commands, self.deadline()).await;
        let read = answers.into_iter().map(|answer| read(answer.result));
        read.collect::<Result<_, _>>().map_err(failed(what))
    }

    /// Waits until what was answered is as safe as the settings ask for.
    async fn secure(
        &self,
        shard: Shard,
        from: Option<&(Arc<link::Link>, u64)>,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        match from {
            Some((link, number)) => {
                let touch = Scripts::touch(shard);
                link.secure(*number, self.durability, &touch, deadline)
                    .await
            }
            None => Ok(()),
        }
    }

    /// Writes something small to each of these shards, as safe as a record would have to be.
    async fn try_writes(&self, shards: Vec<Shard>, deadline: Instant) -> Result<(), Trouble> {
        let touches: Vec<_> = shards
            .iter()
            .map(|&shard| (shard, Scripts::touch(shard)))
            .collect();
        let answers = self.records.ask(&touches, deadline).await;
        let mut secured: Vec<Arc<link::Link>> = Vec::new();
        for (shard, Answer { result, from }) in shards.into_iter().zip(answers) {
            result?;
            // Once for each server.
            if let Some((link, number)) = from
                && !secured.iter().any(|known| Arc::ptr_eq(known, &link))
            {
                secured.push(Arc::clone(&link));
                self.secure(shard, Some(&(link, number)), deadline).await?;
            }
        }
        Ok(())
    }

    fn deadline(&self) -> Instant {
        clock::instant() + self.timeout
    }

    /// Returns the time of a server: of any, because one that is away is no reason not to know it.
    async fn now_ms(&self) -> Result<i64, LedgerError> {
        let time = |shard| (shard, redis::cmd("TIME"));
        let commands: Vec<_> = Shard::all_from(0).into_iter().map(time).collect();
        let answers = self.others.ask(&commands, self.deadline()).await;
        let mut trouble = Trouble::Gone;
        for answer in answers {
            match read::<(i64, i64)>(answer.result) {
                Ok((seconds, micros)) => return Ok(seconds * 1000 + micros / 1000),
                Err(why) => trouble = why,
            }
        }
        Err(failed("asking the time")(trouble))
    }

    /// Settles signals, grouped by shard, in one round trip.
    async fn settle(
        &self,
        what: &str,
        settled: Settled<'_>,
        signals: impl IntoIterator<Item = (Shard, String)>,
    ) -> Result<(), LedgerError> {
        let mut shards: BTreeMap<Shard, Vec<String>> = BTreeMap::new();
        for (shard, signalid) in signals {
            shards.entry(shard).or_default().push(signalid);
        }
        let mut commands = Vec::new();
        for (shard, signalids) in &shards {
            for some in signalids.chunks(SETTLED_AT_ONCE) {
                commands.push((*shard, self.scripts.settle(settled, *shard, some)));
            }
        }
        if commands.is_empty() {
            return Ok(());
        }
        self.ask::<redis::Value>(what, &commands).await.map(drop)
    }

    /// Takes up to `limit` signals, from all shards by turns.
    async fn take(&self, taken: Taken, limit: usize) -> Result<Vec<Signal>, LedgerError> {
        let mut shards = Shard::all_from(self.turn.fetch_add(1, Ordering::Relaxed));
        let mut signals: Vec<Signal> = Vec::new();
        let mut trouble = None;
        // Few rounds: a shard that gave less than its share is not asked again.
        while signals.len() < limit && !shards.is_empty() {
            let (shares, not_asked) = share(limit - signals.len(), &shards);
            let (more, full, why) = self.take_shares(taken, &shares).await;
            signals.extend(more);
            shards = not_asked.iter().copied().chain(full).collect();
            trouble = trouble.or(why);
            if trouble.is_some() && !signals.is_empty() {
                break;
            }
        }
        // What is taken already must be published; the next call meets the error.
        if let Some(error) = trouble.filter(|_| signals.is_empty()) {
            return Err(error);
        }
        signals.sort_by_key(|signal| signal.attributes.received);
        Ok(signals)
    }

    /// Asks each shard for its share and returns what it gave, the shards that may have more, and why
    /// one of them gave none: a node that is away is no reason to leave the others' signals.
    async fn take_shares(
        &self,
        taken: Taken,
        shares: &[(Shard, usize)],
    ) -> (Vec<Signal>, Vec<Shard>, Option<LedgerError>) {
        let take = |&(shard, share)| (shard, self.scripts.take(taken, shard, share));
        let commands: Vec<_> = shares.iter().map(take).collect();
        let answers = self.others.ask(&commands, self.deadline()).await;
        let (mut signals, mut full, mut trouble) = (Vec::new(), Vec::new(), None);
        for (&(shard, share), answer) in shares.iter().zip(answers) {
            let (leased, lost): Lease = match read(answer.result) {
                Ok(lease) => lease,
                Err(why) => {
                    trouble.get_or_insert_with(|| failed("leasing signals")(why));
                    continue;
                }
            };
            if leased.len() + lost.len() >= share {
                full.push(shard);
            }
            if !lost.is_empty() {
                error!(
                    ?lost,
                    "signals that were still to be published are gone from redis"
                );
            }
            signals.extend(self.read(taken, shard, leased).await);
        }
        (signals, full, trouble)
    }

    /// Removes old marks from some buckets, a bounded step and a round trip at a time.
    async fn sweep(
        &self,
        shard: Shard,
        mut buckets: Vec<(String, u64)>,
    ) -> Result<(), LedgerError> {
        while !buckets.is_empty() {
            let command = [(shard, self.scripts.sweep(&buckets))];
            let further: Vec<Vec<u64>> = self.ask("removing old marks", &command).await?;
            let went_on = buckets.into_iter().zip(further.into_iter().flatten());
            buckets = went_on
                .map(|((bucket, _), further)| (bucket, further))
                .filter(|(_, further)| *further != 0)
                .collect();
        }
        Ok(())
    }

    /// Reads signals back; parks what is none, so that it does not stand in the way for ever.
    async fn read(
        &self,
        taken: Taken,
        shard: Shard,
        leased: Vec<(String, Vec<u8>)>,
    ) -> Vec<Signal> {
        let mut signals = Vec::with_capacity(leased.len());
        for (signalid, envelope) in leased {
            match stored::read(envelope) {
                Ok(signal) => signals.push(signal),
                // Said when it was parked.
                Err(_) if matches!(taken, Taken::Parked { .. }) => {}
                Err(reason) => {
                    error!(signalid, error = reason, "signal cannot be read");
                    let settled = Settled::Parked { reason: &reason };
                    if let Err(error) = self.settle("parking", settled, [(shard, signalid)]).await {
                        // It is met again when its lease has run out.
                        error!(%error, "signal that cannot be read is not parked");
                    }
                }
            }
        }
        signals
    }
}

#[async_trait]
impl Ledger for Redis {
    // A record whose answer was lost may be sent again, or have been carried out after its caller was
    // told that it failed. Either is safe: the signal is then owed, the relay publishes it when its
    // lease runs out, and a repeat is a duplicate.
    async fn record(&self, drafts: Vec<Draft>) -> Result<Vec<Recorded>, LedgerError> {
        let Some(first) = drafts.first() else {
            return Ok(Vec::new());
        };
        let shard = Shard::of(&first.attributes);
        let beside = |draft: &Draft| Shard::of(&draft.attributes) == shard;
        debug_assert!(
            drafts.iter().all(beside),
            "all drafts of a call belong to one endpoint"
        );

        let (what, deadline) = ("recording", self.deadline());
        let command = self.scripts.record(shard, &drafts);
        let mut answered = self.records.ask(&[(shard, command)], deadline).await;
        let Some(Answer { result, from }) = answered.pop() else {
            return Err(failed(what)(Trouble::Gone));
        };
        let answers: Vec<Vec<u8>> = read(result).map_err(failed(what))?;
        // A repeat waits too: its first copy may be no safer than this one's answer.
        let secured = self.secure(shard, from.as_ref(), deadline).await;
        secured.map_err(failed(what))?;
        if answers.len() != drafts.len() {
            return Err(LedgerError::Corrupt(
                "a record was answered in part".to_owned(),
            ));
        }
        drafts
            .into_iter()
            .zip(answers)
            .map(|(draft, answer)| recorded(draft, &answer))
            .collect()
    }

    async fn unpublished(&self, limit: usize) -> Result<Vec<Signal>, LedgerError> {
        self.take(Taken::Owed, limit).await
    }

    async fn published(&self, signals: &[Signal]) -> Result<(), LedgerError> {
        let signals = signals.iter().map(place);
        self.settle("noting what is published", Settled::Published, signals)
            .await
    }

    async fn released(&self, signals: &[Signal]) -> Result<(), LedgerError> {
        self.settle(
            "releasing leases",
            Settled::Released,
            signals.iter().map(place),
        )
        .await
    }

    async fn parked(&self, signal: &Signal, reason: &str) -> Result<(), LedgerError> {
        let settled = Settled::Parked {
            reason: cut(reason),
        };
        self.settle("parking", settled, [place(signal)]).await
    }

    async fn retry_parked(&self, limit: usize, rest: Duration) -> Result<Vec<Signal>, LedgerError> {
        // One moment for the whole call, and a past one: what one round takes is not due in the next.
        let since = self.now_ms().await? - millis(rest).max(1);
        self.take(Taken::Parked { since }, limit).await
    }

    async fn backlog(&self) -> Result<Backlog, LedgerError> {
        let count = |shard: Shard, name| {
            let key = shard.key(name);
            (shard, redis::cmd("ZCARD").arg(key).to_owned())
        };
        let both = |shard| [count(shard, "owed"), count(shard, "parked")];
        let commands: Vec<_> = Shard::all_from(0).into_iter().flat_map(both).collect();
        let counts: Vec<u64> = self.ask("counting what is owed", &commands).await?;
        let sum = |counts: &[u64], of: usize| counts.iter().skip(of).step_by(2).sum();
        Ok(Backlog {
            owed: sum(&counts, 0),
            parked: sum(&counts, 1),
        })
    }

    async fn ready(&self) -> Result<(), LedgerError> {
        let (what, deadline) = ("checking that redis takes writes", self.deadline());
        self.records.follow(deadline).await;
        if self.durability != Durability::Memory {
            self.others.follow(deadline).await;
        }
        let shards = self
            .records
            .sample(self.turn.fetch_add(1, Ordering::Relaxed));
        self.try_writes(shards, deadline)
            .await
            .map_err(failed(what))
    }

    /// Trims the logs of shards that are no longer written to, and removes old marks from some
    /// buckets. Signals, and buckets without a mark that is still of use, expire by themselves.
    async fn prune(&self) -> Result<u64, LedgerError> {
        let now = self.now_ms().await?;
        let trim = |shard| (shard, self.scripts.trim(shard, now));
        let commands: Vec<_> = Shard::all_from(0).into_iter().map(trim).collect();
        self.ask::<u64>("trimming the log", &commands).await?;
        for _ in 0..SWEEPS {
            let (shard, buckets) = swept(self.swept.fetch_add(1, Ordering::Relaxed));
            self.sweep(shard, buckets).await?;
        }
        Ok(0)
    }

    async fn probe(&self) -> Result<Vec<String>, LedgerError> {
        let (what, deadline) = ("checking that redis takes writes", self.deadline());
        let shards = Shard::all_from(0);
        let record = |&shard| (shard, self.scripts.record(shard, &[]));
        let records: Vec<_> = shards.iter().map(record).collect();
        let written = self.try_writes(shards, deadline).await;
        written.map_err(failed(what))?;
        self.ask::<redis::Value>(what, &records).await?;

        let setting = |name| redis::cmd("CONFIG").arg("GET").arg(name).to_owned();
        let mut commands = vec![redis::cmd("INFO")];
        commands.extend(findings::SETTINGS.map(setting));
        let told = self.others.ask_all(&commands, self.deadline()).await;
        let mut servers = Vec::with_capacity(told.len());
        for (name, answers) in told {
            let mut answers = answers.into_iter();
            let info = answers.next().unwrap_or(Err(Trouble::Gone));
            let info: String = read(info).map_err(failed("asking for INFO"))?;
            // Managed services often forbid CONFIG; what it would have told is then said to be unknown.
            let settings = answers
                .map(read::<(String, String)>)
                .collect::<Result<_, _>>()
                .ok();
            servers.push(findings::Server {
                name,
                info,
                of_cluster: matches!(*self.others, Reach::Cluster(_)),
                settings,
            });
        }
        let mut found = vec![format!("{} answers and takes writes", self.place)];
        found.extend(self.others.findings(self.deadline()).await);
        found.extend(findings::explain(&servers, self.durability));
        Ok(found)
    }

    async fn close(&self) {
        self.records.close();
        self.others.close();
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// Reads an answer.
fn read<T: FromRedisValue>(answer: Result<redis::Value, Trouble>) -> Result<T, Trouble> {
    Ok(redis::from_redis_value(answer?).map_err(RedisError::from)?)
}

/// Makes an error of the ledger, which says what was being done.
fn failed(what: &str) -> impl Fn(Trouble) -> LedgerError {
    move |trouble| LedgerError::unavailable(what, trouble)
}

fn place(signal: &Signal) -> (Shard, String) {
    (Shard::of(&signal.attributes), signal.signalid.to_string())
}

/// Divides `limit` among shards, the first ones getting one more. Returns the shares, and the shards
/// for which nothing was left.
fn share(limit: usize, shards: &[Shard]) -> (Vec<(Shard, usize)>, &[Shard]) {
    let (each, rest) = (limit / shards.len(), limit % shards.len());
    let asked = if each == 0 { rest } else { shards.len() };
    let (asked, not_asked) = shards.split_at(asked);
    let shares = asked
        .iter()
        .enumerate()
        .map(|(n, shard)| (*shard, each + usize::from(n < rest)));
    (shares.collect(), not_asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_the_limit_and_leave_no_shard_out() {
        let shards: Vec<_> = Shard::all_from(0);
        for limit in [1, 15, 16, 100] {
            let (shares, not_asked) = share(limit, &shards);
            assert_eq!(shares.iter().map(|(_, share)| share).sum::<usize>(), limit);
            assert!(shares.iter().all(|(_, share)| *share > 0));
            assert_eq!(shares.len() + not_asked.len(), shards.len());
        }
    }
}
