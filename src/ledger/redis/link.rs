//! The connection to Redis: one, shared by all callers, and made anew when it is lost.
//!
//! No task and no queue of its own. Whoever finds the connection gone makes it again, and whoever comes
//! meanwhile waits for that; between failed attempts there is a growing, jittered pause in which
//! everybody is refused at once, with the reason why the last attempt failed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, Pipeline, RedisError, Script,
    ServerErrorKind,
};

use crate::clock;
use crate::ledger::{Address, LedgerError};

/// How many requests may be under way at once; more wait, no longer than one call may take.
const MAX_IN_FLIGHT: usize = 1024;
/// The first and the longest pause between attempts to connect, before jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

type Pauses = <ExponentialBuilder as BackoffBuilder>::Backoff;

/// A connection that mends itself.
pub(super) struct Link {
    client: Client,
    config: AsyncConnectionConfig,
    timeout: Duration,
    scripts: Vec<Script>,
    line: Mutex<Line>,
    /// Held by the one caller who connects.
    connecting: tokio::sync::Mutex<()>,
}

struct Line {
    connection: Option<MultiplexedConnection>,
    /// Which connection this is, so that a late failure of an old one does not end a new one.
    number: u64,
    since: Instant,
    /// The last one broke soon after it was made.
    broke_early: bool,
    pauses: Pauses,
    not_before: Option<Instant>,
    cause: Arc<RedisError>,
}

impl Link {
    /// Reads the address; connects on first use. Scripts that Redis does not know are loaded when
    /// they are needed.
    pub(super) fn new(
        address: &Address,
        timeout: Duration,
        scripts: Vec<Script>,
    ) -> Result<Self, LedgerError> {
        // The client's own error may quote the URL, so only its kind is told.
        let client = Client::open(address.expose()).map_err(|error| LedgerError::Unavailable {
            what: format!("{address} is not a usable address ({})", error.category()),
            source: None,
        })?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout))
            .set_pipeline_buffer_size(MAX_IN_FLIGHT)
            .set_concurrency_limit(MAX_IN_FLIGHT);
        let line = Line {
            connection: None,
            number: 0,
            since: clock::instant(),
            broke_early: false,
            pauses: pauses(),
            not_before: None,
            cause: Arc::new((ErrorKind::Io, "not connected").into()),
        };
        let connecting = tokio::sync::Mutex::default();
        Ok(Self {
            client,
            config,
            timeout,
            scripts,
            line: Mutex::new(line),
            connecting,
        })
    }

    /// Sends commands in one round trip and returns their answers, or fails within the timeout.
    ///
    /// Commands may be carried out although the answer is lost, and are sent a second time where the
    /// connection broke: they must be safe to repeat.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        what: &str,
        commands: &Pipeline,
    ) -> Result<T, LedgerError> {
        let mut used = None;
        let asked = tokio::time::timeout(self.timeout, self.ask_twice(commands, &mut used)).await;
        match asked {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(LedgerError::unavailable(what, first(&error))),
            Err(late) => {
                // A peer that is silent may be gone for good without TCP noticing.
                used.inspect(|number| self.lose(*number, &silence()));
                let what = format!("{what}: no answer within {:?}", self.timeout);
                Err(LedgerError::unavailable(what, late))
            }
        }
    }

    /// Lets go of the connection.
    pub(super) fn close(&self) {
        self.line().connection = None;
    }

    async fn ask_twice<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
        used: &mut Option<u64>,
    ) -> Result<T, Arc<RedisError>> {
        match self.ask_once(commands, used).await {
            Err(error) if used.is_some() && breaks_connection(&error) => {
                self.ask_once(commands, used).await
            }
            answer => answer,
        }
    }

    async fn ask_once<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
        used: &mut Option<u64>,
    ) -> Result<T, Arc<RedisError>> {
        *used = None;
        let (mut connection, number) = self.connection().await?;
        *used = Some(number);
        let answer = self.send(commands, &mut connection).await.map_err(Arc::new);
        if let Err(error) = &answer
            && (breaks_connection(error) || error.is_timeout())
        {
            self.lose(number, error);
        }
        answer
    }

    async fn send<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
        connection: &mut MultiplexedConnection,
    ) -> Result<T, RedisError> {
        let answer = commands.query_async(connection).await;
        match answer {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                for script in &self.scripts {
                    script.load_async(connection).await?;
                }
                commands.query_async(connection).await
            }
            answer => answer,
        }
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), Arc<RedisError>> {
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
        let connected = self
            .client
            .get_multiplexed_async_connection_with_config(&self.config);
        let connected = connected.await.map_err(Arc::new);
        let mut line = self.line();
        match connected {
            Ok(connection) => Ok(line.connected(connection)),
            Err(error) => {
                line.cause = Arc::clone(&error);
                Err(error)
            }
        }
    }

    /// Notes that connection `number` is of no more use.
    fn lose(&self, number: u64, cause: &Arc<RedisError>) {
        let mut line = self.line();
        if line.number != number || line.connection.take().is_none() {
            return;
        }
        line.cause = Arc::clone(cause);
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
    fn up(&self) -> Result<Option<(MultiplexedConnection, u64)>, Arc<RedisError>> {
        match (self.open(), self.not_before) {
            (Some(open), _) => Ok(Some(open)),
            (None, Some(moment)) if clock::instant() < moment => Err(Arc::clone(&self.cause)),
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

/// Tells whether an error means that another connection may do better: this one is broken, or it
/// leads to a server that was demoted.
fn breaks_connection(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
        || error.kind() == ErrorKind::Server(ServerErrorKind::MasterDown)
}

/// Returns the first error where every command of a pipeline has its own: most often they are the
/// same, and as many as there are shards.
fn first(error: &RedisError) -> RedisError {
    let errors = error.clone().into_server_errors();
    match errors.as_deref() {
        Some([(_, first), ..]) => first.clone().into(),
        _ => error.clone(),
    }
}

fn silence() -> Arc<RedisError> {
    Arc::new((ErrorKind::Io, "no answer in time").into())
}

fn pauses() -> Pauses {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .with_jitter()
        .build()
}
