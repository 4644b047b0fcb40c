//! The harness, tested: what every other test leans on.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use service::clock::Clock;
use tokio_postgres::{Client, NoTls};

use super::app::Storage;
use super::client::PASSWORD;
use super::postgres::{Cluster, Options, Private, migrated};
use super::process::{Serving, Signal, task_api};
use super::proxy::Proxy;
use super::{Backend, TestApp, on_both_backends};

const SOON: Duration = Duration::from_secs(10);
const A_WHILE: Duration = Duration::from_millis(300);

on_both_backends! {
    /// The client, the assertions on a problem, a restart on the same database.
    async fn a_user_outlives_a_restart(backend: Backend) {
        let clock = Clock::manual(jiff::Timestamp::now());
        let app = TestApp::builder(backend).clock(clock.clone()).spawn().await;
        let ann = app.register("ann").await;
        let path = format!("projects/{}", ann.personal_project_id);
        ann.patch(&path, json!({"name": "Errands"})).await.expect(200);
        ann.patch(&path, json!({"name": ""})).await.problem(422, "").pointer("/name");
        app.api.get(&path).await.problem(401, "");
        ann.post("auth/refresh", json!({"refresh_token": ann.refresh_token})).await.expect(200);
        ann.put(&format!("{path}/members/{}", ann.id), json!({"role": "sorcerer"})).await.problem(422, "");
        ann.delete("nowhere").header("x-request-id", "of-my-own").await.problem(404, "");
        let broken = ann.request(Method::POST, "tasks").body("application/json", "{").await;
        broken.problem(400, "");
        app.admin.get("/health").await.expect(200);
        app.api.with_token(&ann.access_token).get("me").await.expect(200);

        let storage = app.stop().await;
        let app = TestApp::builder(backend).config(|_| {}).clock(clock).storage(storage).spawn().await;
        let login = app.api.post("auth/login", json!({"email": ann.email, "password": PASSWORD})).await.expect(200);
        let ann = app.api.with_token(&login.text_at("/access_token"));
        assert_eq!(ann.get("me").await.expect(200).text_at("/name"), "ann");
        match &app.storage {
            Storage::Sqlite(file) => assert!(file.directory.path().join("tasks.db").is_file()),
            storage => assert_eq!(storage.postgres().psql("SELECT count(*) FROM users"), "1"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_database_is_its_own_and_goes_when_dropped() {
    let Some(cluster) = Cluster::get() else { return };
    let (one, other) = (migrated(cluster).await, cluster.create_empty_database());
    one.psql("CREATE TABLE mark (id int)");
    assert_eq!(other.psql("SELECT to_regclass('mark') IS NULL"), "t");
    let held = connect(&one.url).await; // an open connection does not keep it
    let count = format!("SELECT count(*) FROM pg_database WHERE datname = '{}'", one.name);
    assert_eq!(cluster.psql("postgres", &count), "1");
    drop(one);
    eventually(|| cluster.psql("postgres", &count) == "0");
    drop(held);
}

#[test]
fn the_shared_cluster_loads_what_production_loads() {
    let Some(cluster) = Cluster::get() else { return };
    let database = cluster.create_empty_database();
    database.psql("CREATE EXTENSION pg_stat_statements");
    assert_ne!(database.psql("SELECT count(*) FROM pg_stat_statements"), "0");
    assert_eq!(database.psql("SHOW auto_explain.log_analyze"), "off");
    assert_eq!(
        database.psql("SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database LIMIT 1"),
        "UTF8|C.UTF-8"
    );
    assert!(cluster.directory().join("log").exists());
}

#[test]
fn a_private_cluster_stops_starts_and_leaves_nothing() {
    let settings = vec!["fsync = on".to_owned()];
    let Some(cluster) = Private::start(Options { settings, tls: None }) else { return };
    let database = cluster.create_empty_database();
    assert_eq!(database.psql("SHOW fsync"), "on");
    database.psql("CREATE TABLE kept AS SELECT 1 AS id");
    let directory = cluster.directory();
    for stop in [Private::stop_immediate, Private::stop_fast] {
        stop(&cluster);
        assert!(std::net::TcpStream::connect(cluster.address()).is_err(), "still listening");
        cluster.start_again();
        assert_eq!(database.psql("SELECT id FROM kept"), "1");
    }
    drop(database);
    drop(cluster);
    assert!(!directory.exists(), "{} is left", directory.display());
}

#[test]
#[ignore = "started, and killed, by the test below"]
fn holds_a_cluster() {
    let Some(cluster) = Private::start(Options::default()) else { return };
    println!("directory {}", cluster.directory().display());
    std::thread::sleep(SOON * 6);
}

#[test]
fn a_killed_test_process_leaves_no_server() {
    if Cluster::get().is_none() {
        return;
    }
    let mut holder = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "harness::checks::holds_a_cluster", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary starts");
    let lines = BufReader::new(holder.stdout.take().expect("stdout is piped")).lines().map_while(Result::ok);
    let directory = lines.filter_map(|line| Some(line.split_once("directory ")?.1.to_owned())).next();
    let directory = std::path::PathBuf::from(directory.expect("the holder names its directory"));
    assert!(directory.join("data/postmaster.pid").exists() || !rustix::process::geteuid().is_root());
    holder.kill().expect("the holder dies");
    holder.wait().expect("the holder died");
    eventually(|| !directory.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_delays_stalls_cuts_and_recovers() {
    let Some(cluster) = Cluster::get() else { return };
    let database = cluster.create_empty_database();
    let mut proxy = Proxy::start(cluster.address()).await;
    let url = database.url_through(proxy.address());
    let client = connect(&url).await;
    client.simple_query("SELECT 1").await.expect("a healthy proxy forwards");

    proxy.delay(A_WHILE);
    let started = Instant::now();
    client.simple_query("SELECT 1").await.expect("a slow proxy forwards");
    assert!(started.elapsed() >= A_WHILE * 2, "both ways: {:?}", started.elapsed());
    proxy.restore();

    proxy.blackhole();
    tokio::net::TcpStream::connect(proxy.address()).await.expect("a black hole accepts");
    let mut query = Box::pin(client.simple_query("SELECT 1"));
    assert!(tokio::time::timeout(A_WHILE, &mut query).await.is_err(), "a black hole answers nothing");
    proxy.restore();
    tokio::time::timeout(SOON, query).await.expect("in time").expect("what was sent arrives after all");

    proxy.cut().await;
    assert!(client.simple_query("SELECT 1").await.is_err(), "the connection is gone");
    let refused = tokio::net::TcpStream::connect(proxy.address()).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    proxy.restore();
    connect(&url).await.simple_query("SELECT 1").await.expect("a restored proxy forwards");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_runs_behind_a_proxy() {
    let Some(cluster) = Cluster::get() else { return };
    let database = migrated(cluster).await;
    let proxy = Proxy::start(cluster.address()).await;
    let url = database.url_through(proxy.address());
    let app = TestApp::builder(Backend::Postgres).database_url(url).spawn().await;
    app.register("ann").await;
    assert!(matches!(app.storage, Storage::Elsewhere(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_binary_serves_until_told_to_stop() {
    let mut process = task_api().env("RUST_LOG", "info").serve().await;
    process.api().await.register("ann").await;
    process.admin().await.get("/health").await.expect(200);
    assert!(process.id() > 0 && process.directory.path().join("data").is_dir());
    assert!(process.logs().iter().all(serde_json::Value::is_object), "{}", process.output());
    assert_eq!(process.errors(), [""; 0]);
    process.signal(Signal::TERM);
    assert!(process.wait(SOON).await.success(), "{}", process.output());

    let mut refused = task_api().arg("--no-such-flag").start();
    assert_eq!(refused.wait(SOON).await.code(), Some(64));
    assert!(refused.output().contains("--no-such-flag"));

    let mut killed = task_api().serve().await;
    killed.kill9();
    assert_eq!(killed.wait(SOON).await.code(), None, "a signal leaves no code");
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

fn eventually(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {SOON:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
