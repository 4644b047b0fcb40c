//! The OpenAPI 3.1 document, made from the handlers' own attributes. What holds for all of them is added here once: the
//! problems that any request can meet, and the way to authenticate.

use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{AdditionalProperties, Components, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Header, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Schema};

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

/// What every answer carries, and where to find it explained.
const IDS: [(&str, &str); 2] = [
    ("x-request-id", "What to quote when asking about this answer: the request's own, or one that was made"),
    ("traceparent", "The trace that this request is part of (W3C Trace Context)"),
];

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
    for (name, _, _, response) in problems() {
        components.responses.insert(name.to_owned(), RefOr::T(response));
    }
    close_variants(components);
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
                add_headers(operation);
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

/// Says of the variants of a batch's operation what `deny_unknown_fields` says of each: utoipa reads it on structs alone.
fn close_variants(components: &mut Components) {
    if let Some(RefOr::T(Schema::OneOf(operation))) = components.schemas.get_mut("Operation") {
        for variant in &mut operation.items {
            if let RefOr::T(Schema::Object(object)) = variant {
                object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            }
        }
    }
}

fn header(description: &str) -> Header {
    let mut header = Header::default();
    header.description = Some(description.to_owned());
    header
}

fn seconds(description: &str) -> Header {
    let schema = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).description(Some("Seconds"));
    let mut header = Header::new(schema);
    header.description = Some(description.to_owned());
    header
}

/// The headers of the answers that an operation describes itself.
fn add_headers(operation: &mut Operation) {
    let keyed = operation.parameters.iter().flatten().any(|parameter| parameter.name == "Idempotency-Key");
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        response.headers.extend(IDS.map(|(name, description)| (name.to_owned(), header(description))));
        if status == "401" {
            response.headers.insert("www-authenticate".into(), header("`Bearer`"));
        }
        if status == "409" && keyed {
            response.headers.insert("retry-after".into(), seconds("While the first request runs"));
        }
    }
}

/// The problems that requests can meet whatever they ask for: a name, the status, a header beside the usual ones.
fn problems() -> impl Iterator<Item = (&'static str, &'static str, Option<&'static str>, Response)> {
    const ALL: [(&str, &str, Option<&str>, &str); 11] = [
        ("BadRequest", "400", None, "The request is malformed, or a parameter cannot be used"),
        ("Unauthenticated", "401", Some("www-authenticate"), "No good access token"),
        ("Forbidden", "403", None, "The caller sees it but may not do this"),
        ("NotFound", "404", None, "Unknown, or not the caller's to see"),
        ("BodyTooLarge", "413", None, "The body is over 1 MiB"),
        ("UriTooLong", "414", None, "The URI is over 8 KiB"),
        ("UnsupportedMediaType", "415", None, "The body is not JSON"),
        ("InvalidBody", "422", None, "The body cannot be used; errors names the fields"),
        ("TooManyRequests", "429", Some("retry-after"), "Over the caller's rate"),
        ("Internal", "500", None, "A defect of the service; request_id names it"),
        (
            "Unavailable",
            "503",
            Some("retry-after"),
            "Overloaded, timed out, not ready, or without its database: come back after the seconds that Retry-After names",
        ),
    ];
    ALL.into_iter().map(|(name, status, extra, description)| {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let mut response = ResponseBuilder::new().description(description).content("application/problem+json", content);
        for (name, description) in IDS {
            response = response.header(name, header(description));
        }
        match extra {
            Some("retry-after") => response = response.header("retry-after", seconds("Until another try makes sense")),
            Some(name) => response = response.header(name, header("`Bearer`")),
            None => {}
        }
        (name, status, extra, response.build())
    })
}

/// The problems that an operation can answer with beside its own: they follow from what it takes.
fn add_problems(path: &str, operation: &mut Operation, writes: bool) {
    let api = path.starts_with("/api/");
    let secured = operation.security.is_some();
    let has_body = operation.request_body.is_some();
    let in_project = path.contains("/projects/{id}") || path.contains("/tasks");
    for (name, status, _, _) in problems() {
        let applies = match status {
            "400" | "414" | "429" => api,
            "401" => secured,
            "403" => secured && writes && in_project,
            "404" => path.contains('{') || secured && writes || path.ends_with("/me"),
            "413" | "415" | "422" => has_body,
            _ => true,
        };
        if applies && !operation.responses.responses.contains_key(status) {
            let response = RefOr::Ref(Ref::from_response_name(name));
            operation.responses.responses.insert(status.to_owned(), response);
        }
    }
}
