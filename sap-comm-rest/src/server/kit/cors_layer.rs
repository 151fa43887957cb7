use std::task::{Context, Poll};

use http::{HeaderMap, Method, Request, Response, header};
use tower_http::cors::{self, ResponseFuture};
use tower_layer::Layer;
use tower_service::Service;

/// Answers a browser's questions, and says on other answers who may read them; made by
/// [`CorsConfig::layer`](super::CorsConfig::layer).
///
/// An `OPTIONS` that is no such question goes on to the service, as any other request does.
#[derive(Debug, Clone)]
pub struct CorsLayer(pub(super) cors::CorsLayer);

/// A service within a [`CorsLayer`].
#[derive(Debug, Clone)]
pub struct Cors<S>(cors::Cors<Unmasked<S>>);

/// Gives a request the method back that it came with.
#[derive(Debug, Clone)]
struct Unmasked<S>(S);

/// On an `OPTIONS` that passes for another method: tower-http takes every one for a question.
#[derive(Debug, Clone, Copy)]
struct Masked;

/// Whether a browser asks before it asks (Fetch, "CORS-preflight request").
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

impl<S> Layer<S> for CorsLayer {
    type Service = Cors<S>;

    fn layer(&self, inner: S) -> Cors<S> {
        Cors(self.0.layer(Unmasked(inner)))
    }
}

impl<S, A, B> Service<Request<A>> for Cors<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: Default,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        if *request.method() == Method::OPTIONS && !is_preflight(request.method(), request.headers()) {
            *request.method_mut() = Method::GET;
            request.extensions_mut().insert(Masked);
        }
        self.0.call(request)
    }
}

impl<S: Service<Request<A>>, A> Service<Request<A>> for Unmasked<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> S::Future {
        if *request.method() == Method::GET && request.extensions_mut().remove::<Masked>().is_some() {
            *request.method_mut() = Method::OPTIONS;
        }
        self.0.call(request)
    }
}
