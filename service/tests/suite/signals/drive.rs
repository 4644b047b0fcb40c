//! A drive: requests over every route and every kind of failure, counted by the one who sends them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::client::{Api, Call, PASSWORD, User};
use crate::harness::process::{Process, Serving};
use crate::harness::raw::Raw;
use crate::harness::reply::Reply;
use crate::harness::scrape::Scrape;

/// Requests sent to one process, by the status that the client saw; 499 where it left before there was one.
pub struct Drive {
    pub api: Api,
    pub admin: Api,
    seen: Mutex<BTreeMap<u16, u64>>,
}

impl Drive {
    pub async fn of(process: &Process) -> Self {
        Self { api: process.api().await, admin: process.admin().await, seen: Mutex::default() }
    }

    /// Counts an answer.
    pub fn saw(&self, status: u16) {
        *self.seen.lock().expect("nobody panics with the lock").entry(status).or_default() += 1;
    }

    /// What was counted.
    pub fn seen(&self) -> BTreeMap<u16, u64> {
        self.seen.lock().expect("nobody panics with the lock").clone()
    }

    /// Sends a request and counts its answer.
    pub async fn send(&self, call: Call) -> Reply {
        let reply = call.await;
        self.saw(reply.status);
        reply
    }

    /// As `send`, and asserts the status.
    pub async fn expect(&self, status: u16, call: Call) -> Reply {
        self.send(call).await.expect(status)
    }

    /// A new user. Registering takes two requests.
    pub async fn register(&self, name: &str) -> User {
        let user = self.api.register(name).await;
        self.saw(201);
        self.saw(200);
        user
    }

    /// One request by hand on a connection of its own.
    pub async fn raw(&self, status: u16, bytes: impl AsRef<[u8]>) {
        let mut raw = Raw::connect(&self.api).await;
        raw.send(bytes).await;
        let reply = raw.reply().await.expect("an answer");
        assert_eq!(reply.status, status, "{reply:?}");
        self.saw(status);
    }

    /// A request whose body never comes: given up with 503, or, where the client `leaves` first, 400 for what came of it.
    pub async fn half(&self, token: &str, leaves: bool) {
        let mut raw = Raw::connect(&self.api).await;
        let head = format!(
            "POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
        );
        raw.send(head).await;
        if leaves {
            self.settle(1.0).await;
            drop(raw);
            self.saw(400);
            self.settle(0.0).await;
        } else {
            assert_eq!(raw.reply().await.expect("an answer").status, 503);
            self.saw(503);
        }
    }

    /// A client that leaves while its password is hashed.
    pub async fn leave(&self) {
        let body = json!({"email": "leaves@example.com", "password": PASSWORD, "name": "leaves"}).to_string();
        let mut raw = Raw::connect(&self.api).await;
        let length = body.len();
        let head = "POST /api/v1/auth/register HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
        raw.send(format!("{head}content-length: {length}\r\n\r\n{body}")).await;
        drop(raw);
        self.saw(499);
        self.settle(0.0).await;
    }

