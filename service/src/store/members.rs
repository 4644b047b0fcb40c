//! Members in the database. A project keeps at least one owner, also when two owners leave at the same moment.

use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::{QueryResult, SqliteConnection};
use jiff::Timestamp;
use uuid::Uuid;

use super::statement::{Statement, binds};
use super::types::{Id, Instant};
use super::{Db, End, Operation, StoreError};
use crate::projects::model::{MEMBERS_MAX, Member, PROJECTS_MAX, ProjectRefusal, Role};

type MemberRow = (Id, Text, Text, Instant);

/// What a change of members must know: the caller's role, the target's role, owners, members, whether the target exists and
/// has room for another project, and whether this is the target's personal project.
#[derive(Debug, Clone, Copy)]
struct Standing {
    caller: Option<Role>,
    target: Option<Role>,
    owners: i64,
    members: i64,
    user_exists: bool,
    projects: i64,
    at_home: bool,
}

impl Standing {
    fn judge_put(self, role: Role) -> Result<(), ProjectRefusal> {
        match self.caller {
            None => Err(ProjectRefusal::NotFound),
            Some(Role::Owner) if !self.user_exists => Err(ProjectRefusal::NotFound),
            Some(Role::Owner) if self.target == Some(Role::Owner) && role != Role::Owner && self.owners == 1 => {
                Err(ProjectRefusal::LastOwner)
            }
            Some(Role::Owner) if self.at_home && role != Role::Owner => Err(ProjectRefusal::AtHome),
            Some(Role::Owner)
                if self.target.is_none() && (self.members >= MEMBERS_MAX || self.projects >= PROJECTS_MAX) =>
            {
                Err(ProjectRefusal::TooMany)
            }
            Some(Role::Owner) => Ok(()),
            Some(_) => Err(ProjectRefusal::Forbidden),
        }
    }

    fn judge_delete(self, own: bool) -> Result<(), ProjectRefusal> {
        match (self.caller, self.target) {
            (None, _) => Err(ProjectRefusal::NotFound),
            (Some(role), _) if role != Role::Owner && !own => Err(ProjectRefusal::Forbidden),
            (_, None) => Err(ProjectRefusal::NotFound),
            (_, Some(Role::Owner)) if self.owners == 1 => Err(ProjectRefusal::LastOwner),
            _ if self.at_home => Err(ProjectRefusal::AtHome),
            _ => Ok(()),
        }
    }
}

type StandingRow = (Nullable<Text>, Nullable<Text>, BigInt, BigInt, Bool, BigInt, Bool);
type StandingTuple = (Option<Role>, Option<Role>, i64, i64, bool, i64, bool);

impl From<StandingTuple> for Standing {
    fn from((caller, target, owners, members, user_exists, projects, at_home): StandingTuple) -> Self {
        Standing { caller, target, owners, members, user_exists, projects, at_home }
    }
}

/// All that [`Standing`] holds, in one statement.
const STANDING: &str = "SELECT \
    (SELECT role FROM project_members WHERE project_id = ? AND user_id = ?), \
    (SELECT role FROM project_members WHERE project_id = ? AND user_id = ?), \
    (SELECT count(*) FROM project_members WHERE project_id = ? AND role = 'owner'), \
    (SELECT count(*) FROM project_members WHERE project_id = ?), \
    EXISTS (SELECT 1 FROM users WHERE id = ?), \
    (SELECT count(*) FROM project_members WHERE user_id = ?), \
    EXISTS (SELECT 1 FROM projects WHERE id = ? AND personal_of = ?)";

/// Who asks for what, about whom.
#[derive(Debug, Clone, Copy)]
struct Ask {
    caller: Uuid,
    project_id: Uuid,
    target: Uuid,
}

impl Ask {
    fn standing(self) -> Statement<StandingRow> {
        let Ask { caller, project_id, target } = self;
        let binds =
            binds![project_id, caller, project_id, target, project_id, project_id, target, target, project_id, target];
        Statement::new(STANDING, binds)
    }
}

const PUT: &str = "INSERT INTO project_members (user_id, project_id, role, created_at) VALUES (?, ?, ?, ?) \
    ON CONFLICT (user_id, project_id) DO UPDATE SET role = excluded.role RETURNING user_id, \
    (SELECT name FROM users WHERE users.id = project_members.user_id), role, created_at";
const DELETE: &str = "DELETE FROM project_members WHERE user_id = ? AND project_id = ?";

/// Makes changes of one project's members, its deletion among them, follow one another: the next statement sees what those
/// before it left. PostgreSQL; SQLite has one writer anyway.
pub(super) fn lock(project_id: Uuid) -> Statement<(Bool,)> {
    Statement::new("SELECT TRUE FROM projects WHERE id = ? FOR NO KEY UPDATE", binds![project_id])
}

/// A change of members, once it is allowed: a membership to write, or its end.
#[derive(Debug, Clone, Copy)]
enum Write {
    Put(Role, Timestamp),
    Delete,
}

impl Write {
    fn judge(self, standing: Standing, own: bool) -> Result<(), ProjectRefusal> {
        match self {
            Write::Put(role, _) => standing.judge_put(role),
            Write::Delete => standing.judge_delete(own),
        }
    }
}

