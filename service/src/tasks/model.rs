//! What a task is: its fields, its two enums, and what a create and a patch carry once they are valid.

use std::str::FromStr;

use diesel::Queryable;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::requests::Label;
use crate::store::types::{Labels, UnknownVariant, text_enum};

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not begun.
    #[default]
    Todo,
    /// Somebody works on it.
    InProgress,
    /// Waits for something else.
    Blocked,
    /// Finished; `completed_at` says when.
    Done,
    /// Will not be done.
    Cancelled,
}

impl Status {
    /// Every status, in the order of a task's life.
    pub const ALL: [Status; 5] = [Status::Todo, Status::InProgress, Status::Blocked, Status::Done, Status::Cancelled];

    /// The status as the API and the database spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Todo => "todo",
            Status::InProgress => "in_progress",
            Status::Blocked => "blocked",
            Status::Done => "done",
            Status::Cancelled => "cancelled",
        }
    }
}

impl FromStr for Status {
    type Err = UnknownVariant;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Status::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownVariant("status"))
    }
}

text_enum!(Status);

/// How urgent a task is. Stored as its rank, so that it sorts by urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Rank 0.
    Low,
    /// Rank 1, the default.
    #[default]
    Medium,
    /// Rank 2.
    High,
    /// Rank 3.
    Urgent,
}

impl Priority {
    /// Every priority, by rank.
    pub const ALL: [Priority; 4] = [Priority::Low, Priority::Medium, Priority::High, Priority::Urgent];

    /// The priority as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::Low => "low",
            Priority::Medium => "medium",
            Priority::High => "high",
            Priority::Urgent => "urgent",
        }
    }

    /// The priority as the database stores it.
    pub fn rank(self) -> i16 {
        self as i16
    }

    /// The priority of a rank.
    pub fn from_rank(rank: i64) -> Option<Priority> {
        usize::try_from(rank).ok().and_then(|rank| Priority::ALL.get(rank).copied())
    }
}

impl FromStr for Priority {
    type Err = UnknownVariant;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Priority::ALL.into_iter().find(|priority| priority.as_str() == text).ok_or(UnknownVariant("priority"))
    }
}

impl<DB: diesel::backend::Backend> Queryable<diesel::sql_types::SmallInt, DB> for Priority
where
    i16: diesel::deserialize::FromSql<diesel::sql_types::SmallInt, DB>,
{
    type Row = i16;

    fn build(rank: i16) -> diesel::deserialize::Result<Self> {
        Ok(Priority::from_rank(rank.into()).ok_or(UnknownVariant("priority"))?)
    }
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable, ToSchema)]
#[schema(example = json!({
    "id": "0197c3a5-6f2e-7cc0-9b1e-2f6d3c1a5b77", "project_id": "0197c3a5-0d11-7b52-8a61-7d8f3f0f9a10", "parent_id": null,
    "title": "Ship the release", "description": "Tag, build, announce", "status": "todo", "priority": "high",
    "labels": ["release"], "assignee_id": null, "due_at": "2026-12-01T17:00:00Z", "completed_at": null,
    "created_by": "0197c3a5-0c52-7d10-93f3-1a2b3c4d5e6f", "created_at": "2026-11-20T13:54:00Z",
    "updated_at": "2026-11-20T13:54:00Z", "version": 1
}))]
pub struct Task {
    /// UUIDv7, the server's or the client's.
    pub id: Uuid,
    /// The project it belongs to.
    pub project_id: Uuid,
    /// The task of which this is a subtask.
    #[schema(required = true)]
    pub parent_id: Option<Uuid>,
    /// 1 to 200 characters.
    pub title: String,
    /// Up to 64 KiB of UTF-8.
    #[schema(required = true)]
    pub description: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// How urgent it is.
    pub priority: Priority,
    /// Up to 20, each of 1 to 50 characters.
    #[schema(value_type = Vec<Label>, max_items = 20)]
    pub labels: Labels,
    /// A member of the project.
    #[schema(required = true)]
    pub assignee_id: Option<Uuid>,
    /// When it is due, RFC 3339 UTC.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    pub due_at: Option<Timestamp>,
    /// When it last became `done`, RFC 3339 UTC.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    pub completed_at: Option<Timestamp>,
    /// Who made it.
    pub created_by: Uuid,
    /// RFC 3339 UTC.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// RFC 3339 UTC.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Rises by one with each change; the `ETag` is this number in quotes.
    #[schema(minimum = 1)]
    pub version: i64,
}

