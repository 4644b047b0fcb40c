//! The alerts on the service and its database.

use slo::{Severity, Slo};

use super::alert::{Alert, Case, Firing};
use super::sli::{edge, users};
use super::yaml::{number, percent};

/// The file they stand in.
const TOPIC: &str = "service";

const REQUESTS: &str = "http_server_request_duration_seconds_count";
const OPERATIONS: &str = "db_client_operation_duration_seconds";
const A: [(&str, &str); 2] = [("instance", "a"), ("job", "task-api")];

/// Requests in half an hour that make an empty half hour suspicious.
const TRAFFIC_MIN: u64 = 30;
/// Share of the pool, and of the runtime's workers, that may be busy on average.
pub(crate) const BUSY_MAX: f64 = 0.9;
/// How many times over the database's budget one operation may be.
const OPERATION_BURN_MAX: f64 = 10.0;
/// Operations in a quarter of an hour below which a share says little.
const OPERATIONS_MIN: u64 = 50;

/// The alerts.
pub(super) fn alerts(slo: &Slo) -> Vec<Alert> {
    vec![down(), target_down(), no_traffic(), pool(), slow_operation(slo), runtime(), panicked()]
}

fn down() -> Alert {
    let (a, b) = ("up{job=\"task-api\",instance=\"a\"}", "up{job=\"task-api\",instance=\"b\"}");
    let fires = Firing::new(0.0, &[]);
    Alert {
        name: "TaskApiDown".to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Page,
        summary: "No instance of the Task API answers.".to_owned(),
        description:
            "[[0]] instances have answered Prometheus for 1m; fewer than 1 is an outage. Users most likely get no \
                      answer at all."
                .to_owned(),
        expr: "(sum(up{job=\"task-api\"}) or vector(0)) < 1".to_owned(),
        wait: Some(1),
        dashboard: "task-api-overview",
        symptom: false,
        cases: vec![
            Case::new(
                "fires a minute after the last instance is gone, and resolves with the first that returns",
                "One is gone at minute 5, the other at minute 10: fires at 10 + 1. One returns at minute 15.",
                &[(a, "1x4 0x20"), (b, "1x9 0x4 1x20")],
                &[(10, None), (11, fires.clone()), (14, fires.clone()), (15, None)],
            ),
            Case::new(
                "fires when there is nothing to scrape",
                "There is no series at all from minute 0 on: fires at 0 + 1.",
                &[],
                &[(0, None), (1, fires)],
            ),
            Case::new(
                "is silent while one of two answers",
                "Half is not an outage: TargetDown tells.",
                &[(a, "0x20"), (b, "1x20")],
                &[(20, None)],
            ),
        ],
    }
}

fn target_down() -> Alert {
    let labels = [("job", "postgres"), ("instance", "p")];
    let fires = || Firing::new(0.0, &labels);
    Alert {
        name: "TargetDown".to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Ticket,
        summary: "A target has stopped answering Prometheus.".to_owned(),
        description:
            "[[label:job]] at [[label:instance]] has not answered a scrape for 5m (up is [[0]]). What it tells is \
                      missing from every dashboard; with fewer instances users may wait longer."
                .to_owned(),
        expr: "up == 0".to_owned(),
        wait: Some(5),
        dashboard: "task-api-overview",
        symptom: true,
        cases: vec![
            Case::new(
                "fires after 5 minutes and resolves with the next answer",
                "Down from minute 10 on, so at 10 + 5; up again at minute 20.",
                &[("up{job=\"postgres\",instance=\"p\"}", "1x9 0x9 1x9")],
                &[(14, None), (15, fires()), (19, fires()), (20, None)],
            ),
            Case::new(
                "is silent for a restart of 4 minutes",
                "Down from minute 10 to minute 14.",
                &[("up{job=\"postgres\",instance=\"p\"}", "1x9 0x4 1x9")],
                &[(14, None), (15, None), (19, None)],
            ),
        ],
    }
}

