//! From arrivals to samples: a bounded pool of connections, and a bounded queue in front of it.
//!
//! An arrival goes to a connection that is idle, or to a new one, or it waits, and its wait counts as latency, as a user's
//! would. Who finds the queue full is counted as not started.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hyper::Response;
use hyper::body::Bytes;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::api;
use crate::client::{Connection, Connector, Failure};
use crate::journey::Judged;
use crate::profile::Operation;
use crate::random::Random;
use crate::record::{End, Record, Sample};
use crate::world::World;

/// One request that is due.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Its number in the run: with the seed it decides what the request does.
    pub number: u64,
    /// When it is due.
    pub intended: Instant,
}

/// An arrival as it comes to a connection.
#[derive(Clone, Copy)]
struct Started {
    arrival: Arrival,
    /// When the pacer gave it away.
    given: Instant,
    /// Whether a connection was free: then the time from `given` to the start is the generator's own delay.
    direct: bool,
}

/// What a pool is bounded by, and where it sends.
pub struct Settings {
    /// To the target.
    pub connector: Connector,
    /// Who is there and what they do.
    pub world: Arc<World>,
    /// Repeats a run.
    pub seed: u64,
    /// Connections open at once.
    pub connections_max: usize,
    /// Arrivals that wait for one.
    pub waiting_max: usize,
    /// The time in which so many arrive.
    pub waiting_length: Duration,
    /// From here on requests are measured; before it is warm-up.
    pub measured_from: Instant,
    /// CPU that each request burns beside its own: the self-test starves the generator with it.
    pub burn: Duration,
}

/// The pool, shared by the pacer and all connections.
pub struct Pool {
    settings: Settings,
    handle: Handle,
    queue: Mutex<Queue>,
    record: Mutex<Record>,
    lateness: Mutex<Histogram<u64>>,
    sent: [AtomicU64; Operation::ALL.len()],
    missed: AtomicU64,
    connected: AtomicU64,
}

#[derive(Default)]
struct Queue {
    idle: Vec<oneshot::Sender<Started>>,
    waiting: VecDeque<Started>,
    connections: usize,
    busy: usize,
}

impl Pool {
    /// An empty pool whose connections live on `handle`.
    pub fn new(settings: Settings, handle: Handle, record: Record) -> Arc<Self> {
        Arc::new(Self {
            settings,
            handle,
            queue: Mutex::default(),
            record: Mutex::new(record),
            lateness: Mutex::new(crate::record::histogram()),
            sent: Default::default(),
            missed: AtomicU64::new(0),
            connected: AtomicU64::new(0),
        })
    }

    /// Takes a request that is due.
    pub fn give(self: &Arc<Self>, arrival: Arrival) {
        let mut started = Started { arrival, given: Instant::now(), direct: true };
        let mut queue = self.queue();
        while let Some(idle) = queue.idle.pop() {
            match idle.send(started) {
                Ok(()) => {
                    queue.busy += 1;
                    return;
                }
                Err(back) => started = back, // its task is gone: the pool is being given up
            }
        }
        if queue.connections < self.settings.connections_max {
            queue.connections += 1;
            queue.busy += 1;
            drop(queue);
            self.handle.spawn(Arc::clone(self).serve(started));
        } else if queue.waiting.len() < self.settings.waiting_max {
            started.direct = false;
            queue.waiting.push_back(started);
        } else {
            drop(queue);
            if let Some(intended) = self.measured(arrival.intended) {
                self.missed.fetch_add(1, Ordering::Relaxed);
                // Those before it fill the queue: as long as that is, it would have had to wait.
                self.record().missed(intended, self.settings.waiting_length);
            }
        }
    }

    /// One connection's life: a request after the other.
    async fn serve(self: Arc<Self>, mut started: Started) {
        let mut connection = None;
        loop {
            self.request(started, &mut connection).await;
            let next = {
                let mut queue = self.queue();
                match queue.waiting.pop_front() {
                    Some(next) => Ok(next),
                    None => {
                        queue.busy -= 1;
                        let (give, take) = oneshot::channel();
                        queue.idle.push(give);
                        Err(take)
                    }
                }
            };
            started = match next {
                Ok(next) => next,
                Err(take) => match take.await {
                    Ok(next) => next,
                    Err(_) => return, // the run is over
                },
            };
        }
    }

