//! Putting a task and its subtasks into the trash.

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, SqliteConnection};
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use uuid::Uuid;

use super::super::statement::{Statement, binds};
use super::create::keep_if_done;
use super::{load_visible, may_write, tree};
use crate::projects::model::Role;
use crate::store::idempotency::Effect;
use crate::store::{Db, End, Operation, StoreError};
use crate::tasks::model::{IfMatch, Refusal};

/// Deleting one task, as an effect that can be part of a batch.
pub(crate) struct DeleteTask {
    pub(crate) user_id: Uuid,
    pub(crate) id: Uuid,
    pub(crate) if_match: IfMatch,
    pub(crate) now: Timestamp,
}

/// What is in the tree is living, and stays so: whoever else deletes or restores waits for its lock.
const POSTGRES: &str = concat!(
    "WITH RECURSIVE target AS (\
       SELECT t.id, t.version, m.role FROM tasks t JOIN project_members m ON m.project_id = t.project_id AND m.user_id = $2 \
       WHERE t.id = $1 AND t.deleted_at IS NULL FOR NO KEY UPDATE OF t\
     ), tree (id) AS (\
       SELECT target.id FROM target WHERE target.role <> 'viewer' AND ($4::bigint[] IS NULL OR target.version = ANY ($4)) \
       UNION ALL SELECT c.id FROM tree ",
    tree::subtasks!("tree"),
    " WHERE c.deleted_at IS NULL\
     ), gone AS (\
       UPDATE tasks t SET deleted_at = $3, updated_at = greatest($3, t.updated_at), version = t.version + 1 \
       WHERE t.id = ANY (ARRAY (SELECT tree.id FROM tree)) RETURNING t.id\
     ), logged AS (\
       INSERT INTO task_activity (task_id, id, actor_id, action, changes, created_at) \
       SELECT gone.id, $5, $2, 'deleted', '{}', $3 FROM gone\
     ) SELECT target.role, target.version FROM target"
);

const SQLITE: &str = "WITH RECURSIVE tree (id) AS (\
       SELECT ? UNION ALL SELECT c.id FROM tree JOIN tasks c ON c.parent_id = tree.id WHERE c.deleted_at IS NULL\
     ) UPDATE tasks SET deleted_at = ?, updated_at = max(?, updated_at), version = version + 1 \
     WHERE id IN (SELECT id FROM tree) RETURNING id";

impl DeleteTask {
    fn statement(&self) -> Statement<(Text, BigInt)> {
        let versions = match &self.if_match {
            IfMatch::Any => None,
            IfMatch::Versions(versions) => Some(versions.clone()),
        };
        Statement::numbered(POSTGRES, binds![self.id, self.user_id, self.now, versions, Uuid::now_v7()])
    }

    fn outcome(&self, rows: Vec<(Role, i64)>) -> Result<(), Refusal> {
        let (role, version) = rows.into_iter().next().ok_or(Refusal::NotFound)?;
        may_write(role)?;
        if self.if_match.allows(version) { Ok(()) } else { Err(Refusal::Stale) }
    }

    /// The statements on SQLite, inside the caller's transaction.
    pub(super) fn run_sqlite(&self, connection: &mut SqliteConnection) -> QueryResult<Result<(), Refusal>> {
        let target = load_visible(connection, self.user_id, self.id)?.map(|(task, role)| (role, task.version));
        if let Err(refusal) = self.outcome(target.into_iter().collect()) {
            return Ok(Err(refusal));
        }
        let delete = Statement::<(super::Id,)>::new(SQLITE, binds![self.id, self.now, self.now]);
        let gone: Vec<(Uuid,)> = diesel::RunQueryDsl::load(delete, connection)?;
        for (id,) in gone {
            let nothing = super::super::types::JsonText("{}".into());
            super::activity::log_sqlite(connection, id, self.user_id, "deleted", nothing, self.now)?;
        }
        Ok(Ok(()))
    }

    /// The statements on PostgreSQL, inside the caller's transaction. The lock comes first: a subtask that is made or moved
    /// into the tree meanwhile is either seen by the delete or sees it.
    pub(super) async fn run_postgres(&self, connection: &mut AsyncPgConnection) -> QueryResult<Result<(), Refusal>> {
        if !tree::lock(connection, self.id).await? {
            return Ok(Err(Refusal::NotFound));
        }
        Ok(self.outcome(diesel_async::RunQueryDsl::load(self.statement(), connection).await?))
    }
}

impl Effect for DeleteTask {
    type Output = Result<(), Refusal>;
    const REFUSES_FIRST: bool = true;

    fn sqlite(&self, connection: &mut SqliteConnection) -> QueryResult<End<Self::Output>> {
        self.run_sqlite(connection).map(keep_if_done)
    }

    fn postgres<'c>(&'c self, connection: &'c mut AsyncPgConnection) -> BoxFuture<'c, QueryResult<End<Self::Output>>> {
        async move { self.run_postgres(connection).await.map(keep_if_done) }.boxed()
    }
}

impl Db {
    /// Moves a task and its subtasks to the trash, from where they can be restored until they are purged.
    pub async fn delete_task(
        &self,
        user_id: Uuid,
        id: Uuid,
        if_match: IfMatch,
        now: Timestamp,
    ) -> Result<Result<(), Refusal>, StoreError> {
        self.run(Operation::TaskDelete, DeleteTask { user_id, id, if_match, now }).await
    }
}
