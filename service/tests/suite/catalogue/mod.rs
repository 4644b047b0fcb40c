//! The catalogue is what the service says, and nothing else: many processes are driven through all that can happen to them, and
//! what they exposed, logged and traced is compared with what is declared, both ways.

mod flood;
mod fuzz;
mod scenes;
mod scenes_aws;
mod scenes_start;
mod seen;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use service::http::routes::ROUTES;
use service::store::Operation;
use telemetry::catalogue::{DATABASE_SPAN, LOG_EVENTS, METRICS, SERVER_SPAN, UNMATCHED, Values};
use tokio::task::JoinSet;

use crate::harness::Backend;
use crate::harness::moto::Moto;
use crate::harness::postgres::Cluster;
use seen::{Heard, Seen};

const SOON: Duration = Duration::from_secs(60);
/// A scene waits several times; one that takes longer hangs.
const SCENE_MAX: Duration = Duration::from_secs(180);

/// Label values under which no scene can count anything, and why. This list may only shrink.
const UNREACHED_VALUES: &[(&str, &str, &str, &str)] = &[(
    "telemetry_dropped_total",
    "reason",
    "shutdown",
    "what the end cuts off is lost after the last scrape: the admin listener is closed by then. The report of the shutdown \
     has it, which tests of telemetry read",
)];

/// Metrics that no scene can move, and why. This list may only shrink.
const UNMOVED_METRICS: &[(&str, &str)] = &[(
    "log_shipper_truncated_total",
    "no line of the service reaches a mebibyte, since each of its fields is bounded; tests of telemetry hand over one that does",
)];

/// Moved by chance: a task waits in the shared queue for microseconds, a request for a connection while a scene does not look, and
/// only a scrape that falls into them sees it.
const SOMETIMES_MOVED: &[&str] = &["tokio_global_queue_depth", "db_client_connection_pending_requests"];

/// Reached only where the scenes take longer than a minute: a checkpoint comes that often. It is measured where every
/// operation is.
const SOMETIMES_REACHED: (&str, &str, &str) =
    ("db_client_operation_duration_seconds", "db_operation_name", "maintenance");

/// Events that no scene can bring about, and why. This list may only shrink.
const UNREACHED_EVENTS: &[(&str, &str)] = &[(
    "descriptor_limit",
    "raising the soft limit to the hard one is always allowed, but under a sandbox's filter that a test cannot install",
)];

/// Operations that never run within a request, and so have no span.
const WITHOUT_SPANS: [Operation; 2] = [Operation::Maintenance, Operation::Purge];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_catalogue_is_what_the_service_says_and_nothing_else() {
    if Cluster::get().is_none() || Moto::get().is_none() {
        return; // both have said that they are missing
    }
    let seen = Arc::new(Seen::default());
    let mut running = JoinSet::new();
    /// Plays its scenes one after the other, beside the other lanes: all at once would starve those that have a time limit.
    macro_rules! lane {
        ($($scene:expr),+ $(,)?) => {{
            let seen = Arc::clone(&seen);
            running.spawn(async move {
                $(tokio::time::timeout(SCENE_MAX, $scene(&seen)).await.expect(stringify!($scene));)+
            });
        }};
    }
    lane!(
        async |seen: &Seen| scenes::served(seen, Backend::Sqlite).await,
        async |seen: &Seen| scenes::served(seen, Backend::Postgres).await,
        scenes::locked_and_stormed,
        flood::flooded,
    );
    lane!(
        scenes_aws::bad_day,
        scenes_aws::good_day,
        scenes_aws::spoilt_spool,
        flood::full_disk,
        scenes_start::upkeep,
        scenes_start::failing_starts,
    );
    lane!(
        scenes::failing_database,
        scenes::failing_collectors,
        scenes::overloaded,
        scenes::rate_limited,
        scenes_start::panicking,
        scenes_start::out_of_descriptors,
    );
    while let Some(lane) = running.join_next().await {
        lane.expect("every scene as it is written");
    }
    let heard = seen.heard();
    movement(&heard);
    values(&heard);
    events(&heard);
    spans(&heard);
}

/// Each value that a label can take has counted something, or says why it cannot.
fn values(heard: &Heard) {
    let mut unreached = BTreeSet::new();
    for metric in METRICS {
        for label in metric.labels {
            let possible: BTreeSet<&str> = match (label.values, label.name) {
                (Values::Closed(values), _) => values.iter().copied().collect(),
                (_, "http_route") => ROUTES.iter().map(|route| route.route).chain([UNMATCHED]).collect(),
                (_, "db_operation_name") => Operation::NAMES.iter().copied().collect(),
                (Values::Bounded { .. }, _) => continue, // which build runs
            };
            let reached = heard.values.get(&(metric.name, label.name)).cloned().unwrap_or_default();
            let unknown: Vec<_> = reached.iter().filter(|value| !possible.contains(value.as_str())).collect();
            assert!(unknown.is_empty(), "{} {}: {unknown:?}", metric.name, label.name);
            let missing = possible.into_iter().filter(|value| !reached.contains(*value));
            unreached.extend(missing.map(|value| (metric.name, label.name, value)));
        }
    }
    unreached.remove(&SOMETIMES_REACHED);
    let listed: BTreeSet<_> =
        UNREACHED_VALUES.iter().map(|(metric, label, value, _)| (*metric, *label, *value)).collect();
    let new: Vec<_> = unreached.difference(&listed).collect();
    assert!(
        new.is_empty(),
        "no scene reaches these label values: add a scene, or take them out of their set: {new:#?}"
    );
    let reached: Vec<_> = listed.difference(&unreached).collect();
    assert!(reached.is_empty(), "good news: these are reached now, remove them from UNREACHED_VALUES: {reached:#?}");
}

