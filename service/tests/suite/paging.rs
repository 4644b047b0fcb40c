//! Pages while others write: what was there throughout and was not touched is seen exactly once; and cursors that are not of the list.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use super::given::{path, task, walk};
use super::harness::client::{Api, User};
use super::harness::{TestApp, on_both_backends};

const WRITERS: usize = 4;
const KEPT: usize = 30;
/// Writes without which hardly anything was disturbed, and walks after which they should have come.
const WRITES_MIN: usize = 100;
const ROUNDS_MAX: usize = 50;
/// Writes after which a walk that they prolong comes to its end.
const WRITES_MAX: usize = 1_000;

/// Whether a task belongs to a walk.
type Belongs = fn(&Value) -> bool;

/// What is walked, and which of the tasks that nobody touches belong to it.
const WALKS: [(&str, Belongs); 8] = [
    ("sort=created_at", |_| true),
    ("sort=-created_at", |_| true),
    ("sort=due_at", |_| true),
    ("sort=-due_at", |_| true),
    ("sort=-priority", |_| true),
    ("sort=-priority&status=todo", |task| task["status"] == "todo"),
    ("sort=created_at&label=even", |task| task["labels"] == json!(["even"])),
    ("sort=created_at&q=kept", |_| true),
];

/// Fields of a task, different in all that lists sort and filter by.
fn fields(kind: &str, number: usize) -> Value {
    let due_at = if number.is_multiple_of(3) {
        json!(null)
    } else {
        json!(format!("2026-12-{:02}T00:00:00Z", 1 + number * 7 % 28))
    };
    let status = ["todo", "in_progress", "done"][number % 3];
    let priority = ["low", "medium", "high", "urgent"][number % 4];
    let labels = if number.is_multiple_of(2) { json!(["even"]) } else { json!([]) };
    let title = format!("{kind} {number}");
    json!({"title": title, "due_at": due_at, "status": status, "priority": priority, "labels": labels})
}

/// Puts tasks between the others, moves them about in every order, and takes them away, until it is told to stop.
async fn disturb(ann: User, writer: usize, total: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    let mut own: Vec<Value> = Vec::new();
    let mut writes = 0;
    while !stop.load(Ordering::Relaxed) && total.load(Ordering::Relaxed) < WRITES_MAX {
        let number = writer + writes * WRITERS;
        match writes % 4 {
            0 | 1 => own.push(task(&ann, fields("passing", number)).await),
            2 => {
                let mut patch = fields("moved", number * 5 + 1);
                patch.as_object_mut().expect("an object").remove("title");
                let moved = &own[writes / 2 % own.len()];
                ann.patch(&path(moved), patch).await.expect(200);
            }
            _ => {
                let gone = own.swap_remove(writes % own.len());
                ann.delete(&path(&gone)).await.expect(204);
            }
        }
        writes += 1;
        total.fetch_add(1, Ordering::Relaxed);
    }
}

