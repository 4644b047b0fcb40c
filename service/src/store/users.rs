//! Users in the database: registering makes the user, the personal project and the first session at once.

use diesel::Queryable;
use diesel::sql_types::Text;
use jiff::Timestamp;
use uuid::Uuid;

use super::statement::{Statement, binds};
use super::types::{Id, Instant};
use super::{Db, End, Operation, StoreError};

/// A user, without the password's hash.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct UserRow {
    /// UUIDv7.
    pub id: Uuid,
    /// Lower case.
    pub email: String,
    /// As the user gave it.
    pub name: String,
    /// When the user registered.
    pub created_at: Timestamp,
}

/// What registering writes.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The user.
    pub user: UserRow,
    /// The PHC string of the password.
    pub password_hash: String,
    /// The id of the personal project.
    pub project_id: Uuid,
    /// The id of the first session.
    pub session_id: Uuid,
    /// When that session ends at the latest.
    pub session_expires_at: Timestamp,
}

/// What SQLite runs one after another, in one transaction. Nothing inserted: the address is taken.
const STEPS: [&str; 4] = [
    "INSERT INTO users (id, email, name, password_hash, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (email) DO NOTHING",
    "INSERT INTO projects (id, name, personal_of, created_by, created_at, updated_at) VALUES (?, 'Personal', ?, ?, ?, ?)",
    "INSERT INTO project_members (user_id, project_id, role, created_at) VALUES (?, ?, 'owner', ?)",
    "INSERT INTO sessions (id, user_id, generation, created_at, rotated_at, expires_at) VALUES (?, ?, 0, ?, ?, ?)",
];

const POSTGRES: &str = "WITH joined AS (\
       INSERT INTO users (id, email, name, password_hash, created_at) VALUES ($1, $2, $3, $4, $5) \
       ON CONFLICT (email) DO NOTHING RETURNING id\
     ), project AS (\
       INSERT INTO projects (id, name, personal_of, created_by, created_at, updated_at) \
       SELECT $6, 'Personal', joined.id, joined.id, $5, $5 FROM joined\
     ), member AS (\
       INSERT INTO project_members (user_id, project_id, role, created_at) SELECT joined.id, $6, 'owner', $5 FROM joined\
     ), session AS (\
       INSERT INTO sessions (id, user_id, generation, created_at, rotated_at, expires_at) \
       SELECT $7, joined.id, 0, $5, $5, $8 FROM joined\
     ) SELECT joined.id FROM joined";

impl Db {
    /// Registers a user. False when the address is taken.
    pub async fn register_user(&self, new: NewUser) -> Result<bool, StoreError> {
        let NewUser { user, password_hash, project_id, session_id, session_expires_at } = new;
        let now = user.created_at;
        if !self.is_sqlite() {
            let statement = Statement::<(Id,)>::numbered(
                POSTGRES,
                binds![user.id, user.email, user.name, password_hash, now, project_id, session_id, session_expires_at],
            );
            let rows: Vec<(Uuid,)> = self.postgres_write(Operation::UserRegister, statement).await?;
            return Ok(!rows.is_empty());
        }
        self.sqlite_write(Operation::UserRegister, move |connection| {
            let binds = [
                binds![user.id, user.email, user.name, password_hash, now],
                binds![project_id, user.id, user.id, now, now],
                binds![user.id, project_id, now],
                binds![session_id, user.id, now, now, session_expires_at],
            ];
            for (step, binds) in STEPS.into_iter().zip(binds) {
                if diesel::RunQueryDsl::execute(Statement::<()>::new(step, binds), connection)? == 0 {
                    return Ok(End::Rollback(false));
                }
            }
            Ok(End::Commit(true))
        })
        .await
    }

    /// The user with an address, and the hash of their password.
    pub async fn find_user(&self, email: String) -> Result<Option<(UserRow, String)>, StoreError> {
        let statement = Statement::<((Id, Text, Text, Instant), Text)>::new(
            "SELECT id, email, name, created_at, password_hash FROM users WHERE email = ?",
            binds![email],
        );
        Ok(self.read(Operation::UserFindByEmail, statement).await?.into_iter().next())
    }

    /// The user with an id.
    pub async fn get_user(&self, id: Uuid) -> Result<Option<UserRow>, StoreError> {
        let statement = Statement::<(Id, Text, Text, Instant)>::new(
            "SELECT id, email, name, created_at FROM users WHERE id = ?",
            binds![id],
        );
        Ok(self.read(Operation::UserGet, statement).await?.into_iter().next())
    }
}