/// Each metric, also one without labels, has counted or measured something, or says why it cannot.
fn movement(heard: &Heard) {
    let moved = |name: &'static str| SOMETIMES_MOVED.contains(&name) || heard.values.contains_key(&(name, ""));
    let unmoved: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).filter(|name| !moved(name)).collect();
    let listed: BTreeSet<&str> = UNMOVED_METRICS.iter().map(|(metric, _)| *metric).collect();
    assert_eq!(
        unmoved, listed,
        "left: metrics that were 0 in every scrape; right: UNMOVED_METRICS, which may only shrink"
    );
}

/// Each event was written, at each of its levels, with its fields and no others.
fn events(heard: &Heard) {
    let listed: BTreeSet<&str> = UNREACHED_EVENTS.iter().map(|(event, _)| *event).collect();
    let written: BTreeSet<&str> = heard.lines.keys().map(String::as_str).collect();
    let declared: BTreeSet<&str> = LOG_EVENTS.iter().map(|event| event.name).collect();
    let unwritten: BTreeSet<&str> = declared.difference(&written).copied().collect();
    assert_eq!(
        unwritten, listed,
        "left: events that no scene brings about; right: UNREACHED_EVENTS, which may only shrink"
    );
    for event in LOG_EVENTS.iter().filter(|event| !listed.contains(event.name)) {
        let lines = &heard.lines[event.name];
        let levels: BTreeSet<&str> = lines.iter().filter_map(|line| line["level"].as_str()).collect();
        assert_eq!(levels, event.levels.iter().copied().collect(), "levels of {}", event.name);
        let mut sometimes = BTreeSet::new();
        for line in lines {
            let own = crate::signals::fields_of_event(line);
            let absent: Vec<_> = event.fields.iter().filter(|field| !own.contains(**field)).collect();
            assert!(absent.is_empty(), "{absent:?} of {} are absent: {line}", event.name);
            sometimes.extend(own.into_iter().filter(|field| !event.fields.contains(&field.as_str())));
        }
        let optional: BTreeSet<String> = event.optional.iter().map(|&field| field.to_owned()).collect();
        assert_eq!(sometimes, optional, "fields that some lines of {} have", event.name);
    }
    let unknown: Vec<_> = written.difference(&declared).collect();
    assert!(unknown.is_empty(), "not in the catalogue: {unknown:?}");
}

/// Each kind of span arrived, under each of its names, with its attributes and no others.
fn spans(heard: &Heard) {
    let kinds: BTreeSet<i32> = heard.spans.iter().map(|span| span.kind).collect();
    assert_eq!(kinds, [2, 3].into(), "2 is a server's, 3 a client's");
    for (definition, kind) in [(SERVER_SPAN, 2), (DATABASE_SPAN, 3)] {
        let mut sometimes = BTreeSet::new();
        for span in heard.spans.iter().filter(|span| span.kind == kind) {
            let absent: Vec<_> =
                definition.attributes.iter().filter(|name| !span.attributes.contains_key(**name)).collect();
            assert!(absent.is_empty(), "{absent:?} are absent: {span:#?}");
            let others = span.attributes.keys().filter(|name| !definition.attributes.contains(&name.as_str()));
            sometimes.extend(others.map(String::as_str));
        }
        assert_eq!(sometimes, definition.optional.iter().copied().collect(), "attributes of some {}", definition.name);
    }
    let names = |kind: i32| -> BTreeSet<&str> {
        heard.spans.iter().filter(|span| span.kind == kind).map(|span| span.name.as_str()).collect()
    };
    let (of_requests, of_database) = (names(2), names(3));
    let missed: Vec<_> = ROUTES.iter().map(|route| format!("{} {}", route.method, route.route)).collect();
    let missed: Vec<_> = missed.iter().filter(|name| !of_requests.contains(name.as_str())).collect();
    assert!(missed.is_empty(), "routes without a span: {missed:?}");
    let operations: BTreeSet<&str> = Operation::NAMES.iter().copied().collect();
    let without: BTreeSet<&str> = WITHOUT_SPANS.iter().map(|operation| operation.name()).collect();
    assert_eq!(of_database, operations.difference(&without).copied().collect(), "left: spans; right: operations");
    let by_route: BTreeMap<&str, &str> = ROUTES.iter().map(|route| (route.route, route.method)).collect();
    let strange = |name: &&&str| name.split_once(' ').is_some_and(|(_, route)| !by_route.contains_key(route));
    assert_eq!(of_requests.iter().find(strange), None, "a name is made of closed sets");
}
