//! The alerts of the look from outside.

use slo::{Period, Severity, Slo};

use super::alert::{Alert, Case, Firing};
use super::history::minutes;
use super::yaml::number;

/// The file they stand in.
const TOPIC: &str = "canary";

/// Runs that are looked at together.
const RUNS: u64 = 5;
/// Failures among them that wake somebody: one may be chance.
const FAILED_MIN: u64 = 3;
/// The shortest time over which degraded runs are counted, in seconds.
const DEGRADED_WITHIN_MIN: u64 = 3_600;
/// Percent of the runs that may be degraded. A run makes a dozen requests, and one request in a hundred may be slow: that
/// alone makes one run in ten degraded.
const DEGRADED_PERCENT_MAX: u64 = 25;
/// Days before its end at which a certificate should have been renewed.
const CERTIFICATE_DAYS_MIN: u64 = 30;

/// The alerts.
pub(super) fn alerts(slo: &Slo) -> Vec<Alert> {
    // The least that a rate over scrapes 15 s apart can be taken of, for a canary that runs more often than that.
    let window = Period::from_seconds((slo.canary.interval.seconds() * RUNS).max(60)).unwrap_or(slo.canary.interval);
    vec![failing(slo, window), degraded(window), silent(slo, window), certificate()]
}

fn failing(slo: &Slo, window: Period) -> Alert {
    let series = "canary_runs_total{job=\"canary\",instance=\"c\",outcome=\"failed\"}";
    let interval = minutes(slo.canary.interval).max(1);
    // One failed run an interval, the first at `first`, so the last that is needed comes then.
    let first = minutes(window) + 10;
    let step = |count: u64| format!("{count}x{}", interval - 1);
    let failures: Vec<String> = (1..FAILED_MIN).map(step).collect();
    let end = first + (FAILED_MIN - 1) * interval;
    let values = format!("0x{} {} {FAILED_MIN}x{}", first - 1, failures.join(" "), minutes(window) * 3);
    let below = format!("0x{} {} {}x{}", first - 1, failures.join(" "), FAILED_MIN - 1, minutes(window) * 3);
    let fires = || Firing::new(FAILED_MIN as f64, &[]);
    let resolves = first + minutes(window);
    Alert {
        name: "CanaryFailing".to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Page,
        summary: "The canary's journey fails from outside.".to_owned(),
        description: format!(
            "[[0]] runs of the canary failed within {window}, the time of {RUNS} runs; {FAILED_MIN} are not chance. \
             Users cannot log in, or cannot create, find or change a task."
        ),
        expr: format!(
            "sum(increase(canary_runs_total{{job=\"canary\",outcome=\"failed\"}}[{window}])) >= {FAILED_MIN}"
        ),
        wait: None,
        dashboard: "task-api-canary",
        symptom: true,
        cases: vec![
            Case::new(
                &format!("fires with failure {FAILED_MIN} and resolves when the first is out of the window"),
                &format!(
                    "A run fails at minute {first} and each {interval} m after it, the {FAILED_MIN}rd at minute \
                     {end}, then none. The {window} before minute {resolves} begin with the first."
                ),
                &[(series, &values)],
                &[(end - 1, None), (end, fires()), (resolves - 1, fires()), (resolves, None)],
            ),
            Case::new(
                &format!("is silent for {} failures", FAILED_MIN - 1),
                "One failure less than above.",
                &[(series, &below)],
                &[(end, None), (resolves - 1, None)],
            ),
        ],
    }
}

/// What is wrong while users are served: an address that is down, steps that need another attempt, answers that are slow,
/// plain HTTP that leads nowhere, tasks that stay.
fn degraded(window: Period) -> Alert {
    let window = Period::from_seconds(window.seconds().max(DEGRADED_WITHIN_MIN)).unwrap_or(window);
    let runs = |outcome: &str| format!("canary_runs_total{{job=\"canary\",instance=\"c\",outcome=\"{outcome}\"}}");
    let (ok, degraded) = (runs("ok"), runs("degraded"));
    let wait = 15;
    // Both grow from the first minute on, so the share is a half from minute 1. Good runs alone after `last`: the share is
    // a quarter when two thirds of the window are good.
    let last = 2 * minutes(window);
    let back = last + (minutes(window) * 2).div_ceil(3) + 1;
    let fires = || Firing::new(0.5, &[]);
    Alert {
        name: "CanaryDegraded".to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Ticket,
        summary: "The canary's journey succeeds, and again and again something about it is wrong.".to_owned(),
        description: format!(
            "[[percent]] of the canary's runs within {window} were degraded, and that for {wait}m; more than \
             {DEGRADED_PERCENT_MAX}% are not chance. Users are served, some of them slowly or at a second attempt."
        ),
        expr: format!(
            "sum(increase(canary_runs_total{{job=\"canary\",outcome=\"degraded\"}}[{window}]))\n  / \
             sum(increase(canary_runs_total{{job=\"canary\",outcome!=\"error\"}}[{window}])) > {}",
            number(DEGRADED_PERCENT_MAX as f64 / 100.0)
        ),
        wait: Some(wait),
        dashboard: "task-api-canary",
        symptom: false,
        cases: vec![
            Case::new(
                &format!(
                    "fires after {wait} minutes in which every second run is degraded, and resolves with good ones"
                ),
                &format!(
                    "One good and one degraded run a minute from minute 0, so a half of them from minute 1; fires at {}. \
                     Only good ones after minute {last}: at minute {back} two thirds of the window are.",
                    1 + wait
                ),
                &[(&ok, &format!("0+1x{}", last + 120)), (&degraded, &format!("0+1x{last} {last}x120"))],
                &[(wait, None), (1 + wait, fires()), (last, fires()), (back, None)],
            ),
            Case::new(
                "is silent for a degraded run among five",
                "Four good runs for each degraded one.",
                &[(&ok, &format!("0+4x{last}")), (&degraded, &format!("0+1x{last}"))],
                &[(1 + wait, None), (last, None)],
            ),
        ],
    }
}

