use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use http::HeaderValue;
use sap_comm_core::{Resolver, config::ConfigError};
use sap_comm_resilience::CircuitBreakerConfig;

use super::{
    Access, GatewayConfig, Scheme, Target, UpstreamConfig,
    client::TrustedProxies,
    entry::{Defaults, Entry, Limit},
    rate_limit::{Counter, Failures, RateLimit},
    table::Table,
    upstream::Upstream,
};
use crate::{
    connector::Connector,
    egress::Egress,
    options::check,
    server::{CorsLayer, Server, auth::Authenticator},
    tls::ClientTls,
};

/// What a gateway is given besides its configuration, for as long as it lives.
pub(super) struct Parts {
    pub(super) resolver: Option<Arc<dyn Resolver>>,
    pub(super) authenticator: Option<Authenticator>,
    pub(super) fallback: Option<Router>,
    pub(super) api_key: Option<HeaderValue>,
    pub(super) upstream_tls: Option<ClientTls>,
}

/// A configuration, ready to serve. A request is served by the one that stood when it came.
pub(super) struct Live {
    pub(super) config: GatewayConfig,
    pub(super) table: Table,
    pub(super) entries: Vec<Arc<Entry>>,
    pub(super) upstreams: BTreeMap<String, Arc<Upstream>>,
    pub(super) limiter: Option<Arc<RateLimit>>,
    pub(super) failures: Option<Arc<Failures>>,
    shared: Option<Arc<Counter>>,
    connector: Connector,
    pub(super) proxies: TrustedProxies,
    pub(super) scheme: Scheme,
    /// Whether services may know the gateway by a certificate.
    pub(super) shows_certificate: bool,
    pub(super) body_stall: Duration,
    pub(super) cors: Option<Arc<CorsLayer>>,
    /// Whether what no route takes goes to a router that authenticates for itself.
    own_router: bool,
}

impl Live {
    /// Compiles a configuration. What `before` had and this one has unchanged is taken over: upstreams with their breaker,
    /// endpoints and connections, limits with what they have counted.
    pub(super) fn compile(config: GatewayConfig, parts: &Parts, before: Option<&Self>) -> Result<Self, ConfigError> {
        config.validate()?;
        if let Some(before) = before {
            config.check_unchanged(&before.config)?;
        }
        let missing = |field: &str, reason: &str| Err(ConfigError::new(field, format_args!("is missing: {reason}")));
        if config.routes.is_empty() {
            return missing("routes", "a gateway without a route serves nothing");
        }
        let same_count = before.filter(|before| before.config.shared_limits == config.shared_limits);
        let shared = match (same_count, &config.shared_limits) {
            (Some(before), _) => before.shared.clone(),
            (None, Some(limits)) => Some(Arc::new(Counter::new(limits)?)),
            (None, None) => None,
        };
        let limiter = match config.rate_limit {
            Some(limit) => match same_count.filter(|before| before.config.rate_limit == config.rate_limit) {
                Some(before) => before.limiter.clone(),
                None => {
                    let (field, name) = ("rate_limit.quota", "gateway".to_owned());
                    Some(Arc::new(RateLimit::new(field, name, limit.quota, limit.max_callers, shared.clone())?))
                }
            },
            None => None,
        };
        let failed = |config: &GatewayConfig| (config.failed_credentials, config.max_callers());
        let same_failures = before.filter(|before| failed(&before.config) == failed(&config));
        let failures = match (same_failures, failed(&config)) {
            (Some(before), _) => before.failures.clone(),
            (None, (Some(quota), max_callers)) => Some(Arc::new(Failures::new(quota, max_callers)?)),
            (None, (None, _)) => None,
        };
        let proxies = TrustedProxies::parse(&config.trusted_proxies, config.insecure_trust_any_proxy)?;
        let mut entries = compile_entries(&config, shared.as_ref(), before)?;
        if parts.authenticator.is_none() && entries.iter().any(|entry| entry.access == Access::Authenticated) {
            return missing("authenticator", "a route demands authentication");
        }
        if parts.fallback.is_none() && entries.iter().any(|entry| entry.target == Target::Local) {
            return missing("fallback", "a route leads to the gateway's own router");
        }
        let services: BTreeSet<_> = entries.iter().filter_map(|entry| entry.service().map(str::to_owned)).collect();
        let known = before.filter(|before| before.config.upstream == config.upstream);
        let connector = match known {
            Some(before) => before.connector.clone(),
            None => connector(&config.upstream, parts)?,
        };
        let mut upstreams = BTreeMap::new();
        for service in services {
            let Some(resolver) = &parts.resolver else {
                return missing("resolver", "a route leads to a service");
            };
            let upstream = match known.and_then(|before| before.upstreams.get(&service)) {
                Some(upstream) => Arc::clone(upstream),
                None => {
                    let (breaker, connector) = (config.breaker.clone(), connector.clone());
                    Arc::new(Upstream::new(&service, Arc::clone(resolver), breaker, &config.upstream, connector)?)
                }
            };
            upstreams.insert(service, upstream);
        }
        for entry in &mut entries {
            entry.upstream = entry.service().and_then(|service| upstreams.get(service)).cloned();
        }
        let entries: Vec<_> = entries.into_iter().map(Arc::new).collect();
        let table = Table::new(entries.clone())?;
        let (scheme, body_stall) = (config.scheme, config.body_stall);
        let own_certificate = config.upstream.tls.cert.is_some();
        let shows_certificate = parts.upstream_tls.as_ref().map_or(own_certificate, ClientTls::shows_certificate);
        let cors = config.cors.as_ref().map(|cors| Arc::new(cors.layer()));
        let own_router = parts.fallback.is_some();
        Ok(Self {
            own_router,
            config,
            table,
            entries,
            upstreams,
            limiter,
            failures,
            shared,
            connector,
            proxies,
            scheme,
            shows_certificate,
            body_stall,
            cors,
        })
    }
}

