//! What each alarm does in each scenario: the whole table is committed beside this file and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use ops::cloudwatch::evaluator::{Simulation, State, World};
use ops::cloudwatch::template::Template;

use super::world::{Metrics, Minute, Run};
use super::{objectives, template};

const HOUR: usize = 60;
const DAY: usize = 24 * HOUR;
/// Good minutes before: as long as the longest window.
const BEFORE: usize = 3 * DAY;
/// Good minutes after: until the longest window has forgotten.
const AFTER: usize = 3 * DAY + 6 * HOUR;
/// Far from what happens, not every minute is looked at.
const COARSE: usize = 30;

pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// In minutes.
    length: usize,
    /// How the nth minute of it is.
    minute: fn(usize) -> Minute,
}

const GOOD: Minute = Minute::GOOD;
const QUIET: Minute = Minute { requests: 3.0, ..GOOD };

/// In which nobody is woken.
const QUIET_SCENARIOS: [&str; 6] =
    ["quiet night", "zero traffic", "deployment of", "one error in three", "no request at all", "one address down"];

/// Which alarm is there for which scenario, by how its name begins. The table is written by the code that is under test;
/// this list is not.
const MUST_FIRE: &[(&str, &str)] = &[
    ("total outage", "AlbNoHealthyHost"),
    ("2 % errors", "AlbErrorBudgetBurn1h"),
    ("2 % errors", "AlbErrorBudgetBurn6h"),
    ("20 % slow", "EmfLatencyBudgetBurn1h"),
    ("4 % slow", "EmfLatencyBudgetBurn1d"),
    ("4 % slow", "EmfLatencyBudgetBurn3d"),
    ("recovery: no host", "AlbNoHealthyHost"),
    ("recovery: no host", "AlbErrorBudgetBurn1h"),
    ("the balancer's own 502", "AlbOwn5xx"),
    ("an error every 6 minutes", "AlbQuietHourErrors"),
    ("canary dead", "SyntheticsSilent"),
    ("only the canary fails", "SyntheticsFailing"),
    ("nothing arrives", "ServiceUnreachable"),
    ("everything nearly full", "RdsStorageAlmostFull"),
    ("certificate not renewed", "CertificateAlmostExpired"),
    ("deployment that does not come up", "EcsDeploymentStuck"),
    ("telemetry broken", "EmfSilent"),
    ("telemetry broken", "SnsNotificationsFailed"),
    ("database away", "LogsDatabaseUnreachable"),
    ("database away", "AlbErrorBudgetBurn1h"),
    ("a bug and stolen tokens", "LogsPanics"),
    ("a bug and stolen tokens", "LogsTokenReuse"),
];

impl Scenario {
    /// Whether nobody may be woken in it.
    pub(super) fn is_quiet(&self) -> bool {
        QUIET_SCENARIOS.iter().any(|quiet| self.name.starts_with(quiet))
    }

