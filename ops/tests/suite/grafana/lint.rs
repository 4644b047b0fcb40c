//! The rules see what somebody plants into a file, and what a change of the code or of the objectives breaks.

use std::path::Path;

use ops::catalogue::Catalogue;
use ops::grafana::{self, FOLDER};
use ops::tree::{Rendered, Tree};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{dashboards, objectives};

/// A tree with the rendered dashboards, and what was planted.
struct Planted {
    directory: TempDir,
}

impl Planted {
    fn new() -> Self {
        let planted = Self { directory: TempDir::new().expect("a temporary directory") };
        for file in grafana::rendered(&objectives()) {
            planted.tree().write(&file).expect("a new file");
        }
        planted
    }

    /// With one dashboard only, which is faster; it cannot show every metric.
    fn only(uid: &str) -> Self {
        let planted = Self::new();
        for file in grafana::rendered(&objectives()).iter().filter(|file| file.path.starts_with(FOLDER)) {
            if !file.path.contains(uid) {
                std::fs::remove_file(planted.directory.path().join(&file.path)).expect("a file");
            }
        }
        planted
    }

    fn tree(&self) -> Tree {
        Tree::new(self.directory.path())
    }

    /// Changes one dashboard.
    fn change(&self, uid: &str, change: impl FnOnce(&mut Value)) {
        let path = format!("{FOLDER}/{uid}.json");
        let mut json = serde_json::from_str(&self.tree().read(&path).expect("a dashboard")).expect("JSON");
        change(&mut json);
        self.tree().write(&Rendered { path, text: json.to_string() }).expect("written");
    }

    fn problems(&self) -> Vec<String> {
        self.problems_with(&Catalogue::of_the_code())
    }

    fn problems_with(&self, catalogue: &Catalogue) -> Vec<String> {
        grafana::problems(&self.tree(), &objectives(), catalogue).iter().map(ToString::to_string).collect()
    }
}

/// The panel with this title.
fn panel<'a>(dashboard: &'a mut Value, title: &str) -> &'a mut Value {
    let panels = dashboard["panels"].as_array_mut().expect("panels");
    panels.iter_mut().find(|panel| panel["title"] == title).unwrap_or_else(|| panic!("no panel {title}"))
}

/// The variable of this name.
fn variable<'a>(dashboard: &'a mut Value, name: &str) -> &'a mut Value {
    let variables = dashboard["templating"]["list"].as_array_mut().expect("variables");
    variables.iter_mut().find(|variable| variable["name"] == name).unwrap_or_else(|| panic!("no variable {name}"))
}

/// Replaces in a panel's first query.
fn query(panel: &mut Value, from: &str, to: &str) {
    let expression = panel["targets"][0]["expr"].as_str().expect("an expression");
    assert!(expression.contains(from), "{expression}");
    panel["targets"][0]["expr"] = expression.replace(from, to).into();
}

const STATUSES: &str = "Which statuses do they get?";
const PANICS: &str = "Does anything panic?";

#[test]
fn what_is_rendered_has_no_problem() {
    assert_eq!(Planted::new().problems(), Vec::<String>::new());
}

