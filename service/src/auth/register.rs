//! `POST /auth/register`: a user, their personal project, and a first session.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use telemetry::metrics::AuthResult;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Admitted, Session, normalized_email, tokens};
use crate::app::AppState;
use crate::http::extract::Body;
use crate::http::json::Json;
use crate::http::problem::{FieldError, Kind, Problem};
use crate::http::validate::Checks;
use crate::store::users::{NewUser, UserRow};

/// What registering takes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ann@example.com", "password": "correct horse battery", "name": "Ann"}))]
pub struct RegisterRequest {
    /// An e-mail address of up to 254 characters.
    #[schema(max_length = 254, pattern = r"^[^\s\x00-\x1f\x7f-\x9f@]{1,64}@[^\s\x00-\x1f\x7f-\x9f@]{1,189}$")]
    email: String,
    /// 8 to 128 characters.
    #[schema(min_length = 8, max_length = 128, pattern = r"^[^\x00]*\S[^\x00]*$")]
    password: String,
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\x00]*\S[^\x00]*$")]
    name: String,
}

fn check(request: &RegisterRequest) -> Result<(), Problem> {
    let mut checks = Checks::default();
    let email = request.email.trim();
    let parts = email.split_once('@').filter(|(local, domain)| {
        (1..=64).contains(&local.chars().count()) && !domain.is_empty() && !domain.contains('@')
    });
    if parts.is_none() || email.chars().count() > 254 || email.contains(|c: char| c.is_whitespace() || c.is_control()) {
        checks.refuse("email", "takes an e-mail address such as ann@example.com");
    }
    checks.text("password", &request.password, 8, 128);
    checks.text("name", &request.name, 1, 100);
    checks.finish()
}

/// Registers a user, makes their personal project, and lets them in.
#[utoipa::path(
    post, path = "/api/v1/auth/register", tag = "auth", operation_id = "register", request_body = RegisterRequest,
    params(
        ("x-synthetic-secret" = Option<String>, Header, description = "For the canary and the load test: gives the access token the right to send x-synthetic"),
        ("x-synthetic" = Option<String>, Header, description = "canary or load, believed together with the secret: the request counts as no user's"),
    ),
    responses(
        (status = 201, description = "Registered", body = Session),
        (status = 409, description = "The address is taken", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn register(
    State(state): State<Arc<AppState>>,
    admitted: Admitted,
    Body(request): Body<RegisterRequest>,
) -> Result<(StatusCode, Json<Session>), Problem> {
    check(&request)?;
    let hashed = state.passwords.hash(request.password).await;
    let password_hash = hashed.map_err(|error| state.password_problem(error))?;
    let now = state.clock.now();
    let email = normalized_email(&request.email);
    let user = UserRow { id: Uuid::now_v7(), email, name: request.name, created_at: now };
    let session_id = Uuid::now_v7();
    let new = NewUser {
        user: user.clone(),
        password_hash,
        project_id: Uuid::now_v7(),
        session_id,
        session_expires_at: now + tokens::SESSION_LIFETIME,
    };
    if !state.db.register_user(new).await? {
        return Err(Problem::new(Kind::Conflict, "this address is registered; log in instead")
            .with_errors(vec![FieldError::new("/email", "takes an address that is not registered")]));
    }
    state.metrics.auth_attempt(AuthResult::Success);
    Ok((StatusCode::CREATED, Json(state.session(user, session_id, now, admitted)?)))
}
