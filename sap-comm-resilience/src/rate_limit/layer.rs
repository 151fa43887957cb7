use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::{RateLimit, RateLimitError, RateLimitFuture};
use crate::service::ReadyCall;

/// Holds the requests of a service to a rate.
#[derive(Debug, Clone)]
pub struct RateLimitLayer {
    limit: RateLimit,
}

impl RateLimitLayer {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimitService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimitService { inner, limit: self.limit.clone() }
    }
}

/// The service that [`RateLimitLayer`] makes. Always ready; the call waits or is refused.
#[derive(Debug, Clone)]
pub struct RateLimitService<S> {
    inner: S,
    limit: RateLimit,
}

impl<S, Req> Service<Req> for RateLimitService<S>
where
    S: Service<Req> + Clone,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = RateLimitError<S::Error>;
    type Future = RateLimitFuture<S, Req>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        RateLimitFuture::new(ReadyCall::new(self.inner.clone(), request), self.limit.clone())
    }
}
