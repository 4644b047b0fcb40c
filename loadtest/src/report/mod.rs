//! What a run tells people and pipelines: a table, Markdown, JUnit, HTML. All of it from the result alone.

mod html;
mod junit;
mod markdown;
mod svg;
mod table;

pub use html::html;
pub use junit::junit;
pub use markdown::markdown;
pub use table::table;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::outcome::RunResult;
use crate::verdict::{Outcome, Rule, Verdict};

/// The rules that a verdict rests on: the broken ones, those without trust first.
pub fn broken(verdict: Verdict, rules: &[Rule]) -> Vec<&Rule> {
    let mut broken: Vec<&Rule> =
        rules.iter().filter(|rule| matches!(rule.outcome, Outcome::Fail | Outcome::Invalid)).collect();
    broken.sort_by_key(|rule| match (verdict, rule.outcome, rule.trust) {
        (Verdict::Invalid, _, true) => 0,
        (Verdict::Fail, Outcome::Fail, _) => 0,
        _ => 1,
    });
    broken
}

/// A rule's outcome as people read it.
pub const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "FAIL",
        Outcome::Invalid => "INVALID",
        Outcome::Skipped => "skipped",
    }
}

/// Edges between which a quantile lies, as people read them.
pub fn edges(edges: Option<(f64, Option<f64>)>) -> String {
    let millis = crate::verdict::millis;
    match edges {
        None => "none".to_owned(),
        Some((low, None)) => format!("over {}", millis(low)),
        Some((low, Some(high))) => format!("{} to {}", millis(low), millis(high)),
    }
}

/// The files of a run.
const FILES: [&str; 4] = ["result.json", "report.md", "junit.xml", "report.html"];

/// Takes away what a former run has written: nobody shall read its verdict for that of this one.
///
/// # Errors
/// When a file is there and stays.
pub fn remove(folder: &Path) -> Result<(), String> {
    for path in FILES.map(|name| folder.join(name)) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(format!("{}: cannot be taken away: {error}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes all files of a run into a folder. `trace_url` has `{trace_id}` in it.
///
/// # Errors
/// When the folder or a file cannot be written.
pub fn write(folder: &Path, result: &RunResult, trace_url: Option<&str>) -> Result<(), String> {
    let json = serde_json::to_string_pretty(result).map_err(|error| format!("result.json: {error}"))?;
    let texts = [json + "\n", markdown(result), junit(result), html(result, trace_url)];
    let failed = |path: &Path, error: &std::io::Error| format!("{}: cannot be written: {error}", path.display());
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    for (name, text) in FILES.into_iter().zip(texts) {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}
