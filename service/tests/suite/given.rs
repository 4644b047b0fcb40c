//! What most tests of tasks begin with, and what they look at: short forms of common requests.

use serde_json::{Value, json};

use super::harness::client::{Api, PASSWORD, User};
use super::harness::reply::Reply;
use super::harness::{Backend, TestApp};
use service::clock::Clock;

/// An instant for manual clocks, to the microsecond that both databases keep.
pub const NOON: &str = "2026-11-20T12:00:00.123456Z";

/// A manual clock that stands at [`NOON`].
pub fn clock() -> Clock {
    Clock::manual(NOON.parse().expect("an instant"))
}

/// An app with a manual clock, and the clock.
pub async fn app_at_noon(backend: Backend) -> (TestApp, Clock) {
    let clock = clock();
    (TestApp::builder(backend).clock(clock.clone()).spawn().await, clock)
}

/// A user's client with a token of this moment: a manual clock that moved has let the first one expire.
pub async fn logged_in(app: &TestApp, user: &User) -> Api {
    let login = json!({"email": user.email, "password": PASSWORD});
    app.api.with_token(&app.api.post("auth/login", login).await.expect(200).text_at("/access_token"))
}

/// Creates a task with these fields.
pub async fn task(api: &Api, fields: Value) -> Value {
    api.post("tasks", fields).await.expect(201).body
}

/// Creates a task with this title under this parent.
pub async fn subtask(api: &Api, parent: &Value, title: &str) -> Value {
    task(api, json!({"title": title, "parent_id": parent["id"]})).await
}

/// A chain of tasks, each under the one before.
pub async fn chain<const LENGTH: usize>(api: &Api, name: &str) -> [Value; LENGTH] {
    let mut tasks: Vec<Value> = Vec::with_capacity(LENGTH);
    for depth in 1..=LENGTH {
        let parent = tasks.last().map_or(Value::Null, |task| task["id"].clone());
        tasks.push(task(api, json!({"title": format!("{name}{depth}"), "parent_id": parent})).await);
    }
    tasks.try_into().expect("as many as asked for")
}

/// The path of a task.
pub fn path(task: &Value) -> String {
    format!("tasks/{}", task["id"].as_str().unwrap_or_else(|| panic!("no id in {task}")))
}

/// Changes a task and returns what it became.
pub async fn patched(api: &Api, task: &Value, patch: Value) -> Value {
    api.patch(&path(task), patch).await.expect(200).body
}

/// The task as it is now.
pub async fn now(api: &Api, task: &Value) -> Value {
    api.get(&path(task)).await.expect(200).body
}

/// The titles on the first page of a list.
pub async fn titles(api: &Api, query: &str) -> Vec<String> {
    titles_of(&api.get(&format!("tasks?{query}")).await.expect(200))
}

/// The titles on a page.
pub fn titles_of(page: &Reply) -> Vec<String> {
    let items = page.at("/items").as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item["title"].as_str().unwrap_or_default().to_owned()).collect()
}

/// All items of a list, page by page; `query` may hold a limit.
pub async fn walk(api: &Api, query: &str) -> Vec<Value> {
    const PAGES_MAX: usize = 1_000; // a cursor that leads back would never end
    let mut items = Vec::new();
    let mut cursor = String::new();
    for _ in 0..PAGES_MAX {
        let page = api.get(&format!("tasks?{query}{cursor}")).await.expect(200);
        items.extend(page.at("/items").as_array().cloned().unwrap_or_default());
        match page.at("/next_cursor").as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
    panic!("the list tasks?{query} has no end");
}

/// A project of the user's with these members.
pub async fn shared_project(owner: &Api, members: &[(&User, &str)]) -> String {
    let project = owner.post("projects", json!({"name": "Shared"})).await.expect(201).text_at("/id");
    for (user, role) in members {
        owner.put(&format!("projects/{project}/members/{}", user.id), json!({"role": role})).await.expect(200);
    }
    project
}

/// A counter without labels on the admin listener.
pub async fn counter(app: &TestApp, name: &str) -> u64 {
    let metrics = app.admin.get("/metrics").await.expect(200).text;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no counter {name} in\n{metrics}"))
}
