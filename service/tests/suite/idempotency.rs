//! Idempotency keys: one effect and one answer for 24 hours, whatever happens in between.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use service::config::Config;
use uuid::Uuid;

use super::given::{self, app_at_noon, logged_in, task, titles};
use super::harness::client::{Api, Call};
use super::harness::process::{Serving, task_api};
use super::harness::reply::Reply;
use super::harness::{Backend, TestApp, on_both_backends};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const SECOND: Duration = Duration::from_secs(1);

fn create(api: &Api, key: &str, title: &str) -> Call {
    api.post("tasks", json!({"title": title})).header("idempotency-key", key)
}

/// The answer of a client that asks again, as it is told to, while the first request runs.
async fn answer(api: &Api, key: &str) -> Reply {
    const TRIES_MAX: usize = 100;
    for _ in 0..TRIES_MAX {
        let reply = create(api, key, key).await;
        if reply.status != 409 {
            return reply.expect(201);
        }
    }
    panic!("the first request with key {key} never ends");
}

fn is_replayed(reply: &Reply) -> bool {
    reply.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
}

on_both_backends! {
    async fn a_repeat_gets_the_first_answer_byte_for_byte(app: TestApp) {
        let ann = app.register("ann").await;
        let first = create(&ann, "k", "Grüße 🚀 \\ \"").await.expect(201);
        assert!(!is_replayed(&first), "{first}");
        let patch = json!({"title": "changed since"});
        given::patched(&ann, &first.body, patch).await;
        ann.delete(&given::path(&first.body)).await.expect(204);
        let again = create(&ann, "k", "Grüße 🚀 \\ \"").await.expect(201);
        assert!(is_replayed(&again), "{again}");
        assert_eq!(again.text, first.text);
        for header in ["location", "etag", "content-type"] {
            assert_eq!(again.header(header), first.header(header));
        }
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
        assert_eq!(titles(&ann, "").await, Vec::<String>::new());
    }

    async fn the_same_body_in_other_words_is_the_same_body(app: TestApp) {
        let ann = app.register("ann").await;
        let send = |body: &'static str| {
            let call = ann.request(reqwest::Method::POST, "tasks").header("idempotency-key", "k");
            call.body("application/json", body)
        };
        let first = send(r#"{"title":"t","priority":"low"}"#).await.expect(201);
        for same in [r#" { "priority" : "low", "title" : "\u0074" } "#, r#"{"title":"t","priority":"low","due_at":null}"#] {
            assert_eq!(send(same).await.expect(201).text, first.text);
        }
        send(r#"{"title":"t","priority":"low","labels":[]}"#).await.problem(422, "idempotency-key-reused");
    }

    async fn another_body_under_the_same_key_is_refused(app: TestApp) {
        let ann = app.register("ann").await;
        let first = create(&ann, "k", "one").await.expect(201);
        create(&ann, "k", "two").await.problem(422, "idempotency-key-reused");
        assert_eq!(titles(&ann, "").await, ["one"]);
        assert_eq!(create(&ann, "k", "one").await.expect(201).text, first.text);
    }

    async fn a_key_is_free_again_after_24_hours(backend: Backend) {
        let (app, clock) = app_at_noon(backend).await;
        let ann = app.register("ann").await;
        let first = create(&ann, "k", "one").await.expect(201);
        clock.advance(DAY - SECOND);
        let later = logged_in(&app, &ann).await;
        let replay = create(&later, "k", "one").await.expect(201);
        assert!(is_replayed(&replay) && replay.text == first.text, "{replay}");
        create(&later, "k", "two").await.problem(422, "idempotency-key-reused");
        clock.advance(SECOND);
        let second = create(&later, "k", "two").await.expect(201);
        assert!(!is_replayed(&second), "{second}");
        clock.advance(DAY - SECOND);
        let later = logged_in(&app, &ann).await;
        assert_eq!(create(&later, "k", "two").await.expect(201).text, second.text);
        assert_eq!(titles(&later, "sort=created_at").await, ["one", "two"]);
    }

    async fn a_key_belongs_to_one_user_and_one_route(app: TestApp) {
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        let hers = create(&ann, "k", "t").await.expect(201);
        let his = create(&bob, "k", "t").await.expect(201);
        assert!(!is_replayed(&his) && his.at("/id") != hers.at("/id"), "{his}");
        let batch = json!({"operations": [{"op": "create", "task": {"title": "in a batch"}}]});
        let batch = ann.post("tasks/batch", batch).header("idempotency-key", "k").await.expect(207);
        let project = ann.post("projects", json!({"name": "P"})).header("idempotency-key", "k").await.expect(201);
        assert!(!is_replayed(&batch) && !is_replayed(&project), "{batch}\n{project}");
        let replay = ann.post("projects", json!({"name": "P"})).header("idempotency-key", "k").await.expect(201);
        assert!(is_replayed(&replay) && replay.text == project.text, "{replay}");
        let other = create(&ann, "K", "t").await.expect(201);
        assert!(!is_replayed(&other), "{other}");
    }

    async fn what_was_refused_is_not_remembered(app: TestApp) {
        let ann = app.register("ann").await;
        let parent = Uuid::now_v7();
        let under = |parent: Uuid| ann.post("tasks", json!({"title": "t", "parent_id": parent})).header("idempotency-key", "k");
        under(parent).await.problem(422, "invalid-body").pointer("/parent_id");
        ann.post("tasks", json!({"title": ""})).header("idempotency-key", "k").await.problem(422, "invalid-body");
        task(&ann, json!({"title": "parent", "id": parent})).await;
        let made = under(parent).await.expect(201);
        assert!(!is_replayed(&made), "{made}");
        assert!(is_replayed(&under(parent).await.expect(201)));
    }

    async fn a_key_and_an_id_of_the_clients_own_go_together(app: TestApp) {
        let ann = app.register("ann").await;
        let body = json!({"title": "t", "id": Uuid::now_v7()});
        let send = |key: &str| ann.post("tasks", body.clone()).header("idempotency-key", key);
        let first = send("one").await.expect(201);
        assert!(is_replayed(&send("one").await.expect(201)));
        assert_eq!(send("two").await.expect(200).body, first.body);
        assert_eq!(titles(&ann, "").await, ["t"]);
    }

    async fn a_key_is_1_to_255_visible_characters(app: TestApp) {
        let ann = app.register("ann").await;
        let long = "k".repeat(255);
        for (number, accepted) in ["k", "!~", "a,b;c=\"d\"", long.as_str()].into_iter().enumerate() {
            create(&ann, accepted, &number.to_string()).await.expect(201);
        }
        let longer = "k".repeat(256);
        for refused in ["", " ", "a b", "ü", longer.as_str(), "tab\tbed"] {
            create(&ann, refused, "t").await.problem(400, "invalid-parameter").pointer("/Idempotency-Key");
        }
        assert_eq!(titles(&ann, "").await.len(), 4);
    }

    async fn sixty_four_at_once_make_one_task(app: TestApp) {
        let ann = app.register("ann").await;
        for round in 0..3 {
            let key = format!("round {round}").replace(' ', "-");
            let replies = join_all((0..64).map(|_| create(&ann, &key, &key).into_future())).await;
            let mut fresh = 0;
            let mut bodies = HashSet::new();
            for reply in &replies {
                match reply.status {
                    201 => {
                        bodies.insert(&reply.text);
                        fresh += usize::from(!is_replayed(reply));
                    }
                    _ => assert!(!reply.clone().problem(409, "request-running").header("retry-after").is_empty()),
                }
            }
            assert_eq!((fresh, bodies.len()), (1, 1), "first answers, different answers");
            assert!(is_replayed(&create(&ann, &key, &key).await.expect(201)));
        }
        assert_eq!(titles(&ann, "sort=created_at").await, ["round-0", "round-1", "round-2"]);
    }

    /// The second instance is a process of its own: it shares nothing with the first but the database.
    async fn two_instances_make_one_task(backend: Backend) {
        let app = TestApp::spawn(backend).await;
        let process = task_api()
            .env("DATABASE_URL", app.storage.url())
            .env("JWT_SECRET", Config::for_tests(String::new()).auth.jwt_secret.expect("a key").expose())
            .serve()
            .await;
        let ann = app.register("ann").await;
        let instances = [ann.with_token(&ann.access_token), process.api().await.with_token(&ann.access_token)];
        for round in 0..10 {
            let key = round.to_string();
            let replies = join_all(instances.iter().map(|api| answer(api, &key))).await;
            assert_eq!(replies[0].text, replies[1].text);
            assert_eq!(replies.iter().filter(|reply| is_replayed(reply)).count(), 1);
        }
        let expected: Vec<String> = (0..10).map(|round| round.to_string()).collect();
        assert_eq!(titles(&ann, "sort=created_at").await, expected);
    }

    async fn a_key_survives_a_restart(backend: Backend) {
        let app = TestApp::spawn(backend).await;
        let ann = app.register("ann").await;
        let first = create(&ann, "k", "t").await.expect(201);
        let token = ann.access_token.clone();
        let app = TestApp::builder(backend).storage(app.stop().await).spawn().await;
        let ann = app.api.with_token(&token);
        let again = create(&ann, "k", "t").await.expect(201);
        assert!(is_replayed(&again), "{again}");
        assert_eq!((&again.text, again.header("location")), (&first.text, first.header("location")));
        assert_eq!(titles(&ann, "").await, ["t"]);
    }

    async fn a_request_without_a_key_is_made_each_time(app: TestApp) {
        let ann = app.register("ann").await;
        let ids: HashSet<Value> = [task(&ann, json!({"title": "t"})).await, task(&ann, json!({"title": "t"})).await]
            .into_iter()
            .map(|task| task["id"].clone())
            .collect();
        assert_eq!(ids.len(), 2);
    }
}
