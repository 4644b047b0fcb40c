//! The API as its users see it: over HTTP, with a token.

use std::future::IntoFuture;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::reply::Reply;

/// Every test user's password.
pub const PASSWORD: &str = "correct horse battery staple";

const TIMEOUT: Duration = Duration::from_secs(30); // beyond the service's own: a hang fails, it does not hold the suite

/// A client of one listener, with or without a token.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Api {
    /// A client without a token; `base` is `http://address:port`.
    pub fn new(base: impl Into<String>) -> Self {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        Self { http, base: base.into(), token: None }
    }

    /// The same client with this access token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same client, token and all, of another service.
    pub fn with_base(&self, other: &Self) -> Self {
        Self { base: other.base.clone(), ..self.clone() }
    }

    /// The whole address of a path, which starts with `/`, or else is one under `/api/v1/`.
    pub fn url(&self, path: &str) -> String {
        let prefix = if path.starts_with('/') { "" } else { "/api/v1/" };
        format!("{}{prefix}{path}", self.base)
    }

    /// A request; await it, or add to it first: `ann.get("tasks").header("if-none-match", etag).await`.
    pub fn request(&self, method: Method, path: &str) -> Call {
        let mut request = self.http.request(method, self.url(path));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Call { request }
    }

    /// GET; for the path see [`Api::url`].
    pub fn get(&self, path: &str) -> Call {
        self.request(Method::GET, path)
    }

    /// POST with a JSON body.
    pub fn post(&self, path: &str, body: Value) -> Call {
        self.request(Method::POST, path).json(&body)
    }

    /// PUT with a JSON body.
    pub fn put(&self, path: &str, body: Value) -> Call {
        self.request(Method::PUT, path).json(&body)
    }

    /// PATCH with a JSON body.
    pub fn patch(&self, path: &str, body: Value) -> Call {
        self.request(Method::PATCH, path).json(&body)
    }

    /// DELETE.
    pub fn delete(&self, path: &str) -> Call {
        self.request(Method::DELETE, path)
    }

    /// Registers a user of this name under an address that no other has.
    pub async fn register(&self, name: &str) -> User {
        static REGISTERED: AtomicU32 = AtomicU32::new(0);
        // Distinct in a database that two test processes share, too.
        static RUN: LazyLock<u32> = LazyLock::new(std::process::id);
        let email = format!("{name}-{}-{}@example.com", *RUN, REGISTERED.fetch_add(1, Ordering::Relaxed));
        let body = json!({"email": email, "password": PASSWORD, "name": name});
        let reply = self.post("auth/register", body).await.expect(201);
        let access_token = reply.text_at("/access_token");
        let api = self.with_token(&access_token);
        let projects = api.get("projects").await.expect(200);
        User {
            id: reply.text_at("/user/id"),
            email,
            access_token,
            refresh_token: reply.text_at("/refresh_token"),
            personal_project_id: projects.text_at("/items/0/id"),
            api,
        }
    }
}

/// A registered user; also its client, with its token.
#[derive(Clone)]
pub struct User {
    /// Its id.
    pub id: String,
    /// Its address; the password is [`PASSWORD`].
    pub email: String,
    /// The token of every request made through this value.
    pub access_token: String,
    /// As registration gave it.
    pub refresh_token: String,
    /// The project that registration made.
    pub personal_project_id: String,
    api: Api,
}

impl Deref for User {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

/// A request that is sent when awaited.
#[must_use = "a request is sent when awaited"]
pub struct Call {
    request: RequestBuilder,
}

impl Call {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.request = self.request.header(name, value.as_ref());
        self
    }

    /// Sets a JSON body.
    pub fn json(mut self, body: &Value) -> Self {
        self.request = self.request.json(body);
        self
    }

    /// Sets a body as it stands, for what is not JSON or not valid.
    pub fn body(mut self, content_type: &str, body: impl Into<reqwest::Body>) -> Self {
        self.request = self.request.header("content-type", content_type).body(body);
        self
    }

    /// Sends. An error is one of the connection: refused, reset, timed out.
    pub async fn send(self) -> reqwest::Result<Reply> {
        let (client, request) = self.request.build_split();
        let request = request?;
        let asked = Reply::describe(&request);
        Reply::read(asked, client.execute(request).await?).await
    }
}

impl IntoFuture for Call {
    type Output = Reply;
    type IntoFuture = Pin<Box<dyn Future<Output = Reply> + Send>>;

    /// As [`Call::send`], for the tests in which a broken connection is a failure.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { self.send().await.unwrap_or_else(|error| panic!("no answer: {error:?}")) })
    }
}
