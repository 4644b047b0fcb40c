//! Traffic minute by minute, for the tests of the objectives: what a window over it holds, worked out here without
//! Prometheus.

use slo::{Period, Slo};

use super::recording;
use super::sli::{Part, Sli};
use super::yaml::number;

/// A stretch of even traffic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    /// How long.
    pub minutes: u64,
    /// Events a minute.
    pub rate: f64,
    /// Share of them that is bad.
    pub bad: f64,
}

/// Stretches one after the other; the counters start at 0.
#[derive(Debug, Clone)]
pub(super) struct History(pub Vec<Stretch>);

impl History {
    /// All minutes.
    pub(super) fn minutes(&self) -> u64 {
        self.0.iter().map(|stretch| stretch.minutes).sum()
    }

    fn count(&self, minute: u64, weight: impl Fn(&Stretch) -> f64) -> f64 {
        let mut left = minute;
        let mut count = 0.0;
        for stretch in &self.0 {
            let minutes = left.min(stretch.minutes);
            count += minutes as f64 * weight(stretch);
            left -= minutes;
        }
        count
    }

    fn growth(&self, minute: u64, window: u64, weight: impl Fn(&Stretch) -> f64 + Copy) -> f64 {
        self.count(minute, weight) - self.count(minute.saturating_sub(window), weight)
    }

    fn total(&self, minute: u64, window: u64) -> f64 {
        self.growth(minute, window, |stretch| stretch.rate)
    }

    fn bad(&self, minute: u64, window: u64) -> f64 {
        self.growth(minute, window, |stretch| stretch.rate * stretch.bad)
    }

    /// What `slo:sli_error:ratio_rate<window>` is then, with an evaluation every `step` minutes from minute 0.
    pub(super) fn ratio(&self, slo: &Slo, window: Period, minute: u64, step: u64) -> f64 {
        if recording::is_direct(slo, window) {
            return self.bad(minute, minutes(window)) / self.total(minute, minutes(window));
        }
        let (bad, total) = self.sums(slo, window, minute, step);
        bad / total
    }

    /// The recorded rates within a window, both ends included, summed. At minute 0 there is no rate yet.
    fn sums(&self, slo: &Slo, window: Period, minute: u64, step: u64) -> (f64, f64) {
        let base = minutes(recording::base(slo));
        let from = minute.saturating_sub(minutes(window)).div_ceil(step).max(1);
        (from..=minute / step)
            .map(|tick| tick * step)
            .fold((0.0, 0.0), |(bad, total), tick| (bad + self.bad(tick, base), total + self.total(tick, base)))
    }

    /// What `slo:sli_total:increase<window>` is then.
    pub(super) fn events(&self, slo: &Slo, window: Period, minute: u64, step: u64) -> f64 {
        if recording::is_direct(slo, window) {
            return self.total(minute, minutes(window));
        }
        // The rule takes each recorded rate for 30 s, whatever the step of the test is.
        let (_, total) = self.sums(slo, window, minute, step);
        total / recording::base(slo).seconds() as f64 * recording::SHORT_SECONDS as f64
    }

    /// What is left of the budget, as a share; below 0 when it is overdrawn.
    pub(super) fn budget_left(&self, slo: &Slo, sli: &Sli, minute: u64, step: u64) -> f64 {
        1.0 - self.ratio(slo, slo.window, minute, step) / sli.budget()
    }

    /// The counters of an indicator in promtool's notation, a value a minute.
    pub(super) fn series(&self, sli: &Sli) -> Vec<(String, String)> {
        let weight = |part: Part, stretch: &Stretch| match part {
            Part::Total => stretch.rate,
            Part::Good => stretch.rate * (1.0 - stretch.bad),
            Part::Bad => stretch.rate * stretch.bad,
            Part::Nothing => 0.0,
        };
        let values = |part: Part| {
            let mut start = 0.0;
            let mut first = true;
            let mut parts = Vec::new();
            for stretch in self.0.iter().filter(|stretch| stretch.minutes > 0) {
                let rate = weight(part, stretch);
                // A sum of fractions may come out below what was written last, and that would be a reset of the
                // counter.
                let (from, repeats) =
                    if first { (0.0, stretch.minutes) } else { (start + rate + 1e-6, stretch.minutes - 1) };
                parts.push(format!("{}+{}x{repeats}", number(from), number(rate)));
                start = from + rate * repeats as f64;
                first = false;
            }
            parts.join(" ")
        };
        sli.series.iter().map(|(series, part)| (series.clone(), values(*part))).collect()
    }
}

/// A window in whole minutes.
pub(super) fn minutes(window: Period) -> u64 {
    window.seconds() / 60
}
