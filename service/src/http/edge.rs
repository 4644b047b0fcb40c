//! The edge: what every request passes on its way in and out.
//!
//! The order matters. Outermost is [`observe`], so that metrics and the canonical line hold every request exactly once, also
//! one that panicked, timed out, was shed or left. Then CORS and the security headers, so that what they answer is counted and
//! what is answered further in has them. Then the door ([`enter`]), which sheds, and [`guard`], which times out and catches panics. Compression is innermost.

use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{self, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::{Frame, SizeHint};
use telemetry::context::RequestContext;
use telemetry::errors::{Errors, SafeHeaders};
use telemetry::logs::{HttpRequestEvent, Outcome};
use telemetry::metrics::{MethodLabel, Metrics, Rejection, RouteIndex, Synthetic, UpDownGuard};
use telemetry::redact::redact;
use telemetry::trace_context::TraceContext;
use telemetry::traces::Traces;

use super::problem::{Cause, Kind, Problem};
use crate::app::AppState;
use crate::turns::Turn;

/// Longest URI that is looked at, in bytes.
pub const URI_BYTES_MAX: usize = 8 * 1024;

/// The longest wait for a place inside in order of arrival: half of the latency that users are promised.
pub const FAIR_WAIT_MAX: Duration = Duration::from_millis(100);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where a request came from, as far as that can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// How a request came, which the listener puts into each.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// The other end of the connection.
    pub peer: IpAddr,
    /// For how long the gate held it before it was read.
    pub held: Duration,
    /// Whether that was for too long, and it is to come back.
    pub is_refused: bool,
}

impl Arrival {
    /// That of a request which was read at once.
    pub fn from(peer: IpAddr) -> Arrival {
        Arrival { peer, held: Duration::ZERO, is_refused: false }
    }

    /// How this one came, if it came through a listener.
    pub(super) fn of(request: &Request) -> Option<Arrival> {
        request.extensions().get::<Arrival>().copied()
    }
}

/// How a response came about, when its status does not tell.
#[derive(Debug, Clone, Copy)]
struct Ended(Outcome);

/// The address of the client behind `hops` proxies of ours: each of them appended the address that it saw.
fn client_address(headers: &HeaderMap, peer: IpAddr, hops: usize) -> IpAddr {
    if hops == 0 {
        return peer;
    }
    let entries = headers.get_all(FORWARDED_FOR).into_iter().filter_map(|value| value.to_str().ok());
    let entries: Vec<&str> = entries.flat_map(|value| value.split(',')).map(str::trim).collect();
    let at = entries.len().checked_sub(hops);
    at.and_then(|at| entries.get(at)?.parse().ok()).unwrap_or(peer)
}

/// One request's account. Settled when dropped: after the last byte of the body, or when the client has left.
struct Account {
    metrics: Arc<Metrics>,
    traces: Option<Traces>,
    errors: Option<(Errors, SafeHeaders)>,
    /// Why it failed, redacted.
    cause: Option<String>,
    context: Arc<RequestContext>,
    method: MethodLabel,
    route: RouteIndex,
    path: String,
    client_address: Option<IpAddr>,
    started: Instant,
    /// 499 until there is an answer: the client left before it.
    status: u16,
    outcome: Outcome,
    bytes: u64,
    _active: UpDownGuard,
}

impl Drop for Account {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let panic = self.context.take_panic();
        let cause = panic.as_ref().map(ToString::to_string).or_else(|| self.cause.take());
        // Who could not be told is a user: nobody hides failed attempts behind a claim.
        let synthetic = if self.status == 401 { Synthetic::None } else { self.context.synthetic };
        let event = HttpRequestEvent {
            method: self.method.as_str(),
            route: self.metrics.route(self.route),
            path: &self.path,
            status: self.status,
            duration,
            db_time: self.context.database_time(),
            db_queries: self.context.database_queries(),
            user_id: self.context.user_id(),
            client_address: self.client_address,
            bytes: self.bytes,
            outcome: self.outcome,
            synthetic,
            cause: cause.as_deref(),
        };
        Arc::clone(&self.context).sync_scope(|| event.emit());
        let is_recorded = self.traces.as_ref().is_some_and(|traces| traces.end(&self.context, &event));
        let recorded = is_recorded.then_some(&self.context.trace);
        self.metrics.http_request_of(synthetic, self.method, self.route, self.status, duration, recorded);
        if let Some((errors, headers)) = &self.errors {
            errors.request_ended(&self.context, &event, panic.as_ref(), headers);
        }
    }
}

/// The body of a response, which keeps its request's account open until it ends.
struct Accounted {
    body: Body,
    account: Account,
    ended: bool,
}

