//! The gate: which connection's next request is read, while more come than are done.
//!
//! A request that has been read and waits is memory that lies cold when its turn comes. So once [`AHEAD_MAX`] wait for the database,
//! the next one stays in its socket until one of them has a connection. They are read in order of arrival, until one of them is late, by
//! [`SERVED_MAX`] and [`HELD_FAIRLY_MAX`]: that order would make every answer late then. From there on the newest is read first,
//! answered soon, and on a connection whose memory is warm. What is late is read when there is nothing else to do, and one of it for
//! every [`LATE_EVERY`] that are served; in the end it is told to come back. A database that does not move closes nothing: no order
//! helps then.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// How many wait for the database before no more are read: enough that its connections are never without work.
pub const AHEAD_MAX: usize = 32;
/// A request before which so many have been served may be late. Counted, since a service whose share of a processor is used up
/// stands still for tens of milliseconds, in which nobody overtakes anybody.
pub const SERVED_MAX: u64 = 256;
/// What has been held for so long, half of the latency that users are promised, is late once that many have been served before it.
pub const HELD_FAIRLY_MAX: Duration = Duration::from_millis(100);
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
/// The most that stay in their sockets; then the one that has waited longest is refused.
pub const HELD_MAX: usize = 4096;

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
    #[cfg(not(test))]
    built: std::time::Instant,
    /// In tests, time is what they let pass.
    #[cfg(test)]
    passed: AtomicU64,
    is_open: AtomicBool,
    /// As many as `held` has, to be looked at without its lock.
    holds: AtomicUsize,
    /// Those that stay in their sockets, the newest last. Some may have left.
    held: Mutex<VecDeque<Held>>,
}

struct Held {
    /// When it came, in nanoseconds after `built`.
    since: u64,
    /// How many had been served when it came.
    served: u64,
    pass: oneshot::Sender<Ahead>,
}

/// One that waits for the database, or is on its way there.
pub struct Ahead {
    gate: Arc<Shared>,
    /// Which of those that were served it is, from 1 on; 0 while it is not.
    served: u64,
}

