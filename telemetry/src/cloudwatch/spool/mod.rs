//! The disk spool: lines that are written before they are sent, in files that are removed once they are accepted.
//!
//! A file is written without waiting for the disk, so it outlives the process (also `kill -9`) and not the machine. A
//! process that dies between an answer and the removal leaves lines that are sent a second time: at least once, not
//! exactly once.

mod crc32;
mod segment;

use std::{
    collections::VecDeque,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    batch::{PUT_BYTES_MAX, PUT_EVENTS_MAX},
    event::Event,
    settings::SpoolSettings,
};

use self::segment::{FRAME_OVERHEAD, MARK};

/// The most files: a process that restarts all day while nothing can be sent leaves a small one each time.
const SEGMENTS_MAX: usize = 4096;

/// How often a file may fail to be read before it is passed over: a process out of file descriptors gets some again, a disk
/// that cannot read a block does not learn it.
const READ_FAILURES_MAX: u32 = 4;

/// One file and what it holds.
#[derive(Debug)]
struct Segment {
    id: u64,
    events: u64,
    bytes: u64,
    oldest_ms: i64,
    taken: bool,
}

/// The file that is written to: the last of the segments.
#[derive(Debug)]
struct Active {
    file: File,
    weight: usize,
    since: Instant,
}

/// The next file to be sent, if it could not be read.
#[derive(Debug)]
struct Failed {
    times: u32,
    last: Instant,
}

/// Lines on disk.
#[derive(Debug)]
pub(super) struct Spool {
    directory: PathBuf,
    bytes_max: u64,
    segments: VecDeque<Segment>,
    active: Option<Active>,
    bytes: u64,
    next: u64,
    failed: Option<Failed>,
    /// Files that could not be read and were left where they are. They still take room.
    left: usize,
    left_bytes: u64,
    /// Held for as long as this lives: another process must not send the same files.
    _lock: File,
}

/// Lines to send, and the file they are in.
#[derive(Debug)]
pub(super) struct Portion {
    pub(super) id: u64,
    pub(super) events: Vec<Event>,
    /// Lines of this file that were written and cannot be read any more.
    pub(super) lost: u64,
}

/// What an earlier process has left.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Recovered {
    pub(super) events: u64,
    pub(super) corrupt: u64,
    /// Files that could not be read or removed; they stay as they are.
    pub(super) errors: u64,
}

