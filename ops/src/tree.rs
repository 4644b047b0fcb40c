//! A checkout as `ops` sees it: the files it writes, and what is wrong with those that are there.

use std::fmt;
use std::path::{Path, PathBuf};

use similar::TextDiff;

/// Lines around a difference that are shown with it.
const CONTEXT_LINES: usize = 3;

/// A file that follows from the objectives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// From the repository's root, with `/`.
    pub path: String,
    /// All of it, ending in a newline.
    pub text: String,
}

/// Something that must be mended before the tree is committed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// From the repository's root.
    pub file: String,
    /// What is wrong, where in the file, and what would be right; more than one line for a difference.
    pub what: String,
}

impl Problem {
    /// A problem of a file.
    pub fn new(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self { file: file.into(), what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.file, self.what)
    }
}

/// One line of `ops list`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Item {
    /// `objective`, `alert`, `recording`, `alarm`, `composite`, `query`, `panel`, ….
    pub kind: &'static str,
    /// As people call it.
    pub name: String,
    /// What it says, in one sentence.
    pub summary: String,
    /// Where it stands.
    pub file: String,
}

/// A checkout.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The checkout at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Its root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file's text.
    ///
    /// # Errors
    /// A problem that names the file, when it is not there or not UTF-8.
    pub fn read(&self, path: &str) -> Result<String, Problem> {
        std::fs::read_to_string(self.root.join(path))
            .map_err(|error| Problem::new(path, format!("cannot be read: {error}")))
    }

    /// The names of the files in a folder that end so, in order; none when there is no such folder.
    pub fn names(&self, folder: &str, suffix: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join(folder)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(suffix)).collect();
        names.sort();
        names
    }

    /// Writes a file, and the folders above it; says whether it was different before.
    ///
    /// # Errors
    /// When the disk refuses; the old file is then still there.
    pub fn write(&self, file: &Rendered) -> std::io::Result<bool> {
        let path = self.root.join(&file.path);
        if std::fs::read_to_string(&path).is_ok_and(|text| text == file.text) {
            return Ok(false);
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let new = path.with_added_extension("new");
        std::fs::write(&new, &file.text)?;
        std::fs::rename(&new, &path)?;
        Ok(true)
    }

    /// How the file in the tree differs from what is rendered, as a unified diff.
    pub fn difference(&self, file: &Rendered) -> Option<Problem> {
        let renew = "renew it with `cargo run -p ops -- render`";
        let Ok(found) = self.read(&file.path) else {
            return Some(Problem::new(&file.path, format!("is missing; {renew}")));
        };
        if found == file.text {
            return None;
        }
        let diff = TextDiff::from_lines(&found, &file.text);
        let diff = diff.unified_diff().context_radius(CONTEXT_LINES).header("in the tree", "rendered").to_string();
        Some(Problem::new(&file.path, format!("differs from what is rendered; {renew}\n{diff}")))
    }
}
