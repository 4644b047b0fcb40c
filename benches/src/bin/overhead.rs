//! What telemetry costs: CPU of the whole service process for each request, with more and more of it switched on.
//!
//! ```text
//! cargo run --release -p benches --bin overhead
//! ```
//!
//! Six services run side by side on one PostgreSQL database and take turns, so that whatever else the machine does meets all
//! of them. The first has no telemetry. There is no setting for that, and should be none: it is this program, which serves the
//! same router without its outermost layer. What is left of telemetry in it is the store's probe, two additions to a
//! histogram for each operation, some 50 ns. All others are the real binary.
#![expect(clippy::print_stdout, reason = "a program whose output is a table")]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use benches::exchange::{exchange_text, metric};
use benches::figures::Figures;
use benches::ground::{Ground, cloudwatch_to, machine, telemetry_to, traces_to};
use benches::load::Load;
use benches::receiver::Receiver;
use benches::server::Server;
use clap::{Parser, Subcommand};

/// A round before the first that counts, so that pools, caches and tables are filled.
const WARM_UP: Duration = Duration::from_millis(500);
/// After a load: lines and spans that still wait are sent within this, and belong to the round that made them.
const SETTLE: Duration = Duration::from_millis(2500);

/// At 40,000 requests a second, forty times the target, the queue to CloudWatch may be full for a moment.
const DROPPED_SHARE_MAX: f64 = 0.02;

#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The task-api to measure, as one of another build; the workspace's own, built if need be, when absent
    #[arg(long)]
    program: Option<PathBuf>,
    /// Rounds of each measurement
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Seconds of load in each round
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Connections side by side
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Requests a second; as many as are answered when absent
    #[arg(long)]
    rate: Option<f64>,
    /// Fail if telemetry, however much of it is on, costs more microseconds of CPU than this for each authenticated GET
    #[arg(long, default_value_t = 10.0)]
    micros_max: f64,
    /// Fail if an authenticated GET with telemetry, however much of it is on, costs more than so many times one without
    #[arg(long, default_value_t = 1.25)]
    ratio_max: f64,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve without telemetry, until killed: what the first service does
    #[command(hide = true)]
    ServeUnobserved(unobserved::Args),
}

/// One service and what it is called in the table.
struct Subject {
    name: &'static str,
    server: Server,
}

/// What one service took beside the one without telemetry, of the same rounds.
struct Cost {
    over: Figures,
    times: Figures,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(Command::ServeUnobserved(args)) = args.command {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        return runtime.block_on(unobserved::serve(args));
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(&args))
}

async fn measure(args: &Args) -> anyhow::Result<()> {
    let ground = Ground::prepare(args.program.clone()).await?;
    let receiver = Receiver::start(Duration::ZERO)?;
    let subjects = start(&ground, &receiver)?;
    println!("{}, {} rounds of {} s", machine(), args.rounds, args.seconds);
    let pace = args.rate.map_or("as many requests as are answered".to_owned(), |rate| format!("{rate} requests/s"));
    println!("{pace} over {} connections; CPU of the service process, user and system", args.connections);
    let get = table(args, &subjects, "GET /api/v1/tasks/{id} on PostgreSQL", &ground.task_path, Some(&ground.token));
    let get = get.await?;
    table(args, &subjects, "GET /health, without a database", "/health", None).await?;
    for subject in &subjects[1..] {
        let (_, scrape) = exchange_text(subject.server.admin, "GET", "/metrics", None, &serde_json::Value::Null)?;
        let requests = metric(&scrape, "http_server_request_duration_seconds_count");
        let dropped = metric(&scrape, "telemetry_dropped_total");
        println!("{}: {requests} requests, {} lines, {dropped} dropped", subject.name, subject.server.lines());
        // What is dropped costs less than what is delivered.
        ensure!(dropped <= requests * DROPPED_SHARE_MAX, "{} dropped too much: lower the rate", subject.name);
    }
    println!("the receiver took {} requests, {} bytes", receiver.received.requests(), receiver.received.bytes());
    // Not the last row alone: rows differ by less than rounds do, and the bound is for whichever somebody runs.
    let (over, dearest) = highest(&subjects, &get, |row| &row.over)?;
    let (times, most) = highest(&subjects, &get, |row| &row.times)?;
    println!(
        "telemetry at its dearest: {over:.1} µs of CPU for each request ({dearest}), {times:.2} times one without ({most})"
    );
    ensure!(over <= args.micros_max, "that is over {} µs", args.micros_max);
    ensure!(times <= args.ratio_max, "that is over {} times", args.ratio_max);
    Ok(())
}

/// The highest median of the services that have telemetry, and whose it is.
fn highest(
    subjects: &[Subject],
    costs: &[Cost],
    figures: fn(&Cost) -> &Figures,
) -> anyhow::Result<(f64, &'static str)> {
    let rows = subjects.iter().zip(costs).skip(1).map(|(subject, cost)| (figures(cost).median(), subject.name));
    rows.max_by(|one, other| one.0.total_cmp(&other.0)).context("there is no service with telemetry")
}

