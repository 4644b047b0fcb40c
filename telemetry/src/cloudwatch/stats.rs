//! The accounts: each line is in exactly one place, and the places add up to what was produced at every moment.

use crate::catalogue::{ShipperDrop, ShipperOutcome, ShipperReject};

/// What became of every line since the start: `produced = delivered + rejected + dropped + spooled + queued`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShipperCounts {
    /// Lines handed to the shipper, and those that an earlier process had left in the spool.
    pub produced: u64,
    /// Of these, the lines found in the spool at the start.
    pub recovered: u64,
    /// Lines that CloudWatch Logs has accepted.
    pub delivered: u64,
    /// Lines that it has refused, in the order of [`ShipperReject::ALL`].
    pub rejected: [u64; ShipperReject::ALL.len()],
    /// Lines dropped, in the order of [`ShipperDrop::ALL`].
    pub dropped: [u64; ShipperDrop::ALL.len()],
    /// Lines on disk, those that are being sent from there among them.
    pub spooled: u64,
    /// Lines in memory, those that are being sent from there among them.
    pub queued: u64,
    /// What the lines in memory weigh.
    pub queued_bytes: u64,
    /// What the spool takes on disk.
    pub spooled_bytes: u64,
    /// Lines that were cut to what CloudWatch Logs takes.
    pub truncated: u64,
    /// Answers to PutLogEvents, in the order of [`ShipperOutcome::ALL`].
    pub requests: [u64; ShipperOutcome::ALL.len()],
    /// Failed operations on the spool's files.
    pub spool_errors: u64,
    /// New log groups whose retention could not be set.
    pub retention_errors: u64,
    /// When lines were last accepted, in milliseconds since 1970; 0 is never.
    pub last_success_ms: u64,
    /// The moment of the oldest line that is neither delivered nor given up, in milliseconds since 1970; 0 is none.
    pub oldest_pending_ms: u64,
}

impl ShipperCounts {
    /// Lines that CloudWatch Logs has refused.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.iter().sum()
    }

    /// Lines dropped for one reason.
    pub fn dropped(&self, reason: ShipperDrop) -> u64 {
        self.dropped[reason as usize]
    }

    /// Lines dropped for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Whether the places add up.
    pub fn balances(&self) -> bool {
        self.produced == self.delivered + self.rejected_total() + self.dropped_total() + self.spooled + self.queued
    }

    pub(super) fn take_from(&mut self, source: Source, events: u64) {
        match source {
            Source::Memory => self.queued = self.queued.saturating_sub(events),
            Source::Spool => self.spooled = self.spooled.saturating_sub(events),
        }
    }
}

/// Where the lines of a request are until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Memory,
    Spool,
}
