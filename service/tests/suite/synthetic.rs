//! Requests that no user is behind: believed of those who have the right to say so, and in no figure of users.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::routing::get;
use reqwest::Method;
use serde_json::json;
use service::config::Secret;

use crate::harness::app::Builder;
use crate::harness::client::{Api, Call, PASSWORD, User};
use crate::harness::raw::Raw;
use crate::harness::scrape::Scrape;
use crate::harness::{Backend, TestApp, on_both_backends};

const SECRET: &str = "a-secret-of-the-canary-of-at-least-32-bytes";
const DURATION: &str = "http_server_request_duration_seconds_count";
const SOON: Duration = Duration::from_secs(10);

fn builder(backend: Backend) -> Builder {
    TestApp::builder(backend).config(|config| config.auth.synthetic_secret = Some(Secret::new(SECRET)))
}

fn login(app: &TestApp, user: &User) -> Call {
    app.api.post("auth/login", json!({"email": user.email, "password": PASSWORD}))
}

/// A client of this user's with the right to claim.
async fn entitled(app: &TestApp, user: &User) -> Api {
    let session = login(app, user).header("x-synthetic-secret", SECRET).await.expect(200);
    app.api.with_token(&session.text_at("/access_token"))
}

/// Requests of this route and status by whose they were, once there are `total`: an account is settled a moment after
/// its client has the answer.
async fn counted(app: &TestApp, route: &str, status: u16, total: usize) -> BTreeMap<String, usize> {
    let deadline = Instant::now() + SOON;
    let status = status.to_string();
    loop {
        let scrape = Scrape::of(&app.admin).await;
        let mut kinds = BTreeMap::new();
        for sample in scrape.samples.iter().filter(|sample| sample.name == DURATION && sample.value > 0.0) {
            if sample.labels["http_route"] == route && sample.labels["http_response_status_code"] == status {
                *kinds.entry(sample.labels["synthetic"].clone()).or_default() += sample.value as usize;
            }
        }
        let sum: usize = kinds.values().sum();
        if sum >= total {
            assert_eq!(sum, total, "{kinds:?}");
            return kinds;
        }
        assert!(Instant::now() < deadline, "{route} {status}: {kinds:?} of {total}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn kinds<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.map(|(kind, count)| (kind.to_owned(), count)).into()
}

on_both_backends! {
    async fn a_request_with_the_right_counts_as_what_it_says(backend: Backend) {
        let app = builder(backend).spawn().await;
        let ann = app.register("ann").await;
        let canary = entitled(&app, &ann).await;
        for kind in ["canary", "canary", "load", "none", "Canary", "canary, load", ""] {
            canary.get("me").header("x-synthetic", kind).await.expect(200);
        }
        canary.get("me").await.expect(200);
        assert_eq!(counted(&app, "/api/v1/me", 200, 8).await, kinds([("canary", 2), ("load", 1), ("none", 5)]));
        canary.get("/health").header("x-synthetic", "canary").await.expect(200);
        canary.get("/nowhere").header("x-synthetic", "load").await.expect(404);
        assert_eq!(counted(&app, "/health", 200, 1).await, kinds([("canary", 1)]));
        assert_eq!(counted(&app, "unmatched", 404, 1).await, kinds([("load", 1)]));
    }

    async fn without_the_right_nobody_is_believed_and_nobody_is_told(backend: Backend) {
        let app = builder(backend).spawn().await;
        let ann = app.register("ann").await;
        let mut tries = vec![ann.with_token(&ann.access_token)];
        let jwt_secret = "a key of at least 32 bytes, for tests only";
        for wrong in ["", "a", &SECRET[1..], &SECRET[..SECRET.len() - 1], &format!("{SECRET}x"), &SECRET.to_uppercase(), jwt_secret] {
            let session = login(&app, &ann).header("x-synthetic-secret", wrong).header("x-synthetic", "load").await.expect(200);
            tries.push(app.api.with_token(&session.text_at("/access_token")));
        }
        for outsider in &tries {
            outsider.get("me").header("x-synthetic", "load").await.expect(200);
            // The secret is for the way in; beside a token without the right it says nothing.
            let both = outsider.get("me").header("x-synthetic", "canary").header("x-synthetic-secret", SECRET);
            both.await.expect(200);
        }
        assert_eq!(counted(&app, "/api/v1/me", 200, 2 * tries.len()).await, kinds([("none", 2 * tries.len())]));
        assert_eq!(counted(&app, "/api/v1/auth/login", 200, tries.len() - 1).await, kinds([("none", tries.len() - 1)]));
        app.api.get("me").header("x-synthetic", "load").header("x-synthetic-secret", SECRET).await.expect(401);
        app.api.with_token("nonsense").get("me").header("x-synthetic", "load").await.expect(401);
        assert_eq!(counted(&app, "/api/v1/me", 401, 2).await, kinds([("none", 2)]));
    }

    async fn on_the_way_in_both_headers_are_believed_together(backend: Backend) {
        let app = builder(backend).spawn().await;
        let ann = app.register("ann").await;
        let both = |call: Call| call.header("x-synthetic", "canary").header("x-synthetic-secret", SECRET);
        let new = json!({"email": "canary@example.com", "password": PASSWORD, "name": "Canary"});
        let session = both(app.api.post("auth/register", new)).await.expect(201);
        let refresh = json!({"refresh_token": session.text_at("/refresh_token")});
        both(app.api.post("auth/refresh", refresh)).await.expect(200);
        both(login(&app, &ann)).await.expect(200);
        login(&app, &ann).header("x-synthetic", "canary").await.expect(200);
        login(&app, &ann).header("x-synthetic-secret", SECRET).await.expect(200);
        assert_eq!(counted(&app, "/api/v1/auth/register", 201, 2).await, kinds([("canary", 1), ("none", 1)]));
        assert_eq!(counted(&app, "/api/v1/auth/refresh", 200, 1).await, kinds([("canary", 1)]));
        assert_eq!(counted(&app, "/api/v1/auth/login", 200, 3).await, kinds([("canary", 1), ("none", 2)]));
        let wrong = json!({"email": ann.email, "password": "wrong horse battery"});
        both(app.api.post("auth/login", wrong)).await.expect(401);
        assert_eq!(counted(&app, "/api/v1/auth/login", 401, 1).await, kinds([("none", 1)]), "a refused login hides nowhere");
    }

    async fn refreshing_keeps_the_right_only_with_the_secret(backend: Backend) {
        let app = builder(backend).spawn().await;
        let ann = app.register("ann").await;
        let mut expected = Vec::new();
        let mut session = login(&app, &ann).header("x-synthetic-secret", SECRET).await.expect(200);
        for (secret, kind) in [(Some(SECRET), "canary"), (None, "none"), (Some("wrong"), "none"), (Some(SECRET), "canary")] {
            let mut call = app.api.post("auth/refresh", json!({"refresh_token": session.text_at("/refresh_token")}));
            if let Some(secret) = secret {
                call = call.header("x-synthetic-secret", secret);
            }
            session = call.await.expect(200);
            let client = app.api.with_token(&session.text_at("/access_token"));
            client.get("me").header("x-synthetic", "canary").await.expect(200);
            expected.push(kind);
            let of = |kind| expected.iter().filter(|expected| **expected == kind).count();
            let now = counted(&app, "/api/v1/me", 200, expected.len()).await;
            assert_eq!(["canary", "none"].map(|kind| now.get(kind).copied().unwrap_or(0)), ["canary", "none"].map(of), "{secret:?}");
        }
    }

    async fn a_right_ends_with_the_secret_of_the_service_and_with_the_session(backend: Backend) {
        let app = builder(backend).spawn().await;
        let ann = app.register("ann").await;
        let canary = entitled(&app, &ann).await;
        let leaving = entitled(&app, &ann).await;
        leaving.request(Method::POST, "auth/logout").await.expect(204);
        leaving.get("me").header("x-synthetic", "load").await.expect(401);
        assert_eq!(counted(&app, "/api/v1/me", 401, 1).await, kinds([("none", 1)]));
        let storage = app.stop().await;
        let app = TestApp::builder(backend).storage(storage).spawn().await;
        let session = login(&app, &ann).header("x-synthetic-secret", SECRET).header("x-synthetic", "load").await.expect(200);
        let token = session.text_at("/access_token");
        app.api.with_token(&token).get("me").header("x-synthetic", "load").await.expect(200);
        canary.with_base(&app.api).get("me").header("x-synthetic", "load").await.expect(200);
        assert_eq!(counted(&app, "/api/v1/me", 200, 2).await, kinds([("none", 2)]));
        assert_eq!(counted(&app, "/api/v1/auth/login", 200, 1).await, kinds([("none", 1)]));
    }

    async fn an_outsider_who_claims_load_hides_no_failure(backend: Backend) {
        let fails = axum::Router::new().route("/fails", get(async || -> &'static str { panic!("as asked") }));
        let app = builder(backend).routes(fails).config(|config| config.limits.max_in_flight = 1).spawn().await;
        let ann = app.register("ann").await;
        let loadtest = entitled(&app, &ann).await;
        for client in [&app.api, &ann, &ann.with_token("nonsense"), &loadtest] {
            client.get("/fails").header("x-synthetic", "load").await.expect(500);
        }
        assert_eq!(counted(&app, "unmatched", 500, 4).await, kinds([("load", 1), ("none", 3)]));
        let _only_place = app.running.state().admission.take().await.expect("a place");
        for client in [&app.api, &ann, &loadtest] {
            client.get("me").header("x-synthetic", "load").await.expect(503);
        }
        // Shed before anybody looked at its token, and still told apart.
        assert_eq!(counted(&app, "/api/v1/me", 503, 3).await, kinds([("load", 1), ("none", 2)]));
    }

    async fn what_the_business_sees_leaves_synthetic_requests_out(backend: Backend) {
        let app = builder(backend).spawn().await;
        let ann = app.register("ann").await;
        let both = |call: Call| call.header("x-synthetic", "canary").header("x-synthetic-secret", SECRET);
        let session = both(login(&app, &ann)).await.expect(200);
        let canary = app.api.with_token(&session.text_at("/access_token"));
        let one = json!([{"op": "create", "task": {"title": "One", "status": "done"}}]);
        for client in [&*ann, &canary] {
            let marked = |call: Call| call.header("x-synthetic", "canary");
            let task = marked(client.post("tasks", json!({"title": "Paint"}))).await.expect(201).text_at("/id");
            marked(client.patch(&format!("tasks/{task}"), json!({"status": "done"}))).await.expect(200);
            marked(client.post("tasks/batch", json!({"operations": one}))).await.expect(207);
        }
        let scrape = Scrape::of(&app.admin).await;
        assert_eq!((scrape.value("tasks_created_total"), scrape.value("tasks_completed_total")), (2.0, 2.0), "ann's alone");
        assert_eq!(scrape.sum("auth_attempts_total", &[("result", "success")]), 1.0, "that of the registration");
        assert_eq!(counted(&app, "/api/v1/tasks/batch", 207, 2).await, kinds([("canary", 1), ("none", 1)]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_series_are_those_of_users() {
    let app = builder(Backend::Sqlite).spawn().await;
    let scrape = Scrape::of(&app.admin).await;
    let kinds: Vec<_> = scrape.samples.iter().filter_map(|sample| sample.labels.get("synthetic")).collect();
    assert!(kinds.len() > 100 && kinds.iter().all(|kind| *kind == "none"), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_in_a_browser_may_claim() {
    let origins = |config: &mut service::config::Config| {
        config.listen.cors_allowed_origins = vec!["https://app.example.com".parse().expect("a header value")];
    };
    let app = builder(Backend::Sqlite).config(origins).spawn().await;
    let preflight = "origin: https://app.example.com\r\naccess-control-request-method: POST\r\n\
                     access-control-request-headers: x-synthetic,x-synthetic-secret\r\n";
    let mut raw = Raw::connect(&app.api).await;
    raw.ask("OPTIONS", "/api/v1/auth/login", preflight).await;
    let reply = raw.reply().await.expect("an answer");
    let allowed = reply.header("access-control-allow-headers");
    assert!(allowed.contains("authorization") && !allowed.contains("synthetic"), "{allowed}");
}
