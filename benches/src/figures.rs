//! Figures of repeated rounds: the median, and how far the others lie from it.

use std::fmt;

/// What several rounds gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures(Vec<f64>);

impl Figures {
    /// Sorts them. There must be one at least, and no NaN among them.
    pub fn new(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        Self(rounds)
    }

    /// What each round was beside the same round of `other`: a machine that gets slower within minutes does so for both.
    pub fn beside(rounds: &[f64], other: &[f64], compare: impl Fn(f64, f64) -> f64) -> Self {
        Self::new(rounds.iter().zip(other).map(|(round, other)| compare(*round, *other)).collect())
    }

    /// The middle one, or the mean of the two in the middle; 0 of none.
    pub fn median(&self) -> f64 {
        let (rounds, middle) = (&self.0, self.0.len() / 2);
        match rounds.len() {
            0 => 0.0,
            odd if odd % 2 == 1 => rounds[middle],
            _ => f64::midpoint(rounds[middle - 1], rounds[middle]),
        }
    }

    /// The smallest; 0 of none.
    pub fn min(&self) -> f64 {
        self.0.first().copied().unwrap_or_default()
    }

    /// The largest; 0 of none.
    pub fn max(&self) -> f64 {
        self.0.last().copied().unwrap_or_default()
    }
}

impl fmt::Display for Figures {
    /// `median (min to max)`, with as many decimals as the formatter is given, else one, and with signs if it asks for them.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = formatter.precision().unwrap_or(1);
        let (median, min, max) = (self.median(), self.min(), self.max());
        if formatter.sign_plus() {
            return write!(formatter, "{median:+.decimals$} ({min:+.decimals$} to {max:+.decimals$})");
        }
        write!(formatter, "{median:.decimals$} ({min:.decimals$} to {max:.decimals$})")
    }
}

/// The `share`-th part of the samples is at most this; 0 of none.
pub fn percentile(samples: &mut [u32], share: f64) -> u32 {
    samples.sort_unstable();
    let rank = (samples.len() as f64 * share).ceil() as usize;
    samples.get(rank.max(1) - 1).or(samples.last()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(Figures::new(vec![4.0, 1.0, 3.0, 2.0]).median(), 2.5);
        assert_eq!(Figures::new(vec![3.0, 1.0, 2.0]).to_string(), "2.0 (1.0 to 3.0)");
        assert_eq!(format!("{:.0}", Figures::new(vec![])), "0 (0 to 0)");
        assert_eq!(format!("{:+.0}", Figures::new(vec![-1.0, 2.0, 3.0])), "+2 (-1 to +3)");
    }

    #[test]
    fn a_round_is_compared_with_the_same_round_of_the_other() {
        let ratios = Figures::beside(&[2.0, 30.0, 6.0], &[1.0, 10.0, 4.0], |round, other| round / other);
        assert_eq!((ratios.median(), ratios.min(), ratios.max()), (2.0, 1.5, 3.0));
    }

    #[test]
    fn a_percentile_is_a_sample_and_at_least_its_share_is_no_greater() {
        let mut samples: Vec<u32> = (1..=100).rev().collect();
        assert_eq!((percentile(&mut samples, 0.99), percentile(&mut samples, 0.5)), (99, 50));
        assert_eq!((percentile(&mut samples, 1.0), percentile(&mut samples, 0.0)), (100, 1));
        assert_eq!(percentile(&mut [], 0.5), 0);
    }
}
