//! What a request pays for each signal, and what happens once a minute or at each scrape.
#![expect(clippy::expect_used, reason = "a bench whose ground does not hold must not measure anything")]

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use benches::receiver::Receiver;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue};
use service::http::routes::ROUTES;
use service::store::Operation;
use telemetry::catalogue::STATUSES;
use telemetry::cloudwatch::{Aggregator, CloudWatchSettings};
use telemetry::context::RequestContext;
use telemetry::logs::{HttpRequestEvent, LogFormat, Outcome};
use telemetry::metrics::{BuildInfo, MethodLabel, Metrics, Synthetic};
use telemetry::trace_context::TraceContext;
use telemetry::traces::{Sampler, TraceSettings};
use telemetry::{Settings, Telemetry};
use tracing::{Dispatch, Level};

/// Lines or spans between two waits for their delivery: well within what the queues hold.
const PORTION: u64 = 4096;
const DELIVERY_MAX: Duration = Duration::from_secs(20);

fn metrics() -> Arc<Metrics> {
    Metrics::new(ROUTES, Operation::NAMES, BuildInfo { version: "0", revision: "0" })
}

fn context(sampled: bool) -> Arc<RequestContext> {
    let trace = TraceContext { sampled, ..TraceContext::new_root() };
    let context = RequestContext::new(RequestContext::request_id_from_header(None), trace);
    context.set_user(uuid::Uuid::now_v7());
    context
}

fn event() -> HttpRequestEvent<'static> {
    HttpRequestEvent {
        method: "GET",
        route: "/api/v1/tasks/{id}",
        path: "/api/v1/tasks/0197c3a5-6f2e-7cc0-9b1e-2f6d3c1a5b77",
        status: 200,
        duration: Duration::from_micros(1234),
        db_time: Duration::from_micros(567),
        db_queries: 1,
        user_id: Some(uuid::Uuid::now_v7()),
        client_address: Some(std::net::IpAddr::from([127, 0, 0, 1])),
        bytes: 512,
        outcome: Outcome::Answered,
        synthetic: Synthetic::None,
        cause: None,
    }
}

fn settings() -> Settings {
    Settings {
        service: "task-api",
        version: "0",
        environment: "bench".to_owned(),
        format: LogFormat::Json,
        filter: "info".to_owned(),
        cloudwatch: None,
        traces: None,
        sentry: None,
    }
}

fn start(settings: Settings) -> (Telemetry, Dispatch) {
    telemetry::build(settings, Box::new(io::sink())).expect("telemetry starts")
}

fn shipping(receiver: &Receiver) -> Settings {
    use aws_config::{BehaviorVersion, Region, SdkConfig};
    use aws_sdk_cloudwatchlogs::config::{Credentials, SharedCredentialsProvider};
    let credentials = Credentials::new("bench", "bench", None, None, "benches");
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(receiver.url())
        .credentials_provider(SharedCredentialsProvider::new(credentials));
    let cloudwatch = CloudWatchSettings { sdk_config: Some(sdk.build()), ..CloudWatchSettings::new("/bench") };
    Settings { cloudwatch: Some(cloudwatch), ..settings() }
}

/// Times `produce`, in portions, without the delivery that follows each.
fn in_portions(total: u64, mut produce: impl FnMut(), mut deliver: impl FnMut()) -> Duration {
    let (mut left, mut spent) = (total, Duration::ZERO);
    while left > 0 {
        let portion = left.min(PORTION);
        let start = Instant::now();
        for _ in 0..portion {
            produce();
        }
        spent += start.elapsed();
        deliver();
        left -= portion;
    }
    spent
}

fn recording(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("metrics");
    let metrics = metrics();
    let route = metrics.route_index("/api/v1/tasks/{id}");
    let method = MethodLabel::from(&http::Method::GET);
    group.throughput(Throughput::Elements(1));
    group.bench_function("record a request", |bencher| {
        bencher.iter(|| metrics.http_request(method, route, 200, black_box(Duration::from_micros(1234))));
    });
    group.bench_function("record a database operation", |bencher| {
        bencher.iter(|| metrics.db_operation(Operation::TaskGet as usize, None, black_box(Duration::from_micros(567))));
    });
    group.bench_function("count a request as active", |bencher| bencher.iter(|| metrics.active_requests()));
    // As after a busy day: each operation has succeeded and failed in some ways.
    for label in ROUTES {
        let method = MethodLabel::from(&http::Method::from_bytes(label.method.as_bytes()).expect("a method"));
        for status in STATUSES.iter().step_by(3) {
            metrics.http_request(method, metrics.route_index(label.route), *status, Duration::from_millis(1));
        }
    }
    group.throughput(Throughput::Bytes(metrics.render().len() as u64));
    group.bench_function("scrape", |bencher| bencher.iter(|| black_box(metrics.render())));
    group.throughput(Throughput::Elements(ROUTES.len() as u64));
    group.bench_function("lines in the embedded metric format, once a minute", |bencher| {
        // A fresh aggregator sees all as growth.
        bencher.iter(|| Aggregator::new("TaskApi", "task-api", "bench").lines(&metrics, black_box(1_800_000_000_000)));
    });
    group.finish();
}

