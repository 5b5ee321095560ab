//! One thread writes. What waits is committed together.
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

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::super::changes::{Changes, Signals};
use super::super::{RenderWebhook, StoreError};
use super::connect::Connect;
use super::statement::query;

/// Writes that may wait.
const QUEUE_MAX: usize = 1024;
/// Writes that share one commit.
const GROUP_MAX: usize = 64;
/// Longest wait for a place in the queue.
const QUEUE_WAIT: Duration = Duration::from_secs(5);

/// What a write may use while its transaction is open.
pub(super) struct Tx<'c> {
    pub(super) conn: &'c Connection,
    pub(super) signals: &'c mut Signals,
    pub(super) render: &'c RenderWebhook,
}

trait Job: Send {
    fn run(&mut self, tx: Tx<'_>) -> Result<(), StoreError>;
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
    T: Send,
    F: FnOnce(Tx<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, tx: Tx<'_>) -> Result<(), StoreError> {
        let work = self.work.take();
        let work = work.ok_or_else(|| StoreError::Unavailable("a write ran twice".into()))?;
        self.done = Some(work(tx)?);
        Ok(())
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
    /// Starts the thread on an open connection; `connect` opens the next one should this be lost.
    pub(super) fn start(
        conn: Connection,
        connect: Connect,
        render: RenderWebhook,
        changes: Changes,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let thread = WriterThread {
            conn: Some(conn),
            connect,
            render,
            changes,
        };
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.run(jobs))
            .map_err(|error| StoreError::Unavailable(format!("its thread: {error}")))?;
        Ok(Self { queue })
    }

    /// Runs `work` in a transaction and returns once it is durable.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Tx<'_>) -> Result<T, StoreError> + Send + 'static,
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
        // An error means that the thread has ended before: closed all the same.
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

struct WriterThread {
    /// `None` after a failure that leaves its state unknown.
    conn: Option<Connection>,
    connect: Connect,
    render: RenderWebhook,
    changes: Changes,
}

impl WriterThread {
    fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut waiting = Vec::with_capacity(GROUP_MAX);
        while queue.blocking_recv_many(&mut waiting, GROUP_MAX) > 0 {
            let mut group = Vec::with_capacity(waiting.len());
            let mut close = None;
            for message in waiting.drain(..) {
                match message {
                    Message::Job(job) => group.push(job),
                    Message::Close(reply) => close = Some(reply),
                }
            }
            if !group.is_empty() {
                self.run_group(group);
            }
            if let Some(reply) = close {
                // Closing checkpoints; what it could not write back lies safe in the log.
                drop(self.conn.take());
                let _ = reply.send(());
                return;
            }
        }
    }

    fn run_group(&mut self, mut group: Vec<Box<dyn Job>>) {
        let mut signals = Signals::default();
        let results = match self.transact(&mut group, &mut signals) {
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
    fn transact(
        &mut self,
        group: &mut [Box<dyn Job>],
        signals: &mut Signals,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.connect.to_write()?,
        };
        let done = run_in_transaction(&conn, group, signals, &self.render);
        // A connection that cannot even roll back is dropped: SQLite rolls back for it.
        if conn.is_autocommit() || conn.execute_batch("ROLLBACK").is_ok() {
            self.conn = Some(conn);
        }
        done
    }
}

fn run_in_transaction(
    conn: &Connection,
    group: &mut [Box<dyn Job>],
    signals: &mut Signals,
    render: &RenderWebhook,
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    let run = |sql| query(sql).execute(conn);
    run("BEGIN IMMEDIATE")?;
    run("SAVEPOINT job")?;
    let mut results = Vec::with_capacity(group.len());
    for job in group {
        let mut own = Signals::default();
        let tx = Tx {
            conn,
            signals: &mut own,
            render,
        };
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| job.run(tx)))
            .unwrap_or_else(|_| Err(StoreError::Corrupt("a write panicked".into())));
        match result {
            Ok(()) => {
                run("RELEASE job")?;
                run("SAVEPOINT job")?;
                signals.add(own);
                results.push(Ok(()));
            }
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                // The savepoint stays, for the next job.
                run("ROLLBACK TO job")?;
                results.push(Err(error));
            }
        }
    }
    run("COMMIT")?;
    Ok(results)
}
