//! Telemetry pipeline: does what the service says about itself arrive?

use slo::Slo;

use super::percent;
use crate::grafana::board::Board;
use crate::grafana::panel::{Limit, Panel, Unit};

/// Of what the exposition may grow to.
const FULL: f64 = 0.8;

/// The dashboard.
pub(super) fn board(slo: &Slo) -> Board {
    Board {
        uid: "task-api-telemetry",
        title: "Task API / Telemetry pipeline",
        about: "Before you trust the other dashboards and the logs: does what the service says about itself arrive?",
        from: "now-3h",
        targets_of: "build_info",
        choices: Vec::new(),
        sections: vec![
            ("Is anything lost?", vec![dropped(), delivered(slo), last(), series()]),
            (
                "Do log lines and spans keep up?",
                vec![produced(), line_queue(), spans(), span_queue(), sentry(), sentry_queue()],
            ),
            (
                "Do log lines reach CloudWatch?",
                vec![shipped(), waiting(), waiting_bytes(), lag(), requests(), lost(), trouble()],
            ),
        ],
    }
}

fn dropped() -> Panel {
    Panel::graph("What is thrown away, and why?", Unit::Rate)
        .good(
            "Lines, spans and events per second, by signal and reason. Good is 0: what is lost here is found nowhere.",
        )
        .query("{{signal}}: {{reason}}", "sum by (signal, reason) (rate(telemetry_dropped_total{@target}@rate))")
        .runbook("LogLinesDropped")
}

fn delivered(slo: &Slo) -> Panel {
    let lost = |metric| format!("sum by (instance) (increase({metric}{{@target}}[$__range]))");
    let (dropped, rejected) = (lost("log_shipper_dropped_total"), lost("log_shipper_rejected_total"));
    Panel::figures("What share of log lines arrives?", Unit::Share)
        .good(format!(
            "Of those that are shipped to CloudWatch, in the shown time. Good is {} or more.",
            percent(slo.logs_delivered)
        ))
        .query("{{instance}}", format!("1 - ({dropped} + {rejected}) / {}", lost("log_shipper_produced_total")))
        .limit(Limit::AtLeast(slo.logs_delivered))
        .free_axis()
        .width(5)
        .tall()
        .runbook("LogDeliveryBurnFast")
}

fn last() -> Panel {
    Panel::figures("When did something last arrive?", Unit::Ago)
        .good("Good is within minutes while there is traffic. never is good where that signal is not sent anywhere.")
        .query("{{signal}}", "max by (signal) (telemetry_last_success_seconds{@target}) * 1000")
        .query("cloudwatch", "max(log_shipper_last_success_time_seconds{@target}) * 1000")
        .word("0", "never")
        .width(5)
        .tall()
}

fn series() -> Panel {
    Panel::figures("How full is the exposition?", Unit::Share)
        .good("Sample lines over the most that the catalogue allows. Good is far below 80 %: above, a label is out of bounds.")
        .query(
            "{{instance}}",
            "sum by (instance) (telemetry_series{@target}) / sum by (instance) (telemetry_series_max{@target})",
        )
        .limit(Limit::AtMost(FULL))
        .width(6)
        .tall()
        .runbook("SeriesBoundNear")
}

fn produced() -> Panel {
    Panel::graph("How many log lines are written?", Unit::Rate)
        .good("Lines per second, by instance. Good is one for each request and few besides.")
        .query("{{instance}}", "sum by (instance) (rate(telemetry_log_lines_total{@target}@rate))")
}

fn line_queue() -> Panel {
    Panel::graph("Do lines wait for standard output?", Unit::Bytes)
        .good("Bytes that wait. Good is near 0: more means that nobody reads the pipe, and lines are dropped next.")
        .query("{{instance}}", "sum by (instance) (telemetry_log_queue_bytes{@target})")
}

fn spans() -> Panel {
    Panel::graph("Do spans leave as fast as they come?", Unit::Rate)
        .good("Spans per second. Good is both lines alike; ended without exported is a collector that does not answer.")
        .query("ended", "sum(rate(telemetry_spans_total{@target}@rate))")
        .query("exported", "sum(rate(telemetry_spans_exported_total{@target}@rate))")
        .runbook("SpansDropped")
}

