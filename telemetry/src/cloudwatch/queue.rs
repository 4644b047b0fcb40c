//! The lines in memory: bounded by weight and by number, the least important going first, and the accounts of all lines.
//!
//! A request pays for a lock and, where its line has a place, for a copy. The thread takes lines out in small portions, so
//! that nobody waits long for the lock.

use std::{
    borrow::Cow,
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::Notify;
use tracing::Level;

use super::{
    batch::{LINE_BYTES_MAX, PUT_BYTES_MAX, PUT_EVENTS_MAX},
    cut::cut,
    event::{Event, Rank, milliseconds, weight_of_line},
    settings::{Pace, QUEUE_ERROR_RESERVE},
    stats::ShipperCounts,
};
use crate::{catalogue::ShipperDrop, clock, logs::Drops};

/// Lines taken out under one hold of the lock: some 20 µs.
const PORTION: usize = 256;

/// The longest line that is copied under the lock, in bytes. Most have 500; a longer one would keep the others waiting.
const COPIED_INSIDE_MAX: usize = 4096;

/// Lines of one level, each with its place in the order of all.
#[derive(Debug, Default)]
struct Lane {
    events: VecDeque<(u64, Event)>,
    weight: usize,
}

#[derive(Debug, Default)]
struct State {
    lanes: [Lane; Rank::ALL.len()],
    next: u64,
    /// Since when something waits.
    since: Option<Instant>,
    drops: Option<Drops>,
    counts: ShipperCounts,
    flushing: bool,
    /// Whether the thread has seen that somebody waits, and has added its own last lines.
    acknowledged: bool,
    closed: bool,
}

impl State {
    fn waiting(&self) -> (usize, usize) {
        let lanes = self.lanes.iter();
        lanes.fold((0, 0), |(weight, events), lane| (weight + lane.weight, events + lane.events.len()))
    }

    fn add(&mut self, event: Event) {
        let (weight, lane) = (event.weight(), &mut self.lanes[event.rank as usize]);
        lane.weight += weight;
        lane.events.push_back((self.next, event));
        self.next += 1;
        self.counts.queued += 1;
        self.counts.queued_bytes += weight as u64;
        self.since.get_or_insert_with(Instant::now);
    }

    fn pop(&mut self, rank: usize) -> Option<Event> {
        let lane = &mut self.lanes[rank];
        let (_, event) = lane.events.pop_front()?;
        lane.weight -= event.weight();
        Some(event)
    }

    /// The lane whose first line is the oldest of all.
    fn oldest(&self) -> Option<usize> {
        let first = |rank: usize| self.lanes[rank].events.front().map(|(place, _)| (*place, rank));
        (0..self.lanes.len()).filter_map(first).min().map(|(_, rank)| rank)
    }

    /// Books a lost line. The time is that of the line that came: the lost one, or the one that took its place.
    fn dropped(&mut self, time: SystemTime) {
        self.counts.dropped[ShipperDrop::QueueFull as usize] += 1;
        let drops = self.drops.get_or_insert(Drops { lines: 0, first: time, last: time });
        drops.lines += 1;
        (drops.first, drops.last) = (drops.first.min(time), drops.last.max(time));
    }
}

/// What requests and the shipper's thread share.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Wakes the thread.
    pub(super) work: Notify,
    /// Ends the waits between retries.
    pub(super) hurry: Notify,
    /// Tells those who wait in `flush` that lines have found their place.
    progress: Condvar,
    bytes_max: usize,
    events_max: usize,
}

