//! The one place where a database operation is measured: the wait for a connection, and the run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use telemetry::context::RequestContext;
use telemetry::metrics::{DbErrorType, Metrics, Rejection};
use telemetry::traces::DatabaseSpan;

use super::postgres::{Connections, Lease};
use super::{Db, Operation, StoreError};

/// One running operation. Records duration and outcome when it finishes, or how its caller left it.
pub(super) struct Probe {
    metrics: Arc<Metrics>,
    operation: Operation,
    started: Instant,
    /// None within a request that is not recorded.
    span: DatabaseSpan,
    finished: bool,
}

impl Probe {
    /// `wait` is how long the connection took to come free.
    pub(super) fn start(db: &Db, operation: Operation, wait: Duration) -> Self {
        let span = DatabaseSpan::begin(operation.name(), db.system(), wait);
        Probe { metrics: Arc::clone(&db.metrics), operation, started: Instant::now(), span, finished: false }
    }

    pub(super) fn finish<T>(mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        self.record(result.as_ref().err().map(StoreError::kind));
        result
    }

    fn record(&mut self, error: Option<DbErrorType>) {
        self.finished = true;
        let elapsed = self.started.elapsed();
        self.metrics.db_operation(self.operation as usize, error, elapsed);
        match error {
            None => {}
            Some(DbErrorType::Cancelled) => self.span.cancelled(DbErrorType::Cancelled.as_str()),
            Some(error) => self.span.failed(error.as_str()),
        }
        RequestContext::with_current(|context| context.add_database(elapsed));
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if !self.finished {
            let is_given_up = RequestContext::with_current(RequestContext::is_given_up) == Some(true);
            self.record(Some(match is_given_up {
                _ if std::thread::panicking() => DbErrorType::Internal,
                true => DbErrorType::Timeout,
                false => DbErrorType::Cancelled,
            }));
        }
    }
}

impl Db {
    /// A connection, its wait measured, and the probe of the operation that it is for. An operation that gets none has failed,
    /// and its wait is all the time it took: else an outage would show no failed operation. Readiness asks before all others.
    pub(super) async fn lease<'a>(
        &self,
        connections: &'a Connections,
        operation: Operation,
    ) -> Result<(Lease<'a>, Probe), StoreError> {
        let started = Instant::now();
        let lease = connections.lease(operation == Operation::SchemaCheck).await;
        let wait = started.elapsed();
        self.metrics.db_wait(wait);
        match lease {
            Ok(lease) => Ok((lease, Probe::start(self, operation, wait))),
            Err(error) => Err(self.never_began(operation, wait, error)),
        }
    }

    /// Accounts for an operation that got no connection, for which its wait is all the time it took.
    pub(super) fn never_began(&self, operation: Operation, wait: Duration, error: StoreError) -> StoreError {
        self.metrics.db_operation(operation as usize, Some(error.kind()), wait);
        // The service's own upkeep waits here too; only a request is refused.
        if matches!(error, StoreError::PoolTimeout) && RequestContext::with_current(|_| ()).is_some() {
            self.metrics.rejected(Rejection::DatabaseBusy);
        }
        RequestContext::with_current(|context| {
            context.add_database(wait);
            DatabaseSpan::never_began(context, operation.name(), self.system(), wait, error.kind().as_str());
        });
        error
    }
}
