//! The headers that each answer carries, and those that the edge believes.

use reqwest::Method;
use serde_json::json;
use service::config::Config;

use crate::harness::process::{Serving, task_api};
use crate::harness::raw::{Raw, RawReply};
use crate::harness::{Backend, TestApp};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

async fn ask(app: &TestApp, method: &str, path: &str, headers: &str) -> RawReply {
    let mut raw = Raw::connect(&app.api).await;
    raw.ask(method, path, headers).await;
    raw.reply().await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_answers_as_get_does_without_the_body() {
    let app = TestApp::spawn(Backend::Sqlite).await;
    let ann = app.register("ann").await;
    let token = format!("authorization: Bearer {}\r\n", ann.access_token);
    for (path, status) in [("/health", 200), ("/api/v1/me", 200), ("/api/v1/tasks", 200), ("/nowhere", 404)] {
        let mut raw = Raw::connect(&app.api).await;
        // Read by hand: the length is that of a body which does not come.
        raw.ask("HEAD", path, &format!("{token}connection: close\r\n")).await;
        let head = raw.head().await.expect("an answer");
        assert!(raw.reply().await.is_none(), "a body for HEAD {path}");
        let get = ask(&app, "GET", path, &token).await;
        assert_eq!((head.status, get.status), (status, status), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_configured_origins_no_answer_speaks_of_cors() {
    let app = TestApp::spawn(Backend::Sqlite).await;
    let preflight = "origin: https://app.example.com\r\naccess-control-request-method: POST\r\n";
    let reply = ask(&app, "OPTIONS", "/api/v1/tasks", preflight).await;
    assert_eq!(reply.status, 405);
    for method in ["GET", "HEAD", "POST"] {
        assert!(reply.header("allow").contains(method), "allow: {}", reply.header("allow"));
    }
    let get = ask(&app, "GET", "/health", "origin: https://app.example.com\r\n").await;
    for reply in [reply, get] {
        assert!(!reply.headers.keys().any(|name| name.starts_with("access-control")), "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configured_origin_may_call_and_no_other() {
    let configure = |config: &mut Config| {
        config.listen.cors_allowed_origins = vec!["https://app.example.com".parse().expect("a header value")];
        config.limits.max_in_flight = 1;
    };
    let app = TestApp::builder(Backend::Sqlite).config(configure).spawn().await;
    let allowed = |reply: &RawReply| reply.header("access-control-allow-origin").to_owned();
    let preflight = "access-control-request-method: PATCH\r\naccess-control-request-headers: if-match\r\n";
    let reply = ask(&app, "OPTIONS", "/api/v1/tasks", &format!("origin: https://app.example.com\r\n{preflight}")).await;
    assert_eq!((reply.status, allowed(&reply)), (200, "https://app.example.com".into()));
    assert!(reply.header("access-control-allow-methods").contains("PATCH"), "{reply:?}");
    for header in ["authorization", "content-type", "if-match", "idempotency-key"] {
        assert!(reply.header("access-control-allow-headers").contains(header), "{reply:?}");
    }
    let foreign =
        ask(&app, "OPTIONS", "/api/v1/tasks", &format!("origin: https://evil.example.com\r\n{preflight}")).await;
    assert_eq!(allowed(&foreign), "");
    let own = "origin: https://app.example.com\r\n";
    let get = ask(&app, "GET", "/health", own).await;
    assert_eq!(allowed(&get), "https://app.example.com");
    for header in ["etag", "location", "link", "retry-after", "x-request-id"] {
        assert!(get.header("access-control-expose-headers").contains(header), "{get:?}");
    }
    assert_eq!(allowed(&ask(&app, "GET", "/health", "origin: https://evil.example.com\r\n").await), "");

    // A page must be able to read a refusal too, or it sees a broken network in its place.
    let _only_place = app.running.state().admission.take().await.expect("a place");
    let long = format!("/{}", "x".repeat(9000));
    for (path, status) in [("/nowhere", 503), (&*long, 414)] {
        let refused = ask(&app, "GET", path, own).await;
        assert_eq!((refused.status, allowed(&refused)), (status, "https://app.example.com".into()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_keeps_the_browser_from_doing_more_than_showing_it() {
    let app = TestApp::builder(Backend::Sqlite).config(|config| config.limits.max_in_flight = 1).spawn().await;
    let long = format!("/{}", "x".repeat(9000));
    let mut replies = Vec::new();
    for (path, status) in [("/health", 200), ("/api/v1/me", 401), ("/nowhere", 404), (&*long, 414), ("/docs/", 200)] {
        replies.push((ask(&app, "GET", path, "").await, status));
    }
    let only_place = app.running.state().admission.take().await.expect("a place");
    replies.push((ask(&app, "GET", "/api/v1/me", "").await, 503));
    drop(only_place);
    for (reply, status) in &replies {
        assert_eq!(reply.status, *status);
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{status}");
        assert_eq!(reply.header("referrer-policy"), "no-referrer", "{status}");
        assert!(reply.header("content-security-policy").starts_with("default-src 'none'"), "{status}");
        assert!(!reply.header("cache-control").is_empty(), "{status}");
        assert!(!reply.headers.contains_key("server"), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_lists_are_compressed_and_a_body_with_an_etag_never() {
    let app = TestApp::spawn(Backend::Sqlite).await;
    let ann = app.register("ann").await;
    let large = json!({"title": "Large", "description": "x".repeat(5000)});
    let task = ann.post("tasks", large).await.expect(201).text_at("/id");
    let token = format!("authorization: Bearer {}\r\n", ann.access_token);
    let gzip = format!("{token}accept-encoding: gzip\r\n");
    let list = ask(&app, "GET", "/api/v1/tasks", &gzip).await;
    assert_eq!((list.status, list.header("content-encoding")), (200, "gzip"));
    assert!(list.header("vary").to_ascii_lowercase().contains("accept-encoding"));
    let plain = ask(&app, "GET", "/api/v1/tasks", &token).await;
    assert_eq!(plain.header("content-encoding"), "");
    assert!(plain.body.len() > 5000, "{} bytes", plain.body.len());
    let one = ask(&app, "GET", &format!("/api/v1/tasks/{task}"), &gzip).await;
    assert_eq!((one.header("content-encoding"), one.header("etag")), ("", "\"1\""));
    assert!(one.body.len() > 5000);
    let small = ask(&app, "GET", "/health", &gzip).await;
    assert_eq!(small.header("content-encoding"), "", "not worth it");
    let reply = ann.get("tasks").await.expect(200);
    assert_eq!(reply.text_at("/items/0/id"), task, "what a client unpacks is the list");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_request_id_is_kept_and_a_bad_one_replaced() {
    let app = TestApp::spawn(Backend::Sqlite).await;
    let good = app.api.get("/nowhere").header("x-request-id", "Abc-1._z").await.problem(404, "");
    assert_eq!(good.header("x-request-id"), "Abc-1._z");
    for bad in ["with space", "quote\"", "", &*"x".repeat(129)] {
        let reply = app.api.get("/nowhere").header("x-request-id", bad).await.problem(404, "");
        let made = reply.header("x-request-id").parse::<uuid::Uuid>().expect("a UUID");
        assert_eq!(made.get_version_num(), 7, "in place of {bad:?}");
    }
    let (one, other) = (app.api.get("/health").await, app.api.get("/health").await);
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_goes_on_with_a_span_of_our_own() {
    let app = TestApp::spawn(Backend::Sqlite).await;
    let amzn = "Self=1-67891234-12456789abcdef012345678a;Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1";
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let unsampled = traceparent.replace("-01", "-00");
    let cases = [
        (vec![("traceparent", &*traceparent)], TRACE, "01"),
        (vec![("x-amzn-trace-id", amzn)], "5759e988bd862e3fe1be46a994272793", "01"),
        (vec![("traceparent", &*traceparent), ("x-amzn-trace-id", amzn)], TRACE, "01"),
        (vec![("traceparent", &*unsampled)], TRACE, "00"),
    ];
    for (headers, trace, flags) in cases {
        let call = headers.iter().fold(app.api.get("/nowhere"), |call, (name, value)| call.header(name, value));
        let reply = call.await.problem(404, "");
        let parts: Vec<_> = reply.header("traceparent").split('-').collect();
        assert_eq!((parts[0], parts[1], parts[3]), ("00", trace, flags));
        assert_ne!(parts[2], "00f067aa0ba902b7", "our own span, not the caller's");
        assert_eq!(reply.text_at("/trace_id"), trace);
    }
    for bad in ["00-00000000000000000000000000000000-00f067aa0ba902b7-01", "nonsense", &traceparent[..54]] {
        let reply = app.api.get("/nowhere").header("traceparent", bad).await.problem(404, "");
        assert_ne!(reply.text_at("/trace_id"), TRACE);
        assert_ne!(reply.text_at("/trace_id"), "0".repeat(32));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_line_has_the_address_that_our_own_proxies_saw() {
    let forwarded = "6.6.6.6, 198.51.100.7, 2001:db8::1";
    for (hops, address) in [("0", "127.0.0.1"), ("1", "2001:db8::1"), ("2", "198.51.100.7"), ("9", "127.0.0.1")] {
        let process = task_api().env("TRUSTED_PROXY_HOPS", hops).serve().await;
        let api = process.api().await;
        api.request(Method::GET, "/health").header("x-forwarded-for", forwarded).await.expect(200);
        let line = process.log("http_request").await;
        assert_eq!(line["client_address"], address, "with {hops} hops");
    }
}
