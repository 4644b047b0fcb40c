//! The requests around a run: people come in, projects and tasks are made, and taken away again. None of them is measured.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::{Connection, Connector, TIMEOUT};
use crate::journey::{Call, SYNTHETIC};
use crate::leftovers::Leftover;
use crate::random::Random;
use crate::traits::Traits;
use crate::world::{Client, Session, World};

/// Writes in one batch at most: the API's own bound.
const BATCH: usize = 100;
/// How often a request is sent again that the target puts off with 429 or 503.
const RETRIES_MAX: u32 = 20;
/// How long somebody who wants to leave waits for one answer.
const HASTE: Duration = Duration::from_secs(5);

/// Sends the requests around a run, one after another on one connection.
pub struct Api {
    connector: Connector,
    connection: Option<Connection>,
    synthetic_secret: Option<HeaderValue>,
    patience: Duration,
}

impl Api {
    /// With the secret by which the target believes that this is load, if there is one.
    pub fn new(connector: Connector, synthetic_secret: Option<HeaderValue>) -> Self {
        Self { connector, connection: None, synthetic_secret, patience: TIMEOUT }
    }

    /// Waits for no answer as long as it otherwise would: somebody wants to leave.
    pub fn hurry(&mut self) {
        self.patience = HASTE;
    }

    /// Sends one request; one that the target puts off is sent again.
    ///
    /// # Errors
    /// When the answer's status is not the wanted one, or there is none. One line, without anything that was sent.
    async fn ask(
        &mut self,
        (method, path): (Method, &str),
        bearer: Option<&HeaderValue>,
        body: Option<Value>,
        wanted: u16,
    ) -> Result<Response<Bytes>, Refused> {
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let mut last = Refused { status: None, text: String::new() };
        for attempt in 0..RETRIES_MAX {
            let mut request = request(&self.connector, method.clone(), path, bearer, body.clone());
            if let Some(secret) = self.synthetic_secret.as_ref().filter(|_| path.starts_with("/api/v1/auth/")) {
                request.headers_mut().insert("x-synthetic-secret", secret.clone());
            }
            let answer = match self.send(request).await {
                Ok(answer) => answer,
                Err(why) => {
                    let text = format!("{method} {path} of {}: {why}", self.connector.target().display());
                    return Err(Refused { status: None, text });
                }
            };
            let status = answer.status().as_u16();
            if status == wanted {
                return Ok(answer);
            }
            let display = self.connector.target().display();
            last = Refused { status: Some(status), text: format!("{method} {path} of {display}: status {status}") };
            if status != 429 && status != 503 {
                break;
            }
            let after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let wait =
                Duration::from_secs(after.unwrap_or(1_u64).min(5)) + Duration::from_millis(u64::from(attempt) * 50);
            tokio::time::sleep(wait).await;
        }
        Err(last)
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, &'static str> {
        let kept = self.connection.take().filter(Connection::is_open);
        let patience = self.patience;
        let sent = tokio::time::timeout(patience, async {
            if let Some(mut connection) = kept {
                match connection.send(request.clone()).await {
                    Ok(answer) => return Ok((answer, connection)),
                    // The server closed it while it was idle, and has seen nothing.
                    Err(unanswered) if !unanswered.sent => {}
                    Err(unanswered) => return Err(unanswered.failure.as_str()),
                }
            }
            let mut connection = self.connector.connect().await.map_err(|failure| failure.as_str())?;
            let answer = connection.send(request).await.map_err(|unanswered| unanswered.failure.as_str())?;
            Ok((answer, connection))
        });
        let (answer, connection) = sent.await.unwrap_or(Err("no answer in time"))?;
        self.connection = Some(connection);
        Ok(answer)
    }

    /// Whether the target lives.
    ///
    /// # Errors
    /// When it does not say so.
    pub async fn health(&mut self) -> Result<(), String> {
        self.ask((Method::GET, "/health"), None, None, 200).await.map(drop).map_err(|refused| refused.text)
    }

