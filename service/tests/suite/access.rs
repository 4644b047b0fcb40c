//! Who gets what: a row for every route, a cell for every kind of caller; and ids and cursors of another tenant.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use service::http::routes::ROUTES;
use uuid::Uuid;

use crate::harness::client::{Api, Call, PASSWORD, User};
use crate::harness::reply::Reply;
use crate::harness::{TestApp, on_both_backends};

/// Those who call, in the order of a row's cells. The outsider is a user like any other, and no member.
const CALLERS: [&str; 5] = ["anonymous", "owner", "editor", "viewer", "outsider"];

/// What everybody gets who asks for something of their own.
const ANY_USER: fn(u16) -> [u16; 5] = |success| [401, success, success, success, success];

/// Stands in everything that belongs to the project: nobody else may ever read it.
const SECRET: &str = "zanzibar";

/// What each caller gets. A batch counts by the result of its one operation. `None`: the row is missing.
fn row(method: &str, route: &str) -> Option<[u16; 5]> {
    Some(match (method, route) {
        ("POST", "/api/v1/auth/register") => [201; 5],
        ("POST", "/api/v1/auth/login" | "/api/v1/auth/refresh") => [200; 5],
        ("POST", "/api/v1/auth/logout") => ANY_USER(204),
        ("GET", "/api/v1/me" | "/api/v1/projects" | "/api/v1/tasks") => ANY_USER(200),
        ("POST", "/api/v1/projects") => ANY_USER(201),
        ("GET", "/api/v1/projects/{id}") => [401, 200, 200, 200, 404],
        ("PATCH", "/api/v1/projects/{id}") => [401, 200, 403, 403, 404],
        ("DELETE", "/api/v1/projects/{id}") => [401, 204, 403, 403, 404],
        ("GET", "/api/v1/projects/{id}/members") => [401, 200, 200, 200, 404],
        ("GET", "/api/v1/projects/{id}/members/{user_id}") => [401, 200, 200, 200, 404],
        ("PUT", "/api/v1/projects/{id}/members/{user_id}") => [401, 200, 403, 403, 404],
        ("DELETE", "/api/v1/projects/{id}/members/{user_id}") => [401, 204, 403, 403, 404],
        ("POST", "/api/v1/tasks" | "/api/v1/tasks/batch") => [401, 201, 201, 403, 404],
        ("GET", "/api/v1/tasks/{id}" | "/api/v1/tasks/{id}/activity") => [401, 200, 200, 200, 404],
        ("PATCH", "/api/v1/tasks/{id}") => [401, 200, 200, 403, 404],
        ("DELETE", "/api/v1/tasks/{id}") => [401, 204, 204, 403, 404],
        ("POST", "/api/v1/tasks/{id}/restore") => [401, 200, 200, 403, 404],
        ("GET", "/health" | "/ready" | "/openapi.json" | "/docs/" | "/docs/{*file}") => [200; 5],
        ("GET", "/docs") => [303; 5],
        _ => return None,
    })
}

/// The people of a matrix, and the one whom member routes are about.
struct People {
    anonymous: Api,
    owner: User,
    editor: User,
    viewer: User,
    outsider: User,
    mate: User,
}

impl People {
    async fn register(app: &TestApp) -> People {
        People {
            anonymous: app.api.clone(),
            owner: app.register("owner").await,
            editor: app.register("editor").await,
            viewer: app.register("viewer").await,
            outsider: app.register("outsider").await,
            mate: app.register("mate").await,
        }
    }

    fn user(&self, caller: &str) -> Option<&User> {
        match caller {
            "anonymous" => None,
            "owner" => Some(&self.owner),
            "editor" => Some(&self.editor),
            "viewer" => Some(&self.viewer),
            "outsider" => Some(&self.outsider),
            other => panic!("nobody is called {other}"),
        }
    }

    fn api(&self, caller: &str) -> &Api {
        self.user(caller).map_or(&self.anonymous, |user| user)
    }
}

/// A project with its members and a task, made for one cell.
struct Scene {
    project: String,
    task: String,
}

