//! Series that an expression may name though `telemetry` does not emit them: the recording rules' and other
//! programs'.

use std::collections::{BTreeMap, BTreeSet};

use slo::Slo;

use super::recording;
use super::sli::all;

/// Series of other programs, with their labels besides the target's.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("up", &[]),
    ("scrape_duration_seconds", &[]),
    ("scrape_samples_scraped", &[]),
    ("ALERTS", &["alertname", "alertstate", "severity", "service", "sloth_slo", "sloth_window"]),
    ("prometheus_rule_evaluation_failures_total", &["rule_group"]),
    ("prometheus_rule_group_last_duration_seconds", &["rule_group"]),
    ("prometheus_notifications_dropped_total", &[]),
    ("prometheus_notifications_errors_total", &["alertmanager"]),
    ("prometheus_notifications_queue_length", &[]),
    ("prometheus_tsdb_head_series", &[]),
    ("alertmanager_notifications_failed_total", &["integration"]),
    ("alertmanager_notifications_total", &["integration"]),
    ("pg_up", &[]),
    ("pg_stat_activity_count", &["datname", "state"]),
    ("pg_settings_max_connections", &[]),
    ("pg_locks_count", &["datname", "mode"]),
    ("pg_stat_activity_max_tx_duration", &["datname", "state"]),
    ("redis_up", &[]),
];

/// All of them.
pub(super) fn series(slo: &Slo) -> BTreeMap<String, BTreeSet<String>> {
    let owned = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect::<BTreeSet<_>>();
    let mut series: BTreeMap<String, BTreeSet<String>> =
        PROGRAMS.iter().map(|(name, labels)| ((*name).to_owned(), owned(labels))).collect();
    for sli in all(slo) {
        let (short, long) = recording::of(slo, &sli);
        for rule in short.iter().chain(&long) {
            let labels = series.entry(rule.record.clone()).or_default();
            labels.extend(owned(&["sloth_id", "sloth_service", "sloth_slo"]));
            labels.extend(rule.labels.iter().map(|(name, _)| (*name).to_owned()));
            // The current burn rate keeps the window of what it is made of.
            if rule.window.is_some() || rule.record.ends_with("_burn_rate:ratio") || rule.record.contains("remaining") {
                labels.insert("sloth_window".to_owned());
            }
        }
    }
    series
}