    /// Registers one of a run's people and makes their project, without tasks.
    ///
    /// # Errors
    /// When the target refuses.
    pub async fn register(&mut self, leftover: &Leftover, number: usize) -> Result<Client, NoClient> {
        let body = json!({
            "email": leftover.email(number), "password": leftover.password, "name": format!("Load test {}", leftover.run),
        });
        let answer = self.ask((Method::POST, "/api/v1/auth/register"), None, Some(body), 201).await;
        let without = |why| NoClient { why, project: false };
        let session = answer.map_err(|refused| refused.text).and_then(|answer| session(&answer)).map_err(without)?;
        let name = json!({ "name": leftover.project_name() });
        let answer = self.ask((Method::POST, "/api/v1/projects"), Some(&session.bearer), Some(name), 201).await;
        // Who refuses with 4xx has made nothing. Whoever did not answer, or answered anything else, may have.
        let project = |refused: Refused| {
            let certain = refused.status.is_some_and(|status| (400..500).contains(&status));
            NoClient { why: refused.text, project: !certain }
        };
        let id = field(&answer.map_err(project)?, "id")
            .and_then(|id| id.parse::<Uuid>().map_err(|_| "POST /api/v1/projects: an id that is none".to_owned()));
        let id = id.map_err(|why| NoClient { why, project: true })?;
        Ok(Client::new(id, session))
    }

    /// Makes so many tasks for one client.
    ///
    /// # Errors
    /// When the target refuses.
    pub async fn seed(
        &mut self,
        world: &World,
        number: usize,
        count: usize,
        random: &mut Random,
    ) -> Result<(), String> {
        let client = &world.clients[number];
        let mut left = count;
        while left > 0 {
            let now = left.min(BATCH);
            let tasks: Vec<Value> = (0..now).map(|_| world.new_task(client.project, random)).collect();
            let create = |task: &Value| json!({ "op": "create", "task": task });
            let body = json!({ "atomic": true, "operations": tasks.iter().map(create).collect::<Vec<Value>>() });
            let bearer = client.session().bearer.clone();
            let answer = self.ask((Method::POST, "/api/v1/tasks/batch"), Some(&bearer), Some(body), 200).await;
            let answer = answer.map_err(|refused| refused.text)?;
            let body: Value = serde_json::from_slice(answer.body()).map_err(|_| "a batch's answer is no JSON")?;
            for (result, task) in body["results"].as_array().into_iter().flatten().zip(&tasks) {
                let id = result["task"]["id"].as_str().and_then(|id| id.parse().ok());
                let id = id.ok_or("a batch's answer without the tasks it made")?;
                client.state().put(id, result["task"]["version"].as_i64().unwrap_or(1), Traits::of(task));
            }
            left -= now;
        }
        Ok(())
    }

    /// Gets a new pair of tokens for a client.
    ///
    /// # Errors
    /// When the target refuses.
    pub async fn refresh(&mut self, client: &Client) -> Result<(), String> {
        let body = json!({ "refresh_token": client.session().refresh });
        let answer = self.ask((Method::POST, "/api/v1/auth/refresh"), None, Some(body), 200).await;
        *client.session() = session(&answer.map_err(|refused| refused.text)?)?;
        Ok(())
    }

    /// Deletes a client's project with its tasks and ends the session.
    ///
    /// # Errors
    /// When the project may still be there.
    pub async fn leave(&mut self, client: &Client) -> Result<(), Refused> {
        let bearer = client.session().bearer.clone();
        self.delete_project(&client.project.to_string(), &bearer).await?;
        let logout = (Method::POST, "/api/v1/auth/logout");
        self.ask(logout, Some(&bearer), Some(json!({})), 204).await.map(drop)
    }

    async fn delete_project(&mut self, id: &str, bearer: &HeaderValue) -> Result<(), Refused> {
        match self.ask((Method::DELETE, &format!("/api/v1/projects/{id}")), Some(bearer), None, 204).await {
            Ok(_) => Ok(()),
            Err(refused) if refused.status == Some(404) => Ok(()), // gone already
            Err(refused) => Err(refused),
        }
    }

