//! Lists out of memory: they show what is in the database, whoever wrote it, and keep nothing of what is erased.

use diesel::connection::SimpleConnection as _;
use serde_json::{Value, json};

use super::given::{self, chain, patched, path, shared_project, task, titles};
use super::harness::app::Storage;
use super::harness::client::{Api, User};
use super::harness::scrape::Scrape;
use super::harness::{Backend, TestApp, on_both_backends};

/// The lists that show all tasks of a few, by different statements.
const LISTS: [&str; 7] = ["", "sort=-updated_at", "sort=due_at", "sort=priority", "label=red", "q=word", "limit=200"];

/// Every list shows each of `ids` as a read of that task alone does.
async fn assert_listed(api: &Api, ids: &[&Value]) {
    for query in LISTS {
        let items = given::walk(api, query).await;
        assert_eq!(items.len(), ids.len(), "{query}");
        for item in items {
            assert!(ids.contains(&&item["id"]), "{query}: {item}");
            assert_eq!(item, given::now(api, &item).await, "{query}");
        }
    }
}

async fn change_and_list(ann: &User) {
    let fields = |title: &str| json!({"title": title, "description": "a word", "labels": ["red", "\"x\""]});
    let parent = task(ann, fields("parent")).await;
    let mut child = fields("child");
    child["parent_id"] = parent["id"].clone();
    let child = task(ann, child).await;
    let (parent_id, child_id) = (&parent["id"], &child["id"]);
    assert_listed(ann, &[parent_id, child_id]).await;
    for change in [
        json!({"title": "another word"}),
        json!({"description": null, "title": "its word"}),
        json!({"status": "done"}),
        json!({"priority": "urgent", "due_at": "2027-01-01T00:00:00.5Z"}),
        json!({"labels": ["red"], "assignee_id": ann.id}),
        json!({"status": "todo", "parent_id": null}),
    ] {
        patched(ann, &given::now(ann, &child).await, change).await;
        assert_listed(ann, &[parent_id, child_id]).await;
    }
    ann.delete(&path(&child)).await.expect(204);
    assert_listed(ann, &[parent_id]).await;
    ann.post(&format!("{}/restore", path(&child)), json!(null)).await.expect(200);
    assert_listed(ann, &[parent_id, child_id]).await;
    ann.delete(&format!("{}?permanent=true", path(&parent))).await.expect(204);
    ann.delete(&format!("{}?permanent=true", path(&child))).await.expect(204);
    assert_listed(ann, &[]).await;
}

on_both_backends! {
    async fn every_list_shows_what_was_changed_since_the_last_one(app: TestApp) {
        let ann = app.register("ann").await;
        // With a personal one, five are more than SQLite merges.
        for projects in [0, 4] {
            for _ in 0..projects {
                shared_project(&ann, &[]).await;
            }
            change_and_list(&ann).await;
        }
    }

    async fn who_is_no_member_any_more_is_shown_nothing_that_was_listed_before(app: TestApp) {
        let (ann, ben) = (app.register("ann").await, app.register("ben").await);
        let project = shared_project(&ann, &[(&ben, "viewer")]).await;
        task(&ann, json!({"title": "a word", "labels": ["red"], "project_id": project})).await;
        for query in LISTS {
            assert_eq!(titles(&ben, query).await, ["a word"], "{query}");
        }
        ann.delete(&format!("projects/{project}/members/{}", ben.id)).await.expect(204);
        for query in LISTS {
            assert_eq!(titles(&ben, query).await, [""; 0], "{query}");
            assert_eq!(titles(&ann, query).await, ["a word"], "{query}");
        }
    }
}

#[tokio::test]
async fn what_another_process_has_written_is_listed() {
    let app = TestApp::spawn(Backend::Sqlite).await;
    let ann = app.register("ann").await;
    let listed = task(&ann, json!({"title": "ours"})).await;
    assert_eq!(titles(&ann, "").await, ["ours"]);
    let Storage::Sqlite(file) = &app.storage else { panic!("not a file") };
    let other = |text: &str| file.connect().batch_execute(text).expect("a write");
    other("UPDATE tasks SET title = 'theirs', version = version + 1");
    assert_eq!(titles(&ann, "").await, ["theirs"]);
    // Made again under its id, it has the version of one that was listed before.
    other("DELETE FROM tasks");
    ann.post("tasks", json!({"title": "another", "id": listed["id"]})).await.expect(201);
    patched(&ann, &listed, json!({"title": "again"})).await;
    assert_eq!(titles(&ann, "").await, ["again"]);
}

#[tokio::test]
async fn a_list_finds_in_memory_what_one_before_has_read_until_something_is_erased() {
    let app = TestApp::spawn(Backend::Sqlite).await;
    let ann = app.register("ann").await;
    let [top, _, _, _, _] = chain(&ann, "").await;
    let looked = async || {
        let scrape = Scrape::of(&app.admin).await;
        let found = |result| scrape.sum("sqlite_task_cache_lookups_total", &[("result", result)]);
        (found("hit"), found("miss"), scrape.value("sqlite_task_cache_bytes") > 0.0)
    };
    assert_eq!(looked().await, (0.0, 0.0, false));
    titles(&ann, "").await;
    assert_eq!(looked().await, (0.0, 5.0, true));
    titles(&ann, "limit=2").await; // twenty are asked for at least
    assert_eq!(looked().await, (5.0, 5.0, true));
    patched(&ann, &top, json!({"title": "changed"})).await;
    titles(&ann, "").await;
    assert_eq!(looked().await, (9.0, 6.0, true));
    ann.delete(&format!("{}?permanent=true", path(&top))).await.expect(204);
    assert_eq!(looked().await, (9.0, 6.0, false), "a task that is erased is kept");
}