impl Live {
    /// Serves in place of `before` from now on: the breakers that it has from there go by its own configuration.
    pub(super) fn take_over(&self, before: &Self) -> Result<(), ConfigError> {
        if before.config.breaker != self.config.breaker {
            reload_breakers(&self.upstreams, &self.config.breaker)?;
        }
        Ok(())
    }

    /// Refuses to be served at a place where secrets would come in clear text, or WebSockets take every connection.
    pub(super) fn check_place(&self, place: &Place) -> Result<(), ConfigError> {
        let max_connections = place.max_connections;
        if let Some(max) = self.config.max_tunnels {
            let reason =
                format_args!("must be below the server's `max_connections` ({max_connections}), or nothing is left");
            check(max < max_connections, "max_tunnels", max, reason)?;
        }
        self.check_exposed(place)
    }

    /// Refuses to take secrets from other machines over plain HTTP.
    fn check_exposed(&self, place: &Place) -> Result<(), ConfigError> {
        if is_local(place.address.ip()) || place.tls || self.takes_clear_text() {
            return Ok(());
        }
        // One that demands a credential is named first: of the others it is not certain.
        let demands = |entry: &&Arc<Entry>| entry.access == Access::Authenticated;
        let secrets =
            self.entries.iter().find(demands).or_else(|| self.entries.iter().find(|entry| entry.takes_secrets));
        let (what, or_reads) = match secrets {
            Some(entry) if demands(&entry) => (format!("the credentials that {} demands", entry.pattern), ""),
            Some(entry) if entry.target == Target::Local => {
                (format!("what is sent to {}, on the gateway's own router,", entry.pattern), "")
            }
            Some(entry) => {
                let or_reads = " `.methods([\"GET\"])` on the route if it only reads,";
                (format!("what is sent to {}, perhaps a login,", entry.pattern), or_reads)
            }
            None if self.own_router => ("what is sent to the gateway's own router".to_owned(), ""),
            None => return Ok(()),
        };
        Err(ConfigError::refused(
            "scheme",
            "http",
            format_args!(
                "{what} would come to {} in clear text: give the server TLS, set `scheme = \"https\"` where a proxy in front \
                 ends it,{or_reads} or `insecure_plain_http = true`",
                place.address
            ),
        ))
    }

    /// Whether somebody has said that secrets may come over plain HTTP, or that they do not.
    pub(super) fn takes_clear_text(&self) -> bool {
        self.scheme == Scheme::Https || self.config.insecure_plain_http
    }
}

/// Where requests come in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    address: SocketAddr,
    tls: bool,
    max_connections: usize,
}

impl Place {
    pub(super) fn of(server: &Server) -> Self {
        let (address, tls) = (server.local_addr(), server.tls().is_some());
        Self { address, tls, max_connections: server.max_connections() }
    }

    /// How many WebSocket connections leave as many for requests.
    pub(super) fn half(&self) -> usize {
        self.max_connections / 2
    }
}

/// Whether nobody but this machine can be at the other end.
pub(super) fn is_local(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn connector(config: &UpstreamConfig, parts: &Parts) -> Result<Connector, ConfigError> {
    let configured = parts.resolver.as_ref().is_none_or(|resolver| resolver.is_configured());
    let egress = Egress::new(&config.egress, configured).map_err(|error| error.within("upstream.egress"))?;
    let tls = match &parts.upstream_tls {
        Some(tls) => tls.clone(),
        None => ClientTls::load(config.tls.clone()).map_err(|error| error.within("upstream.tls"))?,
    };
    Ok(Connector::new(config.connect_timeout, config.pool_idle_timeout, tls, egress))
}

fn reload_breakers(
    upstreams: &BTreeMap<String, Arc<Upstream>>,
    config: &CircuitBreakerConfig,
) -> Result<(), ConfigError> {
    for upstream in upstreams.values() {
        upstream.breaker.reload(config.clone()).map_err(|error| error.within("breaker"))?;
    }
    Ok(())
}

fn compile_entries(
    config: &GatewayConfig,
    shared: Option<&Arc<Counter>>,
    before: Option<&Live>,
) -> Result<Vec<Entry>, ConfigError> {
    let max_callers = config.max_callers();
    let defaults = Defaults {
        timeout: config.upstream.timeout,
        max_body: config.max_body,
        security_headers: config.security_headers,
        max_callers,
        shared: shared.cloned(),
    };
    let routes = config.routes.iter().map(|route| {
        let mut entry = Entry::compile(route.clone(), &defaults)?;
        if let (Limit::Own(limiter), Some(before)) = (&entry.limit, before) {
            let same = before.entries.iter().find_map(|old| match &old.limit {
                Limit::Own(own) if old.is_at(&entry) && own.counts_like(limiter) => Some(Arc::clone(own)),
                _ => None,
            });
            if let Some(same) = same {
                entry.limit = Limit::Own(same);
            }
        }
        Ok(entry)
    });
    routes.collect()
}
