//! Projects: what each endpoint answers, what a repeat does, what a patch leaves alone, and that a deleted one is gone.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use service::clock::Clock;
use uuid::Uuid;

use crate::harness::client::{PASSWORD, User};
use crate::harness::{Backend, TestApp, on_both_backends};

/// As the service has it: projects that one user may have, the personal one included.
const PROJECTS_MAX: usize = 500;

async fn create(user: &User, name: &str) -> String {
    user.post("projects", json!({"name": name})).await.expect(201).text_at("/id")
}

/// Every id of a list, page by page, in the order in which it came.
async fn walk(user: &User, list: &str, limit: usize, id: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = user.get(&format!("{list}?limit={limit}{cursor}")).await.expect(200);
        let items = page.at("/items").as_array().expect("a list");
        assert!(items.len() <= limit, "more than asked for\n{page}");
        found.extend(items.iter().map(|item| item[id].as_str().expect("an id").to_owned()));
        match page.at("/next_cursor") {
            Value::Null => return found,
            next => cursor = format!("&cursor={}", next.as_str().expect("a cursor")),
        }
        assert_eq!(items.len(), limit, "a page before the last is full\n{page}");
    }
}

on_both_backends! {
    async fn a_created_project_reads_as_it_was_answered(app: TestApp) {
        let ann = app.register("ann").await;
        let reply = ann.post("projects", json!({"name": "Website ⚓", "description": "d"})).await.expect(201);
        let id = reply.text_at("/id");
        assert_eq!(reply.header("location"), format!("/api/v1/projects/{id}"));
        let members: BTreeSet<_> = reply.body.as_object().expect("an object").keys().map(String::as_str).collect();
        let all = ["id", "name", "description", "personal", "role", "created_at", "updated_at"];
        assert_eq!(members, BTreeSet::from(all));
        assert_eq!((reply.text_at("/name"), reply.text_at("/description")), ("Website ⚓".into(), "d".into()));
        assert_eq!((reply.at("/personal"), reply.at("/role")), (&json!(false), &json!("owner")));
        assert_eq!(ann.get(reply.header("location")).await.expect(200).body, reply.body);
        let list = ann.get("projects").await.expect(200);
        assert_eq!(list.at("/items/1"), &reply.body, "oldest first, behind the personal one");

        // A name is no key: another of the same name is another project.
        assert_ne!(create(&ann, "Website ⚓").await, id);
        let bare = ann.post("projects", json!({"name": "x", "description": null})).await.expect(201);
        assert_eq!(bare.at("/description"), &Value::Null);
    }

    async fn what_makes_no_project_names_the_field(app: TestApp) {
        let ann = app.register("ann").await;
        let path = format!("projects/{}", create(&ann, "Website").await);
        let before = ann.get(&path).await.expect(200).body;
        let refused = [
            ("name", json!("")),
            ("name", json!(" \t ")),
            ("name", json!("x".repeat(101))),
            ("name", json!("a\u{0}b")),
            ("name", json!(null)),
            ("name", json!(1)),
            ("description", json!("ⅷ".repeat(1366))),
            ("description", json!("a\u{0}b")),
            ("description", json!({})),
            ("personal", json!(true)),
            ("role", json!("owner")),
            ("id", json!(Uuid::now_v7())),
        ];
        for (field, value) in refused {
            let mut body = json!({"name": "Changed"});
            body[field] = value;
            let pointer = format!("/{field}");
            ann.post("projects", body.clone()).await.problem(422, "invalid-body").pointer(&pointer);
            ann.patch(&path, body).await.problem(422, "invalid-body").pointer(&pointer);
        }
        ann.post("projects", json!({})).await.problem(422, "invalid-body");
        for body in ["", "{", "nonsense", "\"Website\"x"] {
            for (method, path) in [(Method::POST, "projects"), (Method::PATCH, &path)] {
                ann.request(method, path).body("application/json", body).await.problem(400, "malformed-request");
            }
        }
        for body in ["[]", "\"Website\"", "null", "7"] {
            for (method, path) in [(Method::POST, "projects"), (Method::PATCH, &path)] {
                ann.request(method, path).body("application/json", body).await.problem(422, "invalid-body");
            }
        }
        ann.request(Method::POST, "projects").body("text/plain", "{\"name\":\"x\"}").await.problem(415, "");
        assert_eq!(ann.get(&path).await.expect(200).body, before);
        assert_eq!(walk(&ann, "projects", 50, "id").await.len(), 2);
        let longest = json!({"name": "ⅷ".repeat(100), "description": "x".repeat(4096)});
        ann.post("projects", longest).await.expect(201);
    }

    async fn a_patch_changes_what_it_names_and_nothing_else(backend: Backend) {
        let clock = Clock::manual(jiff::Timestamp::now());
        let app = TestApp::builder(backend).clock(clock.clone()).spawn().await;
        let ann = app.register("ann").await;
        let made = ann.post("projects", json!({"name": "Website", "description": "d"})).await.expect(201);
        let path = format!("projects/{}", made.text_at("/id"));
        let mut last = made.text_at("/updated_at");
        for (patch, name, description) in [
            (json!({"name": "Site"}), "Site", json!("d")),
            (json!({"name": "Site"}), "Site", json!("d")), // a repeat
            (json!({"description": "e"}), "Site", json!("e")),
            (json!({"description": null}), "Site", Value::Null),
            (json!({"description": null}), "Site", Value::Null),
            (json!({"name": "Website", "description": ""}), "Website", json!("")),
            (json!({}), "Website", json!("")),
        ] {
            clock.advance(Duration::from_secs(1));
            let reply = ann.patch(&path, patch.clone()).await.expect(200);
            assert_eq!((reply.text_at("/name").as_str(), reply.at("/description")), (name, &description), "{patch}");
            assert_eq!(reply.at("/created_at"), made.at("/created_at"));
            assert_eq!((reply.at("/id"), reply.at("/role")), (made.at("/id"), made.at("/role")));
            assert!(reply.text_at("/updated_at") >= last, "{reply}");
            last = reply.text_at("/updated_at");
            assert_eq!(ann.get(&path).await.expect(200).body, reply.body);
        }
        assert!(last > made.text_at("/updated_at"), "updated_at never moved");
        let merge = ann.request(Method::PATCH, &path);
        let merge = merge.body("application/merge-patch+json", r#"{"name": "Merged"}"#).await.expect(200);
        assert_eq!(merge.text_at("/name"), "Merged");
        let personal = format!("projects/{}", ann.personal_project_id);
        let renamed = ann.patch(&personal, json!({"name": "Errands"})).await.expect(200);
        assert_eq!(renamed.at("/personal"), &json!(true));
    }

    async fn an_id_that_names_nothing_is_404_everywhere(app: TestApp) {
        let ann = app.register("ann").await;
        let known = create(&ann, "Website").await;
        let unknown = Uuid::now_v7().to_string();
        let cut = &known[..35];
        let (braced, plain) = (format!("%7B{known}%7D"), known.replace('-', ""));
        for id in [unknown.as_str(), "0", "me", "%00", "%FF", "..%2F..%2Fme", "'%20OR%201=1--", cut, &braced, &plain] {
            let one = format!("projects/{id}");
            let mut asked = vec![
                (Method::GET, one.clone()),
                (Method::PATCH, one.clone()),
                (Method::DELETE, one.clone()),
                (Method::GET, format!("{one}/members")),
            ];
            for method in [Method::GET, Method::PUT, Method::DELETE] {
                asked.push((method.clone(), format!("{one}/members/{}", ann.id)));
                asked.push((method, format!("projects/{known}/members/{id}")));
            }
            for (method, path) in asked {
                let body = match method {
                    Method::PATCH => json!({"name": "x"}),
                    _ => json!({"role": "viewer"}),
                };
                ann.request(method, &path).json(&body).await.problem(404, "not-found");
            }
        }
        // An id is read whatever its case.
        ann.get(&format!("projects/{}", known.to_uppercase())).await.expect(200);
        let method = ann.post(&format!("projects/{known}"), json!({})).await.problem(405, "method-not-allowed");
        assert!(method.header("allow").contains("PATCH"), "{method}");
    }

    async fn a_personal_project_cannot_be_deleted(app: TestApp) {
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        let personal = format!("projects/{}", ann.personal_project_id);
        let task = ann.post("tasks", json!({"title": "kept"})).await.expect(201).text_at("/id");
        for _ in 0..2 {
            ann.delete(&personal).await.problem(409, "conflict");
        }
        // Nor by another owner, nor can its user be driven out of it: every task without a project goes there.
        ann.put(&format!("{personal}/members/{}", bob.id), json!({"role": "owner"})).await.expect(200);
        bob.delete(&personal).await.problem(409, "conflict");
        let member = format!("{personal}/members/{}", ann.id);
        for owner in [&bob, &ann] {
            owner.delete(&member).await.problem(409, "conflict");
            owner.put(&member, json!({"role": "viewer"})).await.problem(409, "conflict");
            owner.put(&member, json!({"role": "owner"})).await.expect(200);
        }
        assert_eq!(ann.get(&personal).await.expect(200).text_at("/role"), "owner");
        ann.get(&format!("tasks/{task}")).await.expect(200);
        let next = ann.post("tasks", json!({"title": "next"})).await.expect(201);
        assert_eq!(next.text_at("/project_id"), ann.personal_project_id);
        bob.delete(&format!("{personal}/members/{}", bob.id)).await.expect(204);
    }

    async fn a_deleted_project_is_gone_for_every_member_at_once(app: TestApp) {
        let (ann, bob, eve) = (app.register("ann").await, app.register("bob").await, app.register("eve").await);
        let project = create(&ann, "Website").await;
        let path = format!("projects/{project}");
        ann.put(&format!("{path}/members/{}", bob.id), json!({"role": "editor"})).await.expect(200);
        ann.put(&format!("{path}/members/{}", eve.id), json!({"role": "viewer"})).await.expect(200);
        let task = json!({"title": "zanzibar", "project_id": project, "labels": ["l"], "assignee_id": bob.id});
        let task = ann.post("tasks", task).await.expect(201).text_at("/id");
        let child = json!({"title": "zanzibar too", "parent_id": task});
        let child = bob.post("tasks", child).await.expect(201).text_at("/id");
        let binned = json!({"title": "zanzibar three", "project_id": project});
        let binned = bob.post("tasks", binned).await.expect(201).text_at("/id");
        bob.delete(&format!("tasks/{binned}")).await.expect(204);
        let lists = [
            "tasks".to_owned(),
            "tasks?q=zanzibar".to_owned(),
            format!("tasks?project_id={project}"),
            format!("tasks?parent_id={task}"),
            format!("tasks?assignee_id={}", bob.id),
            "tasks?label=l".to_owned(),
            "projects".to_owned(),
        ];
        for list in &lists {
            let page = eve.get(list).await.expect(200);
            assert!(page.text.contains(&project), "{list} shows nothing before\n{page}");
        }

        let reply = ann.delete(&path).await.expect(204);
        assert_eq!(reply.text, "");
        for user in [&ann, &bob, &eve] {
            for list in &lists {
                let page = user.get(list).await.expect(200);
                assert!(!page.text.contains(&project), "{list} still shows it\n{page}");
            }
            let mut gone = vec![(Method::GET, path.clone()), (Method::GET, format!("{path}/members"))];
            gone.extend([(Method::PATCH, path.clone()), (Method::DELETE, path.clone())]);
            for method in [Method::GET, Method::PUT, Method::DELETE] {
                gone.push((method, format!("{path}/members/{}", user.id)));
            }
            for id in [&task, &child, &binned] {
                for method in [Method::GET, Method::PATCH, Method::DELETE] {
                    gone.push((method, format!("tasks/{id}")));
                }
                gone.push((Method::GET, format!("tasks/{id}/activity")));
                gone.push((Method::POST, format!("tasks/{id}/restore")));
            }
            for (method, path) in gone {
                let call = user.request(method.clone(), &path);
                let call = match method {
                    Method::PUT => call.json(&json!({"role": "owner"})),
                    Method::PATCH => call.json(&json!({})),
                    _ => call,
                };
                call.await.problem(404, "not-found");
            }
            user.post("tasks", json!({"title": "x", "project_id": project})).await.problem(404, "not-found");
            user.post("tasks", json!({"title": "x", "parent_id": task})).await.problem(422, "").pointer("/parent_id");
            assert_eq!(walk(user, "projects", 50, "id").await, [user.personal_project_id.as_str()]);
        }
    }

    async fn paging_shows_every_project_once_oldest_first(app: TestApp) {
        let ann = app.register("ann").await;
        let mut all = vec![ann.personal_project_id.clone()];
        for at in 0..7 {
            all.push(create(&ann, &format!("{at}")).await);
        }
        for limit in [1, 2, 3, 4, 7, 8, 9, 200] {
            assert_eq!(walk(&ann, "projects", limit, "id").await, all, "by {limit}");
        }
        // What comes and goes during a walk does not shift the rows that stay.
        let first = ann.get("projects?limit=3").await.expect(200);
        ann.delete(&format!("projects/{}", all[1])).await.expect(204);
        ann.delete(&format!("projects/{}", all[2])).await.expect(204); // the one that the cursor stands on
        let late = create(&ann, "late").await;
        let rest = ann.get(&format!("projects?limit=9&cursor={}", first.text_at("/next_cursor"))).await.expect(200);
        let rest = rest.at("/items").as_array().expect("a list");
        let rest: Vec<_> = rest.iter().map(|item| item["id"].clone()).collect();
        all.push(late);
        assert_eq!(json!(rest), json!(all[3..]));
        for query in ["limit=0", "limit=201", "limit=-1", "limit=x", "limit=", "limit=1&limit=2", "page=1", "sort=id"] {
            ann.get(&format!("projects?{query}")).await.problem(400, "invalid-parameter");
        }
    }

    async fn a_repeated_create_with_a_key_makes_one_project(backend: Backend) {
        let clock = Clock::manual(jiff::Timestamp::now());
        let app = TestApp::builder(backend).clock(clock.clone()).spawn().await;
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        let body = json!({"name": "Website"});
        let keyed = async |user: &User, body: &Value| {
            user.post("projects", body.clone()).header("idempotency-key", "key-1").await
        };
        let first = keyed(&ann, &body).await.expect(201);
        assert!(first.headers.get("idempotency-replayed").is_none(), "{first}");
        clock.advance(Duration::from_secs(60));
        for same in [json!({"name": "Website"}), json!({"description": null, "name": "Website"})] {
            let again = keyed(&ann, &same).await.expect(201);
            assert_eq!((&again.text, again.header("location")), (&first.text, first.header("location")));
            assert_eq!(again.header("idempotency-replayed"), "true");
        }
        keyed(&ann, &json!({"name": "Other"})).await.problem(422, "idempotency-key-reused");
        // A refused request binds no key; the same key of another user, or on another route, is another one.
        let name = json!({"name": ""});
        ann.post("projects", name).header("idempotency-key", "key-2").await.problem(422, "invalid-body");
        ann.post("projects", body.clone()).header("idempotency-key", "key-2").await.expect(201);
        assert_ne!(keyed(&bob, &body).await.expect(201).text_at("/id"), first.text_at("/id"));
        ann.post("tasks", json!({"title": "x"})).header("idempotency-key", "key-1").await.expect(201);
        assert_eq!(walk(&ann, "projects", 50, "id").await.len(), 3);

        let call = || ann.post("projects", body.clone()).header("idempotency-key", "key-3");
        let replies = join_all((0..8).map(|_| call().send())).await;
        let mut made = BTreeSet::new();
        for reply in replies.into_iter().map(|reply| reply.expect("an answer")) {
            match reply.status {
                201 => drop(made.insert(reply.text_at("/id"))),
                _ => drop(reply.problem(409, "request-running").header("retry-after").to_owned()),
            }
        }
        made.insert(call().await.expect(201).text_at("/id"));
        assert_eq!(made.len(), 1, "{made:?}");
        assert_eq!(walk(&ann, "projects", 50, "id").await.len(), 4);

        for bad in ["", " ", "a b", &"x".repeat(256)] {
            let call = ann.post("projects", body.clone()).header("idempotency-key", bad);
            call.await.problem(400, "invalid-parameter");
        }
        clock.advance(Duration::from_secs(24 * 3600));
        let login = json!({"email": ann.email, "password": PASSWORD});
        let login = app.api.post("auth/login", login).await.expect(200);
        let later = app.api.with_token(&login.text_at("/access_token"));
        let later = later.post("projects", body).header("idempotency-key", "key-1").await.expect(201);
        assert_ne!(later.text_at("/id"), first.text_at("/id"), "a key lives for 24 hours");
    }

    async fn one_project_too_many_is_refused_and_its_key_stays_free(app: TestApp) {
        let ann = app.register("ann").await;
        let number = AtomicUsize::new(1);
        let worker = async || {
            let mut made = Vec::new();
            while number.fetch_add(1, Ordering::Relaxed) < PROJECTS_MAX {
                made.push(create(&ann, "one of many").await);
            }
            made
        };
        let made = join_all((0..8).map(|_| worker())).await.concat();
        let body = json!({"name": "one too many"});
        let keyed = || ann.post("projects", body.clone()).header("idempotency-key", "key");
        for _ in 0..2 {
            ann.post("projects", body.clone()).await.problem(409, "conflict");
            keyed().await.problem(409, "conflict");
        }
        assert_eq!(walk(&ann, "projects", 200, "id").await.len(), PROJECTS_MAX);
        // Nor can another add the user to a project of theirs.
        let bob = app.register("bob").await;
        let member = format!("projects/{}/members/{}", create(&bob, "theirs").await, ann.id);
        bob.put(&member, json!({"role": "viewer"})).await.problem(409, "conflict");

        ann.delete(&format!("projects/{}", made[0])).await.expect(204);
        let reply = keyed().await.expect(201);
        assert!(reply.headers.get("idempotency-replayed").is_none(), "{reply}");
        assert_eq!(keyed().await.expect(201).body, reply.body);
    }
}
