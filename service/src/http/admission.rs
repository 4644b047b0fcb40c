//! Who is let in: as many requests at once as `MAX_IN_FLIGHT` says. Whoever comes on top waits for a turn.
//!
//! To refuse a request costs nearly what its answer costs: it was read, it is counted and logged, and its refusal is written. A
//! service that refuses at once is asked again at once, and does nothing else in the end. So a request that finds the house full is
//! kept for `QUEUE_TIMEOUT_MS`, in which its connection brings no other.
//!
//! Turns go in order of arrival while the wait is short. When the first in the queue has waited for [`FAIR_WAIT_MAX`] and more wait
//! than are inside, that order would answer all of them late; then the newest goes first, so that most are answered soon and some
//! not at all.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// The most requests that wait, at some 10 KB each with their connections; then the one that has waited longest is refused.
pub const QUEUED_MAX: usize = 4096;

/// The longest wait in order of arrival: half of the latency that users are promised.
pub const FAIR_WAIT_MAX: Duration = Duration::from_millis(100);

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Admission(Arc<Door>);

struct Door {
    in_flight_max: usize,
    queue_timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    in_flight: usize,
    /// Those who wait, the newest last. Some may have left.
    queue: VecDeque<Waiting>,
}

struct Waiting {
    since: Instant,
    turn: oneshot::Sender<Permit>,
}

/// A place inside; whoever waits gets it when this is dropped.
pub struct Permit(Arc<Door>);

impl Admission {
    /// Lets in `in_flight_max` at once, and has others wait for `queue_timeout`; zero refuses them at once.
    pub fn new(in_flight_max: usize, queue_timeout: Duration) -> Admission {
        Admission(Arc::new(Door { in_flight_max, queue_timeout, state: Mutex::default() }))
    }

    /// A place, if there is one. While there is, nobody waits.
    pub fn try_enter(&self) -> Option<Permit> {
        let mut state = self.0.state();
        (state.in_flight < self.0.in_flight_max).then(|| {
            state.in_flight += 1;
            Permit(Arc::clone(&self.0))
        })
    }

    /// Waits for a place. `None` if there was none in time.
    pub async fn enter(&self) -> Option<Permit> {
        let turn = {
            let mut state = self.0.state();
            if state.in_flight < self.0.in_flight_max {
                state.in_flight += 1;
                return Some(Permit(Arc::clone(&self.0)));
            }
            if self.0.queue_timeout.is_zero() {
                return None;
            }
            if state.queue.len() >= QUEUED_MAX {
                state.queue.pop_front(); // which tells it
            }
            let (sender, turn) = oneshot::channel();
            state.queue.push_back(Waiting { since: Instant::now(), turn: sender });
            turn
        };
        tokio::time::timeout(self.0.queue_timeout, turn).await.ok()?.ok()
    }
}

impl Door {
    /// Held for some twenty instructions while nobody waits.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whoever goes next, of those who are still there.
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        while self.queue.front().is_some_and(|waiting| waiting.turn.is_closed()) {
            self.queue.pop_front();
        }
        let is_fair = self.queue.len() <= self.in_flight
            || self.queue.front().is_some_and(|waiting| waiting.since.elapsed() < FAIR_WAIT_MAX);
        loop {
            let waiting = if is_fair { self.queue.pop_front() } else { self.queue.pop_back() }?;
            if !waiting.turn.is_closed() {
                return Some(waiting.turn);
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let turn = {
            let mut state = self.0.state();
            let Some(turn) = state.next() else {
                state.in_flight -= 1;
                return;
            };
            turn
        };
        // Not under the lock: whoever leaves at this very moment gives the place back by dropping it.
        let _ = turn.send(Permit(Arc::clone(&self.0)));
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn turns_go_in_order_of_arrival_until_that_would_be_late_for_all() {
        let door = Admission::new(1, LONG);
        let inside = door.enter().await.unwrap();
        let (mut first, mut second, mut third) = (pin!(door.enter()), pin!(door.enter()), pin!(door.enter()));
        for waiting in [&mut first, &mut second, &mut third] {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        drop(inside);
        let inside = first.now_or_never().flatten().unwrap();
        tokio::time::sleep(FAIR_WAIT_MAX).await;
        drop(inside);
        assert!(second.as_mut().now_or_never().is_none());
        drop(third.now_or_never().flatten().unwrap());
        assert!(second.now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn a_queue_no_longer_than_the_house_is_served_in_order_however_long_it_took() {
        let door = Admission::new(2, LONG);
        let (one, _other) = (door.enter().await.unwrap(), door.enter().await.unwrap());
        let (mut first, mut second) = (pin!(door.enter()), pin!(door.enter()));
        for waiting in [&mut first, &mut second] {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        tokio::time::sleep(FAIR_WAIT_MAX).await;
        drop(one);
        assert!(second.as_mut().now_or_never().is_none());
        assert!(first.now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn nobody_overtakes_those_who_wait() {
        let door = Admission::new(1, LONG);
        let inside = door.enter().await.unwrap();
        let mut waits = pin!(door.enter());
        assert!(waits.as_mut().now_or_never().is_none());
        drop(inside);
        assert!(door.enter().now_or_never().is_none());
        assert!(waits.now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn who_waits_in_vain_is_refused_in_time_and_without_patience_at_once() {
        let patience = Duration::from_millis(20);
        let full = Admission::new(1, patience);
        let _inside = full.enter().await.unwrap();
        let began = Instant::now();
        assert!(full.enter().await.is_none());
        assert!(began.elapsed() >= patience);
        assert!(matches!(Admission::new(0, Duration::ZERO).enter().now_or_never(), Some(None)));
    }

    #[tokio::test]
    async fn a_place_given_to_somebody_who_left_goes_to_the_next() {
        let door = Admission::new(1, LONG);
        let inside = door.enter().await.unwrap();
        let mut leaves_late = Box::pin(door.enter());
        let mut leaves = Box::pin(door.enter());
        let mut stays = Box::pin(door.enter());
        for waiting in [&mut leaves_late, &mut leaves, &mut stays] {
            assert!(waiting.now_or_never().is_none());
        }
        drop(leaves);
        drop(inside); // goes to `leaves_late`, which has not looked yet
        drop(leaves_late);
        drop(stays.await.unwrap());
        assert!(matches!(door.enter().now_or_never(), Some(Some(_))), "no place was lost");
        assert!(door.0.state().queue.is_empty());
    }

    #[tokio::test]
    async fn when_too_many_wait_the_oldest_is_refused() {
        let door = Admission::new(0, LONG);
        let mut waiting: Vec<_> = (0..QUEUED_MAX + 3).map(|_| Box::pin(door.enter())).collect();
        for one in &mut waiting {
            assert!(one.now_or_never().is_none());
        }
        let refused: Vec<bool> = waiting.iter_mut().take(5).map(|one| one.now_or_never().is_some()).collect();
        assert_eq!(refused, [true, true, true, false, false]);
    }
}
