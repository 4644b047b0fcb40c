//! The history: a line of JSON for each run, in a file of bounded size with one predecessor.

mod summary;

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use summary::{Day, Fault, Incident, Summary};

use crate::output;
use crate::report::{Evidence, Outcome, Report};

/// The size at which a file becomes the predecessor: at 400 bytes a run, about two weeks of one good run a minute. A run with
/// evidence has some 2 KiB, 10 at most in all likelihood: a target that fails all day long fills a file in days.
const BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A longer line is none of ours. Evidence is 4 KiB of a body, each byte of which JSON may write as six, and 32 headers of a
/// name and a value of 512 bytes, each of which it may write as two: 88 KiB, were all of it at its worst.
const LINE_BYTES_MAX: usize = 128 * 1024;

/// What is kept of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it began.
    pub started_at: Timestamp,
    /// Its name.
    pub run: String,
    /// What was probed.
    pub target: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Milliseconds of the whole.
    pub duration_ms: f64,
    /// Further attempts.
    pub retries: u32,
    /// Addresses that were up, and all.
    pub addresses: [usize; 2],
    /// The slowest attempt, in milliseconds.
    pub slowest_ms: f64,
    /// The worst reason, if there is one.
    pub reason: Option<String>,
    /// The trace of the first failed or slow attempt.
    pub trace_id: Option<String>,
    /// What is known of the first failed attempt, when there was one. Lines from before it was kept have none.
    #[serde(default)]
    pub evidence: Option<Evidence>,
}

impl From<&Report> for Entry {
    fn from(report: &Report) -> Self {
        let attempts = report.steps.iter().flat_map(|step| &step.attempts);
        Self {
            started_at: report.started_at,
            run: report.run.clone(),
            target: report.target.clone(),
            outcome: report.outcome,
            duration_ms: report.duration_ms,
            retries: report.retries,
            addresses: [report.addresses.iter().filter(|address| address.up).count(), report.addresses.len()],
            slowest_ms: attempts.map(|attempt| attempt.total_ms).fold(0.0, f64::max),
            reason: report.reasons.first().map(|reason| reason.chars().take(500).collect()),
            // An attempt at the name has no trace.
            trace_id: report.first_blame().map(|(_, attempt, _)| attempt.trace_id.clone()).filter(|id| !id.is_empty()),
            evidence: report.evidence.clone(),
        }
    }
}

/// Adds a run.
///
/// # Errors
/// When the file cannot be written.
pub fn append(path: &Path, report: &Report) -> std::io::Result<()> {
    append_bounded(path, &line(Entry::from(report)), BYTES_MAX)
}

/// A line that will be read again: without its evidence, should that be longer than it can be.
fn line(mut entry: Entry) -> String {
    let line = output::json(&entry);
    if line.len() <= LINE_BYTES_MAX {
        return line;
    }
    entry.evidence = None;
    output::json(&entry)
}

fn append_bounded(path: &Path, line: &str, bytes_max: u64) -> std::io::Result<()> {
    let size = std::fs::metadata(path).map_or(0, |found| found.len());
    if size > 0 && size + line.len() as u64 > bytes_max {
        std::fs::rename(path, predecessor(path))?;
    }
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    // A run that was killed while it wrote has left half a line: it must not spoil this one. One write, one line.
    let torn = !ends_with_line(&file)?;
    file.write_all(format!("{}{line}", if torn { "\n" } else { "" }).as_bytes())
}

fn ends_with_line(file: &File) -> std::io::Result<bool> {
    use std::os::unix::fs::FileExt as _;
    let size = file.metadata()?.len();
    let mut last = [b'\n'];
    if size > 0 {
        file.read_exact_at(&mut last, size - 1)?;
    }
    Ok(last == *b"\n")
}

fn predecessor(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// The runs since `since`, oldest first, and how many lines were none.
///
/// # Errors
/// When there is no such file.
pub fn read(path: &Path, since: Timestamp) -> std::io::Result<(Vec<Entry>, u64)> {
    let (mut entries, mut unreadable) = (Vec::new(), 0);
    let before = File::open(predecessor(path)).ok();
    for file in before.into_iter().chain([File::open(path)?]) {
        for line in BufReader::new(file).split(b'\n') {
            let line = line?;
            if line.is_empty() {
                continue;
            }
            let entry = if line.len() > LINE_BYTES_MAX { None } else { serde_json::from_slice::<Entry>(&line).ok() };
            match entry {
                Some(entry) if entry.started_at >= since => entries.push(entry),
                Some(_) => {}
                None => unreadable += 1,
            }
        }
    }
    entries.sort_by_key(|entry| entry.started_at);
    Ok((entries, unreadable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_bounded_and_nothing_recent_is_lost() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("history");
        for number in 0..100 {
            append_bounded(&path, &format!("{number:09}\n"), 200).unwrap();
        }
        let (old, new) =
            (std::fs::read_to_string(predecessor(&path)).unwrap(), std::fs::read_to_string(&path).unwrap());
        assert!(old.len() <= 200 && new.len() <= 200 && new.ends_with("000000099\n"), "{old}{new}");
        assert!(old.lines().count() == 20 && std::fs::read_dir(directory.path()).unwrap().count() == 2);
    }

    #[test]
    fn evidence_at_its_worst_is_read_again() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("history");
        let text = r#"{"started_at":"2026-11-20T12:00:00Z","run":"1","target":"t","outcome":"failed","duration_ms":1.0,
            "retries":0,"addresses":[1,1],"slowest_ms":1.0,"reason":null,"trace_id":null,"evidence":{"step":"read",
            "attempt":{"address":"::1","status":200,"phases":{"dns":0,"connect":0,"tls":0,"send":0,"wait":0,"receive":0},
            "total_ms":1.0,"trace_id":"1","request_id":null,"fault":null,"slow":null},"headers":{},"body":null}}"#;
        let mut entry: Entry = serde_json::from_str(text).unwrap();
        let evidence = entry.evidence.as_mut().unwrap();
        evidence.body = Some("\u{1}".repeat(4096));
        evidence.headers = (10..42).map(|at| (format!("{at}{}", "n".repeat(510)), "\"".repeat(512))).collect();
        for (address, kept) in [("::1".to_owned(), true), ("x".repeat(LINE_BYTES_MAX), false)] {
            entry.evidence.as_mut().unwrap().attempt.address = address;
            std::fs::write(&path, line(entry.clone())).unwrap();
            let (entries, unreadable) = read(&path, Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!((entries.len(), unreadable, entries[0].evidence == entry.evidence), (1, 0, kept));
        }
    }

    #[test]
    fn half_a_line_spoils_no_other() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("history");
        std::fs::write(&path, "{\"started_at\":\"20").unwrap();
        let entry = r#"{"started_at":"2026-11-20T12:00:00Z","run":"1","target":"t","outcome":"ok","duration_ms":1.0,
            "retries":0,"addresses":[1,1],"slowest_ms":1.0,"reason":null,"trace_id":null}"#
            .replace('\n', "");
        append_bounded(&path, &format!("{entry}\n"), 10_000).unwrap();
        let (entries, unreadable) = read(&path, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((entries.len(), unreadable), (1, 1));
        assert!(read(&directory.path().join("none"), Timestamp::UNIX_EPOCH).is_err());
    }
}
