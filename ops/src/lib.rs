//! Everything on call that follows from `slo.toml` and the catalogue: Prometheus rules, CloudWatch alarms, dashboards,
//! runbooks. What can be computed is rendered; what people write is checked against what is really emitted.
//!
//! Each part has the same three functions: `rendered` (files), `problems` (what is wrong with the files of a tree) and
//! `items` (what `ops list` prints).

pub mod catalogue;
pub mod cloudwatch;
pub mod grafana;
pub mod prometheus;
pub mod promql;
pub mod reference;
pub mod tree;

use catalogue::Catalogue;
use slo::Slo;
use tree::{Item, Problem, Rendered, Tree};

/// Every file that follows from the objectives, in the order of their paths.
pub fn rendered(slo: &Slo) -> Vec<Rendered> {
    let mut files = prometheus::rendered(slo);
    files.extend(cloudwatch::rendered(slo));
    files.extend(grafana::rendered(slo));
    files.extend(reference::rendered());
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// All that is wrong with a tree: files that differ from what is rendered, and files that name what nobody emits.
pub fn problems(tree: &Tree, slo: &Slo, catalogue: &Catalogue) -> Vec<Problem> {
    let mut problems: Vec<Problem> = rendered(slo).iter().filter_map(|file| tree.difference(file)).collect();
    problems.extend(prometheus::problems(tree, slo, catalogue));
    problems.extend(cloudwatch::problems(tree, slo, catalogue));
    problems.extend(grafana::problems(tree, slo, catalogue));
    problems
}

/// Every objective, alert, alarm and panel, with its file.
pub fn items(slo: &Slo) -> Vec<Item> {
    let mut items = prometheus::items(slo);
    items.extend(cloudwatch::items(slo));
    items.extend(grafana::items(slo));
    items
}
