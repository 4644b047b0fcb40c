//! A batch of lines on its way to the output: partial writes, errors, and which lines made it.

use std::{
    io::{ErrorKind, Write},
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};

use super::stats::LogStats;

/// One write: what a pipe holds, so that a slow reader's progress shows.
const WRITE_BYTES: usize = 64 * 1024;

/// Capacity that one storm has left behind is given back above this.
const CAPACITY_KEPT: usize = 1024 * 1024;

/// How long to wait for an output that is set to non-blocking and full.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Whole lines, and where each ends.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Batch {
    pub(super) fn push(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        // The buffer's bound keeps this far below 4 GiB.
        self.ends.push(self.bytes.len() as u32);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.bytes.shrink_to(CAPACITY_KEPT);
        self.ends.shrink_to(CAPACITY_KEPT / 256);
    }

    /// How many lines lie wholly in the first `bytes`.
    fn lines_within(&self, bytes: usize) -> usize {
        self.ends.partition_point(|end| *end as usize <= bytes)
    }

    fn ends_line(&self, bytes: usize) -> bool {
        bytes == 0 || self.ends.binary_search(&(bytes as u32)).is_ok()
    }
}

/// The output, and whether it stands within a line.
pub(super) struct Output {
    sink: Box<dyn Write + Send>,
    stats: Arc<LogStats>,
    torn: bool,
}

impl Output {
    pub(super) fn new(sink: Box<dyn Write + Send>, stats: Arc<LogStats>) -> Self {
        Self { sink, stats, torn: false }
    }

    /// Writes the batch, for as long as the output lets us wait, and keeps the counts. Returns how many lines were
    /// lost to an error; those that follow the failed one are lost with it.
    pub(super) fn write(&mut self, batch: &Batch) -> u64 {
        if self.torn {
            // Half a line stands there: the next one must not be glued to it.
            if self.write_some(b"\n").is_none() {
                return self.lose(batch, 0);
            }
            self.torn = false;
        }
        let mut done = 0;
        while done < batch.bytes.len() {
            let end = batch.bytes.len().min(done + WRITE_BYTES);
            let Some(written) = self.write_some(&batch.bytes[done..end]) else {
                self.torn = !batch.ends_line(done);
                return self.lose(batch, done);
            };
            let lines = batch.lines_within(done + written) - batch.lines_within(done);
            done += written;
            self.stats.written.fetch_add(lines as u64, Relaxed);
            self.stats.queue_bytes.fetch_sub(written as u64, Relaxed);
        }
        0
    }

    fn write_some(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            match self.sink.write(bytes) {
                Ok(0) => return None,
                Ok(written) => return Some(written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => pause(RETRY_INTERVAL),
                Err(_) => return None,
            }
        }
    }

    fn lose(&self, batch: &Batch, done: usize) -> u64 {
        let lost = (batch.ends.len() - batch.lines_within(done)) as u64;
        self.stats.write_failed.fetch_add(lost, Relaxed);
        self.stats.queue_bytes.fetch_sub((batch.bytes.len() - done) as u64, Relaxed);
        lost
    }
}

/// Waits before another try.
#[expect(clippy::disallowed_methods, reason = "the writer's own thread, which no task runs on")]
pub(super) fn pause(duration: Duration) {
    thread::sleep(duration);
}
