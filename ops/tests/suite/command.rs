//! The binary as a person and a pipeline run it: what it says and with which status it ends, in a copy of the tree.

use std::process::Command;

use crate::tree::{Copy, objectives};

/// Runs `ops` at the root of a copy: its status, and all that it said.
fn ops(copy: &Copy, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ops"));
    let output = command.args(arguments).current_dir(copy.tree().root()).output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// Changes one byte of a file: its first, which is no part of a name.
fn spoil(copy: &Copy, path: &str) {
    let text = copy.tree().read(path).unwrap_or_else(|problem| panic!("{problem}"));
    copy.write(path, &format!("~{}", text.get(1..).expect("a first byte of one letter")));
}

#[test]
fn a_clean_tree_passes_and_a_changed_byte_fails_until_it_is_rendered_again() {
    let copy = Copy::of_here();
    let (status, said) = ops(&copy, &["check"]);
    assert_eq!(status, Some(0), "{said}");

    // One file alone, which nothing but the comparison looks into.
    spoil(&copy, "alerts/alertmanager.yml");
    let (status, said) = ops(&copy, &["check"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("alerts/alertmanager.yml: differs from what is rendered"), "{said}");
    assert!(said.lines().any(|line| line == "1 problem"), "{said}");

    // Each of them is compared.
    let files = ops::rendered(&objectives());
    files.iter().for_each(|file| spoil(&copy, &file.path));
    let (status, said) = ops(&copy, &["check"]);
    assert_eq!(status, Some(1));
    let named = |path: &str| said.contains(&format!("{path}: differs from what is rendered"));
    let unnoticed: Vec<&str> = files.iter().map(|file| file.path.as_str()).filter(|path| !named(path)).collect();
    assert!(unnoticed.is_empty(), "may change unnoticed: {unnoticed:?}");

    let (status, said) = ops(&copy, &["render"]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(said.matches("written  ").count(), files.len(), "{said}");
    let (status, said) = ops(&copy, &["check"]);
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn another_latency_in_a_copy_of_the_objectives_fails_the_check_and_names_the_files() {
    let copy = Copy::of_here();
    let text = copy.tree().read("slo.toml").unwrap_or_else(|problem| panic!("{problem}"));
    assert!(text.contains("latency = 0.2 "));
    copy.write("slower.toml", &text.replacen("latency = 0.2 ", "latency = 0.25 ", 1));
    let (status, said) = ops(&copy, &["--slo", "slower.toml", "check"]);
    assert_eq!(status, Some(1), "{said}");
    for path in [
        "alerts/prometheus/slo-requests-latency.yml",
        "alerts/prometheus/tests/slo-requests-latency-1h.yml",
        "alerts/cloudwatch/template.yaml",
        "alerts/runbooks/LatencyBurnSlow.md",
        "dashboards/cloudwatch.json",
        "dashboards/grafana/task-api-overview.json",
        "dashboards/grafana/task-api-slo.json",
    ] {
        assert!(said.contains(&format!("\n{path}: ")) || said.starts_with(&format!("{path}: ")), "{path} is not named");
    }
    assert!(said.contains("-") && said.contains("le=\"0.25\""), "the difference is shown");

    copy.write("broken.toml", &text.replacen("latency = 0.2 ", "latency = 0.3 ", 1));
    let (status, said) = ops(&copy, &["--slo", "broken.toml", "check"]);
    assert_eq!(status, Some(64), "a mistake of usage: {said}");
    assert!(said.contains("broken.toml:9: requests.latency is 0.3; it takes seconds that are an edge"), "{said}");
}

#[test]
fn the_list_has_every_kind_with_its_file() {
    let copy = Copy::of_here();
    let (status, text) = ops(&copy, &["list"]);
    assert_eq!(status, Some(0), "{text}");
    let (status, json) = ops(&copy, &["list", "--output", "json"]);
    assert_eq!(status, Some(0), "{json}");
    let items: Vec<serde_json::Value> = serde_json::from_str(&json).expect("JSON");
    for kind in ["objective", "recording", "alert", "alarm", "composite", "filter", "query", "panel"] {
        assert!(text.lines().any(|line| line.starts_with(kind)), "no {kind} is listed");
        let files = items.iter().filter(|item| item["kind"] == kind).map(|item| item["file"].as_str().expect("a file"));
        let files: Vec<&str> = files.collect();
        assert!(!files.is_empty(), "no {kind} in JSON");
        files.iter().for_each(|file| assert!(copy.tree().read(file).is_ok(), "{kind}: there is no {file}"));
    }
}
