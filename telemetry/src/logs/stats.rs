//! What the log writer has done: produced = written + dropped + waiting, at each moment nobody is in between.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::catalogue::DropReason;

/// Counts of the log writer since the start.
#[derive(Debug, Default)]
pub struct LogStats {
    pub(super) produced: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) queue_full: AtomicU64,
    pub(super) write_failed: AtomicU64,
    pub(super) queue_bytes: AtomicU64,
}

impl LogStats {
    /// Lines handed to the writer, the dropped ones among them.
    pub fn produced(&self) -> u64 {
        self.produced.load(Relaxed)
    }

    /// Lines the output has taken whole.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Lines dropped for one reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        match reason {
            DropReason::QueueFull => self.queue_full.load(Relaxed),
            DropReason::WriteFailed => self.write_failed.load(Relaxed),
            DropReason::ExportFailed | DropReason::Rejected | DropReason::RateLimited | DropReason::Shutdown => 0,
        }
    }

    /// Lines dropped for any reason.
    pub fn dropped_total(&self) -> u64 {
        DropReason::ALL.iter().map(|reason| self.dropped(*reason)).sum()
    }

    /// Bytes of the lines that wait.
    pub fn queue_bytes(&self) -> u64 {
        self.queue_bytes.load(Relaxed)
    }

    /// Lines that wait.
    pub fn waiting(&self) -> u64 {
        // Read in the order in which a line moves on, backwards: the sum never exceeds what was produced.
        let gone = self.written() + self.dropped_total();
        self.produced().saturating_sub(gone)
    }
}