fn no_traffic() -> Alert {
    // The canary also asks without a token, to see a 401, and without a token nobody can claim to be synthetic: its 401
    // would be the traffic that hides that nobody else comes. So would the 404 of bots, which try paths that no client of
    // ours asks for.
    let users = users() + ",http_route!=\"unmatched\",http_response_status_code!=\"401\"";
    let of = |range: &str| format!("sum(increase({REQUESTS}{{{users}}}[{range}))");
    let series = format!("{REQUESTS}{{job=\"task-api\",instance=\"a\",synthetic=\"none\"}}");
    let synthetic = format!("{REQUESTS}{{job=\"task-api\",instance=\"a\",synthetic=\"canary\"}}");
    let other = |labels: &str| series.replace('}', &format!(",{labels}}}"));
    let denied = other("http_route=\"/api/v1/tasks\",http_response_status_code=\"401\"");
    let (alive, ready) = (other("http_route=\"/health\""), other("http_route=\"/ready\""));
    let bots = other("http_route=\"unmatched\",http_response_status_code=\"404\"");
    let fires = || Firing::new(0.0, &[]);
    let far = |what: &str, why: &str, series: &[(&str, &str)], checks: &[(u64, Option<Firing>)]| Case {
        step: 5,
        ..Case::new(what, why, series, checks)
    };
    Alert {
        name: "NoTraffic".to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Page,
        summary: "No requests arrive, although they did at this hour yesterday and a week ago.".to_owned(),
        description: format!(
            "[[0]] requests came within 30m; at the same time yesterday at least {TRAFFIC_MIN} did, and not fewer a week \
             ago. Users probably cannot reach the service at all: nothing fails here because nothing gets here."
        ),
        // Yesterday alone would call somebody on each quiet Saturday. A Prometheus that is younger than a week knows
        // yesterday only.
        expr: format!(
            "{} < 1\nand\n{} >= {TRAFFIC_MIN}\nunless\n{} < {TRAFFIC_MIN}",
            of("30m]"),
            of("30m] offset 1d"),
            of("30m] offset 7d")
        ),
        wait: Some(5),
        dashboard: "task-api-overview",
        symptom: true,
        cases: vec![
            far(
                "fires after half an hour of nothing and 5 minutes, and resolves with the next request",
                "One request a minute until minute 1500, a day and an hour. The 30m are empty at 1530, so it fires at \
                 1535. At minute 1560 one comes. The canary's requests do not count, nor do a 401, health checks and what \
                 bots look for. Nothing is known of the week before.",
                &[
                    (&series, "0+1x1500 1500x58 1501x100"),
                    (&synthetic, "0+1x1700"),
                    (&denied, "0+1x1700"),
                    (&alive, "0+1x1700"),
                    (&ready, "0+1x1700"),
                    (&bots, "0+1x1700"),
                ],
                &[(1530, None), (1535, fires()), (1555, fires()), (1560, None)],
            ),
            far(
                "is silent where 29 came yesterday",
                "29 requests at minute 60, then none: at minute 1515 the 30m of yesterday are those up to minute 75. The \
                 300 of bots in the same minute are nobody who could be missed.",
                &[(&series, "0x59 29x1500"), (&bots, "0x59 300x1500")],
                &[(1505, None), (1515, None)],
            ),
            far(
                "fires where 30 came yesterday",
                "As above with one more: at minute 1500 the 30m of yesterday end at minute 60; fires at 1505.",
                &[(&series, "0x59 30x1500")],
                &[(1500, None), (1505, fires())],
            ),
            far(
                "is silent on a weekend that is as quiet as the last",
                "30 requests at minute 9210, then none: from minute 10650 on, a day later, it would fire at 10655. But a \
                 week before, at minute 570, only 29 came.",
                &[(&series, "0x569 29x8639 59x2000")],
                &[(10_655, None), (10_680, None)],
            ),
            far(
                "fires where 30 came a week ago as well",
                "As above with one more at minute 570, so it fires at 10655.",
                &[(&series, "0x569 30x8639 60x2000")],
                &[(10_650, None), (10_655, fires())],
            ),
        ],
    }
}

