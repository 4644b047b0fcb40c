//! What a page reads, in blocks of PostgreSQL: deep in a list against its first page, and in a large table against a small one.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use benches::script::{FIRST, Kind};
use jiff::Timestamp;
use serde_json::Value;
use service::store::migrate;
use service::store::tasks::{Direction, Filter, Key, Order, Sort};
use testkit::postgres::{Database, Options, Private};
use uuid::Uuid;

use crate::bounds::{self, Bound, Measure};

/// Tasks before the deep page.
const DEPTH: u64 = 150_000;
/// Tasks of one project: a page at that depth has more behind it.
const PROJECT_TASKS: u64 = 200_000;
/// Projects that people work on at the same time. A table grows by time that passes, with the same tasks beside each other in
/// it: with tasks of more and more projects in between, a page would be scattered over more blocks, whatever its statement.
const TOGETHER: u64 = 5;
/// Blocks of a page against those of another.
const RATIO_MAX: f64 = 1.5;
/// From the sixth execution on PostgreSQL may take a plan for any parameters: the one that the service has most of the time.
const EXECUTIONS: usize = 7;
const LIMIT: usize = 50;
/// What a task takes on disk with its indexes, and while these are built.
const TASK_BYTES: u64 = 1_600;
const SETTINGS: &[&str] = &[
    "autovacuum = off",
    "max_wal_size = '1GB'",
    "shared_buffers = '512MB'",
    "wal_level = minimal",
    "max_wal_senders = 0",
    "maintenance_work_mem = '1GB'",
    "shared_preload_libraries = ''",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Tasks in the table; given twice, the larger one is compared with the smaller
    #[arg(long = "tasks", default_values_t = [1_000_000])]
    tasks: Vec<u64>,
}

/// Blocks that a page touched, in memory or not.
#[derive(Debug, Clone, Copy)]
struct Pages {
    first: f64,
    deep: f64,
}

/// Measures, prints, and returns how many bounds are broken.
#[expect(clippy::print_stdout, reason = "a program whose output is a table")]
pub(crate) async fn run(args: Args) -> anyhow::Result<usize> {
    let mut sizes = args.tasks;
    sizes.sort_unstable();
    let unit = PROJECT_TASKS * TOGETHER;
    ensure!(sizes.iter().all(|tasks| tasks % unit == 0 && *tasks > 0), "takes multiples of {unit}");
    let mut found = Vec::new();
    for tasks in sizes {
        let began = Instant::now();
        let (pages, bytes) = measure(tasks).await?;
        println!(
            "{tasks} tasks, {} bytes each on disk, in {:.0} s: first page {} blocks, page at {DEPTH} {} blocks",
            bytes / tasks,
            began.elapsed().as_secs_f64(),
            pages.first,
            pages.deep
        );
        found.push((tasks, pages));
    }
    println!();
    let bound = Bound::AtMost(RATIO_MAX);
    let mut measures: Vec<Measure> = found
        .iter()
        .map(|(tasks, pages)| {
            let name = format!("page at depth {DEPTH} ÷ first page, blocks; {tasks} tasks");
            Measure::new(name, bound, vec![pages.deep / pages.first])
        })
        .collect();
    if let [(small, of_small), .., (large, of_large)] = found.as_slice() {
        let name = |page| format!("{large} tasks ÷ {small} tasks, blocks; {page} page");
        measures.push(Measure::new(name("first"), bound, vec![of_large.first / of_small.first]));
        measures.push(Measure::new(name("deep"), bound, vec![of_large.deep / of_small.deep]));
    }
    Ok(bounds::print(&measures))
}

/// The pages in a database of so many tasks, and its bytes. The database is gone afterwards.
async fn measure(tasks: u64) -> anyhow::Result<(Pages, u64)> {
    let settings = SETTINGS.iter().map(|&line| line.to_owned()).collect();
    let cluster = Private::start(Options { settings, tls: None });
    let cluster = cluster.context("PostgreSQL is not installed: scripts/install-test-tools")?;
    let (free, needed) = (free_bytes(&cluster.directory())?, tasks * TASK_BYTES);
    ensure!(free > needed, "{tasks} tasks take {needed} bytes of disk, {free} are free");
    let database = cluster.create_empty_database();
    migrate::run(&database.url, migrate::Command::Up).await?;
    fill(&database, tasks);
    let bytes = database.psql("SELECT pg_database_size(current_database())").parse()?;
    let first = blocks(&database, None)?;
    let deep = blocks(&database, Some(key(&database)?))?;
    Ok((Pages { first, deep }, bytes))
}