    /// Deletes what a run has left of one of its people; how many projects that were. Somebody who never came to be has none.
    ///
    /// # Errors
    /// When something may still be there.
    pub async fn sweep(&mut self, leftover: &Leftover, number: usize) -> Result<usize, String> {
        let body = json!({ "email": leftover.email(number), "password": leftover.password });
        let session = match self.ask((Method::POST, "/api/v1/auth/login"), None, Some(body), 200).await {
            Ok(answer) => session(&answer)?,
            Err(refused) if refused.status == Some(401) => return Ok(0),
            Err(refused) => return Err(refused.text),
        };
        let answer = self.ask((Method::GET, "/api/v1/projects?limit=200"), Some(&session.bearer), None, 200).await;
        let answer = answer.map_err(|refused| refused.text)?;
        let body: Value = serde_json::from_slice(answer.body()).map_err(|_| "the projects are no JSON")?;
        let mut deleted = 0;
        for project in body["items"].as_array().into_iter().flatten() {
            if project["name"] == leftover.project_name() {
                let id = project["id"].as_str().unwrap_or_default();
                self.delete_project(id, &session.bearer).await.map_err(|refused| refused.text)?;
                deleted += 1;
            }
        }
        let logout = (Method::POST, "/api/v1/auth/logout");
        self.ask(logout, Some(&session.bearer), Some(json!({})), 204).await.map_err(|refused| refused.text)?;
        Ok(deleted)
    }
}

/// A request that was not answered as it has to be.
#[derive(Debug)]
pub struct Refused {
    /// The answer's status; none where there was no answer.
    pub status: Option<u16>,
    /// What was asked and what came, in one line.
    pub text: String,
}

/// Why somebody could not be registered.
#[derive(Debug)]
pub struct NoClient {
    /// In one line.
    pub why: String,
    /// Whether their project may have been made all the same.
    pub project: bool,
}

/// A call of a journey as it goes out.
pub fn of_call(connector: &Connector, client: &Client, call: &Call) -> Request<Full<Bytes>> {
    let bearer = client.session().bearer.clone();
    let mut request = request(connector, call.method.clone(), &call.path, Some(&bearer), call.body.clone());
    if let Some(tag) = call.if_match.and_then(|version| HeaderValue::from_str(&format!("\"{version}\"")).ok()) {
        request.headers_mut().insert(header::IF_MATCH, tag);
    }
    request
}

fn request(
    connector: &Connector,
    method: Method,
    path: &str,
    bearer: Option<&HeaderValue>,
    body: Bytes,
) -> Request<Full<Bytes>> {
    let has_body = !body.is_empty();
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    // What is built here is a path of the API: the fallback only spares a panic, and would be answered with 404.
    *request.uri_mut() = path.parse().unwrap_or_default();
    let headers = request.headers_mut();
    if let Ok(host) = HeaderValue::from_str(&connector.target().authority()) {
        headers.insert(header::HOST, host);
    }
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("loadtest/", env!("CARGO_PKG_VERSION"))));
    headers.insert(SYNTHETIC.0, SYNTHETIC.1);
    if has_body {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Some(bearer) = bearer {
        headers.insert(header::AUTHORIZATION, bearer.clone());
    }
    request
}

fn field(answer: &Response<Bytes>, name: &str) -> Result<String, String> {
    let body: Option<Value> = serde_json::from_slice(answer.body()).ok();
    let value = body.and_then(|body| body.get(name)?.as_str().map(str::to_owned));
    value.ok_or_else(|| format!("an answer without {name}"))
}

fn session(answer: &Response<Bytes>) -> Result<Session, String> {
    let token = format!("Bearer {}", field(answer, "access_token")?);
    let mut bearer = HeaderValue::from_str(&token).map_err(|_| "an access token that is no header")?;
    bearer.set_sensitive(true);
    Ok(Session { bearer, refresh: field(answer, "refresh_token")? })
}
