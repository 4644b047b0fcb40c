//! A panel as our dashboards are written: a question, what good looks like, and the queries that answer it.

use super::{look, model};

/// In units of Grafana's grid.
const GRAPH_HEIGHT: u32 = 8;

/// What a value is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Requests per second.
    RequestRate,
    /// Operations per second.
    OperationRate,
    /// Anything else counted, per second.
    Rate,
    /// Seconds, shown as milliseconds where they are few.
    Seconds,
    /// 0 to 1, shown in percent.
    Share,
    /// Bytes.
    Bytes,
    /// A number of things, or a factor.
    Count,
    /// Milliseconds since 1970, shown as how long ago.
    Ago,
}

impl Unit {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::RequestRate,
        Self::OperationRate,
        Self::Rate,
        Self::Seconds,
        Self::Share,
        Self::Bytes,
        Self::Count,
        Self::Ago,
    ];

    /// As Grafana calls it.
    pub const fn id(self) -> &'static str {
        match self {
            Self::RequestRate => "reqps",
            Self::OperationRate => "ops",
            Self::Rate => "cps",
            Self::Seconds => "s",
            Self::Share => "percentunit",
            Self::Bytes => "bytes",
            Self::Count => "short",
            Self::Ago => "dateTimeFromNow",
        }
    }
}

/// Where good ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// Good is up to this value.
    AtMost(f64),
    /// Good is from this value on.
    AtLeast(f64),
}

impl Limit {
    /// As steps of colours; where the limit is, the line is drawn.
    fn steps(self) -> Vec<look::Step> {
        let step = |color, value: Option<f64>| look::Step { color, value: value.map(tidy) };
        match self {
            Self::AtMost(most) => vec![step("green", None), step("red", Some(most))],
            Self::AtLeast(least) => vec![step("red", None), step("green", Some(least))],
        }
    }
}

impl Limit {
    /// How far an axis reaches at least, so that the line is on it and not at its edge.
    fn reach(self, unit: Unit) -> (Option<f64>, Option<f64>) {
        const BEYOND: f64 = 1.1;
        match self {
            Self::AtLeast(least) if unit == Unit::Share => (Some(tidy(1.0 - (1.0 - least) * BEYOND)), Some(1.0)),
            Self::AtMost(value) | Self::AtLeast(value) => (None, Some(tidy(value * BEYOND))),
        }
    }
}

/// Without the dust of binary fractions: 1 - 0.999 is 0.001.
pub fn tidy(value: f64) -> f64 {
    const DIGITS: f64 = 1e9;
    (value * DIGITS).round() / DIGITS
}

/// How it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    Stacked,
    Figures,
    Names,
}

/// A panel.
#[derive(Debug, Clone)]
pub struct Panel {
    title: String,
    description: String,
    unit: Unit,
    form: Form,
    queries: Vec<(String, String)>,
    limit: Option<Limit>,
    words: Vec<(&'static str, &'static str)>,
    from_zero: bool,
    exemplars: bool,
    runbook: Option<&'static str>,
    /// In 24ths of the dashboard's width.
    pub width: u32,
    /// In units of the grid.
    pub height: u32,
}

impl Panel {
    fn new(form: Form, title: impl Into<String>, unit: Unit, height: u32) -> Self {
        Self {
            title: title.into(),
            description: String::new(),
            unit,
            form,
            queries: Vec::new(),
            limit: None,
            words: Vec::new(),
            from_zero: true,
            exemplars: false,
            runbook: None,
            width: 8,
            height,
        }
    }

    /// A line for each series, over time. The title is a question.
    pub fn graph(title: impl Into<String>, unit: Unit) -> Self {
        Self::new(Form::Lines, title, unit, GRAPH_HEIGHT)
    }

    /// The same, on top of each other: for parts of a whole.
    pub fn stacked(title: impl Into<String>, unit: Unit) -> Self {
        Self::new(Form::Stacked, title, unit, GRAPH_HEIGHT)
    }

    /// A figure for each series.
    pub fn figures(title: impl Into<String>, unit: Unit) -> Self {
        Self::new(Form::Figures, title, unit, 4)
    }

    /// The name of each series: its labels are the answer.
    pub fn names(title: impl Into<String>) -> Self {
        Self::new(Form::Names, title, Unit::Count, 4)
    }

    /// What it shows, and what good looks like.
    pub fn good(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// A query. In it `@target` stands for the matchers of job and instance, `@rate` for the interval that fits the zoom.
    pub fn query(mut self, legend: &str, expression: impl AsRef<str>) -> Self {
        let expression = expression.as_ref().replace("@target", TARGET).replace("@rate", "[$__rate_interval]");
        self.queries.push((legend.to_owned(), expression));
        self
    }

    /// Where good ends.
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limit = Some(limit);
        self
    }

    /// A word for a value.
    pub fn word(mut self, value: &'static str, word: &'static str) -> Self {
        self.words.push((value, word));
        self
    }

    /// The axis shows the values only: for shares near 1, and for what can be below 0.
    pub fn free_axis(mut self) -> Self {
        self.from_zero = false;
        self
    }

