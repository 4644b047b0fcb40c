//! The run as one page that can be mailed: no script, nothing loaded from elsewhere.

use std::fmt::Write as _;

use super::junit::escaped;
use super::svg::{Curve, Scale, curves};
use super::{broken, edges, word};
use crate::outcome::{Row, RunResult};
use crate::record::Point;
use crate::verdict::{Rule, Verdict, millis};

/// Windows of the rate's rule that the page lists: an hour of them.
const WINDOWS_SHOWN: usize = 360;
const STYLE: &str = include_str!("style.css");

/// A page of HTML. `trace_url` has `{trace_id}` in it.
pub fn html(result: &RunResult, trace_url: Option<&str>) -> String {
    let verdict = result.verdict.as_str();
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Load test: {verdict}</title>\
         <style>{STYLE}</style></head><body><h1>Load test <span class=\"verdict {}\">{verdict}</span></h1>",
        class(result.verdict)
    );
    let asked = &result.asked;
    let build = if result.build.is_empty() { "version unknown" } else { &result.build };
    // Writing to a string cannot fail: the results below are dropped for that.
    let _ = write!(
        out,
        "<p>{}</p><p class=\"dim\">Open loop: {:.0} requests/s for {} s after {} s of warm-up, whatever the target did. \
         Profile {}, seed {}, run {}, against {} ({}), {}.</p>",
        escaped(&result.summary),
        asked.rate,
        asked.duration,
        asked.warm_up,
        escaped(&asked.profile),
        asked.seed,
        escaped(&result.run),
        escaped(&result.target),
        escaped(build),
        escaped(&result.finished)
    );
    let broken = broken(result.verdict, &result.rules);
    if !broken.is_empty() {
        out += "<h2>What does not hold</h2>";
        rules(&mut out, &broken);
    }
    let _ = write!(
        out,
        "<h2>Latency over time</h2><p class=\"dim\">From the intended start to the last byte, by the second in which the request was due.</p>"
    );
    let whole = (asked.duration as usize).max(1); // the part of a second at the end would look like a slump
    let column = |value: fn(&Point) -> f64| by_second(&result.points, whole, value);
    let limit = (asked.latency_objective, format!("objective {}", millis(asked.latency_objective)));
    out += &curves(
        &[
            Curve { name: "max", class: "c3", values: column(|point| point.max) },
            Curve { name: "p99", class: "c2", values: column(|point| point.p99) },
            Curve { name: "p50", class: "c1", values: column(|point| point.p50) },
        ],
        Scale::Log,
        Some((limit.0, &limit.1)),
        &millis,
    );
    out += "<h2>Rate achieved</h2><p class=\"dim\">Requests per second: due, completed, and failed.</p>";
    let objective = (asked.rate_objective, format!("objective {:.0}/s", asked.rate_objective));
    out += &curves(
        &[
            Curve { name: "due", class: "c4", values: column(|point| point.due as f64) },
            Curve { name: "completed", class: "c1", values: column(|point| point.completed as f64) },
            Curve { name: "failed", class: "c3", values: column(|point| point.failed as f64) },
        ],
        Scale::Linear,
        Some((objective.0, &objective.1)),
        &|value| format!("{value:.0}/s"),
    );
    windows(&mut out, result);
    operations(&mut out, result);
    server(&mut out, result);
    generator(&mut out, result);
    slowest(&mut out, result, trace_url);
    out += "<h2>All rules</h2>";
    rules(&mut out, &result.rules.iter().collect::<Vec<_>>());
    let _ = write!(
        out,
        "<p class=\"dim\">Made by <code>{}</code> on a machine with {}.</p>",
        escaped(&result.command),
        escaped(&result.machine)
    );
    out + "</body></html>\n"
}

const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Invalid => "invalid",
    }
}

/// A value for each of so many seconds, 0 where there is no point.
fn by_second(points: &[Point], length: usize, value: fn(&Point) -> f64) -> Vec<f64> {
    let length = length.min(points.last().map_or(0, |point| point.second as usize + 1));
    let mut values = vec![0.0; length];
    for point in points {
        if let Some(place) = values.get_mut(point.second as usize) {
            *place = value(point);
        }
    }
    values
}

/// What the rate's rule saw.
fn windows(out: &mut String, result: &RunResult) {
    let window = result.asked.window;
    if result.windows.is_empty() || window <= 0.0 {
        return;
    }
    let _ = write!(out, "<p class=\"dim\">Answered in time, by window of {window} s: ");
    let left = result.windows.len().saturating_sub(WINDOWS_SHOWN);
    for window_of in result.windows.iter().take(WINDOWS_SHOWN) {
        let _ = write!(out, "{:.1} s: <b>{:.1}/s</b> &nbsp; ", window_of.start, window_of.in_time as f64 / window);
    }
    if left > 0 {
        let _ = write!(out, "and {left} more in result.json");
    }
    *out += "</p>";
}