impl Scene {
    async fn create(people: &People) -> Scene {
        let owner = &people.owner;
        let project = owner.post("projects", json!({"name": SECRET, "description": SECRET})).await.expect(201);
        let project = project.text_at("/id");
        for (user, role) in [(&people.editor, "editor"), (&people.viewer, "viewer"), (&people.mate, "viewer")] {
            owner.put(&format!("projects/{project}/members/{}", user.id), json!({"role": role})).await.expect(200);
        }
        let task = owner.post("tasks", json!({"title": SECRET, "project_id": project})).await.expect(201);
        Scene { task: task.text_at("/id"), project }
    }

    /// All that a caller could have changed, as the owner reads it.
    async fn snapshot(&self, owner: &Api) -> Vec<(u16, Value)> {
        let mut found = Vec::new();
        for path in [
            format!("projects/{}", self.project),
            format!("projects/{}/members", self.project),
            format!("tasks?project_id={}", self.project),
            format!("tasks/{}/activity", self.task),
        ] {
            let reply = owner.get(&path).await;
            let mut body = reply.body;
            for own in ["request_id", "trace_id"] {
                body.as_object_mut().and_then(|body| body.remove(own));
            }
            found.push((reply.status, body));
        }
        found
    }
}

/// The request of a cell. `None`: the row is missing.
async fn request(people: &People, caller: &str, scene: &Scene, method: &str, route: &str) -> Option<Call> {
    let api = people.api(caller);
    let login = async || {
        let email = &people.user(caller).unwrap_or(&people.owner).email;
        let body = json!({"email": email, "password": PASSWORD});
        people.anonymous.post("auth/login", body).await.expect(200)
    };
    let fresh_address = || format!("{}@example.com", Uuid::now_v7());
    let path = route.replace("{user_id}", &people.mate.id).replace("{*file}", "swagger-ui.css");
    let path = path.replace("{id}", if route.contains("/projects/") { &scene.project } else { &scene.task });
    let verb = Method::from_bytes(method.as_bytes()).expect("a method");
    let new = json!({"title": "New", "project_id": scene.project});
    let body = match (method, route.trim_start_matches("/api/v1/")) {
        ("POST", "auth/register") => json!({"email": fresh_address(), "password": PASSWORD, "name": "New"}),
        ("POST", "auth/login") => {
            json!({"email": people.user(caller).unwrap_or(&people.owner).email, "password": PASSWORD})
        }
        ("POST", "auth/refresh") => json!({"refresh_token": login().await.text_at("/refresh_token")}),
        ("POST", "auth/logout") => {
            // Of a session of its own: the others are needed for the cells to come.
            let api = match people.user(caller) {
                Some(_) => people.anonymous.with_token(&login().await.text_at("/access_token")),
                None => api.clone(),
            };
            return Some(api.request(verb, &path));
        }
        ("POST", "projects") => json!({"name": "New"}),
        ("PATCH", "projects/{id}") => json!({"name": "Changed"}),
        ("PUT", "projects/{id}/members/{user_id}") => json!({"role": "editor"}),
        ("POST", "tasks") => new,
        ("POST", "tasks/batch") => json!({"operations": [{"op": "create", "task": new}]}),
        ("PATCH", "tasks/{id}") => json!({"title": "Changed"}),
        ("POST", "tasks/{id}/restore") => {
            people.owner.delete(&format!("tasks/{}", scene.task)).await.expect(204);
            return Some(api.request(verb, &path));
        }
        ("GET" | "DELETE", _) => return Some(api.request(verb, &path)),
        _ => return None,
    };
    Some(api.request(verb, &path).json(&body))
}

/// The status that counts, a batch's being that of its operation.
fn outcome(reply: &Reply) -> u16 {
    match reply.status {
        207 => u16::try_from(reply.at("/results/0/status").as_u64().expect("a status")).expect("a status"),
        status => status,
    }
}

