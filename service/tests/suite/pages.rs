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