fn rules(out: &mut String, rules: &[&Rule]) {
    *out += "<table><tr><th>rule</th><th>of</th><th></th><th>limit</th><th>measured</th><th></th></tr>";
    for rule in rules {
        let word = word(rule.outcome);
        let (about, note) = (escaped(&rule.about), escaped(&rule.note));
        let (name, limit, measured) = (escaped(&rule.name), escaped(&rule.limit), escaped(&rule.measured));
        let _ = write!(
            out,
            "<tr><td>{name}</td><td>{about}</td><td class=\"{}\">{word}</td><td>{limit}</td><td>{measured}</td>\
             <td class=\"dim\">{note}</td></tr>",
            word.to_lowercase()
        );
    }
    *out += "</table>";
}

fn operations(out: &mut String, result: &RunResult) {
    *out += "<h2>Percentiles by operation</h2><table class=\"numbers\"><tr><th></th><th>requests</th><th>failed</th><th>p50</th>\
             <th>p90</th><th>p95</th><th>p99</th><th>p99.9</th><th>max</th><th>p50*</th><th>p99*</th><th></th></tr>";
    let widest = result.operations.iter().map(|row| row.p99).fold(f64::MIN_POSITIVE, f64::max);
    for row in &result.operations {
        let Row { name, count, failed, .. } = row;
        let times = [row.p50, row.p90, row.p95, row.p99, row.p999, row.max, row.service_p50, row.service_p99];
        let cells: String = times.map(|time| format!("<td>{}</td>", millis(time))).concat();
        let _ = write!(
            out,
            "<tr><td>{name}</td><td>{count}</td><td>{failed}</td>{cells}<td class=\"bars\"><i class=\"b2\" style=\"width:{:.1}px\"></i>\
             <i class=\"b1\" style=\"width:{:.1}px\"></i></td></tr>",
            row.p99 / widest * 160.0,
            row.p50 / widest * 160.0
        );
    }
    *out += "</table><p class=\"dim\">The bars are p99 and, inside it, p50. * from the real start of each request, as a closed loop \
             would show it: a wide gap to the columns before it means that requests queued.</p>";
}

fn server(out: &mut String, result: &RunResult) {
    let Some(server) = &result.server else {
        *out += "<h2>The server's own view</h2><p class=\"dim\">Its metrics were not read.</p>";
        return;
    };
    let Some(all) = result.operations.first() else { return };
    let _ = write!(
        out,
        "<h2>The server's own view beside the client's</h2><table class=\"numbers\"><tr><th></th><th>client</th><th>server</th></tr>\
         <tr><td>requests, warm-up left out</td><td>{}</td><td>{:.0}</td></tr>\
         <tr><td>p50</td><td>{}</td><td>{}</td></tr><tr><td>p99</td><td>{}</td><td>{}</td></tr>\
         <tr><td>database operations</td><td></td><td>{:.0}</td></tr>\
         <tr><td>database p99</td><td></td><td>{}</td></tr></table>",
        all.count,
        server.requests,
        millis(all.p50),
        edges(server.p50),
        millis(all.p99),
        edges(server.p99),
        server.database_operations,
        edges(server.database_p99)
    );
    *out += "<p class=\"dim\">The server counts between the edges of its histogram. Its window is read a moment apart from \
             the client's; the rule on counts compares the whole run.</p>\
             <table class=\"numbers\"><tr><th>its series</th><th>start</th><th>end</th></tr>";
    for (name, before, after) in &server.gauges {
        let _ = write!(out, "<tr><td>{}</td><td>{before}</td><td>{after}</td></tr>", escaped(name));
    }
    *out += "</table>";
}

fn generator(out: &mut String, result: &RunResult) {
    let own = &result.generator;
    let _ = write!(
        out,
        "<h2>The generator</h2><p>It used {:.0} % of {:.0} core(s) at most, {:.1} MB of memory ({:.1} MB of it after the warm-up) \
         and {} connections; it started requests {} late at p50, {} at p99, {} at most.</p>",
        own.cpu_max.unwrap_or(f64::NAN) * 100.0,
        own.cores,
        own.memory_max as f64 / 1e6,
        own.memory_growth.unwrap_or(0) as f64 / 1e6,
        own.connections,
        millis(own.lateness_p50),
        millis(own.lateness_p99),
        millis(own.lateness_max)
    );
}

fn slowest(out: &mut String, result: &RunResult, trace_url: Option<&str>) {
    *out += "<h2>The slowest requests</h2><table class=\"numbers\"><tr><th></th><th>due at</th><th>latency</th><th>latency*</th>\
             <th>end</th><th>trace</th></tr>";
    for slow in &result.slowest {
        let trace = match (slow.trace_id.as_deref(), trace_url) {
            (None, _) => String::new(),
            (Some(trace), None) => format!("<code>{}</code>", escaped(trace)),
            (Some(trace), Some(url)) => {
                let (url, trace) = (escaped(&url.replace("{trace_id}", trace)), escaped(trace));
                format!("<a href=\"{url}\"><code>{trace}</code></a>")
            }
        };
        let (name, latency, service) = (slow.operation.as_str(), millis(slow.latency), millis(slow.service));
        let end = escaped(&slow.end);
        let _ = write!(
            out,
            "<tr><td>{name}</td><td>{:.2} s</td><td>{latency}</td><td>{service}</td><td>{end}</td><td>{trace}</td></tr>",
            slow.at
        );
    }
    *out += "</table>";
}
