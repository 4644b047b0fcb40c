//! A dashboard as Grafana reads it: its classic JSON model, as far as ours need it. The order of the fields is the order in
//! the file.

use serde::Serialize;

use super::look::{FieldConfig, Options};

/// Of the model that these types describe; Grafana migrates an older one when it loads it.
pub const SCHEMA_VERSION: u32 = 41;

/// A whole file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dashboard {
    /// Stands in addresses: `/d/<uid>`.
    pub uid: &'static str,
    /// In the list of dashboards.
    pub title: &'static str,
    /// What it is for, and where it comes from.
    pub description: String,
    /// Dashboards with the same tag link to each other.
    pub tags: Vec<&'static str>,
    /// Never: what somebody changes here is gone with the next release.
    pub editable: bool,
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Of the reader, who compares with what users say.
    pub timezone: &'static str,
    /// How often the panels are read again.
    pub refresh: &'static str,
    /// What is shown at first.
    pub time: TimeRange,
    /// 1: one cross hair for all panels.
    pub graph_tooltip: u8,
    /// At the top.
    pub links: Vec<Link>,
    /// Vertical lines in all graphs.
    pub annotations: List<Annotation>,
    /// What can be chosen at the top.
    pub templating: List<Variable>,
    /// Rows and panels in reading order.
    pub panels: Vec<Item>,
}

/// From and to, relative to now.
#[derive(Debug, Serialize)]
pub struct TimeRange {
    /// Such as `now-6h`.
    pub from: &'static str,
    /// Such as `now`.
    pub to: &'static str,
}

/// Grafana wraps some lists.
#[derive(Debug, Serialize)]
pub struct List<T> {
    /// What is in it.
    pub list: Vec<T>,
}

/// A link of a dashboard or a panel.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// As people read it.
    pub title: String,
    /// `link`, or `dashboards` for all with the tags.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// For `link`.
    pub url: String,
    /// For `dashboards`.
    pub tags: Vec<&'static str>,
    /// As a menu.
    pub as_dropdown: bool,
    /// The symbol before it.
    pub icon: &'static str,
    /// What shows when the mouse rests on it.
    pub tooltip: &'static str,
    /// In a new tab.
    pub target_blank: bool,
    /// The times go with it.
    pub keep_time: bool,
    /// The chosen values go with it.
    pub include_vars: bool,
}

/// Which data source.
#[derive(Debug, Clone, Serialize)]
pub struct Source {
    /// Its plugin.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Which one.
    pub uid: &'static str,
}

/// The one that is chosen at the top of each dashboard.
pub const SOURCE: Source = Source { kind: "prometheus", uid: "${datasource}" };

/// Points in time that stand in every graph.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Annotation {
    /// Beside its switch.
    pub name: &'static str,
    /// Where they come from.
    pub datasource: Source,
    /// On at first.
    pub enable: bool,
    /// Whether its switch is left out.
    pub hide: bool,
    /// Of the lines.
    pub icon_color: &'static str,
    /// What one says first.
    pub title_format: &'static str,
    /// While it has a value, the point lasts.
    pub target: Target,
}

/// Something that can be chosen at the top.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    /// As queries name it.
    pub name: &'static str,
    /// As people read it.
    pub label: &'static str,
    /// `datasource` or `query`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where its values come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datasource: Option<Source>,
    /// What gives the values.
    pub query: String,
    /// Which of them.
    pub regex: &'static str,
    /// 1 when the dashboard opens, 2 also with the times.
    pub refresh: u8,
    /// 1: by the alphabet.
    pub sort: u8,
    /// Several at once.
    pub multi: bool,
    /// All of them at once.
    pub include_all: bool,
    /// What "All" is in a matcher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all_value: Option<&'static str>,
    /// What is chosen at first.
    pub current: Choice,
}

/// A chosen value.
#[derive(Debug, Clone, Serialize)]
pub struct Choice {
    /// As people read it.
    pub text: &'static str,
    /// As Grafana keeps it.
    pub value: &'static str,
}

/// What stands in the grid.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Item {
    /// A heading.
    Row(Row),
    /// A panel.
    Panel(Box<Panel>),
}

/// A heading.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Unique in the dashboard.
    pub id: u32,
    /// `row`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The question that its panels answer together.
    pub title: &'static str,
    /// Never: what is folded is overlooked.
    pub collapsed: bool,
    /// Where it stands.
    pub grid_pos: Place,
    /// Of a folded row.
    pub panels: [(); 0],
}

/// In units of a 24th of the width, and of 30 pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Place {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// Width.
    pub w: u32,
    /// Height.
    pub h: u32,
}

/// A panel.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Panel {
    /// Unique in the dashboard.
    pub id: u32,
    /// `timeseries` or `stat`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The question that it answers.
    pub title: String,
    /// What it shows, and what good looks like.
    pub description: String,
    /// Where it stands.
    pub grid_pos: Place,
    /// The chosen one.
    pub datasource: Source,
    /// What it asks Prometheus.
    pub targets: Vec<Target>,
    /// How a value looks.
    pub field_config: FieldConfig,
    /// How the panel looks.
    pub options: Options,
    /// To the runbook that helps when it looks bad.
    pub links: Vec<Link>,
}

/// One query.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// `A`, `B`, …
    pub ref_id: String,
    /// The chosen one.
    pub datasource: Source,
    /// PromQL with variables.
    pub expr: String,
    /// What a line is called, from its labels.
    pub legend_format: String,
    /// The last value only.
    pub instant: bool,
    /// Values over time.
    pub range: bool,
    /// Points of single requests, each with a link to its trace.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exemplar: bool,
}
