//! The other alerts on the objectives: nothing to count, nothing left.

use std::fmt::Write;

use slo::{Severity, Slo};

use super::alert::{self, Alert, Case, FOLDER, Firing, of_objective};
use super::history::{History, Stretch};
use super::recording::base;
use super::sli::{SERVICE, all};
use super::yaml::{comment, number, percent, single};
use crate::tree::Rendered;

/// The file they stand in.
const TOPIC: &str = "slo";

/// Minutes without an indicator before somebody is told.
const ABSENT_MINUTES: u64 = 10;

/// The alerts.
pub(super) fn alerts(slo: &Slo) -> Vec<Alert> {
    vec![absent(slo), exhausted(slo)]
}

fn absent(slo: &Slo) -> Alert {
    let record = format!("slo:sli_error:ratio_rate{}", base(slo));
    let slis = all(slo);
    let one = |matcher: String| format!("absent({record}{{sloth_service=\"{SERVICE}\",{matcher}}})");
    let expr: Vec<String> = slis.iter().map(|sli| one(sli.matcher())).collect();
    let series: Vec<(String, String)> = slis
        .iter()
        .map(|sli| format!("{record}{{sloth_service=\"{SERVICE}\",{}}}", sli.matcher()))
        .enumerate()
        .map(|(index, name)| (name, if index == 0 { "0x5 _x20 0x20".to_owned() } else { "0x60".to_owned() }))
        .collect();
    let series: Vec<(&str, &str)> = series.iter().map(|(name, values)| (name.as_str(), values.as_str())).collect();
    let fires = Firing::new(1.0, &[("sloth_service", SERVICE), ("sloth_slo", slis[0].slo)]);
    Alert {
        name: "SliAbsent".to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Ticket,
        summary: "An objective cannot be judged because nothing is counted.".to_owned(),
        description: format!(
            "[[0]] error ratio is missing: for {ABSENT_MINUTES}m there has been none of [[label:sloth_slo]]. Its burn \
             rate alerts are blind, and would stay silent whatever users notice."
        ),
        expr: expr.join("\nor\n"),
        wait: Some(ABSENT_MINUTES),
        dashboard: "task-api-slo",
        symptom: true,
        cases: vec![
            Case::new(
                "fires 10 minutes after an indicator is gone, and resolves with its return",
                "The last sample of one objective is at minute 5. Prometheus believes it up to and with minute 10, so \
                 it is absent from minute 11 and the alert fires at 11 + 10 = 21. The samples return at minute 26.",
                &series,
                &[(20, None), (21, fires.clone()), (25, fires), (26, None)],
            ),
            Case::new(
                "is silent while all are there",
                "The first objective is what the case above takes away; the others never stop.",
                &series,
                &[(10, None)],
            ),
        ],
    }
}

