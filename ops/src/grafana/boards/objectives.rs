//! SLO: every objective, its budget, how fast it burns, and what the instances contribute.

use slo::{Burn, Slo};

use super::percent;
use crate::grafana::board::{Board, Choice};
use crate::grafana::panel::{Limit, Panel, Unit};
use crate::prometheus::{USERS, edge};

/// The objectives that are chosen.
const CHOSEN: &str = r#"sloth_service="task-api", sloth_slo=~"$slo""#;

/// The dashboard.
pub(super) fn board(slo: &Slo) -> Board {
    Board {
        uid: "task-api-slo",
        title: "Task API / SLO",
        about: "The objectives of slo.toml: what is left of each budget, and which alert comes next?",
        from: "now-24h",
        targets_of: "build_info",
        choices: vec![Choice {
            name: "slo",
            label: "SLO",
            series: r#"slo:objective:ratio{sloth_service="task-api"}"#,
            of: "sloth_slo",
            first: None,
        }],
        sections: vec![
            ("Is each objective kept?", vec![objectives(), missed(slo), left(slo)]),
            ("How fast do the budgets burn?", vec![current(), period(), course(slo)]),
            ("Which alert comes next?", slo.burn.iter().map(|burn| alert(slo, burn)).collect()),
            ("What does each instance contribute?", vec![failed(slo), slow(slo), database(slo), lost(slo)]),
        ],
    }
}

fn objectives() -> Panel {
    Panel::figures("What is promised?", Unit::Share)
        .good("The share of events that must be good: good enough is as in slo.toml, the only place where it changes.")
        .query("{{sloth_slo}}", format!("slo:objective:ratio{{{CHOSEN}}}"))
        .free_axis()
}

fn missed(slo: &Slo) -> Panel {
    Panel::figures(format!("What share was bad in {}?", slo.window), Unit::Share)
        .good("Bad events over all events of the window, weighted by traffic. Good is less than what the objective leaves.")
        .query("{{sloth_slo}}", format!("slo:sli_error:ratio_rate{}{{{CHOSEN}}}", slo.window))
}

fn left(slo: &Slo) -> Panel {
    Panel::figures(format!("How much of the budget of {} is left?", slo.window), Unit::Share)
        .good("100 % is untouched. Good is above 0 %; below it, stop what is risky and mend what burns.")
        .query("{{sloth_slo}}", format!("slo:period_error_budget_remaining:ratio{{{CHOSEN}}}"))
        .limit(Limit::AtLeast(0.0))
        .free_axis()
        .runbook("ErrorBudgetExhausted")
}

fn current() -> Panel {
    Panel::graph("How fast do the budgets burn right now?", Unit::Count)
        .good("1 uses the budget up exactly at the end of the window. Good is below 1; short peaks do no harm.")
        .query("{{sloth_slo}}", format!("slo:current_burn_rate:ratio{{{CHOSEN}}}"))
        .limit(Limit::AtMost(1.0))
}

fn period() -> Panel {
    Panel::graph("How fast did they burn over the whole window?", Unit::Count)
        .good("Above 1 the objective is broken. Good is below 1 and falling.")
        .query("{{sloth_slo}}", format!("slo:period_burn_rate:ratio{{{CHOSEN}}}"))
        .limit(Limit::AtMost(1.0))
}

fn course(slo: &Slo) -> Panel {
    Panel::graph(format!("When was the budget of {} spent?", slo.window), Unit::Share)
        .good("What was left, over time. A step down is an incident, a slope is a defect. Good is flat.")
        .query("{{sloth_slo}}", format!("slo:period_error_budget_remaining:ratio{{{CHOSEN}}}"))
        .limit(Limit::AtLeast(0.0))
        .free_axis()
}

/// The two windows of one alert, as burn rates, with the factor at which it fires.
fn alert(slo: &Slo, burn: &Burn) -> Panel {
    let factor = crate::grafana::panel::tidy(burn.factor(slo.window));
    let rate = |window| {
        format!("slo:sli_error:ratio_rate{window}{{{CHOSEN}}} / on (sloth_slo) slo:error_budget:ratio{{{CHOSEN}}}")
    };
    let (severity, long, short) = (burn.severity.as_str(), burn.long, burn.short);
    Panel::graph(format!("Will it be a {severity}: {} of the budget within {long}?", percent(burn.budget)), Unit::Count)
        .good(format!(
            "Burn rates over {long} and {short}. The {severity} comes when both lines of an objective are above {factor}. Good is \
             below 1."
        ))
        .query(&format!("{{{{sloth_slo}}}} {long}"), rate(long))
        .query(&format!("{{{{sloth_slo}}}} {short}"), rate(short))
        .limit(Limit::AtMost(factor))
        .width(12)
}

fn failed(slo: &Slo) -> Panel {
    let count = |more: &str| {
        format!("sum by (instance) (rate(http_server_request_duration_seconds_count{{@target, {USERS}{more}}}@rate))")
    };
    Panel::graph("Which instances fail?", Unit::Share)
        .good("Share of users' requests with a 5xx. Good is below the line; one instance above the others is ill by itself.")
        .query("{{instance}}", format!("{} / {}", count(r#", http_response_status_code=~"5..""#), count("")))
        .limit(Limit::AtMost(1.0 - slo.requests.availability))
        .width(6)
}

fn slow(slo: &Slo) -> Panel {
    Panel::graph(format!("Which instances answer later than {} s?", slo.requests.latency), Unit::Share)
        .good("Share of users' requests that took longer. Good is below the line.")
        .query(
            "{{instance}}",
            slower("http_server_request_duration_seconds", &format!("@target, {USERS}"), slo.requests.latency),
        )
        .limit(Limit::AtMost(1.0 - slo.requests.fast))
        .width(6)
}

fn database(slo: &Slo) -> Panel {
    Panel::graph(format!("Whose database operations exceed {} s?", slo.database.latency), Unit::Share)
        .good("Share of all operations that took longer. Good is below the line; all instances alike is the database itself.")
        .query("{{instance}}", slower("db_client_operation_duration_seconds", r#"@target, error_type!="cancelled""#, slo.database.latency))
        .limit(Limit::AtMost(1.0 - slo.database.fast))
        .width(6)
}

fn lost(slo: &Slo) -> Panel {
    let produced = "sum by (instance) (rate(log_shipper_produced_total{@target}@rate))";
    let dropped = "sum by (instance) (rate(log_shipper_dropped_total{@target}@rate))";
    let rejected = "sum by (instance) (rate(log_shipper_rejected_total{@target}@rate))";
    Panel::graph("Whose log lines do not reach CloudWatch?", Unit::Share)
        .good("Share of shipped lines that were dropped or rejected. Good is 0 %. No line: nothing is shipped there.")
        .query("{{instance}}", format!("({dropped} + {rejected}) / {produced}"))
        .limit(Limit::AtMost(1.0 - slo.logs_delivered))
        .width(6)
}

/// The share above an edge, by instance.
fn slower(histogram: &str, matchers: &str, limit: f64) -> String {
    let edge = edge(limit);
    let fast = format!(r#"sum by (instance) (rate({histogram}_bucket{{{matchers}, le="{edge}"}}@rate))"#);
    let all = format!("sum by (instance) (rate({histogram}_count{{{matchers}}}@rate))");
    format!("1 - {fast} / {all}")
}
