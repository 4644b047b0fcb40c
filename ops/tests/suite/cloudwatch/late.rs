//! Metrics arrive minutes late: those of the load balancer, and those that are made of log lines. Nobody is told of that.

use super::scenarios::{SCENARIOS, paged, run, told};
use super::{objectives, template};

/// How late the metrics of a namespace arrive.
type Late = fn(&str) -> usize;

/// The canary's reports, that come every minute, by one at most: later ones look like a dead canary, which is a ticket, and
/// wakes nobody.
const CANARY: &str = "CloudWatchSynthetics";

/// All as late, or the load balancer's only, or only those made of log lines.
const LATE: &[(&str, Late)] = &[
    ("all by 1 min", |_| 1),
    ("all by 2 min", |namespace| if namespace == CANARY { 1 } else { 2 }),
    ("all by 3 min", |namespace| if namespace == CANARY { 1 } else { 3 }),
    ("the load balancer's by 3 min", |namespace| if namespace == "AWS/ApplicationELB" { 3 } else { 0 }),
    ("those of log lines by 3 min", |namespace| match namespace {
        CANARY => 1,
        _ if namespace.starts_with("AWS/") => 0,
        _ => 3,
    }),
];

#[test]
fn late_data_of_a_healthy_service_tells_nobody_and_a_dead_canary_wakes_nobody() {
    let template = template(&objectives());
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.is_quiet()) {
        let expected = scenario.tickets();
        for (late, minutes) in LATE {
            let outcomes = run(&template, scenario, *minutes);
            assert_eq!(paged(&template, &outcomes), [""; 0], "{}, {late}: wakes somebody", scenario.name);
            assert_eq!(told(&template, &outcomes), expected, "{}, {late}", scenario.name);
        }
    }
}

#[test]
fn a_total_outage_still_wakes_somebody_when_data_was_late_before() {
    let template = template(&objectives());
    for name in ["total outage", "nothing arrives", "recovery: no host"] {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name.starts_with(name)).expect("a scenario");
        for (late, minutes) in LATE {
            assert_ne!(paged(&template, &run(&template, scenario, *minutes)), [""; 0], "{name}, {late}: wakes nobody");
        }
    }
}
