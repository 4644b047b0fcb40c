//! Creating a task: one statement on PostgreSQL that checks the permission, the assignee and the parent, inserts the task and
//! writes its activity; the same steps in one transaction on SQLite.

use std::sync::LazyLock;

use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::{QueryResult, SqliteConnection};
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use uuid::Uuid;

use super::super::statement::{Statement, binds};
use super::super::types::{Id, JsonText};
use super::{TaskRow, columns, may_write, tree};
use crate::projects::model::Role;
use crate::store::idempotency::{Claim, Effect, Keyed, StoredResponse};
use crate::store::{Db, End, Operation, StoreError};
use crate::tasks::model::{DEPTH_MAX, NewTask, Refusal, Status, Task, Written};

/// A task as a create left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The task.
    pub written: Written,
    /// False when the same create with the same id had been made before.
    pub fresh: bool,
}

/// Creating one task, as an effect that can be bound to an idempotency key or be part of a batch.
pub(crate) struct CreateTask {
    pub(crate) user_id: Uuid,
    pub(crate) new: NewTask,
    pub(crate) now: Timestamp,
}

type CreateRow = (Text, Bool, Nullable<BigInt>, Nullable<TaskRow>);

fn text(parent: bool) -> String {
    let depth = match parent {
        true => format!("(SELECT path.depth FROM ({}) path)", tree::path_sql("$4", "s.project_id", "$3")),
        false => "NULL::bigint".to_owned(),
    };
    let parent_ok = if parent { format!("c.depth < {DEPTH_MAX}") } else { "TRUE".to_owned() };
    let parent_project = match parent {
        true => "(SELECT p.project_id FROM tasks p WHERE p.id = $4 AND p.deleted_at IS NULL)",
        false => "$4", // NULL: keeps the binds of both texts the same
    };
    format!(
        "WITH scope AS MATERIALIZED (\
           SELECT m.project_id, m.role FROM project_members m WHERE m.user_id = $1 AND m.project_id = \
             COALESCE($2, {parent_project}, (SELECT p.id FROM projects p WHERE p.personal_of = $1))\
         ), checked AS MATERIALIZED (\
           SELECT s.project_id, s.role, {depth} AS depth, ($10::uuid IS NULL OR EXISTS (\
             SELECT 1 FROM project_members a WHERE a.user_id = $10 AND a.project_id = s.project_id)) AS assignee_ok \
           FROM scope s\
         ), new AS (\
           INSERT INTO tasks (id, project_id, parent_id, title, description, status, priority, labels, assignee_id, due_at, \
             completed_at, created_by, created_at, updated_at, version) \
           SELECT $3, c.project_id, $4, $5, $6, $7, $8, $9, $10, $11, $12, $1, $13, $13, 1 FROM checked c \
           WHERE c.role <> 'viewer' AND c.assignee_ok AND {parent_ok} \
           ON CONFLICT (id) DO NOTHING RETURNING {columns}\
         ), logged AS (\
           INSERT INTO task_activity (task_id, id, actor_id, action, changes, created_at) \
           SELECT new.id, $14, $1, 'created', '{{}}', $13 FROM new\
         ) SELECT c.role, c.assignee_ok, c.depth, {new} FROM checked c LEFT JOIN new ON TRUE",
        columns = columns!(""),
        new = columns!("new."),
    )
}

static PLAIN: LazyLock<String> = LazyLock::new(|| text(false));
static UNDER_PARENT: LazyLock<String> = LazyLock::new(|| text(true));

impl CreateTask {
    fn statement(&self) -> Statement<CreateRow> {
        let new = &self.new;
        let sql: &'static str = if new.parent_id.is_some() { &UNDER_PARENT } else { &PLAIN };
        Statement::numbered(
            sql,
            binds![
                self.user_id,
                new.project_id,
                new.id,
                new.parent_id,
                new.title.clone(),
                new.description.clone(),
                new.status.as_str(),
                new.priority.rank(),
                new.labels.clone(),
                new.assignee_id,
                new.due_at,
                self.completed_at(),
                self.now,
                Uuid::now_v7(),
            ],
        )
    }

