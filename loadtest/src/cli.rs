//! The command line, and what each of its values may be.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hyper::header::HeaderValue;

use crate::client::Connector;
use crate::duration;
use crate::leftovers::Notes;
use crate::stage::Site;
use crate::target::{Permission, Target};

/// The flag behind which a secret stands.
const SECRET: &str = "--synthetic-secret";
/// Most requests a second that are asked for: more is an attack, or a mistake in typing.
pub const RATE_MAX: f64 = 20_000.0;
/// Longest measured time of `run` and `explore`; `soak` may take longer.
pub const DURATION_MAX: Duration = Duration::from_secs(2 * 3600);
/// Longest window of the rate's rule: over a longer one a stall is averaged away.
pub const WINDOW_MAX: Duration = Duration::from_secs(10);
/// Longest `soak`.
pub const SOAK_MAX: Duration = Duration::from_secs(72 * 3600);

/// Puts the Task API under load and says whether a release may go: PASS (exit code 0), FAIL (1) or INVALID (2; the run
/// says nothing). 64 is a mistake in how it was called.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version, args_conflicts_with_subcommands = true, max_term_width = 120)]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Of the default command
    #[command(flatten)]
    pub run: RunArgs,
}

/// What the tool does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load at a fixed rate, and a verdict on the objectives (the default)
    Run(Box<RunArgs>),
    /// Users of a closed loop, with goose: to look around, without a verdict
    Explore(ExploreArgs),
    /// Raises the rate until an objective breaks, and prints the highest that held
    FindMax(FindMaxArgs),
    /// Hours at a fixed rate: do memory, descriptors and p99 of the target grow?
    Soak(SoakArgs),
    /// Takes away what killed runs have left
    Clean(CleanArgs),
    /// Tells a change from noise: two results of `run`
    Compare(CompareArgs),
    /// Measures built-in servers that are known to be good or bad, and checks every verdict
    SelfTest(SelfTestArgs),
}

/// What is put under load, and who allows it.
#[derive(Debug, Clone, Args)]
pub struct TargetArgs {
    /// Base address of the API
    #[arg(long, default_value = "http://127.0.0.1:3000")]
    pub host: String,
    /// The target's own metrics, or `none` [default: http://127.0.0.1:9464/metrics for a host on this machine, else none]
    #[arg(long)]
    pub metrics_url: Option<String>,
    /// A host that may be put under load beside this machine; may be repeated, or hold several separated by commas
    #[arg(long, env = "LOADTEST_ALLOW_HOSTS", value_delimiter = ',')]
    pub allow_host: Vec<String>,
    /// Load on production is meant
    #[arg(long)]
    pub production: bool,
    /// The production host, typed once more
    #[arg(long)]
    pub confirm: Option<String>,
    /// Makes the target believe that the traffic is synthetic, so that it stays out of its objectives
    #[arg(long, env = "SYNTHETIC_SECRET", hide_env_values = true)]
    pub synthetic_secret: Option<Hidden>,
    /// Where results go [default: target/loadtest/<run>]; what a killed run has left is noted in `leftovers` of it
    #[arg(long)]
    pub report_dir: Option<PathBuf>,
}

/// A secret that no output shows.
#[derive(Clone)]
pub struct Hidden(String);

impl std::str::FromStr for Hidden {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("hidden")
    }
}

/// What the load is like.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// The workload profile, a TOML file [default: built in, loadtest/profiles/default.toml]
    #[arg(long)]
    pub profile: Option<PathBuf>,
    /// The same seed makes the same requests
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The objectives
    #[arg(long, default_value = "slo.toml")]
    pub slo: PathBuf,
    /// Connections at once; a request that finds none free waits, and its wait counts
    #[arg(long, default_value_t = 256)]
    pub connections: usize,
    /// Threads of the generator [default: 1, and one more for each 5000 requests/s, as far as there are cores]
    #[arg(long)]
    pub threads: Option<usize>,
}

/// For people or machines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table
    #[default]
    Text,
    /// What result.json has
    Json,
}

