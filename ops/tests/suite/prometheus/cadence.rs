//! The burn rates of the canary at the pace of a real one: its runs are few and come by the clock, so a guard that was
//! made for the traffic of users may wait for more runs than there are.

use std::fmt::Write;

use slo::{Burn, Slo};

use super::promtool::{promtool, run, written};
use crate::tree::objectives;

const RULES: &str = "slo-canary-success";
/// Minutes for which the runs fail.
const END: u64 = 3 * 24 * 60 + 60;
/// Minutes of the days in which one fails, which is long enough for the windows that wake somebody.
const DAY: u64 = 24 * 60;

fn minutes(period: slo::Period) -> u64 {
    period.seconds() / 60
}

/// The burns that have an alert for this objective.
fn burns(slo: &Slo) -> Vec<Burn> {
    let alerts = ops::prometheus::alerts(slo);
    let has = |burn: &Burn| {
        let window = ("sloth_window", burn.long.to_string());
        alerts.iter().any(|alert| alert.topic == RULES && alert.labels.contains(&window))
    };
    slo.burn.iter().copied().filter(has).collect()
}

/// One run an interval in promtool's notation, the first at its end.
fn runs(interval: u64, count: u64, rest: u64) -> String {
    let mut values: Vec<String> = (0..count).map(|run| format!("{run}x{}", interval - 1)).collect();
    values.push(format!("{count}x{rest}"));
    values.join(" ")
}

/// A file of tests: all runs fail for days, one of them fails alone, and all are degraded for days.
fn file(slo: &Slo) -> String {
    let interval = minutes(slo.canary.interval);
    let count = END / interval;
    let series = |outcome: &str| format!("canary_runs_total{{job=\"canary\",instance=\"c\",outcome=\"{outcome}\"}}");
    let mut text = format!(
        "rule_files:\n  - ../{RULES}.yml\nevaluation_interval: 5m\ngroup_eval_order:\n  - task-api-canary-success-short\n  \
         - task-api-canary-success-long\n  - task-api-{RULES}-alerts\ntests:\n"
    );
    let firing =
        |long: &str| format!("max_over_time(ALERTS{{alertstate=\"firing\",sloth_window=\"{long}\"}}[{interval}m])");
    let _ = write!(
        text,
        "  - name: all fail\n    interval: 1m\n    input_series:\n      - series: '{}'\n        values: {}\n    \
         promql_expr_test:\n",
        series("failed"),
        runs(interval, count, 10)
    );
    for burn in burns(slo) {
        let (long, at) = (burn.long.to_string(), minutes(burn.long) + 2 * interval);
        let _ = write!(
            text,
            "      - expr: max({})\n        eval_time: {at}m\n        exp_samples: [{{labels: '{{}}', value: 1}}]\n",
            firing(&long)
        );
    }
    let failed = format!("0x{} 1x{}", DAY / 2, DAY / 2);
    let _ = write!(
        text,
        "  - name: one fails\n    interval: 1m\n    input_series:\n      - series: '{}'\n        values: {}\n      - \
         series: '{}'\n        values: {failed}\n    promql_expr_test:\n      - expr: \
         count_over_time(ALERTS[{DAY}m])\n        eval_time: {DAY}m\n        exp_samples: []\n",
        series("ok"),
        runs(interval, DAY / interval, 10),
        series("failed"),
    );
    // A certificate near its end makes every run degraded, and users are served all the same.
    let _ = write!(
        text,
        "  - name: all are degraded\n    interval: 1m\n    input_series:\n      - series: '{}'\n        values: {}\n      - \
         series: '{}'\n        values: 0x{END}\n    \
         promql_expr_test:\n      - expr: count_over_time(ALERTS[{END}m])\n        eval_time: {END}m\n        \
         exp_samples: []\n      - expr: max(slo:sli_error:ratio_rate5m)\n        eval_time: {END}m\n        \
         exp_samples: [{{labels: '{{}}', value: 0}}]\n",
        series("degraded"),
        runs(interval, count, 10),
        series("failed"),
    );
    text
}

#[test]
fn each_burn_rate_of_a_slow_canary_fires_when_all_runs_fail_and_neither_for_one_nor_for_degraded_ones() {
    let Some(promtool) = promtool() else { return };
    for interval in ["5m", "15m"] {
        let mut slo = objectives();
        slo.canary.interval = interval.parse().expect("a period");
        assert!(burns(&slo).len() >= 3, "{interval}: {:?}", burns(&slo));
        let mut files = ops::prometheus::rendered(&slo);
        let rules =
            files.iter_mut().find(|file| file.path.ends_with(&format!("prometheus/{RULES}.yml"))).expect("rules");
        assert!(rules.text.contains(") * 30\n"), "a sum counts each rate for the 30 s between two evaluations");
        // Every 5 m is quick enough for a test, so each stands for as much.
        rules.text = rules.text.replace(") * 30\n", ") * 300\n");
        let folder = written(&files);
        let path = "alerts/prometheus/tests/cadence.yml";
        std::fs::write(folder.path().join(path), file(&slo)).expect("written");
        let (passed, said) = run(&promtool, &["test", "rules", path], folder.path());
        assert!(passed, "{interval}: {said}");
    }
}
