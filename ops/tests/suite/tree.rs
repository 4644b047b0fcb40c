//! Checkouts for the tests: this one, and copies of what `ops` looks at with something changed.

use std::path::Path;

use ops::tree::Tree;
use slo::Slo;
use tempfile::TempDir;

/// What `ops` reads, from the root. Those that a checkout does not have are left out.
const READ: [&str; 5] = ["alerts", "dashboards", "docs", "deploy", "slo.toml"];

/// The objectives of the repository.
pub(crate) fn objectives() -> Slo {
    Slo::read(&testkit::root().join("slo.toml")).expect("the file of the repository")
}

/// The text of `slo.toml` with one thing changed, read.
pub(crate) fn changed(from: &str, to: &str) -> Slo {
    let text = std::fs::read_to_string(testkit::root().join("slo.toml")).expect("the file of the repository");
    assert!(text.contains(from), "{from}");
    Slo::parse(&text.replacen(from, to, 1), "slo.toml").expect("still valid")
}

/// This checkout.
pub(crate) fn here() -> Tree {
    Tree::new(testkit::root())
}

/// A copy of this checkout to change.
pub(crate) struct Copy {
    folder: TempDir,
}

impl Copy {
    /// As it stands.
    pub(crate) fn of_here() -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        for name in READ {
            copy(&testkit::root().join(name), &folder.path().join(name));
        }
        Self { folder }
    }

    /// The copy.
    pub(crate) fn tree(&self) -> Tree {
        Tree::new(self.folder.path())
    }

    /// Replaces the first `from` of a file.
    pub(crate) fn change(&self, path: &str, from: &str, to: &str) -> &Self {
        let text = self.tree().read(path).unwrap_or_else(|problem| panic!("{problem}"));
        assert!(text.contains(from), "{path} has no {from:?}");
        self.write(path, &text.replacen(from, to, 1))
    }

    /// Writes a file.
    pub(crate) fn write(&self, path: &str, text: &str) -> &Self {
        std::fs::write(self.folder.path().join(path), text).expect("written");
        self
    }

    /// Removes a file.
    pub(crate) fn remove(&self, path: &str) -> &Self {
        std::fs::remove_file(self.folder.path().join(path)).expect("removed");
        self
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        std::fs::copy(from, to).expect("copied");
    }
    let Ok(entries) = std::fs::read_dir(from) else { return };
    std::fs::create_dir_all(to).expect("a folder");
    for entry in entries.flatten() {
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}
