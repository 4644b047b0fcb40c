//! Start and end: one `init` for the process, one `shutdown` that delivers what is left.

use std::{
    fs::File,
    io::{IsTerminal, Write, stdout},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use tracing::{Dispatch, Level};

use crate::{
    catalogue::LOG_SHIPPER_STOPPED,
    cloudwatch::{CloudWatchSettings, Shipper, ShipperCounts},
    error::InitError,
    errors::{Errors, SentrySettings},
    logs::{self, Field, LogControl, LogFormat, LogStats, LogWriter, OwnLines},
    metrics::Metrics,
    panics,
    traces::{TraceSettings, Traces},
};

/// How long a dropped [`Telemetry`] waits for its lines: a process that ends on an error still says why.
const DROP_DEADLINE: Duration = Duration::from_secs(1);

/// The same after `shutdown`, which has had its time: a pipe that nobody reads must not hold up the end a second time.
const DROP_DEADLINE_AGAIN: Duration = Duration::from_millis(50);

/// What the process says about itself and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The service's name, on every line.
    pub service: &'static str,
    /// Its version, on every line.
    pub version: &'static str,
    /// `DEPLOYMENT_ENVIRONMENT`, on every line.
    pub environment: String,
    /// `LOG_FORMAT`.
    pub format: LogFormat,
    /// `RUST_LOG`: a level, or levels by target, as in `info,service=debug`.
    pub filter: String,
    /// `CLOUDWATCH_*`: ship the lines to CloudWatch Logs as well.
    pub cloudwatch: Option<CloudWatchSettings>,
    /// Traces over OTLP; none without a collector.
    pub traces: Option<TraceSettings>,
    /// Failures to Sentry; none without a DSN.
    pub sentry: Option<SentrySettings>,
}

/// What an app needs of the running telemetry. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handles {
    /// Reads and changes the level while the process runs.
    pub log_control: LogControl,
    /// What the log writer has done so far; give it to `Metrics::attach_logs`.
    pub log_stats: Arc<LogStats>,
    /// Spans, where they go anywhere.
    pub traces: Option<Traces>,
    /// Failures, where they go anywhere.
    pub errors: Option<Errors>,
}

/// The running telemetry of a process. Dropping it delivers what is left, within a second.
#[derive(Debug)]
pub struct Telemetry {
    /// Reads and changes the level while the process runs.
    pub log_control: LogControl,
    /// What the log writer has done so far; give it to `Metrics::attach_logs`.
    pub log_stats: Arc<LogStats>,
    /// Spans, where they go anywhere.
    pub traces: Option<Traces>,
    /// Failures, where they go anywhere.
    pub errors: Option<Errors>,
    writer: Arc<LogWriter>,
    shipper: Option<Shipper>,
    own_lines: OwnLines,
    /// Whether `shutdown` has had its time: dropping must not wait for the same dead CloudWatch again.
    ended: AtomicBool,
}

/// Which signal goes where, each in a few words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destinations {
    /// Log lines.
    pub logs: String,
    /// Metrics, besides the admin listener.
    pub metrics: Option<String>,
    /// Spans; `off` without a collector.
    pub traces: String,
    /// Failures; `off` without a DSN.
    pub errors: String,
}

/// What became of the telemetry at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Whether all that was queued left in time.
    pub complete: bool,
    /// Log lines written since the start.
    pub log_lines_written: u64,
    /// Log lines dropped since the start.
    pub log_lines_dropped: u64,
    /// Log lines still queued when the time was over; lost if the process ends now.
    pub log_lines_left: u64,
    /// Spans that were given up because the time was over.
    pub spans_lost: u64,
    /// Events for Sentry that were given up because the time was over.
    pub errors_lost: u64,
    /// What the CloudWatch shipper has done with its lines, if there is one. What is still `queued` is lost if the
    /// process ends now; what is `spooled` is sent after the next start.
    pub shipper: Option<ShipperCounts>,
}

impl Telemetry {
    /// What an app needs of it.
    pub fn handles(&self) -> Handles {
        Handles {
            log_control: self.log_control.clone(),
            log_stats: Arc::clone(&self.log_stats),
            traces: self.traces.clone(),
            errors: self.errors.clone(),
        }
    }

    /// Lets `metrics` export what becomes of the telemetry, and ships `metrics` to CloudWatch if that is asked for.
    pub fn attach(&self, metrics: &Arc<Metrics>) {
        metrics.attach_logs(Arc::clone(&self.log_stats));
        if let Some(shipper) = &self.shipper {
            metrics.attach_shipper(shipper.stats());
            shipper.attach(metrics);
        }
    }

    /// The shipper to CloudWatch Logs, if there is one.
    pub fn shipper(&self) -> Option<&Shipper> {
        self.shipper.as_ref()
    }

    /// Which signal goes where.
    pub fn destinations(&self) -> Destinations {
        let off = || "off".to_owned();
        let shipped = self.shipper.as_ref().map(|shipper| format!(" and {}", shipper.destination()));
        let namespace = self.shipper.as_ref().and_then(Shipper::metrics_namespace);
        Destinations {
            logs: format!("stdout{}", shipped.unwrap_or_default()),
            metrics: namespace.map(|namespace| format!("CloudWatch (namespace {namespace})")),
            traces: self.traces.as_ref().map_or_else(off, ToString::to_string),
            errors: self.errors.as_ref().map_or_else(off, ToString::to_string),
        }
    }

