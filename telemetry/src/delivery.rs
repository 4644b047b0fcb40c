//! What a signal's way out has done, and how its failures reach the log: often enough to be seen, never in floods.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{
    catalogue::{DropReason, Signal},
    clock,
};

/// How often the failure of one signal's delivery is logged. During an outage of hours a line a minute says enough.
pub const FAILURE_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Counts of one signal since the start: produced = delivered + dropped + waiting.
#[derive(Debug)]
pub struct DeliveryStats {
    signal: Signal,
    produced: AtomicU64,
    delivered: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    waiting: AtomicU64,
    /// Whole seconds since 1970; 0 before the first.
    last_success: AtomicU64,
    last_logged: Mutex<Option<Instant>>,
    failures_since: AtomicU64,
}

impl DeliveryStats {
    pub(crate) fn new(signal: Signal) -> Self {
        Self {
            signal,
            produced: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            dropped: Default::default(),
            waiting: AtomicU64::new(0),
            last_success: AtomicU64::new(0),
            last_logged: Mutex::new(None),
            failures_since: AtomicU64::new(0),
        }
    }

    /// Which signal.
    pub const fn signal(&self) -> Signal {
        self.signal
    }

    /// Items handed over, the dropped ones among them.
    pub fn produced(&self) -> u64 {
        self.produced.load(Relaxed)
    }

    /// Items that the other side has taken.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }

    /// Items given up for one reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize].load(Relaxed)
    }

    /// Items given up for any reason.
    pub fn dropped_total(&self) -> u64 {
        DropReason::ALL.iter().map(|reason| self.dropped(*reason)).sum()
    }

    /// Items in the queue or on their way.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// When something was last delivered, in seconds since 1970; 0 if never.
    pub fn last_success_seconds(&self) -> u64 {
        self.last_success.load(Relaxed)
    }

    /// Takes one item into account; whether there is room for it among `waiting_max`.
    pub(crate) fn admit(&self, waiting_max: u64) -> bool {
        self.produced.fetch_add(1, Relaxed);
        let admitted =
            self.waiting.fetch_update(Relaxed, Relaxed, |waiting| (waiting < waiting_max).then_some(waiting + 1));
        if admitted.is_err() {
            self.dropped[DropReason::QueueFull as usize].fetch_add(1, Relaxed);
        }
        admitted.is_ok()
    }

    /// Takes one item into account that is dropped before it was made.
    pub(crate) fn refuse(&self, reason: DropReason) {
        self.produced.fetch_add(1, Relaxed);
        self.dropped[reason as usize].fetch_add(1, Relaxed);
    }

    /// These items arrived.
    pub(crate) fn deliver(&self, items: u64) {
        self.delivered.fetch_add(self.leave(items), Relaxed);
        self.last_success.store(clock::since_epoch().as_secs(), Relaxed);
    }

    /// These items were waiting and are given up.
    pub(crate) fn give_up(&self, items: u64, reason: DropReason) {
        self.dropped[reason as usize].fetch_add(self.leave(items), Relaxed);
    }

    /// All that still waits is given up: the process ends.
    pub(crate) fn give_up_waiting(&self) -> u64 {
        let left = self.waiting.swap(0, Relaxed);
        self.dropped[DropReason::Shutdown as usize].fetch_add(left, Relaxed);
        left
    }

    /// Takes items out of the waiting ones; fewer where the end of the process has given them up already.
    fn leave(&self, items: u64) -> u64 {
        let before = self.waiting.fetch_update(Relaxed, Relaxed, |waiting| Some(waiting.saturating_sub(items)));
        before.unwrap_or_default().min(items)
    }

    /// Logs a failed delivery, unless one was logged within [`FAILURE_LOG_INTERVAL`].
    pub(crate) fn log_failure(&self, error: &str) {
        let failures = self.failures_since.fetch_add(1, Relaxed) + 1;
        let mut last = self.last_logged.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < FAILURE_LOG_INTERVAL) {
            return;
        }
        *last = Some(Instant::now());
        drop(last);
        self.failures_since.store(0, Relaxed);
        tracing::warn!(
            target: "telemetry",
            event = crate::catalogue::DELIVERY_FAILED.name,
            signal = self.signal.as_str(),
            failures,
            dropped = self.dropped_total(),
            error,
            "telemetry could not be delivered"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_produced_is_delivered_dropped_or_waiting() {
        let stats = DeliveryStats::new(Signal::Trace);
        let admitted = (0..5).filter(|_| stats.admit(3)).count();
        assert_eq!((admitted, stats.dropped(DropReason::QueueFull)), (3, 2));
        stats.deliver(1);
        stats.give_up(1, DropReason::ExportFailed);
        assert_eq!((stats.delivered(), stats.waiting(), stats.dropped_total()), (1, 1, 3));
        assert_eq!(stats.give_up_waiting(), 1);
        stats.deliver(1); // came through after all, but was counted as lost
        assert_eq!(stats.produced(), stats.delivered() + stats.dropped_total() + stats.waiting());
    }
}
