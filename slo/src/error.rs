//! What is wrong with an objective, told to whoever edits the file.

use std::fmt;
use std::path::Path;

/// Why the objectives cannot be used. One line: file, line, key, what it got and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self(format!("{}: cannot be read: {error}", path.display()))
    }

    pub(crate) fn at(name: &str, text: &str, offset: usize, message: &str) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        Self(format!("{name}:{line}: {message}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
