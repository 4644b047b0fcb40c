//! The rest of a body that nobody read: taken in and thrown away.
//!
//! A request that is refused before its body was read (401, 404, 413, 415, overload) leaves bytes in the socket. Closing it
//! then makes the kernel reset the connection, and the client, still sending, learns of a broken pipe instead of the answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::stream::OpenBody;

/// Bytes that are thrown away at most; a client that goes on sending after that is cut off.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a client may take to send them.
const TIME_MAX: Duration = Duration::from_secs(5);

/// A request's body, whose rest is read when it is dropped. To be dropped within a runtime.
pub(super) struct Lingering {
    body: Option<Incoming>,
    open: Option<OpenBody>,
}

impl Lingering {
    /// Wraps a request's body.
    pub(super) fn new(body: Incoming, open: Option<OpenBody>) -> Lingering {
        Lingering { body: Some(body), open }
    }
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            (self.body, self.open) = (None, None);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            let open = self.open.take();
            tokio::spawn(async move {
                let _ = tokio::time::timeout(TIME_MAX, discard(body)).await;
                drop(open);
            });
        }
    }
}

async fn discard(mut body: Incoming) {
    let mut bytes = 0;
    // At its end before it says so: that takes until the next request has come.
    while bytes < BYTES_MAX
        && !body.is_end_stream()
        && let Some(Ok(frame)) = body.frame().await
    {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
}
