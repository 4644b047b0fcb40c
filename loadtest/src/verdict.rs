//! The verdict: rules over what was measured, each with its limit from `slo.toml`.

mod server;

use serde::{Deserialize, Serialize};

use crate::drive::{Measured, Plan};
use crate::profile::Operation;
use crate::record::{Tally, Window, quantile};

/// Largest share of its cores that a trustworthy generator uses.
const GENERATOR_CPU_MAX: f64 = 0.8;
/// Most memory that a trustworthy generator takes after the warm-up, in bytes: connections that a slow target keeps busy, and
/// a point for each second. Whatever grows beyond is not bounded.
const MEMORY_GROWTH_MAX: u64 = 96 << 20;
/// Latest start at the 99th percentile of a trustworthy generator, in seconds.
const LATENESS_MAX: f64 = 0.005;

/// What a run says about a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Every rule holds.
    Pass,
    /// A rule does not hold.
    Fail,
    /// The run says nothing: run it again, after reading why.
    Invalid,
}

impl Verdict {
    /// As reports spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Invalid => "INVALID",
        }
    }

    /// The exit code of the tool.
    pub const fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Invalid => 2,
        }
    }
}

/// What became of one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// It cannot be judged, and so the run cannot pass.
    Invalid,
    /// It was not asked: what it needs is not there.
    Skipped,
}

/// One rule and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// What is judged: `latency p99`.
    pub name: String,
    /// Of what: `all`, or an operation.
    pub about: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What was asked.
    pub limit: String,
    /// What there was.
    pub measured: String,
    /// What to make of it; empty when there is nothing to say.
    pub note: String,
    /// Whether it is about the measurement and not about the target: then no other rule's outcome counts without it.
    pub trust: bool,
}

/// What a run is held to.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Requests per second in each window.
    pub rate: f64,
    /// Seconds at the 95th and 99th percentile.
    pub latency: f64,
    /// Most failed requests, as a share.
    pub errors: f64,
    /// Seconds within which `database_fast` of database operations end.
    pub database: f64,
    /// The share of them that has to.
    pub database_fast: f64,
    /// Whether percentiles are judged by the far end of their confidence interval.
    pub strict: bool,
    /// Which operations are judged apart, and not only all together: those of the profile.
    pub operations: Vec<Operation>,
    /// Whether the target's metrics were named by the person, and not only looked for.
    pub metrics_wanted: bool,
}

/// The samples that a percentile needs: ten of them beyond it.
pub fn samples_min(quantile: f64) -> u64 {
    (10.0 / (1.0 - quantile)).round() as u64
}

/// The ends of a quantile's 95 % confidence interval, in seconds, from the order of the samples alone.
pub fn interval(tally: &Tally, at: f64) -> (f64, f64) {
    let spread = 1.96 * (at * (1.0 - at) / tally.latency.len().max(1) as f64).sqrt();
    (quantile(&tally.latency, (at - spread).max(0.0)), quantile(&tally.latency, (at + spread).min(1.0)))
}

/// Milliseconds as people read them.
pub fn millis(seconds: f64) -> String {
    let millis = seconds * 1e3;
    let digits = if millis < 10.0 { 2 } else { usize::from(millis < 100.0) };
    format!("{millis:.digits$} ms")
}

/// Judges a run.
pub fn judge(limits: &Limits, plan: &Plan, measured: &Measured) -> (Verdict, Vec<Rule>) {
    let mut rules = trust(plan, measured);
    rules.extend(rate(limits, plan, measured));
    rules.extend(latencies(limits, measured));
    rules.push(errors(limits, measured));
    rules.push(contract(measured));
    rules.extend(server::rules(limits, measured));
    (sum(&rules), rules)
}

/// A measurement that cannot be trusted says nothing; else one broken rule is enough; else every rule must have been judged.
fn sum(rules: &[Rule]) -> Verdict {
    if rules.iter().any(|rule| rule.trust && rule.outcome == Outcome::Invalid) {
        Verdict::Invalid
    } else if rules.iter().any(|rule| rule.outcome == Outcome::Fail) {
        Verdict::Fail
    } else if rules.iter().any(|rule| rule.outcome == Outcome::Invalid) {
        Verdict::Invalid
    } else {
        Verdict::Pass
    }
}

fn rule(name: &str, about: &str, outcome: Outcome, limit: String, measured: String, note: &str) -> Rule {
    let (name, about) = (name.to_owned(), about.to_owned());
    Rule { name, about, outcome, limit, measured, note: note.to_owned(), trust: false }
}

/// What the system does not say.
const NOT_READABLE: &str = "not readable";
/// Names of the rules that a busy machine breaks.
const GENERATOR_CPU: &str = "generator CPU";
const GENERATOR_MEMORY: &str = "generator memory";
const START_LATENESS: &str = "start lateness p99";

