//! Connections to services, for the client and the gateway.

use std::{
    future::ready,
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{Uri, uri::Scheme};
use hyper_util::{
    client::legacy::connect::{Connected, Connection, HttpConnector},
    rt::TokioIo,
};
use sap_comm_core::BoxError;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};
use tower_service::Service;

use crate::{
    egress::{Egress, Screened},
    tls::{ClientTls, Transport},
};

/// Connects to endpoints, over TLS where they are `https`.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector<Screened>,
    tls: ClientTls,
    egress: Egress,
    timeout: Duration,
}

impl Connector {
    /// Connects within `timeout`, TLS included.
    pub(crate) fn new(timeout: Duration, keep_alive: Duration, tls: ClientTls, egress: Egress) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Screened::new(egress.clone()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        tcp.set_keepalive(Some(keep_alive));
        Self { tcp, tls, egress, timeout }
    }

    /// Addresses that are no names are resolved by nobody, so that they are looked at here.
    fn check(&self, uri: &Uri) -> io::Result<()> {
        if let Some(port) = uri.port_u16() {
            self.egress.check_port(port)?;
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        host.parse().map_or(Ok(()), |address| self.egress.check(address))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Wire>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Wire>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        if let Err(error) = self.check(&uri) {
            return Box::pin(ready(Err(error.into())));
        }
        let connecting = self.tcp.call(uri.clone());
        let tls = (uri.scheme() == Some(&Scheme::HTTPS)).then(|| self.tls.clone());
        let limit = self.timeout;
        Box::pin(async move {
            let connected = timeout(limit, async {
                let stream = connecting.await?.into_inner();
                match tls {
                    None => Ok::<_, BoxError>(Transport::Plain(stream)),
                    Some(tls) => tls.connect(uri.host().unwrap_or_default(), stream).await,
                }
            });
            let transport = connected.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            Ok(TokioIo::new(Wire::new(transport)))
        })
    }
}

/// A connection whose early answer is not lost.
///
/// A service may answer and close before it has read the whole request. The next write then fails, while the answer
/// stands in the socket, and hyper would report the failure. So such a write waits instead, until reading has brought
/// the answer or come to its end.
#[derive(Debug)]
pub(crate) struct Wire {
    inner: Transport,
    /// Why nothing more can be written, and who wanted to.
    refused: Option<(io::ErrorKind, Waker)>,
    read_ended: bool,
}

impl Wire {
    fn new(inner: Transport) -> Self {
        Self { inner, refused: None, read_ended: false }
    }

    pub(crate) fn into_transport(self) -> Transport {
        self.inner
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
        self.inner.tcp().connected()
    }
}
