//! The gate: which connection's next request is read, while more come than are done.
//!
//! A request that has been read and waits is memory that lies cold when its turn comes. So once [`AHEAD_MAX`] wait for the database,
//! the next one stays in its socket until one of them has a connection. They are read in order of arrival, as long as that answers each
//! of them soon ([`HELD_FAIRLY_MAX`]). Where so many are held that it would make every answer late, only those are read that have come
//! of late: fewer than [`FRESH_MAX`] have been served since. The others are read when there is nothing else to do, and one of them for
//! every [`LATE_EVERY`] that are served; in the end they are told to come back, which costs nearly what an answer costs, so not too many
//! are at once. A database that does not move closes nothing: no order helps then.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

/// How many wait for the database before no more are read: enough that its connections are never without work.
pub const AHEAD_MAX: usize = 32;
/// Half of the latency that users are promised. Where one has been held for so long, and those behind it would be too at the pace of
/// the last moments, there are too many of them.
pub const HELD_FAIRLY_MAX: Duration = Duration::from_millis(100);
/// So many are never too many.
pub const HELD_FEW: usize = 128;
/// Where too many are held, one before which so many have been served is late. Counted, since a service whose share of a processor is
/// used up stands still for tens of milliseconds, in which nobody overtakes anybody. Twice as many as wait ahead: they are soon served,
/// and those that come meanwhile find some before them.
pub const FRESH_MAX: u64 = 64;
/// One for so many that are served is the one that has been held for longest, late or not: nobody is forgotten, and the answers that
/// are late for it are less than one in a hundred.
pub const LATE_EVERY: u64 = 512;
/// Where more are ahead than may be, one for so many that are served is let in all the same: those who keep it so, as by requests that
/// have been sent together, keep nobody out, and yet they become fewer.
pub const CROWDED_EVERY: u64 = 4;
/// How long the gate has to be open before there is nothing else to do. As long as the period of a quota of processors: a service that
/// has too much to do has moments without work within one, and stands still for the rest of it.
pub const QUIET: Duration = Duration::from_millis(100);
/// A database that has given no connection to anybody who waits for so long does not move.
pub const STANDSTILL: Duration = Duration::from_millis(500);
/// How often the gate is looked at while it holds any: where nobody comes any more, and nobody is served, nobody else lets them in.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Over how long the pace is taken: some periods of a quota of processors.
pub const PACE_OVER: Duration = Duration::from_millis(500);
/// One for so many that are served is told to come back, if its time is over: they come back, and a service that tells everybody
/// does nothing else.
pub const REFUSED_EVERY: u64 = 16;
/// So many are told so at each look all the same, 200 in a second: a hundredth of one processor.
pub const REFUSED_MIN: u64 = 10;

/// The gate. Cheap to clone.
#[derive(Clone)]
pub struct Gate(Arc<Shared>);

struct Shared {
    /// Those who wait for the database, and those who have been let in and are not that far yet.
    ahead: AtomicUsize,
    /// When somebody last got what they waited for, or began to wait where nobody did; in nanoseconds after `built`.
    moved: AtomicU64,
    /// When the gate was last found closed, likewise.
    closed: AtomicU64,
    /// How many who waited have been served.
    served: AtomicU64,
    /// How many may be held in order of arrival.
    fairly: AtomicUsize,
    #[cfg(not(test))]
    built: std::time::Instant,
    /// In tests, time is what they let pass.
    #[cfg(test)]
    passed: AtomicU64,
    is_open: AtomicBool,
    /// As many as `held` has, to be looked at without its lock.
    holds: AtomicUsize,
    /// Those that stay in their sockets, the newest last; one for each connection, at most. Where one was cut, its entry is still there.
    held: Mutex<VecDeque<Held>>,
    /// That there is one again.
    came: Notify,
}

struct Held {
    /// When it came, in nanoseconds after `built`.
    since: u64,
    /// For how long it may be held, in nanoseconds.
    wait_max: u64,
    /// How many had been served when it came.
    served: u64,
    pass: oneshot::Sender<Ahead>,
}

impl Held {
    fn is_over(&self, now: u64) -> bool {
        now.saturating_sub(self.since) >= self.wait_max
    }

    /// Whether it is too late to let it in, though there is nothing else to do: a request's time is twice `wait_max` at least, and a
    /// quarter of it is to be left.
    fn is_too_late(&self, now: u64) -> bool {
        self.is_over(now.saturating_sub(self.wait_max / 2))
    }

