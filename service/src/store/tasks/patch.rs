//! Changing a task: on PostgreSQL one statement that locks the row, checks permission, version, assignee and parent, updates
//! and writes the activity; the same steps in one transaction on SQLite.

use std::sync::LazyLock;

use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::{QueryResult, SqliteConnection};
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use uuid::Uuid;

use super::super::statement::{Statement, binds};
use super::create::{is_member, keep_if_done};
use super::{TaskRow, activity, columns, load_visible, may_write, tree};
use crate::projects::model::Role;
use crate::store::idempotency::Effect;
use crate::store::{Db, End, Operation, StoreError};
use crate::tasks::model::{Change, IfMatch, Refusal, Status, Task, TaskPatch, Written};

/// Patching one task, as an effect that can be part of a batch.
pub(crate) struct PatchTask {
    pub(crate) user_id: Uuid,
    pub(crate) id: Uuid,
    pub(crate) patch: TaskPatch,
    pub(crate) if_match: IfMatch,
    pub(crate) now: Timestamp,
}

/// Role, version and status before; the assignee is fine; the new parent's depth, cycle and this task's height; the task after.
type PatchRow = (Text, BigInt, Text, Bool, Nullable<BigInt>, Nullable<Bool>, Nullable<BigInt>, Nullable<TaskRow>);
type PatchTuple = (Role, i64, Status, bool, Option<i64>, Option<bool>, Option<i64>, Option<Task>);

fn text(parent: bool) -> String {
    let (path, parent_ok) = match parent {
        true => (
            format!(
                "(SELECT d.depth FROM ({path}) d) AS depth, (SELECT d.cycle FROM ({path}) d) AS cycle, ({height}) AS height",
                path = tree::path_sql("$13", "old.project_id", "$1"),
                height = tree::height_sql(false, "$1"),
            ),
            "c.depth IS NOT NULL AND NOT c.cycle AND c.depth + c.height <= 5",
        ),
        false => ("NULL::bigint AS depth, NULL::boolean AS cycle, NULL::bigint AS height".to_owned(), "TRUE"),
    };
    format!(
        "WITH old AS MATERIALIZED (\
           SELECT {t}, m.role FROM tasks t JOIN project_members m ON m.project_id = t.project_id AND m.user_id = $2 \
           WHERE t.id = $1 AND t.deleted_at IS NULL FOR NO KEY UPDATE OF t\
         ), checked AS MATERIALIZED (\
           SELECT old.id, {path}, (NOT $10 OR $11::uuid IS NULL OR EXISTS (SELECT 1 FROM project_members a \
             WHERE a.user_id = $11 AND a.project_id = old.project_id)) AS assignee_ok FROM old\
         ), new AS (\
           UPDATE tasks t SET \
             title = COALESCE($4, t.title), \
             description = CASE WHEN $5 THEN $6 ELSE t.description END, \
             status = COALESCE($7, t.status), \
             priority = COALESCE($8, t.priority), \
             labels = COALESCE($9, t.labels), \
             assignee_id = CASE WHEN $10 THEN $11 ELSE t.assignee_id END, \
             parent_id = CASE WHEN $12 THEN $13 ELSE t.parent_id END, \
             due_at = CASE WHEN $14 THEN $15 ELSE t.due_at END, \
             completed_at = CASE WHEN COALESCE($7, t.status) <> 'done' THEN NULL WHEN t.status = 'done' THEN t.completed_at ELSE $3 END, \
             updated_at = greatest($3, t.updated_at), version = t.version + 1 \
           FROM old JOIN checked c ON c.id = old.id \
           WHERE t.id = old.id AND old.role <> 'viewer' AND c.assignee_ok AND {parent_ok} \
             AND ($16::bigint[] IS NULL OR old.version = ANY ($16)) \
           RETURNING {t}\
         ), logged AS (\
           INSERT INTO task_activity (task_id, id, actor_id, action, changes, created_at) \
           SELECT new.id, $17, $2, 'updated', {changes}, $3 FROM old JOIN new ON new.id = old.id\
         ) SELECT old.role, old.version, old.status, c.assignee_ok, c.depth, c.cycle, c.height, {new} \
         FROM old JOIN checked c ON c.id = old.id LEFT JOIN new ON TRUE",
        t = columns!("t."),
        new = columns!("new."),
        changes = activity::changes_sql("old", "new"),
    )
}

