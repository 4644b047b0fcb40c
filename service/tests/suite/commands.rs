//! What `task-api` does beside serving: migrations on either backend, the OpenAPI document.

use std::time::Duration;

use serde_json::{Value, json};
use service::http::openapi;

use super::given::titles;
use crate::harness::app::Storage;
use crate::harness::ground::Ground;
use crate::harness::postgres::{Cluster, Database};
use crate::harness::process::{Process, Serving, task_api};
use crate::harness::sqlite::Fresh;
use crate::harness::{Backend, on_both_backends};

const SOON: Duration = Duration::from_secs(60);

/// A database without any table.
fn empty(backend: Backend) -> Ground {
    let storage = match backend {
        Backend::Sqlite => Storage::Sqlite(Fresh::new()),
        Backend::Postgres => Storage::Postgres(Cluster::get().expect("the macro asked").create_empty_database()),
    };
    Ground { storage }
}

fn migrate(ground: &Ground, action: &[&str]) -> Process {
    action.iter().fold(ground.builder().arg("migrate"), |builder, word| builder.arg(word)).start()
}

/// Runs it and reads its three lines: changed, applied, pending.
async fn report(mut process: Process) -> [String; 3] {
    assert!(process.wait(SOON).await.success(), "{}", process.output());
    assert!(process.errors().is_empty(), "{:?}", process.errors());
    let output = process.output();
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines.len(), 3, "{output}");
    let value = |at: usize, name: &str| {
        lines[at].strip_prefix(&format!("{name}: ")).unwrap_or_else(|| panic!("no {name} in {output}")).to_owned()
    };
    [value(0, "changed"), value(1, "applied"), value(2, "pending")]
}

