//! Many samples made one value, as each statistic does.

use super::series::Sample;

/// A statistic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Statistic {
    Average,
    Maximum,
    Minimum,
    SampleCount,
    Sum,
    /// From 0 to 1.
    Percentile(f64),
    /// Percent of the values above the first and at most the second.
    Rank(f64, f64),
}

impl Statistic {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "Average" => Self::Average,
            "Maximum" => Self::Maximum,
            "Minimum" => Self::Minimum,
            "SampleCount" => Self::SampleCount,
            "Sum" => Self::Sum,
            text => match text.strip_prefix("PR(").and_then(|rest| rest.strip_suffix(')')) {
                Some(range) => {
                    let (from, to) = range.split_once(':')?;
                    let bound = |text: &str, open| if text.is_empty() { Some(open) } else { text.parse().ok() };
                    Self::Rank(bound(from, f64::NEG_INFINITY)?, bound(to, f64::INFINITY)?)
                }
                None => Self::Percentile(text.strip_prefix('p')?.parse::<f64>().ok()? / 100.0),
            },
        })
    }

    /// Fewer samples than this are too few for a percentile to mean something.
    pub(super) fn samples_min(self) -> f64 {
        match self {
            Self::Percentile(share) if share >= 0.5 => 10.0 / (1.0 - share),
            Self::Percentile(share) => 10.0 / share,
            _ => 0.0,
        }
    }
}

/// A series in which the value over any window is found without a walk through all of it, where the statistic allows.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    statistic: Statistic,
    minutes: &'a [Vec<Sample>],
    /// Samples before each minute.
    counts: Vec<f64>,
    /// What the statistic sums up, before each minute.
    sums: Vec<f64>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(statistic: Statistic, minutes: &'a [Vec<Sample>]) -> Self {
        let weight = |sample: &Sample| match statistic {
            Statistic::Rank(from, to) if sample.value > from && sample.value <= to => sample.count,
            Statistic::Rank(..) => 0.0,
            _ => sample.value * sample.count,
        };
        let prefix = |of: &dyn Fn(&Sample) -> f64| {
            let mut sums = vec![0.0];
            let mut sum = 0.0;
            for minute in minutes {
                sum += minute.iter().map(of).sum::<f64>();
                sums.push(sum);
            }
            sums
        };
        Self { statistic, minutes, counts: prefix(&|sample| sample.count), sums: prefix(&weight) }
    }

    /// How many samples there are from a minute up to another.
    pub(super) fn samples(&self, from: usize, to: usize) -> f64 {
        self.between(&self.counts, from, to)
    }

    /// The value from a minute up to another; none without a sample.
    pub(super) fn value(&self, from: usize, to: usize) -> Option<f64> {
        let count = self.samples(from, to);
        if count < 0.5 {
            return None;
        }
        let sum = self.between(&self.sums, from, to);
        let values = || self.within(from, to).map(|sample| sample.value);
        Some(match self.statistic {
            Statistic::Sum => sum,
            Statistic::SampleCount => count,
            Statistic::Average => sum / count,
            Statistic::Rank(..) => 100.0 * sum / count,
            Statistic::Maximum => values().fold(f64::NEG_INFINITY, f64::max),
            Statistic::Minimum => values().fold(f64::INFINITY, f64::min),
            Statistic::Percentile(share) => percentile(self.within(from, to), share * count),
        })
    }

    fn within(&self, from: usize, to: usize) -> impl Iterator<Item = &Sample> {
        let end = to.min(self.minutes.len());
        self.minutes[from.min(end)..end].iter().flatten()
    }

    fn between(&self, prefix: &[f64], from: usize, to: usize) -> f64 {
        let last = prefix.len() - 1;
        prefix[to.min(last)] - prefix[from.min(last)]
    }
}

/// The least value at or below which `wanted` samples are.
fn percentile<'a>(samples: impl Iterator<Item = &'a Sample>, wanted: f64) -> f64 {
    let mut samples: Vec<&Sample> = samples.collect();
    samples.sort_by(|a, b| a.value.total_cmp(&b.value));
    let mut seen = 0.0;
    for sample in &samples {
        seen += sample.count;
        if seen >= wanted - 1e-9 {
            return sample.value;
        }
    }
    samples.last().map_or(0.0, |sample| sample.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(statistic: &str, minutes: &[Vec<Sample>]) -> Option<f64> {
        Reader::new(Statistic::parse(statistic).expect(statistic), minutes).value(0, minutes.len())
    }

    #[test]
    fn each_statistic_is_what_the_guide_says() {
        let minutes: Vec<Vec<Sample>> = (1..=100).map(|value| vec![Sample::once(f64::from(value))]).collect();
        for (statistic, expected) in [
            ("Sum", 5050.0),
            ("SampleCount", 100.0),
            ("Average", 50.5),
            ("Minimum", 1.0),
            ("Maximum", 100.0),
            ("p99", 99.0),
            ("p50", 50.0),
            ("p100", 100.0),
            ("PR(:30)", 30.0),
            ("PR(30:)", 70.0),
            // Exclusive below, inclusive above.
            ("PR(10:20)", 10.0),
        ] {
            assert_eq!(value(statistic, &minutes), Some(expected), "{statistic}");
        }
        assert_eq!(value("Average", &[vec![], vec![]]), None);
        for text in ["Mean", "p", "pp", "PR(1)", "PR(a:b)", "99"] {
            assert_eq!(Statistic::parse(text), None, "{text}");
        }
        assert!((Statistic::Percentile(0.99).samples_min() - 1000.0).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn a_window_is_the_same_as_its_samples_alone(
            minutes in prop::collection::vec(prop::collection::vec((0_u8..20, 1_u8..9), 0..4), 1..40),
            from in 0_usize..40, length in 1_usize..40,
            statistic in prop::sample::select(vec!["Sum", "SampleCount", "Average", "Minimum", "Maximum", "p90", "PR(3:11)"]),
        ) {
            let sample = |(value, count): (u8, u8)| Sample { value: f64::from(value), count: f64::from(count) };
            let minutes: Vec<Vec<Sample>> = minutes.into_iter().map(|minute| minute.into_iter().map(sample).collect()).collect();
            let statistic = Statistic::parse(statistic).expect("a statistic");
            let to = from + length;
            let alone: Vec<Sample> = minutes.iter().take(to).skip(from).flatten().copied().collect();
            let expected = Reader::new(statistic, &[alone]).value(0, 1);
            let found = Reader::new(statistic, &minutes).value(from, to);
            prop_assert_eq!(found.is_some(), expected.is_some());
            if let (Some(found), Some(expected)) = (found, expected) {
                prop_assert!((found - expected).abs() < 1e-6, "{} is not {}", found, expected);
            }
        }
    }
}
