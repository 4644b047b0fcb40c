//! Turns: so many at once, and whoever comes on top waits. The door to the service (`MAX_IN_FLIGHT`) and the database's
//! connections are handed out by these.
//!
//! Turns go in order of arrival. A queue may have a limit to that: when the first in it has waited for so long and more wait than
//! have a turn, that order would answer all of them late; then the newest goes first, so that most are answered soon and some not
//! at all.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// The most requests that wait, at some 10 KB each with their connections; then the one that has waited longest is refused.
pub const QUEUED_MAX: usize = 4096;

/// The turns. Cheap to clone.
#[derive(Clone)]
pub struct Turns(Arc<Shared>);

struct Shared {
    taken_max: usize,
    wait_max: Duration,
    fair_wait_max: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: usize,
    /// Those who wait, the newest last. Some may have left.
    queue: VecDeque<Waiting>,
}

struct Waiting {
    since: Instant,
    /// Before all who are not, and not refused for them.
    is_next: bool,
    turn: oneshot::Sender<Turn>,
}

/// A turn; whoever waits gets it when this is dropped.
pub struct Turn(Arc<Shared>);

impl Turns {
    /// Up to `taken_max` at once; others wait for `wait_max`, or not at all where that is zero. They go in order of arrival as long
    /// as the first of them has not waited for `fair_wait_max`.
    pub fn new(taken_max: usize, wait_max: Duration, fair_wait_max: Duration) -> Turns {
        Turns(Arc::new(Shared { taken_max, wait_max, fair_wait_max, state: Mutex::default() }))
    }

    /// A turn, if there is one. While there is, nobody waits.
    pub fn try_take(&self) -> Option<Turn> {
        let mut state = self.0.state();
        (state.taken < self.0.taken_max).then(|| {
            state.taken += 1;
            Turn(Arc::clone(&self.0))
        })
    }

    /// Waits for a turn. `None` if there was none in time.
    pub async fn take(&self) -> Option<Turn> {
        self.wait(false).await
    }

    /// Waits for the next turn, before all who wait already; among several of these, the newest goes first.
    pub async fn take_next(&self) -> Option<Turn> {
        self.wait(true).await
    }

    /// How many have a turn, those among them who have not noticed yet.
    pub fn taken(&self) -> usize {
        self.0.state().taken
    }

    async fn wait(&self, is_next: bool) -> Option<Turn> {
        let (turn, refused) = {
            let mut state = self.0.state();
            if state.taken < self.0.taken_max {
                state.taken += 1;
                return Some(Turn(Arc::clone(&self.0)));
            }
            if self.0.wait_max.is_zero() {
                return None;
            }
            let refused = if state.queue.len() >= QUEUED_MAX { state.refuse() } else { None };
            let (sender, turn) = oneshot::channel();
            let waiting = Waiting { since: Instant::now(), is_next, turn: sender };
            if is_next {
                state.queue.push_front(waiting)
            } else {
                state.queue.push_back(waiting)
            }
            (turn, refused)
        };
        drop(refused); // which tells it
        tokio::time::timeout(self.0.wait_max, turn).await.ok()?.ok()
    }
}

impl Shared {
    /// Held for some twenty instructions while nobody waits.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes out the one that has waited longest, of those who are not to go next.
    fn refuse(&mut self) -> Option<Waiting> {
        let longest = self.queue.iter().position(|waiting| !waiting.is_next)?;
        self.queue.remove(longest)
    }

