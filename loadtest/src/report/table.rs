//! The table at the end of a run, for a terminal.

use std::fmt::Write as _;

use super::{broken, edges, word};
use crate::outcome::RunResult;
use crate::verdict::{Outcome, Verdict, millis};

/// The run in a screen.
pub fn table(result: &RunResult) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail: the results below are dropped for that.
    let _ = writeln!(
        out,
        "\n{:<8} {:>9} {:>8} {:>10} {:>10} {:>10} {:>10} {:>10}  {:>10}",
        "", "requests", "failed", "p50", "p95", "p99", "p99.9", "max", "p99*"
    );
    for row in &result.operations {
        let times = [row.p50, row.p95, row.p99, row.p999, row.max, row.service_p99].map(millis);
        let [p50, p95, p99, p999, max, service] = times;
        let _ = writeln!(
            out,
            "{:<8} {:>9} {:>8} {p50:>10} {p95:>10} {p99:>10} {p999:>10} {max:>10}  {service:>10}",
            row.name, row.count, row.failed
        );
    }
    let _ = writeln!(out, "  * from the real start of each request; the verdict goes by the intended one\n");
    if let Some(server) = &result.server {
        let _ = writeln!(
            out,
            "the target counted {:.0} requests, p99 {}; {:.0} database operations, p99 {}",
            server.requests,
            edges(server.p99),
            server.database_operations,
            edges(server.database_p99)
        );
    }
    let own = &result.generator;
    let _ = writeln!(
        out,
        "the generator used {:.0} % of {:.0} core(s), started requests {} late at p99, over {} connections\n",
        own.cpu_max.unwrap_or(f64::NAN) * 100.0,
        own.cores,
        millis(own.lateness_p99),
        own.connections
    );
    if !result.substituted.is_empty() {
        let steps: Vec<String> = result.substituted.iter().map(|(step, count)| format!("{step} {count}")).collect();
        let _ =
            writeln!(out, "steps that could not be done yet, other requests in their place: {}\n", steps.join(", "));
    }
    let (kept, skipped) = (count(result, Outcome::Pass), count(result, Outcome::Skipped));
    let _ = writeln!(out, "{kept} rules hold, {skipped} skipped");
    for rule in broken(result.verdict, &result.rules) {
        let note = if rule.note.is_empty() { String::new() } else { format!("; {}", rule.note) };
        let (name, about, is) = (&rule.name, &rule.about, &rule.measured);
        let _ = writeln!(out, "  {:<7} {name} of {about}: {is}, limit {}{note}", word(rule.outcome), rule.limit);
    }
    if result.verdict == Verdict::Fail
        && let Some(slow) = result.slowest.iter().find(|slow| slow.trace_id.is_some())
    {
        let trace = slow.trace_id.as_deref().unwrap_or_default();
        let _ = writeln!(
            out,
            "  look at the slowest, {} in {}: trace {trace}",
            slow.operation.as_str(),
            millis(slow.latency)
        );
    }
    let _ = writeln!(out, "\n{}", result.summary);
    out
}

fn count(result: &RunResult, outcome: Outcome) -> usize {
    result.rules.iter().filter(|rule| rule.outcome == outcome).count()
}
