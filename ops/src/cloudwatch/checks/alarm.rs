//! What CloudWatch would refuse at deployment, or take and never alarm on.

use std::collections::BTreeSet;

use slo::Slo;

use super::super::language::math::Expression;
use super::super::language::rule::{CHILDREN_MAX, Rule};
use super::super::template::{Alarm, Composite, MetricStat, Template};
use super::known::{Known, prefixed};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
/// CloudWatch's limits.
const METRICS_MAX: usize = 10;
const NAME_MAX: usize = 255;
const DESCRIPTION_MAX: usize = 1024;
const STATISTICS: &[&str] = &["Average", "Maximum", "Minimum", "SampleCount", "Sum", "IQM"];
const COMPARISONS: &[&str] =
    &["GreaterThanOrEqualToThreshold", "GreaterThanThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold"];
const MISSING: &[&str] = &["breaching", "notBreaching", "ignore", "missing"];

/// What is wrong with an alarm.
pub(super) fn problems(alarm: &Alarm, slo: &Slo, known: &Known) -> Vec<String> {
    let mut problems = named(&alarm.alarm_name, &alarm.alarm_description, slo);
    problems.extend(actions(&alarm.alarm_actions, &alarm.ok_actions));
    problems.extend(watched(alarm, known));
    problems.extend(window(alarm));
    let mut rule = |holds: bool, what: String| problems.extend((!holds).then_some(what));
    rule(
        COMPARISONS.contains(&alarm.comparison_operator.as_str()),
        format!("there is no comparison {}", alarm.comparison_operator),
    );
    match alarm.treat_missing_data.as_deref() {
        Some(missing) if MISSING.contains(&missing) => rule(
            alarm.alarm_description.contains(&format!("Without data: {missing}, because ")),
            format!("the description does not say why no data is {missing}"),
        ),
        Some(missing) => rule(false, format!("TreatMissingData takes {}, not {missing}", MISSING.join(", "))),
        None => rule(false, "says nothing of missing data: CloudWatch's own choice hides an outage".to_owned()),
    }
    let percentile = alarm.extended_statistic.as_ref().is_some_and(|statistic| statistic.starts_with('p'));
    let low = alarm.evaluate_low_sample_count_percentile.as_deref();
    rule(
        if percentile { matches!(low, Some("ignore" | "evaluate")) } else { low.is_none() },
        "EvaluateLowSampleCountPercentile is ignore or evaluate for a percentile, and nothing else has it".to_owned(),
    );
    problems
}

/// What is wrong with a composite.
pub(super) fn composite_problems(composite: &Composite, slo: &Slo, template: &Template) -> Vec<String> {
    let mut problems = named(&composite.alarm_name, &composite.alarm_description, slo);
    problems.extend(actions(&composite.alarm_actions, &composite.ok_actions));
    let rule = match Rule::parse(&composite.alarm_rule) {
        Ok(rule) => rule,
        Err(error) => return [problems, vec![format!("AlarmRule does not parse: {error}")]].concat(),
    };
    let alarms = template.alarms.values().map(|alarm| alarm.alarm_name.as_str());
    let composites = template.composites.values().map(|composite| composite.alarm_name.as_str());
    let names: BTreeSet<&str> = alarms.chain(composites).collect();
    for child in rule.children() {
        if child == composite.alarm_name {
            problems.push("AlarmRule looks at the composite itself".to_owned());
        } else if !names.contains(child) {
            problems.push(format!("AlarmRule looks at {child}, which is no alarm of the template"));
        }
    }
    if !(1..=CHILDREN_MAX).contains(&rule.children().len()) {
        problems.push(format!("AlarmRule looks at {} alarms; 1 to {CHILDREN_MAX} may be", rule.children().len()));
    }
    problems
}

/// Name and description.
fn named(name: &str, description: &str, slo: &Slo) -> Vec<String> {
    let mut problems = Vec::new();
    let mut rule = |holds: bool, what: String| problems.extend((!holds).then_some(what));
    rule(prefixed(name), format!("the name {name} does not begin with service and environment"));
    rule(name.len() <= NAME_MAX, format!("the name has {} characters, {NAME_MAX} may be", name.len()));
    let length = description.chars().count();
    rule(length <= DESCRIPTION_MAX, format!("the description has {length} characters, {DESCRIPTION_MAX} may be"));
    rule(description.contains("Users notice: "), "the description does not say what users notice".to_owned());
    rule(
        description.contains(&format!("Runbook: {}/", slo.links.runbooks)),
        "the description names no runbook".to_owned(),
    );
    rule(description.contains("Dashboard: https://"), "the description names no dashboard".to_owned());
    problems
}

/// Who is told of an alarm is told of its end.
fn actions(alarm: &[String], ok: &[String]) -> Option<String> {
    (alarm != ok)
        .then(|| "whoever is told of the alarm is not told of its end: AlarmActions and OKActions differ".to_owned())
}

