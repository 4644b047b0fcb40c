//! The accept loop: connections with limits on their number, their headers and their silence, and a stop that lets requests
//! in flight finish.
//!
//! `axum::serve` sets no timer, so a half-sent header would hold its connection for ever; hyper's own header timeout starts
//! when a connection falls idle, and one short enough against half-sent headers would close keep-alive connections before
//! the load balancer does. Hence two limits: [`IDLE`] for silence between requests, a short one from a request's first byte.

use std::fmt;
use std::future::{pending, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use telemetry::logs::Outcome;
use telemetry::metrics::{MethodLabel, Metrics, Rejection};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::Service as _;

use super::edge::{Arrival, account_unseen};
use super::linger::Lingering;
use super::stream::{BODY_READ, Entrance, HANDLING, HEADER, OpenBody, Passage, Progress, Timed, WAITING};

/// Silence between requests after which a connection is closed. Longer than the load balancer's 60 s: whoever closes first
/// must be the one that sends requests.
pub const IDLE: Duration = Duration::from_secs(75);
/// A body up to so many bytes that nobody read is taken to be here already: it comes in one piece with its header.
const UNREAD_BYTES_MAX: u64 = 4 * 1024;
/// Longest header, in bytes; more is 431.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// What a listener is told.
#[derive(Clone)]
pub struct Settings {
    /// Connections open at once.
    pub max_connections: usize,
    /// From a request's first byte to the end of its header.
    pub header_timeout: Duration,
    /// How long connections may take to finish once `stop` says so.
    pub grace: Duration,
    /// What holds requests in their sockets; nothing where absent.
    pub entrance: Option<Entrance>,
    /// Where refused connections are counted.
    pub metrics: Arc<Metrics>,
}

/// Serves until `stop` becomes true, then lets what is in flight finish. Says how many connections it had to cut.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: Settings,
    mut stop: watch::Receiver<bool>,
) -> usize {
    let permits = Arc::new(Semaphore::new(settings.max_connections));
    let mut connections = JoinSet::new();
    let mut keeper = JoinSet::new(); // ends with this function
    if let Some(entrance) = settings.entrance.clone() {
        keeper.spawn(async move { entrance.gate.keep().await });
    }
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping(&mut stop) => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => match Arc::clone(&permits).try_acquire_owned() {
                Ok(permit) => {
                    let (router, settings, stop) = (router.clone(), settings.clone(), stop.clone());
                    connections.spawn(async move {
                        connection(stream, peer, router, settings, stop).await;
                        drop(permit);
                    });
                }
                Err(_) => settings.metrics.rejected(Rejection::ConnectionLimit),
            },
            // No descriptor left, or the client was gone already: the others go on.
            Err(error) => {
                tracing::warn!(event = "accept_failed", error = %error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(settings.grace, finished).await;
    let cut = connections.len();
    connections.shutdown().await;
    cut
}

/// Waits until the service stops, or nobody is left to stop it.
async fn stopping(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    settings: Settings,
    mut stop: watch::Receiver<bool>,
) {
    let _open = settings.metrics.connections.guard();
    let _ = stream.set_nodelay(true);
    let progress = Arc::new(Progress::new());
    let stream = Timed::new(stream, Arc::clone(&progress), settings.header_timeout, settings.entrance.clone());
    let ip = peer.ip().to_canonical();
    let (ours, metrics) = (Arc::clone(&progress), Arc::clone(&settings.metrics));
    let service = hyper::service::service_fn(move |request| {
        ours.enter(HANDLING);
        let (passage, held) = ours.take_passage();
        let arrival = Arrival { peer: ip, held, is_refused: passage == Passage::Refused };
        let has_left = passage == Passage::Left;
        let at = Instant::now();
        let arrived = Arrived { request: Some(request), arrival, at, has_left, metrics: Arc::clone(&metrics) };
        let (progress, router) = (Arc::clone(&ours), router.clone());
        async move { answer(arrived, router, progress).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // What comes within `IDLE` may be held for twice that, and a little more.
        .header_read_timeout(IDLE + settings.entrance.as_ref().map_or(Duration::ZERO, |entrance| 3 * entrance.wait_max))
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let finished = tokio::select! {
        result = connection.as_mut() => Some(result),
        () = stopping(&mut stop) => None,
    };
    let result = match finished {
        Some(result) => result,
        None => {
            // What has come is answered, also what was held in its socket: hyper would close a connection that has read nothing.
            if let Some(entrance) = &settings.entrance {
                entrance.gate.open();
            }
            match poll_fn(|context| Poll::Ready(connection.as_mut().poll(context))).await {
                Poll::Ready(result) => result,
                Poll::Pending => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
    };
    if let Err(error) = result {
        account(&error, ip, &settings.metrics, &progress);
    }
}

/// A request that hyper has read. Where the client is gone before the first look at it, it is dropped unseen by the router, and
/// so by the edge, which otherwise accounts for all.
struct Arrived {
    request: Option<Request<Incoming>>,
    arrival: Arrival,
    at: Instant,
    /// Whether its client had left before it was read.
    has_left: bool,
    metrics: Arc<Metrics>,
}

impl Drop for Arrived {
    fn drop(&mut self) {
        if let Some(request) = &self.request {
            let (method, path) = (MethodLabel::from(request.method()), request.uri().path());
            let (peer, took) = (self.arrival.peer, self.arrival.held + self.at.elapsed());
            account_unseen(&self.metrics, peer, method, path, 499, Outcome::Abandoned, took);
        }
    }
}

/// Ends a connection whose client had left before its request was read: nothing is done for nobody.
#[derive(Debug)]
struct Left;

impl fmt::Display for Left {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the client has left")
    }
}

impl std::error::Error for Left {}

async fn answer(
    mut arrived: Arrived,
    mut router: Router,
    progress: Arc<Progress>,
) -> Result<Response<axum::body::Body>, Left> {
    if arrived.has_left {
        return Err(Left);
    }
    let Some(mut request) = arrived.request.take() else { pending().await };
    request.extensions_mut().insert(arrived.arrival);
    // hyper itself reads past a body that nobody wanted, if it is here already; else it closes the connection.
    let is_small = request.body().size_hint().exact().is_some_and(|bytes| bytes <= UNREAD_BYTES_MAX);
    if is_small {
        progress.enter(BODY_READ);
    }
    let request = request.map(|body| {
        let open = OpenBody::of(&body, &progress);
        Noted { body: Lingering::new(body, open), progress: Arc::clone(&progress) }
    });
    let mut response = match router.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if progress.phase() == HANDLING {
        // Announced, or the client would send its next request into a closed connection.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    progress.enter(WAITING);
    Ok(response)
}

/// A request's body, which notes when it has been read to its end.
struct Noted {
    body: Lingering,
    progress: Arc<Progress>,
}

impl Body for Noted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let is_read = matches!(polled, Poll::Ready(None)) || self.body.is_end_stream();
        if is_read {
            self.progress.enter(BODY_READ);
        } else if polled.is_pending() {
            self.progress.enter(HANDLING); // however small it is, it is not here yet
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Counts what hyper refused before any of our code saw a request.
fn account(error: &hyper::Error, peer: IpAddr, metrics: &Metrics, progress: &Progress) {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    if source.is_some_and(|source| source.kind() == io::ErrorKind::TimedOut) {
        // Else it was an answer that nobody read: its request has its own account.
        if progress.phase() == HEADER {
            metrics.rejected(Rejection::HeaderTimeout);
        }
    } else if error.is_parse() {
        let too_large = error.is_parse_too_large();
        let status = if too_large { StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE } else { StatusCode::BAD_REQUEST };
        metrics.rejected(Rejection::Malformed);
        let took = progress.take_passage().1 + progress.since();
        account_unseen(metrics, peer, MethodLabel::OTHER, "", status.as_u16(), Outcome::Rejected, took);
    }
}
