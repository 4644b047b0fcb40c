//! Structured logs: one JSON object a line, or text for people, through a bounded writer that never blocks.
//!
//! Only events are written; spans are left to tracing. What belongs to a request comes from its
//! [`RequestContext`](crate::context::RequestContext), not from spans.

mod control;
mod decimal;
mod escape;
mod http_request;
mod json;
mod output;
mod own;
mod pretty;
mod stats;
mod timestamp;
mod writer;

use std::sync::Arc;

use tracing::Dispatch;
use tracing_subscriber::{Layer, Registry, layer::SubscriberExt};

pub use self::{
    control::{FilterError, LogControl},
    http_request::{HttpRequestEvent, Outcome, PATH_CHARACTERS_MAX},
    stats::LogStats,
    writer::{LOG_BUFFER_BYTES_MAX, LOG_BUFFER_ERROR_RESERVE},
};
pub(crate) use self::{
    control::{LogFilter, filter},
    json::Identity,
    own::{Field, OwnLines},
    writer::{Drops, LogWriter, Summary},
};

use self::json::JsonLayer;
use crate::{cloudwatch, traces::Traces};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for people, in colour on a terminal.
    Pretty,
}

/// The subscriber: the layer of the format, behind its filter. The shipper gets JSON whatever standard output gets, and
/// one formatting serves both if that is JSON too.
pub(crate) fn subscriber(
    format: LogFormat,
    colours: bool,
    identity: Identity,
    filter: LogFilter,
    writer: Arc<LogWriter>,
    shipper: Option<Arc<cloudwatch::Queue>>,
    traces: Option<&Traces>,
) -> Dispatch {
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match (format, shipper) {
        (LogFormat::Json, shipper) => JsonLayer::new(identity, Some(writer), shipper).with_filter(filter).boxed(),
        (LogFormat::Pretty, None) => pretty::layer(writer, colours).with_filter(filter).boxed(),
        (LogFormat::Pretty, shipper) => {
            let both = pretty::layer(writer, colours).and_then(JsonLayer::new(identity, None, shipper));
            both.with_filter(filter).boxed()
        }
    };
    let registry = tracing_subscriber::registry().with(layer);
    match traces {
        Some(traces) => Dispatch::new(registry.with(traces.layer())),
        None => Dispatch::new(registry),
    }
}

/// Appends text as JSON, in quotes, however long it is.
pub(crate) fn append_json_string(text: &str, out: &mut Vec<u8>) {
    escape::whole(text, out);
}

/// Appends a whole number.
pub(crate) fn append_number(number: i64, out: &mut Vec<u8>) {
    decimal::signed(number, out);
}

/// Text as JSON, in quotes.
pub(crate) fn json_string(text: &str) -> String {
    let mut out = Vec::new();
    escape::string(text, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// How the writer words the line about lines it lost.
pub(crate) fn summary(format: LogFormat, identity: Identity) -> Summary {
    match format {
        LogFormat::Json => Box::new(move |drops, out| json::drops_line(&identity, drops, out)),
        LogFormat::Pretty => Box::new(pretty::drops_line),
    }
}
