//! What Sentry is told of a failure: what it takes to find the trace, the log line and the code, and nobody's data.

use sentry::protocol::{Context, Event, Exception, Level, Mechanism, Request, TraceContext, Values};
use serde_json::json;

use super::SafeHeaders;
use crate::{
    clock,
    context::RequestContext,
    logs::{HttpRequestEvent, Outcome},
    panics::PanicReport,
    random::random_bytes,
    redact::redact,
};

/// The event of a failed request.
pub(super) fn of_request(
    context: &RequestContext,
    request: &HttpRequestEvent<'_>,
    panic: Option<&PanicReport>,
    headers: &SafeHeaders,
) -> Event<'static> {
    let transaction = format!("{} {}", request.method, request.route);
    let (kind, value) = match (panic, request.outcome) {
        (Some(panic), _) => ("panic", panic.message.clone()),
        (None, Outcome::Panicked) => ("panic", "a handler panicked".to_owned()),
        (None, Outcome::TimedOut) => ("timeout", "the request was given up".to_owned()),
        (None, _) => {
            let said = request.cause.map_or_else(|| format!("answered {}", request.status), str::to_owned);
            (if request.status == 500 { "internal_error" } else { "unavailable" }, said)
        }
    };
    let mut event = base(kind, value, panic);
    // One issue for each way in which a route fails; the text of a cause may differ from time to time.
    let place = panic.map_or_else(String::new, |panic| panic.location.clone());
    event.fingerprint =
        vec![kind.into(), transaction.clone().into(), request.status.to_string().into(), place.into()].into();
    event.tags.extend([
        ("route".to_owned(), request.route.to_owned()),
        ("method".to_owned(), request.method.to_owned()),
        ("status".to_owned(), request.status.to_string()),
        ("outcome".to_owned(), request.outcome.as_str().to_owned()),
    ]);
    identify(&mut event, context);
    event.transaction = Some(transaction);
    event.extra.insert("duration_ms".to_owned(), json!(request.duration.as_micros() as f64 / 1000.0));
    event.extra.insert("db_queries".to_owned(), json!(request.db_queries));
    event.extra.insert("db_time_ms".to_owned(), json!(request.db_time.as_micros() as f64 / 1000.0));
    event.request = Some(Request {
        method: Some(request.method.to_owned()),
        headers: headers.iter().map(|(name, value)| (name.as_str().to_owned(), redact(value))).collect(),
        ..Request::default()
    });
    event
}

/// The event of a panic that no request answers for.
pub(super) fn of_panic(panic: &PanicReport, context: Option<&RequestContext>) -> Event<'static> {
    let mut event = base("panic", panic.message.clone(), Some(panic));
    event.fingerprint = vec!["panic".into(), panic.location.clone().into()].into();
    if let Some(context) = context {
        identify(&mut event, context);
    }
    event
}

fn base(kind: &str, value: String, panic: Option<&PanicReport>) -> Event<'static> {
    let exception = Exception {
        ty: kind.to_owned(),
        value: Some(value),
        stacktrace: panic.and_then(|panic| panic.stack.clone()),
        mechanism: panic.map(|_| Mechanism { ty: "panic".to_owned(), handled: Some(false), ..Mechanism::default() }),
        ..Exception::default()
    };
    let mut event = Event {
        event_id: uuid::Builder::from_random_bytes(random_bytes()).into_uuid(),
        level: if panic.is_some() { Level::Fatal } else { Level::Error },
        platform: "native".into(),
        timestamp: clock::now(),
        exception: Values { values: vec![exception] },
        ..Event::default()
    };
    if let Some(panic) = panic {
        event.tags.insert("location".to_owned(), panic.location.clone());
    }
    event
}

/// The ids by which the trace and the log lines are found.
fn identify(event: &mut Event<'_>, context: &RequestContext) {
    event.tags.insert("trace_id".to_owned(), context.trace.trace_id_hex());
    event.tags.insert("request_id".to_owned(), context.request_id.to_string());
    let trace = TraceContext {
        trace_id: context.trace.trace_id.into(),
        span_id: context.trace.span_id.into(),
        parent_span_id: context.trace.parent_span_id.map(Into::into),
        op: Some("http.server".to_owned()),
        ..TraceContext::default()
    };
    event.contexts.insert("trace".to_owned(), Context::Trace(Box::new(trace)));
}
