//! What each list of tasks costs on PostgreSQL: every filter alone and in pairs, with every sort, first page and deep page, by
//! the plans that really ran.
//!
//! `PLAN_TASKS=1000000 cargo test -p service --test suite plans::` is the full run, with pages at a depth of 150,000. The
//! table of what was found is written to `target/tmp/plans.txt`.

mod explain;
mod grammar;
mod report;
mod writes;

use service::clock::Clock;
use service::http::cursor::Scope;
use service::store::tasks::Key;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use self::explain::{Log, Plan};
use self::grammar::{Filter, List, SORTS, Values, combinations, filters};
use self::report::Report;
use crate::harness::app::Storage;
use crate::harness::client::User;
use crate::harness::postgres::{Options, Private, migrated};
use crate::harness::{Backend, TestApp};

const TASKS_DEFAULT: u64 = 100_000;
const DEPTH_MAX: u64 = 150_000;
/// PostgreSQL makes a plan for any parameters from the sixth execution on, where it believes that to be cheaper.
const EXECUTIONS: usize = 7;
const LIMIT: usize = 50;

/// A service with one connection on a server of its own, which nothing but a test analyses.
struct Ground {
    app: TestApp,
    log: Log,
    /// Its statements are not in the log.
    sql: Client,
    /// Dropped last: the others still use it.
    cluster: Private,
}

impl Ground {
    async fn new() -> Option<Self> {
        let settings = ["autovacuum = off", "synchronous_commit = off", "max_wal_size = 8GB", "jit = off"];
        let cluster = Private::start(Options { settings: settings.map(str::to_owned).into(), tls: None })?;
        let database = migrated(&cluster).await;
        let log = Log::of(&cluster, &database);
        let sql = connect(&database.url).await;
        sql.batch_execute("SET auto_explain.log_min_duration = -1").await.expect("a setting");
        let app = TestApp::builder(Backend::Postgres)
            .storage(Storage::Postgres(database))
            .clock(Clock::manual("2026-11-20T12:00:00Z".parse().expect("a time"))) // the token stays good
            .config(|config| config.database.pool_size = 1)
            .spawn()
            .await;
        Some(Self { app, log, sql, cluster })
    }
}

struct World {
    app: TestApp,
    log: Log,
    sql: Client,
    user: User,
    user_id: Uuid,
    project: String,
    filters: Vec<Vec<Filter>>,
    /// Dropped last: the others still use it.
    _cluster: Private,
}

