//! From a point on a graph to a trace: what a real Prometheus stores of the real binary's exemplars.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::prometheus::{Prometheus, encoded};

use crate::harness::collector::{Collector, Mode};
use crate::harness::process::{Serving, task_api};
use crate::harness::{Backend, TestApp};

const BUCKET: &str = "http_server_request_duration_seconds_bucket";
const SOON: Duration = Duration::from_secs(20);

fn scrape_config(admin: &str) -> String {
    let target = admin.trim_start_matches("http://");
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs:\n- job_name: task-api\n  static_configs: [{{targets: ['{target}']}}]\n"
    )
}

/// The exemplars of a selector that Prometheus has.
fn stored(prometheus: &Prometheus, selector: &str) -> Vec<Value> {
    let data = prometheus.api(&format!("query_exemplars?query={}&start=0&end=9999999999", encoded(selector)));
    let series = data.as_array().cloned().unwrap_or_default();
    series.iter().flat_map(|series| series["exemplars"].as_array().cloned().unwrap_or_default()).collect()
}

/// Waits until `found` is not empty.
async fn wait<T>(what: &str, found: impl Fn() -> Vec<T>) -> Vec<T> {
    let deadline = Instant::now() + SOON;
    loop {
        let now = found();
        if !now.is_empty() {
            return now;
        }
        assert!(Instant::now() < deadline, "no {what} after {SOON:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_leads_from_a_bucket_to_the_trace_of_a_request_in_it() {
    let collector = Collector::start(Mode::Healthy).await;
    let process = task_api().env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint).serve().await;
    let admin = process.address("admin").await;
    let Some(prometheus) = Prometheus::start(&scrape_config(&admin)) else { return };
    let ann = process.api().await.register("ann").await;
    let reply = ann.post("tasks", json!({"title": "Paint"})).await.expect(201);
    // The caller does not record this one: it leads nowhere, and is no exemplar.
    let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    ann.get("me").header("traceparent", unsampled).await.expect(200);
    let traceparent: Vec<&str> = reply.header("traceparent").split('-').collect();

    let selector = format!("{BUCKET}{{http_request_method=\"POST\",http_route=\"/api/v1/tasks\"}}");
    let exemplars = wait("exemplar", || stored(&prometheus, &selector)).await;
    let [exemplar] = exemplars.as_slice() else { panic!("one request, one exemplar: {exemplars:#?}") };
    assert_eq!(exemplar["labels"], json!({"trace_id": traceparent[1], "span_id": traceparent[2]}));
    let span =
        collector.wait("the span", |spans| spans.iter().find(|span| span.span_id == traceparent[2]).cloned()).await;
    assert_eq!((span.trace_id.as_str(), span.name.as_str()), (traceparent[1], "POST /api/v1/tasks"));
    let seconds: f64 = exemplar["value"].as_str().and_then(|value| value.parse().ok()).expect("a value");
    assert!((seconds - span.duration.as_secs_f64()).abs() < 0.001, "{seconds} {span:?}");

    let requests = wait("count", || {
        let count = "http_server_request_duration_seconds_count{http_route=\"/api/v1/me\",synthetic=\"none\"} > 0";
        prometheus.query(count)
    });
    let (labels, count) = &requests.await[0];
    assert_eq!((labels["http_response_status_code"].as_str(), *count), ("200", 1.0));
    let selector = format!("{BUCKET}{{http_route=\"/api/v1/me\"}}");
    assert_eq!(stored(&prometheus, &selector), Vec::<Value>::new());
    // A scrape that Prometheus cannot read is a target that is down.
    assert_eq!(prometheus.query("min_over_time(up[1m])").iter().map(|(_, up)| *up).collect::<Vec<_>>(), [1.0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exposition_is_what_the_scraper_asks_for() {
    let app = TestApp::spawn(Backend::Sqlite).await;
    for (accept, content_type, ends) in [
        (None, "text/plain; version=0.0.4; charset=utf-8", false),
        (Some("text/plain"), "text/plain; version=0.0.4; charset=utf-8", false),
        (
            Some("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"),
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            true,
        ),
    ] {
        let call = app.admin.get("/metrics");
        let reply = match accept {
            Some(accept) => call.header("accept", accept),
            None => call,
        };
        let reply = reply.await.expect(200);
        assert_eq!(reply.header("content-type"), content_type);
        assert_eq!(reply.text.ends_with("# EOF\n"), ends);
    }
}
