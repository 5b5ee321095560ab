//! One task writes. What waits is committed together.
//!
//! ```text
//! callers ──▶ bounded queue ──▶ BEGIN IMMEDIATE · SAVEPOINT job · … · COMMIT ──▶ every caller of the group
//! ```
//!
//! Invariants:
//! - No caller is answered, and no watcher woken, before the commit that holds its change.
//! - A job that fails for a reason of its own is rolled back to its savepoint and spoils no other.
//! - A failure of the engine ends the whole group: nothing of it is kept, everybody is told.
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use tokio::sync::{mpsc, oneshot};

use super::super::changes::{Changes, Signals};
use super::super::{RenderWebhook, StoreError};
use super::engine_error;

/// Writes that may wait.
const QUEUE_MAX: usize = 1024;
/// Writes that share one commit.
const GROUP_MAX: usize = 64;
/// Longest wait for a place in the queue.
const QUEUE_WAIT: Duration = Duration::from_secs(5);

/// What a write may use while its transaction is open.
pub(super) struct Tx<'c> {
    pub(super) conn: &'c mut SqliteConnection,
    pub(super) signals: &'c mut Signals,
    pub(super) render: &'c RenderWebhook,
}

pub(super) type Work<'c, T> = BoxFuture<'c, Result<T, StoreError>>;

trait Job: Send {
    fn run<'c>(&'c mut self, tx: Tx<'c>) -> Work<'c, ()>;
    /// Answers the caller.
    fn settle(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Write<T, F> {
    work: Option<F>,
    done: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Write<T, F>
where
    T: Send + 'static,
    F: for<'c> FnOnce(Tx<'c>) -> Work<'c, T> + Send,
{
    fn run<'c>(&'c mut self, tx: Tx<'c>) -> Work<'c, ()> {
        let (work, done) = (self.work.take(), &mut self.done);
        Box::pin(async move {
            let work = work.ok_or_else(|| StoreError::Unavailable("a write ran twice".into()))?;
            *done = Some(work(tx).await?);
            Ok(())
        })
    }

    fn settle(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { done, reply, .. } = *self;
        let answer = committed
            .and_then(|()| done.ok_or_else(|| StoreError::Unavailable("a write did not run".into())));
        // A caller that went away does not undo what it asked for.
        let _ = reply.send(answer);
    }
}

#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
}

enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

impl Writer {
    /// Starts the task on an open connection; `options` open the next one should this be lost.
    pub(super) fn start(
        conn: SqliteConnection,
        options: SqliteConnectOptions,
        render: RenderWebhook,
        changes: Changes,
    ) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let task = WriterTask {
            conn: Some(conn),
            options,
            render,
            changes,
        };
        tokio::spawn(task.run(jobs));
        Self { queue }
    }

    /// Runs `work` in a transaction and returns once it is durable.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(Tx<'c>) -> Work<'c, T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Write {
            work: Some(work),
            done: None,
            reply,
        });
        self.send(Message::Job(job)).await?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Finishes what waits, then closes the connection.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        let (reply, closed) = oneshot::channel();
        self.send(Message::Close(reply)).await?;
        // An error means that the task has ended before: closed all the same.
        let _ = closed.await;
        Ok(())
    }

    async fn send(&self, message: Message) -> Result<(), StoreError> {
        match tokio::time::timeout(QUEUE_WAIT, self.queue.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(closed()),
            Err(_) => Err(StoreError::Overloaded),
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}

struct WriterTask {
    /// `None` after a failure that leaves its state unknown.
    conn: Option<SqliteConnection>,
    options: SqliteConnectOptions,
    render: RenderWebhook,
    changes: Changes,
}

impl WriterTask {
    async fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut waiting = Vec::with_capacity(GROUP_MAX);
        while queue.recv_many(&mut waiting, GROUP_MAX).await > 0 {
            let mut group = Vec::with_capacity(waiting.len());
            let mut close = None;
            for message in waiting.drain(..) {
                match message {
                    Message::Job(job) => group.push(job),
                    Message::Close(reply) => close = Some(reply),
                }
            }
            if !group.is_empty() {
                self.run_group(group).await;
            }
            if let Some(reply) = close {
                if let Some(conn) = self.conn.take() {
                    // Closing checkpoints; what it could not write back lies safe in the log.
                    let _ = conn.close().await;
                }
                let _ = reply.send(());
                return;
            }
        }
    }

    async fn run_group(&mut self, mut group: Vec<Box<dyn Job>>) {
        let mut signals = Signals::default();
        let results = match self.transact(&mut group, &mut signals).await {
            Ok(results) => {
                self.changes.send(signals);
                results
            }
            Err(error) => vec![Err(error); group.len()],
        };
        for (job, result) in group.into_iter().zip(results) {
            job.settle(result);
        }
    }

    /// One result per job; an error when nothing of the group was kept.
    async fn transact(
        &mut self,
        group: &mut [Box<dyn Job>],
        signals: &mut Signals,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.options.connect().await.map_err(engine_error)?,
        };
        match run_in_transaction(&mut conn, group, signals, &self.render).await {
            Ok(results) => {
                self.conn = Some(conn);
                Ok(results)
            }
            Err(error) => {
                // A connection that cannot even roll back is dropped: SQLite rolls back for it.
                if conn.execute("ROLLBACK").await.is_ok() || error == StoreError::Locked {
                    self.conn = Some(conn);
                }
                Err(error)
            }
        }
    }
}

async fn run_in_transaction(
    conn: &mut SqliteConnection,
    group: &mut [Box<dyn Job>],
    signals: &mut Signals,
    render: &RenderWebhook,
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    conn.execute("BEGIN IMMEDIATE; SAVEPOINT job")
        .await
        .map_err(engine_error)?;
    let mut results = Vec::with_capacity(group.len());
    for job in group {
        let mut own = Signals::default();
        let run = AssertUnwindSafe(job.run(Tx {
            conn: &mut *conn,
            signals: &mut own,
            render,
        }));
        let result = run
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(StoreError::Corrupt("a write panicked".into())));
        match result {
            Ok(()) => {
                conn.execute("RELEASE job; SAVEPOINT job")
                    .await
                    .map_err(engine_error)?;
                signals.add(own);
                results.push(Ok(()));
            }
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                // The savepoint stays, for the next job.
                conn.execute("ROLLBACK TO job").await.map_err(engine_error)?;
                results.push(Err(error));
            }
        }
    }
    conn.execute("COMMIT").await.map_err(engine_error)?;
    Ok(results)
}
