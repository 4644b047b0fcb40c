//! The alerts on the telemetry itself: what was lost on its way, and what is about to be.

use slo::Severity;

use super::alert::{Alert, Case, Firing};
use super::yaml::{number, percent};

/// The file they stand in.
const TOPIC: &str = "telemetry";

const A: [(&str, &str); 2] = [("instance", "a"), ("job", "task-api")];

/// Seconds after which log lines are late: whoever looks into an incident now does not see it.
const LAG_MAX: u64 = 300;
/// Share of the bound of all series that may be used.
const SERIES_MAX: f64 = 0.8;

/// A counter that should stand still.
struct Loss {
    name: &'static str,
    summary: &'static str,
    description: &'static str,
    expr: &'static str,
    series: &'static str,
    /// Another series that must not count, or that the expression needs.
    beside: Option<(&'static str, &'static str)>,
    labels: &'static [(&'static str, &'static str)],
}

const LOSSES: [Loss; 4] = [
    Loss {
        name: "LogLinesDropped",
        summary: "Log lines were lost on standard output.",
        description: "[[0]] log lines of [[label:instance]] were dropped within 15m ([[label:reason]]); 0 is right. \
                      Users notice nothing, but what they report cannot be looked up.",
        expr: "sum by (job, instance, reason) \
        (increase(telemetry_dropped_total{job=\"task-api\",signal=\"log\"}[15m])) > 0",
        series: "telemetry_dropped_total{job=\"task-api\",instance=\"a\",signal=\"log\",reason=\"queue_full\"}",
        beside: Some((
            "telemetry_dropped_total{job=\"task-api\",instance=\"a\",signal=\"error\",reason=\"queue_full\"}",
            "0+1x60",
        )),
        labels: &[("instance", "a"), ("job", "task-api"), ("reason", "queue_full")],
    },
    Loss {
        name: "LogShipperDropping",
        summary: "Log lines were lost on their way to CloudWatch Logs.",
        description: "[[0]] log lines of [[label:instance]] were dropped or rejected within 15m; 0 is right. Users \
                      notice nothing, but the log has holes, and alarms that count its lines count too little.",
        expr: "sum by (job, instance) (increase(log_shipper_dropped_total{job=\"task-api\"}[15m]))\n\
               + sum by (job, instance) (increase(log_shipper_rejected_total{job=\"task-api\"}[15m])) > 0",
        series: "log_shipper_rejected_total{job=\"task-api\",instance=\"a\",reason=\"too_old\"}",
        beside: Some(("log_shipper_dropped_total{job=\"task-api\",instance=\"a\",reason=\"queue_full\"}", "7x60")),
        labels: &A,
    },
    Loss {
        name: "SpansDropped",
        summary: "Spans were lost on their way to the collector.",
        description: "[[0]] spans of [[label:instance]] were dropped within 15m ([[label:reason]]); 0 is right. Users \
                      notice nothing, but some of their slow requests have no trace.",
        expr: "sum by (job, instance, reason) \
        (increase(telemetry_dropped_total{job=\"task-api\",signal=\"trace\",reason!=\"rate_limited\"}[15m])) > 0",
        series: "telemetry_dropped_total{job=\"task-api\",instance=\"a\",signal=\"trace\",reason=\"export_failed\"}",
        beside: Some((
            "telemetry_dropped_total{job=\"task-api\",instance=\"a\",signal=\"log\",reason=\"export_failed\"}",
            "0+1x60",
        )),
        labels: &[("instance", "a"), ("job", "task-api"), ("reason", "export_failed")],
    },
    Loss {
        name: "SentryEventsDropped",
        summary: "Failures were not told to Sentry.",
        description: "[[0]] events of [[label:instance]] did not reach Sentry within 15m ([[label:result]]); 0 is \
                      right. Users notice nothing, but nobody hears of their failures there.",
        expr: "sum by (job, instance, result) \
        (increase(sentry_events_total{job=\"task-api\",result!=\"sent\"}[15m])) > 0",
        series: "sentry_events_total{job=\"task-api\",instance=\"a\",result=\"rate_limited\"}",
        beside: Some(("sentry_events_total{job=\"task-api\",instance=\"a\",result=\"sent\"}", "0+1x60")),
        labels: &[("instance", "a"), ("job", "task-api"), ("result", "rate_limited")],
    },
];

/// The alerts.
pub(super) fn alerts() -> Vec<Alert> {
    let mut alerts: Vec<Alert> = LOSSES.iter().map(loss).collect();
    alerts.extend([lagging(), stalled(), series_bound()]);
    alerts
}

