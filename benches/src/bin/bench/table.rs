//! What one kind of request cost, round by round.

use benches::figures::Figures;

/// What one round gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Requests, or transactions, a second.
    pub(crate) per_second: f64,
    /// Microseconds of CPU for each request: of the server, or of pgbench itself.
    pub(crate) process_micros: f64,
    /// Microseconds of CPU for each request: of PostgreSQL, all its processes. 0 without one.
    pub(crate) database_micros: f64,
    /// Half of the answers took no longer, in milliseconds. pgbench says the mean.
    pub(crate) p50_millis: f64,
    /// 99 of 100 answers took no longer, in milliseconds. pgbench does not say.
    pub(crate) p99_millis: f64,
    /// Memory that the server held in the end, in MiB.
    pub(crate) resident_mib: f64,
}

impl Cost {
    /// Microseconds of CPU for each request, of both.
    pub(crate) fn micros(&self) -> f64 {
        self.process_micros + self.database_micros
    }
}

/// `left` over `right`, round by round: each compares what ran within the same minute.
pub(crate) fn ratios(left: &[Cost], right: &[Cost], of: impl Fn(&Cost, &Cost) -> f64) -> Vec<f64> {
    left.iter().zip(right).map(|(left, right)| of(left, right)).collect()
}

/// Prints a line for each kind of request.
#[expect(clippy::print_stdout, reason = "a program whose output is a table")]
pub(crate) fn print<'a>(rows: impl Iterator<Item = (&'a str, &'a [Cost])>) {
    println!(
        "| median (min to max) | requests/s | CPU µs of the process | CPU µs of PostgreSQL | p50 ms | p99 ms | RSS MiB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (name, costs) in rows {
        let column = |of: fn(&Cost) -> f64| Figures::new(costs.iter().map(of).collect());
        let optional = |figures: Figures| if figures.max() > 0.0 { format!("{figures:.1}") } else { "–".to_owned() };
        println!(
            "| {name} | {:.0} | {:.1} | {} | {} | {} | {} |",
            column(|cost| cost.per_second),
            column(|cost| cost.process_micros),
            optional(column(|cost| cost.database_micros)),
            optional(column(|cost| cost.p50_millis)),
            optional(column(|cost| cost.p99_millis)),
            optional(column(|cost| cost.resident_mib)),
        );
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_compares_rounds_with_each_other_and_not_medians() {
        let cost = |per_second| Cost {
            per_second,
            process_micros: 3.0,
            database_micros: 4.0,
            p50_millis: 0.0,
            p99_millis: 0.0,
            resident_mib: 0.0,
        };
        let (left, right) = ([cost(10.0), cost(30.0)], [cost(20.0), cost(30.0)]);
        assert_eq!(ratios(&left, &right, |left, right| left.per_second / right.per_second), [0.5, 1.0]);
        assert_eq!(left[0].micros(), 7.0);
    }
}
