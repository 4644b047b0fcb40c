//! Parts of the service that a request passes: tokens, cursors, problems, the list's statement, a page as JSON.
#![expect(clippy::expect_used, reason = "a bench whose ground does not hold must not measure anything")]

use std::hint::black_box;
use std::time::Duration;

use axum::response::IntoResponse as _;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use service::auth::keys::Keys;
use service::auth::tokens::{self, Tokens};
use service::config::Secret;
use service::http::cursor::{Cursors, Scope};
use service::http::json::{WriteJson as _, WrittenJson};
use service::http::problem::{FieldError, Problem};
use service::store::tasks::{Direction, Filter, Key, Listed, Order, Sort, WrittenTasks};
use service::tasks::list::TaskPage;
use service::tasks::model::{Priority, Status, Task};
use uuid::Uuid;

const NEWEST_FIRST: Order = Order { sort: Sort::CreatedAt, direction: Direction::Descending };

fn secret() -> Secret {
    Secret::new("a key of at least 32 bytes, for benches")
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("a time")
}

fn task() -> Task {
    let labels = serde_json::from_value(serde_json::json!(["release", "this week"])).expect("labels");
    Task {
        id: Uuid::now_v7(),
        project_id: Uuid::now_v7(),
        parent_id: None,
        title: "A task of the usual length".into(),
        description: Some("Two lines that say what is to be done.\nThe second of them.".into()),
        status: Status::InProgress,
        priority: Priority::High,
        labels,
        assignee_id: Some(Uuid::now_v7()),
        due_at: Some(now()),
        completed_at: None,
        created_by: Uuid::now_v7(),
        created_at: now(),
        updated_at: now(),
        version: 3,
    }
}

fn token_verification(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("access token");
    group.throughput(Throughput::Elements(1));
    let (tokens, now) = (Tokens::new(&secret(), None), now());
    let token = tokens.access(Uuid::now_v7(), Uuid::now_v7(), now, false).expect("a token");
    let principal = tokens.verify(&token, now).expect("it is good");
    tokens.remember(tokens::hash(&token), principal, now, tokens.begin_look());
    group.bench_function("hit: remembered", |bencher| {
        bencher.iter(|| tokens.remembered(&tokens::hash(black_box(&token)), now).expect("remembered"));
    });
    group.bench_function("miss: signature and claims", |bencher| {
        bencher.iter(|| tokens.verify(black_box(&token), now).expect("good"));
    });
    let forged = format!("{}x", &token[..token.len() - 1]);
    group.bench_function("forged", |bencher| {
        bencher.iter(|| assert!(tokens.verify(black_box(&forged), now).is_none()));
    });
    group.finish();
}

fn problems(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("problem");
    group.throughput(Throughput::Elements(1));
    group.bench_function("not found", |bencher| bencher.iter(|| Problem::not_found("task").into_response()));
    group.bench_function("three fields at fault", |bencher| {
        let error = |pointer| FieldError::new(pointer, "takes 1 to 200 characters");
        bencher.iter(|| Problem::invalid_body(["/title", "/labels/0", "/due_at"].map(error).into()).into_response());
    });
    group.finish();
}

fn cursors(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cursor");
    group.throughput(Throughput::Elements(1));
    let cursors = Cursors(Keys::new(&secret(), None, "cursor"));
    let scope = Scope::new(Uuid::now_v7(), "tasks", "status=todo");
    let key = Key::of(&task(), Sort::CreatedAt);
    let cursor = cursors.seal(scope, key);
    group.bench_function("encode", |bencher| bencher.iter(|| cursors.seal(scope, black_box(key))));
    group.bench_function("decode", |bencher| bencher.iter(|| cursors.open(scope, black_box(&cursor)).expect("ours")));
    group.finish();
}

fn statements(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("filter to SQL");
    group.throughput(Throughput::Elements(1));
    let user_id = Uuid::now_v7();
    let narrow = Filter {
        project_id: Some(Uuid::now_v7()),
        status: Some(Status::Todo),
        words: Some(vec!["paint".into(), "house".into()]),
        ..Filter::default()
    };
    let after = Some(Key::of(&task(), Sort::CreatedAt));
    for (backend, sqlite) in [("PostgreSQL", false), ("SQLite", true)] {
        for (name, filter, after) in
            [("first page", Filter::default(), None), ("filtered, behind a cursor", narrow.clone(), after)]
        {
            group.bench_function(format!("{backend}, {name}"), |bencher| {
                bencher.iter(|| filter.sql(sqlite, user_id, NEWEST_FIRST, black_box(after), 50).expect("a statement"));
            });
        }
    }
    group.finish();
}

/// As a list on PostgreSQL makes it.
fn page(tasks: &[Task]) -> WrittenJson<TaskPage> {
    let mut items = WrittenTasks::default();
    for task in tasks {
        let mut json = Vec::with_capacity(task.bytes_hint());
        task.write_json(&mut json);
        items.push(&json, task.into());
    }
    WrittenJson(TaskPage { items: Listed::Written(items), next_cursor: None })
}

fn pages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tasks to JSON");
    for number in [1_usize, 50, 200] {
        let tasks = vec![task(); number];
        group.throughput(Throughput::Elements(number as u64));
        group.bench_function(format!("page of {number}"), |bencher| {
            bencher.iter(|| page(black_box(&tasks)).into_response());
        });
    }
    group.finish();
}

criterion_group! {
    name = parts;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = token_verification, problems, cursors, statements, pages
}
criterion_main!(parts);