fn span_queue() -> Panel {
    Panel::graph("How many spans wait for the collector?", Unit::Count)
        .good("Good is below a few hundred; one that stays full drops spans.")
        .query("{{instance}}", "sum by (instance) (telemetry_span_queue{@target})")
}

fn sentry() -> Panel {
    Panel::graph("What becomes of the events for Sentry?", Unit::Rate)
        .good("Failures per second, by what became of the event. Good is 0; with failures, sent and nothing else.")
        .query("{{result}}", "sum by (result) (rate(sentry_events_total{@target}@rate))")
        .query("produced", "sum(rate(telemetry_errors_total{@target}@rate))")
        .runbook("SentryEventsDropped")
}

fn sentry_queue() -> Panel {
    Panel::graph("How many events wait for Sentry?", Unit::Count)
        .good("Good is 0; 128 is full, and what fails next is told to nobody but the log.")
        .query("{{instance}}", "sum by (instance) (telemetry_error_queue{@target})")
        .runbook("SentryEventsDropped")
}

fn shipped() -> Panel {
    Panel::graph("Are lines accepted as fast as they come?", Unit::Rate)
        .good("Lines per second. Good is produced and delivered alike. recovered are of a process before this one.")
        .query("produced", "sum(rate(log_shipper_produced_total{@target}@rate))")
        .query("delivered", "sum(rate(log_shipper_delivered_total{@target}@rate))")
        .query("recovered", "sum(rate(log_shipper_recovered_total{@target}@rate))")
        .runbook("LogShipperStalled")
}

fn waiting() -> Panel {
    Panel::stacked("How many lines wait?", Unit::Count)
        .good("In memory and on disk. Good is what comes in a few seconds; a rise without end is CloudWatch or its quota.")
        .query("in memory", "sum(log_shipper_queued_lines{@target})")
        .query("on disk", "sum(log_shipper_spooled_lines{@target})")
}

fn waiting_bytes() -> Panel {
    Panel::stacked("How much room do they take?", Unit::Bytes)
        .good("In memory and on disk. Good is far below 8 MiB of memory for each instance; when it is full, lines are dropped.")
        .query("in memory", "sum(log_shipper_queued_bytes{@target})")
        .query("on disk", "sum(log_shipper_spooled_bytes{@target})")
}

fn lag() -> Panel {
    Panel::graph("How old is the oldest line that has not arrived?", Unit::Seconds)
        .good("Good is below 10 s. As long as it grows, the logs of the last minutes are not in CloudWatch.")
        .query("{{instance}}", "max by (instance) (log_shipper_lag_seconds{@target})")
        .width(6)
        .runbook("LogShipperLagging")
}

fn requests() -> Panel {
    Panel::graph("What does CloudWatch answer?", Unit::RequestRate)
        .good("Requests per second, by outcome. Good is ok alone; throttled is a quota, credentials or missing a mistake in IAM.")
        .query("{{outcome}}", "sum by (outcome) (rate(log_shipper_requests_total{@target}@rate))")
        .width(6)
}

fn lost() -> Panel {
    Panel::graph("Which lines never arrive, and why?", Unit::Rate)
        .good("Lines per second that CloudWatch refused for good or that had no room. Good is 0.")
        .query("rejected: {{reason}}", "sum by (reason) (rate(log_shipper_rejected_total{@target}@rate))")
        .query("dropped: {{reason}}", "sum by (reason) (rate(log_shipper_dropped_total{@target}@rate))")
        .width(6)
        .runbook("LogShipperDropping")
}

fn trouble() -> Panel {
    Panel::graph("Are lines cut, or is disk or retention in trouble?", Unit::Rate)
        .good(
            "Per second. Good is 0: a line that is cut is over 1 MiB, an error of the spool is a disk that is full, one of \
             the retention is a log group that keeps its lines for ever.",
        )
        .query("cut", "sum(rate(log_shipper_truncated_total{@target}@rate))")
        .query("spool errors", "sum(rate(log_shipper_spool_errors_total{@target}@rate))")
        .query("retention errors", "sum(rate(log_shipper_retention_errors_total{@target}@rate))")
        .width(6)
}
