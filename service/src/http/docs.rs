//! The OpenAPI document and the page that shows it. The page's files are in the binary: it works without internet.

use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use http::{StatusCode, header};
use utoipa_swagger_ui::{Config, serve};

use super::openapi;
use super::problem::Problem;

/// Lets the page run its own script and style, and ask this service alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; frame-ancestors 'none'";

static DOCUMENT: LazyLock<String> = LazyLock::new(openapi::json);
static CONFIG: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::new(["/openapi.json"]).try_it_out_enabled(true).persist_authorization(true)));

/// `GET /openapi.json`.
pub async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

/// `GET /docs`: to the page, whose files lie beside it.
pub async fn index() -> Redirect {
    Redirect::to("/docs/")
}

/// `GET /docs/`.
pub async fn page() -> Response {
    file("index.html")
}

/// `GET /docs/{*file}`.
pub async fn asset(Path(name): Path<String>) -> Response {
    file(&name)
}

fn file(name: &str) -> Response {
    match serve(name, Arc::clone(&CONFIG)) {
        Ok(Some(file)) => {
            let headers =
                [(header::CONTENT_TYPE, file.content_type.as_str()), (header::CONTENT_SECURITY_POLICY, POLICY)];
            (StatusCode::OK, headers, file.bytes.into_owned()).into_response()
        }
        Ok(None) => Problem::not_found("file").into_response(),
        Err(error) => Problem::internal().because(error.to_string()).into_response(),
    }
}
