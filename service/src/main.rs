//! `task-api`: serves the Task API, brings its schema up to date, or prints its OpenAPI document.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use service::app::{App, FLUSH_MAX};
use service::clock::Clock;
use service::config::{Args, Command, Config, Ended};
use service::store::migrate;
use telemetry::{InitError, Telemetry};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// `EX_USAGE` of BSD's sysexits: the command line or the configuration is wrong.
const USAGE: u8 = 64;
/// What the last telemetry gets even where the grace is over or was none: its lines are written, and tell what was lost.
const FLUSH_MIN: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let args = match Args::read() {
        Ok(args) => args,
        Err(Ended::Asked(help)) => {
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
        Err(Ended::Refused(why)) => return refuse(&why),
    };
    match args.command {
        Some(Command::Openapi) => return print_document(),
        Some(Command::Migrate { action }) => return migrate(&args, action),
        None => {}
    }
    let config = match args.config() {
        Ok(config) => config,
        Err(error) => return refuse(&error.to_string()),
    };
    let telemetry = match start_telemetry(&config) {
        Ok(telemetry) => telemetry,
        Err(error) if error.variable().is_some() => return refuse(&error.to_string()),
        Err(error) => {
            say(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    let result = block_on(run(config, &telemetry));
    let flush = match &result {
        Ok(end) => end.saturating_duration_since(Instant::now()).clamp(FLUSH_MIN, FLUSH_MAX),
        Err(error) => {
            tracing::error!(event = "failed", error = format!("{error:#}"), "the service ends");
            FLUSH_MAX
        }
    };
    telemetry.shutdown(flush);
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ends before anything started, with one line that says why.
fn refuse(why: &str) -> ExitCode {
    say(why);
    ExitCode::from(USAGE)
}

/// One line, whatever the text quotes.
fn say(why: &str) {
    let line: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = writeln!(std::io::stderr(), "task-api: {line}");
}

fn start_telemetry(config: &Config) -> Result<Telemetry, InitError> {
    telemetry::init(telemetry::Settings {
        service: config.logs.service.clone().leak(), // once, for as long as the process lives
        version: env!("CARGO_PKG_VERSION"),
        environment: config.logs.environment.clone(),
        format: config.logs.format,
        filter: config.logs.filter.clone(),
        cloudwatch: config.logs.cloudwatch.clone(),
        traces: config.traces.clone(),
        sentry: config.sentry.clone(),
    })
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    // Dropped, it would wait for its blocking threads, and so for the lock that a write of theirs waits for.
    runtime.shutdown_background();
    result
}

fn print_document() -> ExitCode {
    let written = std::io::stdout().write_all(service::http::openapi::json().as_bytes());
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn migrate(args: &Args, action: migrate::Command) -> ExitCode {
    let url = match args.database_url() {
        Ok(url) => url,
        Err(error) => return refuse(&error.to_string()),
    };
    let result = block_on(migrate::run(url.expose(), action)).and_then(|report| {
        let mut out = std::io::stdout();
        writeln!(out, "changed: {}", listed(&report.changed))?;
        writeln!(out, "applied: {}", listed(&report.applied))?;
        Ok(writeln!(out, "pending: {}", listed(&report.pending))?)
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Serves until it is told to stop; says when it has to be gone.
async fn run(config: Config, telemetry: &Telemetry) -> anyhow::Result<Instant> {
    raise_descriptor_limit();
    let app = App::build_with_telemetry(config, Clock::system(), Some(telemetry.handles())).await?;
    telemetry.attach(&app.state().metrics);
    // Before anybody can be told that it is ready: who stops it then is heard.
    let mut stop = Stop::listen()?;
    let running = app.start();
    let (api, admin) = (format!("http://{}", running.api), format!("http://{}", running.admin));
    let to = telemetry.destinations();
    let shipped = to.metrics.map(|to| format!(" and {to}")).unwrap_or_default();
    let (docs, metrics) = (format!("{api}/docs"), format!("{admin}/metrics{shipped}"));
    tracing::info!(
        event = "started",
        api,
        docs,
        admin,
        metrics,
        logs = to.logs,
        traces = to.traces,
        errors = to.errors,
        "serving the API on {api}, its docs on {docs}, metrics on {metrics}"
    );
    stop.heard().await;
    Ok(running.stop().await)
}

fn listed(versions: &[String]) -> String {
    if versions.is_empty() { "none".into() } else { versions.join(", ") }
}

/// Takes as many descriptors as the system allows: each connection needs one.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if raised.is_err() {
        tracing::warn!(event = "descriptor_limit", "the limit of open files stays as it is");
    }
}

/// SIGTERM, or Ctrl-C at a terminal.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> std::io::Result<Stop> {
        Ok(Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn heard(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
