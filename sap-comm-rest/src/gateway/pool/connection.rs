use std::{
    pin::Pin,
    task::{Context, Poll},
};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use crate::{connector::Wire, gateway::body::UploadBody};

/// A connection that takes one request at a time. Nobody drives it but its holder: a task of its own would have to be woken
/// by each request, and wake it for each part of the answer.
pub(super) struct Connection {
    pub(super) sender: SendRequest<UploadBody>,
    pub(super) driver: Driver,
}

/// What reads and writes; `None` once the connection has ended, or somebody else drives it.
pub(super) struct Driver(Option<Driving>);

type Driving = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

impl Connection {
    pub(super) async fn open(io: TokioIo<Wire>) -> hyper::Result<Self> {
        let (sender, connection) = http1::Builder::new().max_buf_size(64 * 1024).handshake(io).await?;
        Ok(Self { sender, driver: Driver(Some(Box::pin(connection.with_upgrades()))) })
    }

    /// Whether it can take a request from whoever holds it, as far as it is known by now.
    pub(super) fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        self.driver.poll_end(cx).is_pending() && self.sender.is_ready()
    }
}

impl Driver {
    /// Leaves the driving to somebody else.
    pub(super) fn take(&mut self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let driving = self.0.take()?;
        Some(async move { report(driving.await) })
    }

    /// Reads and writes what can be.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        // Whoever waits for an answer hears of the end there.
        let _ = self.poll_end(cx);
    }

    /// As [`poll`](Self::poll); ready once the connection has ended, or is an upgraded one.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(driving) = &mut self.0 else { return Poll::Ready(()) };
        let Poll::Ready(ended) = driving.as_mut().poll(cx) else { return Poll::Pending };
        self.0 = None;
        report(ended);
        Poll::Ready(())
    }
}

fn report(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to an upstream ended");
    }
}
