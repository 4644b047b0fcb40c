//! A stream that remembers when the request had left and when the answer began. Above TLS: what is marked are bytes of HTTP.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The moments.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    /// The last byte before the answer was handed to the system.
    pub(super) sent: Option<Instant>,
    /// The first byte of the answer came.
    pub(super) answered: Option<Instant>,
}

/// Shared between the stream, which the connection owns, and whoever asks.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks(Arc<Mutex<Moments>>);

impl Marks {
    pub(super) fn get(&self) -> Moments {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Moments> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream under watch.
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) marks: Marks,
    /// Written and not flushed.
    pub(super) pending: bool,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if buf.filled().len() > before {
            self.marks.lock().answered.get_or_insert_with(Instant::now);
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.pending = true;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        if std::mem::take(&mut self.pending) {
            let mut moments = self.marks.lock();
            if moments.answered.is_none() {
                moments.sent = Some(Instant::now());
            }
        }
        Poll::Ready(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
