use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

pin_project! {
    /// Waits for the service's readiness, then calls it once.
    pub struct ReadyCall<S, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        state: Step<S, Req>,
    }
}

pin_project! {
    #[project = StepProj]
    enum Step<S, Req>
    where
        S: Service<Req>,
    {
        Waiting { service: S, request: Option<Req> },
        Calling {
            #[pin]
            future: S::Future,
        },
    }
}

impl<S: Service<Req>, Req> ReadyCall<S, Req> {
    pub(crate) fn new(service: S, request: Req) -> Self {
        Self { state: Step::Waiting { service, request: Some(request) } }
    }
}

impl<S: Service<Req>, Req> Future for ReadyCall<S, Req> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StepProj::Waiting { service, request } => {
                    ready!(service.poll_ready(cx))?;
                    let Some(request) = request.take() else { return Poll::Pending };
                    let future = service.call(request);
                    state.set(Step::Calling { future });
                }
                StepProj::Calling { future } => return future.poll(cx),
            }
        }
    }
}

impl<S: Service<Req>, Req> std::fmt::Debug for ReadyCall<S, Req> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadyCall").finish_non_exhaustive()
    }
}
