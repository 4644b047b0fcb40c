//! Removing a task for good at once, with everything below it: what the trash and its purge would come to in 30 days.

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, SqliteConnection};
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::super::statement::{Statement, binds};
use super::{may_write, tree};
use crate::projects::model::Role;
use crate::store::idempotency::Effect;
use crate::store::types::Id;
use crate::store::{Db, End, Operation, StoreError, detached};
use crate::tasks::model::{IfMatch, Refusal};

/// Removing one task, living or in the trash.
struct EraseTask {
    user_id: Uuid,
    id: Uuid,
    if_match: IfMatch,
}

/// Subtasks that were in the trash before go too: without their parent they would come back in another place than they left.
/// `UNION`, so that no knot of parents could make it run for ever.
macro_rules! tree {
    ($id:literal, $subtasks:expr) => {
        concat!("tree (id) AS (SELECT ", $id, " UNION SELECT c.id FROM tree ", $subtasks, ")")
    };
    ($id:literal) => {
        tree!($id, "JOIN tasks c ON c.parent_id = tree.id")
    };
}

/// Looks and locks. What is deleted next must see what others wrote while this waited for them: an entry of the activity
/// that it did not see would stay for ever. So the delete is a statement of its own, with a snapshot of its own.
const POSTGRES_LOCK: &str = concat!(
    "WITH RECURSIVE target AS (\
       SELECT t.id, t.version, m.role FROM tasks t JOIN project_members m ON m.project_id = t.project_id AND m.user_id = $2 \
       WHERE t.id = $1 FOR UPDATE OF t\
     ), tree (id) AS (\
       SELECT target.id FROM target WHERE target.role <> 'viewer' AND ($3::bigint[] IS NULL OR target.version = ANY ($3)) \
       UNION SELECT c.id FROM tree ",
    tree::subtasks!("tree"),
    "), locked AS (\
       SELECT t.id FROM tasks t WHERE t.id = ANY (ARRAY (SELECT tree.id FROM tree)) ORDER BY t.id FOR UPDATE OF t\
     ) SELECT target.role, target.version, (SELECT count(*) FROM locked) FROM target"
);

const POSTGRES_DELETE: &str = concat!(
    "WITH RECURSIVE ",
    tree!("$1::uuid", tree::subtasks!("tree")),
    ", logs AS (\
       DELETE FROM task_activity a WHERE a.task_id = ANY (ARRAY (SELECT tree.id FROM tree))\
     ), gone AS (\
       DELETE FROM tasks t WHERE t.id = ANY (ARRAY (SELECT tree.id FROM tree)) RETURNING t.id\
     ) SELECT count(*) FROM gone"
);

const SQLITE_TARGET: &str = "SELECT m.role, t.version, 0 FROM tasks t \
     JOIN project_members m ON m.project_id = t.project_id AND m.user_id = ? WHERE t.id = ?";

const SQLITE_LOGS: &str =
    concat!("WITH RECURSIVE ", tree!("?"), " DELETE FROM task_activity WHERE task_id IN (SELECT id FROM tree)");

const SQLITE_TASKS: &str =
    concat!("WITH RECURSIVE ", tree!("?"), " DELETE FROM tasks WHERE id IN (SELECT id FROM tree) RETURNING id");

/// The caller's role, the version, and how many rows were locked.
type Target = (Role, i64, i64);

impl EraseTask {
    fn outcome(&self, rows: Vec<Target>) -> Result<(), Refusal> {
        let (role, version, _) = rows.into_iter().next().ok_or(Refusal::NotFound)?;
        may_write(role)?;
        if self.if_match.allows(version) { Ok(()) } else { Err(Refusal::Stale) }
    }
}

impl Effect for EraseTask {
    /// How many tasks are gone, and on SQLite which.
    type Output = Result<(u64, Vec<Uuid>), Refusal>;

    fn sqlite(&self, connection: &mut SqliteConnection) -> QueryResult<End<Self::Output>> {
        use diesel::RunQueryDsl as _;
        let target = Statement::<(Text, BigInt, BigInt)>::new(SQLITE_TARGET, binds![self.user_id, self.id]);
        if let Err(refusal) = self.outcome(target.load(connection)?) {
            return Ok(End::Rollback(Err(refusal)));
        }
        Statement::<()>::new(SQLITE_LOGS, binds![self.id]).execute(connection)?;
        let gone: Vec<(Uuid,)> = Statement::<(Id,)>::new(SQLITE_TASKS, binds![self.id]).load(connection)?;
        Ok(End::Commit(Ok((gone.len() as u64, gone.into_iter().map(|(id,)| id).collect()))))
    }

    fn postgres<'c>(&'c self, connection: &'c mut AsyncPgConnection) -> BoxFuture<'c, QueryResult<End<Self::Output>>> {
        use diesel_async::RunQueryDsl as _;
        async move {
            // The lock of the tree comes first, as for the trash: no subtask is made or moved into the tree meanwhile.
            if !tree::lock(connection, self.id).await? {
                return Ok(End::Rollback(Err(Refusal::NotFound)));
            }
            let versions = match &self.if_match {
                IfMatch::Any => None,
                IfMatch::Versions(versions) => Some(versions.clone()),
            };
            let target = binds![self.id, self.user_id, versions];
            let target = Statement::<(Text, BigInt, BigInt)>::numbered(POSTGRES_LOCK, target);
            if let Err(refusal) = self.outcome(target.load(connection).await?) {
                return Ok(End::Rollback(Err(refusal)));
            }
            let delete = Statement::<(BigInt,)>::numbered(POSTGRES_DELETE, binds![self.id]);
            let gone: Vec<(i64,)> = delete.load(connection).await?;
            let gone = gone.into_iter().map(|(count,)| u64::try_from(count).unwrap_or(0)).sum();
            Ok(End::Commit(Ok((gone, Vec::new()))))
        }
        .boxed()
    }
}

impl Db {
    /// Removes a task for good, living or in the trash, with all its subtasks and the activity of each.
    pub async fn erase_task(
        &self,
        user_id: Uuid,
        id: Uuid,
        if_match: IfMatch,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let db = self.clone();
        // What was committed is forgotten too, whether or not the caller waits for it.
        detached(async move {
            let erased = db.run(Operation::TaskErase, EraseTask { user_id, id, if_match }).await?;
            Ok(erased.map(|(tasks, ids)| {
                if let Some(cache) = db.task_cache() {
                    cache.forget(&ids);
                }
                db.metrics().tasks_purged(tasks);
            }))
        })
        .await
    }
}
