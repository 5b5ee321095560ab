//! One thread writes. What waits is committed together.
//!
//! ```text
//! callers ──▶ bounded queue ──▶ BEGIN IMMEDIATE · job · job · … · COMMIT ──▶ every caller of the group
//! ```
//!
//! Invariants:
//! - A commit is synced to disk but where no job of its group asks for it; the next synced one covers it.
//! - No caller is answered, and no watcher woken, before the commit that holds its change.
//! - A job that fails for a reason of its own spoils no other. What it had changed before is undone with the whole
//!   group, and the others run again: that is rare, and a savepoint for each job would copy each page that it changes.
//! - A failure of the engine ends the whole group: nothing of it is kept, everybody is told.
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

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

/// Under load, synced commits begin no closer together: a sync costs as much as ten writes.
const SYNC_EVERY: Duration = Duration::from_millis(3);
/// Nor closer than this many times what the last one took, up to the time in which commits are gathered: where the
/// disk is slow or the machine is full, more share a commit.
const SYNC_SPACING: u32 = 4;

/// What a write asks of its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Haste {
    /// With the next commit, after a little while at most, and on disk only with one that is: a power cut may forget
    /// it, a crash of the process not. For what is done again when it was forgotten, and what nobody waits for.
    Idle,
    /// At once, and on disk like [`Haste::Idle`].
    Unsynced,
    /// On disk, after a little while in which others may come to share the commit: nobody waits for it.
    Soon,
    /// On disk, at once.
    Now,
}

impl Haste {
    fn is_synced(self) -> bool {
        self >= Self::Soon
    }
}

/// What a write may use while its transaction is open.
pub(super) struct Tx<'c> {
    pub(super) conn: &'c Connection,
    pub(super) signals: &'c mut Signals,
    pub(super) render: &'c RenderWebhook,
}

