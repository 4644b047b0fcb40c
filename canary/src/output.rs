//! A report on standard output.

use std::io::{IsTerminal as _, Write as _, stdout};

use crate::args::Format;
use crate::report::Report;
use crate::show;

/// Writes a report, or anything else that has both forms.
///
/// # Errors
/// When standard output is gone.
pub fn print(report: &Report, format: Format) -> std::io::Result<()> {
    let text = match format {
        Format::Text => show::report(report, stdout().is_terminal()),
        Format::Json => json(report),
    };
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// One line of JSON.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> String {
    // Maps with texts as keys and numbers that are finite: nothing here that JSON cannot hold.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

/// One line for standard error, whatever the text quotes.
pub fn say(text: &str) {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = writeln!(std::io::stderr(), "canary: {line}");
}
