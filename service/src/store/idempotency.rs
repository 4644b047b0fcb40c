//! Idempotency keys: a repeated request with the same key has one effect and one answer, for 24 hours.
//!
//! The key is claimed, the effect made and the answer stored in one transaction, so that there is never one without the
//! others. What was refused is not stored. A second request that comes while the first still runs is told so.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use diesel::sql_types::{Nullable, Text};
use diesel::{QueryResult, SqliteConnection};
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::statement::{Statement, binds};
use super::{Db, End, Operation, StoreError};

/// A write that can run in a transaction of either backend.
pub(crate) trait Effect: Send + Sync + 'static {
    /// What the caller gets.
    type Output: Send + 'static;
    /// Whether it refuses before it has changed anything, and never after: it has nothing to undo then, and no savepoint is made
    /// for it among the writes that share its commit.
    const REFUSES_FIRST: bool = false;

    /// Its statements on SQLite.
    fn sqlite(&self, connection: &mut SqliteConnection) -> QueryResult<End<Self::Output>>;

    /// Its statements on PostgreSQL.
    fn postgres<'c>(&'c self, connection: &'c mut AsyncPgConnection) -> BoxFuture<'c, QueryResult<End<Self::Output>>>;
}

/// A request's right to one effect.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Whose key it is.
    pub user_id: Uuid,
    /// The route it was sent to: the same key elsewhere is another one.
    pub route: &'static str,
    /// The `Idempotency-Key`, 1 to 255 visible characters.
    pub key: String,
    /// SHA-256 of the canonical body.
    pub fingerprint: String,
    /// When the request came.
    pub now: Timestamp,
}

/// An answer as it was given first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredResponse {
    /// HTTP status.
    pub status: u16,
    /// `Location`, if it had one.
    pub location: Option<String>,
    /// `ETag`, if it had one.
    pub etag: Option<String>,
    /// The body, byte for byte.
    pub body: String,
}

/// What became of a request that may carry a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keyed<T> {
    /// It was made now.
    Fresh(T),
    /// It had been made before; this was the answer.
    Replay(StoredResponse),
    /// The key belongs to a request with another body.
    OtherBody,
    /// The first request with this key has not ended.
    Running,
}

