//! The alarms and composites of a template over time.

use std::collections::BTreeMap;

use super::super::checks::single;
use super::super::language::math::Expression;
use super::super::language::rule;
use super::super::template::{Alarm, MetricStat, Template};
use super::State;
use super::formula::{self, Value};
use super::series::World;
use super::state::{Missing, Rule, decide};
use super::statistic::{Reader, Statistic};

const MINUTES_A_DAY: usize = 1_440;
/// An alarm has at most 20 metrics and expressions, so longer chains are circles.
const DEPTH_MAX: usize = 20;

/// An alarm or composite that has changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its logical id.
    pub id: String,
    /// At the end of so many minutes.
    pub minute: usize,
    /// The state that it has now.
    pub state: State,
}

/// The alarms of a template against a world.
pub struct Simulation<'a> {
    alarms: Vec<Watch<'a>>,
    composites: Vec<(String, String, rule::Rule)>,
    /// By name.
    states: BTreeMap<String, State>,
}

/// A metric of which nobody knows the newest minutes yet.
struct Late<'a> {
    reader: Reader<'a>,
    /// In minutes.
    delay: usize,
}

impl Late<'_> {
    /// What is known now of a window: from a minute up to another.
    fn known(&self, now: usize, from: usize, to: usize) -> (usize, usize) {
        let to = to.min(now.saturating_sub(self.delay));
        (from.min(to), to)
    }

    fn samples(&self, now: usize, from: usize, to: usize) -> f64 {
        let (from, to) = self.known(now, from, to);
        self.reader.samples(from, to)
    }

    fn value(&self, now: usize, from: usize, to: usize) -> Option<f64> {
        let (from, to) = self.known(now, from, to);
        self.reader.value(from, to)
    }
}

/// One alarm, with what it reads at hand.
struct Watch<'a> {
    id: String,
    name: String,
    readers: BTreeMap<String, Late<'a>>,
    expressions: BTreeMap<String, Expression>,
    /// The id of what is compared with the threshold.
    watched: String,
    /// In minutes.
    period: usize,
    rule: Rule,
    breaches: fn(f64, f64) -> bool,
    threshold: f64,
    /// With fewer samples in the newest data point the state stays.
    samples_min: f64,
}

impl<'a> Simulation<'a> {
    /// All alarms and composites, whose state nobody knows yet.
    ///
    /// # Errors
    /// When one uses what is not understood; the message names it.
    pub fn new(template: &Template, world: &'a World) -> Result<Self, String> {
        let alarms = template
            .alarms
            .iter()
            .map(|(id, alarm)| Watch::new(id, alarm, world).map_err(|error| format!("{id}: {error}")));
        let alarms = alarms.collect::<Result<Vec<_>, _>>()?;
        let composites = template.composites.iter().map(|(id, composite)| {
            let rule = rule::Rule::parse(&composite.alarm_rule).map_err(|error| format!("{id}: {error}"))?;
            Ok((id.clone(), composite.alarm_name.clone(), rule))
        });
        let composites = composites.collect::<Result<Vec<_>, String>>()?;
        let names = alarms.iter().map(|watch| &watch.name).chain(composites.iter().map(|(_, name, _)| name));
        let states = names.map(|name| (name.clone(), State::InsufficientData)).collect();
        Ok(Self { alarms, composites, states })
    }

    /// Evaluates all at the end of so many minutes; what has changed, alarms before composites.
    ///
    /// # Errors
    /// When an expression cannot be evaluated; the message names the alarm.
    pub fn evaluate(&mut self, minute: usize) -> Result<Vec<Change>, String> {
        let mut changes = Vec::new();
        for watch in self.alarms.iter().filter(|watch| watch.is_due(minute)) {
            let now = self.states.get(&watch.name).copied().unwrap_or(State::InsufficientData);
            let state = watch.evaluate(minute, now).map_err(|error| format!("{}: {error}", watch.id))?;
            if state != now {
                self.states.insert(watch.name.clone(), state);
                changes.push(Change { id: watch.id.clone(), minute, state });
            }
        }
        // A composite may look at composites: again, until nothing changes.
        for _ in 0..=self.composites.len() {
            let before = changes.len();
            for (id, name, rule) in &self.composites {
                let holds = rule.holds(&|child| self.states.get(child).copied());
                let state = if holds { State::Alarm } else { State::Ok };
                if self.states.insert(name.clone(), state) != Some(state) {
                    changes.push(Change { id: id.clone(), minute, state });
                }
            }
            if changes.len() == before {
                break;
            }
        }
        Ok(changes)
    }
}