fn pool() -> Alert {
    let used = "db_client_connection_count{job=\"task-api\",instance=\"a\",state=\"used\"}";
    let most = "db_client_connection_max{job=\"task-api\",instance=\"a\"}";
    Alert {
        name: "DatabasePoolSaturated".to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Ticket,
        summary: "Nearly all connections to the database are in use.".to_owned(),
        description: format!(
            "On average of 5m [[percent]] of the pool of [[label:instance]] is in use, and has been for 5m; more than \
             {} makes requests wait. Users wait, and after that get 503.",
            percent(BUSY_MAX)
        ),
        expr: format!(
            "avg_over_time(db_client_connection_count{{job=\"task-api\",state=\"used\"}}[5m])\n\
             / ignoring (state) db_client_connection_max{{job=\"task-api\"}} > {}",
            number(BUSY_MAX)
        ),
        wait: Some(5),
        dashboard: "task-api-database",
        symptom: false,
        cases: vec![
            Case::new(
                "fires 5 minutes after the average is over, and resolves when it is not",
                "All 20 connections from minute 10 on, 10 before. Of the samples of 5m, both ends included, there are \
                 6: 5 of 20 and 1 of 10 make (100 + 10) / 6 / 20 = 0.917 at minute 14, 4 and 2 make 0.833. Fires at \
                 14 + 5. With 10 again at minute 25 the average is 0.917 then, and 0.833 at minute 26.",
                &[(used, "10x9 20x14 10x20"), (most, "20x60")],
                &[(18, None), (19, Firing::new(1.0, &A)), (25, Firing::new(110.0 / 120.0, &A)), (26, None)],
            ),
            Case::new(
                "is silent at nine tenths",
                "18 of 20 is 0.9, not more.",
                &[(used, "18x60"), (most, "20x60")],
                &[(60, None)],
            ),
        ],
    }
}

fn slow_operation(slo: &Slo) -> Alert {
    let (latency, edge) = (number(slo.database.latency), edge(slo.database.latency));
    let most = (1.0 - slo.database.fast) * OPERATION_BURN_MAX;
    let by = |function: &str, part: &str, matchers: &str| {
        format!(
            "sum by (db_operation_name) ({function}({OPERATIONS}_{part}{{job=\"task-api\",error_type!=\"cancelled\"{matchers}}}[15m]))"
        )
    };
    let fast = by("rate", "bucket", &format!(",le=\"{edge}\""));
    let fed = "job=\"task-api\",instance=\"a\",db_operation_name=\"task.list\"";
    let (all, quick) = (format!("{OPERATIONS}_count{{{fed}}}"), format!("{OPERATIONS}_bucket{{{fed},le=\"{edge}\"}}"));
    let labels = [("db_operation_name", "task.list")];
    // Of 100 a minute all but so many are slow for a while: after 3 of 15 minutes the share is 1.2 times the
    // threshold, after 2 it is 0.8 times.
    let slow = 600.0 * most;
    let quick_values = format!("0+100x20 {}+{}x19 {}+100x60", 2100.0 - slow, 100.0 - slow, 4100.0 - 20.0 * slow);
    let share = |minutes: f64| minutes * slow / 1500.0;
    Alert {
        name: "DatabaseSlow".to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Ticket,
        summary: "One database operation is slow.".to_owned(),
        description: format!(
            "[[percent]] of [[label:db_operation_name]] took longer than {latency} s within 15m, and that for 5m; more \
             than {} is too much for one operation. Whoever uses what needs it waits, even while the average looks \
             good.",
            percent(most)
        ),
        expr: format!(
            "1 - {fast}\n  / {} > {}\nand\n{} >= {OPERATIONS_MIN}",
            by("rate", "count", ""),
            number(most),
            by("increase", "count", "")
        ),
        wait: Some(5),
        dashboard: "task-api-database",
        symptom: false,
        cases: vec![
            Case::new(
                "fires 5 minutes after its share is over, and resolves when it is not",
                &format!(
                    "Of 100 a minute {slow} are slow from minute 21 to minute 40. After n of these minutes the share \
                     of 15m is n * {slow} / 1500: {} for 2, {} for 3, the threshold is {}. So it is over at minute 23 \
                     and fires at 28. At minute 52 the 15m hold 3 of these minutes, at minute 53 they hold 2.",
                    percent(share(2.0)),
                    percent(share(3.0)),
                    percent(most)
                ),
                &[(&all, "0+100x100"), (&quick, &quick_values)],
                &[
                    (27, None),
                    (28, Firing::new(share(8.0), &labels)),
                    (52, Firing::new(share(3.0), &labels)),
                    (53, None),
                ],
            ),
            Case::new(
                &format!("is silent for {} operations in 15m", 3 * 15),
                "All are slow, 3 a minute.",
                &[(&all, "0+3x60"), (&quick, "0x60")],
                &[(60, None)],
            ),
            Case::new(
                &format!("fires for {} operations in 15m", 4 * 15),
                "All are slow, 4 a minute.",
                &[(&all, "0+4x60"), (&quick, "0x60")],
                &[(60, Firing::new(1.0, &labels))],
            ),
        ],
    }
}

