//! The alerts on what alerts: a switch that fires always, and what Prometheus and Alertmanager say of themselves.

use slo::Severity;

use super::alert::{Alert, Case, Firing};

/// The file they stand in.
const TOPIC: &str = "monitoring";

/// The alert that always fires; an outside service calls when it stops.
pub(super) const WATCHDOG: &str = "Watchdog";

/// The alerts.
pub(super) fn alerts() -> Vec<Alert> {
    vec![
        watchdog(),
        failures(
            "RuleEvaluationFailures",
            Severity::Ticket,
            "Prometheus could not evaluate some of its rules.",
            "[[0]] evaluations in [[label:rule_group]] failed within 15m; 0 is right. Its alerts may stay silent \
             whatever users notice.",
            "sum by (job, instance, rule_group) \
            (increase(prometheus_rule_evaluation_failures_total{job=\"prometheus\"}[15m])) > 0",
            "prometheus_rule_evaluation_failures_total{job=\"prometheus\",instance=\"m\",rule_group=\"slo\"}",
            &[("instance", "m"), ("job", "prometheus"), ("rule_group", "slo")],
        ),
        failures(
            "AlertmanagerUnreachable",
            // A page would have to go through the Alertmanager that cannot be reached: what calls then is the heartbeat
            // that the Watchdog no longer feeds.
            Severity::Ticket,
            "Prometheus could not hand alerts to Alertmanager.",
            "[[0]] alerts of [[label:instance]] were dropped within 15m; 0 is right. This came late, and so did what users \
            noticed meanwhile; where it goes on, the heartbeat of Watchdog calls.",
            "sum by (job, instance) (increase(prometheus_notifications_dropped_total{job=\"prometheus\"}[15m])) > 0",
            "prometheus_notifications_dropped_total{job=\"prometheus\",instance=\"m\"}",
            &[("instance", "m"), ("job", "prometheus")],
        ),
        failures(
            "NotificationFailures",
            Severity::Page,
            "Alertmanager could not tell people.",
            "[[0]] notifications by [[label:integration]] failed within 15m; 0 is right. What users notice now may \
            call nobody.",
            "sum by (job, instance, integration) \
            (increase(alertmanager_notifications_failed_total{job=\"alertmanager\"}[15m])) > 0",
            "alertmanager_notifications_failed_total{job=\"alertmanager\",instance=\"m\",integration=\"sns\"}",
            &[("instance", "m"), ("integration", "sns"), ("job", "alertmanager")],
        ),
    ]
}

fn watchdog() -> Alert {
    let fires = || Firing::new(1.0, &[]);
    Alert {
        name: WATCHDOG.to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Ticket,
        summary: "Alerts work: this one always fires.".to_owned(),
        description: "Its value is [[0]] at all times. It goes to a heartbeat outside, which calls when it has not \
                      come for 10m: then no other alert would come either, whatever users notice."
            .to_owned(),
        expr: "vector(1)".to_owned(),
        wait: None,
        dashboard: "task-api-overview",
        symptom: false,
        cases: vec![Case::new("always fires", "It needs no data.", &[], &[(0, fires()), (1, fires()), (60, fires())])],
    }
}

fn failures(
    name: &str,
    severity: Severity,
    summary: &str,
    description: &str,
    expr: &str,
    series: &str,
    labels: &[(&'static str, &str)],
) -> Alert {
    let fires = || Firing::new(2.0, labels);
    Alert {
        name: name.to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity,
        summary: summary.to_owned(),
        description: description.to_owned(),
        expr: expr.to_owned(),
        wait: None,
        dashboard: "task-api-overview",
        symptom: false,
        cases: vec![
            Case::new(
                "fires with the first failure and resolves after 15 minutes without another",
                "The counter goes from 1 to 3 at minute 10. At minute 25 the 15m begin at minute 10, with 3.",
                &[(series, "1x9 3x60")],
                &[(9, None), (10, fires()), (24, fires()), (25, None)],
            ),
            Case::new("is silent about old failures", "The counter stands at 3.", &[(series, "3x60")], &[(60, None)]),
        ],
    }
}
