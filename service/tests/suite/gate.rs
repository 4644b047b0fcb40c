//! What stays in its socket while many wait for the database: it is answered in its turn, told to come back, or left by its client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use service::config::Config;
use service::gate::{AHEAD_MAX, STANDSTILL};
use tokio::task::JoinHandle;

use crate::database::{eventually, refused};
use crate::harness::client::{Api, User};
use crate::harness::collector::{Collector, Mode};
use crate::harness::ground::Ground;
use crate::harness::postgres::{Cluster, Database};
use crate::harness::process::{Serving, Signal};
use crate::harness::proxy::Proxy;
use crate::harness::raw::Raw;
use crate::harness::reply::Reply;
use crate::harness::scrape::Scrape;
use crate::harness::{Backend, TestApp};

/// Requests that are held while a [`Crowd`] asks.
const HELD: usize = 25;
/// Seconds that each of its tasks takes to insert.
const SHORT: f64 = 0.006;
/// Seconds in which those that come once are seen to wait, and no standstill yet.
const LONG: f64 = 0.4;

/// Makes a task take as many seconds to insert as its title says, if that is a number.
fn slow(database: &Database) {
    database.psql(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN IF new.title ~ ''^[0-9.]+$'' THEN PERFORM pg_sleep(new.title::float8); END IF; RETURN new; END';
         CREATE TRIGGER slow BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION slow()",
    );
}

/// A service with one connection.
async fn app(configure: impl FnOnce(&mut Config) + Send + 'static) -> Option<(TestApp, User)> {
    Cluster::get()?;
    let app = TestApp::builder(Backend::Postgres).config(move |config| {
        config.database.pool_size = 1;
        configure(config);
    });
    let app = app.spawn().await;
    let ann = app.register("ann").await;
    slow(app.storage.postgres());
    Some((app, ann))
}

fn create(ann: &User, seconds: f64) -> JoinHandle<Reply> {
    let ann = ann.clone();
    tokio::spawn(async move { ann.post("tasks", json!({"title": seconds.to_string()})).await })
}

async fn value(admin: &Api, name: &str) -> f64 {
    Scrape::of(admin).await.value(name)
}

fn count(scrape: &Scrape, status: &str) -> f64 {
    scrape.sum("http_server_request_duration_seconds_count", &[("http_response_status_code", status)])
}

/// So many clients that the gate is closed all the while: each creates a task again and again.
struct Crowd {
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Reply>>>,
}

