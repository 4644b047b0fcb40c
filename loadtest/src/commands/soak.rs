//! `loadtest soak`: hours at a fixed rate. Does anything grow?

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use slo::Slo;
use tokio::sync::watch;

use super::run::{leave, limits, told};
use super::{Done, Refusal, print};
use crate::cli::{DURATION_MAX, Output, SOAK_MAX, SoakArgs, at_most, rate};
use crate::drive::{Ground, Plan, drive};
use crate::exposition::Snapshot;
use crate::outcome::RunResult;
use crate::profile::Profile;
use crate::report;
use crate::stage::Stage;
use crate::statistics::{median, slope};
use crate::terminal::Terminal;
use crate::verdict::{Limits, Outcome, Rule, Verdict};

/// Looks at the target's metrics over the whole time.
const LOOKS: u32 = 240;
/// Looks that a slope takes.
const LOOKS_MIN: usize = 20;
/// The first share of the time, in which caches fill; it is not held against anybody.
const SETTLING: f64 = 0.1;
/// Descriptors that may come and go.
const DESCRIPTORS_SLACK: f64 = 32.0;

/// Whether one thing grows.
#[derive(Debug, Clone, Serialize)]
pub struct Trend {
    /// What.
    pub name: &'static str,
    /// Its usual value at the beginning.
    pub start: f64,
    /// Its growth in an hour.
    pub per_hour: f64,
    /// Its growth over the measured time, as a share of `start`.
    pub growth: f64,
    /// Whether that is too much.
    pub outcome: Outcome,
}

/// A trend through points of (seconds, value). `slack` is growth that never matters.
pub fn trend(name: &'static str, points: &[(f64, f64)], length: f64, limit: f64, slack: f64) -> Trend {
    let points: Vec<(f64, f64)> = points.iter().copied().filter(|(second, _)| *second >= length * SETTLING).collect();
    let first: Vec<f64> = points.iter().take(points.len().div_ceil(10)).map(|point| point.1).collect();
    let (start, per_second) = (median(&first), slope(&points));
    let grown = per_second * length;
    let growth = if start > 0.0 { grown / start } else { 0.0 };
    let outcome = match points.len() {
        count if count < LOOKS_MIN => Outcome::Invalid,
        _ if growth > limit && grown > slack => Outcome::Fail,
        _ => Outcome::Pass,
    };
    Trend { name, start, per_hour: per_second * 3600.0, growth, outcome }
}

type Looks = Arc<Mutex<Vec<(f64, f64, f64)>>>;

/// Resident bytes and open descriptors of the target.
fn resources(snapshot: &Snapshot) -> Option<(f64, f64)> {
    let of = |name| snapshot.gauges.get(name).copied();
    Some((of("process_resident_memory_bytes")?, of("process_open_fds")?))
}

async fn look(ground: Ground, every: Duration, start: Instant, looks: Looks) {
    let Some(metrics) = &ground.metrics else { return };
    loop {
        tokio::time::sleep(every).await;
        let Ok(snapshot) = Snapshot::fetch(metrics, ground.synthetic).await else { continue };
        // A gauge that the target does not show is no zero: too few looks make the run invalid.
        let Some((memory, descriptors)) = resources(&snapshot) else { continue };
        let point = (start.elapsed().as_secs_f64(), memory, descriptors);
        looks.lock().unwrap_or_else(PoisonError::into_inner).push(point);
    }
}

