//! How busy Tokio's runtime is: its own counts, read at each scrape, and how late it wakes those who sleep.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use metrics::{Counter, Gauge};
use tokio::runtime::Handle;

use super::{Metrics, histogram::Histogram, registry::Registry, text};
use crate::catalogue;

/// How often the delay is measured. Four short wake-ups a second cost nothing that can be measured, and give 1200
/// samples in five minutes: a 99th percentile wants 1000.
pub const SCHEDULING_DELAY_INTERVAL: Duration = Duration::from_millis(250);

/// The most moments that one late wake-up counts: ten minutes of them.
const SCHEDULING_DELAYS_MAX: u32 = 2400;

/// The handles, and the runtime that they are read from.
#[derive(Debug)]
pub(super) struct RuntimeMetrics {
    workers: Gauge,
    alive_tasks: Gauge,
    global_queue_depth: Gauge,
    parks: Counter,
    scheduling_delay: Arc<Histogram>,
    runtime: OnceLock<Handle>,
}

impl RuntimeMetrics {
    /// Registers all at 0, which is what they stay without a runtime.
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            workers: registry.gauge(&catalogue::TOKIO_WORKERS, &[]),
            alive_tasks: registry.gauge(&catalogue::TOKIO_ALIVE_TASKS, &[]),
            global_queue_depth: registry.gauge(&catalogue::TOKIO_GLOBAL_QUEUE_DEPTH, &[]),
            parks: registry.counter(&catalogue::TOKIO_WORKER_PARKS, &[]),
            scheduling_delay: registry.histogram(&catalogue::TOKIO_SCHEDULING_DELAY, &[]),
            runtime: OnceLock::new(),
        }
    }

    pub(super) fn attach(&self, runtime: Handle) {
        let _ = self.runtime.set(runtime);
    }

    /// Copies what the runtime counts.
    pub(super) fn refresh(&self) {
        let Some(metrics) = self.runtime.get().map(Handle::metrics) else { return };
        self.workers.set(metrics.num_workers() as f64);
        self.alive_tasks.set(metrics.num_alive_tasks() as f64);
        self.global_queue_depth.set(metrics.global_queue_depth() as f64);
        self.parks.absolute((0..metrics.num_workers()).map(|worker| metrics.worker_park_count(worker)).sum());
    }

    /// Appends the busy time: the exporter's counters know whole numbers only.
    pub(super) fn render(&self, out: &mut String) {
        let busy = self.runtime.get().map(Handle::metrics).map_or(Duration::ZERO, |metrics| {
            (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker)).sum()
        });
        text::sample(out, &catalogue::TOKIO_WORKER_BUSY_SECONDS, busy.as_secs_f64());
    }
}

impl Metrics {
    /// Lets `render` export how busy this runtime is; the first call counts.
    pub fn attach_runtime(&self, runtime: Handle) {
        self.runtime.attach(runtime);
    }

    /// Measures, for as long as it is polled, how much later than asked for the current runtime wakes a task: what every
    /// request waits besides its own work when something holds the workers. Tokio's timer has milliseconds, hence a
    /// delay of about one in a runtime that has nothing to do.
    ///
    /// Each moment that was due counts with its own delay, also those that passed while nobody woke: else a freeze of half a
    /// minute would be one sample among a hundred, and no percentile would show it.
    pub async fn watch_scheduling_delay(&self) {
        let mut due = Instant::now() + SCHEDULING_DELAY_INTERVAL;
        loop {
            tokio::time::sleep_until(due.into()).await;
            let now = Instant::now();
            // After a machine's sleep of hours, not every moment of it is told.
            let missed_max = due + SCHEDULING_DELAY_INTERVAL * SCHEDULING_DELAYS_MAX;
            while due <= now {
                self.runtime.scheduling_delay.record(now - due);
                due += SCHEDULING_DELAY_INTERVAL;
                if due > missed_max {
                    due = now + SCHEDULING_DELAY_INTERVAL;
                }
            }
        }
    }
}