fn exhausted(slo: &Slo) -> Alert {
    let record = "slo:period_error_budget_remaining:ratio";
    let slis = all(slo);
    let labels = [("sloth_id", slis[0].id()), ("sloth_slo", slis[0].slo.to_owned())];
    let series = format!("{record}{{sloth_id=\"{}\",sloth_slo=\"{}\"}}", labels[0].1, labels[1].1);
    let events = format!("slo:sli_total:increase{}", slo.window);
    let (total, budget) = (series.replace(record, &events), series.replace(record, "slo:error_budget:ratio"));
    let few = 1000 * u64::from(slo.guard_failures) - 500;
    let (enough, overdrawn) = (format!("{}x9", few + 1000), format!("{}x9", number(1.0 - 1000.0 / few as f64 * 10.0)));
    let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Alert {
        name: "ErrorBudgetExhausted".to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Ticket,
        summary: "Nothing is left of an error budget.".to_owned(),
        description: format!(
            "[[percent]] of the budget of [[label:sloth_slo]] is left over {}, the threshold is 0%. What was promised \
             is not kept; users have noticed it already.",
            slo.window
        ),
        // Soon after a fresh start one failure among the first requests is more than their budget.
        expr: format!(
            "{record}{{sloth_slo!=\"\"}} <= 0\nand on (sloth_slo)\n{events}{{sloth_slo!=\"\"}}\n  * on (sloth_slo) \
             slo:error_budget:ratio{{sloth_slo!=\"\"}} >= {}",
            slo.guard_failures
        ),
        wait: None,
        dashboard: "task-api-slo",
        symptom: false,
        cases: vec![
            Case::new(
                "fires when nothing is left",
                "0.03 less by 0.01 a minute is 0 at minute 3, and below at minute 4.",
                &[(&series, "0.03 0.02 0.01 0 -0.01 0.001"), (&total, &enough), (&budget, "0.001x9")],
                &[(3, Firing::new(0.0, &labels)), (4, Firing::new(-0.01, &labels))],
            ),
            Case::new(
                "is silent while a hundredth is left, and resolves once a thousandth is",
                "As above: 0.01 at minute 2. At minute 5 some bad hours have left the window.",
                &[(&series, "0.03 0.02 0.01 0 -0.01 0.001"), (&total, &enough), (&budget, "0.001x9")],
                &[(2, None), (5, None)],
            ),
            Case::new(
                "is silent for a failure among the first requests",
                &format!(
                    "One of {few} failed, which overdraws the budget of 0.1% of them; it takes as many that {} may fail.",
                    slo.guard_failures
                ),
                &[(&series, &overdrawn), (&total, &format!("{few}x9")), (&budget, "0.001x9")],
                &[(0, None), (9, None)],
            ),
        ],
    }
}

/// The test of the budget: a busy good hour and a quiet bad one, which an average of ratios would weigh alike.
pub(super) fn rendered_weights(slo: &Slo) -> Rendered {
    const STEP: u64 = 5;
    const HOUR: u64 = 60;
    let topics: Vec<String> = all(slo).iter().map(|sli| of_objective(sli.slo)).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut text = alert::head(&topics, STEP);
    for sli in all(slo) {
        // In the quiet hour one of 10 is bad; 1000 times as many come in the busy one, and all of them are good.
        let history = History(vec![
            Stretch { minutes: HOUR, rate: 1000.0, bad: 0.0 },
            Stretch { minutes: HOUR, rate: 1.0, bad: 0.1 },
        ]);
        let end = history.minutes();
        let ratio = 6.0 / 60_060.0;
        let why = format!(
            "60000 come within a good hour, 60 within a bad one, of which 6 are bad: 6 / 60060 = {}, in place of the \
             5% that an average of both hours would say. Of the budget of {} that leaves 1 - {} / {}.",
            percent(ratio),
            percent(sli.budget()),
            percent(ratio),
            percent(sli.budget())
        );
        text.push_str(&comment(&why, 2));
        let _ = write!(
            text,
            "  - name: \"the budget of {} weighs hours by their traffic\"\n    interval: 1m\n    input_series:\n",
            sli.slo
        );
        for (series, values) in history.series(&sli) {
            let _ = write!(text, "      - series: {}\n        values: {values}\n", single(&series));
        }
        let left = 1.0 - ratio / sli.budget();
        let expectations = [
            ("slo:period_error_budget_remaining:ratio", left, 1e4),
            ("slo:period_burn_rate:ratio", ratio / sli.budget(), 1e4),
            ("slo:objective:ratio", sli.objective, 1e6),
        ];
        text.push_str("    promql_expr_test:\n");
        for (record, value, digits) in expectations {
            // promtool compares exactly, so both sides are rounded.
            let _ = write!(
                text,
                "      - expr: round(sum({record}{{{}}}) * {digits})\n        eval_time: {end}m\n        \
                 exp_samples:\n          - labels: '{{}}'\n            value: {}\n",
                sli.matcher(),
                number((value * digits).round())
            );
        }
    }
    Rendered { path: format!("{FOLDER}/tests/budget.yml"), text }
}
