use std::task::{Context, Poll};

use http::Request;
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::ReplayBody;

/// Lets the layers below send bodies again that do not clone: streams, and those of other requests.
///
/// ```
/// # fn main() -> Result<(), sap_comm_core::config::ConfigError> {
/// use sap_comm_resilience::{ReplayBodyLayer, Retry};
///
/// let retry = Retry::builder().build()?;
/// let layers = tower::ServiceBuilder::new().layer(ReplayBodyLayer::new(256 * 1024)).layer(retry.http_layer());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ReplayBodyLayer {
    max_body: u64,
}

impl ReplayBodyLayer {
    /// Keeps up to `max_body` bytes of what was sent, for each request in flight that may be sent again.
    #[must_use]
    pub const fn new(max_body: u64) -> Self {
        Self { max_body }
    }
}

impl<S> Layer<S> for ReplayBodyLayer {
    type Service = ReplayBodyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ReplayBodyService { inner, max_body: self.max_body }
    }
}

/// The service that [`ReplayBodyLayer`] makes.
#[derive(Debug, Clone, Copy)]
pub struct ReplayBodyService<S> {
    inner: S,
    max_body: u64,
}

impl<S, B> Service<Request<B>> for ReplayBodyService<S>
where
    B: Body,
    S: Service<Request<ReplayBody<B>>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let max_body = self.max_body;
        self.inner.call(request.map(|body| ReplayBody::new(body, max_body)))
    }
}
