//! What is measured, in bounded memory: histograms by operation, a point for each second, the slowest requests.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::client::Failure;
use crate::profile::Operation;

/// Longest latency that is told apart, in microseconds: half an hour in a queue is as good as for ever.
const MICROS_MAX: u64 = 1_800_000_000;
/// The slowest requests that are kept, whatever they did.
pub const SLOWEST: usize = 20;
/// The slowest of each operation that are kept beside them: the slowest of all are often of one kind.
const SLOWEST_EACH: usize = 3;
/// Seconds that stay open for answers that are late.
const OPEN_SECONDS: u64 = 15;
/// What the requests are called that were never started.
const NOT_STARTED: &str = "not started";
/// Different violations that are kept word by word; all are counted.
const VIOLATIONS_KEPT: usize = 20;

/// A histogram of microseconds with three digits.
pub fn histogram() -> Histogram<u64> {
    bounded(3)
}

#[expect(
    clippy::expect_used,
    reason = "1 is below MICROS_MAX / 2, and 2 and 3 digits are within 0 to 5: all that is checked"
)]
fn bounded(digits: u8) -> Histogram<u64> {
    // Without bounds a histogram takes nothing over 2 µs unless it may grow.
    Histogram::new_with_bounds(1, MICROS_MAX, digits).expect("valid bounds")
}

/// Seconds at a quantile from 0 to 1.
pub fn quantile(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e6
}

/// How one request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As it has to.
    Good,
    /// With this status: 5xx or 429.
    Status(u16),
    /// Without an answer.
    Failure(Failure),
    /// Against the contract.
    Violation(String),
}

/// One request, as it was measured.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What it did.
    pub operation: Operation,
    /// What it stands in for, where that could not be done yet.
    pub instead_of: Option<Operation>,
    /// Its intended start, from the start of the measured time.
    pub intended: Duration,
    /// From the intended start to the last byte.
    pub latency: Duration,
    /// From the real start to the last byte.
    pub service: Duration,
    /// How it ended.
    pub end: End,
    /// Of the answer.
    pub trace_id: Option<String>,
}

/// What one operation's requests, or all of them, were like.
#[derive(Debug, Clone)]
pub struct Tally {
    /// From the intended start, of everything that was due.
    pub latency: Histogram<u64>,
    /// From the real start.
    pub service: Histogram<u64>,
    /// Requests that were due: of an operation, those that were started.
    pub count: u64,
    /// Those of them that failed: 5xx, 429, no answer, or not started.
    pub failed: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl Tally {
    /// Of nothing.
    pub fn new() -> Self {
        Self { latency: histogram(), service: histogram(), count: 0, failed: 0 }
    }

    fn add(&mut self, sample: &Sample) {
        self.count += 1;
        self.failed += u64::from(matches!(sample.end, End::Status(_) | End::Failure(_)));
        self.latency.saturating_record(micros(sample.latency));
        self.service.saturating_record(micros(sample.service));
    }
}

fn micros(duration: Duration) -> u64 {
    (duration.as_micros() as u64).max(1)
}

/// One second of a run.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Point {
    /// From the start of the measured time.
    pub second: u64,
    /// Requests that were due in it.
    pub due: u64,
    /// Those of them that were answered, whatever the answer.
    pub answered: u64,
    /// Those that failed, or were never started.
    pub failed: u64,
    /// Requests whose last byte came in this second: what the target got done.
    pub completed: u64,
    /// Median latency of those due, in seconds.
    pub p50: f64,
    /// Their 99th percentile, in seconds.
    pub p99: f64,
    /// Their slowest, in seconds.
    pub max: f64,
}

/// One of the slowest requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slow {
    /// What it did.
    pub operation: Operation,
    /// When it was due, in seconds from the start of the measured time.
    pub at: f64,
    /// Seconds from the intended start to the last byte.
    pub latency: f64,
    /// Seconds from the real start to the last byte.
    pub service: f64,
    /// `ok`, or what went wrong.
    pub end: String,
    /// The trace of the answer.
    pub trace_id: Option<String>,
}

/// A window of the rate's rule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Its start, in seconds.
    pub start: f64,
    /// Requests due in it and answered by its end, or within one latency objective after it.
    pub in_time: u64,
}

