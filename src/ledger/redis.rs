//! The ledger in Redis, shared by replicas: one Lua script and one round trip for each delivery.
//!
//! Keys are spread over shards by the endpoint's source. All keys of a shard share a hash tag,
//! such as `{hookgate:7}`, so that a script's keys live in one slot of a Redis Cluster:
//!
//! | key | holds | until |
//! | --- | --- | --- |
//! | `…:m:MARK` | signalid, and for content the id mark that came with it, in bytes | the mark's time is over |
//! | `…:s:SIGNALID` | hash: `envelope`, and `reason` if parked | `retention` after it was published |
//! | `…:owed` | sorted set of signalids by the end of their lease | published or parked |
//! | `…:parked` | sorted set of signalids by the time of parking | published |
//! | `…:log` | stream of signalids in the order of recording | about `retention` |
//!
//! The time is Redis's own, never a gateway's. Needs Redis 6.2 or later, or Valkey.

mod findings;
mod link;
mod scripts;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use tracing::error;

use self::link::Link;
use self::scripts::{Scripts, Settled, Shard, recorded};
use super::{Address, Backlog, Ledger, LedgerError, Recorded, Settings, cut};
use crate::signal::{Draft, Signal};

/// How many signals one script settles, so that none keeps Redis busy for long.
const SETTLED_AT_ONCE: usize = 256;

/// What one leasing script answers: signalids with envelopes, and signalids whose signal is gone.
type Lease = (Vec<(String, Vec<u8>)>, Vec<String>);

/// A ledger in Redis.
pub struct Redis {
    address: Address,
    link: Link,
    scripts: Scripts,
    /// The shard that is asked first for signals to publish, so that none starves.
    turn: AtomicUsize,
}

impl Redis {
    /// Opens the ledger at `address`, and fails where that can never work. Connects on first use, so
    /// that a gateway can start before its Redis does; losses of the connection are mended likewise.
    pub fn open(address: &Address, settings: &Settings) -> Result<Self, LedgerError> {
        let scripts = Scripts::new(settings);
        let link = Link::new(address, settings.timeout, scripts.all())?;
        Ok(Self {
            address: address.clone(),
            link,
            scripts,
            turn: AtomicUsize::new(0),
        })
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
        let mut commands = redis::pipe();
        for (shard, signalids) in &shards {
            for some in signalids.chunks(SETTLED_AT_ONCE) {
                commands.add_command(self.scripts.settle(settled, *shard, some));
            }
        }
        if commands.is_empty() {
            return Ok(());
        }
        self.link.ask(what, &commands).await
    }

    /// Asks each shard for its share and returns what was leased, and the shards that may have more.
    async fn lease(
        &self,
        shares: &[(Shard, usize)],
    ) -> Result<(Vec<Signal>, Vec<Shard>), LedgerError> {
        let mut commands = redis::pipe();
        for (shard, share) in shares {
            commands.add_command(self.scripts.lease(*shard, *share));
        }
        let leases: Vec<Lease> = self.link.ask("leasing signals", &commands).await?;
        let (mut signals, mut full) = (Vec::new(), Vec::new());
        for (&(shard, share), (leased, lost)) in shares.iter().zip(leases) {
            if leased.len() + lost.len() >= share {
                full.push(shard);
            }
            if !lost.is_empty() {
                error!(
                    ?lost,
                    "signals that were still to be published are gone from redis"
                );
            }
            signals.extend(self.read(shard, leased).await);
        }
        Ok((signals, full))
    }

    /// Reads signals back; parks what is none, so that it does not stand in the way for ever.
    async fn read(&self, shard: Shard, leased: Vec<(String, Vec<u8>)>) -> Vec<Signal> {
        let mut signals = Vec::with_capacity(leased.len());
        for (signalid, envelope) in leased {
            match Signal::from_envelope(Bytes::from(envelope)) {
                Ok(signal) => signals.push(signal),
                Err(unreadable) => {
                    error!(signalid, error = %unreadable, "signal cannot be read");
                    let settled = Settled::Parked {
                        reason: &unreadable.to_string(),
                    };
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

        let mut commands = redis::Pipeline::with_capacity(1);
        commands.add_command(self.scripts.record(shard, &drafts));
        let [answers]: [Vec<Vec<u8>>; 1] = self.link.ask("recording", &commands).await?;
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
        let mut shards = Shard::all_from(self.turn.fetch_add(1, Ordering::Relaxed));
        let mut signals: Vec<Signal> = Vec::new();
        // Few rounds: a shard that gave less than its share is not asked again.
        while signals.len() < limit && !shards.is_empty() {
            let (shares, not_asked) = share(limit - signals.len(), &shards);
            match self.lease(&shares).await {
                Ok((more, full)) => {
                    signals.extend(more);
                    shards = not_asked.iter().copied().chain(full).collect();
                }
                // What is leased already must be published; the next call meets the error.
                Err(_) if !signals.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        signals.sort_by_key(|signal| signal.attributes.received);
        Ok(signals)
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

    async fn backlog(&self) -> Result<Backlog, LedgerError> {
        let mut commands = redis::pipe();
        for shard in Shard::all_from(0) {
            commands
                .cmd("ZCARD")
                .arg(shard.key("owed"))
                .cmd("ZCARD")
                .arg(shard.key("parked"));
        }
        let counts: Vec<(u64, u64)> = self.link.ask("counting what is owed", &commands).await?;
        Ok(counts
            .iter()
            .fold(Backlog::default(), |sum, (owed, parked)| Backlog {
                owed: sum.owed + owed,
                parked: sum.parked + parked,
            }))
    }

    /// Trims the logs of shards that are no longer written to. Signals and marks expire by
    /// themselves.
    async fn prune(&self) -> Result<u64, LedgerError> {
        let [(seconds, _micros)]: [(i64, i64); 1] = self
            .link
            .ask("asking the time", redis::pipe().cmd("TIME"))
            .await?;
        let mut commands = redis::pipe();
        for shard in Shard::all_from(0) {
            commands.add_command(self.scripts.trim(shard, seconds * 1000));
        }
        self.link
            .ask::<Vec<u64>>("trimming the log", &commands)
            .await?;
        Ok(0)
    }

    async fn probe(&self) -> Result<Vec<String>, LedgerError> {
        let mut writes = redis::pipe();
        for shard in Shard::all_from(0) {
            writes
                .cmd("SET")
                .arg(shard.key("probe"))
                .arg("")
                .arg("PX")
                .arg(1000);
            writes.add_command(self.scripts.record(shard, &[]));
        }
        self.link
            .ask::<redis::Value>("checking that redis takes writes", &writes)
            .await?;

        let info = redis::pipe().cmd("INFO").to_owned();
        let [info]: [String; 1] = self.link.ask("asking for INFO", &info).await?;
        let mut config = redis::pipe();
        config
            .cmd("CONFIG")
            .arg("GET")
            .arg("appendfsync")
            .cmd("CONFIG")
            .arg("GET")
            .arg("save");
        // Managed services often forbid CONFIG; what it would have told is then said to be unknown.
        let config: Option<Vec<(String, String)>> = self
            .link
            .ask::<Vec<Vec<(String, String)>>>("asking for CONFIG", &config)
            .await
            .ok()
            .map(|answers| answers.concat());

        let mut found = vec![format!("{} answers and takes writes", self.address)];
        found.extend(findings::explain(&info, config.as_deref()));
        Ok(found)
    }

    async fn close(&self) {
        self.link.close();
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
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
