//! A connection's stream, and how far its present request is.
//!
//! The stream gives up on a header that does not end and on a client that does not read, and leaves a request in its socket for as long
//! as the gate is closed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use http_body::Body as _;
use hyper::body::Incoming;
use telemetry::metrics::{Metrics, UpDownGuard};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::Sleep;

use super::serve::IDLE;
use crate::app::AppState;
use crate::config::LimitsConfig;
use crate::gate::{Ahead, Gate};

/// How long a client may refuse to read an answer.
const WRITE_STALL_MAX: Duration = Duration::from_secs(30);

/// No byte of the next request has come.
pub(super) const WAITING: u8 = 0;
/// A header has begun.
pub(super) const HEADER: u8 = 1;
/// A handler has the request.
pub(super) const HANDLING: u8 = 2;
/// A handler has the request and all of its body.
pub(super) const BODY_READ: u8 = 3;

/// What the gate said to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// To come in.
    Granted,
    /// That it has waited for long enough: it is to be refused.
    Refused,
    /// Nothing: its client had left by then.
    Left,
}

/// How far a connection is with its present request.
pub(super) struct Progress {
    phase: AtomicU8,
    connected: Instant,
    /// When the present request began, in nanoseconds after `connected`.
    began: AtomicU64,
    /// For how many nanoseconds it was held at the gate; 0 if it was not.
    held: AtomicU64,
    /// What the gate said: a [`Passage`].
    passage: AtomicU8,
    /// Bodies that have not been read to their end: what comes is more of one, and no request.
    open_bodies: AtomicU32,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress {
            phase: AtomicU8::new(WAITING),
            connected: Instant::now(),
            began: AtomicU64::new(0),
            held: AtomicU64::new(0),
            passage: AtomicU8::new(Passage::Granted as u8),
            open_bodies: AtomicU32::new(0),
        }
    }

    pub(super) fn phase(&self) -> u8 {
        self.phase.load(Ordering::Relaxed)
    }

    /// Where it is, as far as the next bytes are concerned.
    fn phase_of_reading(&self) -> u8 {
        if self.open_bodies.load(Ordering::Relaxed) > 0 { HANDLING } else { self.phase() }
    }

    pub(super) fn enter(&self, phase: u8) {
        self.phase.store(phase, Ordering::Relaxed);
        if phase <= HEADER {
            let nanoseconds = u64::try_from(self.connected.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.began.store(nanoseconds, Ordering::Relaxed);
        }
    }

    fn pass(&self, passage: Passage, held: Duration) {
        self.held.store(u64::try_from(held.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.passage.store(passage as u8, Ordering::Relaxed);
    }

    /// What the gate said to the request that has just been read, and for how long it was held there.
    pub(super) fn take_passage(&self) -> (Passage, Duration) {
        let held = self.held.load(Ordering::Relaxed);
        if held == 0 {
            return (Passage::Granted, Duration::ZERO);
        }
        self.held.store(0, Ordering::Relaxed);
        let passage = match self.passage.load(Ordering::Relaxed) {
            passage if passage == Passage::Refused as u8 => Passage::Refused,
            passage if passage == Passage::Left as u8 => Passage::Left,
            _ => Passage::Granted,
        };
        (passage, Duration::from_nanos(held))
    }

    /// For how long the present request has been coming.
    pub(super) fn since(&self) -> Duration {
        let began = Duration::from_nanos(self.began.load(Ordering::Relaxed));
        self.connected.elapsed().saturating_sub(began)
    }
}

/// A body that has not been read to its end, for as long as this lives.
pub(super) struct OpenBody(Arc<Progress>);

impl OpenBody {
    pub(super) fn of(body: &Incoming, progress: &Arc<Progress>) -> Option<OpenBody> {
        if body.is_end_stream() {
            return None;
        }
        progress.open_bodies.fetch_add(1, Ordering::Relaxed);
        Some(OpenBody(Arc::clone(progress)))
    }
}

impl Drop for OpenBody {
    fn drop(&mut self) {
        self.0.open_bodies.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The gate as connections have it.
#[derive(Clone)]
pub struct Entrance {
    /// Whose next request is read.
    pub gate: Gate,
    /// How long a request is held before it may be refused; after twice as long it is.
    pub wait_max: Duration,
    /// Where those that are held are counted.
    pub metrics: Arc<Metrics>,
}

impl Entrance {
    /// The API's gate; none where the database needs none, or nobody is to wait.
    pub fn of(state: &AppState, limits: &LimitsConfig) -> Option<Entrance> {
        let (gate, wait_max) = (state.db.gate()?, limits.queue_wait_max());
        (!wait_max.is_zero()).then(|| Entrance { gate, wait_max, metrics: Arc::clone(&state.metrics) })
    }
}

/// A request that is held in its socket.
struct Held {
    since: Instant,
    pass: oneshot::Receiver<Ahead>,
    _queued: UpDownGuard,
}

/// What begins the requests that no gate holds: a busy instance must not look like a dead one.
const PROBES: [&[u8]; 4] = [b"GET /health", b"GET /ready", b"HEAD /health", b"HEAD /ready"];
/// Enough to know them by, with what follows.
const PROBE_BYTES: usize = 13;

fn is_probe(first: &[u8]) -> bool {
    let rest = PROBES.iter().find_map(|probe| first.strip_prefix(*probe));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b' ' | b'?')))
}

/// A stream that gives up on a header that does not end and on a client that does not read. A timer is armed only when a
/// read or a write has to wait, so a request that comes in one piece costs none.
pub(super) struct Timed {
    stream: TcpStream,
    progress: Arc<Progress>,
    header_timeout: Duration,
    header_until: Option<Instant>,
    read_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
    entrance: Option<Entrance>,
    held: Option<Held>,
}

impl Timed {
    pub(super) fn new(
        stream: TcpStream,
        progress: Arc<Progress>,
        header_timeout: Duration,
        entrance: Option<Entrance>,
    ) -> Timed {
        Timed {
            stream,
            progress,
            header_timeout,
            header_until: None,
            read_timer: None,
            write_timer: None,
            entrance,
            held: None,
        }
    }

    /// Before the first byte of a request is read: waits for as long as the gate is closed. With its pass it counts as one that is
    /// on its way until it has been read.
    fn poll_gate(&mut self, context: &mut Context<'_>) -> Poll<Option<Ahead>> {
        let Some(entrance) = &self.entrance else { return Poll::Ready(None) };
        if self.held.is_none() {
            // A connection that has been silent for long may be closed at any moment.
            if !entrance.gate.is_closed() || self.progress.since() > IDLE {
                return Poll::Ready(None);
            }
            let mut bytes = [0; PROBE_BYTES];
            let mut first = ReadBuf::new(&mut bytes);
            // A connection on which nothing has come yet waits for that, not for the gate.
            let peeked = ready!(self.stream.poll_peek(context, &mut first));
            let is_over = !peeked.is_ok_and(|length| length > 0);
            if is_over || is_probe(first.filled()) {
                return Poll::Ready(None);
            }
        }
        let held = self.held.get_or_insert_with(|| Held {
            since: Instant::now(),
            pass: entrance.gate.hold(entrance.wait_max),
            _queued: entrance.metrics.queued_requests.guard(),
        });
        let pass = ready!(held.pass.poll_unpin(context)).ok();
        let waited = held.since.elapsed().max(Duration::from_nanos(1));
        self.held = None;
        let is_here = self.stream.ready(Interest::READABLE).now_or_never();
        let has_left = is_here.is_some_and(|ready| ready.is_ok_and(|ready| ready.is_read_closed()));
        let passage = match pass {
            _ if has_left => Passage::Left,
            Some(_) => Passage::Granted,
            None => Passage::Refused,
        };
        self.progress.pass(passage, waited);
        Poll::Ready(pass)
    }

    /// After a write that has to wait: an error when it has waited long enough.
    fn poll_stall(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let timer = self.write_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_STALL_MAX)));
        timer.as_mut().poll(context).map(|()| io::ErrorKind::TimedOut.into())
    }

    fn written<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        match polled {
            Poll::Pending => Poll::Ready(Err(ready!(self.poll_stall(context)))),
            done => {
                self.write_timer = None;
                done
            }
        }
    }
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let phase = self.progress.phase_of_reading();
        let _on_its_way = if phase == WAITING { ready!(self.poll_gate(context)) } else { None };
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if phase >= HANDLING {
            self.header_until = None;
            self.read_timer = None;
            return polled;
        }
        match polled {
            Poll::Ready(_) => {
                if phase == WAITING && buffer.filled().len() > before {
                    self.progress.enter(HEADER);
                    self.header_until = Some(Instant::now() + self.header_timeout);
                    self.read_timer = None;
                }
                polled
            }
            Poll::Pending if phase == HEADER => {
                let until = self.header_until.unwrap_or_else(Instant::now);
                let timer = self.read_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until.into())));
                timer.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for Timed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_known_by_its_whole_path() {
        for first in ["GET /health HTTP", "HEAD /ready HTTP/", "GET /ready?x=1", "GET /health"] {
            assert!(is_probe(&first.as_bytes()[..first.len().min(PROBE_BYTES)]), "{first}");
        }
        for first in ["GET /healthy HTTP", "GET /ready/api", "POST /health HTTP", "GET /heal", "GET /api/v1/tasks", ""]
        {
            assert!(!is_probe(&first.as_bytes()[..first.len().min(PROBE_BYTES)]), "{first}");
        }
    }
}
