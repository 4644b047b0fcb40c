//! `POST /tasks`.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use uuid::Uuid;

use super::model::{Task, Written};
use super::requests::CreateTaskRequest;
use crate::app::AppState;
use crate::http::etag::etag;
use crate::http::extract::{Body, Caller, IdempotencyKey};
use crate::http::problem::Problem;
use crate::http::replay::{self, fresh};
use crate::http::validate::Checks;
use crate::store::idempotency::StoredResponse;

fn answer(status: StatusCode, task: &Task) -> StoredResponse {
    StoredResponse {
        location: Some(format!("/api/v1/tasks/{}", task.id)),
        etag: Some(etag(task.version)),
        ..replay::written(status, task)
    }
}

fn created(written: &Written) -> StoredResponse {
    answer(StatusCode::CREATED, &written.task)
}

/// Creates a task.
///
/// With an `Idempotency-Key`, or with an `id` of the client's own, a repeat makes it once.
#[utoipa::path(
    post, path = "/api/v1/tasks", tag = "tasks", operation_id = "create_task", security(("bearer" = [])),
    request_body = CreateTaskRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat within 24 hours get the first answer", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses(
        (status = 201, description = "Created", body = Task, headers(("idempotency-replayed" = String, description = "`true` when this is the answer to an earlier request"), ("location" = String, description = "Where it is"), ("etag" = String, description = "Its version"))),
        (status = 200, description = "It was created before with this id and these fields", body = Task, headers(("location" = String, description = "Where it is"), ("etag" = String, description = "Its version"))),
        (status = 409, description = "Another task has this id, or the first request with this key still runs", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn create_task(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    key: IdempotencyKey,
    Body(request): Body<CreateTaskRequest>,
) -> Result<Response, Problem> {
    let claim = key.claim(&caller, "POST /tasks", &request, &state);
    let mut checks = Checks::default();
    let new = request.check(&mut checks, Uuid::now_v7());
    checks.finish()?;
    let keyed = state.db.create_task(caller.0.user_id, new, state.clock.now(), claim, created).await?;
    match fresh(keyed) {
        ControlFlow::Continue(result) => {
            let made = result?;
            if !made.fresh {
                return Ok(answer(StatusCode::OK, &made.written.task).into_response());
            }
            state.metrics.task_created(1);
            state.metrics.task_completed(made.written.completed.into());
            Ok(created(&made.written).into_response())
        }
        ControlFlow::Break(answer) => Ok(answer),
    }
}
