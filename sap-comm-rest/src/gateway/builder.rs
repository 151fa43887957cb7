use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use sap_comm_core::{Resolver, Secret, config::ConfigError};
use sap_comm_resilience::CircuitBreakerConfig;

use super::{
    Gateway, GatewayConfig, Quota, RateLimitConfig, RequestLog, Route, Scheme, SharedLimits, UpstreamConfig,
    live::{Live, Parts},
    routes_file::RoutesFile,
    service::Inner,
};
use crate::{
    options::{self, check_duration},
    server::{CorsConfig, auth::Authenticator},
    tls::ClientTls,
};

/// Builds a [`Gateway`].
#[must_use = "nothing is built before `build`"]
#[derive(Default)]
pub struct GatewayBuilder {
    config: GatewayConfig,
    resolver: Option<Arc<dyn Resolver>>,
    authenticator: Option<Authenticator>,
    fallback: Option<Router>,
    api_key: Option<Secret<String>>,
    upstream_tls: Option<ClientTls>,
    routes_file: Option<(PathBuf, Duration)>,
}

impl GatewayBuilder {
    /// Takes everything over from a configuration; what was set before is gone.
    pub fn config(mut self, config: GatewayConfig) -> Self {
        self.config = config;
        self
    }

    /// The gateway's own name, in every span and log line.
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.config.service = name.into();
        self
    }

    /// Adds a route.
    pub fn route(mut self, route: impl Into<Route>) -> Self {
        self.config.routes.push(route.into().into());
        self
    }

    /// Adds routes, such as those of a [`Contract`](crate::operation::Contract).
    pub fn routes(mut self, routes: impl IntoIterator<Item = impl Into<Route>>) -> Self {
        self.config.routes.extend(routes.into_iter().map(|route| route.into().into()));
        self
    }

    /// Adds the routes of a file (`.toml` or `.json`, a list `routes` of [`RouteConfig`](super::RouteConfig)), and looks
    /// `every` so often whether it has changed. It is taken once two looks have seen the same: what is half-written may be a list of
    /// routes too.
    ///
    /// A changed file replaces the routes without a failed request; one that cannot be served by is refused, with the key
    /// and the line in the log and in [`Gateway::routes_status`], and the routes before it stay.
    pub fn routes_file(mut self, path: impl AsRef<Path>, every: Duration) -> Self {
        self.routes_file = Some((path.as_ref().to_owned(), every));
        self
    }

    /// Counts rate limits together with other gateways.
    pub fn shared_limits(mut self, shared: SharedLimits) -> Self {
        self.config.shared_limits = Some(shared);
        self
    }

    /// The request log.
    pub fn log(mut self, log: RequestLog) -> Self {
        self.config.log = log;
        self
    }

    /// Finds the services.
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = Some(resolver);
        self
    }

    /// Verifies tokens and keys.
    pub fn authenticator(mut self, authenticator: impl Into<Authenticator>) -> Self {
        self.authenticator = Some(authenticator.into());
        self
    }

    /// Limits each caller: by principal when it is known, else by client address.
    pub fn rate_limit(mut self, limit: impl Into<RateLimitConfig>) -> Self {
        self.config.rate_limit = Some(limit.into());
        self
    }

    /// Limits nobody, except on routes with a quota of their own.
    pub fn without_rate_limit(mut self) -> Self {
        self.config.rate_limit = None;
        self
    }

    /// How many tokens of one client address may be refused once their signature was checked, before further ones are not looked at;
    /// `None` for any number.
    pub fn failed_credentials(mut self, quota: Option<Quota>) -> Self {
        self.config.failed_credentials = quota;
        self
    }

    /// The circuit breaker of each upstream.
    pub fn breaker(mut self, breaker: CircuitBreakerConfig) -> Self {
        self.config.breaker = breaker;
        self
    }

    /// Connections to the upstreams.
    pub fn upstream(mut self, upstream: UpstreamConfig) -> Self {
        self.config.upstream = upstream;
        self
    }

    /// Believes the `X-Forwarded-*` headers of these addresses and networks, such as `10.0.0.0/8`.
    pub fn trusted_proxies(mut self, networks: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.config.trusted_proxies = networks.into_iter().map(Into::into).collect();
        self
    }

    /// Believes proxies in networks so wide that anybody may be in them, too.
    pub fn insecure_trust_any_proxy(mut self) -> Self {
        self.config.insecure_trust_any_proxy = true;
        self
    }

    /// Takes secrets over plain HTTP from other machines, too.
    pub fn insecure_plain_http(mut self) -> Self {
        self.config.insecure_plain_http = true;
        self
    }

    /// Lets pages of other origins call.
    pub fn cors(mut self, cors: CorsConfig) -> Self {
        self.config.cors = Some(cors);
        self
    }

    /// How clients reach the gateway, unless a trusted proxy says so.
    pub fn scheme(mut self, scheme: Scheme) -> Self {
        self.config.scheme = scheme;
        self
    }

    /// The largest request body in bytes.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.config.max_body = bytes;
        self
    }

    /// Serves, in this process, local routes and everything that no route takes: GraphQL, Socket.IO, documentation.
    ///
    /// Such a router authenticates for itself where the request is not under a route with
    /// [`authenticated`](Route::authenticated).
    pub fn fallback(mut self, router: Router) -> Self {
        self.fallback = Some(router);
        self
    }

    /// Authenticates the gateway to the services, which then believe the principal and the deadline that it sends.
    pub fn api_key(mut self, key: Secret<String>) -> Self {
        self.api_key = Some(key);
        self
    }

    /// Connects to this machine's own addresses, whoever announces them: for development.
    pub fn insecure_allow_loopback(mut self) -> Self {
        self.config.upstream.egress.insecure_loopback = true;
        self
    }

    /// Shares this TLS to the upstreams, in place of the configuration's own, so that it can be reloaded by hand.
    pub fn upstream_tls(mut self, tls: ClientTls) -> Self {
        self.upstream_tls = Some(tls);
        self
    }

    /// Builds the gateway, and begins to watch the services' endpoints.
    ///
    /// # Errors
    /// Names the first field that cannot be served with, and its value.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn build(self) -> Result<Gateway, ConfigError> {
        let parts = Parts {
            api_key: self.api_key.as_ref().map(options::api_key).transpose()?,
            resolver: self.resolver,
            authenticator: self.authenticator,
            fallback: self.fallback,
            upstream_tls: self.upstream_tls,
        };
        let Some((path, every)) = self.routes_file else {
            return Ok(Gateway::new(Inner::new(Live::compile(self.config, &parts, None)?, parts, Vec::new())));
        };
        check_duration("routes_file.every", every)?;
        let file = RoutesFile::open(&path)?;
        let own = self.config.routes.clone();
        let mut config = self.config;
        config.routes.extend(file.routes()?);
        let live = Live::compile(config, &parts, None).map_err(|error| file.names(&error))?;
        let gateway = Gateway::new(Inner::new(live, parts, own));
        gateway.follow(file, every);
        Ok(gateway)
    }
}

impl fmt::Debug for GatewayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}
