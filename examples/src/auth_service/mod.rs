//! Login, refresh, published keys, API keys.

mod api_keys;
mod credentials;
mod issuer;
mod login;
mod password;
mod store;

use std::sync::Arc;

use sap_comm::{
    ErrorEnvelope, RunningService, Service,
    auth::ApiKeys,
    events::EventRouter,
    rest::server::{
        auth::{authenticate, require_role, require_scope},
        docs,
    },
};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{issuer::Issuer, password::Passwords, store::Store};
use crate::{
    contract::events::USER_EVENTS,
    database::Database,
    deps::{Deps, StartError, with_database},
};

/// The name of the service.
pub const NAME: &str = "auth-service";

#[derive(OpenApi)]
#[openapi(
    info(title = "auth-service", description = "Login, refresh, published keys, API keys"),
    components(schemas(ErrorEnvelope))
)]
struct Api;

#[derive(Clone)]
struct State {
    store: Store,
    issuer: Arc<Issuer>,
    passwords: Passwords,
    api_keys: ApiKeys<Store>,
}

/// Starts the service.
///
/// # Errors
/// When a part that it needs cannot be used.
pub async fn start(deps: Deps) -> Result<RunningService, StartError> {
    let database = Database::open(&deps.database, NAME, store::SCHEMA).await?;
    let store = Store(database.clone());
    let authenticator = deps.authenticator()?;
    let state = State {
        issuer: Arc::new(Issuer::load(&store).await?),
        api_keys: ApiKeys::load(store.clone(), deps.trusted_keys.clone()).await?,
        passwords: Passwords::new(),
        store: store.clone(),
    };

    let open = OpenApiRouter::new().routes(routes!(login::login)).routes(routes!(login::refresh));
    let admin = OpenApiRouter::new()
        .routes(routes!(api_keys::list, api_keys::create))
        .routes(routes!(api_keys::revoke))
        .route_layer(require_role("admin"));
    let internal = OpenApiRouter::new()
        .routes(routes!(credentials::prepare, credentials::delete))
        .routes(routes!(credentials::activate))
        .route_layer(require_scope("credentials:write"));
    let (routes, openapi) = OpenApiRouter::with_openapi(Api::openapi())
        .nest("/api/v1", open.merge(admin))
        .nest("/internal/v1", internal)
        .routes(routes!(login::jwks))
        .split_for_parts();

    let created = store.clone();
    let events = EventRouter::new()
        .on(move |event| credentials::created(created.clone(), event))
        .on(move |event| credentials::updated(store.clone(), event));
    let broker = deps.broker.for_service(NAME);
    let service = Service::builder(NAME).listen(deps.listen).broker(&broker).subscribe(USER_EVENTS, events);
    let service = deps.registered(with_database(service, &database));
    let routes = routes.layer(authenticate(authenticator).optional()).with_state(state);
    Ok(service.routes(routes).routes(docs(openapi)).build()?.start().await?)
}

/// The address that credentials are found by.
fn normalised(email: &str) -> String {
    email.trim().to_lowercase()
}