/// Everything measured of a run.
pub struct Record {
    /// By operation.
    pub operations: BTreeMap<Operation, Tally>,
    /// All together.
    pub all: Tally,
    /// Second by second, complete ones first.
    pub points: Vec<Point>,
    /// The slowest, the slowest first; from the end of the run on with a few of each operation.
    pub slowest: Vec<Slow>,
    slowest_each: BTreeMap<Operation, Vec<Slow>>,
    /// Steps of journeys that could not be done yet, for want of a task or of a next page: another request was sent.
    pub substituted: BTreeMap<Operation, u64>,
    /// Failures by what they were.
    pub failures: BTreeMap<String, u64>,
    /// Answers against the contract.
    pub violations: u64,
    /// The first of them, by what was wrong.
    pub violation_texts: BTreeMap<String, u64>,
    /// By window of the rate's rule, in order.
    pub windows: Vec<Window>,
    window: Duration,
    grace: Duration,
    open: BTreeMap<u64, (Histogram<u64>, Point)>,
    completed: HashMap<u64, u64>,
}

impl Record {
    /// Empty. `window` is that of the rate's rule, `grace` how long after it an answer still counts for it.
    pub fn new(window: Duration, grace: Duration) -> Self {
        Self {
            operations: BTreeMap::new(),
            all: Tally::new(),
            points: Vec::new(),
            slowest: Vec::new(),
            slowest_each: BTreeMap::new(),
            substituted: BTreeMap::new(),
            failures: BTreeMap::new(),
            violations: 0,
            violation_texts: BTreeMap::new(),
            windows: Vec::new(),
            window,
            grace,
            open: BTreeMap::new(),
            completed: HashMap::new(),
        }
    }

    /// A request was due that was never started: no connection was free for so long, or the run ended. It has failed, and is at
    /// least as slow as it has waited: without it a dead target would look better than a slow one.
    pub fn missed(&mut self, intended: Duration, waited: Duration) {
        self.all.count += 1;
        self.all.failed += 1;
        self.all.latency.saturating_record(micros(waited));
        *self.failures.entry(NOT_STARTED.to_owned()).or_default() += 1;
        let (histogram, point) = self.second(intended);
        histogram.saturating_record(micros(waited));
        point.due += 1;
        point.failed += 1;
    }

    /// A request has ended.
    pub fn add(&mut self, sample: &Sample) {
        self.all.add(sample);
        self.operations.entry(sample.operation).or_default().add(sample);
        if let Some(step) = sample.instead_of {
            *self.substituted.entry(step).or_default() += 1;
        }
        let answered = !matches!(sample.end, End::Failure(_));
        let done = sample.intended + sample.latency;
        let (histogram, point) = self.second(sample.intended);
        histogram.saturating_record(micros(sample.latency));
        point.due += 1;
        point.answered += u64::from(answered);
        point.failed += u64::from(matches!(sample.end, End::Status(_) | End::Failure(_)));
        if answered {
            *self.completed.entry(done.as_secs()).or_default() += 1;
            self.count_in_window(sample.intended, done);
        }
        match &sample.end {
            End::Good => {}
            End::Status(status) => *self.failures.entry(format!("status {status}")).or_default() += 1,
            End::Failure(failure) => *self.failures.entry(failure.as_str().to_owned()).or_default() += 1,
            End::Violation(text) => {
                self.violations += 1;
                if self.violation_texts.len() < VIOLATIONS_KEPT || self.violation_texts.contains_key(text) {
                    *self.violation_texts.entry(text.clone()).or_default() += 1;
                }
            }
        }
        self.keep_if_slow(sample);
    }

    fn count_in_window(&mut self, intended: Duration, done: Duration) {
        let index = (intended.as_nanos() / self.window.as_nanos().max(1)) as usize;
        if index > self.windows.len() + 1_000_000 {
            return;
        }
        while self.windows.len() <= index {
            let start = self.window.as_secs_f64() * self.windows.len() as f64;
            self.windows.push(Window { start, in_time: 0 });
        }
        let end = self.window.as_secs_f64() * (index as f64 + 1.0) + self.grace.as_secs_f64();
        if done.as_secs_f64() <= end {
            self.windows[index].in_time += 1;
        }
    }

