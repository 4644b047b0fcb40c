//! The wall clock, for what only tells people and other systems when something was. Nothing here decides by it, so no
//! test needs to move it; durations are measured with `Instant`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now.
#[expect(clippy::disallowed_methods, reason = "timestamps of signals: no behaviour depends on them")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Time since 1970; a clock before it reads as 1970.
pub(crate) fn since_epoch() -> Duration {
    now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
