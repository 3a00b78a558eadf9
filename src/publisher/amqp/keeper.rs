//! Keeps a session: connects to one of the addresses, watches the connection, connects again.
//!
//! One task, which belongs to the drain. It says every change once, and shows publishers the session
//! or the reason why there is none. When the drain begins it ends and leaves the session open, so
//! that what is in flight can still be confirmed; [`super::Amqp`] closes it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::{FutureExt, StreamExt};
use lapin::tcp::RustlsConnector;
use lapin::types::ShortString;
use tracing::{info, warn};

use super::session::{Health, Session};
use super::{Board, Broker, Link};
use crate::clock;
use crate::shutdown::Drain;

/// The first and the longest pause between attempts, before jitter, which at most doubles them.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(2500));

/// A session that lasted this long was a good one: the next pause is short again.
const STEADY: Duration = Duration::from_secs(30);

/// How often the connection is looked at even when it says nothing.
const LOOK: Duration = Duration::from_secs(1);

/// How many different reasons are logged in one outage.
const REASONS: usize = 8;

/// Why there is no session, in words that may be shown: lapin's errors hold no credentials.
pub(super) struct Fault(pub(super) Arc<str>);

impl Fault {
    pub(super) fn new(what: &str, error: &lapin::Error) -> Self {
        Self(format!("{what}: {error}").into())
    }

    pub(super) fn text(what: &str) -> Self {
        Self(what.into())
    }
}

/// What a session is for, whichever broker it is with.
pub(super) struct Target {
    pub(super) exchange: ShortString,
    /// The queue to declare, with all that belongs to it.
    pub(super) queue: Option<ShortString>,
    /// What `amqps` is spoken with.
    pub(super) tls: Option<RustlsConnector>,
    pub(super) confirm_timeout: Duration,
}

/// The task that keeps a session.
pub(super) struct Keeper {
    brokers: Vec<Broker>,
    target: Target,
    board: Arc<Board>,
    drain: Drain,
    up: bool,
    attempts: usize,
    said: Vec<Arc<str>>,
}

/// How holding a session ended.
enum Held {
    Lost,
    Left,
}

impl Keeper {
    pub(super) fn new(
        brokers: Vec<Broker>,
        target: Target,
        board: Arc<Board>,
        drain: &Drain,
    ) -> Self {
        let drain = drain.clone();
        Self {
            brokers,
            target,
            board,
            drain,
            up: false,
            attempts: 0,
            said: Vec::new(),
        }
    }

    /// Runs until the drain begins.
    pub(super) async fn keep(mut self) {
        let brokers = std::mem::take(&mut self.brokers);
        let mut pauses = pauses();
        for broker in brokers.iter().cycle() {
            let session = tokio::select! {
                () = self.drain.stopping() => return,
                session = Session::open(broker, &self.target, &self.drain) => session,
            };
            let since = clock::instant();
            match session {
                Ok(session) => match self.hold(broker, session.into()).await {
                    Held::Lost => {}
                    Held::Left => return,
                },
                Err(fault) => self.down(broker, fault.0),
            }
            if clock::instant().duration_since(since) >= STEADY {
                pauses = self::pauses();
            }
            tokio::select! {
                () = self.drain.stopping() => return,
                () = tokio::time::sleep(pauses.next().unwrap_or(PAUSE.1)) => {}
            }
        }
    }

    /// Holds a session until it breaks or the drain begins.
    async fn hold(&mut self, broker: &Broker, session: Arc<Session>) -> Held {
        let mut events = pin!(session.events());
        let mut reason = "no reason given".to_owned();
        loop {
            // What has been said already is the reason for what is seen next.
            while let Some(Some(event)) = events.next().now_or_never() {
                note(event, &mut reason);
            }
            let over = match session.health() {
                Health::Open => {
                    self.up(broker, &session);
                    None
                }
                Health::Blocked => {
                    let why = format!("the broker has blocked publishing: {reason}");
                    self.down(broker, why.into());
                    None
                }
                Health::Lost => Some(format!("connection lost: {reason}").into()),
                Health::Useless(why) => Some(why),
            };
            if let Some(why) = over {
                self.down(broker, why);
                session.end().await;
                return Held::Lost;
            }
            tokio::select! {
                () = self.drain.stopping() => return Held::Left,
                Some(event) = events.next() => note(event, &mut reason),
                () = session.suspicious() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn up(&mut self, broker: &Broker, session: &Arc<Session>) {
        if self.up {
            return;
        }
        self.up = true;
        self.attempts = 0;
        self.said.clear();
        self.board.show(Link::Up(Arc::clone(session)));
        info!(broker = %broker.shown, exchange = %self.target.exchange, "broker ready");
    }

    fn down(&mut self, broker: &Broker, why: Arc<str>) {
        self.up = false;
        self.attempts = self.attempts.saturating_add(1);
        self.board.show(Link::Down {
            // The log has a field for the broker; whoever reads the board has only these words.
            why: format!("{}: {why}", broker.shown).into(),
            attempts: self.attempts,
        });
        if self.said.len() < REASONS && !self.said.contains(&why) {
            warn!(broker = %broker.shown, reason = %why, "broker unavailable");
            self.said.push(why);
        }
    }
}

fn note(event: lapin::Event, reason: &mut String) {
    match event {
        lapin::Event::ConnectionBlocked(why) => *reason = why,
        lapin::Event::Error(error) => *reason = error.to_string(),
        _ => {}
    }
}

fn pauses() -> ExponentialBackoff {
    let builder = ExponentialBuilder::default()
        .with_min_delay(PAUSE.0)
        .with_max_delay(PAUSE.1);
    builder.with_jitter().without_max_times().build()
}
