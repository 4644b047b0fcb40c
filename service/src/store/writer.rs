//! SQLite's one writer: a thread of its own, on which the writes that wait together share one commit.
//!
//! A commit is a sync of the log to the disk, and costs more than most writes do. Under load several writes wait while the disk
//! works for the ones before them; they run in one transaction then, each so that it can be refused alone, and each is answered
//! after the commit. A write that comes alone begins at once, and so does each one of a client that writes one by one. Where
//! writes came together a moment ago, the next waits a little for as many.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use diesel::connection::{AnsiTransactionManager, TransactionManager as _};
use diesel::result::Error::DatabaseError;
use diesel::sql_types::BigInt;
use diesel::{QueryResult, RunQueryDsl as _, SqliteConnection};
use tokio::sync::oneshot;

use telemetry::context::RequestContext;
use telemetry::metrics::PoolState;

use super::idempotency::Effect;
use super::probe::Probe;
use super::statement::Statement;
use super::tasks::texts;
use super::{Backend, Db, End, Operation, SQLITE_WAIT_MAX, StoreError, Undo, sqlite};

/// Writes that share one commit at most: what the first of them waits for, and what fails together when the disk is full.
const GROUP_MAX: usize = 64;
/// How long a write waits at most for as many as came together last time: a tenth of what a request may take. Fewer commits are
/// fewer syncs and fewer pieces of the full-text index, and the readers' caches, which end with each commit, live longer.
const GATHER_MAX: Duration = Duration::from_millis(20);
/// A group that is longer ago says nothing of the next.
const COMPANY_MAX: Duration = Duration::from_millis(100);
/// Writes that may wait for the thread. Twice the requests that are in flight by default: it bounds memory, and the time that
/// one waits ([`SQLITE_WAIT_MAX`]) is over long before. Who waits is in `db_client_connection_pending_requests`.
const QUEUE_MAX: usize = 1024;

/// Answers one write, with the error of the commit where that failed.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// One write. It gets the connection, or why there is none, and whether others are in the transaction before it.
type Work = Box<dyn FnOnce(Result<&mut SqliteConnection, StoreError>, bool) -> Ran + Send>;

/// What has to be done to undo a write, and nothing but it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undoing {
    /// It has the transaction to itself so far: all of it is undone.
    Transaction,
    /// It runs within a savepoint.
    Savepoint,
    /// Nothing: where it refuses, it has changed nothing. Should it have, or the database fail it, its transaction is lost.
    Nothing,
}

/// How a write left the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Something is written, or may be.
    Changed,
    /// Nothing is to be kept; within a savepoint, it is undone already.
    Undone,
    /// The database failed it. It is undone, and nothing more runs in this transaction.
    Failed,
    /// It could not be undone alone: the database has given up the whole transaction, as it does when the disk is full.
    Lost,
}

/// A write that ran.
struct Ran {
    left: Left,
    answer: Answer,
}

struct Job {
    /// Set by whoever comes first: the thread when it takes the write up, or the caller when it has waited too long.
    taken: Arc<AtomicBool>,
    /// Outside of any transaction, as a checkpoint must be.
    alone: bool,
    work: Work,
}

/// The thread's queue and its gauges. The thread ends when the last of these is gone.
#[derive(Clone)]
pub(super) struct Writer {
    queue: SyncSender<Job>,
    shared: Arc<Shared>,
    thread: std::thread::Thread,
}

#[derive(Default)]
struct Shared {
    connected: AtomicBool,
    busy: AtomicBool,
    waiting: AtomicU32,
    /// As many have to wait before the thread begins; 0 while it does not wait for them.
    wanted: AtomicU32,
    timeouts: AtomicU64,
}

impl Writer {
    /// Connects, which creates the file, and starts the thread.
    pub(super) fn start(path: &str) -> anyhow::Result<Writer> {
        let mut connection =
            sqlite::connect(path, true).with_context(|| format!("cannot open the SQLite file {path}"))?;
        if let Err(error) = texts::catch_up(&mut connection) {
            tracing::warn!(event = "maintenance_failed", error = %error, "texts could not be indexed; the next write tries it again");
            connection = sqlite::connect(path, true)?; // in whatever state that one is
        }
        Writer::with(connection, path, GATHER_MAX)
    }

