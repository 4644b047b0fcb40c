//! Servers that are known to be good or bad: what the self-test measures, so that a verdict can be held against the truth.
//!
//! They answer as much of the Task API as profiles ask for, from memory.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use uuid::Uuid;

use self::data::Data;
use crate::random::Random;

mod data;

/// What is wrong with a server.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Fault {
    /// Each answer takes so long.
    pub delay: Duration,
    /// Beside that, each answer takes up to so long, at random.
    pub jitter: Duration,
    /// It stands still for the second in every first: 2 s in every 10 s.
    pub freeze: Option<(Duration, Duration)>,
    /// It does so many requests a second, one after another.
    pub capacity: Option<f64>,
    /// One of so many requests is answered with 503.
    pub error_every: Option<u64>,
    /// It answers as if all were well, and says what is not so.
    pub lie: Option<Lie>,
    /// After so many requests it answers nobody any more.
    pub hangs_after: Option<u64>,
    /// It makes the so-manieth project, and answers that it could not.
    pub breaks_at_project: Option<u64>,
    /// Its metrics can be read so often.
    pub metrics_reads: Option<u64>,
    /// Its tasks are said to be elsewhere.
    pub redirects: bool,
    /// It refuses every token.
    pub refuses_tokens: bool,
    /// Another version answers each time that somebody asks for its metrics: a deploy in the middle of a run.
    pub version_changes: bool,
}

/// What a server says that is not so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Another task than the one asked for.
    AnotherTask,
    /// The task as it was before the last change.
    OldVersion,
    /// Lists, pages and searches find nothing.
    EmptyPages,
    /// A next page that has nothing on it.
    EmptyNextPage,
    /// A page that leaves out every other task.
    Gaps,
    /// The oldest first.
    WrongOrder,
    /// The first page in place of the next one.
    SamePage,
    /// All tasks, whatever the filter.
    AnyTask,
    /// All tasks, whatever the word.
    AnyHit,
    /// A new task with another priority than the one sent.
    AnotherPriority,
    /// The change that was asked for, but not done to the title.
    HalfAChange,
    /// A task that was deleted is still there.
    NothingDeleted,
}

impl Lie {
    /// Every one of them.
    pub const ALL: [Self; 12] = [
        Self::AnotherTask,
        Self::OldVersion,
        Self::EmptyPages,
        Self::EmptyNextPage,
        Self::Gaps,
        Self::WrongOrder,
        Self::SamePage,
        Self::AnyTask,
        Self::AnyHit,
        Self::AnotherPriority,
        Self::HalfAChange,
        Self::NothingDeleted,
    ];
}

/// A running server; it ends when dropped.
pub struct Fixture {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
    _stop: oneshot::Sender<()>,
}

struct State {
    fault: Fault,
    start: Instant,
    seen: AtomicU64,
    requests: AtomicU64,
    metrics: AtomicU64,
    free_at: Mutex<Instant>,
    data: Mutex<Data>,
}

impl Fixture {
    /// Starts a server with this fault, on a thread of its own.
    ///
    /// # Errors
    /// When there is no port or no thread.
    pub fn start(fault: Fault) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let start = Instant::now();
        let (free_at, data) = (Mutex::new(start), Mutex::default());
        let state = Arc::new(State {
            fault,
            start,
            seen: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            metrics: AtomicU64::new(0),
            free_at,
            data,
        });
        let serving = Arc::clone(&state);
        std::thread::Builder::new().name("fixture".to_owned()).spawn(move || {
            crate::generator::prioritise(); // what is known to be healthy must not be slowed by the machine's other work
            runtime.block_on(async move {
                tokio::select! {
                    () = accept(listener, serving) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, state, _stop: stop })
    }

    /// Projects that were made and not deleted: what a run has left behind.
    pub fn projects(&self) -> usize {
        self.state.data().projects.len()
    }

    /// Its base address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn accept(listener: std::net::TcpListener, state: Arc<State>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&state), request));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = head.uri.path().to_owned();
    let number = state.seen.fetch_add(1, Ordering::Relaxed);
    if state.fault.hangs_after.is_some_and(|after| number >= after) {
        std::future::pending::<()>().await;
    }
    let measured = path.starts_with("/api/v1/tasks") && !path.ends_with("/batch");
    if measured && let Some(refusal) = state.suffer().await {
        return Ok(refusal);
    }
    let bearer = head.headers.get("authorization").and_then(|value| value.to_str().ok());
    let user = bearer.and_then(|text| text.strip_prefix("Bearer ")?.parse::<u64>().ok());
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let query = head.uri.query().unwrap_or_default();
    Ok(state.route((&head.method, &path), user, &body, query))
}

fn reply(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response =
        Response::new(Full::from(if body.is_null() { Vec::new() } else { body.to_string().into_bytes() }));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    if let Some(version) = body["version"].as_i64()
        && let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\""))
    {
        headers.insert("etag", tag);
    }
    let place = body["id"].as_str().and_then(|id| HeaderValue::from_str(&format!("/api/v1/tasks/{id}")).ok());
    if let Some(place) = place.filter(|_| status == 201) {
        headers.insert("location", place);
    }
    response
}

