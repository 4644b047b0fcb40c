//! A batch of nothing but plain creates, which PostgreSQL does in one statement: it does what as many single creates do.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use uuid::Uuid;

use super::given::{self, app_at_noon, path, shared_project, task, walk};
use super::harness::client::{Api, User};
use super::harness::reply::Reply;
use super::harness::{Backend, TestApp, on_both_backends};

const LABELS: [&str; 14] = [
    "bug",
    "NULL",
    "null",
    "{}",
    "{a,b}",
    "a\"b",
    "\\",
    "a\\\"b",
    " between ",
    "x,y",
    "'",
    "漢字 🚀",
    "line\nline",
    "\t|",
];

fn creates(tasks: &[Value]) -> Value {
    tasks.iter().map(|task| json!({"op": "create", "task": task})).collect()
}

async fn batch(api: &Api, atomic: bool, tasks: &[Value]) -> Reply {
    api.post("tasks/batch", json!({"atomic": atomic, "operations": creates(tasks)})).await
}

fn statuses(reply: &Reply) -> Vec<u64> {
    let results = reply.at("/results").as_array().expect("results");
    results.iter().map(|result| result["status"].as_u64().expect("a status")).collect()
}

/// 100 tasks that differ in every field; `project` is shared by Ann and Bob.
fn mixed(ann: &User, bob: &User, project: &str) -> Vec<Value> {
    let task = |n: usize| {
        let mut task = json!({"title": format!("task {n} \"quoted\" äöü \\ {{}}")});
        let mut set = |field: &str, when: bool, value: Value| {
            if when {
                task[field] = value;
            }
        };
        set("project_id", n.is_multiple_of(3), json!(project));
        set("project_id", n % 3 == 1, json!(ann.personal_project_id));
        set("description", n.is_multiple_of(2), json!("long ".repeat(n)));
        set("status", !n.is_multiple_of(7), json!(["todo", "in_progress", "blocked", "done", "cancelled"][n % 5]));
        set("priority", !n.is_multiple_of(6), json!(["low", "medium", "high", "urgent"][n % 4]));
        set("labels", !n.is_multiple_of(5), (0..n % 9).map(|at| LABELS[(n + at) % LABELS.len()]).collect());
        set("assignee_id", n.is_multiple_of(4), json!(ann.id));
        set("assignee_id", n % 6 == 3, json!(bob.id)); // in the shared project
        set("due_at", n % 5 < 2, json!(format!("20{:02}-02-28T23:59:59.{n:06}Z", n % 99)));
        set("parent_id", n.is_multiple_of(11), Value::Null);
        task
    };
    (0..100).map(task).collect()
}

/// What two tasks that were made alike share.
fn without_id(mut task: Value) -> Value {
    task.as_object_mut().expect("a task").remove("id").expect("an id");
    task
}

async fn activity(api: &Api, task: &Value) -> Vec<Value> {
    let page = api.get(&format!("{}/activity", path(task))).await.expect(200);
    page.at("/items").as_array().expect("entries").iter().cloned().map(without_id).collect()
}

async fn counters(app: &TestApp) -> (u64, u64) {
    (given::counter(app, "tasks_created_total").await, given::counter(app, "tasks_completed_total").await)
}

/// A task that cannot be created, or was before, and the status of its result.
struct Case {
    name: &'static str,
    task: Value,
    status: u16,
}

/// Ann edits a project, only sees another, and has a task; Eve has one too.
struct Cast {
    ann: User,
    project: String,
    cases: Vec<Case>,
}