fn runtime() -> Alert {
    let busy = "tokio_worker_busy_seconds_total{job=\"task-api\",instance=\"a\"}";
    let workers = "tokio_workers{job=\"task-api\",instance=\"a\"}";
    Alert {
        name: "RuntimeSaturated".to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Ticket,
        summary: "The runtime's workers are busy nearly all the time.".to_owned(),
        description: format!(
            "The workers of [[label:instance]] were busy [[percent]] of 5m, and that for 10m; over {} every request \
             waits for a worker. Users wait although the database is quick.",
            percent(BUSY_MAX)
        ),
        expr: format!(
            "sum by (job, instance) (rate(tokio_worker_busy_seconds_total{{job=\"task-api\"}}[5m]))\n\
             / sum by (job, instance) (tokio_workers{{job=\"task-api\"}}) > {}",
            number(BUSY_MAX)
        ),
        wait: Some(10),
        dashboard: "task-api-runtime",
        symptom: false,
        cases: vec![
            Case::new(
                "fires 10 minutes after its workers are busy, and resolves when they rest",
                "Two workers have 120 s a minute. They are busy for 60 of them until minute 20 and for 120 from then \
                 on: 5m hold 4 * 120 + 60 of 600 = 0.9 at minute 24, and all at minute 25; fires at 25 + 10. From \
                 minute 40 on they rest: at minute 41 it is 0.8.",
                &[(busy, "0+60x20 1320+120x19 3600x40"), (workers, "2x100")],
                &[(34, None), (35, Firing::new(1.0, &A)), (40, Firing::new(1.0, &A)), (41, None)],
            ),
            Case::new(
                "is silent at 89 %",
                "106.8 of 120 s a minute.",
                &[(busy, "0+106.8x60"), (workers, "2x60")],
                &[(60, None)],
            ),
        ],
    }
}

fn panicked() -> Alert {
    let series = "panics_total{job=\"task-api\",instance=\"a\"}";
    let fires = || Firing::new(1.0, &A);
    Alert {
        name: "RequestPanicked".to_owned(),
        topic: TOPIC.to_owned(),
        labels: Vec::new(),
        severity: Severity::Ticket,
        summary: "Code panicked while it served a request.".to_owned(),
        description: "[[0]] panics on [[label:instance]] within 15m; 0 is right, each is a mistake in the code. \
                      Whoever sent that request got a 500."
            .to_owned(),
        expr: "sum by (job, instance) (increase(panics_total{job=\"task-api\"}[15m])) > 0".to_owned(),
        wait: None,
        dashboard: "task-api-overview",
        symptom: false,
        cases: vec![
            Case::new(
                "fires at once and resolves after 15 minutes without another",
                "The counter goes from 2 to 3 at minute 10. At minute 25 the 15m begin at minute 10, with 3.",
                &[(series, "2x9 3x60")],
                &[(9, None), (10, fires()), (24, fires()), (25, None)],
            ),
            Case::new("is silent about old ones", "The counter stands at 2.", &[(series, "2x60")], &[(60, None)]),
        ],
    }
}
