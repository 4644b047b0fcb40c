//! Rules for one panel: what it says about itself, its unit, its data source, its limit.

use std::collections::BTreeSet;

use serde_json::Value;

use super::file::{File, list, text};
use super::{Ground, limits, queries};
use crate::grafana::panel::Unit;

/// All that is wrong with the panels of a dashboard.
pub(super) fn problems(file: &File, ground: &Ground<'_>) -> Vec<String> {
    let mut titles = BTreeSet::new();
    let mut problems = Vec::new();
    for panel in file.panels() {
        let title = text(&panel["title"]);
        let mut found = of_panel(file, panel, ground);
        if !titles.insert(title) {
            found.push("has the title of another panel".to_owned());
        }
        problems.extend(found.into_iter().map(|what| format!("panel {title:?} {what}")));
    }
    if titles.is_empty() {
        problems.push("has no panels".to_owned());
    }
    problems
}

fn of_panel(file: &File, panel: &Value, ground: &Ground<'_>) -> Vec<String> {
    let mut problems = words(panel);
    let unit = text(&panel["fieldConfig"]["defaults"]["unit"]);
    if !Unit::ALL.iter().any(|known| known.id() == unit) {
        problems.push(format!("has the unit {unit:?}, which ops/src/grafana/panel.rs does not know"));
    }
    if panel["datasource"]["uid"] != "${datasource}" {
        problems.push("does not ask the chosen data source".to_owned());
    }
    let mut ids = BTreeSet::new();
    for target in list(&panel["targets"]) {
        let (id, expression) = (text(&target["refId"]), text(&target["expr"]));
        if !ids.insert(id) || id.is_empty() {
            problems.push(format!("has two queries {id:?}"));
        }
        if target["datasource"]["uid"] != "${datasource}" {
            problems.push(format!("query {id} does not ask the chosen data source"));
        }
        let figure = panel["type"] == "stat";
        if target["instant"] != figure || target["range"] != !figure {
            problems.push(format!(
                "query {id} asks for the wrong times: a figure is of now (instant), a line is over a range"
            ));
        }
        if text(&target["legendFormat"]).is_empty() {
            problems.push(format!("query {id} has no legend"));
        }
        let found = queries::problems(file, expression, ground);
        problems.extend(found.into_iter().map(|what| format!("query {id}: {what}\n  in {expression}")));
    }
    if ids.is_empty() {
        problems.push("has no query".to_owned());
    }
    problems.extend(limits::problems(panel, unit, ground.slo));
    problems.extend(links(panel, ground));
    problems
}

/// The title asks, the description says what good looks like.
fn words(panel: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    if !matches!(text(&panel["type"]), "timeseries" | "stat") {
        problems.push(format!("is of type {}, which we do not use", panel["type"]));
    }
    if !text(&panel["title"]).ends_with('?') {
        problems.push("asks nothing: its title must be a question".to_owned());
    }
    let description = text(&panel["description"]);
    if !["Good ", "good "].iter().any(|word| description.contains(word)) {
        problems.push("does not say what good looks like: its description must have a sentence `Good is …`".to_owned());
    }
    problems
}

/// A link to a runbook leads to a file. A tree without any runbook is refused by the rules that need them.
fn links(panel: &Value, ground: &Ground<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let runbooks = ground.tree.names("alerts/runbooks", ".md");
    for link in list(&panel["links"]) {
        let url = text(&link["url"]);
        let Some(name) = url.strip_prefix(ground.slo.links.runbooks.as_str()) else {
            problems.push(format!("has a link to {url}, which is no runbook"));
            continue;
        };
        let path = format!("alerts/runbooks{name}");
        if !runbooks.is_empty() && ground.tree.read(&path).is_err() {
            problems.push(format!("has a link to {path}, which is not there"));
        }
    }
    problems
}
