//! Each rule over the target's own numbers breaks when it has to, on snapshots made by hand.

use std::time::Duration;

use super::*;
use crate::drive::{Plan, ServerView, Unseen};
use crate::record::{End, Record, Sample, histogram};
use crate::verdict::{Verdict, judge};

const LIMIT: f64 = 0.05;

fn limits() -> Limits {
    Limits {
        rate: 1.0,
        latency: 0.2,
        errors: 0.001,
        database: LIMIT,
        database_fast: 0.99,
        strict: false,
        operations: vec![Operation::Get],
        metrics_wanted: false,
    }
}

fn plan() -> Plan {
    Plan {
        rate: 1.0,
        warm_up: Duration::from_secs(1),
        duration: Duration::from_secs(10),
        seed: 1,
        connections: 1,
        threads: 1,
        window: Duration::from_secs(10),
        grace: Duration::from_millis(200),
        burn: Duration::ZERO,
    }
}

/// A target after so many requests of at most 0.1 s, and as many database operations, of which so many were slow.
fn snapshot(requests: u64, slow: u64) -> Snapshot {
    let text = format!(
        "http_server_request_duration_seconds_bucket{{http_request_method=\"GET\",http_route=\"/api/v1/tasks/{{id}}\",\
         http_response_status_code=\"200\",synthetic=\"none\",le=\"0.005\"}} 0\n\
         http_server_request_duration_seconds_bucket{{http_request_method=\"GET\",http_route=\"/api/v1/tasks/{{id}}\",\
         http_response_status_code=\"200\",synthetic=\"none\",le=\"0.1\"}} {requests}\n\
         http_server_request_duration_seconds_bucket{{http_request_method=\"GET\",http_route=\"/api/v1/tasks/{{id}}\",\
         http_response_status_code=\"200\",synthetic=\"none\",le=\"+Inf\"}} {requests}\n\
         db_client_operation_duration_seconds_bucket{{le=\"0.05\"}} {}\n\
         db_client_operation_duration_seconds_bucket{{le=\"+Inf\"}} {requests}\n\
         build_info{{version=\"1\"}} 1\nprocess_start_time_seconds 1000\n",
        requests - slow
    );
    Snapshot::parse(&text, "none")
}

/// Two thousand requests of 10 ms, seen alike from both sides.
fn measured() -> Measured {
    let mut record = Record::new(Duration::from_secs(10), Duration::from_millis(200));
    for number in 0..2_000 {
        record.add(&Sample {
            operation: Operation::Get,
            instead_of: None,
            intended: Duration::from_millis(5 * number),
            latency: Duration::from_millis(10),
            service: Duration::from_millis(10),
            end: End::Good,
            trace_id: None,
        });
    }
    record.finish();
    let mut lateness = histogram();
    lateness.saturating_record(100);
    Measured {
        record,
        lateness,
        sent: vec![(Operation::Get, 2_000)],
        missed: 0,
        connected: 1,
        driven: Duration::from_secs(10),
        interrupted: false,
        cpu_max: Some(0.3),
        memory_max: 50 << 20,
        memory_growth: Some(1 << 20),
        server: Ok(ServerView { before: snapshot(0, 0), warm: snapshot(0, 0), after: snapshot(2_000, 20) }),
    }
}

/// The verdict on a run that is good but for this, and the rules that do not hold.
fn judged(change: impl FnOnce(&mut Measured, &mut ServerView)) -> (Verdict, Vec<String>) {
    let mut measured = measured();
    let mut view = measured.server.clone().expect("a view");
    change(&mut measured, &mut view);
    if measured.server.is_ok() {
        measured.server = Ok(view);
    }
    let (verdict, rules) = judge(&limits(), &plan(), &measured);
    let broken = rules.into_iter().filter(|rule| !matches!(rule.outcome, Outcome::Pass | Outcome::Skipped));
    (verdict, broken.map(|rule| format!("{} of {}", rule.name, rule.about)).collect())
}

fn alone(verdict: Verdict, rule: &str) -> (Verdict, Vec<String>) {
    (verdict, vec![rule.to_owned()])
}

#[test]
fn what_agrees_on_both_sides_passes() {
    assert_eq!(judged(|_, _| {}), (Verdict::Pass, Vec::new()));
}

#[test]
fn counts_that_differ_by_more_than_half_a_percent_fail() {
    let lost = |count| judged(move |measured, _| measured.sent = vec![(Operation::Get, count)]);
    assert_eq!(lost(2_009).0, Verdict::Pass);
    assert_eq!(lost(2_011), alone(Verdict::Fail, "counts agree of GET /api/v1/tasks/{id}"));
    assert_eq!(lost(1_989), alone(Verdict::Fail, "counts agree of GET /api/v1/tasks/{id}"));
}

