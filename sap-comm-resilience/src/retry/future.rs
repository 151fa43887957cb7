use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower_service::Service;

use super::{Kept, Replay, Retry, Session};
use crate::{classify::Classify, numbering::Numbering, scoped::Scoped, service::ReadyCall};

pin_project! {
    /// A request on its way through its attempts.
    #[must_use = "futures do nothing unless polled"]
    pub struct RetryFuture<S, Req, P, C>
    where
        S: Service<Req>,
    {
        #[pin]
        step: Step<S, Req>,
        service: S,
        retry: Retry,
        session: Session,
        replay: P,
        classifier: C,
        kept: Kept<Req>,
        numbering: Numbering,
    }
}

pin_project! {
    #[project = StepProj]
    enum Step<S, Req>
    where
        S: Service<Req>,
    {
        Send { request: Option<Req> },
        Calling { #[pin] call: Scoped<ReadyCall<S, Req>> },
        Waiting { #[pin] sleep: Sleep, request: Option<Req> },
    }
}

impl<S: Service<Req>, Req, P, C> RetryFuture<S, Req, P, C> {
    pub(super) fn new(service: S, retry: Retry, replay: P, classifier: C, request: Req) -> Self {
        let (session, numbering) = (Session::begin(&retry, None), Numbering::default());
        let step = Step::Send { request: Some(request) };
        Self { step, service, retry, session, replay, classifier, kept: Kept::nothing(), numbering }
    }
}

impl<S, Req, P, C> Future for RetryFuture<S, Req, P, C>
where
    S: Service<Req> + Clone,
    S::Error: 'static,
    P: Replay<Req>,
    C: Classify<S::Response, S::Error>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.step.as_mut().project() {
                StepProj::Send { request } => {
                    let Some(request) = request.take() else { return Poll::Pending };
                    *this.kept = Kept::of(this.replay, &request, this.retry.repeats_unsent());
                    let service = &*this.service;
                    let send = || ReadyCall::new(service.clone(), request);
                    let call = Scoped::begin(this.numbering.next(), send);
                    this.step.set(Step::Calling { call });
                }
                StepProj::Calling { call } => {
                    let result = ready!(call.poll(cx));
                    let error = result.as_ref().err();
                    if !this.kept.may_repeat(this.replay, this.retry.was_unsent(error)) {
                        return Poll::Ready(result);
                    }
                    let outcome = this.classifier.judge(&result);
                    let delay = this.session.next(this.retry, outcome, error);
                    let Some(sleep) = delay.map(tokio::time::sleep) else { return Poll::Ready(result) };
                    let request = this.kept.take(this.replay);
                    this.step.set(Step::Waiting { sleep, request });
                }
                StepProj::Waiting { sleep, request } => {
                    ready!(sleep.poll(cx));
                    let request = request.take();
                    this.step.set(Step::Send { request });
                }
            }
        }
    }
}

impl<S: Service<Req>, Req, P, C> std::fmt::Debug for RetryFuture<S, Req, P, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RetryFuture").field("session", &self.session).finish_non_exhaustive()
    }
}
