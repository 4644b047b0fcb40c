//! What all spans of this process have in common: the service, and where on ECS it runs.

use std::{thread, time::Duration};

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use serde_json::Value;

use super::TraceSettings;
use crate::Settings;

/// How long the start waits for the ECS agent, which answers from the same machine within milliseconds. Without an answer
/// the service starts all the same, and its spans lack the task's names.
pub const ECS_METADATA_TIMEOUT: Duration = Duration::from_secs(1);

/// The resource. What the operator gives in `OTEL_RESOURCE_ATTRIBUTES` wins over what is found.
/// Beside it, what was asked for in vain: logging has not started yet.
pub(super) fn resource(process: &Settings, settings: &TraceSettings) -> (Resource, Option<String>) {
    let mut attributes = vec![
        KeyValue::new("service.version", process.version),
        KeyValue::new("deployment.environment.name", process.environment.clone()),
        KeyValue::new("telemetry.sdk.name", "opentelemetry"),
        KeyValue::new("telemetry.sdk.language", "rust"),
    ];
    let (found, missing) = match settings.ecs_metadata_uri.as_deref().map(ecs) {
        None => (Vec::new(), None),
        Some(Ok(found)) => (found, None),
        Some(Err(error)) => (Vec::new(), Some(format!("the ECS agent gave no metadata: {error}"))),
    };
    attributes.extend(found);
    attributes.push(KeyValue::new("service.name", settings.service_name.clone()));
    attributes
        .extend(settings.resource_attributes.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone())));
    (Resource::builder_empty().with_attributes(attributes).build(), missing)
}

/// Asks the ECS agent for this container and its task.
fn ecs(base: &str) -> Result<Vec<KeyValue>, String> {
    let base = base.trim_end_matches('/').to_owned();
    // A thread of its own: the blocking client must not be used from within a runtime, which tests start us in.
    let asked = thread::Builder::new().name("ecs-metadata".to_owned()).spawn(move || ask(&base));
    let answers = asked.map_err(|error| error.to_string())?.join().map_err(|_| "the look-up panicked".to_owned())?;
    let (container, task) = answers.map_err(|error| error.without_url().to_string())?;
    Ok(ecs_attributes(&container, &task))
}

fn ask(base: &str) -> reqwest::Result<(Value, Value)> {
    // One deadline for both answers: the second gets what the first has left.
    let client = reqwest::blocking::Client::builder().timeout(ECS_METADATA_TIMEOUT / 2).no_proxy().build()?;
    let get = |url: String| client.get(url).send()?.error_for_status()?.json();
    Ok((get(base.to_owned())?, get(format!("{base}/task"))?))
}

/// The semantic conventions' names for what ECS calls otherwise.
fn ecs_attributes(container: &Value, task: &Value) -> Vec<KeyValue> {
    let task_arn = task["TaskARN"].as_str().unwrap_or_default();
    // arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID
    let parts: Vec<&str> = task_arn.splitn(6, ':').collect();
    let (region, account) = (parts.get(3).copied(), parts.get(4).copied());
    let cluster = task["Cluster"].as_str().unwrap_or_default();
    let cluster_arn = match (region, account) {
        (Some(region), Some(account)) if !cluster.starts_with("arn:") && !cluster.is_empty() => {
            format!("arn:{}:ecs:{region}:{account}:cluster/{cluster}", parts.get(1).copied().unwrap_or("aws"))
        }
        _ => cluster.to_owned(),
    };
    let launch_type = task["LaunchType"].as_str().map(str::to_ascii_lowercase);
    let found = [
        ("cloud.provider", Some("aws".to_owned())),
        ("cloud.platform", Some("aws_ecs".to_owned())),
        ("cloud.region", region.map(str::to_owned)),
        ("cloud.account.id", account.map(str::to_owned)),
        ("cloud.availability_zone", text(task, "AvailabilityZone")),
        ("aws.ecs.cluster.arn", Some(cluster_arn)),
        ("aws.ecs.task.arn", Some(task_arn.to_owned())),
        ("aws.ecs.task.id", task_arn.rsplit_once('/').map(|(_, id)| id.to_owned())),
        ("aws.ecs.task.family", text(task, "Family")),
        ("aws.ecs.task.revision", text(task, "Revision")),
        ("aws.ecs.launchtype", launch_type),
        ("aws.ecs.container.arn", text(container, "ContainerARN")),
        ("container.id", text(container, "DockerId")),
        ("container.name", text(container, "DockerName")),
        ("container.image.name", text(container, "Image")),
        ("service.instance.id", task_arn.rsplit_once('/').map(|(_, id)| id.to_owned())),
    ];
    let found = found.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)));
    found.map(|(name, value)| KeyValue::new(name, value)).collect()
}

fn text(object: &Value, member: &str) -> Option<String> {
    object[member].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_fargate_task_is_named_as_the_conventions_name_it() {
        let container = json!({"DockerId": "abc-1", "DockerName": "api", "Image": "registry/api:1",
            "ContainerARN": "arn:aws:ecs:eu-west-1:111122223333:container/c"});
        let task = json!({"Cluster": "prod", "TaskARN": "arn:aws:ecs:eu-west-1:111122223333:task/prod/0123",
            "Family": "task-api", "Revision": "7", "AvailabilityZone": "eu-west-1b", "LaunchType": "FARGATE"});
        let found = ecs_attributes(&container, &task);
        let value = |name: &str| {
            found.iter().find(|pair| pair.key.as_str() == name).map(|pair| pair.value.to_string()).unwrap_or_default()
        };
        for (name, expected) in [
            ("cloud.region", "eu-west-1"),
            ("cloud.account.id", "111122223333"),
            ("aws.ecs.cluster.arn", "arn:aws:ecs:eu-west-1:111122223333:cluster/prod"),
            ("aws.ecs.task.id", "0123"),
            ("aws.ecs.launchtype", "fargate"),
            ("container.id", "abc-1"),
            ("service.instance.id", "0123"),
        ] {
            assert_eq!(value(name), expected, "{name}");
        }
    }

    #[test]
    fn an_answer_without_the_fields_gives_only_what_is_sure() {
        let found = ecs_attributes(&json!([]), &json!("?"));
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
