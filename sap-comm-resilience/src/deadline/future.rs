use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_service::Service;

use super::DeadlineError;
use crate::{service::ReadyCall, timeout::Within, timer::Limit};

pin_project! {
    /// A request and the deadline it has.
    #[must_use = "futures do nothing unless polled"]
    pub struct DeadlineFuture<S, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        call: Within<ReadyCall<S, Req>>,
        unbegun: Option<Instant>,
        context: sap_comm_core::Context,
    }
}

impl<S: Service<Req>, Req> DeadlineFuture<S, Req> {
    pub(super) fn new(call: ReadyCall<S, Req>, context: sap_comm_core::Context, at: Option<Instant>) -> Self {
        Self { call: Within::new(at.map(Limit::At), call), unbegun: at, context }
    }
}

impl<S, Req> Future for DeadlineFuture<S, Req>
where
    S: Service<Req>,
    S::Error: 'static,
{
    type Output = Result<S::Response, DeadlineError<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Past the deadline, the call is not even begun.
        if this.unbegun.take().is_some_and(|at| at <= Instant::now()) {
            return Poll::Ready(Err(DeadlineError::exceeded()));
        }
        let call = this.call;
        Poll::Ready(match ready!(this.context.clone().sync_scope(|| call.poll(cx))) {
            Some(result) => result.map_err(DeadlineError::inner),
            None => Err(DeadlineError::exceeded()),
        })
    }
}

impl<S: Service<Req>, Req> std::fmt::Debug for DeadlineFuture<S, Req> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadlineFuture").finish_non_exhaustive()
    }
}
