//! What three times too much does to the service: nearly as many good answers as at its peak, and hardly later.
//!
//! ```text
//! cargo run --release -p benches --bin overload
//! ```
//!
//! The service has a quarter of a processor and PostgreSQL outside of it, so that one core of generator can offer three times its
//! peak. All loads but the first and the last of a round arrive at their moments, whatever the service does, over as many connections. The peak is what is
//! answered of a little too much. The capacity is what is answered in full: less, for requests that come one by one cost more than
//! those that wait together. What three times the peak gives is compared with the peaks before and after it, since the machine's
//! speed wanders, and its times with those at 0.8 of the capacity. Ends by itself, and with 1 where a bound is broken.
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

/// Clients that wait for their answers: enough to keep the service busy. What they get is what the search begins with.
const CLIENTS: usize = 32;
/// The load that finds the peak, of what the clients get: more than can be answered over so many connections.
const A_LITTLE_TOO_MUCH: f64 = 1.2;
/// The loads that are tried for the capacity, of what the clients get, until one is answered in full.
const TRIED: [f64; 8] = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3];
/// The part of a load that has to be answered well, and within [`IN_TIME`].
const IN_FULL: f64 = 0.99;
/// Some periods of the quota. What comes so shortly before the end of a load is not looked at.
const IN_TIME: Duration = Duration::from_millis(500);
/// The load that the service is meant to live with, of its capacity.
const USUAL: f64 = 0.8;
/// The load that is too much, of its peak.
const TOO_MUCH: f64 = 3.0;

#[derive(Debug, Parser)]
struct Args {
    /// The task-api to measure, as one of another build; the workspace's own, built if need be, when absent
    #[arg(long)]
    program: Option<PathBuf>,
    /// Rounds of clients, the search for the capacity, usual, peak, too much, peak, and clients again
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
    /// each that is timed has its answer while the load goes on. The peaks last as long
    #[arg(long, default_value_t = 11.0)]
    untimed: f64,
    /// Fail if the median of good answers a second at three times the peak is less than this part of the peak
    #[arg(long, default_value_t = 0.9)]
    goodput_min: f64,
    /// Fail if the median p99 of good answers at three times the peak is more than so many times that at 0.8 of the capacity
    #[arg(long, default_value_t = 3.0)]
    latency_ratio_max: f64,
    /// Only report: no bound fails
    #[arg(long)]
    report_only: bool,
}

#[derive(Default)]
struct Rounds {
    clients: Vec<f64>,
    micros_of_clients: Vec<f64>,
    goodput_to_clients: Vec<f64>,
    capacity: Vec<f64>,
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
    let untimed = Duration::from_secs_f64(args.untimed);
    let request = Script::get(&ground.task_path, Some(&token)).first();
    let bench = Bench { server: &server, request, connections: args.connections, duration };
    let clients = Load::get(server.api, &ground.task_path, Some(&token), CLIENTS);
    clients.run(Duration::from_secs(1)).await?;
    let mut rounds = Rounds::default();
    let mut without_capacity = 0;
    for _ in 0..args.rounds {
        // Each round's loads follow from its own figures: what else the machine does changes from round to round, and within one.
        let first = waiting(&server, &clients, duration).await?;
        let Some(capacity) = bench.capacity(first.per_second).await? else {
            without_capacity += 1;
            continue;
        };
        let usual = bench.open_loop(capacity * USUAL, Duration::ZERO).await?;
        let a_little = first.per_second * A_LITTLE_TOO_MUCH;
        let before = bench.open_loop(a_little, untimed).await?;
        let excess = bench.open_loop(before.good_per_second() * TOO_MUCH, untimed).await?;
        let after = bench.open_loop(a_little, untimed).await?;
        let last = waiting(&server, &clients, duration).await?;
        rounds.add(Round { clients: [first, last], capacity, usual, peaks: [before, after], excess });
    }
    if without_capacity > 0 {
        println!(
            "{without_capacity} rounds are left out: not even {} of what the clients get was answered in full",
            TRIED[TRIED.len() - 1]
        );
    }
    ensure!(!rounds.peak.is_empty(), "no round is left");
    println!("{}; service on {} of a processor, {} rounds of {} s", machine(), args.cpus, args.rounds, args.seconds);
    println!("GET /api/v1/tasks/{{id}} on PostgreSQL; the generator has {} connections\n", args.connections);
    let (goodput, latency) = rounds.print();
    drop(server);
    drop(confined);
    if !args.report_only {
        ensure!(goodput >= args.goodput_min, "goodput is {goodput:.2} of the peak, under {}", args.goodput_min);
        let most = args.latency_ratio_max;
        ensure!(
            latency <= most,
            "p99 of good answers is {latency:.1} times that at {USUAL} of the capacity, over {most}"
        );
    }
    Ok(())
}

