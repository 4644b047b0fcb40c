//! `POST /auth/login` and `POST /auth/logout`.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use http::StatusCode;
use serde::Deserialize;
use telemetry::metrics::AuthResult;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Admitted, Session, normalized_email, tokens};
use crate::app::AppState;
use crate::http::extract::{Body, Caller, OptionalBody};
use crate::http::json::Json;
use crate::http::problem::{Kind, Problem};

/// What logging in takes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ann@example.com", "password": "correct horse battery"}))]
pub struct LoginRequest {
    /// The address that was registered.
    email: String,
    /// The password.
    password: String,
}

/// Longest password that is looked at: none longer could be registered.
const PASSWORD_BYTES_MAX: usize = 1024;

/// Lets a user in.
#[utoipa::path(
    post, path = "/api/v1/auth/login", tag = "auth", operation_id = "login", request_body = LoginRequest,
    params(
        ("x-synthetic-secret" = Option<String>, Header, description = "For the canary and the load test: gives the access token the right to send x-synthetic"),
        ("x-synthetic" = Option<String>, Header, description = "canary or load, believed together with the secret: the request counts as no user's"),
    ),
    responses(
        (status = 200, description = "Let in", body = Session),
        (status = 401, description = "E-mail or password is wrong", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn login(
    State(state): State<Arc<AppState>>,
    admitted: Admitted,
    Body(request): Body<LoginRequest>,
) -> Result<Json<Session>, Problem> {
    let refused = || {
        state.metrics.auth_attempt(AuthResult::InvalidCredentials);
        Problem::new(Kind::InvalidCredentials, "this address and this password do not belong together")
    };
    let email = normalized_email(&request.email);
    if request.password.len() > PASSWORD_BYTES_MAX || email.len() > PASSWORD_BYTES_MAX || email.contains('\0') {
        return Err(refused());
    }
    let (user, stored) = state.db.find_user(email).await?.unzip();
    // The same work for an address that nobody has: the time of the answer tells nothing.
    let verified = state.passwords.verify(request.password, stored).await;
    let verified = verified.map_err(|error| state.password_problem(error))?;
    let user = user.filter(|_| verified).ok_or_else(refused)?;
    let now = state.clock.now();
    let session_id = Uuid::now_v7();
    state.db.create_session(session_id, user.id, now, now + tokens::SESSION_LIFETIME).await?;
    state.metrics.auth_attempt(AuthResult::Success);
    Ok(Json(state.session(user, session_id, now, admitted)?))
}

/// What logging out can take in place of an access token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub struct LogoutRequest {
    /// A refresh token of the session to end.
    refresh_token: Option<String>,
}

/// Ends a session: that of the refresh token in the body, or else that of the access token.
///
/// Its tokens are good no longer.
#[utoipa::path(
    post, path = "/api/v1/auth/logout", tag = "auth", operation_id = "logout",
    request_body(content = Option<LogoutRequest>), security((), ("bearer" = [])),
    responses((status = 204, description = "Ended"))
)]
pub async fn logout(State(state): State<Arc<AppState>>, _: Admitted, request: Request) -> Result<StatusCode, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, &state).await;
    let body = <OptionalBody<LogoutRequest> as axum::extract::FromRequest<_>>::from_request(
        Request::from_parts(parts, body),
        &state,
    );
    let OptionalBody(request) = body.await?;
    let session_id = match request.and_then(|request| request.refresh_token) {
        Some(token) => match state.tokens.open_refresh(&token) {
            Some((session_id, _)) => session_id,
            None => return Err(Problem::new(Kind::InvalidRefreshToken, "this is no refresh token of ours")),
        },
        None => caller?.0.session_id,
    };
    state.db.end_session(session_id).await?;
    state.tokens.forget(session_id);
    Ok(StatusCode::NO_CONTENT)
}
