//! One run from its first name server to its last clean-up, and the verdict.

use std::time::Duration;

use telemetry::catalogue::CANARY_STEPS;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::journey::{Journey, Tools};
use crate::lookup::{Lookup, look_up};
use crate::probe::{Prober, resolve};
use crate::redirect::redirect;
use crate::report::{Attempt, Cleanup, Evidence, Outcome, Redirect, Report, Step, StepOutcome, VERSION};

/// From so many days before its end on, a certificate is a reason to act.
const WARN_DAYS: f64 = 30.0;
/// From so many days on, it is as good as an outage.
const FAIL_DAYS: f64 = 7.0;
/// The part of a run's time that is kept for the clean-up, as one of so many.
const CLEAN_UP_SHARE: u32 = 5;
/// The parts of it that the first step may take, of as many: an address that hangs takes them all, and half of the time that
/// is not the clean-up's is left for the journey by way of the others.
const HEALTH_SHARES: u32 = 2;

/// After a signal the clean-up takes no longer: whoever sends one kills half a minute later, and the metrics need some of it.
const STOPPED_MAX: Duration = Duration::from_secs(20);

/// Whether the canary was told to stop: the sender says `true`, or is gone.
pub type Stop = watch::Receiver<bool>;

/// Runs once. Never fails: what goes wrong is in the report.
pub async fn run(config: &Config, mut stop: Stop) -> Report {
    let (started, started_at) = (Instant::now(), clock::now());
    let mut report = Report {
        version: VERSION,
        run: Uuid::now_v7().to_string(),
        canary: config.name.clone(),
        target: config.target.url(),
        started_at,
        duration_ms: 0.0,
        outcome: Outcome::Ok,
        reasons: Vec::new(),
        retries: 0,
        steps: Vec::new(),
        addresses: Vec::new(),
        certificate: None,
        redirect: None,
        cleanup: Cleanup::default(),
        evidence: None,
    };
    let mut faults = Faults::default();
    probe(config, started, &mut stop, &mut report, &mut faults).await;
    for name in &CANARY_STEPS[report.steps.len()..] {
        let step = Step { name: (*name).to_owned(), outcome: StepOutcome::Skipped, attempts: Vec::new() };
        report.steps.push(step);
    }
    let retries: usize = report.steps.iter().map(Step::retries).sum();
    report.retries = u32::try_from(retries).unwrap_or(u32::MAX);
    (report.outcome, report.reasons) = faults.verdict();
    report.duration_ms = started.elapsed().as_secs_f64() * 1e3;
    report
}