/// What the alarm looks at: one metric, or several in an expression.
fn watched(alarm: &Alarm, known: &Known) -> Vec<String> {
    let Some(stat) = single(alarm) else { return math(alarm, known) };
    let mut problems: Vec<String> = known.problem(&stat.metric).into_iter().collect();
    problems.extend(statistic(&stat.stat));
    if !alarm.metrics.is_empty() {
        problems.push("has both MetricName and Metrics".to_owned());
    }
    problems
}

/// The one metric of an alarm without an expression.
pub(in super::super) fn single(alarm: &Alarm) -> Option<MetricStat> {
    Some(MetricStat {
        metric: super::super::template::Metric {
            namespace: alarm.namespace.clone().unwrap_or_default(),
            metric_name: alarm.metric_name.clone()?,
            dimensions: alarm.dimensions.clone(),
        },
        period: alarm.period.unwrap_or_default(),
        stat: alarm.statistic.clone().or_else(|| alarm.extended_statistic.clone()).unwrap_or_default(),
    })
}

fn math(alarm: &Alarm, known: &Known) -> Vec<String> {
    let mut problems = Vec::new();
    let stats = || alarm.metrics.iter().filter_map(|query| query.metric_stat.as_ref());
    for stat in stats() {
        problems.extend(known.problem(&stat.metric));
        problems.extend(statistic(&stat.stat));
    }
    if stats().count() > METRICS_MAX {
        problems.push(format!("reads {} metrics, {METRICS_MAX} may be", stats().count()));
    }
    let periods: BTreeSet<u64> = stats().map(|stat| stat.period).collect();
    if periods.len() > 1 {
        problems.push(format!("reads metrics of different periods: {periods:?}"));
    }
    let returned = alarm.metrics.iter().filter(|query| query.return_data).count();
    if returned != 1 {
        problems.push(format!("{returned} of its metrics have ReturnData, exactly one may"));
    }
    let ids: BTreeSet<&str> = alarm.metrics.iter().map(|query| query.id.as_str()).collect();
    let mut read = BTreeSet::new();
    for query in &alarm.metrics {
        if !query.id.starts_with(|c: char| c.is_ascii_lowercase()) {
            problems.push(format!("the id {} does not begin with a small letter", query.id));
        }
        let Some(text) = &query.expression else { continue };
        match Expression::parse(text) {
            Err(error) => problems.push(format!("the expression {text} does not parse: {error}")),
            Ok(expression) if expression.calls("SEARCH") => {
                problems.push("SEARCH cannot be in an alarm: what it finds changes".to_owned());
            }
            Ok(expression) => {
                let named = expression.ids().into_iter().map(str::to_owned);
                read.extend(named.filter(|id| {
                    ids.contains(id.as_str()) || {
                        problems.push(format!("the expression reads {id}, which is no id of the alarm"));
                        false
                    }
                }));
            }
        }
    }
    let unread = alarm.metrics.iter().filter(|query| !query.return_data && !read.contains(&query.id));
    problems.extend(unread.map(|query| format!("nobody reads {}", query.id)));
    problems
}

/// What is wrong with a statistic.
fn statistic(statistic: &str) -> Option<String> {
    let percentile = statistic.strip_prefix('p').and_then(|number| number.parse::<f64>().ok());
    let rank =
        statistic.strip_prefix("PR(").and_then(|rest| rest.strip_suffix(')')).and_then(|range| range.split_once(':'));
    let bound = |text: &str| text.is_empty() || text.parse::<f64>().is_ok();
    let fine = STATISTICS.contains(&statistic)
        || percentile.is_some_and(|number| (0.0..=100.0).contains(&number))
        || rank.is_some_and(|(from, to)| bound(from) && bound(to) && from.len() + to.len() > 0);
    (!fine).then(|| format!("there is no statistic {statistic:?}"))
}

/// Periods, M of N, and how far back that reaches.
fn window(alarm: &Alarm) -> Vec<String> {
    let mut problems = Vec::new();
    let mut rule = |holds: bool, what: String| problems.extend((!holds).then_some(what));
    let stats = alarm.metrics.iter().filter_map(|query| query.metric_stat.as_ref().map(|stat| stat.period));
    let period = alarm.period.or_else(|| stats.max()).unwrap_or_default();
    let valid = period > 0 && (period.is_multiple_of(60) || [10, 30].contains(&period));
    rule(valid, format!("a period is 10, 30 or a multiple of 60 seconds, not {period}"));
    let (periods, datapoints) = (alarm.evaluation_periods, alarm.datapoints_to_alarm);
    rule(periods >= 1, "EvaluationPeriods is at least 1".to_owned());
    match datapoints {
        None => rule(false, "DatapointsToAlarm is not set".to_owned()),
        Some(datapoints) => rule(
            (1..=periods).contains(&datapoints),
            format!("{datapoints} data points of {periods} can never be: DatapointsToAlarm is 1 to EvaluationPeriods"),
        ),
    }
    let (window, most) = (period * u64::from(periods), if period >= HOUR { 7 * DAY } else { DAY });
    rule(window <= most, format!("looks back {window} s; with a period of {period} s at most {most} s may be"));
    problems
}
