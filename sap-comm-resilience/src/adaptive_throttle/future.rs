use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{AdaptiveThrottleError, LocallyThrottled, ThrottlePermit};
use crate::{classify::Classify, service::ReadyCall};

pin_project! {
    /// A request on its way through an adaptive throttle.
    #[must_use = "futures do nothing unless polled"]
    pub struct AdaptiveThrottleFuture<S, Req, C>
    where
        S: Service<Req>,
    {
        #[pin]
        call: ReadyCall<S, Req>,
        verdict: Option<Result<ThrottlePermit, LocallyThrottled>>,
        classifier: C,
    }
}

impl<S: Service<Req>, Req, C> AdaptiveThrottleFuture<S, Req, C> {
    pub(super) fn new(
        call: ReadyCall<S, Req>,
        verdict: Result<ThrottlePermit, LocallyThrottled>,
        classifier: C,
    ) -> Self {
        Self { call, verdict: Some(verdict), classifier }
    }
}

impl<S, Req, C> Future for AdaptiveThrottleFuture<S, Req, C>
where
    S: Service<Req>,
    S::Error: 'static,
    C: Classify<S::Response, S::Error>,
{
    type Output = Result<S::Response, AdaptiveThrottleError<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(Err(throttled)) = this.verdict.take_if(|verdict| verdict.is_err()) {
            return Poll::Ready(Err(AdaptiveThrottleError::throttled(throttled)));
        }
        let result = ready!(this.call.poll(cx));
        if let Some(Ok(permit)) = this.verdict.take() {
            permit.settle(this.classifier.judge(&result));
        }
        Poll::Ready(result.map_err(AdaptiveThrottleError::inner))
    }
}

impl<S: Service<Req>, Req, C> std::fmt::Debug for AdaptiveThrottleFuture<S, Req, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdaptiveThrottleFuture").finish_non_exhaustive()
    }
}