struct Bench<'a> {
    server: &'a Server,
    request: Vec<u8>,
    connections: usize,
    duration: Duration,
}

/// What came of a load, how long it lasted, and the service's processor time for each answer.
struct Loaded {
    outcome: Outcome,
    seconds: f64,
    micros: f64,
}

impl Bench<'_> {
    async fn open_loop(&self, rate: f64, untimed: Duration) -> anyhow::Result<Loaded> {
        let Bench { request, connections, .. } = self;
        let target = Target { address: self.server.api, request: request.clone(), connections: *connections, untimed };
        let (before, duration) = (self.server.cpu()?, self.duration + untimed);
        let outcome = target.open_loop(rate, duration).await?;
        let answers = outcome.statuses.values().sum::<u64>() as f64;
        let micros = (self.server.cpu()? - before).as_secs_f64() * 1e6 / answers;
        Ok(Loaded { outcome, seconds: duration.as_secs_f64(), micros })
    }

    /// The first of the tried loads that is answered in full, in requests a second. `None` where none is.
    async fn capacity(&self, clients: f64) -> anyhow::Result<Option<f64>> {
        for part in TRIED {
            let rate = clients * part;
            let tried = self.open_loop(rate, IN_TIME).await?.outcome;
            let in_time = tried.micros.iter().filter(|micros| u128::from(**micros) <= IN_TIME.as_micros()).count();
            if in_time as f64 >= rate * self.duration.as_secs_f64() * IN_FULL {
                return Ok(Some(rate));
            }
        }
        Ok(None)
    }
}

/// What clients get that wait for their answers.
struct Waiting {
    per_second: f64,
    /// Of the service's processor time, for each answer.
    micros: f64,
}

async fn waiting(server: &Server, clients: &Load, duration: Duration) -> anyhow::Result<Waiting> {
    let before = server.cpu()?;
    let load = clients.run(duration).await?;
    let micros = (server.cpu()? - before).as_secs_f64() * 1e6 / load.answered as f64;
    Ok(Waiting { per_second: load.per_second(), micros })
}

struct Round {
    clients: [Waiting; 2],
    capacity: f64,
    usual: Loaded,
    peaks: [Loaded; 2],
    excess: Loaded,
}

fn mean<T>(two: &[T; 2], of: impl Fn(&T) -> f64) -> f64 {
    two.iter().map(of).sum::<f64>() / 2.0
}

impl Loaded {
    fn good_per_second(&self) -> f64 {
        self.outcome.in_time as f64 / self.seconds
    }
}

impl Rounds {
    fn add(&mut self, round: Round) {
        let Round { clients, capacity, mut usual, peaks, mut excess } = round;
        let goodput = excess.good_per_second();
        let (peak, of_clients) = (mean(&peaks, Loaded::good_per_second), mean(&clients, |clients| clients.per_second));
        self.clients.push(of_clients);
        self.micros_of_clients.push(mean(&clients, |clients| clients.micros));
        self.goodput_to_clients.push(goodput / of_clients);
        self.capacity.push(capacity);
        self.peak.push(peak);
        self.micros_at_peak.push(mean(&peaks, |peak| peak.micros));
        self.micros_at_usual.push(usual.micros);
        self.micros_in_excess.push(excess.micros);
        let (usual, excess) = (&mut usual.outcome, &mut excess.outcome);
        let offered = excess.offered as f64;
        let ms = |micros: &mut Vec<u32>, share| f64::from(percentile(micros, share)) / 1000.0;
        let (usual_p99, excess_p99) = (ms(&mut usual.micros, 0.99), ms(&mut excess.micros, 0.99));
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
        let usual = |what: &str| format!("at {USUAL} of the capacity: {what}");
        let too_much = |what: &str| format!("at {TOO_MUCH} times the peak: {what}");
        let (goodput, latency) = (Figures::new(self.goodput_ratio), Figures::new(self.latency_ratio));
        println!("| measure | median (min to max) |\n| --- | --- |");
        println!("| {CLIENTS} clients that wait, requests/s | {:.0} |", Figures::new(self.clients));
        println!(
            "| {CLIENTS} clients that wait: CPU µs for each answer | {:.1} |",
            Figures::new(self.micros_of_clients)
        );
        println!("| capacity, requests/s | {:.0} |", Figures::new(self.capacity));
        println!("| peak, 2xx/s | {:.0} |", Figures::new(self.peak));
        println!("| at the peak: CPU µs for each answer | {:.1} |", Figures::new(self.micros_at_peak));
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
        println!("| **p99 of 2xx ÷ its value at {USUAL} of the capacity** | **{latency:.1}** |");
        println!("| 2xx/s ÷ what {CLIENTS} clients get | {:.2} |", Figures::new(self.goodput_to_clients));
        (goodput.median(), latency.median())
    }
}
