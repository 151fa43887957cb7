use std::time::Duration;

use sap_comm::{
    resilience::CircuitBreakerConfig,
    rest::{
        gateway::{Gateway, GatewayBuilder, Quota},
        server::auth::Authenticator,
    },
};

use crate::{
    contract::api::{AUTH_SERVICE, CONTENT_SERVICE, NOTIFICATION_SERVICE, USER_SERVICE},
    deps::Deps,
};

/// What the outside may reach.
pub(super) fn gateway(deps: &Deps, authenticator: Authenticator) -> GatewayBuilder {
    // A demonstration does not wait for half a minute.
    let mut breaker = CircuitBreakerConfig::default();
    breaker.reset_timeout = Duration::from_secs(2);
    let gateway = Gateway::builder().resolver(deps.resolver.clone()).upstream_tls(deps.client_tls.clone());
    let gateway = if deps.is_local() { gateway.insecure_allow_loopback() } else { gateway };
    gateway
        .authenticator(authenticator)
        .rate_limit(Quota::per_second(100).burst(200))
        .breaker(breaker)
        .routes(AUTH_SERVICE.routes())
        .routes(USER_SERVICE.routes())
        .routes(CONTENT_SERVICE.routes())
        .routes(NOTIFICATION_SERVICE.routes())
}
