//! What a run leaves behind for machines: `result.json`. Every report is made from it.

use serde::{Deserialize, Serialize};

use crate::drive::{Measured, Plan};
use crate::generator;
use crate::profile::Operation;
use crate::record::{Point, Slow, Tally, Window, quantile};
use crate::verdict::{Limits, Rule, Verdict, interval};

/// The version of the file's shape; a change that a reader would trip over counts it up.
pub const VERSION: u32 = 1;

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunResult {
    /// [`VERSION`].
    pub version: u32,
    /// The tool and its version.
    pub tool: String,
    /// How it was called, without secrets.
    #[serde(default)]
    pub command: String,
    /// What it ran on.
    #[serde(default)]
    pub machine: String,
    /// How load was made; always `open loop` here.
    pub mode: String,
    /// The run's name.
    pub run: String,
    /// When it was written, RFC 3339.
    pub finished: String,
    /// Base address of the target.
    pub target: String,
    /// What the target says it is; empty when its metrics were not read.
    pub build: String,
    /// What was asked for.
    pub asked: Asked,
    /// What came of it.
    pub verdict: Verdict,
    /// The verdict in one line.
    pub summary: String,
    /// Every rule.
    pub rules: Vec<Rule>,
    /// All requests together, then each operation.
    pub operations: Vec<Row>,
    /// Windows of the rate's rule, the whole ones.
    #[serde(default)]
    pub windows: Vec<Window>,
    /// Steps of journeys that could not be done yet, for want of a task or of a next page, and how often: another request was
    /// sent in their place.
    #[serde(default)]
    pub substituted: Vec<(String, u64)>,
    /// Second by second.
    pub points: Vec<Point>,
    /// The slowest first.
    pub slowest: Vec<Slow>,
    /// About the generator.
    pub generator: Generator,
    /// The target's own numbers, when they could be read.
    pub server: Option<Server>,
}

/// What was asked for; times in seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// Requests per second.
    pub rate: f64,
    /// What `slo.toml` asks of a release.
    pub rate_objective: f64,
    /// The window of the rate's rule.
    #[serde(default)]
    pub window: f64,
    /// The latency objective.
    pub latency_objective: f64,
    /// Measured time.
    pub duration: f64,
    /// Load before it.
    pub warm_up: f64,
    /// The profile's name.
    pub profile: String,
    /// Repeats the run.
    pub seed: u64,
    /// Connections at once.
    pub connections: usize,
}

/// Latencies of one operation, in seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// `all`, or the operation.
    pub name: String,
    /// Requests that were due: of an operation, those that were started.
    pub count: u64,
    /// Failed ones, those that were never started among them.
    pub failed: u64,
    /// From the intended start.
    pub p50: f64,
    /// From the intended start.
    pub p90: f64,
    /// From the intended start.
    pub p95: f64,
    /// From the intended start.
    pub p99: f64,
    /// 95 % confidence interval of `p99`.
    pub p99_interval: (f64, f64),
    /// From the intended start.
    pub p999: f64,
    /// From the intended start.
    pub max: f64,
    /// From the real start, as a closed loop would show it.
    pub service_p50: f64,
    /// From the real start, as a closed loop would show it.
    pub service_p99: f64,
}

/// The generator's own state.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Generator {
    /// Cores that it may use.
    pub cores: f64,
    /// Share of them in the busiest window; none where it could not be read.
    pub cpu_max: Option<f64>,
    /// Bytes of memory that came to it after the warm-up; none where they could not be read.
    #[serde(default)]
    pub memory_growth: Option<u64>,
    /// Seconds that starts were late.
    pub lateness_p50: f64,
    /// Seconds that starts were late.
    pub lateness_p99: f64,
    /// Seconds that starts were late.
    pub lateness_max: f64,
    /// Bytes of memory at most.
    pub memory_max: u64,
    /// Connections made.
    pub connections: u64,
    /// Requests sent, warm-up included.
    pub sent: u64,
    /// Requests due but not started.
    pub missed: u64,
}

/// The target's own numbers over the measured time; quantiles as the edges between which they lie, in seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Server {
    /// Requests, by the target's count.
    pub requests: f64,
    /// Median of requests.
    pub p50: Option<(f64, Option<f64>)>,
    /// 99th percentile of requests.
    pub p99: Option<(f64, Option<f64>)>,
    /// Database operations.
    pub database_operations: f64,
    /// 99th percentile of database operations.
    pub database_p99: Option<(f64, Option<f64>)>,
    /// Other series: name, at the start of the measured time, at the end.
    pub gauges: Vec<(String, f64, f64)>,
}

impl Row {
    fn new(name: &str, tally: &Tally) -> Self {
        let at = |of| quantile(&tally.latency, of);
        Self {
            name: name.to_owned(),
            count: tally.count,
            failed: tally.failed,
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p99_interval: interval(tally, 0.99),
            p999: at(0.999),
            max: tally.latency.max() as f64 / 1e6,
            service_p50: quantile(&tally.service, 0.5),
            service_p99: quantile(&tally.service, 0.99),
        }
    }
}

