//! The OpenAPI document: it says what the service does, and takes nothing away from those who rely on the committed one.

mod breaking;
mod page;
mod planted;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use service::http::routes::ROUTES;

use self::breaking::breaks;
use crate::harness::{Backend, TestApp};

/// Routes that are no operations: the document itself and the page that shows it.
const UNDOCUMENTED: [&str; 4] = ["/openapi.json", "/docs", "/docs/", "/docs/{*file}"];

/// Operations for which no token is needed.
const OPEN: [&str; 6] = [
    "POST /api/v1/auth/register",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/auth/logout", // a refresh token in the body does as well
    "GET /health",
    "GET /ready",
];

fn generated() -> Value {
    serde_json::from_str(&service::http::openapi::json()).expect("the document is JSON")
}

/// Every operation with its name, `GET /path`.
fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let operations = item.as_object().into_iter().flatten();
        operations.map(move |(method, operation)| (format!("{} {path}", method.to_uppercase()), operation))
    })
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let pointer = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.map_or(value, |pointer| document.pointer(pointer).unwrap_or_else(|| panic!("nothing at {pointer}")))
}

/// Comes first in this file and in what it says: a break is not to be hidden by renewing the file.
#[test]
fn the_committed_document_is_the_generated_one_and_breaks_nothing() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let committed = std::fs::read_to_string(&file).expect("service/openapi.json");
    let parsed: Value = serde_json::from_str(&committed).expect("service/openapi.json is JSON");
    let found = breaks(&parsed, &generated());
    assert!(
        found.is_empty(),
        "this change breaks clients that rely on service/openapi.json: {found:#?}\n\
         Keep what was there and add beside it. If nobody relies on it yet, say so in the commit that renews the file:\n\
         cargo run -p service -- openapi > service/openapi.json"
    );
    assert!(
        committed == service::http::openapi::json(),
        "service/openapi.json is not what the code says. It breaks nothing, so renew it and commit it with the change:\n\
         cargo run -p service -- openapi > service/openapi.json"
    );
}

#[test]
fn every_route_is_an_operation_and_every_operation_is_a_route() {
    let document = generated();
    assert_eq!(document["openapi"], "3.1.0");
    let documented: BTreeSet<String> = operations(&document).map(|(name, _)| name).collect();
    let routes = ROUTES.iter().filter(|route| !UNDOCUMENTED.contains(&route.route));
    let routes: BTreeSet<String> = routes.map(|route| format!("{} {}", route.method, route.route)).collect();
    assert_eq!(documented, routes);
    for route in UNDOCUMENTED {
        assert!(ROUTES.iter().any(|other| other.route == route), "{route} is no route any more: remove it here");
    }
}

#[test]
fn every_operation_documents_the_status_of_its_success_and_has_a_name_of_its_own() {
    let document = generated();
    let mut names = BTreeSet::new();
    for route in ROUTES.iter().filter(|route| !UNDOCUMENTED.contains(&route.route)) {
        let operation = &document["paths"][route.route][route.method.to_lowercase()];
        let success = &operation["responses"][route.success.to_string()];
        assert!(success.is_object(), "{} {} documents no {}", route.method, route.route, route.success);
        let name = operation["operationId"].as_str().unwrap_or_else(|| panic!("{} has no operationId", route.route));
        assert!(names.insert(name), "two operations are called {name}");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name} says nothing of itself");
    }
}

#[test]
fn every_request_body_has_an_example() {
    let document = generated();
    let mut bodies = 0;
    for (name, operation) in operations(&document).filter(|(_, operation)| operation["requestBody"].is_object()) {
        for (kind, content) in operation["requestBody"]["content"].as_object().expect("content") {
            let choices = content["schema"]["oneOf"].as_array().into_iter().flatten();
            let schemas: Vec<&Value> =
                choices.chain([&content["schema"]]).map(|one| resolved(&document, one)).collect();
            assert!(schemas.iter().any(|schema| schema["example"].is_object()), "{name} has no example in {kind}");
            bodies += 1;
        }
    }
    assert!(bodies >= 11, "only {bodies} bodies: this test does not see them");
}

#[test]
fn every_error_is_a_problem_and_every_answer_has_its_ids() {
    let document = generated();
    for (name, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let response = resolved(&document, response);
            for header in ["x-request-id", "traceparent"] {
                assert!(response["headers"][header].is_object(), "{name} {status} has no {header}");
            }
            let header = match status.as_str() {
                "401" => Some("www-authenticate"),
                "429" | "503" => Some("retry-after"),
                _ => None,
            };
            assert!(
                header.is_none_or(|header| response["headers"][header].is_object()),
                "{name} {status} lacks {header:?}"
            );
            if status.starts_with(['4', '5']) {
                let schema = &response["content"]["application/problem+json"]["schema"];
                assert_eq!(schema["$ref"], "#/components/schemas/Problem", "{name} {status}");
            }
        }
    }
}

#[test]
fn every_operation_but_the_open_ones_needs_a_token() {
    let document = generated();
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    for (name, operation) in operations(&document) {
        let ways = operation["security"].as_array().cloned().unwrap_or_default();
        let secured = !ways.is_empty() && ways.iter().all(|way| way["bearer"].is_array());
        assert_eq!(secured, !OPEN.contains(&name.as_str()), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_serves_the_document_and_asks_for_tokens_where_it_says() {
    let app = TestApp::spawn(Backend::Sqlite).await;
    let served = app.api.get("/openapi.json").await.expect(200);
    assert_eq!(served.header("content-type"), "application/json");
    assert_eq!(served.body, generated());
    for (name, _) in operations(&served.body).filter(|(name, _)| !OPEN.contains(&name.as_str())) {
        let (method, path) = name.split_once(' ').expect("a method and a path");
        let path = path.replace("{id}", "0197c3a5-6f2e-7cc0-9b1e-2f6d3c1a5b77").replace("{user_id}", "x");
        let reply = app.api.request(method.parse().expect("a method"), &path).await.problem(401, "unauthenticated");
        assert_eq!(reply.header("www-authenticate"), "Bearer", "{name}");
    }
    let login = serde_json::json!({"email": "nobody@example.com", "password": "not a password"});
    let reply = app.api.post("auth/login", login).await.problem(401, "invalid-credentials");
    assert_eq!(reply.header("www-authenticate"), "Bearer", "RFC 9110 asks for it on every 401");
}
