//! A dashboard as ours are written: what can be chosen, and panels under headings. Places in the grid are computed.

use super::model::{self, Dashboard, Item, Place};
use super::panel::{Panel, TARGET, link};

/// Of Grafana's grid.
const COLUMNS: u32 = 24;

/// Says where a file comes from, since JSON has no comments.
const ORIGIN: &str =
    "Rendered by `cargo run -p ops -- render` from slo.toml: change ops/src/grafana/boards, not this file.";

/// A dashboard.
#[derive(Debug, Clone)]
pub struct Board {
    /// Stands in addresses, and is the name of the file.
    pub uid: &'static str,
    /// In the list of dashboards.
    pub title: &'static str,
    /// Who looks here, and for what.
    pub about: &'static str,
    /// What is shown at first: `now-6h`.
    pub from: &'static str,
    /// A metric that every target of this dashboard has: its values of `job` and `instance` can be chosen.
    pub targets_of: &'static str,
    /// What can be chosen besides data source, job and instance.
    pub choices: Vec<Choice>,
    /// Headings with their panels.
    pub sections: Vec<(&'static str, Vec<Panel>)>,
}

/// A label whose values can be chosen.
#[derive(Debug, Clone)]
pub struct Choice {
    /// As queries name it.
    pub name: &'static str,
    /// As people read it.
    pub label: &'static str,
    /// What has the label; `@target` as in a panel's query.
    pub series: &'static str,
    /// The label.
    pub of: &'static str,
    /// What is chosen at first, where it is not All.
    pub first: Option<&'static str>,
}

impl Board {
    /// Its file, from the repository's root.
    pub fn path(&self) -> String {
        format!("{}/{}.json", super::FOLDER, self.uid)
    }

    /// As Grafana reads it.
    pub fn model(self, slo: &slo::Slo) -> Dashboard {
        Dashboard {
            uid: self.uid,
            title: self.title,
            description: format!("{} {ORIGIN}", self.about),
            tags: vec![super::TAG],
            editable: false,
            schema_version: model::SCHEMA_VERSION,
            timezone: "browser",
            refresh: "30s",
            time: model::TimeRange { from: self.from, to: "now" },
            graph_tooltip: 1,
            links: links(&slo.links),
            annotations: model::List { list: vec![deploys()] },
            templating: model::List { list: variables(self.targets_of, &self.choices) },
            panels: grid(self.sections, &slo.links.runbooks),
        }
    }
}

/// Puts panels side by side while there is room, each heading on a line of its own.
fn grid(sections: Vec<(&'static str, Vec<Panel>)>, runbooks: &str) -> Vec<Item> {
    let (mut items, mut id, mut y) = (Vec::new(), 0, 0);
    for (title, panels) in sections {
        id += 1;
        let grid_pos = Place { x: 0, y, w: COLUMNS, h: 1 };
        items.push(Item::Row(model::Row { id, kind: "row", title, collapsed: false, grid_pos, panels: [] }));
        y += 1;
        let (mut x, mut tallest) = (0, 0);
        for panel in panels {
            if x + panel.width > COLUMNS {
                (x, y, tallest) = (0, y + tallest, 0);
            }
            id += 1;
            let (w, h) = (panel.width, panel.height);
            items.push(Item::Panel(Box::new(panel.model(id, Place { x, y, w, h }, runbooks))));
            (x, tallest) = (x + w, tallest.max(h));
        }
        y += tallest;
    }
    items
}

fn links(links: &slo::Links) -> Vec<model::Link> {
    let dashboards = model::Link {
        kind: "dashboards",
        tags: vec![super::TAG],
        as_dropdown: true,
        target_blank: false,
        keep_time: true,
        ..link("Dashboards", String::new(), "external link")
    };
    vec![
        dashboards,
        link("Runbooks", links.runbooks.clone(), "doc"),
        link("Traces", explore("traces"), "bolt"),
        link("Logs", explore("logs"), "bolt"),
    ]
}

/// Grafana's page for free queries, at the data source of this uid and the times that the dashboard shows.
fn explore(uid: &str) -> String {
    let pane = format!(
        r#"{{"a":{{"datasource":"{uid}","queries":[{{"refId":"A"}}],"range":{{"from":"${{__from}}","to":"${{__to}}"}}}}}}"#
    );
    // The dollar and the braces of a variable stay: Grafana looks for them before the browser does.
    let mut encoded = String::new();
    let mut rest = pane.as_str();
    while let Some(start) = rest.find("${") {
        let end = rest[start..].find('}').map_or(rest.len(), |length| start + length + 1);
        encoded += &percent(&rest[..start]);
        encoded += &rest[start..end];
        rest = &rest[end..];
    }
    format!("/explore?schemaVersion=1&panes={encoded}{}", percent(rest))
}

fn percent(text: &str) -> String {
    let encode = |character| match character {
        '{' => "%7B".to_owned(),
        '}' => "%7D".to_owned(),
        '[' => "%5B".to_owned(),
        ']' => "%5D".to_owned(),
        '"' => "%22".to_owned(),
        other => other.to_string(),
    };
    text.chars().map(encode).collect()
}

/// A line where a version appears that was not there five minutes before.
fn deploys() -> model::Annotation {
    let builds = format!("max by (version, revision) (build_info{{{TARGET}}})");
    let before = format!("max by (version, revision) (build_info{{{TARGET}}} offset 5m)");
    model::Annotation {
        name: "Deploys",
        datasource: model::SOURCE,
        enable: true,
        hide: false,
        icon_color: "purple",
        title_format: "Deploy {{version}} {{revision}}",
        target: model::Target {
            ref_id: "A".to_owned(),
            datasource: model::SOURCE,
            expr: format!("{builds} unless {before}"),
            legend_format: "{{version}} {{revision}}".to_owned(),
            instant: false,
            range: true,
            exemplar: false,
        },
    }
}

fn variables(targets_of: &str, choices: &[Choice]) -> Vec<model::Variable> {
    let mut variables = vec![
        model::Variable {
            name: "datasource",
            label: "Data Source",
            kind: "datasource",
            datasource: None,
            query: "prometheus".to_owned(),
            regex: "",
            refresh: 1,
            sort: 1,
            multi: false,
            include_all: false,
            all_value: None,
            current: model::Choice { text: "default", value: "default" },
        },
        several("job", "Job", format!("label_values({targets_of}, job)")),
        several("instance", "Instance", format!(r#"label_values({targets_of}{{job=~"$job"}}, instance)"#)),
    ];
    variables.extend(choices.iter().map(|choice| {
        let series = choice.series.replace("@target", TARGET);
        let all = several(choice.name, choice.label, format!("label_values({series}, {})", choice.of));
        let current = choice.first.map_or(all.current.clone(), |value| model::Choice { text: value, value });
        model::Variable { current, ..all }
    }));
    variables
}

/// A variable of which any number of values can be chosen. All of them are `.+`: they need no list of their own in each
/// query, and what is new is in at once.
fn several(name: &'static str, label: &'static str, query: String) -> model::Variable {
    model::Variable {
        name,
        label,
        kind: "query",
        datasource: Some(model::SOURCE),
        query,
        regex: "",
        refresh: 2,
        sort: 1,
        multi: true,
        include_all: true,
        all_value: Some(".+"),
        current: model::Choice { text: "All", value: "$__all" },
    }
}
