//! Secrets, addresses and texts of users, planted wherever a request has room for them, and looked for in all five places that
//! telemetry goes to: standard output, CloudWatch, Sentry, the collector, the metrics.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use testkit::postgres::Cluster;

use crate::harness::bugsink::Bugsink;
use crate::harness::client::{Api, PASSWORD};
use crate::harness::collector::{Collector, Mode};
use crate::harness::faulty::{PANICS, faulty_task_api};
use crate::harness::moto::Moto;
use crate::harness::process::{Builder, Process, Serving, Signal};
use crate::signals::half_a_request;
use crate::traces::break_tasks;

const SOON: Duration = Duration::from_secs(80);
/// Part of everything that is planted, and of nothing else.
const PLANTED: &str = "quokka";
const SYNTHETIC_SECRET: &str = "quokka-secret-of-the-canary-at-least-32-bytes";
const JWT_SECRET: &str = "quokka-key-of-the-tokens-at-least-32-bytes";
/// The id of a request that fails: to be found in every place but the metrics, so that each has been looked at.
const MARK: &str = "found-in-every-place";

/// A caller's trace that is recorded.
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Every request that could tell, and the tokens that were made meanwhile. `fail` makes every look at the tasks fail.
async fn plant(process: &Process, api: &Api, fail: impl FnOnce(&Process)) -> Vec<String> {
    let email = "quokka-address@example.com";
    let register = json!({"email": email, "password": "quokka-password", "name": "quokka-name"});
    let session = api.post("auth/register", register.clone()).header("x-synthetic-secret", SYNTHETIC_SECRET);
    let session = session.await.expect(201);
    api.post("auth/register", register).await.expect(409);
    api.post("auth/login", json!({"email": email, "password": "quokka-wrong"})).await.expect(401);
    api.post("auth/login", json!({"email": "no quokka", "password": "quokka-wrong"})).await.expect(401);
    let wrong = api.post("auth/refresh", json!({"refresh_token": "quokka"})).header("x-synthetic-secret", "quokka");
    wrong.header("x-synthetic", "quokka-claim").await.expect(401);
    let (access, refresh) = (session.text_at("/access_token"), session.text_at("/refresh_token"));
    let ann = api.with_token(&access);
    let texts = json!({"title": "quokka-title", "description": "quokka-description", "labels": ["quokka-label"]});
    let created = ann.post("tasks", texts.clone()).header("idempotency-key", "quokka-key").await.expect(201);
    let task = format!("tasks/{}", created.text_at("/id"));
    ann.patch(&task, json!({"title": "quokka-new-title"})).header("if-match", "\"quokka-etag\"").await;
    ann.patch(&task, json!({"title": "quokka-new-title"})).await.expect(200);
    ann.post("tasks/batch", json!({"operations": [{"op": "create", "task": texts}]})).await.expect(207);
    ann.post("projects", json!({"name": "quokka-project"})).await.expect(201);

    // Queries.
    ann.get("tasks?q=quokka-query&label=quokka-label").await.expect(200);
    ann.get("tasks?cursor=quokka-cursor").await.expect(400);
    ann.get("tasks?quokka-parameter=1").await.expect(400);
    ann.get(&format!("me?access_token={access}&email={email}")).await;
    // Bodies that cannot be used.
    ann.post("tasks", json!({"title": {"quokka-object": 1}})).await.expect(422);
    ann.post("tasks", json!({"title": "x", "status": "quokka-status"})).await.expect(422);
    ann.post("tasks", json!({"title": "x", "quokka-field": 1})).await.expect(422);
    let malformed = |body: &'static str| ann.request(Method::POST, "tasks").body("application/json", body);
    malformed("{quokka-broken").await.expect(400);
    malformed("{\"password\": \"quokka-password\", ").await.expect(400);
    malformed("\"quokka-text").await.expect(400);
    ann.request(Method::POST, "tasks").body("text/quokka", "quokka-body").await.expect(415);
    half_a_request(process, &access).await;
    // Headers.
    api.with_token("quokka-token").get("me").await.expect(401);
    let odd = [("cookie", "id=quokka-cookie"), ("referer", "https://x/?quokka"), ("user-agent", "quokka/1")];
    let strange = [
        ("x-request-id", "quokka id"),
        ("traceparent", "quokka"),
        ("x-forwarded-for", "quokka"),
        ("x-api-key", "quokka"),
    ];
    for (name, value) in odd.into_iter().chain(strange) {
        api.get("/health").header(name, value).await.expect(200);
    }
    // Tokens in the wrong header: both are made of characters that an id may have.
    for token in [&access, &refresh] {
        let reply = api.get("/health").header("x-request-id", token).await.expect(200);
        assert_ne!(reply.header("x-request-id"), token.as_str(), "a token is no id");
        api.get("/health").header("tracestate", format!("quokka={token}")).header("traceparent", TRACEPARENT).await;
        api.get("/health").header("traceparent", token).await.expect(200);
    }
    // Paths: what a client has put there by mistake.
    for path in [email, &access, &refresh, "password=quokka-password", "quokka%20title", "quokka title;quokka"] {
        ann.get(&format!("tasks/{path}")).await.expect(404);
        api.get(&format!("/nowhere/{path}/more")).await.expect(404);
    }
    // Nothing tells that this is a secret, but that it is no id.
    for path in ["tasks/quokka-password", "tasks/quokka-password/activity", "projects/quokka-password/members/quokka"] {
        ann.get(path).await.expect(404);
    }
    // What fails: the panic's own text, then a statement that quotes what it was given.
    for body in [
        "password=quokka-password",
        "\"quokka-title\" is no title",
        "no such user: quokka-address@example.com",
        "Authorization: Bearer quokka.quokka.quokka",
        "{\"refresh_token\": \"quokka\"}",
    ] {
        api.request(Method::POST, PANICS).body("text/plain", body).await.expect(500);
    }
    fail(process);
    ann.post("tasks", texts)
        .header("cookie", "id=quokka-cookie")
        .header("referer", "https://x/?quokka")
        .await
        .expect(500);
    ann.get("tasks?q=quokka-query&label=quokka-label").header("x-request-id", MARK).await.expect(500);
    let again = api.post("auth/refresh", json!({"refresh_token": refresh})).await.expect(200);
    vec![access, refresh, again.text_at("/access_token"), again.text_at("/refresh_token")]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_planted_in_a_request_is_in_any_of_the_five_places() {
    look_in_all_places(faulty_task_api(), break_tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_what_postgresql_could_tell_of_it() {
    let Some(cluster) = Cluster::get() else { return };
    let database = cluster.create_empty_database();
    let service = faulty_task_api().env("DATABASE_URL", &database.url).env("AUTO_MIGRATE", "true");
    // A create then breaks a rule, and PostgreSQL quotes the whole row; a search finds nothing to search in.
    let rule = "ADD CONSTRAINT rule CHECK (title <> 'quokka-title') NOT VALID";
    let fail = |_: &Process| drop(database.psql(&format!("ALTER TABLE tasks {rule}, DROP COLUMN search")));
    look_in_all_places(service, fail).await;
}

async fn look_in_all_places(service: Builder, fail: impl FnOnce(&Process)) {
    let (Some(moto), Some(bugsink)) = (Moto::get(), Bugsink::start().await) else { return };
    let collector = Collector::start(Mode::Healthy).await;
    let group = format!("/test/planted/{}", uuid::Uuid::now_v7().simple());
    let mut process = service
        .env("RUST_LOG", "trace")
        .env("REQUEST_TIMEOUT_MS", "3000")
        .env("SYNTHETIC_SECRET", SYNTHETIC_SECRET)
        .env("JWT_SECRET", JWT_SECRET)
        .env("SENTRY_DSN", &bugsink.dsn)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-quokka-key=quokka-key-of-the-collector")
        .env("CLOUDWATCH_LOG_GROUP", &group)
        .env("CLOUDWATCH_METRICS_NAMESPACE", "TaskApi")
        .env("AWS_ENDPOINT_URL", format!("http://{}", moto.address()))
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "quokka-aws-secret")
        .serve()
        .await;
    let (api, admin) = (process.api().await, process.admin().await);
    let tokens = plant(&process, &api, fail).await;
    let metrics = admin.get("/metrics").await.expect(200).text;
    process.signal(Signal::TERM);
    assert!(process.wait(SOON).await.success(), "it ends well");

    // One event for each way to fail: five texts of one panic, two statements, one time that was over.
    let told = bugsink.events(8).await;
    let stored: Vec<String> = moto.events(&group).into_iter().map(|event| event.message).collect();
    let places = [
        ("standard output and error", process.output()),
        ("CloudWatch", stored.join("\n")),
        ("Sentry", told.iter().map(|event| format!("{event}\n")).collect()),
        ("the collector", collector.decoded()),
        ("the metrics", metrics),
    ];
    let keys = collector.headers();
    assert!(!keys.is_empty() && keys.iter().all(|sent| sent.contains_key("x-quokka-key")), "the key has been used");
    for span in collector.spans() {
        // Neither is ours to fill: what a library puts there would be a text that nobody has redacted.
        assert_eq!((span.events, span.status_message.as_str()), (0, ""), "{span:?}");
    }
    for (place, text) in &places {
        let mark = if *place == "the metrics" { "http_route=\"/api/v1/tasks/{id}\"" } else { MARK };
        assert!(text.contains(mark), "{place} has not been told of the requests");
        let text = text.to_ascii_lowercase();
        for secret in tokens.iter().map(String::as_str).chain([PLANTED, PASSWORD]) {
            let line = text.lines().find(|line| line.contains(&secret.to_ascii_lowercase()));
            assert_eq!(line, None, "{secret} is in {place}");
        }
    }
}