/// Runs the command.
///
/// # Errors
/// When it was called wrongly, or nothing could be measured.
pub async fn execute(args: &SoakArgs, mut stop: watch::Receiver<bool>) -> Done {
    let slo = Slo::read(&args.load.slo).map_err(|error| Refusal::Usage(error.to_string()))?;
    let rate = rate("--rate", args.rate).map_err(Refusal::Usage)?;
    let duration = at_most("--duration", args.duration, SOAK_MAX).map_err(Refusal::Usage)?;
    let warm_up = at_most("--warm-up", args.warm_up, DURATION_MAX).map_err(Refusal::Usage)?;
    if !(0.01..=10.0).contains(&args.growth) {
        return Err(Refusal::Usage(format!("--growth {}: it takes a share from 0.01 to 10", args.growth)));
    }
    let threads = args.load.threads(rate).map_err(Refusal::Usage)?;
    let profile = Profile::read(args.load.profile.as_deref()).map_err(Refusal::Usage)?;
    let site = args.target.site().map_err(Refusal::Usage)?;
    let plan = Plan {
        rate,
        warm_up,
        duration,
        seed: args.load.seed,
        connections: args.load.connections,
        threads,
        window: Duration::from_secs(10).min(duration),
        grace: Duration::from_secs_f64(slo.requests.latency),
        burn: Duration::ZERO,
    };
    let mut terminal = Terminal::default();
    let (kept, target) = (args.target.report_dir.as_deref(), site.connector.target().display());
    kept.map_or(Ok(()), report::remove).map_err(Refusal::Invalid)?;
    let limits = Limits { operations: profile.operations(), ..limits(&slo, rate, &args.target, false) };
    let profile_name = args.load.profile_name();
    let nothing = RunResult::refused((&target, &profile_name), &plan, &limits, slo.load.rate);
    let stage = Stage::set_up(&site, profile, plan.seed, &stop, &mut |text| terminal.status(text)).await;
    let stage = match stage {
        Ok(stage) => stage,
        Err(why) => return Err(told(why.into(), nothing, kept, args.output)),
    };
    let run = stage.run().to_owned();
    terminal.say(&format!("run {run}: {rate:.0} requests/s for {}", crate::duration::display(duration)));
    let looks = Looks::default();
    let every = (duration / LOOKS).max(Duration::from_millis(250));
    let start = Instant::now() + warm_up;
    let looker = tokio::spawn(look(stage.ground.clone(), every, start, Arc::clone(&looks)));
    let measured = drive(&plan, &stage.ground, &mut stop, &mut |progress| terminal.progress(progress, warm_up)).await;
    looker.abort();
    let measured = match measured {
        Ok(measured) => measured,
        Err(why) => {
            leave(stage, &mut terminal, &stop).await;
            return Err(told(Refusal::Invalid(why), nothing, kept, args.output));
        }
    };
    let names = (run.as_str(), target.as_str(), profile_name.as_str());
    let mut result = RunResult::new(names, &plan, &limits, slo.load.rate, &measured);
    let looks = looks.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let trends = trends(&result, &looks, duration.as_secs_f64(), args.growth);
    add(&mut result, &trends, args.growth);
    let folder = args.target.folder(&run);
    let written = report::write(&folder, &result, None);
    match args.output {
        Output::Json => {
            let all = serde_json::json!({ "result": result, "trends": trends });
            print(&(serde_json::to_string_pretty(&all).unwrap_or_default() + "\n"));
        }
        Output::Text => print(&format!("{}{}", report::table(&result), text(&trends))),
    }
    leave(stage, &mut terminal, &stop).await;
    written.map_err(Refusal::Invalid)?;
    Ok(result.verdict.code())
}

fn trends(result: &RunResult, looks: &[(f64, f64, f64)], length: f64, limit: f64) -> Vec<Trend> {
    let of = |value: fn(&(f64, f64, f64)) -> f64| looks.iter().map(|look| (look.0, value(look))).collect::<Vec<_>>();
    let p99: Vec<(f64, f64)> = result.points.iter().map(|point| (point.second as f64, point.p99)).collect();
    vec![
        trend("memory, bytes", &of(|look| look.1), length, limit, 8e6),
        trend("descriptors", &of(|look| look.2), length, limit, DESCRIPTORS_SLACK),
        trend("p99, seconds", &p99, length, limit, 0.005),
    ]
}

