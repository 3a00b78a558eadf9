//! The drain: every task belongs to it, and shutting down means waiting for it with a deadline.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Tracks every task, tells them when to stop, and waits for them.
///
/// Two kinds of task: *work* (a delivery being recorded, a connection) is finished before the
/// process ends; *service* loops (relay, reconnecting, pruning) watch [`Drain::stopping`] and end
/// by themselves.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Drain {
    /// Creates a drain with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Spawns a task that belongs to the drain.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Runs work that must come to its end, even where whoever waits for it goes away: then a task
    /// of the drain takes over. Costs no task where nobody does. `None`: the work panicked.
    pub fn see_through<F>(&self, work: F) -> SeeThrough<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let work = AssertUnwindSafe(work).catch_unwind().map(Result::ok);
        SeeThrough {
            drain: self.clone(),
            work: Some(work.boxed()),
            _token: self.tasks.token(),
        }
    }

    /// Resolves when the drain begins.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Tells whether the drain has begun.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Tells every task to stop. Returns at once.
    pub fn begin(&self) {
        self.stop.cancel();
    }

    /// Begins the drain and waits for every task, at most `grace`. Returns whether all ended in time.
    pub async fn finish(&self, grace: Duration) -> bool {
        self.begin();
        self.tasks.close();
        tokio::time::timeout(grace, self.tasks.wait()).await.is_ok()
    }
}

/// Work that comes to its end whether it is waited for or not: [`Drain::see_through`].
pub struct SeeThrough<T: Send + 'static> {
    drain: Drain,
    /// Nothing once the work has ended.
    work: Option<BoxFuture<'static, Option<T>>>,
    /// The drain waits for it wherever it runs.
    _token: TaskTrackerToken,
}

impl<T: Send + 'static> Future for SeeThrough<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.work else {
            return Poll::Ready(None);
        };
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.work = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for SeeThrough<T> {
    fn drop(&mut self) {
        // Without a runtime the process is past its end, and the ledger holds what was not done.
        if let Some(work) = self.work.take()
            && Handle::try_current().is_ok()
        {
            self.drain.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn work_that_is_waited_for_runs_in_place() {
        let drain = Drain::new();
        let here = tokio::task::try_id();
        let there = drain.see_through(async { tokio::task::try_id() }).await;
        assert_eq!(there, Some(here));
        assert!(drain.tasks.is_empty());
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_comes_to_its_end() {
        let drain = Drain::new();
        let (go, gone) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel();
        let mut work = drain.see_through(async move {
            let _ = gone.await;
            let _ = done.send("ended");
        });
        assert!((&mut work).now_or_never().is_none());
        drop(work);
        let _ = go.send(());
        assert_eq!(ended.await, Ok("ended"));
        assert!(drain.finish(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn work_that_was_never_begun_is_done_all_the_same() {
        let drain = Drain::new();
        let (done, ended) = oneshot::channel();
        drop(drain.see_through(async move { done.send("ended") }));
        assert_eq!(ended.await, Ok("ended"));
    }

    #[tokio::test]
    async fn work_that_panics_takes_nobody_with_it() {
        let drain = Drain::new();
        let ended: Option<()> = drain.see_through(async { panic!("on purpose") }).await;
        assert_eq!(ended, None);
        assert!(drain.finish(Duration::from_secs(5)).await);
    }

    #[test]
    fn work_that_outlives_the_runtime_is_let_go() {
        drop(Drain::new().see_through(async {}));
    }

    #[tokio::test]
    async fn the_drain_waits_for_work_and_ends_loops() {
        let drain = Drain::new();
        let watcher = drain.clone();
        let looped = drain.spawn(async move { watcher.stopping().await });
        assert!(drain.finish(Duration::from_secs(5)).await);
        looped.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_drain_gives_up_at_its_deadline() {
        let drain = Drain::new();
        drain.spawn(std::future::pending::<()>());
        assert!(!drain.finish(Duration::from_secs(5)).await);
    }
}
