//! `loadtest find-max`: raises the rate until an objective breaks.

use std::time::{Duration, Instant};

use serde::Serialize;
use slo::Slo;
use tokio::sync::watch;

use super::run::{leave, limits};
use super::{ATTEMPTS_MAX, Done, Refusal, print};
use crate::cli::{DURATION_MAX, FindMaxArgs, Output, RATE_MAX, at_most, rate};
use crate::drive::{Plan, drive};
use crate::profile::Profile;
use crate::record::quantile;
use crate::report::broken;
use crate::stage::Stage;
use crate::terminal::Terminal;
use crate::verdict::{Verdict, judge, millis, too_busy};

/// How much faster each step is, as long as they hold.
const FACTOR: f64 = 1.5;
/// Rates at most, whatever the bounds are.
const STEPS_MAX: usize = 40;
/// The target's rest between two steps: what a broken one has left in queues is not the next one's.
const REST: Duration = Duration::from_secs(1);

/// One step.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Requests per second.
    pub rate: f64,
    /// What came of it.
    pub verdict: Verdict,
    /// Median latency in seconds.
    pub p50: f64,
    /// 99th percentile in seconds.
    pub p99: f64,
    /// The first rule that broke; empty when none did.
    pub broken: String,
}

/// The next rate to try, from what held and what broke; `None` when that is close enough.
pub fn next(held: Option<f64>, broke: Option<f64>, from: f64, to: f64, precision: f64) -> Option<f64> {
    match (held, broke) {
        (None, None) => Some(from),
        (Some(held), None) => (held < to).then(|| (held * FACTOR).min(to)),
        (None, Some(broke)) => (broke > 10.0).then_some(broke / 2.0),
        (Some(held), Some(broke)) => (broke > held * (1.0 + precision)).then_some(f64::midpoint(held, broke).round()),
    }
}

/// Runs the command: 0 when a rate held, 1 when none did, 2 when the generator or somebody ended it.
///
/// # Errors
/// When it was called wrongly, or nothing could be measured.
pub async fn execute(args: &FindMaxArgs, mut stop: watch::Receiver<bool>) -> Done {
    let slo = Slo::read(&args.load.slo).map_err(|error| Refusal::Usage(error.to_string()))?;
    let from = rate("--from", args.from).map_err(Refusal::Usage)?;
    let to = rate("--to", args.to.min(RATE_MAX)).map_err(Refusal::Usage)?;
    let length = at_most("--step", args.step, DURATION_MAX).map_err(Refusal::Usage)?;
    if from > to || !(0.01..=1.0).contains(&args.precision) {
        return Err(Refusal::Usage("--from has to be below --to, and --precision takes 0.01 to 1".to_owned()));
    }
    let threads = args.load.threads(to).map_err(Refusal::Usage)?;
    let profile = Profile::read(args.load.profile.as_deref()).map_err(Refusal::Usage)?;
    let site = args.target.site().map_err(Refusal::Usage)?;
    let mut terminal = Terminal::default();
    let stage = Stage::set_up(&site, profile, args.load.seed, &stop, &mut |text| terminal.status(text)).await?;
    let (mut held, mut broke, mut steps, mut settled, mut attempts) = (None, None, Vec::new(), 0, 0);
    let mut ended = Ok(());
    let begun = Instant::now();
    while let Some(rate) = next(held, broke, from, to, args.precision).filter(|_| settled < STEPS_MAX) {
        if begun.elapsed() + length > DURATION_MAX {
            terminal.say(&format!("no more steps: all together may take {}", crate::duration::display(DURATION_MAX)));
            break;
        }
        let plan = Plan {
            rate,
            warm_up: Duration::from_secs(2).min(length),
            duration: length,
            seed: args.load.seed + steps.len() as u64,
            connections: args.load.connections,
            threads,
            window: Duration::from_secs(10).min(length),
            grace: Duration::from_secs_f64(slo.requests.latency),
            burn: Duration::ZERO,
        };
        let limits = limits(&slo, rate, &args.target, false); // a short step has too few samples of each operation
        let measured = drive(&plan, &stage.ground, &mut stop, &mut |_| {}).await;
        let measured = match measured {
            Ok(measured) => measured,
            Err(why) => {
                ended = Err(why);
                break;
            }
        };
        let (verdict, rules) = judge(&limits, &plan, &measured);
        let first = broken(verdict, &rules).first().map(|rule| format!("{}: {}", rule.name, rule.measured));
        let (p50, p99) = (quantile(&measured.record.all.latency, 0.5), quantile(&measured.record.all.latency, 0.99));
        let step = Step { rate, verdict, p50, p99, broken: first.unwrap_or_default() };
        let (p50, p99) = (millis(p50), millis(p99));
        terminal.say(&format!("{rate:>7.0}/s  {:<7} p50 {p50:>9}  p99 {p99:>9}  {}", verdict.as_str(), step.broken));
        steps.push(step);
        attempts += 1;
        match verdict {
            Verdict::Pass => held = Some(rate),
            Verdict::Fail => broke = Some(rate),
            Verdict::Invalid => {
                ended = Err(format!("the step at {rate:.0}/s says nothing: {}", steps[steps.len() - 1].broken));
                if attempts == ATTEMPTS_MAX || measured.interrupted || !too_busy(&rules) {
                    break;
                }
            }
        }
        if verdict != Verdict::Invalid {
            (ended, settled, attempts) = (Ok(()), settled + 1, 0);
        }
        tokio::time::sleep(REST).await;
    }
    if args.output == Output::Json {
        print(&(serde_json::to_string_pretty(&steps).unwrap_or_default() + "\n"));
    } else {
        print(&knee(held, broke, &steps));
    }
    leave(stage, &mut terminal, &stop).await;
    ended.map_err(Refusal::Invalid)?;
    Ok(u8::from(held.is_none()))
}

fn knee(held: Option<f64>, broke: Option<f64>, steps: &[Step]) -> String {
    let of = |rate: f64| steps.iter().rfind(|step| step.rate == rate);
    let p99 = held.and_then(of).map(|step| millis(step.p99)).unwrap_or_default();
    let why = broke.and_then(of).map(|step| step.broken.clone()).unwrap_or_default();
    match (held, broke) {
        (Some(held), Some(broke)) => format!("the knee is at {held:.0}/s (p99 {p99}); at {broke:.0}/s: {why}\n"),
        (Some(held), None) => format!("{held:.0}/s held (p99 {p99}); no step that was measured broke an objective\n"),
        (None, Some(broke)) => format!("no rate held; at {broke:.0}/s: {why}\n"),
        (None, None) => "nothing was measured\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_search_ends_close_below_the_true_limit(limit in 20.0..20_000.0_f64, from in 20.0..5_000.0_f64) {
            let (mut held, mut broke, mut steps) = (None, None, 0);
            while let Some(rate) = next(held, broke, from, 20_000.0, 0.05) {
                steps += 1;
                prop_assert!(steps <= STEPS_MAX);
                if rate <= limit { held = Some(rate) } else { broke = Some(rate) }
            }
            let held = held.expect("10/s would hold");
            prop_assert!(held <= limit && held >= limit / 1.06 - 1.0, "{held} for {limit}");
        }
    }
}
