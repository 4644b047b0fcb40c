//! The alerts on burn rates: several windows, several rates, as the SRE workbook has them, each with a guard against
//! little traffic.

use slo::{Burn, Severity, Slo};

use super::alert::{Alert, Case, Check, Firing, of_objective};
use super::history::{History, Stretch, minutes};
use super::recording::is_direct;
use super::sli::{SERVICE, Sli, all};
use super::yaml::{number, percent};

/// How far over its threshold the errors of a case are.
const OVER: f64 = 1.6;
/// How far below.
const BELOW: f64 = 0.97;
/// Evaluations within a short window.
const STEPS_SHORT: u64 = 5;
/// Evaluations for which the errors go on after the alert fires.
const STEPS_AFTER: u64 = 2;

/// Two names for each objective: one for the rates that call somebody at once, one for those that can wait.
pub(super) fn alerts(slo: &Slo) -> Vec<Alert> {
    let of = |sli: &Sli| -> Vec<Alert> { sli.burns(slo).map(|burn| alert(slo, sli, burn)).collect() };
    all(slo).iter().flat_map(of).collect()
}

/// Minutes between two evaluations of the tests of this burn.
pub(super) fn step(burn: &Burn) -> u64 {
    (minutes(burn.short) / STEPS_SHORT).max(1)
}

/// The name of an alert on this burn.
pub(super) fn name(sli: &Sli, burn: &Burn) -> String {
    let speed = match burn.severity {
        Severity::Page => "Fast",
        Severity::Ticket => "Slow",
    };
    format!("{}Burn{speed}", sli.alert)
}

fn alert(slo: &Slo, sli: &Sli, burn: &Burn) -> Alert {
    let Burn { long, short, .. } = *burn;
    let matcher = sli.matcher();
    let threshold = format!("{} * {}", number(burn.factor(slo.window)), number(sli.budget()));
    let expr = format!(
        "slo:sli_error:ratio_rate{long}{{{matcher}}} > {threshold}\n\
         and on (sloth_slo)\n\
         slo:sli_error:ratio_rate{short}{{{matcher}}} > {threshold}\n\
         and on (sloth_slo)\n\
         slo:sli_total:increase{long}{{{matcher}}} >= {}",
        sli.events_min(slo, burn)
    );
    let description = format!(
        "[[percent]] {} in the last {long}, and it goes on. More than {} for {long} spends {} of the budget of {}, {} \
         times as fast as it may be spent; [[budget:{}]] of that budget is left. {}",
        sli.bad_what,
        percent(burn.factor(slo.window) * sli.budget()),
        percent(burn.budget),
        slo.window,
        number(burn.factor(slo.window)),
        sli.slo,
        sli.users
    );
    let summary = match burn.severity {
        Severity::Page => format!("The error budget of {} burns so fast that it will not last.", sli.slo),
        Severity::Ticket => format!("The error budget of {} is being spent faster than planned.", sli.slo),
    };
    Alert {
        name: name(sli, burn),
        topic: of_objective(sli.slo),
        labels: vec![("sloth_window", long.to_string())],
        severity: if sli.pages { burn.severity } else { Severity::Ticket },
        summary,
        description,
        expr,
        wait: None,
        dashboard: "task-api-slo",
        symptom: sli.job == "task-api" || sli.job == "canary",
        cases: cases(slo, sli, burn),
    }
}

/// A case's ground: even traffic, long enough before the errors that the rules of the same name see it too.
struct Ground<'a> {
    slo: &'a Slo,
    sli: &'a Sli,
    burn: &'a Burn,
    /// The rules that share the name, this one among them.
    siblings: Vec<&'a Burn>,
    step: u64,
    /// The errors start at this minute.
    start: u64,
}

fn cases(slo: &Slo, sli: &Sli, burn: &Burn) -> Vec<Case> {
    let siblings: Vec<&Burn> = sli.burns(slo).filter(|other| other.severity == burn.severity).collect();
    let step = step(burn);
    let longest = siblings.iter().map(|sibling| minutes(sibling.long)).max().unwrap_or_default();
    let start = longest.div_ceil(step) * step;
    let ground = Ground { slo, sli, burn, siblings, step, start };
    let young = (!is_direct(slo, burn.long)).then(|| ground.young());
    [ground.fires_and_resolves(), ground.just_below(), ground.too_little_traffic()].into_iter().chain(young).collect()
}

