//! The CloudFormation template as text.

use slo::Slo;
use telemetry::catalogue::{EMF_ENVIRONMENT, EMF_SERVICE};

use super::alarm::{Alarm, Composite, Metric, Tells, Threshold, Watches};
use super::alarms::{self, FILTERS};
use super::node::{Node, filled, flow, map, text};
use super::queries::QUERIES;
use super::{dashboard, parameters};

const HEADER: &str = "\
# Rendered by `cargo run -p ops -- render` from slo.toml: change that, or the tables in ops/src/cloudwatch, not this file.
#
# Alarms, composites, topics, log group, metric filters, saved queries and dashboard of one service in one environment. It is
# larger than CloudFormation takes in a request: deploy it through a bucket, `aws cloudformation deploy --s3-bucket …`.
";

/// The prefix of every name. PutMetricAlarm overwrites an alarm of the same name without a word.
pub(crate) const PREFIX: &str = "${Service}-${Environment}-";

/// The whole file.
pub(crate) fn template(slo: &Slo) -> String {
    let root = map([
        ("AWSTemplateFormatVersion", text("2010-09-09")),
        ("Description", text("What watches the Task API in CloudWatch and whom it tells.")),
        ("Parameters", parameters::node()),
        ("Conditions", map([("HasCache", Node::Tag("Not", Box::new(no_cache())))])),
        ("Resources", resources(slo)),
    ]);
    format!("{HEADER}\n{}", root.to_yaml())
}

fn no_cache() -> Node {
    let equals = Node::Tag("Equals", Box::new(Node::List(vec![filled("${CacheCluster}"), text("")])));
    Node::Flow(Box::new(Node::List(vec![equals])))
}

fn resources(slo: &Slo) -> Node {
    let mut entries = vec![comment("Whom alarms tell.")];
    entries.extend(topic("PageTopic", "page", "${PageProtocol}", "${PageEndpoint}"));
    entries.extend(topic("TicketTopic", "ticket", "${TicketProtocol}", "${TicketEndpoint}"));
    entries.push(comment("The alarms. One that only a composite or a diagnosis looks at has no action."));
    entries.extend(alarms::alarms(slo).iter().map(|alarm| (alarm.name.clone(), metric_alarm(slo, alarm))));
    entries.push(comment("Alarms made of alarms."));
    entries.extend(
        alarms::composites(slo).iter().map(|composite| (composite.name.clone(), composite_alarm(slo, composite))),
    );
    entries.push(comment("The log lines: kept so long, counted by these filters, asked by these queries."));
    entries.push(("LogGroup".to_owned(), log_group()));
    entries.extend(FILTERS.iter().map(filter));
    entries.extend(QUERIES.iter().map(query));
    entries.push(comment("The dashboard; dashboards/cloudwatch.json is the same."));
    let body = Node::Tag("Sub", Box::new(text(dashboard::body(slo).trim_end())));
    let properties = map([("DashboardName", filled(PREFIX.trim_end_matches('-'))), ("DashboardBody", body)]);
    entries.push(("Dashboard".to_owned(), resource("AWS::CloudWatch::Dashboard", properties)));
    Node::Map(entries)
}

fn comment(comment: &str) -> (String, Node) {
    (String::new(), Node::Comment(comment.to_owned()))
}

fn resource(kind: &str, properties: Node) -> Node {
    map([("Type", text(kind)), ("Properties", properties)])
}

fn topic(name: &str, suffix: &str, protocol: &str, endpoint: &str) -> [(String, Node); 2] {
    let subscription = map([
        ("TopicArn", filled(&format!("${{{name}}}"))),
        ("Protocol", filled(protocol)),
        ("Endpoint", filled(endpoint)),
    ]);
    let properties = map([("TopicName", filled(&format!("{PREFIX}{suffix}")))]);
    [
        (name.to_owned(), resource("AWS::SNS::Topic", properties)),
        (format!("{name}Subscription"), resource("AWS::SNS::Subscription", subscription)),
    ]
}

/// The actions: the end of an alarm is told as well, and for a page also that nothing can be said any more.
fn actions(tells: Tells) -> Vec<(&'static str, Node)> {
    let topics: &[&str] = match tells {
        Tells::Page => &["${PageTopic}"],
        Tells::Ticket => &["${TicketTopic}"],
        Tells::Both => &["${PageTopic}", "${TicketTopic}"],
        Tells::Nobody => return Vec::new(),
    };
    let topics = Node::Flow(Box::new(Node::List(topics.iter().map(|topic| filled(topic)).collect())));
    let mut actions = vec![("AlarmActions", topics.clone()), ("OKActions", topics.clone())];
    if tells == Tells::Page {
        actions.push(("InsufficientDataActions", topics));
    }
    actions
}

fn description(slo: &Slo, says: &str, impact: &str, missing: Option<(&str, &str)>, runbook: &str) -> Node {
    let missing = missing.map(|(counts, why)| format!("Without data: {counts}, because {why}.\n")).unwrap_or_default();
    Node::Tag(
        "Sub",
        Box::new(text(format!(
            "{says}\nUsers notice: {impact}\n{missing}Runbook: {}/{runbook}.md\nDashboard: https://${{AWS::Region}}.console.aws.amazon.com/\
             cloudwatch/home?region=${{AWS::Region}}#dashboards/dashboard/{}",
            slo.links.runbooks,
            PREFIX.trim_end_matches('-'),
        ))),
    )
}

