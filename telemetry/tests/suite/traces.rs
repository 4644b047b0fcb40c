//! The way of spans and of failures when nobody takes them: bounded, counted, and over in time.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use http::HeaderMap;
use telemetry::{
    catalogue::{DropReason, Synthetic},
    context::RequestContext,
    errors::{SENTRY_QUEUE_MAX, SafeHeaders, SentrySettings},
    logs::{HttpRequestEvent, Outcome},
    trace_context::TraceContext,
    traces::{DatabaseSpan, SPAN_QUEUE_MAX, Sampler, TraceSettings},
};
use tracing::dispatcher::with_default;

use crate::support::{self, Output};

const DEADLINE: Duration = Duration::from_millis(1000);

fn event(status: u16) -> HttpRequestEvent<'static> {
    HttpRequestEvent {
        method: "GET",
        route: "/api/v1/tasks",
        path: "/api/v1/tasks",
        status,
        duration: Duration::from_millis(1),
        db_time: Duration::ZERO,
        db_queries: 1,
        user_id: None,
        client_address: None,
        bytes: 0,
        outcome: Outcome::Answered,
        synthetic: Synthetic::None,
        cause: None,
    }
}

fn context(trace: TraceContext) -> std::sync::Arc<RequestContext> {
    RequestContext::new("id".into(), trace)
}

/// A server that accepts, in its backlog, and never answers.
fn hung() -> Result<(TcpListener, String), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    Ok((listener, address.to_string()))
}

fn traces(address: &str, sampler: Sampler) -> TraceSettings {
    TraceSettings {
        endpoint: format!("http://{address}/v1/traces"),
        headers: Vec::new(),
        timeout: Duration::from_secs(10),
        sampler,
        slow: Duration::from_millis(200),
        service_name: "test".into(),
        resource_attributes: Vec::new(),
        ecs_metadata_uri: None,
    }
}

#[test]
fn spans_that_nobody_takes_are_bounded_and_each_is_accounted_for() -> support::Outcome {
    let (_listener, address) = hung()?;
    let mut settings = support::settings("info");
    settings.traces = Some(traces(&address, Sampler::default()));
    let (telemetry, dispatch) = telemetry::build(settings, Box::new(Output::default()))?;
    let Some(traces) = telemetry.traces.clone() else { return Err("no traces".into()) };
    let requests = SPAN_QUEUE_MAX as u64;
    with_default(&dispatch, || {
        for _ in 0..requests {
            let context = context(traces.decide(TraceContext::new_root()));
            traces.begin(&context, Duration::ZERO);
            context.clone().sync_scope(|| drop(DatabaseSpan::begin("task.list", "sqlite", Duration::ZERO)));
            traces.end(&context, &event(200));
        }
    });
    let stats = telemetry.handles().traces.ok_or("no traces")?.stats().clone();
    assert_eq!((stats.produced(), stats.waiting()), (2 * requests, requests), "two spans a request");
    assert_eq!(stats.dropped(DropReason::QueueFull), requests);
    let started = Instant::now();
    let report = telemetry.shutdown(DEADLINE);
    assert!(started.elapsed() < DEADLINE * 3 / 2, "{:?}", started.elapsed());
    assert_eq!((report.complete, report.spans_lost), (false, requests));
    assert_eq!(stats.produced(), stats.delivered() + stats.dropped_total() + stats.waiting());
    assert_eq!(stats.dropped(DropReason::Shutdown), requests);
    Ok(())
}

#[test]
fn what_is_not_sampled_makes_no_span_unless_it_fails_or_is_slow() -> support::Outcome {
    let (_listener, address) = hung()?;
    let mut settings = support::settings("info");
    settings.traces = Some(traces(&address, Sampler::parse(Some("always_off"), None).map_err(|e| e.to_string())?));
    let (telemetry, dispatch) = telemetry::build(settings, Box::new(Output::default()))?;
    let Some(traces) = telemetry.traces.clone() else { return Err("no traces".into()) };
    let spans_of = |event: HttpRequestEvent<'static>| {
        let before = traces.stats().produced();
        with_default(&dispatch, || {
            let context = context(traces.decide(TraceContext::new_root()));
            traces.begin(&context, Duration::ZERO);
            context.clone().sync_scope(|| drop(DatabaseSpan::begin("task.list", "sqlite", Duration::ZERO)));
            let recorded = traces.end(&context, &event);
            assert_eq!(u64::from(recorded), traces.stats().produced() - before, "what it says of itself");
        });
        traces.stats().produced() - before
    };
    assert_eq!(spans_of(event(200)), 0);
    assert_eq!(spans_of(event(404)), 0);
    assert_eq!(spans_of(event(499)), 0);
    assert_eq!(spans_of(event(500)), 1);
    assert_eq!(spans_of(HttpRequestEvent { duration: Duration::from_millis(200), ..event(200) }), 0);
    assert_eq!(spans_of(HttpRequestEvent { duration: Duration::from_millis(201), ..event(200) }), 1);
    telemetry.shutdown(DEADLINE);
    Ok(())
}

#[test]
fn failures_that_nobody_takes_are_bounded_and_each_is_accounted_for() -> support::Outcome {
    let (_listener, address) = hung()?;
    let mut settings = support::settings("info");
    settings.sentry = Some(SentrySettings::parse(&format!("http://key@{address}/1"), "1")?);
    let (telemetry, _) = telemetry::build(settings, Box::new(Output::default()))?;
    let Some(errors) = telemetry.errors.clone() else { return Err("no errors".into()) };
    let safe = SafeHeaders::of(&HeaderMap::new());
    for status in [200, 404, 499, 500, 503].into_iter().cycle().take(1000) {
        errors.request_ended(&context(TraceContext::new_root()), &event(status), None, &safe);
    }
    let stats = errors.stats().clone();
    assert_eq!((stats.produced(), stats.waiting()), (400, SENTRY_QUEUE_MAX as u64));
    let started = Instant::now();
    let report = telemetry.shutdown(DEADLINE);
    assert!(started.elapsed() < DEADLINE * 3 / 2, "{:?}", started.elapsed());
    assert_eq!((report.complete, report.errors_lost), (false, SENTRY_QUEUE_MAX as u64));
    assert_eq!(stats.produced(), stats.delivered() + stats.dropped_total() + stats.waiting());
    Ok(())
}
