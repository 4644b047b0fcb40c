//! `alerts/alertmanager.yml`: who is told, what is told together, and what is not told because something else explains
//! it.

use super::alert::Alert;
use super::monitoring::WATCHDOG;
use super::yaml::HEADER;
use crate::tree::Rendered;

/// Where it stands.
pub(super) const PATH: &str = "alerts/alertmanager.yml";

/// The file.
pub(super) fn rendered(alerts: &[Alert]) -> Rendered {
    let mut symptoms: Vec<&str> =
        alerts.iter().filter(|alert| alert.symptom).map(|alert| alert.name.as_str()).collect();
    symptoms.sort_unstable();
    symptoms.dedup();
    let symptoms: String = symptoms.iter().map(|name| format!("        {name}|\\\n")).collect();
    // A backslash at the end of a line joins it to the next without a space, which would be part of the names.
    let symptoms = symptoms.trim_end().trim_end_matches("|\\");
    Rendered {
        path: PATH.to_owned(),
        text: format!("{HEADER}{}", TEXT.replace("SYMPTOMS", symptoms.trim_start()).replace("WATCHDOG", WATCHDOG)),
    }
}

const TEXT: &str = r#"# It holds no secret: credentials for SNS come from the task's role, the token of a webhook from a mounted file. Replace
# the account 000000000000, the region and the host names with yours.
global:
  resolve_timeout: 5m

route:
  receiver: ticket
  # One notification for each alert that belongs to no objective. Those of an objective come as one, below.
  group_by: [service, alertname]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 3d
  routes:
    # The dead man's switch: the other side calls when it stops coming.
    - receiver: heartbeat
      matchers: ['alertname="WATCHDOG"']
      group_wait: 0s
      group_interval: 1m
      repeat_interval: 5m
    - receiver: page
      matchers: ['severity="page"']
      group_wait: 10s
      group_interval: 1m
      repeat_interval: 1h
      routes:
        - matchers: ['sloth_slo!=""']
          group_by: [service, sloth_slo]
    - receiver: ticket
      matchers: ['severity="ticket"']
      routes:
        - matchers: ['sloth_slo!=""']
          group_by: [service, sloth_slo]

inhibit_rules:
  # Who is woken for an objective needs no ticket for it.
  - source_matchers: ['severity="page"', 'sloth_slo!=""']
    target_matchers: ['severity="ticket"', 'sloth_slo!=""']
    equal: [service, sloth_slo]
  # Without any instance everything that needs one is missing or fails.
  - source_matchers: ['alertname="TaskApiDown"']
    target_matchers:
      - "alertname=~\"\
        SYMPTOMS\""
    equal: [service]
  # What an instance says of itself is old news once it is gone.
  - source_matchers: ['alertname="TargetDown"']
    target_matchers: ['alertname!="TargetDown"', 'instance!=""']
    equal: [job, instance]
  # A canary that is gone is silent, and so is its objective.
  - source_matchers: ['alertname="TargetDown"', 'job="canary"']
    target_matchers: ['alertname=~"CanarySilent|SliAbsent"', 'sloth_slo=~"canary-success|"']
    equal: [service]
  # Lines that do not move at all are late as well.
  - source_matchers: ['alertname="LogShipperStalled"']
    target_matchers: ['alertname="LogShipperLagging"']
    equal: [job, instance]

receivers:
  - name: page
    sns_configs:
      - topic_arn: arn:aws:sns:eu-central-1:000000000000:task-api-page
        sigv4: {region: eu-central-1}
        send_resolved: true
        subject: '[{{ .Status | toUpper }}] {{ .CommonLabels.alertname }} {{ .CommonLabels.sloth_slo }}'
        message: |-
          {{ range .Alerts }}{{ .Annotations.summary }}
          {{ .Annotations.description }}
          What to do: {{ .Annotations.runbook_url }}
          What to look at: {{ .Annotations.dashboard_url }}
          {{ end }}
    webhook_configs:
      - url: http://pager:8080/page
        send_resolved: true
  - name: ticket
    sns_configs:
      - topic_arn: arn:aws:sns:eu-central-1:000000000000:task-api-ticket
        sigv4: {region: eu-central-1}
        send_resolved: true
        subject: '[{{ .Status | toUpper }}] {{ .CommonLabels.alertname }} {{ .CommonLabels.sloth_slo }}'
        message: |-
          {{ range .Alerts }}{{ .Annotations.summary }}
          {{ .Annotations.description }}
          What to do: {{ .Annotations.runbook_url }}
          What to look at: {{ .Annotations.dashboard_url }}
          {{ end }}
    webhook_configs:
      - url: http://pager:8080/ticket
        send_resolved: true
  - name: heartbeat
    webhook_configs:
      - url: http://pager:8080/heartbeat
        send_resolved: false
"#;