fn metric_alarm(slo: &Slo, alarm: &Alarm) -> Node {
    let missing = (alarm.missing.0.as_str(), alarm.missing.1);
    let mut properties = vec![
        ("AlarmName", filled(&format!("{PREFIX}{}", alarm.name))),
        ("AlarmDescription", description(slo, &alarm.says, alarm.impact, Some(missing), alarm.runbook)),
    ];
    match &alarm.watches {
        Watches::One(metric, statistic) => {
            let plain = ["Average", "Maximum", "Minimum", "SampleCount", "Sum"].contains(&statistic.as_str());
            properties.push(("Namespace", filled(&metric.namespace)));
            properties.push(("MetricName", text(metric.name)));
            properties.push(("Dimensions", dimensions(metric)));
            properties.push((if plain { "Statistic" } else { "ExtendedStatistic" }, text(statistic.clone())));
            properties.push(("Period", Node::Number(alarm.period as f64)));
        }
        Watches::Math { metrics, expression } => {
            let mut queries = vec![map([
                ("Id", text("value")),
                ("Expression", filled(expression)),
                ("ReturnData", Node::Truth(true)),
            ])];
            let period = Node::Number(alarm.period as f64);
            queries.extend(metrics.iter().map(|(id, metric, statistic)| {
                let stat =
                    map([("Metric", reference(metric)), ("Period", period.clone()), ("Stat", text(statistic.clone()))]);
                map([("Id", text(*id)), ("MetricStat", stat), ("ReturnData", Node::Truth(false))])
            }));
            properties.push(("Metrics", Node::List(queries)));
        }
    }
    if let Some(low) = alarm.low_samples {
        properties.push(("EvaluateLowSampleCountPercentile", text(low)));
    }
    properties.push(("ComparisonOperator", text(alarm.comparison.as_str())));
    properties.push((
        "Threshold",
        match alarm.threshold {
            Threshold::Number(number) => Node::Number(number),
            Threshold::Parameter(name) => filled(&format!("${{{name}}}")),
        },
    ));
    properties.push(("DatapointsToAlarm", Node::Number(f64::from(alarm.datapoints))));
    properties.push(("EvaluationPeriods", Node::Number(f64::from(alarm.periods))));
    properties.push(("TreatMissingData", text(missing.0)));
    properties.extend(actions(alarm.tells));
    let mut entries = vec![("Type", text("AWS::CloudWatch::Alarm"))];
    entries.extend(alarm.condition.map(|condition| ("Condition", text(condition))));
    entries.push(("Properties", map(properties)));
    map(entries)
}

fn dimensions(metric: &Metric) -> Node {
    let dimension = |(name, value): &(&str, &str)| flow([("Name", text(*name)), ("Value", filled(value))]);
    Node::List(metric.dimensions.iter().map(dimension).collect())
}

fn reference(metric: &Metric) -> Node {
    map([
        ("Namespace", filled(&metric.namespace)),
        ("MetricName", text(metric.name)),
        ("Dimensions", dimensions(metric)),
    ])
}

fn composite_alarm(slo: &Slo, composite: &Composite) -> Node {
    let mut properties = vec![
        ("AlarmName", filled(&format!("{PREFIX}{}", composite.name))),
        ("AlarmDescription", description(slo, &composite.says, composite.impact, None, composite.runbook)),
        ("AlarmRule", filled(&composite.rule)),
    ];
    properties.extend(actions(composite.tells));
    resource("AWS::CloudWatch::CompositeAlarm", map(properties))
}

fn log_group() -> Node {
    let properties =
        map([("LogGroupName", filled("${LogGroupName}")), ("RetentionInDays", filled("${LogRetentionDays}"))]);
    // The lines of an incident outlive the stack that watched it.
    map([
        ("Type", text("AWS::Logs::LogGroup")),
        ("DeletionPolicy", text("Retain")),
        ("UpdateReplacePolicy", text("Retain")),
        ("Properties", properties),
    ])
}

fn filter(filter: &alarms::Filter) -> (String, Node) {
    let dimension = |name: &str, field: &str| flow([("Key", text(name)), ("Value", text(field))]);
    let transformation = map([
        ("MetricNamespace", filled("${MetricsNamespace}")),
        ("MetricName", text(filter.metric)),
        ("MetricValue", text("1")),
        ("Unit", text("Count")),
        (
            "Dimensions",
            Node::List(vec![dimension(EMF_SERVICE, "$.service"), dimension(EMF_ENVIRONMENT, "$.environment")]),
        ),
    ]);
    let properties = map([
        ("FilterName", filled(&format!("{PREFIX}{}", filter.metric))),
        ("LogGroupName", filled("${LogGroup}")),
        ("FilterPattern", text(filter.pattern)),
        ("MetricTransformations", Node::List(vec![transformation])),
    ]);
    (format!("Filter{}", filter.metric), resource("AWS::Logs::MetricFilter", properties))
}

fn query(query: &super::queries::Query) -> (String, Node) {
    let properties = map([
        ("Name", filled(&format!("{}/{}", PREFIX.trim_end_matches('-'), query.name))),
        ("LogGroupNames", Node::List(vec![filled("${LogGroup}")])),
        ("QueryString", text(query.text)),
    ]);
    (query.id.to_owned(), resource("AWS::Logs::QueryDefinition", properties))
}
