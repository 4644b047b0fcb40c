//! Who gets a connection to PostgreSQL, in which order, and who is told to come back.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::database::{eventually, refused, slow_inserts};
use crate::harness::postgres::Cluster;
use crate::harness::scrape::Scrape;
use crate::harness::{Backend, TestApp};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_a_connection_before_those_who_have_waited_longer() {
    let Some(_) = Cluster::get() else { return };
    let app = TestApp::builder(Backend::Postgres).config(|config| config.database.pool_size = 1).spawn().await;
    let ann = app.register("ann").await;
    // Each client asks again as soon as it is answered, when others have waited for longer.
    let clients: Vec<_> = (0..25)
        .map(|_| {
            let ann = ann.clone();
            tokio::spawn(async move {
                for _ in 0..80 {
                    ann.get("tasks").await.expect(200);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("a client that is always answered");
    }
    let scrape = Scrape::of(&app.admin).await;
    let all = scrape.sum("db_client_connection_wait_time_seconds_count", &[]);
    let at_once = scrape.sum("db_client_connection_wait_time_seconds_bucket", &[("le", "0.001")]);
    assert!(all >= 2000.0 && at_once < 0.05 * all, "{at_once} of {all} did not wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_database_is_not_taken_for_a_dead_one() {
    let Some(_) = Cluster::get() else { return };
    let app = TestApp::builder(Backend::Postgres).config(|config| config.database.pool_size = 1).spawn().await;
    let ann = app.register("ann").await;
    slow_inserts(app.storage.postgres(), 0.3);
    // In order of arrival, nobody's turn would come within the second that there is for it.
    let writers: Vec<_> = (0..10)
        .map(|_| {
            let ann = ann.clone();
            tokio::spawn(async move {
                loop {
                    ann.post("tasks", json!({"title": "Slow"})).await;
                }
            })
        })
        .collect();
    eventually("others wait for the one connection", async || {
        Scrape::of(&app.admin).await.value("db_client_connection_pending_requests") >= 7.0
    })
    .await;
    app.api.get("/ready").await.expect(200);
    for writer in writers {
        writer.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_without_a_free_connection_asks_to_come_back() {
    let Some(_) = Cluster::get() else { return };
    let app = TestApp::builder(Backend::Postgres).config(|config| config.database.pool_size = 2).spawn().await;
    let ann = app.register("ann").await;
    slow_inserts(app.storage.postgres(), 3.0);
    let slow = [(); 2].map(|()| {
        let ann = ann.clone();
        tokio::spawn(async move { ann.post("tasks", json!({"title": "Slow"})).await.expect(201) })
    });
    eventually("both connections are used", async || {
        Scrape::of(&app.admin).await.sum("db_client_connection_count", &[("state", "used")]) == 2.0
    })
    .await;
    let started = Instant::now();
    let waits = tokio::spawn({
        let ann = ann.clone();
        async move { ann.get("tasks").await }
    });
    eventually("it is seen to wait", async || {
        Scrape::of(&app.admin).await.value("db_client_connection_pending_requests") == 1.0
    })
    .await;
    refused(waits.await.expect("the request's task").problem(503, "database-unavailable"));
    assert!(started.elapsed() < Duration::from_millis(2500), "{:?}", started.elapsed());
    app.api.get("/health").await.expect(200);
    for request in slow {
        request.await.expect("a slow write is made all the same");
    }
    ann.get("tasks").await.expect(200);
    let scrape = Scrape::of(&app.admin).await;
    assert_eq!(scrape.sum("http_server_rejected_requests_total", &[("reason", "database_busy")]), 1.0);
    assert_eq!(scrape.value("db_client_connection_timeouts_total"), 1.0);
    let labels = [("error_type", "pool_timeout"), ("db_operation_name", "task.list")];
    assert_eq!(scrape.sum("db_client_operation_duration_seconds_count", &labels), 1.0);
    assert_eq!(scrape.value("db_client_connection_max"), 2.0);
}
