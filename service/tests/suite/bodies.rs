//! Bodies that are JSON, but not the JSON that is asked for.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Backend, TestApp};

/// Fields have names. An array whose items happen to have the right types, in the order of the fields, is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_array_does_not_pass_for_an_object() {
    let app = TestApp::spawn(Backend::Sqlite).await;
    let ann = app.register("ann").await;
    let task = format!("tasks/{}", ann.post("tasks", json!({"title": "one"})).await.expect(201).text_at("/id"));
    let project = format!("projects/{}", ann.personal_project_id);
    let member = format!("{project}/members/{}", ann.id);
    for (method, path, body) in [
        (Method::POST, "auth/login", json!([ann.email, crate::harness::client::PASSWORD])),
        (Method::POST, "auth/refresh", json!([ann.refresh_token])),
        (Method::POST, "auth/logout", json!([])),
        (Method::POST, "projects", json!(["Website", null])),
        (Method::PATCH, &project, json!([])),
        (Method::PUT, &member, json!(["owner"])),
        (Method::PATCH, &task, json!([])),
        (Method::PATCH, &task, json!(["two"])),
        (Method::POST, "tasks", json!(["t", null, null, null, null, null, null, null, null, null])),
        (Method::POST, "tasks/batch", json!([false, [{"op": "create", "task": {"title": "t"}}]])),
    ] {
        let reply = ann.request(method, path).json(&body).await.problem(422, "invalid-body").pointer("");
        assert_eq!(reply.text_at("/errors/0/detail").split(" at ").next(), Some("expected an object"), "{reply}");
    }
    for operation in [
        json!(["create", {"title": "t"}]),
        json!({"op": "create", "task": ["t", null, null, null, null, null, null, null, null, null]}),
        json!({"op": "update", "id": ann.id, "patch": ["t"]}),
    ] {
        ann.post("tasks/batch", json!({"operations": [operation]})).await.problem(422, "invalid-body");
    }
    assert_eq!(ann.get("tasks").await.expect(200).at("/items").as_array().map(Vec::len), Some(1));
    assert_eq!(ann.get(&task).await.expect(200).text_at("/title"), "one");
}

/// Null stands for a body that is left out where one may be left out, and is refused where not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_is_a_body_that_is_left_out() {
    let app = TestApp::spawn(Backend::Sqlite).await;
    let ann = app.register("ann").await;
    ann.post("projects", json!(null)).await.problem(422, "invalid-body").pointer("");
    ann.post("auth/logout", json!(null)).await.expect(204);
    ann.get("me").await.problem(401, "unauthenticated");
}
