//! The evaluator on small templates: what the guide says about few samples, long windows and composites of composites.

use ops::cloudwatch::evaluator::{Sample, Simulation, State, World};
use ops::cloudwatch::template::{Metric, Template};

/// An alarm on one metric without dimensions.
fn alarm(id: &str, properties: &str) -> String {
    format!(
        "  {id}:\n    Type: AWS::CloudWatch::Alarm\n    Properties:\n      AlarmName: {id}\n      Namespace: Test\n      \
         MetricName: Value\n      ComparisonOperator: GreaterThanThreshold\n      TreatMissingData: notBreaching\n{properties}"
    )
}

fn template(resources: &str) -> Template {
    let template = Template::parse(&format!("Resources:\n{resources}")).expect("a template");
    assert_eq!(template.refused, []);
    template
}

/// The states of the alarms after each minute, in which these samples are sent.
fn states(template: &Template, minutes: &[Vec<Sample>], id: &str) -> Vec<State> {
    let mut world = World::default();
    let metric = Metric { namespace: "Test".to_owned(), metric_name: "Value".to_owned(), dimensions: Vec::new() };
    let metric = world.id(&metric);
    for samples in minutes {
        world.next_minute();
        world.send(metric, samples);
    }
    let mut simulation = Simulation::new(template, &world).expect("a template that can be evaluated");
    let (mut state, mut states) = (State::InsufficientData, Vec::new());
    for minute in 1..=minutes.len() {
        let changes = simulation.evaluate(minute).expect("an evaluation");
        state = changes.iter().rfind(|change| change.id == id).map_or(state, |change| change.state);
        states.push(state);
    }
    states
}

#[test]
fn a_percentile_of_few_samples_changes_nothing_when_they_are_to_be_ignored() {
    let properties = |low: &str| {
        format!(
            "      ExtendedStatistic: p99\n      Period: 60\n      Threshold: 0.2\n      DatapointsToAlarm: 1\n      \
             EvaluationPeriods: 1\n      EvaluateLowSampleCountPercentile: {low}\n"
        )
    };
    let minute = |value: f64, count: f64| vec![Sample { value, count }];
    // Enough and good, few and bad, enough and bad, few and good, enough and good. A thousand are enough for p99.
    let minutes =
        [minute(0.1, 1_000.0), minute(0.5, 999.0), minute(0.5, 1_000.0), minute(0.1, 10.0), minute(0.1, 2_000.0)];
    use State::{Alarm, Ok};
    let ignored = template(&alarm("Slow", &properties("ignore")));
    assert_eq!(states(&ignored, &minutes, "Slow"), [Ok, Ok, Alarm, Alarm, Ok]);
    let evaluated = template(&alarm("Slow", &properties("evaluate")));
    assert_eq!(states(&evaluated, &minutes, "Slow"), [Ok, Alarm, Alarm, Ok, Ok]);
}

#[test]
fn m_of_n_needs_m_and_comes_back() {
    let properties = "      Statistic: Sum\n      Period: 60\n      Threshold: 5\n      DatapointsToAlarm: 2\n      EvaluationPeriods: 3\n";
    let minutes: Vec<Vec<Sample>> =
        [1, 9, 1, 9, 1, 1, 9, 1].iter().map(|&value| vec![Sample::once(f64::from(value))]).collect();
    use State::{Alarm, Ok};
    let found = states(&template(&alarm("Often", properties)), &minutes, "Often");
    assert_eq!(found, [Ok, Ok, Ok, Alarm, Ok, Ok, Ok, Ok]);
}

#[test]
fn a_window_of_more_than_a_day_is_evaluated_by_the_hour() {
    let properties = "      Statistic: Sum\n      Period: 172800\n      Threshold: 5\n      DatapointsToAlarm: 1\n      EvaluationPeriods: 1\n";
    let mut minutes = vec![vec![Sample::once(0.0)]; 3_000];
    minutes[2_900].push(Sample::once(9.0));
    let found = states(&template(&alarm("Long", properties)), &minutes, "Long");
    let first = found.iter().position(|state| *state == State::Alarm).map(|at| at + 1);
    assert_eq!(first, Some(2_940), "the first full hour after minute 2901");
}

#[test]
fn a_composite_sees_a_composite_in_the_same_evaluation() {
    let resources = alarm(
        "High",
        "      Statistic: Sum\n      Period: 60\n      Threshold: 5\n      DatapointsToAlarm: 1\n      EvaluationPeriods: 1\n",
    );
    let composite = |id: &str, rule: &str| {
        format!(
            "  {id}:\n    Type: AWS::CloudWatch::CompositeAlarm\n    Properties:\n      AlarmName: {id}\n      AlarmRule: !Sub {rule}\n"
        )
    };
    // The outer one comes first by its name, and is evaluated again once the inner one has changed.
    let resources = resources + &composite("A", "ALARM(${B}) AND NOT OK(${High})") + &composite("B", "ALARM(${High})");
    let minutes = [vec![Sample::once(1.0)], vec![Sample::once(9.0)], vec![Sample::once(1.0)]];
    use State::{Alarm, Ok};
    assert_eq!(states(&template(&resources), &minutes, "A"), [Ok, Alarm, Ok]);
}

#[test]
fn a_circle_of_expressions_is_refused_and_not_followed() {
    let resources = "  Round:\n    Type: AWS::CloudWatch::Alarm\n    Properties:\n      AlarmName: Round\n      Metrics:\n        \
                     - { Id: a, Expression: b+1, ReturnData: true }\n        - { Id: b, Expression: a+1, ReturnData: false }\n        \
                     - { Id: m, MetricStat: { Metric: { Namespace: N, MetricName: M }, Period: 60, Stat: Sum }, ReturnData: false }\n      \
                     ComparisonOperator: GreaterThanThreshold\n      Threshold: 1\n      EvaluationPeriods: 1\n";
    let (world, template) = (World::default(), template(resources));
    let refused = Simulation::new(&template, &world).expect("readers").evaluate(1).expect_err("a circle");
    assert!(refused.starts_with("Round: ") && refused.ends_with("reads itself"), "{refused}");
}