    fn completed_at(&self) -> Option<Timestamp> {
        (self.new.status == Status::Done).then_some(self.now)
    }

    /// What the statement's one row says.
    fn outcome(&self, rows: Vec<(Role, bool, Option<i64>, Option<Task>)>) -> Result<Written, Refusal> {
        let Some((role, assignee_ok, depth, task)) = rows.into_iter().next() else {
            return Err(self.unknown_scope());
        };
        may_write(role)?;
        if !assignee_ok {
            return Err(Refusal::AssigneeNotMember);
        }
        if self.new.parent_id.is_some() {
            tree::judge(depth, None, 1)?;
        }
        task.map(written).ok_or(Refusal::IdTaken)
    }

    /// No project to put it in: the one named is not the caller's, or the parent leads to none.
    fn unknown_scope(&self) -> Refusal {
        if self.new.project_id.is_none() && self.new.parent_id.is_some() {
            Refusal::UnknownParent
        } else {
            Refusal::UnknownProject
        }
    }

    /// The statements on SQLite, inside the caller's transaction.
    pub(super) fn run_sqlite(&self, connection: &mut SqliteConnection) -> QueryResult<Result<Written, Refusal>> {
        let (new, user_id) = (&self.new, self.user_id);
        let scope = Statement::<(Id, Text)>::new(
            "SELECT m.project_id, m.role FROM project_members m WHERE m.user_id = ? AND m.project_id = COALESCE(?, \
               (SELECT p.project_id FROM tasks p WHERE p.id = ? AND p.deleted_at IS NULL), \
               (SELECT p.id FROM projects p WHERE p.personal_of = ?))",
            binds![user_id, new.project_id, new.parent_id, user_id],
        );
        let scope: Vec<(Uuid, Role)> = diesel::RunQueryDsl::load(scope, connection)?;
        let Some((project_id, role)) = scope.into_iter().next() else { return Ok(Err(self.unknown_scope())) };
        if let Err(refusal) = may_write(role) {
            return Ok(Err(refusal));
        }
        if let Some(assignee_id) = new.assignee_id
            && !is_member(connection, assignee_id, project_id)?
        {
            return Ok(Err(Refusal::AssigneeNotMember));
        }
        if let Some(parent_id) = new.parent_id
            && let Err(refusal) = tree::judge_sqlite(connection, project_id, parent_id, new.id, false)?
        {
            return Ok(Err(refusal));
        }
        let insert = Statement::<()>::new(
            "INSERT INTO tasks (id, project_id, parent_id, title, description, status, priority, labels, assignee_id, due_at, \
               completed_at, created_by, created_at, updated_at, version) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT (id) DO NOTHING",
            binds![
                new.id,
                project_id,
                new.parent_id,
                new.title.clone(),
                new.description.clone(),
                new.status.as_str(),
                new.priority.rank(),
                new.labels.clone(),
                new.assignee_id,
                new.due_at,
                self.completed_at(),
                user_id,
                self.now,
                self.now,
            ],
        );
        if diesel::RunQueryDsl::execute(insert, connection)? == 0 {
            return Ok(Err(Refusal::IdTaken));
        }
        super::activity::log_sqlite(connection, new.id, user_id, "created", JsonText("{}".into()), self.now)?;
        Ok(Ok(self.made_in(project_id)))
    }

    /// The task as it stands in the database once it has been created in a project.
    pub(super) fn made_in(&self, project_id: Uuid) -> Written {
        let new = &self.new;
        written(Task {
            id: new.id,
            project_id,
            parent_id: new.parent_id,
            title: new.title.clone(),
            description: new.description.clone(),
            status: new.status,
            priority: new.priority,
            labels: new.labels.clone(),
            assignee_id: new.assignee_id,
            due_at: new.due_at,
            completed_at: self.completed_at(),
            created_by: self.user_id,
            created_at: self.now,
            updated_at: self.now,
            version: 1,
        })
    }

