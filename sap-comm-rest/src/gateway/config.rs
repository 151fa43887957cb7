use std::time::Duration;

use sap_comm_core::config::{ConfigError, duration};
use sap_comm_discovery::BalancerConfig;
use sap_comm_resilience::CircuitBreakerConfig;
use serde::{Deserialize, Serialize};

use super::{Quota, RateLimitConfig, RequestLog, RouteConfig, SharedLimits, UpstreamRetry, off};
use crate::{
    egress::EgressConfig,
    options::{check, check_duration},
    server::CorsConfig,
    tls::ClientTlsConfig,
};

/// Everything that can be set about a [`Gateway`](super::Gateway) in a file or in variables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct GatewayConfig {
    /// The gateway itself, named in every span and log line. Default `api-gateway`.
    pub service: String,
    /// What is served. There must be at least one.
    pub routes: Vec<RouteConfig>,
    /// What one caller may ask for in all; `"off"` in a file for none. Default: 100 requests a second, so that no caller starves
    /// the others.
    #[serde(with = "off")]
    pub rate_limit: Option<RateLimitConfig>,
    /// How many tokens of one client address may be refused once their signature was checked; beyond it one that is not known yet is not
    /// looked at, and
    /// answered with 429, unless a good API key or certificate comes with it. Default: 100 a second, whose signatures take a
    /// hundredth of a core. `None`, in a file `"off"`, where clients share an address, behind NAT or a proxy that is not
    /// [trusted](Self::trusted_proxies): one of them could lock the others out.
    #[serde(with = "off")]
    pub failed_credentials: Option<Quota>,
    /// Where several gateways count together. Default: each counts for itself.
    pub shared_limits: Option<SharedLimits>,
    /// Which pages of other origins may call. Answered before anything else is looked at; what a service says of it itself
    /// is left out then. Default: none, and browsers keep other pages from reading what is answered.
    pub cors: Option<CorsConfig>,
    /// The request log.
    pub log: RequestLog,
    /// The circuit breaker of each upstream.
    pub breaker: CircuitBreakerConfig,
    /// Connections to the upstreams.
    pub upstream: UpstreamConfig,
    /// Addresses and networks (`10.0.0.0/8`) whose `X-Forwarded-*` is believed. Default: nobody's.
    pub trusted_proxies: Vec<String>,
    /// Believes proxies in networks so wide that anybody may be in them: wider than /8, or /16 of IPv6.
    pub insecure_trust_any_proxy: bool,
    /// Takes secrets over plain HTTP from other machines, where [`Gateway::serve`](super::Gateway::serve) would refuse
    /// to begin, and a gateway that is served in another way answers with 403: on routes that demand credentials, on those of the
    /// gateway's own router, and on public ones that take more than GET, HEAD and OPTIONS, since one may be a login. What clients
    /// show unasked on the other public ones, an `Authorization` or a `Cookie`, is not guarded. Where a proxy in front ends TLS,
    /// say `scheme = "https"` instead.
    pub insecure_plain_http: bool,
    /// How clients reach the gateway, unless it serves TLS itself or a trusted proxy says so. Default `http`.
    pub scheme: Scheme,
    /// Sets `X-Content-Type-Options: nosniff`, `X-Frame-Options: SAMEORIGIN` and `Referrer-Policy: strict-origin-when-cross-origin` on
    /// services' answers, where they say nothing of their own. Default yes: a service that forgets them is the one that needs them. A
    /// route to a site that other sites frame says no for itself. What answers may be cached and which scripts a page runs is for
    /// the service to say.
    pub security_headers: bool,
    /// The largest request body in bytes. Default 64 MiB: enough for documents, too little to fill a disk at once.
    pub max_body: u64,
    /// How long a client may be silent in the middle of its body, and in all of it beyond what 240 bytes a second take. Default 30 s.
    #[serde(with = "duration")]
    pub body_stall: Duration,
    /// WebSocket connections and streams of events at once, of all services together. Further WebSockets are refused, and further streams count as requests in
    /// flight. Default: half of the
    /// [`max_connections`](crate::server::ServerConfig::max_connections) of the server, of several the smallest, that
    /// [`Gateway::serve`](super::Gateway::serve) serves at, and 5,000 where the gateway is served in another way: they stay for
    /// hours, and the other half is left for requests. [`Gateway::serve`](super::Gateway::serve) refuses a number that takes all.
    pub max_tunnels: Option<usize>,
    /// How long a WebSocket connection may be silent. Default 5 min: heartbeats come more often.
    #[serde(with = "duration")]
    pub tunnel_idle: Duration,
}

/// How clients reach a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// In clear text.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

