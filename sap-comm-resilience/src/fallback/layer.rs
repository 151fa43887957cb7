use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::{Answer, Fallback, FallbackFuture};
use crate::{
    classify::{Classify, Standard},
    service::ReadyCall,
};

/// Answers for the failed requests of a service.
#[derive(Debug, Clone)]
pub struct FallbackLayer<F, C = Standard> {
    fallback: Fallback<F>,
    classifier: C,
}

impl<F, C> FallbackLayer<F, C> {
    pub(super) fn new(fallback: Fallback<F>, classifier: C) -> Self {
        Self { fallback, classifier }
    }

    /// Classifies responses otherwise.
    #[must_use]
    pub fn classify<D>(self, classifier: D) -> FallbackLayer<F, D> {
        FallbackLayer { fallback: self.fallback, classifier }
    }
}

impl<S, F: Clone, C: Clone> Layer<S> for FallbackLayer<F, C> {
    type Service = FallbackService<S, F, C>;

    fn layer(&self, inner: S) -> Self::Service {
        FallbackService { inner, fallback: self.fallback.clone(), classifier: self.classifier.clone() }
    }
}

/// The service that [`FallbackLayer`] makes.
#[derive(Debug, Clone)]
pub struct FallbackService<S, F, C = Standard> {
    inner: S,
    fallback: Fallback<F>,
    classifier: C,
}

impl<S, F, C, Req> Service<Req> for FallbackService<S, F, C>
where
    S: Service<Req> + Clone,
    F: Clone,
    Fallback<F>: Answer<S::Response, S::Error>,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = FallbackFuture<S, Req, F, C>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let call = ReadyCall::new(self.inner.clone(), request);
        FallbackFuture::new(call, self.fallback.clone(), self.classifier.clone())
    }
}
