//! The service beside what it stands on, in interleaved rounds.

mod references;

use std::path::PathBuf;
use std::time::Duration;

use benches::dataset::Size;
use benches::load::Load;
use benches::script::Script;
use serde_json::{Value, json};

use self::references::References;
use crate::bounds::{self, Bound, Measure};
use crate::quiet::Quiet;
use crate::stage::Stage;
use crate::table::{self, Cost, ratios};

/// A round before the first that counts, so that pools, caches and tables are filled.
const WARM_UP: Duration = Duration::from_secs(1);
/// After a load: the exporter of spans sends what it has within this.
const SETTLE: Duration = Duration::from_millis(2500);
/// As many users as pgbench has connections: each of them is one.
const USERS: u64 = 8;
const PROJECTS: u64 = 80;
/// Connections that send batches.
const BATCH_CONNECTIONS: usize = 8;
/// Creates in one batch.
const BATCH: usize = 100;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rounds of each measurement
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of load in each round
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Tasks in each database, in 80 projects of 8 users
    #[arg(long, default_value_t = 100_000)]
    tasks: u64,
    /// Connections to the service side by side
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Nothing but these, for a profile or a comparison of two builds; ratios of which one side is missing are left out
    #[arg(long, value_enum)]
    only: Vec<Run>,
    /// Threads of pgbench
    #[arg(long, default_value_t = 1)]
    pgbench_threads: usize,
}

/// What is measured in each round, in this order and in every other round the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Run {
    Get,
    GetReference,
    SqliteGet,
    List,
    ListReference,
    Create,
    CreateReference,
    Batch,
    NoDatabase,
    Hello,
}

impl Run {
    const ALL: [Run; 10] = [
        Run::Get,
        Run::GetReference,
        Run::SqliteGet,
        Run::List,
        Run::ListReference,
        Run::Create,
        Run::CreateReference,
        Run::Batch,
        Run::NoDatabase,
        Run::Hello,
    ];

    fn name(self) -> &'static str {
        match self {
            Run::Get => "GET a task",
            Run::GetReference => "pgbench: the SQL of GET",
            Run::SqliteGet => "GET a task, on SQLite",
            Run::List => "list 50 of a project",
            Run::ListReference => "pgbench: the SQL of list",
            Run::Create => "create a task",
            Run::CreateReference => "pgbench: the SQL of create",
            Run::Batch => "batch of 100 creates",
            Run::NoDatabase => "no database: 404 of an id that is none",
            Run::Hello => "bare axum: hello world",
        }
    }
}

/// Measures, prints, and returns how many bounds are broken.
#[expect(clippy::print_stdout, reason = "a program whose output is a table")]
pub(crate) async fn run(args: Args, program: Option<PathBuf>) -> anyhow::Result<usize> {
    let size = Size { tasks: args.tasks, projects: PROJECTS, users: USERS };
    let stage = Stage::set(program, size, args.pgbench_threads).await?;
    let references = References::find(&stage, size).await?;
    println!(
        "{} rounds of {} s; {} tasks in {PROJECTS} projects of {USERS} users",
        args.rounds, args.seconds, args.tasks
    );
    println!("{} connections to the service; {}\n", args.connections, references.described(&stage));
    let bench = Bench { args, size, stage, references };
    let mut found = [const { Vec::new() }; Run::ALL.len()];
    let quiet = Quiet::begin(&bench.stage)?;
    for round in 0..=bench.args.rounds {
        let mut order = bench.runs();
        if round % 2 == 1 {
            order.reverse();
        }
        for run in order {
            let counts = round > 0;
            let cost = bench.measure(run, counts).await?;
            if counts {
                found[run as usize].push(cost);
            }
        }
    }
    table::print(bench.runs().into_iter().map(|run| (run.name(), found[run as usize].as_slice())));
    println!("{}\n", quiet.end(&bench.stage)?);
    let of = |run: Run| found[run as usize].as_slice();
    Ok(bounds::print(&measures(of)))
}

