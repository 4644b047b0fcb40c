//! The request's context: what every log line and every answer of one request has in common, reachable from
//! anywhere below the middleware without being passed along.

use std::{
    future::Future,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::HeaderValue;
use uuid::Uuid;

use crate::{
    catalogue::Synthetic,
    clock,
    panics::{PanicReport, PanicSlot},
    random::random_bytes,
    redact::is_like_token,
    trace_context::TraceContext,
    traces::SpanSlot,
};

/// The longest request id that is taken from a client, in characters.
pub const REQUEST_ID_LENGTH_MAX: usize = 128;

tokio::task_local! {
    static CURRENT: Arc<RequestContext>;
}

/// One request's identity, and what it has used so far.
#[derive(Debug)]
pub struct RequestContext {
    /// Echoed in `x-request-id`; the client's own if it is well formed.
    pub request_id: Box<str>,
    /// Its place in the trace.
    pub trace: TraceContext,
    /// Whose it is, as far as that is believed.
    pub synthetic: Synthetic,
    /// Its span, if it is sampled.
    pub(crate) span: SpanSlot,
    /// What panicked while it was served.
    pub(crate) panic: PanicSlot,
    user_id: OnceLock<Uuid>,
    is_given_up: AtomicBool,
    database_queries: AtomicU32,
    database_nanoseconds: AtomicU64,
}

impl RequestContext {
    /// A context for one request of a user's.
    pub fn new(request_id: String, trace: TraceContext) -> Arc<Self> {
        Self::of(request_id, trace, Synthetic::None)
    }

    /// A context for one request of this kind.
    pub fn of(request_id: String, trace: TraceContext, synthetic: Synthetic) -> Arc<Self> {
        Arc::new(Self {
            request_id: request_id.into_boxed_str(),
            trace,
            synthetic,
            span: SpanSlot::default(),
            panic: PanicSlot::default(),
            user_id: OnceLock::new(),
            is_given_up: AtomicBool::new(false),
            database_queries: AtomicU32::new(0),
            database_nanoseconds: AtomicU64::new(0),
        })
    }

    /// The context of the request that the running task serves, if it serves one.
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Lends the current context, without touching its reference count.
    pub fn with_current<R>(use_it: impl FnOnce(&Self) -> R) -> Option<R> {
        CURRENT.try_with(|context| use_it(context)).ok()
    }

    /// Whether the running task serves a synthetic request; false outside of a request.
    pub fn is_synthetic() -> bool {
        CURRENT.try_with(|context| context.synthetic != Synthetic::None).unwrap_or(false)
    }

    /// Makes this the current context while `future` runs. A task that `future` spawns does not inherit it.
    pub fn scope<F: Future>(self: Arc<Self>, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// Makes this the current context while `work` runs: for code outside the request's task, such as the end of
    /// a response's body.
    pub fn sync_scope<R>(self: Arc<Self>, work: impl FnOnce() -> R) -> R {
        CURRENT.sync_scope(self, work)
    }

    /// Remembers who is calling; the first call counts.
    pub fn set_user(&self, user_id: Uuid) {
        let _ = self.user_id.set(user_id);
    }

    /// Who is calling, once that is known.
    pub fn user_id(&self) -> Option<Uuid> {
        self.user_id.get().copied()
    }

    /// What panicked while the request was served; from now on a panic is nobody's but its own.
    pub fn take_panic(&self) -> Option<PanicReport> {
        self.panic.take()
    }

    /// Notes that its time is over: what is dropped from now on took too long, and was not left by its client.
    pub fn give_up(&self) {
        self.is_given_up.store(true, Relaxed);
    }

    /// Whether its time is over.
    pub fn is_given_up(&self) -> bool {
        self.is_given_up.load(Relaxed)
    }

    /// Adds one database operation and the time it took.
    pub fn add_database(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.database_queries.fetch_add(1, Relaxed);
        self.database_nanoseconds.fetch_add(nanoseconds, Relaxed);
    }

    /// Database operations so far.
    pub fn database_queries(&self) -> u32 {
        self.database_queries.load(Relaxed)
    }

    /// Time spent in them; operations side by side add up.
    pub fn database_time(&self) -> Duration {
        Duration::from_nanos(self.database_nanoseconds.load(Relaxed))
    }

    /// The request's id: the client's if it has 1 to 128 characters of `A-Z a-z 0-9 . _ -` and does not look like a token,
    /// else a new UUIDv7. What is taken ends up in logs and headers, hence the short alphabet and no token.
    pub fn request_id_from_header(header: Option<&HeaderValue>) -> String {
        header
            .and_then(|value| value.to_str().ok())
            .filter(|id| (1..=REQUEST_ID_LENGTH_MAX).contains(&id.len()))
            .filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)))
            .filter(|id| !is_like_token(id))
            .map_or_else(new_request_id, str::to_owned)
    }
}

