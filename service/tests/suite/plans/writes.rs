//! What each write costs on PostgreSQL, by the plans that really ran, also where nothing is known of the tables: that is so
//! before their first `ANALYZE`, and after an upgrade that keeps no statistics.

use serde_json::{Value, json};

use super::explain::{Log, Plan};
use super::{EXECUTIONS, Ground};
use crate::harness::client::{Call, User};
use crate::harness::reply::Reply;

/// Tasks that lie there. A statement that looks at all of them, or at all in the trash, is over the bounds.
const TASKS: u64 = 20_000;
/// Pages and rows that a write of three tasks may look at. A task is in fifteen indexes; the most that was seen is 111 and 20.
const BUFFERS_MAX: u64 = 150;
const ROWS_MAX: u64 = 30;

const SEED: &str = "INSERT INTO tasks (id, project_id, title, status, priority, labels, created_by, created_at, updated_at, version, deleted_at) \
    SELECT gen_random_uuid(), '{project}', 'Task ' || n, 'todo', 1, '{}', '{user}', at, at, 1, CASE WHEN n % 10 = 0 THEN at END \
    FROM generate_series(1, {tasks}) n, LATERAL (SELECT timestamptz '2026-11-01Z' + n * interval '1 second' AS at) t; \
    UPDATE tasks t SET parent_id = p.id FROM tasks p \
    WHERE extract(epoch FROM t.created_at)::bigint % 10 = 3 AND p.created_at = t.created_at - interval '2 seconds'; \
    INSERT INTO task_activity (task_id, id, actor_id, action, changes, created_at) \
    SELECT id, id, '{user}', 'created', '{}', created_at FROM tasks; \
    SELECT gin_clean_pending_list('tasks_by_word'), gin_clean_pending_list('tasks_by_label')";

struct World {
    log: Log,
    user: User,
    /// What was asked, and a plan that ran for it.
    plans: Vec<(&'static str, Plan)>,
}

impl World {
    /// Asks, and keeps what its statements cost.
    async fn asks(&mut self, what: &'static str, status: u16, call: Call) -> Reply {
        let reply = call.await.expect(status);
        let plans = self.log.plans("");
        assert!(!plans.is_empty(), "no plan of {what} is in the log");
        self.plans.extend(plans.into_iter().map(|plan| (what, plan)));
        reply
    }

    /// A task's life, with subtasks.
    async fn lives(&mut self) {
        let user = self.user.clone();
        let parent = self.asks("create", 201, user.post("tasks", json!({"title": "parent"}))).await;
        let id = parent.text_at("/id");
        let under = json!({"title": "child", "parent_id": id});
        let child = self.asks("create a subtask", 201, user.post("tasks", under)).await;
        let other = self.asks("create", 201, user.post("tasks", json!({"title": "other"}))).await;
        let [child, other] = [child, other].map(|task| task.text_at("/id"));
        let path = format!("tasks/{id}");
        self.asks("get", 200, user.get(&path)).await;
        self.asks("change", 200, user.patch(&format!("tasks/{child}"), json!({"title": "another"}))).await;
        self.asks("move", 200, user.patch(&format!("tasks/{other}"), json!({"parent_id": id}))).await;
        self.asks("delete", 204, user.delete(&path)).await;
        self.asks("restore", 200, user.post(&format!("{path}/restore"), Value::Null)).await;
        let operations = json!([
            {"op": "update", "id": child, "patch": {"status": "done"}},
            {"op": "update", "id": other, "patch": {"parent_id": child}},
            {"op": "delete", "id": child},
        ]);
        self.asks("batch", 200, user.post("tasks/batch", json!({"atomic": true, "operations": operations}))).await;
        self.asks("activity", 200, user.get(&format!("{path}/activity"))).await;
        self.asks("erase", 204, user.delete(&format!("{path}?permanent=true"))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_costs_what_it_changes_whether_or_not_anything_is_known_of_the_tables() {
    let Some(Ground { cluster: _cluster, app, log, sql }) = Ground::new().await else { return }; // dropped in reverse
    let user = app.register("writer").await;
    let project = user.personal_project_id.clone();
    let seed = SEED.replace("{project}", &project).replace("{user}", &user.id).replace("{tasks}", &TASKS.to_string());
    sql.batch_execute(&seed).await.expect("the seed");
    let mut world = World { log, user, plans: Vec::new() };
    world.log.plans("");
    let known: i64 =
        sql.query_one("SELECT count(*) FROM pg_stats WHERE tablename LIKE 'task%'", &[]).await.expect("a count").get(0);
    assert_eq!(known, 0, "nothing has been analysed");
    let mut broken = Vec::new();
    for known in ["nothing is known", "all is known"] {
        for _ in 0..EXECUTIONS {
            world.lives().await;
        }
        for (what, plan) in world.plans.drain(..) {
            if plan.buffers > BUFFERS_MAX || plan.rows > ROWS_MAX || plan.sequential {
                broken.push(format!("{what}, {known}: {} pages, {} rows: {}", plan.buffers, plan.rows, plan.json));
            }
        }
        sql.batch_execute("VACUUM ANALYZE").await.expect("vacuum");
    }
    assert!(broken.is_empty(), "{} statements look at too much; the first:\n{}", broken.len(), broken[0]);
}
