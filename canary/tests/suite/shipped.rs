//! CloudWatch: metrics under the names of CloudWatch Synthetics, and credentials from Secrets Manager, both against moto.

use serde_json::{Value, json};
use telemetry::catalogue::{CANARY_EMF_OF_RUN, CANARY_EMF_OF_STEP};
use testkit::moto::Moto;
use testkit::process::Builder;

use crate::rig::{Answers, EMAIL, Front, PASSWORD, Ran, Rig, SECRET};

fn on_aws(builder: Builder, moto: &Moto) -> Builder {
    let builder = builder.env("AWS_ENDPOINT_URL", format!("http://{}", moto.address())).env("AWS_REGION", "us-east-1");
    builder.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test")
}

/// The lines of a group that are metrics.
fn emf(moto: &Moto, group: &str) -> Vec<Value> {
    let events = moto.events(group).into_iter();
    events
        .filter_map(|event| serde_json::from_str(&event.message).ok())
        .filter(|line: &Value| line["_aws"].is_object())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_have_the_names_and_dimensions_of_cloudwatch_synthetics() {
    let Some(moto) = Moto::get() else { return };
    let broken = Front::good(61).answering(Answers::Broken);
    let Some(rig) = Rig::start(&[Front::good(60), broken]).await else { return };
    for (name, numbers, code) in [("good", &[60][..], 0), ("half", &[61, 60][..], 1), ("bad", &[61][..], 2)] {
        let group = format!("/test/canary/{name}");
        let builder = rig.canary("run", numbers).arg("--name").arg(name).env("CLOUDWATCH_LOG_GROUP", &group);
        let ran = Ran::of(on_aws(builder, moto)).await;
        assert_eq!(ran.code, code, "{}", ran.output);
        let lines = emf(moto, &group);
        for line in &lines {
            testkit::emf::check(line).unwrap_or_else(|rule| panic!("{rule}: {line}"));
            assert_eq!(line["CanaryName"], name);
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(directive["Namespace"], "CloudWatchSynthetics");
            let (dimensions, listed) = if line["StepName"].is_null() {
                (json!([["CanaryName"]]), CANARY_EMF_OF_RUN)
            } else {
                (json!([["CanaryName", "StepName"]]), CANARY_EMF_OF_STEP)
            };
            let metrics: Vec<Value> =
                listed.iter().map(|metric| json!({ "Name": metric.name, "Unit": metric.unit })).collect();
            assert_eq!((&directive["Dimensions"], &directive["Metrics"]), (&dimensions, &json!(metrics)), "{line}");
        }
        let figures = |step: Option<&str>| {
            let line = lines
                .iter()
                .find(|line| line["StepName"].as_str() == step)
                .unwrap_or_else(|| panic!("{step:?}: {lines:?}"));
            ["SuccessPercent", "SuccessPercentWithRetries", "Failed"].map(|name| line[name].as_f64())
        };
        let (of_run, of_health) = match name {
            "good" => ([Some(100.0), Some(100.0), Some(0.0)], [Some(100.0), None, Some(0.0)]),
            "half" => ([Some(0.0), Some(100.0), Some(0.0)], [Some(0.0), None, Some(0.0)]),
            _ => ([Some(0.0), Some(0.0), Some(1.0)], [Some(0.0), None, Some(1.0)]),
        };
        assert_eq!((figures(None), figures(Some("health"))), (of_run, of_health), "{name}");
        // Of health the longest of the last attempts at each address.
        let health = lines.iter().find(|line| line["StepName"] == "health").unwrap();
        let longest = ran.step("health")["attempts"].as_array().unwrap().iter().rev();
        let mut last = std::collections::BTreeMap::new();
        for attempt in longest {
            last.entry(attempt["address"].as_str()).or_insert(attempt["total_ms"].as_f64().unwrap());
        }
        assert_eq!(health["Duration"].as_f64().unwrap(), last.into_values().fold(0.0, f64::max));
        // A step that was not tried gives no figure.
        assert_eq!(lines.len(), if code == 2 { 2 } else { 12 }, "{lines:?}");
        let text = format!("{lines:?}{}", ran.output);
        assert!([PASSWORD, SECRET, EMAIL, "eyJ"].iter().all(|secret| !text.contains(secret)), "{text}");
    }
    let builder =
        rig.canary("run", &[60]).env("CANARY_PASSWORD", "wrong").env("CLOUDWATCH_LOG_GROUP", "/test/canary/error");
    Ran::of(on_aws(builder, moto)).await.expect(3, "error");
    assert_eq!(emf(moto, "/test/canary/error"), Vec::<Value>::new(), "a canary that saw nothing says nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_come_from_a_file_or_from_secrets_manager() {
    let Some(moto) = Moto::get() else { return };
    let Some(rig) = Rig::start(&[Front::good(62)]).await else { return };
    let credentials = json!({ "email": EMAIL, "password": PASSWORD }).to_string();
    let file = rig.file("credentials.json");
    std::fs::write(&file, &credentials).unwrap();
    let without = |builder: Builder| builder.env("CANARY_EMAIL", "").env("CANARY_PASSWORD", "");
    let builder = without(rig.canary("run", &[62])).env("CANARY_CREDENTIALS_FILE", file.display().to_string());
    Ran::of(builder).await.expect(0, "ok");

    let request = reqwest::Client::new()
        .post(format!("http://{}/", moto.address()))
        .header("x-amz-target", "secretsmanager.CreateSecret")
        .header("content-type", "application/x-amz-json-1.1")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=0",
        )
        .body(json!({ "Name": "canary/credentials", "SecretString": credentials }).to_string());
    assert_eq!(request.send().await.unwrap().status(), 200);
    let from = |secret: &str| on_aws(without(rig.canary("run", &[62])), moto).env("CANARY_CREDENTIALS_SECRET", secret);
    Ran::of(from("canary/credentials")).await.expect(0, "ok");
    let ran = Ran::of(from("canary/none")).await.expect(3, "error");
    assert_eq!(
        ran.reasons(),
        "CANARY_CREDENTIALS_SECRET: AWS Secrets Manager does not give canary/none: ResourceNotFoundException"
    );
    let steps = ran.report["steps"].as_array().unwrap();
    assert!(
        steps[1..].iter().all(|step| step["outcome"] == "skipped"),
        "whether it is up is seen all the same: {}",
        ran.output
    );
}
