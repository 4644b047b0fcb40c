//! Prometheus with the rendered rules, Alertmanager with the rendered routes, and whom they call. Only the clock is
//! faster: a minute is a second.

use std::time::Duration;

use ops::tree::Rendered;
use slo::Slo;

use super::promtool::written;
use super::scaled;
use super::servers::{Receiver, Server, Told};

/// Whatever is waited for comes within this.
pub(crate) const SOON: Duration = Duration::from_secs(120);

/// All who watch.
pub(crate) struct Watch {
    pub(crate) prometheus: Server,
    pub(crate) alertmanager: Server,
    pub(crate) receiver: Receiver,
}

impl Watch {
    /// Rules and routes for these objectives, and one target (`host:port`) for each of these jobs, beside Prometheus and
    /// Alertmanager. `None` where a server is not installed.
    pub(crate) async fn start(slo: &Slo, targets: &[(&'static str, String)]) -> Option<Self> {
        let receiver = Receiver::start().await;
        let files = ops::prometheus::rendered(slo);
        let (own, alertmanager) = (testkit::free_address(), testkit::free_address());
        let named = |path: &str| files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path}"));
        let yaml = |path: &str, value: &serde_norway::Value| Rendered {
            path: path.to_owned(),
            text: serde_norway::to_string(value).expect("YAML"),
        };
        let routes = scaled::routing(named("alerts/alertmanager.yml"), &format!("http://{}", receiver.address));
        let alertmanager_server =
            Server::alertmanager(alertmanager, written(&[yaml("alerts/alertmanager.yml", &routes)]))?;

        let mut targets = targets.to_vec();
        targets.extend([("prometheus", own.to_string()), ("alertmanager", alertmanager.to_string())]);
        let scraping = scaled::scraping(named("alerts/prometheus.yml"), &targets, &alertmanager.to_string());
        let mut all: Vec<Rendered> = files
            .iter()
            .filter(|file| file.path.starts_with("alerts/prometheus/") && !file.path.contains("/tests/"))
            .map(scaled::rules)
            .collect();
        all.push(yaml("alerts/prometheus.yml", &scraping));
        let prometheus = Server::prometheus(own, written(&all))?;
        Some(Self { prometheus, alertmanager: alertmanager_server, receiver })
    }

    /// Waits until a query finds something.
    pub(crate) async fn sees(&self, query: &str) {
        let seen = async {
            while self.prometheus.value(query).await.is_none() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(SOON, seen).await.unwrap_or_else(|_| panic!("nothing for {query}"));
    }

    /// Waits until each of these alerts fires and is held back, because another one says more.
    pub(crate) async fn holds_back(&self, symptoms: &[(&str, &[(&str, &str)])]) {
        let held_back = async {
            loop {
                let alerts = self.alertmanager.get("/api/v2/alerts", &[("inhibited", "true")]).await;
                let held = |name: &str, labels: &[(&str, &str)]| {
                    alerts.as_array().into_iter().flatten().any(|alert| {
                        alert["labels"]["alertname"] == name
                            && labels.iter().all(|(label, value)| alert["labels"][*label] == *value)
                            && alert["status"]["state"] == "suppressed"
                    })
                };
                if symptoms.iter().all(|(name, labels)| held(name, labels)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let waited = tokio::time::timeout(SOON, held_back).await;
        waited.unwrap_or_else(|_| panic!("not all fire and are held back: {symptoms:?}"));
    }
}

/// Whether it says that this alert is `firing` or `resolved`.
pub(crate) fn is(told: &Told, name: &str, status: &str) -> bool {
    told.1["labels"]["alertname"] == name && told.1["status"] == status
}
