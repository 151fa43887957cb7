use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::{Hedge, HedgeFuture};
use crate::{
    Replay,
    classify::{Classify, Standard},
};

/// Hedges the requests of a service.
#[derive(Debug, Clone)]
pub struct HedgeLayer<P, C = Standard> {
    hedge: Hedge,
    replay: P,
    classifier: C,
}

impl<P, C> HedgeLayer<P, C> {
    pub(super) fn new(hedge: Hedge, replay: P, classifier: C) -> Self {
        Self { hedge, replay, classifier }
    }

    /// Classifies responses otherwise.
    #[must_use]
    pub fn classify<D>(self, classifier: D) -> HedgeLayer<P, D> {
        HedgeLayer { hedge: self.hedge, replay: self.replay, classifier }
    }
}

impl<S, P: Clone, C: Clone> Layer<S> for HedgeLayer<P, C> {
    type Service = HedgeService<S, P, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { hedge, replay, classifier } = self.clone();
        HedgeService { inner, hedge, replay, classifier }
    }
}

/// The service that [`HedgeLayer`] makes. Always ready; each call waits for the inner service's readiness.
#[derive(Debug, Clone)]
pub struct HedgeService<S, P, C = Standard> {
    inner: S,
    hedge: Hedge,
    replay: P,
    classifier: C,
}

impl<S, P, C, Req> Service<Req> for HedgeService<S, P, C>
where
    S: Service<Req> + Clone,
    P: Replay<Req> + Clone,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = HedgeFuture<S, Req, P, C>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let (replay, classifier) = (self.replay.clone(), self.classifier.clone());
        HedgeFuture::new(self.hedge.clone(), self.inner.clone(), request, replay, classifier)
    }
}
