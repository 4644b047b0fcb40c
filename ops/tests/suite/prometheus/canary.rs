//! The alerts of the look from outside, live: a real canary in front of a real load balancer, up to whom it calls. The canary
//! has an interval of four minutes here: on this clock that is 4 s, in which a run fits on a busy machine.

use std::time::Duration;

use serde_json::Value;
use testkit::process::{Builder, Process};

use super::watch::{SOON, Watch, is};
use crate::harness::outside::{Front, Outside};
use crate::harness::stage::SYNTHETIC_SECRET;
use crate::tree::changed;

const INTERVAL: &str = "4s";
/// As objectives have it.
const INTERVAL_UNSCALED: &str = "interval = \"4m\"";
/// As Prometheus asks for what fires.
const FIRING: &str = "ALERTS{alertstate=\"firing\",alertname=~\"CanaryFailing|CanarySilent|CertificateNearExpiry\"}";

/// Service, load balancer, canary, and those who watch.
struct Chain {
    watch: Watch,
    outside: Outside,
    _service: Process,
}

impl Chain {
    /// Everything up, runs succeed, and nothing fires. `None` where a server is not installed. `number` is the last one of
    /// the load balancer's first address: tests run at once.
    async fn start(number: u8) -> Option<Self> {
        let service = Builder::task_api().env("SYNTHETIC_SECRET", SYNTHETIC_SECRET).serve().await;
        let admin = service.address("admin").await.replace("http://", "");
        let mut outside = Outside::start(&[service.address("api").await], number, INTERVAL).await?;
        outside.canary_starts().await;
        let targets = [("task-api", admin), ("canary", outside.metrics.to_string())];
        let watch = Watch::start(&changed("interval = \"1m\"", INTERVAL_UNSCALED), &targets).await?;
        watch.sees("sum(increase(canary_runs_total{job=\"canary\",outcome=\"ok\"}[20s])) >= 2").await;
        watch.sees(&format!("absent({FIRING})")).await;
        // Silence may have been told before the first scrapes; nothing else had a reason.
        let told = watch.receiver.told();
        let fired = |name: &str| told.iter().any(|told| is(told, name, "firing"));
        assert!(!fired("CanaryFailing") && !fired("CertificateNearExpiry"), "{told:#?}\n{}", outside.said());
        Some(Self { watch, outside, _service: service })
    }

    /// Waits until somebody is told of this alert, not counting what was told before.
    async fn tells(&self, before: usize, name: &str, status: &str, at: &str) -> Value {
        let what = format!("{name} {status}");
        let receiver = &self.watch.receiver;
        let (path, alert) = receiver.waits_for_after(before, &what, SOON, |told| is(told, name, status)).await;
        assert_eq!(path, at, "{alert}");
        let description = alert["annotations"]["description"].as_str().expect("a description");
        assert!(!description.is_empty() && !description.contains("<no value>"), "{description}");
        assert_eq!(
            alert["annotations"]["runbook_url"],
            format!("https://runbooks.example.com/task-api/{name}.md").as_str()
        );
        alert
    }

    fn told(&self) -> usize {
        self.watch.receiver.told().len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_breaks_pages_and_a_certificate_near_its_end_is_a_ticket_until_both_are_mended() {
    let Some(chain) = Chain::start(60).await else { return };
    chain.outside.change(Front::NearExpiry);
    let alert = chain.tells(0, "CertificateNearExpiry", "firing", "/ticket").await;
    let description = alert["annotations"]["description"].as_str().expect("a description");
    assert!(description.starts_with("20."), "20 days and a half are left: {description}");
    // Users are served all the same.
    let told = chain.watch.receiver.told();
    assert!(!told.iter().any(|told| is(told, "CanaryFailing", "firing")), "{told:#?}\n{}", chain.outside.said());
    // Each run is degraded now, and that it goes on is a ticket too: nobody is woken while users are served.
    chain.tells(0, "CanaryDegraded", "firing", "/ticket").await;
    let told = chain.watch.receiver.told();
    let of_the_canary =
        |alert: &Value| alert["labels"]["alertname"].as_str().is_some_and(|name| name.starts_with("Canary"));
    assert!(
        !told.iter().any(|(path, alert)| path == "/page" && of_the_canary(alert)),
        "{told:#?}\n{}",
        chain.outside.said()
    );

    // The certificate is exchanged, and what is behind it goes away.
    chain.outside.change(Front::Broken);
    chain.tells(0, "CertificateNearExpiry", "resolved", "/ticket").await;
    let page = chain.tells(0, "CanaryFailing", "firing", "/page").await;
    assert_eq!(page["labels"]["severity"], "page");

    let before = chain.told();
    chain.outside.change(Front::Good);
    chain.tells(before, "CanaryFailing", "resolved", "/page").await;
    chain.watch.sees(&format!("absent({FIRING})")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_without_a_verdict_is_a_ticket_and_one_that_is_gone_is_told_as_a_target_that_is_down() {
    let Some(mut chain) = Chain::start(62).await else { return };
    // It runs and comes to no verdict: its target is up, only that nobody looks.
    let before = chain.told();
    chain.outside.take_credentials();
    chain.tells(before, "CanarySilent", "firing", "/ticket").await;
    chain.watch.sees("increase(canary_runs_total{job=\"canary\",outcome=\"error\"}[20s]) > 0").await;
    let before = chain.told();
    chain.outside.give_credentials();
    chain.tells(before, "CanarySilent", "resolved", "/ticket").await;

    // It is gone. Prometheus knows its address, so one ticket says that, and the silence is held back.
    let before = chain.told();
    chain.outside.canary_stops();
    let down = chain.tells(before, "TargetDown", "firing", "/ticket").await;
    assert_eq!(down["labels"]["job"], "canary");
    chain.watch.holds_back(&[("CanarySilent", &[])]).await;
    tokio::time::sleep(Duration::from_secs(3)).await; // three times as long as a group waits
    let told = chain.watch.receiver.told().split_off(before);
    assert!(!told.iter().any(|told| is(told, "CanarySilent", "firing")), "{told:#?}");

    let before = chain.told();
    chain.outside.canary_starts().await;
    let up = chain.tells(before, "TargetDown", "resolved", "/ticket").await;
    assert_eq!(up["labels"]["job"], "canary");
    chain.watch.sees(&format!("absent({FIRING})")).await;
    let told = chain.watch.receiver.told();
    let failing = told.iter().filter(|told| is(told, "CanaryFailing", "firing")).count();
    assert_eq!(failing, 0, "its target was well all the time: {told:#?}");
}