async fn walk_undisturbed(ann: &Api, kept: &[Value], query: &str, limit: usize, belongs: fn(&Value) -> bool) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for item in walk(ann, &format!("{query}&limit={limit}")).await {
        *seen.entry(item["id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    for task in kept {
        let times = seen.get(task["id"].as_str().unwrap_or_default()).copied().unwrap_or(0);
        let expected = usize::from(belongs(task));
        assert_eq!(times, expected, "{} in tasks?{query}, by {limit}", task["title"]);
    }
}

on_both_backends! {
    async fn what_nobody_touches_is_seen_exactly_once_while_others_write(app: TestApp) {
        let ann = app.register("ann").await;
        let mut kept = Vec::new();
        for number in 0..KEPT {
            kept.push(task(&ann, fields("kept", number)).await);
        }
        let (total, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let writer = |writer| tokio::spawn(disturb(ann.clone(), writer, Arc::clone(&total), Arc::clone(&stop)));
        let writers: Vec<_> = (0..WRITERS).map(writer).collect();
        let mut runner =
            TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        for round in 0..ROUNDS_MAX {
            for (query, belongs) in WALKS {
                let limit = (1_usize..8).new_tree(&mut runner).expect("a number").current();
                walk_undisturbed(&ann, &kept, query, limit, belongs).await;
            }
            if round > 0 && total.load(Ordering::Relaxed) >= WRITES_MIN {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.expect("a writer's requests succeed");
        }
        assert!(total.load(Ordering::Relaxed) >= WRITES_MIN, "hardly anything was disturbed");
    }

    async fn a_page_begins_where_the_one_before_ended_though_its_last_row_is_gone(app: TestApp) {
        let ann = app.register("ann").await;
        let mut made = Vec::new();
        for number in 0..6 {
            made.push(task(&ann, json!({"title": number.to_string()})).await);
        }
        let page = ann.get("tasks?sort=created_at&limit=3").await.expect(200);
        ann.delete(&path(&made[2])).await.expect(204);
        ann.patch(&path(&made[3]), json!({"title": "3, touched"})).await.expect(200);
        let next = format!("sort=created_at&limit=9&cursor={}", page.text_at("/next_cursor"));
        assert_eq!(super::given::titles(&ann, &next).await, ["3, touched", "4", "5"]);
    }

    async fn tasks_of_the_same_moment_are_each_on_one_page(app: TestApp) {
        let ann = app.register("ann").await;
        let create = |number: usize| json!({"op": "create", "task": {"title": number.to_string(), "due_at": "2026-12-01T00:00:00Z"}});
        let operations: Vec<Value> = (0..25).map(create).collect();
        ann.post("tasks/batch", json!({"operations": operations, "atomic": true})).await.expect(200);
        for sort in ["created_at", "-created_at", "updated_at", "-updated_at", "due_at", "-due_at", "priority", "-priority"] {
            let mut ids: Vec<String> = walk(&ann, &format!("sort={sort}&limit=4")).await.iter().map(|task| task["id"].to_string()).collect();
            assert_eq!(ids.len(), 25, "{sort}");
            assert!(ids.is_sorted() || ids.iter().rev().is_sorted(), "{sort}: ties go by id");
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), 25, "{sort}");
        }
    }

    async fn a_cursor_of_elsewhere_is_refused(app: TestApp) {
        let (ann, eve) = (app.register("ann").await, app.register("eve").await);
        for user in [&ann, &eve] {
            for number in 0..4 {
                task(user, json!({"title": number.to_string()})).await;
            }
        }
        let cursor = ann.get("tasks?limit=1&sort=created_at&status=todo").await.expect(200).text_at("/next_cursor");
        let list = |query: &str| format!("tasks?{query}&cursor={cursor}");
        ann.get(&list("sort=created_at&status=todo")).await.expect(200);
        ann.get(&list("limit=3&status=todo&sort=created_at")).await.expect(200);
        for other in [
            "sort=-created_at&status=todo", "sort=due_at&status=todo", "sort=created_at&status=done", "sort=created_at",
            "status=todo", "limit=1", "sort=created_at&status=todo&label=x",
        ] {
            ann.get(&list(other)).await.problem(400, "invalid-cursor");
        }
        eve.get(&list("sort=created_at&status=todo")).await.problem(400, "invalid-cursor");
        for elsewhere in ["projects", &format!("projects/{}/members", ann.personal_project_id)] {
            ann.get(&format!("{elsewhere}?cursor={cursor}")).await.problem(400, "invalid-cursor");
        }
    }

    async fn a_cursor_that_was_altered_is_refused(app: TestApp) {
        let ann = app.register("ann").await;
        for number in 0..3 {
            task(&ann, json!({"title": number.to_string()})).await;
        }
        let cursor = ann.get("tasks?limit=1").await.expect(200).text_at("/next_cursor");
        ann.get(&format!("tasks?cursor={cursor}")).await.expect(200);
        let mut altered: Vec<String> = (0..cursor.len())
            .map(|at| {
                let other = if cursor.as_bytes()[at] == b'A' { "B" } else { "A" };
                format!("{}{other}{}", &cursor[..at], &cursor[at + 1..])
            })
            .collect();
        altered.extend(["", "x", "null", "%00", "%FF", "..", "=", "%F0%9F%9A%80"].map(str::to_owned));
        altered.extend([cursor[1..].to_owned(), format!("{cursor}="), format!("{cursor}A"), cursor.repeat(20)]);
        for altered in altered {
            let reply = ann.get(&format!("tasks?cursor={altered}")).await;
            assert!(reply.status == 400, "{altered}\n{reply}");
        }
    }
}
