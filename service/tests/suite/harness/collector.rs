//! A collector of OpenTelemetry: takes OTLP over HTTP, decodes it with the official messages, and can misbehave.

use std::collections::BTreeMap;
use std::future::pending;
use std::io::Read as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use prost::Message as _;

const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(20);

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Takes everything.
    Healthy,
    /// Never answers.
    Hung,
    /// Says that it is unavailable.
    Unavailable,
    /// Takes a request and refuses so many of its spans.
    Partial(i64),
}

/// One span as it arrived.
#[derive(Clone, Debug)]
pub struct Span {
    /// In hexadecimal, as are the other ids.
    pub trace_id: String,
    /// Its own id.
    pub span_id: String,
    /// Its parent's; empty for a root.
    pub parent_span_id: String,
    /// Its name.
    pub name: String,
    /// 2 is a server's, 3 a client's.
    pub kind: i32,
    /// From start to end.
    pub duration: Duration,
    /// 0 is unset, 2 an error.
    pub status: i32,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// Those of its resource.
    pub resource: BTreeMap<String, String>,
    /// What its status says in words.
    pub status_message: String,
    /// How many events it has.
    pub events: usize,
}

struct Received {
    mode: Mode,
    spans: Vec<Span>,
    headers: Vec<HeaderMap>,
    /// Each request as it was decoded, whole: also what `Span` has no field for.
    decoded: Vec<String>,
}

/// A running collector; it ends with the test's runtime.
#[derive(Clone)]
pub struct Collector {
    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: String,
    received: Arc<Mutex<Received>>,
}

impl Collector {
    /// Starts one on a free port.
    pub async fn start(mode: Mode) -> Self {
        let received =
            Arc::new(Mutex::new(Received { mode, spans: Vec::new(), headers: Vec::new(), decoded: Vec::new() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("a bound listener"));
        let router = axum::Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&received));
        let connections = serve(listener, router);
        tokio::spawn(connections);
        Self { endpoint, received }
    }

    /// Answers otherwise from now on.
    pub fn set(&self, mode: Mode) {
        self.lock().mode = mode;
    }

    /// What has arrived so far.
    pub fn spans(&self) -> Vec<Span> {
        self.lock().spans.clone()
    }

    /// The headers of each batch so far.
    pub fn headers(&self) -> Vec<HeaderMap> {
        self.lock().headers.clone()
    }

    /// All requests so far with every field that they have, as text.
    pub fn decoded(&self) -> String {
        self.lock().decoded.join("\n")
    }

    /// Waits until `found` finds what it looks for among the spans.
    pub async fn wait<T>(&self, what: &str, found: impl Fn(&[Span]) -> Option<T>) -> T {
        let deadline = Instant::now() + ARRIVAL_TIMEOUT;
        loop {
            let spans = self.spans();
            if let Some(found) = found(&spans) {
                return found;
            }
            assert!(Instant::now() < deadline, "{what} did not arrive; there are {spans:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves each connection in a task of its own.
pub async fn serve(listener: tokio::net::TcpListener, router: axum::Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        let connection = hyper::server::conn::http1::Builder::new();
        tokio::spawn(connection.serve_connection(hyper_util::rt::TokioIo::new(stream), service));
    }
}

async fn take(State(received): State<Arc<Mutex<Received>>>, headers: HeaderMap, body: Bytes) -> Response {
    let mode = received.lock().unwrap_or_else(PoisonError::into_inner).mode;
    match mode {
        Mode::Healthy | Mode::Partial(_) => {}
        Mode::Hung => pending().await,
        Mode::Unavailable => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
    let mut plain = Vec::new();
    if headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        GzDecoder::new(&body[..]).read_to_end(&mut plain).expect("a gzip body");
    } else {
        plain.extend_from_slice(&body);
    }
    let request = ExportTraceServiceRequest::decode(&plain[..]).expect("an OTLP body");
    let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
    received.headers.push(headers);
    received.decoded.push(format!("{request:#?}"));
    for of_resource in request.resource_spans {
        let resource = attributes(of_resource.resource.map(|resource| resource.attributes).unwrap_or_default());
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            received.spans.push(Span {
                trace_id: hex(&span.trace_id),
                span_id: hex(&span.span_id),
                parent_span_id: hex(&span.parent_span_id),
                name: span.name,
                kind: span.kind,
                duration: Duration::from_nanos(span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano)),
                status: span.status.as_ref().map_or(0, |status| status.code),
                status_message: span.status.map_or_else(String::new, |status| status.message),
                events: span.events.len(),
                attributes: attributes(span.attributes),
                resource: resource.clone(),
            });
        }
    }
    let partial_success = match mode {
        Mode::Partial(rejected_spans) => {
            Some(ExportTracePartialSuccess { rejected_spans, error_message: "by the test".into() })
        }
        _ => None,
    };
    ExportTraceServiceResponse { partial_success }.encode_to_vec().into_response()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    }
}
