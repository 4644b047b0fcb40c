//! A run in CloudWatch's embedded metric format, under the names and dimensions of CloudWatch Synthetics: alarms and dashboards
//! made for those fit. A run that ended by the canary's own fault gives nothing: it has not seen the target, and the alarm for
//! missing data is the one that is meant.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use telemetry::catalogue::{
    CANARY_EMF_OF_RUN, CANARY_EMF_OF_STEP, EMF_CANARY_NAME, EMF_CANARY_NAMESPACE, EMF_DURATION, EMF_FAILED,
    EMF_STEP_NAME, EMF_SUCCESS_PERCENT, EMF_SUCCESS_PERCENT_WITH_RETRIES, EmfMetric,
};

use crate::report::{Outcome, Report, Step, StepOutcome};

/// One line for the run and one for each step that was tried, none with a line break.
pub fn lines(report: &Report) -> Vec<String> {
    if report.outcome == Outcome::Error {
        return Vec::new();
    }
    let percent = |good: bool| if good { 100.0 } else { 0.0 };
    let failed = report.outcome == Outcome::Failed;
    let of_run = [
        (EMF_SUCCESS_PERCENT, percent(report.first_try() && !failed)),
        (EMF_SUCCESS_PERCENT_WITH_RETRIES, percent(!failed)),
        (EMF_DURATION, report.duration_ms),
        (EMF_FAILED, f64::from(u8::from(failed))),
    ];
    let tried = report.steps.iter().filter(|step| step.outcome != StepOutcome::Skipped);
    std::iter::once(line(report, None, CANARY_EMF_OF_RUN, &of_run))
        .chain(tried.map(|step| {
            let of_step = [
                (EMF_SUCCESS_PERCENT, percent(step.first_fault().is_none())),
                (EMF_DURATION, duration(step)),
                (EMF_FAILED, f64::from(u8::from(step.outcome == StepOutcome::Failed))),
            ];
            line(report, Some(step), CANARY_EMF_OF_STEP, &of_step)
        }))
        .collect()
}

/// Milliseconds of the attempt that decided; of `health`, which has one at each address, of the longest.
fn duration(step: &Step) -> f64 {
    if step.name != "health" {
        return step.last().map_or(0.0, |attempt| attempt.total_ms);
    }
    let of_each = step.attempts.iter().map(|attempt| (attempt.address.as_str(), attempt.total_ms));
    let last_of_each: BTreeMap<&str, f64> = of_each.collect();
    last_of_each.into_values().fold(0.0, f64::max)
}

fn line(report: &Report, step: Option<&Step>, metrics: &[EmfMetric], values: &[(EmfMetric, f64)]) -> String {
    let mut dimensions = vec![EMF_CANARY_NAME];
    dimensions.extend(step.map(|_| EMF_STEP_NAME));
    let metrics: Vec<Value> =
        metrics.iter().map(|metric| json!({ "Name": metric.name, "Unit": metric.unit })).collect();
    let mut fields = Map::new();
    fields.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": report.started_at.as_millisecond(),
            "CloudWatchMetrics": [{ "Namespace": EMF_CANARY_NAMESPACE.name, "Dimensions": [dimensions], "Metrics": metrics }],
        }),
    );
    fields.insert(EMF_CANARY_NAME.to_owned(), report.canary.clone().into());
    if let Some(step) = step {
        fields.insert(EMF_STEP_NAME.to_owned(), step.name.clone().into());
        fields.insert("trace_id".to_owned(), step.last().map_or(Value::Null, |last| last.trace_id.clone().into()));
    }
    fields.insert("run".to_owned(), report.run.clone().into());
    fields.insert("outcome".to_owned(), report.outcome.as_str().into());
    fields.extend(values.iter().map(|(metric, value)| (metric.name.to_owned(), json!(value))));
    Value::Object(fields).to_string()
}
