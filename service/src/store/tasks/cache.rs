//! Tasks that lists on SQLite have read, with their JSON. Reading fifteen columns of each row and writing them as JSON is most of
//! what a list costs; so a list asks the database which tasks belong to it, and in which version, and reads only those rows that
//! are not here in that version.
//!
//! The database is asked each time who may see what, and a version is never two texts: each change of a task counts it up, as its
//! `ETag` promises. The one exception is a parent that is removed for good, which leaves its subtasks without one; so the parent
//! is compared too.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use telemetry::metrics::TaskCacheState;
use uuid::Uuid;

use crate::tasks::model::Task;

/// Memory that the cache takes at most, about: 9,000 tasks of common size. Those that are listed again stay.
const BYTES_MAX: u64 = 16 * 1024 * 1024;
/// A task without its texts, twice, and its place in the cache.
const TASK_BYTES: usize = 1024;

/// A task as a list has read it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CachedTask(Arc<Cached>);

#[derive(Debug)]
struct Cached {
    task: Task,
    json: OnceLock<Box<[u8]>>,
}

impl CachedTask {
    fn new(task: Task) -> Self {
        CachedTask(Arc::new(Cached { task, json: OnceLock::new() }))
    }

    /// Its JSON, which `write` makes the first time.
    pub fn json(&self, write: impl FnOnce(&Task) -> Vec<u8>) -> &[u8] {
        self.0.json.get_or_init(|| write(&self.0.task).into_boxed_slice())
    }
}

impl AsRef<Task> for CachedTask {
    fn as_ref(&self) -> &Task {
        &self.0.task
    }
}

/// What tells whether a task is still as it was: its id, its version and its parent.
pub(super) type Seen = (Uuid, i64, Option<Uuid>);

/// Bytes of a task and its JSON.
#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Uuid, CachedTask> for Bytes {
    fn weight(&self, _: &Uuid, cached: &CachedTask) -> u64 {
        let Task { title, description, labels, .. } = cached.as_ref();
        let labels: usize = labels.0.iter().map(|label| size_of::<String>() + label.len()).sum();
        let texts = title.len() + description.as_ref().map_or(0, String::len) + labels;
        (TASK_BYTES + 2 * texts) as u64
    }
}

/// The tasks, by id.
pub(in crate::store) struct TaskCache {
    tasks: Cache<Uuid, CachedTask, Bytes>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl TaskCache {
    pub(in crate::store) fn new() -> Self {
        let number = BYTES_MAX as usize / (2 * TASK_BYTES);
        TaskCache {
            tasks: Cache::with_weighter(number, BYTES_MAX, Bytes),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The tasks that a list has found, in its order. `read` reads one that is not here in that version.
    pub(super) fn tasks<E>(
        &self,
        found: Vec<Seen>,
        mut read: impl FnMut(Uuid) -> Result<Option<Task>, E>,
    ) -> Result<Vec<CachedTask>, E> {
        let mut tasks = Vec::with_capacity(found.len());
        let mut misses = 0;
        for (id, version, parent_id) in found {
            let is_current = |task: &Task| task.version == version && task.parent_id == parent_id;
            if let Some(cached) = self.tasks.get(&id).filter(|cached| is_current(cached.as_ref())) {
                tasks.push(cached);
            } else if let Some(task) = read(id)? {
                let cached = CachedTask::new(task);
                self.tasks.insert(id, cached.clone());
                tasks.push(cached);
                misses += 1;
            }
        }
        self.misses.fetch_add(misses, Ordering::Relaxed);
        self.hits.fetch_add(tasks.len() as u64 - misses, Ordering::Relaxed);
        Ok(tasks)
    }

    /// Forgets all: a task that is removed for good is not to be found in memory either.
    pub(in crate::store) fn clear(&self) {
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

    use jiff::Timestamp;

    use super::*;
    use crate::store::types::Labels;
    use crate::tasks::model::{Priority, Status};

    fn task(number: u128, version: i64, parent_id: Option<Uuid>) -> Task {
        Task {
            id: Uuid::from_u128(number),
            project_id: Uuid::nil(),
            parent_id,
            title: "title".into(),
            description: Some("x".repeat(64 * 1024)),
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

    /// Whether the cache had to read this task.
    fn reads(cache: &TaskCache, task: &Task) -> bool {
        let mut has_read = false;
        let read = |_| {
            has_read = true;
            Ok::<_, Infallible>(Some(task.clone()))
        };
        let listed = cache.tasks(vec![(task.id, task.version, task.parent_id)], read).unwrap();
        assert!(listed.iter().map(CachedTask::as_ref).eq([task]));
        has_read
    }

    #[test]
    fn a_task_is_read_once_in_each_version_and_under_each_parent() {
        let cache = TaskCache::new();
        let parent = Some(Uuid::from_u128(9));
        for listed in [task(1, 1, parent), task(1, 2, parent), task(1, 2, None), task(2, 2, None)] {
            assert!(reads(&cache, &listed));
            assert!(!reads(&cache, &listed));
        }
        assert_eq!((cache.state().hits_total, cache.state().misses_total), (4, 4));
        cache.clear();
        assert_eq!(cache.state().bytes, 0);
        assert!(reads(&cache, &task(2, 2, None)));
    }

    #[test]
    fn a_task_that_is_gone_before_it_is_read_is_left_out() {
        let listed = TaskCache::new().tasks(vec![(Uuid::nil(), 1, None)], |_| Ok::<_, Infallible>(None));
        assert!(listed.unwrap().is_empty());
    }

    #[test]
    fn memory_has_a_bound() {
        let cache = TaskCache::new();
        for number in 0..1_000 {
            reads(&cache, &task(number, 1, None));
        }
        let bytes = cache.state().bytes;
        assert!(bytes <= BYTES_MAX, "{bytes}");
        assert!(bytes > BYTES_MAX / 4, "{bytes}");
    }
}
