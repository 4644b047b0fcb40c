//! What is wrong with the rules and the tests as they stand in a tree, whoever wrote them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use slo::Slo;

use super::alert::FOLDER;
use super::runbook;
use crate::catalogue::Catalogue;
use crate::promql::{self, Known};
use crate::tree::{Problem, Tree};

/// What each alert says besides its labels.
const ANNOTATIONS: [&str; 4] = ["summary", "description", "runbook_url", "dashboard_url"];

/// The fewest moments at which a test looks at an alert.
const CASES_MIN: usize = 3;

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    record: Option<String>,
    alert: Option<String>,
    expr: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(rename = "for")]
    wait: Option<String>,
}

impl Rule {
    /// All that it says, for who looks for a number in it.
    fn said(&self) -> String {
        let annotations = self.annotations.values().map(String::as_str);
        let parts = annotations.chain([self.expr.as_str(), self.wait.as_deref().unwrap_or_default()]);
        parts.collect::<Vec<_>>().join(" ") + " "
    }
}

#[derive(Deserialize)]
struct Tests {
    #[serde(default)]
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    #[serde(default)]
    alert_rule_test: Vec<Moment>,
}

#[derive(Deserialize)]
struct Moment {
    alertname: String,
    exp_alerts: Option<Vec<serde_norway::Value>>,
}

/// All that is wrong.
pub(super) fn problems(tree: &Tree, slo: &Slo, catalogue: &Catalogue) -> Vec<Problem> {
    let mut problems = Vec::new();
    let known = Known { catalogue, others: super::others(slo) };
    let boards = crate::grafana::uids(slo);
    let mut alerts: BTreeMap<String, String> = BTreeMap::new();
    for file in tree.names(FOLDER, ".yml") {
        let path = format!("{FOLDER}/{file}");
        let Some(rules) = parse::<Rules>(tree, &path, &mut problems) else { continue };
        for (group, rule) in rules.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule))) {
            let name = rule.alert.as_ref().or(rule.record.as_ref()).cloned().unwrap_or_default();
            let mut report =
                |what: String| problems.push(Problem::new(&path, format!("{}: {name}: {what}", group.name)));
            promql::problems(&rule.expr, &known).into_iter().for_each(&mut report);
            if let Some(alert) = &rule.alert {
                alert_problems(slo, alert, rule, &boards, &known).into_iter().for_each(&mut report);
                *alerts.entry(alert.clone()).or_default() += &rule.said();
            }
        }
    }
    problems.extend(test_problems(tree, &alerts.keys().cloned().collect()));
    problems.extend(orphans(tree, slo));
    problems.extend(runbook::problems(tree, slo, catalogue, &alerts));
    problems.extend(runbook::copies(tree));
    problems
}

fn parse<T: serde::de::DeserializeOwned>(tree: &Tree, path: &str, problems: &mut Vec<Problem>) -> Option<T> {
    let parsed = tree.read(path).and_then(|text| {
        serde_norway::from_str(&text)
            .map_err(|error| Problem::new(path, format!("is not what Prometheus reads: {error}")))
    });
    parsed.map_err(|problem| problems.push(problem)).ok()
}

fn alert_problems(slo: &Slo, name: &str, rule: &Rule, boards: &BTreeSet<&str>, known: &Known<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let camel = name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric());
    if !camel {
        problems.push("the name is not in CamelCase".to_owned());
    }
    match rule.labels.get("severity").map(String::as_str) {
        Some("page" | "ticket") => {}
        other => problems.push(format!("severity is {other:?}, it takes page or ticket")),
    }
    for annotation in ANNOTATIONS {
        if rule.annotations.get(annotation).is_none_or(|text| text.trim().is_empty()) {
            problems.push(format!("has no {annotation}"));
        }
    }
    if rule.annotations.get("summary").is_some_and(|summary| summary.contains("{{") || !summary.ends_with('.')) {
        problems.push("the summary is not one fixed sentence".to_owned());
    }
    if rule.annotations.get("description").is_some_and(|text| !text.contains("$value")) {
        problems.push("the description does not say the value".to_owned());
    }
    let runbook = format!("{}/{name}.md", slo.links.runbooks);
    if rule.annotations.get("runbook_url").is_some_and(|url| *url != runbook) {
        problems.push(format!("runbook_url is not {runbook}"));
    }
    let dashboards = format!("{}/d/", slo.links.dashboards);
    if let Some(url) = rule.annotations.get("dashboard_url") {
        let leads = url.strip_prefix(&dashboards).is_some_and(|uid| boards.contains(uid));
        if !leads {
            problems.push(format!("dashboard_url {url} leads to no dashboard of ours: it takes {dashboards}<uid>"));
        }
    }
    for query in rule.annotations.values().flat_map(|text| template_queries(text)) {
        problems.extend(promql::problems(&query, known).into_iter().map(|what| format!("in an annotation: {what}")));
    }
    problems
}

/// What a template asks Prometheus: the texts after `query`.
fn template_queries(text: &str) -> Vec<String> {
    text.split("query \"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

fn test_problems(tree: &Tree, alerts: &BTreeSet<String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut moments: BTreeMap<&str, (usize, usize)> = alerts.iter().map(|name| (name.as_str(), (0, 0))).collect();
    for file in tree.names(&format!("{FOLDER}/tests"), ".yml") {
        let path = format!("{FOLDER}/tests/{file}");
        let Some(tests) = parse::<Tests>(tree, &path, &mut problems) else { continue };
        for moment in tests.tests.iter().flat_map(|test| &test.alert_rule_test) {
            match moments.get_mut(moment.alertname.as_str()) {
                Some((all, firing)) => {
                    *all += 1;
                    *firing += usize::from(moment.exp_alerts.as_ref().is_some_and(|alerts| !alerts.is_empty()));
                }
                None => problems.push(Problem::new(&path, format!("tests {}, which is no alert", moment.alertname))),
            }
        }
    }
    let folder = format!("{FOLDER}/tests");
    for (name, (all, firing)) in moments {
        if all < CASES_MIN || firing == 0 {
            let what =
                format!("{name} is looked at {all} times and fires in {firing} of them; it takes {CASES_MIN} and 1");
            problems.push(Problem::new(&folder, what));
        }
    }
    problems
}

/// Tests that nothing renders any more would go on passing or failing for rules of the past.
fn orphans(tree: &Tree, slo: &Slo) -> Vec<Problem> {
    let rendered: BTreeSet<String> = super::rendered(slo).into_iter().map(|file| file.path).collect();
    let folders = [FOLDER.to_owned(), format!("{FOLDER}/tests")];
    let found = folders
        .iter()
        .flat_map(|folder| tree.names(folder, ".yml").into_iter().map(move |file| format!("{folder}/{file}")));
    let left = found.filter(|path| !rendered.contains(path));
    left.map(|path| Problem::new(path, "is not rendered from slo.toml any more: remove it")).collect()
}