    /// Who is told in it where nobody is woken: of a canary that does not run, or whose runs are degraded, there is a ticket.
    pub(super) fn tickets(&self) -> &'static [&'static str] {
        match (self.minute)(0).canary {
            None => &["SyntheticsSilent"],
            Some(Run::Degraded) => &["SyntheticsDegraded"],
            Some(_) => &[],
        }
    }
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "quiet night: 3 requests a minute", length: 6 * HOUR, minute: |_| QUIET },
    Scenario { name: "zero traffic: only the canary", length: 2 * HOUR, minute: |_| Minute { requests: 0.0, ..GOOD } },
    Scenario { name: "total outage: no data of anything", length: 30, minute: |_| Minute { data: false, ..GOOD } },
    Scenario {
        name: "one error in three, in a quiet night",
        length: 2 * HOUR,
        minute: |at| Minute {
            requests: if at == 30 { 3.0 } else { 0.0 },
            by_service: if at == 30 { 0.08 } else { 0.0 },
            ..GOOD
        },
    },
    Scenario { name: "2 % errors for 6 hours", length: 6 * HOUR, minute: |_| Minute { by_service: 0.02, ..GOOD } },
    Scenario { name: "20 % slow for 2 hours", length: 2 * HOUR, minute: |_| Minute { slow: 0.2, ..GOOD } },
    Scenario {
        name: "deployment of 10 minutes",
        length: 10,
        minute: |at| Minute {
            deployments: 2.0,
            running: if at < 7 { 3.0 } else { 2.0 },
            healthy: if (3..7).contains(&at) { 3.0 } else { 2.0 },
            cpu: 75.0,
            by_balancer: if at == 7 { 0.0005 } else { 0.0 },
            slow: if at < 5 { 0.008 } else { 0.001 },
            ..GOOD
        },
    },
    Scenario {
        name: "recovery: no host for 15 minutes",
        length: 15,
        minute: |_| Minute { no_target: 1.0, healthy: 0.0, running: 0.0, canary: Some(Run::Fails), ..GOOD },
    },
    Scenario {
        name: "the balancer's own 502 for 30 minutes, 1 %",
        length: 30,
        minute: |_| Minute { by_balancer: 0.01, ..GOOD },
    },
    Scenario { name: "4 % slow for 20 hours", length: 20 * HOUR, minute: |_| Minute { slow: 0.04, ..GOOD } },
    Scenario {
        name: "an error every 6 minutes in a quiet night",
        length: 2 * HOUR,
        minute: |at| Minute { requests: 3.0, by_service: if at % 6 == 0 { 0.1 } else { 0.0 }, ..GOOD },
    },
    Scenario { name: "canary dead for an hour", length: HOUR, minute: |_| Minute { canary: None, ..GOOD } },
    Scenario {
        name: "no request at all, and the canary dead",
        length: 2 * HOUR,
        minute: |_| Minute { requests: 0.0, canary: None, ..GOOD },
    },
    Scenario {
        name: "only the canary fails for 20 minutes",
        length: 20,
        minute: |_| Minute { canary: Some(Run::Fails), ..GOOD },
    },
    Scenario {
        name: "one address down for an hour",
        length: HOUR,
        minute: |_| Minute { canary: Some(Run::Degraded), ..GOOD },
    },
    Scenario {
        name: "nothing arrives for 20 minutes",
        length: 20,
        minute: |_| Minute { requests: 0.0, canary: Some(Run::Fails), ..GOOD },
    },
    Scenario {
        name: "everything nearly full for an hour",
        length: HOUR,
        minute: |at| Minute {
            cpu: 95.0,
            memory: 90.0,
            database_cpu: 95.0,
            cache_cpu: 95.0,
            cache_memory: 95.0,
            evictions: 10.0,
            connections: 0.95,
            database_memory_free: 0.1,
            storage_free: if at < 30 { 0.1 } else { 0.03 },
            disk: 0.04,
            rejected: 5.0,
            ..GOOD
        },
    },
    Scenario {
        name: "certificate not renewed for 2 days",
        length: 2 * DAY,
        minute: |at| Minute { certificate_days: if at < DAY { 40.0 } else { 6.0 }, ..GOOD },
    },
    Scenario {
        name: "deployment that does not come up, an hour",
        length: HOUR,
        minute: |at| Minute {
            deployments: 2.0,
            running: 1.0,
            healthy: 1.0,
            start_failures: if at % 5 == 0 { 1.0 } else { 0.0 },
            ..GOOD
        },
    },
    Scenario {
        name: "telemetry broken for an hour",
        length: HOUR,
        minute: |_| Minute { emf: false, emf_errors: 2.0, losses: 1.0, notifications_failed: 1.0, ..GOOD },
    },
    Scenario {
        name: "database away for 10 minutes",
        length: 10,
        minute: |_| Minute { by_service: 0.9, connect_failures: 20.0, canary: Some(Run::Fails), ..GOOD },
    },
    Scenario {
        name: "a bug and stolen tokens, one minute",
        length: 1,
        minute: |_| Minute { panics: 1.0, token_reuses: 20.0, ..GOOD },
    },
];

/// When an alarm went off and came back, in minutes after the begin and after the end of what happened.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) fired: Option<usize>,
    returned: Option<usize>,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match (self.fired, self.returned) {
            (None, _) => "silent".to_owned(),
            (Some(fired), Some(returned)) => format!("fired after {}, returned {}", time(fired), returned_at(returned)),
            (Some(fired), None) => format!("fired after {}, NEVER RETURNED", time(fired)),
        };
        formatter.write_str(&text)
    }
}

fn time(minutes: usize) -> String {
    if minutes < 3 * HOUR { format!("{minutes} min") } else { format!("{} h {} min", minutes / HOUR, minutes % HOUR) }
}

fn returned_at(minutes: usize) -> String {
    if minutes == 0 { "before the end".to_owned() } else { format!("{} after the end", time(minutes)) }
}

/// Runs one scenario, in which the metrics of a namespace arrive so many minutes late: the outcome of each alarm and
/// composite.
pub(super) fn run(template: &Template, scenario: &Scenario, late: fn(&str) -> usize) -> BTreeMap<String, Outcome> {
    let mut world = World::default();
    let metrics = Metrics::of(template, &mut world);
    metrics.deliver_late(&mut world, late);
    let (begin, end) = (BEFORE, BEFORE + scenario.length);
    let good = metrics.sent(&GOOD, true);
    for at in 0..end + AFTER {
        world.next_minute();
        let during = (begin..end).contains(&at).then(|| metrics.sent(&(scenario.minute)(at - begin), true));
        during.as_ref().unwrap_or(&good).iter().for_each(|(id, samples)| world.send(*id, samples));
    }
    let mut simulation = Simulation::new(template, &world).expect("a template that can be evaluated");
    let ids = template.alarms.keys().chain(template.composites.keys());
    let mut outcomes: BTreeMap<String, Outcome> = ids.map(|id| (id.clone(), Outcome::default())).collect();
    let fine = begin - 10..=end + 2 * HOUR + 10;
    // The first day fills the windows.
    for at in (DAY..=world.minutes()).filter(|at| fine.contains(at) || at % COARSE == 0) {
        for change in simulation.evaluate(at).expect("a template that can be evaluated") {
            let outcome = outcomes.get_mut(&change.id).expect("a known alarm");
            match change.state {
                State::Alarm => {
                    assert!(at > begin, "{}: {} fired in good times", scenario.name, change.id);
                    outcome.fired = outcome.fired.or(Some(at - begin));
                    outcome.returned = None;
                }
                State::Ok => outcome.returned = outcome.fired.map(|_| at.saturating_sub(end)),
                State::InsufficientData => panic!("{}: {} does not know at minute {at}", scenario.name, change.id),
            }
        }
    }
    outcomes
}

