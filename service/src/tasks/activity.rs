//! `GET /tasks/{id}/activity`: who changed what, from what, to what.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::AppState;
use crate::http::extract::{Caller, PathId};
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::Parameters;
use crate::store::tasks::ActivityRow;

/// What a field was and became.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldChange {
    /// The value before.
    #[schema(value_type = Value)]
    pub from: Value,
    /// The value after.
    #[schema(value_type = Value)]
    pub to: Value,
}

/// One thing that happened to a task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0197c3a5-9a3d-7a41-8f17-5b2f6c7d8e90", "actor_id": "0197c3a5-0c52-7d10-93f3-1a2b3c4d5e6f", "action": "updated",
    "changes": {"status": {"from": "todo", "to": "done"}}, "created_at": "2026-11-20T13:54:00Z"
}))]
pub struct Activity {
    /// UUIDv7.
    pub id: Uuid,
    /// Who did it.
    pub actor_id: Uuid,
    /// `created`, `updated`, `deleted` or `restored`.
    #[schema(pattern = "^(created|updated|deleted|restored)$")]
    pub action: String,
    /// The fields that changed.
    pub changes: BTreeMap<String, FieldChange>,
    /// RFC 3339 UTC.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl From<ActivityRow> for Activity {
    fn from(row: ActivityRow) -> Self {
        let changes = row.changes.into_iter().map(|(field, mut change)| {
            let mut end = |name: &str| change.get_mut(name).map(Value::take).unwrap_or_default();
            (field, FieldChange { from: end("from"), to: end("to") })
        });
        Activity {
            id: row.id,
            actor_id: row.actor_id,
            action: row.action,
            changes: changes.collect(),
            created_at: row.created_at,
        }
    }
}

/// A page of activity.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActivityPage {
    /// Newest first.
    pub items: Vec<Activity>,
    /// Where the next page starts; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// What happened to a task, newest first.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/activity", tag = "tasks", operation_id = "list_activity", security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The task"),
        ("limit" = Option<u32>, Query, description = "Rows of the page", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = ActivityPage))
)]
pub async fn list_activity(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    parameters: Parameters,
) -> Result<Json<ActivityPage>, Problem> {
    parameters.expect(&["limit", "cursor"])?;
    let scope = parameters.scope(caller.0.user_id, &format!("activity {id}"));
    let before = parameters.get("cursor").map(|cursor| state.cursors.open(scope, cursor)).transpose()?;
    let limit = parameters.limit()?;
    let page = state.db.list_activity(caller.0.user_id, id, before.map(|key| key.id), limit).await?;
    let (rows, more) = page.ok_or_else(|| Problem::not_found("task"))?;
    let next_cursor = rows.last().filter(|_| more).map(|last| state.cursors.seal_id(scope, last.id));
    Ok(Json(ActivityPage { items: rows.into_iter().map(Activity::from).collect(), next_cursor }))
}
