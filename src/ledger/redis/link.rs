//! A connection to Redis: one, shared by all callers, and made anew when it is lost.
//!
//! No task and no queue of its own. Whoever finds the connection gone makes it again, and whoever comes
//! meanwhile waits for that; between failed attempts there is a growing, jittered pause in which
//! everybody is refused at once, with the reason why the last attempt failed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisError, Script, ServerErrorKind, Value};
use tokio::time::timeout_at;

use super::rounds::Rounds;
use super::trouble::Trouble;
use super::way::{self, Node, Way};
use crate::clock;

/// The first and the longest pause between attempts to connect, before jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) type Pauses = <ExponentialBuilder as BackoffBuilder>::Backoff;

/// A connection that mends itself.
pub(super) struct Link {
    way: Way,
    config: AsyncConnectionConfig,
    timeout: Duration,
    scripts: Arc<[Script]>,
    line: Mutex<Line>,
    /// Held by the one caller who connects.
    connecting: tokio::sync::Mutex<()>,
    pub(super) rounds: Rounds,
}

/// The answers to some commands, one for each, and the connection that they came by.
pub(super) struct Answers {
    pub(super) results: Vec<Result<Value, Trouble>>,
    /// No connection has number 0.
    pub(super) number: u64,
}

struct Line {
    connection: Option<MultiplexedConnection>,
    /// Which connection this is, so that a late failure of an old one does not end a new one.
    number: u64,
    /// Which server it leads to, where that can change.
    node: Option<Node>,
    since: Instant,
    /// The last one broke soon after it was made.
    broke_early: bool,
    pauses: Pauses,
    not_before: Option<Instant>,
    cause: Trouble,
}

impl Link {
    /// Connects on first use. Scripts that Redis does not know are loaded when they are needed.
    pub(super) fn new(way: Way, timeout: Duration, scripts: Arc<[Script]>) -> Self {
        let line = Line {
            connection: None,
            number: 0,
            node: None,
            since: clock::instant(),
            broke_early: false,
            pauses: pauses(),
            not_before: None,
            cause: Trouble::Gone,
        };
        Self {
            way,
            config: way::config(timeout),
            timeout,
            scripts,
            line: Mutex::new(line),
            connecting: tokio::sync::Mutex::default(),
            rounds: Rounds::default(),
        }
    }

    /// Sends commands in one round trip and returns their answers. Where `asking`, the node is told
    /// each time that its slot is on the way to it.
    ///
    /// Commands may be carried out although the answer is lost, and are sent a second time where the
    /// connection broke: they must be safe to repeat.
    pub(super) async fn ask(&self, commands: &[&Cmd], asking: bool, deadline: Instant) -> Answers {
        let (mut results, mut used) = (vec![Err(self.silence()); commands.len()], None);
        let begun = clock::instant();
        let asked = self.ask_twice(commands, asking, deadline, &mut results, &mut used);
        let late = timeout_at(deadline.into(), asked).await.is_err();
        // A peer that is silent may be gone for good without TCP noticing. One that was asked late,
        // after another had sent the caller on, is not to blame.
        if late && begun.elapsed() > self.timeout / 2 {
            used.inspect(|number| self.lose(*number, &self.silence()));
        }
        Answers {
            results,
            number: used.unwrap_or_default(),
        }
    }

    /// Sends commands by connection `number` alone, in one round trip.
    pub(super) async fn ask_by(
        &self,
        number: u64,
        commands: &[&Cmd],
        deadline: Instant,
    ) -> Result<Vec<Result<Value, Trouble>>, Trouble> {
        let open = self.line().open();
        let Some((mut connection, _)) = open.filter(|(_, open)| *open == number) else {
            return Err(Trouble::Gone);
        };
        let sent = self.send(commands, false, &mut connection);
        let results = timeout_at(deadline.into(), sent)
            .await
            .map_err(|_| self.silence())?;
        self.lose_broken(number, &results);
        Ok(results)
    }

    /// Lets go of the connection if it leads to a master that the sentinels have replaced: one that
    /// was cut off from them goes on as if it still were one, and what it records is lost.
    pub(super) async fn follow(&self, deadline: Instant) {
        let Way::Sentinels(sentinels) = &self.way else {
            return;
        };
        let (number, node) = {
            let line = self.line();
            (line.number, line.node.clone())
        };
        let Some(node) = node else { return };
        if sentinels.have_moved_on(&node, &self.config, deadline).await {
            self.lose(number, &Trouble::Gone);
        }
    }

    /// Says what the sentinels tell, where there are any.
    pub(super) async fn findings(&self, deadline: Instant) -> Vec<String> {
        match &self.way {
            Way::Server(_) => Vec::new(),
            Way::Sentinels(sentinels) => sentinels.findings(&self.config, deadline).await,
        }
    }

    /// Tells whether there is a connection.
    pub(super) fn is_open(&self) -> bool {
        self.line().connection.is_some()
    }

    /// Lets go of the connection.
    pub(super) fn close(&self) {
        self.line().connection = None;
    }

    pub(super) fn silence(&self) -> Trouble {
        Trouble::Silent(self.timeout)
    }