    /// Whether it is told to come back, however many are.
    fn is_long_over(&self, now: u64) -> bool {
        self.is_over(now.saturating_sub(self.wait_max))
    }

    fn is_late(&self, served: u64) -> bool {
        served - self.served >= FRESH_MAX
    }
}

/// One that waits for the database, or is on its way there.
pub struct Ahead {
    gate: Arc<Shared>,
    /// Which of those that were served it is, from 1 on; 0 while it is not.
    served: u64,
}

/// What was seen at a look.
#[derive(Clone, Copy, Default)]
struct Look {
    at: u64,
    served: u64,
    /// So many are served in a second, lately; 0 at the beginning.
    per_second: f64,
}

impl Look {
    /// How many are served in a second, of late: the older, the less it counts.
    fn pace(&self, now: u64, served: u64) -> f64 {
        let seconds = Duration::from_nanos(now - self.at).as_secs_f64();
        let per_second = (served - self.served) as f64 / seconds.max(1e-9);
        if self.per_second == 0.0 {
            return per_second;
        }
        self.per_second + (per_second - self.per_second) * (seconds / PACE_OVER.as_secs_f64()).min(1.0)
    }
}

impl Default for Gate {
    fn default() -> Self {
        Gate(Arc::new(Shared {
            ahead: AtomicUsize::new(0),
            moved: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            served: AtomicU64::new(0),
            fairly: AtomicUsize::new(usize::MAX),
            #[cfg(not(test))]
            built: std::time::Instant::now(),
            #[cfg(test)]
            passed: AtomicU64::new(0),
            is_open: AtomicBool::new(false),
            holds: AtomicUsize::new(0),
            held: Mutex::default(),
            came: Notify::new(),
        }))
    }
}

impl Gate {
    /// Notes that somebody begins to wait for the database. To be [`Ahead::served`], or dropped where it was in vain.
    pub fn waits(&self) -> Ahead {
        self.0.one_more()
    }

    /// Whether what comes now has to stay in its socket.
    pub fn is_closed(&self) -> bool {
        if self.0.ahead.load(SeqCst) < AHEAD_MAX || self.0.is_open.load(Relaxed) {
            return false;
        }
        let now = self.0.nanoseconds();
        let is_closed = !self.0.stands_still(now);
        if is_closed {
            self.0.closed.store(now, Relaxed);
        }
        is_closed
    }

    /// A place for a request that stays in its socket. It is told when it may be read; or its sender is gone, and it is refused: after
    /// `wait_max` as one for every [`REFUSED_EVERY`] that are served, and at the first look after twice as long in any case.
    pub fn hold(&self, wait_max: Duration) -> oneshot::Receiver<Ahead> {
        let (pass, receiver) = oneshot::channel();
        let wait_max = u64::try_from(wait_max.as_nanos()).unwrap_or(u64::MAX);
        let mut held = self.0.held();
        held.push_back(Held { since: self.0.nanoseconds(), wait_max, served: self.0.served.load(Relaxed), pass });
        self.0.holds.store(held.len(), SeqCst);
        let is_first = held.len() == 1;
        drop(held);
        if is_first {
            self.0.came.notify_one();
        }
        // Whoever was ahead may have gone in between, and nobody else comes along to say so.
        if !self.is_closed() {
            self.0.let_in(false);
        }
        receiver
    }

    /// Refuses those whose time is over, and lets in whom nobody else would, for as long as it is polled.
    pub async fn keep(&self) {
        loop {
            let (at, served) = (self.0.nanoseconds(), self.0.served.load(Relaxed));
            let mut last = Look { at, served, per_second: 0.0 };
            while self.0.holds.load(SeqCst) > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
                last = self.0.look(last);
            }
            self.0.came.notified().await;
        }
    }

    /// Lets everything in from now on: the service stops, and what has come is answered.
    pub fn open(&self) {
        if !self.0.is_open.swap(true, Relaxed) {
            self.0.let_all_in();
        }
    }
}

