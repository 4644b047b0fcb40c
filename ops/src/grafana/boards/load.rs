//! Load test run: the service under `loadtest`, held to the limits of a release.

use slo::Slo;

use super::percent;
use crate::grafana::board::{Board, Choice};
use crate::grafana::panel::{Limit, Panel, Unit};

/// The traffic that is chosen.
const CHOSEN: &str = r#"@target, synthetic=~"$synthetic""#;

/// The dashboard.
pub(super) fn board(slo: &Slo) -> Board {
    Board {
        uid: "task-api-load",
        title: "Task API / Load test run",
        about: "The service's side of a load test: what does it hold, and what gives way first?",
        from: "now-30m",
        targets_of: "build_info",
        choices: vec![Choice {
            name: "synthetic",
            label: "Traffic",
            series: "http_server_request_duration_seconds_count{@target}",
            of: "synthetic",
            first: Some("load"),
        }],
        sections: vec![
            ("Does it pass?", vec![rate(slo), errors(slo), latency(slo)]),
            ("Where is the time spent?", vec![routes(slo), database(slo), wait(slo)]),
            ("What gives way first?", vec![cpu(), memory(), pool(), active(), refused(), lost()]),
        ],
    }
}

fn rate(slo: &Slo) -> Panel {
    Panel::graph("Is the rate reached?", Unit::RequestRate)
        .good(format!("Requests per second, answered. Good is above the line at {} in every 10 s.", slo.load.rate))
        .query("requests", format!("sum({})", count("")))
        .limit(Limit::AtLeast(slo.load.rate))
}

fn errors(slo: &Slo) -> Panel {
    let failed = format!("sum({})", count(r#", http_response_status_code=~"5..""#));
    let all = format!("sum({})", count(""));
    Panel::graph("What share of the requests fails?", Unit::Share)
        .good(format!("Answers with a 5xx. Good is below the line at {}.", percent(slo.load.errors)))
        .query("5xx", format!("({failed} or 0 * {all}) / {all}"))
        .limit(Limit::AtMost(slo.load.errors))
}

fn latency(slo: &Slo) -> Panel {
    let buckets = format!("sum by (le) (rate(http_server_request_duration_seconds_bucket{{{CHOSEN}}}@rate))");
    Panel::graph("How long do requests take?", Unit::Seconds)
        .good(format!(
            "As the service sees it: without the time a request waits before it arrives. Good is p95 and p99 below {} s.",
            slo.requests.latency
        ))
        .query("p50", format!("histogram_quantile(0.5, {buckets})"))
        .query("p95", format!("histogram_quantile(0.95, {buckets})"))
        .query("p99", format!("histogram_quantile(0.99, {buckets})"))
        .limit(Limit::AtMost(slo.requests.latency))
        .exemplars()
}

fn routes(slo: &Slo) -> Panel {
    let buckets =
        format!("sum by (le, http_route) (rate(http_server_request_duration_seconds_bucket{{{CHOSEN}}}@rate))");
    Panel::graph("Which routes are slow?", Unit::Seconds)
        .good(format!(
            "What 99 % of the answers stay below, by route. Good is below {} s for each.",
            slo.requests.latency
        ))
        .query("{{http_route}}", format!("histogram_quantile(0.99, {buckets})"))
        .limit(Limit::AtMost(slo.requests.latency))
}

fn database(slo: &Slo) -> Panel {
    let buckets = "sum by (le) (rate(db_client_operation_duration_seconds_bucket{@target}@rate))";
    Panel::graph("How long do database operations take?", Unit::Seconds)
        .good(format!(
            "Of all traffic, without the wait for a connection. Good is p99 below {} s.",
            slo.database.latency
        ))
        .query("p50", format!("histogram_quantile(0.5, {buckets})"))
        .query("p99", format!("histogram_quantile(0.99, {buckets})"))
        .limit(Limit::AtMost(slo.database.latency))
}

fn wait(slo: &Slo) -> Panel {
    let buckets = "sum by (le) (rate(db_client_connection_wait_time_seconds_bucket{@target}@rate))";
    Panel::graph("How long do requests wait for a connection?", Unit::Seconds)
        .good(format!(
            "Good is far below {} s: a longer wait means that the pool is what limits the rate.",
            slo.database.latency
        ))
        .query("p50", format!("histogram_quantile(0.5, {buckets})"))
        .query("p99", format!("histogram_quantile(0.99, {buckets})"))
}

fn cpu() -> Panel {
    Panel::graph("Is the CPU what limits it?", Unit::Count)
        .good("Cores kept busy. Good is below 80 % of what the task was given, or the rate has no reserve.")
        .query("{{instance}}", "sum by (instance) (rate(process_cpu_seconds_total{@target}@rate))")
}

fn memory() -> Panel {
    Panel::graph("Does memory grow?", Unit::Bytes)
        .good("Good rises at the start and then is flat for as long as the test runs.")
        .query("{{instance}}", "sum by (instance) (process_resident_memory_bytes{@target})")
}

fn pool() -> Panel {
    Panel::graph("Is the pool what limits it?", Unit::Count)
        .good("Used connections, the most there may be, and requests that wait for one. Good is used below max and none waiting.")
        .query("used", r#"sum(db_client_connection_count{@target, state="used"})"#)
        .query("max", "sum(db_client_connection_max{@target})")
        .query("waiting", "sum(db_client_connection_pending_requests{@target})")
}

fn active() -> Panel {
    Panel::graph("Do requests pile up?", Unit::Count)
        .good("Requests being served, and those of them that wait. Good is flat; a slope means that more arrives than is done.")
        .query("{{instance}}", "sum by (instance) (http_server_active_requests{@target})")
        .query("{{instance}}, waiting", "sum by (instance) (http_server_queued_requests{@target})")
}

fn refused() -> Panel {
    Panel::graph("Does it refuse work?", Unit::RequestRate)
        .good("Refusals per second, by reason. Good is 0; in_flight_limit is the service that protects itself.")
        .query("{{reason}}", "sum by (reason) (rate(http_server_rejected_requests_total{@target}@rate))")
}

fn lost() -> Panel {
    Panel::graph("Does telemetry keep up?", Unit::Rate)
        .good("What is thrown away per second, by signal. Good is 0: a release that loses its own logs does not pass.")
        .query("{{signal}}", "sum by (signal) (rate(telemetry_dropped_total{@target}@rate))")
}

fn count(more: &str) -> String {
    format!("rate(http_server_request_duration_seconds_count{{{CHOSEN}{more}}}@rate)")
}
