//! How many requests that the sampler left out are recorded for their slowness.
//!
//! In an overload all of them are slow, and a span costs as much as a request: what is there to explain the trouble would feed
//! it. The first of each second tell the story.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

/// The most spans a second that are kept for slowness alone: ten times what a service within its objective has at 1000 requests a
/// second, at 3 ms of processor time. What is over it counts as dropped, `rate_limited`.
pub const SLOW_SPANS_PER_SECOND_MAX: u64 = 100;

/// Counts the spans of the present second.
#[derive(Debug)]
pub(super) struct SlowKept {
    started: Instant,
    /// The second after `started` in the upper bits, how many in the lower [`COUNT_BITS`].
    state: AtomicU64,
}

const COUNT_BITS: u32 = 24;

impl SlowKept {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), state: AtomicU64::new(0) }
    }

    /// Whether one more may be kept now.
    pub(super) fn takes_one(&self) -> bool {
        self.takes_one_in(self.started.elapsed().as_secs())
    }

    /// Who comes late with a second that is over counts in the one that began meanwhile.
    fn takes_one_in(&self, second: u64) -> bool {
        let taken = self.state.fetch_update(Relaxed, Relaxed, |state| {
            let count = if state >> COUNT_BITS >= second { state & ((1 << COUNT_BITS) - 1) } else { 0 };
            let second = second.max(state >> COUNT_BITS);
            (count < SLOW_SPANS_PER_SECOND_MAX).then_some((second << COUNT_BITS) | (count + 1))
        });
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_takes_so_many_and_no_more() {
        let kept = SlowKept::new();
        for second in 0..3 {
            let taken = (0..3 * SLOW_SPANS_PER_SECOND_MAX).filter(|_| kept.takes_one_in(second)).count();
            assert_eq!(taken as u64, SLOW_SPANS_PER_SECOND_MAX);
            assert!(second == 0 || !kept.takes_one_in(second - 1), "a second that is over has none left");
        }
    }
}