fn identity(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request context");
    group.throughput(Throughput::Elements(1));
    let mut traced = HeaderMap::new();
    let parent = HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    traced.insert("traceparent", parent);
    for (name, headers) in [("new ids", HeaderMap::new()), ("a caller's trace", traced)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let request_id = RequestContext::request_id_from_header(headers.get("x-request-id"));
                RequestContext::new(request_id, TraceContext::from_headers(black_box(&headers)))
            });
        });
    }
    let context = context(false);
    group.bench_function("traceparent of the answer", |bencher| bencher.iter(|| context.trace.traceparent()));
    group.finish();
}

fn lines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("canonical line");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    let (context, event) = (context(false), event());
    let emit = || Arc::clone(&context).sync_scope(|| event.emit());
    let (telemetry, dispatch) = start(Settings { filter: "off".to_owned(), ..settings() });
    group.bench_function("level off", |bencher| {
        tracing::dispatcher::with_default(&dispatch, || bencher.iter(emit));
    });
    drop((telemetry, dispatch));
    let (telemetry, dispatch) = start(settings());
    group.bench_function("to standard output", |bencher| {
        tracing::dispatcher::with_default(&dispatch, || {
            bencher
                .iter_custom(|total| in_portions(total, emit, || assert!(telemetry.shutdown(DELIVERY_MAX).complete)));
        });
    });
    let receiver = Receiver::start(Duration::ZERO).expect("a receiver");
    let (telemetry, dispatch) = start(shipping(&receiver));
    let flush = || assert!(telemetry.shutdown(DELIVERY_MAX).complete, "delivered");
    group.bench_function("to standard output and CloudWatch", |bencher| {
        tracing::dispatcher::with_default(&dispatch, || {
            bencher.iter_custom(|total| in_portions(total, emit, flush));
        });
    });
    group.finish();
}

fn shipper(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("CloudWatch shipper");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    let line = format!("{{\"level\":\"INFO\",\"text\":\"{}\"}}\n", "x".repeat(480));
    let receiver = Receiver::start(Duration::ZERO).expect("a receiver");
    let (telemetry, _dispatch) = start(shipping(&receiver));
    let shipper = telemetry.shipper().expect("the shipper is on");
    let now = now();
    let push = || shipper.push(now, Level::INFO, black_box(line.as_bytes()));
    let flush = || assert!(shipper.flush(DELIVERY_MAX), "delivered");
    group.bench_function("a line into a queue with room", |bencher| {
        bencher.iter_custom(|total| in_portions(total, push, flush));
    });
    let dead = Receiver::start(Duration::from_secs(3600)).expect("a receiver");
    let (telemetry, _dispatch) = start(shipping(&dead));
    let shipper = telemetry.shipper().expect("the shipper is on");
    while shipper.counts().dropped_total() == 0 {
        shipper.push(now, Level::INFO, line.as_bytes());
    }
    group.bench_function("a line into a full queue", |bencher| {
        bencher.iter(|| shipper.push(now, Level::INFO, black_box(line.as_bytes())));
    });
    group.finish();
}

fn spans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("server span");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    let receiver = Receiver::start(Duration::ZERO).expect("a receiver");
    let traces = TraceSettings {
        endpoint: format!("{}/v1/traces", receiver.url()),
        headers: Vec::new(),
        timeout: Duration::from_secs(10),
        sampler: Sampler::parse(Some("parentbased_traceidratio"), Some("0.05")).expect("a sampler"),
        slow: Duration::from_millis(200),
        service_name: "task-api".to_owned(),
        resource_attributes: Vec::new(),
        ecs_metadata_uri: None,
    };
    let (telemetry, dispatch) = start(Settings { traces: Some(traces), ..settings() });
    let traces = telemetry.traces.clone().expect("traces are on");
    let event = event();
    let record = |sampled: bool| {
        let context = context(sampled);
        traces.begin(&context, Duration::ZERO);
        traces.end(&context, &event);
    };
    let deliver = || {
        let deadline = Instant::now() + DELIVERY_MAX;
        while traces.stats().waiting() > 0 {
            assert!(Instant::now() < deadline, "delivered");
            std::thread::yield_now();
        }
    };
    group.bench_function("not sampled", |bencher| {
        tracing::dispatcher::with_default(&dispatch, || bencher.iter(|| record(false)));
    });
    group.bench_function("sampled", |bencher| {
        tracing::dispatcher::with_default(&dispatch, || {
            bencher.iter_custom(|total| in_portions(total, || record(true), deliver));
        });
    });
    assert_eq!(traces.stats().dropped_total(), 0, "what is dropped costs less");
    group.finish();
}

#[expect(clippy::disallowed_methods, reason = "a line has a time of day; nothing here depends on it")]
fn now() -> SystemTime {
    SystemTime::now()
}

criterion_group! {
    name = telemetry_hot_path;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = recording, identity, lines, shipper, spans
}
criterion_main!(telemetry_hot_path);
