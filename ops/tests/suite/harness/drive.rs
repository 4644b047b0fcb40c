//! A drive over every route of the service, errors included, counted by the one who sends it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::stage::SYNTHETIC_SECRET;

const PASSWORD: &str = "correct horse battery";
const REGISTER: &str = "/api/v1/auth/register";
const LOGIN: &str = "/api/v1/auth/login";
const REFRESH: &str = "/api/v1/auth/refresh";
const PROJECTS: &str = "/api/v1/projects";
const PROJECT: &str = "/api/v1/projects/{id}";
const MEMBER: &str = "/api/v1/projects/{id}/members/{user_id}";
const TASKS: &str = "/api/v1/tasks";
const TASK: &str = "/api/v1/tasks/{id}";

/// Who asks.
pub(crate) struct Drive {
    http: Client,
    api: String,
    /// What it claims to be, with the right to.
    synthetic: Option<&'static str>,
    token: String,
    /// Answers by route and status.
    pub(crate) seen: BTreeMap<(String, u16), u32>,
}

impl Drive {
    /// Asks one instance, as a user or as `canary` or `load`.
    pub(crate) fn new(api: &str, synthetic: Option<&'static str>) -> Self {
        let http = Client::builder().redirect(Policy::none()).build().expect("a client");
        Self { http, api: api.to_owned(), synthetic, token: String::new(), seen: BTreeMap::new() }
    }

    /// Sends one request and counts its answer, under the route that the service must find for it.
    async fn send(&mut self, status: u16, method: Method, route: &str, path: &str, body: Option<Value>) -> Value {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.api));
        if let Some(kind) = self.synthetic {
            request = request.header("x-synthetic", kind).header("x-synthetic-secret", SYNTHETIC_SECRET);
        }
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("an answer");
        let (found, body) = (answer.status().as_u16(), answer.text().await.expect("a body"));
        assert_eq!(found, status, "{method} {path}: {body}");
        self.saw(route, status);
        serde_json::from_str(&body).unwrap_or(Value::Null)
    }

    fn saw(&mut self, route: &str, status: u16) {
        *self.seen.entry((route.to_owned(), status)).or_default() += 1;
    }

    async fn get(&mut self, status: u16, route: &str, path: &str) -> Value {
        self.send(status, Method::GET, route, path, None).await
    }

    async fn post(&mut self, status: u16, route: &str, path: &str, body: Value) -> Value {
        self.send(status, Method::POST, route, path, Some(body)).await
    }

    /// Every route once with success, and every kind of answer that a client can bring about.
    pub(crate) async fn journey(&mut self) {
        let mate = self.register().await;
        let user = self.register().await;
        self.sessions(&user).await;
        self.projects(text(&mate["user"]["id"])).await;
        self.tasks().await;
        for path in ["/health", "/ready", "/openapi.json", "/docs/"] {
            self.get(200, path, path).await;
        }
        self.get(200, "/docs/{*file}", "/docs/swagger-ui.css").await;
        self.get(303, "/docs", "/docs").await;
        self.get(404, "unmatched", "/nowhere").await;
    }

    /// A new user, whose token is used from now on.
    async fn register(&mut self) -> Value {
        static USERS: AtomicU32 = AtomicU32::new(0);
        self.token.clear();
        let email = format!("user-{}@example.com", USERS.fetch_add(1, Ordering::Relaxed));
        let body = json!({"email": email, "password": PASSWORD, "name": "user"});
        let user = self.post(201, REGISTER, REGISTER, body).await;
        text(&user["access_token"]).clone_into(&mut self.token);
        user
    }

    async fn sessions(&mut self, user: &Value) {
        let email = &user["user"]["email"];
        let session = self.post(200, LOGIN, LOGIN, json!({"email": email, "password": PASSWORD})).await;
        self.post(401, LOGIN, LOGIN, json!({"email": email, "password": "wrong password"})).await;
        let refresh = json!({"refresh_token": session["refresh_token"]});
        let session = self.post(200, REFRESH, REFRESH, refresh).await;
        let first = std::mem::replace(&mut self.token, text(&session["access_token"]).to_owned());
        let refresh = json!({"refresh_token": session["refresh_token"]});
        self.post(204, "/api/v1/auth/logout", "/api/v1/auth/logout", refresh).await;
        self.token = first;
        self.get(200, "/api/v1/me", "/api/v1/me").await;
    }

    async fn projects(&mut self, mate: &str) {
        self.get(200, PROJECTS, PROJECTS).await;
        let project = self.post(201, PROJECTS, PROJECTS, json!({"name": "House"})).await;
        let project = format!("{PROJECTS}/{}", text(&project["id"]));
        self.get(200, PROJECT, &project).await;
        self.send(200, Method::PATCH, PROJECT, &project, Some(json!({"name": "Home"}))).await;
        let member = format!("{project}/members/{mate}");
        self.send(200, Method::PUT, MEMBER, &member, Some(json!({"role": "viewer"}))).await;
        self.get(200, "/api/v1/projects/{id}/members", &format!("{project}/members")).await;
        self.get(200, MEMBER, &member).await;
        self.send(204, Method::DELETE, MEMBER, &member, None).await;
        self.send(204, Method::DELETE, PROJECT, &project, None).await;
    }

    /// What people do with tasks all day.
    pub(crate) async fn tasks(&mut self) {
        let task = self.post(201, TASKS, TASKS, json!({"title": "Paint"})).await;
        self.post(422, TASKS, TASKS, json!({"title": ""})).await;
        let task = format!("{TASKS}/{}", text(&task["id"]));
        self.get(200, TASK, &task).await;
        self.send(200, Method::PATCH, TASK, &task, Some(json!({"status": "done"}))).await;
        self.get(200, TASKS, &format!("{TASKS}?status=done")).await;
        self.get(200, "/api/v1/tasks/{id}/activity", &format!("{task}/activity")).await;
        self.send(204, Method::DELETE, TASK, &task, None).await;
        self.get(404, TASK, &task).await;
        self.send(200, Method::POST, "/api/v1/tasks/{id}/restore", &format!("{task}/restore"), None).await;
        let one = json!([{"op": "create", "task": {"title": "One"}}]);
        self.post(200, "/api/v1/tasks/batch", "/api/v1/tasks/batch", json!({"atomic": true, "operations": one})).await;
        let token = std::mem::take(&mut self.token);
        self.get(401, TASKS, TASKS).await;
        self.token = token;
    }

    /// A request that fails while `Stage::without_activity`.
    pub(crate) async fn fail(&mut self) {
        let path = "/api/v1/tasks/0197c3a5-6f2e-7cc0-9b1e-2f6d3c1a5b77/activity";
        self.get(500, "/api/v1/tasks/{id}/activity", path).await;
    }

    /// A request whose body never comes: the service gives up with a 503 when its time is over.
    pub(crate) fn stall(&mut self) {
        let address = self.api.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("the service listens");
        let head = format!(
            "POST {TASKS} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
            self.token
        );
        stream.write_all(head.as_bytes()).expect("sent");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 503");
        self.saw(TASKS, 503);
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}
