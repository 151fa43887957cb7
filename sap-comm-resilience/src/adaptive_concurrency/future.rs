use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{AdaptiveConcurrency, AdaptiveConcurrencyError, ConcurrencyLimited, ConcurrencyPermit};
use crate::{classify::Classify, service::ReadyCall};

type Acquire = Pin<Box<dyn Future<Output = Result<ConcurrencyPermit, ConcurrencyLimited>> + Send>>;

pin_project! {
    /// A request on its way through an adaptive concurrency limit. Allocates only when it has to queue.
    #[must_use = "futures do nothing unless polled"]
    pub struct AdaptiveConcurrencyFuture<S, Req, C>
    where
        S: Service<Req>,
    {
        #[pin]
        call: ReadyCall<S, Req>,
        entry: Entry,
        limit: AdaptiveConcurrency,
        classifier: C,
    }
}

enum Entry {
    Asking,
    Queued(Acquire),
    Inside(ConcurrencyPermit),
    Left,
}

impl<S: Service<Req>, Req, C> AdaptiveConcurrencyFuture<S, Req, C> {
    pub(super) fn new(service: S, request: Req, limit: AdaptiveConcurrency, classifier: C) -> Self {
        Self { call: ReadyCall::new(service, request), entry: Entry::Asking, limit, classifier }
    }
}

impl<S, Req, C> Future for AdaptiveConcurrencyFuture<S, Req, C>
where
    S: Service<Req>,
    S::Error: 'static,
    C: Classify<S::Response, S::Error>,
{
    type Output = Result<S::Response, AdaptiveConcurrencyError<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut call = this.call;
        loop {
            *this.entry = match this.entry {
                Entry::Asking => match this.limit.try_acquire() {
                    Ok(permit) => Entry::Inside(permit),
                    Err(limited) if this.limit.max_queue() == 0 => {
                        *this.entry = Entry::Left;
                        return Poll::Ready(Err(AdaptiveConcurrencyError::limited(limited)));
                    }
                    Err(_) => {
                        let limit = this.limit.clone();
                        Entry::Queued(Box::pin(async move { limit.acquire().await }))
                    }
                },
                Entry::Queued(acquire) => match ready!(acquire.as_mut().poll(cx)) {
                    Ok(permit) => Entry::Inside(permit),
                    Err(limited) => {
                        *this.entry = Entry::Left;
                        return Poll::Ready(Err(AdaptiveConcurrencyError::limited(limited)));
                    }
                },
                Entry::Inside(_) => {
                    let result = ready!(call.as_mut().poll(cx));
                    if let Entry::Inside(permit) = std::mem::replace(this.entry, Entry::Left) {
                        permit.settle(this.limit.judge(this.classifier.judge(&result), result.as_ref().err()));
                    }
                    return Poll::Ready(result.map_err(AdaptiveConcurrencyError::inner));
                }
                Entry::Left => return Poll::Pending,
            };
        }
    }
}

impl<S: Service<Req>, Req, C> std::fmt::Debug for AdaptiveConcurrencyFuture<S, Req, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdaptiveConcurrencyFuture").field("limit", &self.limit).finish_non_exhaustive()
    }
}