    fn keep_if_slow(&mut self, sample: &Sample) {
        let latency = sample.latency.as_secs_f64();
        let each = self.slowest_each.entry(sample.operation).or_default();
        let full = |list: &[Slow], most| list.len() == most && list.last().is_some_and(|last| last.latency >= latency);
        if full(&self.slowest, SLOWEST) && full(each, SLOWEST_EACH) {
            return;
        }
        let end = match &sample.end {
            End::Good => "ok".to_owned(),
            End::Status(status) => format!("status {status}"),
            End::Failure(failure) => failure.as_str().to_owned(),
            End::Violation(text) => text.clone(),
        };
        let slow = Slow {
            operation: sample.operation,
            at: sample.intended.as_secs_f64(),
            latency,
            service: sample.service.as_secs_f64(),
            end,
            trace_id: sample.trace_id.clone(),
        };
        for (list, most) in [(&mut self.slowest, SLOWEST), (each, SLOWEST_EACH)] {
            let place = list.partition_point(|other| other.latency >= latency);
            list.insert(place, slow.clone());
            list.truncate(most);
        }
    }

    fn second(&mut self, at: Duration) -> &mut (Histogram<u64>, Point) {
        let second = at.as_secs();
        while self.open.len() as u64 > OPEN_SECONDS && !self.open.contains_key(&second) {
            self.close_first();
        }
        self.open.entry(second).or_insert_with(|| {
            // Two digits: a point of a curve.
            (bounded(2), Point { second, ..Point::default() })
        })
    }

    fn close_first(&mut self) {
        if let Some((_, (histogram, mut point))) = self.open.pop_first() {
            point.p50 = quantile(&histogram, 0.5);
            point.p99 = quantile(&histogram, 0.99);
            point.max = histogram.max() as f64 / 1e6;
            match self.points.iter_mut().rfind(|other| other.second == point.second) {
                // A straggler opened a closed second again: its numbers join, its quantiles are those of the many.
                Some(other) => {
                    other.due += point.due;
                    other.answered += point.answered;
                    other.failed += point.failed;
                    other.max = other.max.max(point.max);
                }
                None => self.points.push(point),
            }
        }
    }

    /// Closes what is open: nothing comes any more.
    pub fn finish(&mut self) {
        while !self.open.is_empty() {
            self.close_first();
        }
        for slow in std::mem::take(&mut self.slowest_each).into_values().flatten() {
            if !self.slowest.contains(&slow) {
                self.slowest.push(slow);
            }
        }
        self.slowest.sort_by(|a, b| b.latency.total_cmp(&a.latency));
        self.points.sort_by_key(|point| point.second);
        for point in &mut self.points {
            point.completed = self.completed.get(&point.second).copied().unwrap_or(0);
        }
    }

