use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::{AdaptiveThrottle, AdaptiveThrottleError, AdaptiveThrottleFuture};
use crate::{
    classify::{Classify, Standard},
    service::ReadyCall,
};

/// Holds requests back that a service would refuse.
#[derive(Debug, Clone)]
pub struct AdaptiveThrottleLayer<C = Standard> {
    throttle: AdaptiveThrottle,
    classifier: C,
}

impl AdaptiveThrottleLayer {
    pub(super) fn new(throttle: AdaptiveThrottle) -> Self {
        Self { throttle, classifier: Standard }
    }
}

impl<C> AdaptiveThrottleLayer<C> {
    /// Classifies responses otherwise: [`HttpStatus`](crate::HttpStatus), or a closure.
    #[must_use]
    pub fn classify<D>(self, classifier: D) -> AdaptiveThrottleLayer<D> {
        AdaptiveThrottleLayer { throttle: self.throttle, classifier }
    }
}

impl<S, C: Clone> Layer<S> for AdaptiveThrottleLayer<C> {
    type Service = AdaptiveThrottleService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        AdaptiveThrottleService { inner, throttle: self.throttle.clone(), classifier: self.classifier.clone() }
    }
}

/// The service that [`AdaptiveThrottleLayer`] makes. Always ready; the call is made or held back.
#[derive(Debug, Clone)]
pub struct AdaptiveThrottleService<S, C = Standard> {
    inner: S,
    throttle: AdaptiveThrottle,
    classifier: C,
}

impl<S, C, Req> Service<Req> for AdaptiveThrottleService<S, C>
where
    S: Service<Req> + Clone,
    S::Error: 'static,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = AdaptiveThrottleError<S::Error>;
    type Future = AdaptiveThrottleFuture<S, Req, C>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let call = ReadyCall::new(self.inner.clone(), request);
        AdaptiveThrottleFuture::new(call, self.throttle.try_acquire(), self.classifier.clone())
    }
}
