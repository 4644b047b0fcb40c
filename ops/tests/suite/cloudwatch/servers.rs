//! The template as real programs take it: cfn-lint, and LocalStack's CloudFormation, CloudWatch, SNS and SQS.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use ops::cloudwatch::TEMPLATE;
use serde_json::{Value, json};
use testkit::localstack::LocalStack;

use super::{objectives, objectives_with, rendered, template};

/// Fifteen evaluations, with room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(150);

#[test]
fn cfn_lint_finds_nothing() {
    let Some(lint) = testkit::program("cfn-lint") else { return testkit::skip("cfn-lint") };
    let folder = tempfile::tempdir().expect("a temporary directory");
    for (name, slo) in
        [("ours", objectives()), ("quarter hourly", objectives_with("interval = \"1m\"", "interval = \"15m\""))]
    {
        let path = folder.path().join("template.yaml");
        std::fs::write(&path, rendered(&slo, TEMPLATE)).expect("the template is written");
        let output =
            Command::new(&lint).args(["--regions", "eu-west-1", "--"]).arg(&path).output().expect("cfn-lint runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.trim().is_empty(), "{name}: {said}");
    }
}

#[test]
fn cfn_lint_sees_a_template_that_is_broken() {
    let Some(lint) = testkit::program("cfn-lint") else { return testkit::skip("cfn-lint") };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("template.yaml");
    let broken = rendered(&objectives(), TEMPLATE).replacen("ComparisonOperator:", "Comparison:", 1);
    std::fs::write(&path, broken).expect("the template is written");
    let output = Command::new(&lint).arg(&path).output().expect("cfn-lint runs");
    assert!(!output.status.success());
}

/// What the template's parameters without a default are given.
fn parameters(pages: &str, tickets: &str) -> Vec<Value> {
    let given = [
        ("Environment", "production"),
        ("PageProtocol", "sqs"),
        ("PageEndpoint", pages),
        ("TicketProtocol", "sqs"),
        ("TicketEndpoint", tickets),
        ("LoadBalancer", "app/task-api/50dc6c495c0c9188"),
        ("TargetGroup", "targetgroup/task-api/943f017f100becff"),
        ("CertificateArn", "arn:aws:acm:eu-west-1:000000000000:certificate/1b2c3d4e"),
        ("ClusterName", "production"),
        ("EcsServiceName", "task-api"),
        ("DatabaseInstance", "task-api-production"),
        ("CacheCluster", "task-api-production-001"),
    ];
    given.iter().map(|(name, value)| json!({ "ParameterKey": name, "ParameterValue": value })).collect()
}

/// The template with one alarm that looks every ten seconds, so that a test need not wait for minutes.
fn quick(alarm: &str) -> String {
    let text = rendered(&objectives(), TEMPLATE);
    let place = format!("\n  {alarm}:");
    let (before, after) = text.split_once(&place).expect("the alarm");
    let period = after.find("Period: 300").expect("a period");
    assert!(period < after.find("EvaluationPeriods").expect("its end"), "the period is this alarm's");
    format!("{before}{place}{}", after.replacen("Period: 300", "Period: 10", 1))
}

/// The names of the topics that a described alarm tells.
fn topics(actions: &Value) -> BTreeSet<String> {
    let arns = actions.as_array().into_iter().flatten().filter_map(Value::as_str);
    arns.filter_map(|arn| arn.rsplit(':').next()).map(str::to_owned).collect()
}

/// The same of one of the template's, where topics stand by the names that the template has for them.
fn told(actions: &[String]) -> BTreeSet<String> {
    let topic = |name: &String| match name.as_str() {
        "PageTopic" => "task-api-production-page".to_owned(),
        "TicketTopic" => "task-api-production-ticket".to_owned(),
        other => panic!("{other} is no topic of the template"),
    };
    actions.iter().map(topic).collect()
}

fn names(answer: &Value, list: &str) -> BTreeSet<String> {
    let alarms = answer[list].as_array().into_iter().flatten();
    alarms.filter_map(|alarm| alarm["AlarmName"].as_str().map(str::to_owned)).collect()
}

/// Asks until there is an answer.
fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn a_real_stack_has_every_alarm_and_one_of_them_calls_and_calls_off() {
    let Some(aws) = LocalStack::start() else { return };
    let call = |service: &str, operation: &str, input: Value| {
        aws.call(service, operation, &input).unwrap_or_else(|error| panic!("{service} {operation}: {error}"))
    };
    // One for each topic, so that a page that comes as a ticket does not come.
    let [pages, tickets] =
        ["pages", "tickets"].map(|name| call("sqs", "create_queue", json!({ "QueueName": name }))["QueueUrl"].clone());
    let arn = |queue: &Value| {
        let asked = json!({ "QueueUrl": queue, "AttributeNames": ["QueueArn"] });
        let attributes = call("sqs", "get_queue_attributes", asked);
        attributes["Attributes"]["QueueArn"].as_str().expect("an ARN").to_owned()
    };
    // Larger than a request may be, as in production: it goes through a bucket.
    call(
        "s3",
        "create_bucket",
        json!({
            "Bucket": "templates", "CreateBucketConfiguration": { "LocationConstraint": "eu-west-1" },
        }),
    );
    call("s3", "put_object", json!({ "Bucket": "templates", "Key": "watch.yaml", "Body": quick("LogsPanics") }));
    let url = format!("{}/templates/watch.yaml", aws.endpoint());
    let stack =
        json!({ "StackName": "watch", "TemplateURL": url, "Parameters": parameters(&arn(&pages), &arn(&tickets)) });
    call("cloudformation", "create_stack", stack);
    let status = wait("the stack", || {
        let stacks = call("cloudformation", "describe_stacks", json!({ "StackName": "watch" }));
        let status = stacks["Stacks"][0]["StackStatus"].as_str().unwrap_or_default().to_owned();
        (status != "CREATE_IN_PROGRESS").then_some(status)
    });
    assert_eq!(status, "CREATE_COMPLETE");

    // What it says it has made may not be there: each alarm is asked for.
    let kinds = json!({ "AlarmTypes": ["MetricAlarm", "CompositeAlarm"], "MaxRecords": 100 });
    let described = call("cloudwatch", "describe_alarms", kinds);
    let expected = template(&objectives());
    let of = |names: Vec<&String>| names.into_iter().cloned().collect::<BTreeSet<String>>();
    assert_eq!(
        names(&described, "MetricAlarms"),
        of(expected.alarms.values().map(|alarm| &alarm.alarm_name).collect())
    );
    assert_eq!(
        names(&described, "CompositeAlarms"),
        of(expected.composites.values().map(|all| &all.alarm_name).collect())
    );
    for alarm in described["CompositeAlarms"].as_array().into_iter().flatten() {
        let name = alarm["AlarmName"].as_str().expect("a name");
        let ours = expected.composites.values().find(|ours| ours.alarm_name == name).expect("one of ours");
        assert_eq!(alarm["AlarmRule"].as_str(), Some(ours.alarm_rule.as_str()), "{name}");
        assert_eq!(topics(&alarm["AlarmActions"]), told(&ours.alarm_actions), "{name}");
    }
    for alarm in described["MetricAlarms"].as_array().into_iter().flatten() {
        let name = alarm["AlarmName"].as_str().expect("a name");
        let ours = expected.alarms.values().find(|ours| ours.alarm_name == name).expect("one of ours");
        assert_eq!(alarm["Threshold"].as_f64(), Some(ours.threshold), "{name}");
        assert_eq!(alarm["EvaluationPeriods"], ours.evaluation_periods, "{name}");
        assert_eq!(alarm["TreatMissingData"].as_str(), ours.treat_missing_data.as_deref(), "{name}");
        assert_eq!(topics(&alarm["AlarmActions"]), told(&ours.alarm_actions), "{name}");
    }

    // A panic is counted: somebody is told, and told when it is over.
    let name = "task-api-production-LogsPanics";
    let dimensions =
        json!([{ "Name": "Service", "Value": "task-api" }, { "Name": "Environment", "Value": "production" }]);
    let state = || {
        let alarms = call("cloudwatch", "describe_alarms", json!({ "AlarmNames": [name] }));
        alarms["MetricAlarms"][0]["StateValue"].as_str().unwrap_or_default().to_owned()
    };
    wait("OK before", || (state() == "OK").then_some(()));
    let panicked = json!([{ "MetricName": "Panics", "Dimensions": dimensions, "Value": 1.0, "Unit": "Count" }]);
    // The description of the first message that says so, of those that have not been looked at.
    let received = |queue: &Value, wanted: &str| {
        let input = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1 });
        let (mut found, answer) = (None, call("sqs", "receive_message", input));
        for message in answer["Messages"].as_array().into_iter().flatten() {
            let delete = json!({ "QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"] });
            call("sqs", "delete_message", delete);
            let body: Value = serde_json::from_str(message["Body"].as_str().unwrap_or_default()).expect("an envelope");
            let text: Value = serde_json::from_str(body["Message"].as_str().unwrap_or_default()).expect("an alarm");
            if text["AlarmName"] == name && text["NewStateValue"] == wanted {
                found = text["AlarmDescription"].as_str().map(str::to_owned);
            }
        }
        found
    };
    let receive = |wanted: &str| received(&tickets, wanted);
    let description = wait("the alarm reaches the queue", || {
        call("cloudwatch", "put_metric_data", json!({ "Namespace": "TaskApi", "MetricData": panicked }));
        receive("ALARM")
    });
    assert!(description.contains("/LogsPanics.md") && description.contains("Users notice: "), "{description}");
    wait("its end reaches the queue", || receive("OK"));
    assert_eq!(state(), "OK");
    assert_eq!(received(&pages, "ALARM"), None, "a ticket wakes nobody");
}
