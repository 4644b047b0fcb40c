//! What dead and slow telemetry backends do to the service: nothing that a client would notice.
//!
//! ```text
//! cargo run --release -p benches --bin harm -- throughput
//! cargo run --release -p benches --bin harm -- endurance --minutes 10
//! ```
//!
//! Three services on one PostgreSQL: telemetry to nowhere but standard output, to a collector, a CloudWatch and a Sentry that
//! refuse every connection, and to ones that take 5 s for each answer. Both commands end by themselves, and fail where a
//! bound is broken. Beside the load, a fiftieth of the target's rate ends in 500, or Sentry would have nothing to do: a table that
//! only these requests read is gone.
#![expect(clippy::print_stdout, reason = "a program whose output is a table")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use benches::exchange::{exchange_text, metric};
use benches::figures::{Figures, percentile};
use benches::ground::{Ground, machine, telemetry_to};
use benches::load::{Load, Outcome};
use benches::receiver::Receiver;
use benches::server::Server;
use clap::{Parser, Subcommand};
use tokio::task::JoinHandle;

/// What each of the slow backends takes for an answer.
const SLOW: Duration = Duration::from_secs(5);
/// The default of the grace, in which all has to be over.
const STOP_MAX: Duration = Duration::from_secs(25);
/// The share of failing requests, of the rate that is asked for or of the target's.
const FAILING_SHARE: f64 = 0.02;
/// The target's rate: requests a second.
const RATE: f64 = 1000.0;
/// Connections side by side.
const CONNECTIONS: usize = 16;
const MEGABYTE: f64 = 1024.0 * 1024.0;

#[derive(Debug, Parser)]
struct Args {
    /// The task-api to measure, as one of another build; the workspace's own, built if need be, when absent
    #[arg(long, global = true)]
    program: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Requests a second of a saturated service, in interleaved rounds
    Throughput {
        /// Rounds of each service
        #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u16).range(1..))]
        rounds: u16,
        /// Seconds of load in each round
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
        /// Fail if bad backends cost more than this, in percent: the median of each round beside the same one without
        #[arg(long, default_value_t = 5.0)]
        loss_percent_max: f64,
    },
    /// Memory at a steady rate, and how long SIGTERM takes at its end
    Endurance {
        /// Minutes of load; a token is good for 15
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
        /// Requests a second for each service
        #[arg(long, default_value_t = RATE)]
        rate: f64,
        /// Fail if memory grows by more MiB than this
        #[arg(long, default_value_t = 32.0)]
        growth_mib_max: f64,
    },
}

/// One service and where its telemetry goes.
struct Subject {
    name: &'static str,
    server: Server,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let ground = Ground::prepare(args.program).await?;
        let slow = Receiver::start(SLOW)?;
        let mut subjects = start(&ground, &slow)?;
        ground.break_history();
        println!("{}; {CONNECTIONS} connections for each service", machine());
        match args.command {
            Command::Throughput { rounds, seconds, loss_percent_max } => {
                throughput(&ground, &subjects, rounds, Duration::from_secs_f64(seconds), loss_percent_max).await?;
            }
            Command::Endurance { minutes, rate, growth_mib_max } => {
                let duration = Duration::from_secs_f64(minutes * 60.0);
                endurance(&ground, &subjects, duration, rate, growth_mib_max).await?;
            }
        }
        for Subject { name, server } in &mut subjects {
            let (status, took) = server.stop(STOP_MAX)?;
            println!("{name}: SIGTERM to the end {:.1} s, {status}", took.as_secs_f64());
            ensure!(status.success(), "{name} ended with {status}");
        }
        println!("the slow backends were asked {} times", slow.received.requests());
        Ok(())
    })
}

fn start(ground: &Ground, slow: &Receiver) -> anyhow::Result<Vec<Subject>> {
    // Free a moment ago and never listened at: connections are refused.
    let dead = testkit::free_address();
    let (dead_url, dead_dsn) = (format!("http://{dead}"), format!("http://key@{dead}/1"));
    let backends = [
        ("backends off", vec![]),
        ("all dead", telemetry_to(&dead_url, &dead_url, &dead_dsn)),
        ("all answer after 5 s", telemetry_to(&slow.url(), &slow.url(), &slow.dsn())),
    ];
    let start = |(name, more)| {
        let environment = [ground.environment("info"), more].concat();
        Ok(Subject { name, server: Server::start(&ground.program, &[], &environment)? })
    };
    backends.into_iter().map(start).collect()
}

async fn throughput(
    ground: &Ground,
    subjects: &[Subject],
    rounds: u16,
    duration: Duration,
    loss_percent_max: f64,
) -> anyhow::Result<()> {
    let mut per_second = vec![Vec::new(); subjects.len()];
    let mut p99 = per_second.clone();
    let mut cpu = per_second.clone();
    for round in 0..=rounds {
        // Each is the first in turn as often as the others.
        for at in (0..subjects.len()).map(|at| (at + usize::from(round)) % subjects.len()) {
            let before = subjects[at].server.cpu()?;
            let mut outcome = run(ground, &subjects[at], None, duration).await?;
            let used = subjects[at].server.cpu()? - before;
            if round > 0 {
                cpu[at].push(used.as_secs_f64() * 1e6 / outcome.answered as f64);
                per_second[at].push(outcome.per_second());
                p99[at].push(f64::from(percentile(&mut outcome.micros, 0.99)) / 1000.0);
            }
        }
    }
    println!("\nGET /api/v1/tasks/{{id}}, as many as are answered, {rounds} rounds of {} s\n", duration.as_secs_f64());
    // The processor time says whether a difference is the service's own: requests/s are also what others leave it.
    println!(
        "| telemetry | requests/s: median (min to max) | against off | p99 of a round, ms | CPU µs for each request |"
    );
    println!("| --- | --- | --- | --- | --- |");
    let mut worst: f64 = 0.0;
    for (((subject, rates), p99), cpu) in subjects.iter().zip(&per_second).zip(p99).zip(cpu) {
        // Beside the same round without: what else the machine does meets both.
        let change = Figures::beside(rates, &per_second[0], |rate, off| (rate / off - 1.0) * 100.0);
        ensure!(change.median().is_finite(), "nothing was answered in most rounds: more --seconds");
        worst = worst.min(change.median());
        let (rates, p99, cpu) = (Figures::new(rates.clone()), Figures::new(p99), Figures::new(cpu));
        println!("| {} | {rates:.0} | {change:+} % | {p99:.2} | {cpu} |", subject.name);
    }
    println!();
    tell_drops(subjects)?;
    ensure!(-worst <= loss_percent_max, "{:.1} % is over {loss_percent_max} %", -worst);
    Ok(())
}