    fn with(connection: SqliteConnection, path: &str, gather_max: Duration) -> anyhow::Result<Writer> {
        let (queue, jobs) = sync_channel(QUEUE_MAX);
        let shared = Arc::new(Shared { connected: true.into(), ..Shared::default() });
        let mut thread = Thread {
            path: path.to_owned(),
            connection: Some(connection),
            jobs,
            shared: Arc::clone(&shared),
            company: (0, Instant::now()),
            gather_max,
        };
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || thread.run())
            .context("cannot start the thread that writes to SQLite")?;
        Ok(Writer { queue, shared, thread: thread.thread().clone() })
    }

    /// Hands a write to the thread and waits for the answer that `work` promises to send to `answered`. It runs to its end
    /// even if the caller leaves, unless it had not begun after [`SQLITE_WAIT_MAX`].
    async fn run<T>(
        &self,
        alone: bool,
        work: impl FnOnce(Result<&mut SqliteConnection, StoreError>, bool) -> Ran + Send + 'static,
        answered: oneshot::Receiver<T>,
    ) -> Result<T, StoreError> {
        let taken = Arc::new(AtomicBool::new(false));
        let waiting = self.shared.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        let job = Job { taken: Arc::clone(&taken), alone, work: Box::new(work) };
        match self.queue.try_send(job) {
            Ok(()) => {
                if (1..=waiting).contains(&self.shared.wanted.load(Ordering::SeqCst)) {
                    self.thread.unpark();
                }
            }
            Err(TrySendError::Full(_)) => {
                self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                self.shared.timeouts.fetch_add(1, Ordering::Relaxed);
                return Err(StoreError::PoolTimeout);
            }
            Err(TrySendError::Disconnected(_)) => {
                self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                return Err(gone());
            }
        }
        tokio::pin!(answered);
        match tokio::time::timeout(SQLITE_WAIT_MAX, &mut answered).await {
            Ok(answer) => answer.map_err(|_| gone()),
            Err(_) if !taken.swap(true, Ordering::AcqRel) => {
                self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                self.shared.timeouts.fetch_add(1, Ordering::Relaxed);
                Err(StoreError::PoolTimeout)
            }
            Err(_) => answered.await.map_err(|_| gone()),
        }
    }

    /// What the pool's gauges show of it: one connection, and who waits for it.
    pub(super) fn state(&self) -> PoolState {
        let connected = self.shared.connected.load(Ordering::Relaxed);
        let busy = connected && self.shared.busy.load(Ordering::Relaxed);
        PoolState {
            idle: u32::from(connected && !busy),
            used: u32::from(busy),
            max: 1,
            pending: self.shared.waiting.load(Ordering::Relaxed),
            timeouts_total: self.shared.timeouts.load(Ordering::Relaxed),
        }
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the thread that writes to SQLite is gone".into())
}

struct Thread {
    path: String,
    /// None after a failure that may have left it in any state.
    connection: Option<SqliteConnection>,
    jobs: Receiver<Job>,
    shared: Arc<Shared>,
    /// Writes of the last group, and when it was done.
    company: (u32, Instant),
    /// [`GATHER_MAX`].
    gather_max: Duration,
}

impl Thread {
    fn run(&mut self) {
        let mut next = None;
        while let Some(job) = next.take().or_else(|| self.jobs.recv().ok()) {
            if !self.take(&job) {
                continue;
            }
            self.shared.busy.store(true, Ordering::Relaxed);
            // Work that may panic catches it itself. Should anything else: its callers are told, and the thread lives on.
            let run = AssertUnwindSafe(|| if job.alone { self.alone(job) } else { self.group(job) });
            next = catch_unwind(run).unwrap_or_else(|_| {
                self.connection = None;
                None
            });
            // A transaction that is still open, or of which nobody knows, ends with its connection.
            if self.connection.as_mut().is_some_and(AnsiTransactionManager::is_broken_transaction_manager) {
                self.connection = None;
            }
            self.shared.connected.store(self.connection.is_some(), Ordering::Relaxed);
            self.shared.busy.store(false, Ordering::Relaxed);
        }
    }