    /// Waits until so many requests are being served.
    pub async fn settle(&self, active: f64) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Scrape::of(&self.admin).await.value("http_server_active_requests") != active {
            assert!(Instant::now() < deadline, "never {active} requests in flight");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Every route, with the status of its success.
    pub async fn succeed(&self) -> User {
        let ann = self.register("ann").await;
        let bob = self.register("bob").await;
        let login = json!({"email": ann.email, "password": PASSWORD});
        let session = self.expect(200, self.api.post("auth/login", login)).await;
        let refresh = json!({"refresh_token": session.text_at("/refresh_token")});
        let session = self.expect(200, self.api.post("auth/refresh", refresh)).await;
        let second = self.api.with_token(&session.text_at("/access_token"));
        let refresh = json!({"refresh_token": session.text_at("/refresh_token")});
        self.expect(204, second.post("auth/logout", refresh)).await;
        self.expect(200, ann.get("me")).await;

        let project = self.expect(201, ann.post("projects", json!({"name": "House"}))).await.text_at("/id");
        let project = format!("projects/{project}");
        self.expect(200, ann.get("projects")).await;
        self.expect(200, ann.get(&project)).await;
        self.expect(200, ann.patch(&project, json!({"name": "Home"}))).await;
        let member = format!("{project}/members/{}", bob.id);
        self.expect(200, ann.put(&member, json!({"role": "viewer"}))).await;
        self.expect(200, ann.get(&format!("{project}/members"))).await;
        self.expect(200, ann.get(&member)).await;
        let inside = json!({"title": "Of the house", "project_id": project.trim_start_matches("projects/")});
        self.expect(403, bob.post("tasks", inside)).await;
        self.expect(204, ann.delete(&member)).await;
        self.expect(204, ann.delete(&project)).await;

        let created = self.expect(201, ann.post("tasks", json!({"title": "Paint"}))).await;
        let task = format!("tasks/{}", created.text_at("/id"));
        let etag = created.header("etag");
        self.expect(200, ann.get(&task)).await;
        self.expect(304, ann.get(&task).header("if-none-match", etag)).await;
        self.expect(200, ann.patch(&task, json!({"status": "done"})).header("if-match", etag)).await;
        self.expect(412, ann.patch(&task, json!({"status": "todo"})).header("if-match", etag)).await;
        self.expect(200, ann.get("tasks?status=done&limit=10")).await;
        self.expect(200, ann.get(&format!("{task}/activity"))).await;
        self.expect(204, ann.delete(&task)).await;
        self.expect(200, ann.request(Method::POST, &format!("{task}/restore"))).await;
        let one = json!([{"op": "create", "task": {"title": "One"}}]);
        self.expect(204, ann.delete(&format!("{task}?permanent=true"))).await;
        self.expect(200, ann.post("tasks/batch", json!({"atomic": true, "operations": one}))).await;
        self.expect(207, ann.post("tasks/batch", json!({"operations": one}))).await;

        for path in ["/health", "/ready", "/openapi.json", "/docs/", "/docs/swagger-ui.css"] {
            self.expect(200, self.api.get(path)).await;
        }
        self.expect(303, self.api.get("/docs")).await;
        ann
    }

    /// Every kind of failure that a client can bring about.
    pub async fn fail(&self, ann: &User) {
        self.expect(404, self.api.get("/nowhere")).await;
        self.expect(404, ann.get("tasks/not-an-id")).await;
        self.expect(405, ann.delete("tasks")).await;
        self.expect(401, self.api.get("tasks")).await;
        self.expect(401, self.api.with_token("nonsense").get("me")).await;
        self.expect(401, self.api.post("auth/login", json!({"email": ann.email, "password": "wrong password"}))).await;
        self.expect(401, self.api.post("auth/refresh", json!({"refresh_token": "nonsense"}))).await;
        let again = json!({"email": ann.email, "password": PASSWORD, "name": "ann"});
        self.expect(409, self.api.post("auth/register", again)).await;
        self.expect(422, ann.post("tasks", json!({"title": ""}))).await;
        self.expect(400, ann.get("tasks?limit=0")).await;
        self.expect(400, ann.request(Method::POST, "tasks").body("application/json", "{")).await;
        self.expect(415, ann.request(Method::POST, "tasks").body("text/plain", "{}")).await;
        let large = format!("{{\"title\": \"{}\"}}", "x".repeat(1024 * 1024));
        self.expect(413, ann.request(Method::POST, "tasks").body("application/json", large)).await;
        self.expect(414, self.api.get(&format!("/{}", "x".repeat(9000)))).await;
        self.expect(200, self.api.request(Method::HEAD, "/health")).await;
        self.expect(405, self.api.request(Method::OPTIONS, "/health")).await;
        let brew = Method::from_bytes(b"BREW").expect("a method");
        self.expect(405, self.api.request(brew, "/health")).await;
        self.raw(400, "no HTTP at all\r\n\r\n").await;
        // Without its end: bytes that are left unread at the close would reset the connection before the answer is read.
        self.raw(431, format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(66_000))).await;
        self.half(&ann.access_token, false).await;
        self.half(&ann.access_token, true).await;
        self.leave().await;
    }

    /// The `at`-th of many small requests, each with the status that it must have.
    pub async fn small(&self, ann: &User, at: usize) {
        let brew = Method::from_bytes(b"BREW").expect("a method");
        match at % 12 {
            0 | 1 => self.expect(200, ann.get("tasks?limit=1")).await,
            2 => self.expect(404, self.api.get(&format!("/{at}/elsewhere"))).await,
            3 => self.expect(200, ann.get("me")).await,
            4 => self.expect(401, self.api.get("projects")).await,
            5 => self.expect(201, ann.post("tasks", json!({"title": format!("Small {at}")}))).await,
            6 => self.expect(422, ann.post("tasks", json!({"title": at}))).await,
            7 => self.expect(405, self.api.put("/health", Value::Null)).await,
            8 => self.expect(200, self.api.request(Method::HEAD, "/health")).await,
            9 => self.expect(404, self.api.request(brew, &format!("/{at}"))).await,
            10 => self.expect(200, self.api.get("/health")).await,
            _ => self.expect(404, ann.get("tasks/0197c3a5-6f2e-7cc0-9b1e-2f6d3c1a5b77")).await,
        };
    }
}