on_both_backends! {
    async fn migrations_go_up_and_down_and_up_again(backend: Backend) {
        let ground = empty(backend);
        let [changed, applied, pending] = report(migrate(&ground, &["status"])).await;
        assert_eq!((&*changed, &*applied), ("none", "none"));
        assert_ne!(pending, "none");
        assert_eq!(report(migrate(&ground, &[])).await, [pending.clone(), pending.clone(), "none".into()], "up is the default");
        assert_eq!(report(migrate(&ground, &["up"])).await, ["none".into(), pending.clone(), "none".into()]);
        let process = ground.builder().serve().await;
        process.api().await.register("ann").await;
        drop(process);
        let newest = pending.rsplit(", ").next().unwrap_or_default().to_owned();
        let [changed, _, now_pending] = report(migrate(&ground, &["down"])).await;
        assert_eq!((&changed, &now_pending), (&newest, &newest));
        report(migrate(&ground, &["up"])).await;
        let process = ground.builder().serve().await;
        process.api().await.register("ann").await;
    }

    async fn down_to_nothing_leaves_nothing(backend: Backend) {
        let ground = empty(backend);
        report(migrate(&ground, &["up"])).await;
        loop {
            let [changed, applied, _] = report(migrate(&ground, &["down"])).await;
            if applied == "none" {
                assert_ne!(changed, "none");
                break;
            }
        }
        assert_eq!(report(migrate(&ground, &["down"])).await[0], "none", "there is nothing left to take back");
        let left = match backend {
            Backend::Sqlite => {
                "SELECT count(*) AS answer FROM sqlite_schema WHERE name NOT LIKE '\\_\\_diesel%' ESCAPE '\\' AND name NOT LIKE 'sqlite%'"
            }
            Backend::Postgres => {
                "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> '__diesel_schema_migrations'"
            }
        };
        assert_eq!(ground.count(left), 0);
    }

    async fn eight_migrations_at_once_apply_once(backend: Backend) {
        for _ in 0..5 {
            let ground = empty(backend);
            let running: Vec<_> = (0..8).map(|_| migrate(&ground, &["up"])).collect();
            let mut changed = 0;
            for process in running {
                let [changes, applied, pending] = report(process).await;
                assert_eq!(pending, "none");
                changed += usize::from(changes == applied);
            }
            assert_eq!(changed, 1, "one of them did it, the others waited and found it done");
        }
    }

    async fn a_database_that_is_not_migrated_is_not_ready(backend: Backend) {
        let ground = empty(backend);
        let process = ground.builder().env("AUTO_MIGRATE", "false").serve().await;
        let api = process.api().await;
        assert!(api.get("/ready").await.expect(503).text.contains("migrate"));
        api.get("/health").await.expect(200);
        report(migrate(&ground, &["up"])).await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        api.get("/ready").await.expect(200);
        api.register("ann").await;
    }

    async fn auto_migrate_applies_at_the_start(backend: Backend) {
        let ground = empty(backend);
        let process = ground.builder().env("AUTO_MIGRATE", "true").serve().await;
        process.api().await.register("ann").await;
        assert!(process.logs().iter().any(|line| line["event"] == "migrated"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_without_its_database_ends_with_1_and_one_line() {
    for url in ["postgres://user:planted@127.0.0.1:1/tasks", "sqlite:///dev/null/tasks.db"] {
        let mut process = task_api().env("DATABASE_URL", url).arg("migrate").start();
        assert_eq!(process.wait(SOON).await.code(), Some(1), "{}", process.output());
        let output = process.output();
        assert_eq!(output.lines().count(), 1, "{output}");
        assert!(output.starts_with("task-api: ") && !output.contains("planted"), "{output}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_is_printed_and_nothing_else_is_touched() {
    let mut process = task_api().arg("openapi").start();
    assert!(process.wait(SOON).await.success());
    let document: Value = serde_json::from_str(&process.output()).expect("JSON");
    assert_eq!(document["openapi"].as_str().map(|version| &version[..4]), Some("3.1."));
    assert_eq!(process.output().trim_end(), openapi::json().trim_end(), "the one that is served");
    let left = std::fs::read_dir(process.directory.path()).expect("the folder").count();
    assert_eq!(left, 0, "no database for a document");
}

/// How the column of words is made, as PostgreSQL tells it, and the file that the table is in.
fn words_column(database: &Database) -> (String, String) {
    let made = "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum \
                WHERE adrelid = 'tasks'::regclass AND attname = 'search'";
    (database.psql(made), database.psql("SELECT pg_relation_filenode('tasks')"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_with_tasks_is_not_written_anew_and_has_the_same_words() {
    let Some(cluster) = Cluster::get() else { return };
    let ground = Ground { storage: Storage::Postgres(cluster.create_empty_database()) };
    let Storage::Postgres(database) = &ground.storage else { unreachable!("it was made so") };
    report(migrate(&ground, &["up"])).await;
    let (cheaper, _) = words_column(database);
    loop {
        let [changed, ..] = report(migrate(&ground, &["down"])).await;
        assert_ne!(changed, "none", "the migration is gone");
        if changed.replace('-', "").starts_with("20261128000000") {
            break;
        }
    }
    let (as_it_was, _) = words_column(database);
    assert!(cheaper.contains("regexp_replace") && as_it_was.contains("translate"), "{cheaper}\n{as_it_was}");

    let process = ground.builder().env("AUTO_MIGRATE", "false").serve().await;
    let ann = process.api().await.register("ann").await;
    ann.post("tasks", json!({"title": "deploy/prod"})).await.expect(201);
    let before = words_column(database);
    report(migrate(&ground, &["up"])).await;
    assert_eq!(words_column(database), before, "it was written anew");
    assert_eq!(titles(&ann, "q=prod").await, ["deploy/prod"]);

    // Few letters and all the marks, so that they make addresses, paths, numbers and tags.
    let random = "(SELECT string_agg(substr('abcde1é </.-_@:&=?#+~%>;''', 1 + floor(random() * 26)::int, 1), '') \
                  FROM generate_series(1, 60 + number * 0))";
    let texts =
        format!("SELECT {random} AS title, {random} AS description FROM generate_series(1, 3000) AS number OFFSET 0");
    let differ = format!("SELECT count(*) FROM ({texts}) AS texts WHERE ({cheaper}) IS DISTINCT FROM ({as_it_was})");
    assert_eq!(database.psql(&format!("SELECT setseed(0.5); {differ}")).lines().last(), Some("0"));
}
