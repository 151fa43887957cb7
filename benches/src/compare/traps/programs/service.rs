//! Services to stand inside a stack.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{Response, StatusCode};
use tower::{ServiceExt, service_fn, util::BoxCloneSyncService};

use super::super::{
    breaker::Fault,
    stack::{HttpRequest, HttpResponse, HttpService},
};

/// How often a service was called.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(Arc<AtomicUsize>);

impl Calls {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A service that answers its first call with `answer(1)`, the next one with `answer(2)`.
pub(super) fn service<F>(answer: impl Fn(usize) -> F + Clone + Send + Sync + 'static) -> (HttpService, Calls)
where
    F: Future<Output = Result<HttpResponse, Fault>> + Send + 'static,
{
    let calls = Calls::default();
    let counted = calls.clone();
    let service = service_fn(move |_: HttpRequest| answer(counted.0.fetch_add(1, Ordering::SeqCst) + 1));
    (BoxCloneSyncService::new(service), calls)
}

/// A service that never works.
pub(super) fn down() -> (HttpService, Calls) {
    service(async |_| Err(Fault::Down))
}

pub(super) fn ok() -> HttpResponse {
    Response::new(())
}

/// 503 with this `Retry-After`.
pub(super) fn busy(retry_after: &str) -> HttpResponse {
    let response = Response::builder().status(StatusCode::SERVICE_UNAVAILABLE).header("retry-after", retry_after);
    response.body(()).unwrap_or_default()
}

/// Waits until the stack is ready, then sends a request.
pub(super) async fn send(stack: &HttpService, request: HttpRequest) -> Result<HttpResponse, Fault> {
    stack.clone().oneshot(request).await
}

/// Counts its drops.
#[derive(Debug)]
pub(super) struct Guard(Arc<AtomicUsize>);

impl Guard {
    pub(super) fn counted_by(drops: &Arc<AtomicUsize>) -> Self {
        Self(Arc::clone(drops))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
