use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{Answer, Fallback, stands};
use crate::{classify::Classify, service::ReadyCall};

pin_project! {
    /// A request, and what is answered when it fails.
    #[must_use = "futures do nothing unless polled"]
    pub struct FallbackFuture<S, Req, F, C>
    where
        S: Service<Req>,
        Fallback<F>: Answer<S::Response, S::Error>,
    {
        #[pin]
        step: Step<ReadyCall<S, Req>, <Fallback<F> as Answer<S::Response, S::Error>>::Future>,
        fallback: Fallback<F>,
        classifier: C,
    }
}

pin_project! {
    #[project = StepProj]
    enum Step<F, A> {
        Calling { #[pin] call: F },
        Otherwise { #[pin] answer: A },
    }
}

impl<S, Req, F, C> FallbackFuture<S, Req, F, C>
where
    S: Service<Req>,
    Fallback<F>: Answer<S::Response, S::Error>,
{
    pub(super) fn new(call: ReadyCall<S, Req>, fallback: Fallback<F>, classifier: C) -> Self {
        Self { step: Step::Calling { call }, fallback, classifier }
    }
}

impl<S, Req, F, C> Future for FallbackFuture<S, Req, F, C>
where
    S: Service<Req>,
    Fallback<F>: Answer<S::Response, S::Error>,
    C: Classify<S::Response, S::Error>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.step.as_mut().project() {
                StepProj::Calling { call } => {
                    let result = ready!(call.poll(cx));
                    if stands(this.classifier.judge(&result)) {
                        return Poll::Ready(result);
                    }
                    match this.fallback.otherwise(result) {
                        Ok(answer) => this.step.set(Step::Otherwise { answer }),
                        Err(result) => return Poll::Ready(result),
                    }
                }
                StepProj::Otherwise { answer } => return answer.poll(cx),
            }
        }
    }
}

impl<S, Req, F, C> std::fmt::Debug for FallbackFuture<S, Req, F, C>
where
    S: Service<Req>,
    Fallback<F>: Answer<S::Response, S::Error>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FallbackFuture").finish_non_exhaustive()
    }
}
