//! `loadtest compare`: tells a change from noise.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::{Done, Refusal, print};
use crate::cli::{CompareArgs, Output};
use crate::outcome::{RunResult, VERSION};
use crate::record::Point;
use crate::statistics::shift;
use crate::verdict::millis;

/// Standard deviations of the rank test beyond which a change is none of chance.
const SURE: f64 = 3.0;
/// Changes of a median below this are of no matter, whatever their share, in seconds.
const MEDIAN_MATTERS: f64 = 0.000_5;
/// Changes of a p99 below this share of the objective are of no matter. Requests of one run share their minute's luck: two runs
/// of one build on a busy machine differ by 5 ms and 40 %, and each looks sure of itself.
const TAIL_MATTERS: f64 = 0.05;

/// What two runs say about one number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Of what: `all p99`.
    pub name: String,
    /// Before, in seconds; a share for errors.
    pub before: f64,
    /// After.
    pub after: f64,
    /// `same`, `better` or `worse`.
    pub judged: &'static str,
    /// Why.
    pub reason: String,
}

fn read(path: &Path) -> Result<RunResult, Refusal> {
    let file = if path.is_dir() { path.join("result.json") } else { path.to_owned() };
    let name = file.display().to_string();
    let text = std::fs::read(&file).map_err(|error| Refusal::Usage(format!("{name}: cannot be read: {error}")))?;
    let version = serde_json::from_slice::<serde_json::Value>(&text).ok().and_then(|value| value["version"].as_u64());
    match version {
        Some(version) if version == u64::from(VERSION) => serde_json::from_slice(&text)
            .map_err(|error| Refusal::Usage(format!("{name}: is no result of a run: {error}"))),
        Some(version) => Err(Refusal::Usage(format!("{name}: has version {version}; this tool reads {VERSION}"))),
        None => Err(Refusal::Usage(format!("{name}: is no result of a run"))),
    }
}

/// Why two runs cannot be compared; `None` when they can.
pub fn incomparable(before: &RunResult, after: &RunResult) -> Option<String> {
    let (a, b) = (&before.asked, &after.asked);
    let untrusted =
        |run: &RunResult| run.rules.iter().any(|rule| rule.trust && rule.outcome != crate::verdict::Outcome::Pass);
    if untrusted(before) || untrusted(after) {
        return Some("one of the runs is INVALID: it measured something else than the target".to_owned());
    }
    if (a.rate, &a.profile) != (b.rate, &b.profile) {
        return Some(format!(
            "{:.0}/s with {} is another load than {:.0}/s with {}",
            a.rate, a.profile, b.rate, b.profile
        ));
    }
    None
}

/// Compares two runs that can be compared. `matters` is the smallest change that does, as a share.
pub fn changes(before: &RunResult, after: &RunResult, matters: f64) -> Vec<Change> {
    let mut changes = Vec::new();
    let (Some(all_before), Some(all_after)) = (before.operations.first(), after.operations.first()) else {
        return changes;
    };
    // Over seconds, not over requests: requests of one second share its luck.
    let seconds = |run: &RunResult, value: fn(&Point) -> f64| run.points.iter().map(value).collect::<Vec<f64>>();
    let tail = TAIL_MATTERS * after.asked.latency_objective;
    for (name, value, was, is, least) in [
        ("all p50", (|point: &Point| point.p50) as fn(&Point) -> f64, all_before.p50, all_after.p50, MEDIAN_MATTERS),
        ("all p99", |point: &Point| point.p99, all_before.p99, all_after.p99, tail),
    ] {
        let sure = shift(&seconds(before, value), &seconds(after, value));
        let why = format!("{:.1} standard deviations over the seconds of both runs", sure);
        let least = (was * matters).max(least);
        changes.push(change(name, was, is, least, sure.abs() > SURE && (sure > 0.0) == (is > was), why));
    }
    for old in before.operations.iter().skip(1) {
        let Some(new) = after.operations.iter().find(|new| new.name == old.name) else { continue };
        let apart = old.p99_interval.1 < new.p99_interval.0 || new.p99_interval.1 < old.p99_interval.0;
        let why = if apart { "the intervals lie apart" } else { "the intervals overlap" };
        changes.push(change(
            &format!("{} p99", old.name),
            old.p99,
            new.p99,
            (old.p99 * matters).max(tail),
            apart,
            why.to_owned(),
        ));
    }
    let share = |row: &crate::outcome::Row| row.failed as f64 / row.count.max(1) as f64;
    let (was, is) = (share(all_before), share(all_after));
    let spread = |row: &crate::outcome::Row| share(row) * (1.0 - share(row)) / row.count.max(1) as f64;
    let deviation = (spread(all_before) + spread(all_after)).sqrt();
    let sure = (is - was).abs() > SURE * deviation && was != is;
    let judged = if !sure {
        "same"
    } else if is > was {
        "worse"
    } else {
        "better"
    };
    let reason = format!("{:.1} standard deviations", if deviation > 0.0 { (is - was) / deviation } else { 0.0 });
    changes.push(Change { name: "errors".to_owned(), before: was, after: is, judged, reason });
    changes
}

