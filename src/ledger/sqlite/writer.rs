//! The one thread that uses the database: it commits what is queued in groups.
//!
//! A disk that needs some milliseconds for a sync would allow a few hundred commits a second. So what
//! is queued while one commit is synced goes into the next together, each piece of work in a savepoint
//! of its own, and nobody is answered before the commit.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::ledger::LedgerError;

/// How many calls may wait for the writer; more wait to be queued, no longer than a call may take.
const QUEUED: usize = 1024;
/// How many calls are committed together.
const COMMITTED_TOGETHER: usize = 128;

type Outcome<T> = Result<T, Arc<rusqlite::Error>>;

/// A handle on the writer thread. The thread ends when this is dropped or closed.
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    timeout: Duration,
}

enum Message {
    Work(Box<dyn Work>),
    Close(oneshot::Sender<()>),
}

impl Writer {
    /// Starts the thread that owns `db`.
    pub(super) fn start(db: Connection, timeout: Duration) -> std::io::Result<Self> {
        let (queue, messages) = mpsc::channel(QUEUED);
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || serve(db, messages))?;
        Ok(Self { queue, timeout })
    }

    /// Has `work` done and returns what it returned once that is committed.
    ///
    /// A caller who is told that it took too long does not know whether the work was done: work not
    /// yet begun is dropped, but a commit under way may still succeed. For a record that is safe: the
    /// signal is then owed, the relay publishes it, and the provider's retry is a duplicate.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Work(Box::new(Call {
            work: Some(work),
            done: None,
            reply,
        }));
        let answered = async {
            self.queue
                .send(message)
                .await
                .ok()
                .map(|()| answer)?
                .await
                .ok()
        };
        match tokio::time::timeout(self.timeout, answered).await {
            Ok(Some(outcome)) => outcome.map_err(|error| LedgerError::unavailable(what, error)),
            Ok(None) => {
                let what = format!("{what}: the ledger is closed");
                Err(LedgerError::Unavailable { what, source: None })
            }
            Err(late) => {
                let what = format!("{what}: not done within {:?}", self.timeout);
                Err(LedgerError::unavailable(what, late))
            }
        }
    }

    /// Lets the thread finish what is queued and close the database; later calls are refused.
    pub(super) async fn close(&self) {
        let (closed, wait) = oneshot::channel();
        if self.queue.send(Message::Close(closed)).await.is_ok() {
            // The sender is dropped with the thread, whether it answers or not.
            let _ended = wait.await;
        }
    }
}

fn serve(mut db: Connection, mut messages: mpsc::Receiver<Message>) {
    let mut closed = None;
    while let Some(first) = messages.blocking_recv() {
        let mut group = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Work(work) => group.push(work),
                Message::Close(reply) => {
                    messages.close();
                    closed = Some(reply);
                }
            }
            next = if group.len() < COMMITTED_TOGETHER {
                messages.try_recv().ok()
            } else {
                None
            };
        }
        commit_together(&mut db, group);
    }
    drop(db);
    if let Some(reply) = closed {
        // Whoever closed may have stopped waiting.
        let _unheard = reply.send(());
    }
}

fn commit_together(db: &mut Connection, group: Vec<Box<dyn Work>>) {
    let mut group = group.into_iter();
    while group.len() > 0 {
        let mut tried = Vec::with_capacity(group.len());
        let committed = transaction(db, &mut group, &mut tried).map_err(Arc::new);
        for work in tried {
            work.answer(committed.clone());
        }
    }
}

/// Runs work in one transaction. Whatever the outcome, it applies to all that was `tried`.
fn transaction(
    db: &mut Connection,
    group: &mut std::vec::IntoIter<Box<dyn Work>>,
    tried: &mut Vec<Box<dyn Work>>,
) -> rusqlite::Result<()> {
    if let Err(error) = db.execute_batch("BEGIN IMMEDIATE") {
        tried.extend(group);
        return Err(error);
    }
    for mut work in group {
        work.run(db);
        tried.push(work);
        // Some failures (a full disk, no memory) end the whole transaction and not just a savepoint.
        if db.is_autocommit() {
            break;
        }
    }
    db.execute_batch("COMMIT").inspect_err(|_| {
        // Fails where SQLite has rolled back already; then there is nothing left to do.
        let _nothing_to_roll_back = db.execute_batch("ROLLBACK");
    })
}

/// Something to be done in a transaction, and told to whoever asked once that is committed.
trait Work: Send {
    fn run(&mut self, db: &Connection);
    fn answer(self: Box<Self>, committed: Outcome<()>);
}

struct Call<T, F> {
    work: Option<F>,
    done: Option<rusqlite::Result<T>>,
    reply: oneshot::Sender<Outcome<T>>,
}

impl<T, F> Work for Call<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, db: &Connection) {
        // Nobody waits any more: it was too late before it began.
        if self.reply.is_closed() {
            return;
        }
        self.done = self.work.take().map(|work| in_savepoint(db, work));
    }

    fn answer(self: Box<Self>, committed: Outcome<()>) {
        let outcome = match (self.done, committed) {
            (Some(Err(error)), _) => Err(Arc::new(error)),
            (_, Err(error)) => Err(error),
            (Some(Ok(done)), Ok(())) => Ok(done),
            (None, Ok(())) => return,
        };
        // The caller may have stopped waiting.
        let _unheard = self.reply.send(outcome);
    }
}

