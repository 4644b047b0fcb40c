//! Taking a task out of the trash, with the subtasks that went in with it.

use diesel::sql_types::{Bool, Nullable, Text};
use diesel::{QueryResult, SqliteConnection};
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use jiff::Timestamp;
use uuid::Uuid;

use super::super::statement::{Statement, binds};
use super::super::types::{Id, Instant, JsonText};
use super::create::keep_if_done;
use super::{TaskRow, activity, columns, may_write, tree, visible};
use crate::projects::model::Role;
use crate::store::{Db, End, Operation, StoreError};
use crate::tasks::model::{DEPTH_MAX, Refusal, Task};

/// The caller's role; whether the task is in the trash; whether its parent is not; the task when it came back.
type RestoreRow = (Text, Bool, Bool, Nullable<TaskRow>);

const POSTGRES: &str = concat!(
    "WITH RECURSIVE target AS (\
       SELECT t.id, t.deleted_at, m.role, (t.parent_id IS NULL OR EXISTS (\
         SELECT 1 FROM tasks p WHERE p.id = t.parent_id AND p.deleted_at IS NULL)) AS parent_ok \
       FROM tasks t JOIN project_members m ON m.project_id = t.project_id AND m.user_id = $2 WHERE t.id = $1 FOR NO KEY UPDATE OF t\
     ), tree (id, deleted_at) AS (\
       SELECT target.id, target.deleted_at FROM target \
       WHERE target.role <> 'viewer' AND target.parent_ok AND target.deleted_at IS NOT NULL AND $5 \
       UNION ALL SELECT c.id, c.deleted_at FROM tree ",
    tree::subtasks!("tree"),
    " WHERE c.deleted_at = tree.deleted_at\
     ), back AS (\
       UPDATE tasks t SET deleted_at = NULL, updated_at = greatest($3, t.updated_at), version = t.version + 1 \
       WHERE t.id = ANY (ARRAY (SELECT tree.id FROM tree)) RETURNING ",
    columns!("t."),
    "), logged AS (\
       INSERT INTO task_activity (task_id, id, actor_id, action, changes, created_at) \
       SELECT back.id, $4, $2, 'restored', '{}', $3 FROM back\
     ) SELECT target.role, target.deleted_at IS NOT NULL, target.parent_ok, ",
    columns!("back."),
    " FROM target LEFT JOIN back ON back.id = target.id"
);

const TARGET: &str = "SELECT m.role, t.deleted_at, (t.parent_id IS NULL OR EXISTS (\
       SELECT 1 FROM tasks p WHERE p.id = t.parent_id AND p.deleted_at IS NULL)) \
     FROM tasks t JOIN project_members m ON m.project_id = t.project_id AND m.user_id = ? WHERE t.id = ?";

const SQLITE: &str = "WITH RECURSIVE tree (id) AS (\
       SELECT ? UNION ALL SELECT c.id FROM tree JOIN tasks c ON c.parent_id = tree.id WHERE c.deleted_at = ?\
     ) UPDATE tasks SET deleted_at = NULL, updated_at = max(?, updated_at), version = version + 1 \
     WHERE id IN (SELECT id FROM tree) RETURNING id";

/// What the target's state allows. `Ok(false)`: it is not in the trash, there is nothing to do.
fn judge(role: Role, deleted: bool, parent_ok: bool, fits: bool) -> Result<bool, Refusal> {
    may_write(role)?;
    match (deleted, parent_ok) {
        (true, false) => Err(Refusal::ParentDeleted),
        (true, true) if !fits => Err(Refusal::NoRoom),
        (deleted, _) => Ok(deleted),
    }
}

