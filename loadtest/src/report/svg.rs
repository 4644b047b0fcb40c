//! Curves over time as SVG, so that the report is one file and needs no script.

use std::fmt::Write as _;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 28.0;
/// Points of a curve at most: more than the picture has room for are put together, the highest standing for them.
const POINTS_MAX: usize = 900;

/// One curve.
pub(super) struct Curve<'a> {
    /// Its name in the legend.
    pub name: &'a str,
    /// A class that the style sheet colours.
    pub class: &'a str,
    /// Its height at each second.
    pub values: Vec<f64>,
}

/// How heights become places on the picture.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// Evenly, from 0.
    Linear,
    /// By magnitude: a stall and a usual answer are both seen.
    Log,
}

/// A picture of curves over seconds. `limit` is a dashed line with its label; `unit` writes a height.
pub(super) fn curves(
    curves: &[Curve<'_>],
    scale: Scale,
    limit: Option<(f64, &str)>,
    unit: &dyn Fn(f64) -> String,
) -> String {
    let seconds = curves.iter().map(|curve| curve.values.len()).max().unwrap_or(0).max(2);
    let heights = curves.iter().flat_map(|curve| curve.values.iter().copied()).chain(limit.map(|limit| limit.0));
    let positive: Vec<f64> = heights.filter(|height| *height > 0.0).collect();
    let highest = positive.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let lowest = positive.iter().copied().fold(highest, f64::min);
    let (from, to) = match scale {
        Scale::Linear => (0.0, highest * 1.1),
        Scale::Log => (10_f64.powf(lowest.log10().floor()), 10_f64.powf((highest * 1.05).log10().ceil())),
    };
    let x = |second: f64| LEFT + second / (seconds - 1) as f64 * (WIDTH - LEFT - RIGHT);
    let y = |height: f64| {
        let share = match scale {
            Scale::Linear => height / to,
            Scale::Log => (height.max(from).log10() - from.log10()) / (to.log10() - from.log10()),
        };
        HEIGHT - BOTTOM - share.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    };
    let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    // Writing to a string cannot fail: the results below are dropped for that.
    for tick in ticks(scale, from, to) {
        let at = y(tick);
        let (right, text) = (WIDTH - RIGHT, unit(tick));
        let _ = write!(out, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>");
        let _ = write!(out, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", LEFT - 6.0, at + 4.0);
    }
    let parts = (seconds - 1).min(6);
    for part in 0..=parts {
        let second = (seconds - 1) as f64 * part as f64 / parts as f64;
        let (at, bottom) = (x(second), HEIGHT - 8.0);
        let _ = write!(out, "<text x=\"{at:.1}\" y=\"{bottom}\" text-anchor=\"middle\">{second:.0} s</text>");
    }
    for curve in curves {
        let points: Vec<String> = thinned(&curve.values)
            .into_iter()
            .map(|(second, height)| format!("{:.1},{:.1}", x(second), y(height)))
            .collect();
        let _ = write!(out, "<polyline class=\"curve {}\" points=\"{}\"/>", curve.class, points.join(" "));
    }
    if let Some((height, label)) = limit {
        let (at, right) = (y(height), WIDTH - RIGHT);
        let _ = write!(out, "<line class=\"limit\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>");
        let _ =
            write!(out, "<text class=\"limit\" x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", at - 5.0);
    }
    out += "</svg><p class=\"legend\">";
    for curve in curves {
        let _ = write!(out, "<span class=\"{}\">&#9632;</span> {} &nbsp; ", curve.class, curve.name);
    }
    out + "</p>"
}

fn ticks(scale: Scale, from: f64, to: f64) -> Vec<f64> {
    match scale {
        Scale::Linear => {
            // 1, 2 or 5 times a power of ten, five of them or fewer: figures that people count in.
            let power = 10_f64.powf((to / 5.0).log10().floor());
            let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| to / step <= 5.0);
            let step = step.unwrap_or(to);
            (0..=5).map(|part| step * f64::from(part)).filter(|tick| *tick <= to).collect()
        }
        Scale::Log => {
            let (low, high) = (from.log10().round() as i32, to.log10().round() as i32);
            (low..=high).map(|power| 10_f64.powi(power)).collect()
        }
    }
}

fn thinned(values: &[f64]) -> Vec<(f64, f64)> {
    let each = values.len().div_ceil(POINTS_MAX).max(1);
    let highest = |(index, part): (usize, &[f64])| ((index * each) as f64, part.iter().copied().fold(0.0, f64::max));
    values.chunks(each).enumerate().map(highest).collect()
}
