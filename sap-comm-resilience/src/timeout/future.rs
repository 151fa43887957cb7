use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{TimeoutError, Within};
use crate::{service::ReadyCall, timer::Limit};

pin_project! {
    /// A request and the time it has.
    #[must_use = "futures do nothing unless polled"]
    pub struct TimeoutFuture<S, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        call: Within<ReadyCall<S, Req>>,
        after: Duration,
    }
}

impl<S: Service<Req>, Req> TimeoutFuture<S, Req> {
    pub(super) fn new(call: ReadyCall<S, Req>, after: Duration) -> Self {
        Self { call: Within::new(Limit::After(after), call), after }
    }
}

impl<S, Req> Future for TimeoutFuture<S, Req>
where
    S: Service<Req>,
    S::Error: 'static,
{
    type Output = Result<S::Response, TimeoutError<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(match ready!(this.call.poll(cx)) {
            Some(result) => result.map_err(TimeoutError::inner),
            None => Err(TimeoutError::elapsed(*this.after)),
        })
    }
}

impl<S: Service<Req>, Req> std::fmt::Debug for TimeoutFuture<S, Req> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TimeoutFuture").field("after", &self.after).finish_non_exhaustive()
    }
}