impl State {
    /// The fault, as a request feels it; an answer where it never gets further.
    async fn suffer(&self) -> Option<Response<Full<Bytes>>> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let fault = &self.fault;
        if let Some((every, long)) = fault.freeze {
            let into = self.start.elapsed().as_secs_f64() % every.as_secs_f64();
            if let Ok(left) = Duration::try_from_secs_f64(long.as_secs_f64() - into) {
                tokio::time::sleep(left).await;
            }
        }
        if let Some(capacity) = fault.capacity {
            let turn = {
                let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
                *free_at = (*free_at).max(Instant::now()) + Duration::from_secs_f64(1.0 / capacity);
                *free_at
            };
            tokio::time::sleep_until(turn.into()).await;
        }
        if !fault.delay.is_zero() {
            tokio::time::sleep(fault.delay).await;
        }
        if !fault.jitter.is_zero() {
            tokio::time::sleep(fault.jitter.mul_f64(Random::part(1, number).fraction())).await;
        }
        let broken = fault.error_every.is_some_and(|every| number.is_multiple_of(every));
        broken.then(|| reply(503, &json!({ "status": 503 })))
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn route(
        &self,
        (method, path): (&Method, &str),
        user: Option<u64>,
        body: &Value,
        query: &str,
    ) -> Response<Full<Bytes>> {
        let (fault, mut data) = (&self.fault, self.data());
        let id = path.rsplit('/').next().and_then(|id| id.parse::<Uuid>().ok());
        match (method.as_str(), path) {
            ("GET", "/metrics") => return self.metrics(),
            ("GET", "/health") => return reply(200, &json!({ "status": "ok" })),
            ("POST", "/api/v1/auth/register" | "/api/v1/auth/login") => {
                let email = body["email"].as_str().unwrap_or_default();
                let Some(user) = data.user(email, path.ends_with("register")) else { return status(401) };
                let status = if path.ends_with("register") { 201 } else { 200 };
                return reply(status, &json!({ "access_token": user.to_string(), "refresh_token": "r" }));
            }
            ("POST", "/api/v1/auth/logout") => return reply(204, &Value::Null),
            _ => {}
        }
        let Some(user) = user.filter(|_| !fault.refuses_tokens) else { return status(401) };
        if fault.redirects && path.starts_with("/api/v1/tasks") && !path.ends_with("/batch") {
            let mut moved = reply(307, &Value::Null);
            let place = HeaderValue::from_str(&format!("/elsewhere{path}"));
            moved.headers_mut().insert("location", place.unwrap_or(HeaderValue::from_static("/elsewhere")));
            return moved;
        }
        match (method.as_str(), path, id) {
            ("GET", "/api/v1/projects", _) => reply(200, &json!({ "items": data.projects_of(user) })),
            ("POST", "/api/v1/projects", _) => {
                let id = data.project(user, &body["name"]);
                let made = data.projects.len() as u64;
                if fault.breaks_at_project == Some(made) { status(500) } else { reply(201, &json!({ "id": id })) }
            }
            ("DELETE", project, Some(id)) if project.starts_with("/api/v1/projects/") => {
                status(if data.projects.remove(&id).is_some() { 204 } else { 404 })
            }
            ("POST", "/api/v1/tasks/batch", _) => {
                let tasks = body["operations"].as_array().into_iter().flatten();
                let results: Vec<Value> =
                    tasks.map(|op| json!({ "status": 201, "task": data.create(&op["task"], None) })).collect();
                reply(200, &json!({ "results": results }))
            }
            ("POST", "/api/v1/tasks", _) => reply(201, &data.create(body, fault.lie)),
            ("GET", "/api/v1/tasks", _) => reply(200, &data.page(user, query, fault.lie)),
            ("GET", _, Some(id)) => data.get(id, fault.lie).map_or_else(|| status(404), |task| reply(200, &task)),
            ("PATCH", _, Some(id)) => {
                data.patch(id, body, fault.lie).map_or_else(|| status(404), |task| reply(200, &task))
            }
            ("DELETE", _, Some(id)) => status(if data.delete(id, fault.lie) { 204 } else { 404 }),
            _ => status(404),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let number = self.metrics.fetch_add(1, Ordering::Relaxed);
        if self.fault.metrics_reads.is_some_and(|reads| number >= reads) {
            return status(503);
        }
        let version = if self.fault.version_changes { number } else { 0 };
        let text = format!("build_info{{version=\"{version}\",revision=\"fixture\"}} 1\n");
        Response::new(Full::from(text))
    }
}

/// An answer that has no more to say than this.
fn status(status: u16) -> Response<Full<Bytes>> {
    reply(status, &if status == 204 { Value::Null } else { json!({ "status": status }) })
}
