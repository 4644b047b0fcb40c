//! Every route of the API, in one place: the router, the metrics' labels and the tests all read this table.

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodFilter, on};
use http::StatusCode;
use telemetry::metrics::RouteLabel;

use super::{admin, docs};
use crate::app::AppState;
use crate::{auth, projects, tasks};

/// A row for each route: method, template, the status of its success, its handler.
macro_rules! routes {
    ($($method:ident $template:literal $success:ident => $handler:path,)+) => {
        /// What the routes are called in metrics, tests and the OpenAPI document.
        pub const ROUTES: &[RouteLabel] = &[$(RouteLabel {
            method: stringify!($method),
            route: $template,
            success: StatusCode::$success.as_u16(),
        },)+];

        fn table() -> Router<Arc<AppState>> {
            Router::new()$(.route($template, on(MethodFilter::$method, $handler)))+
        }
    };
}

routes! {
    POST   "/api/v1/auth/register"                   CREATED    => auth::register::register,
    POST   "/api/v1/auth/login"                      OK         => auth::login::login,
    POST   "/api/v1/auth/refresh"                    OK         => auth::refresh::refresh,
    POST   "/api/v1/auth/logout"                     NO_CONTENT => auth::login::logout,
    GET    "/api/v1/me"                              OK         => auth::get_me,
    GET    "/api/v1/projects"                        OK         => projects::endpoints::list_projects,
    POST   "/api/v1/projects"                        CREATED    => projects::endpoints::create_project,
    GET    "/api/v1/projects/{id}"                   OK         => projects::endpoints::get_project,
    PATCH  "/api/v1/projects/{id}"                   OK         => projects::endpoints::patch_project,
    DELETE "/api/v1/projects/{id}"                   NO_CONTENT => projects::endpoints::delete_project,
    GET    "/api/v1/projects/{id}/members"           OK         => projects::members::list_members,
    GET    "/api/v1/projects/{id}/members/{user_id}" OK         => projects::members::get_member,
    PUT    "/api/v1/projects/{id}/members/{user_id}" OK         => projects::members::put_member,
    DELETE "/api/v1/projects/{id}/members/{user_id}" NO_CONTENT => projects::members::delete_member,
    GET    "/api/v1/tasks"                           OK         => tasks::list::list_tasks,
    POST   "/api/v1/tasks"                           CREATED    => tasks::create::create_task,
    POST   "/api/v1/tasks/batch"                     OK         => tasks::batch::batch_tasks,
    GET    "/api/v1/tasks/{id}"                      OK         => tasks::item::get_task,
    PATCH  "/api/v1/tasks/{id}"                      OK         => tasks::item::patch_task,
    DELETE "/api/v1/tasks/{id}"                      NO_CONTENT => tasks::item::delete_task,
    POST   "/api/v1/tasks/{id}/restore"              OK         => tasks::item::restore_task,
    GET    "/api/v1/tasks/{id}/activity"             OK         => tasks::activity::list_activity,
    GET    "/health"                                 OK         => admin::health,
    GET    "/ready"                                  OK         => admin::ready,
    GET    "/openapi.json"                           OK         => docs::document,
    GET    "/docs"                                   SEE_OTHER         => docs::index,
    GET    "/docs/"                                  OK         => docs::page,
    GET    "/docs/{*file}"                           OK         => docs::asset,
}

/// The router of the API and of `more` routes, with the edge around it.
pub fn router(state: Arc<AppState>, cors_allowed_origins: &[http::HeaderValue], more: Router<Arc<AppState>>) -> Router {
    let observe = super::observed::ObserveLayer(Arc::clone(&state));
    behind(Some(observe), Arc::clone(&state), cors_allowed_origins, more).with_state(state)
}

/// The same without its outermost layer, `observe`: no request is counted, logged or traced, and no answer has ids. Nothing
/// but the benchmark that measures what observing costs should serve this.
pub fn unobserved(
    state: Arc<AppState>,
    cors_allowed_origins: &[http::HeaderValue],
    more: Router<Arc<AppState>>,
) -> Router<Arc<AppState>> {
    behind(None, state, cors_allowed_origins, more)
}

/// All layers are one to the router: it clones and boxes each that it knows of for each request.
fn behind(
    observe: Option<super::observed::ObserveLayer>,
    state: Arc<AppState>,
    cors_allowed_origins: &[http::HeaderValue],
    more: Router<Arc<AppState>>,
) -> Router<Arc<AppState>> {
    use super::problem::{Kind, Problem};
    use super::{edge, guarded::GuardLayer};
    use tower::util::{MapResponseLayer, option_layer};

    let cors = (!cors_allowed_origins.is_empty()).then(|| cors(cors_allowed_origins));
    let compress = tower_http::compression::CompressionLayer::new().compress_when(Worthwhile);
    // The first is the outermost.
    let layers = (
        option_layer(observe),
        option_layer(cors),
        MapResponseLayer::new(edge::security_headers),
        GuardLayer(state),
        compress,
    );
    table()
        .merge(more)
        .fallback(|| async { Problem::not_found("path") })
        .method_not_allowed_fallback(|| async { Problem::new(Kind::MethodNotAllowed, "see /openapi.json") })
        .layer(layers)
}

/// Bodies over 1 KiB are worth compressing. One with an entity tag is not: the strong tag names its very bytes.
#[derive(Clone, Copy)]
struct Worthwhile;

impl tower_http::compression::Predicate for Worthwhile {
    fn should_compress<B: http_body::Body>(&self, response: &http::Response<B>) -> bool {
        let large = response.body().size_hint().exact().is_none_or(|bytes| bytes > 1024);
        large && !response.headers().contains_key(http::header::ETAG)
    }
}

fn cors(origins: &[http::HeaderValue]) -> tower_http::cors::CorsLayer {
    use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LINK, LOCATION, RETRY_AFTER};
    use http::{HeaderName, Method};
    use tower_http::cors::{Any, CorsLayer};

    let request_id = HeaderName::from_static("x-request-id");
    let traceparent = HeaderName::from_static("traceparent");
    let idempotency_key = HeaderName::from_static("idempotency-key");
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            IF_MATCH,
            IF_NONE_MATCH,
            idempotency_key,
            request_id.clone(),
            traceparent.clone(),
        ])
        .expose_headers([ETAG, LINK, LOCATION, RETRY_AFTER, request_id, traceparent])
        .max_age(std::time::Duration::from_secs(3600));
    if origins.iter().any(|origin| origin == "*") {
        layer.allow_origin(Any)
    } else {
        layer.allow_origin(origins.to_vec())
    }
}
