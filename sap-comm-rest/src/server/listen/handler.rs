use std::{convert::Infallible, net::SocketAddr};

use axum::{body::Body as AxumBody, extract::ConnectInfo};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use sap_comm_core::BoxError;
use tower::ServiceExt;
use tower_service::Service;

use super::whole::Whole;

/// Answers the requests of one connection.
pub(crate) trait ConnectionHandler: Clone + Send + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// Answers one request.
    fn handle(self, request: Request<Whole>) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Any service, which finds the peer's address in the request's extensions.
#[derive(Debug, Clone)]
pub(super) struct WithPeer<S> {
    pub(super) service: S,
    pub(super) peer: SocketAddr,
}

impl<S, B> ConnectionHandler for WithPeer<S>
where
    S: Service<Request<AxumBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Body = B;

    async fn handle(self, mut request: Request<Whole>) -> Response<B> {
        request.extensions_mut().insert(ConnectInfo(self.peer));
        match self.service.oneshot(request.map(AxumBody::new)).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
