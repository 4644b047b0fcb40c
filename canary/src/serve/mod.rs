//! One run after the other, and what Prometheus reads of them.

mod admin;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context as _;
use telemetry::Telemetry;
use telemetry::metrics::CanaryMetrics;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::config::Config;
use crate::report::{Outcome, Report};
use crate::run::{Stop, run};
use crate::{clock, history, shipping};

/// The part of the interval that a run may take, of four: with the jitter it ends before the next one begins.
const DEADLINE_QUARTERS: u32 = 3;
/// The part of the interval by which a start is moved at most, as one of so many.
const JITTER_PART: u32 = 10;
/// So many intervals without a finished run, and the canary is not well.
const STALE_INTERVALS: u32 = 3;

/// What is shown of the loop.
#[derive(Debug)]
pub(crate) struct State {
    metrics: CanaryMetrics,
    interval: Duration,
    started: Instant,
    /// Milliseconds from `started` to the end of the last run.
    last_run_ms: AtomicU64,
    runs: AtomicU64,
}

impl State {
    /// Whether runs finish.
    fn is_well(&self) -> bool {
        let last = self.started + Duration::from_millis(self.last_run_ms.load(Relaxed));
        last.elapsed() <= self.interval * STALE_INTERVALS
    }
}

/// Runs every `interval` until it is told to stop. Answers /metrics and /health at `listen`.
///
/// # Errors
/// When `listen` is taken.
pub async fn serve(
    mut config: Config,
    interval: Duration,
    listen: SocketAddr,
    telemetry: &Telemetry,
    mut stop: Stop,
) -> anyhow::Result<()> {
    config.limits.run = config.limits.run.min(interval * DEADLINE_QUARTERS / 4);
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen at {listen}"))?;
    let admin = format!("http://{}", listener.local_addr()?);
    let state = Arc::new(State {
        metrics: CanaryMetrics::new(&config.target.url()),
        interval,
        started: Instant::now(),
        last_run_ms: AtomicU64::new(0),
        runs: AtomicU64::new(0),
    });
    let answering = tokio::spawn(admin::answer(listener, Arc::clone(&state)));
    let (probed, logs) = (config.target.url(), telemetry.destinations().logs);
    tracing::info!(event = "canary_started", probed, admin, logs, "probing {probed}, metrics on {admin}/metrics");
    let mut due = Instant::now();
    loop {
        // The place in the interval changes from run to run, so that nothing else that comes every minute hides behind it.
        tokio::select! {
            biased;
            _ = stop.wait_for(|stopped| *stopped) => break,
            () = tokio::time::sleep_until(due + clock::jitter(interval / JITTER_PART)) => {}
        }
        let report = run(&config, stop.clone()).await;
        if *stop.borrow() && report.outcome == Outcome::Error {
            break; // cut short by the end of the canary: it says nothing of anybody
        }
        tell(&state, telemetry, &config, &report);
        // What was missed, by a machine that slept, is not made up for.
        due += interval;
        while due < Instant::now() {
            due += interval;
        }
    }
    answering.abort();
    tracing::info!(event = "canary_stopped", runs = state.runs.load(Relaxed), "the canary was told to stop");
    Ok(())
}

fn tell(state: &State, telemetry: &Telemetry, config: &Config, report: &Report) {
    if let Some(path) = &config.history
        && let Err(error) = history::append(path, report)
    {
        tracing::warn!(event = "canary_history_failed", error = error.to_string(), "a run is missing in the history");
    }
    shipping::ship(telemetry, report);
    count(&state.metrics, report);
    state.last_run_ms.store(u64::try_from(state.started.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    state.runs.fetch_add(1, Relaxed);
    log(report);
}

fn count(metrics: &CanaryMetrics, report: &Report) {
    for step in &report.steps {
        for attempt in &step.attempts {
            metrics.attempt(&step.name, Duration::from_secs_f64(attempt.total_ms / 1e3));
            if let Some(blame) = attempt.fault.as_ref().or(attempt.slow.as_ref()) {
                metrics.failure(&step.name, blame.phase.as_str());
            }
        }
    }
    // An error has seen no address: what was known stays.
    if !report.addresses.is_empty() {
        metrics.addresses(report.addresses.iter().map(|address| (address.address.clone(), address.up)));
    }
    if let Some(certificate) = &report.certificate {
        metrics.certificate_expiry(certificate.not_after);
    }
    metrics.run(report.outcome.as_str(), u64::try_from(clock::now().as_second()).unwrap_or_default());
}

/// One line for each run, with its first fault.
fn log(report: &Report) {
    let blame = report.first_blame();
    let (run, outcome, duration_ms, retries) =
        (report.run.as_str(), report.outcome.as_str(), report.duration_ms, report.retries);
    let step = blame.map(|(step, ..)| step.name.as_str());
    let phase = blame.map(|(_, _, blame)| blame.phase.as_str());
    let address = blame.map(|(_, attempt, _)| attempt.address.as_str());
    let step_trace_id = blame.map(|(_, attempt, _)| attempt.trace_id.as_str());
    let reason = report.reasons.first().map(String::as_str);
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                event = "canary_run",
                run,
                outcome,
                duration_ms,
                retries,
                step,
                phase,
                address,
                step_trace_id,
                reason,
                "a run ended: {outcome}"
            )
        };
    }
    match report.outcome {
        Outcome::Ok => line!(info),
        Outcome::Degraded => line!(warn),
        Outcome::Failed | Outcome::Error => line!(error),
    }
}
