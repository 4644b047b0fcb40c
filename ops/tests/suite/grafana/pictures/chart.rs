//! Lines over time as SVG: axis, the limit as a dashed line, lines or areas on top of each other.

use std::fmt::Write;

use serde_json::Value;

use super::Series;
use super::units::with_unit;

/// In this order for the lines of a graph.
pub(super) const COLORS: [&str; 12] = [
    "#56a64b", "#f2a900", "#1f78c1", "#e02f44", "#8f3bb8", "#fa6400", "#37a2a8", "#a16a1d", "#7c8fa5", "#c15c97",
    "#3f6833", "#0a437c",
];

const LEFT: f64 = 62.0;
const BOTTOM: f64 = 16.0;
const TICKS: u32 = 4;

/// Where values and times are on the picture.
struct Axes {
    from: f64,
    to: f64,
    low: f64,
    high: f64,
    width: f64,
    height: f64,
}

impl Axes {
    fn x(&self, time: f64) -> f64 {
        LEFT + (time - self.from) / (self.to - self.from).max(1.0) * (self.width - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        (self.height - BOTTOM) * (1.0 - share)
    }
}

/// The graph of a panel, so large.
pub(super) fn svg(panel: &Value, series: &[Series], width: f64, height: f64) -> String {
    let defaults = &panel["fieldConfig"]["defaults"];
    let stacked = defaults["custom"]["stacking"]["mode"] == "normal";
    let lines: Vec<Vec<(f64, f64)>> =
        if stacked { stack(series) } else { series.iter().map(|s| s.points.clone()).collect() };
    let axes = axes(defaults, &lines, width, height);

    let mut out = format!(r#"<svg width="{width}" height="{height}" shape-rendering="crispEdges">"#);
    grid(&mut out, &axes, defaults["unit"].as_str().unwrap_or_default());
    for (at, line) in lines.iter().enumerate().rev() {
        let color = COLORS[at % COLORS.len()];
        let points: Vec<String> = line.iter().map(|(x, y)| format!("{:.1},{:.1}", axes.x(*x), axes.y(*y))).collect();
        let points = points.join(" ");
        if stacked && let (Some(first), Some(last)) = (line.first(), line.last()) {
            let (left, right, bottom) = (axes.x(first.0), axes.x(last.0), axes.y(axes.low));
            let area = format!("{left:.1},{bottom:.1} {points} {right:.1},{bottom:.1}");
            let _ = write!(out, r#"<polygon points="{area}" fill="{color}" fill-opacity="0.8"/>"#);
        }
        let _ = write!(out, r#"<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.3"/>"#);
    }
    limits(&mut out, &axes, defaults);
    out + "</svg>"
}

/// Each line on top of those before it; where one has no point, it adds nothing.
fn stack(series: &[Series]) -> Vec<Vec<(f64, f64)>> {
    let mut times: Vec<f64> = series.iter().flat_map(|series| series.points.iter().map(|(time, _)| *time)).collect();
    times.sort_by(f64::total_cmp);
    times.dedup();
    let mut below = vec![0.0; times.len()];
    let mut lines = Vec::new();
    for series in series {
        for (sum, time) in below.iter_mut().zip(&times) {
            *sum += series.points.iter().find(|(at, _)| at == time).map_or(0.0, |(_, value)| *value);
        }
        lines.push(times.iter().copied().zip(below.iter().copied()).collect());
    }
    lines
}

fn axes(defaults: &Value, lines: &[Vec<(f64, f64)>], width: f64, height: f64) -> Axes {
    let points = || lines.iter().flatten();
    let least = |of: &dyn Fn(&(f64, f64)) -> f64| points().map(of).fold(f64::INFINITY, f64::min);
    let most = |of: &dyn Fn(&(f64, f64)) -> f64| points().map(of).fold(f64::NEG_INFINITY, f64::max);
    let soft = |name: &str| defaults["custom"][name].as_f64();
    let low = soft("axisSoftMin").unwrap_or(f64::INFINITY).min(least(&|point| point.1));
    let low = defaults["min"].as_f64().unwrap_or(low);
    let most_value = most(&|point| point.1);
    let high = soft("axisSoftMax").map_or(most_value * 1.05, |high| high.max(most_value));
    let high = if high > low { high } else { low + 1.0 };
    Axes { from: least(&|point| point.0), to: most(&|point| point.0), low, high, width, height }
}

fn grid(out: &mut String, axes: &Axes, unit: &str) {
    for tick in 0..=TICKS {
        let value = axes.low + (axes.high - axes.low) * f64::from(tick) / f64::from(TICKS);
        let y = axes.y(value);
        let (text, baseline) = (with_unit(value, unit, 0.0), (y + 4.0).max(10.0));
        let _ = write!(
            out,
            r##"<line x1="{LEFT}" x2="{}" y1="{y:.1}" y2="{y:.1}" stroke="#e4e7eb"/><text x="{}" y="{baseline:.1}" class="tick" text-anchor="end">{text}</text>"##,
            axes.width,
            LEFT - 5.0
        );
    }
    for share in [0.0, 0.5, 1.0] {
        let time = axes.from + (axes.to - axes.from) * share;
        let anchor = if share == 0.0 {
            "start"
        } else if share == 0.5 {
            "middle"
        } else {
            "end"
        };
        let _ = write!(
            out,
            r#"<text x="{:.1}" y="{}" class="tick" text-anchor="{anchor}">{:.0} s</text>"#,
            axes.x(time),
            axes.height - 3.0,
            time - axes.from
        );
    }
}

/// The limits that are on the axis; those that are not say where they are.
fn limits(out: &mut String, axes: &Axes, defaults: &Value) {
    if defaults["custom"]["thresholdsStyle"]["mode"] != "dashed" {
        return;
    }
    let steps = defaults["thresholds"]["steps"].as_array();
    for value in steps.into_iter().flatten().filter_map(|step| step["value"].as_f64()) {
        if (axes.low..=axes.high).contains(&value) {
            let y = axes.y(value);
            let _ = write!(
                out,
                r##"<line x1="{LEFT}" x2="{}" y1="{y:.1}" y2="{y:.1}" stroke="#e02f44" stroke-width="1.5" stroke-dasharray="8 5"/>"##,
                axes.width
            );
        }
    }
}
