use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::{AdaptiveConcurrency, AdaptiveConcurrencyError, AdaptiveConcurrencyFuture};
use crate::classify::{Classify, Standard};

/// Bounds the requests in flight of a service by its latency.
#[derive(Debug, Clone)]
pub struct AdaptiveConcurrencyLayer<C = Standard> {
    limit: AdaptiveConcurrency,
    classifier: C,
}

impl AdaptiveConcurrencyLayer {
    pub(super) fn new(limit: AdaptiveConcurrency) -> Self {
        Self { limit, classifier: Standard }
    }
}

impl<C> AdaptiveConcurrencyLayer<C> {
    /// Classifies responses otherwise: [`HttpStatus`](crate::HttpStatus), or a closure.
    #[must_use]
    pub fn classify<D>(self, classifier: D) -> AdaptiveConcurrencyLayer<D> {
        AdaptiveConcurrencyLayer { limit: self.limit, classifier }
    }
}

impl<S, C: Clone> Layer<S> for AdaptiveConcurrencyLayer<C> {
    type Service = AdaptiveConcurrencyService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        AdaptiveConcurrencyService { inner, limit: self.limit.clone(), classifier: self.classifier.clone() }
    }
}

/// The service that [`AdaptiveConcurrencyLayer`] makes. Always ready: the call takes a slot, so that idle clones hold
/// none.
#[derive(Debug, Clone)]
pub struct AdaptiveConcurrencyService<S, C = Standard> {
    inner: S,
    limit: AdaptiveConcurrency,
    classifier: C,
}

impl<S, C, Req> Service<Req> for AdaptiveConcurrencyService<S, C>
where
    S: Service<Req> + Clone,
    S::Error: 'static,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = AdaptiveConcurrencyError<S::Error>;
    type Future = AdaptiveConcurrencyFuture<S, Req, C>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        AdaptiveConcurrencyFuture::new(self.inner.clone(), request, self.limit.clone(), self.classifier.clone())
    }
}
