//! PostgreSQL that is down, slow, locked or gone: 503 with a time to come back, never a hang, and recovery without a restart.

use std::future::IntoFuture as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::harness::client::{PASSWORD, User};
use crate::harness::collector::{Collector, Mode};
use crate::harness::ground::Ground;
use crate::harness::postgres::{Cluster, Database, Options, Private, migrated};
use crate::harness::process::{Process, Serving, Signal, task_api};
use crate::harness::proxy::Proxy;
use crate::harness::raw::Raw;
use crate::harness::reply::Reply;
use crate::harness::scrape::Scrape;
use crate::harness::{Backend, TestApp};

const SOON: Duration = Duration::from_secs(20);
const JWT_SECRET: &str = "a key of at least 32 bytes, for tests only";
/// What only the database or its driver says.
const INSIDE: &[&str] = &[
    "SELECT",
    "INSERT",
    "UPDATE ",
    "FROM ",
    "WHERE",
    "relation",
    "diesel",
    "terminating",
    "administrator",
    "os error",
    "127.0.0.1",
    "socket",
    "closed",
    "postgres",
    "canceling",
    "statement",
];

/// A refusal that may be repeated: 503, when to come back, and nothing of what the database said.
pub(crate) fn refused(reply: Reply) {
    let reply = reply.problem(503, "");
    assert!(reply.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{reply}");
    let leaked = INSIDE.iter().find(|inside| reply.text.contains(**inside));
    assert_eq!(leaked, None, "{reply}");
}

pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Makes each insert of a task wait so long in the database.
pub(crate) fn slow_inserts(database: &Database, seconds: f64) {
    database.psql(&format!(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep({seconds}); RETURN new; END';
         CREATE TRIGGER slow BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION slow()"
    ));
}

/// Sends a request and leaves.
async fn send_and_leave(app: &TestApp, user: &User, path: &str, body: &str, stays: Duration) {
    let mut raw = Raw::connect(&app.api).await;
    let (token, length) = (&user.access_token, body.len());
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
    );
    raw.send(format!("{head}content-length: {length}\r\n\r\n{body}")).await;
    tokio::time::sleep(stays).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_starts_before_its_database_recovers_without_a_restart() {
    let Some(cluster) = Cluster::get() else { return };
    let database = cluster.create_empty_database();
    let mut proxy = Proxy::start(cluster.address()).await;
    proxy.cut().await;
    let url = database.url_through(proxy.address());
    let mut process = task_api().env("DATABASE_URL", &url).env("JWT_SECRET", JWT_SECRET).serve().await;
    let (api, admin) = (process.api().await, process.admin().await);
    let login = async || api.post("auth/login", json!({"email": "ann@example.com", "password": PASSWORD})).await;
    for listener in [&api, &admin] {
        listener.get("/health").await.expect(200);
        assert!(listener.get("/ready").await.expect(503).text.contains("the database does not answer"));
    }
    refused(login().await);
    process.log("database_connection_failed").await;

    proxy.restore();
    eventually("it sees the database, which is empty", async || {
        api.get("/ready").await.expect(503).text.contains("migrations are pending")
    })
    .await;
    let mut migrate = task_api().env("DATABASE_URL", &url).arg("migrate").start();
    assert!(migrate.wait(SOON).await.success(), "{}", migrate.output());
    eventually("it is ready", async || api.get("/ready").await.status == 200).await;
    login().await.problem(401, "invalid-credentials");
    api.register("ann").await;
    process.signal(Signal::TERM);
    assert!(process.wait(SOON).await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_and_comes_back_costs_503s_and_nothing_else() {
    let Some(cluster) = Private::start(Options::default()) else { return };
    let database = migrated(&cluster).await;
    let mut proxy = Proxy::start(cluster.address()).await;
    let configure = |config: &mut service::config::Config| config.limits.request_timeout = Duration::from_secs(3);
    let url = database.url_through(proxy.address());
    let app = TestApp::builder(Backend::Postgres).database_url(url).config(configure).spawn().await;
    let ann = app.register("ann").await;
    let mut created = 0;
    for fault in ["stop fast", "stop immediate", "cut", "blackhole"] {
        // All connections of the pool are open and idle when it happens.
        let busy = (0..16).map(|_| {
            let ann = ann.clone();
            tokio::spawn(async move { ann.get("tasks").await.expect(200) })
        });
        for request in busy.collect::<Vec<_>>() {
            request.await.expect("a healthy database serves");
        }
        match fault {
            "stop fast" => cluster.stop_fast(),
            "stop immediate" => cluster.stop_immediate(),
            "cut" => proxy.cut().await,
            _ => proxy.blackhole(),
        }
        let requests = (0..12).map(|at| {
            let ann = ann.clone();
            tokio::spawn(async move {
                let started = Instant::now();
                let reply = match at % 3 {
                    0 => ann.get("tasks").await,
                    1 => ann.post("tasks", json!({"title": "Never made", "labels": [fault]})).await,
                    _ => ann.post("auth/login", json!({"email": ann.email, "password": PASSWORD})).await,
                };
                assert!(started.elapsed() < Duration::from_secs(6), "{fault}: {:?}", started.elapsed());
                refused(reply);
            })
        });
        for request in requests.collect::<Vec<_>>() {
            request.await.unwrap_or_else(|error| panic!("{fault}: {error}"));
        }
        app.api.get("/health").await.expect(200);
        eventually("it says that it is not ready", async || app.api.get("/ready").await.status == 503).await;
        match fault {
            "stop fast" | "stop immediate" => cluster.start_again(),
            _ => proxy.restore(),
        }
        eventually("it is ready again", async || app.api.get("/ready").await.status == 200).await;
        eventually("it serves again", async || ann.get("tasks").await.status == 200).await;
        ann.post("tasks", json!({"title": "Made"})).await.expect(201);
        created += 1;
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
        assert_eq!(database.psql(waiting), "0", "{fault}");
        assert_eq!(database.psql("SELECT count(*) FROM tasks WHERE title = 'Made'"), created.to_string(), "{fault}");
    }
    eventually("no connection is lost to the pool", async || {
        Scrape::of(&app.admin).await.sum("db_client_connection_count", &[("state", "used")]) == 0.0
    })
    .await;
    let scrape = Scrape::of(&app.admin).await;
    // Which of the two a request met depends on whether its connection was found dead before or after it was lent.
    let failed = |error| scrape.sum("db_client_operation_duration_seconds_count", &[("error_type", error)]);
    assert!(failed("unavailable") + failed("pool_timeout") >= 24.0, "{}", scrape.text);
    assert!(failed("timeout") > 0.0, "a black hole answers nothing");
    assert_eq!((failed("internal"), failed("conflict")), (0.0, 0.0));
    assert_eq!(scrape.value("panics_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_died_while_idle_cost_no_request() {
    let Some(cluster) = Cluster::get() else { return };
    let app = TestApp::spawn(Backend::Postgres).await;
    let ann = app.register("ann").await;
    slow_inserts(app.storage.postgres(), 0.2);
    let writes = (0..8).map(|_| {
        let ann = ann.clone();
        tokio::spawn(async move { ann.post("tasks", json!({"title": "Busy"})).await.expect(201) })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.expect("eight at once");
    }
    let name = &app.storage.postgres().name;
    let kill = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}' AND application_name = 'task-api'"
    );
    let killed: u32 = cluster.psql("postgres", &kill).parse().expect("a number");
    assert!(killed >= 8, "only {killed} connections were open");
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in 0..20 {
        ann.get("tasks").await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyed_write_that_the_database_keeps_waiting_is_no_running_request() {
    let Some(_) = Cluster::get() else { return };
    let app = TestApp::spawn(Backend::Postgres).await;
    let ann = app.register("ann").await;
    let (client, connection) = tokio_postgres::connect(app.storage.url(), NoTls).await.expect("a session");
    tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE tasks IN EXCLUSIVE MODE").await.expect("the table's lock");
    let keyed = || ann.post("tasks", json!({"title": "Once"})).header("idempotency-key", "k");
    refused(keyed().await);
    client.batch_execute("COMMIT").await.expect("the lock goes");
    let made = keyed().await.expect(201).text_at("/id");
    assert_eq!(keyed().await.expect(201).text_at("/id"), made, "made once, then said again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_somebody_else_holds_is_given_up_on() {
    let Some(_) = Cluster::get() else { return };
    let app = TestApp::spawn(Backend::Postgres).await;
    let ann = app.register("ann").await;
    let id = ann.post("tasks", json!({"title": "Held"})).await.expect(201).text_at("/id");
    let (client, connection) = tokio_postgres::connect(app.storage.url(), NoTls).await.expect("a session");
    tokio::spawn(connection);
    client.batch_execute("BEGIN; SELECT 1 FROM tasks FOR UPDATE").await.expect("the row's lock");
    let update = json!([{"op": "update", "id": id, "patch": {"title": "Batch"}}]);
    for attempt in [
        ann.patch(&format!("tasks/{id}"), json!({"title": "Patched"})),
        ann.delete(&format!("tasks/{id}")),
        ann.post("tasks/batch", json!({"atomic": true, "operations": update})),
    ] {
        let started = Instant::now();
        refused(attempt.await);
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(4), "{took:?}");
    }
    ann.get(&format!("tasks/{id}")).await.expect(200);
    client.batch_execute("COMMIT").await.expect("the lock goes");
    let patched = ann.patch(&format!("tasks/{id}"), json!({"title": "Patched"})).await.expect(200);
    assert_eq!(patched.at("/version"), 2, "what was refused was not done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_connection_carries_the_limits() {
    let Some(_) = Cluster::get() else { return };
    let app = TestApp::spawn(Backend::Postgres).await;
    let ann = app.register("ann").await;
    let database = app.storage.postgres();
    database.psql(
        "CREATE TABLE seen (pid int, limits text);
         CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             PERFORM pg_sleep(0.3);
             INSERT INTO seen VALUES (pg_backend_pid(), concat_ws(' ', current_setting('statement_timeout'),
                 current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout'),
                 current_setting('application_name')));
             RETURN new;
         END $$;
         CREATE TRIGGER look BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION look()",
    );
    eventually("every connection of the pool was used", async || {
        let writes = (0..8).map(|_| {
            let ann = ann.clone();
            tokio::spawn(async move { ann.post("tasks", json!({"title": "Look"})).await })
        });
        for write in writes.collect::<Vec<_>>() {
            write.await.expect("an answer");
        }
        database.psql("SELECT count(DISTINCT pid) FROM seen") == "8"
    })
    .await;
    assert_eq!(database.psql("SELECT DISTINCT limits FROM seen"), "5s 1s 10s task-api");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_speak_english_is_asked_to_and_serves_whatever_it_says() {
    let Some(cluster) = Cluster::get() else { return };
    let app = TestApp::spawn(Backend::Postgres).await;
    let database = app.storage.postgres();
    let name = &database.name;
    // Stands for a language that not every machine has installed.
    database.psql(&format!("ALTER DATABASE {name} SET lc_messages = 'C.UTF-8'"));
    let languages = async |url: String| {
        let app = TestApp::builder(Backend::Postgres).database_url(url).spawn().await;
        database.psql(
            "CREATE OR REPLACE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 new.description := '<' || current_setting('lc_messages') || '>'; RETURN new; END $$;
             CREATE OR REPLACE TRIGGER look BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION look()",
        );
        let ann = app.register("ann").await;
        ann.post("tasks", json!({"title": "Look"})).await.expect(201).text_at("/description")
    };
    assert_eq!(languages(database.url.clone()).await, "<C>", "a role that may choose the language");
    let role = format!("plain_{name}");
    cluster.psql("postgres", &format!("CREATE ROLE {role} LOGIN"));
    database.psql(&format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"));
    let url = database.url.replacen("postgres@", &format!("{role}@"), 1);
    assert_ne!(url, database.url, "the role is in the URL");
    assert_eq!(languages(url).await, "<C.UTF-8>", "a role that may not, and is served all the same");
    database.psql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_takes_too_long_is_ended_by_the_database() {
    let Some(_) = Cluster::get() else { return };
    let app = TestApp::spawn(Backend::Postgres).await;
    let ann = app.register("ann").await;
    slow_inserts(app.storage.postgres(), 30.0);
    let started = Instant::now();
    refused(ann.post("tasks", json!({"title": "Slow"})).await);
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(4900) && took < Duration::from_secs(9), "{took:?}");
    ann.get("tasks").await.expect(200);
    assert_eq!(app.storage.postgres().psql("SELECT count(*) FROM tasks"), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_leaves_no_transaction_behind() {
    let Some(_) = Cluster::get() else { return };
    let app = TestApp::spawn(Backend::Postgres).await;
    let ann = app.register("ann").await;
    let database = app.storage.postgres();
    slow_inserts(database, 0.05);
    let single = json!({"title": "Left"}).to_string();
    let operations = vec![json!({"op": "create", "task": {"title": "Left"}}); 4];
    let batch = json!({"atomic": true, "operations": operations}).to_string();
    for at in 0..24 {
        let (path, body) = if at % 2 == 0 { ("/api/v1/tasks", &single) } else { ("/api/v1/tasks/batch", &batch) };
        send_and_leave(&app, &ann, path, body, Duration::from_millis(10 + 7 * at)).await;
    }
    eventually("nothing is in flight and no connection is used", async || {
        let scrape = Scrape::of(&app.admin).await;
        scrape.value("http_server_active_requests") == 0.0
            && scrape.sum("db_client_connection_count", &[("state", "used")]) == 0.0
    })
    .await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    assert_eq!(database.psql(open), "0");
    assert_eq!(database.psql("SELECT count(*) FROM tasks"), "60", "a write that began was made to its end");
    let counted = Scrape::of(&app.admin)
        .await
        .sum("http_server_request_duration_seconds_count", &[("http_route", "/api/v1/tasks/batch")]);
    assert_eq!(counted, 12.0);
}

/// Milliseconds in the database and operations, as the canonical line of the first request with this status has them, and the
/// durations and kinds of failure of the spans in its trace.
async fn line_and_spans(
    process: &Process,
    collector: &Collector,
    status: u16,
) -> ((f64, u64), Vec<(f64, String, i32)>) {
    let is_it = |line: &Value| line["event"] == "http_request" && line["status"] == status;
    let mut found = None;
    eventually("it has its line", async || {
        found = process.logs().into_iter().find(is_it);
        found.is_some()
    })
    .await;
    let line = found.expect("a line");
    let trace = line["trace_id"].as_str().expect("a trace").to_owned();
    let spans = collector.wait("the request's own span, which ends last", |spans| {
        let of_it = spans.iter().filter(|span| span.trace_id == trace);
        of_it
            .clone()
            .any(|span| span.kind == 2)
            .then(|| of_it.filter(|span| span.kind == 3).cloned().collect::<Vec<_>>())
    });
    let told = spans.await.into_iter().map(|span| {
        let error = span.attributes.get("error.type").cloned().unwrap_or_default();
        (span.duration.as_secs_f64() * 1000.0, error, span.status)
    });
    let (time, queries) = (line["db_time_ms"].as_f64(), line["db_queries"].as_u64());
    ((time.expect("a time"), queries.expect("a number")), told.collect())
}

async fn traced(ground: &Ground, collector: &Collector) -> Process {
    let builder = ground.builder().env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint);
    builder.env("DATABASE_POOL_SIZE", "1").serve().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_gets_no_connection_is_the_same_in_its_line_its_span_and_its_metric() {
    let Some(_) = Cluster::get() else { return };
    let (ground, collector) = (Ground::new(Backend::Postgres).await, Collector::start(Mode::Healthy).await);
    let process = traced(&ground, &collector).await;
    let (api, admin) = (process.api().await, process.admin().await);
    let ann = api.register("ann").await;
    slow_inserts(ground.storage.postgres(), 3.0);
    let slow = tokio::spawn(ann.post("tasks", json!({"title": "Slow"})).into_future());
    eventually("the connection is used", async || {
        Scrape::of(&admin).await.sum("db_client_connection_count", &[("state", "used")]) == 1.0
    })
    .await;
    refused(ann.get("tasks").await);
    slow.await.expect("no panic").expect(201);
    let ((time, queries), spans) = line_and_spans(&process, &collector, 503).await;
    let waited: Vec<_> = spans.iter().filter(|(_, error, status)| error == "pool_timeout" && *status == 2).collect();
    assert_eq!((waited.len(), spans.len() as u64), (1, queries), "{spans:?}");
    let of_spans: f64 = spans.iter().map(|(milliseconds, ..)| milliseconds).sum();
    assert!(time >= 900.0 && (of_spans - time).abs() < 1.0, "{time} ms in the line, {spans:?}");
    let labels = [("error_type", "pool_timeout")];
    let scrape = Scrape::of(&admin).await;
    let metric = scrape.sum("db_client_operation_duration_seconds_sum", &labels) * 1000.0;
    assert_eq!(scrape.sum("db_client_operation_duration_seconds_count", &labels), 1.0);
    assert!((metric - waited[0].0).abs() < 1.0, "{metric} ms in the metric, {waited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_during_a_read_is_no_failure_of_the_database() {
    let Some(_) = Cluster::get() else { return };
    let (ground, collector) = (Ground::new(Backend::Postgres).await, Collector::start(Mode::Healthy).await);
    let process = traced(&ground, &collector).await;
    let (api, admin) = (process.api().await, process.admin().await);
    let ann = api.register("ann").await;
    let (client, connection) = tokio_postgres::connect(&ground.storage.postgres().url, NoTls).await.expect("a session");
    tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE").await.expect("a lock");
    let mut raw = Raw::connect(&api).await;
    raw.ask("GET", "/api/v1/tasks", &format!("authorization: Bearer {}\r\n", ann.access_token)).await;
    eventually("it reads", async || {
        Scrape::of(&admin).await.sum("db_client_connection_count", &[("state", "used")]) == 1.0
    })
    .await;
    drop(raw);
    let ((_, queries), spans) = line_and_spans(&process, &collector, 499).await;
    client.batch_execute("COMMIT").await.expect("the lock goes");
    let left: Vec<_> = spans.iter().filter(|(_, error, _)| !error.is_empty()).collect();
    assert_eq!((left.len(), spans.len() as u64), (1, queries), "{spans:?}");
    assert_eq!((left[0].1.as_str(), left[0].2), ("cancelled", 0), "no failed span: {spans:?}");
    let scrape = Scrape::of(&admin).await;
    let count = |error: &str| scrape.sum("db_client_operation_duration_seconds_count", &[("error_type", error)]);
    assert_eq!((count("cancelled"), count("timeout")), (1.0, 0.0));
}
