//! What three times too much does to the service: nearly as many good answers as at its peak, and hardly later.
//!
//! ```text
//! cargo run --release -p benches --bin overload
//! ```
//!
//! The service has a quarter of a processor and PostgreSQL outside of it, so that one core of generator can offer three times its
//! peak. The peak is what clients get that wait for their answers; 0.8 and 3 times as many requests then arrive at their moments,
//! whatever the service does. What three times too much gives is compared with the peaks before and after it, since the machine's
//! speed wanders. Ends by itself, and with 1 where a bound is broken.
#![expect(clippy::print_stdout, reason = "a program whose output is a table")]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use benches::arrivals::{Outcome, Target};
use benches::confine::Confined;
use benches::figures::{Figures, percentile};
use benches::ground::{Ground, machine, traces_to};
use benches::load::Load;
use benches::receiver::Receiver;
use benches::script::Script;
use benches::server::Server;
use clap::Parser;

/// Clients that find the peak: enough to keep the service busy.
const PEAK_CONNECTIONS: usize = 32;
/// The load that the service is meant to live with, of its peak.
const USUAL: f64 = 0.8;
/// The load that is too much, of its peak.
const TOO_MUCH: f64 = 3.0;

#[derive(Debug, Parser)]
struct Args {
    /// The task-api to measure, as one of another build; the workspace's own, built if need be, when absent
    #[arg(long)]
    program: Option<PathBuf>,
    /// Rounds of peak, usual, peak, too much and peak
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each load
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Processors of the service, by a quota; 0 for all
    #[arg(long, default_value_t = 0.25)]
    cpus: f64,
    /// Connections of the generator: more than the service handles at once
    #[arg(long, default_value_t = 1024)]
    connections: usize,
    /// `MAX_IN_FLIGHT` of the service, where it is not to be its default
    #[arg(long)]
    max_in_flight: Option<usize>,
    /// Without traces, to see what the spans of refusals cost: what fails is traced whatever the sampler says
    #[arg(long)]
    no_traces: bool,
    /// Seconds at the end of three times too much whose requests are not timed: twice `QUEUE_TIMEOUT_MS` and a little more, so that
    /// each that is timed has its answer while the load goes on
    #[arg(long, default_value_t = 11.0)]
    untimed: f64,
    /// Fail if the median of good answers a second at three times the peak is less than this part of the peak
    #[arg(long, default_value_t = 0.9)]
    goodput_min: f64,
    /// Fail if the median p99 of good answers at three times the peak is more than so many times that at 0.8 of it
    #[arg(long, default_value_t = 3.0)]
    latency_ratio_max: f64,
    /// Only report: no bound fails
    #[arg(long)]
    report_only: bool,
}

#[derive(Default)]
struct Rounds {
    peak: Vec<f64>,
    micros_at_peak: Vec<f64>,
    micros_in_excess: Vec<f64>,
    goodput: Vec<f64>,
    goodput_ratio: Vec<f64>,
    usual_p50: Vec<f64>,
    usual_p99: Vec<f64>,
    usual_good: Vec<f64>,
    micros_at_usual: Vec<f64>,
    excess_p50: Vec<f64>,
    excess_p99: Vec<f64>,
    latency_ratio: Vec<f64>,
    refused: Vec<f64>,
    unsent: Vec<f64>,
    micros_of_refusal: Vec<f64>,
    late_p99: Vec<f64>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(&args))
}

async fn measure(args: &Args) -> anyhow::Result<()> {
    let ground = Ground::prepare(args.program.clone()).await?;
    let receiver = Receiver::start(Duration::ZERO)?;
    let traces = if args.no_traces { Vec::new() } else { traces_to(&receiver.url()) };
    let mut environment = [ground.environment("info"), traces].concat();
    environment.extend((args.cpus > 0.0).then(|| Confined::workers(args.cpus)));
    environment.extend(args.max_in_flight.map(|most| ("MAX_IN_FLIGHT", most.to_string())));
    let server = Server::start(&ground.program, &[], &environment)?;
    // Dropped after the server: a cgroup goes when nobody is in it.
    let (confined, server) = ((args.cpus > 0.0).then(|| Confined::new(server.id(), args.cpus)).transpose()?, server);
    let token = ground.log_in(&server)?;
    let duration = Duration::from_secs_f64(args.seconds);
    let get_request = Script::get(&ground.task_path, Some(&token)).first();
    let get = Load::get(server.api, &ground.task_path, Some(&token), PEAK_CONNECTIONS);
    let untimed = Duration::from_secs_f64(args.untimed);
    let at =
        |untimed| Target { address: server.api, request: get_request.clone(), connections: args.connections, untimed };
    let (usual_target, excess_target) = (at(Duration::ZERO), at(untimed));
    get.run(Duration::from_secs(1)).await?;
    let mut rounds = Rounds::default();
    for _ in 0..args.rounds {
        // Each round's loads follow from its own peak: what else the machine does changes from round to round, and within one.
        let at_peak = || peak(&server, &get, duration);
        let first = at_peak().await?;
        let before = server.cpu()?;
        let mut usual = usual_target.open_loop(first.per_second * USUAL, duration).await?;
        let answers = usual.statuses.values().sum::<u64>() as f64;
        rounds.micros_at_usual.push((server.cpu()? - before).as_secs_f64() * 1e6 / answers);
        let second = at_peak().await?;
        let before = server.cpu()?;
        let mut excess = excess_target.open_loop(second.per_second * TOO_MUCH, duration + untimed).await?;
        let answers = excess.statuses.values().sum::<u64>() as f64;
        rounds.micros_in_excess.push((server.cpu()? - before).as_secs_f64() * 1e6 / answers);
        let third = at_peak().await?;
        rounds.micros_at_peak.push((second.micros + third.micros) / 2.0);
        let beside = (second.per_second + third.per_second) / 2.0;
        rounds.add(beside, &mut usual, &mut excess, args.seconds + args.untimed);
    }
    println!("{}; service on {} of a processor, {} rounds of {} s", machine(), args.cpus, args.rounds, args.seconds);
    println!("GET /api/v1/tasks/{{id}} on PostgreSQL; the generator has {} connections\n", args.connections);
    let (goodput, latency) = rounds.print();
    drop(server);
    drop(confined);
    if !args.report_only {
        ensure!(goodput >= args.goodput_min, "goodput is {goodput:.2} of the peak, under {}", args.goodput_min);
        let most = args.latency_ratio_max;
        ensure!(latency <= most, "p99 of good answers is {latency:.1} times that at {USUAL} of the peak, over {most}");
    }
    Ok(())
}

