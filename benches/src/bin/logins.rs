//! What a storm of logins does to everybody else: little.
//!
//! ```text
//! cargo run --release -p benches --bin logins
//! ```
//!
//! Reads arrive at a steady rate, first alone and then beside clients that log in again and again; a login costs tens of
//! milliseconds of a core. Ends by itself, and with 1 where the bound is broken.
#![expect(clippy::print_stdout, reason = "a program whose output is a table")]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use benches::arrivals::{Outcome, Target};
use benches::confine::Confined;
use benches::figures::{Figures, percentile};
use benches::ground::{Ground, machine, traces_to};
use benches::receiver::Receiver;
use benches::script::Script;
use benches::server::Server;
use clap::Parser;

/// Connections of the reads: more than are ever busy.
const CONNECTIONS: usize = 256;

#[derive(Debug, Parser)]
struct Args {
    /// The task-api to measure, as one of another build; the workspace's own, built if need be, when absent
    #[arg(long)]
    program: Option<PathBuf>,
    /// Rounds of quiet and storm in turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Reads a second
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// Clients that log in
    #[arg(long, default_value_t = 50)]
    clients: usize,
    /// Processors of the service, by a quota; 0 for all
    #[arg(long, default_value_t = 0.0)]
    cpus: f64,
    /// Fail if the median p99 of reads in the storm is more than so many times the quiet one
    #[arg(long, default_value_t = 2.0)]
    ratio_max: f64,
    /// Only report: no bound fails
    #[arg(long)]
    report_only: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(&args))
}

async fn measure(args: &Args) -> anyhow::Result<()> {
    let ground = Ground::prepare(args.program.clone()).await?;
    let receiver = Receiver::start(Duration::ZERO)?;
    let mut environment = [ground.environment("info"), traces_to(&receiver.url())].concat();
    environment.extend((args.cpus > 0.0).then(|| Confined::workers(args.cpus)));
    let server = Server::start(&ground.program, &[], &environment)?;
    // Dropped after the server: a cgroup goes when nobody is in it.
    let (confined, server) = ((args.cpus > 0.0).then(|| Confined::new(server.id(), args.cpus)).transpose()?, server);
    let token = ground.log_in(&server)?;
    let request = Script::get(&ground.task_path, Some(&token)).first();
    let reads = Target { address: server.api, request, connections: CONNECTIONS, untimed: Duration::ZERO };
    let logins = Target {
        address: server.api,
        request: ground.login_request(),
        connections: args.clients,
        untimed: Duration::ZERO,
    };
    let duration = Duration::from_secs_f64(args.seconds);
    reads.open_loop(args.rate, Duration::from_secs(1)).await?;
    let [mut quiet_p50, mut quiet_p99, mut storm_p50, mut storm_p99, mut ratio, mut per_second, mut refused] =
        [const { Vec::new() }; 7];
    for _ in 0..args.rounds {
        let quiet = reads.open_loop(args.rate, duration).await?;
        let storm = tokio::spawn({
            let logins = logins.clone();
            async move { logins.closed_loop(duration).await }
        });
        let beside = reads.open_loop(args.rate, duration).await?;
        let storm = storm.await??;
        let (quiet, beside) = (times(quiet)?, times(beside)?);
        quiet_p50.push(quiet.0);
        quiet_p99.push(quiet.1);
        storm_p50.push(beside.0);
        storm_p99.push(beside.1);
        ratio.push(beside.1 / quiet.1);
        per_second.push(storm.in_time as f64 / args.seconds);
        refused.push(storm.offered.saturating_sub(storm.of(200)) as f64);
    }
    let cpus = if args.cpus > 0.0 { format!("{} of a processor", args.cpus) } else { "all processors".to_owned() };
    println!("{}; service on {cpus}, {} rounds of {} s", machine(), args.rounds, args.seconds);
    println!("{} GET /api/v1/tasks/{{id}} a second on PostgreSQL; {} clients log in\n", args.rate, args.clients);
    println!("| measure | median (min to max) |\n| --- | --- |");
    println!("| GET alone: p50, ms | {:.2} |", Figures::new(quiet_p50));
    println!("| GET alone: p99, ms | {:.2} |", Figures::new(quiet_p99));
    println!("| GET in the storm: p50, ms | {:.2} |", Figures::new(storm_p50));
    println!("| GET in the storm: p99, ms | {:.2} |", Figures::new(storm_p99));
    println!("| logins/s | {:.1} |", Figures::new(per_second));
    println!("| logins refused, in a round | {:.0} |", Figures::new(refused));
    let ratio = Figures::new(ratio);
    println!("| **p99 in the storm ÷ alone** | **{ratio:.2}** |");
    drop(server);
    drop(confined);
    let (median, most) = (ratio.median(), args.ratio_max);
    ensure!(args.report_only || median <= most, "p99 in the storm is {median:.2} times the quiet one, over {most}");
    Ok(())
}

/// Median and p99 of reads in milliseconds, all of which must have been answered with 200.
fn times(mut reads: Outcome) -> anyhow::Result<(f64, f64)> {
    ensure!(reads.of(200) == reads.offered, "{} of {} reads were answered with 200", reads.of(200), reads.offered);
    let [p50, p99] = [0.5, 0.99].map(|share| f64::from(percentile(&mut reads.micros, share)) / 1000.0);
    Ok((p50, p99))
}