impl Ahead {
    /// Says that it got its connection: the database moves.
    pub fn served(mut self) {
        self.served = self.gate.served.fetch_add(1, Relaxed) + 1;
        self.gate.moves();
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let left = self.gate.ahead.fetch_sub(1, SeqCst) - 1;
        if self.gate.holds.load(SeqCst) == 0 {
            return;
        }
        if self.gate.stands_still(self.gate.nanoseconds()) {
            self.gate.let_all_in();
        } else if left < AHEAD_MAX || self.served.is_multiple_of(CROWDED_EVERY) && self.served > 0 {
            self.gate.let_in(self.served.is_multiple_of(LATE_EVERY) && self.served > 0);
        }
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, VecDeque<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn one_more(self: &Arc<Self>) -> Ahead {
        if self.ahead.fetch_add(1, SeqCst) == 0 {
            self.moves();
        }
        Ahead { gate: Arc::clone(self), served: 0 }
    }

    fn moves(&self) {
        self.moved.store(self.nanoseconds(), Relaxed);
    }

    #[cfg(not(test))]
    fn nanoseconds(&self) -> u64 {
        u64::try_from(self.built.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    #[cfg(test)]
    fn nanoseconds(&self) -> u64 {
        self.passed.load(SeqCst)
    }

    fn stands_still(&self, now: u64) -> bool {
        let moved = self.moved.load(Relaxed);
        self.ahead.load(SeqCst) > 0 && now.saturating_sub(moved) > STANDSTILL.as_nanos() as u64
    }

    /// Whether there is nothing else to do than what is late.
    fn is_quiet(&self) -> bool {
        let since_closed = self.nanoseconds().saturating_sub(self.closed.load(Relaxed));
        self.ahead.load(SeqCst) == 0 && since_closed > QUIET.as_nanos() as u64
    }

    /// Lets one in whose time is not over: the oldest, if not too many are held or it `is_turn_of_oldest` all the same; else the oldest
    /// that is not late. If there is nothing else to do, the oldest for which it is not too late.
    fn let_in(self: &Arc<Self>, is_turn_of_oldest: bool) {
        let next = {
            let now = self.nanoseconds();
            let mut held = self.held();
            while held.back().is_some_and(|held| held.pass.is_closed()) {
                held.pop_back();
            }
            while held.front().is_some_and(|held| held.pass.is_closed()) {
                held.pop_front();
            }
            let oldest = held.partition_point(|held| held.is_over(now));
            let is_in_order = is_turn_of_oldest || !self.holds_too_many(held.len(), held.get(oldest), now);
            let next = if is_in_order && oldest < held.len() {
                held.remove(oldest)
            } else {
                let served = self.served.load(Relaxed);
                let fresh = held.partition_point(|held| held.is_late(served)).max(oldest);
                if fresh == held.len() && self.is_quiet() {
                    let in_time = held.partition_point(|held| held.is_too_late(now));
                    held.remove(in_time)
                } else {
                    held.remove(fresh)
                }
            };
            self.holds.store(held.len(), SeqCst);
            next
        };
        if let Some(next) = next {
            // Whoever leaves at this very moment gives it on by dropping it.
            let _ = next.pass.send(self.one_more());
        }
    }

    /// Whether an answer to each of so many would be late. Those whose time is over count: that they are there says that more come than
    /// are served.
    fn holds_too_many(&self, held: usize, oldest: Option<&Held>, now: u64) -> bool {
        let for_long = |held: &Held| now.saturating_sub(held.since) >= HELD_FAIRLY_MAX.as_nanos() as u64;
        held > self.fairly.load(Relaxed) && oldest.is_some_and(for_long)
    }

    /// Refuses those whose time is over, and lets in whom nobody else would.
    fn look(self: &Arc<Self>, last: Look) -> Look {
        let (now, served) = (self.nanoseconds(), self.served.load(Relaxed));
        let this = Look { at: now, served, per_second: last.pace(now, served) };
        let fairly = (this.per_second * HELD_FAIRLY_MAX.as_secs_f64()) as usize;
        self.fairly.store(fairly.max(HELD_FEW), Relaxed);
        let refusals = ((served - last.served) / REFUSED_EVERY).max(REFUSED_MIN) as usize;
        let refused: Vec<Held> = {
            let mut held = self.held();
            let over = held.partition_point(|held| held.is_over(now)).min(refusals);
            let long_over = held.partition_point(|held| held.is_long_over(now));
            let refused = held.drain(..over.max(long_over)).collect();
            self.holds.store(held.len(), SeqCst);
            refused
        };
        drop(refused); // which tells them
        if self.is_open.load(Relaxed) {
            self.let_all_in();
        } else if self.is_quiet() {
            self.let_in(false);
        }
        this
    }

    /// Lets all in whose time is not over, and refuses the others.
    fn let_all_in(self: &Arc<Self>) {
        let all = {
            let mut held = self.held();
            self.holds.store(0, SeqCst);
            std::mem::take(&mut *held)
        };
        let now = self.nanoseconds();
        for one in all.into_iter().filter(|one| !one.is_over(now)) {
            let _ = one.pass.send(self.one_more());
        }
    }
}

#[cfg(test)]
mod tests;
