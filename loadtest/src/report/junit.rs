//! The run for a pipeline: each rule is a test case. A rule that could not be judged is an error, not a success.

use std::fmt::Write as _;

use crate::outcome::RunResult;
use crate::verdict::{Outcome, Verdict};

/// JUnit's XML.
pub fn junit(result: &RunResult) -> String {
    let count = |outcome| result.rules.iter().filter(|rule| rule.outcome == outcome).count();
    let (failures, errors, skipped) = (count(Outcome::Fail), count(Outcome::Invalid), count(Outcome::Skipped));
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // The verdict is a case of its own, so that no reader of the rules alone takes an untrusted run for a good one.
    let (more_failures, more_errors) =
        (usize::from(result.verdict == Verdict::Fail), usize::from(result.verdict == Verdict::Invalid));
    // Writing to a string cannot fail: the results below are dropped for that.
    let _ = writeln!(
        out,
        "<testsuite name=\"loadtest\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{skipped}\" time=\"{:.3}\" timestamp=\"{}\">",
        result.rules.len() + 1,
        failures + more_failures,
        errors + more_errors,
        if result.points.is_empty() { 0.0 } else { result.asked.duration },
        escaped(result.finished.trim_end_matches('Z'))
    );
    let verdict = match result.verdict {
        Verdict::Pass => None,
        Verdict::Fail => Some("failure"),
        Verdict::Invalid => Some("error"),
    };
    // Who only counts green cases has to read that this one is no release's.
    let (rate, objective) = (result.asked.rate, result.asked.rate_objective);
    let name = if rate < objective {
        format!("verdict below the objective: {rate:.0}/s in place of {objective:.0}/s")
    } else {
        "verdict".to_owned()
    };
    case(&mut out, &name, verdict, &result.summary);
    for rule in &result.rules {
        let tag = match rule.outcome {
            Outcome::Pass => None,
            Outcome::Fail => Some("failure"),
            Outcome::Invalid => Some("error"),
            Outcome::Skipped => Some("skipped"),
        };
        let message = format!("{}, limit {}; {}", rule.measured, rule.limit, rule.note);
        case(&mut out, &format!("{} of {}", rule.name, rule.about), tag, &message);
    }
    out + "</testsuite>\n"
}

fn case(out: &mut String, name: &str, tag: Option<&str>, message: &str) {
    let (name, message) = (escaped(name), escaped(message.trim_end_matches("; ")));
    let _ = match tag {
        None => writeln!(out, "  <testcase classname=\"loadtest\" name=\"{name}\"/>"),
        Some(tag) => {
            writeln!(
                out,
                "  <testcase classname=\"loadtest\" name=\"{name}\"><{tag} message=\"{message}\"/></testcase>"
            )
        }
    };
}

/// Text that may stand in XML and HTML, in and between tags.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
