//! The pacer: a thread of its own that gives each request away when it is due, whatever the target does meanwhile.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::generator::{self, THREAD_PREFIX};
use crate::pool::{Arrival, Pool};
use crate::random::Random;

/// When requests are due: one at a random moment of each slot of 1/rate. So each window has its number exactly, and the
/// requests do not keep step with anything periodic in the target.
pub struct Schedule {
    rate: f64,
    count: u64,
    next: u64,
    random: Random,
}

impl Schedule {
    /// `rate` requests a second for so long.
    pub fn new(rate: f64, length: Duration, seed: u64) -> Self {
        let count = (rate * length.as_secs_f64()).round() as u64;
        Self { rate, count, next: 0, random: Random::part(seed, u64::MAX) }
    }
}

/// Number and time from the start.
impl Iterator for Schedule {
    type Item = (u64, Duration);

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.count {
            return None;
        }
        let number = self.next;
        self.next += 1;
        Some((number, Duration::from_secs_f64((number as f64 + self.random.fraction()) / self.rate)))
    }
}

/// Starts the thread. It ends after the last request, or soon after `stop`.
///
/// # Errors
/// When the system has no thread for it.
pub fn start(pool: Arc<Pool>, schedule: Schedule, start: Instant, stop: Arc<AtomicBool>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("{THREAD_PREFIX}pace")).spawn(move || {
        generator::prioritise();
        for (number, after) in schedule {
            let intended = start + after;
            loop {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let left = intended.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                // Short enough to notice `stop`. The kernel wakes within 0.1 ms: nothing is gained by spinning.
                #[expect(clippy::disallowed_methods, reason = "a thread of its own, which holds no worker")]
                std::thread::sleep(left.min(Duration::from_millis(50)));
            }
            pool.give(Arrival { number, intended });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_second_has_its_number_in_order(rate in 1_u32..5_000, seed: u64) {
            let times: Vec<f64> =
                Schedule::new(rate.into(), Duration::from_secs(3), seed).map(|(_, at)| at.as_secs_f64()).collect();
            prop_assert!(times.is_sorted());
            prop_assert_eq!(times.len() as u32, rate * 3);
            let first = times.iter().filter(|at| **at < 1.0).count() as i64;
            prop_assert!((first - i64::from(rate)).abs() <= 1, "{first} of {rate}");
        }
    }
}