fn measures<'a>(of: impl Fn(Run) -> &'a [Cost]) -> Vec<Measure> {
    let per_second = |left: &Cost, right: &Cost| left.per_second / right.per_second;
    let micros = |left: &Cost, right: &Cost| left.micros() / right.micros();
    let item = |batch: &Cost, single: &Cost| batch.micros() / BATCH as f64 / single.micros();
    let server = |left: &Cost, right: &Cost| left.process_micros / right.process_micros;
    let measure = |name, bound, left, right, ratio: fn(&Cost, &Cost) -> f64| {
        let rounds = ratios(of(left), of(right), ratio);
        (!rounds.is_empty()).then(|| Measure::new(name, bound, rounds))
    };
    use Bound::{AtLeast, AtMost};
    let measures = [
        measure("GET requests/s ÷ pgbench", AtLeast(0.4), Run::Get, Run::GetReference, per_second),
        measure("list of 50 ÷ pgbench", AtLeast(0.5), Run::List, Run::ListReference, per_second),
        measure("create ÷ pgbench", AtLeast(0.55), Run::Create, Run::CreateReference, per_second),
        measure("total CPU per GET ÷ pgbench's own", AtMost(2.6), Run::Get, Run::GetReference, micros),
        measure("no-database request ÷ bare axum, server CPU", AtMost(5.0), Run::NoDatabase, Run::Hello, server),
        measure("batch of 100: CPU per item ÷ single create", AtMost(0.2), Run::Batch, Run::Create, item),
        measure("GET on SQLite ÷ on PostgreSQL, requests/s", AtLeast(1.5), Run::SqliteGet, Run::Get, per_second),
    ];
    measures.into_iter().flatten().collect()
}

/// What the rounds share.
struct Bench {
    args: Args,
    size: Size,
    stage: Stage,
    references: References,
}

impl Bench {
    /// What is measured, in the order of the table.
    fn runs(&self) -> Vec<Run> {
        Run::ALL.into_iter().filter(|run| self.args.only.is_empty() || self.args.only.contains(run)).collect()
    }

    async fn measure(&self, run: Run, counts: bool) -> anyhow::Result<Cost> {
        let (duration, settle) = match counts {
            true => (Duration::from_secs(self.args.seconds), SETTLE),
            false => (WARM_UP, Duration::ZERO),
        };
        let stage = &self.stage;
        if matches!(run, Run::Create | Run::CreateReference | Run::Batch) {
            stage.checkpoint();
        }
        let server = match run {
            Run::GetReference => return stage.reference(&self.references.get, &[], duration).await,
            Run::ListReference => return stage.reference(&self.references.list, &[], duration).await,
            Run::CreateReference => {
                let script = self.references.create()?;
                return stage.reference(&script, references::CREATE_VARIABLES, duration).await;
            }
            Run::SqliteGet => &stage.sqlite,
            Run::Hello => &stage.hello,
            Run::Get | Run::List | Run::Create | Run::Batch | Run::NoDatabase => &stage.service,
        };
        let load = self.requests(run, server.api)?;
        // One request of each connection beforehand: a new token is looked up once, and not in the time that is measured.
        load.run(Duration::from_millis(100)).await?;
        stage.load(server, &load, duration, settle).await
    }

    fn requests(&self, run: Run, address: std::net::SocketAddr) -> anyhow::Result<Load> {
        let tokens = match run {
            Run::SqliteGet => self.size.log_in(address)?,
            _ => self.size.tokens()?,
        };
        let scripts = (0_u64..).zip(&tokens).map(|(user, token)| {
            let (tasks, projects) = (self.size.tasks_of(user), self.size.projects_of(user));
            match run {
                Run::List => Script::get_any("/api/v1/tasks?project_id={id}&limit=50", projects, token),
                Run::Create => Script::post_any("/api/v1/tasks", &new_task(), projects, token),
                Run::Batch => {
                    let mut task = new_task();
                    task["project_id"] = projects.kind.id(projects.first).into();
                    let batch =
                        json!({"atomic": true, "operations": vec![json!({"op": "create", "task": task}); BATCH]});
                    Script::post_any("/api/v1/tasks/batch", &batch, projects, token)
                }
                Run::NoDatabase => Script::get("/api/v1/tasks/none", Some(token)),
                Run::Hello => Script::get("/", None),
                _ => Script::get_any("/api/v1/tasks/{id}", tasks, token),
            }
        });
        let status = match run {
            Run::Create => 201,
            Run::NoDatabase => 404,
            _ => 200,
        };
        let connections = match run {
            // One for each connection to the database: the others would wait in line behind long transactions.
            Run::Batch => BATCH_CONNECTIONS,
            _ => self.args.connections,
        };
        Ok(Load { address, scripts: scripts.collect(), status, connections, rate: None })
    }
}

/// What a create sends; pgbench has the same in [`references::CREATE_VARIABLES`].
fn new_task() -> Value {
    json!({"title": references::TITLE, "description": references::DESCRIPTION, "labels": ["bug", "team-1"],
        "project_id": "{id}"})
}
