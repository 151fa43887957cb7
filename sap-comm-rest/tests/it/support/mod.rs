//! Servers on free ports, requests over raw sockets.

mod files;
pub(crate) mod frames;
mod oversized;
mod raw;
mod script;
mod tokens;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use sap_comm_core::{Endpoint, StaticResolver};
use sap_comm_rest::{
    client::{Client, ClientBuilder},
    server::{KitConfig, Server, ServerConfig, ServerError, kit},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use files::Files;
pub(crate) use oversized::{halves, oversized};
pub(crate) use raw::{Answer, Connection, ask};
pub(crate) use script::Script;
pub(crate) use tokens::{Issuer, claims, key_document};

/// Longer than anything that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A server that ends with the test.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    task: JoinHandle<Result<(), ServerError>>,
}

impl Running {
    pub(crate) async fn ended(mut self) -> Result<(), ServerError> {
        (&mut self.task).await.unwrap()
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::parse(&format!("http://{}", self.addr)).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves `router` within the kit.
pub(crate) async fn serve(router: Router) -> Running {
    serve_with(kit(router, KitConfig::default()), "127.0.0.1:0", ServerConfig::default()).await
}

/// Serves `router` as it is.
pub(crate) async fn serve_with(router: Router, address: &str, config: ServerConfig) -> Running {
    serve_server(Server::bind(address, config).await.unwrap(), router)
}

pub(crate) fn serve_server(server: Server, router: Router) -> Running {
    let (addr, shutdown) = (server.local_addr(), CancellationToken::new());
    Running { addr, shutdown: shutdown.clone(), task: tokio::spawn(server.serve(router, shutdown)) }
}

/// A client of one endpoint, without a breaker's and a retry's part in the test.
pub(crate) fn plain_client(endpoint: Endpoint) -> Client {
    client_of(endpoint).without_circuit_breaker().without_retry().build().unwrap()
}

/// Begins a client of one endpoint.
pub(crate) fn client_of(endpoint: Endpoint) -> ClientBuilder {
    let resolver = StaticResolver::new();
    resolver.set("user-service", [endpoint]);
    Client::builder("user-service").resolver(Arc::new(resolver))
}