    async fn ask_twice(
        &self,
        commands: &[&Cmd],
        asking: bool,
        deadline: Instant,
        results: &mut [Result<Value, Trouble>],
        used: &mut Option<u64>,
    ) {
        let mut left: Vec<usize> = (0..commands.len()).collect();
        for _ in 0..2 {
            *used = None;
            let (mut connection, number) = match self.connection(deadline).await {
                Ok(open) => open,
                Err(trouble) => {
                    left.iter().for_each(|&n| results[n] = Err(trouble.clone()));
                    return;
                }
            };
            *used = Some(number);
            let sent: Vec<_> = left.iter().map(|&n| commands[n]).collect();
            let answers = self.send(&sent, asking, &mut connection).await;
            self.lose_broken(number, &answers);
            for (&n, answer) in left.iter().zip(answers) {
                results[n] = answer;
            }
            left.retain(|&n| results[n].as_ref().is_err_and(Trouble::breaks_connection));
            if left.is_empty() {
                return;
            }
        }
    }

    /// Sends commands once; those whose script Redis does not know a second time, with the scripts.
    async fn send(
        &self,
        commands: &[&Cmd],
        asking: bool,
        connection: &mut MultiplexedConnection,
    ) -> Vec<Result<Value, Trouble>> {
        let mut results = send(commands, asking, connection).await;
        let no_script = |result: &Result<_, Trouble>| {
            result
                .as_ref()
                .is_err_and(|trouble| trouble.is(ServerErrorKind::NoScript))
        };
        let again: Vec<usize> = (0..results.len())
            .filter(|&n| no_script(&results[n]))
            .collect();
        if again.is_empty() {
            return results;
        }
        for script in &*self.scripts {
            if let Err(error) = script.load_async(connection).await {
                let trouble = Trouble::from(error);
                again
                    .iter()
                    .for_each(|&n| results[n] = Err(trouble.clone()));
                return results;
            }
        }
        let sent: Vec<_> = again.iter().map(|&n| commands[n]).collect();
        let answers = send(&sent, asking, connection).await;
        for (n, answer) in again.into_iter().zip(answers) {
            results[n] = answer;
        }
        results
    }

    async fn connection(&self, deadline: Instant) -> Result<(MultiplexedConnection, u64), Trouble> {
        if let Some(open) = self.line().open() {
            return Ok(open);
        }
        // Whoever comes while an attempt is under way waits for it, because it may well succeed.
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(up) = self.line().up()? {
            return Ok(up);
        }
        // Noted before trying, so that a caller who gives up half-way does not let the next one
        // run into the same wall at once.
        self.line().pause();
        let connected = self.way.connect(&self.config, deadline).await;
        let mut line = self.line();
        match connected {
            Ok((connection, node)) => {
                line.node = node;
                Ok(line.connected(connection))
            }
            Err(trouble) => {
                line.cause = trouble.clone();
                Err(trouble)
            }
        }
    }

    /// Lets go of connection `number` where an answer says that it is of no more use.
    fn lose_broken(&self, number: u64, results: &[Result<Value, Trouble>]) {
        let of_no_use = |trouble: &&Trouble| trouble.breaks_connection() || trouble.is_timeout();
        let broken = results
            .iter()
            .filter_map(|result| result.as_ref().err())
            .find(of_no_use);
        broken.inspect(|trouble| self.lose(number, trouble));
    }

    /// Notes that connection `number` is of no more use.
    fn lose(&self, number: u64, cause: &Trouble) {
        let mut line = self.line();
        if line.number != number || line.connection.take().is_none() {
            return;
        }
        line.cause = cause.clone();
        if clock::instant().duration_since(line.since) > LONGEST_PAUSE {
            line.pauses = pauses();
            line.broke_early = false;
        } else if std::mem::replace(&mut line.broke_early, true) {
            // Again as soon as it was made: do not hammer.
            line.pause();
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Returns the connection, if there is one.
    fn open(&self) -> Option<(MultiplexedConnection, u64)> {
        Some((self.connection.clone()?, self.number))
    }

    /// Returns the connection, nothing where it may be made now, or why the last one failed.
    fn up(&self) -> Result<Option<(MultiplexedConnection, u64)>, Trouble> {
        match (self.open(), self.not_before) {
            (Some(open), _) => Ok(Some(open)),
            (None, Some(moment)) if clock::instant() < moment => Err(self.cause.clone()),
            (None, _) => Ok(None),
        }
    }

    fn pause(&mut self) {
        let pause = self.pauses.next().unwrap_or(LONGEST_PAUSE);
        self.not_before = Some(clock::instant() + pause);
    }

    fn connected(&mut self, connection: MultiplexedConnection) -> (MultiplexedConnection, u64) {
        self.connection = Some(connection.clone());
        self.number += 1;
        self.since = clock::instant();
        self.not_before = None;
        (connection, self.number)
    }
}

/// Sends commands and returns an answer for each.
async fn send(
    commands: &[&Cmd],
    asking: bool,
    connection: &mut MultiplexedConnection,
) -> Vec<Result<Value, Trouble>> {
    // A record may be large, and a pipeline would copy it.
    if let ([command], false) = (commands, asking) {
        return vec![command.query_async(connection).await.map_err(Trouble::from)];
    }
    let mut pipeline = redis::Pipeline::with_capacity(commands.len() * 2);
    pipeline.ignore_errors();
    for command in commands {
        if asking {
            pipeline.cmd("ASKING").ignore();
        }
        pipeline.add_command((*command).clone());
    }
    let answers: Result<Vec<Result<Value, RedisError>>, _> = pipeline.query_async(connection).await;
    match answers {
        Ok(answers) => answers.into_iter().map(|answer| Ok(answer?)).collect(),
        Err(error) => vec![Err(error.into()); commands.len()],
    }
}

/// The pauses between attempts, growing and jittered.
pub(super) fn pauses() -> Pauses {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .with_jitter()
        .build()
}
