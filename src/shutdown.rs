//! The drain: every task belongs to it, and shutting down means waiting for it with a deadline.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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

#[cfg(test)]
mod tests {
    use super::*;

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
