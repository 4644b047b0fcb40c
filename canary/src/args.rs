//! The command line and the environment, read once.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args as ClapArgs, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use slo::Period;

use crate::credentials::Secret;

/// Probes a deployed Task API from outside, the way a user would
///
/// Exit codes: 0 OK; 1 DEGRADED: users are served, and something is wrong; 2 FAILED: users are not served; 3 ERROR: the canary's
/// own fault, such as its credentials; 64: the command line cannot be used.
#[derive(Debug, Parser)]
#[command(name = "canary", version, max_term_width = 120)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// One run: for a scheduled task of ECS, for cron, for a CronJob of Kubernetes
    Run(Box<RunArgs>),
    /// One run after the other, with metrics and health for Prometheus
    Serve(Box<ServeArgs>),
    /// What earlier runs found: uptime, p95 by day, incidents
    History(HistoryArgs),
    /// Says whether the configuration can be used, and what follows from it, without a request to the target
    CheckConfig(Box<RunArgs>),
}

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For machines: one JSON object on one line
    Json,
}

/// Which addresses are probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Family {
    /// All
    Any,
    /// Those of IPv4
    Ipv4,
    /// Those of IPv6
    Ipv6,
}

/// What one run needs.
#[derive(Debug, ClapArgs)]
pub struct RunArgs {
    /// The load balancer: https://NAME, or http:// on this machine
    #[arg(long, env = "CANARY_TARGET")]
    pub target: String,
    /// The canary's name in CloudWatch and in the history
    #[arg(long, env = "CANARY_NAME", default_value = "task-api")]
    pub name: String,
    /// The objectives, from which the limits follow [default: the slo.toml that was compiled in]
    #[arg(long, env = "CANARY_SLO")]
    pub slo: Option<PathBuf>,
    /// Probe these addresses and ask no name server: NAME=ADDRESS,ADDRESS
    #[arg(long, value_name = "NAME=ADDRESS,…")]
    pub resolve: Option<String>,
    /// Which addresses are probed: a machine without IPv6 cannot tell whether those addresses are up
    #[arg(long, env = "CANARY_FAMILY", value_enum, default_value = "any")]
    pub family: Family,
    /// Trust the certificates of this PEM file and no others [default: those that the machine trusts]
    #[arg(long, env = "CANARY_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// Where plain HTTP has to redirect to HTTPS; 0 checks nothing
    #[arg(long, env = "CANARY_HTTP_PORT", default_value_t = 80)]
    pub http_port: u16,
    /// Further attempts at a step that failed, each on another connection
    #[arg(long, env = "CANARY_RETRIES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=3))]
    pub retries: u32,
    /// The longest a whole run may take, its clean-up included: 5s to 9m; serve takes at most three quarters of the interval
    #[arg(long, env = "CANARY_DEADLINE", default_value = "45s", value_parser = deadline)]
    pub deadline: Period,
    /// Where runs are kept, a line of JSON each, with the evidence of the first failure; at most 16 MiB in two files [default: nowhere]
    #[arg(long, env = "CANARY_HISTORY")]
    pub history: Option<PathBuf>,
    /// How the result is written
    #[arg(long, value_enum, default_value = "text")]
    pub output: Format,
    #[command(flatten)]
    pub(crate) credentials: CredentialArgs,
    /// Send metrics in CloudWatch's embedded format to this log group [default: nowhere]
    #[arg(long, env = "CLOUDWATCH_LOG_GROUP")]
    pub cloudwatch_log_group: Option<String>,
    /// The stream in that group [default: a name that no other task has]
    #[arg(long, env = "CLOUDWATCH_LOG_STREAM")]
    pub cloudwatch_log_stream: Option<String>,
    /// Name of this environment in logs
    #[arg(long, env = "DEPLOYMENT_ENVIRONMENT", default_value = "development")]
    pub deployment_environment: String,
}

