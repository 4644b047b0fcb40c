//! A histogram of durations with fixed buckets: one atomic counter for each, exact under any concurrency.
//!
//! The exporter's own histogram keeps raw samples until they are drained, and loses some that are recorded meanwhile
//! (once 17,000 of 40,000 in a test of four threads and a scrape); "requests = metric = log lines" would not hold.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::exemplar::{Exemplar, Slot};
use crate::trace_context::TraceContext;

const NANOSECONDS: f64 = 1e9;

/// Counts durations by upper bound.
#[derive(Debug)]
pub(super) struct Histogram {
    /// Upper bounds in nanoseconds, ascending, inclusive.
    bounds: Box<[u64]>,
    /// One for each bound, and one for what is above the last.
    counts: Box<[AtomicU64]>,
    /// Lasts for 584 years of added durations.
    sum_nanoseconds: AtomicU64,
    /// One for each of `counts`: a kilobyte, made when the first recorded trace comes by.
    exemplars: OnceLock<Box<[Slot]>>,
}

/// What a histogram held at one moment.
#[derive(Debug, PartialEq)]
pub(super) struct Snapshot {
    /// Observations up to each bound, as the exposition wants them.
    pub(super) cumulative: Vec<u64>,
    /// All observations.
    pub(super) count: u64,
    /// Their sum in seconds.
    pub(super) sum: f64,
}

impl Histogram {
    /// An empty histogram with upper bounds in seconds, ascending.
    pub(super) fn new(bounds_seconds: &[f64]) -> Self {
        let bounds = bounds_seconds.iter().map(|bound| (bound * NANOSECONDS).round() as u64);
        Self {
            bounds: bounds.collect(),
            counts: (0..=bounds_seconds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum_nanoseconds: AtomicU64::new(0),
            exemplars: OnceLock::new(),
        }
    }

    pub(super) fn record(&self, duration: Duration) {
        self.record_with(duration, None);
    }

    /// Counts a duration; the span of a recorded trace becomes the exemplar of its bucket.
    pub(super) fn record_with(&self, duration: Duration, recorded: Option<&TraceContext>) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.bounds.partition_point(|bound| *bound < nanoseconds);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum_nanoseconds.fetch_add(nanoseconds, Relaxed);
        if let Some(trace) = recorded {
            let slots = self.exemplars.get_or_init(|| self.counts.iter().map(|_| Slot::default()).collect());
            slots[bucket].put(trace, nanoseconds);
        }
    }

    /// The exemplar of a bucket, if it has one; the bucket above the last bound is the last.
    pub(super) fn exemplar(&self, bucket: usize) -> Option<Exemplar> {
        self.exemplars.get()?.get(bucket)?.get()
    }

    /// Observations in each bucket, the one above the last bound included, and their sum in seconds.
    pub(super) fn buckets(&self) -> (Vec<u64>, f64) {
        let buckets = self.counts.iter().map(|bucket| bucket.load(Relaxed)).collect();
        (buckets, self.sum_nanoseconds.load(Relaxed) as f64 / NANOSECONDS)
    }

    /// The count is the sum of the buckets, so that the two always agree; an observation that arrives meanwhile may
    /// be in the sum already.
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut count = 0;
        let mut cumulative: Vec<u64> = self
            .counts
            .iter()
            .map(|bucket| {
                count += bucket.load(Relaxed);
                count
            })
            .collect();
        cumulative.pop();
        Snapshot { cumulative, count, sum: self.sum_nanoseconds.load(Relaxed) as f64 / NANOSECONDS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let histogram = Histogram::new(&[0.1, 0.2]);
        for milliseconds in [100, 200, 201] {
            histogram.record(Duration::from_millis(milliseconds));
        }
        assert_eq!(histogram.snapshot(), Snapshot { cumulative: vec![1, 2], count: 3, sum: 0.501 });
    }

    #[test]
    fn the_last_recorded_trace_is_the_exemplar_of_its_bucket_alone() {
        let histogram = Histogram::new(&[0.1, 0.2]);
        histogram.record(Duration::from_millis(100));
        assert!(histogram.exemplars.get().is_none(), "what is not recorded costs nothing");
        let traces = [TraceContext::new_root(), TraceContext::new_root(), TraceContext::new_root()];
        for (trace, milliseconds) in traces.iter().zip([150, 200, 5000]) {
            histogram.record_with(Duration::from_millis(milliseconds), Some(trace));
        }
        histogram.record(Duration::from_millis(200));
        let ids = |bucket| histogram.exemplar(bucket).map(|it| (it.trace_id, it.span_id, it.nanoseconds));
        let of = |trace: &TraceContext, nanoseconds| Some((trace.trace_id, trace.span_id, nanoseconds));
        assert_eq!(ids(0), None);
        assert_eq!(ids(1), of(&traces[1], 200_000_000));
        assert_eq!(ids(2), of(&traces[2], 5_000_000_000));
        assert_eq!(ids(3), None);
        assert_eq!(histogram.snapshot().cumulative, [1, 4]);
    }

    #[test]
    fn exemplars_that_are_put_and_read_at_once_stay_whole() {
        let histogram = Histogram::new(&[0.1]);
        let trace = |byte: u8| TraceContext { trace_id: [byte; 16], span_id: [byte; 8], ..TraceContext::new_root() };
        std::thread::scope(|scope| {
            for byte in 1..=3_u8 {
                let (histogram, trace) = (&histogram, trace(byte));
                scope.spawn(move || {
                    (0..5000).for_each(|_| histogram.record_with(Duration::from_nanos(byte.into()), Some(&trace)));
                });
            }
            scope.spawn(|| {
                for _ in 0..5000 {
                    let Some(found) = histogram.exemplar(0) else { continue };
                    let byte = found.trace_id[0];
                    let whole = ([byte; 16], [byte; 8], u64::from(byte));
                    assert_eq!((found.trace_id, found.span_id, found.nanoseconds), whole);
                }
            });
        });
        assert_eq!(histogram.snapshot().count, 15_000, "a request that leaves no exemplar counts");
    }

    proptest! {
        #[test]
        fn every_duration_counts_once_and_below_each_bound_it_fits(durations: Vec<Duration>) {
            let bounds = [0.005, 0.2, 1.0, 10.0];
            let histogram = Histogram::new(&bounds);
            durations.iter().for_each(|duration| histogram.record(*duration));
            let snapshot = histogram.snapshot();
            prop_assert_eq!(snapshot.count, durations.len() as u64);
            for (bound, counted) in bounds.iter().zip(snapshot.cumulative) {
                let fitting = durations.iter().filter(|duration| **duration <= Duration::from_secs_f64(*bound));
                prop_assert_eq!(counted, fitting.count() as u64);
            }
        }
    }
}