impl Spool {
    /// Takes the directory for this process, and shows that it can be written to.
    pub(super) fn open(settings: &SpoolSettings) -> io::Result<Self> {
        let directory = settings.directory.clone();
        // Lines hold addresses of clients: nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let lock = options().write(true).create(true).truncate(false).open(directory.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::other("another process uses it"),
            fs::TryLockError::Error(error) => error,
        })?;
        let probe = directory.join("probe");
        options().write(true).create(true).truncate(true).open(&probe)?.write_all(MARK)?;
        fs::remove_file(probe)?;
        Ok(Self {
            directory,
            bytes_max: settings.bytes_max,
            segments: VecDeque::new(),
            active: None,
            bytes: 0,
            next: 0,
            failed: None,
            left: 0,
            left_bytes: 0,
            _lock: lock,
        })
    }

    /// Finds and reads through what an earlier process has left, oldest first. A file without one whole line goes.
    pub(super) fn recover(&mut self) -> Recovered {
        let name = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".seg")?.parse::<u64>().ok();
        let mut recovered = Recovered::default();
        let Ok(entries) = fs::read_dir(&self.directory) else {
            recovered.errors = 1;
            return recovered;
        };
        let mut ids: Vec<u64> = entries.flatten().filter_map(name).collect();
        ids.sort_unstable();
        for id in ids {
            self.next = id + 1;
            let path = self.path(id);
            let Ok(bytes) = fs::read(&path) else {
                recovered.errors += 1;
                self.leave(fs::metadata(&path).map_or(0, |metadata| metadata.len()));
                continue;
            };
            let content = segment::decode(&bytes);
            recovered.corrupt += content.corrupt;
            let Some(oldest_ms) = content.events.iter().map(|event| event.timestamp_ms).min() else {
                recovered.errors += u64::from(fs::remove_file(path).is_err());
                continue;
            };
            let (events, bytes) = (content.events.len() as u64, bytes.len() as u64);
            recovered.events += events;
            self.bytes += bytes;
            self.segments.push_back(Segment { id, events, bytes, oldest_ms, taken: false });
        }
        recovered
    }

    /// Leaves a file where it is, which takes room all the same: a disk with bad blocks must not fill beyond the bound.
    fn leave(&mut self, bytes: u64) {
        self.left += 1;
        self.left_bytes += bytes;
    }

    /// How much the lines of the next `append` may weigh.
    pub(super) fn room(&self) -> usize {
        if self.segments.len() + self.left >= SEGMENTS_MAX {
            return 0;
        }
        // A frame takes less than the 26 bytes by which an event's weight exceeds its line; a new file takes its mark.
        let taken = self.bytes + self.left_bytes + MARK.len() as u64;
        usize::try_from(self.bytes_max.saturating_sub(taken)).unwrap_or(usize::MAX)
    }

    /// Writes lines behind all others: all of them, or on an error none.
    pub(super) fn append(&mut self, events: &[Event]) -> io::Result<()> {
        let weight = super::event::weight_of(events);
        let (held, number) = (self.active.as_ref().map_or(0, |active| active.weight), self.segments.back());
        let number = number.map_or(0, |segment| segment.events as usize);
        if self.active.is_some() && (held + weight > PUT_BYTES_MAX || number + events.len() > PUT_EVENTS_MAX) {
            self.active = None;
        }
        if self.active.is_none() {
            self.begin()?;
        }
        let (Some(active), Some(segment)) = (self.active.as_mut(), self.segments.back_mut()) else {
            return Err(io::Error::other("no file is open"));
        };
        let mut bytes = Vec::with_capacity(weight);
        events.iter().for_each(|event| segment::encode(event, &mut bytes));
        debug_assert_eq!(bytes.len(), events.iter().map(|event| FRAME_OVERHEAD + event.line.len()).sum::<usize>());
        if let Err(error) = active.file.write_all(&bytes) {
            // Half a frame must not stand before the next one. If even this fails, the reader finds it by its checksum.
            let _ = active.file.set_len(segment.bytes);
            self.active = None;
            self.forget_if_empty();
            return Err(error);
        }
        active.weight += weight;
        segment.events += events.len() as u64;
        segment.bytes += bytes.len() as u64;
        let oldest = events.iter().map(|event| event.timestamp_ms).min().unwrap_or(i64::MAX);
        segment.oldest_ms = segment.oldest_ms.min(oldest);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        let mut file = options().append(true).create_new(true).open(self.path(self.next))?;
        let (id, bytes) = (self.next, MARK.len() as u64);
        self.next += 1;
        self.bytes += bytes;
        self.segments.push_back(Segment { id, events: 0, bytes, oldest_ms: i64::MAX, taken: false });
        if let Err(error) = file.write_all(MARK) {
            self.forget_if_empty();
            return Err(error);
        }
        self.active = Some(Active { file, weight: 0, since: Instant::now() });
        Ok(())
    }

    fn forget_if_empty(&mut self) {
        if let Some(last) = self.segments.pop_back_if(|segment| segment.events == 0) {
            self.bytes -= last.bytes;
            let _ = fs::remove_file(self.path(last.id));
        }
    }

    /// The oldest lines that are not on their way yet. The file that is being written to is only taken when `due` says
    /// so of its age.
    pub(super) fn next(&mut self, due: impl Fn(Instant) -> bool) -> io::Result<Option<Portion>> {
        let Some(at) = self.segments.iter().position(|segment| !segment.taken) else { return Ok(None) };
        if let Some(active) = self.active.as_ref().filter(|_| at + 1 == self.segments.len()) {
            if !due(active.since) {
                return Ok(None);
            }
            self.active = None;
        }
        let id = self.segments[at].id;
        let bytes = fs::read(self.path(id)).inspect_err(|_| {
            let times = self.failed.as_ref().map_or(0, |failed| failed.times);
            self.failed = Some(Failed { times: times + 1, last: Instant::now() });
        })?;
        self.failed = None;
        let events = segment::decode(&bytes).events;
        let segment = &mut self.segments[at];
        segment.taken = true;
        let lost = segment.events.saturating_sub(events.len() as u64);
        Ok(Some(Portion { id, events, lost }))
    }

    /// When the next file to be sent could not be read.
    pub(super) fn failed_at(&self) -> Option<Instant> {
        self.failed.as_ref().map(|failed| failed.last)
    }

    /// Since when the next to be sent waits: the last failure to read it, or the moment at which it was begun if it is the
    /// file that is being written to.
    pub(super) fn since(&self) -> Option<Instant> {
        if let Some(failed_at) = self.failed_at() {
            return Some(failed_at);
        }
        let first = self.segments.iter().find(|segment| !segment.taken)?;
        let active = self.active.as_ref()?;
        (self.segments.back()?.id == first.id).then_some(active.since)
    }

    /// Removes a file all of whose lines are delivered or refused.
    pub(super) fn done(&mut self, id: u64) -> io::Result<()> {
        let at = self.segments.iter().position(|segment| segment.id == id);
        if let Some(segment) = at.and_then(|at| self.segments.remove(at)) {
            self.bytes -= segment.bytes;
        }
        fs::remove_file(self.path(id))
    }

    /// Gives up the next file to be sent after `error`, if it is gone or has failed too often; returns how many lines that
    /// costs. A file that is there stays there: somebody may mend it, and the next start tries it again.
    pub(super) fn give_up(&mut self, error: &io::Error) -> Option<u64> {
        let gone = error.kind() == io::ErrorKind::NotFound;
        if !gone && self.failed.as_ref().is_none_or(|failed| failed.times < READ_FAILURES_MAX) {
            return None;
        }
        self.failed = None;
        let at = self.segments.iter().position(|segment| !segment.taken)?;
        let segment = self.segments.remove(at)?;
        self.bytes -= segment.bytes;
        if !gone {
            self.leave(segment.bytes);
        }
        Some(segment.events)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.segments.iter().map(|segment| segment.oldest_ms).min()
    }

    fn path(&self, id: u64) -> PathBuf {
        path(&self.directory, id)
    }
}

fn path(directory: &Path, id: u64) -> PathBuf {
    directory.join(format!("{id:020}.seg"))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(test)]
mod tests;