impl http_body::Body for Accounted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.account.bytes += bytes;
                self.ended |= self.body.is_end_stream();
            }
            Poll::Ready(_) => self.ended = true,
            Poll::Pending => {}
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

impl Drop for Accounted {
    fn drop(&mut self) {
        if !self.ended && !http_body::Body::is_end_stream(&self.body) && self.account.method.as_str() != "HEAD" {
            self.account.outcome = Outcome::Abandoned;
        }
    }
}

/// A request from its arrival to its answer, measured and logged once.
pub struct Observation {
    state: Arc<AppState>,
    account: Account,
}

/// Opens the account of a request that has just come; [`ObserveLayer`](super::observed::ObserveLayer) does so for each.
pub fn observe(state: Arc<AppState>, request: &mut Request) -> Observation {
    let headers = request.headers();
    let request_id = RequestContext::request_id_from_header(headers.get(REQUEST_ID));
    let trace = TraceContext::from_headers(headers);
    // Decided before any span exists: a request that is not recorded has none.
    let trace = state.traces.as_ref().map_or(trace, |traces| traces.decide(trace));
    let template = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let context = RequestContext::of(request_id, trace, state.synthetic(headers, template));
    let arrival = Arrival::of(request);
    let client_address = arrival.map(|arrival| client_address(headers, arrival.peer, state.trusted_proxy_hops));
    let held = arrival.map_or(Duration::ZERO, |arrival| arrival.held);
    let now = Instant::now();
    let account = Account {
        method: MethodLabel::from(request.method()),
        route: template.map_or(RouteIndex::UNMATCHED, |template| state.metrics.route_index(template)),
        path: request.uri().path().to_owned(),
        client_address,
        started: now.checked_sub(held).unwrap_or(now),
        status: 499,
        outcome: Outcome::Abandoned,
        bytes: 0,
        _active: state.metrics.active_requests(),
        metrics: Arc::clone(&state.metrics),
        traces: state.traces.clone(),
        errors: state.errors.clone().map(|errors| (errors, SafeHeaders::of(headers))),
        cause: None,
        context: Arc::clone(&context),
    };
    if let Some(traces) = &state.traces {
        traces.begin(&context, held);
    }
    if let Some(address) = client_address {
        request.extensions_mut().insert(ClientAddress(address));
    }
    Observation { state, account }
}

impl Observation {
    /// Lets the request be answered within its context, and gives the answer its ids. The account is settled with the last
    /// byte of the answer, or when this is dropped.
    pub async fn run<E>(self, answer: impl Future<Output = Result<Response, E>>) -> Result<Response, E> {
        let Observation { state, mut account } = self;
        let response = Arc::clone(&account.context).scope(answer).await?;
        Ok(finish(&state, &mut account, response).map(|body| Body::new(Accounted { body, account, ended: false })))
    }
}

