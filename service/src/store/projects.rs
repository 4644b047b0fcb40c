//! Projects in the database. Each statement carries its own permission check.

use diesel::sql_types::{Bool, Nullable, Text};
use diesel::{QueryResult, SqliteConnection};
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use uuid::Uuid;

use super::idempotency::{Claim, Effect, Keyed, StoredResponse};
use super::statement::{Statement, binds};
use super::types::{Id, Instant};
use super::{Db, End, Operation, StoreError, members};
use crate::projects::model::{PROJECTS_MAX, Project, ProjectRefusal, Role};
use crate::tasks::model::Change;

type ProjectColumns = (Id, Text, Nullable<Text>, Bool, Text, Instant, Instant);

/// The columns of a [`Project`] in its order, as member `m` sees project `p`.
const COLUMNS: &str = "p.id, p.name, p.description, p.personal_of IS NOT NULL, m.role, p.created_at, p.updated_at";

/// Creating a project, as an effect that can be bound to an idempotency key.
struct CreateProject {
    user_id: Uuid,
    project: Project,
}

const INSERT_PROJECT: &str = "INSERT INTO projects (id, name, description, created_by, created_at, updated_at) \
    SELECT ?, ?, ?, ?, ?, ? WHERE (SELECT count(*) FROM project_members WHERE user_id = ?) < ? RETURNING id";
const INSERT_OWNER: &str = "INSERT INTO project_members (user_id, project_id, role, created_at) VALUES (?, ?, 'owner', ?) RETURNING project_id";
const POSTGRES_CREATE: &str = "WITH new AS (\
       INSERT INTO projects (id, name, description, created_by, created_at, updated_at) \
       SELECT $1, $2, $3, $4, $5, $5 WHERE (SELECT count(*) FROM project_members WHERE user_id = $4) < $6 RETURNING id\
     ), owner AS (\
       INSERT INTO project_members (user_id, project_id, role, created_at) SELECT $4, new.id, 'owner', $5 FROM new\
     ) SELECT new.id FROM new";

impl CreateProject {
    fn statement(&self) -> Statement<(Id,)> {
        let project = &self.project;
        Statement::numbered(
            POSTGRES_CREATE,
            binds![
                project.id,
                project.name.clone(),
                project.description.clone(),
                self.user_id,
                project.created_at,
                PROJECTS_MAX
            ],
        )
    }

    fn outcome(&self, rows: Vec<(Uuid,)>) -> Result<Project, ProjectRefusal> {
        if rows.is_empty() { Err(ProjectRefusal::TooMany) } else { Ok(self.project.clone()) }
    }

    /// What was refused is undone, and with it the claim on its key.
    fn end(&self, rows: Vec<(Uuid,)>) -> End<Result<Project, ProjectRefusal>> {
        match self.outcome(rows) {
            Ok(project) => End::Commit(Ok(project)),
            Err(refusal) => End::Rollback(Err(refusal)),
        }
    }
}

impl Effect for CreateProject {
    type Output = Result<Project, ProjectRefusal>;

    fn sqlite(&self, connection: &mut SqliteConnection) -> QueryResult<End<Self::Output>> {
        let (project, user_id) = (&self.project, self.user_id);
        let (name, description, now) = (project.name.clone(), project.description.clone(), project.created_at);
        let binds = binds![project.id, name, description, user_id, now, now, user_id, PROJECTS_MAX];
        let rows: Vec<(Uuid,)> = diesel::RunQueryDsl::load(Statement::<(Id,)>::new(INSERT_PROJECT, binds), connection)?;
        if !rows.is_empty() {
            let owner = Statement::<(Id,)>::new(INSERT_OWNER, binds![user_id, project.id, now]);
            let _: Vec<(Uuid,)> = diesel::RunQueryDsl::load(owner, connection)?;
        }
        Ok(self.end(rows))
    }

    fn postgres<'c>(&'c self, connection: &'c mut AsyncPgConnection) -> BoxFuture<'c, QueryResult<End<Self::Output>>> {
        async move {
            let rows: Vec<(Uuid,)> = diesel_async::RunQueryDsl::load(self.statement(), connection).await?;
            Ok(self.end(rows))
        }
        .boxed()
    }
}

const POSTGRES_DELETE: &str = "WITH seen AS (\
       SELECT p.id, m.role, p.personal_of IS NOT NULL AS personal FROM projects p \
       JOIN project_members m ON m.project_id = p.id AND m.user_id = $2 WHERE p.id = $1\
     ), gone AS (\
       UPDATE projects p SET deleted_at = $3, updated_at = $3 FROM seen \
       WHERE p.id = seen.id AND seen.role = 'owner' AND NOT seen.personal AND p.deleted_at IS NULL RETURNING p.id\
     ), left_by AS (\
       DELETE FROM project_members m USING gone WHERE m.project_id = gone.id\
     ) SELECT seen.role, seen.personal FROM seen";

/// What a role may do to the project itself.
fn judge_delete(role: Role, personal: bool) -> Result<(), ProjectRefusal> {
    match (role, personal) {
        (Role::Owner, true) => Err(ProjectRefusal::Personal),
        (Role::Owner, false) => Ok(()),
        _ => Err(ProjectRefusal::Forbidden),
    }
}

