//! The tasks of a page, as each database gives them.

use jiff::Timestamp;
use uuid::Uuid;

use crate::store::tasks::CachedTask;
use crate::tasks::model::{Priority, Task};

/// The tasks of a page.
#[derive(Debug)]
pub enum Listed {
    /// PostgreSQL's: nothing is left of them but their JSON.
    Written(WrittenTasks),
    /// SQLite's, out of its cache or as they went into it.
    Cached(Vec<CachedTask>),
}

impl Listed {
    /// The place of the last of them.
    pub fn last(&self) -> Option<Place> {
        match self {
            Listed::Written(tasks) => tasks.last,
            Listed::Cached(tasks) => tasks.last().map(|task| task.as_ref().into()),
        }
    }
}

/// Tasks as JSON, one behind the other with a comma between them.
#[derive(Debug, Default)]
pub struct WrittenTasks {
    json: Vec<u8>,
    last: Option<Place>,
}

impl WrittenTasks {
    /// With room for `bytes` of JSON.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        WrittenTasks { json: Vec::with_capacity(bytes), last: None }
    }

    /// Appends a task's JSON.
    pub fn push(&mut self, json: &[u8], place: Place) {
        if self.last.is_some() {
            self.json.push(b',');
        }
        self.json.extend_from_slice(json);
        self.last = Some(place);
    }

    /// What stands between the brackets of a list.
    pub fn json(&self) -> &[u8] {
        &self.json
    }
}

/// What tells where a task stands in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub(super) id: Uuid,
    pub(super) priority: Priority,
    pub(super) due_at: Option<Timestamp>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

impl From<&Task> for Place {
    fn from(task: &Task) -> Self {
        let &Task { id, priority, due_at, created_at, updated_at, .. } = task;
        Place { id, priority, due_at, created_at, updated_at }
    }
}