    /// The statements on PostgreSQL, inside the caller's transaction.
    pub(super) async fn run_postgres(
        &self,
        connection: &mut AsyncPgConnection,
    ) -> QueryResult<Result<Written, Refusal>> {
        if let Some(parent_id) = self.new.parent_id {
            tree::lock(connection, parent_id).await?;
        }
        Ok(self.outcome(diesel_async::RunQueryDsl::load(self.statement(), connection).await?))
    }
}

/// Whether a user is a member of a project.
pub(super) fn is_member(connection: &mut SqliteConnection, user_id: Uuid, project_id: Uuid) -> QueryResult<bool> {
    let statement = Statement::<(Text,)>::new(
        "SELECT role FROM project_members WHERE user_id = ? AND project_id = ?",
        binds![user_id, project_id],
    );
    let rows: Vec<(Role,)> = diesel::RunQueryDsl::load(statement, connection)?;
    Ok(!rows.is_empty())
}

fn written(task: Task) -> Written {
    let completed = task.status == Status::Done;
    Written { task, completed }
}

impl Effect for CreateTask {
    type Output = Result<Written, Refusal>;
    const REFUSES_FIRST: bool = true;

    fn sqlite(&self, connection: &mut SqliteConnection) -> QueryResult<End<Self::Output>> {
        self.run_sqlite(connection).map(keep_if_done)
    }

    fn postgres<'c>(&'c self, connection: &'c mut AsyncPgConnection) -> BoxFuture<'c, QueryResult<End<Self::Output>>> {
        async move { self.run_postgres(connection).await.map(keep_if_done) }.boxed()
    }
}

/// Commits what was done, undoes what was refused.
pub(super) fn keep_if_done<T>(result: Result<T, Refusal>) -> End<Result<T, Refusal>> {
    if result.is_ok() { End::Commit(result) } else { End::Rollback(result) }
}

impl Db {
    /// Creates a task. With `claim`, the answer that `render` makes is stored in the same transaction and a repeated request
    /// gets it again.
    pub async fn create_task(
        &self,
        user_id: Uuid,
        new: NewTask,
        now: Timestamp,
        claim: Option<Claim>,
        render: fn(&Written) -> StoredResponse,
    ) -> Result<Keyed<Result<Created, Refusal>>, StoreError> {
        let effect = CreateTask { user_id, new: new.clone(), now };
        let result = match claim {
            Some(claim) => {
                self.run_keyed(Operation::TaskCreate, effect, claim, move |done| done.as_ref().ok().map(render)).await?
            }
            None if self.is_sqlite() || new.parent_id.is_some() => {
                Keyed::Fresh(self.run(Operation::TaskCreate, effect).await?)
            }
            None => {
                let rows = self.postgres_write(Operation::TaskCreate, effect.statement()).await?;
                Keyed::Fresh(effect.outcome(rows))
            }
        };
        Ok(match result {
            Keyed::Fresh(Ok(written)) => Keyed::Fresh(Ok(Created { written, fresh: true })),
            Keyed::Fresh(Err(Refusal::IdTaken)) => Keyed::Fresh(match self.get_task(user_id, new.id).await? {
                Some(task) if new.made(&task) => {
                    Ok(Created { written: Written { task, completed: false }, fresh: false })
                }
                _ => Err(Refusal::IdTaken),
            }),
            Keyed::Fresh(Err(refusal)) => Keyed::Fresh(Err(refusal)),
            Keyed::Replay(response) => Keyed::Replay(response),
            Keyed::OtherBody => Keyed::OtherBody,
            Keyed::Running => Keyed::Running,
        })
    }
}