impl<'a> Watch<'a> {
    fn new(id: &str, alarm: &Alarm, world: &'a World) -> Result<Self, String> {
        let reader = |stat: &MetricStat| {
            let statistic = Statistic::parse(&stat.stat).ok_or_else(|| format!("no statistic {}", stat.stat))?;
            let reader = Reader::new(statistic, world.series(&stat.metric));
            Ok::<_, String>(Late { reader, delay: world.delay(&stat.metric) })
        };
        let (mut readers, mut expressions, mut watched) = (BTreeMap::new(), BTreeMap::new(), "value".to_owned());
        let mut seconds = alarm.period.unwrap_or_default();
        let mut samples_min = 0.0;
        if let Some(stat) = single(alarm) {
            let percentile = Statistic::parse(&stat.stat).map_or(0.0, Statistic::samples_min);
            if alarm.evaluate_low_sample_count_percentile.as_deref() == Some("ignore") {
                samples_min = percentile;
            }
            readers.insert(watched.clone(), reader(&stat)?);
        }
        for query in &alarm.metrics {
            if query.return_data {
                watched.clone_from(&query.id);
            }
            if let Some(stat) = &query.metric_stat {
                readers.insert(query.id.clone(), reader(stat)?);
                seconds = stat.period;
            }
            if let Some(text) = &query.expression {
                expressions.insert(query.id.clone(), Expression::parse(text)?);
            }
        }
        if seconds == 0 || !seconds.is_multiple_of(60) {
            return Err(format!("a period of {seconds} s is not whole minutes"));
        }
        Ok(Self {
            id: id.to_owned(),
            name: alarm.alarm_name.clone(),
            readers,
            expressions,
            watched,
            period: (seconds / 60) as usize,
            rule: rule_of(alarm)?,
            breaches: comparison(&alarm.comparison_operator)?,
            threshold: alarm.threshold,
            samples_min,
        })
    }

    /// Each minute; each hour when it reaches back more than a day.
    fn is_due(&self, minute: usize) -> bool {
        self.period * self.rule.periods <= MINUTES_A_DAY || minute.is_multiple_of(60)
    }

    fn evaluate(&self, minute: usize, now: State) -> Result<State, String> {
        let from = minute.saturating_sub(self.period);
        let newest =
            self.readers.values().map(|reader| reader.samples(minute, from, minute)).fold(f64::INFINITY, f64::min);
        if newest > 0.0 && newest < self.samples_min {
            return Ok(now);
        }
        let values = self.read(&self.watched, minute, 0)?.points(self.rule.range());
        let breaches = |value: f64| (self.breaches)(value, self.threshold);
        let points: Vec<Option<bool>> = values.into_iter().map(|value| value.map(breaches)).collect();
        Ok(decide(&points, self.rule, now))
    }

    fn read(&self, id: &str, minute: usize, depth: usize) -> Result<Value, String> {
        let count = self.rule.range();
        if let Some(reader) = self.readers.get(id) {
            let point = |age: usize| {
                let to = minute.checked_sub(age * self.period)?;
                reader.value(minute, to.checked_sub(self.period)?, to)
            };
            return Ok(Value::Series((0..count).map(point).collect()));
        }
        let expression = self.expressions.get(id).ok_or_else(|| format!("there is no {id}"))?;
        if depth > DEPTH_MAX {
            return Err(format!("{id} reads itself"));
        }
        formula::value(expression, count, &|id| self.read(id, minute, depth + 1))
    }
}

fn rule_of(alarm: &Alarm) -> Result<Rule, String> {
    let missing = match alarm.treat_missing_data.as_deref() {
        None | Some("missing") => Missing::Missing,
        Some("ignore") => Missing::Ignore,
        Some("breaching") => Missing::Breaching,
        Some("notBreaching") => Missing::NotBreaching,
        Some(other) => return Err(format!("there is no treatment {other}")),
    };
    let periods = alarm.evaluation_periods as usize;
    Ok(Rule {
        datapoints: alarm.datapoints_to_alarm.map_or(periods, |datapoints| datapoints as usize),
        periods,
        missing,
    })
}

fn comparison(name: &str) -> Result<fn(f64, f64) -> bool, String> {
    Ok(match name {
        "GreaterThanThreshold" => |value, threshold| value > threshold,
        "GreaterThanOrEqualToThreshold" => |value, threshold| value >= threshold,
        "LessThanThreshold" => |value, threshold| value < threshold,
        "LessThanOrEqualToThreshold" => |value, threshold| value <= threshold,
        other => return Err(format!("there is no comparison {other}")),
    })
}
