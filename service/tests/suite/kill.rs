//! kill -9 under load: what was acknowledged is there, and nothing is there by half.
//!
//! Four rounds in the suite; `KILL_ROUNDS=20` for the full run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use serde_json::json;

use crate::harness::client::{Api, User};
use crate::harness::ground::Ground;
use crate::harness::process::Serving;
use crate::harness::{Backend, on_both_backends};

const WRITERS: usize = 4;
const BATCH: usize = 3;

/// A write that the service acknowledged, and no later one of the same task.
struct Acknowledged {
    id: String,
    version: i64,
    title: String,
    /// A patch of it was under way at the kill: it may have been made or not.
    in_doubt: bool,
}

struct Writer {
    user: User,
    name: usize,
    writes: usize,
    acknowledged: Vec<Acknowledged>,
    /// The key of a create that got no answer.
    unanswered: Option<String>,
}

impl Writer {
    /// Writes until the connection breaks.
    async fn run(mut self, api: Api, answers: Arc<AtomicUsize>) -> Self {
        loop {
            self.writes += 1;
            let key = format!("{}-{}", self.name, self.writes);
            let answered = match self.writes % 4 {
                0 | 1 => self.create(&api, key).await,
                2 => self.patch(&api).await,
                _ => self.batch(&api, key).await,
            };
            if !answered {
                return self;
            }
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn create(&mut self, api: &Api, key: String) -> bool {
        match create(api, &key).await {
            Ok(id) => self.acknowledged.push(Acknowledged { id, version: 1, title: key, in_doubt: false }),
            Err(_) => self.unanswered = Some(key),
        }
        self.unanswered.is_none()
    }

    async fn patch(&mut self, api: &Api) -> bool {
        let writes = self.writes;
        let Some(task) = self.acknowledged.iter_mut().rfind(|task| !task.title.starts_with("batch")) else {
            return true;
        };
        let title = format!("patched {}-{writes}", self.name);
        match api.patch(&format!("tasks/{}", task.id), json!({"title": title})).send().await {
            Ok(reply) => {
                task.version = reply.expect(200).at("/version").as_i64().expect("a version");
                task.title = title;
                true
            }
            Err(_) => {
                task.in_doubt = true;
                false
            }
        }
    }

    async fn batch(&mut self, api: &Api, key: String) -> bool {
        let title = format!("batch {key}");
        let operations = vec![json!({"op": "create", "task": {"title": title}}); BATCH];
        let sent = api.post("tasks/batch", json!({"atomic": true, "operations": operations})).send().await;
        let Ok(reply) = sent else { return false };
        let reply = reply.expect(200);
        for at in 0..BATCH {
            let id = reply.text_at(&format!("/results/{at}/task/id"));
            self.acknowledged.push(Acknowledged { id, version: 1, title: title.clone(), in_doubt: false });
        }
        true
    }

    /// Everything acknowledged is there as it was acknowledged; a create without an answer is made once when repeated.
    async fn check(&mut self, api: &Api) {
        for task in &mut self.acknowledged {
            let reply = api.get(&format!("tasks/{}", task.id)).await.expect(200);
            let version = reply.at("/version").as_i64().expect("a version");
            if std::mem::take(&mut task.in_doubt) {
                assert!(version == task.version || version == task.version + 1, "{version} after {}", task.version);
                (task.version, task.title) = (version, reply.text_at("/title"));
            }
            assert_eq!((version, reply.text_at("/title")), (task.version, task.title.clone()), "{}", task.id);
        }
        if let Some(key) = self.unanswered.take() {
            let id = create(api, &key).await.expect("a repeat is answered");
            self.acknowledged.push(Acknowledged { id, version: 1, title: key, in_doubt: false });
        }
    }
}

async fn create(api: &Api, key: &str) -> reqwest::Result<String> {
    let reply = api.post("tasks", json!({"title": key})).header("idempotency-key", key).send().await?;
    Ok(reply.expect(201).text_at("/id"))
}

on_both_backends! {
    async fn kill_9_under_load_loses_nothing_acknowledged(backend: Backend) {
        let rounds = std::env::var("KILL_ROUNDS").map_or(4, |rounds| rounds.parse().expect("KILL_ROUNDS is a number"));
        let ground = Ground::new(backend).await;
        let mut process = ground.builder().serve().await;
        let api = process.api().await;
        let mut writers = Vec::new();
        for name in 0..WRITERS {
            let user = api.register("writer").await;
            writers.push(Writer { user, name, writes: 0, acknowledged: Vec::new(), unanswered: None });
        }
        for round in 0..rounds {
            let api = process.api().await;
            let answers = Arc::new(AtomicUsize::new(0));
            let running: Vec<_> = writers
                .drain(..)
                .map(|writer| {
                    let api = api.with_token(&writer.user.access_token);
                    tokio::spawn(writer.run(api, Arc::clone(&answers)))
                })
                .collect();
            while answers.load(Ordering::Relaxed) < 40 + 7 * round {
                assert!(running.iter().all(|writer| !writer.is_finished()), "a writer stopped before the kill");
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            process.kill9();
            for writer in running {
                writers.push(writer.await.expect("a writer saw only good answers"));
            }

            process = ground.builder().serve().await;
            for writer in &mut writers {
                let api = process.api().await.with_token(&writer.user.access_token);
                writer.check(&api).await;
            }
            check_whole(&ground);
        }
        let acknowledged: usize = writers.iter().map(|writer| writer.acknowledged.len()).sum();
        assert!(acknowledged >= 40 * rounds, "only {acknowledged} tasks over {rounds} rounds: that was no load");
    }
}

/// No task without its whole history, no history without its task, no batch by half, nothing made twice.
fn check_whole(ground: &Ground) {
    let nothing = [
        "SELECT count(*) AS answer FROM tasks t
         WHERE t.version <> (SELECT count(*) FROM task_activity a WHERE a.task_id = t.id)
         OR 1 <> (SELECT count(*) FROM task_activity a WHERE a.task_id = t.id AND a.action = 'created')",
        "SELECT count(*) AS answer FROM task_activity a WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.id = a.task_id)",
        "SELECT count(*) AS answer FROM
         (SELECT title FROM tasks WHERE title LIKE 'batch %' GROUP BY title HAVING count(*) <> 3) AS halves",
        "SELECT count(*) AS answer FROM
         (SELECT title FROM tasks WHERE title NOT LIKE 'batch %' GROUP BY title HAVING count(*) <> 1) AS twins",
        "SELECT count(*) AS answer FROM idempotency_keys WHERE response IS NULL",
    ];
    for query in nothing {
        assert_eq!(ground.count(query), 0, "{query}");
    }
    if let Some(file) = ground.sqlite() {
        assert_eq!(file.query("SELECT integrity_check AS answer FROM pragma_integrity_check"), "ok");
        assert_eq!(file.query("SELECT \"table\" AS answer FROM pragma_foreign_key_check"), "");
        let index = "INSERT INTO tasks_text (tasks_text, rank) VALUES ('integrity-check', 1)";
        file.connect().batch_execute(index).expect("the full-text index agrees with the tasks");
    }
}
