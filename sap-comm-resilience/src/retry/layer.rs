use std::task::{Context, Poll};

use tower_layer::{Layer, Stack};
use tower_service::Service;

use super::{HttpReplay, Replay, ReplayBodyLayer, Retry, RetryFuture};
use crate::classify::{Classify, Standard};

/// Retries the requests of a service.
#[derive(Debug, Clone)]
pub struct RetryLayer<P, C = Standard> {
    retry: Retry,
    replay: P,
    classifier: C,
}

impl<P, C> RetryLayer<P, C> {
    pub(super) fn new(retry: Retry, replay: P, classifier: C) -> Self {
        Self { retry, replay, classifier }
    }

    /// Classifies responses otherwise.
    #[must_use]
    pub fn classify<D>(self, classifier: D) -> RetryLayer<P, D> {
        RetryLayer { retry: self.retry, replay: self.replay, classifier }
    }
}

impl<C> RetryLayer<HttpReplay, C> {
    /// Sends bodies that do not clone again too, by a [`ReplayBody`](crate::ReplayBody) that keeps up to `max_body` bytes.
    #[must_use]
    pub fn streaming(self, max_body: u64) -> Stack<Self, ReplayBodyLayer> {
        Stack::new(self, ReplayBodyLayer::new(max_body))
    }
}

impl<S, P: Clone, C: Clone> Layer<S> for RetryLayer<P, C> {
    type Service = RetryService<S, P, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { retry, replay, classifier } = self.clone();
        RetryService { inner, retry, replay, classifier }
    }
}

/// The service that [`RetryLayer`] makes. Always ready; each attempt waits for the inner service's readiness.
#[derive(Debug, Clone)]
pub struct RetryService<S, P, C = Standard> {
    inner: S,
    retry: Retry,
    replay: P,
    classifier: C,
}

impl<S, P, C, Req> Service<Req> for RetryService<S, P, C>
where
    S: Service<Req> + Clone,
    S::Error: 'static,
    P: Replay<Req> + Clone,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = RetryFuture<S, Req, P, C>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        RetryFuture::new(self.inner.clone(), self.retry.clone(), self.replay.clone(), self.classifier.clone(), request)
    }
}