    /// Whoever goes next, of those who are still there.
    fn next(&mut self, fair_wait_max: Duration) -> Option<oneshot::Sender<Turn>> {
        while self.queue.front().is_some_and(|waiting| waiting.turn.is_closed()) {
            self.queue.pop_front();
        }
        let is_fair = self.queue.len() <= self.taken
            || self.queue.front().is_some_and(|first| first.is_next || first.since.elapsed() < fair_wait_max);
        loop {
            let waiting = if is_fair { self.queue.pop_front() } else { self.queue.pop_back() }?;
            if !waiting.turn.is_closed() {
                return Some(waiting.turn);
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let turn = {
            let mut state = self.0.state();
            let Some(turn) = state.next(self.0.fair_wait_max) else {
                state.taken -= 1;
                return;
            };
            turn
        };
        // Not under the lock: whoever leaves at this very moment gives the turn back by dropping it.
        let _ = turn.send(Turn(Arc::clone(&self.0)));
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);
    const FAIR_WAIT_MAX: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn turns_go_in_order_of_arrival_until_that_would_be_late_for_all() {
        let door = Turns::new(1, LONG, FAIR_WAIT_MAX);
        let inside = door.take().await.unwrap();
        let (mut first, mut second, mut third) = (pin!(door.take()), pin!(door.take()), pin!(door.take()));
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
        let door = Turns::new(2, LONG, FAIR_WAIT_MAX);
        let (one, _other) = (door.take().await.unwrap(), door.take().await.unwrap());
        let (mut first, mut second) = (pin!(door.take()), pin!(door.take()));
        for waiting in [&mut first, &mut second] {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        tokio::time::sleep(FAIR_WAIT_MAX).await;
        drop(one);
        assert!(second.as_mut().now_or_never().is_none());
        assert!(first.now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn who_is_to_go_next_goes_before_all_who_wait() {
        let door = Turns::new(1, LONG, LONG);
        let taken = door.take().await.unwrap();
        let (mut waits, mut goes_next) = (pin!(door.take()), pin!(door.take_next()));
        assert!(waits.as_mut().now_or_never().is_none());
        assert!(goes_next.as_mut().now_or_never().is_none());
        drop(taken);
        assert!(waits.as_mut().now_or_never().is_none());
        drop(goes_next.now_or_never().flatten().unwrap());
        assert!(waits.now_or_never().flatten().is_some());
        assert_eq!(door.taken(), 0);
    }

    #[tokio::test]
    async fn who_is_to_go_next_is_not_refused_for_those_who_come_later() {
        let door = Turns::new(0, LONG, LONG);
        let mut goes_next = pin!(door.take_next());
        assert!(goes_next.as_mut().now_or_never().is_none());
        let mut waiting: Vec<_> = (0..QUEUED_MAX).map(|_| Box::pin(door.take())).collect();
        for one in &mut waiting {
            assert!(one.now_or_never().is_none());
        }
        assert!(goes_next.now_or_never().is_none());
        assert!(waiting.swap_remove(0).now_or_never().is_some());
    }

    #[tokio::test]
    async fn nobody_overtakes_those_who_wait() {
        let door = Turns::new(1, LONG, FAIR_WAIT_MAX);
        let inside = door.take().await.unwrap();
        let mut waits = pin!(door.take());
        assert!(waits.as_mut().now_or_never().is_none());
        drop(inside);
        assert!(door.take().now_or_never().is_none());
        assert!(waits.now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn who_waits_in_vain_is_refused_in_time_and_without_patience_at_once() {
        let patience = Duration::from_millis(20);
        let full = Turns::new(1, patience, FAIR_WAIT_MAX);
        let _inside = full.take().await.unwrap();
        let began = Instant::now();
        assert!(full.take().await.is_none());
        assert!(began.elapsed() >= patience);
        assert!(matches!(Turns::new(0, Duration::ZERO, FAIR_WAIT_MAX).take().now_or_never(), Some(None)));
    }

    #[tokio::test]
    async fn a_place_given_to_somebody_who_left_goes_to_the_next() {
        let door = Turns::new(1, LONG, FAIR_WAIT_MAX);
        let inside = door.take().await.unwrap();
        let mut leaves_late = Box::pin(door.take());
        let mut leaves = Box::pin(door.take());
        let mut stays = Box::pin(door.take());
        for waiting in [&mut leaves_late, &mut leaves, &mut stays] {
            assert!(waiting.now_or_never().is_none());
        }
        drop(leaves);
        drop(inside); // goes to `leaves_late`, which has not looked yet
        drop(leaves_late);
        drop(stays.await.unwrap());
        assert!(matches!(door.take().now_or_never(), Some(Some(_))), "no place was lost");
        assert!(door.0.state().queue.is_empty());
    }

    #[tokio::test]
    async fn when_too_many_wait_the_oldest_is_refused() {
        let door = Turns::new(0, LONG, FAIR_WAIT_MAX);
        let mut waiting: Vec<_> = (0..QUEUED_MAX + 3).map(|_| Box::pin(door.take())).collect();
        for one in &mut waiting {
            assert!(one.now_or_never().is_none());
        }
        let refused: Vec<bool> = waiting.iter_mut().take(5).map(|one| one.now_or_never().is_some()).collect();
        assert_eq!(refused, [true, true, true, false, false]);
    }
}