trait Job: Send {
    fn haste(&self) -> Haste;
    /// May run again after a rollback, and does the same then.
    fn run(&mut self, tx: Tx<'_>) -> Result<(), StoreError>;
    /// Answers the caller.
    fn settle(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Write<T, F> {
    haste: Haste,
    /// Its place in the queue.
    _place: OwnedSemaphorePermit,
    work: F,
    done: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Write<T, F>
where
    T: Send,
    F: Fn(Tx<'_>) -> Result<T, StoreError> + Send,
{
    fn haste(&self) -> Haste {
        self.haste
    }

    fn run(&mut self, tx: Tx<'_>) -> Result<(), StoreError> {
        self.done = Some((self.work)(tx)?);
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
    places: Arc<Semaphore>,
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
        gather: Duration,
        render: RenderWebhook,
        changes: Changes,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel();
        let thread = WriterThread {
            conn: Some(conn),
            connect,
            gather,
            render,
            changes,
            is_syncing: true,
            synced: None,
        };
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || thread.run(&jobs))
            .map_err(|error| StoreError::Unavailable(format!("its thread: {error}")))?;
        let places = Arc::new(Semaphore::new(QUEUE_MAX));
        Ok(Self { queue, places })
    }

    /// Runs `work` in a transaction and returns once it is committed. What a job spoils that shares the transaction is
    /// rolled back, and `work` runs again.
    pub(super) async fn write<T, F>(&self, haste: Haste, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let place = tokio::time::timeout(QUEUE_WAIT, self.places.clone().acquire_owned());
        let place = place
            .await
            .map_err(|_| StoreError::Overloaded)?
            .map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Write {
            haste,
            _place: place,
            work,
            done: None,
            reply,
        });
        self.queue.send(Message::Job(job)).map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Writes that wait or run.
    pub(super) fn waiting(&self) -> usize {
        QUEUE_MAX.saturating_sub(self.places.available_permits())
    }

    /// Finishes what waits, then closes the connection.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        let (reply, closed_now) = oneshot::channel();
        self.queue.send(Message::Close(reply)).map_err(|_| closed())?;
        // An error means that the thread has ended before: closed all the same.
        let _ = closed_now.await;
        Ok(())
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}

struct WriterThread {
    /// `None` after a failure that leaves its state unknown.
    conn: Option<Connection>,
    connect: Connect,
    gather: Duration,
    render: RenderWebhook,
    changes: Changes,
    /// What `conn` is set to.
    is_syncing: bool,
    /// When the last synced group began, and how long it took.
    synced: Option<(Instant, Duration)>,
}

/// Jobs that share a commit.
type Jobs = Vec<Box<dyn Job>>;

/// What has come and not been committed.
#[derive(Default)]
struct Waiting {
    unsynced: Pile,
    synced: Pile,
    close: Option<oneshot::Sender<()>>,
}

#[derive(Default)]
struct Pile {
    jobs: Jobs,
    /// The most haste among them.
    haste: Option<Haste>,
    /// When the first of them came.
    since: Option<Instant>,
}

impl Pile {
    fn add(&mut self, job: Box<dyn Job>) {
        self.since.get_or_insert_with(Instant::now);
        self.haste = self.haste.max(Some(job.haste()));
        self.jobs.push(job);
    }
}

impl Waiting {
    fn take(&mut self, message: Message) {
        match message {
            Message::Job(job) if job.haste().is_synced() => self.synced.add(job),
            Message::Job(job) => self.unsynced.add(job),
            Message::Close(reply) => self.close = Some(reply),
        }
    }

    fn is_full(&self) -> bool {
        self.close.is_some() || self.synced.jobs.len() >= GROUP_MAX || self.unsynced.jobs.len() >= GROUP_MAX
    }

    /// What leaves now: what is not synced goes along with what is, but not the other way round.
    fn leave(&mut self, with_synced: bool) -> Jobs {
        let mut jobs = std::mem::take(&mut self.unsynced).jobs;
        if with_synced {
            jobs.append(&mut std::mem::take(&mut self.synced).jobs);
        }
        jobs
    }
}

impl WriterThread {
    fn run(mut self, queue: &mpsc::Receiver<Message>) {
        let mut waiting = Waiting::default();
        loop {
            while !waiting.is_full()
                && let Ok(message) = queue.try_recv()
            {
                waiting.take(message);
            }
            let now = Instant::now();
            let synced_at = self.synced_leave_at(&waiting, now);
            let leave_at = synced_at
                .into_iter()
                .chain(self.unsynced_leave_at(&waiting))
                .min();
            let wait = leave_at.map(|at| at.saturating_duration_since(now));
            let came = match wait {
                None => queue.recv().ok(),
                Some(wait) if !wait.is_zero() => match queue.recv_timeout(wait) {
                    Ok(message) => Some(message),
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => None,
                },
                Some(_) => {
                    self.run_group(waiting.leave(synced_at.is_some_and(|at| at <= now)));
                    let Some(reply) = waiting.close.take() else {
                        continue;
                    };
                    // Closing checkpoints; what it could not write back lies safe in the log.
                    drop(self.conn.take());
                    let _ = reply.send(());
                    return;
                }
            };
            match came {
                Some(message) => waiting.take(message),
                // Every handle is gone, and so are all that could wait for an answer.
                None => return self.run_group(waiting.leave(true)),
            }
        }
    }

    /// Until when what is to be synced may wait for others to share its commit. `None`: nothing waits.
    fn synced_leave_at(&self, waiting: &Waiting, now: Instant) -> Option<Instant> {
        if waiting.is_full() {
            return Some(now);
        }
        let since = waiting.synced.since?;
        Some(match (waiting.synced.haste, self.synced) {
            (Some(Haste::Now), Some((began, took))) => {
                let spacing = (took * SYNC_SPACING).max(SYNC_EVERY);
                began + spacing.min(self.gather)
            }
            (Some(Haste::Now), None) => since,
            _ => since + self.gather,
        })
    }

    fn unsynced_leave_at(&self, waiting: &Waiting) -> Option<Instant> {
        let since = waiting.unsynced.since?;
        Some(match waiting.unsynced.haste {
            Some(Haste::Unsynced) => since,
            _ => since + self.gather,
        })
    }

    fn run_group(&mut self, mut group: Jobs) {
        if group.is_empty() {
            return;
        }
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
            None => {
                self.is_syncing = true;
                self.connect.to_write()?
            }
        };
        let must_sync = group.iter().any(|job| job.haste().is_synced());
        if must_sync != self.is_syncing {
            let set = if must_sync {
                "PRAGMA synchronous = FULL"
            } else {
                "PRAGMA synchronous = NORMAL"
            };
            query(set).execute(&conn)?;
            self.is_syncing = must_sync;
        }
        let began = Instant::now();
        let done = run_in_transaction(&conn, group, signals, &self.render);
        if must_sync {
            self.synced = Some((began, began.elapsed()));
        }
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
    let run = |sql| query(sql).execute(conn).map_err(of_the_group);
    let mut results = vec![Ok(()); group.len()];
    // Each turn but the last leaves one job more aside.
    loop {
        run("BEGIN IMMEDIATE")?;
        if run_jobs(conn, group, &mut results, signals, render)? {
            run("COMMIT")?;
            return Ok(results);
        }
        // The engine may have rolled back by itself.
        if !conn.is_autocommit() {
            run("ROLLBACK")?;
        }
        *signals = Signals::default();
    }
}

/// What ends a whole group is the fault of none of its jobs: each may be tried again.
fn of_the_group(error: StoreError) -> StoreError {
    match error {
        error if error.is_transient() => error,
        error => StoreError::Unavailable(error.to_string()),
    }
}

/// False when a job failed and left the transaction spoilt: it had changed something, or the engine is in doubt. Who
/// has an error in `results` does not run.
fn run_jobs(
    conn: &Connection,
    group: &mut [Box<dyn Job>],
    results: &mut [Result<(), StoreError>],
    signals: &mut Signals,
    render: &RenderWebhook,
) -> Result<bool, StoreError> {
    for (job, result) in group.iter_mut().zip(results) {
        if result.is_err() {
            continue;
        }
        let changes = conn.total_changes();
        let mut own = Signals::default();
        let tx = Tx {
            conn,
            signals: &mut own,
            render,
        };
        *result = std::panic::catch_unwind(AssertUnwindSafe(|| job.run(tx)))
            .unwrap_or_else(|_| Err(StoreError::Corrupt("a write panicked".into())));
        match result {
            Ok(()) if conn.is_autocommit() => {
                return Err(StoreError::Unavailable("the transaction ended early".into()));
            }
            Ok(()) => signals.add(own),
            Err(error) if error.is_transient() => return Err(error.clone()),
            // A statement that met a damaged index may have done half of its work, uncounted.
            Err(StoreError::Corrupt(_)) => return Ok(false),
            Err(_) if conn.is_autocommit() || conn.total_changes() != changes => return Ok(false),
            Err(_) => {}
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::super::{CancelNotice, StoreOptions};
    use super::super::statement::get;
    use super::*;
    use crate::model::{AttemptId, Entropy, Reason, UnixMillis, VerificationId};

    /// A writer on a file of its own, with the schema of the test.
    fn started(schema: &str, gather: Duration, changes: Changes) -> (tempfile::TempDir, Writer) {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("x.db").display());
        let options = StoreOptions::new(url, Arc::new(|_| String::new()));
        let connect = Connect::new(&options).unwrap();
        let conn = connect.to_write().unwrap();
        conn.execute_batch(schema).unwrap();
        let writer = Writer::start(conn, connect, gather, options.render, changes).unwrap();
        (dir, writer)
    }

    #[tokio::test]
    async fn a_commit_is_synced_as_its_jobs_ask_each_time() {
        let (_dir, writer) = started("", Duration::ZERO, Changes::new());
        let set = |tx: Tx<'_>| get::<i64>(&query("PRAGMA synchronous").fetch_one(tx.conn)?, "synchronous");
        for _ in 0..3 {
            // 1: NORMAL, which in a write-ahead log syncs no commit; 2: FULL.
            assert_eq!(writer.write(Haste::Unsynced, set).await, Ok(1));
            assert_eq!(writer.write(Haste::Soon, set).await, Ok(2));
            assert_eq!(writer.write(Haste::Unsynced, set).await, Ok(1));
            assert_eq!(writer.write(Haste::Now, set).await, Ok(2));
        }
    }

    #[tokio::test]
    async fn what_nobody_waits_for_goes_along_with_the_next_commit() {
        // Alone it would wait for as long.
        let gather = Duration::from_secs(3600);
        let (_dir, writer) = started("CREATE TABLE t (x TEXT) STRICT", gather, Changes::new());
        let add = |tx: Tx<'_>| query("INSERT INTO t VALUES ('x')").execute(tx.conn);
        let count = |tx: Tx<'_>| {
            get::<i64>(
                &query("SELECT count(*) AS rows FROM t").fetch_one(tx.conn)?,
                "rows",
            )
        };
        for haste in [Haste::Now, Haste::Unsynced] {
            let before = writer.write(haste, count).await.unwrap();
            let (idle, hasty) = tokio::join!(writer.write(Haste::Idle, add), writer.write(haste, count));
            assert_eq!((idle, hasty), (Ok(1), Ok(before + 1)), "{haste:?}");
        }
        // What is to be synced does not leave without: here it waits for the end.
        let soon = writer.write(Haste::Soon, add);
        let (soon, closed) = tokio::join!(soon, writer.close());
        assert_eq!((soon, closed), (Ok(1), Ok(())));
    }

    #[tokio::test]
    async fn a_job_that_fails_after_it_changed_something_leaves_nothing_and_spoils_no_other() {
        let changes = Changes::new();
        let (outbox, mut cancels) = (changes.outbox(), changes.cancels());
        // All of them share one commit.
        let gather = Duration::from_secs(3600);
        let (_dir, writer) = started("CREATE TABLE t (x TEXT PRIMARY KEY) STRICT", gather, changes);
        let runs = Arc::new(AtomicUsize::new(0));
        let add = |word: &'static str, error: Option<StoreError>| {
            let runs = Arc::clone(&runs);
            writer.write(Haste::Idle, move |tx: Tx<'_>| {
                runs.fetch_add(1, Ordering::Relaxed);
                query("INSERT INTO t VALUES (?)").bind(word).execute(tx.conn)?;
                tx.signals.outbox_due |= error.is_some();
                tx.signals.cancels.push(notice(word));
                error.clone().map_or(Ok(word), Err)
            })
        };
        let panics = writer.write(Haste::Idle, |tx: Tx<'_>| -> Result<(), StoreError> {
            query("INSERT INTO t VALUES ('panic')").execute(tx.conn)?;
            panic!("as the test wants");
        });
        let words = writer.write(Haste::Unsynced, |tx: Tx<'_>| {
            let rows = query("SELECT x FROM t ORDER BY rowid").fetch_all(tx.conn)?;
            rows.iter()
                .map(|row| get::<String>(row, "x"))
                .collect::<Result<Vec<_>, _>>()
        });
        let (first, failed, second, doubled, panicked, third, words) = tokio::join!(
            add("first", None),
            add("failed", Some(StoreError::NotFound("x"))),
            add("second", None),
            // Has changed nothing: the group goes on.
            add("first", None),
            panics,
            add("third", None),
            words
        );
        assert_eq!((first, second, third), (Ok("first"), Ok("second"), Ok("third")));
        assert_eq!(failed, Err(StoreError::NotFound("x")));
        assert_eq!(doubled, Err(StoreError::Conflict("row")));
        assert_eq!(panicked, Err(StoreError::Corrupt("a write panicked".into())));
        assert_eq!(words.unwrap(), ["first", "second", "third"]);
        // Three turns: "first" in each, "failed" in the first, "second" and what doubles in two, "third" in one.
        assert_eq!(runs.load(Ordering::Relaxed), 3 + 1 + 2 + 1 + 1);
        // Of what was undone nobody hears, and of the rest once.
        assert!(!outbox.has_changed().unwrap());
        let told: Vec<String> = std::iter::from_fn(|| cancels.try_recv().ok())
            .map(|notice| notice.node)
            .collect();
        assert_eq!(told, ["first", "second", "third"]);
    }

    fn notice(node: &str) -> CancelNotice {
        let entropy = &mut Entropy::from_number(1);
        CancelNotice {
            verification: VerificationId::generate(UnixMillis(1), entropy),
            attempt: AttemptId::generate(UnixMillis(1), entropy),
            node: node.into(),
            reason: Reason::Superseded,
        }
    }
}
