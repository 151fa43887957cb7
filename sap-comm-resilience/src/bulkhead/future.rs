use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::sync::OwnedSemaphorePermit;
use tower_service::Service;

use super::{Bulkhead, BulkheadError, BulkheadFull};
use crate::service::ReadyCall;

type Acquire = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, BulkheadFull>> + Send>>;

pin_project! {
    /// A request on its way through a bulkhead. Allocates only when it has to queue.
    #[must_use = "futures do nothing unless polled"]
    pub struct BulkheadFuture<S, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        call: ReadyCall<S, Req>,
        entry: Entry,
    }
}

enum Entry {
    Queued(Acquire),
    Inside(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit),
    Refused(BulkheadFull),
    Left,
}

impl<S: Service<Req>, Req> BulkheadFuture<S, Req> {
    pub(super) fn new(service: S, request: Req, bulkhead: &Bulkhead) -> Self {
        let entry = match bulkhead.try_acquire_owned() {
            Ok(slot) => Entry::Inside(slot),
            Err(_) if bulkhead.max_queue() == 0 => Entry::Refused(bulkhead.full()),
            Err(_) => Entry::Queued(Box::pin(bulkhead.clone().acquire_owned())),
        };
        Self { call: ReadyCall::new(service, request), entry }
    }
}

impl<S, Req> Future for BulkheadFuture<S, Req>
where
    S: Service<Req>,
    S::Error: 'static,
{
    type Output = Result<S::Response, BulkheadError<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Entry::Queued(acquire) = this.entry {
            match ready!(acquire.as_mut().poll(cx)) {
                Ok(slot) => *this.entry = Entry::Inside(slot),
                Err(full) => {
                    *this.entry = Entry::Left;
                    return Poll::Ready(Err(BulkheadError::full(full)));
                }
            }
        }
        if matches!(this.entry, Entry::Refused(_))
            && let Entry::Refused(full) = std::mem::replace(this.entry, Entry::Left)
        {
            return Poll::Ready(Err(BulkheadError::full(full)));
        }
        let result = ready!(this.call.poll(cx));
        *this.entry = Entry::Left;
        Poll::Ready(result.map_err(BulkheadError::inner))
    }
}

impl<S: Service<Req>, Req> std::fmt::Debug for BulkheadFuture<S, Req> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BulkheadFuture").finish_non_exhaustive()
    }
}