    async fn request(&self, started: Started, connection: &mut Option<Connection>) {
        let start = Instant::now();
        let intended = started.arrival.intended;
        let pacer = started.given.saturating_duration_since(intended);
        let own = if started.direct { start.saturating_duration_since(started.given) } else { Duration::ZERO };
        let mut random = Random::part(self.settings.seed, started.arrival.number);
        let world = &self.settings.world;
        let call = world.next(&mut random);
        burn(self.settings.burn);
        let answer = self.exchange(&call, connection).await;
        let end = Instant::now();
        let judged = world.settle(&call, answer.as_ref().ok());
        let Some(at) = self.measured(intended) else { return };
        let ended = match (judged, &answer) {
            (_, Err(failure)) => End::Failure(*failure),
            (Judged::Good, _) => End::Good,
            (Judged::Failed(status), _) => End::Status(status),
            (Judged::Violation(text), _) => End::Violation(text),
        };
        let sample = Sample {
            operation: call.operation,
            instead_of: call.instead_of,
            intended: at,
            latency: end - intended,
            service: end - start,
            end: ended,
            trace_id: answer.ok().as_ref().and_then(trace_id),
        };
        let late = (pacer + own).as_micros() as u64;
        self.lateness.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(late.max(1));
        self.record().add(&sample);
    }

    /// Sends a call, on a new connection where there is none. One that the server closed while it was idle is no failure:
    /// nothing was sent on it, and a client would take another.
    async fn exchange(
        &self,
        call: &crate::journey::Call,
        connection: &mut Option<Connection>,
    ) -> Result<Response<Bytes>, Failure> {
        let connector = &self.settings.connector;
        let client = &self.settings.world.clients[call.client];
        for fresh in [false, true] {
            let mut open = match connection.take().filter(Connection::is_open) {
                Some(open) if !fresh => open,
                _ => {
                    self.connected.fetch_add(1, Ordering::Relaxed);
                    connector.connect().await?
                }
            };
            let count = |sent: bool| {
                let index = Operation::ALL.iter().position(|operation| *operation == call.operation).unwrap_or(0);
                self.sent[index].fetch_add(u64::from(sent), Ordering::Relaxed);
            };
            match open.send(api::of_call(connector, client, call)).await {
                Ok(answer) => {
                    count(true);
                    *connection = Some(open);
                    return Ok(answer);
                }
                Err(unanswered) if unanswered.sent || fresh => {
                    count(unanswered.sent);
                    return Err(unanswered.failure);
                }
                Err(_) => {}
            }
        }
        Err(Failure::Broken)
    }

    /// Time since the start of what is measured; `None` in the warm-up.
    fn measured(&self, intended: Instant) -> Option<Duration> {
        intended.checked_duration_since(self.settings.measured_from)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was measured so far.
    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Microseconds that starts were late by the generator's own fault.
    pub fn lateness(&self) -> Histogram<u64> {
        self.lateness.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests that were sent, warm-up included, by operation.
    pub fn sent(&self) -> Vec<(Operation, u64)> {
        let count = |(operation, count): (Operation, &AtomicU64)| (operation, count.load(Ordering::Relaxed));
        Operation::ALL.into_iter().zip(&self.sent).map(count).collect()
    }

    /// Measured arrivals that were not started, for the queue was full.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Connections that were made.
    pub fn connected(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    /// Requests under way, and arrivals that wait.
    pub fn under_way(&self) -> (usize, usize) {
        let queue = self.queue();
        (queue.busy, queue.waiting.len())
    }

    /// Ends the run: waits for what is under way and waits, but no longer than `patience`. What then still waits is recorded
    /// as failed, with the time it has waited: leaving it out would flatter the target. What is under way has `more`.
    pub async fn drain(&self, patience: Duration, more: Duration) {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline && self.under_way() != (0, 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The pacer has ended: whoever finishes from now on finds nothing that waits.
        let waiting = std::mem::take(&mut self.queue().waiting);
        let now = Instant::now();
        for started in waiting {
            let Some(intended) = self.measured(started.arrival.intended) else { continue };
            self.missed.fetch_add(1, Ordering::Relaxed);
            self.record().missed(intended, now - started.arrival.intended);
        }
        while self.under_way().0 > 0 && Instant::now() < deadline + more {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.queue().idle.clear();
    }
}

fn trace_id(answer: &Response<Bytes>) -> Option<String> {
    let trace = answer.headers().get("traceparent")?.to_str().ok()?.split('-').nth(1)?;
    (trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| trace.to_owned())
}

fn burn(time: Duration) {
    let until = Instant::now() + time;
    while !time.is_zero() && Instant::now() < until {
        std::hint::spin_loop();
    }
}
