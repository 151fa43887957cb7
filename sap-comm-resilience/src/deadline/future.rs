use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tower_service::Service;

use super::DeadlineError;
use crate::service::ReadyCall;

pin_project! {
    /// A request and the deadline it has.
    #[must_use = "futures do nothing unless polled"]
    pub struct DeadlineFuture<S, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        call: ReadyCall<S, Req>,
        #[pin]
        sleep: Option<Sleep>,
        context: sap_comm_core::Context,
    }
}

impl<S: Service<Req>, Req> DeadlineFuture<S, Req> {
    pub(super) fn new(call: ReadyCall<S, Req>, context: sap_comm_core::Context, at: Option<Instant>) -> Self {
        Self { call, sleep: at.map(tokio::time::sleep_until), context }
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
        // The deadline first: past it, the call is not even begun.
        if let Some(sleep) = this.sleep.as_pin_mut()
            && sleep.poll(cx).is_ready()
        {
            return Poll::Ready(Err(DeadlineError::exceeded()));
        }
        let call = this.call;
        this.context.clone().sync_scope(|| call.poll(cx)).map_err(DeadlineError::inner)
    }
}

impl<S: Service<Req>, Req> std::fmt::Debug for DeadlineFuture<S, Req> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadlineFuture").finish_non_exhaustive()
    }
}
