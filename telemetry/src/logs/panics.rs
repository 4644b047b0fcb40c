//! Panics as log lines: where, and in which request. Their text stays out, because it may quote anything.

use std::panic;

/// From now on a panic of this process is one line of the log and nothing on standard error.
pub fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(target: "panic", event = "panicked", location, "a panic");
    }));
}
