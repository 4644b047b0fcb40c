//! docs/canary.md and the program say the same.

use std::collections::BTreeSet;

use serde_json::Value;
use telemetry::catalogue::{CANARY_METRICS, CANARY_PHASES, CANARY_STEPS};
use testkit::process::Builder;

use crate::rig::SOON;

fn page() -> String {
    std::fs::read_to_string(testkit::root().join("docs/canary.md")).expect("docs/canary.md")
}

async fn help(command: &str) -> String {
    let mut process = Builder::new(env!("CARGO_BIN_EXE_canary")).arg(command).arg("--help").start();
    assert!(process.wait(SOON).await.success(), "{}", process.output());
    process.output()
}

/// Words that begin like this and go on in capitals.
fn words(text: &str, fits: impl Fn(&str) -> bool) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c))).filter(|word| fits(word)).collect()
}

fn is_variable(word: &str) -> bool {
    let capitals = word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    capitals && word.contains('_') && !word.starts_with("RATE_") && !word.starts_with("AWS_")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_variable_is_documented_and_there_are_no_others() {
    let (page, help) = (page(), [help("run").await, help("serve").await, help("history").await].concat());
    // In the help a variable stands as [env: NAME=…].
    let known = help.split("[env: ").skip(1).map(|rest| rest.split(['=', ']']).next().unwrap());
    assert_eq!(words(&page, is_variable), known.collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_page_is_one() {
    let page = page();
    let mut commands = 0;
    for block in page.split("\n```sh\n").skip(1) {
        let lines = block.split("\n```").next().unwrap().lines();
        for line in lines.filter_map(|line| Some(&line[line.find("canary ")? + "canary ".len()..])) {
            let mut builder = Builder::new(env!("CARGO_BIN_EXE_canary"));
            // Parsed and not run: --help comes last.
            for word in line.split(" 2>").next().unwrap().split_whitespace() {
                builder = builder.arg(word);
            }
            let mut process = builder.arg("--help").start();
            assert!(process.wait(SOON).await.success(), "{line}: {}", process.output());
            commands += 1;
        }
    }
    assert_eq!(commands, 6, "all of them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_task_definition_is_json_the_cron_job_is_yaml_and_both_give_the_program_its_arguments() {
    let page = page();
    let block = |language: &str, number: usize| {
        let rest = page.split(&format!("\n```{language}\n")).nth(number).expect("a block");
        rest.split("\n```").next().expect("its end").to_owned()
    };
    let definition: Value = serde_json::from_str(&block("json", 1)).expect("JSON");
    let container = &definition["containerDefinitions"][0];
    let of_ecs = container["command"].clone();
    let job: Value = serde_norway::from_str(&block("yaml", 1)).expect("YAML");
    // What the task needs is made before it, and the schedule starts that task.
    let of_metrics = container["environment"].as_array().expect("a list").iter();
    let of_metrics =
        of_metrics.filter(|variable| variable["name"] == "CLOUDWATCH_LOG_GROUP").map(|found| &found["value"]);
    for group in of_metrics.chain([&container["logConfiguration"]["options"]["awslogs-group"]]) {
        let group = group.as_str().expect("a text");
        for command in ["create-log-group", "put-retention-policy"] {
            let fits =
                |line: &str| line.starts_with(&format!("aws logs {command} ")) && line.ends_with(&format!(" {group}"));
            assert!(page.lines().any(fits), "{command} {group}");
        }
    }
    let schedule: Value = serde_json::from_str(&block("json", 2)).expect("JSON");
    let task = schedule["Target"]["EcsParameters"]["TaskDefinitionArn"].as_str().expect("a text");
    assert!(task.ends_with(&format!("/{}", definition["family"].as_str().expect("a text"))), "{task}");
    let of_kubernetes = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"].clone();
    // One image, whose entry point is the program: both recipes give its arguments. --help comes last: parsed and not run.
    assert!(page.contains("the entry point `[\"canary\"]`"), "the page says so");
    for arguments in [of_ecs, of_kubernetes] {
        let mut builder = Builder::new(env!("CARGO_BIN_EXE_canary"));
        for argument in arguments.as_array().expect("a list") {
            builder = builder.arg(argument.as_str().expect("a text"));
        }
        let mut process = builder.arg("--help").start();
        assert!(process.wait(SOON).await.success(), "{arguments}: {}", process.output());
        assert!(process.output().contains("Usage: canary run "), "{arguments}: {}", process.output());
    }
}

#[test]
fn every_step_phase_and_metric_is_explained() {
    let page = page();
    for word in CANARY_STEPS.iter().chain(CANARY_PHASES) {
        assert!(page.contains(&format!("\n| `{word}` |")), "{word}");
    }
    for metric in CANARY_METRICS {
        assert!(page.contains(&format!("`{}", metric.name)), "{}", metric.name);
    }
}
