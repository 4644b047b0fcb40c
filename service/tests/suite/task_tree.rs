//! Subtasks: how deep they go, that no task lies under itself, and what happens to a tree that is deleted and restored.

use std::time::Duration;

use serde_json::{Value, json};

use super::given::{self, app_at_noon, chain, patched, path, subtask, task};
use super::harness::client::Api;
use super::harness::{Backend, TestApp, on_both_backends};

async fn is_gone(api: &Api, task: &Value) -> bool {
    match api.get(&path(task)).await {
        reply if reply.status == 404 => true,
        reply => reply.expect(200).body.is_null(),
    }
}

async fn delete(api: &Api, task: &Value) {
    api.delete(&path(task)).await.expect(204);
}

on_both_backends! {
    async fn subtasks_go_five_deep_and_no_deeper(app: TestApp) {
        let ann = app.register("ann").await;
        let [top, second, .., fifth] = chain::<5>(&ann, "depth ").await;
        let sixth = json!({"title": "6", "parent_id": fifth["id"]});
        ann.post("tasks", sixth).await.problem(422, "invalid-body").pointer("/parent_id");
        let [alone] = chain(&ann, "alone ").await;
        let under = |parent: &Value| json!({"parent_id": parent["id"]});
        ann.patch(&path(&alone), under(&fifth)).await.problem(422, "invalid-body").pointer("/parent_id");
        ann.patch(&path(&top), under(&alone)).await.problem(422, "invalid-body").pointer("/parent_id");
        patched(&ann, &second, under(&alone)).await; // four under one: just fits
        subtask(&ann, &top, "again").await;
    }

    async fn no_task_lies_under_itself(app: TestApp) {
        let ann = app.register("ann").await;
        let [top, middle, bottom] = chain(&ann, "").await;
        for below in [&top, &middle, &bottom] {
            let patch = ann.patch(&path(&top), json!({"parent_id": below["id"]})).await;
            patch.problem(422, "invalid-body").pointer("/parent_id");
        }
        assert_eq!(given::now(&ann, &top).await, top);
        patched(&ann, &bottom, json!({"parent_id": top["id"]})).await;
        patched(&ann, &middle, json!({"parent_id": bottom["id"]})).await;
        ann.patch(&path(&bottom), json!({"parent_id": middle["id"]})).await.problem(422, "").pointer("/parent_id");
    }

    async fn a_task_moves_only_within_its_project(app: TestApp) {
        let (ann, eve) = (app.register("ann").await, app.register("eve").await);
        let project = given::shared_project(&ann, &[]).await;
        let here = task(&ann, json!({"title": "here"})).await;
        let there = task(&ann, json!({"title": "there", "project_id": project})).await;
        let hers = task(&eve, json!({"title": "hers"})).await;
        let trashed = task(&ann, json!({"title": "trashed"})).await;
        delete(&ann, &trashed).await;
        for parent in [&there, &hers, &trashed] {
            let patch = ann.patch(&path(&here), json!({"parent_id": parent["id"]})).await;
            patch.problem(422, "invalid-body").pointer("/parent_id");
        }
        assert_eq!(given::now(&ann, &here).await, here);
    }

    async fn the_direct_subtasks_of_a_task_are_listed(app: TestApp) {
        let ann = app.register("ann").await;
        let [top, second, _] = chain(&ann, "depth ").await;
        subtask(&ann, &top, "other").await;
        assert_eq!(given::titles(&ann, &format!("parent_id={}", top["id"].as_str().expect("an id"))).await, ["other", "depth 2"]);
        assert_eq!(given::titles(&ann, &format!("parent_id={}", second["id"].as_str().expect("an id"))).await, ["depth 3"]);
    }

    async fn a_deleted_task_is_gone_with_its_subtasks_and_no_others(app: TestApp) {
        let ann = app.register("ann").await;
        let [top, second, third] = chain(&ann, "").await;
        let sibling = subtask(&ann, &top, "sibling").await;
        let reply = ann.delete(&path(&second)).header("if-match", "\"1\"").await.expect(204);
        assert_eq!(reply.text, "");
        for task in [&second, &third] {
            ann.get(&path(task)).await.problem(404, "not-found");
            ann.get(&format!("{}/activity", path(task))).await.problem(404, "not-found");
            ann.patch(&path(task), json!({"title": "x"})).await.problem(404, "not-found");
            ann.delete(&path(task)).await.problem(404, "not-found");
        }
        assert_eq!((given::now(&ann, &top).await, given::now(&ann, &sibling).await), (top, sibling));
        assert_eq!(given::titles(&ann, "sort=created_at").await, ["1", "sibling"]);
        ann.post("tasks", json!({"title": "t", "parent_id": second["id"]})).await.problem(422, "").pointer("/parent_id");
    }

    async fn restoring_brings_back_what_went_with_the_task_and_only_that(backend: Backend) {
        let (app, clock) = app_at_noon(backend).await;
        let ann = app.register("ann").await;
        let [top, second, third] = chain(&ann, "").await;
        let before = subtask(&ann, &top, "deleted before").await;
        delete(&ann, &before).await;
        clock.advance(Duration::from_secs(1));
        delete(&ann, &top).await;
        clock.advance(Duration::from_secs(1));
        let reply = ann.post(&format!("{}/restore", path(&top)), json!(null)).await.expect(200);
        assert_eq!((reply.at("/version"), reply.header("etag")), (&json!(3), "\"3\""));
        assert_eq!(reply.text_at("/updated_at"), "2026-11-20T12:00:02.123456Z");
        assert_eq!(given::now(&ann, &top).await, reply.body);
        for task in [&second, &third] {
            let back = given::now(&ann, task).await;
            assert_eq!((&back["version"], &back["parent_id"]), (&json!(3), &task["parent_id"]));
        }
        assert!(is_gone(&ann, &before).await, "it was in the trash before");
        assert_eq!(given::titles(&ann, "sort=created_at").await, ["1", "2", "3"]);
        ann.post(&format!("{}/restore", path(&before)), json!(null)).await.expect(200);
        assert_eq!(given::titles(&ann, "sort=created_at").await, ["1", "2", "3", "deleted before"]);
    }

    async fn restoring_a_living_task_changes_nothing(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        let reply = ann.post(&format!("{}/restore", path(&made)), json!(null)).await.expect(200);
        assert_eq!((&reply.body, reply.header("etag")), (&made, "\"1\""));
    }

    async fn a_subtask_comes_back_only_after_its_parent(app: TestApp) {
        let ann = app.register("ann").await;
        let [top, second] = chain(&ann, "").await;
        delete(&ann, &top).await;
        ann.post(&format!("{}/restore", path(&second)), json!(null)).await.problem(409, "conflict");
        assert!(is_gone(&ann, &second).await, "its parent is in the trash");
        ann.post(&format!("{}/restore", path(&top)), json!(null)).await.expect(200);
        ann.post(&format!("{}/restore", path(&second)), json!(null)).await.expect(200);
    }

    async fn a_restored_tree_is_no_deeper_than_any_other(app: TestApp) {
        let ann = app.register("ann").await;
        let [top, second, .., fifth] = chain::<5>(&ann, "").await;
        let [over, under] = chain(&ann, "above ").await;
        delete(&ann, &second).await;
        patched(&ann, &top, json!({"parent_id": under["id"]})).await; // third now, and its tree in the trash has four more
        ann.post(&format!("{}/restore", path(&second)), json!(null)).await.problem(409, "conflict");
        assert!(is_gone(&ann, &second).await && is_gone(&ann, &fifth).await, "a refused restore brought something back");
        patched(&ann, &top, json!({"parent_id": null})).await;
        ann.post(&format!("{}/restore", path(&second)), json!(null)).await.expect(200);
        assert_eq!(given::now(&ann, &fifth).await["version"], 3);
        assert_eq!(given::now(&ann, &over).await, over);
    }
}
