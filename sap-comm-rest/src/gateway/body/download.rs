use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use sap_comm_core::BoxError;

use crate::{gateway::upstream::InUse, stall::Stall};

/// A response body on its way to the client. Its request counts as in flight until it ends; read to its end, the
/// connection it came on serves the next one.
#[derive(Debug)]
pub(in crate::gateway) struct Download {
    body: Incoming,
    idle_timeout: Duration,
    stall: Stall,
    ended: bool,
    /// `None` once it is over.
    in_use: Option<InUse>,
}

impl Download {
    pub(in crate::gateway) fn new(body: Incoming, idle_timeout: Duration, in_use: InUse) -> Self {
        Self { body, idle_timeout, stall: Stall::default(), ended: false, in_use: Some(in_use) }
    }

    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending()
            && let Some(in_use) = &mut self.in_use
        {
            in_use.lease.poll(cx);
            polled = Pin::new(&mut self.body).poll_frame(cx);
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.stall.progressed();
                // Trailers belong to the connection that they came on, and are its last.
                let data = frame.into_data().ok();
                self.ended = data.is_none();
                Poll::Ready(data.map(|data| Ok(Frame::data(data))))
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::warn!(%error, "the upstream broke off in the middle of its answer");
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(self.stall.poll_over(self.idle_timeout, cx));
                tracing::warn!("the upstream fell silent in the middle of its answer");
                Poll::Ready(Some(Err("the upstream fell silent in the middle of its answer".into())))
            }
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let whole = self.ended || self.body.is_end_stream();
        if let Some(in_use) = self.in_use.take().filter(|_| whole) {
            in_use.finish();
        }
    }
}
