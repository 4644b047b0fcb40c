//! What is required of a figure, and by how much it falls short.

use std::fmt;

use benches::figures::Figures;

/// What a figure must be at least, or at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    /// As large as this, or larger.
    AtLeast(f64),
    /// As small as this, or smaller.
    AtMost(f64),
}

impl Bound {
    /// How far a value lies on the wrong side, as a share of the bound; `None` where it is on the right one.
    pub(crate) fn short_by(self, value: f64) -> Option<f64> {
        let short = match self {
            Bound::AtLeast(bound) => (bound - value) / bound,
            Bound::AtMost(bound) => (value - bound) / bound,
        };
        // Not `short > 0.0`: a figure that is no number passes nothing.
        if short <= 0.0 { None } else { Some(short) }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::AtLeast(bound) => write!(formatter, "≥ {bound}"),
            Bound::AtMost(bound) => write!(formatter, "≤ {bound}"),
        }
    }
}

/// One line of the verdict.
pub(crate) struct Measure {
    /// What was measured.
    pub(crate) name: String,
    /// What is required.
    pub(crate) bound: Bound,
    /// What each round gave. The median counts.
    pub(crate) rounds: Figures,
}

impl Measure {
    /// Takes the rounds as they came.
    pub(crate) fn new(name: impl Into<String>, bound: Bound, rounds: Vec<f64>) -> Self {
        Self { name: name.into(), bound, rounds: Figures::new(rounds) }
    }

    fn verdict(&self) -> String {
        match self.bound.short_by(self.rounds.median()) {
            None => "PASS".to_owned(),
            Some(short) => format!("short by {:.0} %", (short * 100.0).ceil()),
        }
    }
}

/// Prints the measures as a table and returns how many break their bound.
#[expect(clippy::print_stdout, reason = "a program whose output is a table")]
pub(crate) fn print(measures: &[Measure]) -> usize {
    println!("| measure | required | median (min to max) | |\n| --- | --- | --- | --- |");
    for measure in measures {
        println!("| {} | {} | {:.3} | {} |", measure.name, measure.bound, measure.rounds, measure.verdict());
    }
    println!();
    measures.iter().filter(|measure| measure.bound.short_by(measure.rounds.median()).is_some()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_kept_at_its_very_edge_and_what_is_missing_is_a_share_of_it() {
        assert_eq!((Bound::AtLeast(0.4).short_by(0.4), Bound::AtLeast(0.4).short_by(0.9)), (None, None));
        assert_eq!((Bound::AtMost(2.0).short_by(2.0), Bound::AtMost(2.0).short_by(3.0)), (None, Some(0.5)));
        assert!(Bound::AtLeast(0.4).short_by(0.3).is_some_and(|short| (short - 0.25).abs() < 1e-9));
        assert!(Bound::AtLeast(0.4).short_by(f64::NAN).is_some() && Bound::AtMost(0.4).short_by(f64::NAN).is_some());
    }

    #[test]
    fn the_median_decides_and_a_shortfall_is_never_rounded_to_nothing() {
        let measure = |rounds| Measure::new("x", Bound::AtLeast(0.4), rounds);
        assert_eq!(measure(vec![0.1, 0.4, 0.5]).verdict(), "PASS");
        assert_eq!(measure(vec![0.1, 0.3999, 0.9]).verdict(), "short by 1 %");
        assert_eq!(print(&[measure(vec![0.4]), measure(vec![0.2])]), 1);
    }
}
