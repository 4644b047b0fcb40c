//! A fresh SQLite file for each test.

use tempfile::TempDir;

/// A file that does not exist yet, in a directory that goes when this value is dropped.
pub struct Fresh {
    /// `sqlite://…`, as `DATABASE_URL` takes it.
    pub url: String,
    /// The directory; the service puts the file beside what else it keeps.
    pub directory: TempDir,
}

impl Fresh {
    /// Makes the directory.
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let url = format!("sqlite://{}", directory.path().join("tasks.db").display());
        Self { url, directory }
    }
}
