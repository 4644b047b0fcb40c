//! The service level indicators: what is counted, and what of it is bad.

use slo::{Burn, Period, Slo};

use super::yaml::number;

/// The `sloth_service` of every objective.
pub(super) const SERVICE: &str = "task-api";

/// Below this rate per second nothing was counted: one event in 30 days is 400 times more. It keeps a quiet time from
/// dividing by zero.
const RATE_MIN: &str = "1e-9";

/// What a series of a test's input counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All events.
    Total,
    /// Those that are good.
    Good,
    /// Those that are bad.
    Bad,
    /// Nothing; the expression needs the series.
    Nothing,
}

/// One indicator and its objective.
#[derive(Debug, Clone)]
pub struct Sli {
    /// The value of `sloth_slo`.
    pub slo: &'static str,
    /// What the names of its alerts begin with.
    pub alert: &'static str,
    /// Share that is good, below 1.
    pub objective: f64,
    /// What the objective says, as a sentence.
    pub sentence: String,
    /// What is counted, as the start of "… in 1h".
    pub bad_what: String,
    /// What users notice when it is missed, a sentence.
    pub users: &'static str,
    /// The uid of the dashboard that shows why.
    pub dashboard: &'static str,
    /// Whether missing it may wake somebody; else the page is a ticket.
    pub pages: bool,
    /// Where the events come from: the job of the scrape.
    pub job: &'static str,
    /// Between two events that come by the clock; none for those that come as users want.
    every: Option<Period>,
    bad: String,
    total: String,
    /// Series that a test feeds, and what each counts.
    pub series: Vec<(String, Part)>,
}

/// Stands for the window within the expressions of an [`Sli`].
const WINDOW: &str = "WINDOW";

/// The requests of users. A load balancer asks `/health` and `/ready` all day and night and cannot say that it is none of
/// them: at night its checks would be most of the traffic, hide errors and satisfy the guards.
pub(crate) const USERS: &str = "synthetic=\"none\",http_route!~\"/health|/ready\"";

/// The same at the service's own scrape.
pub(super) fn users() -> String {
    format!("job=\"task-api\",{USERS}")
}

const REQUESTS: &str = "http_server_request_duration_seconds";
const OPERATIONS: &str = "db_client_operation_duration_seconds";

/// Operations but for those whose client left: how long these would have taken nobody knows.
const COMPLETED: &str = "job=\"task-api\",error_type!=\"cancelled\"";

impl Sli {
    /// `task-api-requests-availability`.
    pub fn id(&self) -> String {
        format!("{SERVICE}-{}", self.slo)
    }

    /// The share that may be bad.
    pub fn budget(&self) -> f64 {
        1.0 - self.objective
    }

    /// Bad events per second over a window; `increase` in place of `rate` counts them.
    pub fn bad(&self, function: &str, window: Period) -> String {
        self.bad.replace("rate(", &format!("{function}(")).replace(WINDOW, &window.to_string())
    }

    /// Events per second over a window.
    pub fn total(&self, function: &str, window: Period) -> String {
        self.total.replace("rate(", &format!("{function}(")).replace(WINDOW, &window.to_string())
    }

    /// The share of bad events over a window, 0 when there were none at all.
    pub fn ratio(&self, window: Period) -> String {
        format!("{}\n  / clamp_min({}, {RATE_MIN})", self.bad("rate", window), self.total("rate", window))
    }

    /// The share over a window that is too long to read every series again: from the recorded rates, each weighted by
    /// its traffic.
    pub fn ratio_of_sums(&self, base: Period, window: Period) -> String {
        let sum = |what: &str| format!("sum_over_time(slo:sli_{what}:rate{base}{{{}}}[{window}])", self.matcher());
        format!("{}\n  / clamp_min({}, {RATE_MIN})", sum("bad"), sum("total"))
    }

    /// `sloth_slo="…"`.
    pub fn matcher(&self) -> String {
        format!("sloth_slo=\"{}\"", self.slo)
    }

