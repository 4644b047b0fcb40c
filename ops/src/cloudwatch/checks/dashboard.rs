//! A dashboard's body, which CloudFormation takes as any text and CloudWatch draws as it can.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::language::math::Expression;
use super::known::Known;
use super::logs;
use crate::catalogue::Catalogue;

/// CloudWatch's grid and limits.
const COLUMNS: u64 = 24;
const HEIGHT_MAX: u64 = 1_000;
const WIDGETS_MAX: usize = 500;
const METRICS_MAX: usize = 500;
const KINDS: &[&str] = &["metric", "text", "log", "alarm"];
const VIEWS: &[&str] = &["timeSeries", "singleValue", "gauge", "bar", "pie", "table"];
const PROPERTIES: &[&str] =
    &["title", "region", "view", "period", "stat", "stacked", "metrics", "yAxis", "annotations", "legend", "sparkline"];
const OPTIONS: &[&str] =
    &["id", "label", "stat", "period", "visible", "color", "yAxis", "expression", "region", "unit"];

/// What is wrong with a body.
pub(super) fn problems(body: &str, known: &Known, catalogue: &Catalogue) -> Vec<String> {
    let body: Value = match serde_json::from_str(body) {
        Ok(body) => body,
        Err(error) => return vec![format!("the dashboard's body is not JSON: {error}")],
    };
    let Some(widgets) = body["widgets"].as_array().filter(|widgets| (1..=WIDGETS_MAX).contains(&widgets.len())) else {
        return vec![format!("the dashboard's body has no list of 1 to {WIDGETS_MAX} widgets")];
    };
    let mut problems = Vec::new();
    let mut taken = BTreeSet::new();
    for (at, widget) in widgets.iter().enumerate() {
        let title = widget["properties"]["title"]
            .as_str()
            .map_or_else(|| format!("widget {at}"), |title| format!("widget {title:?}"));
        let mut found = place(widget, &mut taken);
        found.extend(properties(widget, known, catalogue));
        problems.extend(found.into_iter().map(|what| format!("{title}: {what}")));
    }
    problems
}

/// Where it stands: within the grid and on no other.
fn place(widget: &Value, taken: &mut BTreeSet<(u64, u64)>) -> Vec<String> {
    let number = |name: &str| widget[name].as_u64();
    let (Some(x), Some(y), Some(width), Some(height)) = (number("x"), number("y"), number("width"), number("height"))
    else {
        return vec!["x, y, width and height are whole numbers".to_owned()];
    };
    if width == 0 || x.saturating_add(width) > COLUMNS || height == 0 || height > HEIGHT_MAX || y > HEIGHT_MAX {
        return vec![format!(
            "stands outside of the grid of {COLUMNS} columns: x {x}, y {y}, {width} wide, {height} high"
        )];
    }
    let cells = (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y)));
    let covered = cells.filter(|cell| !taken.insert(*cell)).count();
    if covered > 0 { vec![format!("covers another at x {x}, y {y}")] } else { Vec::new() }
}

fn properties(widget: &Value, known: &Known, catalogue: &Catalogue) -> Vec<String> {
    let properties = &widget["properties"];
    let text = |name: &str| properties[name].as_str().is_some_and(|text| !text.trim().is_empty());
    let kind = widget["type"].as_str().unwrap_or_default();
    let needs = |names: &[&str]| -> Vec<String> {
        names.iter().filter(|name| !text(name)).map(|name| format!("a {kind} widget needs {name}")).collect()
    };
    match kind {
        "text" => needs(&["markdown"]),
        "alarm" => {
            let arns = properties["alarms"].as_array().filter(|arns| !arns.is_empty());
            let arn = |arn: &Value| {
                arn.as_str().is_some_and(|arn| arn.starts_with("arn:aws:cloudwatch:") && arn.contains(":alarm:"))
            };
            let fine = arns.is_some_and(|arns| arns.iter().all(arn));
            if fine { needs(&["title"]) } else { vec!["alarms is a list of ARNs of alarms".to_owned()] }
        }
        "log" => {
            let mut problems = needs(&["title", "region", "query"]);
            problems.extend(logs::query(properties["query"].as_str().unwrap_or_default(), catalogue));
            problems
        }
        "metric" => {
            let mut problems = needs(&["title", "region", "view"]);
            problems.extend(metric_widget(properties, known));
            problems
        }
        other => vec![format!("there is no type {other:?}, only {}", KINDS.join(", "))],
    }
}

