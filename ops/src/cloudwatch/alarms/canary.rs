//! The canary, and what only it can see: that nothing arrives any more.

use slo::Slo;
use telemetry::catalogue::{EMF_SUCCESS_PERCENT, EMF_SUCCESS_PERCENT_WITH_RETRIES};

use super::super::alarm::{Alarm, Composite, Tells, Watches, rounded};
use super::{balancer, canary_run, one};

const ABSENCE: &str = "silence is what this alarm is for";
/// How late the load balancer's metrics, and those that are made of log lines, may arrive, in seconds.
const DELIVERY_MAX: u64 = 180;

/// Over so long degraded runs are counted, in seconds, or over so many runs where that is longer.
const DEGRADED_WITHIN_MIN: u64 = 3_600;
const DEGRADED_RUNS: u64 = 5;
/// Percent of the runs that may need a further attempt, or find an address down: one may be chance.
const DEGRADED_PERCENT_MAX: f64 = 25.0;

/// The period of alarms that judge each run, in seconds: the canary's interval, in whole minutes.
pub(super) fn period(slo: &Slo) -> u64 {
    slo.canary.interval.seconds().div_ceil(60) * 60
}

/// How long nothing must have come to be silence, in seconds: two intervals, and what delivery may take. Two runs of a
/// healthy canary are less than two intervals apart, however late in its interval each ends.
fn silence(slo: &Slo) -> u64 {
    2 * period(slo) + DELIVERY_MAX
}

/// The same for a dead canary, which is to be known within three intervals of its last run. Reports that come every minute
/// are less than a minute late, or a ticket says so: nobody is woken by it.
fn silence_of_the_canary(slo: &Slo) -> u64 {
    2 * period(slo) + DELIVERY_MAX.min(period(slo) - 60)
}

/// An alarm on one long empty period, which slides. `FILL` makes the zero: an alarm on the metric itself would count the
/// data points from before the silence for as long as its evaluation range holds any. Short periods would not do: of
/// those that are not delivered yet `FILL` makes zeros too, and the newest would always be one.
fn silent(name: &str, metric: super::Metric, statistic: &str, silence: u64) -> Alarm {
    let metrics = vec![("seen", metric, statistic.to_owned())];
    Alarm::new(name, Tells::Nobody, Watches::Math { metrics, expression: "FILL(seen,0)".to_owned() })
        .within(1, 1, silence)
        .below(1.0)
        .silence_is_bad(ABSENCE)
}

/// Runs in which users are served, and not at the first attempt at every address. A failed run is neither, so that it is told
/// once, by a page.
fn degraded(slo: &Slo) -> Alarm {
    let within = (period(slo) * DEGRADED_RUNS).max(DEGRADED_WITHIN_MIN);
    let metrics = vec![
        ("served", canary_run(EMF_SUCCESS_PERCENT_WITH_RETRIES), "Average".to_owned()),
        ("first", canary_run(EMF_SUCCESS_PERCENT), "Average".to_owned()),
    ];
    let watches = Watches::Math { metrics, expression: "served-first".to_owned() };
    Alarm::new("SyntheticsDegraded", Tells::Ticket, watches)
        .within(1, 1, within)
        .above(DEGRADED_PERCENT_MAX)
        .silence_is_good("runs that do not come are told by SyntheticsSilent")
        .says(
            format!(
                "More than {DEGRADED_PERCENT_MAX}% of the canary's runs within {} minutes needed a further attempt, or found \
                 an address down.",
                within / 60
            ),
            "some wait for a second attempt of their client; often it is the first half of an outage.",
        )
        .runbook("SyntheticsDegraded")
}

pub(super) fn alarms(slo: &Slo) -> Vec<Alarm> {
    let period = period(slo);
    let interval = slo.canary.interval;
    let silence = silence(slo);
    let minutes = silence / 60;
    let quiet = silence_of_the_canary(slo);
    let quiet_minutes = quiet / 60;
    let least = rounded(slo.canary.success * 100.0);
    let mut dead = silent("SyntheticsSilent", canary_run(EMF_SUCCESS_PERCENT), "SampleCount", quiet)
        .says(
            format!("The canary, which runs every {interval}, has not reported for {quiet_minutes} minutes."),
            "nothing yet; but nobody would know if the service could not be reached.",
        )
        .runbook("SyntheticsSilent");
    dead.tells = Tells::Ticket;
    vec![
        // With retries: a run that found an address down, or needed a further attempt, has served its user and wakes nobody.
        Alarm::new("SyntheticsFailing", Tells::Page, one(canary_run(EMF_SUCCESS_PERCENT_WITH_RETRIES), "Average"))
            .within(2, 3, period)
            .below(least)
            .silence_is_good("runs that do not come are told by SyntheticsSilent")
            .says(
                format!("Fewer than {least}% of the canary's runs pass, retries included, in 2 of 3 intervals of {interval}."),
                "whoever logs in and works with tasks from outside fails or waits as the canary does.",
            )
            .runbook("SyntheticsFailing"),
        degraded(slo),
        dead,
        silent("AlbNoTraffic", balancer("RequestCount"), "Sum", silence)
            .says(
                format!("No request at all has reached a task for {minutes} minutes, not even the canary's."),
                "the service cannot be reached, if the canary fails too.",
            )
            .runbook("ServiceUnreachable"),
    ]
}

/// No traffic alone may be a quiet night with a dead canary; with a failing canary it is an outage. A canary that is
/// silent, or degraded, is no sign of one. If nothing at all is reported any more, `AlbNoHealthyHost` takes that silence as bad.
pub(super) fn unreachable() -> Composite {
    Composite {
        name: "ServiceUnreachable".to_owned(),
        tells: Tells::Page,
        rule: "ALARM(\"${AlbNoTraffic}\") AND ALARM(\"${SyntheticsFailing}\")".to_owned(),
        says: "No request reaches a task any more, and the canary fails.".to_owned(),
        impact: "nobody can reach the service; error counts stay at zero, since there is nothing to count.",
        runbook: "ServiceUnreachable",
    }
}
