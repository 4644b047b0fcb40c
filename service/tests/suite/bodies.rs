//! Bodies that are JSON and not what a route takes: a list in an object's place, a value of another type.

use reqwest::Method;
use serde_json::json;

use crate::harness::client::PASSWORD;
use crate::harness::{TestApp, on_both_backends};

on_both_backends! {
    async fn a_list_is_no_object_anywhere_in_a_body(app: TestApp) {
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        let task = ann.post("tasks", json!({"title": "kept"})).await.expect(201).text_at("/id");
        let personal = format!("projects/{}", ann.personal_project_id);
        let before = [ann.get("projects").await.body, ann.get(&format!("tasks/{task}")).await.body];
        for (method, path, body) in [
            (Method::POST, "auth/register", json!(["new@example.com", PASSWORD, "New"])),
            (Method::POST, "auth/login", json!([ann.email, PASSWORD])),
            (Method::POST, "auth/refresh", json!([ann.refresh_token])),
            (Method::POST, "auth/logout", json!([ann.refresh_token])),
            (Method::POST, "projects", json!(["listed", null])),
            (Method::PATCH, &personal, json!(["listed", null])),
            (Method::PATCH, &personal, json!([])),
            (Method::PUT, &format!("{personal}/members/{}", bob.id), json!(["owner"])),
            (Method::POST, "tasks", json!(["listed", null, null, null, null, null, null, null, null, null])),
            (Method::PATCH, &format!("tasks/{task}"), json!(["listed"])),
            (Method::PATCH, &format!("tasks/{task}"), json!([])),
            (Method::POST, "tasks/batch", json!([false, [{"op": "delete", "id": task}]])),
            (Method::POST, "tasks/batch", json!({"operations": [["delete", task, null]]})),
            (Method::POST, "tasks/batch", json!({"operations": [["create", {"title": "listed"}]]})),
            (Method::POST, "tasks/batch", json!({"operations": [{"op": "update", "id": task, "patch": ["listed"]}]})),
        ] {
            let reply = ann.request(method, path).json(&body).await.problem(422, "invalid-body");
            assert!(!reply.text.contains("listed") && !reply.text.contains("struct"), "{reply}");
        }
        assert_eq!([ann.get("projects").await.body, ann.get(&format!("tasks/{task}")).await.body], before);
        assert_eq!(ann.get("tasks").await.expect(200).at("/items").as_array().map(Vec::len), Some(1));
        ann.get("me").await.expect(200);
    }

    /// 400 says that it is no JSON at all; everything else about a body is 422 and names its place.
    async fn a_body_is_malformed_only_when_it_is_no_json(app: TestApp) {
        let ann = app.register("ann").await;
        let member = format!("projects/{}/members/{}", ann.personal_project_id, ann.id);
        for text in ["null", "7", "[]", "{}", r#"{"role": []}"#, r#"{"role": {"a": 1}}"#, " {\"role\" : null}\n"] {
            let reply = ann.request(Method::PUT, &member).body("application/json", text).await;
            reply.problem(422, "invalid-body");
        }
        for text in ["", "{", r#"{"role": nul}"#, r#"{"role": "owner"}}"#, r#"{"role": 7]"#, r#"{"role": 7}x"#, "7 7"] {
            let reply = ann.request(Method::PUT, &member).body("application/json", text).await;
            reply.problem(400, "malformed-request");
        }
        let reply = ann.put(&member, json!({"role": null})).await.problem(422, "invalid-body").pointer("/role");
        assert_eq!(reply.at("/errors").as_array().map(Vec::len), Some(1), "{reply}");
    }
}
