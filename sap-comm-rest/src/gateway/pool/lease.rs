use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use http::{HeaderValue, Request, Response};
use hyper::{body::Incoming, client::conn::TrySendError};
use tokio::task::coop::unconstrained;

use super::{Connection, destination::Destination};
use crate::gateway::body::UploadBody;

/// A connection in use, which gets on while its holder polls it. It is closed when this is dropped, unless it is
/// [given back](Self::give_back).
pub(in crate::gateway) struct Lease {
    connection: Connection,
    destination: Arc<Destination>,
    /// Whether it served before, and may have been closed by the endpoint meanwhile.
    pub(in crate::gateway) reused: bool,
}

/// What an endpoint says to a request; one that was not written at all comes back with the error.
type Said = Result<Response<Incoming>, TrySendError<Request<UploadBody>>>;

impl Lease {
    pub(super) fn new(connection: Connection, destination: Arc<Destination>, reused: bool) -> Self {
        Self { connection, destination, reused }
    }

    /// What the endpoint is called in `Host`.
    pub(in crate::gateway) fn host(&self) -> &HeaderValue {
        self.destination.host()
    }

    /// Sends a request, and drives the connection until its answer has come. `silence` is polled where nothing has come yet;
    /// `None` once it is over.
    pub(in crate::gateway) async fn send(
        &mut self,
        request: Request<UploadBody>,
        mut silence: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Option<Said> {
        // Nothing but this connection brings it on, and that one wakes the task itself.
        let mut answer = pin!(unconstrained(self.connection.sender.try_send_request(request)));
        let connection = &mut self.connection.driver;
        poll_fn(|cx| {
            connection.poll(cx);
            if let Poll::Ready(answer) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return Poll::Ready(Some(answer));
            }
            silence(cx).map(|()| None)
        })
        .await
    }

    /// The endpoint has answered before it had the whole request: the rest is sent whether or not anybody reads the answer,
    /// and the connection serves no other.
    pub(in crate::gateway) fn send_on(&mut self) {
        if let Some(driving) = self.connection.driver.take() {
            tokio::spawn(driving);
        }
    }

    /// Brings the connection on.
    pub(in crate::gateway) fn poll(&mut self, cx: &mut Context<'_>) {
        self.connection.driver.poll(cx);
    }

    /// Becomes an upgraded connection.
    pub(in crate::gateway) async fn into_upgraded(mut self) {
        poll_fn(|cx| self.connection.driver.poll_end(cx)).await;
    }

    /// Keeps the connection for the next request, if it may serve one.
    pub(in crate::gateway) fn give_back(self) {
        let Self { mut connection, destination, .. } = self;
        if connection.is_ready(&mut Context::from_waker(Waker::noop())) {
            destination.give(connection);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("host", self.host()).field("reused", &self.reused).finish_non_exhaustive()
    }
}
