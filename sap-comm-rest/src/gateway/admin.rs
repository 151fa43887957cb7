//! What a gateway serves by, for whoever runs it.

use axum::{Json, Router, extract::State, routing::get};
use sap_comm_discovery::BalancerSnapshot;
use sap_comm_resilience::Snapshot;
use serde::Serialize;

use super::{Gateway, RouteConfig, RoutesStatus};
use crate::server::{
    KitConfig,
    auth::{Authenticator, authenticate, require_role},
    kit,
};

/// What a gateway serves by at one moment. Holds no secrets.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct GatewaySnapshot {
    /// The gateway's name.
    pub service: String,
    /// Every route.
    pub routes: Vec<RouteConfig>,
    /// How the file of routes fares, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes_file: Option<RoutesStatus>,
    /// Every service that a route leads to.
    pub upstreams: Vec<UpstreamSnapshot>,
    /// WebSocket connections and streams of events that are open.
    pub tunnels: usize,
    /// Lines of the request log that were dropped, since they came faster than they could be written.
    pub dropped_log_lines: u64,
}

/// How one service behind a gateway fares.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct UpstreamSnapshot {
    /// Requests in flight.
    pub in_flight: usize,
    /// How many may be.
    pub max_in_flight: usize,
    /// Bodies that are on their way, also behind an answer that came before; half of `max_in_flight` may be.
    pub uploading: usize,
    /// Its circuit breaker.
    pub breaker: Snapshot,
    /// Its endpoints.
    pub endpoints: BalancerSnapshot,
}

impl Gateway {
    /// What it serves by at this moment.
    #[must_use]
    pub fn snapshot(&self) -> GatewaySnapshot {
        let live = self.0.live.load();
        let upstreams = live.upstreams.values().map(|upstream| UpstreamSnapshot {
            in_flight: upstream.in_flight(),
            max_in_flight: upstream.config.max_in_flight,
            uploading: upstream.uploading(),
            breaker: upstream.breaker.snapshot(),
            endpoints: upstream.endpoints(),
        });
        GatewaySnapshot {
            service: self.0.service.to_string(),
            routes: live.config.routes.clone(),
            routes_file: self.0.routes_status().map(|status| status.borrow().clone()),
            upstreams: upstreams.collect(),
            tunnels: self.0.tunnels.open(),
            dropped_log_lines: self.0.log.dropped(),
        }
    }

    /// Shows the [snapshot](Self::snapshot) as JSON to those who have `role`: `GET /` all of it, `GET /routes` and
    /// `GET /upstreams` a part. Nothing serves it unless it is given to a [`Server`](crate::server::Server), best at an
    /// address that the outside does not reach, or nested into the router of a local route.
    pub fn admin(&self, authenticator: impl Into<Authenticator>, role: &str) -> Router {
        let router = Router::new()
            .route("/", get(async |State(gateway): State<Self>| Json(gateway.snapshot())))
            .route("/routes", get(async |State(gateway): State<Self>| Json(gateway.snapshot().routes)))
            .route("/upstreams", get(async |State(gateway): State<Self>| Json(gateway.snapshot().upstreams)))
            .layer((authenticate(authenticator), require_role(role)))
            .with_state(self.clone());
        kit(router, KitConfig::new(self.0.service.to_string()))
    }
}
