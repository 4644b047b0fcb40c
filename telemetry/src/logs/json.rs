//! The layer that writes each event as one flat JSON object, straight into a reused buffer.

use std::{cell::Cell, error::Error, fmt, io::Write, sync::Arc, time::SystemTime};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::{
    decimal, escape, timestamp,
    writer::{Drops, LogWriter},
};
use crate::{
    catalogue::{LOG_LINES_DROPPED, TOP_LEVEL_FIELDS},
    clock, cloudwatch,
    context::RequestContext,
    hex,
};

/// A buffer that one long line has grown beyond this is not kept.
const BUFFER_BYTES_KEPT: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// `,"service":"…","version":"…","environment":"…"`: the same on every line, so written once.
#[derive(Debug, Clone)]
pub(crate) struct Identity(Arc<[u8]>);

impl Identity {
    pub(crate) fn new(service: &str, version: &str, environment: &str) -> Self {
        let mut text = Vec::new();
        for (name, value) in [("service", service), ("version", version), ("environment", environment)] {
            append_name(name, &mut text);
            escape::string(value, &mut text);
        }
        Self(text.into())
    }
}

/// Writes events as JSON lines.
pub(super) struct JsonLayer {
    identity: Identity,
    writer: Option<Arc<LogWriter>>,
    shipper: Option<Arc<cloudwatch::Queue>>,
}

impl JsonLayer {
    pub(super) fn new(
        identity: Identity,
        writer: Option<Arc<LogWriter>>,
        shipper: Option<Arc<cloudwatch::Queue>>,
    ) -> Self {
        Self { identity, writer, shipper }
    }
}

impl<S: Subscriber> Layer<S> for JsonLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Taken out rather than borrowed: formatting a field may itself log.
        let mut line = BUFFER.try_with(Cell::take).unwrap_or_default();
        line.clear();
        let metadata = event.metadata();
        let time = clock::now();
        append_head(time, *metadata.level(), metadata.target(), &self.identity, &mut line);
        RequestContext::with_current(|context| append_request(context, &mut line));
        let mut fields = Fields { line: &mut line, has_message: false, cut: false };
        event.record(&mut fields);
        let Fields { has_message, cut, .. } = fields;
        if !has_message {
            line.extend_from_slice(b",\"message\":\"\"");
        }
        if cut {
            line.extend_from_slice(b",\"truncated\":true");
        }
        line.extend_from_slice(b"}\n");
        if let Some(writer) = &self.writer {
            writer.push(&line, *metadata.level());
        }
        if let Some(shipper) = self.shipper.as_ref().filter(|_| !cloudwatch::on_own_thread()) {
            shipper.push(time, *metadata.level(), &line);
        }
        if line.capacity() <= BUFFER_BYTES_KEPT {
            let _ = BUFFER.try_with(|buffer| buffer.set(line));
        }
    }
}

pub(super) fn append_head(time: SystemTime, level: Level, target: &str, identity: &Identity, line: &mut Vec<u8>) {
    line.extend_from_slice(b"{\"timestamp\":\"");
    timestamp::append(time, line);
    line.extend_from_slice(b"\",\"level\":\"");
    line.extend_from_slice(level.as_str().as_bytes());
    line.extend_from_slice(b"\",\"target\":");
    escape::string(target, line);
    line.extend_from_slice(&identity.0);
}

fn append_request(context: &RequestContext, line: &mut Vec<u8>) {
    line.extend_from_slice(b",\"trace_id\":\"");
    hex::append(&context.trace.trace_id, line);
    line.extend_from_slice(b"\",\"span_id\":\"");
    hex::append(&context.trace.span_id, line);
    line.extend_from_slice(b"\",\"trace_flags\":\"");
    line.extend_from_slice(context.trace.trace_flags().as_bytes());
    line.extend_from_slice(b"\",\"request_id\":");
    escape::string(&context.request_id, line);
}

/// Appends `,"name":`. Names of fields are identifiers or string literals in our code, yet escaped all the same.
pub(super) fn append_name(name: &str, line: &mut Vec<u8>) {
    line.push(b',');
    escape::whole(name, line);
    line.push(b':');
}

/// The line about lost lines, in the form of every other line.
pub(super) fn drops_line(identity: &Identity, drops: &Drops, line: &mut Vec<u8>) {
    append_head(clock::now(), Level::WARN, "telemetry", identity, line);
    for (name, value) in [("message", "log lines were dropped"), ("event", LOG_LINES_DROPPED.name)] {
        append_name(name, line);
        escape::string(value, line);
    }
    append_name("lines", line);
    // Writing to a vector cannot fail, here and below.
    let _ = write!(line, "{}", drops.lines);
    for (name, time) in [("first_dropped_at", drops.first), ("last_dropped_at", drops.last)] {
        append_name(name, line);
        line.push(b'"');
        timestamp::append(time, line);
        line.push(b'"');
    }
    line.extend_from_slice(b"}\n");
}

/// Appends the fields of an event.
struct Fields<'a> {
    line: &'a mut Vec<u8>,
    has_message: bool,
    cut: bool,
}

impl Fields<'_> {
    fn name(&mut self, field: &Field) {
        let name = field.name();
        // A field called by a keyword, as in `r#type = …`.
        let name = name.strip_prefix("r#").unwrap_or(name);
        self.has_message |= name == "message";
        if TOP_LEVEL_FIELDS.contains(&name) {
            self.line.extend_from_slice(b",\"field_");
            self.line.extend_from_slice(name.as_bytes());
            self.line.extend_from_slice(b"\":");
        } else {
            append_name(name, self.line);
        }
    }

    fn number(&mut self, field: &Field, number: fmt::Arguments<'_>) {
        self.name(field);
        let _ = self.line.write_fmt(number);
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.name(field);
        if !decimal::thousandths(value, self.line) {
            // The debug form switches to an exponent where the other prints 300 digits.
            let _ = if value.is_finite() { write!(self.line, "{value:?}") } else { self.line.write_all(b"null") };
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.name(field);
        decimal::signed(value, self.line);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field);
        decimal::unsigned(value, self.line);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.number(field, format_args!("{value}"));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.number(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(field, format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        self.cut |= escape::string(value, self.line);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.name(field);
        self.cut |= escape::formatted(format_args!("{}", Chain(value)), self.line);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field);
        self.cut |= escape::formatted(format_args!("{value:?}"), self.line);
    }
}

/// An error and its causes, `a: b: c`.
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
