//! The real service: every operation, the server's own numbers, what is left behind.

use serde_json::Value;
use testkit::postgres::Cluster;
use testkit::process::{Builder, Process};

use crate::harness::{leftovers, machine, result, rules, run, short, slo};

/// A debug build of the service on a shared machine: rate, latency and what it sheds say nothing, everything else does.
async fn holds(service: &Process) -> (Value, tempfile::TempDir) {
    let (host, admin) = (service.address("api").await, service.address("admin").await);
    let metrics = format!("{admin}/metrics");
    let trace_url = "https://traces.example.com/{trace_id}";
    let more = ["--rate", "60", "--duration", "4s", "--metrics-url", &metrics, "--trace-url", trace_url];
    let (code, output, directory) = run(&short(&host, &slo(), &more)).await;
    assert!(code == 1 || code == 2, "too few samples of each operation for a PASS: {output}");
    let measured = result(directory.path());
    for name in ["contract", "counts agree", "same version", "no restart", "client p99 not below server's"] {
        let rules = rules(&measured, name);
        assert!(!rules.is_empty(), "{name}: {output}");
        assert!(rules.iter().all(|rule| rule["outcome"] == "pass"), "{name}: {output}");
    }
    assert_eq!(rules(&measured, "counts agree").len(), 5, "each route: {output}");
    let operations: Vec<&str> =
        measured["operations"].as_array().expect("rows").iter().filter_map(|row| row["name"].as_str()).collect();
    let all = ["all", "list", "page", "filter", "search", "get", "create", "patch", "delete"];
    assert_eq!(operations, all, "{output}");
    assert_eq!(leftovers(directory.path()), Vec::<std::path::PathBuf>::new());
    (measured, directory)
}

async fn deleted_projects(service: &Process) -> String {
    let admin = service.address("admin").await;
    let text = reqwest::get(format!("{admin}/metrics")).await.expect("metrics").text().await.expect("text");
    let series = "http_server_request_duration_seconds_count{http_request_method=\"DELETE\",http_route=\"/api/v1/projects/{id}\",\
                  http_response_status_code=\"204\"";
    let line = text.lines().find(|line| line.starts_with(series)).expect("the series");
    line.rsplit(' ').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn client_and_service_agree_on_sqlite_and_nothing_is_left() {
    let _machine = machine().await;
    let service = Builder::task_api().serve().await;
    let (measured, directory) = holds(&service).await;
    assert_eq!(deleted_projects(&service).await, "20");

    // The reports of a real run: complete, and without anything that would let somebody in.
    let read = |name: &str| std::fs::read_to_string(directory.path().join("report").join(name)).expect(name);
    let html = read("report.html");
    let trace = measured["slowest"][0]["trace_id"].as_str().expect("an answer of the service has a trace").to_owned();
    assert!(html.contains(&format!("<a href=\"https://traces.example.com/{trace}\">")), "a link to the trace");
    for part in
        ["Latency over time", "Rate achieved", "Percentiles by operation", "beside the client", "The slowest requests"]
    {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("<script") && !html.contains("src="), "one file without a script");
    assert!(read("report.md").contains(&trace));
    for name in ["report.html", "report.md", "junit.xml", "result.json"] {
        let text = read(name);
        assert!(!text.contains("Bearer") && !text.contains("eyJ") && !text.contains("password"), "{name}");
    }

    // A run compared with itself has not changed.
    let folder = directory.path().join("report").display().to_string();
    let (code, output, _) = run(&["compare", &folder, &folder]).await;
    let trusted = measured["rules"]
        .as_array()
        .expect("rules")
        .iter()
        .all(|rule| rule["trust"] == false || rule["outcome"] == "pass");
    assert_eq!(code, if trusted { 0 } else { 2 }, "{output}");
}

#[tokio::test]
async fn client_and_service_agree_on_postgresql() {
    let Some(cluster) = Cluster::get() else { return };
    let _machine = machine().await;
    let database = cluster.create_empty_database();
    let service = Builder::task_api()
        .env("DATABASE_URL", &database.url)
        .env("AUTO_MIGRATE", "true")
        .env("JWT_SECRET", "a secret of 32 bytes for the test")
        .serve()
        .await;
    holds(&service).await;
    let alive = database.psql("SELECT count(*) FROM projects WHERE personal_of IS NULL AND deleted_at IS NULL");
    assert_eq!(alive, "0");
}