/// The one rule of a run that could not begin.
pub fn not_measured(why: &str) -> Rule {
    let (limit, is) = ("measured".to_owned(), "nothing was measured".to_owned());
    Rule { trust: true, ..rule("whole run", "generator", Outcome::Invalid, limit, is, why) }
}

fn holds(yes: bool) -> Outcome {
    if yes { Outcome::Pass } else { Outcome::Fail }
}

/// Whether nothing but this machine, which was too busy, kept it from being measured: that may be over the next time. All else
/// that makes a run INVALID stays.
pub fn too_busy(rules: &[Rule]) -> bool {
    let own = |rule: &&Rule| [GENERATOR_CPU, GENERATOR_MEMORY, START_LATENESS].contains(&rule.name.as_str());
    let mut invalid = rules.iter().filter(|rule| rule.outcome == Outcome::Invalid).peekable();
    invalid.peek().is_some() && invalid.all(|rule| own(&rule) && rule.measured != NOT_READABLE)
}

fn trust(plan: &Plan, measured: &Measured) -> Vec<Rule> {
    let about = |name: &str, valid: bool, limit: String, is: String, note: &str| Rule {
        trust: true,
        ..rule(
            name,
            "generator",
            if valid { Outcome::Pass } else { Outcome::Invalid },
            limit,
            is,
            if valid { "" } else { note },
        )
    };
    let late = quantile(&measured.lateness, 0.99);
    let (planned, driven) = (crate::duration::display(plan.duration), measured.driven.as_secs_f64());
    let answered = measured.record.points.iter().any(|point| point.answered > 0);
    vec![
        about(
            "whole run",
            !measured.interrupted,
            planned,
            format!("{driven:.0}s"),
            "the run was stopped before its end",
        ),
        about(
            "target answers",
            answered,
            "at least once".to_owned(),
            if answered { "yes" } else { "never" }.to_owned(),
            "nothing came back: is the target there?",
        ),
        about(
            GENERATOR_CPU,
            measured.cpu_max.is_some_and(|share| share <= GENERATOR_CPU_MAX),
            format!("<= {:.0} %", GENERATOR_CPU_MAX * 100.0),
            measured.cpu_max.map_or(NOT_READABLE.to_owned(), |share| format!("{:.0} %", share * 100.0)),
            match measured.cpu_max {
                Some(_) => {
                    "the generator is at its own limit: what it measured is itself; more --threads, or another machine"
                }
                None => {
                    "this system does not say what its threads have used: nobody knows whether the generator kept up"
                }
            },
        ),
        about(
            GENERATOR_MEMORY,
            measured.memory_growth.is_some_and(|bytes| bytes <= MEMORY_GROWTH_MAX),
            format!("<= {} more", mebibytes(MEMORY_GROWTH_MAX)),
            measured.memory_growth.map_or(NOT_READABLE.to_owned(), |bytes| format!("{} more", mebibytes(bytes))),
            "the generator grows: it would slow down, and what it measured be itself",
        ),
        about(
            START_LATENESS,
            late <= LATENESS_MAX,
            format!("<= {}", millis(LATENESS_MAX)),
            millis(late),
            "requests were started later than they were due: this machine is too busy to measure",
        ),
    ]
}

