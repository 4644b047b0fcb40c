//! What people write about alerts and alarms: names and graphs that are there, numbers that are still right.

use std::collections::BTreeSet;

use ops::prometheus::runbook::{self, FOLDER};
use serde_json::Value;

use crate::tree::{Copy, changed, here, objectives};

/// What runbooks quote of AWS' own pages and messages.
const OF_AWS: [&str; 5] =
    ["CannotPullContainerError", "Logs & events", "Renewal status", "ResourceInitializationError", "Type"];

/// A page without its blocks and without what stands between backticks.
fn prose(page: &str) -> String {
    let outside = page.split("```").step_by(2).collect::<Vec<_>>().join(" ");
    outside.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

/// The titles of all graphs, Grafana's and CloudWatch's.
fn titles() -> BTreeSet<String> {
    let mut titles = BTreeSet::new();
    for file in ops::rendered(&objectives()).iter().filter(|file| file.path.starts_with("dashboards/")) {
        let Ok(json) = serde_json::from_str::<Value>(&file.text) else { continue };
        let panels = json["panels"].as_array().into_iter().flatten().map(|panel| &panel["title"]);
        let widgets = json["widgets"].as_array().into_iter().flatten().map(|widget| &widget["properties"]["title"]);
        titles.extend(panels.chain(widgets).filter_map(|title| title.as_str().map(str::to_owned)));
    }
    titles
}

#[test]
fn every_graph_that_a_page_quotes_is_on_a_dashboard() {
    let titles = titles();
    let mut quoted = 0;
    let pages = here().names(FOLDER, ".md").into_iter().map(|name| format!("{FOLDER}/{name}"));
    for path in pages.chain(["docs/on-call.md".to_owned()]) {
        let page = prose(&here().read(&path).unwrap_or_else(|problem| panic!("{problem}")));
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        let found =
            page.split('"').skip(1).step_by(2).filter(|text| text.starts_with(|c: char| c.is_ascii_uppercase()));
        for text in found.filter(|text| !OF_AWS.contains(text)) {
            quoted += 1;
            assert!(titles.contains(text), "{path}: no dashboard has the graph {text:?}");
        }
    }
    assert!(quoted >= 10, "{quoted} graphs are quoted");
}

#[test]
fn every_name_on_the_page_for_who_is_on_call_is_an_alert_or_an_alarm() {
    let names: BTreeSet<String> = ops::items(&objectives()).into_iter().map(|item| item.name).collect();
    let page = here().read("docs/on-call.md").unwrap_or_else(|problem| panic!("{problem}"));
    let outside = page.split("```").step_by(2).collect::<Vec<_>>().join(" ");
    let camel = |text: &&str| {
        text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.contains(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_alphanumeric())
    };
    let found: Vec<&str> = outside.split('`').skip(1).step_by(2).filter(camel).collect();
    let unknown: Vec<&&str> = found.iter().filter(|name| !names.contains(**name)).collect();
    assert!(unknown.is_empty(), "nothing is called {unknown:?}");
    assert!(found.len() >= 10, "{found:?}");
}

#[test]
fn a_number_under_meaning_is_one_of_the_rule_or_is_refused() {
    let rule = "increase(x[30m]) >= 5 for 1.5h, a 5xx";
    for (meaning, unknown) in [
        ("At least five within 30 minutes, Five of them `7` times.", ""),
        ("More than 1.5 hours, the status 5xx.", ""),
        ("At least 4 came.", "4"),
        ("At least four came.", "4"),
        ("Within 30 days and 14.4 hours.", "14.4"),
    ] {
        let page = format!("# X\n\n## Meaning\n\n{meaning}\n\n## Impact\n\n99 users\n");
        let found = runbook::stale_numbers("x.md", &page, rule);
        let said: Vec<&str> = found.iter().filter_map(|problem| problem.what.split(' ').nth(1)).collect();
        assert_eq!(said.join(" "), unknown, "{meaning}");
    }
}

#[test]
fn a_page_whose_number_the_objectives_have_left_behind_is_named() {
    let copy = Copy::of_here();
    let slo = changed("failures = 5 ", "failures = 7 ");
    for file in ops::rendered(&slo) {
        copy.tree().write(&file).expect("written");
    }
    let found = ops::problems(&copy.tree(), &slo, &ops::catalogue::Catalogue::of_the_code());
    let page = "alerts/runbooks/ErrorsInQuietHours.md";
    let stale = found.iter().any(|problem| problem.file == page && problem.what.starts_with("says 5 under Meaning"));
    assert!(stale, "{found:#?}");
}
