//! Scenes of a service that starts badly, panics, looks after its data, or has no descriptors left.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use reqwest::Method;
use serde_json::json;

use super::scenes::until;
use super::seen::Seen;
use crate::harness::Backend;
use crate::harness::faulty::{PANICS, faulty_task_api};
use crate::harness::ground::Ground;
use crate::harness::process::{Builder, Serving, Signal, task_api};
use crate::harness::raw::Raw;
use crate::harness::sentry;

/// A handler that panics, and a task that no request waits for: in a process of their own, whose hook tells.
pub async fn panicking(seen: &Seen) {
    let receiver = sentry::Receiver::start(sentry::Mode::Healthy).await;
    let mut child: Command = crate::errors::panicking_process(&receiver.dsn);
    let output = tokio::task::spawn_blocking(move || child.output()).await.expect("a thread").expect("it starts");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    seen.lines(text.lines().filter_map(|line| serde_json::from_str(line).ok()));
    // Its metrics only: it is started by a test, and says less of itself than the binary.
    let faulty = faulty_task_api().serve().await;
    faulty.api().await.request(Method::POST, PANICS).body("text/plain", "planted").await.expect(500);
    until(seen, &faulty, "panics_total", &[], 1.0).await;
}

/// A port that somebody else has.
pub async fn failing_starts(seen: &Seen) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("a bound address").to_string();
    let mut process = task_api().env("ADMIN_ADDR", address).start();
    assert_eq!(process.wait(super::SOON).await.code(), Some(1), "{}", process.output());
    seen.lines(process.logs());
}

/// Trash that is old, and tables that a purge does not find.
pub async fn upkeep(seen: &Seen) {
    let ground = Ground::new(Backend::Sqlite).await;
    let process = ground.builder().serve().await;
    let ann = process.api().await.register("ann").await;
    let task = ann.post("tasks", json!({"title": "Old"})).await.expect(201).text_at("/id");
    ann.delete(&format!("tasks/{task}")).await.expect(204);
    seen.end(process).await;
    let file = ground.sqlite().expect("a file");
    let month = Duration::from_secs(31 * 24 * 3600).as_micros();
    let age = format!("UPDATE tasks SET deleted_at = deleted_at - {month}");
    file.connect().batch_execute(&age).expect("an old task");
    let process = ground.builder().serve().await;
    process.log("purged").await;
    seen.end(process).await;
    let taken_out =
        "INSERT INTO tasks_text_pending (number, indexed, title) VALUES (1, 1, 'words that nobody has indexed')";
    file.connect().batch_execute(taken_out).expect("a task that the index does not hold");
    let process = ground.builder().serve().await;
    process.log("text_index_rebuilt").await;
    seen.end(process).await;
    file.connect().batch_execute("ALTER TABLE tasks RENAME TO gone").expect("a renamed table");
    let process = ground.builder().serve().await;
    process.log("maintenance_failed").await;
    seen.end(process).await;
}

/// More clients than the system lets the process have.
pub async fn out_of_descriptors(seen: &Seen) {
    let limited = Builder::new("/bin/sh").arg("-c").arg("ulimit -n 48 && exec \"$0\"");
    let limited = limited.arg(env!("CARGO_BIN_EXE_task-api"));
    let mut process = limited.env("LISTEN_ADDR", "127.0.0.1:0").env("ADMIN_ADDR", "127.0.0.1:0").serve().await;
    let api = process.api().await;
    let (mut clients, deadline) = (Vec::new(), Instant::now() + super::SOON);
    while !process.logs().iter().any(|line| line["event"] == "accept_failed") {
        assert!(Instant::now() < deadline, "{} clients and no end", clients.len());
        clients.extend(Raw::try_connect(&api).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(clients);
    process.signal(Signal::TERM);
    assert!(process.wait(super::SOON).await.success(), "{}", process.output());
    seen.lines(process.logs());
}
