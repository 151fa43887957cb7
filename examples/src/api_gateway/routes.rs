use std::time::Duration;

use sap_comm::{
    resilience::CircuitBreakerConfig,
    rest::{
        gateway::{Gateway, GatewayBuilder, Quota, Route},
        server::auth::Authenticator,
    },
};

use crate::{auth_service, content_service, deps::Deps, notification_service, user_service};

/// What the outside may reach.
pub(super) fn gateway(deps: &Deps, authenticator: Authenticator) -> GatewayBuilder {
    // Guessing passwords must be slow.
    let guesses = Quota::per_minute(10);
    // A demonstration does not wait for half a minute.
    let mut breaker = CircuitBreakerConfig::default();
    breaker.reset_timeout = Duration::from_secs(2);
    let gateway = Gateway::builder().resolver(deps.resolver.clone()).upstream_tls(deps.client_tls.clone());
    let gateway = if deps.is_local() { gateway.insecure_allow_loopback() } else { gateway };
    gateway
        .authenticator(authenticator)
        .rate_limit(Quota::per_second(100).burst(200))
        .breaker(breaker)
        .route(Route::new("/api/v1/auth/login").methods(["POST"]).to(auth_service::NAME).public().rate_limit(guesses))
        .route(Route::new("/api/v1/auth/refresh").methods(["POST"]).to(auth_service::NAME).public())
        .route(Route::new("/.well-known/jwks.json").methods(["GET"]).to(auth_service::NAME).public())
        .route(Route::new("/api/v1/api-keys").to(auth_service::NAME).authenticated().roles(["admin"]))
        .route(Route::new("/api/v1/users").to(user_service::NAME).authenticated().timeout(Duration::from_secs(10)))
        .route(Route::new("/api/v1/profiles").methods(["GET"]).to(user_service::NAME).authenticated())
        .route(Route::new("/api/v1/contents").to(content_service::NAME).authenticated())
        .route(Route::new("/api/v1/notifications").to(notification_service::NAME).authenticated())
}