static PLAIN: LazyLock<String> = LazyLock::new(|| text(false));
static UNDER_PARENT: LazyLock<String> = LazyLock::new(|| text(true));

/// Splits a nullable field into "it came" and "its value".
fn parts<T: Clone>(change: &Change<Option<T>>) -> (bool, Option<T>) {
    match change {
        Change::Keep => (false, None),
        Change::Set(value) => (true, value.clone()),
    }
}

impl PatchTask {
    fn new_parent(&self) -> Option<Uuid> {
        self.patch.parent_id.as_set().copied().flatten()
    }

    fn statement(&self) -> Statement<PatchRow> {
        let patch = &self.patch;
        let (description_set, description) = parts(&patch.description);
        let (assignee_set, assignee) = parts(&patch.assignee_id);
        let (parent_set, parent) = parts(&patch.parent_id);
        let (due_set, due) = parts(&patch.due_at);
        let versions = match &self.if_match {
            IfMatch::Any => None,
            IfMatch::Versions(versions) => Some(versions.clone()),
        };
        let sql: &'static str = if parent.is_some() { &UNDER_PARENT } else { &PLAIN };
        Statement::numbered(
            sql,
            binds![
                self.id,
                self.user_id,
                self.now,
                patch.title.as_set().cloned(),
                description_set,
                description,
                patch.status.as_set().map(|status| status.as_str().to_owned()),
                patch.priority.as_set().map(|priority| priority.rank()),
                patch.labels.as_set().cloned(),
                assignee_set,
                assignee,
                parent_set,
                parent,
                due_set,
                due,
                versions,
                Uuid::now_v7(),
            ],
        )
    }

    /// What the statement's one row says.
    fn outcome(&self, rows: Vec<PatchTuple>) -> Result<Written, Refusal> {
        let Some((role, version, status, assignee_ok, depth, cycle, height, task)) = rows.into_iter().next() else {
            return Err(Refusal::NotFound);
        };
        may_write(role)?;
        if !self.if_match.allows(version) {
            return Err(Refusal::Stale);
        }
        if !assignee_ok {
            return Err(Refusal::AssigneeNotMember);
        }
        if self.new_parent().is_some() {
            tree::judge(depth, cycle, height.unwrap_or(1))?;
        }
        let task = task.ok_or(Refusal::NotFound)?;
        let completed = status != Status::Done && task.status == Status::Done;
        Ok(Written { task, completed })
    }

    /// The task as this patch leaves it.
    fn applied(&self, old: &Task) -> Task {
        let patch = &self.patch;
        let mut task = old.clone();
        fn set<T: Clone>(field: &mut T, change: &Change<T>) {
            if let Change::Set(value) = change {
                *field = value.clone();
            }
        }
        set(&mut task.title, &patch.title);
        set(&mut task.description, &patch.description);
        set(&mut task.status, &patch.status);
        set(&mut task.priority, &patch.priority);
        set(&mut task.labels, &patch.labels);
        set(&mut task.assignee_id, &patch.assignee_id);
        set(&mut task.parent_id, &patch.parent_id);
        set(&mut task.due_at, &patch.due_at);
        task.completed_at = match (task.status, old.status) {
            (Status::Done, Status::Done) => old.completed_at,
            (Status::Done, _) => Some(self.now),
            _ => None,
        };
        task.updated_at = self.now.max(old.updated_at);
        task.version = old.version + 1;
        task
    }

