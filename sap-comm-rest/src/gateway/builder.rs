use std::{
    collections::{HashMap, hash_map},
    fmt,
    sync::Arc,
};

use axum::Router;
use sap_comm_core::{Resolver, Secret, config::ConfigError};
use sap_comm_resilience::CircuitBreakerConfig;

use super::{
    Access, Gateway, GatewayConfig, RateLimitConfig, Route, Scheme, Target, UpstreamConfig,
    client::TrustedProxies,
    entry::{Defaults, Entry},
    rate_limit::Limiter,
    service::Inner,
    table::Table,
    upgrade::Tunnels,
    upstream::{Upstream, pool},
};
use crate::{egress::Egress, options, server::auth::Authenticator, tls::ClientTls};

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
        let config = self.config;
        config.validate()?;
        let missing = |field: &str, reason: &str| Err(ConfigError::new(field, format_args!("is missing: {reason}")));
        if config.routes.is_empty() {
            return missing("routes", "a gateway without a route serves nothing");
        }
        let limit = config.rate_limit.unwrap_or_default();
        limit.validate()?;
        let limiter = match &config.rate_limit {
            Some(limit) => Some(Limiter::new("rate_limit.quota", limit.quota, limit.max_callers)?),
            None => None,
        };
        let defaults =
            Defaults { timeout: config.upstream.timeout, max_body: config.max_body, max_callers: limit.max_callers };
        let entries = config.routes.into_iter().map(|route| Entry::compile(route, &defaults).map(Arc::new));
        let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
        if self.authenticator.is_none() && entries.iter().any(|entry| entry.access == Access::Authenticated) {
            return missing("authenticator", "a route demands authentication");
        }
        if self.fallback.is_none() && entries.iter().any(|entry| entry.target == Target::Local) {
            return missing("fallback", "a route leads to the gateway's own router");
        }
        let api_key = self.api_key.as_ref().map(options::api_key).transpose()?;
        let proxies = TrustedProxies::parse(&config.trusted_proxies)?;
        let services: Vec<_> = entries.iter().filter_map(|entry| entry.service().map(str::to_owned)).collect();
        let table = Table::new(entries)?;
        let mut upstreams = HashMap::new();
        for service in services {
            let Some(resolver) = &self.resolver else {
                return missing("resolver", "a route leads to a service");
            };
            if let hash_map::Entry::Vacant(vacant) = upstreams.entry(service) {
                let upstream = Upstream::new(vacant.key(), Arc::clone(resolver), config.breaker.clone())?;
                vacant.insert(upstream);
            }
        }
        let configured = self.resolver.as_ref().is_none_or(|resolver| resolver.is_configured());
        let egress =
            Egress::new(&config.upstream.egress, configured).map_err(|error| error.within("upstream.egress"))?;
        let tls = match self.upstream_tls {
            Some(tls) => tls,
            None => ClientTls::load(config.upstream.tls.clone()).map_err(|error| error.within("upstream.tls"))?,
        };
        Ok(Gateway::new(Inner {
            service: config.service.into(),
            table,
            upstreams,
            limiter,
            proxies,
            api_key,
            authenticator: self.authenticator,
            fallback: self.fallback,
            pool: pool(&config.upstream, tls, egress),
            tunnels: Tunnels::new(config.max_tunnels, config.tunnel_idle),
            scheme: config.scheme,
            body_stall: config.body_stall,
            idle_timeout: config.upstream.idle_timeout,
        }))
    }
}

impl fmt::Debug for GatewayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}
