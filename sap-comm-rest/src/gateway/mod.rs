//! The one way in: routes requests to services, and decides who may make them.
//!
//! | step | a request that fails it gets |
//! | --- | --- |
//! | read unambiguously: framing, host, path | 400, and where its end is unclear the connection is closed |
//! | routed by path and method ([`Route`]) | 404, 405 with `Allow` |
//! | authenticated, authorized | 401 with `WWW-Authenticate`, 403 |
//! | within its quota ([`Quota`]) | 429 with `Retry-After` |
//! | let through by the upstream's circuit breaker | 503 `CIRCUIT_OPEN` with `Retry-After` |
//! | sent to an endpoint, which answers in time | 503, 502, 504 |
//!
//! Routing, authorization and forwarding read the same normalised path. Every answer of the gateway's own is the error
//! envelope. Bodies stream in both directions; WebSocket and server-sent events pass through. One line in the log tells
//! how each request ended.

mod access;
mod admin;
mod answer;
mod body;
mod builder;
mod client;
mod config;
mod cors;
mod edge;
mod entry;
mod exchange;
mod failure;
mod forward;
mod headers;
mod host;
mod live;
mod log;
mod off;
mod outbound;
mod path;
mod pool;
mod proxy;
mod rate_limit;
mod record;
mod refusal;
mod retry;
mod route;
mod routes_file;
mod screen;
mod service;
mod spread;
mod table;
mod upgrade;
mod upstream;

use std::{convert::Infallible, fmt, pin::pin, sync::Arc, task::Poll, time::Duration};

use axum::{Router, body::Body};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use sap_comm_core::{Context, config::ConfigError, telemetry};
use sap_comm_resilience::Snapshot;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tower_service::Service;
use tracing::Instrument;

pub use admin::{GatewaySnapshot, UpstreamSnapshot};
pub use body::ResponseBody;
pub use builder::GatewayBuilder;
pub use config::{GatewayConfig, Scheme, UpstreamConfig};
pub use log::RequestLog;
pub use rate_limit::{Quota, RateLimitConfig, SharedLimits, WhenAway};
pub use retry::UpstreamRetry;
pub use route::{Access, Route, RouteConfig, Target};
pub use routes_file::RoutesStatus;

use body::RequestBody;
use client::Peer;
use edge::Edge;
use live::{Live, Place};
use record::Record;
use refusal::Refusal;
use service::Inner;
use spread::Held;

use crate::server::{HealthRegistry, Server, ServerError};

/// An API gateway. Cheap to clone; see [`Gateway::serve`].
///
/// ```
/// use std::sync::Arc;
///
/// use sap_comm_core::{Endpoint, StaticResolver};
/// use sap_comm_rest::{
///     gateway::{Gateway, Quota, Route},
///     server::{Server, ServerConfig},
/// };
/// use tokio_util::sync::CancellationToken;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let resolver = StaticResolver::new();
/// resolver.set("content-service", [Endpoint::parse("http://127.0.0.1:8082")?]);
/// let gateway = Gateway::builder()
///     .resolver(Arc::new(resolver))
///     .route(Route::new("/api/v1/contents").methods(["GET"]).to("content-service").public())
///     .rate_limit(Quota::per_second(50).burst(100))
///     .build()?;
///
/// let server = Server::bind("127.0.0.1:0", ServerConfig::default()).await?;
/// let shutdown = CancellationToken::new();
/// # shutdown.cancel();
/// gateway.serve(server, shutdown).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

