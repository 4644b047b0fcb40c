//! Lines of telemetry about itself: straight to standard output and to no other destination, whatever the level filter
//! says, so that a shipper in trouble does not ship its own complaints.

use std::{io::Write, sync::Arc};

use tracing::Level;

use super::{LogFormat, LogWriter, escape, json, json::Identity, timestamp};
use crate::{catalogue::LogEvent, clock};

/// The target of these lines.
const TARGET: &str = "telemetry";

/// The value of a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Field<'a> {
    Text(&'a str),
    Number(u64),
}

/// Writes them.
#[derive(Debug, Clone)]
pub(crate) struct OwnLines {
    writer: Arc<LogWriter>,
    format: LogFormat,
    identity: Identity,
}

impl OwnLines {
    pub(crate) fn new(writer: Arc<LogWriter>, format: LogFormat, identity: Identity) -> Self {
        Self { writer, format, identity }
    }

    /// Writes one.
    pub(crate) fn write(&self, level: Level, event: &LogEvent, message: &str, fields: &[(&str, Field<'_>)]) {
        debug_assert!(fields.iter().map(|(name, _)| *name).eq(event.fields.iter().copied()), "{}", event.name);
        let mut line = Vec::new();
        match self.format {
            LogFormat::Json => self.json(level, event, message, fields, &mut line),
            LogFormat::Pretty => pretty(level, message, fields, &mut line),
        }
        self.writer.push(&line, level);
    }

    fn json(&self, level: Level, event: &LogEvent, message: &str, fields: &[(&str, Field<'_>)], line: &mut Vec<u8>) {
        json::append_head(clock::now(), level, TARGET, &self.identity, line);
        for (name, value) in [("message", message), ("event", event.name)] {
            json::append_name(name, line);
            escape::string(value, line);
        }
        for (name, value) in fields {
            json::append_name(name, line);
            match value {
                Field::Text(text) => {
                    escape::string(text, line);
                }
                // Writing to a vector cannot fail, here and below.
                Field::Number(number) => {
                    let _ = write!(line, "{number}");
                }
            }
        }
        line.extend_from_slice(b"}\n");
    }
}

fn pretty(level: Level, message: &str, fields: &[(&str, Field<'_>)], line: &mut Vec<u8>) {
    timestamp::append(clock::now(), line);
    let _ = write!(line, " {level:>5} {TARGET}: {message}");
    for (name, value) in fields {
        let _ = match value {
            Field::Text(text) => write!(line, " {name}={text:?}"),
            Field::Number(number) => write!(line, " {name}={number}"),
        };
    }
    line.push(b'\n');
}
