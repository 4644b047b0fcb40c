//! Prometheus and Alertmanager: recording and alert rules, their tests, runbooks.

mod alert;
mod alertmanager;
mod burn;
mod canary;
mod check;
mod foreign;
mod history;
mod monitoring;
mod objectives;
mod pipeline;
mod quiet;
pub mod recording;
pub mod runbook;
mod scrape;
mod service;
mod sli;
mod yaml;

pub use alert::{Alert, Case, FOLDER, case_path};
pub(crate) use service::BUSY_MAX;
pub use sli::Sli;
pub(crate) use sli::{USERS, edge};

use std::collections::{BTreeMap, BTreeSet};

use slo::Slo;

use crate::catalogue::Catalogue;
use crate::tree::{Item, Problem, Rendered, Tree};

/// Every alert rule, in the order of its file.
pub fn alerts(slo: &Slo) -> Vec<Alert> {
    let mut alerts = burn::alerts(slo);
    alerts.extend(objectives::alerts(slo));
    alerts.extend(quiet::alerts(slo));
    alerts.extend(service::alerts(slo));
    alerts.extend(pipeline::alerts());
    alerts.extend(canary::alerts(slo));
    alerts.extend(monitoring::alerts());
    alerts
}

/// The objectives as what is counted.
pub fn objectives(slo: &Slo) -> Vec<Sli> {
    sli::all(slo)
}

/// The files.
pub fn rendered(slo: &Slo) -> Vec<Rendered> {
    let alerts = alerts(slo);
    let mut files = vec![alertmanager::rendered(&alerts), scrape::rendered(slo)];
    files.extend(alert::rendered(slo, &alerts));
    files.extend(alert::rendered_tests(slo, &alerts));
    files.push(objectives::rendered_weights(slo));
    files
}

/// What is wrong with the files of a tree.
pub fn problems(tree: &Tree, slo: &Slo, catalogue: &Catalogue) -> Vec<Problem> {
    check::problems(tree, slo, catalogue)
}

/// What `ops list` prints.
pub fn items(slo: &Slo) -> Vec<Item> {
    let mut items = recording::items(slo);
    items.extend(alerts(slo).into_iter().map(|alert| Item {
        kind: "alert",
        summary: format!("[{}] {}", alert.severity.as_str(), alert.summary),
        file: alert::path(&alert.topic),
        name: alert.name,
    }));
    items
}

/// The series that our code does not emit and an expression may still name, with their labels besides the target's:
/// those of recording rules and of other programs.
pub fn others(slo: &Slo) -> BTreeMap<String, BTreeSet<String>> {
    foreign::series(slo)
}