impl Ground<'_> {
    fn threshold(&self, burn: &Burn) -> f64 {
        burn.factor(self.slo.window) * self.sli.budget()
    }

    fn holds(&self, burn: &Burn, history: &History, minute: u64) -> bool {
        let over = |window| history.ratio(self.slo, window, minute, self.step) > self.threshold(burn);
        let events = history.events(self.slo, burn.long, minute, self.step);
        over(burn.long) && over(burn.short) && events >= self.sli.events_min(self.slo, burn) as f64
    }

    fn requests_min(&self) -> u64 {
        self.sli.events_min(self.slo, self.burn)
    }

    /// Events a minute at which so many count within the long window. In place of every 30 s the rules of a test are
    /// evaluated each step, and a sum over recorded rates misses what lies between.
    fn rate_of(&self, events: f64) -> f64 {
        let one = History(vec![Stretch { minutes: 2 * self.start, rate: 1.0, bad: 0.0 }]);
        events / one.events(self.slo, self.burn.long, 2 * self.start, self.step)
    }

    /// The share of bad events that is over this threshold, and not over that of a faster rule with the same name.
    fn over(&self) -> f64 {
        let own = self.threshold(self.burn);
        let faster = self.siblings.iter().map(|sibling| self.threshold(sibling)).filter(|other| *other > own);
        let ceiling = faster.fold(1.0, f64::min);
        let over = if own * OVER < 0.95 * ceiling { own * OVER } else { (own * ceiling).sqrt() };
        (over * 1e6).round() / 1e6
    }

    /// Traffic, and errors from `start` on. Before the long window there was more traffic where a slower rule of the
    /// same name would otherwise fire too.
    fn history(&self, rate: f64, bad: f64, bad_minutes: u64, after: u64) -> History {
        let long = minutes(self.burn.long);
        let own = self.threshold(self.burn);
        let busier = |sibling: &&Burn| {
            let (other, other_long) = (self.threshold(sibling), minutes(sibling.long));
            (2.0 * own * long as f64 / other - long as f64) / (other_long - long) as f64
        };
        let slower = self.siblings.iter().copied().filter(|sibling| minutes(sibling.long) > long);
        let busier = slower.map(|sibling| busier(&sibling)).fold(1.0, f64::max).ceil();
        History(vec![
            Stretch { minutes: self.start - long, rate: rate * busier, bad: 0.0 },
            Stretch { minutes: long, rate, bad: 0.0 },
            Stretch { minutes: bad_minutes, rate, bad },
            Stretch { minutes: after, rate, bad: 0.0 },
        ])
    }

    fn check(&self, history: &History, minute: u64) -> Check {
        let firing =
            self.siblings.iter().filter(|sibling| self.holds(sibling, history, minute)).map(|sibling| Firing {
                labels: vec![
                    ("sloth_id", self.sli.id()),
                    ("sloth_service", SERVICE.to_owned()),
                    ("sloth_slo", self.sli.slo.to_owned()),
                    ("sloth_window", sibling.long.to_string()),
                ],
                value: history.ratio(self.slo, sibling.long, minute, self.step),
                budget: Some(history.budget_left(self.slo, self.sli, minute, self.step)),
            });
        Check { minute, firing: firing.collect() }
    }

    fn case(&self, what: String, why: String, history: &History, moments: &[u64]) -> Case {
        Case {
            what,
            why,
            step: self.step,
            file: Some(format!("{}-{}", of_objective(self.sli.slo), self.burn.long)),
            series: history.series(self.sli),
            checks: moments.iter().map(|minute| self.check(history, *minute)).collect(),
        }
    }

    fn fires_and_resolves(&self) -> Case {
        let (long, short) = (self.burn.long, self.burn.short);
        let bad = self.over();
        let rate = self.rate_of(2.0 * self.requests_min() as f64).ceil();
        let endless = self.history(rate, bad, 2 * minutes(long), 0);
        let moments = |from: u64, to: u64| (from..=to).step_by(self.step as usize);
        let fires = moments(self.start, endless.minutes())
            .find(|minute| self.holds(self.burn, &endless, *minute))
            .unwrap_or(endless.minutes());
        let stop = fires + STEPS_AFTER * self.step;
        let history = self.history(rate, bad, stop - self.start, minutes(long));
        let resolves = moments(stop, history.minutes())
            .find(|minute| !self.holds(self.burn, &history, *minute))
            .unwrap_or(history.minutes());
        let threshold = percent(self.threshold(self.burn));
        let why = format!(
            "{} of {rate} a minute are bad from minute {} on, the threshold is {} * {} = {threshold}. Of the {long} \
             up to minute {fires}, {} minutes are bad: {}, over it for the first time; of the {short}, more. They end \
             at minute {stop}; at minute {resolves} the {short} hold {}.",
            percent(bad),
            self.start,
            number(self.burn.factor(self.slo.window)),
            number(self.sli.budget()),
            fires - self.start,
            percent(history.ratio(self.slo, long, fires, self.step)),
            percent(history.ratio(self.slo, short, resolves, self.step)),
        );
        let what = format!("fires for {long} at minute {fires} and resolves at minute {resolves}");
        self.case(what, why, &history, &[fires - self.step, fires, resolves - self.step, resolves])
    }

    fn just_below(&self) -> Case {
        let bad = self.threshold(self.burn) * BELOW;
        let long = self.burn.long;
        let rate = self.rate_of(2.0 * self.requests_min() as f64).ceil();
        let history = self.history(rate, bad, minutes(long), 0);
        let end = history.minutes();
        let mut why = format!(
            "{} are bad for all of {long}: {} of the threshold of {}.",
            percent(bad),
            percent(BELOW),
            percent(self.threshold(self.burn))
        );
        let mut case =
            self.case(format!("is silent just below its threshold for {long}"), why.clone(), &history, &[end]);
        // The load test and the load balancer's checks may fail as they like.
        if let Some(probes) = self.sli.probes() {
            let users = probes.replace("/health", "/api/v1/tasks");
            for series in [users.replace("\"none\"", "\"load\""), probes.replace("/health", "/ready"), probes] {
                case.series.push((series, format!("0+{}x{end}", number(rate))));
            }
            why.push_str(" Synthetic requests and health checks do not count.");
        }
        case.why = why;
        case
    }

    fn too_little_traffic(&self) -> Case {
        let long = self.burn.long;
        let enough = self.requests_min();
        let rate = self.rate_of((enough - 1) as f64);
        let history = self.history(rate, self.over(), minutes(long), 0);
        let mut why = format!(
            "{} are bad for all of {long}, over the threshold of {}, but only {} came; from {enough} on {} failures \
             make a threshold.",
            percent(self.over()),
            percent(self.threshold(self.burn)),
            enough - 1,
            self.slo.guard_failures
        );
        let end = history.minutes();
        let mut case = self.case(format!("is silent with too little traffic in {long}"), why.clone(), &history, &[end]);
        if let Some(probes) = self.sli.probes() {
            case.series.push((probes, format!("0+{}x{end}", number(rate / 10.0))));
            why.push_str(" Health checks are no traffic.");
        }
        case.why = why;
        case
    }

    /// The first hours of a Prometheus that knows nothing of the time before.
    fn young(&self) -> Case {
        let Burn { long, short, .. } = *self.burn;
        let enough = self.requests_min();
        let end = minutes(short);
        let one = History(vec![Stretch { minutes: end, rate: 1.0, bad: 0.0 }]);
        let rate = 0.8 * enough as f64 / one.events(self.slo, long, end, self.step);
        let history = History(vec![Stretch { minutes: end, rate, bad: self.over() }]);
        let why = format!(
            "There is nothing before minute 0. {} are bad up to minute {end}, over the threshold of {}, but only 0.8 * \
             {enough} came so far; what {long} would hold at this pace does not count.",
            percent(self.over()),
            percent(self.threshold(self.burn)),
        );
        self.case(format!("is silent after a fresh start until enough came for {long}"), why, &history, &[end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slo() -> Slo {
        Slo::parse(include_str!("../../../slo.toml"), "slo.toml").expect("valid")
    }

    #[test]
    fn each_objective_has_each_burn_rate_and_each_rule_fires_once_and_alone() {
        let alerts = alerts(&slo());
        assert_eq!(alerts.len(), 5 * slo().burn.len());
        for alert in alerts {
            let firing: Vec<Vec<usize>> =
                alert.cases.iter().map(|case| case.checks.iter().map(|check| check.firing.len()).collect()).collect();
            assert_eq!(firing[..3], [vec![0, 1, 1, 0], vec![0], vec![0]], "{}", alert.name);
            assert!(firing[3..].iter().all(|young| *young == [0]), "{}", alert.name);
        }
    }

    #[test]
    fn a_burn_rate_that_too_few_runs_of_the_canary_can_tell_makes_no_rule() {
        let mut slo = slo();
        for (interval, windows) in [("1m", 4), ("5m", 4), ("15m", 3), ("30m", 2)] {
            slo.canary.interval = interval.parse().expect("a period");
            let canary = all(&slo).into_iter().find(|sli| sli.alert == "Canary").expect("there is one");
            assert_eq!(canary.burns(&slo).count(), windows, "{interval}");
            for burn in canary.burns(&slo) {
                let runs = burn.long.seconds() / slo.canary.interval.seconds();
                assert!(canary.events_min(&slo, burn) < runs, "{interval}: {burn:?} waits for more than all runs");
            }
        }
    }
}