fn silent(slo: &Slo, window: Period) -> Alert {
    let ok = "canary_runs_total{job=\"canary\",instance=\"c\",outcome=\"ok\"}";
    let error = "canary_runs_total{job=\"canary\",instance=\"c\",outcome=\"error\"}";
    let (long, interval) = (minutes(window), minutes(slo.canary.interval).max(1));
    let (last, wait) = (long * 4, 5);
    let fires = || Firing::new(0.0, &[]);
    // One run an interval.
    let mut runs: Vec<String> = (0..last / interval).map(|run| format!("{run}x{}", interval - 1)).collect();
    let count = last / interval;
    runs.push(format!("{count}x{}", long + wait + 9));
    let back = last + long + wait + 10;
    let values = format!("{} {}x60", runs.join(" "), count + 1);
    let alone = runs.iter().take((last / interval) as usize).cloned().collect::<Vec<_>>().join(" ");
    Alert {
        name: "CanarySilent".to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Ticket,
        summary: "The canary does not say how the service looks from outside.".to_owned(),
        description: format!(
            "[[0]] runs of the canary came to a verdict within {window}, the time of {RUNS} runs, and that for \
             {wait}m; fewer than 1 is silence. Users may notice what nobody here does."
        ),
        expr: format!(
            "(sum(increase(canary_runs_total{{job=\"canary\",outcome!=\"error\"}}[{window}])) or vector(0)) < 1"
        ),
        wait: Some(wait),
        dashboard: "task-api-canary",
        symptom: false,
        cases: vec![
            Case::new(
                &format!("fires {wait} minutes after {RUNS} runs were missed, and resolves with the next run"),
                &format!(
                    "The last verdict comes at minute {last}: the {window} are empty at minute {}, fires at {}. The \
                     next comes at minute {back}. Runs that end with an error of the canary's own are no verdict.",
                    last + long,
                    last + long + wait
                ),
                &[(ok, &values), (error, &format!("0+1x{}", back + 20))],
                &[(last + long + wait - 1, None), (last + long + wait, fires()), (back - 1, fires()), (back, None)],
            ),
            Case::new("is silent while runs come", "One run each interval.", &[(ok, &alone)], &[(last - 1, None)]),
        ],
    }
}

fn certificate() -> Alert {
    let series = "canary_certificate_expiry_timestamp_seconds{job=\"canary\",instance=\"c\"}";
    // The tests' clock starts at 0, so this is when it ends.
    let end = CERTIFICATE_DAYS_MIN * 86_400 + 600;
    let left = |minute: u64| (end - minute * 60) as f64 / 86_400.0;
    Alert {
        name: "CertificateNearExpiry".to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Ticket,
        summary: "The certificate of the load balancer ends soon and was not renewed.".to_owned(),
        description: format!(
            "[[2]] days are left of the certificate; less than {CERTIFICATE_DAYS_MIN} for 15m means that its renewal \
             has failed. Once it has ended no user gets in."
        ),
        expr: format!(
            "(min(canary_certificate_expiry_timestamp_seconds{{job=\"canary\"}}) - time()) / 86400 < \
            {CERTIFICATE_DAYS_MIN}"
        ),
        wait: Some(15),
        dashboard: "task-api-canary",
        symptom: false,
        cases: vec![
            Case::new(
                "fires 15 minutes after too little is left, and resolves with a new certificate",
                &format!(
                    "The clock starts at 0 and the certificate ends at {end} s: exactly {CERTIFICATE_DAYS_MIN} days \
                     are left at minute 10, less at minute 11; fires at 26. A new one is there at minute 40."
                ),
                &[(series, &format!("{end}x39 9000000x20"))],
                &[(25, None), (26, Firing::new(left(26), &[])), (39, Firing::new(left(39), &[])), (40, None)],
            ),
            Case::new(
                "is silent while a day more is left",
                &format!("It ends in {} days.", CERTIFICATE_DAYS_MIN + 1),
                &[(series, &format!("{}x60", (CERTIFICATE_DAYS_MIN + 1) * 86_400))],
                &[(60, None)],
            ),
        ],
    }
}
