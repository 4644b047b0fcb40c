//! The whole chain: the service on a real PostgreSQL, scraped by Prometheus with the rendered rules, which hands
//! alerts to Alertmanager with the rendered routes, which calls somebody. Only the clock is faster: a minute is a
//! second.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::postgres::{Database, Options, Private};
use testkit::process::{Builder, Process};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::servers::Told;
use super::watch::{SOON, Watch, is};
use crate::tree::objectives;

const REQUEST_INTERVAL: Duration = Duration::from_millis(20);
const REQUESTS_AT_ONCE: usize = 50;

struct Chain {
    watch: Watch,
    // These end in this order: the service first, its database last.
    service: Process,
    _database: Database,
    cluster: Private,
}

impl Chain {
    /// Everything up, and Prometheus sees the service. `None` where a server is not installed.
    async fn start() -> Option<Self> {
        let cluster = Private::start(Options::default())?;
        let database = cluster.create_empty_database();
        let service = Builder::task_api()
            .env("DATABASE_URL", &database.url)
            .env("AUTO_MIGRATE", "true")
            .env("JWT_SECRET", "a key of this test that is long enough")
            .serve()
            .await;
        let admin = service.address("admin").await.replace("http://", "");

        let watch = Watch::start(&objectives(), &[("task-api", admin)]).await?;
        let chain = Self { watch, service, _database: database, cluster };
        chain.watch.sees("up{job=\"task-api\"} == 1").await;
        Some(chain)
    }

    /// Starts to read tasks, fifty times a second, until the handle is aborted.
    async fn traffic(&self) -> JoinHandle<()> {
        let api = self.service.address("api").await;
        let client = reqwest::Client::new();
        let user = json!({"email": "ann@example.com", "password": "correct horse battery", "name": "Ann"});
        let registered =
            client.post(format!("{api}/api/v1/auth/register")).json(&user).send().await.expect("an answer");
        let registered: Value = registered.json().await.expect("JSON");
        let token = registered["access_token"].as_str().expect("a token").to_owned();
        let room = Arc::new(Semaphore::new(REQUESTS_AT_ONCE));
        tokio::spawn(async move {
            let mut clock = tokio::time::interval(REQUEST_INTERVAL);
            loop {
                clock.tick().await;
                let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
                let request = client.get(format!("{api}/api/v1/tasks")).bearer_auth(&token);
                tokio::spawn(async move {
                    let _ = request.send().await; // how it ends is what the service counts
                    drop(place);
                });
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stops_pages_somebody_and_its_return_takes_the_page_back() {
    let Some(chain) = Chain::start().await else { return };
    let traffic = chain.traffic().await;
    // The page needs enough requests, and none came before these.
    chain.watch.sees("slo:sli_total:increase1h{sloth_slo=\"requests-availability\"} > 500").await;
    assert_eq!(
        chain.watch.prometheus.value("slo:sli_error:ratio_rate5m{sloth_slo=\"requests-availability\"}").await,
        Some(0.0)
    );
    // On a machine that is busy with other tests requests may be slow, but none of them fails.
    let told = chain.watch.receiver.told();
    assert!(!told.iter().any(|told| is(told, "AvailabilityBurnFast", "firing")), "{told:#?}");

    chain.cluster.stop_fast();
    let (path, page) = chain
        .watch
        .receiver
        .waits_for("the page", SOON, |told| {
            is(told, "AvailabilityBurnFast", "firing") && told.1["labels"]["sloth_window"] == "1h"
        })
        .await;
    assert_eq!(path, "/page");
    assert_eq!(page["labels"]["severity"], "page");
    let description = page["annotations"]["description"].as_str().unwrap_or_default();
    assert!(
        description.contains("of the requests ended with a 5xx") && !description.contains("<no value>"),
        "{description}"
    );
    assert_eq!(page["annotations"]["runbook_url"], "https://runbooks.example.com/task-api/AvailabilityBurnFast.md");

    chain.cluster.start_again();
    chain
        .watch
        .receiver
        .waits_for("the all-clear", SOON, |told| {
            is(told, "AvailabilityBurnFast", "resolved") && told.1["labels"]["sloth_window"] == "1h"
        })
        .await;
    traffic.abort();
    // What the alerts on Prometheus and Alertmanager compare is there: a name of theirs that changed would be silence.
    for series in [
        "alertmanager_notifications_failed_total{job=\"alertmanager\",integration=\"webhook\"}",
        "prometheus_rule_evaluation_failures_total{job=\"prometheus\",rule_group!=\"\"}",
        "prometheus_notifications_dropped_total{job=\"prometheus\"}",
    ] {
        chain.watch.sees(series).await;
    }
    // The dead man's switch went its own way all the time.
    let told = chain.watch.receiver.told();
    assert!(told.iter().any(|told| told.0 == "/heartbeat" && is(told, "Watchdog", "firing")), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_gone_pages_once_and_its_symptoms_are_silent() {
    let Some(mut chain) = Chain::start().await else { return };
    chain.watch.sees("slo:sli_error:ratio_rate5m{sloth_slo=\"requests-availability\"}").await;
    chain.service.kill9();
    let (path, _) = chain.watch.receiver.waits_for("the page", SOON, |told| is(told, "TaskApiDown", "firing")).await;
    assert_eq!(path, "/page");

    // They fire as well, and are held back.
    let absent: &[_] = &[("sloth_slo", "requests-availability")];
    chain.watch.holds_back(&[("TargetDown", &[]), ("SliAbsent", absent)]).await;
    let told = chain.watch.receiver.told();
    assert!(!told.iter().any(|told| is(told, "TargetDown", "firing")), "{told:#?}");
    let absent =
        |told: &Told| is(told, "SliAbsent", "firing") && told.1["labels"]["sloth_slo"] == "requests-availability";
    assert!(!told.iter().any(absent), "{told:#?}");
    let pages: Vec<&Value> =
        told.iter().filter(|told| told.0 == "/page").map(|told| &told.1["labels"]["alertname"]).collect();
    assert!(pages.iter().all(|name| **name == "TaskApiDown"), "{pages:?}");
}
