//! The two kinds of spans: of a request, and of a database operation within one.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Context, KeyValue, Value,
    trace::{
        Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer as _,
    },
};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{TARGET, Traces, ids};
use crate::{
    catalogue::{DropReason, UNMATCHED},
    clock,
    context::RequestContext,
    logs::{HttpRequestEvent, Outcome},
    trace_context::TraceContext,
};

/// For how many seconds a request was held before it was read. Its span is made then, and begins so much earlier when it leaves,
/// without this, which is its last attribute.
pub(super) const HELD: &str = "http.server.held_time";

/// The span of a request that is recorded from its start, and when that was.
#[derive(Debug)]
struct Live {
    span: Span,
    started: SystemTime,
    /// How long before the span the request began.
    held: Duration,
    tracer: SdkTracer,
}

/// The place for a request's span in its context; empty unless the request is sampled.
#[derive(Debug, Default)]
pub(crate) struct SpanSlot(OnceLock<Live>);

impl Traces {
    /// Begins the request's span, if its trace is sampled: the ids are the context's. Operations of the store that run
    /// within this context get spans below it. `held` is how long ago the request came: for so long it was not looked at.
    pub fn begin(&self, context: &RequestContext, held: Duration) {
        if !context.trace.sampled {
            return;
        }
        let span = tracing::info_span!(target: TARGET, parent: None, "request", otel.kind = "server");
        if let Some(parent) = parent(&context.trace) {
            let _ = span.set_parent(parent);
        }
        // The span of OpenTelemetry is made when first asked for.
        let made = ids::with(&context.trace, || span.context());
        if made.span().is_recording() {
            let now = clock::now();
            let started = now.checked_sub(held).unwrap_or(now);
            let _ = context.span.0.set(Live { span, started, held, tracer: self.0.tracer.clone() });
        }
    }

    /// Ends the request's span with what is known now; records one if there is none but the request failed or was slow: of slow
    /// ones at most [`SLOW_SPANS_PER_SECOND_MAX`](super::SLOW_SPANS_PER_SECOND_MAX), and none that was refused before it began.
    /// Says whether there is a span now: only then do the request's ids lead anywhere.
    pub fn end(&self, context: &RequestContext, event: &HttpRequestEvent<'_>) -> bool {
        let failed = event.status >= 500;
        let reason = match (context.trace.sampled, context.trace.parent_sampled) {
            (true, Some(true)) => "parent",
            (true, _) => "ratio",
            // Nothing was done for it that a span could show, and in an overload they come by the thousand.
            (false, _) if event.outcome == Outcome::Rejected => return false,
            (false, _) if failed => "error",
            (false, _) if event.duration > self.0.slow => {
                if !self.0.slow_kept.takes_one() {
                    self.stats().refuse(DropReason::RateLimited);
                    return false;
                }
                "slow"
            }
            _ => return false,
        };
        let name = match (event.method, event.route) {
            ("_OTHER", UNMATCHED) => "HTTP".to_owned(),
            (method, UNMATCHED) => method.to_owned(),
            ("_OTHER", route) => format!("HTTP {route}"),
            (method, route) => format!("{method} {route}"),
        };
        let status = if failed { Status::error("") } else { Status::Unset };
        let attributes = attributes(context, event, reason);
        if let Some(live) = context.span.0.get() {
            let otel = live.span.context();
            let span = otel.span();
            span.update_name(name);
            span.set_attributes(attributes);
            if !live.held.is_zero() {
                span.set_attribute(KeyValue::new(HELD, live.held.as_secs_f64()));
            }
            span.set_status(status);
            // Explicitly: a write that outlives its request holds the context, and with it the span, for longer.
            span.end_with_timestamp(live.started + event.duration);
        } else {
            let end = clock::now();
            let builder = self
                .0
                .tracer
                .span_builder(name)
                .with_kind(SpanKind::Server)
                .with_start_time(end.checked_sub(event.duration).unwrap_or(end))
                .with_attributes(attributes);
            let parent = parent(&context.trace).unwrap_or_default();
            let mut span = ids::with(&context.trace, || builder.start_with_context(&self.0.tracer, &parent));
            span.set_status(status);
            span.end_with_timestamp(end);
        }
        true
    }
}

