use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower_service::Service;

use super::{Replay, Retry, Session};
use crate::{classify::Classify, service::ReadyCall};

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
        copy: Option<Req>,
        scope: Option<sap_comm_core::Context>,
    }
}

pin_project! {
    #[project = StepProj]
    enum Step<S, Req>
    where
        S: Service<Req>,
    {
        Calling { #[pin] call: ReadyCall<S, Req> },
        Waiting { #[pin] sleep: Sleep },
    }
}

impl<S, Req, P, C> RetryFuture<S, Req, P, C>
where
    S: Service<Req> + Clone,
    P: Replay<Req>,
{
    pub(super) fn new(service: S, retry: Retry, replay: P, classifier: C, request: Req) -> Self {
        let copy = replay.replay(&request);
        let step = Step::Calling { call: ReadyCall::new(service.clone(), request) };
        let session = Session::begin(&retry, None);
        Self { step, service, retry, session, replay, classifier, copy, scope: None }
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
                StepProj::Calling { call } => {
                    let result = ready!(match this.scope {
                        Some(context) => context.clone().sync_scope(|| call.poll(cx)),
                        None => call.poll(cx),
                    });
                    let Some(copy) = this.copy.as_ref().filter(|copy| this.replay.is_intact(copy)) else {
                        return Poll::Ready(result);
                    };
                    let outcome = this.classifier.classify(&result);
                    match this.session.next(this.retry, outcome, result.as_ref().err()) {
                        Some(delay) => {
                            this.replay.reclaim(copy);
                            this.step.set(Step::Waiting { sleep: tokio::time::sleep(delay) });
                        }
                        None => return Poll::Ready(result),
                    }
                }
                StepProj::Waiting { sleep } => {
                    ready!(sleep.poll(cx));
                    let Some(request) = this.copy.take() else { return Poll::Pending };
                    *this.copy = this.replay.replay(&request);
                    *this.scope = Some(this.session.context());
                    let call = ReadyCall::new(this.service.clone(), request);
                    this.step.set(Step::Calling { call });
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
