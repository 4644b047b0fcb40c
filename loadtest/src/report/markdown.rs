//! The run for a pull request or a release's notes.

use std::fmt::Write as _;

use super::{edges, word};
use crate::outcome::RunResult;
use crate::verdict::millis;

/// A page of Markdown.
pub fn markdown(result: &RunResult) -> String {
    let mut out = format!("# Load test: {}\n\n{}\n\n", result.verdict.as_str(), result.summary);
    let asked = &result.asked;
    // Writing to a string cannot fail: the results below are dropped for that.
    let _ = writeln!(
        out,
        "Open loop, {:.0} requests/s for {:.0} s after {:.0} s of warm-up, profile {}, seed {}, against {} ({}), {}.\n",
        asked.rate,
        asked.duration,
        asked.warm_up,
        asked.profile,
        asked.seed,
        result.target,
        if result.build.is_empty() { "version unknown" } else { &result.build },
        result.finished
    );
    let _ = writeln!(out, "Command: `{}`\n\nMachine: {}\n", result.command.replace('`', "'"), result.machine);
    let _ = writeln!(out, "| rule | of | outcome | limit | measured | |\n| --- | --- | --- | --- | --- | --- |");
    for rule in &result.rules {
        let cells = [&rule.name, &rule.about, word(rule.outcome), &rule.limit, &rule.measured, &rule.note];
        let _ = writeln!(out, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
    let _ = writeln!(
        out,
        "\n| | requests | failed | p50 | p95 | p99 | p99.9 | max | p99 from the real start |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    for row in &result.operations {
        let times = [row.p50, row.p95, row.p99, row.p999, row.max, row.service_p99].map(millis).join(" | ");
        let _ = writeln!(out, "| {} | {} | {} | {times} |", row.name, row.count, row.failed);
    }
    if let Some(server) = &result.server {
        let _ = writeln!(out, "\nThe target's own numbers over the same time:\n");
        let _ = writeln!(out, "| | start | end |\n| --- | ---: | ---: |");
        for (name, before, after) in &server.gauges {
            let _ = writeln!(out, "| `{name}` | {before} | {after} |");
        }
        let _ = writeln!(
            out,
            "\n{:.0} requests, p50 {}, p99 {}; {:.0} database operations, p99 {}.",
            server.requests,
            edges(server.p50),
            edges(server.p99),
            server.database_operations,
            edges(server.database_p99)
        );
    }
    let _ = writeln!(
        out,
        "\n| slowest | due at | latency | from the real start | | trace |\n| --- | ---: | ---: | ---: | --- | --- |"
    );
    for slow in &result.slowest {
        let trace = slow.trace_id.as_deref().unwrap_or("");
        let (latency, service) = (millis(slow.latency), millis(slow.service));
        let name = slow.operation.as_str();
        let _ = writeln!(out, "| {name} | {:.1} s | {latency} | {service} | {} | `{trace}` |", slow.at, slow.end);
    }
    out
}
