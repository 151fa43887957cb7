use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{RateLimit, RateLimitError, RateLimited};
use crate::service::ReadyCall;

type Acquire = Pin<Box<dyn Future<Output = Result<(), RateLimited>> + Send>>;

pin_project! {
    /// A request held to a rate. Allocates only when it has to wait.
    #[must_use = "futures do nothing unless polled"]
    pub struct RateLimitFuture<S, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        call: ReadyCall<S, Req>,
        entry: Entry,
    }
}

enum Entry {
    Asking(RateLimit),
    Waiting(Acquire),
    Allowed,
}

impl<S: Service<Req>, Req> RateLimitFuture<S, Req> {
    pub(super) fn new(call: ReadyCall<S, Req>, limit: RateLimit) -> Self {
        Self { call, entry: Entry::Asking(limit) }
    }
}

impl<S, Req> Future for RateLimitFuture<S, Req>
where
    S: Service<Req>,
    S::Error: 'static,
{
    type Output = Result<S::Response, RateLimitError<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        loop {
            match this.entry {
                Entry::Asking(limit) => {
                    let limit = limit.clone();
                    *this.entry = match limit.check() {
                        Ok(()) => Entry::Allowed,
                        Err(limited) if limit.inner.max_wait.is_zero() => {
                            return Poll::Ready(Err(RateLimitError::limited(limited)));
                        }
                        Err(_) => Entry::Waiting(Box::pin(async move { limit.acquire().await })),
                    };
                }
                Entry::Waiting(acquire) => match ready!(acquire.as_mut().poll(cx)) {
                    Ok(()) => *this.entry = Entry::Allowed,
                    Err(limited) => return Poll::Ready(Err(RateLimitError::limited(limited))),
                },
                Entry::Allowed => return this.call.poll(cx).map_err(RateLimitError::inner),
            }
        }
    }
}

impl<S: Service<Req>, Req> std::fmt::Debug for RateLimitFuture<S, Req> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimitFuture").finish_non_exhaustive()
    }
}
