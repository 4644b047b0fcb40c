//! The shipper's thread: lines from memory to the spool, from there or from memory on their way, and what is left at
//! the end.
//!
//! It is a thread of its own with a small runtime on it, not a task of the service's runtime: it ships what is logged
//! before that runtime exists and after it is gone, a busy service does not keep it from its work, its disk accesses
//! and the signing of requests hold up no request, and all of the SDK's own log lines are made on it, where the layer
//! knows them and does not ship them.

use std::{
    cell::Cell,
    sync::{Arc, OnceLock},
    time::Instant,
};

use tokio::{runtime::Runtime, task::JoinSet};

use super::{
    batch::{PUT_BYTES_MAX, pack},
    deliver::Delivery,
    emf::Aggregator,
    event::{Event, weight_of},
    queue::Queue,
    settings::{IN_FLIGHT_MAX, Pace},
    spool::Spool,
    stats::Source,
};
use crate::{catalogue::ShipperDrop, logs::Summary, metrics::Metrics};

thread_local! {
    static OWN_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is the shipper's, or one of its helpers: what is logged here must not be shipped, or a failing
/// request would make the lines of the next one.
pub(crate) fn on_own_thread() -> bool {
    OWN_THREAD.try_with(Cell::get).unwrap_or(true)
}

/// Marks the thread as the shipper's.
pub(super) fn mark_own_thread() {
    OWN_THREAD.set(true);
}

/// A request that has its final answer.
struct Done {
    number: u64,
    /// The spool's file, if the lines came from there.
    file: Option<u64>,
}

/// The thread's state.
pub(super) struct Worker {
    pub(super) queue: Arc<Queue>,
    pub(super) delivery: Arc<Delivery>,
    pub(super) pace: Pace,
    pub(super) spool: Option<Spool>,
    pub(super) summary: Summary,
    pub(super) metrics: Arc<OnceLock<Arc<Metrics>>>,
    pub(super) aggregator: Option<Aggregator>,
}

/// What the loop keeps from one turn to the next.
struct Turn {
    in_flight: JoinSet<Done>,
    /// The first moment of each request's lines, by its number.
    oldest: Vec<(u64, i64)>,
    number: u64,
    /// Lines that the spool did not take: one request's at most.
    carry: Option<Vec<Event>>,
    drops_told: Option<Instant>,
    metrics_at: Instant,
}

impl Worker {
    /// Runs until the queue is closed.
    pub(super) fn run(mut self, runtime: Runtime) {
        mark_own_thread();
        runtime.block_on(self.work());
        runtime.shutdown_background();
    }

    async fn work(&mut self) {
        self.recover();
        let mut turn = Turn {
            in_flight: JoinSet::new(),
            oldest: Vec::new(),
            number: 0,
            carry: None,
            drops_told: None,
            metrics_at: Instant::now() + self.pace.metrics_interval,
        };
        loop {
            let closed = self.queue.closed();
            let flushing = self.queue.flushing() || closed;
            self.tell_drops(&mut turn, flushing);
            self.aggregate(&mut turn, flushing);
            self.spool_waiting(&mut turn, flushing);
            if closed {
                return; // what was in flight stays in the spool
            }
            self.fill(&mut turn, flushing);
            self.note_oldest(&turn);
            self.queue.acknowledge(flushing);
            let wake = self.wake_at(&turn, flushing);
            tokio::select! {
                () = self.queue.work.notified() => {}
                Some(done) = turn.in_flight.join_next(), if !turn.in_flight.is_empty() => self.finished(&mut turn, done.ok()),
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }

    fn recover(&mut self) {
        let Some(spool) = &mut self.spool else { return };
        let recovered = spool.recover();
        let bytes = spool.bytes();
        self.queue.account(|counts| {
            counts.spool_errors += recovered.errors;
            counts.produced += recovered.events + recovered.corrupt;
            counts.recovered += recovered.events + recovered.corrupt;
            counts.dropped[ShipperDrop::SpoolCorrupt as usize] += recovered.corrupt;
            counts.spooled += recovered.events;
            counts.spooled_bytes = bytes;
        });
    }

    fn tell_drops(&self, turn: &mut Turn, flushing: bool) {
        let lately = turn.drops_told.is_some_and(|told| told.elapsed() < self.pace.flush_interval);
        if lately && !flushing {
            return;
        }
        if let Some(drops) = self.queue.take_drops() {
            let mut line = Vec::new();
            (self.summary)(&drops, &mut line);
            self.queue.tell_drops(drops, &line);
            turn.drops_told = Some(Instant::now());
        }
    }

    /// Makes log lines of the metrics when their minute is over, and at the end of what there is.
    fn aggregate(&mut self, turn: &mut Turn, flushing: bool) {
        let Some(aggregator) = &mut self.aggregator else { return };
        if Instant::now() < turn.metrics_at && !flushing {
            return;
        }
        turn.metrics_at = Instant::now() + self.pace.metrics_interval;
        if let Some(metrics) = self.metrics.get() {
            aggregator.collect(metrics, &self.queue);
        }
    }

    /// Writes what waits in memory to the spool.
    fn spool_waiting(&mut self, turn: &mut Turn, flushing: bool) {
        let Some(spool) = &mut self.spool else { return };
        loop {
            let events = match turn.carry.take() {
                Some(events) => events,
                None => {
                    let (full, since) = self.queue.waiting();
                    let due = |since: Instant| full || flushing || since.elapsed() >= self.pace.spool_interval;
                    if !since.is_some_and(due) {
                        return;
                    }
                    self.queue.take(spool.room())
                }
            };
            let weight = weight_of(&events);
            if events.is_empty() {
                return; // no room: memory keeps them, and its own rule decides what goes
            }
            let result = if spool.room() < weight { Ok(false) } else { spool.append(&events).map(|()| true) };
            let (bytes, number) = (spool.bytes(), events.len() as u64);
            let written = matches!(result, Ok(true));
            self.queue.account(|counts| {
                counts.spooled_bytes = bytes;
                counts.spool_errors += u64::from(result.is_err());
                if written {
                    counts.take_from(Source::Memory, number);
                    counts.queued_bytes -= weight as u64;
                    counts.spooled += number;
                }
            });
            if !written {
                turn.carry = Some(events);
                return;
            }
        }
    }

    /// Sends what is due, the oldest first: the spool's before memory's.
    fn fill(&mut self, turn: &mut Turn, flushing: bool) {
        while turn.in_flight.len() < IN_FLIGHT_MAX {
            let waits_on_disk = self.spool.as_ref().is_some_and(|spool| !spool.is_empty());
            let found = if waits_on_disk { self.next_on_disk(flushing) } else { self.next_in_memory(turn, flushing) };
            let Some((source, file, events)) = found else { return };
            turn.number += 1;
            let (number, delivery) = (turn.number, Arc::clone(&self.delivery));
            if source == Source::Memory {
                turn.oldest.extend(events.iter().map(|event| event.timestamp_ms).min().map(|oldest| (number, oldest)));
            }
            turn.in_flight.spawn(async move {
                delivery.deliver(source, pack(events)).await;
                Done { number, file }
            });
        }
    }

    fn next_on_disk(&mut self, flushing: bool) -> Option<(Source, Option<u64>, Vec<Event>)> {
        let spool = self.spool.as_mut()?;
        let (interval, pause) = (self.pace.flush_interval, self.pace.spool_interval);
        // Each turn costs a file or is the last.
        loop {
            // A file that could not be read gets time to become readable, though less of it from those who wait for us.
            let pause = if flushing { pause.min(interval) } else { interval };
            if spool.failed_at().is_some_and(|at| at.elapsed() < pause) {
                return None;
            }
            let error = match spool.next(|since| flushing || since.elapsed() >= interval) {
                Ok(portion) => {
                    return portion.map(|portion| {
                        self.queue.account(|counts| {
                            counts.take_from(Source::Spool, portion.lost);
                            counts.dropped[ShipperDrop::SpoolCorrupt as usize] += portion.lost;
                        });
                        (Source::Spool, Some(portion.id), portion.events)
                    });
                }
                Err(error) => error,
            };
            // It would otherwise hold up all behind it.
            let given_up = spool.give_up(&error);
            let (lost, bytes) = (given_up.unwrap_or(0), spool.bytes());
            self.queue.account(|counts| {
                counts.spool_errors += 1;
                counts.take_from(Source::Spool, lost);
                counts.dropped[ShipperDrop::SpoolCorrupt as usize] += lost;
                counts.spooled_bytes = bytes;
            });
            given_up?;
        }
    }

    fn next_in_memory(&self, turn: &mut Turn, flushing: bool) -> Option<(Source, Option<u64>, Vec<Event>)> {
        let events = turn.carry.take().unwrap_or_else(|| {
            let (full, since) = self.queue.waiting();
            let due = |since: Instant| full || flushing || since.elapsed() >= self.pace.flush_interval;
            if since.is_some_and(due) { self.queue.take(PUT_BYTES_MAX) } else { Vec::new() }
        });
        (!events.is_empty()).then_some((Source::Memory, None, events))
    }

    fn finished(&mut self, turn: &mut Turn, done: Option<Done>) {
        let Some(done) = done else { return };
        turn.oldest.retain(|(number, _)| *number != done.number);
        if let (Some(spool), Some(file)) = (&mut self.spool, done.file) {
            let failed = spool.done(file).is_err();
            let bytes = spool.bytes();
            self.queue.account(|counts| {
                counts.spool_errors += u64::from(failed);
                counts.spooled_bytes = bytes;
            });
        }
    }

    /// When there is something to do without being woken.
    fn wake_at(&self, turn: &Turn, flushing: bool) -> Instant {
        let now = Instant::now();
        let free = turn.in_flight.len() < IN_FLIGHT_MAX;
        let interval = if self.spool.is_some() { self.pace.spool_interval } else { self.pace.flush_interval };
        let memory = self.queue.waiting().1.filter(|_| free || self.spool.is_some()).map(|since| since + interval);
        let carried = turn.carry.is_some().then_some(now);
        let disk = self.spool.as_ref().filter(|_| free).and_then(Spool::since);
        let disk = disk.map(|since| since + self.pace.flush_interval);
        let metrics = self.aggregator.is_some().then_some(turn.metrics_at);
        let first = [memory, carried, disk, metrics].into_iter().flatten().min();
        // What should have happened by now and did not is tried again in a while, not at once.
        let soonest = now + self.pace.spool_interval.min(self.pace.flush_interval);
        let idle = now + self.pace.metrics_interval;
        let wake = first.map_or(idle, |first| if first <= now { soonest } else { first });
        if flushing { wake.min(soonest) } else { wake }
    }

    fn note_oldest(&self, turn: &Turn) {
        let in_flight = turn.oldest.iter().map(|(_, oldest)| *oldest);
        let carried = turn.carry.iter().flatten().map(|event| event.timestamp_ms);
        let waiting = self.queue.oldest_ms().into_iter().chain(self.spool.as_ref().and_then(Spool::oldest_ms));
        let oldest = in_flight.chain(carried).chain(waiting).min().unwrap_or(0);
        self.queue.account(|counts| counts.oldest_pending_ms = u64::try_from(oldest).unwrap_or(0));
    }
}
