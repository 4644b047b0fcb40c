//! Lists of tasks: filters, orders, limits, and what is not served.

use serde_json::json;

use super::given::{self, patched, task, titles, titles_of, walk};
use super::harness::client::User;
use super::harness::{TestApp, on_both_backends};

/// Five tasks, each made after the one before, different in everything that can be filtered or sorted.
async fn five(ann: &User) {
    for (title, status, priority, labels, due_at) in [
        ("a", "todo", "low", json!(["red"]), json!("2026-12-03T00:00:00Z")),
        ("b", "done", "urgent", json!(["red", "blue"]), json!(null)),
        ("c", "todo", "medium", json!(["Red"]), json!("2026-12-01T00:00:00Z")),
        ("d", "blocked", "urgent", json!([]), json!("2026-12-02T00:00:00Z")),
        ("e", "todo", "high", json!(["re", "d%", "\"x\""]), json!(null)),
    ] {
        let fields =
            json!({"title": title, "status": status, "priority": priority, "labels": labels, "due_at": due_at});
        task(ann, fields).await;
    }
}

fn letters(text: &str) -> Vec<String> {
    text.chars().map(String::from).collect()
}

on_both_backends! {
    async fn a_new_user_has_no_tasks(app: TestApp) {
        let ann = app.register("ann").await;
        let page = ann.get("tasks").await.expect(200);
        assert_eq!(page.body, json!({"items": [], "next_cursor": null}));
        assert!(!page.headers.contains_key("link"), "{page}");
    }

    async fn each_sort_goes_both_ways(app: TestApp) {
        let ann = app.register("ann").await;
        five(&ann).await;
        for (sort, expected) in [
            ("created_at", "abcde"), ("priority", "acebd"), ("due_at", "cdabe"), ("updated_at", "abcde"),
        ] {
            let expected = letters(expected);
            let reversed: Vec<String> = expected.iter().rev().cloned().collect();
            assert_eq!(titles(&ann, &format!("sort={sort}")).await, expected, "{sort}");
            assert_eq!(titles(&ann, &format!("sort=-{sort}")).await, reversed, "-{sort}");
            for limit in 1..=5 {
                let paged = walk(&ann, &format!("sort={sort}&limit={limit}")).await;
                let paged: Vec<&str> = paged.iter().filter_map(|task| task["title"].as_str()).collect();
                assert_eq!(paged, expected, "{sort} by {limit}");
            }
        }
        assert_eq!(titles(&ann, "").await, letters("edcba"), "newest first unless asked");
    }

    async fn the_last_change_moves_a_task_in_the_order_of_changes(app: TestApp) {
        let ann = app.register("ann").await;
        five(&ann).await;
        let second = ann.get("tasks?sort=created_at").await.expect(200).at("/items/1").clone();
        patched(&ann, &second, json!({"description": "touched"})).await;
        assert_eq!(titles(&ann, "sort=updated_at").await, letters("acdeb"));
        assert_eq!(titles(&ann, "sort=created_at").await, letters("abcde"));
    }

    async fn each_filter_shows_what_matches(app: TestApp) {
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        five(&ann).await;
        let project = given::shared_project(&ann, &[(&bob, "editor")]).await;
        let ours = task(&ann, json!({"title": "f", "project_id": project, "assignee_id": bob.id})).await;
        let own = &ann.personal_project_id;
        task(&bob, json!({"title": "g", "parent_id": ours["id"], "due_at": "2026-12-02T00:00:00.000001Z"})).await;
        let parent = ours["id"].as_str().expect("an id");
        for (query, expected) in [
            (format!("project_id={own}"), "abcde"),
            (format!("project_id={project}"), "fg"),
            (format!("project_id={parent}"), ""),
            ("status=todo".into(), "acefg"),
            ("status=done".into(), "b"),
            ("status=cancelled".into(), ""),
            ("priority=urgent".into(), "bd"),
            ("priority=medium".into(), "cfg"),
            (format!("assignee_id={}", bob.id), "f"),
            (format!("assignee_id={}", ann.id), ""),
            (format!("parent_id={parent}"), "g"),
            ("label=red".into(), "ab"),
            ("label=Red".into(), "c"),
            ("label=re".into(), "e"),
            ("label=d%25".into(), "e"),
            ("label=%22x%22".into(), "e"),
            ("label=green".into(), ""),
            ("due_before=2026-12-02T00:00:00Z".into(), "c"),
            ("due_before=2026-12-02T00:00:00.000001Z".into(), "cd"),
            ("due_after=2026-12-02T00:00:00Z".into(), "dga"),
            ("due_after=2026-12-02T02:00:00%2B02:00".into(), "dga"),
            ("due_after=2026-12-02T00:00:00Z&due_before=2026-12-03T00:00:00Z".into(), "dg"),
            ("due_after=2026-12-03T00:00:00Z&due_before=2026-12-01T00:00:00Z".into(), ""),
            (format!("status=todo&label=red&priority=low&project_id={own}&due_after=2026-12-01T00:00:00Z"), "a"),
            ("status=todo&label=red&priority=high".into(), ""),
        ] {
            // Filters by due date are served in the order of due dates alone.
            let sort = if query.contains("due_") { "due_at" } else { "created_at" };
            assert_eq!(titles(&ann, &format!("{query}&sort={sort}")).await, letters(expected), "{query}");
            let mut reversed = titles(&ann, &format!("{query}&sort=-{sort}")).await;
            reversed.reverse();
            assert_eq!(reversed, letters(expected), "{query}, backwards");
        }
        assert_eq!(titles(&bob, "sort=created_at").await, letters("fg"));
    }

    async fn filters_hold_in_every_order_that_serves_them(app: TestApp) {
        let ann = app.register("ann").await;
        five(&ann).await;
        for (query, expected) in [
            ("status=todo&sort=priority", "ace"),
            ("status=todo&sort=-due_at", "eac"),
            ("status=todo&sort=-updated_at", "eca"),
            ("label=red", "ba"),
            ("due_after=2026-12-02T00:00:00Z", "da"),
            ("priority=urgent&sort=priority", "bd"),
            ("priority=urgent&sort=-priority", "db"),
            ("due_before=2026-12-03T00:00:00Z&sort=due_at", "cd"),
            ("due_after=2026-12-02T00:00:00Z&sort=-due_at", "ad"),
            ("due_after=2026-12-02T00:00:00Z&due_before=2026-12-09T00:00:00Z&sort=due_at", "da"),
        ] {
            assert_eq!(titles(&ann, query).await, letters(expected), "{query}");
            let paged = walk(&ann, &format!("{query}&limit=1")).await;
            assert_eq!(paged.len(), expected.len(), "{query}, by one");
        }
    }

    async fn what_is_not_served_together_is_refused_and_what_is_is_named(app: TestApp) {
        let ann = app.register("ann").await;
        for (filter, value, served) in [
            ("q", "word", &["created_at"][..]),
            ("label", "red", &["created_at"]),
            ("parent_id", ann.id.as_str(), &["created_at"]),
            ("assignee_id", ann.id.as_str(), &["created_at", "due_at"]),
            ("due_before", "2026-12-01T00:00:00Z", &["due_at"]),
            ("due_after", "2026-12-01T00:00:00Z", &["due_at"]),
            ("priority", "low", &["created_at", "priority"]),
        ] {
            for sort in ["created_at", "updated_at", "due_at", "priority"] {
                for way in ["", "-"] {
                    let reply = ann.get(&format!("tasks?{filter}={value}&sort={way}{sort}")).await;
                    if served.contains(&sort) {
                        reply.expect(200);
                        continue;
                    }
                    let reply = reply.problem(400, "unsupported-query").pointer("/sort");
                    let detail = reply.text_at("/detail");
                    assert!(served.iter().all(|name| detail.contains(name)) && detail.contains(filter), "{reply}");
                }
            }
        }
    }

    async fn an_unknown_or_repeated_parameter_is_refused(app: TestApp) {
        let ann = app.register("ann").await;
        for (query, pointer) in [
            ("colour=red", "/colour"), ("Status=todo", "/Status"), ("status%20=todo", "/status "), ("=x", "/"),
            ("offset=3", "/offset"), ("status=todo&status=done", "/status"), ("limit=1&limit=1", "/limit"),
            ("label=a&label=a", "/label"), ("cursor=a&cursor=b", "/cursor"), ("sort=priority&sort=priority", "/sort"),
            ("status[]=todo", "/status[]"), ("status", "/status"), ("status=", "/status"), ("priority=1", "/priority"),
            ("status=Todo", "/status"), ("sort=", "/sort"), ("sort=--priority", "/sort"), ("sort=title", "/sort"),
            ("sort=%2Bpriority", "/sort"), ("project_id=1", "/project_id"), ("assignee_id=me", "/assignee_id"),
            ("parent_id=null", "/parent_id"), ("label=", "/label"), ("due_before=tomorrow", "/due_before"),
            ("due_after=2026-12-01", "/due_after"), ("due_after=2026-02-30T00:00:00Z", "/due_after"), ("q=", "/q"),
            ("q=%22", "/q"), ("q=...", "/q"),
        ] {
            ann.get(&format!("tasks?{query}")).await.problem(400, "invalid-parameter").pointer(pointer);
        }
        let long = "x".repeat(51);
        ann.get(&format!("tasks?label={long}")).await.problem(400, "invalid-parameter").pointer("/label");
        let long = "x".repeat(201);
        ann.get(&format!("tasks?q={long}")).await.problem(400, "invalid-parameter").pointer("/q");
        let many = "x+".repeat(17);
        ann.get(&format!("tasks?q={many}")).await.problem(400, "invalid-parameter").pointer("/q");
    }

    async fn a_limit_is_from_1_to_200(app: TestApp) {
        let ann = app.register("ann").await;
        let create = |number: usize| json!({"op": "create", "task": {"title": number.to_string()}});
        for from in [0, 100, 200] {
            let operations: Vec<_> = (from..(from + 100).min(201)).map(create).collect();
            ann.post("tasks/batch", json!({"operations": operations, "atomic": true})).await.expect(200);
        }
        for refused in ["0", "201", "-1", "1.0", "1e2", "+5", "%2B5", "", "x", "0x10", "99999999999999999999", " 5", "5%20"] {
            ann.get(&format!("tasks?limit={refused}")).await.problem(400, "invalid-parameter").pointer("/limit");
        }
        for limit in [1, 20, 21, 49, 50, 51, 100, 101, 199, 200] {
            let page = ann.get(&format!("tasks?limit={limit}")).await.expect(200);
            assert_eq!(titles_of(&page).len(), limit);
            assert!(page.at("/next_cursor").is_string(), "201 tasks do not fit on a page of {limit}");
            assert_eq!(walk(&ann, &format!("limit={limit}")).await.len(), 201);
        }
        assert_eq!(titles(&ann, "").await.len(), 50);
        assert_eq!(titles(&ann, "limit=007").await.len(), 7);
    }

    async fn the_link_header_leads_to_the_next_page(app: TestApp) {
        let ann = app.register("ann").await;
        for title in ["one", "two", "three"] {
            task(&ann, json!({"title": title, "labels": ["a&b=c ü%"]})).await;
        }
        let query = "tasks?label=a%26b%3Dc+%C3%BC%25&limit=2&sort=created_at";
        let first = ann.get(query).await.expect(200);
        assert_eq!(titles_of(&first), ["one", "two"]);
        let link = first.header("link");
        let target = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).expect(link);
        assert!(target.contains(&format!("cursor={}", first.text_at("/next_cursor"))), "{first}");
        let second = ann.get(target).await.expect(200);
        assert_eq!(titles_of(&second), ["three"]);
        assert!(second.at("/next_cursor").is_null() && !second.headers.contains_key("link"), "{second}");
    }

    async fn a_page_that_ends_the_list_exactly_has_no_next(app: TestApp) {
        let ann = app.register("ann").await;
        five(&ann).await;
        for limit in [5, 6] {
            let page = ann.get(&format!("tasks?limit={limit}")).await.expect(200);
            assert!(page.at("/next_cursor").is_null(), "{page}");
        }
    }

    async fn tasks_of_several_projects_merge_in_order(app: TestApp) {
        let ann = app.register("ann").await;
        let mut projects = vec![ann.personal_project_id.clone()];
        for _ in 0..3 {
            projects.push(given::shared_project(&ann, &[]).await);
        }
        let mut made = Vec::new();
        for number in 0..40_usize {
            let day = 1 + number * 7 % 28;
            let due_at = if number % 5 == 0 { json!(null) } else { json!(format!("2026-12-{day:02}T00:00:00Z")) };
            let fields = json!({"title": number.to_string(), "project_id": projects[number * 3 % 4], "due_at": due_at});
            made.push(task(&ann, fields).await);
        }
        let ids = |tasks: &[serde_json::Value]| -> Vec<String> {
            tasks.iter().filter_map(|task| Some(task["id"].as_str()?.to_owned())).collect()
        };
        assert_eq!(ids(&walk(&ann, "sort=created_at&limit=7").await), ids(&made));
        made.sort_by_key(|task| {
            let due_at = task["due_at"].as_str().unwrap_or("9999").to_owned();
            (due_at, task["id"].as_str().map(str::to_owned))
        });
        assert_eq!(ids(&walk(&ann, "sort=due_at&limit=7").await), ids(&made));
        made.reverse();
        assert_eq!(ids(&walk(&ann, "sort=-due_at&limit=7").await), ids(&made));
    }
    async fn a_list_is_the_same_over_any_number_of_projects(app: TestApp) {
        let ann = app.register("ann").await;
        let (mut projects, mut made) = (vec![ann.personal_project_id.clone()], Vec::new());
        let numbers = |tasks: &[serde_json::Value]| -> Vec<u64> {
            tasks.iter().filter_map(|task| task["title"].as_str()?.strip_prefix("number ")?.parse().ok()).collect()
        };
        for stage in 0..6 {
            for number in stage * 4..stage * 4 + 4 {
                let due_at = format!("2026-12-{:02}T00:00:00Z", 1 + number * 5 % 28);
                let priority = ["low", "medium", "high", "urgent"][number * 3 % 4];
                let status = ["todo", "blocked", "done"][number % 3];
                let label = ["even", "odd"][number % 2];
                let (title, project_id) = (format!("number {number}"), &projects[number % projects.len()]);
                let fields = json!({
                    "title": title, "project_id": project_id, "due_at": due_at, "priority": priority, "status": status,
                    "labels": [label], "description": label,
                });
                made.push(task(&ann, fields).await);
            }
            let all: Vec<u64> = (0..made.len() as u64).collect();
            let ordered = |key: fn(u64) -> u64| {
                let mut ordered = all.clone();
                ordered.sort_by_key(|number| (key(*number), *number));
                ordered
            };
            let only = |keep: fn(u64) -> bool| all.iter().copied().filter(|number| keep(*number)).collect::<Vec<_>>();
            for (query, expected) in [
                ("sort=created_at", all.clone()),
                ("sort=updated_at", all.clone()),
                ("sort=due_at", ordered(|number| number * 5 % 28)),
                ("sort=priority", ordered(|number| number * 3 % 4)),
                ("sort=created_at&status=done", only(|number| number % 3 == 2)),
                ("sort=created_at&priority=high", only(|number| number * 3 % 4 == 2)),
                ("sort=created_at&label=odd", only(|number| number % 2 == 1)),
                ("sort=created_at&q=number", all.clone()),
                ("sort=created_at&q=ODD", only(|number| number % 2 == 1)),
                ("sort=created_at&q=number%203", only(|number| number == 3)),
                ("sort=created_at&status=done&label=odd", only(|number| number % 6 == 5)),
                (
                    "sort=due_at&due_before=2026-12-20T00:00:00Z",
                    ordered(|number| number * 5 % 28).into_iter().filter(|number| number * 5 % 28 < 19).collect(),
                ),
            ] {
                let reversed = query.replacen("sort=", "sort=-", 1);
                let backwards: Vec<u64> = expected.iter().rev().copied().collect();
                for limit in [3 + stage, 60] {
                    assert_eq!(numbers(&walk(&ann, &format!("{query}&limit={limit}")).await), expected, "{query}");
                    assert_eq!(numbers(&walk(&ann, &format!("{reversed}&limit={limit}")).await), backwards, "{reversed}");
                }
            }
            projects.push(given::shared_project(&ann, &[]).await);
        }
    }

    async fn who_left_a_project_sees_none_of_its_tasks_in_any_list(app: TestApp) {
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        let project = given::shared_project(&ann, &[(&bob, "editor")]).await;
        task(&ann, json!({"title": "shared", "project_id": project, "labels": ["red"], "status": "todo"})).await;
        task(&bob, json!({"title": "own", "labels": ["red"], "status": "todo"})).await;
        let queries = ["", "limit=60", "status=todo", "label=red", "q=shared", "status=todo&label=red"];
        for query in queries {
            assert!(titles(&bob, query).await.contains(&"shared".to_owned()), "{query}");
        }
        ann.delete(&format!("projects/{project}/members/{}", bob.id)).await.expect(204);
        for query in queries {
            let own: &[&str] = if query.starts_with('q') { &[] } else { &["own"] };
            assert_eq!(titles(&bob, query).await, own, "{query}");
            let named = format!("{query}&project_id={project}");
            assert_eq!(titles(&bob, named.trim_start_matches('&')).await, [""; 0], "{named}");
        }
    }
}
