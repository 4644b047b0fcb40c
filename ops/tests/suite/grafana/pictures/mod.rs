//! Pictures of the dashboards for people who read about them: drawn from the dashboards' own queries against a real
//! Prometheus that scraped the real service under a drive. `scripts/pictures` draws them.

mod chart;
mod page;
mod units;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ops::grafana::FOLDER;
use serde_json::Value;
use testkit::prometheus::{Prometheus, encoded};

use crate::harness::dashboards::{self, Chosen, Dashboard, list, replaced};
use crate::harness::drive::Drive;
use crate::harness::objectives;
use crate::harness::outside::Front;
use crate::harness::stage::Stage;

/// What the pictures show.
const SHOWN: Duration = Duration::from_secs(90);
/// Before it, the rates come to rest.
const WARM_UP: Duration = Duration::from_secs(15);
/// How long the service is driven: a little longer than it is looked at.
const DRIVEN: Duration = Duration::from_secs(120);
/// In the middle of it the load balancer has no healthy target, which only the canary sees.
const OUTAGE: Duration = Duration::from_secs(12);
/// Scrapes come each second.
const RATE_INTERVAL: &str = "10s";
/// A picture is part of a page that people load.
const BYTES_MAX: u64 = 200_000;

/// What the pictures were drawn from.
const DIGESTS: &str = "docs/images/digests.txt";

/// One line of a graph.
pub(super) struct Series {
    pub(super) name: String,
    /// Seconds since 1970, and the value.
    pub(super) points: Vec<(f64, f64)>,
}