impl Default for Gate {
    fn default() -> Self {
        Gate(Arc::new(Shared {
            ahead: AtomicUsize::new(0),
            moved: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            served: AtomicU64::new(0),
            #[cfg(not(test))]
            built: std::time::Instant::now(),
            #[cfg(test)]
            passed: AtomicU64::new(0),
            is_open: AtomicBool::new(false),
            holds: AtomicUsize::new(0),
            held: Mutex::default(),
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

    /// A place for a request that stays in its socket. It is told when it may be read; or its sender is gone, and it is refused.
    pub fn hold(&self) -> oneshot::Receiver<Ahead> {
        let (pass, receiver) = oneshot::channel();
        let mut held = self.0.held();
        let refused = if held.len() >= HELD_MAX { held.pop_front() } else { None };
        held.push_back(Held { since: self.0.nanoseconds(), served: self.0.served.load(Relaxed), pass });
        self.0.holds.store(held.len(), SeqCst);
        drop(held);
        drop(refused); // which tells it
        // Whoever was ahead may have gone in between, and nobody else comes along to say so.
        if !self.is_closed() {
            self.0.let_in(false);
        }
        receiver
    }

    /// Lets in one that has been held for long, if there is nothing else to do.
    pub fn try_pass(&self) -> Option<Ahead> {
        (self.0.is_open.load(Relaxed) || self.0.is_quiet()).then(|| self.0.one_more())
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

    /// Lets one in: the oldest, if it is not late or `is_turn_of_oldest` all the same; else the newest, if that is not late; else the
    /// oldest, if there is nothing else to do.
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
            let served = self.served.load(Relaxed);
            let is_late = |held: Option<&Held>| {
                held.is_some_and(|held| {
                    let for_long = now.saturating_sub(held.since) >= HELD_FAIRLY_MAX.as_nanos() as u64;
                    for_long && served >= held.served + SERVED_MAX
                })
            };
            let next = if is_turn_of_oldest || !is_late(held.front()) {
                held.pop_front()
            } else if !is_late(held.back()) {
                held.pop_back()
            } else if self.is_quiet() {
                held.pop_front()
            } else {
                None
            };
            self.holds.store(held.len(), SeqCst);
            next
        };
        if let Some(next) = next {
            // Whoever leaves at this very moment gives it on by dropping it.
            let _ = next.pass.send(self.one_more());
        }
    }

    fn let_all_in(self: &Arc<Self>) {
        let all = {
            let mut held = self.held();
            self.holds.store(0, SeqCst);
            std::mem::take(&mut *held)
        };
        for one in all {
            let _ = one.pass.send(self.one_more());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pass = oneshot::Receiver<Ahead>;

    impl Gate {
        fn let_pass(&self, time: Duration) {
            self.0.passed.fetch_add(time.as_nanos() as u64, SeqCst);
        }
    }

    fn closed() -> (Gate, Vec<Ahead>) {
        let gate = Gate::default();
        let ahead = (0..AHEAD_MAX).map(|_| gate.waits()).collect();
        assert!(gate.is_closed());
        (gate, ahead)
    }

    /// One of those that wait is served; who is let in for it waits in its place.
    fn serve(ahead: &mut Vec<Ahead>, held: &mut [Pass]) -> Vec<usize> {
        ahead.pop().expect("somebody waits").served();
        let passed: Vec<_> = held.iter_mut().map(pass).enumerate().filter(|(_, pass)| pass.is_some()).collect();
        let (places, passes): (Vec<_>, Vec<_>) = passed.into_iter().unzip();
        ahead.extend(passes.into_iter().flatten());
        places
    }

    fn pass(held: &mut Pass) -> Option<Ahead> {
        held.try_recv().ok()
    }

    /// Whether it is let in now; its pass is gone then.
    fn passes(held: &mut Pass) -> bool {
        pass(held).is_some()
    }

    #[test]
    fn it_closes_when_enough_wait_for_the_database_and_opens_when_one_of_them_is_served() {
        let (gate, mut ahead) = closed();
        ahead.pop().unwrap().served();
        assert!(!gate.is_closed());
    }

    #[test]
    fn those_that_are_held_are_read_in_order_of_arrival() {
        let (gate, mut ahead) = closed();
        let mut held: Vec<_> = (0..3).map(|_| gate.hold()).collect();
        for expected in 0..3 {
            assert!(gate.is_closed());
            assert_eq!(serve(&mut ahead, &mut held), [expected]);
        }
    }

    #[test]
    fn once_one_is_late_the_newest_is_read_first_and_the_late_one_now_and_then() {
        let (gate, mut ahead) = closed();
        let mut held: Vec<_> = (0..=SERVED_MAX).map(|_| gate.hold()).collect();
        for expected in 0..SERVED_MAX as usize {
            assert_eq!(serve(&mut ahead, &mut held), [expected]);
        }
        let mut late = held.pop().unwrap();
        gate.let_pass(HELD_FAIRLY_MAX);
        let mut newer = vec![gate.hold(), gate.hold()];
        assert_eq!(serve(&mut ahead, &mut newer), [1]);
        assert_eq!(serve(&mut ahead, &mut newer), [0]);
        for _ in SERVED_MAX + 2..LATE_EVERY - 1 {
            assert_eq!(serve(&mut ahead, &mut [gate.hold()]), [0]);
            assert!(pass(&mut late).is_none());
        }
        let mut newest = gate.hold();
        assert_eq!(serve(&mut ahead, std::slice::from_mut(&mut newest)), [0; 0]);
        assert!(passes(&mut late));
    }

    #[test]
    fn what_has_not_been_held_for_long_is_not_late_however_many_were_served() {
        let (gate, mut ahead) = closed();
        let mut held: Vec<_> = (0..SERVED_MAX + 10).map(|_| gate.hold()).collect();
        for expected in 0..held.len() {
            assert_eq!(serve(&mut ahead, &mut held), [expected]);
        }
    }

    #[test]
    fn what_is_late_is_read_when_all_is_quiet() {
        let (gate, mut ahead) = closed();
        let mut held: Vec<_> = (0..SERVED_MAX + 2).map(|_| gate.hold()).collect();
        for _ in 0..SERVED_MAX {
            serve(&mut ahead, &mut held);
        }
        let [mut first, mut second] = held.split_off(SERVED_MAX as usize).try_into().ok().unwrap();
        gate.let_pass(HELD_FAIRLY_MAX);
        assert!(gate.is_closed());
        assert!(gate.try_pass().is_none(), "others wait");
        while let Some(one) = ahead.pop() {
            one.served();
        }
        assert!(pass(&mut first).is_none(), "it has been closed just now");
        assert!(gate.try_pass().is_none());
        gate.let_pass(QUIET + Duration::from_millis(1));
        // Where nobody comes any more, what is held looks for itself, and the others follow.
        drop(gate.try_pass().unwrap());
        assert!(passes(&mut first));
        assert!(passes(&mut second));
    }

    #[test]
    fn those_whom_the_gate_does_not_see_keep_nobody_out_for_ever() {
        let (gate, mut ahead) = closed();
        ahead.extend((0..9 * AHEAD_MAX).map(|_| gate.waits()));
        let mut let_in = 0;
        for _ in 0..20 * AHEAD_MAX {
            let_in += serve(&mut ahead, &mut [gate.hold()]).len();
            if ahead.len() < AHEAD_MAX {
                ahead.push(gate.waits());
            }
        }
        assert!(let_in > AHEAD_MAX);
        assert_eq!(ahead.len(), AHEAD_MAX, "too many become fewer");
    }

    #[test]
    fn a_database_that_does_not_move_closes_nothing_and_lets_all_in() {
        let (gate, mut ahead) = closed();
        let mut held: Vec<_> = (0..100).map(|_| gate.hold()).collect();
        gate.let_pass(STANDSTILL + Duration::from_millis(1));
        assert!(!gate.is_closed());
        drop(ahead.pop()); // it has waited in vain
        assert!(held.iter_mut().all(passes));
        let mut next = gate.hold();
        assert!(passes(&mut next), "it comes at the moment at which that is noticed");
        ahead.pop().unwrap().served();
        ahead.extend([gate.waits(), gate.waits()]);
        assert!(gate.is_closed(), "it moves again");
    }

    #[test]
    fn a_pass_that_nobody_takes_goes_to_the_next() {
        let (gate, mut ahead) = closed();
        let (leaves, leaves_late, mut stays) = (gate.hold(), gate.hold(), gate.hold());
        drop(leaves);
        ahead.pop().unwrap().served(); // goes to `leaves_late`, which has not looked yet
        assert!(!passes(&mut stays));
        drop(leaves_late);
        assert!(passes(&mut stays));
    }

    #[test]
    fn a_service_that_stops_lets_all_in() {
        let (gate, _ahead) = closed();
        let mut held: Vec<_> = (0..3).map(|_| gate.hold()).collect();
        gate.open();
        assert!(held.iter_mut().all(passes));
        assert!(!gate.is_closed());
        assert!(gate.try_pass().is_some());
    }

    #[test]
    fn when_too_many_are_held_the_oldest_is_refused() {
        let (gate, _ahead) = closed();
        let mut held: Vec<_> = (0..HELD_MAX + 2).map(|_| gate.hold()).collect();
        let refused: Vec<bool> = held
            .iter_mut()
            .take(3)
            .map(|one| matches!(one.try_recv(), Err(oneshot::error::TryRecvError::Closed)))
            .collect();
        assert_eq!(refused, [true, true, false]);
    }

    /// Many threads that come, wait and leave: whoever stays is let in, and nothing is counted twice.
    #[test]
    fn nobody_is_forgotten_whatever_meets() {
        let gate = Gate::default();
        let mut stay = std::thread::scope(|scope| {
            let comes = |leaves: usize| {
                let mut stay = Vec::new();
                for turn in 0..2_000 {
                    let ahead: Vec<_> = (0..AHEAD_MAX / 3).map(|_| gate.waits()).collect();
                    if gate.is_closed() {
                        let held = gate.hold();
                        if turn % leaves != 0 {
                            stay.push(held);
                        }
                    }
                    ahead.into_iter().for_each(Ahead::served);
                    stay.retain_mut(|held| pass(held).is_none());
                }
                stay
            };
            let threads: Vec<_> = (2..6).map(|leaves| scope.spawn(move || comes(leaves))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        gate.let_pass(QUIET * 2);
        gate.waits().served();
        let mut before = usize::MAX;
        while stay.len() < before {
            before = stay.len();
            stay.retain_mut(|held| pass(held).is_none());
        }
        assert_eq!((stay.len(), gate.0.ahead.load(SeqCst), gate.0.held().len()), (0, 0, 0));
    }
}
