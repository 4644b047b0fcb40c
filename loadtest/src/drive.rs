//! One measured drive: warm-up, load at a fixed rate, drain; with the target's own numbers before and after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::client::{Connector, TIMEOUT};
use crate::exposition::Snapshot;
use crate::generator::{self, THREAD_PREFIX, Watch};
use crate::pace::{self, Schedule};
use crate::pool::{Pool, Settings};
use crate::profile::Operation;
use crate::record::{Point, Record};
use crate::world::World;

/// How long requests that are under way at the end may take.
const DRAIN: Duration = Duration::from_secs(10);
/// The same, and how long the target's numbers may take, when somebody has stopped the run: they are waiting.
const DRAIN_STOPPED: Duration = Duration::from_secs(1);
/// Seconds' worth of arrivals that may wait for a connection: who waits longer has long left.
const WAITING_SECONDS: f64 = 10.0;

/// What is to be driven.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Requests per second.
    pub rate: f64,
    /// Load before anything is measured.
    pub warm_up: Duration,
    /// Measured time.
    pub duration: Duration,
    /// Repeats a run.
    pub seed: u64,
    /// Connections at once.
    pub connections: usize,
    /// Threads of the generator.
    pub threads: usize,
    /// The window of the rate's rule.
    pub window: Duration,
    /// How long after its window an answer still counts for it: the latency objective.
    pub grace: Duration,
    /// CPU that each request burns beside its own, for the self-test.
    pub burn: Duration,
}

/// Where it goes.
#[derive(Clone)]
pub struct Ground {
    /// To the target.
    pub connector: Connector,
    /// To the target's metrics.
    pub metrics: Option<Connector>,
    /// The value of `synthetic` that this run's requests have there.
    pub synthetic: &'static str,
    /// Who is there.
    pub world: Arc<World>,
}

/// The target's own numbers.
#[derive(Debug, Clone)]
pub struct ServerView {
    /// Before the first request.
    pub before: Snapshot,
    /// At the end of the warm-up.
    pub warm: Snapshot,
    /// After the last answer.
    pub after: Snapshot,
}

/// Why the target's own numbers are not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    /// In one line.
    pub why: String,
    /// Whether they were there before the first request.
    pub lost: bool,
}

/// What came of it.
pub struct Measured {
    /// Of the measured time.
    pub record: Record,
    /// Microseconds that starts were late.
    pub lateness: Histogram<u64>,
    /// Requests sent, warm-up included.
    pub sent: Vec<(Operation, u64)>,
    /// Arrivals that were not started.
    pub missed: u64,
    /// Connections made.
    pub connected: u64,
    /// How much of the measured time was driven.
    pub driven: Duration,
    /// Whether somebody stopped it.
    pub interrupted: bool,
    /// The busiest window's share of the cores that the generator may use; `None` where the system does not say.
    pub cpu_max: Option<f64>,
    /// The generator's memory at most, in bytes.
    pub memory_max: u64,
    /// Bytes that came to it after the warm-up; `None` where the system does not say.
    pub memory_growth: Option<u64>,
    /// What the target says, or why it does not.
    pub server: Result<ServerView, Unseen>,
}

/// Something to look at meanwhile.
pub struct Progress {
    /// Time since the start; negative numbers do not exist, the warm-up is `warm_up` long.
    pub elapsed: Duration,
    /// The last complete second of what is measured.
    pub point: Option<Point>,
    /// Requests under way and arrivals that wait.
    pub under_way: (usize, usize),
}

