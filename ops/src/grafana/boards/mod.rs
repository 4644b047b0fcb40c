//! The dashboards, a file each.

mod canary;
mod database;
mod load;
mod objectives;
mod overview;
mod runtime;
mod telemetry;

use slo::Slo;

use super::board::Board;

/// All of them, in the order in which people need them.
pub(super) fn all(slo: &Slo) -> Vec<Board> {
    vec![
        overview::board(slo),
        objectives::board(slo),
        database::board(slo),
        runtime::board(),
        telemetry::board(slo),
        canary::board(slo),
        load::board(slo),
    ]
}

/// A share as people say it: 0.99 is `99 %`.
fn percent(share: f64) -> String {
    format!("{} %", super::panel::tidy(share * 100.0))
}