fn loss(loss: &Loss) -> Alert {
    let fed = |values: &'static str| {
        let mut series = vec![(loss.series, values)];
        series.extend(loss.beside);
        series
    };
    let fires = || Firing::new(3.0, loss.labels);
    Alert {
        name: loss.name.to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Ticket,
        summary: loss.summary.to_owned(),
        description: loss.description.to_owned(),
        expr: loss.expr.to_owned(),
        wait: None,
        dashboard: "task-api-telemetry",
        symptom: false,
        cases: vec![
            Case::new(
                "fires with the first loss and resolves after 15 minutes without another",
                "The counter goes from 4 to 7 at minute 10. At minute 25 the 15m begin at minute 10, with 7.",
                &fed("4x9 7x60"),
                &[(9, None), (10, fires()), (24, fires()), (25, None)],
            ),
            Case::new("is silent about old losses", "The counter stands at 7.", &fed("7x60"), &[(60, None)]),
        ],
    }
}

fn lagging() -> Alert {
    let series = "log_shipper_lag_seconds{job=\"task-api\",instance=\"a\"}";
    Alert {
        name: "LogShipperLagging".to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Ticket,
        summary: "Log lines reach CloudWatch Logs late.".to_owned(),
        description: format!(
            "The oldest line of [[label:instance]] has waited [[0]] s, and it has been more than {LAG_MAX} s for 5m. \
             Users notice nothing, but the last minutes are missing from the log just when somebody looks for them."
        ),
        expr: format!("log_shipper_lag_seconds{{job=\"task-api\"}} > {LAG_MAX}"),
        wait: Some(5),
        dashboard: "task-api-telemetry",
        symptom: false,
        cases: vec![
            Case::new(
                "fires after 5 minutes over the threshold, and resolves below it",
                &format!(
                    "60 s more each minute from 0: more than {LAG_MAX} from minute 6 on, fires at 11. Delivered at \
                    minute 16."
                ),
                &[(series, "0+60x15 1x10")],
                &[(10, None), (11, Firing::new(660.0, &A)), (15, Firing::new(900.0, &A)), (16, None)],
            ),
            Case::new(
                "is silent at the threshold",
                "Not more than it.",
                &[(series, &format!("{LAG_MAX}x60"))],
                &[(60, None)],
            ),
        ],
    }
}

fn stalled() -> Alert {
    let queued = "log_shipper_queued_lines{job=\"task-api\",instance=\"a\"}";
    let delivered = "log_shipper_delivered_total{job=\"task-api\",instance=\"a\"}";
    let fires = || Firing::new(40.0, &A);
    Alert {
        name: "LogShipperStalled".to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Ticket,
        summary: "Log lines wait and none reaches CloudWatch Logs.".to_owned(),
        description: "[[0]] lines of [[label:instance]] wait, more than 0, and none was delivered within 10m; that \
                      for 5m. Users notice nothing, but when the memory is full lines are lost, the least important \
                      first."
            .to_owned(),
        expr: "log_shipper_queued_lines{job=\"task-api\"} > 0\nand\n\
               increase(log_shipper_delivered_total{job=\"task-api\"}[10m]) == 0"
            .to_owned(),
        wait: Some(5),
        dashboard: "task-api-telemetry",
        symptom: false,
        cases: vec![
            Case::new(
                "fires 5 minutes after 10 without a delivery, and resolves with the next",
                "40 lines wait all the time. 9 a minute are delivered until minute 10, so nothing within 10m at \
                 minute 20; fires at 25. A delivery comes at minute 40.",
                &[(queued, "40x60"), (delivered, "0+9x10 90x28 99x20")],
                &[(24, None), (25, fires()), (39, fires()), (40, None)],
            ),
            Case::new(
                "is silent when there is nothing to deliver",
                "Nothing waits, nothing is delivered.",
                &[(queued, "0x60"), (delivered, "90x60")],
                &[(60, None)],
            ),
        ],
    }
}

fn series_bound() -> Alert {
    let now = "telemetry_series{job=\"task-api\",instance=\"a\"}";
    let most = "telemetry_series_max{job=\"task-api\",instance=\"a\"}";
    Alert {
        name: "SeriesBoundNear".to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Ticket,
        summary: "The service exposes nearly as many series as it ever may.".to_owned(),
        description: format!(
            "[[label:instance]] has exposed [[percent]] of the most series that the catalogue allows for 15m; more \
             than {} is near. Users notice nothing, but Prometheus needs memory for each of them.",
            percent(SERIES_MAX)
        ),
        expr: format!(
            "telemetry_series{{job=\"task-api\"}} / telemetry_series_max{{job=\"task-api\"}} > {}",
            number(SERIES_MAX)
        ),
        wait: Some(15),
        dashboard: "task-api-telemetry",
        symptom: false,
        cases: vec![
            Case::new(
                "fires after 15 minutes over its share, and resolves below it",
                "810 of 1000 from minute 10 on, fires at 25; 700 at minute 30.",
                &[(now, "700x9 810x19 700x10"), (most, "1000x60")],
                &[(24, None), (25, Firing::new(0.81, &A)), (29, Firing::new(0.81, &A)), (30, None)],
            ),
            Case::new(
                "is silent at its share",
                "800 of 1000, not more.",
                &[(now, "800x60"), (most, "1000x60")],
                &[(60, None)],
            ),
        ],
    }
}