/// How long a key is kept.
pub const KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// User, route and key.
type RunningKey = (Uuid, &'static str, String);

/// Keys whose first request runs in this process. Bounded by the requests in flight.
static RUNNING: LazyLock<Mutex<HashSet<RunningKey>>> = LazyLock::new(Mutex::default);

/// Holds a key in [`RUNNING`] for as long as its effect runs.
struct Turn(Option<RunningKey>);

impl Turn {
    fn take(claim: &Claim) -> Option<Turn> {
        let entry = (claim.user_id, claim.route, claim.key.clone());
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        // `then` and not `then_some`: a turn that was not taken must not be made, since dropping it gives the key free.
        running.insert(entry.clone()).then(|| Turn(Some(entry)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(entry) = self.0.take() {
            RUNNING.lock().unwrap_or_else(PoisonError::into_inner).remove(&entry);
        }
    }
}

/// An expired key is as good as none: the insert takes its row over.
const CLAIM: &str = "INSERT INTO idempotency_keys (user_id, route, key, fingerprint, response, created_at) \
    VALUES (?, ?, ?, ?, NULL, ?) ON CONFLICT (user_id, route, key) DO UPDATE SET \
      fingerprint = excluded.fingerprint, response = NULL, created_at = excluded.created_at \
    WHERE idempotency_keys.created_at <= ? RETURNING fingerprint";
const FIND: &str = "SELECT fingerprint, response FROM idempotency_keys WHERE user_id = ? AND route = ? AND key = ?";
const STORE: &str = "UPDATE idempotency_keys SET response = ? WHERE user_id = ? AND route = ? AND key = ?";

impl Claim {
    fn claim(&self) -> Statement<(Text,)> {
        let expired = self.now.checked_sub(KEPT).unwrap_or(Timestamp::UNIX_EPOCH);
        let binds = binds![self.user_id, self.route, self.key.clone(), self.fingerprint.clone(), self.now, expired];
        Statement::new(CLAIM, binds)
    }

    fn find(&self) -> Statement<(Text, Nullable<Text>)> {
        Statement::new(FIND, binds![self.user_id, self.route, self.key.clone()])
    }

    fn store(&self, response: &StoredResponse) -> Statement<()> {
        let text = serde_json::to_string(response).unwrap_or_default();
        Statement::new(STORE, binds![text, self.user_id, self.route, self.key.clone()])
    }

    /// What a key that is taken already says to this request.
    fn settled<T>(&self, rows: Vec<(String, Option<String>)>) -> Keyed<T> {
        match rows.into_iter().next() {
            Some((fingerprint, _)) if fingerprint != self.fingerprint => Keyed::OtherBody,
            Some((_, Some(response))) => match serde_json::from_str(&response) {
                Ok(response) => Keyed::Replay(response),
                Err(_) => Keyed::Running,
            },
            _ => Keyed::Running,
        }
    }
}

impl Db {
    /// Runs an effect in a transaction of its own.
    pub(crate) async fn run<E: Effect>(&self, operation: Operation, effect: E) -> Result<E::Output, StoreError> {
        if self.is_sqlite() {
            self.sqlite_effect(operation, effect).await
        } else {
            self.postgres_transaction(operation, move |connection| {
                async move { effect.postgres(connection).await }.boxed()
            })
            .await
        }
    }

    /// Runs an effect once for its key. `render` makes the answer to keep, or `None` when there is nothing to repeat.
    pub(crate) async fn run_keyed<E: Effect>(
        &self,
        operation: Operation,
        effect: E,
        claim: Claim,
        render: impl Fn(&E::Output) -> Option<StoredResponse> + Send + Sync + 'static,
    ) -> Result<Keyed<E::Output>, StoreError> {
        // Taken along into the transaction, which may outlive this request.
        let Some(turn) = Turn::take(&claim) else { return Ok(Keyed::Running) };
        if self.is_sqlite() {
            return self
                .sqlite_write(operation, move |connection| {
                    let _turn = turn;
                    let claimed: Vec<(String,)> = diesel::RunQueryDsl::load(claim.claim(), connection)?;
                    if claimed.is_empty() {
                        return Ok(End::Rollback(claim.settled(diesel::RunQueryDsl::load(claim.find(), connection)?)));
                    }
                    let end = effect.sqlite(connection)?;
                    if let End::Commit(output) = &end
                        && let Some(response) = render(output)
                    {
                        diesel::RunQueryDsl::execute(claim.store(&response), connection)?;
                    }
                    Ok(end.map(Keyed::Fresh))
                })
                .await;
        }
        let waiting = Arc::new(AtomicBool::new(true));
        let waits = Arc::clone(&waiting);
        let result = self
            .postgres_transaction(operation, move |connection| {
                async move {
                    let _turn = turn;
                    // Waits for another instance that runs the same key, as long as `lock_timeout` lets it.
                    let claimed: Vec<(String,)> = diesel_async::RunQueryDsl::load(claim.claim(), connection).await?;
                    waits.store(false, Ordering::Relaxed);
                    if claimed.is_empty() {
                        let rows = diesel_async::RunQueryDsl::load(claim.find(), connection).await?;
                        return Ok(End::Rollback(claim.settled(rows)));
                    }
                    let end = effect.postgres(connection).await?;
                    if let End::Commit(output) = &end
                        && let Some(response) = render(output)
                    {
                        diesel_async::RunQueryDsl::execute(claim.store(&response), connection).await?;
                    }
                    Ok(end.map(Keyed::Fresh))
                }
                .boxed()
            })
            .await;
        match result {
            // It was the claim that waited too long, and so for another request with this key.
            Err(StoreError::Timeout) if waiting.load(Ordering::Relaxed) => Ok(Keyed::Running),
            other => other,
        }
    }
}

impl<T> End<T> {
    /// Changes what the caller gets.
    fn map<U>(self, change: impl FnOnce(T) -> U) -> End<U> {
        match self {
            End::Commit(value) => End::Commit(change(value)),
            End::Rollback(value) => End::Rollback(change(value)),
        }
    }
}