impl AsRef<Task> for Task {
    fn as_ref(&self) -> &Task {
        self
    }
}

/// A valid request to create a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// The task's id.
    pub id: Uuid,
    /// Its project; without one, its parent's, else the caller's personal project.
    pub project_id: Option<Uuid>,
    /// Its parent, in the same project.
    pub parent_id: Option<Uuid>,
    /// As in [`Task`].
    pub title: String,
    /// As in [`Task`].
    pub description: Option<String>,
    /// As in [`Task`].
    pub status: Status,
    /// As in [`Task`].
    pub priority: Priority,
    /// As in [`Task`].
    pub labels: Labels,
    /// As in [`Task`].
    pub assignee_id: Option<Uuid>,
    /// As in [`Task`].
    pub due_at: Option<Timestamp>,
}

impl NewTask {
    /// Whether `task` is what creating this made: a repeated create with the client's own id is no conflict then.
    pub fn made(&self, task: &Task) -> bool {
        self.id == task.id
            && self.project_id.is_none_or(|project| project == task.project_id)
            && self.parent_id == task.parent_id
            && self.title == task.title
            && self.description == task.description
            && self.status == task.status
            && self.priority == task.priority
            && self.labels == task.labels
            && self.assignee_id == task.assignee_id
            && self.due_at == task.due_at
    }
}

/// A field of a merge patch (RFC 7396): left alone, or set; `Set(None)` is JSON's null.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// The field did not come.
    #[default]
    Keep,
    /// The field came, with this value.
    Set(T),
}

impl<T> Change<T> {
    /// The new value, when there is one.
    pub fn as_set(&self) -> Option<&T> {
        match self {
            Change::Keep => None,
            Change::Set(value) => Some(value),
        }
    }
}

/// A valid patch of a task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskPatch {
    /// As in [`Task`], for each field.
    pub title: Change<String>,
    /// See [`Task`].
    pub description: Change<Option<String>>,
    /// See [`Task`].
    pub status: Change<Status>,
    /// See [`Task`].
    pub priority: Change<Priority>,
    /// See [`Task`].
    pub labels: Change<Labels>,
    /// See [`Task`].
    pub assignee_id: Change<Option<Uuid>>,
    /// See [`Task`].
    pub parent_id: Change<Option<Uuid>>,
    /// See [`Task`].
    pub due_at: Change<Option<Timestamp>>,
}

/// What `If-Match` asks of a write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum IfMatch {
    /// No header, or `*`: whatever version there is.
    #[default]
    Any,
    /// One of these versions. Empty when the header names none of ours: never true.
    Versions(Vec<i64>),
}

impl IfMatch {
    /// Whether a row of this version may be written.
    pub fn allows(&self, version: i64) -> bool {
        match self {
            IfMatch::Any => true,
            IfMatch::Versions(versions) => versions.contains(&version),
        }
    }
}

/// A task as a write left it, and whether the write completed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The task now.
    pub task: Task,
    /// It was not `done` before and is now.
    pub completed: bool,
}

/// Why the store did not do what was asked, though nothing failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The caller may not know that it exists, or it does not.
    NotFound,
    /// The project in the body is one that the caller may not see, or there is none.
    UnknownProject,
    /// The caller sees it and may not change it.
    Forbidden,
    /// `If-Match` names another version.
    Stale,
    /// The assignee is no member of the project.
    AssigneeNotMember,
    /// The parent is no living task of the same project.
    UnknownParent,
    /// The parent is the task itself or one of its subtasks.
    ParentCycle,
    /// The task and its subtasks would reach deeper than [`DEPTH_MAX`].
    TooDeep,
    /// Another task has this id.
    IdTaken,
    /// The parent is in the trash.
    ParentDeleted,
    /// The task would come back deeper than [`DEPTH_MAX`], with its subtasks: its parent has moved.
    NoRoom,
}

/// How deep subtasks go: a task without a parent is at depth 1.
pub const DEPTH_MAX: i64 = 5;