async fn probe(config: &Config, started: Instant, stop: &mut Stop, report: &mut Report, faults: &mut Faults) {
    let prober = Prober {
        target: config.target.clone(),
        trust: config.trust.clone(),
        timeout: config.limits.attempt,
        synthetic_secret: config.synthetic_secret.clone(),
    };
    let end = started + config.limits.run;
    let before = |moment: Instant| config.limits.attempt.min(moment.saturating_duration_since(Instant::now()));
    let host = &config.target.host;
    let share = config.limits.run / CLEAN_UP_SHARE;
    let looking = look_up(host, config.retries, end, async || resolve(&config.target, before(end)).await);
    let lookup = tokio::select! {
        biased;
        _ = stop.wait_for(|stopped| *stopped) => None,
        found = async { tokio::join!(looking, credentials(config, started + share * HEALTH_SHARES)) } => Some(found),
    };
    let Some((Lookup { failed, addresses }, credentials)) = lookup else {
        return faults
            .push(Outcome::Error, "the run was interrupted by a signal before it asked for anything".to_owned());
    };
    // No reason to end here: an outage is seen without them, and is one although the canary has a fault of its own.
    let credentials = credentials.map_err(|reason| faults.push(Outcome::Error, reason)).ok();
    let told = failed.first().and_then(|attempt| attempt.fault.as_ref());
    let told = told.map(|fault| format!("health ({}): {}", fault.phase.as_str(), fault.reason));
    let Some(addresses) = addresses else {
        report.evidence = failed.first().map(|attempt| Evidence::without_answer("health", attempt));
        report.steps.push(Step { name: "health".to_owned(), outcome: StepOutcome::Failed, attempts: failed });
        return faults.push(Outcome::Failed, told.unwrap_or_default());
    };
    if let Some(told) = told {
        faults.push(Outcome::Degraded, format!("{told}; attempt {} succeeded", failed.len() + 1));
    }
    let mut secrets: Vec<_> = config.synthetic_secret.clone().into_iter().collect();
    secrets.extend(credentials.iter().flat_map(|known| [known.password.clone(), known.email.clone()]));
    let tools = Tools {
        prober: prober.clone(),
        limits: config.limits,
        retries: config.retries,
        deadline: end - share,
        health_deadline: (Instant::now() + share * HEALTH_SHARES).min(end - share),
        sweep_deadline: end - share - share / 2,
        secrets,
    };
    let mut journey = Journey::new(tools, report.run.clone(), credentials, failed);
    let interrupted = tokio::select! {
        biased;
        _ = stop.wait_for(|stopped| *stopped) => true,
        _ = journey.travel(&addresses) => false,
    };
    let left = end.saturating_duration_since(Instant::now()).max(share / 2);
    let left = if interrupted { left.min(STOPPED_MAX) } else { left };
    // What it has not managed by then is named in the report, and swept by a later run.
    tokio::select! {
        _ = tokio::time::timeout(left, journey.clean_up(Instant::now() + left)) => {}
        () = stopped(stop.clone()) => {}
    }
    let up = journey.up();
    if interrupted {
        faults.push(Outcome::Error, "the run was interrupted by a signal, and has cleaned up".to_owned());
    } else if let Some(port) = config.http_port
        && Instant::now() < end
        && !up.is_empty()
    {
        let prober = Prober { timeout: before(end), ..prober };
        report.redirect = Some(redirect(&prober, port, &up, |text| journey.hidden(text)).await);
    }
    report.steps = journey.steps;
    report.addresses = journey.addresses;
    report.cleanup = journey.cleanup;
    report.evidence = journey.evidence;
    let ours = journey.ours.is_some();
    faults.0.extend(journey.ours.map(|reason| (Outcome::Error, reason)));
    blame(report, faults, ours);
}

/// Reads them until this moment at most.
async fn credentials(config: &Config, until: Instant) -> Result<Credentials, String> {
    let late = |_| Err(format!("the credentials ({}) were not read in time", config.credentials.describe()));
    tokio::time::timeout_at(until, config.credentials.load()).await.unwrap_or_else(late)
}

/// Ends when there is no more time after a signal; never where none comes.
async fn stopped(mut stop: Stop) {
    let _ = stop.wait_for(|stopped| *stopped).await;
    tokio::time::sleep(STOPPED_MAX).await;
}

