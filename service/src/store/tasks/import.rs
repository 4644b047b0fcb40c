//! Creating many tasks in one statement, as an import does. PostgreSQL.
//!
//! It checks and writes what as many single creates would check and write, for a fraction of what starting each of them costs.
//! What it may not create it leaves out. The caller then runs the create of each of these alone, which tells why.

use std::collections::HashMap;

use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use jiff::Timestamp;
use uuid::Uuid;

use super::super::statement::{Statement, binds};
use super::super::types::{Id, Labels};
use crate::tasks::model::NewTask;

/// One text for any number of tasks. Labels come as the text of an array, since an array of arrays must not be ragged. The
/// rows go in by id, so that two imports of the same ids wait for one another and do not lock each other out. The assignee
/// is looked up by a scalar subquery: PostgreSQL could make of an `EXISTS` or a join one pass over all memberships.
const TEXT: &str = "WITH new AS (\
      INSERT INTO tasks (id, project_id, title, description, status, priority, labels, assignee_id, due_at, \
        completed_at, created_by, created_at, updated_at, version) \
      SELECT i.id, m.project_id, i.title, i.description, i.status, i.priority, i.labels::text[], i.assignee_id, i.due_at, \
        CASE WHEN i.status = 'done' THEN $2 END, $1, $2, $2, 1 \
      FROM unnest($3, $4, $5, $6, $7, $8, $9, $10, $11) \
        AS i(id, project_id, title, description, status, priority, labels, assignee_id, due_at) \
      JOIN project_members m ON m.user_id = $1 AND m.role <> 'viewer' AND m.project_id = \
        COALESCE(i.project_id, (SELECT p.id FROM projects p WHERE p.personal_of = $1)) \
      WHERE i.assignee_id IS NULL OR (SELECT TRUE FROM project_members a \
        WHERE a.user_id = i.assignee_id AND a.project_id = m.project_id) \
      ORDER BY i.id ON CONFLICT (id) DO NOTHING RETURNING id, project_id\
    ), logged AS (\
      INSERT INTO task_activity (task_id, id, actor_id, action, changes, created_at) \
      SELECT new.id, ($12)[row_number() OVER ()], $1, 'created', '{}', $2 FROM new\
    ) SELECT new.id, new.project_id FROM new";

/// The tasks, as the statement's binds.
pub(super) struct Import(Statement<(Id, Id)>);

impl Import {
    /// An import of tasks that have no parent, each with an id of its own.
    pub(super) fn of(user_id: Uuid, tasks: &[&NewTask], now: Timestamp) -> Import {
        Import(Statement::numbered(
            TEXT,
            binds![
                user_id,
                now,
                column(tasks, |new| Some(new.id)),
                column(tasks, |new| new.project_id),
                column(tasks, |new| Some(new.title.clone())),
                column(tasks, |new| new.description.clone()),
                column(tasks, |new| Some(new.status.as_str().to_owned())),
                column(tasks, |new| new.priority.rank()),
                column(tasks, |new| Some(array(&new.labels))),
                column(tasks, |new| new.assignee_id),
                column(tasks, |new| new.due_at),
                column(tasks, |_| Some(Uuid::now_v7())),
            ],
        ))
    }

    /// Creates what may be created, inside the caller's transaction. For each task that was, the project it went into.
    pub(super) async fn run(self, connection: &mut AsyncPgConnection) -> QueryResult<HashMap<Uuid, Uuid>> {
        let rows: Vec<(Uuid, Uuid)> = diesel_async::RunQueryDsl::load(self.0, connection).await?;
        Ok(rows.into_iter().collect())
    }
}

fn column<T>(tasks: &[&NewTask], value: impl Fn(&NewTask) -> T) -> Vec<T> {
    tasks.iter().map(|new| value(new)).collect()
}

/// Labels as PostgreSQL writes an array as text: each in quotes, behind a backslash what would end them.
fn array(labels: &Labels) -> String {
    let mut text = String::from("{");
    for (at, label) in labels.0.iter().enumerate() {
        text.push_str(if at == 0 { "\"" } else { ",\"" });
        for character in label.chars() {
            if matches!(character, '"' | '\\') {
                text.push('\\');
            }
            text.push(character);
        }
        text.push('"');
    }
    text.push('}');
    text
}
