//! `/tasks/{id}`: read, change, delete, restore.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, StatusCode, header};

use super::model::Task;
use super::requests::PatchTaskRequest;
use crate::app::AppState;
use crate::http::etag::{self, etag};
use crate::http::extract::{Body, Caller, PathId};
use crate::http::json::WrittenJson;
use crate::http::problem::Problem;
use crate::http::query::Parameters;
use crate::http::validate::Checks;

/// A task with its entity tag.
type Tagged = ([(HeaderName, String); 1], WrittenJson<Task>);

fn tagged(task: Task) -> Tagged {
    ([(header::ETAG, etag(task.version))], WrittenJson(task))
}

/// One task.
///
/// With `If-None-Match`, 304 when the caller has this version already.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}", tag = "tasks", operation_id = "get_task", security(("bearer" = [])),
    params(
        ("id" = uuid::Uuid, Path, description = "The task"),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags that the caller has"),
    ),
    responses(
        (status = 200, description = "The task", body = Task, headers(("etag" = String, description = "Its version"))),
        (status = 304, description = "The caller has this version", headers(("etag" = String, description = "Its version"))),
    )
)]
pub async fn get_task(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let task = state.db.get_task(caller.0.user_id, id).await?.ok_or_else(|| Problem::not_found("task"))?;
    if etag::is_known(&headers, task.version) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag(task.version))]).into_response());
    }
    Ok(tagged(task).into_response())
}

/// Changes a task by a merge patch.
///
/// With `If-Match`, only the version that the caller saw.
#[utoipa::path(
    patch, path = "/api/v1/tasks/{id}", tag = "tasks", operation_id = "patch_task", security(("bearer" = [])),
    params(
        ("id" = uuid::Uuid, Path, description = "The task"),
        ("If-Match" = Option<String>, Header, description = "The entity tag that the caller saw"),
    ),
    request_body(content((PatchTaskRequest = "application/merge-patch+json"), (PatchTaskRequest = "application/json"))),
    responses(
        (status = 200, description = "The task now", body = Task, headers(("etag" = String, description = "Its version"))),
        (status = 412, description = "The task has another version", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn patch_task(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    headers: HeaderMap,
    Body(request): Body<PatchTaskRequest>,
) -> Result<Tagged, Problem> {
    let mut checks = Checks::default();
    let patch = request.check(&mut checks);
    checks.finish()?;
    let if_match = etag::if_match(&headers);
    let written = state.db.patch_task(caller.0.user_id, id, patch, if_match, state.clock.now()).await??;
    state.metrics.task_completed(written.completed.into());
    Ok(tagged(written.task))
}

/// Moves a task and its subtasks to the trash.
///
/// They can be restored for 30 days. With `permanent=true` they are removed for good at once, with their activity, also when
/// the task is in the trash already; subtasks that went into the trash earlier go too, as nothing would be left to restore
/// them under. The answers kept for an `Idempotency-Key` stay their 24 hours, so that a repeated create makes no new task.
#[utoipa::path(
    delete, path = "/api/v1/tasks/{id}", tag = "tasks", operation_id = "delete_task", security(("bearer" = [])),
    params(
        ("id" = uuid::Uuid, Path, description = "The task"),
        ("permanent" = Option<bool>, Query, description = "Whether to remove it for good at once, from the trash too; false if left out"),
        ("If-Match" = Option<String>, Header, description = "The entity tag that the caller saw"),
    ),
    responses(
        (status = 204, description = "Deleted"),
        (status = 412, description = "The task has another version", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn delete_task(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    parameters.expect(&["permanent"])?;
    let permanent = parameters.word("permanent", &["true", "false"])?.unwrap_or(false);
    let (user_id, if_match) = (caller.0.user_id, etag::if_match(&headers));
    if permanent {
        state.db.erase_task(user_id, id, if_match).await??;
    } else {
        state.db.delete_task(user_id, id, if_match, state.clock.now()).await??;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a task out of the trash, with the subtasks that went in with it.
///
/// One that is not there stays as it is.
#[utoipa::path(
    post, path = "/api/v1/tasks/{id}/restore", tag = "tasks", operation_id = "restore_task", security(("bearer" = [])),
    params(("id" = uuid::Uuid, Path, description = "The task")),
    responses(
        (status = 200, description = "The task now", body = Task, headers(("etag" = String, description = "Its version"))),
        (status = 409, description = "Its parent is in the trash", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn restore_task(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<Tagged, Problem> {
    Ok(tagged(state.db.restore_task(caller.0.user_id, id, state.clock.now()).await??))
}
