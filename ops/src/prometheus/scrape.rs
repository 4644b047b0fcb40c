//! `alerts/prometheus.yml`: whom Prometheus asks.

use slo::Slo;

use super::yaml::HEADER;
use crate::tree::Rendered;

/// Where it stands.
pub(super) const PATH: &str = "alerts/prometheus.yml";

/// Seconds between two scrapes.
pub(super) const INTERVAL_SECONDS: u64 = 15;

/// Days that are kept besides the budget's window.
const SPARE_DAYS: u64 = 2;

/// The file.
pub(super) fn rendered(slo: &Slo) -> Rendered {
    let days = slo.window.seconds().div_ceil(86_400) + SPARE_DAYS;
    let text = TEXT
        .replace("DAYS", &days.to_string())
        .replace("BUDGET", &slo.window.to_string())
        .replace("INTERVAL", &format!("{INTERVAL_SECONDS}s"));
    Rendered { path: PATH.to_owned(), text: format!("{HEADER}{text}") }
}

const TEXT: &str = r#"# How long samples are kept is a flag, not a line of this file. Prometheus keeps 15 days unless told otherwise; the error
# budget looks back BUDGET, so start it with --storage.tsdb.retention.time=DAYSd.
global:
  scrape_interval: INTERVAL
  scrape_timeout: 10s
  evaluation_interval: INTERVAL

rule_files:
  - prometheus/*.yml

alerting:
  alertmanagers:
    - static_configs:
        - targets: ['alertmanager:9093']

scrape_configs:
  # The admin listener; it is never behind the load balancer. One name stands for all tasks, as in Cloud Map or with Docker:
  # each address behind it is a target. As a static target each scrape would meet another task, and its counters would jump.
  - job_name: task-api
    dns_sd_configs:
      - names: ['task-api']
        type: A
        port: 9464
        refresh_interval: INTERVAL
  - job_name: canary
    static_configs:
      - targets: ['canary:9465']
  - job_name: postgres
    static_configs:
      - targets: ['postgres-exporter:9187']
  - job_name: redis
    static_configs:
      - targets: ['redis-exporter:9121']
  - job_name: prometheus
    static_configs:
      - targets: ['localhost:9090']
  - job_name: alertmanager
    static_configs:
      - targets: ['alertmanager:9093']
"#;
