//! Grafana: the dashboards and their provisioning. `boards` says what they show, `lint` what must hold for each file.

pub mod board;
mod boards;
mod lint;
pub mod look;
pub mod model;
pub mod panel;
pub mod provisioning;
pub mod reads;
pub mod variables;

use std::collections::BTreeSet;

use slo::Slo;

use crate::catalogue::Catalogue;
use crate::tree::{Item, Problem, Rendered, Tree};

/// Where the dashboards are.
pub const FOLDER: &str = "dashboards/grafana";

/// What all of them have in common: they link to each other by it.
const TAG: &str = "task-api";

/// The files.
pub fn rendered(slo: &Slo) -> Vec<Rendered> {
    let file = |board: board::Board| Rendered { path: board.path(), text: json(&board.model(slo)) };
    boards::all(slo).into_iter().map(file).chain(provisioning::rendered()).collect()
}

/// What is wrong with the files of a tree.
pub fn problems(tree: &Tree, slo: &Slo, catalogue: &Catalogue) -> Vec<Problem> {
    lint::problems(tree, slo, catalogue)
}

/// What `ops list` prints.
pub fn items(slo: &Slo) -> Vec<Item> {
    let of_board = |board: board::Board| {
        let (title, file) = (board.title, board.path());
        let panels = board.sections.into_iter().flat_map(|(_, panels)| panels);
        let item = move |panel: panel::Panel| Item {
            kind: "panel",
            name: format!("{title}: {}", panel.title()),
            summary: panel.summary().to_owned(),
            file: file.clone(),
        };
        panels.map(item).collect::<Vec<_>>()
    };
    boards::all(slo).into_iter().flat_map(of_board).collect()
}

/// The uids of the dashboards: what addresses can lead to.
pub(crate) fn uids(slo: &Slo) -> BTreeSet<&'static str> {
    boards::all(slo).into_iter().map(|board| board.uid).collect()
}

#[expect(clippy::expect_used, reason = "every key of the model is a string and every number is finite")]
fn json(dashboard: &model::Dashboard) -> String {
    serde_json::to_string_pretty(dashboard).expect("the model is JSON") + "\n"
}
