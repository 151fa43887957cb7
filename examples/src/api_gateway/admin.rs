//! What the gateway shows of itself, at an address of its own.

use std::net::SocketAddr;

use sap_comm::{
    ServiceBuilder,
    rest::{
        gateway::Gateway,
        server::{Server, ServerConfig, auth::Authenticator},
    },
};
use tokio_util::sync::CancellationToken;

use super::EdgeOptions;
use crate::deps::{Deps, StartError};

/// Who may look.
const ROLE: &str = "admin";

/// Serves the admin page until the service has drained, and says where.
pub(super) async fn serve(
    service: ServiceBuilder,
    address: SocketAddr,
    gateway: &Gateway,
    authenticator: Authenticator,
    deps: &Deps,
    edge: &EdgeOptions,
) -> Result<(ServiceBuilder, SocketAddr), StartError> {
    if deps.tls.is_none() && !address.ip().is_loopback() && !edge.insecure_plain_http {
        return Err(format!(
            "--admin-listen {address}: tokens would come in clear text; give --tls-cert, or allow it by --insecure-plain-http"
        )
        .into());
    }
    let mut config = ServerConfig::default();
    // It ends in the last quarter of the time.
    config.drain_timeout = deps.drain_timeout / 5;
    let server = Server::bind(address, config).await?;
    let server = match &deps.tls {
        Some(tls) => server.with_tls(tls.clone()),
        None => server,
    };
    let address = server.local_addr();
    tracing::info!(%address, "the admin page listens");
    let shutdown = CancellationToken::new();
    // A service that does not start drops its drains, and with them the page.
    let stop = shutdown.clone().drop_guard();
    let page = tokio::spawn(server.serve(gateway.admin(authenticator, ROLE), shutdown.clone()));
    let page = tokio::spawn(async move {
        let served = page.await;
        // Nobody else looks before the drain.
        if !shutdown.is_cancelled() {
            tracing::error!(?served, %address, "the admin page ended");
        }
        served
    });
    let service = service.on_drain(move || async move {
        drop(stop);
        Ok(page.await???)
    });
    Ok((service, address))
}
