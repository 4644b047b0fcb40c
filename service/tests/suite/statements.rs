//! How many SQL statements each operation sends to PostgreSQL, as the server itself counts them.

use std::time::Duration;

use serde_json::json;
use service::clock::Clock;

use crate::harness::app::Storage;
use crate::harness::client::{PASSWORD, User};
use crate::harness::postgres::{Cluster, Database, migrated};
use crate::harness::{Backend, TestApp};

const CALLS: u64 = 200;
/// PostgreSQL plans a prepared statement for its values five times, and then once for all. One that is prepared anew for each
/// call is planned for each call.
const PLANS_MAX: u64 = 10;

/// A statement as the server counted it.
#[derive(Debug)]
struct Counted {
    calls: u64,
    plans: u64,
    text: String,
}

/// Counts the statements of one database, from another, so that looking is not counted.
struct Counter {
    observer: Database,
    database: String,
}

impl Counter {
    fn of(cluster: &Cluster, database: &Database) -> Self {
        let observer = cluster.create_empty_database();
        observer.psql("CREATE EXTENSION pg_stat_statements");
        Self { observer, database: database.name.clone() }
    }

    fn reset(&self) {
        let oid = format!("(SELECT oid FROM pg_database WHERE datname = '{}')", self.database);
        self.observer.psql(&format!("SELECT pg_stat_statements_reset(0, {oid}, 0)"));
    }

    /// What ran since the reset, but for what opens, ends and sets up.
    fn counted(&self) -> Vec<Counted> {
        let rows = self.observer.psql(&format!(
            "SELECT calls, plans, regexp_replace(query, '\\s+', ' ', 'g') FROM pg_stat_statements s \
             JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = '{}' \
             AND query !~* '^(BEGIN|COMMIT|ROLLBACK|SET|DEALLOCATE|DISCARD)\\M' ORDER BY calls DESC",
            self.database
        ));
        let row = |line: &str| {
            let mut columns = line.splitn(3, '|');
            let mut next = || columns.next().expect("three columns").to_owned();
            Counted { calls: next().parse().expect("a count"), plans: next().parse().expect("a count"), text: next() }
        };
        rows.lines().map(row).collect()
    }

    /// Asserts that one statement ran so often, and no other.
    #[track_caller]
    fn expect_one(&self, operation: &str, calls: u64) -> Counted {
        let mut counted = self.counted();
        assert!(
            counted.len() == 1 && counted[0].calls == calls,
            "{operation}: one statement {calls} times: {counted:#?}"
        );
        counted.remove(0)
    }

    fn total(&self) -> u64 {
        self.counted().iter().map(|statement| statement.calls).sum()
    }
}