    /// The statements on SQLite, inside the caller's transaction.
    pub(super) fn run_sqlite(&self, connection: &mut SqliteConnection) -> QueryResult<Result<Written, Refusal>> {
        let Some((old, role)) = load_visible(connection, self.user_id, self.id)? else {
            return Ok(Err(Refusal::NotFound));
        };
        if let Err(refusal) = may_write(role) {
            return Ok(Err(refusal));
        }
        if !self.if_match.allows(old.version) {
            return Ok(Err(Refusal::Stale));
        }
        if let Change::Set(Some(assignee_id)) = self.patch.assignee_id
            && !is_member(connection, assignee_id, old.project_id)?
        {
            return Ok(Err(Refusal::AssigneeNotMember));
        }
        if let Some(parent_id) = self.new_parent()
            && let Err(refusal) = tree::judge_sqlite(connection, old.project_id, parent_id, self.id, true)?
        {
            return Ok(Err(refusal));
        }
        let task = self.applied(&old);
        diesel::RunQueryDsl::execute(update(&old, &task), connection)?;
        let changes = activity::changes(&old, &task);
        activity::log_sqlite(connection, task.id, self.user_id, "updated", changes, self.now)?;
        let completed = old.status != Status::Done && task.status == Status::Done;
        Ok(Ok(Written { task, completed }))
    }

    /// The statements on PostgreSQL, inside the caller's transaction.
    pub(super) async fn run_postgres(
        &self,
        connection: &mut AsyncPgConnection,
    ) -> QueryResult<Result<Written, Refusal>> {
        if self.patch.parent_id.as_set().is_some() && !tree::lock(connection, self.id).await? {
            return Ok(Err(Refusal::NotFound));
        }
        Ok(self.outcome(diesel_async::RunQueryDsl::load(self.statement(), connection).await?))
    }
}

/// The update that makes one task the other. SQLite writes each index of a column that is named, changed or not, and checks its
/// constraints again: what seldom changes together is named only if it does, in eight texts.
fn update(old: &Task, task: &Task) -> Statement<()> {
    let mut text = "UPDATE tasks SET updated_at = ?, version = ?".to_owned();
    let mut values = binds![task.updated_at, task.version];
    if task.status != old.status || task.completed_at != old.completed_at {
        text.push_str(", status = ?, completed_at = ?");
        values.extend(binds![task.status.as_str(), task.completed_at]);
    }
    if task.title != old.title || task.description != old.description {
        text.push_str(", title = ?, description = ?");
        values.extend(binds![task.title.clone(), task.description.clone()]);
    }
    let seldom = |task: &Task| (task.priority, task.assignee_id, task.parent_id, task.due_at);
    if seldom(task) != seldom(old) || task.labels != old.labels {
        text.push_str(", priority = ?, labels = ?, assignee_id = ?, parent_id = ?, due_at = ?");
        values
            .extend(binds![task.priority.rank(), task.labels.clone(), task.assignee_id, task.parent_id, task.due_at,]);
    }
    text.push_str(" WHERE id = ?");
    values.extend(binds![task.id]);
    Statement::new(text, values)
}

impl Effect for PatchTask {
    type Output = Result<Written, Refusal>;
    const REFUSES_FIRST: bool = true;

    fn sqlite(&self, connection: &mut SqliteConnection) -> QueryResult<End<Self::Output>> {
        self.run_sqlite(connection).map(keep_if_done)
    }

    fn postgres<'c>(&'c self, connection: &'c mut AsyncPgConnection) -> BoxFuture<'c, QueryResult<End<Self::Output>>> {
        async move { self.run_postgres(connection).await.map(keep_if_done) }.boxed()
    }
}

impl Db {
    /// Applies a patch.
    pub async fn patch_task(
        &self,
        user_id: Uuid,
        id: Uuid,
        patch: TaskPatch,
        if_match: IfMatch,
        now: Timestamp,
    ) -> Result<Result<Written, Refusal>, StoreError> {
        let effect = PatchTask { user_id, id, patch, if_match, now };
        if self.is_sqlite() || effect.patch.parent_id.as_set().is_some() {
            return self.run(Operation::TaskUpdate, effect).await;
        }
        let rows = self.postgres_write(Operation::TaskUpdate, effect.statement()).await?;
        Ok(effect.outcome(rows))
    }
}
