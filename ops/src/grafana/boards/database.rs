//! Database and pool: is it the database, the wait for it, or one query?

use slo::Slo;

use super::percent;
use crate::grafana::board::{Board, Choice};
use crate::grafana::panel::{Limit, Panel, Unit};
use crate::prometheus::edge;

/// The operations that are chosen.
const CHOSEN: &str = r#"@target, db_operation_name=~"$operation""#;

/// The dashboard.
pub(super) fn board(slo: &Slo) -> Board {
    Board {
        uid: "task-api-database",
        title: "Task API / Database and pool",
        about: "When requests are slow: is it the database, the wait for a connection, or one operation?",
        from: "now-3h",
        targets_of: "build_info",
        choices: vec![Choice {
            name: "operation",
            label: "Operation",
            series: "db_client_operation_duration_seconds_count{@target}",
            of: "db_operation_name",
            first: None,
        }],
        sections: vec![
            ("Is the database fast and sound?", vec![duration(slo), fast(slo), errors(), log()]),
            ("Which operations are worth a look?", vec![rate(), busy(), mean(), kept()]),
            ("Do requests wait for a connection?", vec![pool(), pending(), wait(slo), timeouts()]),
        ],
    }
}

fn duration(slo: &Slo) -> Panel {
    let buckets =
        format!("sum by (le, db_operation_name) (rate(db_client_operation_duration_seconds_bucket{{{CHOSEN}}}@rate))");
    let title = format!("How long do {} of the operations take?", percent(slo.database.fast));
    Panel::graph(title, Unit::Seconds)
        .good(format!(
            "Without the wait for a connection, estimated from buckets. Good is below the line at {} s; one operation above \
             it lacks an index or waits for a lock, all of them is the server.",
            slo.database.latency
        ))
        .query("{{db_operation_name}}", format!("histogram_quantile({}, {buckets})", slo.database.fast))
        .limit(Limit::AtMost(slo.database.latency))
        .width(6)
        .runbook("DatabaseSlow")
}

fn fast(slo: &Slo) -> Panel {
    // As the objective counts: without those that nobody waited for.
    let completed = format!(r#"{CHOSEN}, error_type!="cancelled""#);
    let edge = format!(r#"{completed}, le="{}""#, edge(slo.database.latency));
    let fast = format!("sum by (db_operation_name) (rate(db_client_operation_duration_seconds_bucket{{{edge}}}@rate))");
    let all =
        format!("sum by (db_operation_name) (rate(db_client_operation_duration_seconds_count{{{completed}}}@rate))");
    Panel::graph(format!("What share is done within {} s?", slo.database.latency), Unit::Share)
        .good(format!(
            "Counted from the bucket at the objective. Good is above the line at {}.",
            percent(slo.database.fast)
        ))
        .query("{{db_operation_name}}", format!("{fast} / {all}"))
        .limit(Limit::AtLeast(slo.database.fast))
        .free_axis()
        .width(6)
        .runbook("DatabaseLatencyBurnFast")
}

fn errors() -> Panel {
    let failed = format!(r#"rate(db_client_operation_duration_seconds_count{{{CHOSEN}, error_type!=""}}@rate)"#);
    Panel::graph("Why do operations fail?", Unit::OperationRate)
        .good(
            "Failures per second, by kind. Good is 0 but for conflict, which is two writers at once. pool_timeout means too few \
             connections, unavailable a server that is gone, internal a mistake of ours; cancelled is no failure: the client left.",
        )
        .query("{{error_type}}", format!("sum by (error_type) ({failed})"))
        .width(6)
}

fn rate() -> Panel {
    Panel::graph("How often does each operation run?", Unit::OperationRate)
        .good("Good follows the requests; one that grows alone is asked for in a loop.")
        .query("{{db_operation_name}}", count("db_operation_name"))
        .width(6)
}

fn busy() -> Panel {
    let time = format!("rate(db_client_operation_duration_seconds_sum{{{CHOSEN}}}@rate)");
    Panel::stacked("Which operations keep connections busy?", Unit::Count)
        .good("Connections that each operation keeps busy on average. Good is far below the size of the pool.")
        .query("{{db_operation_name}}", format!("sum by (db_operation_name) ({time})"))
        .width(6)
}

fn mean() -> Panel {
    let time = format!("rate(db_client_operation_duration_seconds_sum{{{CHOSEN}}}@rate)");
    Panel::graph("Which instances find the database slow?", Unit::Seconds)
        .good("Mean time of an operation, by instance. Good is alike on all; one that stands out has a bad network or no CPU.")
        .query("{{instance}}", format!("sum by (instance) ({time}) / {}", count("instance")))
        .width(6)
}

fn kept() -> Panel {
    Panel::graph("Are SQLite's lists served from memory?", Unit::Rate)
        .good("Tasks of lists a second, by whether they are in memory; 0 with PostgreSQL. Good is few misses: each is a row read.")
        .query("{{result}}", "sum by (result) (rate(sqlite_task_cache_lookups_total{@target}@rate))")
        .width(6)
}

fn pool() -> Panel {
    Panel::graph("How full is the pool?", Unit::Count)
        .good(
            "Connections by state, of all chosen instances, and the most there may be. Good is some idle at all times.",
        )
        .query("{{state}}", "sum by (state) (db_client_connection_count{@target})")
        .query("max", "sum(db_client_connection_max{@target})")
        .width(6)
        .runbook("DatabasePoolSaturated")
}

fn pending() -> Panel {
    Panel::graph("How many requests wait for a connection?", Unit::Count)
        .good("Good is 0; more for minutes means that the pool is too small or its connections are held too long.")
        .query("{{instance}}", "sum by (instance) (db_client_connection_pending_requests{@target})")
        .width(6)
        .runbook("DatabasePoolSaturated")
}

fn wait(slo: &Slo) -> Panel {
    let buckets = "sum by (le, instance) (rate(db_client_connection_wait_time_seconds_bucket{@target}@rate))";
    Panel::graph(format!("How long do {} of the waits take?", percent(slo.database.fast)), Unit::Seconds)
        .good("This time comes on top of the operation's. Good is below 1 ms: a connection is free at once.")
        .query("{{instance}}", format!("histogram_quantile({}, {buckets})", slo.database.fast))
        .width(6)
}

fn timeouts() -> Panel {
    Panel::graph("How many waits end without a connection?", Unit::Rate)
        .good("Per second. Good is 0: each one is a user who got a 503.")
        .query("{{instance}}", "sum by (instance) (rate(db_client_connection_timeouts_total{@target}@rate))")
        .width(6)
        .runbook("DatabasePoolSaturated")
}

fn log() -> Panel {
    Panel::graph("How large are SQLite's log and cache?", Unit::Bytes)
        .good(
            "The write-ahead log, and the tasks that lists keep in memory, 16 MiB at most; 0 with PostgreSQL. Good is a log of a \
             few MiB up to 64: one that only grows has a reader that never ends.",
        )
        .query("log {{instance}}", "sum by (instance) (sqlite_wal_bytes{@target})")
        .query("cache {{instance}}", "sum by (instance) (sqlite_task_cache_bytes{@target})")
        .width(6)
}

fn count(label: &str) -> String {
    format!("sum by ({label}) (rate(db_client_operation_duration_seconds_count{{{CHOSEN}}}@rate))")
}