    /// Delivers what was produced before this call, for at most `deadline`. Blocks its thread; lines produced afterwards
    /// are still taken, spans are not. What delivers over the network has four fifths of the time, so that the lines which
    /// tell of its failure are written within the rest. The last line says what became of the shipped ones.
    pub fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let end = Instant::now() + deadline;
        let for_network = deadline / 5 * 4;
        self.ended.store(true, Relaxed);
        let (spans_lost, errors_lost, shipped) = thread::scope(|scope| {
            // Side by side: one that hangs must not take the other's time.
            let traces = self.traces.as_ref();
            let traces = scope.spawn(move || traces.map_or(0, |traces| traces.shutdown(for_network)));
            let errors = self.errors.as_ref();
            let errors = scope.spawn(move || errors.map_or(0, |errors| errors.shutdown(for_network)));
            let shipped = self.shipper.as_ref().is_none_or(|shipper| shipper.flush(for_network));
            (traces.join().unwrap_or_default(), errors.join().unwrap_or_default(), shipped)
        });
        let shipper = self.shipper.as_ref().map(Shipper::counts);
        if let Some(counts) = &shipper {
            self.tell_last(counts);
        }
        let written = self.writer.flush(end.saturating_duration_since(Instant::now()));
        ShutdownReport {
            complete: written && shipped && spans_lost + errors_lost == 0,
            spans_lost,
            errors_lost,
            shipper,
            log_lines_written: self.log_stats.written(),
            log_lines_dropped: self.log_stats.dropped_total(),
            log_lines_left: self.log_stats.waiting(),
        }
    }

    fn tell_last(&self, counts: &ShipperCounts) {
        let lost = counts.queued + counts.dropped_total() + counts.rejected_total();
        let fields = [
            ("sent", Field::Number(counts.delivered)),
            ("spooled", Field::Number(counts.spooled)),
            ("lost", Field::Number(lost)),
        ];
        let level = if lost > 0 { Level::WARN } else { Level::INFO };
        self.own_lines.write(level, &LOG_SHIPPER_STOPPED, "the log shipper has done what it could", &fields);
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if self.ended.load(Relaxed) {
            self.writer.flush(DROP_DEADLINE_AGAIN);
            return;
        }
        if let Some(shipper) = &self.shipper {
            shipper.flush(DROP_DEADLINE);
        }
        self.writer.flush(DROP_DEADLINE);
    }
}

/// Starts logging to standard output, for the whole process, and takes over its panic hook.
///
/// # Errors
///
/// If the filter is not one, if logging was started before, if the spool cannot be written to, or if a thread cannot
/// start.
pub fn init(settings: Settings) -> Result<Telemetry, InitError> {
    // A descriptor of our own: the standard library's `Stdout` buffers by line, and would hide which lines a full
    // pipe has taken.
    let output = stdout().as_fd().try_clone_to_owned().map_err(InitError::Output)?;
    let colours = stdout().is_terminal();
    let (telemetry, dispatch) = start(&settings, Box::new(File::from(output)), colours)?;
    tracing::dispatcher::set_global_default(dispatch).map_err(|_| InitError::AlreadyStarted)?;
    panics::install(telemetry.errors.clone());
    Ok(telemetry)
}

/// The same with another output, and without making it the process' own: for tests, which use the returned
/// dispatcher for a thread or set it themselves. `output` is given whole lines and must not buffer.
///
/// # Errors
///
/// If the filter is not one, or if the writer cannot start.
pub fn build(settings: Settings, output: Box<dyn Write + Send>) -> Result<(Telemetry, Dispatch), InitError> {
    start(&settings, output, false)
}

fn start(
    settings: &Settings,
    output: Box<dyn Write + Send>,
    colours: bool,
) -> Result<(Telemetry, Dispatch), InitError> {
    let (filter, log_control) = logs::filter(&settings.filter).map_err(InitError::Filter)?;
    let identity = logs::Identity::new(settings.service, settings.version, &settings.environment);
    let writer =
        LogWriter::start(output, logs::summary(settings.format, identity.clone())).map_err(InitError::Output)?;
    let writer = Arc::new(writer);
    let own_lines = OwnLines::new(Arc::clone(&writer), settings.format, identity.clone());
    let shipper = settings.cloudwatch.as_ref().map(|cloudwatch| {
        let summary = logs::summary(LogFormat::Json, identity.clone());
        Shipper::start(cloudwatch, (settings.service, &settings.environment), own_lines.clone(), summary)
    });
    let shipper = shipper.transpose()?;
    let traces = settings.traces.as_ref().map(|traces| Traces::start(settings, traces)).transpose()?;
    let errors = settings.sentry.as_ref().map(|sentry| Errors::start(settings, sentry)).transpose();
    let errors = errors.map_err(InitError::Output)?;
    // The filter above is the log layer's own, so RUST_LOG does not silence the spans.
    let dispatch = logs::subscriber(
        settings.format,
        colours,
        identity,
        filter,
        Arc::clone(&writer),
        shipper.as_ref().map(Shipper::queue),
        traces.as_ref(),
    );
    let log_stats = writer.stats();
    let ended = AtomicBool::new(false);
    let telemetry = Telemetry { log_control, log_stats, traces, errors, writer, shipper, own_lines, ended };
    Ok((telemetry, dispatch))
}
