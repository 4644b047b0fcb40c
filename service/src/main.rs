//! `task-api`: serves the Task API, brings its schema up to date, or prints its OpenAPI document.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use clap::error::ErrorKind;
use service::app::App;
use service::clock::Clock;
use service::config::{Args, Command, Config, ConfigError};
use service::store::migrate;
use telemetry::Telemetry;

/// `EX_USAGE` of BSD's sysexits: the command line or the configuration is wrong.
const USAGE: u8 = 64;
/// How long log lines may take to leave at the end: with the grace of 25 s for requests, within the 30 s after which ECS
/// kills.
const FLUSH_MAX: Duration = Duration::from_secs(4);

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            return refuse(error.to_string().trim_start_matches("error: ").lines().next().unwrap_or_default());
        }
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
        Err(error) => return refuse(&error.to_string()),
    };
    let result = block_on(run(config, &telemetry));
    if let Err(error) = &result {
        tracing::error!(event = "failed", error = format!("{error:#}"), "the service ends");
    }
    telemetry.shutdown(FLUSH_MAX);
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ends before anything started, with one line that says why.
fn refuse(why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "task-api: {why}");
    ExitCode::from(USAGE)
}

fn start_telemetry(config: &Config) -> Result<Telemetry, ConfigError> {
    let settings = telemetry::Settings {
        service: "task-api",
        version: env!("CARGO_PKG_VERSION"),
        environment: config.logs.environment.clone(),
        format: config.logs.format,
        filter: config.logs.filter.clone(),
        cloudwatch: config.logs.cloudwatch.clone(),
    };
    telemetry::init(settings).map_err(|error| {
        let got = format!("{:?}", error.got().unwrap_or_default());
        ConfigError::new(error.variable().unwrap_or("LOG_FORMAT"), got, error.to_string())
    })
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
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
            let _ = writeln!(std::io::stderr(), "task-api: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config, telemetry: &Telemetry) -> anyhow::Result<()> {
    raise_descriptor_limit();
    let logs = (telemetry.log_control.clone(), Arc::clone(&telemetry.log_stats));
    let app = App::build_with_logs(config, Clock::system(), Some(logs)).await?;
    telemetry.attach(&app.state().metrics);
    let running = app.start();
    let (api, admin) = (format!("http://{}", running.api), format!("http://{}", running.admin));
    let metrics = telemetry.metrics_destination().map(|shipped| format!(" and {shipped}"));
    let signals = format!(
        "logs to {}, metrics to whoever scrapes{}, traces and errors nowhere",
        telemetry.log_destination(),
        metrics.unwrap_or_default()
    );
    tracing::info!(
        event = "started",
        api,
        admin,
        signals,
        "serving the API on {api}, its docs on {api}/docs, metrics on {admin}/metrics"
    );
    stop_signal().await?;
    running.stop().await;
    Ok(())
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

/// Waits for SIGTERM, or Ctrl-C at a terminal.
async fn stop_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}