/// Of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// What is put under load
    #[command(flatten)]
    pub target: TargetArgs,
    /// What the load is like
    #[command(flatten)]
    pub load: LoadArgs,
    /// Requests per second, up to 20000 [default: load.rate of slo.toml]
    #[arg(long)]
    pub rate: Option<f64>,
    /// Measured time, up to 2h
    #[arg(long, default_value = "60s", value_parser = duration::parse)]
    pub duration: Duration,
    /// Load before it
    #[arg(long, default_value = "10s", value_parser = duration::parse)]
    pub warm_up: Duration,
    /// Less than the objective is meant: a PASS then says that it is one below it
    #[arg(long)]
    pub below_objective: bool,
    /// The window in each of which the rate has to be reached, up to 10s [default: 10s, or the measured time if that is less]
    #[arg(long, value_parser = duration::parse)]
    pub window: Option<Duration>,
    /// Judge percentiles by the far end of their confidence interval
    #[arg(long)]
    pub strict: bool,
    /// Where a trace is seen, with {trace_id} in it: the report links there
    #[arg(long)]
    pub trace_url: Option<String>,
    /// For people or machines
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Of `explore`.
#[derive(Debug, Clone, Args)]
pub struct ExploreArgs {
    /// What is put under load
    #[command(flatten)]
    pub target: TargetArgs,
    /// The workload profile, a TOML file [default: built in, loadtest/profiles/default.toml]
    #[arg(long)]
    pub profile: Option<PathBuf>,
    /// The same seed makes the same people and tasks
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Users of the closed loop: each waits for an answer before its next request
    #[arg(long, default_value_t = 20)]
    pub users: usize,
    /// How long, up to 2h
    #[arg(long, default_value = "60s", value_parser = duration::parse)]
    pub duration: Duration,
}

/// Of `find-max`.
#[derive(Debug, Clone, Args)]
pub struct FindMaxArgs {
    /// What is put under load
    #[command(flatten)]
    pub target: TargetArgs,
    /// What the load is like
    #[command(flatten)]
    pub load: LoadArgs,
    /// The first rate, in requests per second
    #[arg(long, default_value_t = 250.0)]
    pub from: f64,
    /// The highest rate that is tried
    #[arg(long, default_value_t = RATE_MAX)]
    pub to: f64,
    /// How closely the highest rate is to be found, as a share
    #[arg(long, default_value_t = 0.05)]
    pub precision: f64,
    /// Measured time of each step; all together take 2h at most
    #[arg(long, default_value = "10s", value_parser = duration::parse)]
    pub step: Duration,
    /// For people or machines
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Of `soak`.
#[derive(Debug, Clone, Args)]
pub struct SoakArgs {
    /// What is put under load
    #[command(flatten)]
    pub target: TargetArgs,
    /// What the load is like
    #[command(flatten)]
    pub load: LoadArgs,
    /// Requests per second
    #[arg(long, default_value_t = 200.0)]
    pub rate: f64,
    /// How long, up to 72h
    #[arg(long, default_value = "4h", value_parser = duration::parse)]
    pub duration: Duration,
    /// Load before it
    #[arg(long, default_value = "1m", value_parser = duration::parse)]
    pub warm_up: Duration,
    /// Growth over the whole time that is too much, as a share: of memory, descriptors and p99
    #[arg(long, default_value_t = 0.2)]
    pub growth: f64,
    /// For people or machines
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Of `clean`.
#[derive(Debug, Clone, Args)]
pub struct CleanArgs {
    /// A host beside this machine; may be repeated, or hold several separated by commas
    #[arg(long, env = "LOADTEST_ALLOW_HOSTS", value_delimiter = ',')]
    pub allow_host: Vec<String>,
    /// Cleaning up in production is meant
    #[arg(long)]
    pub production: bool,
    /// The production host, typed once more
    #[arg(long)]
    pub confirm: Option<String>,
    /// Where runs wrote their results
    #[arg(long, default_value = "target/loadtest")]
    pub report_dir: PathBuf,
    /// Only this run
    #[arg(long)]
    pub run: Option<String>,
}

/// Of `compare`.
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// The result before: a result.json, or the folder of one
    pub before: PathBuf,
    /// The result after
    pub after: PathBuf,
    /// The smallest change that matters, as a share
    #[arg(long, default_value_t = 0.1)]
    pub matters: f64,
    /// For people or machines
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Of `self-test`.
#[derive(Debug, Clone, Args)]
pub struct SelfTestArgs {
    /// Shortened windows: seconds in place of minutes
    #[arg(long)]
    pub short: bool,
    /// Where results go [default: a folder of the system's, taken away at the end]
    #[arg(long)]
    pub report_dir: Option<PathBuf>,
    /// The objectives
    #[arg(long, default_value = "slo.toml")]
    pub slo: PathBuf,
}

impl TargetArgs {
    /// The folder of results of this run.
    pub fn folder(&self, run: &str) -> PathBuf {
        self.report_dir.clone().unwrap_or_else(|| PathBuf::from("target/loadtest").join(run))
    }