fn in_savepoint<T>(
    db: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    db.execute_batch("SAVEPOINT work")?;
    let done = work(db).and_then(|done| db.execute_batch("RELEASE work").map(|()| done));
    if done.is_err() {
        // Fails where the failure ended the transaction; then nothing of the work is left anyway.
        let _gone_already = db.execute_batch("ROLLBACK TO work; RELEASE work");
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> (tempfile::TempDir, Arc<Writer>) {
        let dir = tempfile::tempdir().unwrap();
        let db = Connection::open(dir.path().join("x.db")).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x BLOB NOT NULL) STRICT")
            .unwrap();
        (
            dir,
            Arc::new(Writer::start(db, Duration::from_secs(20)).unwrap()),
        )
    }

    fn insert(bytes: u32) -> impl FnOnce(&Connection) -> rusqlite::Result<usize> {
        move |db| db.execute("INSERT INTO t VALUES (zeroblob(?1))", [bytes])
    }

    async fn count(writer: &Writer) -> i64 {
        let count = |db: &Connection| db.query_row("SELECT count(*) FROM t", [], |row| row.get(0));
        writer.call("counting", count).await.unwrap()
    }

    /// Holds the writer up until the sender is dropped, so that what follows is one group.
    async fn hold(
        writer: &Arc<Writer>,
    ) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (begun, running) = oneshot::channel();
        let writer = Arc::clone(writer);
        let task = crate::shutdown::Drain::new().spawn(async move {
            let wait = move |_: &Connection| {
                begun.send(()).unwrap();
                held.recv().unwrap_err();
                Ok(())
            };
            writer.call("holding", wait).await.unwrap();
        });
        running.await.unwrap();
        (release, task)
    }

    #[tokio::test]
    async fn work_that_fails_leaves_nothing_and_spoils_nothing_beside_it() {
        let (_dir, writer) = writer();
        let (release, held) = hold(&writer).await;
        let fails = |db: &Connection| {
            insert(1)(db)?;
            db.execute("INSERT INTO t VALUES (NULL)", [])
        };
        let release = async {
            drop(release);
            held.await.unwrap();
        };
        let (one, failed, two, ()) = tokio::join!(
            writer.call("one", insert(1)),
            writer.call("failing", fails),
            writer.call("two", insert(1)),
            release
        );
        assert!(one.is_ok() && two.is_ok());
        assert!(matches!(failed, Err(LedgerError::Unavailable { .. })));
        assert_eq!(count(&writer).await, 2);
    }

    #[tokio::test]
    async fn a_full_disk_fails_what_does_not_fit_and_nothing_else() {
        let (_dir, writer) = writer();
        let limit = |db: &Connection| db.query_row("PRAGMA max_page_count = 20", [], |_| Ok(()));
        writer.call("limiting", limit).await.unwrap();
        let (release, held) = hold(&writer).await;
        let release = async {
            drop(release);
            held.await.unwrap();
        };
        let half_fits = |db: &Connection| {
            insert(1)(db)?;
            insert(1 << 20)(db)
        };
        let (one, full, ()) = tokio::join!(
            writer.call("one", insert(1)),
            writer.call("full", half_fits),
            release
        );
        assert!(full.is_err());
        assert_eq!(count(&writer).await, i64::from(one.is_ok()));
        writer.call("later", insert(1)).await.unwrap();
    }

    #[tokio::test]
    async fn a_transaction_that_ends_early_fails_all_that_was_in_it() {
        let (_dir, writer) = writer();
        let (release, held) = hold(&writer).await;
        let release = async {
            drop(release);
            held.await.unwrap();
        };
        let ends = |db: &Connection| db.execute_batch("ROLLBACK");
        let (one, ended, two, ()) = tokio::join!(
            writer.call("one", insert(1)),
            writer.call("ending", ends),
            writer.call("two", insert(1)),
            release
        );
        assert!(one.is_err() && ended.is_err());
        assert!(two.is_ok());
        assert_eq!(count(&writer).await, 1);
    }

    #[tokio::test]
    async fn work_whose_caller_left_before_it_began_is_not_done() {
        let (_dir, writer) = writer();
        let (release, held) = hold(&writer).await;
        let mut left = Box::pin(writer.call("left", insert(1)));
        assert!(futures_util::poll!(left.as_mut()).is_pending());
        drop(left);
        drop(release);
        held.await.unwrap();
        assert_eq!(count(&writer).await, 0);
    }

    #[tokio::test]
    async fn closing_finishes_what_is_queued_and_refuses_what_comes_later() {
        let (_dir, writer) = writer();
        let (release, held) = hold(&writer).await;
        let release = async {
            drop(release);
            held.await.unwrap();
        };
        let (queued, (), ()) =
            tokio::join!(writer.call("queued", insert(1)), writer.close(), release);
        assert!(queued.is_ok());
        let refused = writer.call("late", insert(1)).await.unwrap_err();
        assert!(refused.to_string().contains("closed"), "{refused}");
    }
}
