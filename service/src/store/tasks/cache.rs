//! Tasks that lists on SQLite have read, with their JSON. Reading fifteen columns of each row and writing them as JSON is most of
//! what a list costs; so a list asks the database which tasks belong to it, and in which version, and reads only those rows that
//! are not here in that version.
//!
//! The database is asked each time who may see what, and each change of a task counts its version up, as its `ETag` promises.
//! A task that is removed for good and made again under the same id begins at version 1 again; so its project and the time of its
//! creation are compared too. Its parent needs not: one that is removed takes its subtasks along, but for those in the trash, and
//! whoever comes back from there has a new version.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use telemetry::metrics::TaskCacheState;
use uuid::Uuid;

use crate::tasks::json::written;
use crate::tasks::model::Task;

/// Memory that the cache takes at most, about: 9,000 tasks of common size. Those that are listed again stay.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// A task with longer texts is read each time: a page of them would be in memory three times, and push all others out.
const TEXTS_MAX: usize = 8 * 1024;
/// A task without its texts, and its place in the cache.
const TASK_BYTES: usize = 512;
/// Parts with a lock and an eighth of the memory each, on any machine.
const SHARDS: usize = 8;

/// A task as a list has read it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CachedTask(Arc<Cached>);

#[derive(Debug)]
struct Cached {
    task: Task,
    /// `None` for one that is too long to keep.
    json: Option<Box<[u8]>>,
}

impl CachedTask {
    pub(crate) fn new(task: Task) -> Self {
        let json = (texts(&task) <= TEXTS_MAX).then(|| written(&task).into_boxed_slice());
        CachedTask(Arc::new(Cached { task, json }))
    }

    /// Its JSON, if it is kept.
    pub fn json(&self) -> Option<&[u8]> {
        self.0.json.as_deref()
    }
}

impl AsRef<Task> for CachedTask {
    fn as_ref(&self) -> &Task {
        &self.0.task
    }
}

/// Bytes of a task's texts.
fn texts(task: &Task) -> usize {
    let labels: usize = task.labels.0.iter().map(|label| size_of::<String>() + label.len()).sum();
    task.title.len() + task.description.as_ref().map_or(0, String::len) + labels
}

/// What tells whether a task is still as it was: its id, its project, its version, and when it was made.
pub(super) type Seen = (Uuid, Uuid, i64, Timestamp);

/// Bytes of a task and its JSON.
#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Uuid, CachedTask> for Bytes {
    fn weight(&self, _: &Uuid, cached: &CachedTask) -> u64 {
        (TASK_BYTES + texts(cached.as_ref()) + cached.json().map_or(0, <[u8]>::len)) as u64
    }
}