/// Makes the trends rules of the result: every report, and whoever reads only its verdict, has to know of them.
fn add(result: &mut RunResult, trends: &[Trend], limit: f64) {
    let verdict = together(result.verdict, trends);
    if verdict != result.verdict {
        let bad = trends.iter().find(|trend| trend.outcome != Outcome::Pass).map_or("", |trend| trend.name);
        result.summary = format!("{}: growth of {bad} (without it: {})", verdict.as_str(), result.summary);
        result.verdict = verdict;
    }
    result.rules.extend(trends.iter().map(|trend| Rule {
        name: "growth".to_owned(),
        about: trend.name.to_owned(),
        outcome: trend.outcome,
        limit: format!("<= {:.0} %", limit * 100.0),
        measured: format!("{:+.1} %", trend.growth * 100.0),
        note: if trend.outcome == Outcome::Invalid { "too few looks at it".to_owned() } else { String::new() },
        trust: false,
    }));
}

/// Growth fails what would pass; a trend that could not be seen is no PASS either.
fn together(verdict: Verdict, trends: &[Trend]) -> Verdict {
    let any = |outcome| trends.iter().any(|trend| trend.outcome == outcome);
    match verdict {
        Verdict::Pass if any(Outcome::Fail) => Verdict::Fail,
        Verdict::Pass if any(Outcome::Invalid) => Verdict::Invalid,
        verdict => verdict,
    }
}

fn text(trends: &[Trend]) -> String {
    let line = |trend: &Trend| {
        let (word, percent) = (report::word(trend.outcome), trend.growth * 100.0);
        // Bytes and descriptors are whole; seconds are not.
        let places = if trend.start >= 10.0 { 0 } else { 4 };
        format!(
            "{:<14} {word:<8} from {:.places$}, {:+.places$} an hour, {percent:+.1} % in all\n",
            trend.name, trend.start, trend.per_hour
        )
    };
    "\ndoes it grow?\n".to_owned() + &trends.iter().map(line).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn points(per_second: f64) -> Vec<(f64, f64)> {
        let mut random = Random::new(1);
        (0..240)
            .map(|x| (f64::from(x) * 15.0, 6e7 + per_second * f64::from(x) * 15.0 + 2e6 * random.fraction()))
            .collect()
    }

    #[test]
    fn a_gauge_that_the_target_does_not_show_is_no_zero() {
        let of = |text: &str| resources(&Snapshot::parse(text, "none"));
        let (memory, descriptors) = ("process_resident_memory_bytes 5e7\n", "process_open_fds 12\n");
        assert_eq!(of(&format!("{memory}{descriptors}")), Some((5e7, 12.0)));
        assert_eq!((of(memory), of(descriptors), of("")), (None, None, None));
    }

    #[test]
    fn bytes_are_told_whole_and_seconds_are_not() {
        let trend = |name, start, per_hour| Trend { name, start, per_hour, growth: 0.01, outcome: Outcome::Pass };
        let told = text(&[trend("memory, bytes", 59_039_744.0, 1234.5678), trend("p99, seconds", 0.0123, -0.001)]);
        assert!(told.contains("from 59039744, +1235 an hour"), "{told}");
        assert!(told.contains("from 0.0123, -0.0010 an hour"), "{told}");
    }

    #[test]
    fn a_leak_is_told_from_noise_and_from_a_cache_that_fills() {
        let judge = |points: &[(f64, f64)]| trend("memory", points, 3_600.0, 0.2, 8e6).outcome;
        assert_eq!(judge(&points(0.0)), Outcome::Pass);
        assert_eq!(judge(&points(10_000.0)), Outcome::Fail, "36 MB an hour");
        let mut filling = points(0.0);
        filling.iter_mut().take(20).for_each(|point| point.1 = 2e7);
        assert_eq!(judge(&filling), Outcome::Pass);
        assert_eq!(judge(&points(0.0)[..15]), Outcome::Invalid, "too few looks");
        assert_eq!(together(Verdict::Pass, &[trend("m", &points(10_000.0), 3_600.0, 0.2, 8e6)]), Verdict::Fail);
    }
}