/// What clients get that wait for their answers.
struct Peak {
    per_second: f64,
    /// Of the service's processor time, for each answer.
    micros: f64,
}

async fn peak(server: &Server, get: &Load, duration: Duration) -> anyhow::Result<Peak> {
    let before = server.cpu()?;
    let load = get.run(duration).await?;
    let micros = (server.cpu()? - before).as_secs_f64() * 1e6 / load.answered as f64;
    Ok(Peak { per_second: load.per_second(), micros })
}

impl Rounds {
    fn add(&mut self, peak: f64, usual: &mut Outcome, excess: &mut Outcome, seconds: f64) {
        let goodput = excess.in_time as f64 / seconds;
        let offered = excess.offered as f64;
        let ms = |micros: &mut Vec<u32>, share| f64::from(percentile(micros, share)) / 1000.0;
        let (usual_p99, excess_p99) = (ms(&mut usual.micros, 0.99), ms(&mut excess.micros, 0.99));
        self.peak.push(peak);
        self.usual_p50.push(ms(&mut usual.micros, 0.5));
        self.usual_good.push(usual.of(200) as f64 / usual.offered as f64 * 100.0);
        self.goodput.push(goodput);
        self.goodput_ratio.push(goodput / peak);
        self.usual_p99.push(usual_p99);
        self.excess_p50.push(ms(&mut excess.micros, 0.5));
        self.excess_p99.push(excess_p99);
        self.latency_ratio.push(excess_p99 / usual_p99);
        self.refused.push(excess.of(503) as f64 / offered * 100.0);
        self.unsent.push(excess.unsent as f64 / offered * 100.0);
        self.micros_of_refusal.push(ms(&mut excess.micros_refused, 0.5));
        self.late_p99.push(ms(&mut excess.micros_late, 0.99));
    }

    /// Prints the table and returns the medians of the two ratios.
    fn print(self) -> (f64, f64) {
        let usual = |what: &str| format!("at {USUAL} of it: {what}");
        let too_much = |what: &str| format!("at {TOO_MUCH} times it: {what}");
        let (goodput, latency) = (Figures::new(self.goodput_ratio), Figures::new(self.latency_ratio));
        println!("| measure | median (min to max) |\n| --- | --- |");
        println!("| peak, requests/s | {:.0} |", Figures::new(self.peak));
        println!("| CPU µs of the service for each answer at the peak | {:.1} |", Figures::new(self.micros_at_peak));
        println!("| {} | {:.1} |", usual("answered 2xx, %"), Figures::new(self.usual_good));
        println!("| {} | {:.1} |", usual("CPU µs for each answer"), Figures::new(self.micros_at_usual));
        println!("| {} | {:.1} |", usual("p50, ms"), Figures::new(self.usual_p50));
        println!("| {} | {:.1} |", usual("p99, ms"), Figures::new(self.usual_p99));
        println!("| {} | {:.0} |", too_much("2xx/s"), Figures::new(self.goodput));
        println!("| {} | {:.1} |", too_much("p50 of 2xx, ms"), Figures::new(self.excess_p50));
        println!("| {} | {:.1} |", too_much("p99 of 2xx, ms"), Figures::new(self.excess_p99));
        println!("| {} | {:.1} |", too_much("CPU µs for each answer"), Figures::new(self.micros_in_excess));
        println!("| {} | {:.1} |", too_much("answered 503, %"), Figures::new(self.refused));
        println!("| {} | {:.1} |", too_much("no connection free, %"), Figures::new(self.unsent));
        println!("| {} | {:.1} |", too_much("p50 of a refusal, ms"), Figures::new(self.micros_of_refusal));
        println!("| {} | {:.1} |", too_much("sent late by the generator, p99, ms"), Figures::new(self.late_p99));
        println!("| **2xx/s ÷ peak** | **{goodput:.2}** |");
        println!("| **p99 of 2xx ÷ its value at {USUAL} of the peak** | **{latency:.1}** |");
        (goodput.median(), latency.median())
    }
}