/// Who the canary is. E-mail and password, or a file, or a secret: exactly one of the three.
#[derive(Debug, Default, ClapArgs)]
pub struct CredentialArgs {
    /// The canary's own account; nobody else uses it
    #[arg(long, env = "CANARY_EMAIL", hide_env_values = true)]
    pub email: Option<Secret>,
    /// Its password; better in the environment than on a command line, which others can see
    #[arg(long, env = "CANARY_PASSWORD", hide_env_values = true)]
    pub password: Option<Secret>,
    /// A file with {"email": "…", "password": "…"}, read before each run
    #[arg(long, env = "CANARY_CREDENTIALS_FILE")]
    pub credentials_file: Option<PathBuf>,
    /// Name or ARN of a secret in AWS Secrets Manager with {"email": "…", "password": "…"}, read before each run
    #[arg(long, env = "CANARY_CREDENTIALS_SECRET")]
    pub credentials_secret: Option<String>,
    /// Entitles to be counted as synthetic traffic; the service has the same
    #[arg(long, env = "SYNTHETIC_SECRET", hide_env_values = true)]
    pub synthetic_secret: Option<Secret>,
}

/// What `serve` needs besides.
#[derive(Debug, ClapArgs)]
pub struct ServeArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Between the starts of two runs [default: that of slo.toml, 1m]
    #[arg(long, env = "CANARY_INTERVAL", value_parser = period)]
    pub interval: Option<Period>,
    /// Address of /metrics and /health
    #[arg(long, env = "CANARY_LISTEN_ADDR", default_value = "127.0.0.1:9465")]
    pub listen_addr: std::net::SocketAddr,
    /// json or pretty
    #[arg(long, env = "LOG_FORMAT", default_value = "json")]
    pub log_format: String,
    /// Which log lines to write
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    pub rust_log: String,
}

/// What `history` needs.
#[derive(Debug, ClapArgs)]
pub struct HistoryArgs {
    /// The file that runs were written to
    #[arg(long, env = "CANARY_HISTORY")]
    pub history: PathBuf,
    /// How many days back
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=400))]
    pub days: u32,
    /// How the result is written
    #[arg(long, value_enum, default_value = "text")]
    pub output: Format,
}

/// Why there is nothing to do.
#[derive(Debug)]
pub enum Ended {
    /// Help or the version was asked for: it is to be printed.
    Asked(clap::Error),
    /// The command line or a variable cannot be used; one line says why.
    Refused(String),
}

impl Args {
    /// Reads the command line and the environment. An empty variable is an unset one: that is how task definitions leave a
    /// setting out.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn read() -> Result<Self, Ended> {
        let command = without_empty_variables(Self::command());
        let read = command.try_get_matches().and_then(|matches| Self::from_arg_matches(&matches));
        read.map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ended::Asked(error),
            _ => Ended::Refused(refusal(&error)),
        })
    }
}

/// One line. A word that is no argument is not shown: it may be the second of a password that was not quoted.
fn refusal(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::UnknownArgument {
        let near = error.get(ContextKind::SuggestedArg).and_then(|found| match found {
            ContextValue::String(name) => Some(format!("; is {name} meant?")),
            _ => None,
        });
        let near = near.unwrap_or_default();
        return format!(
            "there is an argument too many, not shown as it may be part of a secret: quote values with spaces{near}"
        );
    }
    let text = error.to_string();
    let lines = text.trim_start_matches("error: ").lines().map(str::trim);
    lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let unset = |argument: clap::Arg| {
        #[expect(clippy::disallowed_methods, reason = "this is where the environment is read, once, at start")]
        let value = argument.get_env().and_then(std::env::var_os);
        if value.is_some_and(|value| value.is_empty()) { argument.env(None) } else { argument }
    };
    command.mut_subcommands(move |sub| sub.mut_args(unset))
}

/// The shortest run: less is not enough for a dozen requests and their clean-up.
const DEADLINE_MIN: Duration = Duration::from_secs(5);
/// The longest: shorter than the age from which a task counts as left behind, or a run would be swept by the next.
const DEADLINE_MAX: Duration = Duration::from_mins(9);

fn deadline(text: &str) -> Result<Period, String> {
    let period = period(text)?;
    let fits = (DEADLINE_MIN..=DEADLINE_MAX).contains(&period.duration());
    if fits { Ok(period) } else { Err("takes 5s to 9m".to_owned()) }
}

fn period(text: &str) -> Result<Period, String> {
    text.parse().map_err(|()| "takes a whole number and a unit: 30s, 5m, 1h".to_owned())
}