/// Inserts into bare tables: indexes that are built afterwards take a fifth of the time.
fn fill(database: &Database, tasks: u64) {
    let indexes = database.psql(
        "SELECT indexdef FROM pg_indexes WHERE tablename = 'tasks' AND indexname <> 'tasks_pkey' ORDER BY indexname",
    );
    let names =
        "SELECT string_agg(indexname, ', ') FROM pg_indexes WHERE tablename = 'tasks' AND indexname <> 'tasks_pkey'";
    let names = database.psql(names);
    database.psql(&format!("DROP INDEX {names}"));
    let projects = tasks / PROJECT_TASKS;
    let place = format!("n / {} * {TOGETHER} + n % {TOGETHER}", PROJECT_TASKS * TOGETHER);
    let sql = include_str!("depth.sql")
        .replace("{project_of_task}", &Kind::Project.sql(&format!("({FIRST} + {place})::text")))
        .replace("{task}", &Kind::Task.sql(&format!("({FIRST} + n)::text")))
        .replace("{project}", &Kind::Project.sql(&format!("({FIRST} + n)::text")))
        .replace("{user}", &format!("'{}'::uuid", Kind::User.id(0)))
        .replace("{tasks_of_project}", &PROJECT_TASKS.to_string())
        .replace("{tasks}", &tasks.to_string())
        .replace("{projects}", &projects.to_string());
    database.psql(&sql);
    for index in indexes.lines() {
        database.psql(index);
    }
    database.psql("VACUUM (ANALYZE)");
}

/// Where the deep page begins: the last task of the page before, newest first.
fn key(database: &Database) -> anyhow::Result<Key> {
    let row = database.psql(&format!(
        "SELECT (extract(epoch FROM created_at) * 1000000)::bigint, id FROM tasks WHERE project_id = '{}' \
         ORDER BY created_at DESC, id DESC OFFSET {} LIMIT 1",
        Kind::Project.id(0),
        DEPTH - 1
    ));
    let (micros, id) = row.split_once('|').context("a task at that depth")?;
    Ok(Key { first: micros.parse()?, second: 0, id: id.parse()? })
}

/// The blocks that the service's own statement touches for a page of one project, as an execution with a settled plan does.
fn blocks(database: &Database, after: Option<Key>) -> anyhow::Result<f64> {
    let project: Uuid = Kind::Project.id(0).parse()?;
    let user: Uuid = Kind::User.id(0).parse()?;
    let order = Order { sort: Sort::CreatedAt, direction: Direction::Descending };
    let filter = Filter { project_id: Some(project), ..Filter::default() };
    let sql = filter.sql(false, user, order, after, LIMIT).context("a key that a row has")?;
    let at = after.map(|key| Timestamp::from_microsecond(key.first)).transpose()?;
    let position = after.zip(at).map(|(key, at)| [at.to_string(), key.id.to_string()]);
    let values =
        [vec![project.to_string()], position.map_or(vec![], Vec::from), vec![user.to_string(), project.to_string()]];
    let values: Vec<String> = values.concat().iter().map(|value| format!("'{value}'")).collect();
    let numbered =
        sql.split('?').enumerate().map(|(at, piece)| if at == 0 { piece.to_owned() } else { format!("${at}{piece}") });
    let execute = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE page ({});\n", values.join(", "));
    let script = format!("PREPARE page AS {};\n{}", numbered.collect::<String>(), execute.repeat(EXECUTIONS));
    let plans = database.psql(&script);
    let plans = serde_json::Deserializer::from_str(&plans).into_iter::<Value>().collect::<Result<Vec<_>, _>>()?;
    ensure!(plans.len() == EXECUTIONS, "{} plans of {EXECUTIONS}", plans.len());
    let plan = &plans[EXECUTIONS - 1][0]["Plan"];
    ensure!(plan["Actual Rows"].as_f64() == Some(LIMIT as f64 + 1.0), "not a full page: {plan}");
    let touched = |name: &str| plan[name].as_f64().with_context(|| format!("no {name} in {plan}"));
    Ok(touched("Shared Hit Blocks")? + touched("Shared Read Blocks")?)
}

/// Room for files in a folder, by df.
fn free_bytes(folder: &std::path::Path) -> anyhow::Result<u64> {
    let output = Command::new("df").args(["--output=avail", "--block-size=1"]).arg(folder).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().nth(1).and_then(|line| line.trim().parse().ok()).with_context(|| format!("df: {text}"))
}
