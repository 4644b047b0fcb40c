//! Sessions in the database: one row for each login, which says which generation of its refresh token is current.

use diesel::Queryable;
use diesel::sql_types::{BigInt, Integer, Nullable};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::statement::{Statement, binds};
use super::types::{Id, Instant};
use super::{Db, Operation, StoreError};

/// How long the previous refresh token still gets the pair that replaced it: a lost response must not log anybody out.
pub const GRACE: SignedDuration = SignedDuration::from_secs(10);

/// A session after a refresh was tried on it.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct Rotated {
    /// Whose session it is.
    pub user_id: Uuid,
    /// The current generation.
    pub generation: i32,
    /// When the current generation was made; the new access token is issued at this instant.
    pub rotated_at: Timestamp,
    /// Set when the session has ended, because this refresh reused an old token.
    pub revoked_at: Option<Timestamp>,
}

/// The current token rotates. The one just before it, within the grace, leaves everything as it is and so gets the same pair
/// again. Any other one is stolen or replayed: the session ends.
const ROTATE: &str = "UPDATE sessions SET \
       generation = CASE WHEN generation = ? THEN generation + 1 ELSE generation END, \
       rotated_at = CASE WHEN generation = ? THEN ? ELSE rotated_at END, \
       revoked_at = CASE WHEN generation = ? OR (generation = ? AND rotated_at >= ?) THEN NULL ELSE ? END \
     WHERE id = ? AND revoked_at IS NULL AND expires_at > ? \
     RETURNING user_id, generation, rotated_at, revoked_at";

impl Db {
    /// Starts a session.
    pub async fn create_session(
        &self,
        id: Uuid,
        user_id: Uuid,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let statement = Statement::<(Id,)>::new(
            "INSERT INTO sessions (id, user_id, generation, created_at, rotated_at, expires_at) \
             VALUES (?, ?, 0, ?, ?, ?) RETURNING id",
            binds![id, user_id, now, now, expires_at],
        );
        self.write::<_, (Uuid,)>(Operation::SessionCreate, statement).await.map(|_| ())
    }

    /// Uses the refresh token of `generation`. `None` when the session is unknown, ended or expired.
    pub async fn rotate_session(
        &self,
        id: Uuid,
        generation: i32,
        now: Timestamp,
    ) -> Result<Option<Rotated>, StoreError> {
        let next = generation.saturating_add(1);
        let since = now.checked_sub(GRACE).unwrap_or(now);
        let statement = Statement::<(Id, Integer, Instant, Nullable<Instant>)>::new(
            ROTATE,
            binds![generation, generation, now, generation, next, since, now, id, now],
        );
        Ok(self.write(Operation::SessionRotate, statement).await?.into_iter().next())
    }

    /// Ends a session: its row goes, and an unknown session is as good as one that has ended. Ending it again does nothing.
    pub async fn end_session(&self, id: Uuid) -> Result<(), StoreError> {
        let statement = Statement::<(Id,)>::new("DELETE FROM sessions WHERE id = ? RETURNING id", binds![id]);
        self.write::<_, (Uuid,)>(Operation::SessionRevoke, statement).await.map(|_| ())
    }

    /// Whether a session of this user is alive.
    pub async fn session_is_alive(&self, id: Uuid, user_id: Uuid, now: Timestamp) -> Result<bool, StoreError> {
        let statement = Statement::<(BigInt,)>::new(
            "SELECT count(*) FROM sessions WHERE id = ? AND user_id = ? AND revoked_at IS NULL AND expires_at > ?",
            binds![id, user_id, now],
        );
        let rows: Vec<(i64,)> = self.read(Operation::SessionCheck, statement).await?;
        Ok(rows.first().is_some_and(|(count,)| *count > 0))
    }
}