impl RunResult {
    /// Puts a run together.
    pub fn new(
        (run, target, profile): (&str, &str, &str),
        plan: &Plan,
        limits: &Limits,
        rate_objective: f64,
        measured: &Measured,
    ) -> Self {
        let (verdict, rules) = crate::verdict::judge(limits, plan, measured);
        let all = Row::new("all", &measured.record.all);
        let each = measured.record.operations.iter().map(|(operation, tally)| Row::new(operation.as_str(), tally));
        let operations: Vec<Row> = std::iter::once(all).chain(each).collect();
        let late = |of| quantile(&measured.lateness, of);
        Self {
            version: VERSION,
            tool: TOOL.to_owned(),
            command: crate::cli::command_line(),
            machine: generator::machine(),
            mode: "open loop".to_owned(),
            run: run.to_owned(),
            finished: finished(),
            target: target.to_owned(),
            build: measured.server.as_ref().map(|view| view.after.build.clone()).unwrap_or_default(),
            asked: Asked::new(plan, limits, profile, rate_objective),
            verdict,
            summary: summary(verdict, &rules, plan.rate, rate_objective, &operations[0], measured.server.is_err()),
            rules,
            operations,
            substituted: measured
                .record
                .substituted
                .iter()
                .map(|(step, count)| (step.as_str().to_owned(), *count))
                .collect(),
            windows: crate::verdict::whole_windows(plan, measured),
            points: measured.record.points.clone(),
            slowest: measured.record.slowest.clone(),
            generator: Generator {
                cores: generator::cores(plan.threads),
                cpu_max: measured.cpu_max,
                memory_growth: measured.memory_growth,
                lateness_p50: late(0.5),
                lateness_p99: late(0.99),
                lateness_max: measured.lateness.max() as f64 / 1e6,
                memory_max: measured.memory_max,
                connections: measured.connected,
                sent: measured.sent.iter().map(|(_, count)| count).sum(),
                missed: measured.missed,
            },
            server: server(measured),
        }
    }

    /// What is known of a run that nothing was measured in; [`RunResult::because`] says why.
    pub fn refused((target, profile): (&str, &str), plan: &Plan, limits: &Limits, rate_objective: f64) -> Self {
        Self {
            version: VERSION,
            tool: TOOL.to_owned(),
            command: crate::cli::command_line(),
            machine: generator::machine(),
            mode: "open loop".to_owned(),
            run: String::new(),
            finished: finished(),
            target: target.to_owned(),
            build: String::new(),
            asked: Asked::new(plan, limits, profile, rate_objective),
            verdict: Verdict::Invalid,
            summary: String::new(),
            rules: Vec::new(),
            operations: Vec::new(),
            windows: Vec::new(),
            substituted: Vec::new(),
            points: Vec::new(),
            slowest: Vec::new(),
            generator: Generator { cores: generator::cores(plan.threads), ..Generator::default() },
            server: None,
        }
    }

    /// Says why nothing was measured.
    pub fn because(&mut self, why: &str) {
        self.finished = finished();
        self.summary = format!("INVALID: {why}");
        self.rules = vec![crate::verdict::not_measured(why)];
    }
}

impl Asked {
    fn new(plan: &Plan, limits: &Limits, profile: &str, rate_objective: f64) -> Self {
        Self {
            rate: plan.rate,
            rate_objective,
            window: plan.window.as_secs_f64(),
            latency_objective: limits.latency,
            duration: plan.duration.as_secs_f64(),
            warm_up: plan.warm_up.as_secs_f64(),
            profile: profile.to_owned(),
            seed: plan.seed,
            connections: plan.connections,
        }
    }
}

const TOOL: &str = concat!("loadtest ", env!("CARGO_PKG_VERSION"));

fn finished() -> String {
    crate::clock::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn summary(verdict: Verdict, rules: &[Rule], rate: f64, objective: f64, all: &Row, unseen: bool) -> String {
    let millis = crate::verdict::millis;
    // What was not asked for stands before everything else: who reads PASS reads this.
    let below = if rate < objective { format!(" BELOW THE OBJECTIVE of {objective:.0}/s,") } else { String::new() };
    let (verdict_word, p50, p99) = (verdict.as_str(), millis(all.p50), millis(all.p99));
    let mut text = format!("{verdict_word}{below} at {rate:.0}/s: p50 {p50}, p99 {p99}");
    if unseen {
        text += "; database, counts and version not checked";
    }
    let broken = crate::report::broken(verdict, rules);
    if let Some(first) = broken.first() {
        text += &format!("; {} of {}: {}, limit {}", first.name, first.about, first.measured, first.limit);
    }
    if broken.len() > 1 {
        text += &format!(", and {} more", broken.len() - 1);
    }
    text
}

fn server(measured: &Measured) -> Option<Server> {
    let view = measured.server.as_ref().ok()?;
    let during = view.after.since(&view.warm);
    let requests = during.together(&Operation::ALL.map(Operation::route));
    let edges = |(low, high): (f64, f64)| (low, Some(high).filter(|high| high.is_finite()));
    let gauge =
        |(name, after): (&&str, &f64)| ((*name).to_owned(), view.warm.gauges.get(name).copied().unwrap_or(0.0), *after);
    Some(Server {
        requests: requests.count(),
        p50: requests.bracket(0.5).map(edges),
        p99: requests.bracket(0.99).map(edges),
        database_operations: during.database.count(),
        database_p99: during.database.bracket(0.99).map(edges),
        gauges: view.after.gauges.iter().map(gauge).collect(),
    })
}