    fn notes(&self) -> Notes {
        let folder = self.report_dir.clone().unwrap_or_else(|| PathBuf::from("target/loadtest"));
        Notes::new(&folder.join("leftovers"))
    }

    /// Whether the metrics were named, and not only looked for.
    pub fn metrics_wanted(&self) -> bool {
        self.metrics_url.as_deref().is_some_and(|url| url != "none")
    }

    /// Where the run takes place, if that is allowed.
    ///
    /// # Errors
    /// A mistake in how the tool was called; one line.
    pub fn site(&self) -> Result<Site, String> {
        let target = Target::parse(&self.host).map_err(|why| format!("--host: {why}"))?;
        if target.path != "/" {
            return Err(format!("--host: {:?} has a path; it takes the base address of the API", self.host));
        }
        let (allowed, confirmed) = (self.allow_host.clone(), self.confirm.clone());
        Permission { allowed, production: self.production, confirmed }.check(&target)?;
        let metrics = match self.metrics_url.as_deref() {
            Some("none") => None,
            Some(url) => Some(url),
            None => target.is_loopback().then_some("http://127.0.0.1:9464/metrics"),
        };
        let metrics = metrics.map(|url| Target::parse(url).and_then(Connector::new)).transpose();
        let secret = self.synthetic_secret.as_ref().filter(|secret| !secret.0.is_empty()).map(|secret| {
            let mut value =
                HeaderValue::from_str(&secret.0).map_err(|_| "SYNTHETIC_SECRET: holds what no header takes")?;
            value.set_sensitive(true);
            Ok::<_, &str>(value)
        });
        Ok(Site {
            connector: Connector::new(target)?,
            metrics: metrics.map_err(|why| format!("--metrics-url: {why}"))?,
            synthetic_secret: secret.transpose()?,
            notes: self.notes(),
        })
    }
}

/// How the tool was called, as a person would type it; what is behind a secret's flag is left out.
pub fn command_line() -> String {
    let mut secret = false;
    let words = std::env::args_os().skip(1).map(|word| {
        let word = word.to_string_lossy().into_owned();
        let hidden = std::mem::replace(&mut secret, word == SECRET);
        match word.split_once('=') {
            _ if hidden => "***".to_owned(),
            Some((SECRET, _)) => format!("{SECRET}=***"),
            _ if word.contains(|c: char| c.is_whitespace() || "'\"{}$&;|<>()*?".contains(c)) => format!("'{word}'"),
            _ => word,
        }
    });
    std::iter::once("loadtest".to_owned()).chain(words).collect::<Vec<String>>().join(" ")
}

/// A rate within bounds.
///
/// # Errors
/// When it is out of them; one line.
pub fn rate(name: &str, rate: f64) -> Result<f64, String> {
    if (1.0..=RATE_MAX).contains(&rate) {
        return Ok(rate);
    }
    Err(format!("{name} {rate}: it takes 1 to {RATE_MAX:.0} requests per second"))
}

/// A length of time within a bound.
///
/// # Errors
/// When it is over it; one line.
pub fn at_most(name: &str, length: Duration, most: Duration) -> Result<Duration, String> {
    if length <= most {
        return Ok(length);
    }
    Err(format!("{name} {}: it takes up to {}", duration::display(length), duration::display(most)))
}

impl LoadArgs {
    /// The profile as reports name it.
    pub fn profile_name(&self) -> String {
        self.profile.as_ref().map_or("default".to_owned(), |path| path.display().to_string())
    }

    /// Threads for this rate, within bounds.
    ///
    /// # Errors
    /// When a bound is broken; one line.
    pub fn threads(&self, rate: f64) -> Result<usize, String> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or_else(|| (1 + (rate / 5_001.0) as usize).min(cores));
        if !(1..=64).contains(&threads) {
            return Err(format!("--threads {threads}: it takes 1 to 64"));
        }
        if !(1..=10_000).contains(&self.connections) {
            return Err(format!("--connections {}: it takes 1 to 10000", self.connections));
        }
        Ok(threads)
    }
}