impl Crowd {
    /// Comes, and is seen to wait.
    async fn come(admin: &Api, ann: &User) -> Crowd {
        let is_over = Arc::new(AtomicBool::new(false));
        let clients = (0..1 + AHEAD_MAX + HELD).map(|_| {
            let (ann, is_over) = (ann.clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut replies = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    replies.push(ann.post("tasks", json!({"title": SHORT.to_string()})).await);
                }
                replies
            })
        });
        let crowd = Crowd { clients: clients.collect(), is_over };
        eventually("some are held", async || value(admin, "http_server_queued_requests").await >= 10.0).await;
        crowd
    }

    /// Leaves after its last answers; returns all of them.
    async fn leave(self) -> Vec<Reply> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut replies = Vec::new();
        for client in self.clients {
            replies.extend(client.await.expect("a client"));
        }
        replies
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_many_wait_for_the_database_is_held_and_answered_in_its_turn() {
    let Some((app, ann)) = app(|_| ()).await else { return };
    let crowd = Crowd::come(&app.admin, &ann).await;
    for path in ["/health", "/health?x=1"] {
        app.api.get(path).await.expect(200);
    }
    ann.get("tasks").await.expect(200);
    let scrape = Scrape::of(&app.admin).await;
    // A few more than may be ahead are on their way out.
    assert!(scrape.value("http_server_active_requests") <= AHEAD_MAX as f64 + 10.0, "the others have not been read");
    assert!(scrape.value("db_client_connection_pending_requests") <= AHEAD_MAX as f64 + 2.0);
    for reply in crowd.leave().await {
        reply.expect(201);
    }
    let scrape = Scrape::of(&app.admin).await;
    assert_eq!(scrape.value("http_server_queued_requests"), 0.0);
    assert_eq!(scrape.value("http_server_active_requests"), 0.0);
    assert_eq!(scrape.sum("http_server_rejected_requests_total", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_for_which_a_request_is_held_is_its_own() {
    let Some((app, ann)) = app(|config| config.limits.queue_timeout = Duration::from_millis(100)).await else { return };
    let crowd = Crowd::come(&app.admin, &ann).await;
    eventually("some have been held for longer than they may", async || {
        count(&Scrape::of(&app.admin).await, "503") > 0.0
    })
    .await;
    let mut told = 0;
    for reply in crowd.leave().await.into_iter().filter(|reply| reply.status != 201) {
        assert_eq!(reply.problem(503, "overloaded").header("retry-after"), "1");
        told += 1;
    }
    let scrape = Scrape::of(&app.admin).await;
    assert_eq!(scrape.sum("http_server_rejected_requests_total", &[("reason", "in_flight_limit")]), f64::from(told));
    assert_eq!(count(&scrape, "503"), f64::from(told), "each has one sample");
    let labels = [("http_response_status_code", "503"), ("le", "0.075")];
    let soon = scrape.sum("http_server_request_duration_seconds_bucket", &labels);
    assert_eq!(soon, 0.0, "what was refused after 100 ms took 100 ms");
}

/// Sends a create and the beginning of another request, and leaves.
async fn send_and_leave(api: &Api, ann: &User, body: &str) {
    let head = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        ann.access_token,
        body.len()
    );
    Raw::connect(api).await.send(format!("{head}{body}GET /")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_client_has_left_is_not_done_and_counted_once() {
    let Some((app, ann)) = app(|_| ()).await else { return };
    let crowd = Crowd::come(&app.admin, &ann).await;
    // With a next request behind it: hyper does not see the end of a connection as long as it has bytes of one.
    let body = json!({"title": "Left", "labels": ["left"]}).to_string();
    send_and_leave(&app.api, &ann, &body).await;
    eventually("it is accounted for", async || count(&Scrape::of(&app.admin).await, "499") == 1.0).await;
    for reply in crowd.leave().await {
        reply.expect(201);
    }
    let left = ann.get("tasks?label=left").await.expect(200);
    assert_eq!(left.body["items"].as_array().map(Vec::len), Some(0), "{left}");
    let scrape = Scrape::of(&app.admin).await;
    assert_eq!((count(&scrape, "499"), scrape.value("http_server_active_requests")), (1.0, 0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_header_takes_no_place_of_those_that_wait() {
    let Some((app, ann)) = app(|config| config.limits.header_timeout = Duration::from_secs(60)).await else { return };
    let crowd = Crowd::come(&app.admin, &ann).await;
    let mut half = Vec::new();
    for _ in 0..2 * AHEAD_MAX {
        let mut raw = Raw::connect(&app.api).await;
        raw.send("GET /api/v1/tasks HTTP/1.1\r\nhost: ").await;
        half.push(raw);
    }
    let before = count(&Scrape::of(&app.admin).await, "201");
    eventually("the others go on", async || count(&Scrape::of(&app.admin).await, "201") > before + 100.0).await;
    for reply in crowd.leave().await {
        reply.expect(201);
    }
    for raw in &mut half {
        raw.send("localhost\r\n\r\n").await;
        assert_eq!(raw.reply().await.map(|reply| reply.status), Some(401));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rest_of_a_body_that_nobody_wanted_is_not_held_and_passes_nothing_on() {
    let Some((app, ann)) = app(|_| ()).await else { return };
    let crowd = Crowd::come(&app.admin, &ann).await;
    let mut raw = Raw::connect(&app.api).await;
    raw.send("POST /api/v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 4\r\n\r\n")
        .await;
    assert_eq!(raw.reply().await.map(|reply| reply.status), Some(401));
    raw.send("{}{}").await;
    raw.ask("GET", "/health", "").await;
    assert_eq!(raw.reply().await.map(|reply| reply.status), Some(200));
    for reply in crowd.leave().await {
        reply.expect(201);
    }
    raw.ask("GET", "/api/v1/tasks", "").await;
    assert_eq!(raw.reply().await.map(|reply| reply.status), Some(401), "it lives, and has nothing of the others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stands_still_holds_nobody_for_longer_than_it_takes_to_see_that() {
    let Some((app, ann)) = app(|_| ()).await else { return };
    let long = create(&ann, 4.7);
    eventually("the connection is used", async || {
        Scrape::of(&app.admin).await.sum("db_client_connection_count", &[("state", "used")]) == 1.0
    })
    .await;
    all_are_refused_soon(&ann).await;
    long.await.expect("a task").expect(201);
    ann.get("tasks").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_gone_holds_nobody_for_longer_than_it_takes_to_see_that() {
    let Some(cluster) = Cluster::get() else { return };
    let ground = Ground::new(Backend::Postgres).await;
    let mut proxy = Proxy::start(cluster.address()).await;
    let url = ground.storage.postgres().url_through(proxy.address());
    let app = TestApp::builder(Backend::Postgres).database_url(url).spawn().await;
    let ann = app.register("ann").await;
    proxy.cut().await;
    all_are_refused_soon(&ann).await;
    proxy.restore();
    eventually("it recovers", async || ann.get("tasks").await.status == 200).await;
}

/// A second for those ahead, and after the first of them another for all who were held.
async fn all_are_refused_soon(ann: &User) {
    assert!(STANDSTILL < Duration::from_secs(1), "the first of them tells");
    let started = Instant::now();
    let waiting: Vec<_> = (0..AHEAD_MAX + 100).map(|_| create(ann, 0.0)).collect();
    for create in waiting {
        refused(create.await.expect("a task").problem(503, "database-unavailable"));
    }
    assert!(started.elapsed() < Duration::from_millis(4500), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_stops_answers_what_was_held() {
    let Some((app, ann)) = app(|_| ()).await else { return };
    let creates = held(&app.admin, &ann).await;
    app.stop().await;
    for create in creates {
        create.await.expect("an answer").expect(201);
    }
}

/// A crowd that comes once, some of which are held now.
async fn held(admin: &Api, ann: &User) -> Vec<JoinHandle<Reply>> {
    let first = create(ann, LONG);
    eventually("the connection is used", async || {
        Scrape::of(admin).await.sum("db_client_connection_count", &[("state", "used")]) == 1.0
    })
    .await;
    let creates = std::iter::once(first).chain((0..AHEAD_MAX + HELD).map(|_| create(ann, SHORT))).collect();
    eventually("some are held", async || value(admin, "http_server_queued_requests").await >= 1.0).await;
    // A service that stops reads nothing more from a connection on which it has seen no request.
    eventually("all have come", async || {
        let scrape = Scrape::of(admin).await;
        let tasks = [("http_route", "/api/v1/tasks"), ("http_response_status_code", "201")];
        let made = scrape.sum("http_server_request_duration_seconds_count", &tasks);
        let held = scrape.sum("http_server_queued_requests", &[]);
        made + held + scrape.sum("http_server_active_requests", &[]) >= (1 + AHEAD_MAX + HELD) as f64
    })
    .await;
    creates
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn span_and_line_of_a_held_request_have_the_whole_of_its_time() {
    if Cluster::get().is_none() {
        return;
    }
    let (ground, collector) = (Ground::new(Backend::Postgres).await, Collector::start(Mode::Healthy).await);
    let builder = ground.builder().env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint);
    let mut process = builder.env("OTEL_TRACES_SAMPLER", "always_on").env("DATABASE_POOL_SIZE", "1").serve().await;
    let ann = process.api().await.register("ann").await;
    slow(ground.storage.postgres());
    for create in held(&process.admin().await, &ann).await {
        create.await.expect("a task").expect(201);
    }
    process.signal(Signal::TERM);
    assert!(process.wait(Duration::from_secs(20)).await.success(), "{}", process.output());
    let spans = collector.spans();
    let lines = process.logs();
    let creates: Vec<_> = spans.iter().filter(|span| span.name == "POST /api/v1/tasks").collect();
    assert_eq!(creates.len(), 1 + AHEAD_MAX + HELD);
    for span in creates {
        let line = lines.iter().find(|line| line["request_id"] == span.attributes["request_id"]);
        let milliseconds = line.expect("its line")["duration_ms"].as_f64().expect("a number");
        let difference = (span.duration.as_secs_f64() * 1000.0 - milliseconds).abs();
        assert!(difference < 50.0, "{span:#?} and {milliseconds} ms");
    }
}
