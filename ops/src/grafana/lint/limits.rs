//! Every line that says where good ends is an objective of `slo.toml`, wherever there is one for what the panel shows.

use serde_json::Value;
use slo::Slo;

use super::file::{File, list};
use crate::grafana::panel::{Unit, tidy};
use crate::grafana::reads;

/// Values of JSON went through text once.
const TOLERANCE: f64 = 1e-9;

/// Which panels show an objective's value: those of this unit whose queries have all of these parts.
struct Rule {
    unit: Unit,
    parts: Vec<String>,
    value: f64,
}

/// All that is wrong.
pub(super) fn problems(panel: &Value, unit: &str, slo: &Slo) -> Vec<String> {
    let expressions = File::expressions(panel).collect::<Vec<_>>().join("\n");
    let mut problems = edges(&expressions, slo);
    let rules = rules(slo);
    let Some(rule) = rules
        .iter()
        .find(|rule| rule.unit.id() == unit && rule.parts.iter().all(|part| expressions.contains(part.as_str())))
    else {
        return problems;
    };
    let steps = list(&panel["fieldConfig"]["defaults"]["thresholds"]["steps"]);
    let values: Vec<f64> = steps.filter_map(|step| step["value"].as_f64()).collect();
    if !values.iter().any(|value| (value - rule.value).abs() < TOLERANCE) {
        problems.push(format!("has its limit at {values:?}, and slo.toml says {}", tidy(rule.value)));
    }
    problems
}

/// The buckets that are counted are those of the objectives.
fn edges(expressions: &str, slo: &Slo) -> Vec<String> {
    let mut problems = Vec::new();
    let plain = crate::grafana::variables::replace(expressions, |name| {
        Some(crate::grafana::variables::built_in(name).unwrap_or("x").to_owned())
    });
    for expression in plain.unwrap_or_default().lines() {
        for selector in reads::of(expression).selectors {
            let objective = match selector.name.as_str() {
                "http_server_request_duration_seconds_bucket" => slo.requests.latency,
                "db_client_operation_duration_seconds_bucket" => slo.database.latency,
                _ => continue,
            };
            for (_, _, edge) in selector.matchers.iter().filter(|(label, ..)| label == "le") {
                if edge.parse() != Ok(objective) {
                    problems.push(format!("counts what takes up to {edge} s, and slo.toml says {objective}"));
                }
            }
        }
    }
    problems
}

/// The first that fits counts.
fn rules(slo: &Slo) -> Vec<Rule> {
    const HTTP: &str = "http_server_request_duration_seconds_bucket";
    const DB: &str = "db_client_operation_duration_seconds_bucket";
    let rule = |unit, parts: &[&str], value| {
        let parts = parts.iter().map(|&part| part.to_owned()).collect();
        Rule { unit, parts, value }
    };
    let mut rules = vec![
        rule(Unit::Seconds, &[HTTP], slo.requests.latency),
        rule(Unit::Seconds, &[DB], slo.database.latency),
        rule(Unit::Seconds, &["canary_step_duration_seconds_"], slo.canary.latency),
        rule(Unit::RequestRate, &["http_server_request_duration_seconds_count", "$synthetic"], slo.load.rate),
        rule(Unit::Share, &["5..", "$synthetic"], slo.load.errors),
        rule(Unit::Share, &["5.."], 1.0 - slo.requests.availability),
        rule(Unit::Share, &["1 - sum", HTTP], 1.0 - slo.requests.fast),
        rule(Unit::Share, &[HTTP], slo.requests.fast),
        rule(Unit::Share, &["1 - sum", DB], 1.0 - slo.database.fast),
        rule(Unit::Share, &[DB], slo.database.fast),
        rule(Unit::Share, &["canary_runs_total"], slo.canary.success),
        rule(Unit::Share, &["1 - (sum", "log_shipper_produced_total"], slo.logs_delivered),
        rule(Unit::Share, &["log_shipper_produced_total"], 1.0 - slo.logs_delivered),
        rule(Unit::Share, &["slo:period_error_budget_remaining:ratio"], 0.0),
        rule(Unit::Count, &["slo:current_burn_rate:ratio"], 1.0),
        rule(Unit::Count, &["slo:period_burn_rate:ratio"], 1.0),
    ];
    rules.extend(slo.burn.iter().map(|burn| {
        let part = |window| format!("slo:sli_error:ratio_rate{window}{{");
        Rule { unit: Unit::Count, parts: vec![part(burn.long), part(burn.short)], value: burn.factor(slo.window) }
    }));
    rules
}
