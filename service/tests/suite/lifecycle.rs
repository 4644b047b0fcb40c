//! How the binary starts and how it stops, as an orchestrator sees it.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use serde_json::json;

use crate::harness::ground::Ground;
use crate::harness::process::{Process, Serving, Signal, task_api};
use crate::harness::raw::Raw;
use crate::harness::{Backend, on_both_backends};

const SOON: Duration = Duration::from_secs(20);
/// What the admin listener, the last log lines and a slow machine may add to a grace period.
const SLACK: Duration = Duration::from_secs(3);

/// A request whose body is announced and not sent: it stays in flight until `finish` is sent.
async fn begin(process: &Process, token: &str) -> (Raw, String) {
    let body = json!({"title": "In flight"}).to_string();
    let (first, rest) = body.split_at(5);
    let mut raw = Raw::connect(&process.api().await).await;
    let head = format!(
        "POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{first}",
        body.len()
    );
    raw.send(head).await;
    let admin = process.admin().await;
    let deadline = Instant::now() + SOON;
    while !admin.get("/metrics").await.text.contains("\nhttp_server_active_requests 1\n") {
        assert!(Instant::now() < deadline, "the request never got in flight");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (raw, rest.to_owned())
}

on_both_backends! {
    async fn sigterm_drains_while_serving_and_finishes_what_is_in_flight(backend: Backend) {
        let ground = Ground::new(backend).await;
        let builder = ground.builder().env("DRAIN_DELAY_MS", "3000").env("SHUTDOWN_GRACE_MS", "15000");
        let mut process = builder.serve().await;
        let (api, admin) = (process.api().await, process.admin().await);
        let ann = api.register("ann").await;
        api.get("/ready").await.expect(200);
        let (mut raw, rest) = begin(&process, &ann.access_token).await;
        let mut kept_alive = Raw::connect(&api).await;
        kept_alive.ask("GET", "/health", "").await;
        let reply = kept_alive.reply().await.expect("an answer");
        assert_eq!((reply.status, reply.header("connection")), (200, ""), "nothing is closed before the signal");

        let signalled = Instant::now();
        process.signal(Signal::TERM);
        process.log("draining").await;
        api.get("/ready").await.problem(503, "not-ready").header("retry-after");
        admin.get("/ready").await.expect(503);
        admin.get("/health").await.expect(200);
        ann.post("tasks", json!({"title": "While draining"})).await.expect(201);
        kept_alive.ask("GET", "/health", "").await;
        let reply = kept_alive.reply().await.expect("served on the open connection");
        assert_eq!((reply.status, reply.header("connection")), (200, "close"));
        assert!(kept_alive.reply().await.is_none(), "closed after it said so");
        assert!(signalled.elapsed() < Duration::from_secs(3), "all this happened during the drain delay");

        while Raw::try_connect(&api).await.is_ok() {
            assert!(signalled.elapsed() < SOON, "the listener stays open");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(signalled.elapsed() >= Duration::from_secs(3), "it served for the whole drain delay");
        admin.get("/health").await.expect(200);
        assert_eq!(process.logs().iter().filter(|line| line["event"] == "stopped").count(), 0);
        raw.send(rest).await;
        let reply = raw.reply().await.expect("the request in flight is answered");
        assert_eq!((reply.status, reply.header("connection")), (201, "close"), "{}", reply.body);
        let answered = Instant::now();
        assert!(process.wait(SOON).await.success(), "{}", process.output());
        assert!(answered.elapsed() < SLACK, "nothing was left to wait for");
        assert_eq!(process.log("stopped").await["connections_cut"], 0);
        assert_eq!(ground.count("SELECT count(*) AS answer FROM tasks"), 2);
    }

    async fn a_stuck_request_is_cut_so_that_the_process_is_gone_within_the_grace(backend: Backend) {
        let ground = Ground::new(backend).await;
        let mut process = ground.builder().env("SHUTDOWN_GRACE_MS", "700").serve().await;
        let ann = process.api().await.register("ann").await;
        let (mut raw, _) = begin(&process, &ann.access_token).await;
        let signalled = Instant::now();
        process.signal(Signal::TERM);
        assert!(process.wait(SOON).await.success(), "{}", process.output());
        let took = signalled.elapsed();
        // A fifth of the grace is the last lines'.
        assert!(took >= Duration::from_millis(560) && took < Duration::from_millis(700) + SLACK, "{took:?}");
        assert!(raw.reply().await.is_none(), "no answer to what was cut");
        assert_eq!(process.log("stopped").await["connections_cut"], 1);
        let lines = process.logs();
        let lines: Vec<_> = lines.iter().filter(|line| line["method"] == "POST" && line["route"] == "/api/v1/tasks").collect();
        assert_eq!(lines.len(), 1, "cut, and yet it has its line");
        assert_eq!((&lines[0]["status"], &lines[0]["outcome"]), (&json!(499), &json!("abandoned")));
    }

    async fn silent_and_idle_connections_do_not_hold_the_stop(backend: Backend) {
        let ground = Ground::new(backend).await;
        let mut process = ground.builder().serve().await;
        let (api, admin) = (process.api().await, process.admin().await);
        let (silent, mut idle, silent_admin) =
            (Raw::connect(&api).await, Raw::connect(&api).await, Raw::connect(&admin).await);
        idle.ask("GET", "/health", "").await;
        assert_eq!(idle.reply().await.map(|reply| reply.status), Some(200));
        let signalled = Instant::now();
        process.signal(Signal::INT);
        assert!(process.wait(SOON).await.success(), "{}", process.output());
        assert!(signalled.elapsed() < SLACK, "{:?} with 25 s of grace and nothing to do", signalled.elapsed());
        drop((silent, silent_admin));
    }

    async fn a_second_start_keeps_data_and_tokens(backend: Backend) {
        let ground = Ground::new(backend).await;
        let mut first = ground.builder().serve().await;
        let ann = first.api().await.register("ann").await;
        let task = ann.post("tasks", json!({"title": "Kept"})).await.expect(201).text_at("/id");
        let page = ann.post("tasks", json!({"title": "Second"})).await.expect(201);
        let cursor = ann.get("tasks?limit=1").await.expect(200).text_at("/next_cursor");
        first.signal(Signal::TERM);
        assert!(first.wait(SOON).await.success());

        let second = ground.builder().serve().await;
        let again = second.api().await.with_token(&ann.access_token);
        assert_eq!(again.get(&format!("tasks/{task}")).await.expect(200).text_at("/title"), "Kept");
        let rest = again.get(&format!("tasks?limit=1&cursor={cursor}")).await.expect(200);
        assert_eq!(rest.text_at("/items/0/id"), task, "a cursor goes on where it was, {}", page.text);
        again.post("auth/refresh", json!({"refresh_token": ann.refresh_token})).await.expect(200);
        assert!(second.logs().iter().all(|line| line["event"] != "migrated"), "nothing was pending");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_start_in_an_empty_directory_answers_at_once() {
    let started = Instant::now();
    let process = task_api().serve().await;
    process.api().await.get("/ready").await.expect(200);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let data = process.directory.path().join("data");
    assert!(data.join("tasks.db").is_file());
    let line = process.log("started").await;
    for field in ["api", "docs", "admin", "metrics", "logs", "traces", "errors"] {
        assert!(line[field].is_string(), "the first line does not say {field}: {line}");
    }
    for page in ["docs", "metrics"] {
        let url = line[page].as_str().unwrap_or_default();
        let status = reqwest::get(url).await.expect("an answer").status();
        assert!(status.is_success(), "{page} at {url}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_file_is_its_owners_alone_and_stays_the_same() {
    let ground = Ground::new(Backend::Sqlite).await;
    let folder = ground.sqlite().expect("SQLite").directory.path().to_owned();
    let key = folder.join("tasks.db.jwt_secret");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let mut process = ground.builder().serve().await;
        let mode = std::fs::metadata(&key).expect("the key file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        seen.push(std::fs::read_to_string(&key).expect("the key file"));
        process.signal(Signal::TERM);
        assert!(process.wait(SOON).await.success());
        assert!(!process.output().contains(seen[0].trim()), "the key is printed");
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].trim().len() >= 32);
    let others = std::fs::read_dir(&folder).expect("the folder").flatten().map(|entry| entry.file_name());
    let others: Vec<_> = others.filter(|name| !name.to_string_lossy().starts_with("tasks.db")).collect();
    assert!(others.is_empty(), "left behind: {others:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_first_starts_at_once_agree_on_one_key() {
    let ground = Ground::new(Backend::Sqlite).await;
    let processes: Vec<_> = (0..8).map(|_| ground.builder().start()).collect();
    let ann = processes[0].api().await.register("ann").await;
    for process in &processes {
        process.api().await.with_token(&ann.access_token).get("me").await.expect(200);
    }
    let lines = processes.iter().flat_map(Process::logs).filter(|line| line["event"] == "migrated");
    let mut applied: Vec<String> = lines.map(|line| line["migration"].to_string()).collect();
    applied.sort_unstable();
    let mut once = applied.clone();
    once.dedup();
    assert!(!applied.is_empty() && applied == once, "each migration was applied by one of them: {applied:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_waits_for_a_lock_does_not_hold_the_stop() {
    let ground = Ground::new(Backend::Sqlite).await;
    let mut process = ground.builder().env("SHUTDOWN_GRACE_MS", "500").serve().await;
    let ann = process.api().await.register("ann").await;
    let mut holder = ground.sqlite().expect("SQLite").connect();
    holder.batch_execute("BEGIN IMMEDIATE").expect("the write lock");
    let waiting = tokio::spawn(async move { ann.post("tasks", json!({"title": "Waits"})).send().await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let signalled = Instant::now();
    process.signal(Signal::TERM);
    assert!(process.wait(SOON).await.success(), "{}", process.output());
    assert!(signalled.elapsed() < Duration::from_millis(500) + SLACK, "{:?}", signalled.elapsed());
    assert!(waiting.await.expect("the client's task").is_err(), "no answer to a write that was never made");
    holder.batch_execute("ROLLBACK").expect("the lock goes");
    assert_eq!(ground.count("SELECT count(*) AS answer FROM tasks"), 0);
}
