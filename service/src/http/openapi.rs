//! The OpenAPI 3.1 document, made from the handlers' own attributes. What holds for all of them is added here once: the
//! problems that any request can meet, and the way to authenticate.

use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};

use super::problem::ProblemBody;
use crate::{auth, projects, tasks};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Task API",
        description = "Tasks in projects, for teams. Errors are problem details (RFC 9457); lists are paged by cursor; writes \
                       take If-Match and Idempotency-Key. Every answer carries x-request-id and traceparent.",
        license(name = "MIT", identifier = "MIT"),
    ),
    servers((url = "/", description = "This service")),
    paths(
        auth::register::register, auth::login::login, auth::refresh::refresh, auth::login::logout, auth::get_me,
        projects::endpoints::list_projects, projects::endpoints::create_project, projects::endpoints::get_project,
        projects::endpoints::patch_project, projects::endpoints::delete_project,
        projects::members::list_members, projects::members::get_member, projects::members::put_member,
        projects::members::delete_member,
        tasks::list::list_tasks, tasks::create::create_task, tasks::batch::batch_tasks,
        tasks::item::get_task, tasks::item::patch_task, tasks::item::delete_task, tasks::item::restore_task,
        tasks::activity::list_activity,
        super::admin::health, super::admin::ready,
    ),
    components(schemas(ProblemBody)),
    tags(
        (name = "auth", description = "Who may come in"),
        (name = "projects", description = "What tasks are kept in"),
        (name = "members", description = "Who may see a project, and what they may do"),
        (name = "tasks", description = "What is to be done"),
        (name = "operation", description = "Whether the service lives and is ready"),
    ),
)]
struct Document;

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("An access token from /api/v1/auth/login"))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    for (path, item) in &mut document.paths.paths {
        let operations = [
            (&mut item.get, false),
            (&mut item.put, true),
            (&mut item.post, true),
            (&mut item.patch, true),
            (&mut item.delete, true),
        ];
        for (operation, writes) in operations {
            if let Some(operation) = operation {
                add_problems(path, operation, writes);
            }
        }
    }
    document
}

/// The document as JSON, as `/openapi.json` serves it and `service/openapi.json` holds it.
pub fn json() -> String {
    let mut text = document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// The problems that an operation can answer with beside its own: they follow from what it takes.
fn add_problems(path: &str, operation: &mut Operation, writes: bool) {
    let api = path.starts_with("/api/");
    let secured = operation.security.is_some();
    let has_body = operation.request_body.is_some();
    let in_project = path.contains("/projects/{id}") || path.contains("/tasks");
    let problems: [(bool, &str, &str); 11] = [
        (api, "400", "The request is malformed, or a parameter cannot be used"),
        (secured, "401", "No good access token"),
        (secured && writes && in_project, "403", "The caller sees it but may not do this"),
        (
            path.contains('{') || secured && writes || path.ends_with("/me"),
            "404",
            "Unknown, or not the caller's to see",
        ),
        (has_body, "413", "The body is over 1 MiB"),
        (api, "414", "The URI is over 8 KiB"),
        (has_body, "415", "The body is not JSON"),
        (has_body, "422", "The body cannot be used; errors names the fields"),
        (api, "429", "Over the caller's rate; Retry-After says when to come back"),
        (true, "500", "A defect of the service; request_id names it"),
        (true, "503", "Overloaded, timed out, not ready, or without its database; Retry-After says when to come back"),
    ];
    for (applies, status, description) in problems {
        if applies && !operation.responses.responses.contains_key(status) {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            let response = ResponseBuilder::new().description(description).content("application/problem+json", content);
            operation.responses.responses.insert(status.to_owned(), RefOr::T(response.build()));
        }
    }
}
