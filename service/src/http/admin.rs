//! Health and readiness, which both listeners answer, and what the admin listener alone has: metrics and the log level.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, body::Bytes};
use http::{HeaderMap, header};
use serde::Serialize;
use telemetry::metrics::Exposition;
use utoipa::ToSchema;

use super::json::Json;
use super::problem::{Kind, Problem};
use crate::app::AppState;

/// How long an answer about the database is believed.
const READY_KEPT: Duration = Duration::from_secs(1);
/// How long the database may take to answer before the service counts as not ready.
const READY_WAIT_MAX: Duration = Duration::from_secs(2);

/// That the process lives, or is ready.
#[derive(Debug, Serialize, ToSchema)]
pub struct Condition {
    /// `ok` or `ready`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// The last look at the database: when, and what was wrong.
pub type Readiness = tokio::sync::Mutex<Option<(Instant, Result<(), &'static str>)>>;

/// Alive: touches nothing else, so that a database's failure restarts nobody.
#[utoipa::path(
    get, path = "/health", tag = "operation", operation_id = "health",
    responses((status = 200, description = "The process lives", body = Condition))
)]
pub async fn health() -> Json<Condition> {
    Json(Condition { status: "ok" })
}

/// Ready: the database answers, its schema is current, and the service is not stopping.
#[utoipa::path(
    get, path = "/ready", tag = "operation", operation_id = "ready",
    responses((status = 200, description = "Ready for requests", body = Condition))
)]
pub async fn ready(State(state): State<Arc<AppState>>) -> Result<Json<Condition>, Problem> {
    if state.draining.load(Ordering::Relaxed) {
        return Err(Problem::new(Kind::NotReady, "the service is stopping").retry_after(1));
    }
    // One look at a time: the others wait for it and take its answer.
    let mut last = state.readiness.lock().await;
    let known = last.filter(|(at, _)| at.elapsed() < READY_KEPT).map(|(_, found)| found);
    let found = match known {
        Some(found) => found,
        None => {
            let found = match tokio::time::timeout(READY_WAIT_MAX, state.db.is_current()).await {
                Ok(Ok(true)) => Ok(()),
                Ok(Ok(false)) => Err("migrations are pending: run task-api migrate up"),
                Ok(Err(_)) | Err(_) => Err("the database does not answer"),
            };
            *last = Some((Instant::now(), found));
            found
        }
    };
    match found {
        Ok(()) => Ok(Json(Condition { status: "ready" })),
        Err(why) => Err(Problem::new(Kind::NotReady, why).retry_after(1)),
    }
}

async fn metrics(State(state): State<Arc<AppState>>, headers: HeaderMap) -> Response {
    state.metrics.db_pool(state.db.pool_state());
    state.metrics.sqlite_wal_bytes(state.db.wal_bytes());
    state.metrics.task_cache(state.db.task_cache_state());
    let format = Exposition::accepted(&headers);
    ([(header::CONTENT_TYPE, format.content_type())], state.metrics.render_as(format)).into_response()
}

async fn log_level(State(state): State<Arc<AppState>>) -> Result<String, Problem> {
    match &state.log_control {
        Some(control) => Ok(control.get()),
        None => Err(Problem::not_found("log level")),
    }
}

async fn set_log_level(State(state): State<Arc<AppState>>, body: Bytes) -> Result<String, Problem> {
    let control = state.log_control.as_ref().ok_or_else(|| Problem::not_found("log level"))?;
    let text = std::str::from_utf8(&body).unwrap_or_default().trim();
    match control.set(text) {
        Ok(()) => {
            tracing::info!(event = "log_level_changed", filter = text, "the log level was changed");
            Ok(control.get())
        }
        Err(why) => Err(Problem::new(Kind::InvalidParameter, why)),
    }
}

/// The admin listener. Not behind the load balancer, so nothing here asks who calls.
pub fn router(state: Arc<AppState>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/log-level", get(log_level).put(set_log_level))
        .fallback(|| async { Problem::not_found("path") })
        .with_state(state)
}
