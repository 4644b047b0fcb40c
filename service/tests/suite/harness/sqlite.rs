//! A fresh SQLite file for each test.

use std::path::PathBuf;

use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection};
use tempfile::TempDir;

/// A file that does not exist yet, in a directory that goes when this value is dropped.
pub struct Fresh {
    /// `sqlite://…`, as `DATABASE_URL` takes it.
    pub url: String,
    /// The directory; the service puts the file beside what else it keeps.
    pub directory: TempDir,
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Text)]
    answer: String,
}

impl Fresh {
    /// Makes the directory.
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let url = format!("sqlite://{}", directory.path().join("tasks.db").display());
        Self { url, directory }
    }

    /// Where the file is, or will be.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("tasks.db")
    }

    /// A connection of the test's own, which waits for locks.
    pub fn connect(&self) -> SqliteConnection {
        let path = self.path();
        let mut connection = SqliteConnection::establish(path.to_str().expect("UTF-8")).expect("the file opens");
        connection.batch_execute("PRAGMA busy_timeout = 10000").expect("a pragma");
        connection
    }

    /// Runs a query of one value, a row a line.
    pub fn query(&self, sql: &str) -> String {
        let sql = format!("SELECT CAST(answer AS TEXT) AS answer FROM ({sql})");
        let rows: Vec<Answer> =
            diesel::sql_query(sql).load(&mut self.connect()).expect("a query of one value, `answer`");
        rows.into_iter().map(|row| row.answer).collect::<Vec<_>>().join("\n")
    }
}
