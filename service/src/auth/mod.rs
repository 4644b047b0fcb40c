//! Who may come in: registration, login, refresh, logout, and the caller's own record.

pub mod keys;
pub mod login;
pub mod passwords;
pub mod refresh;
pub mod register;
pub mod synthetic;
pub mod tokens;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use http::request::Parts;
use jiff::Timestamp;
use serde::Serialize;
use telemetry::metrics::Rejection;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::AppState;
use crate::http::edge::ClientAddress;
use crate::http::extract::Caller;
use crate::http::json::Json;
use crate::http::problem::{Kind, Problem};
use crate::store::users::UserRow;
use passwords::PasswordError;

/// A user, as the API shows them to themselves.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0197c3a5-0c52-7d10-93f3-1a2b3c4d5e6f", "email": "ann@example.com", "name": "Ann", "created_at": "2026-11-20T13:54:00Z"
}))]
pub struct User {
    /// UUIDv7.
    pub id: Uuid,
    /// Lower case.
    pub email: String,
    /// 1 to 100 characters.
    pub name: String,
    /// RFC 3339 UTC.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl From<UserRow> for User {
    fn from(UserRow { id, email, name, created_at }: UserRow) -> Self {
        User { id, email, name, created_at }
    }
}

/// A user and the pair of tokens that lets them in.
#[derive(Debug, Serialize, ToSchema)]
pub struct Session {
    /// Who came in.
    pub user: User,
    /// For `Authorization: Bearer`, good for `expires_in` seconds.
    pub access_token: String,
    /// For one use at `/auth/refresh`.
    pub refresh_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Seconds that the access token is good for.
    #[schema(example = 900, minimum = 1)]
    pub expires_in: i64,
}

/// A new pair of tokens.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenPair {
    /// For `Authorization: Bearer`, good for `expires_in` seconds.
    pub access_token: String,
    /// For one use at `/auth/refresh`.
    pub refresh_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Seconds that the access token is good for.
    #[schema(example = 900, minimum = 1)]
    pub expires_in: i64,
}

impl AppState {
    /// The pair of a session's generation, issued at `issued_at`: the same input gives the same tokens.
    fn pair(
        &self,
        user_id: Uuid,
        session_id: Uuid,
        generation: i32,
        issued_at: Timestamp,
        admitted: Admitted,
    ) -> Result<TokenPair, Problem> {
        let access = self.tokens.access(user_id, session_id, issued_at, admitted.may_claim_synthetic);
        Ok(TokenPair {
            access_token: access.map_err(|error| Problem::internal().because(error.to_string()))?,
            refresh_token: self.tokens.refresh(session_id, generation),
            token_type: "Bearer",
            expires_in: tokens::ACCESS_LIFETIME.as_secs(),
        })
    }

    /// The answer to a user who came in.
    fn session(&self, user: UserRow, session_id: Uuid, now: Timestamp, admitted: Admitted) -> Result<Session, Problem> {
        let TokenPair { access_token, refresh_token, token_type, expires_in } =
            self.pair(user.id, session_id, 0, now, admitted)?;
        Ok(Session { user: user.into(), access_token, refresh_token, token_type, expires_in })
    }

    fn password_problem(&self, error: PasswordError) -> Problem {
        match error {
            PasswordError::QueueFull => {
                self.metrics.rejected(Rejection::PasswordQueueFull);
                Problem::new(Kind::Overloaded, "too many people log in at this moment").retry_after(2)
            }
            PasswordError::Internal => Problem::internal().because("a password could not be hashed"),
        }
    }
}

/// A request to an auth route, within the rate of its address.
#[derive(Debug, Clone, Copy)]
pub struct Admitted {
    /// Whether the tokens it gets may claim to be synthetic: it came with `SYNTHETIC_SECRET`.
    pub may_claim_synthetic: bool,
}

impl FromRequestParts<Arc<AppState>> for Admitted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self, Problem> {
        let address = parts.extensions.get::<ClientAddress>().map(|address| address.0);
        let key = match address {
            Some(IpAddr::V4(address)) => u128::from(address.to_bits()),
            // The network of a subscriber: one may have 2^64 addresses.
            Some(IpAddr::V6(address)) => address.to_bits() >> 64,
            None => 0,
        };
        state.address_rate.check(key, state.clock.now(), &state.metrics)?;
        Ok(Admitted { may_claim_synthetic: state.may_claim_synthetic(&parts.headers) })
    }
}

/// An e-mail address as it is stored: trimmed, lower case.
fn normalized_email(email: &str) -> String {
    email.trim().to_lowercase()
}

/// The caller's own record.
#[utoipa::path(
    get, path = "/api/v1/me", tag = "auth", operation_id = "get_me", security(("bearer" = [])),
    responses((status = 200, description = "The caller", body = User))
)]
pub async fn get_me(State(state): State<Arc<AppState>>, caller: Caller) -> Result<Json<User>, Problem> {
    match state.db.get_user(caller.0.user_id).await? {
        Some(user) => Ok(Json(user.into())),
        None => Err(Problem::not_found("user")),
    }
}
