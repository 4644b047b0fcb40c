//! A receiver of Sentry's envelopes that can misbehave, which a real one does not do when asked.

use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use super::collector;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Takes everything.
    Healthy,
    /// Never answers.
    Hung,
    /// Answers 500.
    Broken,
    /// Asks for a pause of a minute.
    Throttling,
}

struct Received {
    mode: Mode,
    events: Vec<Value>,
    asked: usize,
}

/// A running receiver; it ends with the test's runtime.
#[derive(Clone)]
pub struct Receiver {
    /// For `SENTRY_DSN`.
    pub dsn: String,
    received: Arc<Mutex<Received>>,
}

impl Receiver {
    /// Starts one on a free port.
    pub async fn start(mode: Mode) -> Self {
        let received = Arc::new(Mutex::new(Received { mode, events: Vec::new(), asked: 0 }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let dsn = format!("http://s3cr3tkey@{}/7", listener.local_addr().expect("a bound listener"));
        let router = axum::Router::new().route("/api/7/envelope/", axum::routing::post(take));
        tokio::spawn(collector::serve(listener, router.with_state(Arc::clone(&received))));
        Self { dsn, received }
    }

    /// Answers otherwise from now on.
    pub fn set(&self, mode: Mode) {
        self.lock().mode = mode;
    }

    /// The events taken so far.
    pub fn events(&self) -> Vec<Value> {
        self.lock().events.clone()
    }

    /// How often it was asked to take one.
    pub fn asked(&self) -> usize {
        self.lock().asked
    }

    fn lock(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn take(State(received): State<Arc<Mutex<Received>>>, headers: HeaderMap, body: Bytes) -> Response {
    let auth = headers["x-sentry-auth"].to_str().unwrap_or_default();
    assert!(auth.starts_with("Sentry sentry_key=s3cr3tkey"), "{auth}");
    let mode = {
        let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
        received.asked += 1;
        received.mode
    };
    match mode {
        Mode::Healthy => {}
        Mode::Hung => pending().await,
        Mode::Broken => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mode::Throttling => return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "60")]).into_response(),
    }
    // Three lines: the envelope's header, the item's header, the item.
    let text = String::from_utf8(body.to_vec()).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    let item: Value = serde_json::from_str(lines[1]).expect("an item's header");
    assert_eq!((lines.len(), &item["type"]), (3, &Value::from("event")), "{text}");
    let event = serde_json::from_str(lines[2]).expect("an event");
    received.lock().unwrap_or_else(PoisonError::into_inner).events.push(event);
    StatusCode::OK.into_response()
}
