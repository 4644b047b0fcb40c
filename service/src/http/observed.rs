//! [`observe`](super::edge::observe) as a layer.
//!
//! axum's `from_fn` clones and boxes all that lies inside for each request, the layers and the route among it. This one calls
//! what it is around: 3,000 instructions less.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::Response;
use tower::{Layer, Service};

use super::edge;
use crate::app::AppState;

/// Observes every request that passes.
#[derive(Clone)]
pub struct ObserveLayer(pub Arc<AppState>);

impl<S> Layer<S> for ObserveLayer {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { state: Arc::clone(&self.0), inner }
    }
}

/// What [`ObserveLayer`] makes of a service.
#[derive(Clone)]
pub struct Observed<S> {
    state: Arc<AppState>,
    inner: S,
}

impl<S> Service<Request> for Observed<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let observation = edge::observe(Arc::clone(&self.state), &mut request);
        Box::pin(observation.run(self.inner.call(request)))
    }
}