impl World {
    async fn build() -> Option<Self> {
        let tasks =
            std::env::var("PLAN_TASKS").map_or(TASKS_DEFAULT, |text| text.parse().expect("PLAN_TASKS is a number"));
        let Ground { app, log, sql, cluster } = Ground::new().await?;
        let user = app.register("reader").await;
        let seed = include_str!("plans/seed.sql").replace("{tasks}", &tasks.to_string()).replace("{user}", &user.id);
        sql.batch_execute(&seed).await.expect("the seed");
        // A sample is as large as the most demanding column wants it, 300 rows for each of these: all rows, so that each run
        // plans with the same statistics. The other columns keep what they have by default.
        sql.batch_execute("ALTER TABLE tasks ALTER COLUMN version SET STATISTICS 400").await.expect("a setting");
        sql.batch_execute("VACUUM ANALYZE").await.expect("vacuum");
        let project = "01900000-0000-7000-8000-0000000003e9".to_owned();
        let most = async |column: &str, offset: u32| {
            let text = format!(
                "SELECT {column}::text FROM tasks WHERE project_id = '{project}' AND deleted_at IS NULL AND {column} IS NOT NULL \
                 GROUP BY 1 ORDER BY count(*) DESC, 1 OFFSET {offset} LIMIT 1"
            );
            sql.query_one(&text, &[]).await.expect("a row").get::<_, String>(0)
        };
        let values = Values {
            busy: most("assignee_id", 0).await,
            idle: most("assignee_id", 50).await,
            epic: most("parent_id", 0).await,
            story: most("parent_id", 10).await,
        };
        let user_id = user.id.parse().expect("a UUID");
        Some(Self { app, log, sql, user, user_id, project, filters: filters(&values), _cluster: cluster })
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// One page, asked for again and again: its plans, and the rows that it showed.
struct Page {
    plans: Vec<Plan>,
    ids: Vec<String>,
}

impl World {
    /// Keeps what a set of filters matches, for [`World::expected`] to sort.
    async fn matching(&self, filters: &[Filter], in_project: bool) -> u64 {
        let scope = match in_project {
            true => format!("'{}'", self.project),
            false => format!("(SELECT project_id FROM project_members WHERE user_id = '{}')", self.user_id),
        };
        let conditions: String = filters.iter().map(|filter| format!(" AND {}", filter.sql)).collect();
        let text = format!(
            "DROP TABLE IF EXISTS matching; CREATE TEMP TABLE matching AS SELECT id, created_at, updated_at, due_key, priority \
             FROM tasks WHERE project_id IN ({scope}) AND deleted_at IS NULL{conditions}"
        );
        self.sql.batch_execute(&text).await.expect("the matching tasks");
        let count: i64 = self.sql.query_one("SELECT count(*) FROM matching", &[]).await.expect("a count").get(0);
        count.try_into().expect("a count")
    }

    /// The key of the row before which `depth` rows lie, itself included, and the ids of the page behind it.
    async fn expected(&self, list: &List<'_>, depth: u64) -> (Option<Key>, Vec<String>) {
        let way = if list.descending { " DESC" } else { "" };
        let order: Vec<String> = list.columns.iter().map(|column| format!("{column}{way}")).collect();
        let micros = |column: &str| match column {
            "priority" => "priority::bigint".to_owned(),
            "id" => "0::bigint".to_owned(),
            time => format!("(extract(epoch FROM {time}) * 1000000)::bigint"),
        };
        let text = format!(
            "SELECT id::text, {}, {} FROM matching ORDER BY {} OFFSET {} LIMIT {}",
            micros(list.columns[0]),
            micros(list.columns[1]),
            order.join(", "),
            depth.saturating_sub(1),
            LIMIT + usize::from(depth > 0),
        );
        let mut rows = self.sql.query(&text, &[]).await.expect("the expected page");
        let key = (depth > 0).then(|| {
            let row = rows.remove(0);
            let id: String = row.get(0);
            Key { first: row.get(1), second: row.get(2), id: id.parse().expect("a UUID") }
        });
        (key, rows.into_iter().map(|row| row.get(0)).collect())
    }

    async fn page(&mut self, pairs: &[String], key: Option<Key>) -> Page {
        let mut path = format!("tasks?{}&limit={LIMIT}", pairs.join("&"));
        if let Some(key) = key {
            let mut bound = pairs.to_vec();
            bound.sort();
            let scope = Scope::new(self.user_id, "tasks", &bound.join("&"));
            path.push_str(&format!("&cursor={}", self.app.running.state().cursors.seal(scope, key)));
        }
        self.log.plans("");
        let mut ids = Vec::new();
        for _ in 0..EXECUTIONS {
            let reply = self.user.get(&path).await.expect(200);
            let items = reply.at("/items").as_array().expect("a list").iter();
            ids = items.map(|item| item["id"].as_str().expect("an id").to_owned()).collect();
        }
        let plans = self.log.plans("FROM project_members m");
        assert_eq!(plans.len(), EXECUTIONS, "a page is one statement: {path}");
        Page { plans, ids }
    }

    /// Asks for the first page and for a deep one, and compares both with what they should show.
    async fn measure(&mut self, list: &List<'_>, matches: u64, report: &mut Report) {
        let depth = DEPTH_MAX.min(matches * 3 / 4);
        let pairs = list.pairs(&self.project);
        let (_, expected) = self.expected(list, 0).await;
        let first = self.page(&pairs, None).await;
        assert_eq!(first.ids, expected, "{list}");
        let (key, expected) = self.expected(list, depth).await;
        let deep = self.page(&pairs, key).await;
        assert_eq!(deep.ids, expected, "{list} at {depth}");
        report.measured(list, depth, &first.plans, &deep.plans);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_costs_what_its_page_costs() {
    let Some(mut world) = World::build().await else { return };
    let mut report = Report::default();
    for filters in combinations(&world.filters.clone()) {
        for in_project in [true, false] {
            let matches = world.matching(&filters, in_project).await;
            report.counted(&filters, in_project, matches);
            let mut refused = Vec::new();
            for (sort, columns) in SORTS {
                for descending in [true, false] {
                    let list = List { filters: &filters, in_project, sort, columns, descending };
                    let reply =
                        world.user.get(&format!("tasks?{}&limit=1", list.pairs(&world.project).join("&"))).await;
                    match reply.status {
                        400 => refused.push((list, reply)),
                        _ => world.measure(&list, matches, &mut report).await,
                    }
                }
            }
            report.refused(refused);
        }
    }
    report.finish();
}
