//! The tree of subtasks: how deep a task lies, how high its own tree is, and what a new parent would make of it.
//!
//! The depth is not stored, so nothing can go stale; a walk up takes at most five steps. On PostgreSQL, writes that set a
//! parent, delete, restore or erase take one lock for the project first, since two of them could not see one another.

use diesel::SqliteConnection;
use diesel::sql_types::{BigInt, Bool, Nullable};
use diesel_async::AsyncPgConnection;
use uuid::Uuid;

use super::super::statement::{Statement, binds};
use super::super::types::Labels;
use crate::tasks::model::{DEPTH_MAX, Refusal};

/// What the walk up from a parent found: how deep the parent lies (`None`: no living task of the project), and whether the
/// task in question lies on the way.
pub(super) type PathRow = (Nullable<BigInt>, Nullable<Bool>);

/// The walk up from `$parent` within `$project`, as SQL with the given names for its values. Six steps at most: one more than
/// the limit shows that the limit is broken. `LIMIT` has the parent looked up by its id, as in [`subtasks`].
pub(super) fn path_sql(parent: &str, project: &str, task: &str) -> String {
    format!(
        "WITH RECURSIVE up(id, parent_id, depth) AS (\
           SELECT p.id, p.parent_id, 1 FROM (SELECT id, parent_id, project_id, deleted_at FROM tasks WHERE id = {parent} LIMIT 1) p \
           WHERE p.project_id = {project} AND p.deleted_at IS NULL \
           UNION ALL SELECT p.id, p.parent_id, up.depth + 1 FROM up JOIN tasks p ON p.id = up.parent_id WHERE up.depth < 6\
         ) SELECT CAST(max(depth) AS bigint) AS depth, CAST(max(CASE WHEN id = {task} THEN 1 ELSE 0 END) AS bigint) = 1 AS cycle FROM up"
    )
}

/// Joins the subtasks `c` of the rows of `$tree`, one level down, with their `id` and `deleted_at`. PostgreSQL.
///
/// `OFFSET 0` has them looked up for each row, by the index of parents. A planner that knows nothing of the table, as before the
/// first `ANALYZE`, would else read it from end to end, or all of an index of living tasks where `deleted_at` is a condition.
/// Rows that are known by then are named by `id = ANY (ARRAY (…))` and not joined, for the same reason.
macro_rules! subtasks {
    ($tree:literal) => {
        concat!(
            "CROSS JOIN LATERAL (SELECT t.id, t.deleted_at FROM tasks t WHERE t.parent_id = ",
            $tree,
            ".id OFFSET 0) c"
        )
    };
}
pub(super) use subtasks;

/// The height of the living tree under `$task`, itself included.
pub(super) fn height_sql(sqlite: bool, task: &str) -> String {
    let subtasks = if sqlite { "JOIN tasks c ON c.parent_id = down.id" } else { subtasks!("down") };
    format!(
        "WITH RECURSIVE down(id, height) AS (\
           SELECT t.id, 1 FROM tasks t WHERE t.id = {task} \
           UNION ALL SELECT c.id, down.height + 1 FROM down {subtasks} \
             WHERE c.deleted_at IS NULL AND down.height < 6\
         ) SELECT CAST(max(height) AS bigint) FROM down"
    )
}

/// What a parent at `depth` means for a task whose own tree is `height` high.
pub(super) fn judge(depth: Option<i64>, cycle: Option<bool>, height: i64) -> Result<(), Refusal> {
    match depth {
        None => Err(Refusal::UnknownParent),
        Some(_) if cycle == Some(true) => Err(Refusal::ParentCycle),
        Some(depth) if depth + height > DEPTH_MAX => Err(Refusal::TooDeep),
        Some(_) => Ok(()),
    }
}

/// The same on SQLite, inside the transaction of the write.
pub(super) fn judge_sqlite(
    connection: &mut SqliteConnection,
    project_id: Uuid,
    parent_id: Uuid,
    task_id: Uuid,
    exists: bool,
) -> diesel::QueryResult<Result<(), Refusal>> {
    let path = Statement::<PathRow>::new(path_sql("?", "?", "?"), binds![parent_id, project_id, task_id]);
    let path: Vec<(Option<i64>, Option<bool>)> = diesel::RunQueryDsl::load(path, connection)?;
    let height = if exists {
        let height = Statement::<(Nullable<BigInt>,)>::new(height_sql(true, "?"), binds![task_id]);
        let rows: Vec<(Option<i64>,)> = diesel::RunQueryDsl::load(height, connection)?;
        rows.first().and_then(|(height,)| *height).unwrap_or(1)
    } else {
        1
    };
    let (depth, cycle) = path.first().copied().unwrap_or((None, None));
    Ok(judge(depth, cycle, height))
}

/// Takes the lock of the tree in which `task_id` lies, until the transaction ends. `false`: there is no such task, nor a lock; who
/// went on could meet one that was made meanwhile. PostgreSQL.
pub(super) async fn lock(connection: &mut AsyncPgConnection, task_id: Uuid) -> diesel::QueryResult<bool> {
    let lock = Statement::<(Bool,)>::numbered(
        "SELECT pg_advisory_xact_lock(hashtextextended(project_id::text, 0)) IS NOT NULL FROM tasks WHERE id = $1",
        binds![task_id],
    );
    let locked: Vec<(bool,)> = diesel_async::RunQueryDsl::load(lock, connection).await?;
    Ok(!locked.is_empty())
}

/// The locks of all trees in which these tasks lie: whole for a batch that changes their form, shared for one that does not.
/// In the order of the projects, so that two batches never wait for each other. PostgreSQL.
pub(super) fn lock_all(user_id: Uuid, task_ids: &[Uuid], whole: bool) -> Statement<(Bool,)> {
    let function = if whole { "pg_advisory_xact_lock" } else { "pg_advisory_xact_lock_shared" };
    Statement::numbered(
        format!(
            "SELECT {function}(hashtextextended(p.project_id::text, 0)) IS NOT NULL FROM (\
               SELECT DISTINCT t.project_id FROM tasks t \
               JOIN project_members m ON m.project_id = t.project_id AND m.user_id = $1 \
               WHERE t.id = ANY ($2::uuid[]) ORDER BY t.project_id) p"
        ),
        binds![user_id, id_array(task_ids)],
    )
}

/// The locks of these tasks' rows, in the order of their ids: of those that the user may change. PostgreSQL.
pub(super) fn lock_rows(user_id: Uuid, task_ids: &[Uuid]) -> Statement<(Bool,)> {
    Statement::numbered(
        "SELECT TRUE FROM tasks t \
           JOIN project_members m ON m.project_id = t.project_id AND m.user_id = $1 AND m.role <> 'viewer' \
         WHERE t.id = ANY ($2::uuid[]) ORDER BY t.id FOR NO KEY UPDATE OF t",
        binds![user_id, id_array(task_ids)],
    )
}

fn id_array(ids: &[Uuid]) -> Labels {
    Labels(ids.iter().map(Uuid::to_string).collect())
}