on_both_backends! {
    async fn every_route_gives_every_caller_what_the_table_says(app: TestApp) {
        let people = People::register(&app).await;
        let mut wrong = Vec::new();
        for label in ROUTES {
            let (method, route) = (label.method, label.route);
            let Some(expected) = row(method, route) else {
                panic!("no row for {method} {route}: say in `row` and `request` of this file what each caller gets");
            };
            assert!(
                expected.contains(&label.success) || route.ends_with("/batch"),
                "{method} {route}: nobody gets {}, which ROUTES calls its success", label.success
            );
            for (caller, expected) in CALLERS.into_iter().zip(expected) {
                let scene = Scene::create(&people).await;
                let Some(call) = request(&people, caller, &scene, method, route).await else {
                    panic!("no request for {method} {route}: say in `request` of this file what is sent");
                };
                let before = scene.snapshot(&people.owner).await;
                let reply = call.await;
                let got = outcome(&reply);
                if got != expected {
                    wrong.push(format!("{method} {route} as {caller}: expected {expected}, got {got}\n{reply}"));
                    continue;
                }
                if got >= 400 {
                    let after = scene.snapshot(&people.owner).await;
                    assert_eq!(before, after, "{method} {route} as {caller} was refused and changed something");
                }
                if reply.status >= 400 {
                    reply.clone().problem(expected, "");
                }
                let member = !["anonymous", "outsider"].contains(&caller);
                assert!(member || !reply.text.contains(SECRET), "{caller} reads what is not theirs\n{reply}");
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    }

    async fn a_role_counts_as_soon_as_it_changes(app: TestApp) {
        let people = People::register(&app).await;
        let scene = Scene::create(&people).await;
        let (owner, mate) = (&people.owner, &people.mate);
        let member = format!("projects/{}/members/{}", scene.project, mate.id);
        let task = format!("tasks/{}", scene.task);
        for (role, project, changed) in
            [("viewer", 403, 403), ("editor", 403, 200), ("owner", 200, 200), ("viewer", 403, 403)]
        {
            owner.put(&member, json!({"role": role})).await.expect(200);
            assert_eq!(mate.get(&format!("projects/{}", scene.project)).await.expect(200).text_at("/role"), role);
            mate.patch(&task, json!({"title": SECRET})).await.expect(changed);
            mate.patch(&format!("projects/{}", scene.project), json!({"name": SECRET})).await.expect(project);
        }
        owner.delete(&member).await.expect(204);
        mate.get(&task).await.problem(404, "not-found");
        mate.patch(&task, json!({"title": "x"})).await.problem(404, "not-found");
        assert!(!mate.get("tasks").await.expect(200).text.contains(SECRET));
    }

    async fn a_cursor_is_good_for_its_user_and_its_list_alone(app: TestApp) {
        let people = People::register(&app).await;
        let scene = Scene::create(&people).await;
        let (owner, editor) = (&people.owner, &people.editor);
        owner.post("tasks", json!({"title": "Second", "project_id": scene.project})).await.expect(201);
        owner.patch(&format!("tasks/{}", scene.task), json!({"title": "Changed"})).await.expect(200);
        let lists = [
            "projects".to_owned(),
            format!("projects/{}/members", scene.project),
            "tasks".to_owned(),
            format!("tasks/{}/activity", scene.task),
        ];
        let mut cursors = Vec::new();
        for list in &lists {
            let page = owner.get(&format!("{list}?limit=1")).await.expect(200);
            cursors.push(page.text_at("/next_cursor"));
            owner.get(&format!("{list}?limit=1&cursor={}", cursors[cursors.len() - 1])).await.expect(200);
        }
        assert_eq!(cursors.iter().collect::<BTreeSet<_>>().len(), lists.len());
        let other = Scene::create(&people).await;
        for (at, list) in lists.iter().enumerate() {
            for (from, cursor) in cursors.iter().enumerate() {
                // A member of the same project sees the same rows, and still needs cursors of their own.
                editor.get(&format!("{list}?cursor={cursor}")).await.problem(400, "invalid-cursor");
                people.outsider.get(&format!("{list}?cursor={cursor}")).await.problem(400, "invalid-cursor");
                people.anonymous.get(&format!("{list}?cursor={cursor}")).await.problem(401, "unauthenticated");
                if at != from {
                    owner.get(&format!("{list}?cursor={cursor}")).await.problem(400, "invalid-cursor");
                }
            }
            for made_up in ["", "x", "AAAA", "%00", &people.owner.refresh_token, &"A".repeat(4000)] {
                owner.get(&format!("{list}?cursor={made_up}")).await.problem(400, "");
            }
        }
        let elsewhere = format!("projects/{}/members?cursor={}", other.project, cursors[1]);
        owner.get(&elsewhere).await.problem(400, "invalid-cursor");
        let filtered = format!("tasks?status=todo&cursor={}", cursors[2]);
        owner.get(&filtered).await.problem(400, "invalid-cursor");
    }
}
