//! One channel with many messages in flight.
//!
//! One task, which belongs to the drain. It alone publishes on its channel, since what several tasks
//! publish at once is numbered by lapin in another order than it is sent. What the confirms say is
//! judged by [`super::verdicts`]. A broker that closes the channel does not say over which message:
//! then nobody in flight is answered, and [`super::session`] tries each of them alone.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, poll_fn};
use lapin::message::BasicReturnMessage;
use lapin::{Channel, Confirmation, Connection};
use tokio::sync::{Notify, mpsc, oneshot};

use super::session::{Message, confirming};
use super::verdicts::{Resolved, Returned, Verdict, Verdicts, gather};
use crate::clock;
use crate::signal::SignalId;

/// How many messages of one channel may be without a verdict. A wake-up looks at all of them.
pub(super) const IN_FLIGHT: usize = 256;

/// How many more may wait for their turn on a channel.
const WAITING: usize = 64;

/// How often a pipe looks whether a confirm is overdue.
const LOOK: Duration = Duration::from_secs(1);

/// A message to publish, and who waits for its verdict. Nobody answers where there can be none.
struct Job {
    message: Message,
    reply: oneshot::Sender<Verdict>,
}

/// Where messages enter a pipe. When it is dropped, the pipe ends.
pub(super) struct Inlet(mpsc::Sender<Job>);

impl Inlet {
    /// Publishes a message. `None`: it may have been sent, and nothing is known of it.
    pub(super) async fn publish(&self, message: Message) -> Option<Verdict> {
        let (reply, verdict) = oneshot::channel();
        self.0.send(Job { message, reply }).await.ok()?;
        verdict.await.ok()
    }
}

/// The task of one channel after another.
pub(super) struct Pipe {
    connection: Arc<Connection>,
    jobs: mpsc::Receiver<Job>,
    /// How long a confirm may take before the channel is given up.
    patience: Duration,
    suspicion: Arc<Notify>,
}

impl Pipe {
    pub(super) fn new(
        connection: Arc<Connection>,
        patience: Duration,
        suspicion: Arc<Notify>,
    ) -> (Inlet, Self) {
        let (inlet, jobs) = mpsc::channel(WAITING);
        let pipe = Self {
            connection,
            jobs,
            patience,
            suspicion,
        };
        (Inlet(inlet), pipe)
    }

    /// Runs until the inlet is gone and what was in flight has its verdict.
    pub(super) async fn run(mut self) {
        while let Some(job) = self.jobs.recv().await {
            // Whoever cannot be published here tries alone, and learns why that fails.
            if let Ok(channel) = confirming(&self.connection).await {
                let mut window = Window::new(channel);
                window.publish(job);
                window.run(&mut self.jobs, self.patience).await;
            }
            self.suspicion.notify_one();
        }
    }
}

/// A channel and what is in flight on it.
struct Window {
    channel: Channel,
    flying: Vec<Flying>,
    verdicts: Verdicts<oneshot::Sender<Verdict>, SignalId>,
}

struct Flying {
    id: SignalId,
    reply: oneshot::Sender<Verdict>,
    since: Instant,
    /// Sends when it is first polled, and resolves with the confirm.
    confirm: BoxFuture<'static, lapin::Result<Confirmation>>,
}

/// The channel is of no use any more.
struct Broken;

impl Window {
    fn new(channel: Channel) -> Self {
        Self {
            channel,
            flying: Vec::new(),
            verdicts: Verdicts::new(),
        }
    }

    /// Runs until the channel breaks, a confirm is overdue, or there is nothing more to do.
    async fn run(&mut self, jobs: &mut mpsc::Receiver<Job>, patience: Duration) {
        let mut work = pin!(poll_fn(|context| {
            let done = ready!(self.poll(context, jobs, patience));
            Poll::Ready(done.is_ok())
        }));
        // Polled at least this often, so that it sees what is overdue.
        while tokio::time::timeout(LOOK, &mut work).await.is_err() {}
    }

    /// Publishes what waits and decides what has resolved, as far as that goes now.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        jobs: &mut mpsc::Receiver<Job>,
        patience: Duration,
    ) -> Poll<Result<(), Broken>> {
        loop {
            let mut over = false;
            let mut published = 0;
            while self.verdicts.open() < IN_FLIGHT {
                match jobs.poll_recv(context) {
                    Poll::Ready(Some(job)) => {
                        self.publish(job);
                        published += 1;
                    }
                    Poll::Ready(None) => {
                        over = true;
                        break;
                    }
                    Poll::Pending => break,
                }
            }
            let decided = match self.decide(context) {
                Ok(decided) => decided,
                Err(broken) => return Poll::Ready(Err(broken)),
            };
            if self.is_overdue(patience) {
                return Poll::Ready(Err(Broken));
            }
            if over && self.verdicts.open() == 0 {
                return Poll::Ready(Ok(()));
            }
            if published == 0 && decided == 0 {
                return Poll::Pending;
            }
        }
    }

    /// Puts a message in flight. It is sent when its confirm is first looked at, in its turn.
    fn publish(&mut self, Job { message, reply }: Job) {
        // Whoever gave up has left the signal to the relay.
        if reply.is_closed() {
            return;
        }
        let id = message.id;
        let channel = self.channel.clone();
        let confirm = async move { message.send(&channel).await?.await }.boxed();
        self.verdicts.sent(id);
        self.flying.push(Flying {
            id,
            reply,
            since: clock::instant(),
            confirm,
        });
    }

    /// Makes one round. Returns how many confirms it found.
    fn decide(&mut self, context: &mut Context<'_>) -> Result<usize, Broken> {
        let found = gather(&mut self.flying, |one| {
            match one.confirm.as_mut().poll(context) {
                Poll::Ready(confirmation) => Some(confirmation),
                Poll::Pending => None,
            }
        });
        if found.is_empty() {
            return Ok(0);
        }
        let mut broken = false;
        let mut resolved = Vec::with_capacity(found.len());
        for (Flying { id, reply, .. }, confirmation) in found {
            let (acked, carried) = match confirmation {
                Ok(Confirmation::Ack(carried)) => (true, carried),
                Ok(Confirmation::Nack(carried)) => (false, carried),
                Ok(Confirmation::NotRequested) | Err(_) => {
                    broken = true;
                    continue;
                }
            };
            resolved.push(Resolved {
                message: reply,
                id,
                acked,
                carried: carried.map(returned),
            });
        }
        let count = resolved.len();
        for (reply, verdict) in self.verdicts.round(resolved).map_err(|_| Broken)? {
            // Nobody there any more: the signal is owed still, and published again.
            let _ = reply.send(verdict);
        }
        if broken { Err(Broken) } else { Ok(count) }
    }

    fn is_overdue(&self, patience: Duration) -> bool {
        // The first in flight is the oldest.
        let oldest = self.flying.first();
        oldest.is_some_and(|one| clock::instant().duration_since(one.since) > patience)
    }
}

fn returned(message: BasicReturnMessage) -> Returned<SignalId> {
    let id = message.properties.message_id().as_ref();
    Returned {
        id: id.and_then(|id| SignalId::parse(id.as_str())),
        why: message.reply_text.as_str().into(),
    }
}