fn new_request_id() -> String {
    let milliseconds = u64::try_from(clock::since_epoch().as_millis()).unwrap_or(u64::MAX);
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &random_bytes()).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_without_an_id_gets_a_uuid_v7() {
        let id = RequestContext::request_id_from_header(None);
        let version = Uuid::parse_str(&id).map(|uuid| uuid.get_version_num());
        assert_eq!(version, Ok(7));
        assert_ne!(id, RequestContext::request_id_from_header(None));
    }

    #[test]
    fn an_id_of_128_characters_is_kept_and_one_of_129_is_replaced() {
        for (length, kept) in [(1, true), (128, true), (129, false)] {
            let sent = "a".repeat(length);
            let header = HeaderValue::from_str(&sent).ok();
            let id = RequestContext::request_id_from_header(header.as_ref());
            assert_eq!(id == sent, kept, "{length}");
        }
    }

    #[test]
    fn an_id_that_looks_like_a_token_is_replaced() {
        let refresh = "AZ9h3kQ7cYvL2mNpR5tWx8yB4dF6gJ1sU0eIoKqTzVw";
        let without_digits = "AZhkQcYvLmNpRtWxyBdFgJsUeIoKqTzVwaBcDeFgHiJ";
        for token in [refresh, without_digits, "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"] {
            let id = RequestContext::request_id_from_header(HeaderValue::from_str(token).ok().as_ref());
            assert!(Uuid::parse_str(&id).is_ok(), "{token} became {id}");
        }
        for kept in
            ["0197c3a5-6f2e-7cc0-9b1e-2f6d3c1a5b77", "4bf92f3577b34da6a3ce929d0e0e4736", "eyJ", "job-17.Retry_2"]
        {
            let id = RequestContext::request_id_from_header(HeaderValue::from_str(kept).ok().as_ref());
            assert_eq!(id, kept);
        }
    }

    #[test]
    fn outside_a_request_there_is_no_context() {
        assert!(RequestContext::current().is_none());
        assert_eq!(RequestContext::with_current(|_| ()), None);
    }

    #[test]
    fn the_context_is_current_within_its_scope_and_adds_up() {
        let context = RequestContext::new("id".into(), TraceContext::new_root());
        context.clone().sync_scope(|| {
            RequestContext::with_current(|current| {
                current.set_user(Uuid::nil());
                current.set_user(Uuid::max());
                current.add_database(Duration::from_micros(3));
                current.add_database(Duration::from_nanos(5));
            });
        });
        assert_eq!(context.user_id(), Some(Uuid::nil()), "the first user counts");
        assert_eq!(context.database_queries(), 2);
        assert_eq!(context.database_time(), Duration::from_nanos(3005));
    }

    proptest! {
        #[test]
        fn whatever_the_client_sends_the_id_is_safe_to_print(bytes: Vec<u8>) {
            let header = HeaderValue::from_bytes(&bytes).ok();
            let id = RequestContext::request_id_from_header(header.as_ref());
            prop_assert!((1..=REQUEST_ID_LENGTH_MAX).contains(&id.len()));
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'));
        }
    }
}
