use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tower_layer::{Layer, Stack};
use tower_service::Service;

use super::{Parts, Pipeline, PipelineError, attempts::Requests, run::Run};
use crate::{
    HttpReplay, Replay, ReplayBodyLayer,
    classify::{Classify, Standard},
};

/// Sends every request of a service through a [`Pipeline`].
#[derive(Debug, Clone)]
pub struct PipelineLayer<P, C = Standard> {
    pipeline: Pipeline,
    replay: P,
    classifier: C,
}

impl<P, C> PipelineLayer<P, C> {
    pub(super) fn new(pipeline: Pipeline, replay: P, classifier: C) -> Self {
        Self { pipeline, replay, classifier }
    }

    /// Classifies responses otherwise: [`HttpStatus`](crate::HttpStatus), or a closure.
    #[must_use]
    pub fn classify<D>(self, classifier: D) -> PipelineLayer<P, D> {
        PipelineLayer { pipeline: self.pipeline, replay: self.replay, classifier }
    }
}

impl<C> PipelineLayer<HttpReplay, C> {
    /// Sends bodies that do not clone again too, by a [`ReplayBody`](crate::ReplayBody) that keeps up to `max_body` bytes.
    #[must_use]
    pub fn streaming(self, max_body: u64) -> Stack<Self, ReplayBodyLayer> {
        Stack::new(self, ReplayBodyLayer::new(max_body))
    }
}

impl<S, P: Clone, C: Clone> Layer<S> for PipelineLayer<P, C> {
    type Service = PipelineService<S, P, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { pipeline, replay, classifier } = self.clone();
        PipelineService { inner, pipeline, replay, classifier }
    }
}

/// The service that [`PipelineLayer`] makes. Always ready: each attempt waits for the inner service's readiness.
#[derive(Debug, Clone)]
pub struct PipelineService<S, P, C = Standard> {
    inner: S,
    pipeline: Pipeline,
    replay: P,
    classifier: C,
}

impl<S, P, C, Req> Service<Req> for PipelineService<S, P, C>
where
    S: Service<Req> + Clone,
    S::Error: 'static,
    P: Replay<Req> + Clone,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = PipelineError<S::Error>;
    type Future = PipelineFuture<S, Req, P, C>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let Self { inner, pipeline, replay, classifier } = self.clone();
        let requests = Requests { service: inner, replay, classifier, copy: None };
        PipelineFuture { run: Run::new(pipeline.parts, requests, request) }
    }
}

pin_project! {
    /// A request on its way through a pipeline. Allocates only when it has to wait in a queue.
    #[must_use = "futures do nothing unless polled"]
    pub struct PipelineFuture<S, Req, P, C>
    where
        S: Service<Req>,
        S: Clone,
        P: Replay<Req>,
        C: Classify<S::Response, S::Error>,
    {
        #[pin]
        run: Run<Arc<Parts>, Requests<S, Req, P, C>>,
    }
}

impl<S, Req, P, C> Future for PipelineFuture<S, Req, P, C>
where
    S: Service<Req> + Clone,
    S::Error: 'static,
    P: Replay<Req>,
    C: Classify<S::Response, S::Error>,
{
    type Output = Result<S::Response, PipelineError<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().run.poll(cx)
    }
}

impl<S, Req, P, C> fmt::Debug for PipelineFuture<S, Req, P, C>
where
    S: Service<Req> + Clone,
    P: Replay<Req>,
    C: Classify<S::Response, S::Error>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineFuture").finish_non_exhaustive()
    }
}
