//! What a run has made, noted before it is made, so that `loadtest clean` finds it after a kill.
//!
//! One file for each run, readable by its owner only: it holds the password of the run's people, which open nothing but
//! the run's own projects. A run that has cleaned up takes its file away.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What has to be taken away after one run.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leftover {
    /// The run.
    pub run: String,
    /// Where it ran: `http://host:port`.
    pub host: String,
    /// How many people it registered at most.
    pub users: usize,
    /// Their password. Never shown.
    pub password: String,
}

impl Leftover {
    /// A new run's, with a name that no other run has.
    pub fn new(host: String, users: usize) -> Self {
        let random = || Uuid::now_v7().simple().to_string().split_off(12); // behind the time: random
        let stamp = crate::clock::now().strftime("%Y%m%d-%H%M%S").to_string();
        let run = format!("{stamp}-{}", &random()[12..]);
        Self { run, host, users, password: format!("{}{}", random(), random()) }
    }

    /// The address of one of its people.
    pub fn email(&self, number: usize) -> String {
        format!("loadtest+{}-{number}@example.com", self.run)
    }

    /// The name of each of its projects.
    pub fn project_name(&self) -> String {
        format!("loadtest {}", self.run)
    }
}

/// The folder of the notes.
#[derive(Debug, Clone)]
pub struct Notes(PathBuf);

impl Notes {
    /// The notes in this folder.
    pub fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    fn path(&self, run: &str) -> PathBuf {
        self.0.join(format!("{run}.json"))
    }

    /// Notes a run, before it makes anything.
    ///
    /// # Errors
    /// When the file cannot be written: then nothing may be made.
    pub fn write(&self, leftover: &Leftover) -> Result<(), String> {
        let path = self.path(&leftover.run);
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.0)?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(&serde_json::to_vec(leftover)?)
        };
        write().map_err(|error| format!("{}: cannot be written: {error}", path.display()))
    }

    /// Strikes a run out: everything is gone.
    pub fn remove(&self, run: &str) {
        let _ = fs::remove_file(self.path(run)); // a note too many is found gone by the next `clean`
    }

    /// All runs that have left something, the oldest first.
    ///
    /// # Errors
    /// When a note cannot be read.
    pub fn all(&self) -> Result<Vec<Leftover>, String> {
        let Ok(entries) = fs::read_dir(&self.0) else { return Ok(Vec::new()) };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        let read = |path: &PathBuf| {
            let text = fs::read(path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
            serde_json::from_slice(&text).map_err(|_| format!("{}: is no note of a run", path.display()))
        };
        paths.iter().map(read).collect()
    }
}
