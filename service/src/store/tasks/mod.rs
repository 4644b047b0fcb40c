//! Tasks in the database. Reads are one statement for both backends; writes stand in one file each, PostgreSQL's statement
//! beside SQLite's transaction.

mod activity;
mod batch;
pub(super) mod cache;
mod create;
mod delete;
mod erase;
mod import;
mod list;
mod patch;
mod restore;
pub(super) mod texts;
mod tree;

use diesel::sql_types::{BigInt, Nullable, SmallInt, Text};
use uuid::Uuid;

use super::statement::{Statement, binds};
use super::types::{Id, Instant, LabelArray};
use super::{Db, Operation, StoreError};
use crate::projects::model::Role;
use crate::tasks::model::{Refusal, Task};

pub use activity::ActivityRow;
pub use batch::{BatchDone, BatchItem, BatchResult};
pub use cache::CachedTask;
pub use create::Created;
pub use list::{Direction, Filter, Key, Listed, Order, Place, Sort, WrittenTasks};

/// The columns of a [`Task`], in its order, each behind `$prefix`.
macro_rules! columns {
    ($p:literal) => {
        concat!(
            $p,
            "id, ",
            $p,
            "project_id, ",
            $p,
            "parent_id, ",
            $p,
            "title, ",
            $p,
            "description, ",
            $p,
            "status, ",
            $p,
            "priority, ",
            $p,
            "labels, ",
            $p,
            "assignee_id, ",
            $p,
            "due_at, ",
            $p,
            "completed_at, ",
            $p,
            "created_by, ",
            $p,
            "created_at, ",
            $p,
            "updated_at, ",
            $p,
            "version"
        )
    };
}
pub(crate) use columns;

/// The SQL types of [`columns`].
pub(crate) type TaskRow = (
    Id,
    Id,
    Nullable<Id>,
    Text,
    Nullable<Text>,
    Text,
    SmallInt,
    LabelArray,
    Nullable<Id>,
    Nullable<Instant>,
    Nullable<Instant>,
    Id,
    Instant,
    Instant,
    BigInt,
);

/// A living task that the caller may see, with the caller's role in its project.
const VISIBLE: &str = concat!(
    "SELECT ",
    columns!("t."),
    ", m.role FROM tasks t JOIN project_members m ON m.project_id = t.project_id AND m.user_id = $1 ",
    "WHERE t.id = $2 AND t.deleted_at IS NULL"
);

/// [`TaskRow`] and the role: one column more than Diesel's tuples of 16 would leave room for beside another.
type VisibleRow = (TaskRow, Text);

fn visible(user_id: Uuid, id: Uuid) -> Statement<VisibleRow> {
    Statement::numbered(VISIBLE, binds![user_id, id])
}

impl Db {
    /// The task `id`, if `user_id` may see it.
    pub async fn get_task(&self, user_id: Uuid, id: Uuid) -> Result<Option<Task>, StoreError> {
        let rows: Vec<(Task, Role)> = self.read(Operation::TaskGet, visible(user_id, id)).await?;
        Ok(rows.into_iter().next().map(|(task, _)| task))
    }
}

/// Reads [`visible`] inside a SQLite transaction.
fn load_visible(
    connection: &mut diesel::SqliteConnection,
    user_id: Uuid,
    id: Uuid,
) -> diesel::QueryResult<Option<(Task, Role)>> {
    let rows: Vec<(Task, Role)> = diesel::RunQueryDsl::load(visible(user_id, id), connection)?;
    Ok(rows.into_iter().next())
}

/// What a role says to a write.
fn may_write(role: Role) -> Result<(), Refusal> {
    if role == Role::Viewer { Err(Refusal::Forbidden) } else { Ok(()) }
}
