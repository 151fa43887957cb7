//! An accept loop with limits: connections, handshakes, time, headers, URI.

mod accept;
mod activity;
mod admission;
mod config;
mod connection;
mod error;
mod framing;
mod linger;
mod link;
mod rejected;
mod stream;

use std::{convert::Infallible, fmt::Display, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use sap_comm_core::BoxError;
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::tls::ServerTls;

pub use config::ServerConfig;
pub use error::ServerError;

/// A bound listener that serves HTTP/1.1 and HTTP/2 within [`ServerConfig`]'s limits.
///
/// ```
/// use axum::{Router, routing::get};
/// use sap_comm_rest::server::{KitConfig, Server, ServerConfig, kit};
/// use tokio_util::sync::CancellationToken;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let router = kit(Router::new().route("/", get(|| async { "hello" })), KitConfig::default());
/// let server = Server::bind("127.0.0.1:0", ServerConfig::default()).await?;
/// let shutdown = CancellationToken::new();
/// # shutdown.cancel();
/// server.serve(router, shutdown).await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    config: ServerConfig,
    tls: Option<ServerTls>,
}

impl Server {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// When an option or a certificate cannot be used, or the address is in use or refused; the error names it.
    pub async fn bind(address: impl ToSocketAddrs + Display, config: ServerConfig) -> Result<Self, ServerError> {
        config.validate()?;
        let tls = config.tls.clone().map(ServerTls::load).transpose().map_err(|error| error.within("tls"))?;
        let name = address.to_string();
        let listener = TcpListener::bind(address).await.map_err(|error| ServerError::bind(name.clone(), error))?;
        let address = listener.local_addr().map_err(|error| ServerError::bind(name, error))?;
        Ok(Self { listener, address, config, tls })
    }

    /// Serves over this TLS, in place of the configuration's own, so that it can be shared.
    #[must_use]
    pub fn with_tls(self, tls: ServerTls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// The TLS that it serves over, to be reloaded by hand.
    #[must_use]
    pub fn tls(&self) -> Option<&ServerTls> {
        self.tls.as_ref()
    }

    /// Where the server listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then stops accepting, lets open requests end, and cuts what the drain timeout leaves.
    ///
    /// Handlers find the peer's address as `axum::extract::ConnectInfo<SocketAddr>`. Dropping the future cuts every
    /// connection at once.
    ///
    /// # Errors
    /// [`ServerError::Cut`] when connections had to be cut at shutdown.
    pub async fn serve<S, B>(self, service: S, shutdown: CancellationToken) -> Result<(), ServerError>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        accept::run(self, service, shutdown).await
    }
}
