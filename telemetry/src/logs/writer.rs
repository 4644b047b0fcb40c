//! The bounded log writer: a buffer in memory that requests append to, and one thread that empties it.
//!
//! A request pays for a lock and a copy, whatever state the output is in. When the buffer is full, whole lines are
//! dropped and counted, and one line later says how many were lost between when and when.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    thread,
    time::{Duration, Instant, SystemTime},
};

use tracing::Level;

use crate::clock;

use super::{
    output::{Batch, Output, pause},
    stats::LogStats,
};

/// The most bytes of lines that wait, those being written among them. At 1000 requests a second and 500 bytes a
/// line this bridges an output that stands still for 16 seconds, and it is 2 % of the smallest task's memory.
pub const LOG_BUFFER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The part of the buffer that only lines at ERROR may fill: what explains an outage is written during it.
pub const LOG_BUFFER_ERROR_RESERVE: usize = LOG_BUFFER_BYTES_MAX / 8;

/// So many bytes wake the thread at once; a pipe holds as many, so larger writes would not be cheaper.
const FLUSH_BYTES: usize = 64 * 1024;

/// The longest a line waits for company. Waking a thread for each line costs more than formatting the line.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// How the line about lost lines is worded.
pub(crate) type Summary = Box<dyn Fn(&Drops, &mut Vec<u8>) + Send>;

/// Lines lost since the last summary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drops {
    pub(crate) lines: u64,
    pub(crate) first: SystemTime,
    pub(crate) last: SystemTime,
}

/// What requests and the thread share.
struct Queue {
    batch: Batch,
    drops: Option<Drops>,
    flush: bool,
    closed: bool,
}

impl Queue {
    fn dropped(&mut self, lines: u64) {
        let now = clock::now();
        let drops = self.drops.get_or_insert(Drops { lines: 0, first: now, last: now });
        drops.lines += lines;
        drops.last = now;
    }
}

struct Shared {
    queue: Mutex<Queue>,
    /// Tells the thread that there is something to do.
    work: Condvar,
    /// Tells those who wait in `flush` that a batch is done.
    progress: Condvar,
    stats: Arc<LogStats>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer; its thread ends, all lines written, once this is dropped.
pub(crate) struct LogWriter {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for LogWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LogWriter").field("stats", &self.shared.stats).finish_non_exhaustive()
    }
}

impl LogWriter {
    /// Starts the thread that owns `output`, which must not buffer.
    pub(crate) fn start(output: Box<dyn Write + Send>, summary: Summary) -> io::Result<Self> {
        let queue = Queue { batch: Batch::default(), drops: None, flush: false, closed: false };
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            work: Condvar::new(),
            progress: Condvar::new(),
            stats: Arc::default(),
        });
        let writer = Self { shared: Arc::clone(&shared) };
        thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || run(&shared, Output::new(output, Arc::clone(&shared.stats)), &summary))?;
        Ok(writer)
    }

    pub(crate) fn stats(&self) -> Arc<LogStats> {
        Arc::clone(&self.shared.stats)
    }

    /// Takes one whole line, or drops it. Never waits for the output.
    pub(crate) fn push(&self, line: &[u8], level: Level) {
        let reserve = if level == Level::ERROR { 0 } else { LOG_BUFFER_ERROR_RESERVE };
        let stats = &self.shared.stats;
        let mut queue = self.shared.lock();
        stats.produced.fetch_add(1, Relaxed);
        let waiting = stats.queue_bytes.load(Relaxed) as usize;
        let before = queue.batch.bytes();
        let fits = waiting + line.len() <= LOG_BUFFER_BYTES_MAX - reserve;
        if fits {
            stats.queue_bytes.fetch_add(line.len() as u64, Relaxed);
            queue.batch.push(line);
        } else {
            stats.queue_full.fetch_add(1, Relaxed);
            queue.dropped(1);
        }
        drop(queue);
        // The thread sleeps without a limit only while the batch is empty, and once more until it is worth writing.
        if before == 0 || (before < FLUSH_BYTES && before + line.len() >= FLUSH_BYTES) {
            self.shared.work.notify_one();
        }
    }

    /// Waits until all lines taken before this call are written or have failed, at most `deadline`. Returns whether
    /// they are.
    pub(crate) fn flush(&self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        let stats = &self.shared.stats;
        let mut queue = self.shared.lock();
        // Lines leave in the order in which they came.
        let target = stats.produced() - stats.queue_full.load(Relaxed);
        queue.flush = true;
        self.shared.work.notify_one();
        loop {
            if stats.written() + stats.write_failed.load(Relaxed) >= target {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.progress.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            // A batch may have been taken between our lines and this call.
            queue.flush = true;
            self.shared.work.notify_one();
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_one();
    }
}

/// The thread: takes what has gathered, writes it, and again.
fn run(shared: &Shared, mut output: Output, summary: &Summary) {
    let mut batch = Batch::default();
    while let Some(reported) = take(shared, &mut batch, summary) {
        let failed = output.write(&batch);
        batch.clear();
        let mut queue = shared.lock();
        if failed > 0 {
            // The summary was the batch's last line, so it failed as well: its news goes into the next one.
            queue.dropped(failed - u64::from(reported.is_some()));
            if let (Some(drops), Some(earlier)) = (queue.drops.as_mut(), reported) {
                drops.lines += earlier.lines;
                drops.first = earlier.first;
            }
        }
        let closed = queue.closed;
        drop(queue);
        shared.progress.notify_all();
        if failed > 0 && closed {
            return;
        }
        if failed > 0 {
            // An output that fails at once would otherwise be tried as often as lines come.
            pause(FLUSH_INTERVAL);
        }
    }
}

/// Waits for lines and swaps them into `batch`, the summary of lost lines at its end; returns what that summary
/// said. `None` ends the thread. (The nested option: a batch without a summary.)
fn take(shared: &Shared, batch: &mut Batch, summary: &Summary) -> Option<Option<Drops>> {
    let mut queue = shared.lock();
    while queue.batch.is_empty() && queue.drops.is_none() {
        if queue.closed {
            return None;
        }
        queue = shared.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
    let end = Instant::now() + FLUSH_INTERVAL;
    while queue.batch.bytes() < FLUSH_BYTES && !queue.flush && !queue.closed {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        queue = shared.work.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    queue.flush = false;
    mem::swap(&mut queue.batch, batch);
    let drops = queue.drops.take();
    if let Some(drops) = &drops {
        let mut line = Vec::new();
        summary(drops, &mut line);
        shared.stats.produced.fetch_add(1, Relaxed);
        shared.stats.queue_bytes.fetch_add(line.len() as u64, Relaxed);
        batch.push(&line);
    }
    Some(drops)
}
