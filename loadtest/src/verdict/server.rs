//! The target's own numbers beside the client's.

use super::{Limits, Outcome, Rule, holds, millis, rule, samples_min};
use crate::drive::Measured;
use crate::exposition::{Buckets, Snapshot};
use crate::profile::Operation;
use crate::record::quantile;

/// Largest difference between the client's and the server's counts.
const COUNT_DIFFERENCE_MAX: f64 = 0.005;

/// The rules over it; one that says why, when there is none.
pub(super) fn rules(limits: &Limits, measured: &Measured) -> Vec<Rule> {
    let view = match &measured.server {
        Ok(view) => view,
        Err(unseen) => {
            // Who was there at the start and not at the end has more to hide than who was never asked.
            let wanted = limits.metrics_wanted || unseen.lost;
            let (outcome, limit) = (if wanted { Outcome::Invalid } else { Outcome::Skipped }, "metrics".to_owned());
            let is = if unseen.lost { "lost in the middle of the run" } else { "not read" }.to_owned();
            return vec![rule("server's view", "server", outcome, limit, is, &unseen.why)];
        }
    };
    // A target that does not say when it started is 0 both times, and has not shown that it is the same process.
    let started = view.before.started;
    let same_process = started > 0.0 && (started - view.after.started).abs() < 1.0;
    let mut rules = vec![
        Rule {
            trust: true,
            ..rule(
                "same version",
                "server",
                if view.before.build == view.after.build && view.before.build == view.warm.build {
                    Outcome::Pass
                } else {
                    Outcome::Invalid
                },
                view.before.build.clone(),
                view.after.build.clone(),
                "",
            )
        },
        rule(
            "no restart",
            "server",
            holds(same_process),
            "same process".to_owned(),
            if same_process {
                "same process"
            } else if started > 0.0 {
                "started again"
            } else {
                "does not say when it started"
            }
            .to_owned(),
            "",
        ),
    ];
    rules.extend(counts(measured, &view.after.since(&view.before)));
    let during = view.after.since(&view.warm);
    rules.push(database(limits, &during.database));
    let routes: Vec<_> = measured.sent.iter().map(|(operation, _)| operation.route()).collect();
    rules.extend(not_faster(measured, &during.together(&routes)));
    rules
}

fn counts(measured: &Measured, since: &Snapshot) -> Vec<Rule> {
    let mut routes: Vec<(&str, &str)> = Operation::ALL.map(Operation::route).to_vec();
    routes.sort_unstable();
    routes.dedup();
    let of = |route: (&str, &str)| {
        let own = measured.sent.iter().filter(|(operation, _)| operation.route() == route);
        own.map(|(_, count)| *count).sum::<u64>()
    };
    let judge = |about: &str, client: u64, server: f64| {
        let difference = (server - client as f64).abs() / (client as f64).max(1.0);
        let limit = format!("within {:.1} %", COUNT_DIFFERENCE_MAX * 100.0);
        let note = "it counts wrongly, or there is other traffic, or more than one instance";
        let good = difference <= COUNT_DIFFERENCE_MAX;
        let is = format!("client {client}, server {server:.0}");
        rule("counts agree", about, holds(good), limit, is, if good { "" } else { note })
    };
    let used = routes.into_iter().filter(|route| of(*route) > 0);
    used.map(|route| judge(&format!("{} {}", route.0, route.1), of(route), since.count(route))).collect()
}

fn database(limits: &Limits, database: &Buckets) -> Rule {
    let fast = limits.database_fast;
    let (name, limit) = (format!("database p{}", percent(fast)), format!("<= {}", millis(limits.database)));
    let (name, count, needed) = (name.as_str(), database.count(), samples_min(fast));
    if count < needed as f64 {
        let note = format!("{count:.0} operations, it takes {needed}");
        return rule(name, "server", Outcome::Invalid, limit, "too few samples".to_owned(), &note);
    }
    match database.within(limits.database) {
        Some(within) => {
            let share = within / count;
            let is = format!("{:.2} % within it", share * 100.0);
            rule(name, "server", holds(share >= fast), limit, is, &bracket(database, fast))
        }
        None => {
            let note = "the objective is no edge of the target's histogram";
            rule(name, "server", Outcome::Invalid, limit, "not counted".to_owned(), note)
        }
    }
}

/// A share from 0 to 1 as the name of a percentile: 99, 99.9.
fn percent(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn bracket(buckets: &Buckets, at: f64) -> String {
    let name = percent(at);
    match buckets.bracket(at) {
        Some((low, high)) if high.is_finite() => format!("p{name} between {} and {}", millis(low), millis(high)),
        Some((low, _)) => format!("p{name} over {}", millis(low)),
        None => String::new(),
    }
}

/// Whoever waits for an answer cannot see it before it is there. A client that does has measured something else.
fn not_faster(measured: &Measured, server: &Buckets) -> Option<Rule> {
    let (low, _) = server.bracket(0.99)?;
    let client = quantile(&measured.record.all.latency, 0.99);
    let outcome = if client >= low { Outcome::Pass } else { Outcome::Invalid };
    let limit = format!(">= {}", millis(low));
    Some(Rule {
        trust: true,
        ..rule("client p99 not below server's", "server", outcome, limit, millis(client), &bracket(server, 0.99))
    })
}

#[cfg(test)]
mod tests;
