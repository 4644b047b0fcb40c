//! What each command does, and the exit code that follows.

use std::io::Write as _;
use std::process::ExitCode;

use jiff::ToSpan as _;
use telemetry::logs::LogFormat;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::args::{Command, Format, HistoryArgs, RunArgs, ServeArgs};
use crate::config::{Config, Refused};
use crate::history::{self, Summary};
use crate::output::{json, print, say};
use crate::report::Outcome;
use crate::run::{Stop, run};
use crate::{clock, serve, shipping};

/// `EX_USAGE` of BSD's sysexits: the command line cannot be used.
pub const USAGE: u8 = 64;

/// Why a command ends early, with one line that says so.
enum Early {
    Usage(String),
    Own(String),
}

impl From<Refused> for Early {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Usage(why) => Self::Usage(why),
            Refused::Own(why) => Self::Own(why),
        }
    }
}

impl From<std::io::Error> for Early {
    fn from(error: std::io::Error) -> Self {
        Self::Own(error.to_string())
    }
}

/// Does it.
pub fn execute(command: Command) -> ExitCode {
    let result = match &command {
        Command::Run(args) => run_once(args),
        Command::Serve(args) => serve_on(args),
        Command::History(args) => show_history(args),
        Command::CheckConfig(args) => check_config(args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(Early::Usage(why)) => {
            say(&why);
            ExitCode::from(USAGE)
        }
        Err(Early::Own(why)) => {
            say(&why);
            ExitCode::from(Outcome::Error.exit_code())
        }
    }
}

fn run_once(args: &RunArgs) -> Result<u8, Early> {
    let config = Config::from_args(args)?;
    let settings = shipping::settings(args, LogFormat::Json, "info").map_err(Early::Usage)?;
    let telemetry = settings.cloudwatch.is_some().then(|| shipping::beside_a_report(settings));
    let telemetry = telemetry.transpose().map_err(Early::Own)?;
    let report = block_on(async { Ok(run(&config, stop_signal()?).await) })?;
    if let Some(path) = &config.history
        && let Err(error) = history::append(path, &report)
    {
        say(&format!("--history {}: {error}", path.display()));
    }
    if let Some(telemetry) = &telemetry {
        shipping::ship(telemetry, &report);
        if !shipping::finish(telemetry) {
            say("not all metrics have reached CloudWatch");
        }
    }
    // The exit code says it too, to whom reads no output.
    let _ = print(&report, args.output);
    Ok(report.outcome.exit_code())
}

fn serve_on(args: &ServeArgs) -> Result<u8, Early> {
    let config = Config::from_args(&args.run)?;
    let format = match args.log_format.as_str() {
        "json" => LogFormat::Json,
        "pretty" => LogFormat::Pretty,
        other => return Err(Early::Usage(format!("LOG_FORMAT: got {other:?}; takes json or pretty"))),
    };
    let settings = shipping::settings(&args.run, format, &args.rust_log).map_err(Early::Usage)?;
    let interval = args.interval.unwrap_or(config.slo.canary.interval).duration();
    let telemetry = telemetry::init(settings).map_err(|error| Early::Own(error.to_string()))?;
    let served =
        block_on(async { Ok(serve::serve(config, interval, args.listen_addr, &telemetry, stop_signal()?).await) })?;
    shipping::finish(&telemetry);
    served.map(|()| 0).map_err(|error| Early::Own(format!("{error:#}")))
}

fn show_history(args: &HistoryArgs) -> Result<u8, Early> {
    let since = clock::now().checked_sub((i64::from(args.days) * 24).hours()).unwrap_or_default();
    let unreadable = |error| Early::Own(format!("--history {}: {error}", args.history.display()));
    let (entries, torn) = history::read(&args.history, since).map_err(unreadable)?;
    let summary = Summary::of(&entries, torn);
    let text = if args.output == Format::Json { json(&summary) } else { summary.text() };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(0)
}

fn check_config(args: &RunArgs) -> Result<u8, Early> {
    let config = Config::from_args(args)?;
    shipping::settings(args, LogFormat::Json, "info").map_err(Early::Usage)?;
    block_on(async { Ok(config.credentials.load().await) })?.map_err(Early::Own)?;
    let limits = config.limits;
    let text = [
        format!("target       {}", config.target.url()),
        format!("credentials  {}: readable", config.credentials.describe()),
        format!("trust        {}", config.trust.map_or("no TLS".into(), |trust| format!("{} roots", trust.roots))),
        format!("answer       {:?}: of every step but login, to its last byte (requests.latency)", limits.answer),
        format!(
            "step         {:?}: a whole attempt (canary.latency); given up after {:?}",
            limits.step, limits.attempt
        ),
        format!("run          {:?}, retries {}", limits.run, config.retries),
        format!(
            "synthetic    {}",
            if config.synthetic_secret.is_some() { "claimed with a secret" } else { "not claimed" }
        ),
    ];
    writeln!(std::io::stdout(), "{}", text.join("\n"))?;
    Ok(0)
}

fn block_on<T>(work: impl Future<Output = std::io::Result<T>>) -> Result<T, Early> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(work);
    // Dropped, it would wait for a name server that does not answer.
    runtime.shutdown_background();
    Ok(result?)
}

/// Becomes `true` at SIGTERM, Ctrl-C at a terminal, or when that terminal goes: each may leave a task behind.
fn stop_signal() -> std::io::Result<Stop> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hang_up = signal(SignalKind::hangup())?;
    let (sender, stop) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hang_up.recv() => {}
        }
        let _ = sender.send(true);
        sender.closed().await;
    });
    Ok(stop)
}
