//! The alarm on a dead canary, whose period follows from the schedule: quick for a dead one, silent for a live one.

use ops::cloudwatch::evaluator::{Sample, Simulation, State, World};
use ops::cloudwatch::template::Metric;
use proptest::prelude::*;
use slo::Slo;

use super::world::dimension;
use super::{objectives_with, template};

/// How late its reports may come, in minutes.
const DELIVERY_MAX: usize = 3;

/// How late they may come without an alarm: where they come every minute, within one.
const fn tolerated(interval: usize) -> usize {
    if interval == 1 { 1 } else { DELIVERY_MAX }
}

/// Runs at these minutes, whose reports come so many minutes late; which minutes the alarm was in alarm.
fn silent_alarm(slo: &Slo, runs: &[usize], minutes: usize, late: usize) -> Vec<usize> {
    let mut template = template(slo);
    template.alarms.retain(|id, _| id == "SyntheticsSilent");
    template.composites.clear();
    let metric = Metric {
        namespace: "CloudWatchSynthetics".to_owned(),
        metric_name: "SuccessPercent".to_owned(),
        dimensions: vec![dimension("CanaryName", "task-api")],
    };
    let mut world = World::default();
    let id = world.id(&metric);
    world.deliver_late(id, late);
    for minute in 0..minutes {
        world.next_minute();
        if runs.contains(&minute) {
            world.send(id, &[Sample::once(100.0)]);
        }
    }
    let mut simulation = Simulation::new(&template, &world).expect("the alarm");
    let (mut state, mut alarmed) = (State::InsufficientData, Vec::new());
    for minute in 1..=minutes {
        for change in simulation.evaluate(minute).expect("the alarm") {
            state = change.state;
        }
        if state == State::Alarm {
            alarmed.push(minute);
        }
    }
    alarmed
}

fn slo(interval_minutes: usize) -> Slo {
    objectives_with("interval = \"1m\"", &format!("interval = \"{}s\"", interval_minutes * 60))
}

#[test]
fn a_dead_canary_alarms_within_three_intervals_and_a_returned_one_ends_it() {
    for interval in [1, 5, 15] {
        let most = 3 * interval;
        let (last, back) = (20 * interval, 30 * interval);
        let runs: Vec<usize> = (0..=last).chain(back..40 * interval).filter(|at| at % interval == 0).collect();
        for late in 0..=tolerated(interval) {
            let alarmed = silent_alarm(&slo(interval), &runs, 40 * interval, late);
            let in_service: Vec<usize> = alarmed.into_iter().filter(|at| *at > 3 * interval + DELIVERY_MAX).collect();
            let first = *in_service.first().expect("it alarms");
            let what = format!("every {interval} min, {late} min late: last run {last}, in alarm {in_service:?}");
            assert!(first > last && first <= last + most, "{what}");
            assert!(in_service.iter().all(|at| (first..=back + late).contains(at)), "{what}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_two_healthy_runs_are_so_far_apart_that_it_alarms(
        interval in prop::sample::select(vec![1_usize, 5, 15]),
        // Where in its interval each run ends: anywhere.
        ends in prop::collection::vec(0_f64..1.0, 30),
        late in 0..=DELIVERY_MAX,
    ) {
        let late = late.min(tolerated(interval));
        let end = |(number, share): (usize, &f64)| number * interval + (share * interval as f64) as usize;
        let runs: Vec<usize> = ends.iter().enumerate().map(end).collect();
        let alarmed = silent_alarm(&slo(interval), &runs, 30 * interval, late);
        let in_service: Vec<usize> = alarmed.into_iter().filter(|at| *at > 3 * interval + DELIVERY_MAX).collect();
        prop_assert!(
            in_service.is_empty(),
            "every {} min, {} min late, runs at {:?}: {:?}", interval, late, runs, in_service
        );
    }
}

#[test]
fn reports_that_come_each_minute_may_be_as_late_as_three_intervals_allow() {
    // A report that is a minute later than tolerated makes the alarm flicker, and a window that is a minute longer, which
    // would tolerate it, tells of a dead canary too late: no window does both.
    let runs: Vec<usize> = (0..=20).collect();
    let in_service = |slo: &Slo, late: usize| -> Vec<usize> {
        let alarmed = silent_alarm(slo, &runs, 30, late).into_iter();
        alarmed.filter(|at| *at > 3 + DELIVERY_MAX).collect()
    };
    let every_minute = slo(1);
    assert!(in_service(&every_minute, tolerated(1)).iter().all(|at| *at > 20), "one minute late is no silence");
    assert!(in_service(&every_minute, tolerated(1) + 1).iter().any(|at| *at <= 20), "two minutes late look like it");
    let first = in_service(&every_minute, 0).into_iter().next();
    assert_eq!(first, Some(20 + 3), "the last moment within three intervals");
}

#[test]
fn a_minute_as_the_period_of_a_quarter_hourly_canary_would_never_be_quiet() {
    // What the derived period is for: the same alarm with the period of the minute.
    let mut template = template(&slo(15));
    template.alarms.retain(|id, _| id == "SyntheticsSilent");
    template.composites.clear();
    let alarm = template.alarms.get_mut("SyntheticsSilent").expect("the alarm");
    alarm.metrics.iter_mut().filter_map(|query| query.metric_stat.as_mut()).for_each(|stat| stat.period = 60);
    let metric =
        alarm.metrics.iter().find_map(|query| Some(query.metric_stat.as_ref()?.metric.clone())).expect("a metric");
    let mut world = World::default();
    let id = world.id(&metric);
    for minute in 0..60 {
        world.next_minute();
        if minute % 15 == 0 {
            world.send(id, &[Sample::once(100.0)]);
        }
    }
    let mut simulation = Simulation::new(&template, &world).expect("the alarm");
    let changes: Vec<_> = (20..=60).flat_map(|minute| simulation.evaluate(minute).expect("the alarm")).collect();
    assert!(changes.iter().filter(|change| change.state == State::Alarm).count() >= 3, "{changes:?}");
}
