//! `/metrics` and `/health` of the canary itself.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::State;

/// Connections at once; a scraper has one.
const CONNECTIONS_MAX: usize = 32;
/// A request's header takes no longer.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// No connection lives longer: the next scrape makes another.
const CONNECTION_MAX: Duration = Duration::from_secs(300);
/// After a connection that could not be accepted, mostly for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers until it is aborted.
pub(super) async fn answer(listener: TcpListener, state: Arc<State>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Closed never: the semaphore is ours.
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = respond(&request, &state);
                async { Ok::<_, Infallible>(response) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
            let connection = server.serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(CONNECTION_MAX, connection).await;
            drop(permit);
        });
    }
}

fn respond(request: &Request<Incoming>, state: &State) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", state.metrics.render())
        }
        (&Method::GET, "/health") => {
            let (status, word) =
                if state.is_well() { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "stale") };
            (status, "application/json", json!({ "status": word, "runs": state.runs.load(Relaxed) }).to_string())
        }
        _ => (StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "GET /metrics, GET /health\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
