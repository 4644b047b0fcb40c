//! The handle of the running shipper.

use std::{
    fmt, fs,
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, SystemTime},
};

use tracing::Level;
use uuid::Uuid;

use super::{
    deliver::Delivery,
    emf::Aggregator,
    queue::Queue,
    region,
    settings::CloudWatchSettings,
    spool::Spool,
    stats::ShipperCounts,
    worker::{Worker, mark_own_thread},
};
use crate::{
    error::InitError,
    logs::{OwnLines, Summary},
    metrics::Metrics,
};

/// Ships log lines to CloudWatch Logs. Its thread ends when this is dropped; what is on disk stays there.
pub struct Shipper {
    queue: Arc<Queue>,
    thread: Option<thread::JoinHandle<()>>,
    metrics: Arc<OnceLock<Arc<Metrics>>>,
    destination: String,
    namespace: Option<String>,
}

impl fmt::Debug for Shipper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.queue.counts();
        formatter
            .debug_struct("Shipper")
            .field("to", &self.destination)
            .field("counts", &counts)
            .finish_non_exhaustive()
    }
}

/// Reads the shipper's accounts, for as long as somebody wants to.
#[derive(Debug, Clone)]
pub struct ShipperStats(Arc<Queue>);

impl ShipperStats {
    /// The accounts at this moment.
    pub fn counts(&self) -> ShipperCounts {
        self.0.counts()
    }
}

impl Shipper {
    /// Takes the spool's directory and starts the thread. Waits for no network.
    pub(crate) fn start(
        settings: &CloudWatchSettings,
        (service, environment): (&str, &str),
        lines: OwnLines,
        summary: Summary,
    ) -> Result<Self, InitError> {
        let spool = settings.spool.as_ref().map(|spool| {
            Spool::open(spool).map_err(|error| InitError::Spool { directory: spool.directory.clone(), error })
        });
        let spool = spool.transpose()?;
        let stream = settings.log_stream.clone().unwrap_or_else(|| stream_of_this_task(service));
        let queue = Arc::new(Queue::new(&settings.pace));
        let metrics = Arc::new(OnceLock::new());
        let namespace = settings.metrics_namespace.as_deref();
        let worker = Worker {
            queue: Arc::clone(&queue),
            delivery: Arc::new(Delivery::new(Arc::clone(&queue), settings.clone(), stream.clone(), lines)),
            pace: settings.pace,
            spool,
            summary,
            metrics: Arc::clone(&metrics),
            aggregator: namespace.map(|namespace| Aggregator::new(namespace, service, environment)),
        };
        // Its helper threads look up names: what they log is the shipper's own as well.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_start(mark_own_thread)
            .build()
            .map_err(InitError::Shipper)?;
        // A thread may wait here, and whoever starts us may be a runtime's already: hence one more.
        let is_region_known = settings.sdk_config.is_some()
            || thread::scope(|scope| scope.spawn(|| runtime.block_on(region::may_be_found())).join().unwrap_or(true));
        if !is_region_known {
            return Err(InitError::Region);
        }
        let thread = thread::Builder::new().name("log-shipper".to_owned());
        let thread = thread.spawn(move || worker.run(runtime)).map_err(InitError::Shipper)?;
        let disk = settings.spool.as_ref().map(|spool| format!(", spool {}", spool.directory.display()));
        let destination =
            format!("CloudWatch Logs (group {}, stream {stream}{})", settings.log_group, disk.unwrap_or_default());
        let namespace = settings.metrics_namespace.clone();
        Ok(Self { queue, thread: Some(thread), metrics, destination, namespace })
    }

    /// Takes one line of JSON, or drops it. Never waits.
    pub fn push(&self, time: SystemTime, level: Level, line: &[u8]) {
        self.queue.push(time, level, line);
    }

    /// The accounts at this moment.
    pub fn counts(&self) -> ShipperCounts {
        self.queue.counts()
    }

    /// The accounts, to be read later; give it to `Metrics::attach_shipper`.
    pub fn stats(&self) -> ShipperStats {
        ShipperStats(Arc::clone(&self.queue))
    }

    /// The group, the stream and the spool, for people.
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// Where the metrics go, if they go anywhere.
    pub fn metrics_namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Waits until every line is delivered or refused, at most `deadline`; with a spool, what is not is on disk by then.
    /// Returns whether all is.
    pub fn flush(&self, deadline: Duration) -> bool {
        self.queue.flush(deadline)
    }

    pub(crate) fn attach(&self, metrics: &Arc<Metrics>) {
        let _ = self.metrics.set(Arc::clone(metrics));
    }

    pub(crate) fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }
}

impl Drop for Shipper {
    fn drop(&mut self) {
        self.queue.close();
        // It ends at once, but for a disk that stands still.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A name that no other task has, and none of this one's earlier lives: two writers in one stream would mix, and the
/// name says where a line comes from.
fn stream_of_this_task(service: &str) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).collect();
    let host = if host.is_empty() { "unknown-host" } else { &host };
    format!("{service}/{host}/{}", Uuid::now_v7().simple())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudwatch::is_log_stream;

    #[test]
    fn no_two_tasks_share_a_stream() {
        let (first, second) = (stream_of_this_task("task-api"), stream_of_this_task("task-api"));
        assert!(first != second && is_log_stream(&first) && first.starts_with("task-api/"), "{first}");
    }
}
