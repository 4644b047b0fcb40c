//! Text for people, through the same bounded writer as JSON.

use std::{
    io::{self, Write},
    sync::Arc,
};

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{Layer, fmt::MakeWriter, registry::LookupSpan};

use super::{
    timestamp,
    writer::{Drops, LogWriter},
};

/// tracing's compact format.
pub(super) fn layer<S>(writer: Arc<LogWriter>, colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let layer = tracing_subscriber::fmt::layer().compact().with_writer(Lines(writer));
    // Left alone, the format uses colours unless NO_COLOR is set.
    if colours { layer.boxed() } else { layer.with_ansi(false).boxed() }
}

/// The line about lost lines.
pub(super) fn drops_line(drops: &Drops, line: &mut Vec<u8>) {
    timestamp::append(drops.last, line);
    // Writing to a vector cannot fail.
    let _ = writeln!(line, "  WARN telemetry: {} log lines were dropped up to this time", drops.lines);
}

/// Hands each line to the writer.
struct Lines(Arc<LogWriter>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { writer: &self.0, level: Level::INFO }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        Line { writer: &self.0, level: *metadata.level() }
    }
}

/// One line; the format writes it in a single piece.
struct Line<'a> {
    writer: &'a LogWriter,
    level: Level,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.writer.push(line, self.level);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