#[test]
fn a_target_that_started_again_or_does_not_say_when_it_started_fails() {
    assert_eq!(judged(|_, view| view.after.started = 1_060.0), alone(Verdict::Fail, "no restart of server"));
    let silent = judged(|_, view| (view.before.started, view.after.started) = (0.0, 0.0));
    assert_eq!(silent, alone(Verdict::Fail, "no restart of server"));
}

#[test]
fn another_version_at_any_look_is_invalid() {
    for at in 0..3 {
        let changed = judged(|_, view| {
            let looks = [&mut view.before, &mut view.warm, &mut view.after];
            looks.into_iter().nth(at).expect("a look").build = "version=2".to_owned();
        });
        assert_eq!(changed, alone(Verdict::Invalid, "same version of server"));
    }
}

#[test]
fn a_database_over_its_objective_fails_and_one_that_hardly_ran_is_not_judged() {
    assert_eq!(judged(|_, view| view.after = snapshot(2_000, 21)), alone(Verdict::Fail, "database p99 of server"));
    let few = judged(|_, view| view.after.database = snapshot(900, 0).database);
    assert_eq!(few, alone(Verdict::Invalid, "database p99 of server"));
    let mut other = limits();
    other.database = 0.07;
    let (verdict, rules) = judge(&other, &plan(), &measured());
    let rule = rules.iter().find(|rule| rule.name == "database p99").expect("the rule");
    assert_eq!((verdict, rule.measured.as_str()), (Verdict::Invalid, "not counted"), "0.07 is no edge");
    (other.database, other.database_fast) = (LIMIT, 0.95);
    let (_, rules) = judge(&other, &plan(), &measured());
    assert!(rules.iter().any(|rule| rule.name == "database p95" && rule.outcome == Outcome::Pass), "{rules:?}");
}

#[test]
fn a_client_that_is_faster_than_the_server_has_measured_something_else() {
    let faster = judged(|measured, _| {
        let mut fast = measured.record.all.latency.clone();
        fast.reset();
        (0..2_000).for_each(|_| fast.saturating_record(1_000));
        measured.record.all.latency = fast;
    });
    assert_eq!(faster, alone(Verdict::Invalid, "client p99 not below server's of server"));
}

#[test]
fn metrics_that_were_lost_in_the_middle_are_invalid_and_those_never_asked_for_are_skipped() {
    let unseen = |lost| judged(move |measured, _| measured.server = Err(Unseen { why: "gone".to_owned(), lost }));
    assert_eq!(unseen(true), alone(Verdict::Invalid, "server's view of server"));
    assert_eq!(unseen(false), (Verdict::Pass, Vec::new()));
}

#[test]
fn a_generator_that_is_late_busy_growing_or_not_to_be_seen_is_invalid() {
    let late = judged(|measured, _| (0..100).for_each(|_| measured.lateness.saturating_record(5_100)));
    assert_eq!(late, alone(Verdict::Invalid, "start lateness p99 of generator"));
    for cpu in [Some(0.81), None] {
        let busy = judged(|measured, _| measured.cpu_max = cpu);
        assert_eq!(busy, alone(Verdict::Invalid, "generator CPU of generator"), "{cpu:?}");
    }
    for growth in [Some(97 << 20), None] {
        let grown = judged(|measured, _| measured.memory_growth = growth);
        assert_eq!(grown, alone(Verdict::Invalid, "generator memory of generator"), "{growth:?}");
    }
}

#[test]
fn an_operation_of_the_profile_that_never_ran_is_no_pass() {
    let mut limits = limits();
    limits.operations.push(Operation::Delete);
    let (verdict, rules) = judge(&limits, &plan(), &measured());
    assert_eq!(verdict, Verdict::Invalid);
    let silent: Vec<&Rule> = rules.iter().filter(|rule| rule.about == "delete").collect();
    assert!(silent.len() == 2 && silent.iter().all(|rule| rule.measured == "too few samples"), "{silent:?}");
}

#[test]
fn a_window_in_which_nothing_was_answered_breaks_the_rate() {
    let (verdict, broken) = judged(|measured, _| measured.record.windows.clear());
    assert_eq!((verdict, broken.as_slice()), (Verdict::Fail, &["rate in each 10s of all".to_owned()][..]));
}