/// Connections from a gateway to its upstreams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct UpstreamConfig {
    /// How long a connect may take. Default 2 s: within one network it takes milliseconds or fails.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// How long an upstream may take to answer, counted from the last byte it was sent; what it is asked again for is asked within it, too.
    /// Default 30 s.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// How long an upstream may be silent in the middle of its answer. Default 5 min, for streams of events.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// How long an unused connection is kept. Default 20 s. Where a service tells its own time (`Keep-Alive: timeout=5`) and
    /// that is shorter, a second less than that: it may close as the next request is on its way.
    #[serde(with = "duration")]
    pub pool_idle_timeout: Duration,
    /// Unused connections that each worker keeps to one endpoint. Default 64.
    pub pool_idle_per_endpoint: usize,
    /// Which addresses are connected to, whatever discovery says.
    pub egress: EgressConfig,
    /// TLS to `https` endpoints. Default: the system's authorities are trusted.
    pub tls: ClientTlsConfig,
    /// Requests at once to one service, until their answers have ended; more are refused. Default 1,024: a service that
    /// hangs takes up so much of the gateway, and no more. WebSocket connections do not count, nor streams of events among `max_tunnels`. Half as many bodies,
    /// rounded up, may be on their way: of clients that send slowly, further ones are refused.
    pub max_in_flight: usize,
    /// When another endpoint is asked.
    pub retry: UpstreamRetry,
    /// How an endpoint is chosen, and when one that fails is left out.
    pub balancer: BalancerConfig,
}

/// What is larger is no limit.
pub(super) const MAX_BODY: u64 = 1 << 40;

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            service: "api-gateway".to_owned(),
            routes: Vec::new(),
            rate_limit: Some(RateLimitConfig::default()),
            failed_credentials: Some(Quota::per_second(100)),
            shared_limits: None,
            cors: None,
            log: RequestLog::default(),
            breaker: CircuitBreakerConfig::default(),
            upstream: UpstreamConfig::default(),
            trusted_proxies: Vec::new(),
            insecure_trust_any_proxy: false,
            insecure_plain_http: false,
            scheme: Scheme::Http,
            security_headers: true,
            max_body: 64 << 20,
            body_stall: Duration::from_secs(30),
            max_tunnels: None,
            tunnel_idle: Duration::from_secs(300),
        }
    }
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            pool_idle_timeout: Duration::from_secs(20),
            pool_idle_per_endpoint: 64,
            egress: EgressConfig::default(),
            tls: ClientTlsConfig::default(),
            max_in_flight: 1_024,
            retry: UpstreamRetry::default(),
            balancer: BalancerConfig::default(),
        }
    }
}

impl UpstreamConfig {
    /// How many bodies may be on their way at once.
    pub(super) fn max_uploads(&self) -> usize {
        self.max_in_flight.div_ceil(2)
    }
}

impl Scheme {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl GatewayConfig {
    /// Refuses what a gateway cannot change while it serves.
    pub(super) fn check_unchanged(&self, before: &Self) -> Result<(), ConfigError> {
        let reason = "cannot change while the gateway serves";
        check(self.service == before.service, "service", &self.service, reason)?;
        let max_waiting = self.log.max_waiting;
        check(max_waiting == before.log.max_waiting, "log.max_waiting", max_waiting, reason)?;
        let max_tunnels = self.max_tunnels.map_or_else(|| "default".to_owned(), |max| max.to_string());
        check(self.max_tunnels == before.max_tunnels, "max_tunnels", max_tunnels, reason)?;
        let idle = humantime::format_duration(self.tunnel_idle);
        check(self.tunnel_idle == before.tunnel_idle, "tunnel_idle", idle, reason)
    }

    /// How many callers any limit tells apart.
    pub(super) fn max_callers(&self) -> usize {
        self.rate_limit.unwrap_or_default().max_callers
    }

    /// Checks what stands for itself; routes and networks are checked as they are compiled.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let upstream = &self.upstream;
        for (field, value) in [
            ("body_stall", self.body_stall),
            ("tunnel_idle", self.tunnel_idle),
            ("upstream.connect_timeout", upstream.connect_timeout),
            ("upstream.timeout", upstream.timeout),
            ("upstream.idle_timeout", upstream.idle_timeout),
            ("upstream.pool_idle_timeout", upstream.pool_idle_timeout),
        ] {
            check_duration(field, value)?;
        }
        for (field, value) in [
            ("max_body", self.max_body),
            ("upstream.pool_idle_per_endpoint", upstream.pool_idle_per_endpoint as u64),
            ("upstream.max_in_flight", upstream.max_in_flight as u64),
        ] {
            check(value > 0, field, value, "must be at least 1")?;
        }
        check(self.max_body <= MAX_BODY, "max_body", self.max_body, "must be at most 1 TiB")?;
        check(
            upstream.pool_idle_per_endpoint <= 65_536,
            "upstream.pool_idle_per_endpoint",
            upstream.pool_idle_per_endpoint,
            "must be at most 65536",
        )?;
        // What nobody has the memory for is no limit.
        let most = 1 << 20;
        if let Some(max) = self.max_tunnels {
            check((1..=most).contains(&max), "max_tunnels", max, "must lie within 1..=1048576")?;
        }
        let in_flight = upstream.max_in_flight;
        check(in_flight <= most, "upstream.max_in_flight", in_flight, "must be at most 1048576")?;
        upstream.retry.validate().map_err(|error| error.within("upstream.retry"))?;
        self.rate_limit.unwrap_or_default().validate()?;
        if let Some(shared) = &self.shared_limits {
            shared.validate()?;
        }
        self.log.validate()?;
        self.breaker.validate().map_err(|error| error.within("breaker"))
    }
}
