//! A request and its answer.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use telemetry::trace_context::TraceContext;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::phases::Timeline;
use super::tls::{Certificate, Trust};
use super::watched::{Marks, Watched};
use super::{Fault, Phase, Phases};
use crate::args::Family;
use crate::config::Target;
use crate::credentials::Secret;

/// The largest answer that is read: 200 tasks with nothing in their descriptions, many times over.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The largest header that is read.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// What is asked.
#[derive(Clone)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Whose name it is asked in.
    pub token: Option<Secret>,
    /// `If-Match`.
    pub if_match: Option<String>,
    /// JSON.
    pub body: Option<Value>,
    /// Whether the secret that entitles to a claim goes with it: at the login only.
    pub claims: bool,
}

/// Without the body, in which the login has the password.
impl fmt::Debug for Ask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, token, if_match, body, claims } = self;
        let mut shown = formatter.debug_struct("Ask");
        shown.field("method", method).field("path", path).field("token", token).field("if_match", if_match);
        shown.field("body", &body.as_ref().map(|_| "[body]")).field("claims", claims).finish()
    }
}

impl Ask {
    /// Without body, token and condition.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), token: None, if_match: None, body: None, claims: false }
    }
}

/// The answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, whole.
    pub body: Bytes,
}

/// What became of a request.
#[derive(Debug)]
pub struct Exchange {
    /// Where it went.
    pub address: SocketAddr,
    /// In hexadecimal, as it was sent.
    pub trace_id: String,
    /// The time in each phase.
    pub phases: Phases,
    /// From the first moment to the last, whatever the phases say.
    pub total: Duration,
    /// What the server showed, if the handshake came that far.
    pub certificate: Option<Certificate>,
    /// The answer, or why there is none.
    pub result: Result<Reply, Fault>,
}

/// Asks a target.
#[derive(Debug, Clone)]
pub struct Prober {
    /// What is asked.
    pub target: Target,
    /// Whose certificates are good; `None` without TLS.
    pub trust: Option<Trust>,
    /// An attempt is given up.
    pub timeout: Duration,
    /// Entitles to be counted as synthetic traffic.
    pub synthetic_secret: Option<Secret>,
}

/// The addresses of a target, each once.
///
/// # Errors
/// Why the name has none.
pub async fn resolve(target: &Target, timeout: Duration) -> Result<Vec<IpAddr>, Fault> {
    let fault = |reason: String| Fault::new(Phase::Dns, reason);
    let mut addresses = match &target.addresses {
        Some(addresses) => addresses.clone(),
        None => {
            let lookup = tokio::time::timeout(timeout, lookup_host((target.host.as_str(), target.port))).await;
            let found = lookup.map_err(|_| fault(format!("{} does not resolve within {timeout:?}", target.host)))?;
            let found = found.map_err(|error| fault(format!("{} does not resolve: {error}", target.host)))?;
            found.map(|address| address.ip()).collect()
        }
    };
    let mut seen = std::collections::HashSet::new();
    let fits = |address: &IpAddr| match target.family {
        Family::Any => true,
        Family::Ipv4 => address.is_ipv4(),
        Family::Ipv6 => address.is_ipv6(),
    };
    addresses.retain(|address| fits(address) && seen.insert(*address));
    addresses.truncate(telemetry::catalogue::CANARY_ADDRESSES_MAX);
    if addresses.is_empty() {
        Err(fault(format!("{} has no address of the family that is asked for", target.host)))
    } else {
        Ok(addresses)
    }
}

impl Prober {
    /// Asks one address over a connection of its own. The name is resolved each time, as a client does that comes anew; the
    /// request goes to `address` whatever the answer.
    pub async fn ask(&self, address: IpAddr, ask: &Ask) -> Exchange {
        let mut trace = TraceContext::new_root();
        // Always sampled: a dozen traces a minute cost little, and the one that failed must be there.
        trace.sampled = true;
        let started = Instant::now();
        let mut timeline = Timeline::start(started);
        let (marks, mut certificate) = (Marks::default(), None);
        let work =
            self.exchange((address, self.target.port).into(), ask, &trace, &mut timeline, &marks, &mut certificate);
        let result = tokio::time::timeout(self.timeout, work).await;
        settle(&mut timeline, &marks);
        let stopped_in = timeline.current();
        // One reading for both: between two of them a busy machine may do something else.
        let ended = Instant::now();
        let phases = timeline.finish(ended);
        let timed_out =
            || Fault::new(stopped_in, format!("{} had not ended after {:?}", stopped_in.as_str(), self.timeout));
        let result = result.unwrap_or_else(|_| Err(timed_out()));
        let total = ended.saturating_duration_since(started);
        let address = (address, self.target.port).into();
        Exchange { address, trace_id: trace.trace_id_hex(), phases, total, certificate, result }
    }