/// The generator's threads. They may be dropped wherever the run is given up, within a task too, where dropping the runtime
/// itself panics.
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Drives. `stop` ends it early.
///
/// # Errors
/// When the machine has no threads for it.
pub async fn drive(
    plan: &Plan,
    ground: &Ground,
    stop: &mut watch::Receiver<bool>,
    progress: &mut (dyn FnMut(&Progress) + Send),
) -> Result<Measured, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(plan.threads)
        .thread_name(format!("{THREAD_PREFIX}io"))
        .on_thread_start(generator::prioritise)
        .enable_all()
        .build()
        .map_err(|error| format!("no threads for the generator: {error}"))?;
    let handle = runtime.handle().clone();
    let threads = Threads(Some(runtime));
    let before = snapshot(ground, stop).await;
    let mut own = Watch::start(plan.threads, plan.window);
    let start = Instant::now() + Duration::from_millis(20);
    let measured_from = start + plan.warm_up;
    let settings = Settings {
        connector: ground.connector.clone(),
        world: Arc::clone(&ground.world),
        seed: plan.seed,
        connections_max: plan.connections,
        waiting_max: (plan.rate * WAITING_SECONDS) as usize + 1,
        waiting_length: Duration::from_secs_f64(WAITING_SECONDS),
        measured_from,
        burn: plan.burn,
    };
    let pool = Pool::new(settings, handle, Record::new(plan.window, plan.grace));
    let stopped = Arc::new(AtomicBool::new(false));
    let schedule = Schedule::new(plan.rate, plan.warm_up + plan.duration, plan.seed);
    let pacer = pace::start(Arc::clone(&pool), schedule, start, Arc::clone(&stopped));
    let pacer = pacer.map_err(|error| format!("no thread for the pacer: {error}"))?;

    let end = measured_from + plan.duration;
    let mut warm = None;
    let mut interrupted = *stop.borrow();
    let watched = stop.clone();
    let mut ticks = tokio::time::interval(Duration::from_secs(1).min(plan.window / 2));
    while !interrupted && Instant::now() < end {
        tokio::select! {
            _ = ticks.tick() => {}
            () = tokio::time::sleep_until(end.into()) => {}
            () = tokio::time::sleep_until(measured_from.into()), if warm.is_none() => {
                warm = Some(snapshot(ground, &watched).await);
                own = Watch::start(plan.threads, plan.window);
            }
            _ = stop.wait_for(|stop| *stop) => interrupted = true,
        }
        own.look();
        let now = Instant::now();
        let point = now.checked_duration_since(measured_from).and_then(|now| pool.record().latest(now));
        let elapsed = now.saturating_duration_since(start);
        progress(&Progress { elapsed, point, under_way: pool.under_way() });
    }
    let driven = Instant::now().saturating_duration_since(measured_from).min(plan.duration);
    stopped.store(true, Ordering::Relaxed);
    let _ = pacer.join(); // within 50 ms; it has nothing that could panic
    // Nobody who has stopped a run waits for a target that hangs.
    let (patience, more) = if interrupted { (DRAIN_STOPPED, Duration::ZERO) } else { (DRAIN, TIMEOUT) };
    pool.drain(patience, more).await;
    own.look();

    let server = async {
        let before = before.map_err(|why| Unseen { why, lost: false })?;
        let lost = |why| Unseen { why, lost: true };
        let warm = warm.unwrap_or_else(|| Err("no measured time".to_owned())).map_err(lost)?;
        Ok(ServerView { before, warm, after: snapshot(ground, stop).await.map_err(lost)? })
    };
    let server = server.await;
    drop(threads);
    let mut record = std::mem::replace(&mut *pool.record(), Record::new(plan.window, plan.grace));
    record.finish();
    Ok(Measured {
        record,
        lateness: pool.lateness(),
        sent: pool.sent(),
        missed: pool.missed(),
        connected: pool.connected(),
        driven,
        interrupted,
        cpu_max: own.cpu_max(),
        memory_max: own.resident_bytes_max,
        memory_growth: own.growth(),
        server,
    })
}

async fn snapshot(ground: &Ground, stop: &watch::Receiver<bool>) -> Result<Snapshot, String> {
    let Some(metrics) = &ground.metrics else { return Err("not asked for: --metrics-url names them".to_owned()) };
    let mut stop = stop.clone();
    tokio::select! {
        read = Snapshot::fetch(metrics, ground.synthetic) => read,
        () = async {
            let _ = stop.wait_for(|stop| *stop).await;
            tokio::time::sleep(DRAIN_STOPPED).await;
        } => Err("not read before the run was stopped".to_owned()),
    }
}