/// The windows of the rate's rule that were driven to their end; one that nothing was answered in is among them.
pub fn whole_windows(plan: &Plan, measured: &Measured) -> Vec<Window> {
    let whole = (measured.driven.as_millis() / plan.window.as_millis().max(1)) as usize;
    let of = |index: usize| measured.record.windows.get(index).map_or(0, |window| window.in_time);
    let start = |index: usize| index as f64 * plan.window.as_secs_f64();
    (0..whole).map(|index| Window { start: start(index), in_time: of(index) }).collect()
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

fn rate(limits: &Limits, plan: &Plan, measured: &Measured) -> Vec<Rule> {
    let (window, windows) = (plan.window.as_secs_f64(), whole_windows(plan, measured));
    let whole = windows.len();
    let name = format!("rate in each {}", crate::duration::display(plan.window));
    // The share that may fail may be missing too; else one lost answer of ten thousand would break the rule.
    let least = limits.rate * (1.0 - limits.errors);
    let limit = format!(">= {least:.1}/s");
    if whole == 0 {
        return vec![rule(
            &name,
            "all",
            Outcome::Invalid,
            limit,
            "no whole window".to_owned(),
            "the run was too short",
        )];
    }
    let of = |index: usize| windows[index].in_time as f64 / window;
    let worst = (0..whole).min_by(|a, b| of(*a).total_cmp(&of(*b))).unwrap_or(0);
    let broken = (0..whole).filter(|index| of(*index) < least).count();
    let note = match broken {
        0 => format!("{:.0}/s, of which {:.2} % may be missing", limits.rate, limits.errors * 100.0),
        _ => format!("{broken} of {whole} windows, the worst from {:.0} s on", worst as f64 * window),
    };
    let mut rules = vec![rule(&name, "all", holds(broken == 0), limit, format!("{:.1}/s", of(worst)), &note)];
    if measured.missed > 0 {
        let note = "requests for which no connection was free for 10 s; each counts as failed";
        let missed = measured.missed.to_string();
        rules.push(rule("not started", "all", Outcome::Fail, "0".to_owned(), missed, note));
    }
    rules
}

fn latencies(limits: &Limits, measured: &Measured) -> Vec<Rule> {
    let mut rules = Vec::new();
    // Of the profile, and not of what there was: an operation that never ran was not judged, and is not left out.
    let none = Tally::new();
    let operations = limits.operations.iter();
    let operations =
        operations.map(|operation| (operation.as_str(), measured.record.operations.get(operation).unwrap_or(&none)));
    for (about, tally) in std::iter::once(("all", &measured.record.all)).chain(operations) {
        for (name, at) in [("latency p95", 0.95), ("latency p99", 0.99)] {
            let limit = format!("<= {}", millis(limits.latency));
            let (needed, count) = (samples_min(at), tally.latency.len());
            if count < needed {
                let note = format!("{count} samples, it takes {needed}: a longer run, or a larger share");
                rules.push(rule(name, about, Outcome::Invalid, limit, "too few samples".to_owned(), &note));
                continue;
            }
            let (low, high) = interval(tally, at);
            let value = quantile(&tally.latency, at);
            let judged = if limits.strict { high } else { value };
            let note = format!("95 % sure: {} to {}", millis(low), millis(high));
            rules.push(rule(name, about, holds(judged <= limits.latency), limit, millis(value), &note));
        }
    }
    rules
}

fn errors(limits: &Limits, measured: &Measured) -> Rule {
    let all = &measured.record.all;
    let (failed, count) = (all.failed, all.count);
    let share = failed as f64 / count.max(1) as f64;
    let limit = format!("<= {:.2} %", limits.errors * 100.0);
    let kinds: Vec<String> = measured.record.failures.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
    let is = format!("{:.3} % ({failed} of {count})", share * 100.0);
    rule("errors", "all", holds(share <= limits.errors), limit, is, &kinds.join(", "))
}

fn contract(measured: &Measured) -> Rule {
    let texts = measured.record.violation_texts.iter().take(5);
    let texts: Vec<String> = texts.map(|(text, count)| format!("{text} ({count})")).collect();
    let violations = measured.record.violations;
    rule(
        "contract",
        "all",
        holds(violations == 0),
        "0 violations".to_owned(),
        violations.to_string(),
        &texts.join("; "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![Just(Outcome::Pass), Just(Outcome::Fail), Just(Outcome::Invalid), Just(Outcome::Skipped)]
    }

    fn of(outcome: Outcome, trust: bool) -> Rule {
        Rule { trust, ..rule("r", "all", outcome, String::new(), String::new(), "") }
    }

    proptest! {
        #[test]
        fn what_could_not_be_judged_is_never_a_pass(outcomes in proptest::collection::vec((outcome(), any::<bool>()), 0..12)) {
            let rules: Vec<Rule> = outcomes.iter().map(|(outcome, trust)| of(*outcome, *trust)).collect();
            let any = |wanted| outcomes.iter().any(|(outcome, _)| *outcome == wanted);
            let expected_pass = !any(Outcome::Fail) && !any(Outcome::Invalid);
            prop_assert_eq!(sum(&rules) == Verdict::Pass, expected_pass);
            prop_assert_eq!(sum(&rules).code() == 0, expected_pass);
        }
    }

    #[test]
    fn a_measurement_that_cannot_be_trusted_outweighs_a_broken_objective_and_too_few_samples_do_not() {
        let fail = of(Outcome::Fail, false);
        assert_eq!(sum(&[fail.clone(), of(Outcome::Invalid, true)]), Verdict::Invalid);
        assert_eq!(sum(&[fail, of(Outcome::Invalid, false)]), Verdict::Fail);
    }

    #[test]
    fn a_percentile_takes_ten_samples_beyond_it() {
        assert_eq!([0.5, 0.95, 0.99, 0.999].map(samples_min), [20, 200, 1_000, 10_000]);
    }

    #[test]
    fn a_step_is_worth_another_attempt_only_if_nothing_but_this_machine_made_it_invalid() {
        let of = |name: &str, is: &str, outcome| rule(name, "generator", outcome, String::new(), is.to_owned(), "");
        let late = || of(START_LATENESS, "7.50 ms", Outcome::Invalid);
        assert!(too_busy(&[late(), of("rate in each 10s", "0.0/s", Outcome::Fail)]));
        assert!(too_busy(&[late(), of(GENERATOR_CPU, "81 %", Outcome::Invalid)]));
        assert!(!too_busy(&[of(START_LATENESS, "1.00 ms", Outcome::Pass)]));
        assert!(!too_busy(&[late(), of("server's view", "not read", Outcome::Invalid)]));
        assert!(!too_busy(&[of(GENERATOR_CPU, NOT_READABLE, Outcome::Invalid)]));
    }
}