fn finish(state: &AppState, account: &mut Account, mut response: Response) -> Response {
    let context = Arc::clone(&account.context);
    account.status = response.status().as_u16();
    account.outcome = response.extensions().get::<Ended>().map_or(Outcome::Answered, |ended| ended.0);
    if let Some(Cause(cause)) = response.extensions().get::<Cause>() {
        // A database's error may quote what a user sent.
        account.cause = Some(redact(cause));
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&context.request_id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(TRACEPARENT, context.trace.traceparent());
    if state.draining.load(Ordering::Relaxed) {
        // The client comes back on another connection, and so to another instance.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What the door says to a request.
pub(super) enum Entry {
    /// It may come in, with its place; one that takes none is a probe.
    Inside(Option<Turn>),
    /// It has to wait for a place.
    Full,
    /// It has waited at the gate for long enough.
    Refused,
    /// It is not looked at, since its URI is too long.
    UriTooLong,
}

/// Asks at the door. To refuse a request costs nearly what its answer costs: it was read, it is counted and logged, and its
/// refusal is written. A service that refuses at once is asked again at once, and does nothing else in the end. So a request that
/// finds the house full is kept for `QUEUE_TIMEOUT_MS`, in which its connection brings no other.
pub(super) fn enter(state: &AppState, request: &Request) -> Entry {
    let (path, query) = (request.uri().path(), request.uri().query());
    if path.len() + query.map_or(0, str::len) > URI_BYTES_MAX {
        return Entry::UriTooLong;
    }
    // Health and readiness are answered in any overload: a busy instance must not look like a dead one.
    if matches!(path, "/health" | "/ready") {
        return Entry::Inside(None);
    }
    if Arrival::of(request).is_some_and(|arrival| arrival.is_refused) {
        return Entry::Refused;
    }
    state.admission.try_take().map_or(Entry::Full, |place| Entry::Inside(Some(place)))
}

/// Refuses what [`enter`] did not look at, within the request's context, which its answer quotes.
pub(super) async fn refuse_uri(state: Arc<AppState>) -> Result<Response, Infallible> {
    state.metrics.rejected(Rejection::UriTooLong);
    let detail = format!("a URI takes up to {URI_BYTES_MAX} bytes");
    Ok(ended(Problem::new(Kind::UriTooLong, detail), Outcome::Rejected))
}

/// Waits for a place, or for the refusal. Of the time for that, it has been `held` at the gate already.
pub(super) async fn wait_for_place(state: &AppState, held: Duration) -> Result<Turn, Response> {
    let _queued = state.metrics.queued_requests.guard();
    let left = state.queue_wait_max.saturating_sub(held);
    if let Ok(Some(place)) = tokio::time::timeout(left, state.admission.take()).await {
        return Ok(place);
    }
    Err(refuse(state))
}

/// Tells a request that has waited for long enough to come back.
pub(super) fn refuse(state: &AppState) -> Response {
    state.metrics.rejected(Rejection::InFlightLimit);
    let problem = Problem::new(Kind::Overloaded, "too many requests are being handled").retry_after(1);
    ended(problem, Outcome::Rejected)
}

/// Ends what is not answered by its `deadline`, and answers for what panics. The request keeps its place until then.
pub(super) async fn guard<B>(
    state: Arc<AppState>,
    deadline: tokio::time::Instant,
    _place: Option<Turn>,
    answer: impl Future<Output = Result<http::Response<B>, Infallible>>,
) -> Result<Response, Infallible>
where
    B: http_body::Body<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    // Pinned here, it is dropped at the end: what it was about learns then that its time was over.
    let mut work = std::pin::pin!(AssertUnwindSafe(answer).catch_unwind());
    Ok(match tokio::time::timeout_at(deadline, work.as_mut()).await {
        Ok(Ok(response)) => response?.map(Body::new),
        Ok(Err(panic)) => {
            state.metrics.panic();
            // Of the panic's own text, which may quote anything, the hook has kept what redaction leaves.
            drop(panic);
            ended(Problem::internal().because("a handler panicked"), Outcome::Panicked)
        }
        Err(_) => {
            RequestContext::with_current(RequestContext::give_up);
            state.metrics.rejected(Rejection::Timeout);
            let problem = Problem::new(Kind::Timeout, "the request was given up").retry_after(1);
            ended(problem, Outcome::TimedOut)
        }
    })
}

fn ended(problem: Problem, outcome: Outcome) -> Response {
    let mut response = problem.into_response();
    response.extensions_mut().insert(Ended(outcome));
    response
}

/// Accounts for a request that no route and no handler saw: its header could not be parsed, or its client was gone already.
pub fn account_unseen(
    metrics: &Metrics,
    peer: IpAddr,
    method: MethodLabel,
    path: &str,
    status: u16,
    outcome: Outcome,
    duration: Duration,
) {
    metrics.http_request(method, RouteIndex::UNMATCHED, status, duration);
    let context = RequestContext::new(RequestContext::request_id_from_header(None), TraceContext::new_root());
    let event = HttpRequestEvent {
        method: method.as_str(),
        route: metrics.route(RouteIndex::UNMATCHED),
        path,
        status,
        duration,
        db_time: Duration::ZERO,
        db_queries: 0,
        user_id: None,
        client_address: Some(peer),
        bytes: 0,
        outcome,
        synthetic: Synthetic::None,
        cause: None,
    };
    context.sync_scope(|| event.emit());
}

/// Headers that keep browsers from doing more with an answer than showing it.
pub(super) fn security_headers(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::CACHE_CONTROL, "private, no-cache"),
    ];
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_our_own_proxies_appended_is_believed() {
        let peer: IpAddr = "10.0.0.9".parse().unwrap();
        let address = |forwarded: &[&'static str], hops| {
            let headers = forwarded.iter().map(|value| (FORWARDED_FOR, HeaderValue::from_static(value))).collect();
            client_address(&headers, peer, hops).to_string()
        };
        assert_eq!(address(&["1.1.1.1"], 0), "10.0.0.9");
        assert_eq!(address(&["6.6.6.6, 1.1.1.1"], 1), "1.1.1.1");
        assert_eq!(address(&["6.6.6.6", "1.1.1.1, 2.2.2.2"], 2), "1.1.1.1");
        assert_eq!(address(&["1.1.1.1"], 2), "10.0.0.9");
        assert_eq!(address(&["nonsense"], 1), "10.0.0.9");
        assert_eq!(address(&[], 1), "10.0.0.9");
    }
}