/// The tasks, by id.
pub(in crate::store) struct TaskCache {
    tasks: Cache<Uuid, CachedTask, Bytes>,
    /// How often something was forgotten.
    forgotten: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// The moment before a list looks at the database, among those at which tasks are forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look(u64);

impl TaskCache {
    pub(in crate::store) fn new() -> Self {
        let mut options = OptionsBuilder::new();
        options
            .estimated_items_capacity(BYTES_MAX as usize / (4 * TASK_BYTES))
            .weight_capacity(BYTES_MAX)
            .shards(SHARDS);
        #[expect(clippy::expect_used, reason = "the capacities, which are all that has to be given, are given above")]
        let options = options.build().expect("capacities");
        TaskCache {
            tasks: Cache::with_options(options, Bytes, DefaultHashBuilder::default(), DefaultLifecycle::default()),
            forgotten: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Goes before a list's transaction: what is forgotten later may be in what it reads.
    pub(super) fn look(&self) -> Look {
        Look(self.forgotten.load(Ordering::SeqCst))
    }

    /// The tasks that a list has found, in its order. `read` reads one that is not here in that version.
    pub(super) fn tasks<E>(
        &self,
        look: Look,
        found: Vec<Seen>,
        mut read: impl FnMut(Uuid) -> Result<Option<Task>, E>,
    ) -> Result<Vec<CachedTask>, E> {
        let mut tasks = Vec::with_capacity(found.len());
        let mut misses = 0;
        for (id, project_id, version, created_at) in found {
            let now = (project_id, version, created_at);
            let is_current = |task: &Task| (task.project_id, task.version, task.created_at) == now;
            if let Some(cached) = self.tasks.get(&id).filter(|cached| is_current(cached.as_ref())) {
                tasks.push(cached);
            } else if let Some(task) = read(id)? {
                let cached = CachedTask::new(task);
                if cached.json().is_some() {
                    self.keep(look, cached.clone());
                }
                tasks.push(cached);
                misses += 1;
            }
        }
        self.misses.fetch_add(misses, Ordering::Relaxed);
        self.hits.fetch_add(tasks.len() as u64 - misses, Ordering::Relaxed);
        Ok(tasks)
    }

    /// Keeps a task, but not one that may have been forgotten since it was looked for.
    fn keep(&self, look: Look, cached: CachedTask) {
        let id = cached.as_ref().id;
        self.tasks.insert(id, cached);
        if self.look() != look {
            self.tasks.remove(&id);
        }
    }

    /// Forgets tasks that are removed for good: they are not to be found in memory either.
    pub(super) fn forget(&self, ids: &[Uuid]) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        for id in ids {
            self.tasks.remove(id);
        }
    }

    /// Forgets all.
    pub(in crate::store) fn clear(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.tasks.clear();
    }

    /// What its metrics show.
    pub(in crate::store) fn state(&self) -> TaskCacheState {
        TaskCacheState {
            bytes: self.tasks.weight(),
            hits_total: self.hits.load(Ordering::Relaxed),
            misses_total: self.misses.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::store::types::Labels;
    use crate::tasks::model::{Priority, Status};

    fn task(number: u128, version: i64) -> Task {
        Task {
            id: Uuid::from_u128(number),
            project_id: Uuid::nil(),
            parent_id: None,
            title: "title".into(),
            description: Some("\u{1}".repeat(4 * 1024)),
            status: Status::Todo,
            priority: Priority::Low,
            labels: Labels(vec!["label".into()]),
            assignee_id: None,
            due_at: None,
            completed_at: None,
            created_by: Uuid::nil(),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            version,
        }
    }

    /// Whether the cache had to read this task for a list that looked then.
    fn reads(cache: &TaskCache, look: Look, task: &Task) -> bool {
        let mut has_read = false;
        let read = |_| {
            has_read = true;
            Ok::<_, Infallible>(Some(task.clone()))
        };
        let seen = (task.id, task.project_id, task.version, task.created_at);
        let listed = cache.tasks(look, vec![seen], read).unwrap();
        assert!(listed.iter().map(CachedTask::as_ref).eq([task]));
        has_read
    }

    #[test]
    fn a_task_is_read_once_and_again_only_when_something_has_changed() {
        let cache = TaskCache::new();
        let again = Task { created_at: Timestamp::MAX, ..task(1, 2) };
        let elsewhere = Task { project_id: Uuid::max(), ..again.clone() };
        let all = [task(1, 1), task(1, 2), again, elsewhere, task(2, 2)];
        for listed in &all {
            assert!(reads(&cache, cache.look(), listed));
            assert!(!reads(&cache, cache.look(), listed));
        }
        assert_eq!((cache.state().hits_total, cache.state().misses_total), (5, 5));
    }

    #[test]
    fn what_is_forgotten_is_not_kept_by_a_list_that_looked_before() {
        let cache = TaskCache::new();
        let (gone, other) = (task(1, 1), task(2, 1));
        let look = cache.look();
        assert!(reads(&cache, look, &gone) && reads(&cache, look, &other));
        cache.forget(&[gone.id]);
        assert!(!reads(&cache, look, &other), "only what is named is forgotten");
        assert!(reads(&cache, look, &gone));
        assert!(reads(&cache, cache.look(), &gone), "the list before has kept it");
        cache.clear();
        assert_eq!(cache.state().bytes, 0);
        assert!(reads(&cache, look, &other));
        assert_eq!(cache.state().bytes, 0);
    }

    #[test]
    fn a_task_that_is_gone_before_it_is_read_is_left_out() {
        let cache = TaskCache::new();
        let seen = (Uuid::nil(), Uuid::nil(), 1, Timestamp::MIN);
        let listed = cache.tasks(cache.look(), vec![seen], |_| Ok::<_, Infallible>(None));
        assert!(listed.unwrap().is_empty());
    }

    #[test]
    fn memory_has_a_bound_and_long_texts_are_read_each_time() {
        let cache = TaskCache::new();
        let long = Task { description: Some("x".repeat(TEXTS_MAX)), ..task(1, 1) };
        assert!(reads(&cache, cache.look(), &long));
        assert!(reads(&cache, cache.look(), &long));
        assert_eq!(cache.state().bytes, 0);
        let json = written(&task(1, 1)).len();
        assert!(json > 6 * 4 * 1024, "an escape takes six bytes: {json}");
        for number in 0..2_000 {
            reads(&cache, cache.look(), &task(number, 1));
        }
        assert!(cache.state().bytes <= BYTES_MAX, "{}", cache.state().bytes);
        let kept = cache.tasks.iter().map(|(_, cached)| cached.json().map_or(0, <[u8]>::len)).sum::<usize>() as u64;
        assert!((BYTES_MAX / 2..BYTES_MAX).contains(&kept), "{kept}");
    }
}
