//! What the clients of a run know: who they are, which tasks there are, and where in a journey each one is.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::header::HeaderValue;
use jiff::Timestamp;
use uuid::Uuid;

use crate::profile::{Operation, Profile};
use crate::random::Random;
use crate::traits::{Condition, Traits};

/// Tasks of one client that are remembered; the oldest are forgotten, not deleted.
const TASKS_MAX: usize = 20_000;
/// The newest tasks that are looked through for what a filter has to find.
const LOOKED_THROUGH: usize = 200;
/// Deleted tasks that are remembered: no page may show them again.
const GONE_MAX: usize = 32;

/// Everybody and everything of a run.
pub struct World {
    /// What clients do.
    pub profile: Profile,
    /// The run, as titles and addresses carry it.
    pub run: String,
    /// The people.
    pub clients: Vec<Client>,
}

/// One person with a project of their own.
pub struct Client {
    /// The project that all their tasks are in.
    pub project: Uuid,
    session: Mutex<Session>,
    state: Mutex<State>,
}

/// What lets a client in. Never shown.
pub struct Session {
    /// `Bearer …`, marked as sensitive.
    pub bearer: HeaderValue,
    /// For the next pair.
    pub refresh: String,
}

/// A task as its client last saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub id: Uuid,
    /// Its version: the entity tag.
    pub version: i64,
    /// What else is known of it.
    pub traits: Traits,
    /// Requests under way that read it: while there are any it is not deleted, so that a 404 is always a fault.
    readers: u32,
}

/// What a client has in mind; one lock, held for no longer than a look takes.
#[derive(Default)]
pub struct State {
    tasks: Vec<Known>,
    journey: Option<(usize, usize)>,
    seen: Option<Uuid>,
    next: Option<Next>,
    taken: u64,
    gone: VecDeque<(u64, Uuid)>,
    deleted: u64,
}

/// Where the next page starts.
#[derive(Debug, Clone)]
pub struct Next {
    /// As the target wrote it.
    pub cursor: String,
    /// The last task of the page before, and when it was made.
    pub after: (Timestamp, Uuid),
}

/// What a client knew when it asked for a page, and what a page must therefore show.
#[derive(Debug, Clone, Copy)]
pub struct Knowledge {
    /// Tasks that a page has to have, were they all left alone meanwhile.
    pub fitting: usize,
    /// Tasks that were taken out to change or delete them, until then.
    taken: u64,
    /// Deletions that were answered, until then.
    deleted: u64,
}

impl Client {
    /// Somebody who has just come in.
    pub fn new(project: Uuid, session: Session) -> Self {
        Self { project, session: Mutex::new(session), state: Mutex::default() }
    }

    /// What they know.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What lets them in.
    pub fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next step of the journey under way, or the first of another.
    pub fn step(&mut self, profile: &Profile, random: &mut Random) -> Operation {
        let (journey, step) = self.journey.take().unwrap_or_else(|| (choose(profile, random), 0));
        let steps = &profile.journeys[journey].steps;
        if step + 1 < steps.len() {
            self.journey = Some((journey, step + 1));
        }
        steps[step]
    }

    /// The task to read: the one just found, while it is still there, else a new one rather than an old one. It has a
    /// reader more until [`State::read`].
    pub fn begin_read(&mut self, zipf: f64, random: &mut Random) -> Option<Known> {
        let found = self.seen.take().and_then(|id| self.tasks.iter().rposition(|task| task.id == id));
        let count = self.tasks.len();
        let index = found.or_else(|| (count > 0).then(|| count - 1 - random.rank(count, zipf)))?;
        let task = self.tasks.get_mut(index)?;
        task.readers += 1;
        Some(*task)
    }

    /// A read has ended.
    pub fn read(&mut self, id: Uuid) {
        if let Some(task) = self.tasks.iter_mut().rfind(|task| task.id == id) {
            task.readers = task.readers.saturating_sub(1);
        }
    }

    /// Takes a task out to change it, so that nobody else does at the same time: a 412 is always a fault.
    pub fn take_to_change(&mut self, zipf: f64, random: &mut Random) -> Option<Known> {
        let count = self.tasks.len();
        let seen = self.seen.take().and_then(|id| self.tasks.iter().rposition(|task| task.id == id));
        self.take(seen.or_else(|| (count > 0).then(|| count - 1 - random.rank(count, zipf)))?)
    }