/// Collects what is wrong from what was found; `ours` says that the step that failed did so by a fault of ours.
fn blame(report: &mut Report, faults: &mut Faults, ours: bool) {
    let down =
        |attempt: &Attempt| report.addresses.iter().any(|address| !address.up && address.address == attempt.address);
    for step in &report.steps {
        let Some((attempt, fault)) = step.first_fault() else {
            if step.outcome == StepOutcome::Failed && report.addresses.is_empty() {
                faults.push(Outcome::Failed, format!("{}: no attempt came to an end", step.name));
            }
            continue;
        };
        let told = format!("{} at {} ({}): {}", step.name, attempt.address, fault.phase.as_str(), fault.reason);
        match step.outcome {
            StepOutcome::Failed if ours => {}                  // already told, as ours
            StepOutcome::Failed if step.name == "health" => {} // told for each address below
            StepOutcome::Failed => faults.push(Outcome::Failed, told),
            StepOutcome::Retried if step.name != "health" && !down(attempt) => {
                let count = step.attempts.len();
                faults.push(Outcome::Degraded, format!("{told}; attempt {count} succeeded"));
            }
            _ => {}
        }
    }
    let some_up = report.addresses.iter().any(|address| address.up);
    for address in &report.addresses {
        let Some(fault) = &address.fault else { continue };
        let (up, address, phase, reason) = (address.up, &address.address, fault.phase.as_str(), &fault.reason);
        match (up, some_up) {
            (true, _) => {
                let told = format!("address {address} answered at a further attempt only ({phase}): {reason}");
                faults.push(Outcome::Degraded, told);
            }
            (false, true) => faults.push(Outcome::Degraded, format!("address {address} is down ({phase}): {reason}")),
            (false, false) => faults.push(Outcome::Failed, format!("health at {address} ({phase}): {reason}")),
        }
    }
    for step in &report.steps {
        for attempt in &step.attempts {
            if let Some(slow) = &attempt.slow {
                let (step, address, phase) = (&step.name, &attempt.address, slow.phase.as_str());
                faults.push(Outcome::Degraded, format!("{step} at {address} is slow ({phase}): {}", slow.reason));
            }
        }
    }
    certificate(report, faults);
    if let Some(Redirect { ok: false, detail }) = &report.redirect {
        faults.push(Outcome::Degraded, format!("plain HTTP does not lead to HTTPS: {detail}"));
    }
    if let Some(id) = &report.cleanup.left_behind {
        faults.push(Outcome::Degraded, format!("task {id} could not be removed; a run after 10 minutes tries again"));
    }
    if report.cleanup.sweep_failed > 0 {
        let count = report.cleanup.sweep_failed;
        faults.push(Outcome::Degraded, format!("{count} leftovers of earlier runs could not be removed"));
    }
    if report.cleanup.sessions_left > 0 {
        let count = report.cleanup.sessions_left;
        let told = format!("{count} sessions of this run could not be ended; each ends by itself after 30 days");
        faults.push(Outcome::Degraded, told);
    }
}

/// A certificate with a flaw has failed its address already; here is about those that are still good.
fn certificate(report: &mut Report, faults: &mut Faults) {
    let shown = || report.addresses.iter().filter_map(|address| address.certificate.as_ref());
    let good = shown().filter(|shown| shown.flaw.is_none());
    let soonest = good.min_by(|a, b| a.days_left.total_cmp(&b.days_left));
    if let Some(soonest) = soonest.filter(|soonest| soonest.days_left <= WARN_DAYS) {
        let (outcome, limit) = match soonest.days_left {
            days if days <= FAIL_DAYS => (Outcome::Failed, FAIL_DAYS),
            _ => (Outcome::Degraded, WARN_DAYS),
        };
        let (what, days) = (soonest.that_ends(), soonest.days_left);
        faults.push(outcome, format!("{what} expires in {days:.1} days, and {limit} are the limit"));
    }
    report.certificate = shown().min_by(|a, b| a.not_after.cmp(&b.not_after)).cloned();
}

/// What is wrong, with what follows from it.
#[derive(Debug, Default)]
struct Faults(Vec<(Outcome, String)>);

impl Faults {
    fn push(&mut self, outcome: Outcome, reason: String) {
        self.0.push((outcome, reason));
    }

    /// What weighs most first, else in their order.
    fn verdict(mut self) -> (Outcome, Vec<String>) {
        self.0.sort_by_key(|(outcome, _)| std::cmp::Reverse(outcome.weight()));
        let worst = self.0.first().map_or(Outcome::Ok, |(outcome, _)| *outcome);
        (worst, self.0.into_iter().map(|(_, reason)| reason).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_was_seen_outweighs_a_fault_of_ours_and_both_are_told() {
        let told = |outcomes: &[Outcome]| {
            let faults = outcomes.iter().map(|outcome| (*outcome, outcome.as_str().to_owned())).collect();
            Faults(faults).verdict()
        };
        assert_eq!(told(&[]).0, Outcome::Ok);
        assert_eq!(told(&[Outcome::Degraded, Outcome::Error]).0, Outcome::Error);
        let (outcome, reasons) = told(&[Outcome::Error, Outcome::Degraded, Outcome::Failed]);
        assert_eq!((outcome, reasons.join(" ").as_str()), (Outcome::Failed, "failed error degraded"));
    }
}
