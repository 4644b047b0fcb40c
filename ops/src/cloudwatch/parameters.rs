//! The parameters of the template, with a value of each for the checks and the evaluator.

use super::node::{Node, flow, map, text};

/// One parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// Its name.
    pub(crate) name: &'static str,
    /// `Number` or `String`.
    pub(crate) kind: &'static str,
    /// What it is when it is not given.
    pub(crate) default: Option<&'static str>,
    /// What a real one looks like; as long as they get.
    pub(crate) sample: &'static str,
    /// What it is.
    pub(crate) says: &'static str,
}

const fn string(
    name: &'static str,
    default: Option<&'static str>,
    sample: &'static str,
    says: &'static str,
) -> Parameter {
    Parameter { name, kind: "String", default, sample, says }
}

const fn number(name: &'static str, default: &'static str, says: &'static str) -> Parameter {
    Parameter { name, kind: "Number", default: Some(default), sample: default, says }
}

/// The most characters of service and environment: they are part of every name.
pub(crate) const NAME_LENGTH_MAX: u32 = 32;

/// All of them, in the order of the template.
pub(crate) const PARAMETERS: &[Parameter] = &[
    string("Service", Some("task-api"), "task-api", "OTEL_SERVICE_NAME of the tasks; begins every name here."),
    string("Environment", None, "production", "DEPLOYMENT_ENVIRONMENT of the tasks; part of every name here."),
    string("PageProtocol", Some("https"), "https", "How SNS reaches whoever is on call: https, email, sqs, lambda."),
    string("PageEndpoint", None, "https://events.example.com/integration/0123456789abcdef/enqueue", "Where pages go."),
    string("TicketProtocol", Some("email"), "email", "How SNS reaches the ticket system: email, https, sqs, lambda."),
    string("TicketEndpoint", None, "tickets@example.com", "Where tickets go."),
    string("LoadBalancer", None, "app/task-api/50dc6c495c0c9188", "The end of the load balancer's ARN, from app/ on."),
    string(
        "TargetGroup",
        None,
        "targetgroup/task-api/943f017f100becff",
        "The end of the target group's ARN, from targetgroup/ on.",
    ),
    number("HealthyHostsMin", "2", "Tasks that should always pass the health check."),
    string(
        "CertificateArn",
        None,
        "arn:aws:acm:eu-west-1:123456789012:certificate/1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901",
        "The load balancer's certificate.",
    ),
    string("ClusterName", None, "production", "The ECS cluster, with Container Insights."),
    string("EcsServiceName", None, "task-api", "The ECS service."),
    string("DatabaseInstance", None, "task-api-production", "The RDS instance."),
    number("DatabaseConnectionsMax", "112", "max_connections of the instance; RDS sets it from the memory."),
    number("DatabaseMemoryBytes", "1073741824", "Memory of the instance's class."),
    number("DatabaseStorageBytes", "21474836480", "Allocated storage of the instance."),
    string("CacheCluster", Some(""), "task-api-production-001", "The ElastiCache cluster; empty where there is none."),
    string("CacheNode", Some("0001"), "0001", "The node of the cache cluster."),
    string("CanaryName", Some("task-api"), "task-api", "The name under which the canary reports."),
    string("MetricsNamespace", Some("TaskApi"), "TaskApi", "CLOUDWATCH_METRICS_NAMESPACE of the tasks."),
    string(
        "LogGroupName",
        Some("/task-api"),
        "/task-api",
        "CLOUDWATCH_LOG_GROUP of the tasks. Made here: deploy this before a task makes it.",
    ),
    number("LogRetentionDays", "30", "How long log lines are kept."),
];

/// The pseudo parameters that the template uses; the region is as long as any.
pub(crate) const PSEUDO: &[(&str, &str)] =
    &[("AWS::Region", "ap-northeast-1"), ("AWS::AccountId", "123456789012"), ("AWS::Partition", "aws")];

/// As CloudFormation has them.
pub(crate) fn node() -> Node {
    let parameter = |parameter: &Parameter| {
        let mut entries = vec![("Type", text(parameter.kind))];
        if let Some(default) = parameter.default {
            let number = default.parse().map(Node::Number);
            entries.push((
                "Default",
                if parameter.kind == "Number" { number.unwrap_or(text(default)) } else { text(default) },
            ));
        }
        match parameter.name {
            "Service" | "Environment" => entries.push(("MaxLength", Node::Number(f64::from(NAME_LENGTH_MAX)))),
            "LogRetentionDays" => {
                let days = telemetry::cloudwatch::RETENTIONS.iter().map(|&days| Node::Number(f64::from(days)));
                entries.push(("AllowedValues", Node::Flow(Box::new(Node::List(days.collect())))));
            }
            _ => {}
        }
        entries.push(("Description", text(parameter.says)));
        (parameter.name, if entries.len() > 4 { map(entries) } else { flow(entries) })
    };
    map(PARAMETERS.iter().map(parameter))
}
