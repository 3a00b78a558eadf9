//! Waiting until what was recorded is as safe as `ledger.durability` asks for: on replicas or on disk.
//!
//! `WAIT` and `WAITAOF` cover what their own connection wrote, so they go by the connection that
//! recorded. They block it, and many deliveries share it, so one round serves them all: whoever has an
//! answer waits for the round under way, and then one of those who wait begins the next, which covers
//! everything answered before. A round writes first, because a repeat writes nothing, and its first copy
//! may have come by another connection: replicas and the disk take writes in the order of the server,
//! so that who has this write has everything before it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use redis::{Cmd, RedisError, Value};
use tokio::sync::Mutex;
use tokio::time::timeout_at;

use super::link::Link;
use super::trouble::Trouble;
use crate::clock;
use crate::ledger::Durability;

/// The rounds of one link.
#[derive(Default)]
pub(super) struct Rounds {
    /// How many were begun.
    begun: AtomicU64,
    /// Held by whoever makes a round.
    last: Mutex<Last>,
}

/// The last round that came to its end.
#[derive(Default)]
struct Last {
    round: u64,
    /// The connection that it was made by.
    number: u64,
    result: Option<Result<(), Trouble>>,
    /// The connection whose server is known to have no `WAITAOF`.
    no_waitaof: u64,
}

impl Link {
    /// Waits until everything that connection `number` has answered is as safe as asked. `touch` is a
    /// small write that the server takes.
    pub(super) async fn secure(
        &self,
        number: u64,
        durability: Durability,
        touch: &Cmd,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        if durability == Durability::Memory {
            return Ok(());
        }
        // Only a round that begins from now on covers what was just answered.
        let covering = self.rounds.begun.load(Ordering::SeqCst) + 1;
        let last = timeout_at(deadline.into(), self.rounds.last.lock()).await;
        let mut last = last.map_err(|_| self.silence())?;
        if let Some(result) = &last.result
            && last.round >= covering
            && last.number == number
        {
            return result.clone();
        }
        let round = self.rounds.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let result = match durability {
            Durability::Memory => Ok(()),
            Durability::Replicas(asked) => {
                self.wait_for_replicas(number, asked.get(), touch, deadline)
                    .await
            }
            Durability::Disk => {
                let known = last.no_waitaof == number;
                let on_disk = self.wait_for_disk(number, known, touch, deadline).await;
                on_disk.map(|way| {
                    if way == Way::Settings {
                        last.no_waitaof = number;
                    }
                })
            }
        };
        (last.round, last.number) = (round, number);
        last.result = Some(result.clone());
        result
    }

    async fn wait_for_replicas(
        &self,
        number: u64,
        asked: u8,
        touch: &Cmd,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        let mut wait = redis::cmd("WAIT");
        wait.arg(asked).arg(patience(deadline));
        let acknowledged = self.touch_and(number, touch, &wait, deadline).await?;
        match redis::from_redis_value(acknowledged).map_err(RedisError::from)? {
            acknowledged if acknowledged >= u64::from(asked) => Ok(()),
            acknowledged => Err(Trouble::TooFewReplicas {
                asked,
                acknowledged,
            }),
        }
    }

    /// Returns how it is known to be on disk.
    async fn wait_for_disk(
        &self,
        number: u64,
        no_waitaof: bool,
        touch: &Cmd,
        deadline: Instant,
    ) -> Result<Way, Trouble> {
        if !no_waitaof {
            let mut wait = redis::cmd("WAITAOF");
            wait.arg(1).arg(0).arg(patience(deadline));
            match self.touch_and(number, touch, &wait, deadline).await {
                Err(trouble) if trouble.is_unknown_command() => {}
                answer => {
                    let (here, _): (u64, u64) =
                        redis::from_redis_value(answer?).map_err(RedisError::from)?;
                    return if here > 0 {
                        Ok(Way::Waited)
                    } else {
                        Err(Trouble::NotOnDisk)
                    };
                }
            }
        }
        // Asked each time, because it can be changed while redis runs.
        let setting = |name| redis::cmd("CONFIG").arg("GET").arg(name).to_owned();
        let (appendonly, appendfsync) = (setting("appendonly"), setting("appendfsync"));
        let commands = [touch, &appendonly, &appendfsync];
        let mut answers = self.ask_by(number, &commands, deadline).await?.into_iter();
        answers.next().transpose()?;
        let mut found = Vec::new();
        for answer in answers {
            let Ok(answer) = answer else {
                return Err(Trouble::NoDisk("settings that it does not tell".to_owned()));
            };
            let pair: Vec<String> = redis::from_redis_value(answer).map_err(RedisError::from)?;
            found.push(pair.join(" "));
        }
        match &*found {
            [one, other] if one == "appendonly yes" && other == "appendfsync always" => {
                Ok(Way::Settings)
            }
            _ => Err(Trouble::NoDisk(found.join(" and "))),
        }
    }

    async fn touch_and(
        &self,
        number: u64,
        touch: &Cmd,
        wait: &Cmd,
        deadline: Instant,
    ) -> Result<Value, Trouble> {
        let mut answers = self
            .ask_by(number, &[touch, wait], deadline)
            .await?
            .into_iter();
        // A write that was refused is followed by nothing to wait for.
        answers.next().transpose()?;
        answers.next().unwrap_or(Err(Trouble::Gone))
    }
}

/// How something is known to be on disk.
#[derive(PartialEq, Eq)]
enum Way {
    Waited,
    Settings,
}

/// How many milliseconds a server may wait: no longer than most of what is left, so that its answer
/// comes in time and says what was missing, and never 0, which is for ever.
fn patience(deadline: Instant) -> u128 {
    let left = deadline.saturating_duration_since(clock::instant());
    (left.as_millis() * 3 / 4).max(1)
}