#[test]
fn each_alarm_fires_stays_silent_and_returns_as_the_table_says() {
    let template = template(&objectives());
    let results: Vec<_> = SCENARIOS.iter().map(|scenario| (scenario.name, run(&template, scenario, |_| 0))).collect();
    let mut table = "Each alarm in each scenario, as the evaluator of CloudWatch's semantics has it. Times to fire run from the scenario's\n\
                     begin. Renewed by RENEW=1 cargo test -p ops scenarios.\n\n\
                     Scenarios:\n"
        .to_owned();
    for (name, outcomes) in &results {
        let fired = outcomes.values().filter(|outcome| outcome.fired.is_some()).count();
        writeln!(table, "  {name:<44} {fired:>2} fire").expect("a string takes all");
    }
    for id in template.composites.keys().chain(template.alarms.keys()) {
        writeln!(table, "\n{id}").expect("a string takes all");
        for (name, outcomes) in &results {
            writeln!(table, "  {name:<44} {}", outcomes[id]).expect("a string takes all");
        }
    }
    println!("{table}");
    let path = testkit::root().join("ops/tests/suite/cloudwatch/scenarios.txt");
    if std::env::var_os("RENEW").is_some() {
        std::fs::write(&path, &table).expect("the table is written");
    }
    assert_eq!(table, std::fs::read_to_string(&path).unwrap_or_default(), "the table in {} differs", path.display());
    let fires = |id: &String| results.iter().any(|(_, outcomes)| outcomes[id].fired.is_some());
    let never: BTreeSet<&String> = results[0].1.keys().filter(|id| !fires(id)).collect();
    assert!(never.is_empty(), "no scenario reaches {never:?}");
    for (scenario, alarm) in MUST_FIRE {
        let (name, outcomes) = results.iter().find(|(name, _)| name.starts_with(scenario)).expect("a scenario");
        assert!(outcomes[*alarm].fired.is_some(), "{name}: {alarm} is silent, whatever the table says");
    }
    for ((name, outcomes), scenario) in results.iter().zip(SCENARIOS) {
        let stuck: Vec<&String> = outcomes
            .iter()
            .filter(|(_, outcome)| outcome.fired.is_some() && outcome.returned.is_none())
            .map(|(id, _)| id)
            .collect();
        assert!(stuck.is_empty(), "{name}: never return: {stuck:?}");
        let (told, paged) = (told(&template, outcomes), paged(&template, outcomes));
        assert!(!scenario.is_quiet() || paged.is_empty(), "{name}: {paged:?} must stay silent");
        let expected = scenario.tickets();
        assert!(!scenario.is_quiet() || told == expected, "{name}: {told:?} are told, not {expected:?}");
        assert!(!name.starts_with("total outage") || !paged.is_empty(), "{name}: wakes nobody");
    }
}

/// Those that fired and told somebody. An alarm that tells nobody may see one error in few requests; its composite must not.
pub(super) fn told<'a>(template: &Template, outcomes: &'a BTreeMap<String, Outcome>) -> Vec<&'a str> {
    fired_to(template, outcomes, "")
}

/// Those that fired and woke somebody.
pub(super) fn paged<'a>(template: &Template, outcomes: &'a BTreeMap<String, Outcome>) -> Vec<&'a str> {
    fired_to(template, outcomes, "Page")
}

fn fired_to<'a>(template: &Template, outcomes: &'a BTreeMap<String, Outcome>, topic: &str) -> Vec<&'a str> {
    let actions = |id: &String| {
        let alarm = template.alarms.get(id).map(|alarm| &alarm.alarm_actions);
        alarm.or_else(|| template.composites.get(id).map(|composite| &composite.alarm_actions))
    };
    let reaches = |id: &String| actions(id).into_iter().flatten().any(|action| action.contains(topic));
    let fired = outcomes.iter().filter(|(id, outcome)| outcome.fired.is_some() && reaches(id));
    fired.map(|(id, _)| id.as_str()).collect()
}
