use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_layer::{Layer, Stack};
use tower_service::Service;

use super::{Parts, Pipeline, PipelineError, answer, attempts::Requests, run::Run};
use crate::{
    Answer, HttpReplay, NoFallback, Replay, ReplayBodyLayer,
    classify::{Classify, Standard},
    retry::Kept,
};

/// Sends every request of a service through a [`Pipeline`].
#[derive(Debug, Clone)]
pub struct PipelineLayer<P, C = Standard, A = NoFallback> {
    pipeline: Pipeline<A>,
    replay: P,
    classifier: C,
}

impl<P, C, A> PipelineLayer<P, C, A> {
    pub(super) fn new(pipeline: Pipeline<A>, replay: P, classifier: C) -> Self {
        Self { pipeline, replay, classifier }
    }

    /// Classifies responses otherwise: [`HttpStatus`](crate::HttpStatus), or a closure.
    #[must_use]
    pub fn classify<D>(self, classifier: D) -> PipelineLayer<P, D, A> {
        PipelineLayer { pipeline: self.pipeline, replay: self.replay, classifier }
    }
}

impl<C, A> PipelineLayer<HttpReplay, C, A> {
    /// Sends bodies that do not clone again too, by a [`ReplayBody`](crate::ReplayBody) that keeps up to `max_body` bytes.
    #[must_use]
    pub fn streaming(self, max_body: u64) -> Stack<Self, ReplayBodyLayer> {
        Stack::new(self, ReplayBodyLayer::new(max_body))
    }
}

impl<S, P: Clone, C: Clone, A: Clone> Layer<S> for PipelineLayer<P, C, A> {
    type Service = PipelineService<S, P, C, A>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { pipeline, replay, classifier } = self.clone();
        PipelineService { inner, pipeline, replay, classifier }
    }
}

/// The service that [`PipelineLayer`] makes. Always ready: each attempt waits for the inner service's readiness.
#[derive(Debug, Clone)]
pub struct PipelineService<S, P, C = Standard, A = NoFallback> {
    inner: S,
    pipeline: Pipeline<A>,
    replay: P,
    classifier: C,
}

impl<S, P, C, A, Req> Service<Req> for PipelineService<S, P, C, A>
where
    S: Service<Req> + Clone,
    S::Error: 'static,
    P: Replay<Req> + Clone,
    C: Classify<S::Response, S::Error> + Clone,
    A: Answer<S::Response, PipelineError<S::Error>> + Clone,
{
    type Response = S::Response;
    type Error = PipelineError<S::Error>;
    type Future = PipelineFuture<S, Req, P, C, A>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let Self { inner, pipeline, replay, classifier } = self.clone();
        let requests = Requests { service: inner, replay, classifier, kept: Kept::nothing() };
        let run = Run::new(pipeline.parts, requests, request);
        PipelineFuture { step: Step::Running { run }, fallback: pipeline.fallback }
    }
}

pin_project! {
    /// A request on its way through a pipeline.
    ///
    /// Allocates only when it has to wait: in a queue, or with a hedge.
    #[must_use = "futures do nothing unless polled"]
    pub struct PipelineFuture<S, Req, P, C, A = NoFallback>
    where
        S: Service<Req>,
        S: Clone,
        P: Replay<Req>,
        C: Classify<S::Response, S::Error>,
        A: Answer<S::Response, PipelineError<S::Error>>,
    {
        #[pin]
        step: Step<Run<Arc<Parts>, Requests<S, Req, P, C>>, A::Future>,
        fallback: A,
    }
}

pin_project! {
    #[project = StepProj]
    enum Step<R, F> {
        Running { #[pin] run: R },
        Answering { #[pin] answer: F },
    }
}

impl<S, Req, P, C, A> Future for PipelineFuture<S, Req, P, C, A>
where
    S: Service<Req> + Clone,
    S::Error: 'static,
    P: Replay<Req>,
    C: Classify<S::Response, S::Error>,
    A: Answer<S::Response, PipelineError<S::Error>>,
{
    type Output = Result<S::Response, PipelineError<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let StepProj::Running { run } = this.step.as_mut().project() {
            let (outcome, result) = ready!(run.poll(cx));
            match answer(this.fallback, outcome, result) {
                Ok(answer) => this.step.set(Step::Answering { answer }),
                Err(result) => return Poll::Ready(result),
            }
        }
        match this.step.project() {
            StepProj::Answering { answer } => answer.poll(cx),
            StepProj::Running { .. } => Poll::Pending,
        }
    }
}

impl<S, Req, P, C, A> fmt::Debug for PipelineFuture<S, Req, P, C, A>
where
    S: Service<Req> + Clone,
    P: Replay<Req>,
    C: Classify<S::Response, S::Error>,
    A: Answer<S::Response, PipelineError<S::Error>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineFuture").finish_non_exhaustive()
    }
}
