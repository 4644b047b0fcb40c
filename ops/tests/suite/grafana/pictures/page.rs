//! A dashboard as a page: its panels where the grid has them, each with title, graph and legend.

use std::fmt::Write;

use serde_json::Value;

use super::Series;
use super::chart::{COLORS, svg};
use super::units::shown;
use crate::harness::dashboards::list;

/// Of the picture.
pub(super) const WIDTH: u32 = 1344;
const HEADER: f64 = 72.0;
const COLUMN: f64 = 56.0;
const ROW: f64 = 30.0;
const GAP: f64 = 6.0;
const TITLE: f64 = 30.0;
const LEGEND_LINE: f64 = 16.0;
/// More lines have no room in a legend; the largest are named.
const NAMED_MAX: usize = 4;

const STYLE: &str = "body{margin:0;background:#f4f5f7;font:13px/16px 'DejaVu Sans',sans-serif;color:#24292e}\
    h1{font-size:20px;margin:12px 10px 4px}p{margin:0 10px;color:#5a6472;font-size:12px}\
    .panel{position:absolute;background:#fff;border:1px solid #d5d9df;border-radius:3px;overflow:hidden}\
    .row{position:absolute;font-weight:bold;font-size:14px;padding-left:10px;line-height:30px}\
    .title{font-weight:bold;font-size:12px;line-height:15px;padding:4px 8px 0;height:26px;display:flex;align-items:center}\
    .tick{font-size:10px;fill:#5a6472}.legend{font-size:11px;padding:0 8px;white-space:nowrap;line-height:16px}\
    .legend i{display:inline-block;width:12px;height:3px;margin:0 5px 3px 0}.legend b{float:right;font-weight:normal}\
    .figures{display:flex;justify-content:space-around;align-items:center;text-align:center;flex-wrap:wrap;padding:0 8px}\
    .figure{font-size:22px;line-height:26px}.figure small{display:block;font-size:11px;line-height:14px;color:#5a6472}\
    .name{font-size:14px;line-height:18px;overflow-wrap:anywhere}\
    .none{color:#98a1ad;text-align:center;padding-top:20px}";

/// The page, and how high it is in pixels.
pub(super) fn html(dashboard: &Value, panels: &[&Value], data: &[Vec<Series>]) -> (String, u32) {
    let title = text(&dashboard["title"]);
    let mut out = format!(
        "<!doctype html><meta charset=utf-8><style>{STYLE}</style><h1>{title}</h1><p>Drawn by scripts/pictures from this \
         dashboard's own queries, against a real Prometheus that scraped two instances of the service under a drive \
         of two minutes: a debug build on a busy machine, so the figures say nothing about its speed. Not a picture of Grafana.</p>"
    );
    let mut bottom: f64 = 0.0;
    for row in list(&dashboard["panels"]).iter().filter(|panel| panel["type"] == "row") {
        let (x, y, _, _) = place(row);
        let _ = write!(out, r#"<div class="row" style="left:{x}px;top:{y}px">{}</div>"#, text(&row["title"]));
    }
    for (panel, series) in panels.iter().zip(data) {
        let (x, y, width, height) = place(panel);
        bottom = bottom.max(y + height);
        let style = format!("left:{x}px;top:{y}px;width:{width}px;height:{height}px");
        let body = body(panel, series, width, height - TITLE);
        let title = text(&panel["title"]);
        let _ = write!(out, r#"<div class="panel" style="{style}"><div class="title">{title}</div>{body}</div>"#);
    }
    (out, (bottom + GAP).ceil() as u32)
}

/// Left, top, width and height in pixels.
fn place(panel: &Value) -> (f64, f64, f64, f64) {
    let side = |name: &str| panel["gridPos"][name].as_f64().expect("a place");
    (side("x") * COLUMN + GAP / 2.0, HEADER + side("y") * ROW, side("w") * COLUMN - GAP, side("h") * ROW - GAP)
}

fn body(panel: &Value, series: &[Series], width: f64, height: f64) -> String {
    if series.is_empty() {
        return r#"<div class="none">nothing in this run emits it</div>"#.to_owned();
    }
    if panel["type"] == "stat" {
        return figures(panel, series, height);
    }
    let named = series.len().min(NAMED_MAX);
    let more = usize::from(series.len() > named);
    let legend_height = (named + more) as f64 * LEGEND_LINE + 4.0;
    let graph = svg(panel, series, width - 12.0, height - legend_height - 2.0);
    format!("{graph}{}", legend(panel, series, named))
}

/// The largest lines, with their last value.
fn legend(panel: &Value, series: &[Series], named: usize) -> String {
    let peak = |series: &Series| series.points.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
    let mut order: Vec<usize> = (0..series.len()).collect();
    order.sort_by(|a, b| peak(&series[*b]).total_cmp(&peak(&series[*a])));
    let mut out = String::new();
    for at in order.into_iter().take(named) {
        let (name, value) = (escape(&series[at].name), last(panel, &series[at]));
        let color = COLORS[at % COLORS.len()];
        let _ = write!(out, r#"<div class="legend"><i style="background:{color}"></i>{name}<b>{value}</b></div>"#);
    }
    if series.len() > named {
        let _ = write!(out, r#"<div class="legend">and {} more</div>"#, series.len() - named);
    }
    out
}

fn figures(panel: &Value, series: &[Series], height: f64) -> String {
    let names = panel["options"]["textMode"] == "name";
    let mut out = format!(r#"<div class="figures" style="height:{height}px">"#);
    for series in series {
        let (name, value) = (escape(&series.name), last(panel, series));
        let color = color(panel, series);
        let _ = if names {
            write!(out, r#"<div class="figure name">{name}</div>"#)
        } else {
            write!(out, r#"<div class="figure" style="color:{color}">{value}<small>{name}</small></div>"#)
        };
    }
    out + "</div>"
}

/// The colour of the last step that the value has reached, where there is a limit.
fn color(panel: &Value, series: &Series) -> &'static str {
    let value = series.points.last().map_or(f64::NAN, |(_, value)| *value);
    let steps = list(&panel["fieldConfig"]["defaults"]["thresholds"]["steps"]);
    let reached = steps.iter().rfind(|step| step["value"].as_f64().is_none_or(|from| value >= from));
    match reached.and_then(|step| step["color"].as_str()) {
        Some("red") => "#e02f44",
        Some("green") if steps.len() > 1 => "#37872d",
        _ => "#24292e",
    }
}

fn last(panel: &Value, series: &Series) -> String {
    series.points.last().map_or_else(String::new, |(time, value)| shown(panel, *value, *time))
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