    /// In 24ths of the dashboard's width, where it is not a third.
    pub fn width(mut self, width: u32) -> Self {
        self.width = width;
        self
    }

    /// As tall as a graph, to stand beside one.
    pub fn tall(mut self) -> Self {
        self.height = GRAPH_HEIGHT;
        self
    }

    /// With points of single requests, which lead to their traces: for queries of a histogram that has exemplars.
    pub fn exemplars(mut self) -> Self {
        self.exemplars = true;
        self
    }

    /// The alert or alarm whose runbook helps when it looks bad.
    pub fn runbook(mut self, alert: &'static str) -> Self {
        self.runbook = Some(alert);
        self
    }

    /// The question.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The first sentence of what it shows.
    pub fn summary(&self) -> &str {
        self.description.split_once(". ").map_or(&self.description, |(first, _)| first)
    }

    /// As Grafana reads it.
    pub fn model(self, id: u32, grid_pos: model::Place, runbooks: &str) -> model::Panel {
        let figure = matches!(self.form, Form::Figures | Form::Names);
        let links = self.runbook.map(|alert| link("Runbook", format!("{runbooks}/{alert}.md"), "doc"));
        let steps = self.limit.map_or_else(|| vec![look::Step { color: "green", value: None }], Limit::steps);
        let from_zero = self.from_zero && self.unit != Unit::Ago;
        let defaults = look::Defaults {
            unit: self.unit.id(),
            decimals: (self.unit == Unit::Share && !self.from_zero).then_some(2),
            min: from_zero.then_some(0.0),
            color: look::Color { mode: if figure { "thresholds" } else { "palette-classic" } },
            thresholds: look::Thresholds { mode: "absolute", steps },
            mappings: mappings(&self.words),
            custom: (!figure).then(|| custom(self.form, self.limit.map(|limit| limit.reach(self.unit)))),
        };
        model::Panel {
            id,
            kind: if figure { "stat" } else { "timeseries" },
            title: self.title,
            description: self.description,
            grid_pos,
            datasource: model::SOURCE,
            targets: self
                .queries
                .into_iter()
                .zip('A'..='Z')
                .map(|query| target(query, figure, self.exemplars))
                .collect(),
            field_config: look::FieldConfig { defaults, overrides: [] },
            options: options(self.form, self.limit.is_some()),
            links: links.into_iter().collect(),
        }
    }
}

/// The matchers that every query of a scraped series has.
pub const TARGET: &str = r#"job=~"$job", instance=~"$instance""#;

/// A link to a page of another site, in a new tab.
pub fn link(title: &str, url: String, icon: &'static str) -> model::Link {
    model::Link {
        title: title.to_owned(),
        kind: "link",
        url,
        tags: Vec::new(),
        as_dropdown: false,
        icon,
        tooltip: "",
        target_blank: true,
        keep_time: false,
        include_vars: false,
    }
}

/// A figure is of now: the last value of a range would show what was as what is, for as long as the dashboard looks back.
fn target(((legend_format, expr), ref_id): ((String, String), char), figure: bool, exemplar: bool) -> model::Target {
    model::Target {
        ref_id: ref_id.to_string(),
        datasource: model::SOURCE,
        expr,
        legend_format,
        instant: figure,
        range: !figure,
        exemplar,
    }
}

fn mappings(words: &[(&'static str, &'static str)]) -> Vec<look::Mapping> {
    let word = |(index, (value, text)): (u32, &(&'static str, &'static str))| (*value, look::Word { text, index });
    let options: std::collections::BTreeMap<_, _> = (0..).zip(words).map(word).collect();
    if options.is_empty() { Vec::new() } else { vec![look::Mapping { kind: "value", options }] }
}

fn custom(form: Form, reach: Option<(Option<f64>, Option<f64>)>) -> look::Custom {
    let (axis_soft_min, axis_soft_max) = reach.unwrap_or_default();
    look::Custom {
        line_width: 1,
        fill_opacity: if form == Form::Stacked { 40 } else { 0 },
        stacking: look::Stacking { mode: if form == Form::Stacked { "normal" } else { "none" } },
        thresholds_style: look::ThresholdsStyle { mode: if reach.is_some() { "dashed" } else { "off" } },
        axis_soft_min,
        axis_soft_max,
    }
}

fn options(form: Form, limited: bool) -> look::Options {
    if matches!(form, Form::Lines | Form::Stacked) {
        return look::Options::Graph(look::GraphOptions {
            legend: look::Legend {
                calcs: vec!["lastNotNull", "max"],
                display_mode: "table",
                placement: "bottom",
                show_legend: true,
            },
            tooltip: look::Tooltip { mode: "multi", sort: "desc" },
        });
    }
    look::Options::Stat(look::StatOptions {
        reduce_options: look::Reduce { calcs: vec!["lastNotNull"], fields: "", values: false },
        color_mode: if limited { "value" } else { "none" },
        graph_mode: "none",
        justify_mode: "auto",
        orientation: "auto",
        percent_change_color_mode: "standard",
        show_percent_change: false,
        text_mode: if form == Form::Names { "name" } else { "value_and_name" },
        wide_layout: true,
    })
}
