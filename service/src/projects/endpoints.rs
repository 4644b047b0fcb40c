//! `/projects`: list, create, read, change, delete.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::model::{Project, Role};
use crate::app::AppState;
use crate::http::extract::{Body, Caller, IdempotencyKey, PathId};
use crate::http::json::Json;
use crate::http::merge_patch::{not_null, or_null};
use crate::http::problem::Problem;
use crate::http::query::Parameters;
use crate::http::replay::{fresh, rendered};
use crate::http::validate::Checks;
use crate::store::idempotency::StoredResponse;
use crate::tasks::model::Change;

/// A page of projects.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProjectPage {
    /// Oldest first.
    pub items: Vec<Project>,
    /// Where the next page starts; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// What creating a project takes.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Website"}))]
pub struct CreateProjectRequest {
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\x00]*\S[^\x00]*$")]
    name: String,
    /// Up to 4 KiB of UTF-8.
    #[schema(max_length = 4096, pattern = r"^[^\x00]*$")]
    description: Option<String>,
}

/// A merge patch (RFC 7396) of a project.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Website 2"}))]
pub struct PatchProjectRequest {
    /// 1 to 100 characters.
    #[schema(value_type = String, required = false, min_length = 1, max_length = 100, pattern = r"^[^\x00]*\S[^\x00]*$")]
    #[serde(default, deserialize_with = "not_null")]
    name: Option<String>,
    /// Up to 4 KiB of UTF-8, or null for none.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>, max_length = 4096, pattern = r"^[^\x00]*$")]
    description: Option<Option<String>>,
}

/// Longest description of a project, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 4096;

/// The caller's projects.
#[utoipa::path(
    get, path = "/api/v1/projects", tag = "projects", operation_id = "list_projects", security(("bearer" = [])),
    params(
        ("limit" = Option<u32>, Query, description = "Rows of the page", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page, oldest first", body = ProjectPage))
)]
pub async fn list_projects(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<ProjectPage>, Problem> {
    parameters.expect(&["limit", "cursor"])?;
    let scope = parameters.scope(caller.0.user_id, "projects");
    let after = parameters.get("cursor").map(|cursor| state.cursors.open(scope, cursor)).transpose()?;
    let (items, more) = state.db.list_projects(caller.0.user_id, after.map(|key| key.id), parameters.limit()?).await?;
    let next_cursor = items.last().filter(|_| more).map(|last| state.cursors.seal_id(scope, last.id));
    Ok(Json(ProjectPage { items, next_cursor }))
}

fn created(project: &Project) -> StoredResponse {
    StoredResponse {
        location: Some(format!("/api/v1/projects/{}", project.id)),
        ..rendered(StatusCode::CREATED, project)
    }
}

/// Creates a project owned by the caller.
#[utoipa::path(
    post, path = "/api/v1/projects", tag = "projects", operation_id = "create_project", security(("bearer" = [])),
    request_body = CreateProjectRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat within 24 hours get the first answer", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses(
        (status = 201, description = "Created", body = Project, headers(("location" = String, description = "Where it is"), ("idempotency-replayed" = String, description = "`true` when this is the answer to an earlier request"))),
        (status = 409, description = "The caller has too many projects, or the first request with this key still runs", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn create_project(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    key: IdempotencyKey,
    Body(request): Body<CreateProjectRequest>,
) -> Result<Response, Problem> {
    let mut checks = Checks::default();
    checks.text("name", &request.name, 1, 100);
    if let Some(description) = &request.description {
        checks.long_text("description", description, DESCRIPTION_BYTES_MAX);
    }
    checks.finish()?;
    let claim = key.claim(&caller, "POST /projects", &request, &state);
    let now = state.clock.now();
    let project = Project {
        id: Uuid::now_v7(),
        name: request.name,
        description: request.description,
        personal: false,
        role: Role::Owner,
        created_at: now,
        updated_at: now,
    };
    match fresh(state.db.create_project(caller.0.user_id, project, claim, created).await?) {
        ControlFlow::Continue(result) => Ok(created(&result?).into_response()),
        ControlFlow::Break(answer) => Ok(answer),
    }
}

/// One project.
#[utoipa::path(
    get, path = "/api/v1/projects/{id}", tag = "projects", operation_id = "get_project", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The project")),
    responses((status = 200, description = "The project", body = Project))
)]
pub async fn get_project(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<Json<Project>, Problem> {
    let project = state.db.get_project(caller.0.user_id, id).await?;
    project.map(Json).ok_or_else(|| Problem::not_found("project"))
}

/// Changes a project's name and description.
///
/// Owners only.
#[utoipa::path(
    patch, path = "/api/v1/projects/{id}", tag = "projects", operation_id = "patch_project", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The project")), request_body = PatchProjectRequest,
    responses((status = 200, description = "The project now", body = Project))
)]
pub async fn patch_project(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    Body(request): Body<PatchProjectRequest>,
) -> Result<Json<Project>, Problem> {
    let mut checks = Checks::default();
    if let Some(name) = &request.name {
        checks.text("name", name, 1, 100);
    }
    if let Some(Some(description)) = &request.description {
        checks.long_text("description", description, DESCRIPTION_BYTES_MAX);
    }
    checks.finish()?;
    let name = request.name.map_or(Change::Keep, Change::Set);
    let description = request.description.map_or(Change::Keep, Change::Set);
    let patched = state.db.patch_project(caller.0.user_id, id, name, description, state.clock.now()).await?;
    Ok(Json(patched?))
}

/// Deletes a project with its tasks.
///
/// Owners only; a personal project stays.
#[utoipa::path(
    delete, path = "/api/v1/projects/{id}", tag = "projects", operation_id = "delete_project", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The project")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 409, description = "It is a personal project", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn delete_project(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<StatusCode, Problem> {
    state.db.delete_project(caller.0.user_id, id, state.clock.now()).await??;
    Ok(StatusCode::NO_CONTENT)
}
