//! Ids of spans: those of the request where its span begins, random ones for everything below it.
//!
//! A request has its ids before it has a span, and whether or not it gets one: the answer and the log lines carry them.
//! OpenTelemetry's tracer takes ids from a generator alone, so the generator is told which ones come next.

use std::cell::Cell;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::IdGenerator;

use crate::{
    random::{random_bytes, random_u64},
    trace_context::TraceContext,
};

thread_local! {
    static NEXT: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Gives the span that `begin` begins the ids of `trace`.
pub(super) fn with<R>(trace: &TraceContext, begin: impl FnOnce() -> R) -> R {
    NEXT.set(Some((TraceId::from_bytes(trace.trace_id), SpanId::from_bytes(trace.span_id))));
    let result = begin();
    NEXT.set(None);
    result
}

/// The generator of the tracer.
#[derive(Debug)]
pub(super) struct Ids;

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.get().map_or_else(|| TraceId::from_bytes(random_bytes()), |(trace_id, _)| trace_id)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.get().map_or_else(|| SpanId::from_bytes(random_u64().max(1).to_be_bytes()), |(_, span_id)| span_id)
    }
}
