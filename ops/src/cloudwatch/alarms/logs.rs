//! What the log lines say: the metric filters that count them, and the alarms on those counts.

use super::super::alarm::{Alarm, Metric, Tells};
use super::{logged, metric, one, sums};

const NO_LINES: &str = "the count exists only where there was such a line";

/// A count of log lines, by service and environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filter {
    /// The metric.
    pub(crate) metric: &'static str,
    /// CloudWatch's filter pattern.
    pub(crate) pattern: &'static str,
    /// What it counts.
    pub(crate) says: &'static str,
}

/// Every metric filter.
pub(crate) const FILTERS: &[Filter] = &[
    Filter { metric: "Panics", pattern: "{ $.event = \"panicked\" }", says: "Panics of the service's code." },
    Filter {
        metric: "StartFailures",
        pattern: "{ $.event = \"failed\" }",
        says: "Ends because the service could not start or go on.",
    },
    Filter {
        metric: "DatabaseConnectFailures",
        pattern: "{ $.event = \"database_connection_failed\" }",
        says: "Connections to the database that could not be made; one line a second at most.",
    },
    Filter {
        metric: "TokenReuses",
        pattern: "{ $.event = \"refresh_token_reused\" }",
        says: "Refresh tokens that came a second time.",
    },
    Filter {
        metric: "TelemetryLosses",
        pattern: "{ ($.event = \"log_lines_dropped\") || ($.event = \"telemetry_delivery_failed\") }",
        says: "Reports of lost log lines, spans or errors; one a minute at most for each signal.",
    },
];

fn counted(name: &str, metric: &'static str) -> Alarm {
    Alarm::new(name, Tells::Ticket, one(logged(metric), "Sum")).within(1, 1, 300).silence_is_good(NO_LINES)
}

fn log_group(name: &'static str) -> Metric {
    metric("AWS/Logs", name, &[("LogGroupName", "${LogGroupName}")])
}

pub(super) fn alarms() -> Vec<Alarm> {
    vec![
        counted("LogsPanics", "Panics")
            .above(0.0)
            .says(
                "The service's code panicked.",
                "the request in which it happened failed with 500; the others went on.",
            )
            .runbook("LogsPanics"),
        counted("LogsStartFailed", "StartFailures")
            .within(1, 1, 900)
            .above(1.0)
            .says(
                "The service ended with an error more than once within 15 minutes.",
                "nothing while older tasks carry the load; a deployment does not get on.",
            )
            .runbook("LogsStartFailed"),
        counted("LogsDatabaseUnreachable", "DatabaseConnectFailures")
            .within(3, 5, 60)
            .above(0.0)
            .says(
                "In 3 of 5 minutes the service could not make a connection to its database.",
                "requests fail with 503 once the connections that are still open do not suffice.",
            )
            .runbook("LogsDatabaseUnreachable"),
        counted("LogsTokenReuse", "TokenReuses")
            .within(1, 1, 3600)
            .at_least(10.0)
            .says(
                "Ten or more refresh tokens were used a second time within an hour, and their sessions ended.",
                "those users have to log in again; somebody may have copied their tokens.",
            )
            .runbook("LogsTokenReuse"),
        counted("LogsTelemetryLost", "TelemetryLosses")
            .within(2, 3, 300)
            .above(0.0)
            .says(
                "In 2 of 3 five minutes the service reported that log lines, spans or errors were lost.",
                "nothing; but what is seen of the service has gaps.",
            )
            .runbook("LogsTelemetryLost"),
        Alarm::new(
            "LogsEmfErrors",
            Tells::Ticket,
            sums(
                &[("unparsed", log_group("EMFParsingErrors")), ("invalid", log_group("EMFValidationErrors"))],
                "FILL(unparsed,0)+FILL(invalid,0)",
            ),
        )
        .within(1, 1, 300)
        .above(0.0)
        .silence_is_good("the counts exist only where there are such errors")
        .says(
            "CloudWatch could not make metrics of log lines that are meant to be metrics.",
            "nothing; but metrics are incomplete, and alarms on them may stay silent.",
        )
        .runbook("LogsEmfErrors"),
    ]
}
