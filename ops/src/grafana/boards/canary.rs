//! Canary: what the service looks like from outside.

use slo::Slo;

use super::percent;
use crate::grafana::board::{Board, Choice};
use crate::grafana::panel::{Limit, Panel, Unit};

/// A certificate that is not renewed with so many days left will not be renewed by itself: that happens at 60.
const CERTIFICATE_DAYS: f64 = 30.0;
/// So many runs missed are no accident.
const RUNS_MISSED: u64 = 3;

/// The dashboard.
pub(super) fn board(slo: &Slo) -> Board {
    Board {
        uid: "task-api-canary",
        title: "Task API / Canary",
        about: "A user's journey, tried from outside at every address of the load balancer: where does it break?",
        from: "now-6h",
        targets_of: "canary_info",
        choices: vec![Choice {
            name: "step",
            label: "Step",
            series: "canary_step_duration_seconds_count{@target}",
            of: "step",
            first: None,
        }],
        sections: vec![
            ("Does the journey succeed?", vec![target(), success(slo), last(slo), certificate()]),
            ("Where does it break?", vec![outcomes(), failures(), addresses()]),
            ("Where does it take its time?", vec![steps(slo), mean(slo)]),
        ],
    }
}

fn target() -> Panel {
    Panel::names("What is probed?")
        .good("The address that users use. Good is the load balancer of this environment.")
        .query("{{target}}", "max by (target) (canary_info{@target})")
        .width(6)
}

fn success(slo: &Slo) -> Panel {
    let runs = |more: &str| format!("sum(increase(canary_runs_total{{@target{more}}}[$__range]))");
    Panel::figures("In what share of the runs can a user do everything?", Unit::Share)
        .good(format!(
            "Of the shown time. Good is {} or more; degraded runs count as good, since they got there.",
            percent(slo.canary.success)
        ))
        .query("ok", format!("{} / {}", runs(r#", outcome=~"ok|degraded""#), runs(r#", outcome!="error""#)))
        .limit(Limit::AtLeast(slo.canary.success))
        .free_axis()
        .width(6)
        .runbook("CanaryBurnFast")
}

fn last(slo: &Slo) -> Panel {
    let late = (slo.canary.interval.seconds() * RUNS_MISSED) as f64;
    Panel::figures("How long ago was the last run, and the last good one?", Unit::Seconds)
        .good(format!(
            "Good is below {late} s: the canary runs every {}. A silent canary proves nothing, and one \
             that is gone for all of the shown time has no figure.",
            slo.canary.interval
        ))
        .query("last run", age("canary_last_run_timestamp_seconds"))
        .query("last success", age("canary_last_success_timestamp_seconds"))
        .limit(Limit::AtMost(late))
        .width(6)
        .runbook("CanarySilent")
}

/// Goes on growing when nothing is scraped from the canary any more: the figure that is for a dead one must not vanish with
/// it.
fn age(time: &str) -> String {
    format!("time() - max(last_over_time({time}{{@target}}[$__range]))")
}

fn certificate() -> Panel {
    let left = "(min by (instance) (canary_certificate_expiry_timestamp_seconds{@target}) - time()) / 86400";
    Panel::figures("How many days is the certificate still good?", Unit::Count)
        .good("Good is more than 30: one with fewer was not renewed by itself.")
        .query("{{instance}}", left)
        .limit(Limit::AtLeast(CERTIFICATE_DAYS))
        .width(6)
        .runbook("CertificateNearExpiry")
}

fn outcomes() -> Panel {
    Panel::stacked("How do runs end?", Unit::Rate)
        .good("Runs per second, by outcome. Good is ok alone; error is a fault of the canary itself, such as its password.")
        .query("{{outcome}}", "sum by (outcome) (rate(canary_runs_total{@target}@rate))")
        .runbook("CanaryDegraded")
}

fn failures() -> Panel {
    Panel::graph("Which steps fail, and in which phase?", Unit::Rate)
        .good("Failures per second. Good is 0. dns, connect and tls are the way to us; wait is us.")
        .query(
            "{{step}}: {{phase}}",
            r#"sum by (step, phase) (rate(canary_step_failures_total{@target, step=~"$step"}@rate))"#,
        )
        .runbook("CanaryFailing")
}

fn addresses() -> Panel {
    Panel::graph("Which addresses of the load balancer answer?", Unit::Count)
        .good("1 is yes. Good is 1 for each: one at 0 is an availability zone that every n-th user meets.")
        .query("{{address}}", "min by (address) (canary_address_up{@target})")
}

fn steps(slo: &Slo) -> Panel {
    let buckets = r#"sum by (le, step) (rate(canary_step_duration_seconds_bucket{@target, step=~"$step"}@rate))"#;
    Panel::graph("How long does each step take at most, from outside?", Unit::Seconds)
        .good(format!(
            "What {} of the steps stay below, name resolution and TLS included. Good is below the line at {} s.",
            percent(slo.canary.success),
            slo.canary.latency
        ))
        .query("{{step}}", format!("histogram_quantile({}, {buckets})", slo.canary.success))
        .limit(Limit::AtMost(slo.canary.latency))
        .width(12)
}

fn mean(slo: &Slo) -> Panel {
    let part =
        |part| format!(r#"sum by (step) (rate(canary_step_duration_seconds_{part}{{@target, step=~"$step"}}@rate))"#);
    Panel::graph("How long does each step take on average?", Unit::Seconds)
        .good("Good is flat; a step that grows over days grows with the data.")
        .query("{{step}}", format!("{} / {}", part("sum"), part("count")))
        .limit(Limit::AtMost(slo.canary.latency))
        .width(12)
}
