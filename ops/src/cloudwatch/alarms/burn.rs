//! How fast the error budgets burn: for each pair of windows of `slo.toml` two alarms and the composite that joins them.
//!
//! Each alarm has its window as its period and looks at one data point, which slides: the ratio of sums over the window.
//! M of N ratios of a minute would be something else, since a quiet minute would weigh as much as a busy one.

use slo::{Burn, Period, Severity, Slo};
use telemetry::catalogue::{EMF_LATENCY, EMF_REQUESTS};

use super::super::alarm::{Alarm, Composite, Metric, Tells, Watches, rounded};
use super::{balancer, service, sums};

const NO_REQUESTS: &str = "without requests nothing can fail; that none arrive is told by ServiceUnreachable";

/// All requests that the load balancer answered: those that it gave to a target, and those for which it had none, which
/// its RequestCount leaves out.
pub(crate) const TOTAL: &str = "(FILL(requests,0)+FILL(no_target,0))";
/// Those of them that failed, whoever made the error. Where there was none, the metric has no data point.
pub(crate) const FAILED: &str = "(FILL(by_service,0)+FILL(by_balancer,0))";

/// What [`TOTAL`] and [`FAILED`] read.
pub(super) fn balancer_requests() -> [(&'static str, Metric); 4] {
    [
        ("requests", balancer("RequestCount")),
        ("no_target", balancer("HTTPCode_ELB_503_Count")),
        ("by_service", balancer("HTTPCode_Target_5XX_Count")),
        ("by_balancer", balancer("HTTPCode_ELB_5XX_Count")),
    ]
}

/// One budget.
struct Budget {
    name: &'static str,
    runbook: &'static str,
    /// What is bad.
    bad: String,
    impact: &'static str,
    /// Share that must be good.
    objective: f64,
    /// The share of bad ones in a window, if that many requests came.
    ratio: Box<dyn Fn(u64) -> Watches>,
}

fn budgets(slo: &Slo) -> [Budget; 2] {
    let latency = slo.requests.latency;
    let slow = move |least: u64| Watches::Math {
        metrics: vec![
            ("reported", service(EMF_REQUESTS), "Sum".to_owned()),
            ("fast", service(EMF_LATENCY), format!("PR(:{latency})")),
        ],
        expression: format!("IF(FILL(reported,0)>={least},(100-FILL(fast,100))/100,0)"),
    };
    let failed = |least: u64| sums(&balancer_requests(), format!("IF({TOTAL}>={least},{FAILED}/{TOTAL},0)"));
    [
        Budget {
            name: "AlbErrorBudgetBurn",
            runbook: "AlbErrorBudgetBurn",
            bad: "answered with a 5xx by the service or the load balancer".to_owned(),
            impact: "their requests fail; at this rate the month's budget is gone before its end.",
            objective: slo.requests.availability,
            ratio: Box::new(failed),
        },
        Budget {
            name: "EmfLatencyBudgetBurn",
            runbook: "EmfLatencyBudgetBurn",
            bad: format!("slower than {latency} s to the last byte, as the service measures it"),
            impact: "pages and scripts wait; at this rate the month's budget is gone before its end.",
            objective: slo.requests.fast,
            ratio: Box::new(slow),
        },
    ]
}

fn leaf(slo: &Slo, budget: &Budget, burn: &Burn, window: Period, part: &str) -> Alarm {
    // So much traffic in the long window that the threshold is a few failures and not one. The short one only says that it
    // goes on: a guard there would end the alarm in each lull between two bursts, while every request still fails.
    let least = if window == burn.long { slo.requests_min(burn, budget.objective) } else { 1 };
    let threshold = rounded(burn.factor(slo.window) * (1.0 - budget.objective));
    let factor = rounded(burn.factor(slo.window));
    let says = format!(
        "Over the last {window} more than {}% of the requests were {}: {factor} times what the budget allows.",
        rounded(threshold * 100.0),
        budget.bad,
    );
    Alarm::new(format!("{}{}{part}", budget.name, burn.long), Tells::Nobody, (budget.ratio)(least))
        .within(1, 1, window.seconds())
        .above(threshold)
        .silence_is_good(NO_REQUESTS)
        .says(says, budget.impact)
        .runbook(budget.runbook)
}

/// Two for each pair of windows and budget; they tell nobody.
pub(super) fn alarms(slo: &Slo) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    for budget in budgets(slo) {
        for burn in &slo.burn {
            alarms.push(leaf(slo, &budget, burn, burn.long, "Long"));
            alarms.push(leaf(slo, &budget, burn, burn.short, "Short"));
        }
    }
    alarms
}

/// One for each pair of windows and budget.
pub(super) fn composites(slo: &Slo) -> Vec<Composite> {
    let mut composites = Vec::new();
    for budget in budgets(slo) {
        for burn in &slo.burn {
            let name = format!("{}{}", budget.name, burn.long);
            let says = format!(
                "{}% of the {} budget of requests {} burn within {}, and still do within {}.",
                rounded(burn.budget * 100.0),
                slo.window,
                budget.bad,
                burn.long,
                burn.short,
            );
            composites.push(Composite {
                rule: format!("ALARM(\"${{{name}Long}}\") AND ALARM(\"${{{name}Short}}\")"),
                name,
                tells: match burn.severity {
                    Severity::Page => Tells::Page,
                    Severity::Ticket => Tells::Ticket,
                },
                says,
                impact: budget.impact,
                runbook: budget.runbook,
            });
        }
    }
    composites
}
