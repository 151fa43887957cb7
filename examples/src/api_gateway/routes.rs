use std::time::Duration;

use sap_comm::{
    resilience::CircuitBreakerConfig,
    rest::{
        gateway::{Gateway, GatewayBuilder, Quota},
        server::auth::Authenticator,
    },
};

use super::EdgeOptions;
use crate::{
    contract::api::{AUTH_SERVICE, CONTENT_SERVICE, NOTIFICATION_SERVICE, USER_SERVICE},
    deps::Deps,
};

/// How often the file of routes is looked at.
const ROUTES_FOLLOWED_EVERY: Duration = Duration::from_secs(1);

/// What the outside may reach.
pub(super) fn gateway(deps: &Deps, edge: &EdgeOptions, authenticator: Authenticator) -> GatewayBuilder {
    // A demonstration does not wait for half a minute.
    let mut breaker = CircuitBreakerConfig::default();
    breaker.reset_timeout = Duration::from_secs(2);
    let gateway = Gateway::builder().resolver(deps.resolver.clone()).upstream_tls(deps.client_tls.clone());
    let gateway = if deps.is_local() { gateway.insecure_allow_loopback() } else { gateway };
    let gateway = if edge.insecure_plain_http { gateway.insecure_plain_http() } else { gateway };
    let gateway = match &edge.routes_file {
        Some(path) => gateway.routes_file(path, ROUTES_FOLLOWED_EVERY),
        None => gateway,
    };
    #[cfg(feature = "redis")]
    let gateway = match &edge.shared_limits {
        Some(url) => gateway.shared_limits(sap_comm::rest::gateway::SharedLimits::new(url.expose())),
        None => gateway,
    };
    gateway
        .trusted_proxies(edge.trusted_proxies.iter().cloned())
        .authenticator(authenticator)
        .rate_limit(Quota::per_second(100).burst(200))
        .breaker(breaker)
        .routes(AUTH_SERVICE.routes())
        .routes(USER_SERVICE.routes())
        .routes(CONTENT_SERVICE.routes())
        .routes(NOTIFICATION_SERVICE.routes())
}
