use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tower_layer::Layer;
use tower_service::Service;

use super::{BreakerError, BreakerFuture, CircuitBreaker, permit::Held};
use crate::{
    classify::{Classify, Standard},
    service::ReadyCall,
};

/// Sends every request of a service through a [`CircuitBreaker`].
#[derive(Debug, Clone)]
pub struct BreakerLayer<C = Standard> {
    breaker: CircuitBreaker,
    classifier: C,
}

impl BreakerLayer {
    pub(super) fn new(breaker: CircuitBreaker) -> Self {
        Self { breaker, classifier: Standard }
    }
}

impl<C> BreakerLayer<C> {
    /// Classifies responses otherwise: [`HttpStatus`](crate::HttpStatus), or a closure.
    #[must_use]
    pub fn classify<D>(self, classifier: D) -> BreakerLayer<D> {
        BreakerLayer { breaker: self.breaker, classifier }
    }
}

impl<S, C: Clone> Layer<S> for BreakerLayer<C> {
    type Service = BreakerService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService { inner, breaker: self.breaker.clone(), classifier: self.classifier.clone() }
    }
}

/// The service that [`BreakerLayer`] makes.
///
/// Always ready: an open breaker rejects at once, whatever the inner service waits for. The wait for the inner
/// service's readiness is part of the call.
#[derive(Debug, Clone)]
pub struct BreakerService<S, C = Standard> {
    inner: S,
    breaker: CircuitBreaker,
    classifier: C,
}

impl<S, C, Req> Service<Req> for BreakerService<S, C>
where
    S: Service<Req> + Clone,
    S::Error: 'static,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = BreakerError<S::Error>;
    type Future = BreakerFuture<S, Req, C>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let engine = &self.breaker.engine;
        match engine.admit() {
            Ok(pass) => {
                let permit = Held::waiting(Arc::clone(engine), pass);
                let call = ReadyCall::new(self.inner.clone(), request);
                BreakerFuture::admitted(call, permit, self.classifier.clone())
            }
            Err(after) => BreakerFuture::rejected(engine.rejected(after)),
        }
    }
}