/// A service with one connection, whose clock stands still; what it does at its start is done.
async fn start(cluster: &Cluster) -> (TestApp, Counter, Clock, User) {
    let database = migrated(cluster).await;
    for setting in ["pg_stat_statements.track_planning = on", "pg_stat_statements.track = 'top'"] {
        database.psql(&format!("ALTER DATABASE {} SET {setting}", database.name));
    }
    let counter = Counter::of(cluster, &database);
    let clock = Clock::manual("2026-11-20T12:00:00Z".parse().expect("a time"));
    let app = TestApp::builder(Backend::Postgres)
        .storage(Storage::Postgres(database))
        .clock(clock.clone())
        .config(|config| config.database.pool_size = 1)
        .spawn()
        .await;
    let ann = app.register("ann").await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !counter.counted().iter().any(|statement| statement.text.starts_with(LAST_OF_THE_START)) {
        assert!(tokio::time::Instant::now() < deadline, "{:#?}", counter.counted());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (app, counter, clock, ann)
}

/// The service looks through the trash when it starts. This is the last statement of that.
const LAST_OF_THE_START: &str = "DELETE FROM idempotency_keys";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_is_one_statement_prepared_once_and_a_token_is_looked_up_once() {
    let Some(cluster) = Cluster::get() else { return };
    let (app, counter, clock, ann) = start(cluster).await;
    let task = ann.post("tasks", json!({"title": "one"})).await.expect(201).text_at("/id");
    let path = format!("tasks/{task}");

    let login = app.api.post("auth/login", json!({"email": ann.email, "password": PASSWORD})).await.expect(200);
    let again = app.api.with_token(&login.text_at("/access_token"));
    counter.reset();
    for _ in 0..10 {
        again.get(&path).await.expect(200);
    }
    let counted = counter.counted();
    assert_eq!(counted.iter().map(|statement| statement.calls).collect::<Vec<_>>(), [10, 1], "{counted:#?}");
    assert!(counted[1].text.contains("FROM sessions"), "a new token's session is looked up once: {counted:#?}");

    counter.reset();
    for _ in 0..CALLS {
        again.get(&path).await.expect(200);
    }
    let read = counter.expect_one("GET /tasks/{id}", CALLS);
    assert!(read.plans <= PLANS_MAX, "it was planned {} times: is it prepared for each call?", read.plans);

    for (name, path) in [
        ("GET /tasks", "tasks".to_owned()),
        ("GET /tasks?status", format!("tasks?status=todo&project_id={}", ann.personal_project_id)),
        ("GET /tasks/{id}/activity", format!("{path}/activity")),
        ("GET /projects", "projects".to_owned()),
        ("GET /projects/{id}", format!("projects/{}", ann.personal_project_id)),
        ("GET /projects/{id}/members", format!("projects/{}/members", ann.personal_project_id)),
        ("GET /me", "me".to_owned()),
    ] {
        counter.reset();
        for _ in 0..CALLS {
            again.get(&path).await.expect(200);
        }
        let read = counter.expect_one(name, CALLS);
        assert!(read.plans <= PLANS_MAX, "{name} was planned {} times: is it prepared for each call?", read.plans);
    }

    clock.advance(service::auth::tokens::RECHECK.unsigned_abs());
    counter.reset();
    for _ in 0..10 {
        again.get(&path).await.expect(200);
    }
    assert_eq!(counter.total(), 11, "the session is looked up again after a while: {:#?}", counter.counted());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_one_statement_and_a_delete_takes_the_locks_of_its_tree_besides() {
    let Some(cluster) = Cluster::get() else { return };
    let (_app, counter, _, ann) = start(cluster).await;
    let mut tasks = Vec::new();
    counter.reset();
    for number in 0..CALLS {
        let task = json!({"title": format!("task {number}"), "labels": ["a"], "assignee_id": ann.id});
        tasks.push(ann.post("tasks", task).await.expect(201).text_at("/id"));
    }
    counter.expect_one("POST /tasks", CALLS);

    counter.reset();
    for task in &tasks {
        let patch = json!({"status": "done", "title": "renamed", "assignee_id": null});
        ann.patch(&format!("tasks/{task}"), patch).header("if-match", "\"1\"").await.expect(200);
    }
    counter.expect_one("PATCH /tasks/{id}", CALLS);

    counter.reset();
    for task in &tasks {
        ann.delete(&format!("tasks/{task}")).await.expect(204);
    }
    // A delete takes its subtasks along, so it locks the tree first: the lock, then the one statement that does it all.
    assert_eq!(counter.total(), 2 * CALLS, "DELETE /tasks/{{id}}: {:#?}", counter.counted());

    counter.reset();
    for task in &tasks {
        ann.delete(&format!("tasks/{task}?permanent=true")).await.expect(204);
    }
    // For good: the lock, a look that locks the rows, and the delete, which must see what was written until then.
    assert_eq!(counter.total(), 3 * CALLS, "DELETE /tasks/{{id}}?permanent=true: {:#?}", counter.counted());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_creates_is_one_statement_however_many_they_are() {
    let Some(cluster) = Cluster::get() else { return };
    let (_app, counter, _, ann) = start(cluster).await;
    let batch = |creates: usize, refused: usize| {
        let create = |at| match at < refused {
            true => json!({"op": "create", "task": {"title": "t", "assignee_id": uuid::Uuid::now_v7()}}),
            false => {
                json!({"op": "create", "task": {"title": "t", "labels": vec!["l"; at % 2], "assignee_id": ann.id}})
            }
        };
        json!({"operations": (0..creates).map(create).collect::<Vec<_>>()})
    };
    counter.reset();
    for creates in 81..=100 {
        ann.post("tasks/batch", batch(creates, 0)).await.expect(207);
    }
    let import = counter.expect_one("POST /tasks/batch", 20);
    assert!(import.plans <= PLANS_MAX, "it was planned {} times: is it prepared for each call?", import.plans);

    for (name, key, refused, statements) in [("with a key", true, 0, 3), ("with three refused", false, 3, 4)] {
        counter.reset();
        for number in 0..10 {
            let mut post = ann.post("tasks/batch", batch(100, refused));
            if key {
                post = post.header("idempotency-key", format!("key-{number}"));
            }
            post.await.expect(207);
        }
        // The claim, the creates, the answer; or the creates, and then each that was left out.
        assert_eq!(counter.total(), 10 * statements, "a batch {name}: {:#?}", counter.counted());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letting_somebody_in_takes_two_statements_at_most() {
    let Some(cluster) = Cluster::get() else { return };
    let (app, counter, _, ann) = start(cluster).await;
    let mut token = ann.refresh_token.clone();
    for (name, statements_max) in [("login", 2), ("refresh", 2), ("logout", 2)] {
        counter.reset();
        for _ in 0..10 {
            match name {
                "login" => {
                    let login = json!({"email": ann.email, "password": PASSWORD});
                    token = app.api.post("auth/login", login).await.expect(200).text_at("/refresh_token");
                }
                "refresh" => {
                    let refresh = json!({"refresh_token": token});
                    token = app.api.post("auth/refresh", refresh).await.expect(200).text_at("/refresh_token");
                }
                _ => drop(app.api.post("auth/logout", json!({"refresh_token": token})).await.expect(204)),
            }
        }
        let total = counter.total();
        assert!((1..=10 * statements_max).contains(&total), "10 times {name}: {:#?}", counter.counted());
    }
}

/// Nobody can fill the memory of a connection: what is planned for its values is not kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_that_are_planned_for_their_values_are_planned_for_each_call() {
    let Some(cluster) = Cluster::get() else { return };
    let (_app, counter, _, ann) = start(cluster).await;
    for query in ["label=bug", "q=word", "status=todo&priority=high", "status=todo&label=bug"] {
        counter.reset();
        for _ in 0..20 {
            ann.get(&format!("tasks?{query}")).await.expect(200);
        }
        let list = counter.expect_one(query, 20);
        assert_eq!(list.plans, 20, "{query}");
    }
}