impl Queue {
    pub(super) fn new(pace: &Pace) -> Self {
        Self {
            state: Mutex::default(),
            work: Notify::new(),
            hurry: Notify::new(),
            progress: Condvar::new(),
            bytes_max: pace.queue_bytes_max,
            events_max: pace.queue_events_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one line, or drops it, or drops less important ones for it. Never waits for the network or a disk.
    pub(crate) fn push(&self, time: SystemTime, level: Level, line: &[u8]) {
        // The layer writes UTF-8; anything else is made so rather than refused by the SDK. Checked first without that: the
        // check of ASCII goes by words, the lossy one byte by byte.
        let line = line.trim_ascii_end();
        let text = std::str::from_utf8(line).map_or_else(|_| String::from_utf8_lossy(line), Cow::Borrowed);
        let short = cut(&text, LINE_BYTES_MAX);
        let truncated = short.is_some();
        let text = short.map_or(text, Cow::Owned);
        let text = if text.len() > COPIED_INSIDE_MAX { Cow::Owned(text.into_owned()) } else { text };
        let (timestamp_ms, rank) = (milliseconds(time), Rank::from(level));
        let mut state = self.lock();
        state.counts.produced += 1;
        state.counts.truncated += u64::from(truncated);
        let before = state.waiting();
        // Only what has a place is copied: while CloudWatch is away, nearly no line has one.
        if self.make_room(&mut state, time, rank, weight_of_line(&text)) {
            state.add(Event { timestamp_ms, rank, line: text.into() });
        } else {
            state.dropped(time);
        }
        let after = state.waiting();
        drop(state);
        // The thread sleeps without a limit only while nothing waits, and once more until a request is full.
        if before.1 == 0 || !is_full(before) && is_full(after) {
            self.work.notify_one();
        }
    }

    /// Makes room by dropping lines that matter less, the oldest of the least first; false, and nothing is dropped, if
    /// that would not do. What is in flight counts as well.
    fn make_room(&self, state: &mut State, time: SystemTime, rank: Rank, weight: usize) -> bool {
        let open_to = |max: usize| if rank == Rank::Error { max } else { max - max / QUEUE_ERROR_RESERVE };
        let (bytes_max, events_max) = (open_to(self.bytes_max), open_to(self.events_max));
        let over = |state: &State| {
            let bytes = state.counts.queued_bytes as usize + weight;
            (bytes.saturating_sub(bytes_max), (state.counts.queued as usize + 1).saturating_sub(events_max))
        };
        let lesser = &state.lanes[..rank as usize];
        let (bytes, events) = over(state);
        let to_be_had = lesser.iter().fold((0, 0), |had, lane| (had.0 + lane.weight, had.1 + lane.events.len()));
        if bytes > to_be_had.0 || events > to_be_had.1 {
            return false;
        }
        while over(state) != (0, 0) {
            let Some(lost) = (0..rank as usize).find_map(|rank| state.pop(rank)) else { return false };
            state.counts.queued -= 1;
            state.counts.queued_bytes -= lost.weight() as u64;
            state.dropped(time);
        }
        true
    }

    /// Takes the oldest lines out, at most what fits into one request and weighs at most `weight_max`. They stay queued
    /// in the accounts.
    pub(super) fn take(&self, weight_max: usize) -> Vec<Event> {
        let weight_max = weight_max.min(PUT_BYTES_MAX);
        let (mut events, mut weight) = (Vec::new(), 0);
        loop {
            let mut state = self.lock();
            for _ in 0..PORTION {
                let Some(rank) = state.oldest() else { break };
                let next = state.lanes[rank].events.front().map_or(0, |(_, event)| event.weight());
                if weight + next > weight_max || events.len() >= PUT_EVENTS_MAX {
                    // A line that nothing was taken before goes on waiting: it is due by its age, where there is room for it.
                    if !events.is_empty() {
                        state.since = Some(Instant::now());
                    }
                    return events;
                }
                weight += next;
                events.extend(state.pop(rank));
            }
            if state.oldest().is_none() {
                state.since = None;
                return events;
            }
        }
    }

    /// Takes the news of dropped lines, to be told in a line of its own.
    pub(super) fn take_drops(&self) -> Option<Drops> {
        self.lock().drops.take()
    }

    /// Adds the line about dropped lines, or keeps its news for later if there is no room.
    pub(super) fn tell_drops(&self, drops: Drops, line: &[u8]) {
        let line = String::from_utf8_lossy(line.trim_ascii_end()).into_owned().into_boxed_str();
        let now = clock::now();
        let event = Event { timestamp_ms: milliseconds(now), rank: Rank::Error, line };
        let mut state = self.lock();
        if self.make_room(&mut state, now, event.rank, event.weight()) {
            state.counts.produced += 1;
            state.add(event);
        } else {
            state.drops = Some(match state.drops {
                Some(later) => Drops {
                    lines: drops.lines + later.lines,
                    first: drops.first.min(later.first),
                    last: drops.last.max(later.last),
                },
                None => drops,
            });
        }
    }

    /// What waits: its weight and number, and since when.
    pub(super) fn waiting(&self) -> (bool, Option<Instant>) {
        let state = self.lock();
        (is_full(state.waiting()), state.since)
    }

    /// The moment of the oldest line that waits.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        let state = self.lock();
        state.lanes.iter().filter_map(|lane| lane.events.front()).map(|(_, event)| event.timestamp_ms).min()
    }

    /// Changes the accounts, and tells those who wait for them.
    pub(super) fn account<T>(&self, change: impl FnOnce(&mut ShipperCounts) -> T) -> T {
        let changed = change(&mut self.lock().counts);
        self.progress.notify_all();
        changed
    }

    /// The accounts at this moment.
    pub(crate) fn counts(&self) -> ShipperCounts {
        self.lock().counts
    }

    /// Whether somebody waits for all lines to leave.
    pub(super) fn flushing(&self) -> bool {
        self.lock().flushing
    }

    /// Tells those who flush that the thread is at it.
    pub(super) fn acknowledge(&self, flushing: bool) {
        if flushing {
            self.lock().acknowledged = true;
            self.progress.notify_all();
        }
    }

    /// Whether the thread should end.
    pub(super) fn closed(&self) -> bool {
        self.lock().closed
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_one();
        self.hurry.notify_waiters();
    }

    /// Waits until nothing is queued or spooled, at most `deadline`. Returns whether that is so.
    pub(super) fn flush(&self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        let mut state = self.lock();
        (state.flushing, state.acknowledged) = (true, false);
        self.work.notify_one();
        self.hurry.notify_waiters();
        loop {
            // The bytes as well: a file that is still there would be sent again after the next start.
            let left_over = state.counts.queued + state.counts.spooled + state.counts.spooled_bytes;
            let empty = state.acknowledged && left_over == 0;
            let left = end.saturating_duration_since(Instant::now());
            if empty || left.is_zero() {
                state.flushing = false;
                return empty;
            }
            state = self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Whether a request could be filled.
const fn is_full((weight, events): (usize, usize)) -> bool {
    weight >= PUT_BYTES_MAX / 2 || events >= PUT_EVENTS_MAX
}
