//! Pages, walked from the first to the last: each task is there once, in the order asked for.

use serde_json::{Value, json};

use crate::harness::{TestApp, on_both_backends};

const SORTS: [&str; 4] = ["created_at", "updated_at", "due_at", "priority"];

on_both_backends! {
    /// Tasks without a due date, too, of which there are more than a page holds.
    async fn a_walk_in_any_order_meets_each_task_once(app: TestApp) {
        let ann = app.register("ann").await;
        for number in 0..9 {
            let due_at = (number % 3 == 0).then(|| format!("2027-01-0{}T00:00:00Z", 1 + number / 3));
            let priority = ["low", "urgent"][number % 2];
            let task = json!({"title": format!("task {number}"), "due_at": due_at, "priority": priority});
            ann.post("tasks", task).await.expect(201);
        }
        for sort in SORTS {
            let whole = walk(&ann, sort, 200).await;
            assert_eq!(whole.len(), 9);
            assert_eq!(walk(&ann, sort, 2).await, whole, "by {sort}");
            let mut back = walk(&ann, &format!("-{sort}"), 2).await;
            back.reverse();
            assert_eq!(back, whole, "by -{sort}");
        }
    }

    /// Whoever asks what is due wants the soonest first; `sort` still has its way.
    async fn what_is_due_comes_soonest_first(app: TestApp) {
        let ann = app.register("ann").await;
        for day in [3, 1, 4, 2] {
            let task = json!({"title": day.to_string(), "due_at": format!("2027-01-0{day}T00:00:00Z")});
            ann.post("tasks", task).await.expect(201);
        }
        ann.post("tasks", json!({"title": "whenever"})).await.expect(201);
        let titles = async |query: &str| walk(&ann, query, 2).await;
        assert_eq!(titles("due_at&due_after=2027-01-02T00:00:00Z").await, ["2", "3", "4"]);
        assert_eq!(titles("-due_at&due_after=2027-01-02T00:00:00Z").await, ["4", "3", "2"]);
        assert_eq!(titles("-due_at&due_before=2027-01-04T00:00:00Z").await, ["3", "2", "1"]);
        let range = "due_after=2027-01-02T00:00:00Z&due_before=2027-01-04T00:00:00Z";
        let page = ann.get(&format!("tasks?{range}")).await.expect(200);
        assert_eq!((page.at("/items/0/title"), page.at("/items/1/title")), (&json!("2"), &json!("3")));
        ann.get(&format!("tasks?{range}&sort=created_at")).await.problem(400, "unsupported-query").pointer("/sort");
    }
}

/// The titles of all pages of this size.
async fn walk(ann: &crate::harness::client::Api, sort: &str, limit: usize) -> Vec<Value> {
    let mut titles = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = ann.get(&format!("tasks?sort={sort}&limit={limit}{cursor}")).await.expect(200);
        titles.extend(page.at("/items").as_array().into_iter().flatten().map(|task| task["title"].clone()));
        match page.at("/next_cursor").as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return titles,
        }
    }
}
