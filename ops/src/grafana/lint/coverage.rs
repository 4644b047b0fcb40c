//! Everything that is emitted can be seen: each metric and each of its labels is on some panel.

use std::collections::{BTreeMap, BTreeSet};

use telemetry::catalogue::Kind;

use super::Ground;
use super::file::{File, list, text};
use crate::grafana::{FOLDER, reads};
use crate::tree::Problem;

/// What nobody can see.
pub(super) fn problems(files: &[File], ground: &Ground<'_>) -> Vec<Problem> {
    let shown = shown(files);
    let mut problems = Vec::new();
    for (name, metric) in &ground.known.catalogue.metrics {
        let series = match metric.kind {
            Kind::Histogram => ["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}")).to_vec(),
            Kind::Counter | Kind::Gauge => vec![name.clone()],
        };
        let found: Vec<_> = series.iter().filter_map(|series| shown.get(series)).collect();
        if found.is_empty() {
            problems.push(Problem::new(FOLDER, format!("no panel shows {name}: add one in ops/src/grafana/boards")));
            continue;
        }
        for label in metric.labels.keys().filter(|label| !found.iter().any(|labels| labels.contains(*label))) {
            problems.push(Problem::new(FOLDER, format!("no panel shows the label {label} of {name}")));
        }
    }
    problems
}

/// The series that panels read, with the labels that they choose or show.
fn shown(files: &[File]) -> BTreeMap<String, BTreeSet<String>> {
    let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let panels = files.iter().flat_map(|file| file.panels().map(move |panel| (file, panel)));
    for (file, panel) in panels {
        for target in list(&panel["targets"]) {
            let Ok(expression) = file.with_names(text(&target["expr"])) else { continue };
            let reads = reads::of(&expression);
            for selector in reads.selectors {
                let labels = selector.matchers.into_iter().map(|(label, ..)| label);
                shown.entry(selector.name).or_default().extend(labels);
            }
            for (series, label) in reads.grouped {
                shown.entry(series).or_default().insert(label);
            }
        }
    }
    shown
}
