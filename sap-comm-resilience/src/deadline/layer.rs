use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::{Deadline, DeadlineError, DeadlineFuture};
use crate::service::ReadyCall;

/// Gives every request of a service a deadline.
#[derive(Debug, Clone, Copy)]
pub struct DeadlineLayer {
    deadline: Deadline,
}

impl DeadlineLayer {
    pub(super) const fn new(deadline: Deadline) -> Self {
        Self { deadline }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService { inner, deadline: self.deadline }
    }
}

/// The service that [`DeadlineLayer`] makes. Always ready: the wait for the inner service is inside the deadline.
#[derive(Debug, Clone)]
pub struct DeadlineService<S> {
    inner: S,
    deadline: Deadline,
}

impl<S, Req> Service<Req> for DeadlineService<S>
where
    S: Service<Req> + Clone,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = DeadlineError<S::Error>;
    type Future = DeadlineFuture<S, Req>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let (context, at) = self.deadline.enter();
        DeadlineFuture::new(ReadyCall::new(self.inner.clone(), request), context, at)
    }
}
