use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::{Timeout, TimeoutError, TimeoutFuture};
use crate::service::ReadyCall;

/// Bounds the time of every request of a service.
#[derive(Debug, Clone, Copy)]
pub struct TimeoutLayer {
    timeout: Timeout,
}

impl TimeoutLayer {
    pub(super) const fn new(timeout: Timeout) -> Self {
        Self { timeout }
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = TimeoutService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TimeoutService { inner, timeout: self.timeout }
    }
}

/// The service that [`TimeoutLayer`] makes. Always ready: the wait for the inner service is inside the bound.
#[derive(Debug, Clone)]
pub struct TimeoutService<S> {
    inner: S,
    timeout: Timeout,
}

impl<S, Req> Service<Req> for TimeoutService<S>
where
    S: Service<Req> + Clone,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = TimeoutError<S::Error>;
    type Future = TimeoutFuture<S, Req>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        TimeoutFuture::new(ReadyCall::new(self.inner.clone(), request), self.timeout.duration())
    }
}
