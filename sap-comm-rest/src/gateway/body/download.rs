use std::{
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use sap_comm_core::BoxError;

use crate::{gateway::upstream::InUse, stall::Stall};

/// A response body on its way to the client. Its request counts as in flight until it ends; read to its end, the
/// connection it came on serves the next one.
#[derive(Debug)]
pub(in crate::gateway) struct Download {
    idle_timeout: Duration,
    stall: Stall,
    /// `None` once it is over.
    in_use: Option<InUse>,
}

const STOPS: &str = "the gateway stops";
const SILENT: &str = "the upstream fell silent in the middle of its answer";

impl Download {
    pub(in crate::gateway) fn new(idle_timeout: Duration, in_use: InUse) -> Self {
        Self { idle_timeout, stall: Stall::default(), in_use: Some(in_use) }
    }

    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(in_use) = &mut self.in_use else { return Poll::Ready(None) };
        if in_use.until.as_mut().is_some_and(|until| until.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Some(Err(STOPS.into())));
        }
        match in_use.lease.poll_data(cx) {
            Poll::Ready(Some(Ok(data))) => {
                let was_awaited = self.stall.is_waiting();
                self.stall.progressed();
                if let Some(begun) = &mut in_use.begun {
                    // Its end may not be asked for.
                    match in_use.lease.is_over() {
                        true => begun.succeeded(&in_use.picked),
                        false => begun.moved(data.len(), was_awaited, &in_use.picked),
                    }
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(Some(Err(error))) => {
                if let Some(begun) = &mut in_use.begun {
                    begun.broke_off(self.stall.is_waiting(), &in_use.picked, &error);
                }
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                if let Some(begun) = &mut in_use.begun {
                    begun.succeeded(&in_use.picked);
                }
                Poll::Ready(None)
            }
            Poll::Pending => {
                let over = self.stall.poll_over(self.idle_timeout, cx);
                if let Some(begun) = &mut in_use.begun {
                    match self.stall.since(self.idle_timeout) {
                        _ if over.is_ready() => {
                            begun.fell_silent(in_use.lease.size_hint().exact().is_some(), &in_use.picked, SILENT);
                        }
                        Some(since) => begun.waits(since, &in_use.picked),
                        None => {}
                    }
                }
                ready!(over);
                Poll::Ready(Some(Err(SILENT.into())))
            }
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.in_use.as_ref().is_none_or(|in_use| in_use.lease.is_over())
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.in_use.as_ref().map_or_else(|| SizeHint::with_exact(0), |in_use| in_use.lease.size_hint())
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some(in_use) = self.in_use.take() {
            // Closed where it is not read to its end.
            in_use.finish();
        }
    }
}