impl Cast {
    async fn of(app: &TestApp) -> Cast {
        let (ann, bob, eve) = (app.register("ann").await, app.register("bob").await, app.register("eve").await);
        let project = shared_project(&bob, &[(&ann, "editor")]).await;
        let seen = shared_project(&bob, &[(&ann, "viewer")]).await;
        let hers = task(&eve, json!({"title": "hers"})).await;
        let same = json!({"title": "mine", "id": Uuid::now_v7(), "labels": ["a\"b", "{}"], "status": "done"});
        let mine = task(&ann, same.clone()).await;
        let case = |name, task, status| Case { name, task, status };
        let cases = vec![
            case("a viewer's project", json!({"title": "t", "project_id": seen}), 403),
            case("a stranger's project", json!({"title": "t", "project_id": eve.personal_project_id}), 404),
            case("no project", json!({"title": "t", "project_id": Uuid::now_v7()}), 404),
            case(
                "an assignee who is no member",
                json!({"title": "t", "project_id": project, "assignee_id": eve.id}),
                422,
            ),
            case("an assignee who is nobody", json!({"title": "t", "assignee_id": Uuid::now_v7()}), 422),
            case(
                "an assignee in the viewer's project",
                json!({"title": "t", "project_id": seen, "assignee_id": eve.id}),
                403,
            ),
            case("a taken id", json!({"title": "t", "id": mine["id"]}), 409),
            case("a stranger's id", json!({"title": "hers", "id": hers["id"]}), 409),
            case("a parent that is none", json!({"title": "t", "parent_id": Uuid::now_v7()}), 422),
            case("no title", json!({"title": " "}), 422),
            case("a repeat", same, 200),
        ];
        Cast { ann, project, cases }
    }

    /// 30 good tasks, half of them in the shared project, around this one.
    fn around(&self, task: &Value) -> Vec<Value> {
        let good = |n: usize| match n % 2 {
            0 => json!({"title": format!("good {n}"), "project_id": self.project, "assignee_id": self.ann.id}),
            _ => json!({"title": format!("good {n}"), "status": "done"}),
        };
        let mut tasks: Vec<Value> = (0..30).map(good).collect();
        tasks.insert(15, task.clone());
        tasks
    }
}

/// What a problem says, without what tells one request from another and where in the body it was.
fn said(problem: &Value) -> Value {
    let details =
        problem["errors"].as_array().map(|errors| errors.iter().map(|error| &error["detail"]).collect::<Vec<_>>());
    json!([problem["type"], problem["title"], problem["status"], problem["detail"], details])
}

