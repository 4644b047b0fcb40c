//! The one place where a database operation is measured: the wait for a connection, and the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use diesel_async::AsyncConnection;
use diesel_async::pooled_connection::bb8::{Pool, PooledConnection, RunError};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, PoolableConnection};
use telemetry::context::RequestContext;
use telemetry::metrics::{DbErrorType, Metrics, Rejection};

use super::{Db, Operation, StoreError};

/// One running operation. Records duration and outcome when it finishes, or a timeout when its caller gave up.
pub(super) struct Probe<'a> {
    metrics: &'a Arc<Metrics>,
    operation: Operation,
    started: Instant,
    finished: bool,
}

impl<'a> Probe<'a> {
    pub(super) fn start(metrics: &'a Arc<Metrics>, operation: Operation) -> Self {
        Probe { metrics, operation, started: Instant::now(), finished: false }
    }

    pub(super) fn finish<T>(mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        self.record(result.as_ref().err().map(StoreError::kind));
        result
    }

    fn record(&mut self, error: Option<DbErrorType>) {
        self.finished = true;
        let elapsed = self.started.elapsed();
        self.metrics.db_operation(self.operation as usize, error, elapsed);
        RequestContext::with_current(|context| context.add_database(elapsed));
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.record(Some(DbErrorType::Timeout));
        }
    }
}

/// Counts a request as waiting for as long as it lives.
struct Pending<'a>(&'a AtomicU32);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Db {
    /// A connection from the pool, its wait measured and bounded by the pool's own limit. An operation that gets none has
    /// failed, and its wait is all the time it took: else an outage would show no failed operation.
    pub(super) async fn lease<'p, C>(
        &self,
        pool: &'p Pool<C>,
        operation: Operation,
    ) -> Result<PooledConnection<'p, C>, StoreError>
    where
        C: AsyncConnection + PoolableConnection + Send + 'static,
        AsyncDieselConnectionManager<C>: bb8::ManageConnection<Connection = C>,
        StoreError: From<bb8::RunError<<AsyncDieselConnectionManager<C> as bb8::ManageConnection>::Error>>,
        RunError: Sized,
    {
        self.pending.fetch_add(1, Ordering::Relaxed);
        let pending = Pending(&self.pending);
        let started = Instant::now();
        let lease = pool.get().await;
        drop(pending);
        let waited = started.elapsed();
        self.metrics.db_wait(waited);
        let lease = lease.map_err(StoreError::from);
        if let Err(error) = &lease {
            self.metrics.db_operation(operation as usize, Some(error.kind()), waited);
            // The service's own upkeep waits here too; only a request is refused.
            if matches!(error, StoreError::PoolTimeout) && RequestContext::with_current(|_| ()).is_some() {
                self.metrics.rejected(Rejection::DatabaseBusy);
            }
        }
        lease
    }
}
