//! Scenes of a service that serves: ordinary use, too much of it, a database and destinations that fail.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::seen::Seen;
use crate::harness::Backend;
use crate::harness::client::PASSWORD;
use crate::harness::collector::{Collector, Mode};
use crate::harness::ground::Ground;
use crate::harness::postgres::Cluster;
use crate::harness::process::{Process, Serving, task_api};
use crate::harness::proxy::Proxy;
use crate::harness::raw::Raw;
use crate::harness::scrape::Scrape;
use crate::harness::sentry;
use crate::signals::drive::Drive;
use crate::traces::break_tasks;

/// Looks again and again until the metric is at least this; everything that is seen on the way counts.
pub async fn until(seen: &Seen, process: &Process, name: &str, labels: &[(&str, &str)], least: f64) -> Scrape {
    let deadline = Instant::now() + super::SOON;
    loop {
        let scrape = seen.look(process).await;
        if scrape.sum(name, labels) >= least {
            return scrape;
        }
        assert!(Instant::now() < deadline, "{name} {labels:?} never {least}\n{}", process.output());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const SYNTHETIC_SECRET: &str = "a-secret-of-the-canary-of-at-least-32-bytes";

const REJECTED: &str = "http_server_rejected_requests_total";

/// Every route, every failure that a client can bring about, and one that it cannot.
pub async fn served(seen: &Seen, backend: Backend) {
    let ground = Ground::new(backend).await;
    let collector = Collector::start(Mode::Healthy).await;
    let builder = ground.builder().env("REQUEST_TIMEOUT_MS", "8000").env("SYNTHETIC_SECRET", SYNTHETIC_SECRET);
    let process = builder.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint).serve().await;
    let drive = Drive::of(&process).await;
    let ann = drive.succeed().await;
    drive.fail(&ann).await;
    let refresh = async |token: &str| drive.api.post("auth/refresh", json!({ "refresh_token": token })).await;
    let second = refresh(&ann.refresh_token).await.expect(200).text_at("/refresh_token");
    refresh(&second).await.expect(200);
    refresh(&ann.refresh_token).await.expect(401);
    for method in ["CONNECT", "TRACE"] {
        let mut raw = Raw::connect(&drive.api).await;
        raw.ask(method, "/health", "").await;
        assert!(raw.reply().await.expect("an answer").status >= 400);
    }
    drive.admin.request(Method::PUT, "/log-level").body("text/plain", "info").await.expect(200);
    for synthetic in ["canary", "load"] {
        let login = drive.api.post("auth/login", json!({ "email": ann.email, "password": PASSWORD }));
        let login = login.header("x-synthetic-secret", SYNTHETIC_SECRET).header("x-synthetic", synthetic);
        login.await.expect(200);
    }
    let bob = drive.api.register("bob").await;
    bob.post("tasks", json!({"title": "Listed twice"})).await.expect(201);
    for _ in 0..2 {
        bob.get("tasks").await.expect(200);
    }
    match ground.sqlite() {
        Some(file) => file.connect().batch_execute("ALTER TABLE tasks RENAME TO gone").expect("a renamed table"),
        None => drop(ground.storage.postgres().psql("ALTER TABLE tasks RENAME TO gone")),
    }
    bob.get("tasks").await.problem(500, "internal");
    seen.end(process).await;
    seen.spans(&collector);
}

/// More requests and connections than are taken, and headers that never end.
pub async fn overloaded(seen: &Seen) {
    let builder = task_api().env("MAX_IN_FLIGHT", "1").env("QUEUE_TIMEOUT_MS", "1500");
    let builder = builder.env("MAX_CONNECTIONS", "4").env("HEADER_TIMEOUT_MS", "300");
    let process = builder.serve().await;
    let api = process.api().await;
    let ann = api.register("ann").await;
    let mut slow = Raw::connect(&api).await;
    let token = &ann.access_token;
    let head = format!("POST /api/v1/tasks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n");
    slow.send(format!("{head}content-type: application/json\r\ncontent-length: 100\r\n\r\n{{")).await;
    until(seen, &process, "http_server_active_requests", &[], 1.0).await;
    let waits = async { ann.get("tasks").await.problem(503, "overloaded") };
    tokio::join!(waits, until(seen, &process, "http_server_queued_requests", &[], 1.0));
    let mut half = Raw::connect(&api).await;
    half.send("GET / HTTP/1.1\r\nhost: ").await;
    until(seen, &process, REJECTED, &[("reason", "header_timeout")], 1.0).await;
    let mut more = Vec::new();
    for _ in 0..8 {
        more.extend(Raw::try_connect(&api).await);
    }
    until(seen, &process, REJECTED, &[("reason", "connection_limit")], 1.0).await;
    drop((slow, half, more));
    seen.end(process).await;
}

/// A user who asks too often.
pub async fn rate_limited(seen: &Seen) {
    let process = task_api().env("RATE_LIMIT_PER_SECOND", "1").serve().await;
    let ann = process.api().await.register("ann").await;
    while ann.get("me").await.status != 429 {}
    seen.end(process).await;
}

/// A writer of another program that holds the file, and more logins than are hashed.
pub async fn locked_and_stormed(seen: &Seen) {
    let ground = Ground::new(Backend::Sqlite).await;
    let process = ground.builder().serve().await;
    let api = process.api().await;
    let ann = api.register("ann").await;
    let login = json!({"email": ann.email, "password": PASSWORD});
    let storm = (0..160).map(|_| api.post("auth/login", login.clone()).into_future());
    let refused = join_all(storm).await.iter().filter(|reply| reply.status == 503).count();
    assert!(refused > 0, "every login was hashed");
    let mut holder = ground.sqlite().expect("a file").connect();
    holder.batch_execute("BEGIN IMMEDIATE").expect("the write lock");
    // The first waits for the lock, the second for the first's connection.
    let writes = (0..2).map(|_| ann.post("tasks", json!({"title": "Late"})).into_future());
    join_all(writes).await.into_iter().for_each(|reply| drop(reply.problem(503, "database-unavailable")));
    holder.batch_execute("ROLLBACK").expect("the lock goes");
    until(seen, &process, REJECTED, &[("reason", "database_busy")], 1.0).await;
    seen.end(process).await;
}

/// PostgreSQL that is away at the start, ends a session, refuses to serialize, takes too long.
pub async fn failing_database(seen: &Seen) {
    let ground = Ground::new(Backend::Postgres).await;
    let database = ground.storage.postgres();
    database.psql(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             CASE new.title
                 WHEN 'gone' THEN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(9);
                 WHEN 'conflict' THEN RAISE EXCEPTION 'could not serialize' USING ERRCODE = 'serialization_failure';
                 ELSE PERFORM pg_sleep(9);
             END CASE;
             RETURN new;
         END $$;
         CREATE TRIGGER fail BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION fail()",
    );
    let mut proxy = Proxy::start(Cluster::get().expect("asked before").address()).await;
    proxy.cut().await;
    let builder = ground.builder().env("DATABASE_URL", database.url_through(proxy.address()));
    let process = builder.serve().await;
    let api = process.api().await;
    process.log("database_connection_failed").await;
    proxy.restore();
    while api.get("/ready").await.status != 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ann = api.register("ann").await;
    ann.post("tasks", json!({"title": "conflict"})).await.problem(503, "database-unavailable");
    let slow = ann.post("tasks", json!({"title": "slow"})).into_future();
    let busy = until(seen, &process, "db_client_connection_count", &[("state", "used")], 1.0);
    let (slow, _) = tokio::join!(slow, busy);
    slow.problem(503, "database-unavailable");
    proxy.blackhole();
    let left = tokio::spawn(ann.get("tasks").into_future());
    until(seen, &process, "db_client_connection_count", &[("state", "used")], 1.0).await;
    left.abort();
    let cancelled = [("db_operation_name", "task.list"), ("error_type", "cancelled")];
    until(seen, &process, "db_client_operation_duration_seconds_count", &cancelled, 1.0).await;
    proxy.restore();
    // Last: for a moment the pool may lend the dead session again.
    ann.post("tasks", json!({"title": "gone"})).await.problem(503, "database-unavailable");
    let failed = seen.look(&process).await;
    for error in ["unavailable", "conflict", "timeout"] {
        let labels = [("db_operation_name", "task.create"), ("error_type", error)];
        assert_eq!(failed.sum("db_client_operation_duration_seconds_count", &labels), 1.0, "{error}");
    }
    seen.end(process).await;
}

/// A collector and a Sentry that take nothing, some of it, all of it, and ask for a pause.
pub async fn failing_collectors(seen: &Seen) {
    let collector = Collector::start(Mode::Unavailable).await;
    let sentry = sentry::Receiver::start(sentry::Mode::Healthy).await;
    let builder = task_api().env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint).env("SENTRY_DSN", &sentry.dsn);
    let process = builder.env("OTEL_EXPORTER_OTLP_TIMEOUT", "500").serve().await;
    let ann = process.api().await.register("ann").await;
    let dropped = [("signal", "trace"), ("reason", "export_failed")];
    until(seen, &process, "telemetry_dropped_total", &dropped, 1.0).await;
    collector.set(Mode::Partial(1));
    ann.get("me").await.expect(200);
    let dropped = [("signal", "trace"), ("reason", "rejected")];
    until(seen, &process, "telemetry_dropped_total", &dropped, 1.0).await;
    collector.set(Mode::Healthy);
    break_tasks(&process);
    for (mode, result) in
        [(sentry::Mode::Healthy, "sent"), (sentry::Mode::Broken, "failed"), (sentry::Mode::Throttling, "rate_limited")]
    {
        sentry.set(mode);
        ann.get("tasks").await.expect(500);
        until(seen, &process, "sentry_events_total", &[("result", result)], 1.0).await;
    }
    until(seen, &process, "telemetry_last_success_seconds", &[("signal", "trace")], 1.0).await;
    seen.end(process).await;
    seen.spans(&collector);
}
