//! Writes at the same time: none is lost, and the tree of subtasks keeps its form.

use std::collections::HashMap;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::given::{self, chain, now, path, subtask, task, titles};
use super::harness::client::{Api, Call};
use super::harness::{TestApp, on_both_backends};

const DEPTH_MAX: usize = 5;

fn move_under(api: &Api, task: &Value, parent: &Value) -> Call {
    api.patch(&path(task), json!({"parent_id": parent["id"]}))
}

/// How deep the deepest living task lies. Panics at a cycle, at a tree too deep, and at a task whose parent is in the trash.
async fn check_forest(api: &Api) -> usize {
    let tasks = given::walk(api, "limit=200").await;
    let parents: HashMap<&str, Option<&str>> =
        tasks.iter().filter_map(|task| Some((task["id"].as_str()?, task["parent_id"].as_str()))).collect();
    let mut deepest = 0;
    for (id, parent) in &parents {
        let (mut depth, mut above) = (1, *parent);
        while let Some(ancestor) = above {
            depth += 1;
            assert!(depth <= DEPTH_MAX, "{id} lies deeper than {DEPTH_MAX}, or under itself: {parents:?}");
            above = *parents.get(ancestor).unwrap_or_else(|| panic!("{id} lies under {ancestor}, which is gone"));
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Asserts that each answer is a success or a refusal that the test expects.
fn count(replies: &[super::harness::reply::Reply], allowed: &[u16]) -> HashMap<u16, usize> {
    let mut counts = HashMap::new();
    for reply in replies {
        assert!(allowed.contains(&reply.status), "{reply}");
        *counts.entry(reply.status).or_default() += 1;
    }
    counts
}

on_both_backends! {
    async fn of_forty_patches_of_one_version_one_wins(app: TestApp) {
        let ann = app.register("ann").await;
        for round in 1..=3 {
            let made = task(&ann, json!({"title": "t"})).await;
            let patches = (0..40).map(|number| {
                let patch = ann.patch(&path(&made), json!({"title": number.to_string(), "status": "done"}));
                patch.header("if-match", "\"1\"").into_future()
            });
            let replies = join_all(patches).await;
            assert_eq!(count(&replies, &[200, 412]), HashMap::from([(200, 1), (412, 39)]));
            let winner = replies.iter().find(|reply| reply.status == 200).expect("one");
            assert_eq!(now(&ann, &made).await, winner.body);
            assert_eq!(winner.at("/version"), &json!(2));
            assert_eq!(given::counter(&app, "tasks_completed_total").await, round);
        }
    }

    async fn without_if_match_every_patch_counts_once(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        let patches = (0..40).map(|number| {
            let status = if number % 2 == 0 { "done" } else { "todo" };
            ann.patch(&path(&made), json!({"title": number.to_string(), "status": status})).into_future()
        });
        let replies = join_all(patches).await;
        assert_eq!(count(&replies, &[200]), HashMap::from([(200, 40)]));
        assert_eq!(now(&ann, &made).await["version"], 41);
        // Each change began where the one before it ended: no update was lost, and the activity tells a single story.
        let activity = ann.get(&format!("{}/activity?limit=200", path(&made))).await.expect(200);
        let entries = activity.at("/items").as_array().cloned().unwrap_or_default();
        assert_eq!(entries.len(), 41);
        let (mut froms, mut tos): (Vec<String>, Vec<String>) = entries
            .iter()
            .filter_map(|entry| Some(&entry["changes"]["title"]).filter(|change| change.is_object()))
            .map(|change| (change["from"].to_string(), change["to"].to_string()))
            .unzip();
        tos.push("\"t\"".into());
        froms.push(now(&ann, &made).await["title"].to_string());
        froms.sort();
        tos.sort();
        assert_eq!(froms, tos);
        let completions = entries.iter().filter(|entry| entry["changes"]["status"]["to"] == "done").count() as u64;
        assert_eq!(given::counter(&app, "tasks_completed_total").await, completions);
    }

    async fn of_many_deletes_of_one_task_one_succeeds(app: TestApp) {
        let ann = app.register("ann").await;
        let [top, second] = chain(&ann, "").await;
        let replies = join_all((0..20).map(|_| ann.delete(&path(&top)).into_future())).await;
        assert_eq!(count(&replies, &[204, 404]), HashMap::from([(204, 1), (404, 19)]));
        let restore = format!("{}/restore", path(&top));
        let replies = join_all((0..20).map(|_| ann.request(Method::POST, &restore).into_future())).await;
        assert_eq!(count(&replies, &[200]), HashMap::from([(200, 20)]));
        assert_eq!((now(&ann, &top).await["version"].clone(), now(&ann, &second).await["version"].clone()), (json!(3), json!(3)));
    }

    async fn of_many_creates_with_one_id_one_makes_it(app: TestApp) {
        let ann = app.register("ann").await;
        let body = json!({"title": "t", "id": uuid::Uuid::now_v7()});
        let replies = join_all((0..20).map(|_| ann.post("tasks", body.clone()).into_future())).await;
        assert_eq!(count(&replies, &[201, 200]), HashMap::from([(201, 1), (200, 19)]));
        assert_eq!(given::counter(&app, "tasks_created_total").await, 1);
    }

    async fn two_tasks_that_move_under_each_other_make_no_cycle(app: TestApp) {
        let ann = app.register("ann").await;
        for round in 0..30 {
            let [a] = chain(&ann, "a").await;
            let [b, c] = chain(&ann, "b").await;
            let moves = [move_under(&ann, &a, &c), move_under(&ann, &b, &a), move_under(&ann, &c, &a)];
            let replies = join_all(moves.into_iter().map(IntoFuture::into_future)).await;
            count(&replies, &[200, 422]);
            check_forest(&ann).await;
            if round % 10 == 9 {
                for task in given::walk(&ann, "limit=200").await {
                    ann.patch(&path(&task), json!({"parent_id": null})).await.expect(200);
                }
            }
        }
    }

    async fn trees_that_grow_and_move_at_once_stay_five_deep(app: TestApp) {
        let ann = app.register("ann").await;
        for _ in 0..15 {
            let [top, second, third] = chain(&ann, "t").await;
            let [over, under] = chain(&ann, "u").await;
            let create = |parent: &Value| ann.post("tasks", json!({"title": "new", "parent_id": parent["id"]}));
            // Each alone fits; the moves with the new subtasks, and both moves together, do not.
            let writes = [
                move_under(&ann, &top, &under), create(&third), create(&third), move_under(&ann, &over, &third),
                create(&under), move_under(&ann, &second, &under),
            ];
            let replies = join_all(writes.into_iter().map(IntoFuture::into_future)).await;
            let counts = count(&replies, &[200, 201, 422]);
            assert!(counts.contains_key(&200) && counts.contains_key(&201), "{counts:?}");
            assert!(check_forest(&ann).await > 3);
            for task in [&top, &over] {
                ann.delete(&path(task)).await;
            }
        }
    }

    async fn no_subtask_is_left_behind_when_its_parent_goes(app: TestApp) {
        let ann = app.register("ann").await;
        for _ in 0..20 {
            let [parent] = chain(&ann, "parent").await;
            let [loose] = chain(&ann, "loose").await;
            let create = |number: usize| ann.post("tasks", json!({"title": number.to_string(), "parent_id": parent["id"]}));
            let writes = [create(1), ann.delete(&path(&parent)), create(2), move_under(&ann, &loose, &parent), create(3)];
            let replies = join_all(writes.into_iter().map(IntoFuture::into_future)).await;
            count(&replies, &[201, 200, 204, 422]);
            check_forest(&ann).await;
        }
    }

    async fn a_restore_and_a_move_at_once_stay_five_deep(app: TestApp) {
        let ann = app.register("ann").await;
        for _ in 0..15 {
            let [top, second, _, fourth] = chain(&ann, "t").await;
            subtask(&ann, &fourth, "t5").await;
            let [_, under] = chain(&ann, "u").await;
            ann.delete(&path(&second)).await.expect(204);
            let restore = ann.request(Method::POST, &format!("{}/restore", path(&second)));
            let writes = [restore, move_under(&ann, &top, &under)];
            let replies = join_all(writes.into_iter().map(IntoFuture::into_future)).await;
            assert_eq!(count(&replies, &[200, 409, 422]).get(&200), Some(&1), "only one of them fits");
            check_forest(&ann).await;
        }
    }

    async fn batches_that_cross_each_other_all_succeed(app: TestApp) {
        let ann = app.register("ann").await;
        let mut operations = Vec::new();
        for number in 0..20 {
            let made = task(&ann, json!({"title": number.to_string()})).await;
            operations.push(json!({"op": "update", "id": made["id"], "patch": {"description": "touched"}}));
        }
        let reversed: Vec<Value> = operations.iter().rev().cloned().collect();
        for round in 1..=5 {
            let send = |operations: &Vec<Value>| ann.post("tasks/batch", json!({"operations": operations, "atomic": true}));
            let batches = (0..6).map(|number| send(if number % 2 == 0 { &operations } else { &reversed }).into_future());
            let replies = join_all(batches).await;
            assert_eq!(count(&replies, &[200]), HashMap::from([(200, 6)]), "round {round}");
        }
        let versions = given::walk(&ann, "").await;
        assert!(versions.iter().all(|task| task["version"] == 31), "{versions:?}");
    }

    async fn batches_that_lift_tasks_out_of_their_trees_do_not_wait_for_each_other_in_a_circle(app: TestApp) {
        let ann = app.register("ann").await;
        for _ in 0..5 {
            let [_, second, _] = chain(&ann, "t").await;
            let [_, other, _] = chain(&ann, "other").await;
            let lift = |task: &Value, and: &Value| {
                let operations = json!([
                    {"op": "update", "id": task["id"], "patch": {"parent_id": null}},
                    {"op": "update", "id": and["id"], "patch": {"title": "seen"}},
                ]);
                ann.post("tasks/batch", json!({"operations": operations, "atomic": true}))
            };
            let batches = (0..8).map(|at| if at % 2 == 0 { lift(&second, &other) } else { lift(&other, &second) });
            let replies = join_all(batches.map(IntoFuture::into_future)).await;
            assert_eq!(count(&replies, &[200]), HashMap::from([(200, 8)]));
        }
        check_forest(&ann).await;
    }

    async fn a_batch_and_single_writes_in_its_tree_all_succeed(app: TestApp) {
        let ann = app.register("ann").await;
        for _ in 0..5 {
            let [top, second, _] = chain(&ann, "t").await;
            let operations = json!([
                {"op": "update", "id": second["id"], "patch": {"title": "in a batch"}},
                {"op": "create", "task": {"title": "new", "parent_id": top["id"]}},
                {"op": "update", "id": top["id"], "patch": {"title": "in a batch"}},
            ]);
            let batch = || ann.post("tasks/batch", json!({"operations": operations, "atomic": true}));
            let [other] = chain(&ann, "other").await;
            let writes = [batch(), move_under(&ann, &second, &other), batch(), move_under(&ann, &second, &top), batch()];
            let replies = join_all(writes.into_iter().map(IntoFuture::into_future)).await;
            assert_eq!(count(&replies, &[200]), HashMap::from([(200, 5)]));
            check_forest(&ann).await;
        }
        assert_eq!(titles(&ann, "limit=200").await.len(), 5 * 7);
    }
}