on_both_backends! {
    async fn a_hundred_creates_in_a_batch_equal_a_hundred_single_ones(backend: Backend) {
        let (app, _clock) = app_at_noon(backend).await;
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        let project = shared_project(&bob, &[(&ann, "editor")]).await;
        let tasks = mixed(&ann, &bob, &project);
        let mut single = Vec::new();
        for fields in &tasks {
            single.push(task(&ann, fields.clone()).await);
        }
        let counted = counters(&app).await;
        assert_eq!(counted.0, tasks.len() as u64);
        for (run, atomic) in [(2, true), (3, false)] {
            let reply = batch(&ann, atomic, &tasks).await.expect(if atomic { 200 } else { 207 });
            assert_eq!(statuses(&reply), vec![201; tasks.len()]);
            assert_eq!(counters(&app).await, (run * counted.0, run * counted.1));
            for (at, expected) in single.iter().enumerate() {
                let made = reply.at(&format!("/results/{at}/task"));
                assert_eq!(without_id(made.clone()), without_id(expected.clone()), "{at}: {}", tasks[at]);
                assert_eq!(&given::now(&ann, made).await, made, "{at}: {}", tasks[at]);
                assert_eq!(activity(&ann, made).await, activity(&ann, expected).await, "{at}");
            }
        }
        for query in ["label=%7Ba,b%7D", "label=bug", "q=quoted", "q=long", "status=done", "priority=urgent"] {
            let found = walk(&ann, &format!("{query}&limit=200")).await.len();
            assert!(found > 0 && found % 3 == 0, "{query}: {found}");
        }
    }

    /// Labels go to PostgreSQL as the text of an array.
    async fn labels_of_any_text_come_back_from_a_batch(app: TestApp) {
        let ann = app.register("ann").await;
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let label = "[ -~\\n\\t\u{a0}äЖ漢🚀]{0,8}[\"\\\\{},a-z]{1,4}";
        let labels = proptest::collection::btree_set(label, 0..8);
        let tasks: Vec<Value> = (0..100)
            .map(|n| json!({"title": n.to_string(), "labels": labels.new_tree(&mut runner).expect("labels").current()}))
            .collect();
        let reply = batch(&ann, true, &tasks).await.expect(200);
        for (at, task) in tasks.iter().enumerate() {
            let made = reply.at(&format!("/results/{at}/task"));
            assert_eq!(made["labels"], task["labels"]);
            assert_eq!(&given::now(&ann, made).await, made);
        }
    }

    async fn one_refused_create_leaves_the_others_done(app: TestApp) {
        let cast = Cast::of(&app).await;
        for Case { name, task, status } in &cast.cases {
            let before = (walk(&cast.ann, "limit=200").await.len(), counters(&app).await);
            let tasks = cast.around(task);
            let reply = batch(&cast.ann, false, &tasks).await.expect(207);
            let mut expected = vec![201; 31];
            expected[15] = u64::from(*status);
            assert_eq!(statuses(&reply), expected, "{name}");
            let after = (walk(&cast.ann, "limit=200").await.len(), counters(&app).await);
            assert_eq!(after, (before.0 + 30, (before.1.0 + 30, before.1.1 + 15)), "{name}");
            for at in (0..31).filter(|at| *at != 15) {
                let made = reply.at(&format!("/results/{at}/task"));
                assert_eq!(made["title"], tasks[at]["title"], "{name}");
                assert_eq!(&given::now(&cast.ann, made).await, made, "{name}");
            }
            let single = cast.ann.post("tasks", task.clone()).await.expect(*status);
            if *status == 200 {
                assert_eq!(reply.at("/results/15/task"), &single.body, "{name}");
                continue;
            }
            let problem = reply.at("/results/15/problem");
            assert_eq!(said(problem), said(&single.body), "{name}");
            for (at, error) in single.body["errors"].as_array().into_iter().flatten().enumerate() {
                let pointer = format!("/operations/15/task{}", error["pointer"].as_str().expect("a pointer"));
                assert_eq!(problem["errors"][at]["pointer"], pointer, "{name}");
            }
        }
    }

    async fn one_refused_create_undoes_an_atomic_batch(app: TestApp) {
        let cast = Cast::of(&app).await;
        for Case { name, task, status } in &cast.cases {
            let before = (walk(&cast.ann, "limit=200").await, counters(&app).await);
            let tasks = cast.around(task);
            let reply = batch(&cast.ann, true, &tasks).await;
            if *status == 200 {
                let mut expected = vec![201; 31];
                expected[15] = 200;
                assert_eq!(statuses(&reply.expect(200)), expected, "{name}");
                assert_eq!(counters(&app).await, (before.1.0 + 30, before.1.1 + 15), "{name}");
                continue;
            }
            let reply = reply.problem(422, "invalid-body");
            let errors = reply.at("/errors").as_array().expect("errors");
            assert!(errors.len() == 1 && reply.text_at("/errors/0/pointer").starts_with("/operations/15"), "{name}: {reply}");
            assert_eq!((walk(&cast.ann, "limit=200").await, counters(&app).await), before, "{name}");
        }
    }

    async fn every_refused_create_of_a_batch_has_its_own_answer(app: TestApp) {
        let cast = Cast::of(&app).await;
        let tasks: Vec<Value> = cast.cases.iter().map(|case| case.task.clone()).collect();
        let expected: Vec<u64> = cast.cases.iter().map(|case| u64::from(case.status)).collect();
        assert_eq!(statuses(&batch(&cast.ann, false, &tasks).await.expect(207)), expected);
        // Without what keeps a batch from one statement.
        let plain: Vec<&Case> = cast.cases.iter().filter(|case| case.task.get("parent_id").is_none()).collect();
        let tasks: Vec<Value> = plain.iter().map(|case| case.task.clone()).filter(|task| task["id"].is_null()).collect();
        let reply = batch(&cast.ann, false, &tasks).await.expect(207);
        assert!(statuses(&reply).iter().all(|status| (403..423).contains(status)), "{reply}");
    }

    async fn the_first_of_two_creates_with_one_id_in_a_batch_wins(app: TestApp) {
        let ann = app.register("ann").await;
        let ids: Vec<Uuid> = (0..4).map(|_| Uuid::now_v7()).collect();
        let unknown = Uuid::now_v7();
        let tasks = [
            json!({"title": "a", "id": ids[3]}),
            json!({"title": "refused", "id": ids[2], "assignee_id": unknown}),
            json!({"title": "b", "id": ids[1]}),
            json!({"title": "a", "id": ids[3]}),
            json!({"title": "c", "id": ids[2]}),
            json!({"title": "other", "id": ids[1]}),
            json!({"title": "d"}),
        ];
        let reply = batch(&ann, false, &tasks).await.expect(207);
        assert_eq!(statuses(&reply), [201, 422, 201, 200, 201, 409, 201]);
        assert_eq!(reply.at("/results/3/task"), reply.at("/results/0/task"));
        let mut titles = given::titles(&ann, "").await;
        titles.sort();
        assert_eq!(titles, ["a", "b", "c", "d"]);
        for at in [0, 2, 4, 6] {
            assert_eq!(activity(&ann, reply.at(&format!("/results/{at}/task"))).await.len(), 1);
        }
        assert_eq!(given::counter(&app, "tasks_created_total").await, 4);
        let again = [json!({"title": "e", "id": unknown}), json!({"title": "f", "id": unknown})];
        batch(&ann, true, &again).await.problem(422, "invalid-body").pointer("/operations/1/task/id");
        assert_eq!(given::titles(&ann, "").await.len(), 4);
    }

    async fn a_batch_of_creates_with_a_key_is_replayed(app: TestApp) {
        let cast = Cast::of(&app).await;
        for (key, atomic, task) in [("whole", true, json!({"title": "good"})), ("each", false, cast.cases[3].task.clone())] {
            let body = json!({"atomic": atomic, "operations": creates(&cast.around(&task))});
            let send = || cast.ann.post("tasks/batch", body.clone()).header("idempotency-key", key);
            let first = send().await.expect(if atomic { 200 } else { 207 });
            let counted = (walk(&cast.ann, "limit=200").await, counters(&app).await);
            let again = send().await;
            assert_eq!((again.status, &again.text), (first.status, &first.text));
            assert_eq!(again.header("idempotency-replayed"), "true");
            assert_eq!((walk(&cast.ann, "limit=200").await, counters(&app).await), counted);
        }
        let body = json!({"atomic": true, "operations": creates(&cast.around(&cast.cases[0].task))});
        for _ in 0..2 {
            let refused = cast.ann.post("tasks/batch", body.clone()).header("idempotency-key", "undone").await;
            assert!(!refused.problem(422, "invalid-body").headers.contains_key("idempotency-replayed"));
        }
    }

    /// Each of two that insert in the order of their items would wait for an id that the other has.
    async fn batches_that_create_the_same_tasks_at_once_make_them_once(app: TestApp) {
        const ROUNDS: usize = 8;
        let ann = app.register("ann").await;
        let words: Vec<String> = (0..300).map(|n| format!("word{n}")).collect(); // an insert that takes its time
        let description = words.join(" ");
        for round in 1..=ROUNDS {
            let create = |n| json!({"title": format!("task {n}"), "id": Uuid::now_v7(), "description": description});
            let tasks: Vec<Value> = (0..100).map(create).collect();
            let reversed: Vec<Value> = tasks.iter().rev().cloned().collect();
            let sent = (0..4).map(|n| batch(&ann, true, if n % 2 == 0 { &tasks } else { &reversed }));
            let mut created = 0;
            for reply in futures_util::future::join_all(sent).await {
                let statuses = statuses(&reply.expect(200));
                assert!(statuses.iter().all(|status| [200, 201].contains(status)), "{statuses:?}");
                created += statuses.iter().filter(|status| **status == 201).count();
            }
            assert_eq!((created, counters(&app).await.0), (100, 100 * round as u64));
        }
        assert_eq!(walk(&ann, "limit=200").await.len(), 100 * ROUNDS);
    }
}