impl Db {
    /// Creates a project owned by `user_id`. `project.role` is `owner`.
    pub async fn create_project(
        &self,
        user_id: Uuid,
        project: Project,
        claim: Option<Claim>,
        render: fn(&Project) -> StoredResponse,
    ) -> Result<Keyed<Result<Project, ProjectRefusal>>, StoreError> {
        let effect = CreateProject { user_id, project };
        match claim {
            Some(claim) => {
                self.run_keyed(Operation::ProjectCreate, effect, claim, move |done| done.as_ref().ok().map(render))
                    .await
            }
            None if self.is_sqlite() => Ok(Keyed::Fresh(self.run(Operation::ProjectCreate, effect).await?)),
            None => {
                let rows = self.postgres_write(Operation::ProjectCreate, effect.statement()).await?;
                Ok(Keyed::Fresh(effect.outcome(rows)))
            }
        }
    }

    /// Up to `limit` of a user's projects behind `after`, oldest first, and whether more follow.
    pub async fn list_projects(
        &self,
        user_id: Uuid,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<(Vec<Project>, bool), StoreError> {
        let text = format!(
            "SELECT {COLUMNS} FROM project_members m JOIN projects p ON p.id = m.project_id \
             WHERE m.user_id = ? AND m.project_id > ? ORDER BY m.project_id LIMIT ?"
        );
        let rows = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let statement = Statement::<ProjectColumns>::new(text, binds![user_id, after.unwrap_or(Uuid::nil()), rows]);
        let mut projects: Vec<Project> = self.read(Operation::ProjectList, statement).await?;
        let more = projects.len() > limit;
        projects.truncate(limit);
        Ok((projects, more))
    }

    /// A project, if `user_id` may see it.
    pub async fn get_project(&self, user_id: Uuid, id: Uuid) -> Result<Option<Project>, StoreError> {
        let text = format!(
            "SELECT {COLUMNS} FROM projects p JOIN project_members m ON m.project_id = p.id AND m.user_id = ? WHERE p.id = ?"
        );
        let rows =
            self.read(Operation::ProjectGet, Statement::<ProjectColumns>::new(text, binds![user_id, id])).await?;
        Ok(rows.into_iter().next())
    }

    /// Changes name and description. Owners only.
    pub async fn patch_project(
        &self,
        user_id: Uuid,
        id: Uuid,
        name: Change<String>,
        description: Change<Option<String>>,
        now: Timestamp,
    ) -> Result<Result<Project, ProjectRefusal>, StoreError> {
        let (set, description) = match description {
            Change::Keep => (false, None),
            Change::Set(value) => (true, value),
        };
        let statement = Statement::<ProjectColumns>::new(
            "UPDATE projects SET name = COALESCE(?, name), description = CASE WHEN ? THEN ? ELSE description END, updated_at = ? \
             WHERE id = ? AND deleted_at IS NULL AND EXISTS (SELECT 1 FROM project_members m \
               WHERE m.project_id = projects.id AND m.user_id = ? AND m.role = 'owner') \
             RETURNING id, name, description, personal_of IS NOT NULL, 'owner', created_at, updated_at",
            binds![name.as_set().cloned(), set, description, now, id, user_id],
        );
        match self.write::<_, Project>(Operation::ProjectUpdate, statement).await?.into_iter().next() {
            Some(project) => Ok(Ok(project)),
            // Refused: only now does it matter whether the caller sees it at all.
            None => Ok(Err(match self.get_project(user_id, id).await? {
                Some(_) => ProjectRefusal::Forbidden,
                None => ProjectRefusal::NotFound,
            })),
        }
    }

    /// Moves a project to the trash: its memberships go, and with them every sight of its tasks.
    pub async fn delete_project(
        &self,
        user_id: Uuid,
        id: Uuid,
        now: Timestamp,
    ) -> Result<Result<(), ProjectRefusal>, StoreError> {
        if !self.is_sqlite() {
            return self
                .postgres_transaction(Operation::ProjectDelete, move |connection| {
                    async move {
                        // First: a member who is being added at this moment would else be overlooked, and keep the project.
                        let _: Vec<(bool,)> = diesel_async::RunQueryDsl::load(members::lock(id), connection).await?;
                        let statement = Statement::<(Text, Bool)>::numbered(POSTGRES_DELETE, binds![id, user_id, now]);
                        let rows: Vec<(Role, bool)> = diesel_async::RunQueryDsl::load(statement, connection).await?;
                        Ok(End::Commit(match rows.first() {
                            Some((role, personal)) => judge_delete(*role, *personal),
                            None => Err(ProjectRefusal::NotFound),
                        }))
                    }
                    .boxed()
                })
                .await;
        }
        self.sqlite_write(Operation::ProjectDelete, move |connection| {
            use diesel::RunQueryDsl as _;
            let seen = Statement::<(Text, Bool)>::new(
                "SELECT m.role, p.personal_of IS NOT NULL FROM projects p JOIN project_members m ON m.project_id = p.id \
                 WHERE p.id = ? AND m.user_id = ?",
                binds![id, user_id],
            );
            let seen: Vec<(Role, bool)> = seen.load(connection)?;
            let Some((role, personal)) = seen.into_iter().next() else {
                return Ok(End::Rollback(Err(ProjectRefusal::NotFound)));
            };
            if let Err(refusal) = judge_delete(role, personal) {
                return Ok(End::Rollback(Err(refusal)));
            }
            Statement::<()>::new("UPDATE projects SET deleted_at = ?, updated_at = ? WHERE id = ?", binds![now, now, id])
                .execute(connection)?;
            Statement::<()>::new("DELETE FROM project_members WHERE project_id = ?", binds![id]).execute(connection)?;
            Ok(End::Commit(Ok(())))
        })
        .await
    }
}
