//! All SQL of the service: one interface over SQLite and PostgreSQL, measured in one place.
//!
//! A read is one [`Statement`] that runs on either backend, but for a list on SQLite, which may be a few. A write that PostgreSQL
//! can make in one statement (a CTE that writes the activity too) stands beside a SQLite twin that makes it in one
//! transaction. Whatever runs goes through [`Db::read`], [`Db::write`], [`Db::postgres_transaction`], or one of their kin for
//! SQLite and for lists, and so through the probe.

mod arrays;
mod error;
pub mod idempotency;
pub mod members;
pub mod migrate;
mod operation;
mod postgres;
mod probe;
pub mod projects;
pub mod purge;
mod readers;
pub mod sessions;
mod sqlite;
pub(crate) mod statement;
pub mod tasks;
pub(crate) mod types;
pub mod users;
mod writer;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use diesel::SqliteConnection;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use futures_util::future::BoxFuture;
use telemetry::context::RequestContext;
use telemetry::metrics::{Metrics, PoolState, TaskCacheState};

pub use error::StoreError;
pub use operation::Operation;
use postgres::Connections;
use readers::Readers;
use statement::Statement;
use tasks::cache::TaskCache;
use writer::Writer;

use crate::gate::Gate;

/// How long an operation waits for a connection to PostgreSQL before its request is told to come back.
const POSTGRES_WAIT_MAX: Duration = Duration::from_secs(1);
/// How long a write waits for its turn at SQLite's one writer: busy is queued, never an error of the caller's.
const SQLITE_WAIT_MAX: Duration = Duration::from_secs(5);

/// The database, whichever it is. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    backend: Backend,
    metrics: Arc<Metrics>,
}

#[derive(Clone)]
enum Backend {
    /// Any number of readers beside exactly one writer, so that waiting happens in its queue and not in SQLite's busy loop.
    Sqlite {
        readers: Readers,
        writer: Writer,
        file: Arc<std::path::Path>,
        tasks: Arc<TaskCache>,
    },
    Postgres(Connections),
}

/// Counts one that waits for as long as it lives.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn of(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a transaction ends when its statements succeeded.
pub(crate) enum End<T> {
    /// Keep what was written.
    Commit(T),
    /// Undo it; the caller still gets its answer.
    Rollback(T),
}

/// Carries an [`End::Rollback`] through Diesel's transaction, which undoes on `Err`.
enum Undo<T> {
    Answer(T),
    Failed(diesel::result::Error),
    Panicked(Box<dyn Any + Send>),
}

impl<T> From<diesel::result::Error> for Undo<T> {
    fn from(error: diesel::result::Error) -> Self {
        Undo::Failed(error)
    }
}

fn ended<T>(result: Result<T, Undo<T>>) -> Result<T, StoreError> {
    match result {
        Ok(value) | Err(Undo::Answer(value)) => Ok(value),
        Err(Undo::Failed(error)) => Err(error.into()),
        Err(Undo::Panicked(panic)) => std::panic::resume_unwind(panic),
    }
}

impl Db {
    /// Opens the pool. SQLite's file is created where it is missing; PostgreSQL is connected to when first needed, so that
    /// the service starts while its database is down.
    pub async fn open(url: &str, pool_size: u32, metrics: Arc<Metrics>) -> anyhow::Result<Db> {
        let backend = if let Some(path) = sqlite::path(url) {
            let (readers, writer) = sqlite::open(&path, pool_size).await?;
            Backend::Sqlite { readers, writer, file: path.into(), tasks: Arc::new(TaskCache::new()) }
        } else {
            Backend::Postgres(Connections::open(url, pool_size)?)
        };
        Ok(Db { backend, metrics })
    }

    /// Whether this is the embedded database.
    pub fn is_sqlite(&self) -> bool {
        matches!(self.backend, Backend::Sqlite { .. })
    }

    /// What those pass that are about to be read; nothing on SQLite, whose reads wait for nobody.
    pub fn gate(&self) -> Option<Gate> {
        match &self.backend {
            Backend::Postgres(connections) => Some(connections.gate()),
            Backend::Sqlite { .. } => None,
        }
    }

