//! What the kept runs say: uptime, p95 by day, incidents.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::Entry;
use crate::report::{Evidence, Outcome};
use crate::show::{self, one_line};

/// The most incidents that are shown, the latest ones.
const INCIDENTS_MAX: usize = 50;

/// The most runs that were not ok and are shown with what is known of them, the latest ones.
const FAULTS_MAX: usize = 10;

/// One day, UTC.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Day {
    /// Which.
    pub date: Date,
    /// Runs by outcome: ok, degraded, failed, error.
    pub runs: [u64; 4],
    /// Percent of the runs that saw the target in which users were served; `None` when none saw it.
    pub uptime_percent: Option<f64>,
    /// 95 % of those runs took at most so many milliseconds.
    pub p95_ms: Option<f64>,
}

/// Runs that failed, one after the other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Incident {
    /// The start of the first.
    pub from: Timestamp,
    /// The start of the first run after it that did not fail; absent while it lasts.
    pub until: Option<Timestamp>,
    /// How many.
    pub runs: u64,
    /// What the first one said.
    pub reason: String,
}

/// One run that was not ok, with what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// When it began.
    pub started_at: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// Its worst reason.
    pub reason: Option<String>,
    /// The trace of the first failed or slow attempt.
    pub trace_id: Option<String>,
    /// Of the first failed attempt.
    pub evidence: Option<Evidence>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// As of a day, over all of them.
    pub uptime_percent: Option<f64>,
    /// Runs that are summed up.
    pub runs: usize,
    /// Lines that could not be read.
    pub unreadable_lines: u64,
    /// Those that have runs.
    pub days: Vec<Day>,
    /// The latest last.
    pub incidents: Vec<Incident>,
    /// The latest runs that were not ok, the latest last.
    pub faults: Vec<Fault>,
}

/// Percent of served runs, among those that saw the target.
fn uptime(entries: &[&Entry]) -> Option<f64> {
    let seen = entries.iter().filter(|entry| entry.outcome != Outcome::Error).count();
    let served = entries.iter().filter(|entry| matches!(entry.outcome, Outcome::Ok | Outcome::Degraded)).count();
    (seen > 0).then(|| served as f64 / seen as f64 * 100.0)
}

/// Nearest rank.
fn p95(entries: &[&Entry]) -> Option<f64> {
    let seen = entries.iter().filter(|entry| entry.outcome != Outcome::Error);
    let mut durations: Vec<f64> = seen.map(|entry| entry.duration_ms).collect();
    durations.sort_by(f64::total_cmp);
    let rank = (durations.len() as f64 * 0.95).ceil() as usize;
    durations.get(rank.saturating_sub(1)).copied()
}

impl Summary {
    /// Sums up runs that are in order of their start.
    pub fn of(entries: &[Entry], unreadable_lines: u64) -> Self {
        let mut by_day = BTreeMap::<Date, Vec<&Entry>>::new();
        for entry in entries {
            by_day.entry(entry.started_at.to_zoned(TimeZone::UTC).date()).or_default().push(entry);
        }
        let day = |(date, entries): (Date, Vec<&Entry>)| {
            let mut runs = [0; 4];
            entries.iter().for_each(|entry| runs[entry.outcome as usize] += 1);
            Day { date, runs, uptime_percent: uptime(&entries), p95_ms: p95(&entries) }
        };
        Self {
            uptime_percent: uptime(&entries.iter().collect::<Vec<_>>()),
            runs: entries.len(),
            unreadable_lines,
            days: by_day.into_iter().map(day).collect(),
            incidents: incidents(entries),
            faults: faults(entries),
        }
    }

    /// For people. Writing to a string cannot fail, hence the results that are ignored here.
    pub fn text(&self) -> String {
        let mut out = String::from("day          uptime      p95    ok  degraded  failed  error\n");
        for Day { date, runs: [ok, degraded, failed, error], uptime_percent, p95_ms } in &self.days {
            let (uptime, p95) = (percent(*uptime_percent), p95_ms.map_or("-".to_owned(), |ms| format!("{ms:.0} ms")));
            let _ = writeln!(out, "{date}  {uptime:>8}  {p95:>7}  {ok:>4}  {degraded:>8}  {failed:>6}  {error:>5}");
        }
        out.push_str(if self.incidents.is_empty() { "\nno incidents\n" } else { "\nincidents\n" });
        for incident in &self.incidents {
            let until = incident.until.map_or("now".to_owned(), |until| until.strftime("%Y-%m-%d %H:%M").to_string());
            let reason = one_line(&incident.reason);
            let (from, runs) = (incident.from.strftime("%Y-%m-%d %H:%M"), incident.runs);
            let _ = writeln!(out, "  {from} to {until}, {runs} runs: {reason}");
        }
        if !self.faults.is_empty() {
            out.push_str("\nthe latest runs that were not ok\n");
        }
        for fault in &self.faults {
            let (at, outcome) = (fault.started_at.strftime("%Y-%m-%d %H:%M:%S"), fault.outcome.as_str());
            let _ = writeln!(out, "  {at} {outcome}: {}", one_line(fault.reason.as_deref().unwrap_or_default()));
            if let Some(trace_id) = &fault.trace_id {
                let _ = writeln!(out, "    trace {trace_id}");
            }
            fault.evidence.iter().for_each(|evidence| show::evidence(evidence, &mut out));
        }
        if self.unreadable_lines > 0 {
            let _ = writeln!(out, "\n{} lines of the history are unreadable", self.unreadable_lines);
        }
        let _ = writeln!(out, "\nuptime {} over {} runs", percent(self.uptime_percent), self.runs);
        out
    }
}