    /// The route of a series of a test replaced by that of a load balancer's check, all of it bad where the indicator
    /// can tell; none when the events have no route.
    pub(super) fn probes(&self) -> Option<String> {
        let bad = self.series.iter().find(|(_, part)| *part == Part::Bad).or(self.series.first())?;
        let probes = bad.0.replace("/api/v1/tasks", "/health");
        (probes != bad.0).then_some(probes)
    }

    /// The burns that can be told from chance. Where events come by the clock, at least one must come within the short
    /// window, or the alert would flicker, and one failure among all of the long one must not be over the threshold.
    /// `CanaryFailing` tells what is left out.
    pub fn burns<'a>(&self, slo: &'a Slo) -> impl Iterator<Item = &'a Burn> {
        let (budget, window, every) = (self.budget(), slo.window, self.every);
        slo.burn.iter().filter(move |burn| {
            every.is_none_or(|every| {
                burn.short >= every && events(burn.long, every) as f64 * burn.factor(window) * budget >= 1.0
            })
        })
    }

    /// The fewest events within the long window at which a burn counts. Events that come by the clock may be fewer than
    /// traffic of users must be: then all but one, which the time of a scrape may leave out.
    pub fn events_min(&self, slo: &Slo, burn: &Burn) -> u64 {
        let enough = slo.requests_min(burn, self.objective);
        self.every.map_or(enough, |every| enough.min(events(burn.long, every).saturating_sub(1)))
    }
}

/// How many events come within a window by the clock.
fn events(window: Period, every: Period) -> u64 {
    window.seconds() / every.seconds()
}

/// A bucket as the exposition names it: the label is text, and `1` does not find `1.0`.
pub(crate) fn edge(seconds: f64) -> String {
    format!("{seconds:?}")
}

