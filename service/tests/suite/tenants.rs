//! Two tenants who know each other's ids: whatever one sends, the other's data stays as it is and unseen. An id of
//! somebody else's gets the very answer that an id of nobody's gets.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::client::User;
use crate::harness::reply::Reply;
use crate::harness::{TestApp, on_both_backends};

/// Stands in everything that is the victim's.
const SECRET: &str = "zanzibar";

/// A user with a project and a task in it.
struct Tenant {
    user: User,
    project: String,
    task: String,
}

impl Tenant {
    async fn create(app: &TestApp, name: &str) -> Tenant {
        let user = app.register(name).await;
        let project = user.post("projects", json!({"name": name, "description": SECRET})).await.expect(201);
        let project = project.text_at("/id");
        let task = json!({"title": format!("{SECRET} of {name}"), "project_id": project, "labels": [SECRET]});
        let task = user.post("tasks", task).await.expect(201).text_at("/id");
        Tenant { user, project, task }
    }

    /// All that this tenant has.
    async fn snapshot(&self) -> Vec<Value> {
        let mut found = Vec::new();
        for path in [
            "projects".to_owned(),
            format!("projects/{}/members", self.project),
            format!("projects/{}/members", self.user.personal_project_id),
            "tasks".to_owned(),
            format!("tasks/{}/activity", self.task),
        ] {
            found.push(self.user.get(&path).await.expect(200).body);
        }
        found
    }
}

/// What a client can tell answers apart by: all but the ids that each request has of its own.
fn told(reply: &Reply) -> (u16, Value) {
    let mut body = reply.body.clone();
    let scrub = |body: &mut Value| {
        for own in ["request_id", "trace_id"] {
            body.as_object_mut().and_then(|body| body.remove(own));
        }
    };
    scrub(&mut body);
    for result in body.get_mut("results").and_then(Value::as_array_mut).into_iter().flatten() {
        scrub(&mut result["problem"]);
    }
    (reply.status, body)
}

/// What an attacker sends with an id that is not theirs: method, path, body, status and the pointer of the problem.
fn attempts(own: &Tenant, project: &str, task: &str, user: &str) -> Vec<(Method, String, Value, u16, &'static str)> {
    let title = "mine now";
    let role = json!({"role": "owner"});
    let own_task = format!("tasks/{}", own.task);
    vec![
        (Method::POST, "tasks".into(), json!({"title": title, "project_id": project}), 404, "/project_id"),
        (Method::POST, "tasks".into(), json!({"title": title, "parent_id": task}), 422, "/parent_id"),
        (
            Method::POST,
            "tasks".into(),
            json!({"title": title, "project_id": own.project, "parent_id": task}),
            422,
            "/parent_id",
        ),
        (
            Method::POST,
            "tasks".into(),
            json!({"title": title, "project_id": project, "parent_id": own.task}),
            404,
            "/project_id",
        ),
        (Method::POST, "tasks".into(), json!({"title": title, "assignee_id": user}), 422, "/assignee_id"),
        (
            Method::POST,
            "tasks".into(),
            json!({"title": title, "project_id": own.project, "assignee_id": user}),
            422,
            "/assignee_id",
        ),
        (Method::PATCH, own_task.clone(), json!({"title": title, "parent_id": task}), 422, "/parent_id"),
        (Method::PATCH, own_task.clone(), json!({"title": title, "assignee_id": user}), 422, "/assignee_id"),
        (Method::PATCH, own_task, json!({"title": title, "project_id": project}), 422, "/project_id"),
        (Method::GET, format!("tasks/{task}"), Value::Null, 404, ""),
        (Method::GET, format!("tasks/{task}/activity"), Value::Null, 404, ""),
        (Method::PATCH, format!("tasks/{task}"), json!({"title": title}), 404, ""),
        (Method::PATCH, format!("tasks/{task}"), json!({"assignee_id": own.user.id}), 404, ""),
        (Method::PATCH, format!("tasks/{task}"), json!({"parent_id": own.task}), 404, ""),
        (Method::DELETE, format!("tasks/{task}"), Value::Null, 404, ""),
        (Method::POST, format!("tasks/{task}/restore"), Value::Null, 404, ""),
        (Method::GET, format!("projects/{project}"), Value::Null, 404, ""),
        (Method::PATCH, format!("projects/{project}"), json!({"name": title}), 404, ""),
        (Method::DELETE, format!("projects/{project}"), Value::Null, 404, ""),
        (Method::GET, format!("projects/{project}/members"), Value::Null, 404, ""),
        (Method::GET, format!("projects/{project}/members/{user}"), Value::Null, 404, ""),
        (Method::GET, format!("projects/{project}/members/{}", own.user.id), Value::Null, 404, ""),
        (Method::PUT, format!("projects/{project}/members/{}", own.user.id), role.clone(), 404, ""),
        (Method::PUT, format!("projects/{project}/members/{user}"), role, 404, ""),
        (Method::DELETE, format!("projects/{project}/members/{user}"), Value::Null, 404, ""),
        (Method::DELETE, format!("projects/{project}/members/{}", own.user.id), Value::Null, 404, ""),
        (Method::GET, format!("projects/{}/members/{user}", own.project), Value::Null, 404, ""),
        (Method::DELETE, format!("projects/{}/members/{user}", own.project), Value::Null, 404, ""),
    ]
}