fn percent(value: Option<f64>) -> String {
    // Rounded down: 99.996 % is no 100 %.
    value.map_or("-".to_owned(), |value| format!("{:.2} %", (value * 100.0).floor() / 100.0))
}

/// A run by the canary's own fault neither begins an incident nor ends one: it has not seen the target.
fn incidents(entries: &[Entry]) -> Vec<Incident> {
    let mut found: Vec<Incident> = Vec::new();
    for entry in entries.iter().filter(|entry| entry.outcome != Outcome::Error) {
        let open = found.last_mut().filter(|incident| incident.until.is_none());
        match (open, entry.outcome) {
            (Some(incident), Outcome::Failed) => incident.runs += 1,
            (Some(incident), _) => incident.until = Some(entry.started_at),
            (None, Outcome::Failed) => found.push(Incident {
                from: entry.started_at,
                until: None,
                runs: 1,
                reason: entry.reason.clone().unwrap_or_default(),
            }),
            (None, _) => {}
        }
    }
    found.split_off(found.len().saturating_sub(INCIDENTS_MAX))
}

fn faults(entries: &[Entry]) -> Vec<Fault> {
    let bad = entries.iter().rev().filter(|entry| entry.outcome != Outcome::Ok).take(FAULTS_MAX);
    let mut found: Vec<Fault> = bad
        .map(|entry| Fault {
            started_at: entry.started_at,
            outcome: entry.outcome,
            reason: entry.reason.clone(),
            trace_id: entry.trace_id.clone(),
            evidence: entry.evidence.clone(),
        })
        .collect();
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(minute: i64, outcome: Outcome, duration_ms: f64) -> Entry {
        Entry {
            started_at: Timestamp::from_second(1_800_000_000 + minute * 60).unwrap(),
            run: minute.to_string(),
            target: "t".to_owned(),
            outcome,
            duration_ms,
            retries: 0,
            addresses: [1, 1],
            slowest_ms: duration_ms,
            reason: Some(format!("reason {minute}")),
            trace_id: None,
            evidence: None,
        }
    }

    #[test]
    fn errors_of_our_own_count_neither_way() {
        use Outcome::{Degraded, Error, Failed, Ok};
        let outcomes = [Ok, Failed, Error, Failed, Degraded, Error, Ok, Failed];
        let entries: Vec<Entry> = (0..).zip(outcomes).map(|(minute, outcome)| entry(minute, outcome, 1.0)).collect();
        let summary = Summary::of(&entries, 0);
        assert_eq!(summary.uptime_percent, Some(50.0));
        assert_eq!(summary.days[0].runs, [2, 1, 3, 2]);
        let [first, last] = &summary.incidents[..] else { panic!("{:?}", summary.incidents) };
        assert_eq!((first.runs, first.until, first.reason.as_str()), (2, Some(entries[4].started_at), "reason 1"));
        assert_eq!((last.runs, last.until), (1, None));
        assert!(summary.text().contains("uptime 50.00 % over 8 runs"), "{}", summary.text());
    }

    #[test]
    fn p95_is_of_each_day() {
        let of_today = (1..=100).map(|ms| entry(ms, Outcome::Ok, ms as f64));
        let entries: Vec<Entry> = of_today.chain([entry(100_000, Outcome::Ok, 7.0)]).collect();
        let days = Summary::of(&entries, 0).days;
        assert_eq!((days[0].p95_ms, days[days.len() - 1].p95_ms), (Some(95.0), Some(7.0)));
        assert_eq!(Summary::of(&[], 3).uptime_percent, None);
        assert_eq!(percent(Some(99.996)), "99.99 %");
    }
}