fn change(name: &str, before: f64, after: f64, least: f64, sure: bool, reason: String) -> Change {
    let large = (after - before).abs() > least;
    let judged = match (sure && large, after > before) {
        (false, _) => "same",
        (true, true) => "worse",
        (true, false) => "better",
    };
    let reason = if sure && !large { format!("{reason}, but too little to matter") } else { reason };
    Change { name: name.to_owned(), before, after, judged, reason }
}

/// Runs the command: 0 when nothing is worse, 1 when something is, 2 when the runs cannot be compared.
///
/// # Errors
/// When a result cannot be read, or the two are not alike.
pub fn execute(args: &CompareArgs) -> Done {
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    if let Some(why) = incomparable(&before, &after) {
        return Err(Refusal::Invalid(why));
    }
    let changes = changes(&before, &after, args.matters);
    let worse = changes.iter().filter(|change| change.judged == "worse").count();
    match args.output {
        Output::Json => print(&(serde_json::to_string_pretty(&changes).unwrap_or_default() + "\n")),
        Output::Text => print(&text(&before, &after, &changes, worse)),
    }
    Ok(u8::from(worse > 0))
}

fn text(before: &RunResult, after: &RunResult, changes: &[Change], worse: usize) -> String {
    let mut out = format!("{} ({}) against {} ({})\n\n", before.run, before.build, after.run, after.build);
    for change in changes {
        let show = |value: f64| if change.name == "errors" { format!("{:.3} %", value * 100.0) } else { millis(value) };
        let (was, is) = (show(change.before), show(change.after));
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{:<12} {was:>10} {is:>10}  {:<7} {}", change.name, change.judged, change.reason);
    }
    out + &if worse == 0 { "\nnothing is worse\n".to_owned() } else { format!("\n{worse} worse\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Row;
    use crate::random::Random;

    fn rows(scale: f64, failed: u64) -> (Vec<Point>, Row) {
        let mut random = Random::new((scale * 1e6) as u64);
        let point = |second| {
            let noise = 0.8 + 0.4 * random.fraction();
            Point { second, p50: 0.005 * scale * noise, p99: 0.02 * scale * noise, ..Point::default() }
        };
        let points = (0..60).map(point).collect();
        let [p50, p99] = [0.005 * scale, 0.02 * scale];
        let row = Row {
            name: "all".to_owned(),
            count: 60_000,
            failed,
            p50,
            p90: p99,
            p95: p99,
            p99,
            p99_interval: (p99 * 0.99, p99 * 1.01),
            p999: p99,
            max: p99,
            service_p50: p50,
            service_p99: p99,
        };
        (points, row)
    }

    fn result(scale: f64, failed: u64) -> RunResult {
        let (points, row) = rows(scale, failed);
        let text = serde_json::json!({
            "version": 1, "tool": "t", "mode": "open loop", "run": "r", "finished": "", "target": "", "build": "",
            "asked": { "rate": 1000.0, "rate_objective": 1000.0, "latency_objective": 0.2, "duration": 60.0, "warm_up": 1.0,
                "profile": "default", "seed": 1, "connections": 1 },
            "verdict": "PASS", "summary": "", "rules": [], "operations": [row], "points": points, "slowest": [],
            "generator": { "cores": 1.0, "cpu_max": 0.1, "lateness_p50": 0.0, "lateness_p99": 0.0, "lateness_max": 0.0,
                "memory_max": 0, "connections": 0, "sent": 0, "missed": 0 },
            "server": null,
        });
        serde_json::from_value(text).expect("a result")
    }

    fn judged(before: &RunResult, after: &RunResult) -> Vec<&'static str> {
        changes(before, after, 0.1).iter().map(|change| change.judged).collect()
    }

    #[test]
    fn noise_is_no_change_and_a_slower_run_is_worse() {
        assert_eq!(judged(&result(1.0, 0), &result(1.02, 1)), ["same", "same", "same"]);
        assert_eq!(judged(&result(1.0, 0), &result(2.0, 0)), ["worse", "worse", "same"]);
        assert_eq!(judged(&result(2.0, 0), &result(1.0, 0)), ["better", "better", "same"]);
        assert_eq!(judged(&result(1.0, 5), &result(1.0, 500)), ["same", "same", "worse"]);
    }

    #[test]
    fn a_few_milliseconds_of_a_tail_do_not_matter_however_sure_they_are() {
        let before = result(1.0, 0);
        let mut after = result(1.4, 0);
        assert_eq!(judged(&before, &after)[1], "same", "20 ms to 28 ms, of 200 ms");
        after.asked.latency_objective = 0.05;
        assert_eq!(judged(&before, &after)[1], "worse", "of 50 ms");
    }

    #[test]
    fn runs_of_another_load_are_not_compared() {
        let (before, mut after) = (result(1.0, 0), result(1.0, 0));
        assert_eq!(incomparable(&before, &after), None);
        after.asked.rate = 500.0;
        assert!(incomparable(&before, &after).expect("another load").contains("another load"));
    }
}
