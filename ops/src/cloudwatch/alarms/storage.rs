//! The database and the cache.

use slo::Slo;

use super::super::alarm::{Alarm, Metric, Tells, Watches, rounded};
use super::{metric, one};

/// Percent of CPU and of connections at which the next peak finds no room.
const FULL: f64 = 90.0;
/// Percent of memory that PostgreSQL wants free for what it sorts and caches.
const MEMORY_FREE: f64 = 25.0;
/// Percent of storage: days are left.
const STORAGE_FREE: f64 = 20.0;
/// Percent of storage: RDS stops the instance when it is full.
const STORAGE_LAST: f64 = 5.0;

const NO_DATABASE: &str = "a database that stops to report has failed or is being replaced";
const NO_CACHE: &str = "the service works without its cache, only less well";

fn database(name: &'static str) -> Metric {
    metric("AWS/RDS", name, &[("DBInstanceIdentifier", "${DatabaseInstance}")])
}

/// A share in percent of what a parameter says there is.
fn share(name: &'static str, statistic: &str, all: &str) -> Watches {
    let metrics = vec![("part", database(name), statistic.to_owned())];
    Watches::Math { metrics, expression: format!("100*part/${{{all}}}") }
}

fn latency(slo: &Slo, name: &str, metric: &'static str, what: &str) -> Alarm {
    // An operation that waits for two of these has used up its time. CloudWatch has this in seconds.
    let limit = rounded(slo.database.latency / 2.0);
    let mut alarm = Alarm::new(name, Tells::Ticket, one(database(metric), "p90"))
        .within(5, 5, 60)
        .above(limit)
        .silence_is_good("that the database does not report is told by RdsCpuHigh")
        .says(
            format!("For 5 minutes one in ten {what} of the database's disk has taken longer than {limit} s."),
            "requests become slow, lists and searches first.",
        )
        .runbook("RdsDiskSlow");
    // RDS gives one sample a minute: with `ignore` there would always be too few of them.
    alarm.low_samples = Some("evaluate");
    alarm
}

fn cache(name: &str, metric_name: &'static str, statistic: &str) -> Alarm {
    let dimensions = [("CacheClusterId", "${CacheCluster}"), ("CacheNodeId", "${CacheNode}")];
    let mut alarm =
        Alarm::new(name, Tells::Ticket, one(metric("AWS/ElastiCache", metric_name, &dimensions), statistic))
            .within(5, 5, 60)
            .silence_is_good(NO_CACHE);
    alarm.condition = Some("HasCache");
    alarm
}

fn storage(name: &str, tells: Tells, free: f64, impact: &'static str) -> Alarm {
    Alarm::new(name, tells, share("FreeStorageSpace", "Minimum", "DatabaseStorageBytes"))
        .within(5, 5, 60)
        .below(free)
        .silence_is_good("that the database does not report is told by RdsCpuHigh")
        .says(format!("Less than {free}% of the database's storage is free."), impact)
        .runbook("RdsStorageLow")
}

pub(super) fn alarms(slo: &Slo) -> Vec<Alarm> {
    vec![
        Alarm::new("RdsCpuHigh", Tells::Ticket, one(database("CPUUtilization"), "Average"))
            .within(5, 5, 60)
            .above(FULL)
            .silence_is_bad(NO_DATABASE)
            .says(
                format!("The database has used more than {FULL}% of its CPU for 5 minutes, or does not report at all."),
                "requests become slow, and then fail with 503.",
            )
            .runbook("RdsCpuHigh"),
        Alarm::new(
            "RdsConnectionsHigh",
            Tells::Ticket,
            share("DatabaseConnections", "Average", "DatabaseConnectionsMax"),
        )
        .within(5, 5, 60)
        .above(FULL)
        .silence_is_good("that the database does not report is told by RdsCpuHigh")
        .says(
            format!("More than {FULL}% of the connections that the database allows have been in use for 5 minutes."),
            "nothing yet; a new task could not connect, so a deployment or a scale-out would fail.",
        )
        .runbook("RdsConnectionsHigh"),
        Alarm::new("RdsMemoryLow", Tells::Ticket, share("FreeableMemory", "Average", "DatabaseMemoryBytes"))
            .within(15, 15, 60)
            .below(MEMORY_FREE)
            .silence_is_good("that the database does not report is told by RdsCpuHigh")
            .says(
                format!("Less than {MEMORY_FREE}% of the database's memory has been free for 15 minutes."),
                "requests become slow when it begins to swap.",
            )
            .runbook("RdsMemoryLow"),
        storage("RdsStorageLow", Tells::Ticket, STORAGE_FREE, "nothing yet; there is time to enlarge it."),
        storage(
            "RdsStorageAlmostFull",
            Tells::Page,
            STORAGE_LAST,
            "soon the database stops and every request fails: RDS shuts an instance whose storage is full.",
        ),
        latency(slo, "RdsReadLatencyHigh", "ReadLatency", "reads"),
        latency(slo, "RdsWriteLatencyHigh", "WriteLatency", "writes"),
        cache("CacheCpuHigh", "EngineCPUUtilization", "Average")
            .above(FULL)
            .says(
                format!("The cache has used more than {FULL}% of the one core it can use for 5 minutes."),
                "each request waits for its rate limit and its token check.",
            )
            .runbook("CacheCpuHigh"),
        // A percentage of one node is averaged; a sum over its samples would be above any limit.
        cache("CacheMemoryHigh", "DatabaseMemoryUsagePercentage", "Average")
            .above(FULL)
            .says(
                format!("More than {FULL}% of the cache's memory has been in use for 5 minutes."),
                "nothing yet; soon it throws entries away or refuses new ones.",
            )
            .runbook("CacheMemoryHigh"),
        cache("CacheEvictions", "Evictions", "Sum")
            .above(0.0)
            .says(
                "The cache has thrown entries away in each of 5 minutes.",
                "a rate limit begins anew too early, and a revoked token is looked up in the database again.",
            )
            .runbook("CacheEvictions"),
    ]
}
