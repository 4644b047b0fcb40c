//! `loadtest run`: a verdict on the objectives.

use std::path::Path;

use slo::Slo;
use tokio::sync::watch;

use super::{Done, Refusal, print};
use crate::cli::{DURATION_MAX, Output, RunArgs, TargetArgs, WINDOW_MAX, at_most, rate};
use crate::drive::{Plan, drive};
use crate::outcome::RunResult;
use crate::profile::Profile;
use crate::report;
use crate::stage::{Site, Stage};
use crate::terminal::Terminal;
use crate::verdict::Limits;

/// A run, checked before anything is touched.
pub struct Checked {
    /// Where.
    pub site: Site,
    /// What clients do.
    pub profile: Profile,
    /// Its name in reports.
    pub profile_name: String,
    /// How much.
    pub plan: Plan,
    /// What it is held to.
    pub limits: Limits,
    /// What the objectives ask of a release.
    pub rate_objective: f64,
}

/// Reads what a run needs.
///
/// # Errors
/// A mistake in how the tool was called; one line.
pub fn check(args: &RunArgs) -> Result<Checked, String> {
    let slo = Slo::read(&args.load.slo).map_err(|error| error.to_string())?;
    let rate = rate("--rate", args.rate.unwrap_or(slo.load.rate))?;
    let duration = at_most("--duration", args.duration, DURATION_MAX)?;
    let warm_up = at_most("--warm-up", args.warm_up, DURATION_MAX)?;
    let window = at_most("--window", args.window.unwrap_or(WINDOW_MAX.min(duration)), WINDOW_MAX)?;
    at_most("--window", window, duration).map_err(|why| format!("{why}, the measured time"))?;
    if rate < slo.load.rate && !args.below_objective {
        let objective = slo.load.rate;
        return Err(format!(
            "--rate {rate}: the objective is {objective}/s; --below-objective says that less is meant"
        ));
    }
    let trace = args.trace_url.as_deref().unwrap_or("http://{trace_id}");
    if !(trace.starts_with("http://") || trace.starts_with("https://")) || !trace.contains("{trace_id}") {
        return Err("--trace-url: it takes an http address with {trace_id} in it".to_owned());
    }
    let profile = Profile::read(args.load.profile.as_deref())?;
    let plan = Plan {
        rate,
        warm_up,
        duration,
        seed: args.load.seed,
        connections: args.load.connections,
        threads: args.load.threads(rate)?,
        window,
        grace: std::time::Duration::from_secs_f64(slo.requests.latency),
        burn: std::time::Duration::ZERO,
    };
    let limits = Limits { operations: profile.operations(), ..limits(&slo, rate, &args.target, args.strict) };
    let profile_name = args.load.profile_name();
    Ok(Checked { site: args.target.site()?, profile, profile_name, plan, limits, rate_objective: slo.load.rate })
}

/// What the objectives say of a run at this rate, of all operations together.
pub fn limits(slo: &Slo, rate: f64, target: &TargetArgs, strict: bool) -> Limits {
    Limits {
        rate,
        latency: slo.requests.latency,
        errors: slo.load.errors,
        database: slo.database.latency,
        database_fast: slo.database.fast,
        strict,
        operations: Vec::new(),
        metrics_wanted: target.metrics_wanted(),
    }
}

/// Sets up, drives and judges; says how far it is on standard error. The ground is still there: whoever has told what there
/// is to tell leaves it, for that may take long, or be cut short.
///
/// # Errors
/// When nothing could be measured.
pub async fn measure(
    checked: Checked,
    terminal: &mut Terminal,
    mut stop: watch::Receiver<bool>,
) -> Result<(RunResult, Stage), Refusal> {
    let Checked { site, profile, profile_name, plan, limits, rate_objective } = checked;
    let target = site.connector.target().display();
    let stage = Stage::set_up(&site, profile, plan.seed, &stop, &mut |text| terminal.status(text)).await?;
    let run = stage.run().to_owned();
    let (warm_up, duration) = (crate::duration::display(plan.warm_up), crate::duration::display(plan.duration));
    terminal.say(&format!("run {run}: {:.0} requests/s on {target}, {warm_up} of warm-up, then {duration}", plan.rate));
    let measured =
        drive(&plan, &stage.ground, &mut stop, &mut |progress| terminal.progress(progress, plan.warm_up)).await;
    match measured {
        Ok(measured) => {
            let names = (run.as_str(), target.as_str(), profile_name.as_str());
            Ok((RunResult::new(names, &plan, &limits, rate_objective, &measured), stage))
        }
        Err(why) => {
            leave(stage, terminal, &stop).await;
            Err(Refusal::Invalid(why))
        }
    }
}

/// Takes away what the run has made, and says what could not be.
pub async fn leave(stage: Stage, terminal: &mut Terminal, stop: &watch::Receiver<bool>) {
    terminal.status("cleaning up");
    if let Err(why) = stage.leave(stop).await {
        terminal.say(&why);
    }
}

/// Runs the command.
///
/// # Errors
/// When it was called wrongly, or nothing could be measured.
pub async fn execute(args: &RunArgs, stop: watch::Receiver<bool>) -> Done {
    let checked = check(args).map_err(Refusal::Usage)?;
    let mut terminal = Terminal::default();
    let kept = args.target.report_dir.as_deref();
    kept.map_or(Ok(()), report::remove).map_err(Refusal::Invalid)?;
    let nothing = RunResult::refused(
        (&checked.site.connector.target().display(), &checked.profile_name),
        &checked.plan,
        &checked.limits,
        checked.rate_objective,
    );
    let (result, stage) = match measure(checked, &mut terminal, stop.clone()).await {
        Ok(measured) => measured,
        Err(refusal) => return Err(told(refusal, nothing, kept, args.output)),
    };
    let folder = args.target.folder(&result.run);
    let written = report::write(&folder, &result, args.trace_url.as_deref());
    match args.output {
        Output::Text => print(&report::table(&result)),
        Output::Json => print(&(serde_json::to_string_pretty(&result).unwrap_or_default() + "\n")),
    }
    if written.is_ok() {
        terminal.say(&format!("reports are in {}", folder.display()));
    }
    leave(stage, &mut terminal, &stop).await;
    // A release hangs on what is read: a report that is not there is no PASS.
    written.map_err(Refusal::Invalid)?;
    Ok(result.verdict.code())
}

/// Leaves a result of a run that never measured anything where a pipeline looks for one, so that it says INVALID there too.
pub fn told(refusal: Refusal, mut nothing: RunResult, folder: Option<&Path>, output: Output) -> Refusal {
    let Refusal::Invalid(why) = &refusal else { return refusal };
    nothing.because(why);
    if output == Output::Json {
        print(&(serde_json::to_string_pretty(&nothing).unwrap_or_default() + "\n"));
    }
    match folder.map_or(Ok(()), |folder| report::write(folder, &nothing, None)) {
        Ok(()) => refusal,
        Err(unwritten) => Refusal::Invalid(format!("{why}; {unwritten}")),
    }
}
