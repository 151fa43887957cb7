//! Connections to services, for the client and the gateway.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::{TryFutureExt, future::MapOk};
use http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection, HttpConnector},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tower_service::Service;

/// Connects to endpoints.
#[derive(Debug, Clone)]
pub(crate) struct Connector(HttpConnector);

impl Connector {
    pub(crate) fn new(timeout: Duration, keep_alive: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeout));
        connector.set_keepalive(Some(keep_alive));
        Self(connector)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Wire>;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = MapOk<<HttpConnector as Service<Uri>>::Future, fn(TokioIo<TcpStream>) -> TokioIo<Wire>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        self.0.call(uri).map_ok(|stream| TokioIo::new(Wire::new(stream.into_inner())))
    }
}

/// A connection whose early answer is not lost.
///
/// A service may answer and close before it has read the whole request. The next write then fails, while the answer
/// stands in the socket, and hyper would report the failure. So such a write waits instead, until reading has brought
/// the answer or come to its end.
#[derive(Debug)]
pub(crate) struct Wire {
    inner: TcpStream,
    /// Why nothing more can be written, and who wanted to.
    refused: Option<(io::ErrorKind, Waker)>,
    read_ended: bool,
}

impl Wire {
    fn new(inner: TcpStream) -> Self {
        Self { inner, refused: None, read_ended: false }
    }

    fn written(&mut self, cx: &mut Context<'_>, progress: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let kind = match (&self.refused, &progress) {
            (Some((kind, _)), _) => *kind,
            (None, Poll::Ready(Err(error))) if is_closed_by_peer(error.kind()) => error.kind(),
            (None, _) => return progress,
        };
        if self.read_ended {
            return Poll::Ready(Err(kind.into()));
        }
        if self.refused.is_none() {
            // Whoever writes may have looked for an answer just before it came.
            cx.waker().wake_by_ref();
        }
        self.refused = Some((kind, cx.waker().clone()));
        Poll::Pending
    }
}

fn is_closed_by_peer(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted)
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        let ended = match &result {
            Poll::Ready(Ok(())) => buf.filled().len() == before && buf.remaining() > 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if ended {
            self.read_ended = true;
            if let Some((_, writer)) = &self.refused {
                writer.wake_by_ref();
            }
        }
        result
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let progress = match self.refused {
            Some(_) => Poll::Pending,
            None => Pin::new(&mut self.inner).poll_write(cx, buf),
        };
        self.written(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = match self.refused {
            Some(_) => Poll::Pending,
            None => Pin::new(&mut self.inner).poll_write_vectored(cx, bufs),
        };
        self.written(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}
