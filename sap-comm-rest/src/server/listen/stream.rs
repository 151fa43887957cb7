use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep},
};

use super::{activity::Activity, framing::Framing};

/// A connection's bytes: tells the activity and the framing about reads, and bounds how long a write may stall.
///
/// It holds the connection's permit, so that an upgraded connection counts for as long as it lives.
#[derive(Debug)]
pub(super) struct Stream {
    inner: TcpStream,
    stalled: Option<Pin<Box<Sleep>>>,
    write_timeout: Duration,
    activity: Arc<Activity>,
    framing: Framing,
    _permit: OwnedSemaphorePermit,
}

impl Stream {
    pub(super) fn new(
        inner: TcpStream,
        write_timeout: Duration,
        activity: Arc<Activity>,
        framing: Framing,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self { inner, stalled: None, write_timeout, activity, framing, _permit: permit }
    }

    /// Lets progress pass; a write without any for too long fails.
    fn bound<T>(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.stalled = None;
            return progress;
        }
        let limit = self.write_timeout;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes no bytes")))
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        let received = buf.filled().get(before..).unwrap_or_default();
        if !received.is_empty() {
            self.activity.received();
            self.framing.read(received);
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.bound(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.bound(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.inner).poll_flush(cx);
        self.bound(cx, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.bound(cx, progress)
    }
}
