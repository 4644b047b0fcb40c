//! The canary's metrics: written once a minute, so plain maps behind a lock, rendered as the service's are.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{histogram::Histogram, openmetrics::Exposition, text};
use crate::catalogue::{
    CANARY_ADDRESS_UP, CANARY_ADDRESSES_MAX, CANARY_CERTIFICATE_EXPIRY, CANARY_INFO, CANARY_LAST_RUN,
    CANARY_LAST_SUCCESS, CANARY_OUTCOMES, CANARY_PHASES, CANARY_RUNS, CANARY_STEP_DURATION, CANARY_STEP_FAILURES,
    CANARY_STEPS, Metric,
};

/// All metrics of one canary; what is known beforehand starts at 0.
#[derive(Debug)]
pub struct CanaryMetrics {
    target: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    runs: BTreeMap<&'static str, u64>,
    last_run: u64,
    last_success: u64,
    steps: BTreeMap<&'static str, Histogram>,
    failures: BTreeMap<(&'static str, &'static str), u64>,
    addresses: Vec<(String, bool)>,
    certificate_expiry: Option<i64>,
}

impl CanaryMetrics {
    /// The metrics of a canary that probes `target`.
    pub fn new(target: &str) -> Self {
        let histogram = |step: &&'static str| (*step, Histogram::new(CANARY_STEP_DURATION.buckets));
        let failures = CANARY_STEPS.iter().flat_map(|step| CANARY_PHASES.iter().map(|phase| ((*step, *phase), 0)));
        let state = State {
            runs: CANARY_OUTCOMES.iter().map(|outcome| (*outcome, 0)).collect(),
            last_run: 0,
            last_success: 0,
            steps: CANARY_STEPS.iter().map(histogram).collect(),
            failures: failures.collect(),
            addresses: Vec::new(),
            certificate_expiry: None,
        };
        Self { target: target.to_owned(), state: Mutex::new(state) }
    }

    /// Counts a run that finished at `now`, in seconds since 1970. `outcome` is one of [`CANARY_OUTCOMES`].
    pub fn run(&self, outcome: &str, now: u64) {
        let mut state = self.lock();
        if let Some(count) = state.runs.get_mut(outcome) {
            *count += 1;
        }
        state.last_run = now;
        if matches!(outcome, "ok" | "degraded") {
            state.last_success = now;
        }
    }

    /// Counts one attempt at a step of [`CANARY_STEPS`].
    pub fn attempt(&self, step: &str, duration: Duration) {
        if let Some(histogram) = self.lock().steps.get(step) {
            histogram.record(duration);
        }
    }

    /// Counts an attempt that failed or was slow; `phase` is one of [`CANARY_PHASES`].
    pub fn failure(&self, step: &str, phase: &str) {
        let mut state = self.lock();
        let found = state.failures.iter_mut().find(|((a, b), _)| *a == step && *b == phase);
        if let Some((_, count)) = found {
            *count += 1;
        }
    }

    /// Replaces the addresses and whether each is up; those that the name no longer resolves to are gone. At most
    /// [`CANARY_ADDRESSES_MAX`] are kept.
    pub fn addresses(&self, addresses: impl IntoIterator<Item = (String, bool)>) {
        self.lock().addresses = addresses.into_iter().take(CANARY_ADDRESSES_MAX).collect();
    }

    /// Sets when the certificate expires, in seconds since 1970.
    pub fn certificate_expiry(&self, at: i64) {
        self.lock().certificate_expiry = Some(at);
    }

    /// The Prometheus text exposition, version 0.0.4.
    pub fn render(&self) -> String {
        let state = self.lock();
        let mut out = String::new();
        one(&mut out, &CANARY_INFO, [(vec![self.target.as_str()], 1.0)]);
        one(&mut out, &CANARY_RUNS, state.runs.iter().map(|(outcome, count)| (vec![*outcome], *count as f64)));
        text::sample(&mut out, &CANARY_LAST_RUN, state.last_run as f64);
        text::sample(&mut out, &CANARY_LAST_SUCCESS, state.last_success as f64);
        let failures = state.failures.iter().map(|((step, phase), count)| (vec![*step, *phase], *count as f64));
        one(&mut out, &CANARY_STEP_FAILURES, failures);
        let up = |(address, up): &(String, bool)| (address.clone(), if *up { 1.0 } else { 0.0 });
        let addresses: Vec<(String, f64)> = state.addresses.iter().map(up).collect();
        one(&mut out, &CANARY_ADDRESS_UP, addresses.iter().map(|(address, up)| (vec![address.as_str()], *up)));
        if let Some(at) = state.certificate_expiry {
            text::sample(&mut out, &CANARY_CERTIFICATE_EXPIRY, at as f64);
        }
        text::head(&mut out, &CANARY_STEP_DURATION);
        for (step, histogram) in &state.steps {
            let labels = text::labels(&CANARY_STEP_DURATION, &[step]);
            text::histogram(&mut out, &CANARY_STEP_DURATION, &labels, histogram, Exposition::Text);
        }
        out
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Appends a metric with a sample for each combination of its labels.
fn one<'a>(out: &mut String, metric: &Metric, samples: impl IntoIterator<Item = (Vec<&'a str>, f64)>) {
    text::head(out, metric);
    for (values, value) in samples {
        text::labelled(out, metric, &values, value);
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::CANARY_METRICS;
    use std::collections::BTreeSet;

    #[test]
    fn what_is_rendered_is_what_the_catalogue_lists() {
        let metrics = CanaryMetrics::new("https://tasks.example.com");
        metrics.addresses([("10.0.0.1".to_owned(), true), ("10.0.0.2".to_owned(), false)]);
        metrics.certificate_expiry(1_800_000_000);
        let text = metrics.render();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let rendered: BTreeSet<String> = types.map(str::to_owned).collect();
        let listed = CANARY_METRICS.iter().map(|metric| format!("{} {}", metric.name, metric.kind.as_str()));
        assert_eq!(rendered, listed.collect());
        assert!(text.contains("canary_address_up{address=\"10.0.0.2\"} 0\n"), "{text}");
        let limit: usize = CANARY_METRICS.iter().map(|metric| metric.series_max(|_| None)).sum();
        assert!(text::count_samples(&text) <= limit, "{} of {limit}", text::count_samples(&text));
    }

    #[test]
    fn known_series_start_at_0_and_addresses_are_bounded() {
        let metrics = CanaryMetrics::new("t");
        assert!(metrics.render().contains("canary_runs_total{outcome=\"failed\"} 0\n"));
        assert!(metrics.render().contains("canary_step_failures_total{step=\"read\",phase=\"wait\"} 0\n"));
        metrics.addresses((0..100).map(|at| (format!("10.0.0.{at}"), true)));
        assert_eq!(metrics.render().matches("canary_address_up{").count(), CANARY_ADDRESSES_MAX);
        metrics.run("failed", 7);
        metrics.run("degraded", 8);
        metrics.run("error", 9);
        let text = metrics.render();
        assert!(text.contains("canary_last_run_timestamp_seconds 9\n"), "{text}");
        assert!(text.contains("canary_last_success_timestamp_seconds 8\n"), "{text}");
    }
}
