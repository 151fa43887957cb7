//! Content: drafted, published, announced.

mod contents;
mod store;

use sap_comm::{
    ErrorEnvelope, RunningService, Service,
    events::outbox::Outbox,
    rest::server::{
        auth::{authenticate, require_role},
        docs,
    },
};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::store::Store;
use crate::{
    database::Database,
    deps::{Deps, StartError, outbox, with_database},
};

/// The name of the service.
pub const NAME: &str = "content-service";

#[derive(OpenApi)]
#[openapi(
    info(title = "content-service", description = "Content: drafted, published, announced"),
    components(schemas(ErrorEnvelope))
)]
struct Api;

#[derive(Clone)]
struct State {
    store: Store,
    outbox: Outbox,
}

/// Starts the service.
///
/// # Errors
/// When a part that it needs cannot be used.
pub async fn start(deps: Deps) -> Result<RunningService, StartError> {
    let database = Database::open(&deps.database, NAME, store::SCHEMA).await?;
    let broker = deps.broker.for_service(NAME);
    let service = Service::builder(NAME).listen(deps.listen).broker(&broker);
    let service = deps.registered(with_database(service, &database));
    let (service, outbox) = outbox(service, &broker, &database).await?;

    let admin = OpenApiRouter::new()
        .routes(routes!(contents::create))
        .routes(routes!(contents::publish))
        .route_layer(require_role("admin"));
    let signed_in = OpenApiRouter::new().routes(routes!(contents::list)).routes(routes!(contents::find));
    let (routes, openapi) =
        OpenApiRouter::with_openapi(Api::openapi()).nest("/api/v1", signed_in.merge(admin)).split_for_parts();
    let state = State { store: Store(database), outbox };
    let routes = routes.layer(authenticate(deps.authenticator()?)).with_state(state);
    Ok(service.routes(routes).routes(docs(openapi)).build()?.start().await?)
}
