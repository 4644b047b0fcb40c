//! The way of a finished span: a bounded queue, batches, one thread that sends them, and a count of what became of each.
//!
//! The SDK counts nothing that can be read, so its processor and its exporter stand between two of ours: the gate admits a
//! span only while there is room, the meter sees each batch leave.

use std::{sync::Arc, time::Duration};

use opentelemetry::{Context, Value, trace::TracerProvider as _};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter,
        SpanProcessor,
    },
};

use super::{
    TraceSettings,
    client::{Client, Refusal},
    ids::Ids,
    span::HELD,
};
use crate::{
    InitError,
    catalogue::{DropReason, Signal},
    delivery::DeliveryStats,
};

/// The most spans that wait, those on their way among them: 8 MB at a kilobyte each, and 16 s of a collector that stands
/// still at 1000 requests a second with a database operation each, a quarter of them sampled.
pub const SPAN_QUEUE_MAX: usize = 8192;

/// The most spans of one request to the collector: 200 KB compressed, which each collector takes by default.
pub const SPAN_BATCH_MAX: usize = 2048;

/// The longest a span waits for company.
pub const SPAN_BATCH_INTERVAL: Duration = Duration::from_secs(2);

/// The tracer provider and what it has done.
#[derive(Debug)]
pub(super) struct Pipeline {
    provider: SdkTracerProvider,
    pub(super) stats: Arc<DeliveryStats>,
}

impl Pipeline {
    /// Starts the thread that sends; nothing is sent yet.
    pub(super) fn start(settings: &TraceSettings, resource: Resource) -> Result<Self, InitError> {
        let stats = Arc::new(DeliveryStats::new(Signal::Trace));
        let client = Client::new(settings.timeout).map_err(InitError::Traces)?;
        let refusal = client.refusal();
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(settings.endpoint.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(settings.timeout)
            .with_headers(settings.headers.iter().cloned().collect())
            .build()
            .map_err(|error| InitError::Traces(error.to_string()))?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(SPAN_QUEUE_MAX)
            .with_max_export_batch_size(SPAN_BATCH_MAX)
            .with_scheduled_delay(SPAN_BATCH_INTERVAL)
            .build();
        let meter = Meter { exporter, stats: Arc::clone(&stats), refusal };
        let batches = BatchSpanProcessor::new(meter, batches);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Gate { batches, stats: Arc::clone(&stats) })
            .with_sampler(Sampler::AlwaysOn) // the decision is taken before a span exists
            .with_id_generator(Ids)
            .with_resource(resource)
            .build();
        Ok(Self { provider, stats })
    }

    pub(super) fn tracer(&self) -> SdkTracer {
        self.provider.tracer("task-api")
    }

    /// Sends what waits, for at most `deadline`, and gives up the rest. Returns how many spans that were.
    pub(super) fn shutdown(&self, deadline: Duration) -> u64 {
        if let Err(error) = self.provider.shutdown_with_timeout(deadline)
            && self.stats.waiting() > 0
        {
            self.stats.log_failure(&error.to_string());
        }
        self.stats.give_up_waiting()
    }
}

/// Lets a span into the queue while there is room.
#[derive(Debug)]
struct Gate {
    batches: BatchSpanProcessor,
    stats: Arc<DeliveryStats>,
}

impl SpanProcessor for Gate {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, mut span: SpanData) {
        let held = span.attributes.last().filter(|attribute| attribute.key.as_str() == HELD);
        if let Some(Value::F64(seconds)) = held.map(|held| &held.value) {
            span.start_time = span.start_time.checked_sub(Duration::from_secs_f64(*seconds)).unwrap_or(span.start_time);
            span.attributes.pop();
        }
        if self.stats.admit(SPAN_QUEUE_MAX as u64) {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Counts what the exporter did.
#[derive(Debug)]
struct Meter<E> {
    exporter: E,
    stats: Arc<DeliveryStats>,
    refusal: Arc<Refusal>,
}

impl<E: SpanExporter> SpanExporter for Meter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.exporter.export(batch).await;
        match &result {
            Ok(()) => {
                // A collector that answers 200 may have refused spans all the same.
                let (refused, why) = self.refusal.take();
                let refused = refused.min(spans);
                self.stats.give_up(refused, DropReason::Rejected);
                if refused < spans {
                    self.stats.deliver(spans - refused);
                }
                if let Some(why) = why {
                    self.stats.log_failure(&why);
                }
            }
            Err(error) => {
                self.stats.give_up(spans, DropReason::ExportFailed);
                self.stats.log_failure(&error.to_string());
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