impl Gateway {
    /// Begins a gateway with the defaults of [`GatewayConfig`].
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder::default()
    }

    fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Answers one request. The peer's address is taken from axum's `ConnectInfo<SocketAddr>` in its extensions.
    ///
    /// Dropping the future gives the request up: the connection to its upstream is closed, and neither the breaker nor
    /// the balancer counts it.
    pub async fn handle(&self, request: Request<Body>) -> Response<ResponseBody> {
        Self::handle_for(self.clone(), Peer::of(request.extensions()), request.map(Into::into)).await
    }

    /// Answers a request, for whoever holds the gateway. In a box from the beginning: the future is large, and would be moved by each
    /// that waits for it.
    fn handle_for<G: AsRef<Inner> + Clone + Send + Sync + 'static>(
        gateway: G,
        peer: Option<Peer>,
        request: Request<RequestBody>,
    ) -> BoxFuture<'static, Response<ResponseBody>> {
        let live = gateway.as_ref().live.load().hold();
        match live.cors.clone() {
            None => Box::pin(Self::handle_by(gateway, live, peer, request)),
            Some(layer) => Box::pin(async move {
                let handle = |live, peer, request| Self::handle_by(gateway.clone(), live, peer, request);
                cors::answer(gateway.as_ref(), live, &layer, peer, request, handle).await
            }),
        }
    }

    fn handle_by<G: AsRef<Inner> + Send + Sync + 'static>(
        gateway: G,
        live: Arc<Held<Live>>,
        mut peer: Option<Peer>,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Response<ResponseBody>> + Send {
        let (mut parts, body) = request.into_parts();
        async move {
            let (gateway, headers) = (gateway.as_ref(), &parts.headers);
            // Within a larger service the context stands already.
            let context = Context::try_current().unwrap_or_else(|| outbound::read_context(headers));
            // The line of the log says the same: the span is for whoever looks closer. A router of our own has one beside it.
            let span = tracing::debug_span!(
                "gateway",
                { telemetry::SERVICE_NAME } = &*gateway.service,
                { telemetry::TRACE_ID } = %context.trace().display_trace_id(),
                { telemetry::SPAN_ID } = %context.trace().display_span_id(),
                { telemetry::REQUEST_ID } = context.request_id(),
                { telemetry::CORRELATION_ID } = context.correlation_id(),
            );
            let (problem, version) = (crate::server::accepts_problem(headers), parts.version);
            let mut record = Record::begin(gateway, &parts, &context);
            let decided = {
                // In its place from the beginning: it is large, and would be moved.
                let serving = pin!(gateway.serve(&live, context.clone(), &mut parts, body, &mut peer, &mut record));
                if span.is_disabled() { serving.await } else { serving.instrument(span).await }
            };
            match decided {
                Ok(mut response) => {
                    answer::finish(&mut response, &record);
                    record.end(response.status(), None);
                    response
                }
                Err(refusal) => {
                    let error = refusal.error.clone();
                    let mut response = answer::answer(refusal, &context, problem, version).map(ResponseBody::from);
                    answer::finish(&mut response, &record);
                    record.end(response.status(), Some(&error));
                    response
                }
            }
        }
    }

    /// Serves at `server` until `shutdown`: with [`workers`](crate::server::ServerConfig::workers), each has upstream
    /// connections of its own. Requests end as with [`Server::serve`]; WebSocket connections are closed at once, and streams of
    /// events from services, as far as their clients still read, are broken off after half of the drain's time; where the gateway is served at
    /// several servers, when the last stops.
    ///
    /// It costs less for each request than to serve the gateway as a service like any other.
    ///
    /// # Errors
    /// Those of [`Server::serve`] and [`Gateway::check_exposed`].
    pub async fn serve(self, server: Server, shutdown: CancellationToken) -> Result<(), ServerError> {
        self.serve_edge(server, None, shutdown).await
    }

    /// As [`Gateway::serve`], and answers `/health/live` and `/health/ready` itself, whatever the routes say: nobody is
    /// authenticated or counted for them.
    ///
    /// # Errors
    /// Those of [`Gateway::serve`].
    pub async fn serve_with_health(
        self,
        server: Server,
        health: &HealthRegistry,
        shutdown: CancellationToken,
    ) -> Result<(), ServerError> {
        self.serve_edge(server, Some(health), shutdown).await
    }

    async fn serve_edge(
        self,
        server: Server,
        health: Option<&HealthRegistry>,
        shutdown: CancellationToken,
    ) -> Result<(), ServerError> {
        self.0.serve_at(Place::of(&server))?;
        // A request in flight has a connection to its service, too.
        server.make_room_for(2);
        let edge = Edge::new(self.clone(), health);
        let drain = server.drain_timeout();
        let at_server = self.0.tunnels.serve();
        let tunnels_end = async {
            shutdown.cancelled().await;
            self.close_tunnels().await;
            sleep(drain / 2).await;
            at_server.stop();
        };
        let serving = server.serve_each(move |peer| edge.to(Peer::at_checked_server(peer)), shutdown.clone());
        let mut serving = pin!(serving);
        let served = tokio::select! {
            biased;
            () = tunnels_end => serving.await,
            served = &mut serving => served,
        };
        self.0.log.flush().await;
        served
    }

    /// Refuses a server at which secrets are likely to come in clear text from other machines, or whose connections
    /// WebSockets could take up altogether; [`Gateway::serve`] begins with it, and a reload asks it of every server that the
    /// gateway was served at.
    ///
    /// It goes by what routes ask for, and sees no request: to a public route that only reads it lets everybody, whatever
    /// `Authorization` or `Cookie` they send along.
    ///
    /// # Errors
    /// [`ServerError::Config`] names a route where secrets may be shown, or `max_tunnels`, and what to do.
    pub fn check_exposed(&self, server: &Server) -> Result<(), ServerError> {
        Ok(self.0.live.load().check_place(&Place::of(server))?)
    }

    /// Serves by another configuration from now on; requests in flight end by the one they came under.
    ///
    /// Services that stay keep their breaker, endpoints and connections, and limits that stay keep what they counted;
    /// services that go are let go with their last request. The name, the limits of WebSocket connections and how many lines of the
    /// log may wait cannot change.
    ///
    /// # Errors
    /// Names the first field that cannot be served with, and its value; then nothing has changed.
    ///
    /// # Panics
    /// Outside a tokio runtime, which then watches new services' endpoints.
    pub fn reload(&self, config: GatewayConfig) -> Result<(), ConfigError> {
        self.0.reload(config)
    }

    /// How the file of routes fares, and when that changes; `None` without
    /// [`routes_file`](GatewayBuilder::routes_file).
    #[must_use]
    pub fn routes_status(&self) -> Option<watch::Receiver<RoutesStatus>> {
        self.0.routes_status()
    }

    fn follow(&self, file: routes_file::RoutesFile, every: Duration) {
        self.0.follow(file, every);
    }

    /// The gateway as an axum router, to be merged or layered.
    ///
    /// What [`Gateway::check_exposed`] checks once of a server is then asked for each request, by its peer's address, and its
    /// client's where a trusted proxy tells it: of one in clear text from another machine, where secrets may be shown, the answer
    /// is 403. It has been sent by then; but nobody builds on it. Where nobody puts `ConnectInfo<SocketAddr>` into the
    /// extensions, the peer is not known, and nothing is refused.
    pub fn into_router(self) -> Router {
        Router::new().fallback_service(self)
    }

    /// The circuit breaker of each upstream at this moment, for admin pages and health checks.
    #[must_use]
    pub fn breakers(&self) -> Vec<Snapshot> {
        self.0.live.load().upstreams.values().map(|upstream| upstream.breaker.snapshot()).collect()
    }

    /// Ends every WebSocket connection, and waits until they are gone; requests are served on, streams of events too. The connections
    /// end with the last clone of the gateway in any case.
    pub async fn close_tunnels(&self) {
        self.0.tunnels.close().await;
    }
}

impl AsRef<Inner> for Gateway {
    fn as_ref(&self) -> &Inner {
        &self.0
    }
}

impl Service<Request<Body>> for Gateway {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<ResponseBody>, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let gateway = self.clone();
        Box::pin(async move { Ok(gateway.handle(request).await) })
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("routes", &self.0.live.load().table)
            .field("upstreams", &self.0.live.load().upstreams)
            .finish_non_exhaustive()
    }
}