    /// The backend's name in spans.
    fn system(&self) -> &'static str {
        if self.is_sqlite() { "sqlite" } else { "postgresql" }
    }

    /// Where the store's metrics go.
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Runs a statement that changes nothing.
    pub(crate) async fn read<Row, T>(
        &self,
        operation: Operation,
        statement: Statement<Row>,
    ) -> Result<Vec<T>, StoreError>
    where
        Row: 'static,
        T: Send + 'static,
        Statement<Row>: diesel::query_dsl::LoadQuery<'static, SqliteConnection, T>
            + diesel_async::methods::LoadQuery<'static, AsyncPgConnection, T>,
    {
        match &self.backend {
            Backend::Sqlite { .. } => {
                self.sqlite_read(operation, |connection| diesel::RunQueryDsl::load(statement, connection)).await
            }
            Backend::Postgres(connections) => self.postgres(connections, operation, statement).await,
        }
    }

    /// Runs one statement that writes, to its end even if the caller leaves.
    pub(crate) async fn write<Row, T>(
        &self,
        operation: Operation,
        statement: Statement<Row>,
    ) -> Result<Vec<T>, StoreError>
    where
        Row: 'static,
        T: Send + 'static,
        Statement<Row>: diesel::query_dsl::LoadQuery<'static, SqliteConnection, T>
            + diesel_async::methods::LoadQuery<'static, AsyncPgConnection, T>,
    {
        match &self.backend {
            Backend::Sqlite { .. } => {
                self.sqlite_write(operation, move |connection| {
                    Ok(End::Commit(diesel::RunQueryDsl::load(statement, connection)?))
                })
                .await
            }
            Backend::Postgres(_) => self.postgres_write(operation, statement).await,
        }
    }

    /// Runs one writing statement on PostgreSQL, to its end even if the caller leaves.
    pub(crate) async fn postgres_write<Row, T>(
        &self,
        operation: Operation,
        statement: Statement<Row>,
    ) -> Result<Vec<T>, StoreError>
    where
        Row: 'static,
        T: Send + 'static,
        Statement<Row>: diesel_async::methods::LoadQuery<'static, AsyncPgConnection, T>,
    {
        let db = self.clone();
        detached(async move {
            match &db.backend {
                Backend::Postgres(connections) => db.postgres(connections, operation, statement).await,
                Backend::Sqlite { .. } => Err(StoreError::Internal("a statement for PostgreSQL on SQLite".into())),
            }
        })
        .await
    }

    /// Runs `work` in one transaction on PostgreSQL, to its end even if the caller leaves.
    pub(crate) async fn postgres_transaction<T, F>(&self, operation: Operation, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut AsyncPgConnection) -> BoxFuture<'c, diesel::QueryResult<End<T>>> + Send + 'static,
    {
        let db = self.clone();
        detached(async move {
            let Backend::Postgres(connections) = &db.backend else {
                return Err(StoreError::Internal("a transaction for PostgreSQL on SQLite".into()));
            };
            let (mut lease, probe) = db.lease(connections, operation).await?;
            let result = lease
                .transaction::<T, Undo<T>, _>(async move |connection| match work(connection).await? {
                    End::Commit(value) => Ok(value),
                    End::Rollback(value) => Err(Undo::Answer(value)),
                })
                .await;
            probe.finish(ended(result))
        })
        .await
    }

    async fn postgres<Row, T>(
        &self,
        connections: &Connections,
        operation: Operation,
        statement: Statement<Row>,
    ) -> Result<Vec<T>, StoreError>
    where
        Row: 'static,
        T: Send + 'static,
        Statement<Row>: diesel_async::methods::LoadQuery<'static, AsyncPgConnection, T>,
    {
        let (mut lease, probe) = self.lease(connections, operation).await?;
        let result = diesel_async::RunQueryDsl::load(statement, &mut *lease).await;
        probe.finish(result.map_err(StoreError::from))
    }

    /// What the pool's gauges show.
    pub fn pool_state(&self) -> PoolState {
        match &self.backend {
            Backend::Postgres(connections) => connections.state(),
            Backend::Sqlite { readers, writer, .. } => {
                let (r, w) = (readers.state(), writer.state());
                PoolState {
                    idle: r.idle + w.idle,
                    used: r.used + w.used,
                    max: r.max + w.max,
                    pending: r.pending + w.pending,
                    timeouts_total: r.timeouts_total + w.timeouts_total,
                }
            }
        }
    }

    /// Size of SQLite's write-ahead log in bytes; 0 on PostgreSQL.
    pub fn wal_bytes(&self) -> u64 {
        match &self.backend {
            Backend::Sqlite { file, .. } => sqlite::wal_bytes(file),
            Backend::Postgres(_) => 0,
        }
    }

    /// What the metrics of the tasks that lists on SQLite keep show; nothing on PostgreSQL.
    pub fn task_cache_state(&self) -> TaskCacheState {
        self.task_cache().map_or_else(TaskCacheState::default, TaskCache::state)
    }

    /// What lists on SQLite have kept.
    fn task_cache(&self) -> Option<&TaskCache> {
        match &self.backend {
            Backend::Sqlite { tasks, .. } => Some(tasks),
            Backend::Postgres(_) => None,
        }
    }
}

/// Runs a write as a task of its own, within the same request's context, so that a client that leaves or a timeout does not
/// cut a transaction in half.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    let task = match RequestContext::current() {
        Some(context) => tokio::spawn(context.scope(work)),
        None => tokio::spawn(work),
    };
    match task.await {
        Ok(result) => result,
        Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
        Err(_) => Err(StoreError::Unavailable("the service is stopping".into())),
    }
}

/// Checks a `postgres://` URL without connecting; the reason never quotes a password.
pub fn check_postgres_url(url: &str) -> anyhow::Result<()> {
    postgres::target(url).map(|_| ())
}
