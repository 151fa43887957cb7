use std::sync::Arc;

use axum::Router;
use futures_util::FutureExt;
use http::{Request, Response};
use tower::ServiceExt;

use super::{Gateway, ResponseBody, client::Peer, service::Inner};
use crate::server::{ConnectionHandler, HealthRegistry, KitConfig, Whole, is_probe, kit};

/// A gateway at a listener, and what is answered beside it.
#[derive(Clone)]
pub(super) struct Edge {
    gateway: Gateway,
    probes: Option<Arc<Router>>,
}

/// A gateway, as one connection sees it: its requests hold this, and not what all connections share.
#[derive(Clone)]
pub(super) struct Connected(Arc<At>);

struct At {
    edge: Edge,
    peer: Peer,
}

impl Edge {
    pub(super) fn new(gateway: Gateway, health: Option<&HealthRegistry>) -> Self {
        let config = KitConfig::new(gateway.0.service.to_string());
        let probes = health.map(|health| Arc::new(kit(health.router(), config)));
        Self { gateway, probes }
    }

    pub(super) fn to(&self, peer: Peer) -> Connected {
        Connected(Arc::new(At { edge: self.clone(), peer }))
    }
}

impl ConnectionHandler for Connected {
    type Body = ResponseBody;

    fn handle(self, request: Request<Whole>) -> impl Future<Output = Response<ResponseBody>> + Send {
        let At { edge: Edge { probes, .. }, peer } = &*self.0;
        match probes {
            Some(probes) if is_probe(request.uri().path()) => probe(Arc::clone(probes), request).boxed(),
            _ => {
                let peer = Some(peer.clone());
                Gateway::handle_for(self, peer, request.map(Into::into))
            }
        }
    }
}

impl AsRef<Inner> for Connected {
    fn as_ref(&self) -> &Inner {
        self.0.edge.gateway.as_ref()
    }
}

async fn probe(probes: Arc<Router>, request: Request<Whole>) -> Response<ResponseBody> {
    match Router::clone(&probes).oneshot(request).await {
        Ok(response) => response.map(ResponseBody::from),
        Err(never) => match never {},
    }
}