/// Whether the tree that would come back fits under its parent, which may have moved down meanwhile.
fn fits(sqlite: bool, id: Uuid) -> Statement<(Bool,)> {
    let subtasks = if sqlite { "JOIN tasks c ON c.parent_id = down.id" } else { tree::subtasks!("down") };
    Statement::new(
        format!(
            "WITH RECURSIVE down (id, deleted_at, height) AS (\
               SELECT t.id, t.deleted_at, 1 FROM tasks t WHERE t.id = ? \
               UNION ALL SELECT c.id, c.deleted_at, down.height + 1 FROM down {subtasks} \
                 WHERE c.deleted_at = down.deleted_at AND down.height < 6\
             ), up (parent_id, depth) AS (\
               SELECT t.parent_id, 0 FROM tasks t WHERE t.id = ? \
               UNION ALL SELECT p.parent_id, up.depth + 1 FROM up JOIN tasks p ON p.id = up.parent_id WHERE up.depth < 6\
             ) SELECT coalesce((SELECT max(depth) FROM up) + (SELECT max(height) FROM down), 0) <= {DEPTH_MAX}"
        ),
        binds![id, id],
    )
}

fn run_sqlite(
    connection: &mut SqliteConnection,
    user_id: Uuid,
    id: Uuid,
    now: Timestamp,
) -> QueryResult<Result<Task, Refusal>> {
    let target = Statement::<(Text, Nullable<Instant>, Bool)>::new(TARGET, binds![user_id, id]);
    let target: Vec<(Role, Option<Timestamp>, bool)> = diesel::RunQueryDsl::load(target, connection)?;
    let Some((role, deleted_at, parent_ok)) = target.into_iter().next() else { return Ok(Err(Refusal::NotFound)) };
    let fits: Vec<(bool,)> = diesel::RunQueryDsl::load(fits(true, id), connection)?;
    match judge(role, deleted_at.is_some(), parent_ok, fits == [(true,)]) {
        Err(refusal) => return Ok(Err(refusal)),
        Ok(false) => {}
        Ok(true) => {
            let restore = Statement::<(Id,)>::new(SQLITE, binds![id, deleted_at, now]);
            let back: Vec<(Uuid,)> = diesel::RunQueryDsl::load(restore, connection)?;
            for (id,) in back {
                activity::log_sqlite(connection, id, user_id, "restored", JsonText("{}".into()), now)?;
            }
        }
    }
    let task: Vec<(Task, Role)> = diesel::RunQueryDsl::load(visible(user_id, id), connection)?;
    Ok(task.into_iter().next().map(|(task, _)| task).ok_or(Refusal::NotFound))
}

/// `None` in the place of the task: it was not in the trash.
async fn run_postgres(
    connection: &mut AsyncPgConnection,
    user_id: Uuid,
    id: Uuid,
    now: Timestamp,
) -> QueryResult<Result<Option<Task>, Refusal>> {
    use diesel_async::RunQueryDsl as _;
    // No parent of this task moves between the look at the depth and the restore.
    if !tree::lock(connection, id).await? {
        return Ok(Err(Refusal::NotFound));
    }
    let fits: Vec<(bool,)> = fits(false, id).load(connection).await?;
    let fits = fits == [(true,)];
    let restore = Statement::<RestoreRow>::numbered(POSTGRES, binds![id, user_id, now, Uuid::now_v7(), fits]);
    let rows: Vec<(Role, bool, bool, Option<Task>)> = restore.load(connection).await?;
    let Some((role, deleted, parent_ok, task)) = rows.into_iter().next() else { return Ok(Err(Refusal::NotFound)) };
    Ok(judge(role, deleted, parent_ok, fits).map(|_| task))
}

impl Db {
    /// Restores a task. A task that is not in the trash stays as it is and is the answer too, so a repeat does no harm.
    pub async fn restore_task(
        &self,
        user_id: Uuid,
        id: Uuid,
        now: Timestamp,
    ) -> Result<Result<Task, Refusal>, StoreError> {
        if self.is_sqlite() {
            return self
                .sqlite_write(Operation::TaskRestore, move |connection| {
                    run_sqlite(connection, user_id, id, now).map(keep_if_done)
                })
                .await;
        }
        let restored = self.postgres_transaction(Operation::TaskRestore, move |connection| {
            async move { run_postgres(connection, user_id, id, now).await.map(End::Commit) }.boxed()
        });
        match restored.await? {
            Err(refusal) => Ok(Err(refusal)),
            Ok(Some(task)) => Ok(Ok(task)),
            Ok(None) => Ok(self.get_task(user_id, id).await?.ok_or(Refusal::NotFound)),
        }
    }
}