    /// The last second that is complete, for the progress line.
    pub fn latest(&self, now: Duration) -> Option<Point> {
        let second = now.as_secs().checked_sub(1)?;
        let (histogram, point) = self.open.get(&second)?;
        let max = histogram.max() as f64 / 1e6;
        Some(Point { p50: quantile(histogram, 0.5), p99: quantile(histogram, 0.99), max, ..*point })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(intended: f64, latency: f64, end: End) -> Sample {
        let (intended, latency) = (Duration::from_secs_f64(intended), Duration::from_secs_f64(latency));
        Sample { operation: Operation::Get, instead_of: None, intended, latency, service: latency, end, trace_id: None }
    }

    fn record(samples: &[Sample]) -> Record {
        let mut record = Record::new(Duration::from_secs(2), Duration::from_millis(200));
        samples.iter().for_each(|sample| record.add(sample));
        record.finish();
        record
    }

    #[test]
    fn a_second_has_the_latencies_of_the_requests_due_in_it() {
        let record = record(&[sample(0.5, 0.3, End::Good), sample(1.5, 0.01, End::Good), sample(1.6, 1.0, End::Good)]);
        let [first, second] = record.points[..] else { panic!("{:?}", record.points) };
        assert!((first.p99 - 0.3).abs() < 0.01, "{first:?}");
        assert!((second.max - 1.0).abs() < 0.02 && (second.p50 - 0.01).abs() < 0.001, "{second:?}");
        assert_eq!((first.due, second.due, first.completed, second.completed), (1, 2, 1, 1));
    }

    #[test]
    fn an_answer_counts_for_its_window_until_one_objective_after_it() {
        let late = sample(1.9, 0.4, End::Good);
        let lost = sample(1.0, 0.1, End::Failure(Failure::Broken));
        let refused = sample(1.0, 0.1, End::Status(503));
        let record = record(&[sample(1.9, 0.29, End::Good), late, lost, refused, sample(2.1, 0.1, End::Good)]);
        let in_time: Vec<u64> = record.windows.iter().map(|window| window.in_time).collect();
        assert_eq!(in_time, [2, 1], "a 503 is an answer, and fails another rule");
        assert_eq!(record.all.failed, 2);
    }

    #[test]
    fn what_was_never_started_has_failed_and_is_as_slow_as_it_has_waited() {
        let mut record = record(&[sample(0.5, 0.01, End::Good)]);
        (0..9).for_each(|_| record.missed(Duration::from_millis(1_500), Duration::from_secs(10)));
        record.finish();
        assert_eq!((record.all.count, record.all.failed), (10, 9));
        assert_eq!(record.failures["not started"], 9);
        let dead = record.points[1];
        assert_eq!((dead.due, dead.failed, dead.answered), (9, 9, 0));
        assert!(dead.p50 >= 9.9 && quantile(&record.all.latency, 0.99) >= 9.9, "{dead:?}");
    }

    #[test]
    fn the_slowest_are_kept_in_order_and_no_more_of_them() {
        let samples: Vec<Sample> = (0..100).map(|n| sample(0.1, f64::from(n) / 100.0, End::Good)).collect();
        let slowest: Vec<f64> = record(&samples).slowest.iter().map(|slow| slow.latency).collect();
        assert_eq!(slowest.len(), SLOWEST);
        assert!((slowest[0] - 0.99).abs() < 1e-9 && slowest.is_sorted_by(|a, b| a >= b), "{slowest:?}");
    }

    #[test]
    fn a_few_of_each_operation_are_kept_beside_the_slowest_of_all() {
        let mut samples: Vec<Sample> = (0..100).map(|n| sample(0.1, 1.0 + f64::from(n), End::Good)).collect();
        samples.extend(
            (0..9).map(|n| Sample { operation: Operation::Delete, ..sample(0.1, f64::from(n) / 100.0, End::Good) }),
        );
        let record = record(&samples);
        let deletes = record.slowest.iter().filter(|slow| slow.operation == Operation::Delete).count();
        assert_eq!((record.slowest.len(), deletes), (SLOWEST + SLOWEST_EACH, SLOWEST_EACH));
        assert!(record.slowest.is_sorted_by(|a, b| a.latency >= b.latency));
    }

    #[test]
    fn whatever_a_target_answers_a_record_stays_small() {
        let mut record = Record::new(Duration::from_secs(10), Duration::from_millis(200));
        for number in 0..5_000_u32 {
            record.add(&sample(f64::from(number) / 1e3, 0.01, End::Violation(format!("violation {number}"))));
            record.missed(Duration::from_millis(number.into()), Duration::from_secs(10));
        }
        record.finish();
        assert_eq!((record.violations, record.violation_texts.len()), (5_000, VIOLATIONS_KEPT));
        assert!(
            record.failures.len() == 1 && record.slowest.len() <= SLOWEST + SLOWEST_EACH && record.windows.len() == 1
        );
    }

    #[test]
    fn a_run_of_hours_keeps_a_point_for_each_second_and_no_histogram() {
        let mut record = Record::new(Duration::from_secs(10), Duration::from_millis(200));
        (0..7_200).for_each(|second| record.add(&sample(f64::from(second), 0.01, End::Good)));
        assert!(record.open.len() as u64 <= OPEN_SECONDS + 1, "{}", record.open.len());
        record.finish();
        assert_eq!(record.points.len(), 7_200);
    }
}
