//! `POST /auth/refresh`: a new pair of tokens for a refresh token, once.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use telemetry::metrics::AuthResult;
use utoipa::ToSchema;

use super::{Admitted, TokenPair};
use crate::app::AppState;
use crate::http::extract::Body;
use crate::http::json::Json;
use crate::http::problem::{Kind, Problem};

/// What refreshing takes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"refresh_token": "AZfDpQ0RfUKTH0_aGi0-AAAAAAD5R0r6GJQKT1Yg9h7jMvNvHhFzqkTjW8s6Yl4XoQ"}))]
pub struct RefreshRequest {
    /// The refresh token of the last pair.
    refresh_token: String,
}

/// Rotates the refresh token.
///
/// The one before it still gets the same new pair for 10 seconds, so that a lost answer logs nobody out; any older one
/// ends the session, since somebody else may hold it.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", tag = "auth", operation_id = "refresh", request_body = RefreshRequest,
    params(
        ("x-synthetic-secret" = Option<String>, Header, description = "For the canary and the load test: gives the access token the right to send x-synthetic"),
        ("x-synthetic" = Option<String>, Header, description = "canary or load, believed together with the secret: the request counts as no user's"),
    ),
    responses(
        (status = 200, description = "A new pair", body = TokenPair),
        (status = 401, description = "The token is not good", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn refresh(
    State(state): State<Arc<AppState>>,
    admitted: Admitted,
    Body(request): Body<RefreshRequest>,
) -> Result<Json<TokenPair>, Problem> {
    let refused = |result| {
        state.metrics.auth_attempt(result);
        Problem::new(Kind::InvalidRefreshToken, "log in again")
    };
    let opened = state.tokens.open_refresh(&request.refresh_token);
    let (session_id, generation) = opened.ok_or_else(|| refused(AuthResult::InvalidRefresh))?;
    let rotated = state.db.rotate_session(session_id, generation, state.clock.now()).await?;
    let rotated = rotated.ok_or_else(|| refused(AuthResult::InvalidRefresh))?;
    if rotated.revoked_at.is_some() {
        state.tokens.forget(session_id);
        tracing::warn!(event = "refresh_token_reused", session_id = %session_id, "an old refresh token came again; its session ended");
        return Err(refused(AuthResult::RefreshReuse));
    }
    state.metrics.auth_attempt(AuthResult::Success);
    Ok(Json(state.pair(rotated.user_id, session_id, rotated.generation, rotated.rotated_at, admitted)?))
}
