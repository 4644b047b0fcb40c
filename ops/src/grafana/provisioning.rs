//! What a Grafana reads at its start, so that data sources and dashboards are there without a click.

use crate::tree::Rendered;

/// Where Grafana looks for the files.
pub const DATASOURCES: &str = "dashboards/provisioning/datasources/task-api.yml";
/// Where Grafana looks for the files.
pub const DASHBOARDS: &str = "dashboards/provisioning/dashboards/task-api.yml";

/// The uids are what links and variables name; addresses are those of a network in which each server is called by its name.
const DATASOURCES_TEXT: &str = "\
# Rendered by `cargo run -p ops -- render`: change ops/src/grafana/provisioning.rs, not this file.
# Mount dashboards/provisioning at /etc/grafana/provisioning. Panels and links name the uids: keep them where the address or
# the type is another one, such as grafana-x-ray-datasource for traces.
apiVersion: 1
datasources:
  - name: Prometheus
    uid: prometheus
    type: prometheus
    access: proxy
    url: http://prometheus:9090
    isDefault: true
    editable: false
    jsonData:
      httpMethod: POST
      timeInterval: 15s  # how often targets are scraped: no rate is taken over less than four times this
      exemplarTraceIdDestinations:
        - name: trace_id
          datasourceUid: traces
  - name: Traces
    uid: traces
    type: tempo
    access: proxy
    url: http://tempo:3200
    editable: false
  - name: Logs
    uid: logs
    type: cloudwatch
    editable: false
    jsonData:
      authType: default  # the credentials of the machine
      defaultRegion: us-east-1
";

const DASHBOARDS_TEXT: &str = "\
# Rendered by `cargo run -p ops -- render`: change ops/src/grafana/provisioning.rs, not this file.
# Mount dashboards/grafana at the path below.
apiVersion: 1
providers:
  - name: task-api
    folder: Task API
    type: file
    disableDeletion: true
    allowUiUpdates: false  # what somebody saves here would be gone with the next release
    updateIntervalSeconds: 30
    options:
      path: /var/lib/grafana/dashboards
";

/// The files.
pub fn rendered() -> Vec<Rendered> {
    let file = |path: &str, text: &str| Rendered { path: path.to_owned(), text: text.to_owned() };
    vec![file(DATASOURCES, DATASOURCES_TEXT), file(DASHBOARDS, DASHBOARDS_TEXT)]
}