/// The caller's span as OpenTelemetry has it; always marked as sampled, as what is recorded below it is.
fn parent(trace: &TraceContext) -> Option<Context> {
    let span_id = SpanId::from_bytes(trace.parent_span_id?);
    let trace_id = TraceId::from_bytes(trace.trace_id);
    let parent = SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, true, TraceState::NONE);
    Some(Context::new().with_remote_span_context(parent))
}

fn attributes(context: &RequestContext, event: &HttpRequestEvent<'_>, reason: &'static str) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("http.request.method", event.method.to_owned()),
        KeyValue::new("http.response.status_code", i64::from(event.status)),
        KeyValue::new("http.response.body.size", i64::try_from(event.bytes).unwrap_or(i64::MAX)),
        KeyValue::new("url.path", event.logged_path().into_owned()),
        KeyValue::new("url.scheme", "http"),
        KeyValue::new("request_id", context.request_id.to_string()),
        KeyValue::new("outcome", event.outcome.as_str()),
        KeyValue::new("db.queries", i64::from(event.db_queries)),
        KeyValue::new("db.time", event.db_time.as_secs_f64()),
        KeyValue::new("sampling.reason", reason),
    ];
    let mut optional = |name: &'static str, value: Option<Value>| {
        attributes.extend(value.map(|value| KeyValue::new(name, value)));
    };
    optional("http.route", (event.route != UNMATCHED).then(|| event.route.to_owned().into()));
    optional("client.address", event.client_address.map(|address| address.to_string().into()));
    optional("user.id", event.user_id.map(|id| id.to_string().into()));
    optional("error.type", (event.status >= 500).then(|| error_type(event)));
    optional("synthetic", event.synthetic.known().map(Value::from));
    attributes
}

/// The class of a failure: how it ended where that says more than the status.
fn error_type(event: &HttpRequestEvent<'_>) -> Value {
    match event.outcome {
        Outcome::Panicked => "panic".into(),
        Outcome::TimedOut => "timeout".into(),
        _ => event.status.to_string().into(),
    }
}

/// The span of one database operation; nothing unless the request that runs it is sampled.
#[derive(Debug)]
pub struct DatabaseSpan(Span);

impl DatabaseSpan {
    /// Begins it below the current request's span. `wait` is how long a connection took to come free.
    pub fn begin(operation: &'static str, system: &'static str, wait: Duration) -> Self {
        let span = RequestContext::with_current(|context| {
            context.span.0.get().map(|live| {
                tracing::info_span!(
                    target: TARGET,
                    parent: &live.span,
                    "database",
                    otel.name = operation,
                    otel.kind = "client",
                    db.system.name = system,
                    db.operation.name = operation,
                    db.client.connection.wait_time = wait.as_secs_f64(),
                )
            })
        });
        Self(span.flatten().unwrap_or_else(Span::none))
    }

    /// Records one that got no connection, and so is over: it waited for as long as it lived.
    pub fn never_began(
        context: &RequestContext,
        operation: &'static str,
        system: &'static str,
        wait: Duration,
        error_type: &'static str,
    ) {
        let Some(live) = context.span.0.get() else { return };
        let end = clock::now();
        let attributes = [
            KeyValue::new("db.system.name", system),
            KeyValue::new("db.operation.name", operation),
            KeyValue::new("db.client.connection.wait_time", wait.as_secs_f64()),
            KeyValue::new("error.type", error_type),
        ];
        let builder = live.tracer.span_builder(operation).with_kind(SpanKind::Client).with_attributes(attributes);
        let builder = builder.with_start_time(end.checked_sub(wait).unwrap_or(end));
        let mut span = builder.start_with_context(&live.tracer, &live.span.context());
        span.set_status(Status::error(""));
        span.end_with_timestamp(end);
    }

    /// Says that nobody waits for the operation any more, which is no failure. It ends when this is dropped.
    pub fn cancelled(&self, error_type: &'static str) {
        if !self.0.is_disabled() {
            self.0.set_attribute("error.type", error_type);
        }
    }

    /// Says why the operation failed. It ends when this is dropped.
    pub fn failed(&self, error_type: &'static str) {
        if !self.0.is_disabled() {
            self.0.set_attribute("error.type", error_type);
            self.0.set_status(Status::error(""));
        }
    }
}