async fn endurance(
    ground: &Ground,
    subjects: &[Subject],
    duration: Duration,
    rate: f64,
    growth_mib_max: f64,
) -> anyhow::Result<()> {
    // Once through every path, so that what a service allocates for good is there.
    for subject in subjects {
        run(ground, subject, Some(rate), Duration::from_secs(1)).await?;
    }
    let before = resident(subjects)?;
    let (started, mut most) = (Instant::now(), before.clone());
    let loads = subjects.iter().map(|subject| {
        let (load, failing) = (load(ground, subject, Some(rate)), failing(ground, subject, rate));
        tokio::spawn(async move {
            let (outcome, failed) = tokio::join!(load.run(duration), failing.run(duration));
            failed.and(outcome)
        })
    });
    let loads: Vec<_> = loads.collect();
    // A load that falls behind goes on after its time, and so does the memory that it takes.
    while !loads.iter().all(JoinHandle::is_finished) {
        ensure!(started.elapsed() < duration * 2 + STOP_MAX, "a load does not end");
        tokio::time::sleep(Duration::from_secs(1)).await;
        for (most, now) in most.iter_mut().zip(resident(subjects)?) {
            *most = now.max(*most);
        }
    }
    println!("\nGET /api/v1/tasks/{{id}}, {rate} requests/s for {:.1} minutes\n", duration.as_secs_f64() / 60.0);
    println!("| telemetry | requests | in s | p50 ms | p99 ms | memory before, MiB | most, MiB | growth, MiB |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let (mut growth_max, mut on_time): (f64, _) = (0.0, Vec::new());
    for (at, loaded) in loads.into_iter().enumerate() {
        let outcome = loaded.await??;
        on_time.push(outcome.ensure_on_time(duration).context(subjects[at].name));
        let Outcome { answered, elapsed, mut micros } = outcome;
        let [p50, p99] = [0.5, 0.99].map(|share| f64::from(percentile(&mut micros, share)) / 1000.0);
        let (before, most) = (before[at] as f64 / MEGABYTE, most[at] as f64 / MEGABYTE);
        let growth = most - before;
        growth_max = growth_max.max(growth);
        println!(
            "| {} | {answered} | {:.1} | {p50:.2} | {p99:.2} | {before:.1} | {most:.1} | {growth:.1} |",
            subjects[at].name,
            elapsed.as_secs_f64()
        );
    }
    println!();
    tell_drops(subjects)?;
    on_time.into_iter().collect::<anyhow::Result<()>>()?;
    ensure!(growth_max <= growth_mib_max, "{growth_max:.1} MiB is over {growth_mib_max}");
    Ok(())
}

fn load(ground: &Ground, subject: &Subject, rate: Option<f64>) -> Load {
    Load { rate, ..Load::get(subject.server.api, &ground.task_path, Some(&ground.token), CONNECTIONS) }
}

/// Requests that end in 500, each a failure for Sentry.
fn failing(ground: &Ground, subject: &Subject, rate: f64) -> Load {
    let load = Load::get(subject.server.api, &ground.failing_path(), Some(&ground.token), 1);
    Load { rate: Some(rate * FAILING_SHARE), status: 500, ..load }
}

/// Puts a load on, the failing requests beside it, and says what came of it without them.
async fn run(ground: &Ground, subject: &Subject, rate: Option<f64>, duration: Duration) -> anyhow::Result<Outcome> {
    let (load, failing) = (load(ground, subject, rate), failing(ground, subject, rate.unwrap_or(RATE)));
    let (outcome, failed) = tokio::join!(load.run(duration), failing.run(duration));
    failed.and(outcome)
}

fn resident(subjects: &[Subject]) -> anyhow::Result<Vec<u64>> {
    subjects.iter().map(|subject| subject.server.resident_bytes()).collect()
}

/// What could not be delivered is lost, and says so.
fn tell_drops(subjects: &[Subject]) -> anyhow::Result<()> {
    for Subject { name, server } in subjects {
        let (_, scrape) = exchange_text(server.admin, "GET", "/metrics", None, &serde_json::Value::Null)?;
        let requests = metric(&scrape, "http_server_request_duration_seconds_count");
        let of = |signal: &str| metric(&scrape, &format!("telemetry_dropped_total{{signal=\"{signal}\""));
        let (traces, errors, cloudwatch, log) = (of("trace"), of("error"), of("cloudwatch"), of("log"));
        let failures = metric(&scrape, "telemetry_errors_total");
        println!(
            "{name}: {requests} requests; dropped {traces} spans, {errors} of {failures} failures for Sentry, {cloudwatch} \
             lines for CloudWatch, {log} for stdout"
        );
    }
    println!();
    Ok(())
}
