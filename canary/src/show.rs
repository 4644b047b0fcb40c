//! A report for people: a line for each attempt with its phases as a bar, the verdict last.

use std::fmt::Write as _;

use crate::probe::{Phase, Phases};
use crate::report::{Attempt, Evidence, Outcome, Report, Step, StepOutcome};

/// Characters of the longest bar.
const BAR: usize = 40;
/// Letter and colour of each phase: the letter tells them apart without colours.
const PHASES: [(Phase, char, u8); 6] = [
    (Phase::Dns, 'd', 35),
    (Phase::Connect, 'c', 36),
    (Phase::Tls, 't', 34),
    (Phase::Send, 's', 37),
    (Phase::Wait, 'w', 33),
    (Phase::Receive, 'r', 32),
];

/// Paints, or does not.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, colour: u8, text: &str) -> String {
        if self.0 && !text.is_empty() { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The whole report. Writing to a string cannot fail, hence the results that are ignored here.
pub(crate) fn report(report: &Report, colours: bool) -> String {
    let (mut out, paint) = (String::new(), Paint(colours));
    let started = report.started_at.strftime("%Y-%m-%d %H:%M:%S UTC");
    let _ = writeln!(out, "{}  {started}  run {}\n", report.target, report.run);
    let attempts = || report.steps.iter().flat_map(|step| &step.attempts);
    let longest = attempts().map(|attempt| attempt.total_ms).fold(1.0, f64::max);
    let width = attempts().map(|attempt| attempt.address.len()).max().unwrap_or(0);
    for step in &report.steps {
        if step.attempts.is_empty() {
            let _ = writeln!(out, "  {:<9}  {}", step.name, paint.with(90, "skipped"));
        }
        for attempt in &step.attempts {
            let bar = bar(&attempt.phases, longest, paint);
            let (state, colour) = state(step, attempt);
            let state = paint.with(colour, &format!("{state:<7}"));
            let (name, address, total) = (&step.name, &attempt.address, attempt.total_ms);
            let _ = writeln!(out, "  {name:<9}  {address:<width$}  {state} {total:>8.1} ms  {bar}");
        }
    }
    let legend: Vec<String> = PHASES
        .iter()
        .map(|(phase, letter, colour)| paint.with(*colour, &format!("{letter} {}", phase.as_str())))
        .collect();
    let _ = writeln!(out, "\n  {}", legend.join("  "));
    facts(report, &mut out);
    if let Some(evidence) = &report.evidence {
        out.push('\n');
        self::evidence(evidence, &mut out);
    }
    out.push('\n');
    for reason in &report.reasons {
        let _ = writeln!(out, "  - {}", one_line(reason));
    }
    let (word, colour) = match report.outcome {
        Outcome::Ok => ("OK", 32),
        Outcome::Degraded => ("DEGRADED", 33),
        Outcome::Failed => ("FAILED", 31),
        Outcome::Error => ("ERROR", 35),
    };
    let _ = writeln!(out, "{}  in {:.0} ms", paint.with(colour, word), report.duration_ms);
    out
}

/// What is known of the first failed attempt, each line of it further in.
pub(crate) fn evidence(evidence: &Evidence, out: &mut String) {
    let attempt = &evidence.attempt;
    let _ = writeln!(out, "  first failure: {} at {}, trace {}", evidence.step, attempt.address, attempt.trace_id);
    for (name, value) in &evidence.headers {
        let _ = writeln!(out, "    {name}: {}", one_line(value));
    }
    if let Some(body) = &evidence.body {
        let _ = writeln!(out, "    {}", one_line(body));
    }
}

fn facts(report: &Report, out: &mut String) {
    let up = report.addresses.iter().filter(|address| address.up).count();
    let _ = write!(out, "  {up} of {} addresses up", report.addresses.len());
    if let Some(certificate) = &report.certificate {
        let _ = write!(out, ", certificate for {:.1} days", certificate.days_left);
    }
    if let Some(redirect) = &report.redirect {
        let _ = write!(out, ", {}", one_line(&redirect.detail));
    }
    if report.cleanup.swept > 0 {
        let _ = write!(out, ", {} leftovers of earlier runs removed", report.cleanup.swept);
    }
    if report.cleanup.kept > 0 {
        let _ = write!(out, ", {} left since they have subtasks", report.cleanup.kept);
    }
    out.push('\n');
}

const fn state(step: &Step, attempt: &Attempt) -> (&'static str, u8) {
    match (&attempt.fault, &attempt.slow) {
        (Some(_), _) => ("failed", 31),
        (None, Some(_)) => ("slow", 33),
        (None, None) if matches!(step.outcome, StepOutcome::Retried) => ("ok", 33),
        (None, None) => ("ok", 32),
    }
}

/// As long as the attempt took, beside the one that took longest; a phase that took time at all has at least its letter.
fn bar(phases: &Phases, longest: f64, paint: Paint) -> String {
    let cell = |(phase, letter, colour): (Phase, char, u8)| {
        let ms = phases.get(phase);
        // A hundredth of a millisecond is what it costs to note that nothing was to be done.
        let cells = if ms < 0.01 { 0 } else { ((ms / longest * BAR as f64).round() as usize).clamp(1, BAR) };
        paint.with(colour, &letter.to_string().repeat(cells))
    };
    PHASES.into_iter().map(cell).collect()
}

/// Control characters could move the cursor, or feign a line.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_where_the_time_went() {
        let phases = Phases { dns: 0.001, connect: 1.0, tls: 20.0, send: 0.02, wait: 60.0, receive: 0.0 };
        let bar = bar(&phases, 80.0, Paint(false));
        assert_eq!(bar, format!("c{}s{}", "t".repeat(10), "w".repeat(30)));
        assert!(super::bar(&phases, 80.0, Paint(true)).contains("\x1b[34m"));
    }

    #[test]
    fn what_others_wrote_cannot_move_the_cursor() {
        assert_eq!(one_line("a\x1b[2Jb\nc"), "a [2Jb c");
    }
}