fn metric_widget(properties: &Value, known: &Known) -> Vec<String> {
    let mut problems = Vec::new();
    let names = properties.as_object().into_iter().flat_map(|map| map.keys());
    problems.extend(
        names.filter(|name| !PROPERTIES.contains(&name.as_str())).map(|name| format!("there is no property {name}")),
    );
    if !properties["view"].as_str().is_some_and(|view| VIEWS.contains(&view)) {
        problems.push(format!("there is no view {}", properties["view"]));
    }
    let Some(rows) = properties["metrics"].as_array().filter(|rows| (1..=METRICS_MAX).contains(&rows.len())) else {
        problems.push(format!("metrics is a list of 1 to {METRICS_MAX} lines"));
        return problems;
    };
    let ids: BTreeSet<&str> = rows.iter().filter_map(|row| row.as_array()?.last()?["id"].as_str()).collect();
    for row in rows {
        let Some(cells) = row.as_array().filter(|cells| !cells.is_empty()) else {
            problems.push(format!("{row} is no line of a graph"));
            continue;
        };
        let options = cells.last().and_then(Value::as_object);
        let unknown = options.into_iter().flat_map(|map| map.keys()).filter(|name| !OPTIONS.contains(&name.as_str()));
        problems.extend(unknown.map(|name| format!("a line has no option {name}")));
        let names: Option<Vec<&str>> =
            cells[..cells.len() - usize::from(options.is_some())].iter().map(Value::as_str).collect();
        match names.as_deref() {
            Some([]) => problems.extend(expression(options.and_then(|map| map["expression"].as_str()), &ids, known)),
            Some([namespace, name, dimensions @ ..]) if dimensions.len().is_multiple_of(2) => {
                let mut dimensions: Vec<String> = dimensions.iter().step_by(2).map(|&name| name.to_owned()).collect();
                dimensions.sort();
                problems.extend(known.names(namespace, name, &dimensions));
            }
            _ => problems.push(format!("{row} is not a namespace, a name, and pairs of a dimension and its value")),
        }
    }
    problems
}

fn expression(text: Option<&str>, ids: &BTreeSet<&str>, known: &Known) -> Vec<String> {
    let Some(text) = text else { return vec!["a line without a metric has an expression".to_owned()] };
    let parsed = match Expression::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => return vec![format!("the expression {text} does not parse: {error}")],
    };
    let unknown = parsed.ids().into_iter().filter(|id| !ids.contains(id));
    let mut problems: Vec<String> =
        unknown.map(|id| format!("the expression reads {id}, which is no id of the graph")).collect();
    parsed.visit(&mut |part| {
        if let Expression::Call("SEARCH", arguments) = part {
            match arguments.first() {
                Some(Expression::Text(search)) => problems.extend(searched(search, known)),
                _ => problems.push("SEARCH takes a text".to_owned()),
            }
        }
    });
    problems
}

/// `{namespace,dimension,dimension} MetricName="name" …`.
fn searched(search: &str, known: &Known) -> Option<String> {
    let (schema, rest) = search.strip_prefix('{')?.split_once('}')?;
    let mut schema = schema.split(',').map(str::trim);
    let namespace = schema.next()?;
    let mut dimensions: Vec<String> = schema.map(str::to_owned).collect();
    dimensions.sort();
    let name = rest.split_once("MetricName=\"").and_then(|(_, rest)| rest.split_once('"')).map_or("", |(name, _)| name);
    known.names(namespace, name, &dimensions)
}
