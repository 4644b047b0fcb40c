//! What is sent to CloudWatch, minute by minute.

use std::collections::HashMap;

use super::super::template::Metric;

/// A value that was seen `count` times within a minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The value.
    pub value: f64,
    /// How often, above 0.
    pub count: f64,
}

impl Sample {
    /// A value that was seen once.
    pub const fn once(value: f64) -> Self {
        Self { value, count: 1.0 }
    }
}

/// Metrics over time: of each minute the samples, none where nothing was sent.
#[derive(Debug, Default)]
pub struct World {
    ids: HashMap<Metric, Id>,
    series: Vec<Vec<Vec<Sample>>>,
    /// By metric, in minutes.
    delays: Vec<usize>,
    minutes: usize,
}

/// A metric of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(usize);

impl World {
    /// Begins the next minute, in which nothing has been sent yet.
    pub fn next_minute(&mut self) {
        self.minutes += 1;
    }

    /// How many minutes have begun.
    pub fn minutes(&self) -> usize {
        self.minutes
    }

    /// A metric, to be sent or not.
    pub fn id(&mut self, metric: &Metric) -> Id {
        if let Some(id) = self.ids.get(metric) {
            return *id;
        }
        let id = Id(self.series.len());
        self.series.push(Vec::new());
        self.delays.push(0);
        self.ids.insert(metric.clone(), id);
        id
    }

    /// Sends samples of a metric of this world in the current minute.
    pub fn send(&mut self, id: Id, samples: &[Sample]) {
        let minute = self.minutes.saturating_sub(1);
        if let Some(series) = self.series.get_mut(id.0) {
            series.resize(series.len().max(minute + 1), Vec::new());
            series[minute].extend(samples.iter().filter(|sample| sample.count > 0.0));
        }
    }

    /// Lets a metric arrive late: an alarm sees what is sent in a minute only so many minutes after its end.
    pub fn deliver_late(&mut self, id: Id, minutes: usize) {
        if let Some(delay) = self.delays.get_mut(id.0) {
            *delay = minutes;
        }
    }

    /// How many minutes late a metric arrives.
    pub(super) fn delay(&self, metric: &Metric) -> usize {
        self.ids.get(metric).and_then(|id| self.delays.get(id.0)).copied().unwrap_or_default()
    }

    /// The samples of a metric by minute; none when it was never sent.
    pub(super) fn series(&self, metric: &Metric) -> &[Vec<Sample>] {
        self.ids.get(metric).and_then(|id| self.series.get(id.0)).map_or(&[], Vec::as_slice)
    }
}
