//! What outlives a process: its database and the key of its tokens, for the next process to start on.

use super::app::Storage;
use super::process::{Builder, task_api};
use super::{Backend, sqlite};

const JWT_SECRET: &str = "a key of at least 32 bytes, for tests only";

/// A database that processes come and go on.
pub struct Ground {
    /// The database itself.
    pub storage: Storage,
}

impl Ground {
    /// A fresh one: an SQLite file that does not exist yet, or a migrated PostgreSQL database.
    pub async fn new(backend: Backend) -> Self {
        Self { storage: Storage::create(backend).await }
    }

    /// A command line that uses it.
    pub fn builder(&self) -> Builder {
        let builder = task_api().env("DATABASE_URL", self.storage.url());
        match &self.storage {
            // The service keeps its own key beside the file.
            Storage::Sqlite(_) => builder,
            Storage::Postgres(_) | Storage::Elsewhere(_) => builder.env("JWT_SECRET", JWT_SECRET),
        }
    }

    /// The SQLite file, or `None` on PostgreSQL.
    pub fn sqlite(&self) -> Option<&sqlite::Fresh> {
        match &self.storage {
            Storage::Sqlite(file) => Some(file),
            Storage::Postgres(_) | Storage::Elsewhere(_) => None,
        }
    }

    /// Runs a query that gives one whole number, the same text on either backend.
    pub fn count(&self, sql: &str) -> i64 {
        match &self.storage {
            Storage::Sqlite(file) => file.query(sql).parse().unwrap_or_else(|_| panic!("not a number: {sql}")),
            storage => storage.postgres().psql(sql).parse().unwrap_or_else(|_| panic!("not a number: {sql}")),
        }
    }
}