    async fn exchange(
        &self,
        address: SocketAddr,
        ask: &Ask,
        trace: &TraceContext,
        timeline: &mut Timeline,
        marks: &Marks,
        certificate: &mut Option<Certificate>,
    ) -> Result<Reply, Fault> {
        if self.target.addresses.is_none() {
            resolve(&self.target, self.timeout).await?;
        }
        timeline.enter(Phase::Connect, Instant::now());
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|error| Fault::new(Phase::Connect, format!("no connection: {error}")))?;
        // A request leaves at once, and not when the system has collected more.
        stream.set_nodelay(true).map_err(|error| Fault::new(Phase::Connect, error.to_string()))?;
        let request = self.request(ask, trace)?;
        let Some(trust) = &self.trust else {
            timeline.enter(Phase::Send, Instant::now());
            return send(stream, request, timeline, marks).await;
        };
        timeline.enter(Phase::Tls, Instant::now());
        let fault = |error: &dyn std::fmt::Display| Fault::new(Phase::Tls, format!("no TLS: {error}"));
        let (config, seen) = trust.handshake().map_err(|error| fault(&error))?;
        let name = ServerName::try_from(self.target.host.clone()).map_err(|error| fault(&error))?;
        let stream = TlsConnector::from(config).connect(name, stream).await;
        *certificate = seen.take();
        let stream = stream.map_err(|error| {
            let flaw = certificate.as_ref().and_then(|certificate| certificate.fault(&self.target.host));
            flaw.map_or_else(|| fault(&error), |flaw| Fault::new(Phase::Tls, flaw))
        })?;
        timeline.enter(Phase::Send, Instant::now());
        send(stream, request, timeline, marks).await
    }

    fn request(&self, ask: &Ask, trace: &TraceContext) -> Result<Request<Full<Bytes>>, Fault> {
        let mut request = Request::builder()
            .method(&ask.method)
            .uri(&ask.path)
            .header(header::HOST, self.target.authority())
            .header(header::USER_AGENT, concat!("task-api-canary/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close")
            .header("x-synthetic", "canary")
            .header("traceparent", trace.traceparent());
        if let Some(token) = &ask.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        if let Some(versions) = &ask.if_match {
            request = request.header(header::IF_MATCH, versions);
        }
        if let Some(secret) = self.synthetic_secret.as_ref().filter(|_| ask.claims) {
            request = request.header("x-synthetic-secret", secret.expose());
        }
        if ask.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = ask.body.as_ref().map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        // The error quotes nothing: it may be about a secret that is no header's value.
        request
            .body(Full::new(body))
            .map_err(|_| Fault::new(Phase::Send, "the request has a value that no header takes"))
    }
}

async fn send<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: Request<Full<Bytes>>,
    timeline: &mut Timeline,
    marks: &Marks,
) -> Result<Reply, Fault> {
    let stream = TokioIo::new(Watched { stream, marks: marks.clone(), pending: false });
    let fault = |what: &str, error: &dyn std::error::Error| {
        let moments = marks.get();
        let phase = match (moments.sent, moments.answered) {
            (_, Some(_)) => Phase::Receive,
            (Some(_), None) => Phase::Wait,
            (None, None) => Phase::Send,
        };
        Fault::new(phase, format!("{what}: {}", told(error)))
    };
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEADER_BYTES_MAX);
    let (mut sender, connection) =
        builder.handshake(stream).await.map_err(|error| fault("the connection is of no use", &error))?;
    let _connection = Driven(tokio::spawn(async { connection.await.unwrap_or_default() }));
    let response = sender.send_request(request).await.map_err(|error| fault("no answer", &error))?;
    settle(timeline, marks);
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|error| fault("the answer broke off", &*error))?.to_bytes();
    Ok(Reply { status: parts.status, headers: parts.headers, body })
}

/// Tells the timeline what the stream has marked.
fn settle(timeline: &mut Timeline, marks: &Marks) {
    let moments = marks.get();
    if timeline.current() == Phase::Send
        && let Some(sent) = moments.sent
    {
        timeline.enter(Phase::Wait, sent);
    }
    if timeline.current() == Phase::Wait
        && let Some(answered) = moments.answered
    {
        timeline.enter(Phase::Receive, answered);
    }
}

/// The task that moves a connection's bytes; it ends with the exchange.
struct Driven(JoinHandle<()>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Plain HTTP on another port of the same target: for the redirect.
impl Prober {
    /// The same target without TLS on this port.
    pub fn plain(&self, port: u16) -> Self {
        let target = Target { tls: false, port, ..self.target.clone() };
        Self { target, trust: None, ..self.clone() }
    }
}
