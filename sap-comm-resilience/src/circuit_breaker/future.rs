use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{BreakerError, Rejected, engine::Engine, permit::Held};
use crate::{classify::Classify, service::ReadyCall};

pin_project! {
    /// A request on its way through a breaker.
    #[must_use = "futures do nothing unless polled"]
    pub struct BreakerFuture<S, Req, C>
    where
        S: Service<Req>,
    {
        #[pin]
        state: Progress<S, Req, C>,
    }
}

pin_project! {
    #[project = ProgressProj]
    enum Progress<S, Req, C>
    where
        S: Service<Req>,
    {
        Rejected { rejected: Option<Rejected> },
        Admitted {
            #[pin]
            call: ReadyCall<S, Req>,
            permit: Held<Arc<Engine>>,
            classifier: C,
        },
    }
}

impl<S: Service<Req>, Req, C> BreakerFuture<S, Req, C> {
    pub(super) fn admitted(call: ReadyCall<S, Req>, permit: Held<Arc<Engine>>, classifier: C) -> Self {
        Self { state: Progress::Admitted { call, permit, classifier } }
    }

    pub(super) fn rejected(rejected: Rejected) -> Self {
        Self { state: Progress::Rejected { rejected: Some(rejected) } }
    }
}

impl<S, Req, C> Future for BreakerFuture<S, Req, C>
where
    S: Service<Req>,
    S::Error: 'static,
    C: Classify<S::Response, S::Error>,
{
    type Output = Result<S::Response, BreakerError<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            ProgressProj::Rejected { rejected } => match rejected.take() {
                Some(rejected) => Poll::Ready(Err(BreakerError::open(|| rejected))),
                None => Poll::Pending,
            },
            ProgressProj::Admitted { call, permit, classifier } => {
                let result = ready!(permit.watch_poll(call, cx));
                permit.settle(classifier.judge(&result));
                Poll::Ready(result.map_err(BreakerError::inner))
            }
        }
    }
}

impl<S: Service<Req>, Req, C> std::fmt::Debug for BreakerFuture<S, Req, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BreakerFuture").finish_non_exhaustive()
    }
}
