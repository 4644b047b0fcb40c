//! Overview: rate, errors and duration of each route, and the budget that is left.

use slo::Slo;

use super::percent;
use crate::grafana::board::{Board, Choice};
use crate::grafana::panel::{Limit, Panel, Unit};
use crate::prometheus::{USERS, edge};

/// What users ask for on the chosen routes, as the objectives count it: without the canary, load tests and health checks.
fn asked(more: &str) -> String {
    format!(r#"@target, {USERS}, http_route=~"$route"{more}"#)
}

/// The dashboard.
pub(super) fn board(slo: &Slo) -> Board {
    Board {
        uid: "task-api-overview",
        title: "Task API / Overview",
        about: "The first look: are users served, and if not, on which routes and since when?",
        from: "now-3h",
        targets_of: "build_info",
        choices: vec![Choice {
            name: "route",
            label: "Route",
            series: r#"http_server_request_duration_seconds_count{@target, http_route!~"/health|/ready"}"#,
            of: "http_route",
            first: None,
        }],
        sections: vec![
            ("Does it hold what it promises?", vec![budget(slo)]),
            ("What do users notice?", vec![rate(), errors(slo), duration(slo), fast(slo), statuses(), methods()]),
            ("What is under way, and what is refused?", vec![active(), connections(), refused()]),
            ("What do users get done?", vec![tasks(), logins(), synthetic()]),
        ],
    }
}

fn budget(slo: &Slo) -> Panel {
    Panel::figures(format!("How much of the error budget of {} is left?", slo.window), Unit::Share)
        .good("What each objective may still miss. Good is above 0 %; a value that falls within hours has an alert.")
        .query("{{sloth_slo}}", r#"slo:period_error_budget_remaining:ratio{sloth_service="task-api"}"#)
        .limit(Limit::AtLeast(0.0))
        .free_axis()
        .width(24)
        .runbook("ErrorBudgetExhausted")
}

fn rate() -> Panel {
    Panel::graph("Which routes do users ask for, and how often?", Unit::RequestRate)
        .good(
            "Requests of users per second, by route. Good follows the hour of the day; a sudden fall to nothing is an \
             outage before us, a sudden rise is a client that repeats itself.",
        )
        .query("{{http_route}}", sum_by("http_route", &count(&asked(""))))
        .runbook("NoTraffic")
}

fn errors(slo: &Slo) -> Panel {
    let failed = sum_by("http_route", &count(&asked(r#", http_response_status_code=~"5..""#)));
    let all = sum_by("http_route", &count(&asked("")));
    // A route that never failed may have no such series: it is as good as one that failed 0 times.
    let expression = format!("({failed} or 0 * {all}) / {all}");
    Panel::graph("Which routes fail, and how often?", Unit::Share)
        .good(format!(
            "Share of answers with a 5xx, by route. Good is 0 %; above the line ({}) the budget does not last. No line: nobody \
             asked.",
            percent(1.0 - slo.requests.availability)
        ))
        .query("{{http_route}}", expression)
        .limit(Limit::AtMost(1.0 - slo.requests.availability))
        .runbook("AvailabilityBurnFast")
}

fn duration(slo: &Slo) -> Panel {
    let buckets =
        format!("sum by (le, http_route) (rate(http_server_request_duration_seconds_bucket{{{}}}@rate))", asked(""));
    Panel::graph(format!("How long do {} of the requests take, by route?", percent(slo.requests.fast)), Unit::Seconds)
        .good(format!(
            "Time to the last byte that {} of the answers stay below, estimated from buckets. Good is below the line at {} s.",
            percent(slo.requests.fast),
            slo.requests.latency
        ))
        .query("{{http_route}}", format!("histogram_quantile({}, {buckets})", slo.requests.fast))
        .limit(Limit::AtMost(slo.requests.latency))
        .exemplars()
        .runbook("LatencyBurnFast")
}

fn fast(slo: &Slo) -> Panel {
    let chosen = asked(&format!(r#", le="{}""#, edge(slo.requests.latency)));
    let fast = format!("sum by (http_route) (rate(http_server_request_duration_seconds_bucket{{{chosen}}}@rate))");
    let title = format!("What share is answered within {} s, by route?", slo.requests.latency);
    Panel::graph(title, Unit::Share)
        .good(format!(
            "Counted, not estimated: the bucket at {} s over all requests. Good is above the line at {}.",
            slo.requests.latency,
            percent(slo.requests.fast)
        ))
        .query("{{http_route}}", format!("{fast} / {}", sum_by("http_route", &count(&asked("")))))
        .limit(Limit::AtLeast(slo.requests.fast))
        .free_axis()
        .runbook("LatencyBurnFast")
}

fn statuses() -> Panel {
    Panel::stacked("Which statuses do they get?", Unit::RequestRate)
        .good(
            "Answers per second, by status. Good is mostly 2xx. Many 401, 409 or 422 are a client's mistake, 429 its haste, 499 \
             its impatience; any 5xx is ours.",
        )
        .query("{{http_response_status_code}}", sum_by("http_response_status_code", &count(&asked(""))))
}

fn methods() -> Panel {
    Panel::stacked("Do they read or write?", Unit::RequestRate)
        .good("Requests per second, by method. Good is a steady mix, mostly GET; writes cost the database more.")
        .query("{{http_request_method}}", sum_by("http_request_method", &count(&asked(""))))
}

fn active() -> Panel {
    Panel::graph("How many requests are being served at once?", Unit::Count)
        .good(
            "Good is a few for each instance, and none waiting for a place; hundreds mean that something behind the service \
             is slow.",
        )
        .query("{{instance}}", "sum by (instance) (http_server_active_requests{@target})")
        .query("{{instance}}, waiting", "sum by (instance) (http_server_queued_requests{@target})")
}

fn connections() -> Panel {
    Panel::graph("How many connections do clients hold?", Unit::Count)
        .good("Open connections, mostly of the load balancer, idle ones included. Good is steady and even over instances.")
        .query("{{instance}}", "sum by (instance) (http_server_connections{@target})")
}

fn refused() -> Panel {
    Panel::graph("Why are requests refused?", Unit::RequestRate)
        .good(
            "Refusals per second, by reason. Good is 0 for in_flight_limit, database_busy and timeout: those are users who \
             get a 503. The others protect the service from clients.",
        )
        .query("{{reason}}", "sum by (reason) (rate(http_server_rejected_requests_total{@target}@rate))")
}

fn tasks() -> Panel {
    Panel::graph("How many tasks are created, completed and purged?", Unit::Rate)
        .good("Per second. Good follows the day; a fall while requests go on is a mistake in a release.")
        .query("created", "sum(rate(tasks_created_total{@target}@rate))")
        .query("completed", "sum(rate(tasks_completed_total{@target}@rate))")
        .query("purged", "sum(rate(tasks_purged_total{@target}@rate))")
}

fn logins() -> Panel {
    Panel::stacked("How do attempts to log in end?", Unit::Rate)
        .good(
            "Attempts per second, by result. Good is mostly success. Many invalid_credentials are somebody who guesses \
             passwords; refresh_reuse is a stolen token, or a client that keeps old ones.",
        )
        .query("{{result}}", "sum by (result) (rate(auth_attempts_total{@target}@rate))")
}

fn synthetic() -> Panel {
    Panel::stacked("How much of the traffic is made by ourselves?", Unit::RequestRate)
        .good(
            "Requests per second, without health checks: none is users, canary the prober, load a load test. Good is no load in \
             production.",
        )
        .query(
            "{{synthetic}}",
            sum_by("synthetic", &count(r#"@target, http_route!~"/health|/ready", http_route=~"$route""#)),
        )
}

fn count(matchers: &str) -> String {
    format!("rate(http_server_request_duration_seconds_count{{{matchers}}}@rate)")
}

fn sum_by(label: &str, expression: &str) -> String {
    format!("sum by ({label}) ({expression})")
}
