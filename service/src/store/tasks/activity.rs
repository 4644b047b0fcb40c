//! What happened to a task: written with each change, read page by page, newest first.

use std::collections::BTreeMap;

use diesel::sql_types::{Nullable, Text};
use diesel::{QueryResult, SqliteConnection};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::statement::{Statement, binds};
use super::super::types::{Id, Instant, Json, JsonText};
use crate::store::{Db, Operation, StoreError};
use crate::tasks::model::{Priority, Task};

/// One entry of a task's activity.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivityRow {
    /// UUIDv7: sorts by time.
    pub id: Uuid,
    /// Who did it.
    pub actor_id: Uuid,
    /// `created`, `updated`, `deleted` or `restored`.
    pub action: String,
    /// The fields that changed, each with `from` and `to`.
    pub changes: BTreeMap<String, Value>,
    /// When.
    pub created_at: Timestamp,
}

type Columns = Nullable<(Id, Id, Text, Json, Instant)>;

const INSERT: &str =
    "INSERT INTO task_activity (task_id, id, actor_id, action, changes, created_at) VALUES (?, ?, ?, ?, ?, ?)";

/// Writes one entry, inside the transaction of the change.
pub(super) fn log_sqlite(
    connection: &mut SqliteConnection,
    task_id: Uuid,
    actor_id: Uuid,
    action: &'static str,
    changes: JsonText,
    now: Timestamp,
) -> QueryResult<()> {
    let statement = Statement::<()>::new(INSERT, binds![task_id, Uuid::now_v7(), actor_id, action, changes, now]);
    diesel::RunQueryDsl::execute(statement, connection).map(|_| ())
}

/// Fields that a patch can change, as the activity names them, and what PostgreSQL writes for each.
pub(super) const FIELDS: [&str; 9] =
    ["title", "description", "status", "priority", "labels", "assignee_id", "parent_id", "due_at", "completed_at"];

/// SQL that yields the changes between two rows as one JSON object. PostgreSQL.
pub(super) fn changes_sql(from: &str, to: &str) -> String {
    let parts: Vec<String> = FIELDS
        .iter()
        .map(|field| {
            format!(
                "CASE WHEN {from}.{field} IS DISTINCT FROM {to}.{field} THEN jsonb_build_object('{field}', \
                 jsonb_build_object('from', {from}.{field}, 'to', {to}.{field})) ELSE '{{}}' END"
            )
        })
        .collect();
    parts.join(" || ")
}

/// The changes between two states of a task, as the activity stores them on SQLite.
pub(super) fn changes(from: &Task, to: &Task) -> JsonText {
    let value = |task: &Task, field: &str| match field {
        "title" => json!(task.title),
        "description" => json!(task.description),
        "status" => json!(task.status),
        "priority" => json!(task.priority.rank()),
        "labels" => json!(task.labels),
        "assignee_id" => json!(task.assignee_id),
        "parent_id" => json!(task.parent_id),
        "due_at" => json!(task.due_at),
        _ => json!(task.completed_at),
    };
    let changed: BTreeMap<&str, Value> = FIELDS
        .iter()
        .map(|field| (*field, value(from, field), value(to, field)))
        .filter(|(_, from, to)| from != to)
        .map(|(field, from, to)| (field, json!({"from": from, "to": to})))
        .collect();
    JsonText(json!(changed).to_string())
}

/// Brings what either backend stored to the form of the API: priorities by name, times in RFC 3339 UTC.
fn presented(stored: &str) -> BTreeMap<String, Value> {
    let mut changes: BTreeMap<String, Value> = serde_json::from_str(stored).unwrap_or_default();
    let each = |change: &mut Value, present: &dyn Fn(&Value) -> Option<Value>| {
        for end in ["from", "to"] {
            if let Some(value) = change.get_mut(end)
                && let Some(better) = present(value)
            {
                *value = better;
            }
        }
    };
    for (field, change) in &mut changes {
        match field.as_str() {
            "priority" => each(change, &|rank| Some(json!(Priority::from_rank(rank.as_i64()?)?))),
            "due_at" | "completed_at" => each(change, &|time| Some(json!(time.as_str()?.parse::<Timestamp>().ok()?))),
            _ => {}
        }
    }
    changes
}

const PAGE: &str = "SELECT a.id, a.actor_id, a.action, a.changes, a.created_at FROM tasks t \
    JOIN project_members m ON m.project_id = t.project_id AND m.user_id = ? \
    LEFT JOIN task_activity a ON a.task_id = t.id AND a.id < ? \
    WHERE t.id = ? AND t.deleted_at IS NULL ORDER BY a.id DESC LIMIT ?";

impl Db {
    /// Up to `limit` entries older than `before`, newest first, and whether more follow. `None` when the caller may not see the
    /// task.
    pub async fn list_activity(
        &self,
        user_id: Uuid,
        task_id: Uuid,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<Option<(Vec<ActivityRow>, bool)>, StoreError> {
        let rows = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let statement =
            Statement::<(Columns,)>::new(PAGE, binds![user_id, before.unwrap_or(Uuid::max()), task_id, rows]);
        type Row = (Option<(Uuid, Uuid, String, JsonText, Timestamp)>,);
        let rows: Vec<Row> = self.read(Operation::TaskActivity, statement).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let more = rows.len() > limit;
        let page =
            rows.into_iter().take(limit).filter_map(|(row,)| row).map(|(id, actor_id, action, changes, created_at)| {
                ActivityRow { id, actor_id, action, changes: presented(&changes.0), created_at }
            });
        Ok(Some((page.collect(), more)))
    }
}