fn path(uid: &str) -> PathBuf {
    testkit::root().join(format!("docs/images/{uid}.png"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "writes docs/images: run scripts/pictures"]
async fn every_dashboard_is_drawn() {
    let Some(chromium) = testkit::program("chromium") else { return testkit::skip("chromium") };
    let Some(mut stage) = Stage::start().await else { return };
    // One after the other: hashing passwords takes all the CPU there is.
    let mut ready = Vec::new();
    for instance in &stage.instances {
        for synthetic in [None, None, None, Some("load"), Some("canary")] {
            let mut drive = Drive::new(&instance.api, synthetic);
            drive.journey().await;
            ready.push((drive, synthetic));
        }
    }
    stage.outside.canary_starts().await; // which may have to be built first
    let mut drives = tokio::task::JoinSet::new();
    for (at, (drive, synthetic)) in ready.into_iter().enumerate() {
        if at % 5 == 0 {
            drives.spawn(fail(drive))
        } else {
            drives.spawn(work(drive, synthetic))
        };
    }
    tokio::time::sleep(WARM_UP + SHOWN / 2).await;
    stage.outside.change(Front::Broken);
    tokio::time::sleep(OUTAGE).await;
    stage.outside.change(Front::Good);
    tokio::time::sleep(SHOWN / 2 - OUTAGE).await;
    let now = stage.prometheus.query("time()")[0].1;
    drives.join_all().await;
    for dashboard in dashboards::all() {
        println!("{}", draw(&dashboard, &stage.prometheus, now, &chromium));
    }
    std::fs::write(testkit::root().join(DIGESTS), digests()).expect("written");
}

/// What each picture was drawn from, a line each: the digest of the dashboard's file, and its name.
fn digests() -> String {
    let files = ops::grafana::rendered(&objectives()).into_iter().filter(|file| file.path.starts_with(FOLDER));
    files.map(|file| format!("{:016x}  {}\n", digest(&file.text), file.path)).collect()
}

/// FNV-1a of 64 bits: it tells a text from another one, which is all it is for.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Works on tasks until the time is over: hasty as a load test, or with pauses as people.
async fn work(mut drive: Drive, synthetic: Option<&'static str>) {
    let start = Instant::now();
    while start.elapsed() < DRIVEN {
        drive.tasks().await;
        let pause = match synthetic {
            Some("load") => 150,
            Some(_) => 5000,
            None => 300 + (start.elapsed().as_secs() % 30) * 20,
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// A failure now and then.
async fn fail(mut drive: Drive) {
    let start = Instant::now();
    while start.elapsed() < DRIVEN {
        drive = tokio::task::spawn_blocking(move || {
            drive.stall();
            drive
        })
        .await
        .expect("it ends");
    }
}

/// Writes a dashboard's picture; what became of it.
fn draw(dashboard: &Dashboard, prometheus: &Prometheus, now: f64, chromium: &Path) -> String {
    let mut chosen = dashboard.all_chosen();
    if dashboard.uid == "task-api-load" {
        chosen.insert("synthetic".to_owned(), "load".to_owned());
    }
    let panels: Vec<_> = dashboard.panels().into_iter().collect();
    let data: Vec<Vec<Series>> = panels.iter().map(|panel| series(panel, &chosen, prometheus, now)).collect();
    if data.iter().all(Vec::is_empty) {
        return format!("{}: nothing in this run emits what it shows", dashboard.uid);
    }
    // The page stays there, to be looked at when the picture is not as it should be.
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (html, height) = page::html(&dashboard.json, &panels, &data);
    let (source, target) = (directory.join(format!("{}.html", dashboard.uid)), path(&dashboard.uid));
    std::fs::write(&source, html).expect("written");
    std::fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
    let output = Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-background-networking",
            "--disable-lcd-text",
        ])
        .arg(format!("--user-data-dir={}", directory.join("chromium").display()))
        .arg(format!("--window-size={},{height}", page::WIDTH))
        .arg(format!("--screenshot={}", target.display()))
        .arg(format!("file://{}", source.display()))
        .output()
        .expect("chromium starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = std::fs::metadata(&target).expect("a picture").len();
    assert!(bytes < BYTES_MAX, "{} has {bytes} bytes", target.display());
    format!("{}: {bytes} bytes", target.display())
}

/// What a panel shows: each line of each query over the time of the drive.
fn series(panel: &Value, chosen: &Chosen, prometheus: &Prometheus, now: f64) -> Vec<Series> {
    let window = (now - SHOWN.as_secs_f64(), now);
    let mut found = Vec::new();
    for target in list(&panel["targets"]) {
        let expression = target["expr"].as_str().expect("a query");
        let range = format!("{}s", SHOWN.as_secs());
        let expression = replaced(expression, chosen, RATE_INTERVAL, &range);
        let expression = encoded(&expression);
        let data = if target["instant"] == true {
            prometheus.api(&format!("query?query={expression}&time={now:.3}"))
        } else {
            let (start, end) = (window.0, window.1);
            prometheus.api(&format!("query_range?query={expression}&start={start:.3}&end={end:.3}&step=2"))
        };
        let legend = target["legendFormat"].as_str().expect("a legend");
        for series in list(&data["result"]) {
            let point = |pair: &Value| Some((pair[0].as_f64()?, pair[1].as_str()?.parse::<f64>().ok()?));
            let points = list(&series["values"])
                .iter()
                .chain(series.get("value"))
                .filter_map(point)
                .filter(|(_, value)| value.is_finite());
            let points: Vec<_> = points.collect();
            if !points.is_empty() {
                found.push(Series { name: named(legend, &series["metric"]), points });
            }
        }
    }
    found
}

/// The legend with its labels: `{{instance}}`.
fn named(legend: &str, labels: &Value) -> String {
    labels.as_object().into_iter().flatten().fold(legend.to_owned(), |name, (label, value)| {
        name.replace(&format!("{{{{{label}}}}}"), value.as_str().unwrap_or_default())
    })
}

#[test]
fn every_picture_is_small_and_shown_in_the_readme_and_of_the_dashboard_as_it_is() {
    let readme = std::fs::read_to_string(testkit::root().join("README.md")).expect("the README");
    let pictures = dashboards::all().into_iter().map(|dashboard| dashboard.uid).filter(|uid| path(uid).exists());
    let pictures: Vec<String> = pictures.collect();
    assert!(pictures.len() >= 7, "{pictures:?}");
    for uid in pictures {
        let bytes = std::fs::read(path(&uid)).expect("a picture");
        assert!(bytes.starts_with(b"\x89PNG") && (bytes.len() as u64) < BYTES_MAX, "{uid}: {} bytes", bytes.len());
        let shown = readme.split("![").skip(1).filter_map(|rest| Some(rest.split_once("](")?.1.split_once(')')?.0));
        let path = format!("docs/images/{uid}.png");
        assert!(shown.into_iter().any(|shown| shown == path), "the README does not show {uid}");
    }
    let drawn = std::fs::read_to_string(testkit::root().join(DIGESTS)).unwrap_or_default();
    assert_eq!(drawn, digests(), "left: what the pictures were drawn from. Draw them anew with scripts/pictures");
}