    /// Whether the caller still wants it.
    fn take(&self, job: &Job) -> bool {
        let wanted = !job.taken.swap(true, Ordering::AcqRel);
        if wanted {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        wanted
    }

    fn alone(&mut self, job: Job) -> Option<Job> {
        let ran = (job.work)(connected(&mut self.connection, &self.path), false);
        (ran.answer)(Ok(()));
        None
    }

    /// Waits until as many writes are there as came together a moment ago, with the one that is in hand, but not for long.
    fn gather(&mut self) {
        let begun = Instant::now();
        let (company, then) = std::mem::replace(&mut self.company, (0, begun));
        if begun.duration_since(then) > COMPANY_MAX {
            return;
        }
        let others = company.saturating_sub(1);
        self.shared.wanted.store(others, Ordering::SeqCst);
        while self.shared.waiting.load(Ordering::SeqCst) < others {
            match self.gather_max.checked_sub(begun.elapsed()) {
                Some(left) => std::thread::park_timeout(left),
                None => break,
            }
        }
        self.shared.wanted.store(0, Ordering::SeqCst);
    }

    /// Runs a write, and those that wait behind it, in one transaction. Returns the one that cannot be part of it.
    fn group(&mut self, first: Job) -> Option<Job> {
        self.gather();
        let begun = connected(&mut self.connection, &self.path).and_then(|connection| {
            AnsiTransactionManager::begin_transaction_sql(connection, "BEGIN IMMEDIATE")?;
            Ok(connection)
        });
        let connection = match begun {
            Ok(connection) => connection,
            Err(error) => {
                ((first.work)(Err(error), false).answer)(Ok(()));
                return None;
            }
        };
        let ran = (first.work)(Ok(connection), false);
        if ran.left != Left::Changed {
            // Without a savepoint, all of the transaction is undone; nobody else has a part in it yet.
            let undone = AnsiTransactionManager::rollback_transaction(connection);
            (ran.answer)(undone.map_err(StoreError::from));
            return None;
        }
        let (mut left, mut answers, mut next) = (ran.left, vec![ran.answer], None);
        while matches!(left, Left::Changed | Left::Undone) && answers.len() < GROUP_MAX {
            // When all cores are busy, whoever is about to hand over a write gets to do so first; else this costs a microsecond.
            let waits = self.jobs.try_recv().or_else(|_| {
                std::thread::yield_now();
                self.jobs.try_recv()
            });
            let Ok(job) = waits else { break };
            if job.alone {
                next = Some(job);
                break;
            }
            if job.taken.swap(true, Ordering::AcqRel) {
                continue;
            }
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            let ran = (job.work)(Ok(connection), true);
            left = ran.left;
            answers.push(ran.answer);
        }
        let company = u32::try_from(answers.len()).unwrap_or(u32::MAX);
        let ended = match left {
            // The one who lost it has an error of its own to tell.
            Left::Lost => Err(StoreError::Unavailable("another write of the same transaction ended it".into())),
            _ => texts::index(connection).map_err(StoreError::from),
        };
        let committed = match ended {
            Ok(()) => AnsiTransactionManager::commit_transaction(connection).map_err(StoreError::from),
            Err(error) => {
                // Open or not, nothing of it may be kept.
                let _ = AnsiTransactionManager::rollback_transaction(connection);
                Err(error)
            }
        };
        for answer in answers {
            answer(committed.clone());
        }
        self.company = (company, Instant::now());
        next
    }
}

/// The connection; a new one where the last was given up.
fn connected<'a>(
    connection: &'a mut Option<SqliteConnection>,
    path: &str,
) -> Result<&'a mut SqliteConnection, StoreError> {
    match connection {
        Some(connection) => Ok(connection),
        None => {
            let new = sqlite::connect(path, true).map_err(|error| StoreError::Unavailable(error.to_string()))?;
            Ok(connection.insert(new))
        }
    }
}

