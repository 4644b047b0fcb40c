//! How a panel looks, as Grafana reads it: units, limits, colours, legends.

use serde::Serialize;

/// How values look.
#[derive(Debug, Serialize)]
pub struct FieldConfig {
    /// For all of them.
    pub defaults: Defaults,
    /// None.
    pub overrides: [(); 0],
}

/// How a value looks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    /// One of Grafana's units.
    pub unit: &'static str,
    /// Digits after the point, where Grafana would round 99.99 % up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u32>,
    /// Where the axis starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Where its colour comes from.
    pub color: Color,
    /// Where good ends.
    pub thresholds: Thresholds,
    /// Values that are called by a word.
    pub mappings: Vec<Mapping>,
    /// For graphs only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<Custom>,
}

/// Where a colour comes from.
#[derive(Debug, Serialize)]
pub struct Color {
    /// `palette-classic` for lines, `thresholds` for figures.
    pub mode: &'static str,
}

/// Where good ends.
#[derive(Debug, Serialize)]
pub struct Thresholds {
    /// `absolute`.
    pub mode: &'static str,
    /// Ascending; the first has no value.
    pub steps: Vec<Step>,
}

/// A colour from a value on.
#[derive(Debug, Serialize)]
pub struct Step {
    /// The colour.
    pub color: &'static str,
    /// `null` for the first.
    pub value: Option<f64>,
}

/// A value that is called by a word.
#[derive(Debug, Serialize)]
pub struct Mapping {
    /// `value`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The value as text, and the word.
    pub options: std::collections::BTreeMap<&'static str, Word>,
}

/// A word for a value.
#[derive(Debug, Serialize)]
pub struct Word {
    /// The word.
    pub text: &'static str,
    /// Of several.
    pub index: u32,
}

/// How a graph is drawn.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Custom {
    /// Of the lines.
    pub line_width: u32,
    /// Of the area below, in percent.
    pub fill_opacity: u32,
    /// Lines on top of each other.
    pub stacking: Stacking,
    /// The threshold as a line.
    pub thresholds_style: ThresholdsStyle,
    /// The axis goes down to this at least, so that the line is on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub axis_soft_min: Option<f64>,
    /// The axis goes up to this at least, so that the line is on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub axis_soft_max: Option<f64>,
}

/// Lines on top of each other.
#[derive(Debug, Serialize)]
pub struct Stacking {
    /// `none` or `normal`.
    pub mode: &'static str,
}

/// The threshold as a line.
#[derive(Debug, Serialize)]
pub struct ThresholdsStyle {
    /// `off` or `dashed`.
    pub mode: &'static str,
}

/// How a panel looks.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Options {
    /// Lines over time.
    Graph(GraphOptions),
    /// A figure for each series.
    Stat(StatOptions),
}

/// Lines over time.
#[derive(Debug, Serialize)]
pub struct GraphOptions {
    /// Which line is what.
    pub legend: Legend,
    /// The values at a time.
    pub tooltip: Tooltip,
}

/// Which line is what.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Legend {
    /// What is computed for each line.
    pub calcs: Vec<&'static str>,
    /// `list` or `table`.
    pub display_mode: &'static str,
    /// `bottom` or `right`.
    pub placement: &'static str,
    /// Always.
    pub show_legend: bool,
}

/// The values at a time.
#[derive(Debug, Serialize)]
pub struct Tooltip {
    /// `multi`: of all lines.
    pub mode: &'static str,
    /// `desc`: the largest first.
    pub sort: &'static str,
}

/// A figure for each series.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatOptions {
    /// Which value of the time range.
    pub reduce_options: Reduce,
    /// `value`: the figure has the colour.
    pub color_mode: &'static str,
    /// `none`: what is of now has no course to draw.
    pub graph_mode: &'static str,
    /// Grafana chooses.
    pub justify_mode: &'static str,
    /// Grafana chooses.
    pub orientation: &'static str,
    /// Of the change, which is not shown.
    pub percent_change_color_mode: &'static str,
    /// No.
    pub show_percent_change: bool,
    /// `value_and_name`, or `name` where the labels are what is asked for.
    pub text_mode: &'static str,
    /// Name and figure side by side where there is room.
    pub wide_layout: bool,
}

/// Which value of the time range.
#[derive(Debug, Serialize)]
pub struct Reduce {
    /// `lastNotNull`.
    pub calcs: Vec<&'static str>,
    /// All.
    pub fields: &'static str,
    /// One for each series.
    pub values: bool,
}
