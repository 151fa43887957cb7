use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::stands;
use crate::{classify::Classify, service::ReadyCall};

pin_project! {
    /// A request, and what is answered when it fails.
    #[must_use = "futures do nothing unless polled"]
    pub struct FallbackFuture<S, Req, F, Fut, C>
    where
        S: Service<Req>,
    {
        #[pin]
        step: Step<S, Req, Fut>,
        otherwise: F,
        classifier: C,
    }
}

pin_project! {
    #[project = StepProj]
    enum Step<S, Req, Fut>
    where
        S: Service<Req>,
    {
        Calling { #[pin] call: ReadyCall<S, Req> },
        Otherwise { #[pin] answer: Fut },
    }
}

impl<S: Service<Req>, Req, F, Fut, C> FallbackFuture<S, Req, F, Fut, C> {
    pub(super) fn new(call: ReadyCall<S, Req>, otherwise: F, classifier: C) -> Self {
        Self { step: Step::Calling { call }, otherwise, classifier }
    }
}

impl<S, Req, F, Fut, C> Future for FallbackFuture<S, Req, F, Fut, C>
where
    S: Service<Req>,
    F: Fn(S::Error) -> Fut,
    Fut: Future<Output = Result<S::Response, S::Error>>,
    C: Classify<S::Response, S::Error>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.step.as_mut().project() {
                StepProj::Calling { call } => {
                    let result = ready!(call.poll(cx));
                    let stands = stands(this.classifier, &result);
                    match result {
                        Err(error) if !stands => {
                            let answer = (this.otherwise)(error);
                            this.step.set(Step::Otherwise { answer });
                        }
                        result => return Poll::Ready(result),
                    }
                }
                StepProj::Otherwise { answer } => return answer.poll(cx),
            }
        }
    }
}

impl<S: Service<Req>, Req, F, Fut, C> std::fmt::Debug for FallbackFuture<S, Req, F, Fut, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FallbackFuture").finish_non_exhaustive()
    }
}
