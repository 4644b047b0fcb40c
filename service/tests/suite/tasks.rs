//! Creating a task and reading it.

use serde_json::{Value, json};
use uuid::Uuid;

use super::given::{self, NOON, app_at_noon, shared_project, task};
use super::harness::{Backend, TestApp, on_both_backends};

const DESCRIPTION_BYTES_MAX: usize = 64 * 1024;

fn without(mut task: Value, fields: &[&str]) -> Value {
    for field in fields {
        task.as_object_mut().expect("an object").remove(*field).unwrap_or_else(|| panic!("{field} is missing"));
    }
    task
}

on_both_backends! {
    async fn a_task_with_nothing_but_a_title_has_the_defaults(backend: Backend) {
        let (app, _) = app_at_noon(backend).await;
        let ann = app.register("ann").await;
        let reply = ann.post("tasks", json!({"title": "Buy milk"})).await.expect(201);
        let id = reply.text_at("/id");
        assert_eq!(reply.header("location"), format!("/api/v1/tasks/{id}"));
        assert_eq!(reply.header("etag"), "\"1\"");
        assert_eq!(reply.header("content-type"), "application/json");
        assert_eq!(Uuid::parse_str(&id).expect("a UUID").get_version_num(), 7);
        assert_eq!(without(reply.body.clone(), &["id"]), json!({
            "project_id": ann.personal_project_id, "parent_id": null, "title": "Buy milk", "description": null,
            "status": "todo", "priority": "medium", "labels": [], "assignee_id": null, "due_at": null,
            "completed_at": null, "created_by": ann.id, "created_at": NOON, "updated_at": NOON, "version": 1
        }));
        let read = ann.get(reply.header("location")).await.expect(200);
        assert_eq!((&read.body, read.header("etag")), (&reply.body, "\"1\""));
    }

    async fn a_task_keeps_every_field_it_was_given(backend: Backend) {
        let (app, _) = app_at_noon(backend).await;
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        let project = shared_project(&ann, &[(&bob, "viewer")]).await;
        let parent = task(&ann, json!({"title": "Parent", "project_id": project})).await;
        let fields = json!({
            "id": Uuid::now_v7(), "project_id": project, "parent_id": parent["id"], "title": "Tïtle — 漢字 🚀 'quoted' \"too\"",
            "description": "line\r\n\tline \u{7f} \u{fffd} \\u0000 <b>", "status": "blocked", "priority": "urgent",
            "labels": ["b", "a", "ü", "with space", "{curly}", "a,b", "\"q\"", "\\", "NULL", "null"],
            "assignee_id": bob.id, "due_at": "2026-12-01T17:00:00.000001Z"
        });
        let made = task(&ann, fields.clone()).await;
        let server = ["completed_at", "created_by", "created_at", "updated_at", "version"];
        assert_eq!(without(made.clone(), &server), fields);
        assert_eq!(given::now(&bob, &made).await, made);
    }

    async fn a_time_is_read_with_any_offset_and_written_in_utc(app: TestApp) {
        let ann = app.register("ann").await;
        for (given, kept) in [
            ("2026-12-01T17:00:00+02:00", "2026-12-01T15:00:00Z"),
            ("2026-12-01t17:00:00.1234567z", "2026-12-01T17:00:00.123456Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("2999-12-31T23:59:59Z", "2999-12-31T23:59:59Z"),
            ("2024-02-29T00:00:00-00:00", "2024-02-29T00:00:00Z"),
        ] {
            assert_eq!(task(&ann, json!({"title": given, "due_at": given})).await["due_at"], kept);
        }
    }

    async fn the_longest_values_fit_and_one_more_does_not(app: TestApp) {
        let ann = app.register("ann").await;
        let fields = |title: &str, description: &str, label: &str, labels: usize| {
            let labels: Vec<String> = (0..labels).map(|number| format!("{number:02}{label}")).collect();
            json!({"title": title.repeat(200), "description": description, "labels": labels})
        };
        let (long, longer) = ("d".repeat(DESCRIPTION_BYTES_MAX), "d".repeat(DESCRIPTION_BYTES_MAX + 1));
        let made = task(&ann, fields("ü", &long, &"ü".repeat(48), 20)).await;
        assert_eq!(given::now(&ann, &made).await, made);
        for (pointer, refused) in [
            ("/title", fields("üü", "", "", 0)),
            ("/title", fields("", "", "", 0)),
            ("/title", fields(" ", "", "", 0)),
            ("/description", fields("t", &longer, "", 0)),
            ("/description", fields("t", &"ü".repeat(DESCRIPTION_BYTES_MAX / 2 + 1), "", 0)),
            ("/labels/0", fields("t", "", &"ü".repeat(49), 1)),
            ("/labels", fields("t", "", "", 21)),
            ("/labels/1", json!({"title": "t", "labels": ["a", "a"]})),
            ("/labels/1", json!({"title": "t", "labels": ["a", ""]})),
        ] {
            ann.post("tasks", refused).await.problem(422, "invalid-body").pointer(pointer);
        }
        assert_eq!(given::walk(&ann, "").await.len(), 1, "a refused task was written");
    }

    async fn a_null_in_a_create_is_as_good_as_nothing(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({
            "title": "t", "id": null, "project_id": null, "parent_id": null, "description": null, "status": null,
            "priority": null, "labels": null, "assignee_id": null, "due_at": null
        })).await;
        assert_eq!((&made["status"], &made["priority"], &made["labels"]), (&json!("todo"), &json!("medium"), &json!([])));
        ann.post("tasks", json!({"title": null})).await.problem(422, "invalid-body").pointer("/title");
    }

    async fn a_subtask_lands_in_its_parents_project(app: TestApp) {
        let ann = app.register("ann").await;
        let project = shared_project(&ann, &[]).await;
        let parent = task(&ann, json!({"title": "parent", "project_id": project})).await;
        assert_eq!(given::subtask(&ann, &parent, "child").await["project_id"], project);
        let elsewhere = json!({"title": "t", "parent_id": parent["id"], "project_id": ann.personal_project_id});
        ann.post("tasks", elsewhere).await.problem(422, "invalid-body").pointer("/parent_id");
    }

    async fn a_task_refers_only_to_what_its_project_holds(app: TestApp) {
        let (ann, eve) = (app.register("ann").await, app.register("eve").await);
        let hers = task(&eve, json!({"title": "hers"})).await;
        let nobody = Uuid::now_v7();
        for (field, values) in [
            ("assignee_id", [json!(eve.id), json!(nobody)]),
            ("parent_id", [hers["id"].clone(), json!(nobody)]),
        ] {
            for value in values {
                let mut body = json!({"title": "mine"});
                body[field] = value;
                ann.post("tasks", body).await.problem(422, "invalid-body").pointer(&format!("/{field}"));
            }
        }
        for project in [json!(eve.personal_project_id), json!(nobody)] {
            let body = json!({"title": "mine", "project_id": project});
            ann.post("tasks", body).await.problem(404, "not-found").pointer("/project_id");
        }
    }

    async fn creating_with_the_same_id_twice_makes_one_task(app: TestApp) {
        let ann = app.register("ann").await;
        let body = json!({"id": Uuid::now_v7(), "title": "once", "labels": ["a"], "due_at": "2026-12-01T17:00:00Z"});
        let first = ann.post("tasks", body.clone()).await.expect(201);
        let again = ann.post("tasks", body.clone()).await.expect(200);
        assert_eq!(again.body, first.body);
        for header in ["location", "etag"] {
            assert_eq!(again.header(header), first.header(header));
        }
        for (field, value) in [
            ("title", json!("twice")), ("description", json!("")), ("status", json!("done")), ("priority", json!("low")),
            ("labels", json!([])), ("assignee_id", json!(ann.id)), ("due_at", json!(null)),
        ] {
            let mut other = body.clone();
            other[field] = value;
            ann.post("tasks", other).await.problem(409, "conflict").pointer("/id");
        }
        assert_eq!(given::walk(&ann, "").await, std::slice::from_ref(&first.body));
        let activity = ann.get(&format!("{}/activity", given::path(&first.body))).await.expect(200);
        assert_eq!(activity.at("/items").as_array().map(Vec::len), Some(1));
        given::patched(&ann, &first.body, json!({"title": "changed"})).await;
        ann.post("tasks", body.clone()).await.problem(409, "conflict");
        ann.delete(&given::path(&first.body)).await.expect(204);
        ann.post("tasks", body).await.problem(409, "conflict");
    }

    async fn the_id_of_anothers_task_is_taken_and_tells_nothing(app: TestApp) {
        let (ann, eve) = (app.register("ann").await, app.register("eve").await);
        let hers = task(&eve, json!({"title": "secret plan"})).await;
        let body = json!({"title": "secret plan", "id": hers["id"]});
        let reply = ann.post("tasks", body).await.problem(409, "conflict").pointer("/id");
        assert!(!reply.text.contains("secret"), "{reply}");
        assert_eq!(given::now(&eve, &hers).await, hers);
        ann.get(&given::path(&hers)).await.problem(404, "not-found");
    }

    async fn an_id_of_another_version_or_form_is_refused(app: TestApp) {
        let ann = app.register("ann").await;
        let simple = Uuid::now_v7().simple().to_string();
        let braced = Uuid::now_v7().braced().to_string();
        let version_4 = "7f8a1c8e-3f0b-4c7e-9d57-0d1f5d0c9a11";
        for id in ["", "1", version_4, simple.as_str(), braced.as_str(), "00000000-0000-0000-0000-000000000000"] {
            ann.post("tasks", json!({"title": "t", "id": id})).await.problem(422, "invalid-body").pointer("/id");
        }
    }

    async fn a_client_that_has_the_version_gets_304(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        let path = given::path(&made);
        for known in ["\"1\"", "W/\"1\"", "*", "\"7\", \"1\"", "\"7\",W/\"1\""] {
            let reply = ann.get(&path).header("if-none-match", known).await.expect(304);
            assert_eq!((reply.header("etag"), reply.text.as_str()), ("\"1\"", ""));
        }
        for other in ["\"2\"", "1", "\"01x\"", "", "\"\"", "W/1"] {
            assert_eq!(ann.get(&path).header("if-none-match", other).await.expect(200).body, made);
        }
        given::patched(&ann, &made, json!({})).await;
        let reply = ann.get(&path).header("if-none-match", "\"1\"").await.expect(200);
        assert_eq!(reply.header("etag"), "\"2\"");
    }

    async fn members_share_the_tasks_of_their_project(app: TestApp) {
        let (ann, bob, eve) = (app.register("ann").await, app.register("bob").await, app.register("eve").await);
        let project = shared_project(&ann, &[(&bob, "editor")]).await;
        let made = task(&ann, json!({"title": "ours", "project_id": project})).await;
        let changed = given::patched(&bob, &made, json!({"assignee_id": bob.id})).await;
        assert_eq!(given::now(&ann, &made).await, changed);
        assert_eq!(given::titles(&bob, "").await, ["ours"]);
        assert_eq!(given::titles(&eve, "").await, Vec::<String>::new());
        assert_eq!(given::titles(&eve, &format!("project_id={project}")).await, Vec::<String>::new());
        for reply in [
            eve.get(&given::path(&made)).await,
            eve.patch(&given::path(&made), json!({"title": "hers"})).await,
            eve.delete(&given::path(&made)).await,
            eve.post(&format!("{}/restore", given::path(&made)), json!({})).await,
            eve.get(&format!("{}/activity", given::path(&made))).await,
        ] {
            reply.problem(404, "not-found");
        }
        ann.delete(&format!("projects/{project}/members/{}", bob.id)).await.expect(204);
        bob.get(&given::path(&made)).await.problem(404, "not-found");
        assert_eq!(given::titles(&bob, "").await, Vec::<String>::new());
    }

    async fn a_viewer_reads_and_may_not_write(app: TestApp) {
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        let project = shared_project(&ann, &[(&bob, "viewer")]).await;
        let made = task(&ann, json!({"title": "look", "project_id": project})).await;
        assert_eq!(given::now(&bob, &made).await, made);
        for reply in [
            bob.post("tasks", json!({"title": "t", "project_id": project})).await,
            bob.post("tasks", json!({"title": "t", "parent_id": made["id"]})).await,
            bob.patch(&given::path(&made), json!({"title": "x"})).await,
            bob.patch(&given::path(&made), json!({"title": "x"})).header("if-match", "\"9\"").await,
            bob.delete(&given::path(&made)).await,
            bob.post(&format!("{}/restore", given::path(&made)), json!({})).await,
        ] {
            reply.problem(403, "forbidden");
        }
        assert_eq!(given::now(&ann, &made).await, made);
    }
}
