//! The way to CloudWatch Logs: the shipper that the service has too.

use std::time::{Duration, SystemTime};

use telemetry::cloudwatch::{is_log_group, is_log_stream};
use telemetry::logs::LogFormat;
use telemetry::{CloudWatchSettings, Settings, Telemetry};
use tracing::Level;

use crate::args::RunArgs;
use crate::report::Report;
use crate::{clock, emf};

/// How long lines may take to leave at the end.
const FLUSH_MAX: Duration = Duration::from_secs(8);

/// What telemetry is told; `format` and `filter` are of its log lines.
///
/// # Errors
/// One line that names the variable, what it got and what it takes.
pub fn settings(args: &RunArgs, format: LogFormat, filter: &str) -> Result<Settings, String> {
    let cloudwatch = match args.cloudwatch_log_group.as_deref() {
        None => None,
        Some(group) if !is_log_group(group) => {
            return Err(format!("CLOUDWATCH_LOG_GROUP: got {group:?}; takes letters, digits and _ - / . #"));
        }
        Some(group) => {
            let mut settings = CloudWatchSettings::new(group);
            if let Some(stream) = &args.cloudwatch_log_stream {
                if !is_log_stream(stream) {
                    return Err(format!("CLOUDWATCH_LOG_STREAM: got {stream:?}; takes no : and no *"));
                }
                settings.log_stream = Some(stream.clone());
            }
            Some(settings)
        }
    };
    Ok(Settings {
        service: "canary",
        version: env!("CARGO_PKG_VERSION"),
        environment: args.deployment_environment.clone(),
        format,
        filter: filter.to_owned(),
        cloudwatch,
        traces: None,
        sentry: None,
    })
}

/// Telemetry of one run: what the shipper has to say goes to standard error, since standard output is the report's.
///
/// # Errors
/// When it cannot start.
pub fn beside_a_report(settings: Settings) -> Result<Telemetry, String> {
    let started = telemetry::build(settings, Box::new(std::io::stderr()));
    started.map(|(telemetry, _)| telemetry).map_err(|error| error.to_string())
}

/// Hands the metrics of a run to the shipper, if there is one. Waits for nothing.
pub fn ship(telemetry: &Telemetry, report: &Report) {
    let Some(shipper) = telemetry.shipper() else { return };
    let now = SystemTime::from(clock::now());
    for line in emf::lines(report) {
        // Above INFO: a line here stands for a run, and goes last when there is no room.
        shipper.push(now, Level::WARN, line.as_bytes());
    }
}

/// Delivers what is left; `false` when something may be lost.
pub fn finish(telemetry: &Telemetry) -> bool {
    telemetry.shutdown(FLUSH_MAX).complete
}