fn run_sqlite(
    connection: &mut SqliteConnection,
    ask: Ask,
    write: Write,
) -> QueryResult<End<Result<Option<Member>, ProjectRefusal>>> {
    use diesel::RunQueryDsl as _;
    let standing: Vec<StandingTuple> = ask.standing().load(connection)?;
    let standing = standing.into_iter().next().map(Standing::from).ok_or(diesel::result::Error::NotFound)?;
    if let Err(refusal) = write.judge(standing, ask.caller == ask.target) {
        return Ok(End::Rollback(Err(refusal)));
    }
    match write {
        Write::Put(role, now) => {
            let put = Statement::<MemberRow>::new(PUT, binds![ask.target, ask.project_id, role.as_str(), now]);
            let rows: Vec<Member> = put.load(connection)?;
            Ok(End::Commit(Ok(rows.into_iter().next())))
        }
        Write::Delete => {
            Statement::<()>::new(DELETE, binds![ask.target, ask.project_id]).execute(connection)?;
            Ok(End::Commit(Ok(None)))
        }
    }
}

impl Db {
    /// Up to `limit` members behind `after`, by id, and whether more follow. `None` when the caller may not see the project.
    pub async fn list_members(
        &self,
        caller: Uuid,
        project_id: Uuid,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Option<(Vec<Member>, bool)>, StoreError> {
        // The outer join keeps one row for a caller who sees the project, also behind its last member.
        let statement = Statement::<(Nullable<MemberRow>,)>::new(
            "SELECT m.user_id, m.name, m.role, m.created_at FROM project_members me \
             LEFT JOIN (SELECT x.project_id, x.user_id, u.name, x.role, x.created_at FROM project_members x \
               JOIN users u ON u.id = x.user_id WHERE x.project_id = ? AND x.user_id > ?) m ON m.project_id = me.project_id \
             WHERE me.project_id = ? AND me.user_id = ? ORDER BY m.user_id LIMIT ?",
            binds![
                project_id,
                after.unwrap_or(Uuid::nil()),
                project_id,
                caller,
                i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
            ],
        );
        let rows: Vec<(Option<Member>,)> = self.read(Operation::MemberList, statement).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let more = rows.len() > limit;
        Ok(Some((rows.into_iter().take(limit).filter_map(|(member,)| member).collect(), more)))
    }

    /// One member, if the caller may see the project.
    pub async fn get_member(
        &self,
        caller: Uuid,
        project_id: Uuid,
        user_id: Uuid,
    ) -> Result<Option<Member>, StoreError> {
        let statement = Statement::<MemberRow>::new(
            "SELECT m.user_id, u.name, m.role, m.created_at FROM project_members m JOIN users u ON u.id = m.user_id \
             JOIN project_members me ON me.project_id = m.project_id AND me.user_id = ? \
             WHERE m.project_id = ? AND m.user_id = ?",
            binds![caller, project_id, user_id],
        );
        Ok(self.read(Operation::MemberGet, statement).await?.into_iter().next())
    }

    /// Adds a member or changes their role. Owners only.
    pub async fn put_member(
        &self,
        caller: Uuid,
        project_id: Uuid,
        user_id: Uuid,
        role: Role,
        now: Timestamp,
    ) -> Result<Result<Member, ProjectRefusal>, StoreError> {
        let ask = Ask { caller, project_id, target: user_id };
        let result = self.write_member(Operation::MemberPut, ask, Write::Put(role, now)).await?;
        Ok(result.and_then(|member| member.ok_or(ProjectRefusal::NotFound)))
    }

    /// Removes a member: owners anybody, everybody themselves.
    pub async fn delete_member(
        &self,
        caller: Uuid,
        project_id: Uuid,
        user_id: Uuid,
    ) -> Result<Result<(), ProjectRefusal>, StoreError> {
        let ask = Ask { caller, project_id, target: user_id };
        Ok(self.write_member(Operation::MemberDelete, ask, Write::Delete).await?.map(|_| ()))
    }

    async fn write_member(
        &self,
        operation: Operation,
        ask: Ask,
        write: Write,
    ) -> Result<Result<Option<Member>, ProjectRefusal>, StoreError> {
        if self.is_sqlite() {
            return self.sqlite_write(operation, move |connection| run_sqlite(connection, ask, write)).await;
        }
        self.postgres_transaction(operation, move |connection| {
            Box::pin(async move {
                use diesel_async::RunQueryDsl as _;
                let _: Vec<(bool,)> = lock(ask.project_id).load(connection).await?;
                let standing: Vec<StandingTuple> = ask.standing().load(connection).await?;
                let standing =
                    standing.into_iter().next().map(Standing::from).ok_or(diesel::result::Error::NotFound)?;
                if let Err(refusal) = write.judge(standing, ask.caller == ask.target) {
                    return Ok(End::Rollback(Err(refusal)));
                }
                match write {
                    Write::Put(role, now) => {
                        let put =
                            Statement::<MemberRow>::new(PUT, binds![ask.target, ask.project_id, role.as_str(), now]);
                        let rows: Vec<Member> = put.load(connection).await?;
                        Ok(End::Commit(Ok(rows.into_iter().next())))
                    }
                    Write::Delete => {
                        Statement::<()>::new(DELETE, binds![ask.target, ask.project_id]).execute(connection).await?;
                        Ok(End::Commit(Ok(None)))
                    }
                }
            })
        })
        .await
    }
}