/// Operations of a batch with foreign ids, with the status and the pointer of each alone.
fn operations(own: &Tenant, project: &str, task: &str, user: &str) -> Vec<(Value, u16, &'static str)> {
    let create = |task: Value| json!({"op": "create", "task": task});
    let title = "mine now";
    vec![
        (create(json!({"title": title, "project_id": project})), 404, "/project_id"),
        (create(json!({"title": title, "parent_id": task})), 422, "/parent_id"),
        (create(json!({"title": title, "project_id": own.project, "parent_id": task})), 422, "/parent_id"),
        (create(json!({"title": title, "assignee_id": user})), 422, "/assignee_id"),
        (json!({"op": "update", "id": task, "patch": {"title": title}}), 404, ""),
        (json!({"op": "update", "id": own.task, "patch": {"title": title, "parent_id": task}}), 422, "/parent_id"),
        (json!({"op": "update", "id": own.task, "patch": {"assignee_id": user}}), 422, "/assignee_id"),
        (json!({"op": "delete", "id": task}), 404, ""),
        (json!({"op": "delete", "id": task, "version": 1}), 404, ""),
    ]
}

on_both_backends! {
    async fn an_id_of_another_tenant_is_an_id_of_nobody(app: TestApp) {
        let (victim, mallory) = (Tenant::create(&app, "victim").await, Tenant::create(&app, "mallory").await);
        let (before, own) = (victim.snapshot().await, mallory.snapshot().await);
        let nobody = Uuid::now_v7().to_string();
        let foreign = attempts(&mallory, &victim.project, &victim.task, &victim.user.id);
        let unknown = attempts(&mallory, &nobody, &nobody, &nobody);
        let pairs = foreign.into_iter().zip(unknown);
        for ((method, path, body, status, pointer), (_, unknown_path, unknown_body, ..)) in pairs {
            let send = async |path: &str, body: &Value| {
                let call = mallory.user.request(method.clone(), path);
                if body.is_null() { call.await } else { call.json(body).await }
            };
            let reply = send(&path, &body).await.problem(status, "");
            let reply = if pointer.is_empty() { reply } else { reply.pointer(pointer) };
            assert!(!reply.text.contains(SECRET), "{reply}");
            let of_nobody = send(&unknown_path, &unknown_body).await;
            assert_eq!(told(&reply), told(&of_nobody), "the answers tell them apart\n{reply}\n{of_nobody}");
        }
        assert_eq!(victim.snapshot().await, before);
        assert_eq!(mallory.snapshot().await, own);
    }

    async fn an_id_in_a_batch_is_no_way_around(app: TestApp) {
        let (victim, mallory) = (Tenant::create(&app, "victim").await, Tenant::create(&app, "mallory").await);
        let (before, own) = (victim.snapshot().await, mallory.snapshot().await);
        let nobody = Uuid::now_v7().to_string();
        let foreign = operations(&mallory, &victim.project, &victim.task, &victim.user.id);
        let unknown = operations(&mallory, &nobody, &nobody, &nobody);
        let send = async |operations: Vec<&Value>, atomic: bool| {
            mallory.user.post("tasks/batch", json!({"atomic": atomic, "operations": operations})).await
        };
        let reply = send(foreign.iter().map(|(operation, ..)| operation).collect(), false).await.expect(207);
        for (at, (operation, status, pointer)) in foreign.iter().enumerate() {
            assert_eq!(reply.at(&format!("/results/{at}/status")), *status, "{operation}\n{reply}");
            if !pointer.is_empty() {
                let named = reply.text_at(&format!("/results/{at}/problem/errors/0/pointer"));
                assert!(named.ends_with(pointer), "{operation} names {named}");
            }
        }
        assert!(!reply.text.contains(SECRET), "{reply}");
        let of_nobody = send(unknown.iter().map(|(operation, ..)| operation).collect(), false).await;
        assert_eq!(told(&reply), told(&of_nobody), "the answers tell them apart\n{reply}\n{of_nobody}");

        // All or nothing: what is allowed in the same batch is not done either, wherever it stands.
        let good = json!({"op": "create", "task": {"title": "harmless"}});
        let gone = json!({"op": "delete", "id": mallory.task});
        for (bad, ..) in &foreign {
            for operations in [vec![&good, &gone, bad], vec![bad, &good, &gone]] {
                let reply = send(operations, true).await.problem(422, "invalid-body");
                assert!(!reply.text.contains(SECRET), "{reply}");
            }
        }
        assert_eq!(victim.snapshot().await, before);
        assert_eq!(mallory.snapshot().await, own);
    }

    async fn no_list_shows_what_is_another_tenants(app: TestApp) {
        let (victim, mallory) = (Tenant::create(&app, "victim").await, Tenant::create(&app, "mallory").await);
        let child = json!({"title": "child", "parent_id": victim.task, "assignee_id": victim.user.id});
        let child = victim.user.post("tasks", child).await.expect(201).text_at("/id");
        for (query, own) in [
            (String::new(), 1),
            (format!("q={SECRET}"), 1),
            (format!("label={SECRET}"), 1),
            (format!("project_id={}", victim.project), 0),
            (format!("parent_id={}", victim.task), 0),
            (format!("assignee_id={}", victim.user.id), 0),
            (format!("project_id={}&parent_id={}", mallory.project, victim.task), 0),
        ] {
            let page = mallory.user.get(&format!("tasks?{query}")).await.expect(200);
            assert_eq!(page.at("/items").as_array().map(Vec::len), Some(own), "{page}");
            assert!(!page.text.contains(&victim.task) && !page.text.contains(&child), "{page}");
        }
        let seen = victim.user.get(&format!("tasks?assignee_id={}", victim.user.id)).await.expect(200);
        assert_eq!(seen.text_at("/items/0/id"), child, "what the victim sees");
        assert!(!mallory.user.get("projects").await.expect(200).text.contains(&victim.project));
    }

    /// An id is one task's for ever. Who asks for a taken one learns that, and nothing of the task.
    async fn a_taken_id_changes_and_shows_nothing(app: TestApp) {
        let (victim, mallory) = (Tenant::create(&app, "victim").await, Tenant::create(&app, "mallory").await);
        let before = victim.snapshot().await;
        let same = json!({"id": victim.task, "title": format!("{SECRET} of victim"), "labels": [SECRET]});
        for body in [json!({"id": victim.task, "title": "mine"}), same] {
            let reply = mallory.user.post("tasks", body.clone()).await.problem(409, "conflict").pointer("/id");
            assert!(!reply.text.contains(SECRET), "{reply}");
            let operations = json!({"operations": [{"op": "create", "task": body}]});
            let reply = mallory.user.post("tasks/batch", operations).await.expect(207);
            assert_eq!(reply.at("/results/0/status"), 409, "{reply}");
            assert!(!reply.text.contains(SECRET), "{reply}");
        }
        assert_eq!(victim.snapshot().await, before);
    }
}