    /// Takes an old task out to delete it. The last ones stay: there is always something to read.
    pub fn take_to_delete(&mut self, random: &mut Random) -> Option<Known> {
        let count = self.tasks.len();
        if count < 4 {
            return None;
        }
        self.take(random.below(count / 2))
    }

    /// The task at this place, or the next one that nobody reads.
    fn take(&mut self, from: usize) -> Option<Known> {
        let count = self.tasks.len();
        let index = (0..count.min(64)).map(|step| (from + step) % count).find(|&at| self.tasks[at].readers == 0)?;
        self.taken += 1;
        Some(self.tasks.remove(index))
    }

    /// Puts back what was changed, or made, as the newest.
    pub fn put(&mut self, id: Uuid, version: i64, traits: Traits) {
        if self.tasks.len() >= TASKS_MAX {
            self.tasks.remove(0);
        }
        self.tasks.push(Known { id, version, traits, readers: 0 });
    }

    /// Remembers that a task was deleted.
    pub fn deleted(&mut self, id: Uuid) {
        self.deleted += 1;
        if self.gone.len() == GONE_MAX {
            self.gone.pop_front();
        }
        self.gone.push_back((self.deleted, id));
    }

    /// Remembers what a page showed: the task that is opened next.
    pub fn saw(&mut self, task: Option<Uuid>) {
        self.seen = task;
    }

    /// Remembers where the next page starts, for as long as no other one says so.
    pub fn turn_to(&mut self, next: Option<Next>) {
        self.next = next;
    }

    /// Where the next page starts.
    pub fn next_page(&self) -> Option<Next> {
        self.next.clone()
    }

    /// What is known before a page is asked for. `after` is where it starts.
    pub fn before_page(&self, condition: Condition, after: Option<Uuid>) -> Knowledge {
        let fitting = match (condition, after) {
            // Ids are in the order of time, but for a moment.
            (_, Some(after)) => self.tasks.iter().filter(|task| task.id < after).count(),
            (Condition::Any, None) => self.tasks.len(),
            (condition, None) => {
                let newest = self.tasks.iter().rev().take(LOOKED_THROUGH);
                newest.filter(|task| condition.fits(&task.traits)).count()
            }
        };
        Knowledge { fitting, taken: self.taken, deleted: self.deleted }
    }

    /// How many tasks a page has to have that was asked for with this knowledge: those that fitted and were left alone since.
    pub fn least(&self, knowledge: &Knowledge) -> usize {
        knowledge.fitting.saturating_sub((self.taken - knowledge.taken) as usize)
    }

    /// Whether a task was deleted before that.
    pub fn was_gone(&self, id: Uuid, knowledge: &Knowledge) -> bool {
        self.gone.iter().any(|(number, gone)| *gone == id && *number <= knowledge.deleted)
    }
}

fn choose(profile: &Profile, random: &mut Random) -> usize {
    let total: u32 = profile.journeys.iter().map(|journey| journey.weight).sum();
    let mut left = random.below(total as usize) as u32;
    for (index, journey) in profile.journeys.iter().enumerate() {
        match left.checked_sub(journey.weight) {
            Some(rest) => left = rest,
            None => return index,
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(count: usize) -> State {
        let mut state = State::default();
        (0..count).for_each(|_| state.put(Uuid::now_v7(), 1, Traits::default()));
        state
    }

    #[test]
    fn a_task_that_is_read_is_not_deleted_and_one_that_is_changed_is_not_read() {
        let (mut state, mut random) = (state(5), Random::new(1));
        let read: Vec<Uuid> = (0..200).filter_map(|_| state.begin_read(0.0, &mut random)).map(|task| task.id).collect();
        assert_eq!(state.take_to_delete(&mut random), None, "all are being read");
        read.iter().for_each(|id| state.read(*id));
        let taken = state.take_to_change(0.0, &mut random).expect("nobody reads it any more");
        let others = (0..200).filter_map(|_| state.begin_read(0.0, &mut random)).all(|task| task.id != taken.id);
        assert!(others);
    }

    #[test]
    fn journeys_give_the_shares_of_the_profile() {
        let profile = Profile::read(None).expect("the default profile is valid");
        let (mut state, mut random) = (State::default(), Random::new(1));
        let steps: Vec<Operation> = (0..100_000).map(|_| state.step(&profile, &mut random)).collect();
        for operation in Operation::ALL {
            let share = steps.iter().filter(|step| **step == operation).count() as f64 / 100_000.0;
            assert!((share - profile.share(operation)).abs() < 0.01, "{operation:?}: {share}");
        }
    }
}
