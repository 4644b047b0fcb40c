//! Rules for the dashboard as a whole: its names, variables, links, annotations and grid.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::Ground;
use super::file::{File, list, text};
use super::queries;
use crate::grafana::model::{Place, SCHEMA_VERSION};

/// Of Grafana's grid.
const COLUMNS: u64 = 24;

/// All that is wrong.
pub(super) fn problems(file: &File, ground: &Ground<'_>) -> Vec<String> {
    let mut problems = names(file);
    problems.extend(source(file));
    for name in ["job", "instance"] {
        if !file.has_variable(name) {
            problems.push(format!("has no variable {name}"));
        }
    }
    for variable in file.variables().filter(|variable| variable["type"] == "query") {
        let name = text(&variable["name"]);
        let found = choice(file, variable, ground);
        problems.extend(found.into_iter().map(|what| format!("variable {name} {what}")));
    }
    problems.extend(annotations(file, ground));
    problems.extend(links(file, ground));
    problems.extend(grid(file));
    problems
}

fn names(file: &File) -> Vec<String> {
    let mut problems = Vec::new();
    let stem = Path::new(&file.path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if file.json["uid"] != stem {
        problems.push(format!("has the uid {}: it must be {stem}, as the file is called", file.json["uid"]));
    }
    if file.json["editable"] != false {
        problems.push("is editable: what somebody saves would be gone with the next release".to_owned());
    }
    if file.json["schemaVersion"] != SCHEMA_VERSION {
        problems.push(format!("has schema version {}, not {SCHEMA_VERSION}", file.json["schemaVersion"]));
    }
    for field in ["title", "description", "refresh"] {
        if text(&file.json[field]).is_empty() {
            problems.push(format!("has no {field}"));
        }
    }
    problems
}

/// Exactly one data source can be chosen, under the name that people look for.
fn source(file: &File) -> Option<String> {
    let sources: Vec<&Value> = file.variables().filter(|variable| variable["type"] == "datasource").collect();
    match sources[..] {
        [one] if one["name"] == "datasource" && one["label"] == "Data Source" && one["query"] == "prometheus" => None,
        [_] => Some("its data source variable must be datasource, labelled Data Source, of type prometheus".to_owned()),
        _ => Some(format!("has {} data source variables, not one", sources.len())),
    }
}

/// Rules for a variable whose values come from Prometheus.
fn choice(file: &File, variable: &Value, ground: &Ground<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    if variable["datasource"]["uid"] != "${datasource}" {
        problems.push("does not ask the chosen data source".to_owned());
    }
    if text(&variable["label"]).is_empty() {
        problems.push("has no label".to_owned());
    }
    if variable["multi"] != true || variable["includeAll"] != true || variable["allValue"] != ".+" {
        problems.push("must take several values, and All as .+".to_owned());
    }
    if variable["refresh"] != 2 {
        problems.push("must be read again when the times change (refresh 2)".to_owned());
    }
    let query = text(&variable["query"]);
    let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    match inside.and_then(|inside| inside.rsplit_once(", ")) {
        Some((series, label)) => {
            problems.extend(queries::known(file, &format!("count by ({label}) ({series})"), ground));
        }
        None => problems.push(format!("has the query {query:?}, not label_values(series, label)")),
    }
    problems
}

/// A deploy shows on every dashboard.
fn annotations(file: &File, ground: &Ground<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut deploys = false;
    for annotation in list(&file.json["annotations"]["list"]) {
        let expression = text(&annotation["target"]["expr"]);
        deploys |= expression.contains("build_info{") && annotation["enable"] == true;
        let found = queries::problems(file, expression, ground);
        problems.extend(found.into_iter().map(|what| format!("annotation {}: {what}", annotation["name"])));
    }
    if !deploys {
        problems.push("has no annotation that reads build_info: nobody sees which deploy changed a line".to_owned());
    }
    problems
}

/// Links lead to data sources and runbooks that exist.
fn links(file: &File, ground: &Ground<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let (mut runbooks, mut traces) = (false, false);
    for link in list(&file.json["links"]) {
        let url = text(&link["url"]);
        runbooks |= url == ground.slo.links.runbooks;
        if let Some((_, rest)) = url.split_once("%22datasource%22:%22") {
            let uid = rest.split('%').next().unwrap_or_default();
            traces |= uid == "traces";
            if !ground.sources.contains(uid) {
                problems
                    .push(format!("link {} leads to the data source {uid}, which is not provisioned", link["title"]));
            }
        }
    }
    if !runbooks {
        problems.push(format!("has no link to the runbooks, {}", ground.slo.links.runbooks));
    }
    if !traces {
        problems.push("has no link to the traces".to_owned());
    }
    problems
}

/// Each panel has an id of its own and a place of its own.
fn grid(file: &File) -> Vec<String> {
    let mut problems = Vec::new();
    let mut ids = BTreeSet::new();
    let mut places: Vec<(&str, Place)> = Vec::new();
    for panel in list(&file.json["panels"]) {
        let title = text(&panel["title"]);
        if !panel["id"].as_u64().is_some_and(|id| ids.insert(id)) {
            problems.push(format!("panel {title:?} has no id of its own: {}", panel["id"]));
        }
        let side = |name: &str| panel["gridPos"][name].as_u64().and_then(|value| u32::try_from(value).ok());
        let (Some(x), Some(y), Some(w), Some(h)) = (side("x"), side("y"), side("w"), side("h")) else {
            problems.push(format!("panel {title:?} has no place in the grid"));
            continue;
        };
        let place = Place { x, y, w, h };
        if w == 0 || h == 0 || u64::from(x) + u64::from(w) > COLUMNS {
            problems.push(format!("panel {title:?} is outside of the grid's {COLUMNS} columns"));
        }
        for (other, _) in places.iter().filter(|(_, other)| overlap(*other, place)) {
            problems.push(format!("panel {title:?} lies over {other:?}"));
        }
        places.push((title, place));
    }
    problems
}

fn overlap(a: Place, b: Place) -> bool {
    a.x < b.x.saturating_add(b.w)
        && b.x < a.x.saturating_add(a.w)
        && a.y < b.y.saturating_add(b.h)
        && b.y < a.y.saturating_add(a.h)
}
