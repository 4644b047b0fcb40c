//! SQLite's readers: connections that cannot write, handed out last in, first out, so that few caches are warm and not many cold.
//!
//! What finds a row by its key takes some ten microseconds, less than a hop to another thread and back, and runs where it is
//! asked for. So does a page of up to 50 rows that an index delivers: it takes a few hundred, of which the hop, and memory that
//! another processor has in its cache, would be a quarter. With the longest descriptions that there can be it takes a few
//! milliseconds, as writing them as JSON does. What may read many rows runs on a blocking thread.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use diesel::SqliteConnection;
use diesel::connection::{AnsiTransactionManager, TransactionManager as _};
use telemetry::context::RequestContext;
use telemetry::metrics::PoolState;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::probe::Probe;
use super::{Backend, Db, Operation, SQLITE_WAIT_MAX, StoreError, Waiting, sqlite};

/// The connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Readers(Arc<Shared>);

struct Shared {
    path: String,
    max: u32,
    /// As many as there may be connections; whoever holds one has the right to one.
    permits: Arc<Semaphore>,
    /// Those that nobody uses, the last one used at the end.
    free: Mutex<Vec<SqliteConnection>>,
    waiting: AtomicU32,
    timeouts: AtomicU64,
}

/// A connection in use. It goes back when this is dropped, unless a panic is why, or a transaction that could not be ended.
struct Lease {
    connection: Option<SqliteConnection>,
    readers: Readers,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take().filter(|_| !std::thread::panicking())
            && !AnsiTransactionManager::is_broken_transaction_manager(&mut connection)
        {
            self.readers.free().push(connection);
        }
    }
}

impl Readers {
    /// Opens the first of up to `max` connections: a file that cannot be read ends the start.
    pub(super) fn open(path: &str, max: u32) -> Result<Readers, StoreError> {
        let first = connect(path)?;
        Ok(Readers(Arc::new(Shared {
            path: path.to_owned(),
            max,
            permits: Arc::new(Semaphore::new(max as usize)),
            free: Mutex::new(vec![first]),
            waiting: AtomicU32::new(0),
            timeouts: AtomicU64::new(0),
        })))
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<SqliteConnection>> {
        self.0.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection, after [`SQLITE_WAIT_MAX`] at the latest.
    async fn lease(&self) -> Result<Lease, StoreError> {
        let shared = &self.0;
        let permit = match Arc::clone(&shared.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _waiting = Waiting::of(&shared.waiting);
                let turn = Arc::clone(&shared.permits).acquire_owned();
                match tokio::time::timeout(SQLITE_WAIT_MAX, turn).await {
                    Ok(Ok(permit)) => permit,
                    Ok(Err(_)) => return Err(StoreError::Unavailable("the readers are closed".into())),
                    Err(_) => {
                        shared.timeouts.fetch_add(1, Ordering::Relaxed);
                        return Err(StoreError::PoolTimeout);
                    }
                }
            }
        };
        let free = self.free().pop();
        let connection = match free {
            Some(connection) => connection,
            None => {
                let path = shared.path.clone();
                let opened = tokio::task::spawn_blocking(move || connect(&path)).await;
                opened.map_err(|failed| StoreError::Unavailable(failed.to_string()))??
            }
        };
        Ok(Lease { connection: Some(connection), readers: self.clone(), _permit: permit })
    }

    /// What the pool's gauges show.
    pub(super) fn state(&self) -> PoolState {
        let used = u32::try_from(self.0.permits.available_permits()).map_or(0, |free| self.0.max.saturating_sub(free));
        PoolState {
            idle: u32::try_from(self.free().len()).unwrap_or(u32::MAX),
            used,
            max: self.0.max,
            pending: self.0.waiting.load(Ordering::Relaxed),
            timeouts_total: self.0.timeouts.load(Ordering::Relaxed),
        }
    }
}

fn connect(path: &str) -> Result<SqliteConnection, StoreError> {
    sqlite::connect(path, false).map_err(|error| StoreError::Unavailable(error.to_string()))
}

impl Lease {
    /// Runs `work` here.
    fn run<T>(&mut self, work: impl FnOnce(&mut SqliteConnection) -> diesel::QueryResult<T>) -> Result<T, StoreError> {
        match &mut self.connection {
            Some(connection) => work(connection).map_err(StoreError::from),
            None => Err(StoreError::Internal("a lease without its connection".into())),
        }
    }

    /// Runs `work` on a blocking thread.
    async fn run_elsewhere<T, F>(mut self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> diesel::QueryResult<T> + Send + 'static,
    {
        let context = RequestContext::current();
        let run = move || match context {
            Some(context) => context.sync_scope(|| self.run(work)),
            None => self.run(work),
        };
        match tokio::task::spawn_blocking(run).await {
            Ok(result) => result,
            Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            Err(_) => Err(StoreError::Unavailable("the service is stopping".into())),
        }
    }
}

impl Db {
    /// Runs `work`, which changes nothing, on one of SQLite's readers.
    pub(super) async fn sqlite_read<T, F>(&self, operation: Operation, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> diesel::QueryResult<T> + Send + 'static,
    {
        let (mut lease, probe) = self.reader(operation).await?;
        probe.finish(if operation.finds_by_key() { lease.run(work) } else { lease.run_elsewhere(work).await })
    }

    /// Runs `here`, which changes nothing and reads two or three pages of rows at most, where it is asked for; and where that finds
    /// out that there is more to do, `elsewhere` on a blocking thread.
    pub(super) async fn sqlite_read_here<T, F>(
        &self,
        operation: Operation,
        here: impl FnOnce(&mut SqliteConnection) -> diesel::QueryResult<Option<T>>,
        elsewhere: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> diesel::QueryResult<T> + Send + 'static,
    {
        let (mut lease, probe) = self.reader(operation).await?;
        probe.finish(match lease.run(here) {
            Ok(Some(found)) => Ok(found),
            Ok(None) => lease.run_elsewhere(elsewhere).await,
            Err(error) => Err(error),
        })
    }

    /// A connection, and the probe of what is going to run on it.
    async fn reader(&self, operation: Operation) -> Result<(Lease, Probe), StoreError> {
        let Backend::Sqlite { readers, .. } = &self.backend else {
            return Err(StoreError::Internal("a read for SQLite on PostgreSQL".into()));
        };
        let asked = Instant::now();
        let leased = readers.lease().await;
        let wait = asked.elapsed();
        self.metrics.db_wait(wait);
        let lease = leased.map_err(|error| self.never_began(operation, wait, error))?;
        Ok((lease, Probe::start(self, operation, wait)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_whose_transaction_was_not_ended_is_not_handed_out_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasks.db");
        sqlite::connect(path.to_str().unwrap(), true).unwrap();
        let readers = Readers::open(path.to_str().unwrap(), 1).unwrap();
        let mut lease = readers.lease().await.unwrap();
        lease.run(AnsiTransactionManager::begin_transaction).unwrap();
        drop(lease);
        // In a transaction it would see the data as they were then, for ever.
        let mut next = readers.lease().await.unwrap();
        let is_open = next.run(|connection| Ok(AnsiTransactionManager::is_broken_transaction_manager(connection)));
        assert!(!is_open.unwrap());
    }
}