#[test]
fn every_mistake_that_is_planted_in_a_query_is_named() {
    let cases: [(&str, &str, &str); 9] = [
        ("sum by (", "sum by ", "does not parse"),
        ("http_server_request_duration_seconds_count", "http_requests_total", "nobody emits http_requests_total"),
        ("(http_response_status_code)", "(status)", "nothing that is grouped by status has such a label"),
        ("http_route=~", "route=~", "has no label route"),
        (r#"synthetic="none""#, r#"synthetic="robot""#, r#"never matches "robot""#),
        (r#"job=~"$job", "#, "", r#"read without job=~"$job""#),
        (r#"instance=~"$instance""#, r#"instance=~"a""#, r#"read without instance=~"$instance""#),
        ("[$__rate_interval]", "[5m]", "it must be $__rate_interval"),
        ("$route", "$path", "the dashboard has no variable $path"),
    ];
    for (from, to, problem) in cases {
        let planted = Planted::only("task-api-overview");
        planted.change("task-api-overview", |dashboard| query(panel(dashboard, STATUSES), from, to));
        let found = planted.problems();
        assert!(
            found.iter().any(|line| line.contains(STATUSES) && line.contains(problem)),
            "{from} -> {to}: {problem:?} is not in {found:#?}"
        );
    }
}

#[test]
fn a_counter_without_its_rate_is_refused() {
    let planted = Planted::new();
    planted.change("task-api-runtime", |dashboard| {
        panel(dashboard, PANICS)["targets"][0]["expr"] = r#"panics_total{job=~"$job", instance=~"$instance"}"#.into();
    });
    let found = planted.problems();
    assert!(found.len() == 1 && found[0].contains("panics_total only grows"), "{found:#?}");
}

#[test]
fn every_mistake_that_is_planted_in_a_panel_is_named() {
    let cases: [(&str, Value, &str); 14] = [
        ("/targets/0/instant", json!(true), "query A asks for the wrong times"),
        ("/targets/0/range", json!(false), "query A asks for the wrong times"),
        ("/title", json!("Panics"), "its title must be a question"),
        ("/title", json!("Which build runs, on how many instances?"), "has the title of another panel"),
        ("/description", json!("Panics per second."), "does not say what good looks like"),
        ("/type", json!("graph"), "which we do not use"),
        ("/fieldConfig/defaults/unit", json!("bananas"), r#"has the unit "bananas""#),
        ("/datasource/uid", json!("prometheus"), "does not ask the chosen data source"),
        ("/targets/0/datasource/uid", json!("prometheus"), "query A does not ask the chosen data source"),
        ("/targets/0/legendFormat", json!(""), "query A has no legend"),
        ("/targets", json!([]), "has no query"),
        ("/id", json!(1), "has no id of its own"),
        ("/gridPos/x", json!(17), "is outside of the grid's 24 columns"),
        ("/gridPos/x", json!(7), "lies over"),
    ];
    for (pointer, value, problem) in cases {
        let planted = Planted::only("task-api-runtime");
        planted.change("task-api-runtime", |dashboard| {
            *panel(dashboard, PANICS).pointer_mut(pointer).expect("a field") = value;
        });
        let found = planted.problems();
        assert!(found.iter().any(|line| line.contains(problem)), "{pointer}: {problem:?} is not in {found:#?}");
    }
}

#[test]
fn a_figure_that_would_show_the_past_as_the_present_is_refused() {
    let planted = Planted::only("task-api-runtime");
    planted.change("task-api-runtime", |dashboard| {
        let target = &mut panel(dashboard, "Is each instance scraped?")["targets"][0];
        (target["instant"], target["range"]) = (json!(false), json!(true));
    });
    let found = planted.problems();
    assert!(found.iter().any(|line| line.contains("a figure is of now (instant)")), "{found:#?}");
}

#[test]
fn every_mistake_that_is_planted_in_a_dashboard_is_named() {
    let cases: [(&str, Value, &str); 8] = [
        ("/uid", json!("other"), "it must be task-api-slo"),
        ("/editable", json!(true), "is editable"),
        ("/schemaVersion", json!(36), "has schema version 36"),
        ("/description", json!(""), "has no description"),
        ("/annotations/list", json!([]), "has no annotation that reads build_info"),
        ("/links", json!([]), "has no link to the traces"),
        ("/templating/list", json!([]), "has 0 data source variables"),
        ("/panels", json!([]), "has no panels"),
    ];
    for (pointer, value, problem) in cases {
        let planted = Planted::only("task-api-slo");
        planted.change("task-api-slo", |dashboard| *dashboard.pointer_mut(pointer).expect("a field") = value);
        let found = planted.problems();
        assert!(found.iter().any(|line| line.contains(problem)), "{pointer}: {problem:?} is not in {found:#?}");
    }
}

#[test]
fn every_mistake_that_is_planted_in_a_variable_is_named() {
    let cases: [(&str, &str, Value, &str); 8] = [
        ("datasource", "label", json!("Source"), "labelled Data Source"),
        ("job", "name", json!("jobs"), "has no variable job"),
        ("job", "allValue", json!(""), "All as .+"),
        ("instance", "multi", json!(false), "must take several values"),
        ("instance", "refresh", json!(1), "must be read again when the times change"),
        ("instance", "datasource", json!({"uid": "prometheus"}), "does not ask the chosen data source"),
        ("slo", "query", json!("label_values(slo:objective:ratio, slo)"), "grouped by slo"),
        ("slo", "query", json!("slo:objective:ratio"), "not label_values(series, label)"),
    ];
    for (name, field, value, problem) in cases {
        let planted = Planted::only("task-api-slo");
        planted.change("task-api-slo", |dashboard| variable(dashboard, name)[field] = value);
        let found = planted.problems();
        assert!(found.iter().any(|line| line.contains(problem)), "{name}.{field}: {problem:?} is not in {found:#?}");
    }
}

#[test]
fn a_file_that_is_no_dashboard_of_ours_is_refused() {
    let planted = Planted::new();
    for (name, text, problem) in
        [("old.json", "{}", "is rendered by nobody"), ("task-api-slo.json", "{", "task-api-slo.json: is not JSON")]
    {
        let file = Rendered { path: format!("{FOLDER}/{name}"), text: text.to_owned() };
        planted.tree().write(&file).expect("written");
        let found = planted.problems();
        assert!(found.iter().any(|line| line.contains(problem)), "{name}: {found:#?}");
    }
}

#[test]
fn links_lead_to_data_sources_and_runbooks_that_exist() {
    let planted = Planted::new();
    let path = planted.directory.path().join(grafana::provisioning::DATASOURCES);
    let text = std::fs::read_to_string(&path).expect("the data sources");
    std::fs::write(&path, text.replace("uid: traces", "uid: tempo")).expect("written");
    let runbook = Rendered { path: "alerts/runbooks/Other.md".to_owned(), text: "# Other\n".to_owned() };
    planted.tree().write(&runbook).expect("written");
    planted.change("task-api-runtime", |dashboard| {
        let url = format!("{}/NoSuchAlert.md", objectives().links.runbooks);
        panel(dashboard, PANICS)["links"] = json!([{ "title": "Runbook", "url": url }]);
    });
    let found = planted.problems();
    for problem in ["leads to the data source traces", "alerts/runbooks/NoSuchAlert.md, which is not there"] {
        assert!(found.iter().any(|line| line.contains(problem)), "{problem:?} is not in {found:#?}");
    }
}

/// Not one metric: each of them.
#[test]
fn a_metric_that_is_renamed_in_the_code_breaks_the_panels_that_show_it() {
    let mut catalogue = Catalogue::of_the_code();
    let names: Vec<String> = catalogue.metrics.keys().cloned().collect();
    for name in &names {
        catalogue.rename_metric(name, &format!("renamed_{name}"));
    }
    let found = Planted::new().problems_with(&catalogue);
    for name in &names {
        let panel = |line: &String| line.contains(" panel \"") && line.contains(&format!("nobody emits {name}"));
        assert!(found.iter().any(panel), "{name} is on no panel: {found:#?}");
        let missing = format!("no panel shows renamed_{name}:");
        assert!(found.iter().any(|line| line.contains(&missing)), "{name}: {found:#?}");
    }
}

#[test]
fn a_label_that_is_renamed_in_the_code_breaks_the_panels_that_show_it() {
    let mut catalogue = Catalogue::of_the_code();
    let metrics = catalogue.metrics.clone();
    let labels = metrics.iter().flat_map(|(name, metric)| metric.labels.keys().map(move |label| (name, label)));
    let labels: Vec<_> = labels.collect();
    for (name, label) in &labels {
        catalogue.rename_label(name, label, &format!("renamed_{label}"));
    }
    let found = Planted::new().problems_with(&catalogue);
    for (name, label) in labels {
        let missing = format!("no panel shows the label renamed_{label} of {name}");
        assert!(found.iter().any(|line| line.contains(&missing)), "{label} of {name}: {found:#?}");
        let panel = |line: &String| {
            let grouped = line.contains(&format!("grouped by {label} has"));
            line.contains(" panel \"") && (grouped || line.contains(&format!("has no label {label}")))
        };
        assert!(found.iter().any(panel), "{label} of {name} is on no panel: {found:#?}");
    }
}

#[test]
fn an_objective_that_changes_is_missed_on_every_panel_that_draws_it() {
    let planted = Planted::new();
    let catalogue = Catalogue::of_the_code();
    let text = std::fs::read_to_string(testkit::root().join("slo.toml")).expect("the objectives");
    for (from, to, panels) in [
        ("latency = 0.2 ", "latency = 0.25 ", 5),
        ("latency = 0.05 ", "latency = 0.1 ", 4),
        ("availability = 0.999 ", "availability = 0.9995 ", 2),
        ("rate = 1000 ", "rate = 2000 ", 1),
        ("errors = 0.001 ", "errors = 0.002 ", 1),
        ("success = 0.99 ", "success = 0.98 ", 1),
        ("latency = 1.0 ", "latency = 2.0 ", 2),
        ("delivered = 0.9999 ", "delivered = 0.999 ", 2),
        ("budget = 0.02", "budget = 0.04", 1),
    ] {
        assert!(text.contains(from), "{from}");
        let slo = slo::Slo::parse(&text.replacen(from, to, 1), "slo.toml").expect("objectives");
        let found = grafana::problems(&planted.tree(), &slo, &catalogue);
        let missed = found.iter().filter(|problem| problem.what.contains("slo.toml says"));
        let titles: std::collections::BTreeSet<_> =
            missed.map(|problem| (&problem.file, problem.what.split('"').nth(1))).collect();
        assert_eq!(titles.len(), panels, "{to}: {titles:#?}");

        for file in grafana::rendered(&slo) {
            planted.tree().write(&file).expect("written");
        }
        assert_eq!(grafana::problems(&planted.tree(), &slo, &catalogue), [], "{to}, rendered anew");
        for file in grafana::rendered(&objectives()) {
            planted.tree().write(&file).expect("written");
        }
    }
}

#[test]
fn the_tree_holds_what_is_rendered() {
    let tree = Tree::new(testkit::root());
    let differences: Vec<_> =
        grafana::rendered(&objectives()).iter().filter_map(|file| tree.difference(file)).collect();
    assert_eq!(differences, []);
}

#[test]
fn a_dashboard_reads_well_in_a_diff_and_fits_on_a_screen_or_three() {
    for file in grafana::rendered(&objectives()).iter().filter(|file| file.path.starts_with(FOLDER)) {
        assert!(file.text.ends_with("}\n"), "{}", file.path);
        let json: Value = serde_json::from_str(&file.text).expect("JSON");
        let panels = json["panels"].as_array().expect("panels");
        assert!(panels.len() <= 30, "{} has {} panels", file.path, panels.len());
        let name = Path::new(&file.path).file_stem().and_then(|stem| stem.to_str()).expect("a name");
        assert!(json["description"].as_str().is_some_and(|text| text.contains("ops -- render")), "{name}");
    }
}

#[test]
fn ops_lists_every_panel() {
    let items = grafana::items(&objectives());
    let panels: usize = dashboards::all().iter().map(|dashboard| dashboard.panels().len()).sum();
    assert_eq!(items.len(), panels);
    let panels =
        grafana::rendered(&objectives()).iter().map(|file| file.text.matches("\"gridPos\"").count()).sum::<usize>()
            - grafana::rendered(&objectives())
                .iter()
                .map(|file| file.text.matches("\"type\": \"row\"").count())
                .sum::<usize>();
    assert_eq!(items.len(), panels);
    assert!(items.iter().all(|item| item.kind == "panel" && !item.summary.is_empty() && item.file.ends_with(".json")));
}
