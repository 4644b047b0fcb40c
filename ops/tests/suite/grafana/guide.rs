//! What goes with the dashboards: the guide for a new metric, and the provisioning.

use std::path::Path;

use ops::grafana::provisioning::{DASHBOARDS, DATASOURCES};
use serde_json::Value;

fn read(path: &str) -> String {
    std::fs::read_to_string(testkit::root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text of every Rust file below a folder.
fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&std::fs::read_to_string(&path).expect("a file of Rust"));
        }
    }
}

#[test]
fn the_guides_for_a_new_metric_and_a_new_alert_name_tests_and_files_that_exist() {
    let mut code = String::new();
    for folder in ["telemetry/src", "telemetry/tests", "service/tests", "ops/tests"] {
        sources(&testkit::root().join(folder), &mut code);
    }
    for (guide, tests_min, files_min) in [("docs/adding-a-metric.md", 6, 5), ("docs/adding-an-alert.md", 4, 6)] {
        let (mut tests, mut files) = (0, 0);
        let text = read(guide);
        // What stands in a block is run by a shell.
        let prose = text.split("```").step_by(2).collect::<Vec<_>>().join("``");
        for name in prose.split('`').skip(1).step_by(2) {
            let sentence =
                name.matches('_').count() >= 3 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if sentence {
                tests += 1;
                assert!(code.contains(&format!("fn {name}(")), "{guide}: there is no test {name}");
            } else if name.contains('/') && !name.contains(['<', ' ']) && !name.starts_with('/') {
                files += 1;
                assert!(testkit::root().join(name).exists(), "{guide}: there is no {name}");
            }
        }
        assert!(tests >= tests_min && files >= files_min, "{guide}: {tests} tests and {files} files found");
    }
}

#[test]
fn a_grafana_loads_data_sources_and_dashboards_without_a_click() {
    let yaml = |path| -> Value { serde_norway::from_str(&read(path)).expect("YAML") };
    let (sources, dashboards) = (yaml(DATASOURCES), yaml(DASHBOARDS));
    let provider = &dashboards["providers"][0];
    assert_eq!((&provider["type"], &provider["disableDeletion"]), (&"file".into(), &true.into()));
    assert_eq!(provider["allowUiUpdates"], false);
    assert!(read("README.md").contains(provider["options"]["path"].as_str().expect("a path")));

    let sources = sources["datasources"].as_array().expect("data sources");
    let prometheus = sources.iter().find(|source| source["isDefault"] == true).expect("a default");
    assert_eq!((&prometheus["type"], &prometheus["uid"]), (&"prometheus".into(), &"prometheus".into()));
    let destination = &prometheus["jsonData"]["exemplarTraceIdDestinations"][0];
    assert_eq!((&destination["name"], &destination["datasourceUid"]), (&"trace_id".into(), &"traces".into()));
    for uid in ["traces", "logs"] {
        assert!(sources.iter().any(|source| source["uid"] == uid && source["editable"] == false), "{uid}");
    }
}
