//! What can go wrong in the store, sorted by what the caller can do about it. The database's own text stays inside.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use telemetry::metrics::DbErrorType;

/// A statement that did not succeed.
#[derive(Debug, Clone)]
pub enum StoreError {
    /// No connection came free in time: a retry helps.
    PoolTimeout,
    /// The database can't be reached, is starting, stopping or read-only: a retry helps.
    Unavailable(String),
    /// A statement or a lock took longer than its limit: a retry helps.
    Timeout,
    /// Two transactions stood in each other's way: a retry helps.
    Conflict,
    /// A defect of ours, or of the schema: a retry does not help.
    Internal(String),
}

impl StoreError {
    /// The class that metrics and spans carry.
    pub fn kind(&self) -> DbErrorType {
        match self {
            StoreError::PoolTimeout => DbErrorType::PoolTimeout,
            StoreError::Unavailable(_) => DbErrorType::Unavailable,
            StoreError::Timeout => DbErrorType::Timeout,
            StoreError::Conflict => DbErrorType::Conflict,
            StoreError::Internal(_) => DbErrorType::Internal,
        }
    }
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StoreError::PoolTimeout => f.write_str("no database connection came free in time"),
            StoreError::Unavailable(why) => write!(f, "the database is unavailable: {why}"),
            StoreError::Timeout => f.write_str("a statement or a lock took too long"),
            StoreError::Conflict => f.write_str("transactions conflicted"),
            StoreError::Internal(why) => write!(f, "the database refused a statement: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// Makes the error of a condition that passes from the database's message.
type Passing = fn(String) -> StoreError;

/// The databases' messages for conditions that pass. Diesel keeps the SQLSTATE of eight conditions as a kind and drops every
/// other, with the error that had it. SQLite speaks English only, PostgreSQL is asked to (see `postgres::connect`).
const PASSING: &[(&str, Passing)] = &[
    ("canceling statement due to", |_| StoreError::Timeout),
    ("deadlock detected", |_| StoreError::Conflict),
    ("terminating connection", StoreError::Unavailable),
    ("the database system is", StoreError::Unavailable),
    ("remaining connection slots", StoreError::Unavailable),
    ("sorry, too many clients", StoreError::Unavailable),
    ("could not extend file", StoreError::Unavailable),
    ("could not write", StoreError::Unavailable),
    ("database is locked", |_| StoreError::Timeout),
    ("database or disk is full", StoreError::Unavailable),
    ("disk I/O error", StoreError::Unavailable),
    ("attempt to write a readonly database", StoreError::Unavailable),
    ("unable to open database file", StoreError::Unavailable),
];

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(kind, information) => {
                // The message alone: details and hints quote the values of a row.
                let message = information.message().to_owned();
                match kind {
                    DatabaseErrorKind::UnableToSendCommand
                    | DatabaseErrorKind::ClosedConnection
                    | DatabaseErrorKind::ReadOnlyTransaction => StoreError::Unavailable(message),
                    DatabaseErrorKind::SerializationFailure => StoreError::Conflict,
                    _ => match PASSING.iter().find(|(start, _)| message.starts_with(start)) {
                        Some((_, make)) => make(message),
                        None => StoreError::Internal(message),
                    },
                }
            }
            DieselError::BrokenTransactionManager => StoreError::Unavailable(error.to_string()),
            other => StoreError::Internal(other.to_string()),
        }
    }
}

impl From<diesel_async::pooled_connection::bb8::RunError> for StoreError {
    fn from(error: diesel_async::pooled_connection::bb8::RunError) -> Self {
        match error {
            bb8::RunError::TimedOut => StoreError::PoolTimeout,
            bb8::RunError::User(why) => StoreError::Unavailable(why.to_string()),
        }
    }
}
