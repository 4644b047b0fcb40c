//! The door, and [`guard`](super::edge::guard) behind it, as a layer.
//!
//! axum's `from_fn` clones and boxes all that lies inside for each request. This one clones it only for a request that has to wait
//! at the door, and calls what it is around when it is let in: those who wait hold none of what their answer will need.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use tower::{Layer, Service};

use super::edge::{self, Arrival, Entry};
use crate::app::AppState;

/// Lets requests in, one after the other where there are too many.
#[derive(Clone)]
pub struct GuardLayer(pub Arc<AppState>);

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { state: Arc::clone(&self.0), inner }
    }
}

/// What [`GuardLayer`] makes of a service.
#[derive(Clone)]
pub struct Guarded<S> {
    state: Arc<AppState>,
    inner: S,
}

impl<S, B> Service<Request> for Guarded<S>
where
    S: Service<Request, Response = http::Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = axum::body::Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let state = Arc::clone(&self.state);
        // From its arrival: the wait at the gate and at the door is part of its time.
        let held = Arrival::of(&request).map_or(Duration::ZERO, |arrival| arrival.held);
        let deadline = tokio::time::Instant::now() + state.request_timeout.saturating_sub(held);
        match edge::enter(&state, &request) {
            // To call what is inside runs no handler yet: that begins within `guard`, which catches its panics.
            Entry::Inside(place) => Box::pin(edge::guard(state, deadline, place, self.inner.call(request))),
            Entry::Full => {
                // The one that was asked whether it is ready is the one that is called.
                let waiting = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, waiting);
                Box::pin(async move {
                    match edge::wait_for_place(&state, held).await {
                        Ok(place) => edge::guard(state, deadline, Some(place), inner.call(request)).await,
                        Err(refusal) => Ok(refusal),
                    }
                })
            }
            // Within its context, which the refusal quotes.
            Entry::Refused => Box::pin(async move { Ok(edge::refuse(&state)) }),
            Entry::UriTooLong => Box::pin(edge::refuse_uri(state)),
        }
    }
}