/// All five, in the order of `slo.toml`.
pub(super) fn all(slo: &Slo) -> Vec<Sli> {
    let requests = &users();
    let fed = "job=\"task-api\",instance=\"a\"";
    let served = "http_request_method=\"GET\",http_route=\"/api/v1/tasks\",synthetic=\"none\"";
    let (latency, database) = (number(slo.requests.latency), number(slo.database.latency));
    let (latency_edge, database_edge) = (edge(slo.requests.latency), edge(slo.database.latency));
    let slow = |metric: &str, matchers: &str, edge: &str| {
        format!(
            "clamp_min(sum(rate({metric}_count{{{matchers}}}[{WINDOW}])) \
             - sum(rate({metric}_bucket{{{matchers},le=\"{edge}\"}}[{WINDOW}])), 0)"
        )
    };
    let total = |metric: &str, matchers: &str| format!("sum(rate({metric}{{{matchers}}}[{WINDOW}]))");
    let share = |objective: f64| super::yaml::percent(objective);
    vec![
        Sli {
            slo: "requests-availability",
            alert: "Availability",
            objective: slo.requests.availability,
            sentence: format!("{} of requests end without a 5xx.", share(slo.requests.availability)),
            bad_what: "of the requests ended with a 5xx".to_owned(),
            users: "Users see errors in place of their tasks, and what they save may not be kept.",
            dashboard: "task-api-overview",
            pages: true,
            job: "task-api",
            every: None,
            bad: total(&format!("{REQUESTS}_count"), &format!("{requests},http_response_status_code=~\"5..\"")),
            total: total(&format!("{REQUESTS}_count"), requests),
            series: vec![
                (format!("{REQUESTS}_count{{{fed},{served},http_response_status_code=\"200\"}}"), Part::Good),
                (format!("{REQUESTS}_count{{{fed},{served},http_response_status_code=\"503\"}}"), Part::Bad),
            ],
        },
        Sli {
            slo: "requests-latency",
            alert: "Latency",
            objective: slo.requests.fast,
            sentence: format!("{} of requests are answered within {latency} s.", share(slo.requests.fast)),
            bad_what: format!("of the requests took longer than {latency} s"),
            users: "Users wait: lists open slowly and saving hangs.",
            dashboard: "task-api-overview",
            pages: true,
            job: "task-api",
            every: None,
            bad: slow(REQUESTS, requests, &latency_edge),
            total: total(&format!("{REQUESTS}_count"), requests),
            series: vec![
                (format!("{REQUESTS}_count{{{fed},{served},http_response_status_code=\"200\"}}"), Part::Total),
                (
                    format!(
                        "{REQUESTS}_bucket{{{fed},{served},http_response_status_code=\"200\",le=\"{latency_edge}\"}}"
                    ),
                    Part::Good,
                ),
            ],
        },
        Sli {
            slo: "database-latency",
            alert: "DatabaseLatency",
            objective: slo.database.fast,
            sentence: format!("{} of database operations are done within {database} s.", share(slo.database.fast)),
            bad_what: format!("of the database operations took longer than {database} s"),
            users: "Every request waits for the database, so users wait, and soon requests end with 503.",
            dashboard: "task-api-database",
            pages: true,
            job: "task-api",
            every: None,
            bad: slow(OPERATIONS, COMPLETED, &database_edge),
            total: total(&format!("{OPERATIONS}_count"), COMPLETED),
            series: vec![
                (format!("{OPERATIONS}_count{{{fed},db_operation_name=\"task.list\"}}"), Part::Total),
                (
                    format!("{OPERATIONS}_bucket{{{fed},db_operation_name=\"task.list\",le=\"{database_edge}\"}}"),
                    Part::Good,
                ),
            ],
        },
        Sli {
            slo: "canary-success",
            alert: "Canary",
            objective: slo.canary.success,
            sentence: format!("{} of the canary's runs can do what a user does.", share(slo.canary.success)),
            bad_what: "of the canary's runs failed".to_owned(),
            users: "From outside some users cannot log in, or cannot create, find or change a task.",
            dashboard: "task-api-canary",
            pages: true,
            job: "canary",
            every: Some(slo.canary.interval),
            // What a user cannot do: a run that was degraded has done it all, and CanaryDegraded tells when that goes on.
            // One that ends with `error` could not judge: CanarySilent tells when that goes on.
            bad: total("canary_runs_total", "job=\"canary\",outcome=\"failed\""),
            total: total("canary_runs_total", "job=\"canary\",outcome!=\"error\""),
            series: vec![
                ("canary_runs_total{job=\"canary\",instance=\"c\",outcome=\"ok\"}".to_owned(), Part::Good),
                ("canary_runs_total{job=\"canary\",instance=\"c\",outcome=\"failed\"}".to_owned(), Part::Bad),
            ],
        },
        Sli {
            slo: "logs-delivered",
            alert: "LogDelivery",
            objective: slo.logs_delivered,
            sentence: format!("{} of log lines reach CloudWatch Logs.", share(slo.logs_delivered)),
            bad_what: "of the log lines were dropped or rejected".to_owned(),
            users: "Users notice nothing, but whoever looks for their requests in the logs will not find some.",
            dashboard: "task-api-telemetry",
            // Nobody is woken for what no user notices.
            pages: false,
            job: "task-api",
            every: None,
            bad: format!(
                "({} + {})",
                total("log_shipper_dropped_total", "job=\"task-api\""),
                total("log_shipper_rejected_total", "job=\"task-api\"")
            ),
            total: total("log_shipper_produced_total", "job=\"task-api\""),
            series: vec![
                (format!("log_shipper_produced_total{{{fed}}}"), Part::Total),
                (format!("log_shipper_dropped_total{{{fed},reason=\"queue_full\"}}"), Part::Bad),
                (format!("log_shipper_rejected_total{{{fed},reason=\"too_old\"}}"), Part::Nothing),
            ],
        },
    ]
}