impl Db {
    /// Runs `work` on SQLite's writer, all of it or nothing, to its end even if the caller leaves. Writes that wait at the same
    /// time share a transaction, and each is answered after its commit.
    pub(crate) async fn sqlite_write<T, F>(&self, operation: Operation, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> QueryResult<End<T>> + Send + 'static,
    {
        self.on_writer(operation, false, Undoing::Savepoint, caught(work)).await
    }

    /// The same for an effect, without a savepoint where it needs none.
    pub(crate) async fn sqlite_effect<E: Effect>(
        &self,
        operation: Operation,
        effect: E,
    ) -> Result<E::Output, StoreError> {
        let undoing = if E::REFUSES_FIRST { Undoing::Nothing } else { Undoing::Savepoint };
        self.on_writer(operation, false, undoing, caught(move |connection| effect.sqlite(connection))).await
    }

    /// Runs `work` on SQLite's writer outside of any transaction.
    pub(crate) async fn sqlite_maintain<F>(&self, operation: Operation, work: F) -> Result<(), StoreError>
    where
        F: FnOnce(&mut SqliteConnection) -> QueryResult<()> + Send + 'static,
    {
        self.on_writer(operation, true, Undoing::Transaction, |connection| Ok(work(connection)?)).await
    }

    /// `undoing` holds for a write that others are in the transaction before.
    async fn on_writer<T, F>(
        &self,
        operation: Operation,
        alone: bool,
        undoing: Undoing,
        work: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> Result<T, Undo<T>> + Send + 'static,
    {
        let Backend::Sqlite { writer, .. } = &self.backend else {
            return Err(StoreError::Internal("a transaction for SQLite on PostgreSQL".into()));
        };
        let (sender, answered) = oneshot::channel();
        let (db, context, asked) = (self.clone(), RequestContext::current(), Instant::now());
        let job = move |connection: Result<&mut SqliteConnection, StoreError>, shared: bool| {
            let undoing = if shared { undoing } else { Undoing::Transaction };
            let (probe, left, outcome) = within(context.clone(), || {
                let wait = asked.elapsed();
                db.metrics.db_wait(wait);
                let probe = Probe::start(&db, operation, wait);
                let (left, outcome) = match connection {
                    Ok(connection) => settled(connection, undoing, work),
                    Err(error) => (Left::Failed, Ok(Err(error))),
                };
                (probe, left, outcome)
            });
            let answer = move |committed: Result<(), StoreError>| {
                within(context, || {
                    let outcome = match outcome {
                        // Why it failed itself says more than that nothing could be committed then.
                        Ok(result) => Ok(probe.finish(result.and_then(|value| committed.map(|()| value)))),
                        Err(panic) => {
                            let _ = probe.finish::<()>(Err(StoreError::Internal("a write panicked".into())));
                            Err(panic)
                        }
                    };
                    // Nobody waits any more where the client has left.
                    let _ = sender.send(outcome);
                });
            };
            Ran { left, answer: Box::new(answer) }
        };
        match writer.run(alone, job, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(error) => {
                let wait = asked.elapsed();
                self.metrics.db_wait(wait);
                Err(self.never_began(operation, wait, error))
            }
        }
    }
}

/// `work`, with a panic as one more way to fail.
fn caught<T>(
    work: impl FnOnce(&mut SqliteConnection) -> QueryResult<End<T>>,
) -> impl FnOnce(&mut SqliteConnection) -> Result<T, Undo<T>> {
    |connection| match catch_unwind(AssertUnwindSafe(|| work(connection))) {
        Ok(Ok(End::Commit(value))) => Ok(value),
        Ok(Ok(End::Rollback(value))) => Err(Undo::Answer(value)),
        Ok(Err(error)) => Err(Undo::Failed(error)),
        Err(panic) => Err(Undo::Panicked(panic)),
    }
}

/// Runs `work`, and undoes it unless it succeeds. The outer result is a panic's.
fn settled<T>(
    connection: &mut SqliteConnection,
    undoing: Undoing,
    work: impl FnOnce(&mut SqliteConnection) -> Result<T, Undo<T>>,
) -> (Left, std::thread::Result<Result<T, StoreError>>) {
    let begun = match undoing {
        Undoing::Transaction => Ok(0),
        Undoing::Savepoint => AnsiTransactionManager::begin_transaction(connection).map(|()| 0),
        Undoing::Nothing => changes(connection),
    };
    let before = match begun {
        Ok(before) => before,
        Err(error) => return (Left::Lost, Ok(Err(error.into()))),
    };
    let result = work(connection);
    let ended = match (undoing, &result) {
        (Undoing::Transaction, _) | (Undoing::Nothing, Ok(_)) => Ok(()),
        // SQLite may have given up the whole transaction, as it does when it cannot write.
        (Undoing::Nothing, Err(Undo::Failed(DatabaseError(..)))) => Err(diesel::result::Error::RollbackTransaction),
        (Undoing::Nothing, Err(_)) if changes(connection) == Ok(before) => Ok(()),
        (Undoing::Nothing, Err(_)) => Err(diesel::result::Error::RollbackTransaction),
        (Undoing::Savepoint, Ok(_)) => AnsiTransactionManager::commit_transaction(connection),
        (Undoing::Savepoint, Err(_)) => AnsiTransactionManager::rollback_transaction(connection),
    };
    match (result, ended) {
        (Ok(value), Ok(())) => (Left::Changed, Ok(Ok(value))),
        (Err(Undo::Answer(value)), Ok(())) => (Left::Undone, Ok(Ok(value))),
        (Err(Undo::Panicked(panic)), ended) => (if ended.is_ok() { Left::Undone } else { Left::Lost }, Err(panic)),
        // Why it failed says more than that it could not be undone alone.
        (Err(Undo::Failed(error)), ended) => {
            (if ended.is_ok() { Left::Failed } else { Left::Lost }, Ok(Err(error.into())))
        }
        (Ok(_) | Err(Undo::Answer(_)), Err(error)) => (Left::Lost, Ok(Err(error.into()))),
    }
}

/// Rows that this connection has changed since it was opened.
fn changes(connection: &mut SqliteConnection) -> QueryResult<i64> {
    let total = Statement::<(BigInt,)>::new("SELECT total_changes()", vec![]);
    let rows: Vec<(i64,)> = total.load(connection)?;
    Ok(rows.first().map_or(0, |(total,)| *total))
}

/// Runs `work` within the request's context, if it belongs to one.
fn within<T>(context: Option<Arc<RequestContext>>, work: impl FnOnce() -> T) -> T {
    match context {
        Some(context) => context.sync_scope(work),
        None => work(),
    }
}

#[cfg(test)]
mod tests;
