//! Members of a project: adding, changing, removing, leaving; and that no race leaves a project without an owner, or a
//! deleted one with a member.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::NoTls;
use uuid::Uuid;

use crate::harness::client::User;
use crate::harness::postgres::Cluster;
use crate::harness::{Backend, TestApp, on_both_backends};

/// A project of `owner` with these further members.
async fn project(owner: &User, members: &[(&User, &str)]) -> String {
    let made = owner.post("projects", json!({"name": "Website"})).await.expect(201);
    let path = format!("projects/{}", made.text_at("/id"));
    for (user, role) in members {
        owner.put(&format!("{path}/members/{}", user.id), json!({"role": role})).await.expect(200);
    }
    path
}

/// The roles of a project's members by user id, as one of them reads them.
async fn roles(path: &str, reader: &User) -> Vec<(String, String)> {
    let page = reader.get(&format!("{path}/members?limit=200")).await.expect(200);
    let text = |item: &Value, field: &str| item[field].as_str().expect("text").to_owned();
    let items = page.at("/items").as_array().expect("a list").iter();
    items.map(|item| (text(item, "user_id"), text(item, "role"))).collect()
}

on_both_backends! {
    async fn a_member_is_added_changed_and_removed(app: TestApp) {
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        let path = project(&ann, &[]).await;
        let member = format!("{path}/members/{}", bob.id);
        ann.get(&member).await.problem(404, "not-found");
        ann.delete(&member).await.problem(404, "not-found");

        let added = ann.put(&member, json!({"role": "editor"})).await.expect(200);
        let fields: BTreeSet<_> = added.body.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(fields, BTreeSet::from(["user_id", "name", "role", "created_at"]), "no address, no more");
        assert_eq!((added.text_at("/user_id"), added.text_at("/name")), (bob.id.clone(), "bob".to_owned()));
        assert_eq!(added.text_at("/role"), "editor");
        assert_eq!(ann.put(&member, json!({"role": "editor"})).await.expect(200).body, added.body, "a repeat");
        assert_eq!(bob.get(&member).await.expect(200).body, added.body);
        let changed = ann.put(&member, json!({"role": "viewer"})).await.expect(200);
        assert_eq!((changed.text_at("/role"), changed.at("/created_at")), ("viewer".into(), added.at("/created_at")));
        assert!(bob.get("projects").await.expect(200).text.contains(&path[9..]), "it is in bob's list");

        assert_eq!(ann.delete(&member).await.expect(204).text, "");
        ann.delete(&member).await.problem(404, "not-found");
        for gone in [&path, &member, &format!("{path}/members")] {
            bob.get(gone).await.problem(404, "not-found");
        }
        assert!(!bob.get("projects").await.expect(200).text.contains(&path[9..]));
        ann.put(&member, json!({"role": "owner"})).await.expect(200);
        assert_eq!(bob.get(&path).await.expect(200).text_at("/role"), "owner");
    }

    async fn what_makes_no_member_changes_nothing(app: TestApp) {
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        let path = project(&ann, &[(&bob, "viewer")]).await;
        let before = roles(&path, &ann).await;
        let member = format!("{path}/members/{}", bob.id);
        for (body, pointer) in [
            (json!({"role": "admin"}), "/role"),
            (json!({"role": "Owner"}), "/role"),
            (json!({"role": ""}), "/role"),
            (json!({"role": null}), "/role"),
            (json!({"role": 0}), "/role"),
            (json!({"role": "editor", "user_id": ann.id}), "/user_id"),
        ] {
            ann.put(&member, body).await.problem(422, "invalid-body").pointer(pointer);
        }
        ann.put(&member, json!({})).await.problem(422, "invalid-body");
        ann.request(Method::PUT, &member).body("application/json", "").await.problem(400, "malformed-request");
        let nobody = format!("{path}/members/{}", Uuid::now_v7());
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            ann.request(method, &nobody).json(&json!({"role": "viewer"})).await.problem(404, "not-found");
        }
        assert_eq!(roles(&path, &ann).await, before);
    }

    async fn everybody_may_leave_and_only_owners_may_remove(app: TestApp) {
        let [ann, bob, eve, dan] = ["ann", "bob", "eve", "dan"].map(|name| app.register(name));
        let (ann, bob, eve, dan) = (ann.await, bob.await, eve.await, dan.await);
        let path = project(&ann, &[(&bob, "editor"), (&eve, "viewer"), (&dan, "owner")]).await;
        let member = |user: &User| format!("{path}/members/{}", user.id);
        for (user, others) in [(&bob, [&ann, &eve]), (&eve, [&bob, &dan])] {
            for other in others {
                user.delete(&member(other)).await.problem(403, "forbidden");
                user.put(&member(other), json!({"role": "viewer"})).await.problem(403, "forbidden");
            }
            user.put(&member(user), json!({"role": "owner"})).await.problem(403, "forbidden");
            user.delete(&member(user)).await.expect(204);
            user.delete(&member(user)).await.problem(404, "not-found");
            user.get(&path).await.problem(404, "not-found");
        }
        // An owner beside another may step down, and leave.
        dan.put(&member(&dan), json!({"role": "editor"})).await.expect(200);
        dan.put(&member(&dan), json!({"role": "owner"})).await.problem(403, "forbidden");
        ann.put(&member(&dan), json!({"role": "owner"})).await.expect(200);
        ann.delete(&member(&ann)).await.expect(204);
        ann.get(&path).await.problem(404, "not-found");
        assert_eq!(roles(&path, &dan).await, [(dan.id.clone(), "owner".to_owned())]);
    }

    async fn the_last_owner_stays(app: TestApp) {
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        let path = project(&ann, &[(&bob, "editor")]).await;
        let member = format!("{path}/members/{}", ann.id);
        let before = roles(&path, &ann).await;
        for _ in 0..2 {
            ann.delete(&member).await.problem(409, "conflict");
            for role in ["editor", "viewer"] {
                ann.put(&member, json!({"role": role})).await.problem(409, "conflict");
            }
            ann.put(&member, json!({"role": "owner"})).await.expect(200);
        }
        assert_eq!(roles(&path, &bob).await, before);
        ann.put(&format!("{path}/members/{}", bob.id), json!({"role": "owner"})).await.expect(200);
        ann.delete(&member).await.expect(204);
        bob.delete(&format!("{path}/members/{}", bob.id)).await.problem(409, "conflict");
    }

    async fn two_owners_who_go_for_each_other_leave_one(app: TestApp) {
        let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| app.register(name));
        let (ann, bob, eve) = (ann.await, bob.await, eve.await);
        for round in 0..20 {
            let path = project(&ann, &[(&bob, "owner"), (&eve, "viewer")]).await;
            let member = |user: &User| format!("{path}/members/{}", user.id);
            let demote = json!({"role": "viewer"});
            // Removing each other, demoting each other, leaving both: whichever comes second finds a last owner.
            let calls = match round % 4 {
                0 => [ann.delete(&member(&bob)), bob.delete(&member(&ann))],
                1 => [ann.put(&member(&bob), demote.clone()), bob.put(&member(&ann), demote)],
                2 => [ann.delete(&member(&ann)), bob.delete(&member(&bob))],
                _ => [ann.put(&member(&ann), demote.clone()), bob.delete(&member(&bob))],
            };
            let replies = join_all(calls.map(|call| call.send())).await;
            let statuses: Vec<_> = replies.into_iter().map(|reply| reply.expect("an answer").status).collect();
            let won = statuses.iter().filter(|status| [200, 204].contains(*status)).count();
            assert_eq!(won, 1, "round {round}: {statuses:?}");
            assert!(statuses.iter().all(|status| [200, 204, 403, 404, 409].contains(status)), "{statuses:?}");
            let owners = roles(&path, &eve).await.into_iter().filter(|(_, role)| role == "owner").count();
            assert_eq!(owners, 1, "round {round}: {statuses:?}");
        }
    }

    async fn adding_one_user_many_times_at_once_makes_one_member(app: TestApp) {
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        let path = project(&ann, &[]).await;
        let member = format!("{path}/members/{}", bob.id);
        let roles_put = ["viewer", "editor", "owner"];
        let replies = join_all((0..12).map(|at| ann.put(&member, json!({"role": roles_put[at % 3]})).send())).await;
        for reply in replies {
            reply.expect("an answer").expect(200);
        }
        let now = roles(&path, &ann).await;
        assert_eq!(now.iter().map(|(id, _)| id).collect::<BTreeSet<_>>(), BTreeSet::from([&ann.id, &bob.id]));
        assert_eq!(now.len(), 2);
    }

    async fn paging_shows_every_member_once(app: TestApp) {
        let ann = app.register("ann").await;
        let others = join_all(["a", "b", "c", "d"].map(|name| app.register(name))).await;
        let members: Vec<_> = others.iter().map(|user| (user, "viewer")).collect();
        let path = project(&ann, &members).await;
        let mut all: Vec<String> = others.iter().map(|user| user.id.clone()).chain([ann.id.clone()]).collect();
        all.sort();
        for limit in 1..=6 {
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = others[0].get(&format!("{path}/members?limit={limit}{cursor}")).await.expect(200);
                let items = page.at("/items").as_array().expect("a list");
                assert!(!items.is_empty() && items.len() <= limit, "by {limit}\n{page}");
                found.extend(items.iter().map(|item| item["user_id"].as_str().expect("an id").to_owned()));
                match page.at("/next_cursor").as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(found, all, "by {limit}");
        }
        // Behind a cursor whose member has left, the walk goes on.
        let first = ann.get(&format!("{path}/members?limit=2")).await.expect(200);
        let left = others.iter().find(|user| user.id == all[1]).expect("the second is no owner");
        left.delete(&format!("{path}/members/{}", left.id)).await.expect(204);
        let rest = ann.get(&format!("{path}/members?cursor={}", first.text_at("/next_cursor"))).await.expect(200);
        let rest: Vec<_> = rest.at("/items").as_array().expect("a list").iter().map(|item| &item["user_id"]).collect();
        assert_eq!(json!(rest), json!(all[2..]));
        for query in ["limit=0", "limit=201", "sort=name", "cursor=a&cursor=b"] {
            ann.get(&format!("{path}/members?{query}")).await.problem(400, "invalid-parameter");
        }
    }

    async fn a_project_deleted_while_members_change_keeps_none(app: TestApp) {
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        for _ in 0..10 {
            let path = project(&ann, &[]).await;
            let member = format!("{path}/members/{}", bob.id);
            let adding = ann.put(&member, json!({"role": "owner"})).send();
            let (added, deleted) = tokio::join!(adding, ann.delete(&path).send());
            let status = added.expect("an answer").status;
            assert!([200, 404].contains(&status), "{status}");
            deleted.expect("an answer").expect(204);
            bob.get(&path).await.problem(404, "not-found");
            ann.get(&path).await.problem(404, "not-found");
        }
    }
}