fn start(ground: &Ground, receiver: &Receiver) -> anyhow::Result<Vec<Subject>> {
    let url = receiver.url();
    let ours: PathBuf = std::env::current_exe()?;
    let unobserved = Server::start(&ours, &["serve-unobserved"], &ground.environment("off"))?;
    let mut subjects = vec![Subject { name: "off", server: unobserved }];
    let traces = traces_to(&url);
    let cloudwatch = [traces.clone(), cloudwatch_to(&url)].concat();
    let all = telemetry_to(&url, &url, &receiver.dsn());
    let binaries = [
        ("metrics and ids", "off", vec![]),
        ("+ JSON lines", "info", vec![]),
        ("+ traces at 5 %", "info", traces),
        ("+ CloudWatch logs, EMF", "info", cloudwatch),
        ("+ Sentry: everything", "info", all),
    ];
    for (name, level, more) in binaries {
        let environment = [ground.environment(level), more].concat();
        subjects.push(Subject { name, server: Server::start(&ground.program, &[], &environment)? });
    }
    Ok(subjects)
}

/// Measures one request on every service in turn, prints the table, and returns what each took. A difference and a ratio are
/// those of one round.
async fn table(
    args: &Args,
    subjects: &[Subject],
    title: &str,
    path: &str,
    token: Option<&str>,
) -> anyhow::Result<Vec<Cost>> {
    let mut cpu = vec![Vec::new(); subjects.len()];
    let mut per_second = cpu.clone();
    for round in 0..=args.rounds {
        // None is always the first in turn.
        for at in (0..subjects.len()).map(|at| (at + usize::from(round)) % subjects.len()) {
            let subject = &subjects[at];
            let load = Load { rate: args.rate, ..Load::get(subject.server.api, path, token, args.connections) };
            if round == 0 {
                load.run(WARM_UP).await?;
                continue;
            }
            let before = subject.server.cpu()?;
            let outcome = load.run(Duration::from_secs_f64(args.seconds)).await?;
            tokio::time::sleep(SETTLE).await;
            let used = subject.server.cpu()? - before;
            cpu[at].push(used.as_secs_f64() * 1e6 / outcome.answered as f64);
            per_second[at].push(outcome.per_second());
        }
    }
    println!(
        "\n{title}\n\n| telemetry | CPU µs for each request: median (min to max) | over off | times off | requests/s |"
    );
    println!("| --- | --- | --- | --- | --- |");
    let mut costs = Vec::new();
    for ((subject, micros), per_second) in subjects.iter().zip(&cpu).zip(per_second) {
        let over = Figures::beside(micros, &cpu[0], |micros, off| micros - off);
        let times = Figures::beside(micros, &cpu[0], |micros, off| micros / off);
        let (micros, per_second) = (Figures::new(micros.clone()), Figures::new(per_second));
        println!("| {} | {micros} | {over:+} | {times:.2} | {per_second:.0} |", subject.name);
        costs.push(Cost { over, times });
    }
    println!();
    Ok(costs)
}

/// The service without its telemetry.
mod unobserved {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use axum::Router;
    use service::app::App;
    use service::clock::Clock;
    use service::config::{Config, Secret};
    use service::http::stream::Entrance;
    use service::http::{routes, serve};
    use tokio::net::TcpListener;
    use tokio::sync::watch;

    /// What the real binary takes, as far as it matters here.
    #[derive(Debug, clap::Args)]
    pub(super) struct Args {
        #[arg(env = "LISTEN_ADDR")]
        listen: SocketAddr,
        #[arg(env = "DATABASE_URL")]
        database_url: String,
        #[arg(env = "JWT_SECRET")]
        jwt_secret: String,
    }

    /// Serves the API's router without `observe`, on the same accept loop.
    pub(super) async fn serve(args: Args) -> anyhow::Result<()> {
        let mut config = Config::for_tests(args.database_url);
        config.auth.jwt_secret = Some(Secret::new(args.jwt_secret));
        let limits = config.limits.clone();
        let app = App::build(config, Clock::system()).await?;
        let state = Arc::clone(app.state());
        let settings = serve::Settings {
            max_connections: limits.max_connections,
            header_timeout: limits.header_timeout,
            grace: limits.shutdown_grace,
            entrance: Entrance::of(&state, &limits),
            metrics: Arc::clone(&state.metrics),
        };
        let router = routes::unobserved(Arc::clone(&state), &[], Router::new()).with_state(state);
        let (_stop, stopped) = watch::channel(false);
        serve::serve(TcpListener::bind(args.listen).await?, router, settings, stopped).await;
        Ok(())
    }
}
