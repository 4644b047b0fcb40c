//! The alert on errors while few requests come, when no burn rate counts.

use slo::{Burn, Severity, Slo};

use super::alert::{Alert, Case, Check, Firing, of_objective};
use super::burn;
use super::history::{History, Stretch, minutes};
use super::sli::{SERVICE, Sli, all};
use super::yaml::number;

/// What the traffic guards of the burn rates let pass in silence is told here, for each of their windows: a service that
/// few use may fail for days without ever having enough requests within the shortest.
pub(super) fn alerts(slo: &Slo) -> Vec<Alert> {
    let requests = all(slo).into_iter().next();
    let of = |sli: &Sli| sli.burns(slo).map(|burn| Quiet { slo, sli, burn }.alert()).collect();
    requests.as_ref().map(of).unwrap_or_default()
}

/// One window, and what its tests are made of.
struct Quiet<'a> {
    slo: &'a Slo,
    sli: &'a Sli,
    burn: &'a Burn,
}

impl Quiet<'_> {
    fn alert(&self) -> Alert {
        let (long, failures, enough) = (self.burn.long, self.slo.guard_failures, self.enough(self.burn));
        let matcher = self.sli.matcher();
        let events = format!("slo:sli_total:increase{long}{{{matcher}}}");
        Alert {
            name: "ErrorsInQuietHours".to_owned(),
            topic: of_objective(self.sli.slo),
            labels: vec![("sloth_window", long.to_string())],
            severity: Severity::Ticket,
            summary: "Requests failed while too few came for a burn rate to count.".to_owned(),
            description: format!(
                "[[0]] requests ended with a 5xx within [[label:sloth_window]], in which fewer came than a burn rate needs; \
                 from {failures} on this is told. The few users of that time saw errors."
            ),
            // Whole failures: what a rate over a window makes of five may be a little less.
            expr: format!(
                "round(slo:sli_error:ratio_rate{long}{{{matcher}}} * on (sloth_slo) group_left {events}) >= {failures}\n\
                 and on (sloth_slo)\n{events} < {enough}"
            ),
            wait: None,
            dashboard: "task-api-overview",
            symptom: false,
            cases: self.cases(),
        }
    }

    /// Requests from which on the burn rate of this window counts.
    fn enough(&self, burn: &Burn) -> u64 {
        self.sli.events_min(self.slo, burn)
    }

    /// Minutes between two evaluations of a test: as in the tests of the burn rate, which stand in the same file.
    fn step(&self) -> u64 {
        burn::step(self.burn)
    }

    fn failures(&self, burn: &Burn, history: &History, minute: u64) -> f64 {
        let ratio = history.ratio(self.slo, burn.long, minute, self.step());
        (ratio * history.events(self.slo, burn.long, minute, self.step())).round()
    }

    fn holds(&self, burn: &Burn, history: &History, minute: u64) -> bool {
        self.failures(burn, history, minute) >= f64::from(self.slo.guard_failures)
            && history.events(self.slo, burn.long, minute, self.step()) < self.enough(burn) as f64
    }

    /// Requests, of which so many fail within one long window after another.
    fn history(&self, requests: f64, failures: f64, bad_minutes: u64, after: u64) -> History {
        let long = minutes(self.burn.long);
        let one = History(vec![Stretch { minutes: 2 * long, rate: 1.0, bad: 0.0 }]);
        let rate = requests / one.events(self.slo, self.burn.long, 2 * long, self.step());
        let bad = failures / requests;
        History(vec![
            Stretch { minutes: long, rate, bad: 0.0 },
            Stretch { minutes: bad_minutes, rate, bad },
            Stretch { minutes: after, rate, bad: 0.0 },
        ])
    }

    fn case(&self, what: String, why: String, history: &History, moments: &[u64]) -> Case {
        let check = |minute: &u64| {
            let firing = self.sli.burns(self.slo).filter(|burn| self.holds(burn, history, *minute));
            let firing = firing.map(|burn| Firing {
                labels: vec![
                    ("sloth_id", self.sli.id()),
                    ("sloth_service", SERVICE.to_owned()),
                    ("sloth_slo", self.sli.slo.to_owned()),
                    ("sloth_window", burn.long.to_string()),
                ],
                value: self.failures(burn, history, *minute),
                budget: None,
            });
            Check { minute: *minute, firing: firing.collect() }
        };
        Case {
            what,
            why,
            step: self.step(),
            file: Some(format!("{}-{}", of_objective(self.sli.slo), self.burn.long)),
            series: history.series(self.sli),
            checks: moments.iter().map(check).collect(),
        }
    }

    fn cases(&self) -> Vec<Case> {
        let cases = [self.fires_and_resolves(), self.busy(), self.one_less()];
        cases.into_iter().chain(self.for_days()).collect()
    }

    fn fires_and_resolves(&self) -> Case {
        // Somewhat less than twice as many as are told, so that no moment is at the edge between two whole numbers.
        const OVER: f64 = 1.9;
        const BELOW: f64 = 0.9;
        let (long, step, told) = (minutes(self.burn.long), self.step(), self.slo.guard_failures);
        let requests = BELOW * self.enough(self.burn) as f64;
        let history = self.history(requests, OVER * f64::from(told), long, 2 * long);
        let moments = |from: u64, to: u64| (from..=to).step_by(step as usize);
        let holds = |minute: &u64| self.holds(self.burn, &history, *minute);
        let start = long.div_ceil(step) * step;
        let fires = moments(start, history.minutes()).find(holds).unwrap_or(history.minutes());
        let resolves = moments(fires, history.minutes()).find(|minute| !holds(minute)).unwrap_or(history.minutes());
        let why = format!(
            "Within {} {} requests come, {} less than a burn rate needs. From minute {long} on {} of as many fail: \
             failure {told} is seen at minute {fires}. They end at minute {}; at minute {resolves} fewer than {told} are \
             within the window.",
            self.burn.long,
            number(requests.round()),
            number((self.enough(self.burn) as f64 - requests).round()),
            number(OVER * f64::from(told)),
            2 * long,
        );
        let what = format!("of {} fires at minute {fires} and resolves at minute {resolves}", self.burn.long);
        self.case(what, why, &history, &[fires - step, fires, resolves - step, resolves])
    }

    fn busy(&self) -> Case {
        let (long, enough) = (minutes(self.burn.long), self.enough(self.burn));
        let history = self.history(1.02 * enough as f64, 1.9 * f64::from(self.slo.guard_failures), long, 0);
        let why = format!("As many failures, but {enough} requests and some more come within {}.", self.burn.long);
        let what = format!("of {} leaves busy times to the burn rate", self.burn.long);
        self.case(what, why, &history, &[history.minutes() / self.step() * self.step()])
    }

    fn one_less(&self) -> Case {
        let (long, last) = (minutes(self.burn.long), self.slo.guard_failures - 1);
        let history = self.history(0.9 * self.enough(self.burn) as f64, f64::from(last), long, 0);
        let end = history.minutes() / self.step() * self.step();
        let why =
            format!("One failure less than is told; health checks that fail are no user's, {} of them.", 2 * long);
        let mut case = self.case(format!("of {} is silent for {last} failures", self.burn.long), why, &history, &[end]);
        case.series.extend(self.sli.probes().map(|probes| (probes, format!("0+1x{}", 2 * long))));
        case
    }

    /// What no window of an hour can see.
    fn for_days(&self) -> Option<Case> {
        const DAYS: u64 = 2;
        let end = DAYS * 24 * 60 / self.step() * self.step();
        let history = History(vec![Stretch { minutes: end, rate: 20.0 / 60.0, bad: 0.2 }]);
        if !self.holds(self.burn, &history, end) {
            return None;
        }
        let firing = self.sli.burns(self.slo).filter(|burn| self.holds(burn, &history, end));
        let windows: Vec<String> = firing.map(|burn| burn.long.to_string()).collect();
        let why = format!(
            "4 of 20 requests fail in each hour, too few for any of the windows' burn rates; the windows of {} hold {} \
             failures and more.",
            windows.join(", "),
            self.slo.guard_failures
        );
        let what = format!("of {} fires for a fifth of failures in little traffic", self.burn.long);
        Some(self.case(what, why, &history, &[end]))
    }
}