/// The same on PostgreSQL with the order held fast: the deletion begins while the addition is under way and ends after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_added_just_before_the_deletion_goes_with_the_project() {
    if Cluster::get().is_none() {
        return;
    }
    let app = TestApp::spawn(Backend::Postgres).await;
    let (ann, bob) = (app.register("ann").await, app.register("bob").await);
    let path = project(&ann, &[]).await;
    let task = json!({"title": "theirs", "project_id": path["projects/".len()..]});
    let task = ann.post("tasks", task).await.expect(201).text_at("/id");

    let (database, connection) =
        tokio_postgres::connect(&app.storage.postgres().url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    let waiting = async |count: i64| {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while database.query_one(sql, &[]).await.expect("a count").get::<_, i64>(0) < count {
            tokio::task::yield_now().await;
        }
    };
    let holder = connect(&app).await;
    let hold = format!("BEGIN; SELECT 1 FROM projects WHERE id = '{}' FOR UPDATE", &path["projects/".len()..]);
    holder.batch_execute(&hold).await.expect("the row is held");
    let member = format!("{path}/members/{}", bob.id);
    let adding = tokio::spawn(ann.put(&member, json!({"role": "owner"})).send());
    waiting(1).await;
    let deleting = tokio::spawn(ann.delete(&path).send());
    waiting(2).await;
    holder.batch_execute("COMMIT").await.expect("the row is free");
    adding.await.expect("it ends").expect("an answer").expect(200);
    deleting.await.expect("it ends").expect("an answer").expect(204);
    for gone in [&path, &format!("tasks/{task}")] {
        bob.get(gone).await.problem(404, "not-found");
    }
    assert_eq!(app.storage.postgres().psql("SELECT count(*) FROM project_members"), "2", "the personal ones");
}

async fn connect(app: &TestApp) -> tokio_postgres::Client {
    let connected = tokio_postgres::connect(&app.storage.postgres().url, NoTls).await;
    let (client, connection) = connected.expect("a connection");
    tokio::spawn(connection);
    client
}
