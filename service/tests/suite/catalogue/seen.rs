//! What the service has said of itself in all scenes together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use telemetry::catalogue::{Kind, METRICS};

use crate::harness::collector::{Collector, Span};
use crate::harness::process::{Process, Serving, Signal};
use crate::harness::scrape::Scrape;
use crate::signals::check_samples;

/// Everything, collected from many processes.
#[derive(Default)]
pub struct Seen(Mutex<Heard>);

/// What was heard.
#[derive(Default)]
pub struct Heard {
    /// By metric and label, the values under which something was counted; by metric and no label, where it ever was above 0.
    pub values: BTreeMap<(&'static str, &'static str), BTreeSet<String>>,
    /// Lines with an event, by it.
    pub lines: BTreeMap<String, Vec<Value>>,
    /// Spans as collectors got them.
    pub spans: Vec<Span>,
}

impl Seen {
    pub fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a scrape, which must be what the catalogue declares: its metrics, no others, with type, help and labels.
    pub fn scrape(&self, scrape: &Scrape) {
        let declared: BTreeSet<_> =
            METRICS.iter().map(|metric| (metric.name.to_owned(), metric.kind.as_str().to_owned())).collect();
        assert_eq!(scrape.types(), declared, "left: exposed; right: the catalogue");
        for metric in METRICS {
            let help = format!("# HELP {} {}\n", metric.name, metric.help);
            assert_eq!(scrape.text.matches(&help).count(), 1, "{help}");
        }
        check_samples(scrape);
        let mut heard = self.heard();
        for metric in METRICS {
            let name = match metric.kind {
                Kind::Histogram => format!("{}_count", metric.name),
                Kind::Counter | Kind::Gauge => metric.name.to_owned(),
            };
            for sample in scrape.samples.iter().filter(|sample| sample.name == name && sample.value > 0.0) {
                heard.values.entry((metric.name, "")).or_default();
                for label in metric.labels {
                    heard
                        .values
                        .entry((metric.name, label.name))
                        .or_default()
                        .insert(sample.labels[label.name].clone());
                }
            }
        }
    }

    /// Takes what a process exposes now.
    pub async fn look(&self, process: &Process) -> Scrape {
        let scrape = Scrape::of(&process.admin().await).await;
        self.scrape(&scrape);
        scrape
    }

    /// Takes log lines; those of libraries have no event and do not count.
    pub fn lines(&self, lines: impl IntoIterator<Item = Value>) {
        let mut heard = self.heard();
        for line in lines {
            if let Some(event) = line["event"].as_str() {
                heard.lines.entry(event.to_owned()).or_default().push(line);
            }
        }
    }

    /// Takes what a process exposes now, ends it, and takes all that it wrote.
    pub async fn end(&self, mut process: Process) {
        self.look(&process).await;
        process.signal(Signal::TERM);
        assert!(process.wait(super::SOON).await.success(), "{}", process.output());
        self.lines(process.logs());
    }

    /// Takes the spans that have arrived.
    pub fn spans(&self, collector: &Collector) {
        self.heard().spans.extend(collector.spans());
    }
}
