//! Traces: which requests are recorded, their spans, and how these leave over OTLP.
//!
//! The decision comes first, from the ids alone. A request that is recorded gets a span when it arrives, and each of its
//! database operations one below it; a request that is not gets none, and costs a comparison. If it then fails or takes
//! longer than the objective, its span is recorded afterwards from what is known at the end.

mod client;
mod ids;
mod pipeline;
mod resource;
mod sampler;
mod slow_kept;
mod span;

use std::{fmt, sync::Arc, time::Duration};

use opentelemetry_sdk::trace::SdkTracer;
use tracing::Subscriber;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

pub(crate) use self::span::SpanSlot;
pub use self::{
    pipeline::{SPAN_BATCH_INTERVAL, SPAN_BATCH_MAX, SPAN_QUEUE_MAX},
    resource::ECS_METADATA_TIMEOUT,
    sampler::{Sampler, SamplerError},
    slow_kept::SLOW_SPANS_PER_SECOND_MAX,
    span::DatabaseSpan,
};

use self::{pipeline::Pipeline, slow_kept::SlowKept};
use crate::{InitError, Settings, delivery::DeliveryStats, trace_context::TraceContext};

/// The target of all our spans; the layer takes no others, so those of libraries cost nothing.
const TARGET: &str = "telemetry::span";

/// Where traces go, and which.
#[derive(Clone)]
pub struct TraceSettings {
    /// The whole URL of the collector's `/v1/traces`.
    pub endpoint: String,
    /// `OTEL_EXPORTER_OTLP_HEADERS`: sent with each batch; may hold keys, so never printed.
    pub headers: Vec<(String, String)>,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT`: for one batch, retries included.
    pub timeout: Duration,
    /// `OTEL_TRACES_SAMPLER`.
    pub sampler: Sampler,
    /// `TRACE_SLOW_MS`: requests that take longer are kept whatever the sampler says.
    pub slow: Duration,
    /// `OTEL_SERVICE_NAME`.
    pub service_name: String,
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    pub resource_attributes: Vec<(String, String)>,
    /// `ECS_CONTAINER_METADATA_URI_V4`, which ECS sets.
    pub ecs_metadata_uri: Option<String>,
}

impl fmt::Debug for TraceSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TraceSettings")
            .field("endpoint", &self.endpoint)
            .field("sampler", &self.sampler)
            .finish_non_exhaustive()
    }
}

/// The traces of a process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Traces(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pipeline: Pipeline,
    tracer: SdkTracer,
    sampler: Sampler,
    slow: Duration,
    slow_kept: SlowKept,
    endpoint: String,
    /// What the resource lacks.
    missing: Option<String>,
}

impl fmt::Display for Traces {
    /// Where spans go, and which.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slow = self.0.slow.as_millis();
        write!(formatter, "{} ({}, and whatever fails or takes over {slow} ms)", self.0.endpoint, self.0.sampler)?;
        self.0.missing.as_ref().map_or(Ok(()), |missing| write!(formatter, "; {missing}"))
    }
}

impl Traces {
    pub(crate) fn start(process: &Settings, settings: &TraceSettings) -> Result<Self, InitError> {
        let (resource, missing) = resource::resource(process, settings);
        let pipeline = Pipeline::start(settings, resource)?;
        let (tracer, sampler, slow) = (pipeline.tracer(), settings.sampler, settings.slow);
        let endpoint = settings.endpoint.clone();
        Ok(Self(Arc::new(Inner { pipeline, tracer, sampler, slow, slow_kept: SlowKept::new(), endpoint, missing })))
    }

    /// The layer that makes spans of `tracing` spans of OpenTelemetry: ours, with the trimmings off.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET))
    }

    /// Decides whether this trace is recorded, and writes it into the context.
    pub fn decide(&self, trace: TraceContext) -> TraceContext {
        TraceContext { sampled: self.0.sampler.samples(&trace), ..trace }
    }

    /// What became of the spans so far.
    pub fn stats(&self) -> &Arc<DeliveryStats> {
        &self.0.pipeline.stats
    }

    /// Sends what waits, for at most `deadline`; returns how many spans were given up. Spans that end afterwards are lost.
    pub(crate) fn shutdown(&self, deadline: Duration) -> u64 {
        self.0.pipeline.shutdown(deadline)
    }
}
