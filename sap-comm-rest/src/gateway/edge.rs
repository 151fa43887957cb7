use std::sync::Arc;

use axum::Router;
use http::{Request, Response};
use hyper::body::Incoming;
use tower::ServiceExt;

use super::{Gateway, ResponseBody, client::Peer};
use crate::server::{ConnectionHandler, HealthRegistry, KitConfig, is_probe, kit};

/// A gateway at a listener.
#[derive(Clone)]
pub(super) struct Edge(Arc<Front>);

/// A gateway, and what is answered beside it.
struct Front {
    gateway: Gateway,
    probes: Option<Router>,
}

/// A gateway, as one connection sees it.
#[derive(Clone)]
pub(super) struct Connected {
    front: Arc<Front>,
    peer: Peer,
}

impl Edge {
    pub(super) fn new(gateway: Gateway, health: Option<&HealthRegistry>) -> Self {
        let config = KitConfig::new(gateway.0.service.to_string());
        let probes = health.map(|health| kit(health.router(), config));
        Self(Arc::new(Front { gateway, probes }))
    }

    pub(super) fn to(&self, peer: Peer) -> Connected {
        Connected { front: Arc::clone(&self.0), peer }
    }
}

impl ConnectionHandler for Connected {
    type Body = ResponseBody;

    async fn handle(self, request: Request<Incoming>) -> Response<ResponseBody> {
        let Self { front, peer } = self;
        match &front.probes {
            // In a box, since it is large, and every request would carry it.
            Some(probes) if is_probe(request.uri().path()) => Box::pin(probe(probes.clone(), request)).await,
            _ => front.gateway.handle_from(Some(peer), request.map(Into::into)).await,
        }
    }
}

async fn probe(probes: Router, request: Request<Incoming>) -> Response<ResponseBody> {
    match probes.oneshot(request).await {
        Ok(response) => response.map(ResponseBody::from),
        Err(never) => match never {},
    }
}
