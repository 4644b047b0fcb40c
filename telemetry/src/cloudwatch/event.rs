//! One line on its way, and how much it matters.

use std::time::{SystemTime, UNIX_EPOCH};

use tracing::Level;

/// What CloudWatch Logs adds to an event's UTF-8 bytes when it measures a request.
pub(super) const EVENT_OVERHEAD: usize = 26;

/// How much a line matters: the least goes first when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl Rank {
    pub(super) const ALL: [Self; 5] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error];

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

impl From<Level> for Rank {
    fn from(level: Level) -> Self {
        match level {
            Level::TRACE => Self::Trace,
            Level::DEBUG => Self::Debug,
            Level::INFO => Self::Info,
            Level::WARN => Self::Warn,
            Level::ERROR => Self::Error,
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// Since 1970, never negative.
    pub(super) timestamp_ms: i64,
    pub(super) rank: Rank,
    pub(super) line: Box<str>,
}

impl Event {
    /// What it counts for in a request and in every bound of ours.
    pub(super) fn weight(&self) -> usize {
        weight_of_line(&self.line)
    }
}

/// What an event of this line counts for.
pub(super) const fn weight_of_line(line: &str) -> usize {
    line.len() + EVENT_OVERHEAD
}

/// As CloudWatch Logs wants it; before 1970 is 1970.
pub(super) fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The sum of the weights.
pub(super) fn weight_of(events: &[Event]) -> usize {
    events.iter().map(Event::weight).sum()
}
