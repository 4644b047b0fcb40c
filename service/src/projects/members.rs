//! `/projects/{id}/members`: who may see a project, and what they may do.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::model::{Member, Role};
use crate::app::AppState;
use crate::http::extract::{Body, Caller, PathId, PathIds};
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::Parameters;

/// A page of members.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberPage {
    /// By user id.
    pub items: Vec<Member>,
    /// Where the next page starts; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// What a membership takes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"role": "editor"}))]
pub struct PutMemberRequest {
    /// What the member may do.
    role: Role,
}

/// The members of a project.
#[utoipa::path(
    get, path = "/api/v1/projects/{id}/members", tag = "members", operation_id = "list_members", security(("bearer" = [])),
    params(
        ("id" = Uuid, Path, description = "The project"),
        ("limit" = Option<u32>, Query, description = "Rows of the page", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "A page", body = MemberPage))
)]
pub async fn list_members(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathId(id): PathId,
    parameters: Parameters,
) -> Result<Json<MemberPage>, Problem> {
    parameters.expect(&["limit", "cursor"])?;
    let scope = parameters.scope(caller.0.user_id, &format!("members {id}"));
    let after = parameters.get("cursor").map(|cursor| state.cursors.open(scope, cursor)).transpose()?;
    let limit = parameters.limit()?;
    let page = state.db.list_members(caller.0.user_id, id, after.map(|key| key.id), limit).await?;
    let (items, more) = page.ok_or_else(|| Problem::not_found("project"))?;
    let next_cursor = items.last().filter(|_| more).map(|last| state.cursors.seal_id(scope, last.user_id));
    Ok(Json(MemberPage { items, next_cursor }))
}

/// One member.
#[utoipa::path(
    get, path = "/api/v1/projects/{id}/members/{user_id}", tag = "members", operation_id = "get_member", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The project"), ("user_id" = Uuid, Path, description = "The user")),
    responses((status = 200, description = "The member", body = Member))
)]
pub async fn get_member(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathIds(id, user_id): PathIds,
) -> Result<Json<Member>, Problem> {
    let member = state.db.get_member(caller.0.user_id, id, user_id).await?;
    member.map(Json).ok_or_else(|| Problem::not_found("member"))
}

/// Adds a member, or changes what one may do.
///
/// Owners only; the last owner stays one, and so does the user of a personal project.
#[utoipa::path(
    put, path = "/api/v1/projects/{id}/members/{user_id}", tag = "members", operation_id = "put_member", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The project"), ("user_id" = Uuid, Path, description = "The user")),
    request_body = PutMemberRequest,
    responses(
        (status = 200, description = "The member now", body = Member),
        (status = 409, description = "It is the last owner, the user of a personal project, or there are too many", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn put_member(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathIds(id, user_id): PathIds,
    Body(request): Body<PutMemberRequest>,
) -> Result<Json<Member>, Problem> {
    let put = state.db.put_member(caller.0.user_id, id, user_id, request.role, state.clock.now()).await?;
    Ok(Json(put?))
}

/// Removes a member: owners anybody, everybody themselves.
///
/// The last owner stays, and the user of a personal project.
#[utoipa::path(
    delete, path = "/api/v1/projects/{id}/members/{user_id}", tag = "members", operation_id = "delete_member", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "The project"), ("user_id" = Uuid, Path, description = "The user")),
    responses(
        (status = 204, description = "Removed"),
        (status = 409, description = "It is the last owner, or the user of a personal project", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn delete_member(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    PathIds(id, user_id): PathIds,
) -> Result<StatusCode, Problem> {
    state.db.delete_member(caller.0.user_id, id, user_id).await??;
    Ok(StatusCode::NO_CONTENT)
}
