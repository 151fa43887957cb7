//! An accept loop with limits: connections, handshakes, time, headers, URI.

mod accept;
mod activity;
mod admission;
mod bind;
mod config;
mod connection;
mod cookies;
mod crowd;
mod error;
mod framing;
mod handler;
mod linger;
mod link;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod open_files;
mod refusals;
mod rejected;
mod stream;
mod whole;
mod workers;

use std::{
    convert::Infallible,
    fmt::Display,
    net::{SocketAddr, TcpListener as StdListener},
    time::Duration,
};

use axum::body::Body as AxumBody;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use sap_comm_core::BoxError;
use tokio::net::{TcpListener, ToSocketAddrs, lookup_host};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::tls::ServerTls;

pub(crate) use admission::SERVED_METHODS;
pub use config::ServerConfig;
pub(crate) use cookies::join_cookies;
pub use error::ServerError;
pub(crate) use handler::ConnectionHandler;
pub(crate) use whole::Whole;

use handler::WithPeer;

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
    sockets: Sockets,
    address: SocketAddr,
    config: ServerConfig,
    tls: Option<ServerTls>,
}

/// Who accepts.
#[derive(Debug)]
enum Sockets {
    /// The caller's runtime.
    Here(TcpListener),
    /// A thread for each.
    Workers(Vec<StdListener>),
}

impl Server {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// On Linux it raises the process's limit of open files to what
    /// [`max_connections`](ServerConfig::max_connections) needs, with 1,024 for the rest, and warns where the system does not
    /// let it. [`Gateway::serve`](crate::gateway::Gateway::serve) raises it to twice the connections, since it has those to services, too.
    ///
    /// # Errors
    /// When an option or a certificate cannot be used, or the address is in use or refused; the error names it.
    pub async fn bind(address: impl ToSocketAddrs + Display, config: ServerConfig) -> Result<Self, ServerError> {
        config.validate()?;
        let tls = config.tls.clone().map(ServerTls::load).transpose().map_err(|error| error.within("tls"))?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        open_files::make_room(config.max_connections, 1);
        let name = address.to_string();
        let fail = |error| ServerError::bind(name.clone(), error);
        if config.workers > 0 {
            let addresses: Vec<_> = lookup_host(address).await.map_err(fail)?.collect();
            let (listeners, address) = bind::shared(&addresses, &config).await.map_err(fail)?;
            return Ok(Self { sockets: Sockets::Workers(listeners), address, config, tls });
        }
        let listener = TcpListener::bind(address).await.map_err(fail)?;
        bind::prepare(&listener, &config);
        let address = listener.local_addr().map_err(fail)?;
        Ok(Self { sockets: Sockets::Here(listener), address, config, tls })
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

    pub(crate) fn max_connections(&self) -> usize {
        self.config.max_connections
    }

    pub(crate) fn drain_timeout(&self) -> Duration {
        self.config.drain_timeout
    }

    /// Raises the limit of open files, where there is one, to so many for each connection.
    pub(crate) fn make_room_for(&self, files: usize) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        open_files::make_room(self.config.max_connections, files);
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = files;
    }

    /// Serves until `shutdown`, then stops accepting but for what the system has accepted already, lets open requests end, and cuts what the
    /// drain timeout leaves.
    ///
    /// With [`workers`](ServerConfig::workers) the service is cloned into each thread, and what it spawns there ends when
    /// the thread has drained. Handlers find the peer's address as `axum::extract::ConnectInfo<SocketAddr>`. Dropping the future cuts every
    /// connection at once.
    ///
    /// # Errors
    /// [`ServerError::Cut`] when connections had to be cut at shutdown.
    pub async fn serve<S, B>(self, service: S, shutdown: CancellationToken) -> Result<(), ServerError>
    where
        S: Service<Request<AxumBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let with_peer = move |peer| WithPeer { service: service.clone(), peer };
        accept::run(self, with_peer, shutdown).await
    }

    /// Serves with a handler for each connection, made from its peer's address.
    pub(crate) async fn serve_each<M, H>(self, make: M, shutdown: CancellationToken) -> Result<(), ServerError>
    where
        M: Fn(SocketAddr) -> H + Clone + Send + 'static,
        H: ConnectionHandler,
    {
        accept::run(self, make, shutdown).await
    }
}
